"""The console's routes: pages, their JSON twins, the live stream, signing in and out."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Concatenate, Final, ParamSpec, Protocol, TypeVar
from urllib.parse import parse_qs, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from stockwright.api.gate import refuse_strangers
from stockwright.api.problems import ProblemRaised
from stockwright.console import access, item, overview, why
from stockwright.console.formatting import item_url
from stockwright.console.pages import FOLDER, HEADERS, message, page, twin
from stockwright.console.stream import Snapshot, Topics
from stockwright.domain.errors import Rejected, StockwrightError, Throttled, Transient
from stockwright.store import links, positions
from stockwright.store.connection import Connection, Pool
from stockwright.store.session import session

P = ParamSpec("P")
T = TypeVar("T")

ITEMS_ON_PAGE: Final = 50
LARGEST_FORM: Final = 4_096


class ConsoleServices(Protocol):
    """What the console needs of a process: connections, and threads to use them on."""

    @property
    def pool(self) -> Pool:
        """Lends connections."""

    @property
    def threads(self) -> Executor:
        """Runs what waits for the database."""


def routes(services: ConsoleServices, *, open_to_all: bool = False) -> list[BaseRoute]:
    """The console's routes, to be mounted at the root beside the API's.

    open_to_all is the demo mode that asks for no key; it answers requests from this machine's own
    browser only. Otherwise every page but the sign-in asks for a session.
    """
    console = _Console(services, open_to_all)
    guarded: list[tuple[str, _Handler]] = [
        ("/", console.overview),
        ("/index.json", console.overview),
        ("/items", console.items),
        ("/items.json", console.items),
        ("/item", console.item),
        ("/item.json", console.item),
        ("/items/{sku:path}", console.item),
        ("/why", console.why),
        ("/why.json", console.why),
        ("/search", console.search),
        ("/console/stream", console.stream),
    ]
    return [
        *(Route(path, _Guarded(console, handler), methods=["GET"]) for path, handler in guarded),
        Route("/console/sign-in", _Guarded(console, console.sign_in, free=True),
              methods=["GET", "POST"]),
        Route("/console/sign-out", _Guarded(console, console.sign_out), methods=["POST"]),
        Mount("/console/static", _Static(directory=FOLDER / "static")),
    ]  # fmt: skip


_Handler = Callable[[Request], Awaitable[Response]]


class _Static(StaticFiles):
    """Our few files, with the headers of every page but kept by the browser while unchanged."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, or 404."""
        answer = await super().get_response(path, scope)
        answer.headers.update({**HEADERS, "Cache-Control": "no-cache"})
        return answer


class _Guarded:
    """One handler behind the console's own door; failures become pages that say what to do."""

    def __init__(self, console: "_Console", handler: _Handler, *, free: bool = False) -> None:
        self._console = console
        self._handler = handler
        self._free = free

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        answer = await self._answer(request)
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        try:
            turned_away = await self._console.admit(request, free=self._free)
            answer = turned_away or await self._handler(request)
            if request.state.visitor is not None:
                # The form to sign out must match this cookie on every page.
                access.keep_form_token(request, answer, request.state.form_token)
            return answer
        except ProblemRaised as refusal:
            return message(request, refusal.problem.status, "Not from here", refusal.problem.next)
        except Rejected as failure:
            return message(request, 400, "That cannot be shown", failure.message)
        except Throttled as failure:
            retry = {"Retry-After": str(int(failure.retry_after_s) + 1)}
            return message(request, 503, "Busy", f"{failure} Reload the page.", headers=retry)
        except Transient as failure:
            return message(request, 503, "The database does not answer", f"{failure}")
        except StockwrightError as failure:
            return message(request, 500, "An operator is needed", f"{failure}")


