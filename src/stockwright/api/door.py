"""The ASGI application: finds the row of the route table, checks the key, answers failures.

Written against ASGI itself: a single reservation passes through here thousands of times a second,
so there is no middleware stack, and the busiest addresses are found by one look into a dict.
"""

import time
import urllib.parse
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import structlog
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Router, compile_path
from starlette.types import Receive, Scope, Send

from stockwright import telemetry
from stockwright.api import openapi
from stockwright.api.answers import answered_once
from stockwright.api.bodies import read_body
from stockwright.api.bound import check_reach
from stockwright.api.call import Call, Heard
from stockwright.api.gate import ANYBODY, Gate, refuse_strangers
from stockwright.api.noting import Notes
from stockwright.api.operations import Operation
from stockwright.api.problems import as_problem, problem, retry_after
from stockwright.api.proxied import seen_through
from stockwright.api.queries import read_query
from stockwright.api.reply import Reply, Stream
from stockwright.api.routes import TABLE
from stockwright.api.sending import Streams, send_whole
from stockwright.app import Services
from stockwright.domain.codes import code_problem
from stockwright.domain.errors import StockwrightError
from stockwright.domain.proxies import networks
from stockwright.store.access import Caller

SLOW_S: Final = 1.0
MAX_CALLS: Final = 2_000
"""Calls under way at one time; beyond them the answer is `busy` at once."""
MAX_STRANGERS: Final = 500
"""Bodies being received of callers who have proven nothing yet. They are counted by themselves, so
that whoever announces webhooks and sends none keeps out no one but other webhooks.
"""
_SPEC_PATH: Final = "/v1/openapi.json"
_ALIVE: Final = "/healthz"
"""Answered however busy it is: who is watched is not to be killed for being busy."""
_OWN: Final = ("/v1", "/metrics", "/healthz", "/readyz")
_log = structlog.get_logger(__name__)


class _Place(NamedTuple):
    """One address and what may be done there."""

    path: str
    methods: dict[str, Operation]
    noted: bool = True


