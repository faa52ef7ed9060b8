"""Reads what channels sell and by which rules: listings, pools, exposure policies."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from stockwright.domain.exposure import Policy
from stockwright.domain.items import taken_apart
from stockwright.store.arrays import texts
from stockwright.store.connection import Connection
from stockwright.store.queries import load

_SQL = load("exposure")
POLICY_COLUMNS: Final = (
    *("channel", "position", "sku", "sku_group", "safety", "hard_safety", "ring_fence", "buffer"),
    *("cap", "pack_size", "safety_per", "min_shelf_life_days", "ring_fence_mode"),
    *("buffer_percent", "buffer_risk", "buffer_most", "buffer_most_percent", "blind_s"),
    *("degraded_cap",),
)


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
    """One SKU of an active listing, and how many base units one piece takes.

    A kit is a part itself, and so are the SKUs it is made of: their `kit` names it, unless they
    are on the listing by themselves as well.
    """

    channel: str
    listing: str
    sku: str
    quantity: int
    sku_group: str
    is_kit: bool = False
    kit: str = ""


def listings_of_skus(connection: Connection, skus: Sequence[str]) -> list[Listed]:
    """Every listing with one of these SKUs, in kits as well, in order of key."""
    skus = with_kits(connection, skus)
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
    return _whole(connection, [Part(*row) for row in rows])


def _whole(connection: Connection, parts: list[Part]) -> list[Part]:
    kits = sorted({part.sku for part in parts if part.is_kit})
    return _taken_apart(connection, parts, kits) if kits else parts


def _taken_apart(connection: Connection, parts: Sequence[Part], kits: Sequence[str]) -> list[Part]:
    """The parts with what their kits are made of, summed by SKU where one comes by several ways."""
    bills: dict[str, dict[str, int]] = {}
    groups: dict[str, str] = {}
    for kit, sku, group, quantity in connection.execute(_SQL["made_of"], {"kits": texts(kits)}):
        bills.setdefault(kit, {})[sku] = quantity
        groups[sku] = group
    made_of = taken_apart(bills)
    found: dict[tuple[str, str, str], Part] = {}
    for part in parts:
        if part.is_kit:
            found[part.channel, part.listing, part.sku] = part
        below = made_of[part.sku] if part.is_kit else {part.sku: 1}
        for sku, each in below.items():
            key = (part.channel, part.listing, sku)
            before = found.get(key)
            by_kit = part.is_kit and (before is None or bool(before.kit))
            found[key] = Part(
                *key,
                part.quantity * each + (before.quantity if before else 0),
                groups.get(sku, part.sku_group),
                kit=part.sku if by_kit else "",
            )
    return [found[key] for key in sorted(found)]


def with_kits(connection: Connection, skus: Sequence[str]) -> list[str]:
    """These SKUs, and every kit that one of them is a part of, however deep."""
    kits = [kit for (kit,) in connection.execute(_SQL["kits_above"], {"skus": texts(skus)})]
    return [*skus, *(kit for kit in kits if kit not in set(skus))] if kits else list(skus)


class Way(msgspec.Struct, frozen=True):
    """The places a channel may sell from, by priority, then code; whether an order may be served
    from several of them; the class of its backorders; whether its partner takes gross numbers.
    """

    pool: tuple[str, ...]
    allow_split: bool = True
    demand_class: int | None = None
    takes_gross: bool = False


def channels(connection: Connection) -> dict[str, Way]:
    """How every channel sells, by code."""
    rows = connection.execute(_SQL["channels"])
    return {code: Way(tuple(pool), *rest) for code, pool, *rest in rows}


def policies(
    connection: Connection, skus: Sequence[str], groups: Sequence[str]
) -> dict[str, list[Policy]]:
    """By channel, the policy rows that may apply to these SKUs, in order of position."""
    found: dict[str, list[Policy]] = {}
    for row in connection.execute(_SQL["policies"], {"skus": texts(skus), "groups": texts(groups)}):
        found.setdefault(row[0], []).append(to_policy(row))
    return found


def all_policies(connection: Connection, channels: Sequence[str]) -> list[Policy]:
    """Every policy row of these channels, by channel and position."""
    rows = connection.execute(_SQL["all_policies"], {"channels": texts(channels)})
    return [to_policy(row) for row in rows]


def to_policy(row: tuple[Any, ...]) -> Policy:
    """A row of exposure_policy in the order of POLICY_COLUMNS."""
    return Policy(**dict(zip(POLICY_COLUMNS, row, strict=True)))


def groups_of_skus(connection: Connection, skus: Sequence[str]) -> dict[str, str]:
    """The group of each of these SKUs; a SKU the item master does not know is missing."""
    return dict(_pairs(connection, "groups_of_skus", skus=texts(skus)))


class Sold(msgspec.Struct, frozen=True):
    """The listings that some SKUs are part of, in kits as well, and what they consist of.

    by_sku holds each of the SKUs asked for, with (channel, listing) in order of key. parts are
    those of active listings alone.
    """

    by_sku: dict[str, list[tuple[str, str]]]
    parts: list[Part]


def listed(connection: Connection, skus: Sequence[str], channel: str | None = None) -> Sold:
    """The listings of all channels, or of one, that these SKUs are part of."""
    asked = {sku: [sku] for sku in skus}
    by_sku: dict[str, dict[tuple[str, str], None]] = {sku: {} for sku in skus}
    parts = []
    parameters = {"skus": texts(skus), "channel": channel}
    for row in connection.execute(_SQL["listed"], parameters, binary=True).fetchall():
        *part, active = row
        code, listing, sku, *_ = part
        if not code:
            asked.setdefault(sku, []).append(listing)
            continue
        for one in asked.get(sku, ()):
            by_sku[one][code, listing] = None
        if active:
            parts.append(Part(*part))
    return Sold({sku: list(keys) for sku, keys in by_sku.items()}, _whole(connection, parts))


def gross_channels(connection: Connection, channels: Sequence[str]) -> set[str]:
    """Those of these channels whose partners take gross numbers."""
    rows = connection.execute(_SQL["gross_channels"], {"channels": texts(channels)})
    return {code for (code,) in rows}


def sold_twice(
    connection: Connection, channels: Sequence[str], skus: Sequence[str]
) -> set[tuple[str, str]]:
    """The (channel, SKU) pairs, of those named, that several active listings consist of."""
    return set(_pairs(connection, "sold_twice", channels=texts(channels), skus=texts(skus)))


def published(
    connection: Connection, listings: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], int | None]:
    """What each of these listings' channels acknowledged last; one without a level is missing."""
    columns = {
        "channels": texts([key[0] for key in listings]),
        "listings": texts([key[1] for key in listings]),
    }
    rows = connection.execute(_SQL["published"], columns, binary=True).fetchall()
    return {(channel, listing): units for channel, listing, units in rows}


def _pairs(connection: Connection, name: str, **parameters: object) -> list[tuple[str, str]]:
    return [(first, second) for first, second in connection.execute(_SQL[name], parameters)]
