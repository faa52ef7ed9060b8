"""A partner that misbehaves, over real HTTP on this machine.

`Faults` stands in front of any sandbox's handlers and spoils the calls it is told to. `storm` is
what happens to webhooks on their way. Both are seeded or planned, so that a failing run can be
repeated.
"""

import asyncio
import copy
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


Asked = tuple[str, str, bytes]
"""A call by its method, its path with query, and its body."""
Keep = Callable[[], Callable[[], bool]]
"""Takes a copy of what a partner shows; answers what puts it back, and whether that changed it."""


def keeping(owner: object, *names: str) -> Keep:
    """Keeps these attributes of a sandbox, which hold what it shows: for `Faults(keep=...)`."""

    def keep() -> Callable[[], bool]:
        before = {name: copy.deepcopy(getattr(owner, name)) for name in names}

        def put_back() -> bool:
            changed = any(getattr(owner, name) != value for name, value in before.items())
            for name, value in before.items():
                setattr(owner, name, value)
            return changed

        return put_back

    return keep


def is_get(method: str, body: bytes) -> bool:
    """Whether a call of an ordinary REST API is a read."""
    return method == "GET"


class Faults:
    """Spoils planned calls, in the order of the plan; calls beyond it are answered rightly.

    Use as an aiohttp middleware. `path` limits it to calls whose path ends so. keep takes a copy of
    what the partner shows (see `keeping`); without it `not_applied` is refused. reads tells from
    method and body whether a call only asks. remember: answers to reads are kept, the first of
    each, for `stale` to give again.

    A lie waits for a call that it can spoil, and lets others go first meanwhile: `not_applied` for
    one that changes what is shown, `stale` for a read that was answered before. spoilt holds what
    has happened, and nothing else.
    """

    def __init__(
        self,
        path: str = "",
        *,
        keep: Keep | None = None,
        reads: Callable[[str, bytes], bool] = is_get,
    ) -> None:
        self._path = path
        self.keep = keep
        self._reads = reads
        self.remember = False
        self._told: dict[Asked, tuple[int, bytes, str]] = {}
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
            if not request.path.endswith(self._path):
                return await handler(request)
            asked = (request.method, request.path_qs, await request.read())
            # From here on the handler waits for nothing: between a copy of what is shown and its
            # return no other call is answered.
            match self._next(asked):
                case None:
                    return await self._rightly(asked, request, handler)
                case Fault(kind="not_applied") as fault:
                    return await self._forgotten(fault, request, handler)
                case Fault(kind="stale") as fault:
                    self._spend(fault)
                    status, body, content_type = self._told[asked]
                    return web.Response(status=status, body=body, content_type=content_type)
                case fault:
                    self._spend(fault)
                    return await _spoilt(fault, request, handler)

        return spoil

    def _next(self, asked: Asked) -> Fault | None:
        """The fault for this call, if it is one that any of the plan can spoil."""
        told, asks = asked in self._told, self._reads(asked[0], asked[2])
        fits = [fault for fault in self._plan if fault.kind != "stale" or told]
        # Asking may carry out what was accepted before; another fault is told more surely.
        surely = [fault for fault in fits if fault.kind != "not_applied" or not asks]
        return next(iter([*surely, *fits]), None)

    def _spend(self, fault: Fault) -> None:
        self._plan.remove(fault)
        self.spoilt.append(fault)

    async def _rightly(
        self, asked: Asked, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        answer = await handler(request)
        kept = self.remember and self._reads(asked[0], asked[2])
        if kept and isinstance(answer, web.Response) and isinstance(answer.body, bytes):
            self._told.setdefault(asked, (answer.status, answer.body, answer.content_type))
        return answer

    async def _forgotten(
        self, fault: Fault, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        assert self.keep is not None, "plan() has refused it"
        put_back = self.keep()
        answer = await handler(request)
        if put_back() and fault in self._plan:
            self._spend(fault)
        return answer


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
