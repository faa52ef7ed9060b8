"""GET /v1/audit: who changed what, and when."""

import datetime as dt
from typing import Annotated, Final

import msgspec

from stockwright.api.call import Call
from stockwright.api.paging import PageQuery, page_of, position_of
from stockwright.api.reply import Reply, reply
from stockwright.store import access
from stockwright.store.access import WhichChanges

_TOP: Final = 2**63 - 1
Moment = Annotated[dt.datetime, msgspec.Meta(tz=True)]


class AuditQuery(PageQuery, kw_only=True, forbid_unknown_fields=True):
    """Which changes: by whom (`key abc`), what was done (`skus.put`), to what, and when."""

    actor: str = ""
    action: str = ""
    subject: str = ""
    since: Moment | None = None
    until: Moment | None = None


async def get_audit(call: Call) -> Reply:
    """Every change that a person or a key made, newest first, with who made it."""
    query: AuditQuery = call.query
    which = WhichChanges(**{name: getattr(query, name) for name in WhichChanges.__struct_fields__})
    before = position_of(query.cursor, int, _TOP)
    found = await call.run(access.list_changes, which, before=before, limit=query.limit + 1)
    return reply(page_of(found, query.limit, lambda change: change.id))
