"""Asks a partner the first questions: do the credentials hold, what does it show and tell.

Nothing is changed at the partner and nothing is kept here. What a partner answers wrongly is an
outcome, not a failure.
"""

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Final, Literal, TypeVar

import msgspec

from stockwright import telemetry
from stockwright.domain.codes import storable
from stockwright.domain.errors import Misconfigured, StockwrightError, Throttled
from stockwright.domain.events import MAX_CODE, MAX_QUANTITY
from stockwright.sdk.messages import LevelKey, Payload, ShownLevel
from stockwright.sdk.verbs import (
    Checks,
    Connection,
    OpensStock,
    Peeks,
    Publishes,
    Reads,
    ReadsBack,
    Receives,
    Snapshots,
    Submits,
)

PATIENCE_S: Final = 120.0
"""Seconds one question may take beside its turns: a snapshot of a large catalogue comes in many
pages.
"""
ASKED_BACK: Final = 50
_LONGEST: Final = 10_000
T = TypeVar("T")

Within = Callable[[float], AbstractAsyncContextManager[object]]
"""How a question is asked that may take so many seconds: see sparing.Asker.patiently."""
Question = Literal["snapshot", "read", "read_back", "check"]


class Probed(msgspec.Struct, frozen=True, kw_only=True):
    """What a partner answered. asked are the questions that were answered, in order.

    error says why the first question that failed did, and setting which setting is at fault, as far
    as that is told. shown is None where the partner cannot tell it. as_of is our clock before it
    was asked; shown_at the time that its figures are of, None where that is as_of.
    """

    as_of: dt.datetime
    shown_at: dt.datetime | None = None
    asked: tuple[Question, ...] = ()
    error: str = ""
    setting: str = ""
    shown: tuple[ShownLevel, ...] | None = None
    payloads: tuple[Payload, ...] | None = None


class _Failed(Exception):
    def __init__(self, message: str, setting: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.setting = setting


def tells(connection: Connection) -> bool:
    """Whether messages of this partner name its items to us."""
    return isinstance(connection, Reads | Receives)


def takes(connection: Connection) -> bool:
    """Whether levels or documents are sent to this partner."""
    return isinstance(connection, Publishes | Submits)


def tells_what_it_shows(connection: Connection) -> bool:
    """Whether this partner can be asked what it shows."""
    return isinstance(connection, Snapshots | ReadsBack)


def names_items(connection: Connection) -> bool:
    """Whether this partner names items that could be matched, in messages or in what it shows."""
    return tells(connection) or tells_what_it_shows(connection)


async def probe(
    connection: Connection,
    listings: Sequence[str],
    clock: Callable[[], dt.datetime],
    within: Within = asyncio.timeout,
) -> Probed:
    """Asks everything that may be asked without changing anything; stops at the first failure.

    listings are a few of ours, for partners that can only be asked about listings by name. Each
    question is asked inside `within`.
    """
    as_of = clock()
    asked: list[Question] = []
    shown: tuple[ShownLevel, ...] | None = None
    shown_at: dt.datetime | None = None
    payloads: tuple[Payload, ...] | None = None
    try:
        if isinstance(connection, OpensStock):
            shown_at, held = await _patiently(within, connection.opening)
            shown = _kept(held)
            asked.append("snapshot")
        elif isinstance(connection, Snapshots):
            shown = _kept(await _patiently(within, connection.snapshot))
            asked.append("snapshot")
        elif isinstance(connection, ReadsBack) and listings:
            keys = _keys([(code, "") for code in listings])
            await _patiently(within, lambda: connection.read_back(keys))
            asked.append("read_back")
        if isinstance(connection, Checks) and await _patiently(within, connection.check):
            asked.append("check")
        if isinstance(connection, Peeks):
            payloads = (await _patiently(within, connection.peek)).payloads
            asked.append("read")
        elif isinstance(connection, Reads):
            # Not acknowledged: the partner tells the same again to whoever reads it in earnest.
            payloads = (await _patiently(within, lambda: connection.read(""))).payloads
            asked.append("read")
    except _Failed as failure:
        return Probed(
            as_of=as_of, asked=tuple(asked), error=failure.message, setting=failure.setting
        )
    return Probed(
        as_of=as_of, shown_at=shown_at, asked=tuple(asked), shown=shown, payloads=payloads
    )


async def look(
    connection: Connection,
    keys: Sequence[tuple[str, str]],
    clock: Callable[[], dt.datetime],
    within: Within = asyncio.timeout,
) -> Probed:
    """What a partner shows now: all of it, or of (listing, location) keys where it cannot tell all.

    shown is None where it can tell neither.
    """
    as_of = clock()
    try:
        if isinstance(connection, Snapshots):
            shown = _kept(await _patiently(within, connection.snapshot))
            return Probed(as_of=as_of, asked=("snapshot",), shown=shown)
        if isinstance(connection, ReadsBack):
            found: list[ShownLevel] = []
            for start in range(0, len(keys), ASKED_BACK):
                some = _keys(keys[start : start + ASKED_BACK])
                answer = await _patiently(within, partial(connection.read_back, some))
                found += [one for one in answer if one is not None]
            return Probed(as_of=as_of, asked=("read_back",), shown=_kept(found))
    except _Failed as failure:
        return Probed(as_of=as_of, error=failure.message, setting=failure.setting)
    return Probed(as_of=as_of)


def _keys(pairs: Sequence[tuple[str, str]]) -> list[LevelKey]:
    return [LevelKey(listing=listing, location=location) for listing, location in pairs]


def _kept(shown: Iterable[ShownLevel]) -> tuple[ShownLevel, ...]:
    """What a partner shows as it can be kept: its codes without what no text of ours may hold.

    Raises _Failed for a number that cannot be one of pieces.
    """
    kept = []
    for one in shown:
        listing = storable(one.listing, MAX_CODE)
        quantity: object = one.quantity  # of anybody's connector
        if not isinstance(quantity, int) or abs(quantity) > MAX_QUANTITY:
            raise _Failed(f"it shows {str(one.quantity)[:40]} of {listing}, which counts no pieces")
        location = storable(one.location, MAX_CODE)
        kept.append(msgspec.structs.replace(one, listing=listing, location=location))
    return tuple(kept)


async def _patiently(within: Within, work: Callable[[], Awaitable[T]]) -> T:
    """The answer. Raises _Failed in words, whatever goes wrong."""
    try:
        async with within(PATIENCE_S):
            return await work()
    except Misconfigured as failure:
        raise _Failed(_words(failure), failure.setting) from None
    except Throttled as failure:
        again = f"{_words(failure)}; try again in {failure.retry_after_s:.0f} s"
        raise _Failed(again) from None
    except TimeoutError:
        raise _Failed(f"no answer within {PATIENCE_S:.0f} s; try again later") from None
    except StockwrightError as failure:
        told = f"{_words(failure)}; check the address in its settings, or test it again later"
        raise _Failed(told) from None
    except Exception as failure:  # noqa: BLE001  anybody's connector: told like an answer
        raise _Failed(f"the connector failed: {_words(failure)}") from None


def _words(failure: Exception) -> str:
    told = storable(str(failure), _LONGEST) or type(failure).__name__
    return telemetry.hide_secrets(told)[:500]
