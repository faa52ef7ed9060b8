"""GET /v1/stock: the full state of SKUs and places, now or as of a time, in pages or streamed."""

import datetime as dt
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Annotated, Final

import msgspec

from stockwright.api.call import Call
from stockwright.api.paging import PageQuery, cursor_of, position_of
from stockwright.api.problems import problem
from stockwright.api.reply import Reply, Stream, reply
from stockwright.api.streaming import CSV, NDJSON, CsvLines, json_lines, wanted
from stockwright.store import vectors
from stockwright.store.connection import Connection
from stockwright.store.vectors import Clock, Cut, Filter, Place, Vector

STREAMS: Final = {NDJSON: Vector, CSV: None}
_AT_ONCE: Final = 1_000
"""Places read at a time for a stream."""
Codes = Annotated[list[str], msgspec.Meta(max_length=100)]


class SkuStockQuery(PageQuery, kw_only=True, forbid_unknown_fields=True):
    """Which stock of a SKU: at which places, by lot, and as of a time.

    limit counts places of SKUs. clock says what `as_of` means: what was `recorded` by then, or what
    had `occurred` by then as far as we know now.
    """

    location: Codes = msgspec.field(default_factory=list)
    lots: bool = False
    as_of: Annotated[dt.datetime, msgspec.Meta(tz=True)] | None = None
    clock: Clock = "recorded"


class StockQuery(SkuStockQuery, kw_only=True, forbid_unknown_fields=True):
    """Which stock: of SKUs, of groups of SKUs, at which places, by lot, and as of a time.

    limit counts places of SKUs. clock says what `as_of` means: what was `recorded` by then, or what
    had `occurred` by then as far as we know now.
    """

    sku: Codes = msgspec.field(default_factory=list)
    sku_group: Codes = msgspec.field(default_factory=list)


class StockPage(msgspec.Struct, kw_only=True):
    """One page of the state at one sequence number; places that hold nothing are left out.

    Pages that follow each other by cursor are of the same sequence number.
    """

    sequence: int
    as_of: dt.datetime | None
    items: Sequence[Vector]
    next_cursor: str | None


class _Mark(msgspec.Struct, frozen=True, array_like=True):
    """Where a page ended, and through which cut."""

    cut: Cut
    place: Place


async def get_stock(call: Call) -> Reply:
    """Every bucket and claim stage by SKU and place, at one cut; all of it streamed by Accept."""
    query: StockQuery = call.query
    which = Filter(skus=query.sku, locations=query.location, groups=query.sku_group)
    start = await call.run(_start, query)
    media = wanted(call.headers, NDJSON, CSV)
    if media:
        lines = CsvLines(Vector.__struct_fields__) if media == CSV else json_lines
        return _stream(call, which, start, lines, media)
    return reply(await call.run(_page, query, which, start))


async def get_stock_of_sku(call: Call) -> Reply:
    """The state of one SKU at every place."""
    query: SkuStockQuery = call.query
    sku = call.path["sku"]
    if not await call.run(vectors.sku_exists, sku):
        raise problem("not_found", f"There is no SKU {sku}.", param="sku")
    which = Filter(skus=[sku], locations=query.location)
    start = await call.run(_start, query)
    return reply(await call.run(_page, query, which, start))


def _start(connection: Connection, query: SkuStockQuery) -> _Mark:
    if query.cursor:
        return position_of(query.cursor, _Mark, _Mark(Cut(0), vectors.FIRST))
    if query.as_of is None:
        return _Mark(vectors.cut_now(connection)[0], vectors.FIRST)
    return _Mark(vectors.cut_at(connection, query.as_of, query.clock), vectors.FIRST)


def _page(connection: Connection, query: SkuStockQuery, which: Filter, start: _Mark) -> StockPage:
    places = vectors.next_places(connection, which, start.place, query.limit + 1)
    shown = places[: query.limit]
    more = len(places) > query.limit
    return StockPage(
        sequence=start.cut.sequence,
        as_of=query.as_of,
        items=vectors.vectors_at(connection, shown, start.cut, lots=query.lots),
        next_cursor=cursor_of(_Mark(start.cut, shown[-1])) if more else None,
    )


def _stream(
    call: Call,
    which: Filter,
    start: _Mark,
    lines: Callable[[Sequence[Vector]], bytes],
    media: str,
) -> Stream:
    """All places after `start`, a piece at a time: the memory it takes does not grow with them."""
    lots: bool = call.query.lots

    async def parts() -> AsyncGenerator[bytes, None]:
        place = start.place
        while True:
            last, rows = await call.run(_piece, which, place, start.cut, lots)
            yield lines(rows)
            if last is None:
                return
            place = last

    headers = ((b"stockwright-sequence", str(start.cut.sequence).encode()),)
    return Stream(parts(), media.encode(), headers)


def _piece(
    connection: Connection, which: Filter, after: Place, cut: Cut, lots: bool
) -> tuple[Place | None, list[Vector]]:
    """The next piece of a stream, and the place to go on after; None at the end."""
    places = vectors.next_places(connection, which, after, _AT_ONCE)
    last = places[-1] if len(places) == _AT_ONCE else None
    return last, vectors.vectors_at(connection, places, cut, lots=lots)
