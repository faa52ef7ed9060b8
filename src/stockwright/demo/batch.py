"""The counterfactual: the same sellers, fed by batch connectors every so many minutes.

Each seller sells against the number of its last synchronisation less what it sold since. At every
synchronisation the sellers' orders reach the ERP and all sellers get the true free stock at that
moment, at once and without a loss, which flatters real batch connectors.
"""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from stockwright.demo.happenings import Happening, Order
from stockwright.demo.oracle import Oracle
from stockwright.demo.overlay import Chance, seller_of


class BatchWorld:
    """Five sellers and one true stock, synchronised at whole multiples of the interval.

    An interval of zero synchronises before every line: then nothing can be oversold.
    """

    def __init__(self, opening: Mapping[str, int], interval: dt.timedelta, chance: Chance) -> None:
        self.oracle = Oracle.opening(opening)
        self._interval = interval
        self._chance = chance
        self._synced = dict(opening)
        self._since: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._next: dt.datetime | None = None
        self._changed: set[str] = set()

    def run(self, world: Iterable[Happening]) -> Oracle:
        """Play everything in order and return the judge with its tallies."""
        for happening in world:
            self._synchronise_until(happening.at)
            if isinstance(happening, Order):
                self._order(happening)
            else:
                self._change(happening.sku, happening.gain)
        return self.oracle

    def shown(self, seller: str, sku: str) -> int:
        """What this seller believes it may sell."""
        return self._synced.get(sku, 0) - self._since[seller][sku]

    def _order(self, order: Order) -> None:
        seller = seller_of(order.invoice, self._chance).code
        self.oracle.order(seller)
        for line in order.lines:
            if not self._interval:
                self._synchronise()
            if line.quantity <= self.shown(seller, line.sku):
                self.oracle.accepted(seller, line.sku, line.quantity)
                self._since[seller][line.sku] += line.quantity
                self._changed.add(line.sku)
            else:
                self.oracle.refused(seller, line.sku, line.quantity)

    def _change(self, sku: str, gain: int) -> None:
        self.oracle.move(sku, gain)
        self._changed.add(sku)

    def _synchronise_until(self, now: dt.datetime) -> None:
        """Catch up with the timetable; several missed times have the effect of one."""
        if not self._interval:
            return
        if self._next is None or now >= self._next:
            if self._next is not None:
                self._synchronise()
            self._next = _following(now, self._interval)

    def _synchronise(self) -> None:
        for sku in self._changed:
            self._synced[sku] = max(0, self.oracle.free[sku])
        self._changed.clear()
        self._since.clear()


def _following(now: dt.datetime, interval: dt.timedelta) -> dt.datetime:
    """The first whole multiple of the interval after now, counted from midnight UTC."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + interval * ((now - midnight) // interval + 1)
