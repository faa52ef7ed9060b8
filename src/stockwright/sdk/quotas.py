"""How many calls a partner says are left, in the headers of its answers: kept to before the next.

Partners whose quota is shared with other apps tell what is left of it with every answer. A call
that would be one too many is not made: it waits for the new quota where that is near, else it is
told.
"""

import asyncio
import datetime as dt
import re
from collections.abc import Callable, Mapping
from typing import Final, Literal

import msgspec

from stockwright.domain.errors import Throttled
from stockwright.sdk.transports import (
    LONGEST_RETRY_AFTER_S,
    HttpRequest,
    HttpResponse,
    NotSent,
    Transport,
)

LONGEST_WAIT_S: Final = 2.0
"""Longer than this nobody sleeps inside a call: the hub comes again."""
_EPOCH: Final = 1_000_000_000.0
"""A number of seconds above this is a time and no span."""
_NUMBER: Final = re.compile(r"\d{1,14}(\.\d{1,9})?")
_PARTS: Final = {"left": ("r", "remaining"), "reset": ("t", "reset")}


class UsedUp(NotSent, Throttled):
    """No call is left for now: nothing was sent."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        Throttled.__init__(self, message, retry_after_s)


class RateHeaders(msgspec.Struct, frozen=True, kw_only=True):
    """The headers that say how many calls are left, and when there are more.

    Without case. Both may be one header of named parts (`"default";r=50;t=30`). A reset above a
    thousand million seconds is the time itself.
    """

    left: str = "ratelimit-remaining"
    reset: str = "ratelimit-reset"
    unit: Literal["seconds", "milliseconds"] = "seconds"


class Rationed:
    """A transport that keeps to what its partner's last answer said is left.

    Calls under way count before their answers tell. Raises UsedUp where no call is left.
    """

    def __init__(
        self, transport: Transport, headers: RateHeaders, clock: Callable[[], dt.datetime]
    ) -> None:
        self._transport = transport
        self._headers = headers
        self._clock = clock
        self._left: int | None = None
        self._under_way = 0
        self._reset_at = 0.0

    async def send(self, request: HttpRequest) -> HttpResponse:
        """The answer, whatever its status."""
        await self._turn()
        self._under_way += 1
        try:
            response = await self._transport.send(request)
        finally:
            self._under_way -= 1
        self._heard(response.headers)
        return response

    async def close(self) -> None:
        """Gives back the sockets. Safe to repeat."""
        await self._transport.close()

    async def _turn(self) -> None:
        if self._left is None:
            return
        wait_s = self._reset_at - asyncio.get_running_loop().time()
        if self._left > 0 or wait_s <= 0:
            self._left -= 1
            return
        if wait_s > LONGEST_WAIT_S:
            raise UsedUp("the partner's quota of calls is used up", wait_s)
        await asyncio.sleep(wait_s)

    def _heard(self, headers: Mapping[str, str]) -> None:
        left = number_in(headers.get(self._headers.left.lower(), ""), _PARTS["left"])
        reset = number_in(headers.get(self._headers.reset.lower(), ""), _PARTS["reset"])
        if left is None or reset is None:
            return
        # Said before those that are under way came, for all that we know.
        self._left = max(0, int(left) - self._under_way)
        if self._headers.unit == "milliseconds":
            reset /= 1_000.0
        if reset >= _EPOCH:
            reset -= self._clock().timestamp()
        wait_s = min(max(reset, 0.0), LONGEST_RETRY_AFTER_S)
        self._reset_at = asyncio.get_running_loop().time() + wait_s


def number_in(text: str, names: tuple[str, ...]) -> float | None:
    """A header's number, or the part of it that has one of these names; None where it has none."""
    plain = text.strip()
    for part in plain.replace(",", ";").split(";"):
        name, equals, value = part.strip().partition("=")
        if equals and name.strip().lower() in names:
            plain = value.strip()
            break
    return float(plain) if _NUMBER.fullmatch(plain) else None
