"""Reads the two books: balances, the ledger of a SKU, and who claims what."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from stockwright.domain.availability import Stock
from stockwright.domain.backorders import Backorder
from stockwright.domain.shelf_life import Lots
from stockwright.store.arrays import texts
from stockwright.store.connection import Connection
from stockwright.store.queries import load

_SQL = load("stock")
_UNITS: Final = (
    *("sellable", "inspection", "quarantined", "damaged", "reserved", "allocated", "picked"),
)
TOP: Final = 2**63 - 1
"""A sequence no ledger reaches."""


class Books(msgspec.Struct, frozen=True):
    """What the books say of some SKUs, all places, at one sequence number of the ledger.

    read_at is the database's clock, revision that of the rules in force then. owed are the
    backorders of each SKU. Where they were asked for: claims are open units by (channel, sku), a
    channel without any is missing; open are those on orders of the channel's own system that nobody
    asked to cancel; by_lot are the SKUs that are kept by lot, and lots what lies at each (sku,
    place) of these.
    """

    read_at: dt.datetime
    sequence: int
    revision: int
    places: dict[str, list[Stock]] = {}
    owed: dict[str, list[Backorder]] = {}
    claims: dict[tuple[str, str], int] = {}
    open: dict[tuple[str, str], int] = {}
    by_lot: set[str] = set()
    lots: dict[tuple[str, str], Lots] = {}

    def at(self, sku: str, locations: Sequence[str]) -> list[Stock]:
        """A SKU's stock at these places, in their order; a place never used has zeroes."""
        known = {stock.location: stock for stock in self.places.get(sku, ())}
        return [known.get(code) or Stock(location=code) for code in locations]

    def lots_at(self, sku: str, location: str) -> Lots:
        """A SKU's lots at a place; there from now on, empty, where nothing was told of them."""
        return self.lots.setdefault((sku, location), Lots())


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
    connection: Connection,
    skus: Sequence[str],
    *,
    with_claims: bool = False,
    with_open: bool = False,
    with_lots: bool = False,
) -> Books:
    """What the books say of these SKUs, read with the ledger's head in one statement."""
    asked = {
        "skus": texts(skus),
        "claims": with_claims,
        "open": with_open,
        "lots": with_lots,
    }
    rows = connection.execute(_SQL["stock_of_skus"], asked, binary=True).fetchall()
    read_at, sequence, revision, *_ = rows[0]  # there is a row even where the books are empty
    books = Books(read_at=read_at, sequence=sequence, revision=revision)
    for _, _, _, what, *told in rows:
        if what is not None:
            _TELL[what](books, *told)
    return books


def _tell_stock(
    books: Books, sku: str, location: str, channel: None, good_until: None, owed: None, *units: int
) -> None:
    books.places.setdefault(sku, []).append(
        Stock(location=location, **dict(zip(_UNITS, units, strict=True)))
    )


def _tell_owed(
    books: Books, sku: str, location: None, channel: str, good_until: None, owed: Any, *units: int
) -> None:
    books.owed.setdefault(sku, []).append(msgspec.convert(owed, Backorder))


def _tell_claimed(
    books: Books, sku: str, location: None, channel: str, good_until: None, owed: None, *units: int
) -> None:
    books.claims[channel, sku] = sum(units)


def _tell_open(
    books: Books, sku: str, location: None, channel: str, good_until: None, owed: None, *units: int
) -> None:
    books.open[channel, sku] = sum(units)


def _tell_by_lot(books: Books, sku: str, *_: Any) -> None:
    books.by_lot.add(sku)


def _tell_lot(
    books: Books,
    sku: str,
    location: str,
    channel: None,
    good_until: dt.date | None,
    owed: None,
    sellable: int,
    *units: int,
) -> None:
    books.lots_at(sku, location).lots.append((good_until, sellable - sum(units)))


def _tell_fresh(
    books: Books, sku: str, location: str, channel: None, until: dt.date, owed: None, *units: int
) -> None:
    books.lots_at(sku, location).asked[until] = sum(units)


_TELL: Final[Mapping[str, Callable[..., None]]] = {
    "stock": _tell_stock,
    "owed": _tell_owed,
    "claimed": _tell_claimed,
    "open": _tell_open,
    "by_lot": _tell_by_lot,
    "lot": _tell_lot,
    "fresh": _tell_fresh,
}


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
