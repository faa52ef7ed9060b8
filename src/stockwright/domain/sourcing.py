"""Where a request's units are taken from: one place for the whole order first, split where
allowed.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple


class Wanted(NamedTuple):
    """One line to be placed. location fixes the place; room limits what each place can give it."""

    sku: str
    quantity: int
    location: str
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


def spread(
    line: Wanted, pool: Sequence[str], free: Free, taken: Mapping[str, int]
) -> list[tuple[str, int]]:
    """(place, units) in order of priority until the line is covered or the pool is empty."""
    left = line.quantity
    places = []
    for place in pool:
        units = min(left, free(line, place) - taken.get(place, 0))
        if units > 0:
            places.append((place, units))
            left -= units
        if not left:
            break
    return places
