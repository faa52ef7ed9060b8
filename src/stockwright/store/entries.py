"""Reading the ledger of one SKU, newest first."""

import datetime as dt
from typing import Final

import msgspec

from stockwright.store import queries
from stockwright.store.connection import Connection

_SQL = queries.load("entries")
START: Final = (2**63 - 1, 2**15 - 1)
"""A position above every entry: where the first page begins."""


class EntryView(msgspec.Struct, kw_only=True):
    """One move of goods or of a promise, with the event that caused it. Quantity in base units."""

    sequence: int
    n: int
    kind: str
    system: str
    outcome: str
    document: str | None
    line: str | None
    lot: str
    from_account: str
    from_location: str
    to_account: str
    to_location: str
    quantity: int
    transfer: str | None
    free_after: int | None
    occurred_at: dt.datetime
    received_at: dt.datetime
    recorded_at: dt.datetime
    payload: int | None


def entries_of(
    connection: Connection, sku: str, *, below: tuple[int, int] = START, limit: int = 100
) -> list[EntryView]:
    """Entries of a SKU below a position (sequence, n), newest first, at most `limit`."""
    fields = EntryView.__struct_fields__
    arguments = {"sku": sku, "sequence": below[0], "n": below[1], "limit": limit}
    rows = connection.execute(_SQL["page"], arguments)
    return [EntryView(**dict(zip(fields, row, strict=True))) for row in rows]
