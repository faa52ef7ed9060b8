"""The work list: what a person must decide, who is at it, and that it was decided."""

import datetime as dt
from typing import Any, Literal

import msgspec
import psycopg

from stockwright.store import queries
from stockwright.store.access import log_change
from stockwright.store.connection import Connection
from stockwright.store.facets import Facets, facets_of

_SQL = queries.load("worklist")
State = Literal["open", "closed", "all"]
Reopened = Literal["reopened", "was_open", "came_up_again"]


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


class Which(msgspec.Struct, frozen=True, kw_only=True):
    """Which work items; an empty text lets all pass. `text` is looked for in subject and detail."""

    state: State = "open"
    kind: str = ""
    sku: str = ""
    location: str = ""
    system: str = ""
    assigned_to: str = ""
    unassigned: bool = False
    text: str = ""


def views(rows: Any) -> list[WorkItemView]:
    """Rows of the table, in the order of the fields, as work items."""
    fields = WorkItemView.__struct_fields__
    return [WorkItemView(**dict(zip(fields, row, strict=True))) for row in rows]


def work_items(
    connection: Connection, which: Which, *, before: int = 2**63 - 1, limit: int = 100
) -> list[WorkItemView]:
    """Work items with an id below `before`, newest first, at most `limit`."""
    arguments = {**msgspec.structs.asdict(which), "before": before, "limit": limit}
    return views(connection.execute(_SQL["page"], arguments))


def work_item_facets(connection: Connection, which: Which) -> Facets:
    """How many work items pass, by kind, system, location and person."""
    return facets_of(connection.execute(_SQL["facets"], msgspec.structs.asdict(which)))


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


def reopen_work_item(connection: Connection, item_id: int, *, actor: str, why: str) -> Reopened:
    """Opens a closed work item again, unless its cause came up again and has an open one by now."""
    try:
        with connection.transaction():
            row = connection.execute(_SQL["reopen"], {"id": item_id}).fetchone()
    except psycopg.errors.UniqueViolation:
        return "came_up_again"
    if row is None:
        return "was_open"
    log_change(connection, actor, "work_item.reopen", str(item_id), {"why": why})
    return "reopened"


def assign_work_item(connection: Connection, item_id: int, *, actor: str, assigned_to: str) -> bool:
    """Gives an open work item to somebody ('' for nobody); False where it is not open."""
    arguments = {"id": item_id, "assigned_to": assigned_to}
    if connection.execute(_SQL["assign"], arguments).fetchone() is None:
        return False
    log_change(connection, actor, "work_item.assign", str(item_id), {"assigned_to": assigned_to})
    return True
