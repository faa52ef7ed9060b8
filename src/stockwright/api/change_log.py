"""GET /v1/change-log: who changed what, and when."""

import datetime as dt
from typing import Annotated, Final

import msgspec

from stockwright.api.call import Call
from stockwright.api.paging import PageQuery, page_of, position_of
from stockwright.api.reply import Reply, reply
from stockwright.store import access

_TOP: Final = 2**63 - 1
Time = Annotated[dt.datetime, msgspec.Meta(tz=True)]


class ChangeLogQuery(PageQuery, kw_only=True, forbid_unknown_fields=True):
    """Which changes: by whom, of what, from a time on, before a time. All are exact."""

    actor: str | None = None
    action: str | None = None
    subject: str | None = None
    since: Time | None = None
    until: Time | None = None


async def get_change_log(call: Call) -> Reply:
    """Who changed what, newest first: master data, keys, work items, parked payloads."""
    query: ChangeLogQuery = call.query
    before = position_of(query.cursor, int, _TOP)
    found = await call.run(
        access.list_changes,
        before=before,
        limit=query.limit + 1,
        actor=query.actor,
        action=query.action,
        subject=query.subject,
        since=query.since,
        until=query.until,
    )
    return reply(page_of(found, query.limit, lambda change: change.id))
