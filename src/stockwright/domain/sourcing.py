"""Where a request's units are taken from: one place for the whole order first, split where
allowed.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple


class Wanted(NamedTuple):
    """One line to be placed anywhere in the pool."""

    sku: str
    quantity: int
    lot: str


Free = Callable[[Wanted, str], int]
"""Units of the line's SKU that a place can still promise."""


def place_whole(lines: Sequence[Wanted], pool: Sequence[str], free: Free) -> str:
    """The first place in order of priority that holds every line of the order in full, or ''.

    Demand on one SKU is summed over the lines, so that two lines cannot be promised the same unit.
    """
    need: dict[tuple[str, str], tuple[Wanted, int]] = {}
    for line in lines:
        first, sum_so_far = need.get((line.sku, line.lot), (line, 0))
        need[(line.sku, line.lot)] = (first, sum_so_far + line.quantity)
    for place in pool:
        if all(free(line, place) >= total for line, total in need.values()):
            return place
    return ""


def place_units(units: int, pool: Sequence[str], room: Mapping[str, int]) -> list[tuple[str, int]]:
    """(place, units) of one line: the first place that can give all of it, else several."""
    for place in pool:
        if room[place] >= units:
            return [(place, units)]
    return spread(units, pool, room)


def spread(units: int, pool: Sequence[str], room: Mapping[str, int]) -> list[tuple[str, int]]:
    """(place, units) in order of priority until the units are covered or the pool is empty."""
    left = units
    places = []
    for place in pool:
        take = min(left, room[place])
        if take > 0:
            places.append((place, take))
            left -= take
        if not left:
            break
    return places
