"""GET /v1/change-log: who changed what, and when."""

from typing import Final

from stockwright.api.call import Call
from stockwright.api.paging import PageQuery, page_of, position_of
from stockwright.api.reply import Reply, reply
from stockwright.store import access

_TOP: Final = 2**63 - 1


async def get_change_log(call: Call) -> Reply:
    """Who changed what, newest first: master data, keys, work items, parked payloads."""
    query: PageQuery = call.query
    before = position_of(query.cursor, int, _TOP)
    found = await call.run(access.list_changes, before=before, limit=query.limit + 1)
    return reply(page_of(found, query.limit, lambda change: change.id))
