"""What is due: the next hold to run out, lots past their date or short of the days asked for."""

import datetime as dt

from stockwright.store.connection import Connection
from stockwright.store.queries import load

_sql = load("ledger")
_DUE = load("due")


def next_due_s(connection: Connection) -> float | None:
    """Seconds until the next open hold runs out, below zero where it has; None without a hold.

    By the ledger's clock: a process whose own is ahead would ask for what is not due yet.
    """
    row = connection.execute(_sql["next_due"]).fetchone()
    found: float | None = row[0] if row else None
    return found


def expired_lots(
    connection: Connection, now: dt.datetime, limit: int
) -> list[tuple[str, str, str, dt.date]]:
    """(sku, location, lot, date) of lots still sellable after their date there, oldest date
    first.
    """
    return list(connection.execute(_sql["expired_lots"], (now, limit)).fetchall())


def mark_shelf_life(connection: Connection, today: dt.date) -> int:
    """Marks SKUs with lots that lost the shelf life some policy asks for since the day it was done
    last; returns how many. Safe to repeat.
    """
    row = connection.execute(_DUE["mark_shelf_life"], {"today": today}).fetchone()
    return int(row[0]) if row else 0
