"""The accounts of both books: balances, demand lines with their claims, transfers, counts, lots.

What a batch makes by the thousand is kept out of the search for cycles (gc=False): it is part of
none.
"""

import datetime as dt
from typing import Final

import msgspec
from msgspec.structs import replace

from stockwright.domain.quantity import LIMIT, bounded

BUCKETS: Final = ("sellable", "inspection", "quarantined", "damaged")
STAGES: Final = ("reserved", "allocated", "picked")
CELLS: Final = frozenset(BUCKETS + STAGES)

Key = tuple[str, str, str]
"""(sku, location, lot); lot is '' where none is named."""


class Balance(msgspec.Struct, eq=False, gc=False):
    """What lies and what is promised at one (sku, location, lot). version 0 means: not stored
    yet.
    """

    sellable: int = 0
    inspection: int = 0
    quarantined: int = 0
    damaged: int = 0
    reserved: int = 0
    allocated: int = 0
    picked: int = 0
    version: int = 0

    def copy(self) -> "Balance":
        """An independent balance of equal content."""
        return replace(self)

    @property
    def free(self) -> int:
        """sellable - reserved - allocated - picked; below zero is a shortage."""
        return self.sellable - self.reserved - self.allocated - self.picked

    @property
    def on_hand(self) -> int:
        """The sum of the goods buckets."""
        return self.sellable + self.inspection + self.quarantined + self.damaged

    @property
    def negative(self) -> bool:
        """Whether a bucket is below zero."""
        return self.sellable < 0 or self.inspection < 0 or self.quarantined < 0 or self.damaged < 0

    def add(self, account: str, quantity: int) -> None:
        """Changes one account. Raises Rejected beyond the range of the ledger."""
        value = getattr(self, account) + quantity
        if not -LIMIT < value < LIMIT:
            bounded(value)
        setattr(self, account, value)


class Claim(msgspec.Struct, eq=False, gc=False):
    """Units promised to one demand line at one (location, lot), by stage."""

    reserved: int = 0
    allocated: int = 0
    picked: int = 0
    version: int = 0

    @property
    def units(self) -> int:
        """Open units over all stages."""
        return self.reserved + self.allocated + self.picked


class DemandLine(msgspec.Struct, eq=False, gc=False):
    """One line of one order, and what became of it. version 0 means: not stored yet.

    cancel_unmet: asked to be cancelled beyond what there was to cancel; it counts once there is.
    finals: shipments that were said to be the last. unshipped_state: what the state was before
    anything shipped; '' where nothing has.
    """

    id: int
    system: str
    order: str
    line: str
    sku: str
    channel: str = ""
    lot: str = ""
    fresh_until: dt.date | None = None
    ordered: int = 0
    shipped: int = 0
    cancelled: int = 0
    cancel_requested: int = 0
    cancel_unmet: int = 0
    returned: int = 0
    picked: int = 0
    finals: int = 0
    state: str = ""
    unshipped_state: str = ""
    expires_at: dt.datetime | None = None
    transitions: int = 0
    version: int = 0
    claims: dict[tuple[str, str], Claim] = {}

    def copy(self) -> "DemandLine":
        """An independent demand line of equal content, its claims included."""
        other = replace(self)
        other.claims = {place: replace(claim) for place, claim in self.claims.items()}
        return other

    @property
    def open(self) -> int:
        """Units still claimed."""
        units = 0
        for claim in self.claims.values():
            units += claim.reserved + claim.allocated + claim.picked
        return units

    @property
    def remaining(self) -> int:
        """Units that may still be claimed or shipped: what is wanted, less shipped and
        cancelled.
        """
        if self.finals:
            return 0
        return max(0, self.wanted - self.shipped - self.cancelled)

    @property
    def wanted(self) -> int:
        """What was ordered; where more was picked, or an order not heard of yet, that."""
        return max(self.ordered, self.picked)

    @property
    def held(self) -> int:
        """Open units that the warehouse has: a cancel frees them on its word alone."""
        return self.stage("allocated") + self.stage("picked")

    def stage(self, name: str) -> int:
        """Open units in one stage."""
        return sum(getattr(claim, name) for claim in self.claims.values())


class Transfer(msgspec.Struct, eq=False):
    """One line of goods under way, keyed by its document. excess arrived before it was sent."""

    sent: int = 0
    arrived: int = 0
    closed: int = 0
    excess: int = 0
    from_location: str = ""
    to_location: str = ""
    eta: dt.datetime | None = None
    version: int = 0

    def copy(self) -> "Transfer":
        """An independent transfer of equal content."""
        return replace(self)

    @property
    def under_way(self) -> int:
        """Units in transit; never below zero."""
        return self.sent - self.arrived - self.closed


class Count(msgspec.Struct, eq=False):
    """A count of one cell as of a time. reverses is False where the clocks left it undecided."""

    as_of: dt.datetime
    system: str
    position: int | None
    reverses: bool


class Lot(msgspec.Struct, eq=False):
    """What is known of one lot of one SKU."""

    expires_on: dt.date | None = None
    recalled: bool = False
    stored: bool = False


class Waiting(msgspec.Struct, eq=False):
    """An inspection result, or the rest of one, that waits for goods to inspect."""

    sequence: int
    to_bucket: str
    quantity: int
    occurred_at: dt.datetime
