"""Brings listings, stock, claims and policies together and computes what each listing may sell."""

from collections.abc import Mapping, Sequence

import msgspec

from stockwright.domain.availability import (
    Component,
    Explanation,
    Fence,
    RiskBuffer,
    available_to_sell,
)
from stockwright.domain.exposure import Policy, match_policy
from stockwright.store import buffers, exposure, stock, windows
from stockwright.store.connection import Connection
from stockwright.store.exposure import Part

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
        every = [row for rows in policies.values() for row in rows]
        self.has_fences = any(row.ring_fence for row in every)
        self.has_risks = any(row.buffer_risk is not None for row in every)
        self.has_caps = any(row.degraded_cap is not None for row in every)

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
    return Rules(exposure.pools(connection), rows, groups)


def candidate_rules(
    connection: Connection,
    groups: Mapping[str, str],
    candidate: Mapping[str, Sequence[Policy]],
    pools: Mapping[str, tuple[str, ...]],
) -> Rules:
    """The rules for these SKUs as they would be with other policies on some channels."""
    rows = exposure.policies(connection, list(groups), sorted(set(groups.values())))
    return Rules(pools, {**rows, **candidate}, groups)


class Reading(msgspec.Struct, frozen=True):
    """All that decides about some SKUs: rules, the books at one sequence number, open claims.

    claims are units by (channel, sku), and only there where a ring-fence or a cap counts them.
    buffers are the risk-bounded ones; degraded says by channel which source of it is silent.
    """

    rules: Rules
    books: stock.Books
    claims: Mapping[tuple[str, str], int]
    buffers: Mapping[tuple[str, str], RiskBuffer] = {}
    degraded: Mapping[str, str] = {}

    def component(self, channel: str, sku: str, quantity: int = 1) -> Component:
        """What decides how much a channel may sell of one SKU, of which a piece takes quantity."""
        return Component(
            sku=sku,
            quantity=quantity,
            places=self.books.at(sku, self.rules.pools.get(channel, ())),
            policy=self.rules.policy(channel, sku),
            fences=[
                Fence(
                    channel=row.channel,
                    ring_fence=row.ring_fence,
                    claimed=self.claims.get((row.channel, sku), 0),
                    mode=row.ring_fence_mode,
                )
                for row in self.rules.fenced(channel, sku)
            ],
            risk=self.buffers.get((channel, sku)),
            degraded=self.degraded.get(channel, ""),
            claimed=self.claims.get((channel, sku), 0),
        )

    def explain(
        self, listings: Sequence[Listing], parts: Sequence[Part]
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
    return read_by(connection, read_rules(connection, groups), list(groups))


def read_by(connection: Connection, rules: Rules, skus: Sequence[str]) -> Reading:
    """Stock, claims and buffers as they are now of these SKUs, under some rules."""
    books = stock.stock_of_skus(connection, skus)
    counted = rules.has_fences or rules.has_caps
    claims = stock.channel_claims(connection, skus) if counted else {}
    degraded = windows.degraded_channels(connection, rules.pools) if rules.has_caps else {}
    return Reading(rules, books, claims, _buffers(connection, rules, skus), degraded)


def _buffers(
    connection: Connection, rules: Rules, skus: Sequence[str]
) -> dict[tuple[str, str], RiskBuffer]:
    if not rules.has_risks:
        return {}
    return {pair: one.explained for pair, one in buffers.buffers(connection, skus).items()}


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
