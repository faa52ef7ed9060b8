"""What each page answers: reads, then renders the page or its JSON twin."""

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from stockwright.console import item, overview, why
from stockwright.console.door import Door
from stockwright.console.formatting import item_url, moment
from stockwright.console.pages import HEADERS, message, page, twin, zone_of
from stockwright.console.reading import Reader
from stockwright.console.stream import Snapshot, Topics, while_allowed
from stockwright.console.travel import asked_moment, check_past
from stockwright.domain.errors import Rejected
from stockwright.store import links, positions
from stockwright.store.connection import Connection

ITEMS_ON_PAGE: Final = 50


class Handlers:
    """The handlers of every page behind the door."""

    def __init__(
        self, reader: Reader, door: Door, marks: Mapping[str, Callable[[Connection], str]]
    ) -> None:
        self._marks = marks
        self._reader = reader
        self._door = door
        self._topics = Topics()

    async def overview(self, request: Request) -> Response:
        """Every link and the totals."""
        found = await self._reader.read(links.overview)
        if request.url.path.endswith(".json"):
            return twin(found)
        return page(
            request,
            "overview.html",
            twin="/index.json",
            stream="/console/stream",
            shape=_shape_of(overview.shape(found)),
            **overview.content(found, zone_of(request)),
        )

    async def items(self, request: Request) -> Response:
        """Items by code, fifty a page."""
        text, after = request.query_params.get("q", ""), request.query_params.get("after", "")
        _check_text(text, after)
        rows = await self._reader.read(
            positions.items, after=after, text=text, limit=ITEMS_ON_PAGE + 1
        )
        shown = rows[:ITEMS_ON_PAGE]
        more = shown[-1].sku if len(rows) > ITEMS_ON_PAGE else None
        if request.url.path.endswith(".json"):
            return twin({"items": shown, "after": more})
        return page(
            request, "items.html", items=shown, more=more, asked=text,
            twin=f"/items.json?{request.url.query}",
        )  # fmt: skip

    async def item(self, request: Request) -> Response:
        """One item's page."""
        sku, as_json = _sku_of(request)
        kind, before = request.query_params.get("kind", ""), _before(request)
        _check_text(sku, kind)
        at = asked_moment(request.query_params.get("at", ""), zone_of(request))

        def read(connection: Connection) -> tuple[item.ItemPage, str] | None:
            now = positions.moment(connection)
            check_past(at, now)
            found = item.read(connection, sku, now, before=before, kind=kind, at=at)
            return None if found is None else (found, item.chart(connection, found))

        found = await self._reader.read(read)
        if found is None:
            return _no_such_item(request, sku, at)
        if as_json:
            return twin(found[0])
        cursor = {} if before is None else {"before": before}
        address = item_url(sku, twin=True, at=moment(at) if at else "", kind=kind, **cursor)
        # What is past does not change, and nor do older pages of the timeline.
        live = "" if at or before is not None else f"/console/stream?{_query(sku=sku)}"
        return page(
            request, "item.html", shape=found[0].mark, stream=live, twin=address,
            **item.content(*found, zone_of(request)),
        )  # fmt: skip

    async def why(self, request: Request) -> Response:
        """The explanation of one number."""
        given = {name: request.query_params.get(name, "") for name in why.TEXTS}
        _check_text(*given.values())
        at = asked_moment(request.query_params.get("at", ""), zone_of(request))
        asked = why.Asked(**given, at=at)
        answer = await self._reader.read(why.explain, asked, zone_of(request))
        if answer is None:
            return _no_such_item(request, asked.sku, at)
        if request.url.path.endswith(".json"):
            return twin({"adds_up": answer.adds_up, "answer": answer})
        return page(
            request,
            "why.html",
            now=at or dt.datetime.now(dt.UTC),
            twin=f"/why.json?{request.url.query}",
            **why.content(answer),
        )

    async def stream(self, request: Request) -> Response:
        """Server-sent events for the overview, one item or a board, while one may see them."""
        if self._topics.full:
            return message(request, 503, "Busy", "Too many pages follow. Close some.")
        sku, board = request.query_params.get("sku"), request.query_params.get("board", "")
        mark = self._marks.get(board)
        _check_text(sku or "")
        zone = zone_of(request)

        async def everything() -> Snapshot:
            found = await self._reader.read(links.overview)
            return Snapshot(_shape_of(overview.shape(found)), overview.cells(found, zone))

        async def one_item() -> Snapshot:
            return Snapshot(await self._reader.read(positions.newest_mark, sku or ""), {})

        async def one_board() -> Snapshot:
            assert mark is not None
            return Snapshot(await self._reader.read(mark), {})

        if mark is not None:
            events = self._topics.follow(f"board {board}", one_board)
        elif sku is not None:
            events = self._topics.follow(f"item {sku}", one_item)
        else:
            events = self._topics.follow(f"overview {zone}", everything)
        headers = {**HEADERS, "X-Accel-Buffering": "no"}
        watched = while_allowed(events, lambda: self._door.still_in(request))
        return StreamingResponse(watched, headers=headers, media_type="text/event-stream")


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


def _no_such_item(request: Request, sku: str, at: dt.datetime | None = None) -> Response:
    if at is not None:
        text = f"No such SKU or listing at {moment(at)}. Ask for a later time, or leave `at` away."
        return message(request, 404, f"{sku or 'Nothing'} was not known then", text)
    text = "No such SKU or listing. Search by SKU or by a partner's code, or import it first."
    return message(request, 404, f"{sku or 'Nothing'} is not known", text)


def _shape_of(keys: list[str]) -> str:
    return "\n".join(keys)


def _query(**fields: str) -> str:
    return urlencode(fields)
