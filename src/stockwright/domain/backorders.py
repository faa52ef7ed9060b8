"""What order lines are owed, and whom it comes before.

A backorder lowers what others are granted from the moment it is known, so that goods which arrive
are still there when it is promoted to a reservation, however late that is.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from stockwright.domain.codes import Code

DemandKey = tuple[str, str, str]
"""(system, order, line)"""


class Backorder(msgspec.Struct, eq=False):
    """Base units that one order line is owed. A lower demand_class is served first."""

    system: str
    order: str
    line: str
    sku: str
    channel: str
    demand_class: int
    owed: int
    owed_since: dt.datetime
    promoted: int = 0
    cancelled: int = 0

    @property
    def key(self) -> DemandKey:
        """(system, order, line)."""
        return (self.system, self.order, self.line)

    def settle(self, units: int, *, cancelled: bool = False) -> int:
        """Takes up to `units` off what is owed; returns how many."""
        taken = max(0, min(units, self.owed))
        self.owed -= taken
        if cancelled:
            self.cancelled += taken
        else:
            self.promoted += taken
        return taken


class ToldOwed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an order line is owed: `sku`, or the partner's own `item`; quantity is in `unit`.

    demand_class is the channel's where none is given; owed_since is now.
    """

    order: Code
    channel: Code
    quantity: Annotated[int, Meta(ge=1, le=1_000_000_000_000)]
    system: Annotated[str, Meta(max_length=128)] = ""
    line: Code = "1"
    sku: Annotated[str, Meta(max_length=128)] = ""
    item: Annotated[str, Meta(max_length=128)] = ""
    unit: Annotated[str, Meta(max_length=128)] = ""
    demand_class: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    owed_since: Annotated[dt.datetime, Meta(tz=True)] | None = None


class Owed(msgspec.Struct, frozen=True, kw_only=True):
    """Base units owed on backorders that come before a request, and on how many order lines."""

    units: int
    lines: int = 1


NOTHING = Owed(units=0, lines=0)


def owed_first(
    backorders: Iterable[Backorder],
    demand_class: int | None,
    places: Collection[str],
    pools: Mapping[str, tuple[str, ...]],
    besides: DemandKey | None = None,
) -> Owed:
    """What is owed before a request of some class that is served from these places.

    All of the same or a higher class comes first (of every class where demand_class is None), as
    far as its channel's pool shares a place. `besides` is the line that asks.
    """
    return _sum(
        one
        for one in backorders
        if (demand_class is None or one.demand_class <= demand_class)
        and one.key != besides
        and _meet(one, places, pools)
    )


def owed_before(
    backorders: Iterable[Backorder],
    mine: Backorder,
    places: Collection[str],
    pools: Mapping[str, tuple[str, ...]],
) -> Owed:
    """What is owed before a line gets what it is owed itself: it waits for those before it."""
    return _sum(one for one in backorders if _rank(one) < _rank(mine) and _meet(one, places, pools))


def _sum(backorders: Iterable[Backorder]) -> Owed:
    first = [one.owed for one in backorders if one.owed]
    return Owed(units=sum(first), lines=len(first)) if first else NOTHING


def _rank(one: Backorder) -> tuple[int, dt.datetime, DemandKey]:
    return (one.demand_class, one.owed_since, one.key)


def _meet(one: Backorder, places: Collection[str], pools: Mapping[str, tuple[str, ...]]) -> bool:
    return any(place in places for place in pools.get(one.channel, ()))
