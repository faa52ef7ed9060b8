"""Reads what channels sell and by which rules: listings, pools, exposure policies."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from stockwright.domain.exposure import Policy
from stockwright.store.arrays import texts
from stockwright.store.connection import Connection
from stockwright.store.queries import load

_SQL = load("exposure")


class Listed(msgspec.Struct, frozen=True):
    """A listing to compute: whether it has a level, and whether a connector tells its channel."""

    channel: str
    listing: str
    has_level: bool
    is_told: bool

    @property
    def key(self) -> tuple[str, str]:
        """(channel, listing)."""
        return (self.channel, self.listing)


class Part(msgspec.Struct, frozen=True):
    """One SKU of an active listing, and how many base units one piece takes."""

    channel: str
    listing: str
    sku: str
    quantity: int
    sku_group: str


def listings_of_skus(connection: Connection, skus: Sequence[str]) -> list[Listed]:
    """Every listing with one of these SKUs, in order of key."""
    rows = connection.execute(_SQL["listings_of_skus"], {"skus": texts(skus)})
    return [Listed(*row) for row in rows]


def listings_after(connection: Connection, after: tuple[str, str], limit: int) -> list[Listed]:
    """The next listings in order of key, those included that are gone but have a level."""
    parameters = {"channel": after[0], "listing": after[1], "limit": limit}
    return [Listed(*row) for row in connection.execute(_SQL["listings_after"], parameters)]


def components(connection: Connection, listings: Sequence[tuple[str, str]]) -> list[Part]:
    """The parts of these listings, in order of key; none for an inactive one."""
    rows = connection.execute(
        _SQL["components"],
        {
            "channels": texts([key[0] for key in listings]),
            "listings": texts([key[1] for key in listings]),
        },
    )
    return [Part(*row) for row in rows]


def pools(connection: Connection) -> dict[str, tuple[str, ...]]:
    """For every channel the places it may sell from, by priority, then code."""
    return {code: tuple(places) for code, places in connection.execute(_SQL["pools"])}


def policies(
    connection: Connection, skus: Sequence[str], groups: Sequence[str]
) -> dict[str, list[Policy]]:
    """By channel, the policy rows that may apply to these SKUs, in order of position."""
    found: dict[str, list[Policy]] = {}
    for row in connection.execute(_SQL["policies"], {"skus": texts(skus), "groups": texts(groups)}):
        channel, position, sku, group, safety, hard, fence, buffer, cap, pack_size = row
        found.setdefault(channel, []).append(
            Policy(
                channel=channel,
                position=position,
                sku=sku,
                sku_group=group,
                safety=safety,
                hard_safety=hard,
                ring_fence=fence,
                buffer=buffer,
                cap=cap,
                pack_size=pack_size,
            )
        )
    return found


def groups_of_skus(connection: Connection, skus: Sequence[str]) -> dict[str, str]:
    """The group of each of these SKUs; a SKU the item master does not know is missing."""
    return dict(_pairs(connection, "groups_of_skus", skus=texts(skus)))


class SoldPart(NamedTuple):
    """One SKU of an active listing, and how many base units one piece takes."""

    channel: str
    listing: str
    sku: str
    quantity: int


class Sold(msgspec.Struct, frozen=True):
    """The listings that some SKUs are part of, in order of key, and what they consist of.

    by_sku holds each of the SKUs asked for. parts are those of active listings alone. published is
    what a channel acknowledged last, None where it never did.
    """

    by_sku: dict[str, list[tuple[str, str]]]
    parts: list[SoldPart]
    published: dict[tuple[str, str], int | None]


def listed(connection: Connection, skus: Sequence[str], channel: str | None = None) -> Sold:
    """The listings of all channels, or of one, that these SKUs are part of."""
    found = Sold({sku: [] for sku in skus}, [], {})
    parameters = {"skus": texts(skus), "channel": channel}
    rows = connection.execute(_SQL["listed"], parameters, binary=True).fetchall()
    for code, listing, active, acknowledged, sku, quantity in rows:
        key = (code, listing)
        found.published[key] = acknowledged
        if sku in found.by_sku:
            found.by_sku[sku].append(key)
        if active:
            found.parts.append(SoldPart(code, listing, sku, quantity))
    return found


def _pairs(connection: Connection, name: str, **parameters: object) -> list[tuple[str, str]]:
    return [(first, second) for first, second in connection.execute(_SQL[name], parameters)]
