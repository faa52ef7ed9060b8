"""A partner that misbehaves, over real HTTP on this machine.

`Faults` stands in front of any sandbox's handlers and spoils the calls it is told to. `storm` is
what happens to webhooks on their way. Both are seeded or planned, so that a failing run can be
repeated.
"""

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from typing import Final, Literal, TypeVar

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

T = TypeVar("T")

FaultKind = Literal[
    "slow",
    "throttled",
    "server_error",
    "applied_then_error",
    "dropped",
    "applied_then_dropped",
    "swallowed",
    "garbage",
    "applied_then_garbage",
    "oversized",
    "redirected",
    "unauthorized",
    "malformed_request",
]
APPLIES: Final = frozenset(
    {"slow", "applied_then_error", "applied_then_dropped", "applied_then_garbage"}
)
"""Faults after which the partner has done what it was asked."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One spoilt answer. seconds: how long `slow` waits, or what `throttled` asks us to wait."""

    kind: FaultKind
    seconds: float = 0.0


class Faults:
    """Spoils planned calls, in the order of the plan; calls beyond it are answered rightly.

    Use as an aiohttp middleware. `path` limits it to calls whose path ends so.
    """

    def __init__(self, path: str = "") -> None:
        self._path = path
        self._plan: deque[Fault] = deque()
        self.spoilt: list[Fault] = []

    def plan(self, *faults: Fault) -> None:
        """The next calls get these faults, one each."""
        self._plan.extend(faults)

    def clear(self) -> None:
        """From now on the partner behaves."""
        self._plan.clear()

    def middleware(self) -> Middleware:
        """The middleware for `web.Application(middlewares=[...])`."""

        @web.middleware
        async def spoil(request: web.Request, handler: Handler) -> web.StreamResponse:
            if not self._plan or not request.path.endswith(self._path):
                return await handler(request)
            fault = self._plan.popleft()
            self.spoilt.append(fault)
            return await _spoilt(fault, request, handler)

        return spoil


async def _spoilt(fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
    if fault.kind in APPLIES:
        answer = await handler(request)
        if fault.kind == "slow":
            await asyncio.sleep(fault.seconds)
            return answer
    if fault.kind in ("dropped", "applied_then_dropped"):
        assert request.transport is not None
        request.transport.abort()
    return _answer(fault)


def _answer(fault: Fault) -> web.Response:
    match fault.kind:
        case "throttled":
            return web.Response(status=429, headers={"retry-after": f"{fault.seconds:g}"})
        case "garbage" | "applied_then_garbage":
            return web.Response(
                body=b'{"results": [{"listing"\xff\x00', content_type="application/json"
            )
        case "swallowed":
            # Says yes and does nothing: only a read-back finds out.
            return web.Response(status=200, body=b'{"results": []}')
        case "oversized":
            return web.Response(status=200, body=b'{"results": [' + b" " * (40 << 20) + b"]}")
        case "redirected":
            return web.Response(status=307, headers={"location": "http://192.0.2.1/elsewhere"})
        case "unauthorized":
            return web.Response(status=401)
        case "malformed_request":
            return web.Response(status=400, text="the request cannot be read")
        case _:
            return web.Response(status=500, text="internal error")


def storm(messages: Sequence[T], chance: random.Random, copies: int = 3) -> list[T]:
    """The messages as real webhooks arrive: each at least once and up to `copies` times, in any
    order.
    """
    delivered = [message for message in messages for _ in range(chance.randint(1, copies))]
    chance.shuffle(delivered)
    return delivered
