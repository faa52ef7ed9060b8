"""A partner that misbehaves, over real HTTP on this machine.

`Faults` stands in front of any sandbox's handlers and spoils the calls it is told to. `storm` is
what happens to webhooks on their way. Both are seeded or planned, so that a failing run can be
repeated.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
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
    "poisoned",
]
"""What a caller can tell to have gone wrong."""
Lie = Literal["not_applied", "stale"]
"""What no caller can tell: a yes to a write that was not kept; an earlier answer to a read."""
APPLIES: Final = frozenset(
    {"slow", "applied_then_error", "applied_then_dropped", "applied_then_garbage"}
)
"""Faults after which the partner has done what it was asked."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One spoilt answer. seconds: how long `slow` waits, or what `throttled` asks us to wait."""

    kind: FaultKind | Lie
    seconds: float = 0.0


class Faults:
    """Spoils planned calls, in the order of the plan; calls beyond it are answered rightly.

    Use as an aiohttp middleware. `path` limits it to calls whose path ends so. keep takes a copy of
    what the partner shows and answers what puts it back; without it `not_applied` is refused.
    remember: answers are kept, the first of each request, for `stale` to give again.
    """

    def __init__(
        self, path: str = "", *, keep: Callable[[], Callable[[], None]] | None = None
    ) -> None:
        self._path = path
        self.keep = keep
        self.remember = False
        self._told: dict[tuple[str, str, bytes], tuple[int, bytes, str]] = {}
        self._plan: deque[Fault] = deque()
        self.spoilt: list[Fault] = []

    def plan(self, *faults: Fault) -> None:
        """The next calls get these faults, one each."""
        if self.keep is None and any(fault.kind == "not_applied" for fault in faults):
            raise ValueError(
                "not_applied needs a partner whose state can be kept: Faults(keep=...)"
            )
        self._plan.extend(faults)

    def clear(self) -> None:
        """From now on the partner behaves."""
        self._plan.clear()

    def middleware(self) -> Middleware:
        """The middleware for `web.Application(middlewares=[...])`."""

        @web.middleware
        async def spoil(request: web.Request, handler: Handler) -> web.StreamResponse:
            if not self._plan or not request.path.endswith(self._path):
                return await self._rightly(request, handler)
            fault = self._plan.popleft()
            self.spoilt.append(fault)
            if fault.kind == "not_applied":
                return await self._forgotten(request, handler)
            if fault.kind == "stale":
                return await self._stale(request, handler)
            return await _spoilt(fault, request, handler)

        return spoil

    async def _rightly(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        answer = await handler(request)
        if self.remember and isinstance(answer, web.Response) and isinstance(answer.body, bytes):
            asked = (request.method, request.path_qs, await request.read())
            self._told.setdefault(asked, (answer.status, answer.body, answer.content_type))
        return answer

    async def _forgotten(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        assert self.keep is not None, "plan() has refused it"
        put_back = self.keep()
        answer = await handler(request)
        put_back()
        return answer

    async def _stale(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """What this very request was answered first; rightly where it was never asked."""
        told = self._told.get((request.method, request.path_qs, await request.read()))
        if told is None:
            return await self._rightly(request, handler)
        status, body, content_type = told
        return web.Response(status=status, body=body, content_type=content_type)


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
        case "poisoned":
            # Deeper than any parser follows.
            return web.Response(
                body=b'{"results": ' + b"[" * 100_000, content_type="application/json"
            )
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


class HostilePartner:
    """Any aiohttp application on loopback, with faults in front; for `async with`.

    url is where it answers. It belongs to the event loop that enters it.
    """

    def __init__(
        self, routes: Sequence[web.AbstractRouteDef], faults: Faults | None = None
    ) -> None:
        self.faults = faults or Faults()
        self.url = ""
        app = web.Application(middlewares=[self.faults.middleware()], client_max_size=64 << 20)
        app.add_routes(routes)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)

    async def __aenter__(self) -> "HostilePartner":
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._runner.cleanup()


def storm(messages: Sequence[T], chance: random.Random, copies: int = 3) -> list[T]:
    """The messages as real webhooks arrive: each at least once and up to `copies` times, in any
    order.
    """
    delivered = [message for message in messages for _ in range(chance.randint(1, copies))]
    chance.shuffle(delivered)
    return delivered
