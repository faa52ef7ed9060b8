"""Finds the SKU and the base units that a partner means: by our code or its own, in any unit."""

from collections.abc import Sequence
from typing import Any

from stockwright.domain.backorders import ToldOwed
from stockwright.domain.errors import Rejected
from stockwright.domain.quantity import to_base
from stockwright.domain.supply import ToldSupply
from stockwright.domain.wellformed import check_time
from stockwright.store.connection import Connection
from stockwright.store.queries import load

_SQL = load("catalog")
Meant = tuple[str, int]
"""(sku, base units)"""
Names = ToldSupply | ToldOwed
"""Whatever names a SKU, or a partner's own item, and a quantity of it."""


def meant(
    connection: Connection, told: Sequence[ToldSupply] | Sequence[ToldOwed]
) -> list[Meant | Rejected]:
    """What each means, aligned; a Rejected (unknown_sku, unknown_unit) where nobody knows, or
    (malformed) where its time is none that the ledger can reckon with.
    """
    own = [(one.system, one.item) for one in told if not one.sku]
    columns = ([system for system, _ in own], [code for _, code in own])
    bound = {
        (system, item): (sku, unit)
        for system, item, sku, unit in connection.execute(_SQL["bindings"], columns)
    }
    codes = {one.sku for one in told if one.sku} | {sku for sku, _ in bound.values()}
    known = {row[0]: row for row in connection.execute(_SQL["skus"], (sorted(codes),))}
    return [_one(one, bound, known) for one in told]


def _one(
    one: Names, bound: dict[tuple[str, str], tuple[str, str]], known: dict[str, tuple[Any, ...]]
) -> Meant | Rejected:
    try:
        _check_times(one)
    except Rejected as refusal:
        return refusal
    sku, unit = one.sku, one.unit
    if not sku:
        if (one.system, one.item) not in bound:
            message = f"code {one.item!r} of {one.system} is not bound to a SKU; bind it"
            return Rejected("unknown_sku", "item", message)
        sku, own_unit = bound[one.system, one.item]
        unit = unit or own_unit
    if sku not in known:
        return Rejected("unknown_sku", "sku", f"no SKU {sku!r}; add it to the item master")
    _, _, base_unit, _, factors = known[sku]
    try:
        return sku, to_base(one.quantity, unit, base_unit, factors)
    except Rejected as refusal:
        return refusal


def _check_times(one: Names) -> None:
    if isinstance(one, ToldSupply):
        check_time(one.due_at, "due_at")
    else:
        check_time(one.owed_since, "owed_since")
