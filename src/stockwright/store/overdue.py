"""Supply whose date has passed: noted once, and handed to a person where goods are missing."""

import datetime as dt
from typing import Any, Final, NamedTuple

from psycopg.types.json import Jsonb

from stockwright.domain.supply import LineKey, all_came, units_left
from stockwright.store.arrays import texts
from stockwright.store.connection import Connection
from stockwright.store.queries import load
from stockwright.store.supply import lines_of_skus

_SQL = load("supply")
_LEDGER = load("ledger")
AT_ONCE: Final = 500


class Noted(NamedTuple):
    """How many lines became overdue, and the id to go on after; None where all were looked at."""

    late: int
    last: int | None


class _Row(NamedTuple):
    id: int
    system: str
    document: str
    line: str
    sku: str
    location: str
    due_at: dt.datetime
    noted: bool

    @property
    def key(self) -> LineKey:
        return (self.system, self.document, self.line)


def note_overdue(
    connection: Connection, now: dt.datetime, after: int = 0, limit: int = AT_ONCE
) -> Noted:
    """Notes lines that are overdue for longer than their place allows, at most `limit` of those
    with an id above `after`.

    One of which units are missing becomes a work item; one of which all came is closed, and its
    work item with it. One that its notices specify whole is neither. Safe to repeat.
    """
    found = connection.execute(_SQL["overdue"], {"now": now, "after": after, "limit": limit})
    rows = [_Row(*row) for row in found]
    left: dict[LineKey, int] = {}
    came: set[LineKey] = set()
    for lines in lines_of_skus(connection, sorted({row.sku for row in rows})).values():
        missing = units_left(lines)
        left |= missing
        came |= all_came(lines, missing)
    late = [row for row in rows if not row.noted and left.get(row.key)]
    arrived = [row for row in rows if row.key in came]
    if late:
        connection.execute(_SQL["note_overdue"], {"now": now, **_columns(late)})
    if arrived:
        connection.execute(_SQL["close_arrived"], {"now": now, **_columns(arrived)})
    for row in late:
        _ask(connection, row, left[row.key])
    for row in rows:
        if not left.get(row.key):
            connection.execute(_LEDGER["close_work"], ("supply_overdue", "/".join(row.key)))
    return Noted(len(late), rows[-1].id if len(rows) == limit else None)


def _ask(connection: Connection, row: _Row, units: int) -> None:
    detail = Jsonb({"units": units, "due_at": row.due_at.isoformat()})
    subject = "/".join(row.key)
    given = ("supply_overdue", subject, row.sku, row.location, row.system, detail, None)
    connection.execute(_LEDGER["open_work"], given)


def _columns(rows: list[_Row]) -> dict[str, Any]:
    return {
        "systems": texts([row.system for row in rows]),
        "documents": texts([row.document for row in rows]),
        "lines": texts([row.line for row in rows]),
    }
