"""Whole base units: conversion by integer factors, and the bounds every sum stays inside."""

from collections.abc import Mapping
from typing import Final

from stockwright.domain.errors import Rejected
from stockwright.domain.events import MAX_QUANTITY

LIMIT: Final = 1 << 62
"""No balance passes this: two of them still add up inside a 64-bit integer."""


def to_base(quantity: int, unit: str, base_unit: str, factors: Mapping[str, int]) -> int:
    """The quantity in base units.

    Raises Rejected: unknown_unit where the SKU has no such unit, malformed where the result is too
    large.
    """
    if not unit or unit == base_unit:
        return quantity
    factor = factors.get(unit)
    if factor is None:
        known = ", ".join(sorted({base_unit, *factors}))
        raise Rejected(
            "unknown_unit",
            "unit",
            f"unit {unit!r} is not one of {known}; add it to the item master",
        )
    base = quantity * factor
    if abs(base) > MAX_QUANTITY:
        raise Rejected("malformed", "quantity", f"more than {MAX_QUANTITY} base units in one line")
    return base


def bounded(value: int) -> int:
    """The value itself. Raises Rejected where a balance would leave the range of the ledger."""
    if -LIMIT < value < LIMIT:
        return value
    raise Rejected(
        "malformed", "quantity", "this would take a balance beyond what the ledger can hold"
    )
