"""Brings listings, stock, claims and policies together and computes what each listing may sell."""

from collections.abc import Mapping, Sequence

import msgspec

from stockwright.domain.availability import Component, Explanation, Fence, available_to_sell
from stockwright.domain.exposure import Policy, match_policy
from stockwright.store import exposure, stock
from stockwright.store.connection import Connection
from stockwright.store.exposure import Part, SoldPart

Listing = tuple[str, str]
"""(channel, code of the listing)."""


class Rules:
    """Pools of all channels, and the policy rows that may apply to the SKUs asked for."""

    def __init__(
        self,
        pools: Mapping[str, tuple[str, ...]],
        policies: Mapping[str, Sequence[Policy]],
        groups: Mapping[str, str],
    ) -> None:
        self.pools = pools
        self._groups = groups
        self._channels = tuple(policies)
        # A row for one SKU is found by that SKU: a thousand such rows cost no more than one.
        self._rows: dict[tuple[str, str | None], list[Policy]] = {}
        for channel, rows in policies.items():
            for row in rows:
                self._rows.setdefault((channel, row.sku), []).append(row)
        self._matched: dict[tuple[str, str], Policy] = {}
        self.has_fences = any(row.ring_fence for rows in policies.values() for row in rows)

    def knows(self, sku: str) -> bool:
        """True where the item master has the SKU."""
        return sku in self._groups

    def policy(self, channel: str, sku: str) -> Policy:
        """The row of a channel's policy that applies to a SKU."""
        found = self._matched.get((channel, sku))
        if found is None:
            rows = self._rows.get((channel, sku), []) + self._rows.get((channel, None), [])
            found = match_policy(rows, sku, self._groups.get(sku, ""))
            self._matched[channel, sku] = found
        return found

    def fenced(self, channel: str, sku: str) -> list[tuple[str, int]]:
        """Other channels' ring-fences on a SKU, as (channel, units); only where pools meet."""
        if not self.has_fences:
            return []
        pool = set(self.pools.get(channel, ()))
        return [
            (other, units)
            for other in self._channels
            if other != channel
            and (units := self.policy(other, sku).ring_fence)
            and pool.intersection(self.pools.get(other, ()))
        ]


def read_rules(connection: Connection, groups: Mapping[str, str]) -> Rules:
    """The rules as they are now for these SKUs, given with the group of each."""
    rows = exposure.policies(connection, list(groups), sorted(set(groups.values())))
    return Rules(exposure.pools(connection), rows, groups)


class Reading(msgspec.Struct, frozen=True):
    """All that decides about some SKUs: rules, the books at one sequence number, open claims.

    claims are units by (channel, sku), and only there where a ring-fence counts them. made holds
    the components that were asked for.
    """

    rules: Rules
    books: stock.Books
    claims: Mapping[tuple[str, str], int]
    made: dict[tuple[str, str, int], Component] = {}

    def component(self, channel: str, sku: str, quantity: int = 1) -> Component:
        """What decides how much a channel may sell of one SKU, of which a piece takes quantity."""
        key = (channel, sku, quantity)
        found = self.made.get(key)
        if found is None:
            found = self.made[key] = self._component(channel, sku, quantity)
        return found

    def _component(self, channel: str, sku: str, quantity: int) -> Component:
        return Component(
            sku=sku,
            quantity=quantity,
            places=self.books.at(sku, self.rules.pools.get(channel, ())),
            policy=self.rules.policy(channel, sku),
            fences=[
                Fence(channel=other, ring_fence=units, claimed=self.claims.get((other, sku), 0))
                for other, units in self.rules.fenced(channel, sku)
            ],
        )

    def explain(
        self, listings: Sequence[Listing], parts: Sequence[Part | SoldPart]
    ) -> dict[Listing, Explanation]:
        """What each listing may sell, given its parts; one without parts sells nothing."""
        components: dict[Listing, list[Component]] = {listing: [] for listing in listings}
        for part in parts:
            components[part.channel, part.listing].append(
                self.component(part.channel, part.sku, part.quantity)
            )
        return {listing: available_to_sell(some) for listing, some in components.items()}


def read(connection: Connection, groups: Mapping[str, str]) -> Reading:
    """Rules, stock and claims as they are now of these SKUs, given with the group of each."""
    rules = read_rules(connection, groups)
    skus = list(groups)
    books = stock.stock_of_skus(connection, skus)
    claims = stock.channel_claims(connection, skus) if rules.has_fences else {}
    return Reading(rules, books, claims)


def read_listings(
    connection: Connection, listings: Sequence[Listing]
) -> tuple[Reading, dict[Listing, Explanation]]:
    """What each listing may sell now, and the reading that is told by.

    A listing that is inactive, or gone, sells nothing. Reads only; whoever writes the numbers must
    have locked the levels in an earlier statement.
    """
    parts = exposure.components(connection, listings)
    reading = read(connection, {part.sku: part.sku_group for part in parts})
    return reading, reading.explain(listings, parts)
