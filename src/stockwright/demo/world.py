"""One world to replay: the lines of a period with the overlay, merged in the order of time."""

import datetime as dt
import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from stockwright.demo.happenings import MINUTE_S, Happening, Move, happenings
from stockwright.demo.lines import LONDON, Line, shipped_lines
from stockwright.demo.overlay import Chance, Plan, inspected, plan_stock
from stockwright.demo.prepare import BURST_MINUTE, LAST_DAY, PEAK_DAY

Profile = Literal["days", "week", "peak", "partners"]

SECOND_DAY: Final = dt.date(2011, 12, 6)


@dataclass(frozen=True, slots=True)
class World:
    """A period ready to replay, as often as wanted: each call of `play` starts anew."""

    lines: Callable[[], Iterable[Line]]
    chance: Chance
    plan: Plan
    line_count: int
    minute_s: float = MINUTE_S

    @classmethod
    def over(
        cls, lines: Callable[[], Iterable[Line]], seed: int, minute_s: float = MINUTE_S
    ) -> "World":
        """The world of these lines; reads them once to lay the stock over them."""
        chance = Chance(seed)
        counted = _Counted(lines())
        return cls(lines, chance, plan_stock(counted, chance), counted.count, minute_s)

    def play(self) -> Iterator[Happening]:
        """Everything that happens, sorted by time; a return is followed by its inspection."""
        return _with_inspections(
            heapq.merge(happenings(self.lines(), self.minute_s), self.plan.receipts, key=_moment),
            self.chance,
        )


class _Counted:
    """Counts what passes, so that a year is read once and not kept."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self.lines = lines
        self.count = 0

    def __iter__(self) -> Iterator[Line]:
        for line in self.lines:
            self.count += 1
            yield line


def profile_lines(profile: Profile) -> list[Line]:
    """The shipped lines a profile replays.

    `days`: the busiest day of the year and the one after it. `week`: two more, among them the
    second busiest. `peak`: the minute with the largest invoice, then the busiest day. `partners`:
    the busiest day.
    """
    burst = dt.datetime.fromisoformat(BURST_MINUTE).replace(tzinfo=LONDON)
    days = {"days": SECOND_DAY, "week": LAST_DAY, "peak": PEAK_DAY, "partners": PEAK_DAY}
    last = days[profile]
    return [
        line
        for line in shipped_lines()
        if line.at.astimezone(LONDON).date() <= last and (profile == "peak" or line.at > burst)
    ]


def _with_inspections(world: Iterable[Happening], chance: Chance) -> Iterator[Happening]:
    waiting: list[tuple[dt.datetime, int, Move]] = []
    for number, happening in enumerate(world):
        while waiting and waiting[0][0] <= happening.at:
            yield heapq.heappop(waiting)[2]
        yield happening
        if isinstance(happening, Move) and happening.kind == "return":
            result = inspected(happening, chance)
            heapq.heappush(waiting, (result.at, number, result))
    while waiting:
        yield heapq.heappop(waiting)[2]


def _moment(happening: Happening) -> dt.datetime:
    return happening.at
