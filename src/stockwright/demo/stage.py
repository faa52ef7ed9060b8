"""What all partners of one replay share: the clock, the judge, the measure and the picture."""

import datetime as dt
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from stockwright.demo.clock import ClosedLoop, VirtualClock
from stockwright.demo.latency import LatencyMeter
from stockwright.demo.oracle import Oracle
from stockwright.demo.overlay import Chance
from stockwright.demo.picture import Picture

REPEATED_PERCENT: Final = 5
"""Of all messages and calls, so many come twice."""
LATE_PERCENT: Final = 5
"""Of all messages whose order does not change what may be sold, so many are overtaken by others."""
LATEST_S: Final = 45.0


@dataclass
class Stage:
    """One replay's shared state. `repeated` counts messages heard twice and absorbed, by door."""

    clock: VirtualClock
    loop: ClosedLoop
    oracle: Oracle
    meter: LatencyMeter
    picture: Picture
    chance: Chance
    repeated: Counter[str] = field(default_factory=Counter)
    late: int = 0
    _untold: list[tuple[str, int]] = field(default_factory=list)

    def after(self, seconds: float) -> dt.datetime:
        """The virtual moment so many seconds from now."""
        return self.clock.now() + dt.timedelta(seconds=seconds)

    def is_repeated(self, *name: str) -> bool:
        """Whether a message of this name comes twice."""
        return self.chance.percent("repeated", *name) < REPEATED_PERCENT

    def lateness_s(self, *name: str) -> float:
        """How long a message of this name takes on its way; 0 for most."""
        if self.chance.percent("late", *name) >= LATE_PERCENT:
            return 0.0
        self.late += 1
        return 1.0 + self.chance.fraction("lateness", *name) * (LATEST_S - 1.0)

    def accept(self, seller: str, sku: str, quantity: int, *, asked: bool = False) -> None:
        """A seller promised these pieces."""
        self.oracle.accepted(seller, sku, quantity, asked=asked)
        self.picture.see_true(self.clock.now(), sku, self.oracle.free[sku])

    def gain(self, sku: str, pieces: int) -> None:
        """The shelf gained (or lost) sellable pieces."""
        self.oracle.move(sku, pieces)
        self.picture.see_true(self.clock.now(), sku, self.oracle.free[sku])

    def keep_back(self, sku: str, pieces: int) -> None:
        """Pieces are gone, and the hub cannot know it yet."""
        self.oracle.kept_back(sku, pieces)

    def told(self, sku: str, pieces: int) -> None:
        """The hub was told; it counts as knowing once everything is at rest."""
        self._untold.append((sku, pieces))

    def rested(self) -> None:
        """Nothing is under way: the hub knows all it was told."""
        self.meter.rested()
        for sku, pieces in self._untold:
            self.oracle.told(sku, pieces)
        self._untold.clear()
