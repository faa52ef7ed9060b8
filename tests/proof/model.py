"""The rules of the ledger, told a second time: dicts and loops, nothing of the product's code.

Goods: what lies at a place is the last count of it, and every fact dated later. Promises: an order
line claims at most what was ordered and is neither shipped nor cancelled; what ships draws the
line's own claims; free is what lies there less what is promised there. Requests are granted against
the free units of all places together, and taken from one place where one can give it all.
"""

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

from stockwright.domain.events import Fact, Item, Request

POOL = ("EAST", "WEST")
LATEST = dt.datetime.max.replace(tzinfo=dt.UTC)


@dataclass
class Line:
    """One order line; claims by place as [reserved, picked]."""

    sku: str
    state: str
    ordered: int = 0
    shipped: int = 0
    cancelled: int = 0
    requested: int = 0
    unmet: int = 0
    returned: int = 0
    picked: int = 0
    final: bool = False
    held: bool = False
    claims: dict[str, list[int]] = field(default_factory=dict)

    @property
    def open(self) -> int:
        return sum(map(sum, self.claims.values()))

    @property
    def remaining(self) -> int:
        if self.final:
            return 0
        return max(0, max(self.ordered, self.picked) - self.shipped - self.cancelled)

    def claim(self, place: str, stage: int, units: int) -> None:
        self.claims.setdefault(place, [0, 0])[stage] += units

    def take(self, units: int, stages: tuple[int, ...], near: str = "") -> int:
        """Takes up to so many units out of the claims, the near place first; answers how many."""
        left = units
        by_place = [
            (p, s) for p in sorted(self.claims, key=lambda p: (p != near, p)) for s in stages
        ]
        by_stage = [(p, s) for s in stages for p in sorted(self.claims)]
        for place, stage in by_place if near else by_stage:
            part = min(left, self.claims[place][stage])
            self.claims[place][stage] -= part
            left -= part
        return units - left

    def cancel(self, units: int) -> None:
        """Asks to cancel at most what was ordered, did not leave, and is not asked for yet."""
        asked = self.cancelled + self.requested
        self.unmet += max(0, min(units, (self.ordered or self.picked) - self.shipped - asked))
        self.settle()

    def settle(self) -> None:
        """What follows from the counters: what of the cancels is done and what waits for the
        warehouse, no claim beyond what remains, and the state.
        """
        asked = self.cancelled + self.requested + self.unmet
        there = max(0, (self.ordered or self.picked) - self.shipped)
        covered = min(asked, there)
        on_hand = 0 if self.final else sum(held[1] for held in self.claims.values())
        loose = max(self.ordered, self.picked) - self.shipped - on_hand
        self.cancelled = min(covered, max(0, loose))
        self.requested = covered - self.cancelled
        self.unmet = asked - covered
        self.take(max(0, self.open - self.remaining), (0, 1))
        if self.shipped:
            self.state = "part_fulfilled" if self.remaining else "fulfilled"
        elif self.cancelled and self.ordered and not self.remaining:
            self.state = "cancelled"
        elif self.state == "cancelled":
            self.state = "confirmed"


