"""Brings listings, stock, claims and policies together and computes what each listing may sell."""

from collections.abc import Mapping, Sequence, Set

import msgspec
from msgspec.structs import replace

from stockwright.domain.availability import (
    Component,
    Explanation,
    Fence,
    Kit,
    RiskBuffer,
    Stock,
    available_to_sell,
    free,
    gross_of,
)
from stockwright.domain.backorders import Owed, owed_first
from stockwright.domain.exposure import Policy, match_policy
from stockwright.domain.shelf_life import good_until, room
from stockwright.store import buffers, exposure, stock, windows
from stockwright.store.connection import Connection
from stockwright.store.exposure import Part, Way
from stockwright.store.history import revision_in_force

Listing = tuple[str, str]
"""(channel, code of the listing)."""


class Rules:
    """How all channels sell, and the policy rows that may apply to the SKUs asked for."""

    def __init__(
        self,
        channels: Mapping[str, Way],
        policies: Mapping[str, Sequence[Policy]],
        groups: Mapping[str, str],
    ) -> None:
        self.pools = {code: way.pool for code, way in channels.items()}
        self._ways = channels
        self._groups = groups
        self._channels = tuple(policies)
        # A row for one SKU or group is found by it: a thousand such rows cost no more than one.
        self._rows: dict[tuple[str, str | None, str | None], list[Policy]] = {}
        for channel, rows in policies.items():
            for row in rows:
                self._rows.setdefault((channel, row.sku, row.sku_group), []).append(row)
        self._matched: dict[tuple[str, str], Policy] = {}
        every = [row for rows in policies.values() for row in rows]
        self.has_fences = any(row.ring_fence for row in every)
        self.has_risks = any(row.buffer_risk is not None for row in every)
        self.has_caps = any(row.degraded_cap is not None for row in every)
        self.has_shelf_life = any(row.min_shelf_life_days for row in every)
        self.gross = [code for code, way in channels.items() if way.takes_gross]

    def splits(self, channel: str) -> bool:
        """Whether a channel's order may be served from several places."""
        return self._ways[channel].allow_split if channel in self._ways else True

    def demand_class(self, channel: str) -> int | None:
        """The class of a channel's backorders; None, after all classes, where there is none."""
        return self._ways[channel].demand_class if channel in self._ways else None

    def takes_gross(self, channel: str) -> bool:
        """Whether a channel's partner subtracts its own open orders from the number it is given."""
        return channel in self._ways and self._ways[channel].takes_gross

    def knows(self, sku: str) -> bool:
        """True where the item master has the SKU."""
        return sku in self._groups

    def policy(self, channel: str, sku: str) -> Policy:
        """The row of a channel's policy that applies to a SKU."""
        found = self._matched.get((channel, sku))
        if found is None:
            group = self._groups.get(sku, "")
            rows = [
                row
                for own in (sku, None)
                for its_group in (group, None)
                for row in self._rows.get((channel, own, its_group), ())
            ]
            found = match_policy(rows, sku, group)
            self._matched[channel, sku] = found
        return found

    def fenced(self, channel: str, sku: str) -> list[Policy]:
        """Other channels' policy rows that fence a SKU off; only where pools meet."""
        if not self.has_fences:
            return []
        pool = set(self.pools.get(channel, ()))
        return [
            row
            for other in self._channels
            if other != channel
            and (row := self.policy(other, sku)).ring_fence
            and pool.intersection(self.pools.get(other, ()))
        ]


def read_rules(connection: Connection, groups: Mapping[str, str]) -> Rules:
    """The rules as they are now for these SKUs, given with the group of each."""
    rows = exposure.policies(connection, list(groups), sorted(set(groups.values())))
    return Rules(exposure.channels(connection), rows, groups)


def candidate_rules(
    connection: Connection,
    groups: Mapping[str, str],
    candidate: Mapping[str, Sequence[Policy]],
    channels: Mapping[str, Way],
) -> Rules:
    """The rules for these SKUs as they would be with other policies on some channels."""
    rows = exposure.policies(connection, list(groups), sorted(set(groups.values())))
    return Rules(channels, {**rows, **candidate}, groups)


