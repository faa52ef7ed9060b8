"""Supply whose date has passed: noted once, and handed to a person where goods are missing."""

import datetime as dt
from typing import Any

from psycopg.types.json import Jsonb

from stockwright.domain.supply import LineKey, units_left
from stockwright.store.arrays import texts
from stockwright.store.connection import Connection
from stockwright.store.queries import load
from stockwright.store.supply import lines_of_skus

_SQL = load("supply")
_LEDGER = load("ledger")


def note_overdue(connection: Connection, now: dt.datetime, limit: int = 500) -> int:
    """Notes lines that are overdue for longer than their place allows; how many were not before.

    One of which units are missing becomes a work item; one of which all came is closed, and its
    work item with it. Safe to repeat.
    """
    rows = connection.execute(_SQL["overdue"], {"now": now, "limit": limit}).fetchall()
    if not rows:
        return 0
    left: dict[LineKey, int] = {}
    for lines in lines_of_skus(connection, sorted({row[3] for row in rows})).values():
        left |= units_left(lines)
    late = [row for row in rows if not row[6]]
    arrived = [row for row in rows if not left.get((row[0], row[1], row[2]))]
    if late:
        connection.execute(_SQL["note_overdue"], {"now": now, **_columns(late)})
    if arrived:
        connection.execute(_SQL["close_arrived"], {"now": now, **_columns(arrived)})
    for system, document, line, sku, location, due_at, noted in rows:
        units = left.get((system, document, line), 0)
        subject = f"{system}/{document}/{line}"
        if units and not noted:
            detail = Jsonb({"units": units, "due_at": due_at.isoformat()})
            given = ("supply_overdue", subject, sku, location, system, detail, None)
            connection.execute(_LEDGER["open_work"], given)
        elif not units:
            connection.execute(_LEDGER["close_work"], ("supply_overdue", subject))
    return len(late)


def _columns(rows: list[tuple[Any, ...]]) -> dict[str, str]:
    return {
        "systems": texts([row[0] for row in rows]),
        "documents": texts([row[1] for row in rows]),
        "lines": texts([row[2] for row in rows]),
    }
