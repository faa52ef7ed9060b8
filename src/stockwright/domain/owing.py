"""Backorders: units owed to demand lines that nothing could be claimed for, and who comes first.

What is owed lowers what others may be granted or shown from the day it is recorded, so that it does
not matter how late it is turned into a reservation.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from stockwright.domain.codes import Code, CodeOrNone
from stockwright.domain.events import MAX_QUANTITY

BackorderState = Literal["owed", "served", "cancelled", "closed"]
LineKey = tuple[str, str, str]
"""(system, order, line)"""

STATES: Final[dict[BackorderState, str]] = {
    "owed": "units of it are owed, or held for it by a reservation that may still run out",
    "served": "all that was owed has been claimed or shipped",
    "cancelled": "the customer does not want what was owed any more",
    "closed": "closed by hand",
}


class BackorderTold(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Units owed to one order line, as told; a later revision replaces it.

    quantity is in `unit`, the base unit where empty. Without a demand_class it has its channel's,
    without owed_since it is owed from when it is recorded. `item` is the partner's own code where
    `sku` is not known.
    """

    order: Code
    channel: Code
    quantity: Annotated[int, msgspec.Meta(ge=1, le=MAX_QUANTITY)]
    system: CodeOrNone = ""
    line: Code = "1"
    revision: Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)] = 0
    sku: CodeOrNone = ""
    item: CodeOrNone = ""
    unit: CodeOrNone = ""
    demand_class: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] | None = None
    owed_since: Annotated[dt.datetime, msgspec.Meta(tz=True)] | None = None


class Standing(NamedTuple):
    """The counters of a demand line that decide about its backorder.

    claimed or shipped units, those asked to be cancelled that nobody claims; held: what is claimed
    may still run out; ended: nothing more of the line will be claimed.
    """

    claimed: int = 0
    cancelled: int = 0
    held: bool = False
    ended: bool = False


class Backorder(msgspec.Struct, eq=False, gc=False, kw_only=True):
    """Units owed to one demand line. served and cancelled are what became of them since.

    Lower classes are served first, within a class what is owed longest.
    """

    id: int
    system: str
    order: str
    line: str
    sku: str
    channel: str
    demand_class: int
    quantity: int
    owed_since: dt.datetime
    served: int = 0
    cancelled: int = 0
    claimed_before: int = 0
    cancelled_before: int = 0
    state: BackorderState = "owed"
    version: int = 0

    def copy(self) -> "Backorder":
        """An independent backorder of equal content."""
        return replace(self)

    @property
    def key(self) -> LineKey:
        """The demand line it is owed to."""
        return (self.system, self.order, self.line)

    @property
    def owed(self) -> int:
        """Units still owed."""
        if self.state != "owed":
            return 0
        return max(0, self.quantity - self.served - self.cancelled)

    def after(self, line: Standing) -> "Backorder":
        """The backorder in step with its demand line.

        What the line claims or has shipped beyond what it had before serves it; a cancel takes from
        it first, for it cancels what nobody claims first. While a hold may run out it stays owed,
        lest the customer be forgotten.
        """
        one = self.copy()
        one.served = min(one.quantity, max(0, line.claimed - one.claimed_before))
        rest = one.quantity - one.served
        gone = rest if line.ended else max(0, line.cancelled - one.cancelled_before)
        one.cancelled = min(rest, gone)
        if not one.owed and not line.held:
            one.state = "served" if one.served else "cancelled"
        return one

    @property
    def rank(self) -> tuple[int, dt.datetime, int]:
        """Its place in the queue: the lowest goes first."""
        return (self.demand_class, self.owed_since, self.id)


class Queue(NamedTuple):
    """Units owed around one demand line: its own, those that go before it, and those of others
    that its own class or a higher one owes.
    """

    own: int
    ahead: int
    others: int


def queue(
    backorders: Iterable[Backorder],
    pools: Mapping[str, Iterable[str]],
    places: Iterable[str],
    demand_class: int | None,
    own: LineKey | None = None,
) -> Queue:
    """The queue for units of one SKU at some places, as a demand line of a class sees it.

    pools are the places of each channel; a backorder counts where its channel's pool shares a
    place. Without a class all that is owed goes before. A demand line with a backorder of its own
    has the class of that.
    """
    there = set(places)
    owed = [
        one for one in backorders if one.owed and not there.isdisjoint(pools.get(one.channel, ()))
    ]
    mine = next((one for one in owed if one.key == own), None)
    most = mine.demand_class if mine else demand_class
    others = [one for one in owed if one is not mine and (most is None or one.demand_class <= most)]
    ahead = sum(one.owed for one in others if mine is None or one.rank < mine.rank)
    return Queue(mine.owed if mine else 0, ahead, sum(one.owed for one in others))
