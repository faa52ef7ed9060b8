"""GET /v1/ledger/{sku}: every move of a SKU, newest first."""

from stockwright.api.call import Call
from stockwright.api.paging import PageQuery, page_of, position_of
from stockwright.api.reply import Reply, reply
from stockwright.store import entries
from stockwright.store.entries import EntryView


async def get_ledger(call: Call) -> Reply:
    """The entries of a SKU with the events that caused them, newest first."""
    query: PageQuery = call.query
    below = position_of(query.cursor, tuple[int, int], entries.START)
    found = await call.run(entries.entries_of, call.path["sku"], below=below, limit=query.limit + 1)
    return reply(page_of(found, query.limit, _position))


def _position(entry: EntryView) -> tuple[int, int]:
    return entry.sequence, entry.n
