"""The risk-bounded buffer: how much to hold back from a channel that sells without asking.

The derivation, with its assumptions, is in docs/explanation/risk-bounded-buffer.md. In short: of
all the times a stock runs out, the channel may go on selling what is gone in at most the share
`risk` of them. It does so where it gets an order after the stock is gone, and before it is told,
while it still shows more than zero: where demand from elsewhere that it was not told of, together
with what the last line took, exceeds the buffer.
"""

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from stockwright.domain import compound, line_sizes
from stockwright.domain.line_sizes import BOUNDS, Sizes

SLICES: Final = 4
RARE: Final = 0.002
"""Sizes of which fewer lines than this share were seen are not told apart."""
ROUGH_CELLS: Final = 12
FINE_CELLS: Final = 96
LARGEST: Final = 10_000_000
"""No buffer is larger, in base units; a channel that needs more should ask before it sells."""
LOWER_AT: Final = 0.7
"""A buffer falls only to what would hold at this share of the risk: it does not flap."""


class Demand(msgspec.Struct, frozen=True, kw_only=True):
    """Lines seen from one source within a time, decayed by age alike; sizes holds them by size."""

    lines: float = 0.0
    observed_s: float = 0.0
    sizes: Sizes = line_sizes.NONE

    def plus(self, prior: "Demand") -> "Demand":
        """What is known with what was believed before anything was seen."""
        return Demand(
            lines=self.lines + prior.lines,
            observed_s=self.observed_s + prior.observed_s,
            sizes=line_sizes.added(self.sizes, prior.sizes),
        )

    @property
    def per_s(self) -> float:
        """Lines a second."""
        return self.lines / self.observed_s if self.observed_s > 0.0 else 0.0


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Demand from elsewhere, and how long it takes until the channel shows what it took."""

    demand: Demand
    window_s: float


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What a buffer is computed from. own is the channel's own demand on the SKU.

    busy is how many times as fast as on average lines come when they come.
    """

    risk: float
    elsewhere: Sequence[Source] = ()
    own: Demand = Demand()
    busy: float = 1.0


class Buffer(msgspec.Struct, frozen=True, kw_only=True):
    """The buffer in base units, and the chance per stock-out that remains with it.

    lines is the number of lines from elsewhere that a blind window sees on average where stock
    runs out; window_s is the longest of the windows.
    """

    units: int
    chance: float
    lines: float = 0.0
    window_s: float = 0.0


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """What a buffer follows from. Lines a day are averages, the SKU's own blended with its group's.

    seen is how many lines of the SKU count, decayed. chance is what remains per stock-out.
    """

    risk: float
    chance: float
    elsewhere_per_day: float
    own_per_day: float
    seen: float
    busy: float
    window_s: float
    why_window: str
    most: int | None = None

    def why(self, units: int) -> str:
        """In words: rate, window, risk, and what remains of it with a buffer of so many units."""
        capped = f", {self.most} at most" if self.most == units else ""
        return (
            f"risk {self.risk * 100:g} % per stock-out{capped}: {self.elsewhere_per_day:,.2f} lines"
            f" a day from elsewhere, {self.own_per_day:,.2f} here, blind for"
            f" {self.window_s:,.1f} s ({self.why_window}); {self.chance * 100:.2g} % remain"
        )


def smallest_buffer(case: Case, most: int | None = None, before: int | None = None) -> Buffer:
    """The smallest buffer that keeps the risk, never more than `most`.

    before is the buffer held so far: it stays where it keeps the risk and a smaller one would do
    so only narrowly.
    """
    limit = LARGEST if most is None else min(most, LARGEST)
    model = _Model(case)
    needed = model.smallest(case.risk, limit)
    if before is not None and needed.units < before <= limit:
        lower = model.smallest(case.risk * LOWER_AT, before)
        return lower if lower.units < before else model.at(before)
    return needed


def chance_of(case: Case, buffer: int) -> float:
    """The chance per stock-out that the channel sells what is gone, with a buffer."""
    return _Model(case).at(buffer).chance


