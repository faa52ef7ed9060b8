"""Reads what channels sell and by which rules: listings, pools, exposure policies."""

from collections.abc import Sequence

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
    """One SKU of an active listing, and how many base units one piece takes; never a kit."""

    channel: str
    listing: str
    sku: str
    quantity: int
    sku_group: str


def listings_of_skus(connection: Connection, skus: Sequence[str]) -> list[Listed]:
    """Every listing with one of these SKUs, or with a kit of it, in order of key."""
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


class Seller(msgspec.Struct, frozen=True):
    """How a channel sells: split over places or not, and the class of its backorders."""

    allow_split: bool = True
    demand_class: int = 100


def sellers(connection: Connection) -> dict[str, Seller]:
    """Every channel's way to sell."""
    return {code: Seller(*told) for code, *told in connection.execute(_SQL["sellers"])}


def parts_of_skus(connection: Connection, skus: Sequence[str]) -> dict[str, list[Part]]:
    """What each of these SKUs is made of, kits taken apart; an unknown SKU is missing."""
    found: dict[str, list[Part]] = {}
    rows = connection.execute(_SQL["parts_of_skus"], {"skus": texts(skus)})
    for asked, sku, quantity, group in rows:
        found.setdefault(asked, []).append(Part("", asked, sku, quantity, group))
    return found


def policies(
    connection: Connection, skus: Sequence[str], groups: Sequence[str]
) -> dict[str, list[Policy]]:
    """By channel, the policy rows that may apply to these SKUs, in order of position."""
    found: dict[str, list[Policy]] = {}
    for row in connection.execute(_SQL["policies"], {"skus": texts(skus), "groups": texts(groups)}):
        channel, position, sku, group, safety, hard, fence, buffer, cap, pack_size = row[:10]
        safety_per, min_shelf_life_days, presell_days = row[10:]
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
                safety_per=safety_per,
                min_shelf_life_days=min_shelf_life_days,
                presell_days=presell_days,
            )
        )
    return found


def groups_of_skus(connection: Connection, skus: Sequence[str]) -> dict[str, str]:
    """The group of each of these SKUs; a SKU the item master does not know is missing."""
    return dict(_pairs(connection, "groups_of_skus", skus=texts(skus)))


def listings_by_sku(
    connection: Connection, skus: Sequence[str]
) -> dict[str, list[tuple[str, str]]]:
    """For each of these SKUs the (channel, listing) it is part of, or a kit of it, by key."""
    found: dict[str, list[tuple[str, str]]] = {sku: [] for sku in skus}
    for sku, channel, listing in connection.execute(_SQL["listings_by_sku"], {"skus": texts(skus)}):
        found[sku].append((channel, listing))
    return found


def _pairs(connection: Connection, name: str, **parameters: object) -> list[tuple[str, str]]:
    return [(first, second) for first, second in connection.execute(_SQL[name], parameters)]