class Door:
    """Serves the API, and under it any other routes (the console's)."""

    def __init__(
        self,
        services: Services,
        *,
        open_to_all: bool = False,
        routes: Sequence[BaseRoute] = (),
        table: Iterable[Operation] = TABLE,
    ) -> None:
        self._services = services
        self._notes = Notes(services.call_log)
        self._open = open_to_all
        self._proxies = networks(services.config.server.trusted_proxies)
        self.gate = Gate(services.pool, services.threads, open_to_all=open_to_all)
        rows = tuple(table)
        self._exact: dict[str, _Place] = {}
        self._patterns: list[tuple[Any, _Place]] = []
        for row in (*rows, _specification(rows)):
            self._add(row)
        self._pages = Router(routes=list(routes), redirect_slashes=False, default=_no_page)
        self._under_way = 0
        self._strangers = 0
        self.streams = Streams()
        self._timers: dict[tuple[str, str, int], Any] = {}

    def _add(self, row: Operation) -> None:
        place = next((p for p in self._places() if p.path == row.path), None)
        if place is None:
            place = _Place(row.path, {}, noted=row.path.startswith("/v1/"))
            if "{" in row.path:
                self._patterns.append((compile_path(row.path)[0], place))
            else:
                self._exact[row.path] = place
        place.methods[row.method] = row

    def _places(self) -> Iterable[_Place]:
        yield from self._exact.values()
        yield from (place for _, place in self._patterns)

    def let_go(self) -> None:
        """Ends the streams and the waiting of all callers, so that the process can stop."""
        self._services.bell.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection's request, as ASGI has it."""
        if scope["type"] != "http":
            await self._other(scope, receive, send)
            return
        if self._proxies:
            scope = seen_through(scope, self._proxies)
        path: str = scope["path"]
        place = self._exact.get(path)
        if place is None and not path.startswith(_OWN):
            await self._page(scope, receive, send)
            return
        started = time.perf_counter()
        method: str = "GET" if scope["method"] == "HEAD" else scope["method"]
        parts: dict[str, str] = {}
        heard = Heard()
        self._under_way += 1
        try:
            if place is None:
                place, parts = self._find(scope)
            if self._under_way > MAX_CALLS and path != _ALIVE:
                raise problem("busy", headers=retry_after(1))
            answer = await self._answer(scope, place, parts, method, receive, heard)
            if isinstance(answer, Stream):
                await self.streams.begin(answer)
        except StockwrightError as failure:
            answer = as_problem(failure).as_reply()
        except Exception:  # noqa: BLE001  the last net: told to the log, and as a problem
            _log.exception("request failed", method=method, path=path)
            answer = problem("internal").as_reply()
        finally:
            self._under_way -= 1
        noted = place.noted if place is not None else path.startswith("/v1/")
        request_id = self._notes.name(answer) if noted else b""
        took_s = time.perf_counter() - started
        if isinstance(answer, Stream):
            await self.streams.send(
                answer,
                receive,
                send,
                head=scope["method"] == "HEAD",
                allowed=lambda: self._still(dict(scope["headers"]), heard.caller),
            )
        else:
            await send_whole(send, answer)
            took_s = time.perf_counter() - started
        route = place.path if place else "other"
        patient = place is not None and method in place.methods and place.methods[method].patient
        self._note(method, route, answer.status, took_s, patient)
        if noted:
            patience_s = took_s if patient else 0.0
            self._notes.note(request_id, scope, method, route, answer, heard, took_s, patience_s)

    async def _answer(
        self,
        scope: Scope,
        place: _Place,
        parts: dict[str, str],
        method: str,
        receive: Receive,
        heard: Heard,
    ) -> Reply:
        headers = dict(scope["headers"])
        row = place.methods.get(method)
        if row is None:
            raise _no_method(method, place)
        caller = ANYBODY
        if self._open:
            refuse_strangers(headers)
            heard.caller = ANYBODY
        elif row.scope:
            caller = self.gate.remembered(headers) or await self.gate.caller(headers)
            heard.caller = caller
            if not caller.may(row.scope):
                raise problem("forbidden", f"This needs the scope {row.scope}.")
        if row.admits is not None:
            row.admits(self._services, parts)
        body = b""
        if method != "GET":
            body = await (read_body if row.scope else self._from_stranger)(receive, headers)
        heard.body = body
        query = read_query(row.query, scope["query_string"]) if row.query is not None else None
        call = Call(self._services, caller, headers, parts, query, body)
        if row.scope:
            check_reach(row.name, call)
        if row.stored:
            asked = scope["path"]
            if scope["query_string"]:  # a dry run is another request than the real one
                asked += "?" + scope["query_string"].decode("latin-1")
            return await answered_once(call, method, asked, row.handler)
        return await row.handler(call)

    async def _from_stranger(self, receive: Receive, headers: dict[bytes, bytes]) -> bytes:
        """As `read_body`; meanwhile the call takes none of the places of those who are known, and
        nothing is unpacked for whoever has proven nothing yet.
        """
        if self._strangers >= MAX_STRANGERS:
            raise problem("busy", headers=(*retry_after(5), (b"connection", b"close")))
        self._strangers += 1
        self._under_way -= 1
        try:
            return await read_body(receive, headers, packed=False)
        finally:
            self._strangers -= 1
            self._under_way += 1

    async def _still(self, headers: dict[bytes, bytes], caller: Caller | None) -> bool:
        """Whether whoever was let in may go on listening: keys are revoked, sessions end."""
        return caller is None or await self.gate.still(headers, caller)

    def _find(self, scope: Scope) -> tuple[_Place, dict[str, str]]:
        """The row for an address. Codes may hold slashes, so it is split before it is decoded."""
        raw = scope.get("raw_path") or scope["path"].encode()
        text = raw.split(b"?", 1)[0].decode("latin-1")
        for pattern, place in self._patterns:
            found = pattern.match(text)
            if found:
                return place, {name: _code(part) for name, part in found.groupdict().items()}
        raise problem("not_found", f"There is nothing at {scope['path'][:200]}.")

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Any) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            if self._open:
                refuse_strangers(dict(scope["headers"]))
            await self._pages(scope, receive, watched)
        except StockwrightError as failure:
            answer = as_problem(failure).as_reply()
        except HTTPException as failure:
            answer = _page_problem(failure)
        except Exception:
            _log.exception("page failed", path=scope["path"])
            if started:
                raise
            answer = problem("internal").as_reply()
        else:
            return
        await send_whole(watched, answer)

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Starting and stopping is the process's own affair; sockets are not spoken here."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
            return
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            else:
                await send({"type": "lifespan.shutdown.complete"})
                return

    def _note(
        self, method: str, route: str, status: int, took_s: float, patient: bool = False
    ) -> None:
        key = (route, method, status)
        timer = self._timers.get(key)
        if timer is None:
            timer = self._timers[key] = telemetry.HTTP.labels(route, method, str(status))
        timer.observe(took_s)
        if status == 429:
            telemetry.BUSY.labels("api").inc()
        if (took_s > SLOW_S and not patient) or status >= 500:
            seconds = round(took_s, 3)
            _log.warning(
                "slow or failed", method=method, route=route, status=status, took_s=seconds
            )


def _specification(rows: Sequence[Operation]) -> Operation:
    """The row that serves the OpenAPI document of the others; for everybody."""
    document = msgspec.json.encode(openapi.document(rows))

    async def get_openapi(_call: Call) -> Reply:
        return Reply(200, document)

    return Operation(method="GET", path=_SPEC_PATH, handler=get_openapi, tag="health")


def _code(part: str) -> str:
    try:
        code = urllib.parse.unquote(part, errors="strict")
    except UnicodeDecodeError:
        raise problem("bad_path", "A code in the address is not UTF-8.") from None
    wrong = code_problem(code)
    if wrong:
        raise problem("bad_path", f"A code in the address {wrong}.")
    return code


def _no_method(method: str, place: _Place) -> StockwrightError:
    allowed = ", ".join(sorted(place.methods))
    detail = f"{place.path} has no {method}; it has {allowed}."
    return problem("method_not_allowed", detail, headers=((b"allow", allowed.encode()),))


def _page_problem(failure: HTTPException) -> Reply:
    code = {404: "not_found", 405: "method_not_allowed"}.get(failure.status_code)
    if code is None:
        return Reply(failure.status_code, failure.detail.encode(), b"text/plain; charset=utf-8")
    return problem(code, failure.detail).as_reply()


async def _no_page(scope: Scope, _receive: Receive, _send: Send) -> None:
    raise problem("not_found", f"There is nothing at {scope['path'][:200]}.")
