"""GET /v1/stock: both books of every SKU and place, in pages or as one stream, now or then."""

import datetime as dt
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Final

import msgspec

from stockwright.api.call import Call
from stockwright.api.paging import DEFAULT_LIMIT, Cursor, Limit, cursor_of, position_of
from stockwright.api.problems import problem
from stockwright.api.reply import Reply, reply
from stockwright.api.streams import CSV, NDJSON, Stream, form_of, rows_in
from stockwright.domain.codes import Code
from stockwright.store import stocklist
from stockwright.store.stocklist import StockRow, Which

MOST_CODES: Final = 100
ROWS_AT_ONCE: Final = 1_000
Codes = Annotated[list[Code], msgspec.Meta(max_length=MOST_CODES)]
AsOf = Annotated[
    dt.datetime,
    msgspec.Meta(tz=True, description="As it was recorded by then; now where it is left out."),
]


class StockFilter(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which rows, and as of when. skus and locations may be given several times."""

    skus: Codes = []
    locations: Codes = []
    sku_group: str | None = None
    by_lot: bool = False
    empty: bool = False
    as_of: AsOf | None = None

    def which(self) -> Which:
        """The filter as the store has it."""
        return Which(
            skus=self.skus,
            locations=self.locations,
            sku_group=self.sku_group,
            by_lot=self.by_lot,
        )


class StockQuery(StockFilter, kw_only=True, forbid_unknown_fields=True):
    """Which rows, as of when, and which page."""

    limit: Limit = DEFAULT_LIMIT
    cursor: Cursor = ""


class StockPage(msgspec.Struct, kw_only=True):
    """Rows by SKU, place and lot, all pages as of one sequence number of the ledger.

    A page may hold fewer rows than were asked for, even none; next_cursor is null on the last one.
    """

    sequence: int
    items: list[StockRow]
    next_cursor: str | None


async def get_stock(call: Call) -> Reply:
    """Both books of every SKU and place; all pages speak of the moment of the first."""
    query: StockQuery = call.query
    sequence, after = position_of(query.cursor, tuple[int, stocklist.Key], (-1, stocklist.START))
    if sequence < 0:
        sequence = await _moment(call, query.as_of)
    rows = await call.run(
        stocklist.page, query.which(), sequence=sequence, after=after, limit=query.limit
    )
    more = len(rows) == query.limit
    cursor = cursor_of((sequence, rows[-1].key)) if more else None
    items = _shown(rows, query.empty)
    return reply(StockPage(sequence=sequence, items=items, next_cursor=cursor))


async def export_stock(call: Call) -> Reply:
    """All stock as of a time, as NDJSON or CSV by Accept, sent while it is read."""
    query: StockFilter = call.query
    form = form_of(call.headers)
    sequence = await _moment(call, query.as_of)
    headers = ((b"stockwright-sequence", str(sequence).encode()),)
    chunks = rows_in(form, StockRow, _pages(call, query, sequence))
    return Stream(chunks, NDJSON if form == "ndjson" else CSV, headers)


async def _pages(
    call: Call, query: StockFilter, sequence: int
) -> AsyncIterator[Sequence[StockRow]]:
    after, which = stocklist.START, query.which()
    while True:
        rows = await call.run(
            stocklist.page, which, sequence=sequence, after=after, limit=ROWS_AT_ONCE
        )
        yield _shown(rows, query.empty)
        if len(rows) < ROWS_AT_ONCE:
            return
        after = rows[-1].key


def _shown(rows: Sequence[StockRow], empty: bool) -> list[StockRow]:
    return [row for row in rows if empty or not row.is_empty]


async def _moment(call: Call, as_of: dt.datetime | None) -> int:
    """The sequence number that stands for a time. A time to come would be no fixed moment."""
    if as_of is None:
        return await call.run(stocklist.head)
    if as_of > dt.datetime.now(dt.UTC):
        raise problem("malformed", "This time is still to come; leave it out.", param="as_of")
    return await call.run(stocklist.sequence_at, as_of)
