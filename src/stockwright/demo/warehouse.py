"""The warehouses' own view: what lies on the shelf, and which promises leave in the next wave.

Kept apart from Stockwright: at the end of a replay the two are compared, piece by piece.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from stockwright.demo.happenings import Move

PICKED_AFTER: Final = dt.timedelta(minutes=20)
WAVE_EVERY: Final = dt.timedelta(minutes=30)


class Promise(NamedTuple):
    """A line the warehouse must send out: the order's own system, number, line and code."""

    at: dt.datetime
    system: str
    order: str
    line: str
    sku: str
    code: str
    quantity: int


class Wave(NamedTuple):
    """What one wave did: picked now, and shipped what the wave before had picked.

    more is True where another wave has something to do even if nothing else comes in.
    """

    picked: list[Promise]
    shipped: list[Promise]
    more: bool


class Warehouse:
    """Shelves by SKU, and promises in the order in which they came."""

    def __init__(self, opening: Mapping[str, int]) -> None:
        self.shelf: Counter[str] = Counter(opening)
        self._waiting: list[Promise] = []
        self._picked: list[Promise] = []
        self._set_aside: Counter[str] = Counter()

    def promise(self, lines: Iterable[Promise]) -> None:
        """Sellers sold these; the goods are to leave when the shelf has them."""
        self._waiting.extend(lines)

    def move(self, move: Move) -> int | None:
        """The shelf gains or loses; for a count, returns what the clerk found there.

        None for a count means that fewer than nothing would lie there: our record was wrong by
        more than it says, and the clerk can only post the difference.
        """
        self.shelf[move.sku] += move.gain
        found = self.shelf[move.sku]
        return found if found >= 0 else None

    def wave(self, now: dt.datetime) -> Wave:
        """Ship what the wave before picked; pick what is due and whole on the shelf."""
        shipped, self._picked = self._picked, []
        for line in shipped:
            self.shelf[line.sku] -= line.quantity
            self._set_aside[line.sku] -= line.quantity
        still_waiting: list[Promise] = []
        early = False
        for line in self._waiting:
            due = line.at + PICKED_AFTER <= now
            if due and self.shelf[line.sku] - self._set_aside[line.sku] >= line.quantity:
                self._set_aside[line.sku] += line.quantity
                self._picked.append(line)
            else:
                early = early or not due
                still_waiting.append(line)
        self._waiting = still_waiting
        return Wave(list(self._picked), shipped, early or bool(self._picked))

    @property
    def busy(self) -> bool:
        """True while a wave may still have something to do."""
        return bool(self._waiting or self._picked)

    @property
    def open_units(self) -> Counter[str]:
        """Pieces promised and not shipped yet, by SKU."""
        units: Counter[str] = Counter()
        for line in (*self._waiting, *self._picked):
            units[line.sku] += line.quantity
        return units
