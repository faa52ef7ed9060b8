"""The work list: what a person must decide, and that it was decided."""

import datetime as dt
from typing import Any, Literal

import msgspec

from stockwright.store import queries
from stockwright.store.access import log_change
from stockwright.store.connection import Connection

_SQL = queries.load("worklist")
State = Literal["open", "closed", "all"]


class WorkItemView(msgspec.Struct, kw_only=True):
    """One work item. `seen` counts how often its cause came up while it was open."""

    id: int
    kind: str
    subject: str
    sku: str
    location: str
    system: str
    detail: dict[str, Any]
    sequence: int | None
    opened_at: dt.datetime
    seen: int
    last_seen_at: dt.datetime
    closed_at: dt.datetime | None
    closed_by: str
    closed_why: str
    assigned_to: str


def views(rows: Any) -> list[WorkItemView]:
    """Rows of the table, in the order of the fields, as work items."""
    fields = WorkItemView.__struct_fields__
    return [WorkItemView(**dict(zip(fields, row, strict=True))) for row in rows]


def work_items(
    connection: Connection,
    *,
    state: State = "open",
    kind: str = "",
    sku: str = "",
    before: int = 2**63 - 1,
    limit: int = 100,
) -> list[WorkItemView]:
    """Work items with an id below `before`, newest first, at most `limit`."""
    arguments = {"state": state, "kind": kind, "sku": sku, "before": before, "limit": limit}
    return views(connection.execute(_SQL["page"], arguments))


def find_work_item(connection: Connection, item_id: int) -> WorkItemView | None:
    """One work item, open or closed; None where there is none."""
    found = views(connection.execute(_SQL["one"], {"id": item_id}))
    return found[0] if found else None


def close_work_item(connection: Connection, item_id: int, *, actor: str, why: str) -> bool:
    """Closes an open work item and notes who did it; False where it was not open."""
    arguments = {"id": item_id, "actor": actor, "why": why}
    if connection.execute(_SQL["close"], arguments).fetchone() is None:
        return False
    log_change(connection, actor, "work_item.close", str(item_id), {"why": why})
    return True
