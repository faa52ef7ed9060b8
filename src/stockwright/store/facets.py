"""Facets: how many rows of a list have which value, so that people see what to filter by."""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

MOST_VALUES: Final = 50


class Facet(msgspec.Struct, frozen=True, kw_only=True):
    """One value and how many rows have it."""

    value: str
    count: int


class Facets(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows there are, and by field the most frequent values, most frequent first."""

    total: int
    by: dict[str, list[Facet]]


def facets_of(rows: Iterable[tuple[Any, ...]]) -> Facets:
    """Facets out of rows (field, value, count) in order; the row of field '' is the total."""
    total = 0
    by: dict[str, list[Facet]] = {}
    for field, value, count in rows:
        if not field:
            total = count
            continue
        values = by.setdefault(field, [])
        if len(values) < MOST_VALUES:
            values.append(Facet(value=value, count=count))
    return Facets(total=total, by=by)
