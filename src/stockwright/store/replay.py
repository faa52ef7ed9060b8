"""The recorded past, for replaying it under another policy."""

import datetime as dt
from collections.abc import Sequence
from typing import Final

import msgspec

from stockwright.domain.replay import Change, Order, Shown
from stockwright.store.arrays import texts
from stockwright.store.connection import Connection
from stockwright.store.queries import load

_SQL: Final = load("replay")

Pair = tuple[str, str]
"""(channel, sku)"""


class Sold(msgspec.Struct, frozen=True):
    """A listing of one SKU through which its channel took orders; quantity is of one piece."""

    channel: str
    listing: str
    sku: str
    sku_group: str
    quantity: int


def first_sequence(connection: Connection, since: dt.datetime) -> int:
    """The last sequence number recorded before a time."""
    row = connection.execute(_SQL["first_sequence"], {"since": since}).fetchone()
    return int(row[0]) if row else 0


def sold(
    connection: Connection, channels: Sequence[str], since: int, after: Pair, limit: int
) -> list[Sold]:
    """Listings with orders since a sequence number, in order of (channel, sku) after a key."""
    rows = connection.execute(
        _SQL["sold"],
        {
            "channels": texts(channels),
            "since": since,
            "channel": after[0],
            "sku": after[1],
            "limit": limit,
        },
    )
    return [Sold(*row) for row in rows]


def free_changes(
    connection: Connection, skus: Sequence[str], since: int, upto: int
) -> dict[str, list[Change]]:
    """By SKU, what changed its free stock between two sequence numbers, in order."""
    found: dict[str, list[Change]] = {sku: [] for sku in skus}
    parameters = {"skus": texts(skus), "since": since, "upto": upto}
    for sku, *change in connection.execute(_SQL["free_changes"], parameters):
        found[sku].append(Change(*change))
    return found


def orders(
    connection: Connection, skus: Sequence[str], channels: Sequence[str], since: int, upto: int
) -> dict[Pair, list[Order]]:
    """By (channel, sku), the orders taken without asking, in order."""
    found: dict[Pair, list[Order]] = {}
    parameters = {
        "skus": texts(skus),
        "channels": texts(channels),
        "since": since,
        "upto": upto,
    }
    for channel, sku, *order in connection.execute(_SQL["orders"], parameters):
        found.setdefault((channel, sku), []).append(Order(*order))
    return found


def shown(
    connection: Connection, listings: Sequence[tuple[str, str]], since: dt.datetime
) -> dict[tuple[str, str], list[Shown]]:
    """By (channel, listing), the numbers acknowledged, the one before the time included."""
    found: dict[tuple[str, str], list[Shown]] = {}
    parameters = {
        "channels": texts([channel for channel, _ in listings]),
        "listings": texts([listing for _, listing in listings]),
        "since": since,
    }
    for channel, listing, *one in connection.execute(_SQL["shown"], parameters):
        found.setdefault((channel, listing), []).append(Shown(*one))
    return found
