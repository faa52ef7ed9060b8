"""Stock of many SKUs in pages, all of them as of one sequence number of the ledger."""

import datetime as dt
from collections.abc import Sequence
from typing import Final

import msgspec

from stockwright.domain.accounts import Balance
from stockwright.store.arrays import texts
from stockwright.store.connection import Connection
from stockwright.store.queries import load

_SQL = load("stocklist")

Key = tuple[str, str, str]
"""(sku, location, lot): where the page before ended."""
START: Final[Key] = ("", "", "")


class StockRow(msgspec.Struct, frozen=True, kw_only=True):
    """Both books of one SKU at one place, in base units; lot is '' where lots are taken together.

    on_hand is the sum of the buckets; free is sellable less all that is promised.
    """

    sku: str
    location: str
    lot: str
    on_hand: int
    free: int
    sellable: int
    inspection: int
    quarantined: int
    damaged: int
    reserved: int
    allocated: int
    picked: int

    @property
    def key(self) -> Key:
        """Its place in the order of rows."""
        return self.sku, self.location, self.lot

    @property
    def is_empty(self) -> bool:
        """Whether nothing lies there and nothing is promised."""
        buckets = (self.sellable, self.inspection, self.quarantined, self.damaged)
        return not any((*buckets, self.reserved, self.allocated, self.picked))


class Which(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows; an empty filter lets all through."""

    skus: Sequence[str] = ()
    locations: Sequence[str] = ()
    sku_group: str | None = None
    by_lot: bool = False


def head(connection: Connection) -> int:
    """The number of the ledger's newest event."""
    return _number(connection, "head")


def sequence_at(connection: Connection, at: dt.datetime) -> int:
    """The number of the newest event recorded by a time; 0 where there is none."""
    return _number(connection, "sequence_at", at=at)


def page(
    connection: Connection, which: Which, *, sequence: int, after: Key = START, limit: int
) -> list[StockRow]:
    """The next `limit` rows after a key, as the books stood after event `sequence`.

    Safe to call in transactions of their own: pages with one sequence number speak of one moment.
    A place that was first used later has a row of zeroes.
    """
    arguments = {
        "skus": texts(which.skus) if which.skus else None,
        "locations": texts(which.locations) if which.locations else None,
        "sku_group": which.sku_group,
        "by_lot": which.by_lot,
        "sequence": sequence,
        "limit": limit,
        **dict(zip(("sku", "location", "lot"), after, strict=True)),
    }
    return [_row(*row) for row in connection.execute(_SQL["page"], arguments)]


def _row(sku: str, location: str, lot: str, *units: int) -> StockRow:
    balance = Balance(*units)
    return StockRow(
        sku=sku,
        location=location,
        lot=lot,
        on_hand=balance.on_hand,
        free=balance.free,
        sellable=balance.sellable,
        inspection=balance.inspection,
        quarantined=balance.quarantined,
        damaged=balance.damaged,
        reserved=balance.reserved,
        allocated=balance.allocated,
        picked=balance.picked,
    )


def _number(connection: Connection, name: str, **arguments: object) -> int:
    row = connection.execute(_SQL[name], arguments).fetchone()
    assert row is not None
    return int(row[0])