class _Model:
    """One case, prepared: everything that does not depend on the size of the grid."""

    def __init__(self, case: Case) -> None:
        seen = sum(source.demand.lines for source in case.elsewhere)
        # That a stock ran out says that demand is there: one line more of evidence.
        self.shape = seen + 1.0
        speed = case.busy * (self.shape / seen if seen > 0.0 else 1.0)
        self.rates = [source.demand.per_s * speed for source in case.elsewhere]
        self.windows = [max(0.0, source.window_s) for source in case.elsewhere]
        self.sizes = [source.demand.sizes for source in case.elsewhere]
        self.window_s = max(self.windows, default=0.0)
        self.own_per_s = case.own.per_s * speed
        self.own_mean = line_sizes.mean_units(case.own.sizes)
        own_units = case.own.per_s * self.own_mean
        units = own_units + sum(
            source.demand.per_s * line_sizes.mean_units(source.demand.sizes)
            for source in case.elsewhere
        )
        self.own_share = own_units / units if units > 0.0 else 0.0
        self._found: dict[tuple[int, int], list[float]] = {}

    @property
    def lines(self) -> float:
        """Lines from elsewhere within the windows, on average where stock runs out."""
        return self._lines_after(0.0)

    def smallest(self, risk: float, limit: int) -> Buffer:
        """The smallest buffer up to a limit whose chance is at most the risk; else the limit."""
        if self.lines <= 0.0 or self.own_per_s <= 0.0 or limit == 0:
            return self.at(0)
        step = 1
        while step <= LARGEST:
            # A rough look first: most of the work is in the cells.
            near = _first_at_most(self._chances(ROUGH_CELLS, step), risk)
            if near is not None or ROUGH_CELLS * step > limit:
                reach = min(limit, (ROUGH_CELLS if near is None else near + 2) * step)
                fine = -(-reach // FINE_CELLS)
                chances = self._chances(reach // fine + 1, fine)
                cell = _first_at_most(chances, risk)
                if cell is not None and cell * fine <= limit:
                    return self._buffer(cell * fine, chances[cell])
                if reach == limit:
                    return self._buffer(limit, chances[-1])
            step *= 4
        return self.at(limit)

    def at(self, buffer: int) -> Buffer:
        """A given buffer and its chance."""
        step = buffer // FINE_CELLS + 1
        return self._buffer(buffer, self._chances(buffer // step + 1, step)[buffer // step])

    def _buffer(self, units: int, chance: float) -> Buffer:
        return Buffer(units=units, chance=chance, lines=self.lines, window_s=self.window_s)

    def _lines_after(self, passed_s: float) -> float:
        """Lines within what is left of the windows once a time has passed."""
        return sum(
            rate * max(0.0, window - passed_s)
            for rate, window in zip(self.rates, self.windows, strict=True)
        )

    def _mix(self, passed_s: float) -> list[tuple[int, float]]:
        """The sizes of those lines, with their weights."""
        weights = [0.0] * len(BOUNDS)
        for rate, window, sizes in zip(self.rates, self.windows, self.sizes, strict=True):
            seen = sum(sizes)
            part = rate * max(0.0, window - passed_s)
            if seen > 0.0 and part > 0.0:
                for n, weight in enumerate(sizes):
                    weights[n] += part * weight / seen
        return _merged(weights)

    def _chances(self, cells: int, step: int) -> list[float]:
        """The chance with a buffer of 0, step, 2 step, ... units; an upper bound."""
        found = self._found.get((cells, step))
        if found is None:
            found = self._found[cells, step] = self._compute(cells, step)
        return found

    def _compute(self, cells: int, step: int) -> list[float]:
        if self.lines <= 0.0 or self.own_per_s <= 0.0:
            return [0.0] * cells
        width = self.window_s / SLICES
        slices = [self._tails(n * width, cells, step) for n in range(SLICES)]
        # The channel's own order took the last unit, and more than that.
        crossed = self.own_share * (1.0 - 1.0 / self.own_mean)
        total = [crossed * alone for alone in slices[0][1]]
        for n, (with_line, alone) in enumerate(slices):
            # The channel's first order after the stock is gone comes within this slice; then
            # what was sold in the rest of the window still stood in its number.
            weight = math.exp(-self.own_per_s * n * width) * -math.expm1(-self.own_per_s * width)
            ended_by_own = self.own_share / self.own_mean
            for cell in range(cells):
                total[cell] += weight * (with_line[cell] + ended_by_own * alone[cell])
        return [min(1.0, chance) for chance in total]

    def _tails(self, passed_s: float, cells: int, step: int) -> tuple[list[float], list[float]]:
        """The chance that the channel shows too much by more than each buffer: where a line from
        elsewhere took the last unit, and where one of its own did.
        """
        lines = self._lines_after(passed_s)
        sizes = compound.on_cells(self._mix(passed_s), step) if lines > 0.0 else {}
        alone = compound.tail(compound.chances_of_sum(lines, self.shape, sizes, cells))
        return compound.tail_with_last_line(alone, sizes), alone


def _merged(weights: Sequence[float]) -> list[tuple[int, float]]:
    """(units, weight) of the sizes; rare ones count as the next larger: never too small."""
    least = RARE * sum(weights)
    found: list[tuple[int, float]] = []
    carried = 0.0
    for bound, weight in zip(BOUNDS, weights, strict=True):
        carried += weight
        if weight and carried >= least:
            found.append((bound, carried))
            carried = 0.0
    if carried:
        largest = max(n for n, weight in enumerate(weights) if weight)
        found.append((BOUNDS[largest], carried))
    return found


def _first_at_most(chances: Sequence[float], risk: float) -> int | None:
    """The first cell whose chance is at most the risk."""
    return next((cell for cell, chance in enumerate(chances) if chance <= risk), None)
