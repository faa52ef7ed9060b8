"""What is due: the next hold to run out, and lots past their date."""

import datetime as dt

from stockwright.store.connection import Connection
from stockwright.store.queries import load

_sql = load("ledger")


def next_due(connection: Connection) -> dt.datetime | None:
    """When the next open hold runs out, or None."""
    row = connection.execute(_sql["next_due"]).fetchone()
    found: dt.datetime | None = row[0] if row else None
    return found


def expired_lots(
    connection: Connection, now: dt.datetime, limit: int
) -> list[tuple[str, str, str, dt.date]]:
    """(sku, location, lot, date) of lots still sellable after their date there, oldest date
    first.
    """
    return list(connection.execute(_sql["expired_lots"], (now, limit)).fetchall())
