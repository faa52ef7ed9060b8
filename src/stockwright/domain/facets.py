"""Facets: how many rows of a list there are for each value of its properties.

They are computed from one count per combination of values (the cube), so that a facet's numbers
follow what was chosen in the others, and a chosen facet still shows its other values.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

AGES: Final[Sequence[tuple[str, float, float]]] = (
    ("under an hour", 0.0, 3_600.0),
    ("under a day", 3_600.0, 86_400.0),
    ("under a week", 86_400.0, 604_800.0),
    ("older", 604_800.0, 1e12),
)
"""Ages by name: from this many seconds (included) to that many."""


class FacetValue(msgspec.Struct, frozen=True):
    """One value with the rows that choosing it would leave."""

    value: str
    count: int
    chosen: bool


class Facet(msgspec.Struct, frozen=True):
    """One property of a list's rows; its values with most rows first, ages by age."""

    name: str
    title: str
    values: Sequence[FacetValue]


class Count(msgspec.Struct, frozen=True):
    """How many rows share these values, aligned with the names of the facets."""

    values: Sequence[str]
    rows: int


def facets(
    titles: Mapping[str, str], cube: Sequence[Count], chosen: Mapping[str, str]
) -> list[Facet]:
    """The facets of a list in the order of their titles; `chosen` names a value for some."""
    names = list(titles)
    return [
        Facet(name, titles[name], _values(names, place, cube, chosen))
        for place, name in enumerate(names)
    ]


def _values(
    names: Sequence[str], place: int, cube: Sequence[Count], chosen: Mapping[str, str]
) -> list[FacetValue]:
    others = [n for n, name in enumerate(names) if n != place and chosen.get(name)]
    counts: Counter[str] = Counter()
    for cell in cube:
        if all(cell.values[n] == chosen[names[n]] for n in others):
            counts[cell.values[place]] += cell.rows
    mine = chosen.get(names[place], "")
    if mine:
        counts.setdefault(mine, 0)
    order = {age: n for n, (age, _, _) in enumerate(AGES)}
    ranked = sorted(counts.items(), key=lambda one: (order.get(one[0], -1), -one[1], one[0]))
    return [FacetValue(value, rows, value == mine) for value, rows in ranked if value]


def total(names: Sequence[str], cube: Sequence[Count], chosen: Mapping[str, str]) -> int:
    """How many rows have every chosen value."""
    asked = [(n, chosen[name]) for n, name in enumerate(names) if chosen.get(name)]
    return sum(cell.rows for cell in cube if all(cell.values[n] == value for n, value in asked))


def age_limits(name: str) -> tuple[float, float]:
    """From and to how many seconds an age reaches; everything for a name that is none."""
    return next(((low, high) for age, low, high in AGES if age == name), (0.0, 1e12))
