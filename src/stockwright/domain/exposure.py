"""What a channel may be shown and may be granted: the rules of its exposure policy.

Every quantity of a policy is in base units of one SKU, except `cap` and `pack_size`, which are in
the units the channel sells (pieces of its listing). Order and meaning of the rules: `RULES`.
"""

from collections.abc import Sequence
from typing import Final, Literal

import msgspec


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a channel's exposure policy; sku and sku_group None match every SKU.

    safety is withheld from publication, hard_safety from publication and from requests. ring_fence
    is held for this channel against all others. The buffers and cap shape publication only; of
    several buffers the largest holds. degraded_cap is the most units the channel may have open
    while a source of its stock is silent. safety_per says whether safety is kept at every place or
    once for the whole pool. Of lots only those count that have min_shelf_life_days left.
    """

    channel: str = ""
    position: int = 0
    sku: str | None = None
    sku_group: str | None = None
    safety: int = 0
    hard_safety: int = 0
    ring_fence: int = 0
    ring_fence_mode: Literal["consumed", "standing"] = "consumed"
    buffer: int = 0
    buffer_percent: float = 0.0
    buffer_risk: float | None = None
    buffer_most: int | None = None
    buffer_most_percent: float = 100.0
    blind_s: float = 0.0
    degraded_cap: int | None = None
    cap: int | None = None
    pack_size: int = 1
    safety_per: Literal["network", "place"] = "network"
    min_shelf_life_days: int = 0

    def matches(self, sku: str, sku_group: str) -> bool:
        """True where this row speaks of the SKU."""
        return self.sku in (None, sku) and self.sku_group in (None, sku_group)


NEUTRAL: Final = Policy()
"""Applies where no row matches: nothing withheld, nothing capped."""

RULES: Final = (
    (
        "free",
        "what is free at each place of the pool; a shortage at one place counts against the rest",
    ),
    ("shelf_life", "units of lots that have too few days left, and are not promised already"),
    ("supply", "expected supply, dated until the day asked for; never part of what is shown"),
    ("safety", "safety stock withheld, at most what is free"),
    ("backorder", "units owed to order lines that come first"),
    ("ring_fence", "units held for other channels that they have not claimed yet"),
    ("degraded_cap", "what may be open while a source of the stock is silent, less what is"),
    ("buffer", "units held back for sales that we learn of too late"),
    ("component", "base units to listing units: whole sets of the component's quantity"),
    ("places", "sets whose parts do not lie together at one place, where an order is not split"),
    ("assembled", "kits that are ready-made, or below zero: promised and still to be made"),
    ("cap", "the most this channel may see"),
    ("pack_size", "whole packs only"),
    ("floor", "never below zero"),
    ("gross", "pieces on this channel's own open orders, where its partner subtracts them itself"),
)
"""The rules in the order in which they apply, by the name of their step."""


def match_policy(policies: Sequence[Policy], sku: str, sku_group: str) -> Policy:
    """The policy row of one channel that applies to a SKU: the lowest position that matches."""
    found: Policy | None = None
    for policy in policies:
        if policy.matches(sku, sku_group) and (found is None or policy.position < found.position):
            found = policy
    return NEUTRAL if found is None else found


def unused_fence(ring_fence: int, open_claims: int, mode: str = "consumed") -> int:
    """The part of a channel's ring-fence that others may not touch, in base units.

    A consumed one is what the channel has not claimed yet; a standing one is all of it, always.
    """
    if mode == "standing":
        return ring_fence
    return max(0, ring_fence - max(0, open_claims))


def grantable(
    pool_free: int,
    *,
    hard_safety: int,
    other_fences_unused: int,
    backorders: int = 0,
    most: int | None = None,
) -> int:
    """What a request of a channel is compared with, in base units; below zero after a shortage.

    backorders are those owed to the same or a higher class; most is what a degraded_cap leaves.
    Buffers and caps are no part of it: a channel that asks is not blind.
    """
    units = pool_free - backorders - other_fences_unused - hard_safety
    return units if most is None else min(units, most)
