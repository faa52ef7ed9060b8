"""What is remembered of past demand: lines by source, decayed by age, and when they come.

A source is (system, channel); channel '' is demand that no channel brought, such as a till's.
"""

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from stockwright.domain import line_sizes
from stockwright.domain.line_sizes import Sizes
from stockwright.domain.risk import Demand

SourceKey = tuple[str, str]
"""(system, channel)"""

MEMORY: Final = dt.timedelta(days=40)
"""A line counts 1/e after so long: half of it after four weeks."""
PRIOR_LINES: Final = 1.0
"""The group's rate weighs as much as one line of the SKU's own."""
PRIOR_SIZES: Final = 2.0
"""The group's line sizes weigh as much as two lines of the SKU's own."""
HOURS: Final = 168


class Tally(msgspec.Struct, kw_only=True):
    """Lines by size up to a time, each decayed by its age then."""

    as_of: dt.datetime
    sizes: Sizes = line_sizes.NONE

    def add(self, at: dt.datetime, units: int) -> None:
        """One line more; one that comes late counts as if it came now."""
        sizes = list(self.aged(at))
        sizes[line_sizes.bucket_of(units)] += 1.0
        self.sizes, self.as_of = tuple(sizes), max(self.as_of, at)

    def aged(self, now: dt.datetime) -> Sizes:
        """The lines by size as they count at a later time."""
        factor = decay(now - self.as_of)
        return self.sizes if factor == 1.0 else line_sizes.scaled(self.sizes, factor)


def decay(age: dt.timedelta, memory: dt.timedelta = MEMORY) -> float:
    """What a line counts at an age; never more than one."""
    return math.exp(-max(0.0, age / memory))


def observed_s(since: dt.datetime, now: dt.datetime) -> float:
    """Seconds since a time, each decayed as the lines in it are."""
    return MEMORY.total_seconds() * (1.0 - decay(now - since))


def prior(group: Mapping[SourceKey, Sizes], skus: int, observed: float) -> dict[SourceKey, Demand]:
    """What to expect of a SKU of a group before it has sold: demand by source.

    group holds the lines of all its SKUs together, `skus` how many they are, `observed` the
    decayed seconds they were watched. Together the sources weigh PRIOR_LINES.
    """
    lines = sum(sum(sizes) for sizes in group.values())
    if lines <= 0.0 or skus <= 0 or observed <= 0.0:
        return {}
    seconds = PRIOR_LINES * observed * skus / lines
    return {
        source: Demand(
            lines=PRIOR_LINES * sum(sizes) / lines,
            observed_s=seconds,
            sizes=line_sizes.scaled(sizes, PRIOR_SIZES / lines),
        )
        for source, sizes in group.items()
        if any(sizes)
    }


def busy_factor(lines_by_hour: Sequence[float]) -> float:
    """How many times as fast as on average lines come in the hour a line comes in.

    lines_by_hour counts lines by hour of the week. 1 where they come evenly or none came.
    """
    lines = sum(lines_by_hour)
    if lines <= 0.0:
        return 1.0
    return max(1.0, len(lines_by_hour) * sum(n * n for n in lines_by_hour) / (lines * lines))


def hour_of_week(at: dt.datetime) -> int:
    """0 is Monday from midnight UTC."""
    utc = at.astimezone(dt.UTC)
    return utc.weekday() * 24 + utc.hour