class _Console:
    def __init__(self, services: ConsoleServices, open_to_all: bool) -> None:
        self._services = services
        self._open = open_to_all
        self._throttle = access.Throttle()
        self._topics = Topics()

    async def run(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Runs `work(connection, ...)` on a thread, in one transaction."""

        def inside() -> T:
            with session(self._services.pool) as connection:
                return work(connection, *args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self._services.threads, inside)

    async def read(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """The same, reading one moment: every number on a page is true together."""

        def steady(connection: Connection) -> T:
            positions.read_one_moment(connection)
            return work(connection, *args, **kwargs)

        return await self.run(steady)

    async def admit(self, request: Request, *, free: bool) -> Response | None:
        """None where the request may go on, else what it is answered."""
        request.state.form_token = access.form_token(request)
        request.state.visitor = None
        if self._open:
            refuse_strangers(dict(request.headers.raw))
            return None
        request.state.visitor = await self.run(access.signed_in, request)
        if request.state.visitor is not None or free:
            return None
        if request.url.path.endswith(".json") or request.url.path == "/console/stream":
            return twin({"title": "Sign in first", "status": 401}, 401)
        return RedirectResponse("/console/sign-in", 303, HEADERS)

    async def overview(self, request: Request) -> Response:
        found = await self.read(links.overview)
        if request.url.path.endswith(".json"):
            return twin(found)
        return page(
            request,
            "overview.html",
            twin="/index.json",
            stream="/console/stream",
            shape=_shape_of(overview.shape(found)),
            **overview.content(found),
        )

    async def items(self, request: Request) -> Response:
        text, after = request.query_params.get("q", ""), request.query_params.get("after", "")
        _check_text(text, after)
        rows = await self.read(positions.items, after=after, text=text, limit=ITEMS_ON_PAGE + 1)
        shown = rows[:ITEMS_ON_PAGE]
        more = shown[-1].sku if len(rows) > ITEMS_ON_PAGE else None
        if request.url.path.endswith(".json"):
            return twin({"items": shown, "after": more})
        return page(
            request, "items.html", items=shown, more=more, asked=text,
            twin=f"/items.json?{request.url.query}",
        )  # fmt: skip

    async def item(self, request: Request) -> Response:
        sku, as_json = _sku_of(request)
        _check_text(sku)
        before = _before(request)

        def read(connection: Connection) -> tuple[item.ItemPage, str] | None:
            now = positions.moment(connection)
            found = item.read(connection, sku, now, before=before)
            return None if found is None else (found, item.chart(connection, found))

        found = await self.read(read)
        if found is None:
            return _no_such_item(request, sku)
        if as_json:
            return twin(found[0])
        cursor = {} if before is None else {"before": before}
        live = "" if before is not None else f"/console/stream?{_query(sku=sku)}"
        return page(
            request, "item.html", shape=found[0].mark, stream=live,
            twin=item_url(sku, twin=True, **cursor), **item.content(*found),
        )  # fmt: skip

    async def why(self, request: Request) -> Response:
        known = why.Asked.__struct_fields__
        given = {name: request.query_params.get(name, "") for name in known}
        _check_text(*given.values())
        asked = why.Asked(**given)
        answer = await self.read(why.explain, asked)
        if answer is None:
            return _no_such_item(request, asked.sku)
        if request.url.path.endswith(".json"):
            return twin({"adds_up": answer.adds_up, "answer": answer})
        return page(
            request, "why.html", twin=f"/why.json?{request.url.query}", **why.content(answer)
        )

    async def search(self, request: Request) -> Response:
        text = request.query_params.get("q", "").strip()
        _check_text(text)
        found = await self.read(positions.sku_of, text) if text else None
        address = item_url(found) if found is not None else f"/items?{_query(q=text)}"
        return RedirectResponse(address, 303, HEADERS)

    async def stream(self, request: Request) -> Response:
        if self._topics.full:
            return message(request, 503, "Busy", "Too many pages follow. Close some.")
        sku = request.query_params.get("sku")
        _check_text(sku or "")

        async def everything() -> Snapshot:
            found = await self.read(links.overview)
            return Snapshot(_shape_of(overview.shape(found)), overview.cells(found))

        async def one_item() -> Snapshot:
            return Snapshot(await self.read(positions.newest_mark, sku or ""), {})

        events = (
            self._topics.follow("overview", everything)
            if sku is None
            else self._topics.follow(f"item {sku}", one_item)
        )
        headers = {**HEADERS, "X-Accel-Buffering": "no"}
        return StreamingResponse(events, headers=headers, media_type="text/event-stream")

    async def sign_in(self, request: Request) -> Response:
        if self._open or request.state.visitor is not None:
            return RedirectResponse("/", 303, HEADERS)
        if request.method == "GET":
            return self._form(request)
        address = request.client.host if request.client else ""
        wait_s = self._throttle.wait_s(address)
        if wait_s > 0:
            seconds = int(wait_s) + 1
            note = f"Too many failed attempts from here. Try again in {seconds} s."
            return self._form(request, note, 429, {"Retry-After": str(seconds)})
        form = await _form_of(request)
        if not access.is_our_form(request, form.get(access.FORM_FIELD, "")):
            return self._form(request, "The form was not ours, or is too old. Try again.", 403)
        token = await self.run(access.sign_in, form.get("key", ""))
        if token is None:
            self._throttle.failed(address)
            note = "No such key, or it may not open the console: it needs the scope console."
            return self._form(request, note, 403)
        answer = RedirectResponse("/", 303, HEADERS)
        access.keep_session(request, answer, token)
        return answer

    async def sign_out(self, request: Request) -> Response:
        form = await _form_of(request)
        if not access.is_our_form(request, form.get(access.FORM_FIELD, "")):
            return message(request, 403, "Not from here", "Sign out on a page of the console.")
        await self.run(access.sign_out, request)
        answer = RedirectResponse("/console/sign-in", 303, HEADERS)
        access.drop_session(answer)
        return answer

    def _form(
        self, request: Request, note: str = "", status: int = 200,
        headers: dict[str, str] | None = None,
    ) -> Response:  # fmt: skip
        answer = page(request, "sign_in.html", status, note=note)
        answer.headers.update(headers or {})
        access.keep_form_token(request, answer, request.state.form_token)
        return answer


async def _form_of(request: Request) -> dict[str, str]:
    """The fields of a small form; what is larger or no text counts as empty."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_FORM:
            return {}
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=8)
    except ValueError:
        return {}
    return {name: values[-1] for name, values in fields.items()}


def _sku_of(request: Request) -> tuple[str, bool]:
    """The SKU an item's address names, and whether its twin is asked for."""
    named = request.path_params.get("sku")
    if named is None:
        return request.query_params.get("sku", ""), request.url.path.endswith(".json")
    return named.removesuffix(".json"), named.endswith(".json")


def _before(request: Request) -> int | None:
    text = request.query_params.get("before", "")
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Rejected("malformed", "before", "`before` is a sequence number of the ledger.")
    return int(text)


def _check_text(*texts: str) -> None:
    for text in texts:
        if "\x00" in text or len(text) > 512:
            raise Rejected("malformed", "q", "A code has no NUL character and at most 512 others.")


def _no_such_item(request: Request, sku: str) -> Response:
    text = "No such SKU or listing. Search by SKU or by a partner's code, or import it first."
    return message(request, 404, f"{sku or 'Nothing'} is not known", text)


def _shape_of(keys: list[str]) -> str:
    return "\n".join(keys)


def _query(**fields: str) -> str:
    return urlencode(fields)
