"""What would have happened under another policy: one SKU on one channel, order by order.

It takes the recorded past as it was and changes one thing: the number the channel showed. What that
assumes is in docs/explanation/risk-bounded-buffer.md, "The replay".
"""

import datetime as dt
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

Free = Mapping[str, int]
"""Free units by place."""


class Shown(NamedTuple):
    """From `at` on the channel showed `value` pieces, told when the ledger was at a sequence."""

    at: dt.datetime
    sequence: int
    value: int


class Order(NamedTuple):
    """An order that the channel took, in base units; occurred_at is by the channel's clock."""

    sequence: int
    occurred_at: dt.datetime
    units: int


class Change(NamedTuple):
    """An event changed what is free at a place."""

    sequence: int
    place: str
    units: int


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """What is recorded of one SKU on one channel between two times, each list in order.

    free is by place, before the first of the changes; quantity is base units of a piece.
    """

    begins: dt.datetime
    ends: dt.datetime
    quantity: int
    free: Free
    changes: Sequence[Change]
    shown: Sequence[Shown]
    orders: Sequence[Order]


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """The comparison, in base units.

    oversold is what the channel sold beyond what was free, in the record and under the policy;
    withheld_sales what it sold of goods that were there and would not have shown. withheld is how
    much less it would have shown, on average over the time.
    """

    orders: int = 0
    sold: int = 0
    oversold: int = 0
    oversold_then: int = 0
    oversold_orders: int = 0
    oversold_orders_then: int = 0
    withheld_sales: int = 0
    withheld: float = 0.0

    @property
    def avoided(self) -> int:
        """Units oversold in the record and not under the policy."""
        return self.oversold - self.oversold_then


def replay(past: Past, value_of: Callable[[Free], int]) -> Replayed:
    """Plays the past again; value_of tells what the policy shows, in pieces, given what is free.

    A unit the channel does not sell stays in stock, free and shown from then on.
    """
    stock = _Stock(past)
    values = [value_of(stock.at(shown.sequence)) for shown in past.shown]
    found = _Tally()
    for order in sorted(past.orders, key=lambda one: (one.occurred_at, one.sequence)):
        place = bisect_right(past.shown, order.occurred_at, key=lambda one: one.at) - 1
        if place >= 0:
            found.take(order, past.shown[place], values[place], past.quantity, stock)
    return found.result(_withheld(past, values))


class _Stock:
    """Free units by place at any sequence number: looked up forwards."""

    def __init__(self, past: Past) -> None:
        self._free = dict(past.free)
        self._changes = past.changes
        self._snapshots: list[tuple[int, dict[str, int]]] = [(0, dict(past.free))]
        for change in past.changes:
            self._free[change.place] = self._free.get(change.place, 0) + change.units
            if self._snapshots[-1][0] != change.sequence:
                self._snapshots.append((change.sequence, {}))
            self._snapshots[-1] = (change.sequence, dict(self._free))

    def at(self, sequence: int) -> Free:
        """Free by place once everything up to a sequence number was recorded."""
        place = bisect_right(self._snapshots, sequence, key=lambda one: one[0]) - 1
        return self._snapshots[max(0, place)][1]


class _Tally:
    """Sums over the orders so far; `kept` units were not sold that the record has sold."""

    def __init__(self) -> None:
        self.orders = self.sold = self.withheld_sales = self.kept = 0
        self.oversold = [0, 0]
        self.oversold_orders = [0, 0]
        self._level: Shown | None = None
        self._taken = self._taken_then = 0

    def take(self, order: Order, shown: Shown, value: int, quantity: int, stock: _Stock) -> None:
        """One order, the number shown when it came, and that of the policy."""
        if shown is not self._level:
            self._level, self._taken, self._taken_then = shown, 0, 0
        # The channel lowers its own number by what it sells, until it is told the next one.
        recorded = max(0, shown.value * quantity - self._taken)
        room = max(0, value * quantity + self.kept - self._taken_then)
        # What it sold beyond the number we know of, it would have sold beyond another one too.
        then = min(order.units, room + max(0, order.units - recorded))
        self._taken += order.units
        self._taken_then += then
        free = max(0, sum(stock.at(order.sequence - 1).values()))
        over = max(0, order.units - free)
        over_then = max(0, then - free - self.kept)
        self.kept += order.units - then
        self.orders += 1
        self.sold += order.units
        for n, units in enumerate((over, over_then)):
            self.oversold[n] += units
            self.oversold_orders[n] += units > 0
        self.withheld_sales += max(0, (order.units - over) - (then - over_then))

    def result(self, withheld: float) -> Replayed:
        return Replayed(
            orders=self.orders,
            sold=self.sold,
            oversold=self.oversold[0],
            oversold_then=self.oversold[1],
            oversold_orders=self.oversold_orders[0],
            oversold_orders_then=self.oversold_orders[1],
            withheld_sales=self.withheld_sales,
            withheld=withheld,
        )


def _withheld(past: Past, values: Sequence[int]) -> float:
    """How much less the policy shows than was shown, in base units, on average over the time."""
    total = seconds = 0.0
    for n, shown in enumerate(past.shown):
        ends = past.shown[n + 1].at if n + 1 < len(past.shown) else past.ends
        lasted = max(0.0, (ends - max(shown.at, past.begins)).total_seconds())
        total += lasted * (shown.value - values[n]) * past.quantity
        seconds += lasted
    return total / seconds if seconds else 0.0
