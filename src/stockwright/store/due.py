"""What is due: holds that run out, lots past their date, numbers that change by time alone."""

import datetime as dt
from collections.abc import Collection

from stockwright.store.arrays import texts, times
from stockwright.store.connection import Connection
from stockwright.store.queries import load

_sql = load("ledger")
_levels = load("levels")


def next_due(connection: Connection) -> dt.datetime | None:
    """When the next open hold runs out, or None."""
    row = connection.execute(_sql["next_due"]).fetchone()
    found: dt.datetime | None = row[0] if row else None
    return found


def note_due_times(connection: Connection, due: Collection[tuple[str, dt.datetime]]) -> None:
    """Has the levels of these SKUs computed again at these times."""
    if due:
        skus, at = zip(*sorted(due), strict=True)
        connection.execute(_levels["note_due_times"], {"skus": texts(skus), "at": times(at)})


def mark_due(connection: Connection, now: dt.datetime | None = None, limit: int = 5_000) -> int:
    """Marks the SKUs whose time has come, by the database's clock unless told; how many."""
    return connection.execute(_levels["mark_due"], {"now": now, "limit": limit}).rowcount


def expired_lots(
    connection: Connection, now: dt.datetime, limit: int
) -> list[tuple[str, str, str, dt.date]]:
    """(sku, location, lot, date) of lots still sellable after their date there, oldest date
    first.
    """
    return list(connection.execute(_sql["expired_lots"], (now, limit)).fetchall())
