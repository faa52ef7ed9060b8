"""The full state of each SKU and place: every bucket and every stage of a claim, at one cut.

A cut is a sequence number, with a time where stock is asked for as it lay there rather than as it
was known. What was recorded stays as it is, so any number of readers and calls that name the same
cut agree, and nobody has to hold a transaction open meanwhile.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from stockwright.store.arrays import texts
from stockwright.store.connection import Connection
from stockwright.store.queries import load

_SQL: Final = load("vectors")
Clock = Literal["recorded", "occurred"]
Place = tuple[str, str]
"""(sku, location); location '' is where goods are under way to a place nobody has named."""
FIRST: Final[Place] = ("", "")


class Cut(msgspec.Struct, frozen=True, array_like=True):
    """Where the books are cut: behind this sequence number, and behind `at` where it is set.

    With `at`, an entry counts where it is dated until then, whenever it was recorded up to the
    sequence number; without, only the sequence number counts.
    """

    sequence: int
    at: dt.datetime | None = None


class Vector(msgspec.Struct, frozen=True, kw_only=True):
    """One SKU at one place (and of one lot, where lots were asked for), in base units.

    on_hand = sellable + inspection + quarantined + damaged; free = sellable - reserved - allocated
    - picked, below zero for a shortage. in_transit is under way to this place and in nobody's
    on_hand. Claims that name no lot stand under the lot ''.
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
    in_transit: int
    reserved: int
    allocated: int
    picked: int


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which SKUs and places; an empty list lets all pass."""

    skus: Sequence[str] = ()
    locations: Sequence[str] = ()
    groups: Sequence[str] = ()


def cut_now(connection: Connection) -> tuple[Cut, dt.datetime]:
    """The cut behind all that is recorded, and the time of the look."""
    row = connection.execute(_SQL["head"]).fetchone()
    return (Cut(row[0]), row[1]) if row else (Cut(0), dt.datetime.now(dt.UTC))


def cut_at(connection: Connection, at: dt.datetime, clock: Clock) -> Cut:
    """The cut at a time: what was recorded by then, or what we know by now to have been there."""
    head, now = cut_now(connection)
    if clock == "occurred":
        return Cut(head.sequence, min(at, now))
    row = connection.execute(_SQL["cut_at"], {"at": at}).fetchone()
    return Cut(row[0] if row else 0)


def next_places(connection: Connection, which: Filter, after: Place, limit: int) -> list[Place]:
    """The next places after a key that hold, held or expect something, in order of key."""
    parameters = {
        "sku": after[0],
        "location": after[1],
        "skus": _list(which.skus),
        "locations": _list(which.locations),
        "groups": _list(which.groups),
        "limit": limit,
    }
    return [(sku, place) for sku, place in connection.execute(_SQL["next_places"], parameters)]


def vectors_at(
    connection: Connection, places: Sequence[Place], cut: Cut, *, lots: bool = False
) -> list[Vector]:
    """The state at these places at a cut, by SKU, place and lot; what holds nothing is left out."""
    if not places:
        return []
    parameters = {
        "skus": texts([sku for sku, _ in places]),
        "locations": texts([place for _, place in places]),
        "floor": cut.sequence if cut.at is None else -1,
        "cut": cut.sequence,
        "at": cut.at,
        "lots": lots,
    }
    return [_vector(row) for row in connection.execute(_SQL["vectors_at"], parameters)]


def sku_exists(connection: Connection, sku: str) -> bool:
    """True where the item master has the SKU."""
    return connection.execute(_SQL["sku_exists"], {"sku": sku}).fetchone() is not None


def _vector(row: tuple[str, str, str, *tuple[int, ...]]) -> Vector:
    sku, location, lot, *units = row
    sellable, inspection, quarantined, damaged, in_transit, reserved, allocated, picked = units
    return Vector(
        sku=sku,
        location=location,
        lot=lot,
        on_hand=sellable + inspection + quarantined + damaged,
        free=sellable - reserved - allocated - picked,
        sellable=sellable,
        inspection=inspection,
        quarantined=quarantined,
        damaged=damaged,
        in_transit=in_transit,
        reserved=reserved,
        allocated=allocated,
        picked=picked,
    )


def _list(values: Sequence[str]) -> str | None:
    return texts(values) if values else None
