"""What partner systems counted themselves, or told as their own number, of one SKU."""

import datetime as dt
from typing import Any, Final

import msgspec

from stockwright.store.connection import Connection
from stockwright.store.queries import load
from stockwright.store.stock import TOP

_SQL = load("told")
NEWEST: Final = 100
"""Of each system and place, the newest so many counts are looked through for buckets and lots."""


class ToldLine(msgspec.Struct, frozen=True):
    """One count or snapshot of one cell, in base units, as of a time of the partner's clock.

    difference is what it was off the ledger by, as of that time; None where it was not compared.
    posted where the ledger followed it.
    """

    system: str
    location: str
    bucket: str
    lot: str
    sequence: int
    kind: str
    outcome: str
    counted: int
    as_of: dt.datetime
    difference: int | None
    posted: bool


def newest_told(connection: Connection, sku: str, upto: int = TOP) -> list[ToldLine]:
    """The newest line of each system, place, bucket and lot up to a sequence number, in that order.

    Partners' codes are those that are bound to the SKU today.
    """
    return _lines(connection, "told", sku=sku, upto=upto, newest=NEWEST)


def told_before(
    connection: Connection,
    sku: str,
    system: str,
    location: str,
    bucket: str,
    upto: int = TOP,
    *,
    limit: int = 20,
) -> list[ToldLine]:
    """What one system told of one bucket at one place up to a sequence number, newest first."""
    return _lines(
        connection,
        "told_before",
        sku=sku,
        system=system,
        location=location,
        bucket=bucket,
        upto=upto,
        limit=limit,
    )


def _lines(connection: Connection, query: str, **parameters: Any) -> list[ToldLine]:
    rows = connection.execute(_SQL[query].encode(), parameters)
    return [ToldLine(*row) for row in rows]
