"""How large demand lines are: a histogram of few buckets, exact for small lines.

A line counts in the bucket of the smallest bound that holds it, so that sizes are never told too
small. Weights are numbers of lines, decayed by age; so they are not whole.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

BOUNDS: Final = (
    *(1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128),
    *(160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 896, 1024, 1536, 2048, 4096, 8192),
    *(16_384, 32_768, 65_536, 131_072),
)
"""The largest line of each bucket, in base units; a larger line counts in the last."""

Sizes = tuple[float, ...]
"""Lines seen in each bucket, aligned with BOUNDS."""

NONE: Final[Sizes] = (0.0,) * len(BOUNDS)


def bucket_of(units: int) -> int:
    """The bucket in which a line of so many base units counts."""
    return min(bisect_left(BOUNDS, units), len(BOUNDS) - 1)


def added(*several: Sequence[float]) -> Sizes:
    """Histograms summed up."""
    return tuple(map(sum, zip(*several, strict=True))) if several else NONE


def scaled(sizes: Sequence[float], factor: float) -> Sizes:
    """A histogram with every weight multiplied."""
    return tuple(weight * factor for weight in sizes)


def mean_units(sizes: Sequence[float]) -> float:
    """Base units of the average line; 1 where none was seen."""
    lines = sum(sizes)
    if lines <= 0.0:
        return 1.0
    units = sum(bound * weight for bound, weight in zip(BOUNDS, sizes, strict=True))
    return units / lines