class Reading(msgspec.Struct, frozen=True):
    """All that decides about some SKUs: rules, and the books at one sequence number.

    buffers are the risk-bounded ones; degraded says by channel which source of it is silent;
    sold_twice are the (channel, SKU) of several listings, where channels take gross numbers. made
    holds the components that were asked for.
    """

    rules: Rules
    books: stock.Books
    buffers: Mapping[tuple[str, str], RiskBuffer] = {}
    degraded: Mapping[str, str] = {}
    sold_twice: Set[tuple[str, str]] = frozenset()
    made: dict[tuple[str, str, int], Component] = {}

    def component(self, channel: str, sku: str, quantity: int = 1) -> Component:
        """What decides how much a channel may sell of one SKU, of which a piece takes quantity."""
        key = (channel, sku, quantity)
        found = self.made.get(key)
        if found is None:
            found = self.made[key] = self._component(channel, sku, quantity)
        return found

    def _component(self, channel: str, sku: str, quantity: int) -> Component:
        policy = self.rules.policy(channel, sku)
        return Component(
            sku=sku,
            quantity=quantity,
            places=self.stock_at(sku, self.rules.pools.get(channel, ()), policy),
            policy=policy,
            fences=[
                Fence(
                    channel=row.channel,
                    ring_fence=row.ring_fence,
                    claimed=self.books.claims.get((row.channel, sku), 0),
                    mode=row.ring_fence_mode,
                )
                for row in self.rules.fenced(channel, sku)
            ],
            owed=self.owed(channel, sku),
            risk=self.buffers.get((channel, sku)),
            degraded=self.degraded.get(channel, ""),
            claimed=self.books.claims.get((channel, sku), 0),
        )

    def owed(self, channel: str, sku: str) -> Owed | None:
        """What is owed of a SKU before a channel's requests."""
        if sku not in self.books.owed:
            return None
        pools = self.rules.pools
        demand_class = self.rules.demand_class(channel)
        return owed_first(self.books.owed[sku], demand_class, pools.get(channel, ()), pools)

    def stock_at(self, sku: str, places: Sequence[str], policy: Policy) -> list[Stock]:
        """A SKU's stock at these places, with what has the shelf life that the policy asks for."""
        found = self.books.at(sku, places)
        days = policy.min_shelf_life_days
        if not days or sku not in self.books.by_lot:
            return found
        until = good_until(self.books.read_at.date(), days)
        return [
            replace(one, fresh=room(free(one), self.books.lots_at(sku, one.location), until))
            for one in found
        ]

    def explain(
        self, listings: Sequence[Listing], parts: Sequence[Part]
    ) -> dict[Listing, Explanation]:
        """What each listing may sell, given its parts; one without parts sells nothing."""
        found: dict[Listing, list[Part]] = {listing: [] for listing in listings}
        for part in parts:
            found[part.channel, part.listing].append(part)
        return {
            listing: self._explain(listing[0], some) if some else available_to_sell(())
            for listing, some in found.items()
        }

    def _explain(self, channel: str, parts: Sequence[Part]) -> Explanation:
        ready = [part for part in parts if part.is_kit]
        alone = len(ready) == 1 and all(part.is_kit or part.kit for part in parts)
        kits = [
            Kit(component=self.component(channel, part.sku, part.quantity), alone=alone)
            for part in ready
        ]
        components = [self._part(channel, part) for part in parts if not part.is_kit]
        split = self.rules.splits(channel)
        explained = available_to_sell(components, allow_split=split, kits=kits)
        if not self.rules.takes_gross(channel):
            return explained
        return gross_of(explained, self._open_units(channel, parts))

    def _open_units(self, channel: str, parts: Sequence[Part]) -> list[tuple[int, int]]:
        """Units on the channel's own open orders, and the quantity of a piece, of what a listing
        names itself.

        Orders of a SKU that several listings sell may be for another one, from which the partner
        subtracts them: none of them are counted, so that too little is shown and not too much.
        """
        return [
            (
                0
                if (channel, part.sku) in self.sold_twice
                else self.books.open.get((channel, part.sku), 0),
                part.quantity,
            )
            for part in parts
            if part.is_kit or not part.kit
        ]

    def _part(self, channel: str, part: Part) -> Component:
        component = self.component(channel, part.sku, part.quantity)
        if not part.kit:
            return component
        return replace(component, pieces=self.rules.policy(channel, part.kit))


def read(connection: Connection, groups: Mapping[str, str]) -> Reading:
    """Rules, stock and claims as they are now of these SKUs, given with the group of each."""
    return read_by(connection, read_rules(connection, groups), list(groups))


def read_by(
    connection: Connection, rules: Rules, skus: Sequence[str], also: Rules | None = None
) -> Reading:
    """Stock, claims and buffers as they are now of these SKUs, under some rules; the books with
    what other rules need as well. The books are read last: they name the revision all is of.
    """
    asked = (rules,) if also is None else (rules, also)
    silent: Mapping[str, str] = {}
    bounded: Mapping[tuple[str, str], RiskBuffer] = {}
    if any(one.has_caps for one in asked):
        silent = windows.degraded_channels(connection, rules.pools)
    if any(one.has_risks for one in asked):
        stored = buffers.buffers(connection, skus)
        bounded = {pair: one.explained for pair, one in stored.items()}
    gross = sorted({code for one in asked for code in one.gross})
    twice = exposure.sold_twice(connection, gross, skus) if gross else frozenset()
    # Claims are needed only where a fence or a cap counts them, lots where shelf life is asked for.
    books = stock.stock_of_skus(
        connection,
        skus,
        with_claims=any(one.has_fences or one.has_caps for one in asked),
        with_open=bool(gross),
        with_lots=any(one.has_shelf_life for one in asked),
    )
    return Reading(rules, books, bounded, silent, twice)


def read_listings(
    connection: Connection, listings: Sequence[Listing]
) -> tuple[Reading, dict[Listing, Explanation]]:
    """What each listing may sell now, and the reading that is told by.

    A listing that is inactive, or gone, sells nothing. All of it is of one revision of the rules,
    the one that the reading's books name. Reads only; whoever writes the numbers must have locked
    the levels in an earlier statement.
    """
    for hold in (False, True):  # where rules change while we read, they are kept from it
        revision = revision_in_force(connection, hold=hold)
        parts = exposure.components(connection, listings)
        reading = read(connection, {part.sku: part.sku_group for part in parts})
        if reading.books.revision == revision:
            break
    return reading, reading.explain(listings, parts)