class Model:
    """What should be, after every item in turn. `decide` answers the outcome's code."""

    def __init__(self) -> None:
        self.facts: dict[tuple[str, str], list[tuple[dt.datetime, int]]] = {}
        self.counts: dict[tuple[str, str], tuple[dt.datetime, int]] = {}
        self.inspection: dict[tuple[str, str], int] = {}
        self.orders: dict[str, dict[str, Line]] = {}
        self.due: set[str] = set()

    # ------------------------------------------------------------ numbers

    def level(self, sku: str, place: str) -> int:
        """Units that lie sellable at a place."""
        since, counted = self.counts.get((sku, place), (None, 0))
        moved = self.facts.get((sku, place), [])
        return counted + sum(units for at, units in moved if since is None or at > since)

    def promised(self, sku: str, place: str) -> tuple[int, int]:
        """(reserved, picked) at a place."""
        lines = [line for order in self.orders.values() for line in order.values()]
        held = [line.claims.get(place, [0, 0]) for line in lines if line.sku == sku]
        return sum(one[0] for one in held), sum(one[1] for one in held)

    def free(self, sku: str, place: str) -> int:
        return self.level(sku, place) - sum(self.promised(sku, place))

    def pool(self, sku: str) -> int:
        return sum(self.free(sku, place) for place in POOL)

    def spread(self, sku: str, units: int) -> list[tuple[str, int]]:
        """One place that can give it all, else what each can give, in order of priority."""
        for place in POOL:
            if self.free(sku, place) >= units:
                return [(place, units)]
        found, left = [], units
        for place in POOL:
            part = min(left, max(0, self.free(sku, place)))
            found.append((place, part))
            left -= part
        return [(place, part) for place, part in found if part]

    # ------------------------------------------------------------ deciding

    def expire(self) -> None:
        """Holds past their time are given up before anything else of a batch is decided."""
        for order in self.due:
            for line in self.orders[order].values():
                if line.state == "open" and line.held:
                    line.take(line.open, (0,))
                    line.state, line.held = "expired", False
        self.due.clear()

    def time_passes(self) -> None:
        """Every hold there is runs out."""
        self.due = {
            name
            for name, lines in self.orders.items()
            if any(line.state == "open" and line.held for line in lines.values())
        }

    def decide(self, item: Item) -> str:
        """The outcome's code; the model is then in the state after it."""
        return str(getattr(self, item.kind)(item))

    def _moved(self, fact: Fact, units: int) -> str:
        at = fact.occurred_at or LATEST
        self.facts.setdefault((fact.sku, fact.location), []).append((at, units))
        return "recorded"

    def receipt(self, fact: Fact) -> str:
        return self._moved(fact, fact.quantity)

    adjustment = receipt

    def count(self, fact: Fact) -> str:
        cell, as_of = (fact.sku, fact.location), fact.occurred_at
        assert as_of is not None
        before = self.counts.get(cell)
        if before is None or as_of >= before[0]:
            self.counts[cell] = (as_of, fact.quantity)
        return "recorded"

    def _line_of(self, fact: Fact) -> Line:
        lines = self.orders.setdefault(fact.order, {})
        return lines.setdefault(fact.order_line, Line(fact.sku, "confirmed"))

    def shipment(self, fact: Fact) -> str:
        self._moved(fact, -fact.quantity)
        if fact.order:
            line = self._line_of(fact)
            line.take(fact.quantity, (1, 0), fact.location)
            line.shipped += fact.quantity
            line.final |= fact.final
            line.settle()
        return "recorded"

    def pick(self, fact: Fact) -> str:
        line = self._line_of(fact)
        line.picked += fact.quantity
        # Of what was picked, what has shipped is not picked any more.
        on_hand = sum(held[1] for held in line.claims.values())
        units = (
            0 if line.final else max(0, min(fact.quantity, line.picked - line.shipped - on_hand))
        )
        line.take(units, (0,), fact.location)
        line.claim(fact.location, 1, units)
        if line.state == "open":
            line.state = "confirmed"
        line.settle()
        return "recorded"

    def return_receipt(self, fact: Fact) -> str:
        cell = (fact.sku, fact.location)
        self.inspection[cell] = self.inspection.get(cell, 0) + fact.quantity
        self._line_of(fact).returned += fact.quantity
        return "recorded"

    def channel_order(self, fact: Fact) -> str:
        line = self._line_of(fact)
        line.ordered = fact.quantity
        places = self.spread(fact.sku, fact.quantity)
        short = fact.quantity - sum(units for _, units in places)
        for place, units in [*places, (POOL[0], short)]:
            line.claim(place, 0, units)
        return "recorded"

    def reserve(self, request: Request) -> str:
        asked = request.lines
        need = {one.sku: 0 for one in asked}
        for one in asked:
            need[one.sku] += one.quantity
        whole = next(
            (p for p in POOL if all(self.free(sku, p) >= units for sku, units in need.items())), ""
        )
        lines: dict[str, Line] = {}
        self.orders[request.order] = lines
        for one in asked:
            limit = min(one.quantity, self.pool(one.sku))
            places = [(whole, limit)] if whole else self.spread(one.sku, max(0, limit))
            granted = sum(units for _, units in places)
            if request.mode == "all" and granted < one.quantity:
                del self.orders[request.order]
                return "insufficient"
            if granted > 0:
                state = "confirmed" if request.confirmed else "open"
                line = lines[one.line] = Line(one.sku, state, granted, held=not request.confirmed)
                for place, units in places:
                    line.claim(place, 0, units)
        if not lines:
            del self.orders[request.order]
            return "insufficient"
        granted = sum(line.ordered for line in lines.values())
        return "granted" if granted == sum(one.quantity for one in asked) else "partial"

    def extend(self, request: Request) -> str:
        lines = list(self.orders.get(request.order, {}).values())
        if not lines:
            return "unknown_demand"
        if any(line.state in ("released", "cancelled") for line in lines):
            return "closed"
        return "expired" if any(line.state == "expired" for line in lines) else "done"

    def confirm(self, request: Request) -> str:
        lines = list(self.orders.get(request.order, {}).values())
        if not lines:
            return "unknown_demand"
        if any(line.state in ("released", "cancelled") for line in lines):
            return "closed"
        lapsed = [line for line in lines if line.state == "expired"]
        again: list[tuple[Line, str, int]] = []
        for line in lapsed:
            missing = line.remaining - line.open
            places = dict.fromkeys([*sorted(line.claims), *POOL])
            for place in places if self.pool(line.sku) >= missing > 0 else ():
                part = min(missing, max(0, self.free(line.sku, place)))
                line.claim(place, 0, part)
                again.append((line, place, part))
                missing -= part
            if missing > 0:
                for its, place, part in again:
                    its.claims[place][0] -= part
                return "expired"
        for line in lines:
            line.held = False
            if line.state in ("open", "expired"):
                line.state = "confirmed"
        return "regranted" if lapsed else "done"

    def release(self, request: Request) -> str:
        lines = list(self.orders.get(request.order, {}).values())
        if not lines:
            return "unknown_demand"
        if all(line.state in ("released", "cancelled", "expired") for line in lines):
            return "done"
        if all(line.state == "fulfilled" for line in lines):
            return "already_fulfilled"
        for line in lines:
            line.take(line.open, (0,))
            if line.open:  # the warehouse has it: the rest is cancelled, on its word
                line.cancel(line.remaining - line.requested)
            elif line.state in ("open", "confirmed"):
                line.state, line.held = "released", False
        waits = any(line.requested for line in lines if line.open)
        return "cancel_requested" if waits else "done"

    def cancel(self, request: Request) -> str:
        lines = list(self.orders.get(request.order, {}).values())
        if not lines:
            return "unknown_demand"
        if not any(line.remaining for line in lines):
            gone = all(line.state == "cancelled" for line in lines)
            return "done" if gone else "already_fulfilled"
        waits = False
        for line in lines:
            line.cancel(line.remaining - line.requested)
            waits |= line.requested > 0
        return "cancel_requested" if waits else "done"

    # ------------------------------------------------------------ comparing

    def lines(self) -> dict[tuple[str, str], tuple[Any, ...]]:
        """(order, line) -> counters and state."""
        return {
            (order, name): (
                one.sku, one.ordered, one.shipped, one.cancelled, one.requested, one.returned,
                one.picked, one.state,
            )
            for order, lines in self.orders.items()
            for name, one in lines.items()
        }  # fmt: skip

    def claims(self) -> dict[tuple[str, str, str], tuple[int, int]]:
        """(order, line, place) -> (reserved, picked), where any are."""
        return {
            (order, name, place): (held[0], held[1])
            for order, lines in self.orders.items()
            for name, one in lines.items()
            for place, held in one.claims.items()
            if any(held)
        }

    def balances(self, skus: tuple[str, ...]) -> dict[tuple[str, str], tuple[int, ...]]:
        """(SKU, place) -> (sellable, inspection, reserved, picked), where any are."""
        cells = {
            (sku, place): (
                self.level(sku, place),
                self.inspection.get((sku, place), 0),
                *self.promised(sku, place),
            )
            for sku in skus
            for place in POOL
        }
        return {cell: units for cell, units in cells.items() if any(units)}
