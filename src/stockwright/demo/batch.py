"""The counterfactual: the same sellers, fed by batch connectors every so many minutes.

Each seller sells against the number of its last synchronisation less what it sold since. At every
synchronisation the sellers' orders reach the ERP and all sellers get the true free stock at that
moment, at once and without a loss, which flatters real batch connectors.
"""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from stockwright.demo.happenings import Happening, Move, Order
from stockwright.demo.oracle import Oracle
from stockwright.demo.overlay import SELLERS, Chance, seller_of
from stockwright.demo.picture import Picture


class BatchWorld:
    """Five sellers and one true stock, synchronised at whole multiples of the interval.

    An interval of zero synchronises before every line: then nothing can be oversold.
    """

    def __init__(
        self,
        opening: Mapping[str, int],
        interval: dt.timedelta,
        chance: Chance,
        picture: Picture | None = None,
    ) -> None:
        self.oracle = Oracle.opening(opening)
        self._interval = interval
        self._chance = chance
        self._synced = dict(opening)
        self._since: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._next: dt.datetime | None = None
        self._changed: set[str] = set()
        self.picture = picture or Picture("")

    def run(self, world: Iterable[Happening]) -> Oracle:
        """Play everything in order and return the judge with its tallies."""
        for happening in world:
            self._synchronise_until(happening.at)
            if isinstance(happening, Order):
                self._order(happening)
            else:
                self._change(happening)
        return self.oracle

    def shown(self, seller: str, sku: str) -> int:
        """What this seller believes it may sell."""
        return self._synced.get(sku, 0) - self._since[seller][sku]

    def _order(self, order: Order) -> None:
        seller = seller_of(order.invoice, self._chance).code
        self.oracle.order(seller)
        for line in order.lines:
            if not self._interval:
                self._synchronise(order.at)
            if line.quantity <= self.shown(seller, line.sku):
                self.oracle.accepted(seller, line.sku, line.quantity)
                self._since[seller][line.sku] += line.quantity
                self._changed.add(line.sku)
                self._see(order.at, line.sku, seller)
            else:
                self.oracle.refused(seller, line.sku, line.quantity)

    def _change(self, move: Move) -> None:
        self.oracle.move(move.sku, move.gain)
        self._changed.add(move.sku)
        self.picture.see_true(move.at, move.sku, self.oracle.free[move.sku])

    def _synchronise_until(self, now: dt.datetime) -> None:
        """Catch up with the timetable; several missed times have the effect of one."""
        if not self._interval:
            return
        if self._next is None:
            self._synchronise(now)
        elif now >= self._next:
            self._synchronise(self._next)
        if self._next is None or now >= self._next:
            self._next = _following(now, self._interval)

    def _synchronise(self, at: dt.datetime) -> None:
        for sku in self._changed:
            self._synced[sku] = max(0, self.oracle.free[sku])
        self._changed.clear()
        self._since.clear()
        self._see(at, self.picture.sku, *(seller.code for seller in SELLERS))

    def _see(self, at: dt.datetime, sku: str, *sellers: str) -> None:
        self.picture.see_true(at, sku, self.oracle.free[sku])
        for seller in sellers:
            self.picture.see_shown(at, seller, sku, self.shown(seller, sku))


def _following(now: dt.datetime, interval: dt.timedelta) -> dt.datetime:
    """The first whole multiple of the interval after now, counted from midnight UTC."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + interval * ((now - midnight) // interval + 1)
