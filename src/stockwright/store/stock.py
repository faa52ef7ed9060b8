"""Reads the two books: balances, the ledger of a SKU, and who claims what."""

import datetime as dt
from collections.abc import Sequence
from typing import Final

import msgspec

from stockwright.domain.availability import Stock
from stockwright.domain.shelf_life import room_for
from stockwright.store.arrays import texts
from stockwright.store.connection import Connection
from stockwright.store.queries import load

_SQL = load("stock")
TOP: Final = 2**63 - 1
"""A sequence no ledger reaches."""


class Books(msgspec.Struct, frozen=True):
    """What the books say of some SKUs, all places, at one sequence number of the ledger.

    read_at is the database's clock, revision that of the rules in force then. claims are open
    units by (channel, sku), where they were asked for; a channel without any is missing.
    """

    read_at: dt.datetime
    sequence: int
    revision: int
    places: dict[str, list[Stock]]
    claims: dict[tuple[str, str], int]

    def at(self, sku: str, locations: Sequence[str]) -> list[Stock]:
        """A SKU's stock at these places, in their order; a place never used has zeroes."""
        known = {stock.location: stock for stock in self.places.get(sku, ())}
        return [known.get(code) or Stock(location=code) for code in locations]


class LedgerRow(msgspec.Struct, frozen=True):
    """One entry of the ledger for one SKU: quantity left one account and entered another."""

    sequence: int
    n: int
    kind: str
    system: str
    occurred_at: dt.datetime
    recorded_at: dt.datetime
    lot: str
    from_account: str
    from_location: str
    to_account: str
    to_location: str
    quantity: int


class LedgerSum(msgspec.Struct, frozen=True):
    """What the events of one kind moved into an account at a place, less what they moved out."""

    location: str
    account: str
    kind: str
    units: int
    entries: int
    first_sequence: int
    last_sequence: int


class OpenClaim(msgspec.Struct, frozen=True):
    """Units promised to one demand line at one place and lot, and not yet gone."""

    system: str
    order: str
    line: str
    channel: str
    state: str
    expires_at: dt.datetime | None
    location: str
    lot: str
    reserved: int
    allocated: int
    picked: int


def stock_of_skus(
    connection: Connection, skus: Sequence[str], *, with_claims: bool = False
) -> Books:
    """What the books say of these SKUs, read with the ledger's head in one statement."""
    places: dict[str, list[Stock]] = {}
    claims: dict[tuple[str, str], int] = {}
    asked = {"skus": texts(skus), "claims": with_claims}
    rows = connection.execute(_SQL["stock_of_skus"], asked).fetchall()
    for _, _, _, sku, location, channel, *units in rows:
        if channel is not None:
            claims[channel, sku] = sum(units)
        elif sku is not None:
            sellable, inspection, quarantined, damaged, reserved, allocated, picked = units
            places.setdefault(sku, []).append(
                Stock(
                    location=location,
                    sellable=sellable,
                    inspection=inspection,
                    quarantined=quarantined,
                    damaged=damaged,
                    reserved=reserved,
                    allocated=allocated,
                    picked=picked,
                )
            )
    read_at, sequence, revision, *_ = rows[0]  # there is a row even where the books are empty
    return Books(read_at, sequence, revision, places, claims)


class LotBook(msgspec.Struct):
    """The lots of one SKU at one place: units that nobody was promised, and until when good.

    free holds the units without a lot as well; asked are claims that name no lot, by the day until
    which they ask for goods.
    """

    free: int = 0
    lots: list[tuple[dt.date, int]] = []
    asked: dict[dt.date, int] = {}

    def stale(self, until: dt.date) -> int:
        """Free units that are no use to whoever asks for goods until a day."""
        return self.free - room_for(self.free, self.lots, self.asked, until)


def lots_of_skus(connection: Connection, skus: Sequence[str]) -> dict[tuple[str, str], LotBook]:
    """The lots of these SKUs by (sku, location); a SKU that is not kept by lot is missing."""
    found: dict[tuple[str, str], LotBook] = {}
    rows = connection.execute(_SQL["lots_of_skus"], {"skus": texts(skus)})
    for sku, location, lot, free, good_until in rows:
        book = found.setdefault((sku, location), LotBook())
        book.free += free
        if lot:
            book.lots.append((good_until or dt.date.max, free))
    for sku, location, day, units in connection.execute(_SQL["asked_fresh"], {"skus": texts(skus)}):
        if (sku, location) in found:
            found[sku, location].asked[day] = units
    return found


def open_claims(connection: Connection, sku: str, limit: int = 1_000) -> list[OpenClaim]:
    """Who is promised units of a SKU, by place, oldest demand line first."""
    rows = connection.execute(_SQL["open_claims"], {"sku": sku, "limit": limit})
    return [OpenClaim(*row) for row in rows]


def ledger_before(
    connection: Connection, sku: str, before: int | None = None, limit: int = 100
) -> list[LedgerRow]:
    """A SKU's entries before a sequence number (all where None), newest first."""
    top = TOP if before is None else before
    rows = connection.execute(_SQL["ledger_before"], {"sku": sku, "before": top, "limit": limit})
    return [LedgerRow(*row) for row in rows]


def ledger_sums(connection: Connection, sku: str, upto: int = TOP) -> list[LedgerSum]:
    """A SKU's entries up to a sequence number as sums by place, account and kind: what its
    balances stood on then, or all of them.
    """
    asked = {"sku": sku, "upto": upto}
    return [LedgerSum(*row) for row in connection.execute(_SQL["ledger_sums"], asked)]
