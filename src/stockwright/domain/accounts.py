"""The accounts of both books: balances, demand lines with their claims, transfers, counts, lots."""

import datetime as dt
from typing import Final

from stockwright.domain.quantity import LIMIT, bounded

BUCKETS: Final = ("sellable", "inspection", "quarantined", "damaged")
STAGES: Final = ("reserved", "allocated", "picked")
CELLS: Final = frozenset(BUCKETS + STAGES)

Key = tuple[str, str, str]
"""(sku, location, lot); lot is '' where none is named."""


class Balance:
    """What lies and what is promised at one (sku, location, lot). version 0 means: not stored
    yet.
    """

    __slots__ = (
        "allocated",
        "damaged",
        "inspection",
        "picked",
        "quarantined",
        "reserved",
        "sellable",
        "version",
    )

    def __init__(
        self,
        sellable: int = 0,
        inspection: int = 0,
        quarantined: int = 0,
        damaged: int = 0,
        reserved: int = 0,
        allocated: int = 0,
        picked: int = 0,
        version: int = 0,
    ) -> None:
        self.sellable = sellable
        self.inspection = inspection
        self.quarantined = quarantined
        self.damaged = damaged
        self.reserved = reserved
        self.allocated = allocated
        self.picked = picked
        self.version = version

    def copy(self) -> "Balance":
        """An independent balance of equal content."""
        return Balance(
            self.sellable,
            self.inspection,
            self.quarantined,
            self.damaged,
            self.reserved,
            self.allocated,
            self.picked,
            self.version,
        )

    @property
    def free(self) -> int:
        """sellable - reserved - allocated - picked; below zero is a shortage."""
        return self.sellable - self.reserved - self.allocated - self.picked

    @property
    def on_hand(self) -> int:
        """The sum of the goods buckets."""
        return self.sellable + self.inspection + self.quarantined + self.damaged

    def add(self, account: str, quantity: int) -> None:
        """Changes one account. Raises Rejected beyond the range of the ledger."""
        value = getattr(self, account) + quantity
        if not -LIMIT < value < LIMIT:
            bounded(value)
        setattr(self, account, value)


class Claim:
    """Units promised to one demand line at one (location, lot), by stage."""

    __slots__ = ("allocated", "picked", "reserved", "version")

    def __init__(
        self, reserved: int = 0, allocated: int = 0, picked: int = 0, version: int = 0
    ) -> None:
        self.reserved = reserved
        self.allocated = allocated
        self.picked = picked
        self.version = version

    @property
    def units(self) -> int:
        """Open units over all stages."""
        return self.reserved + self.allocated + self.picked


class DemandLine:
    """One line of one order, and what became of it. version 0 means: not stored yet."""

    __slots__ = (
        "cancel_requested",
        "cancelled",
        "channel",
        "claims",
        "expires_at",
        "final",
        "fresh_until",
        "id",
        "line",
        "lot",
        "order",
        "ordered",
        "picked",
        "returned",
        "shipped",
        "sku",
        "state",
        "system",
        "transitions",
        "version",
    )

    def __init__(
        self, line_id: int, system: str, order: str, line: str, sku: str, channel: str = ""
    ) -> None:
        self.id = line_id
        self.system = system
        self.order = order
        self.line = line
        self.sku = sku
        self.channel = channel
        self.lot = ""
        self.fresh_until: dt.date | None = None
        self.ordered = self.shipped = self.cancelled = self.cancel_requested = 0
        self.returned = self.picked = 0
        self.final = False
        self.state = ""
        self.expires_at: dt.datetime | None = None
        self.transitions = 0
        self.version = 0
        self.claims: dict[tuple[str, str], Claim] = {}

    def copy(self) -> "DemandLine":
        """An independent demand line of equal content, its claims included."""
        other = DemandLine.__new__(DemandLine)
        for name in DemandLine.__slots__:
            setattr(other, name, getattr(self, name))
        other.claims = {
            place: Claim(claim.reserved, claim.allocated, claim.picked, claim.version)
            for place, claim in self.claims.items()
        }
        return other

    @property
    def open(self) -> int:
        """Units still claimed."""
        return sum(claim.units for claim in self.claims.values())

    @property
    def remaining(self) -> int:
        """Units that may still be claimed or shipped: what was ordered, less shipped and cancelled.

        A pick for an order not heard of yet counts as ordered, so that both may arrive in any
        order.
        """
        if self.final:
            return 0
        return max(0, max(self.ordered, self.picked) - self.shipped - self.cancelled)

    def stage(self, name: str) -> int:
        """Open units in one stage."""
        return sum(getattr(claim, name) for claim in self.claims.values())


class Transfer:
    """One line of goods under way, keyed by its document. excess arrived before it was sent."""

    __slots__ = (
        "arrived",
        "closed",
        "eta",
        "excess",
        "from_location",
        "sent",
        "to_location",
        "version",
    )

    def __init__(self) -> None:
        self.sent = self.arrived = self.closed = self.excess = self.version = 0
        self.from_location = self.to_location = ""
        self.eta: dt.datetime | None = None

    def copy(self) -> "Transfer":
        """An independent transfer of equal content."""
        other = Transfer()
        for name in Transfer.__slots__:
            setattr(other, name, getattr(self, name))
        return other

    @property
    def under_way(self) -> int:
        """Units in transit; never below zero."""
        return self.sent - self.arrived - self.closed


class Count:
    """A count of one cell as of a time. reverses is False where the clocks left it undecided."""

    __slots__ = ("as_of", "position", "reverses", "system")

    def __init__(
        self, as_of: dt.datetime, system: str, position: int | None, reverses: bool
    ) -> None:
        self.as_of = as_of
        self.system = system
        self.position = position
        self.reverses = reverses


class Lot:
    """What is known of one lot of one SKU."""

    __slots__ = ("expires_on", "recalled", "stored")

    def __init__(
        self, expires_on: dt.date | None = None, recalled: bool = False, stored: bool = False
    ) -> None:
        self.expires_on = expires_on
        self.recalled = recalled
        self.stored = stored


class Waiting:
    """An inspection result, or the rest of one, that waits for goods to inspect."""

    __slots__ = ("occurred_at", "quantity", "sequence", "to_bucket")

    def __init__(
        self, sequence: int, to_bucket: str, quantity: int, occurred_at: dt.datetime
    ) -> None:
        self.sequence = sequence
        self.to_bucket = to_bucket
        self.quantity = quantity
        self.occurred_at = occurred_at
