"""Takes in what partners tell of supply and backorders: codes resolved, one answer for each."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Final, Protocol, TypeVar

from stockwright.domain.catalog import Sku
from stockwright.domain.errors import Rejected
from stockwright.domain.events import Outcome
from stockwright.domain.owing import BackorderTold
from stockwright.domain.quantity import to_base
from stockwright.domain.supply import SupplyTold
from stockwright.store import backorders, naming, supplies
from stockwright.store.backorders import BackorderRow
from stockwright.store.connection import Connection
from stockwright.store.master import known_codes
from stockwright.store.supplies import SupplyRow

_EARLIEST: Final = dt.datetime(1900, 1, 1, tzinfo=dt.UTC)
_LATEST: Final = dt.datetime(9000, 1, 1, tzinfo=dt.UTC)

Answer = Outcome | Rejected
R = TypeVar("R", SupplyRow, BackorderRow)


class _Told(Protocol):
    @property
    def system(self) -> str: ...
    @property
    def sku(self) -> str: ...
    @property
    def item(self) -> str: ...
    @property
    def unit(self) -> str: ...
    @property
    def quantity(self) -> int: ...


class _Names:
    """What the codes of some items stand for."""

    def __init__(self, connection: Connection, items: Sequence[_Told], codes: set[str]) -> None:
        self._bindings = naming.bindings(
            connection, {(one.system, one.item) for one in items if not one.sku and one.item}
        )
        bound = {sku for sku, _ in self._bindings.values()}
        self._skus: Mapping[str, Sku] = naming.skus(
            connection, {one.sku for one in items if one.sku} | bound
        )
        codes |= {one.system for one in items}
        self._known = known_codes(connection, sorted(codes))

    def base_units(self, told: _Told) -> tuple[str, int]:
        """The SKU and the quantity in base units. Raises Rejected."""
        code, unit = told.sku, told.unit
        if not code:
            if not told.item:
                raise Rejected("malformed", "sku", "Name the SKU, or your own code in item.")
            bound = self._bindings.get((told.system, told.item))
            if bound is None:
                message = f"The code {told.item!r} of {told.system} is not bound to a SKU."
                raise Rejected("unknown_sku", "item", message)
            code, unit = bound[0], unit or bound[1]
        known = self._skus.get(code)
        if known is None:
            raise Rejected("unknown_sku", "sku", f"No SKU {code!r}; add it to the item master.")
        return code, to_base(told.quantity, unit, known.base_unit, known.factors)

    def require(self, kind: str, code: str, field: str = "") -> None:
        """Raises Rejected where there is no such system, location or channel."""
        if (kind, code) not in self._known:
            raise Rejected(f"unknown_{kind}", field or kind, f"No {kind} {code!r}; check its code.")


def tell_supply(connection: Connection, items: Sequence[SupplyTold]) -> list[Answer]:
    """Takes lines of supply in, in one transaction; one answer per line, aligned."""
    codes = {one.location for one in items} | {one.of_system for one in items if one.of_system}
    names = _Names(connection, items, codes)
    rows: list[SupplyRow | Rejected] = []
    for one in items:
        try:
            rows.append(_supply_row(names, one))
        except Rejected as refusal:
            rows.append(refusal)
    good = [row for row in rows if isinstance(row, SupplyRow)]
    return _aligned(rows, supplies.tell(connection, good) if good else [])


def _supply_row(names: _Names, told: SupplyTold) -> SupplyRow:
    names.require("system", told.system)
    names.require("location", told.location)
    sku, units = names.base_units(told)
    _check_time(told.due_at, "due_at")
    of_document = told.of_document if told.kind == "ship_notice" else ""
    if told.of_document and told.kind != "ship_notice":
        raise Rejected("malformed", "of_document", "Only a ship notice specifies another document.")
    if of_document and told.of_system:
        names.require("system", told.of_system, "of_system")
    return SupplyRow(
        id=0,
        system=told.system,
        document=told.document,
        line=told.line,
        kind=told.kind,
        revision=told.revision,
        sku=sku,
        location=told.location,
        quantity=units,
        due_at=told.due_at.astimezone(dt.UTC),
        of_system=(told.of_system or told.system) if of_document else "",
        of_document=of_document,
        of_line=(told.of_line or told.line) if of_document else "",
    )


def tell_backorders(connection: Connection, items: Sequence[BackorderTold]) -> list[Answer]:
    """Records backorders; one answer per line, aligned.

    Commits twice: first the ledger is told to look for them, then they are recorded in its lane.
    """
    with connection.transaction():
        rows = backorder_rows(connection, items)
    good = [row for row in rows if isinstance(row, BackorderRow)]
    while good:
        with connection.transaction():
            backorders.flag(connection, {row.sku for row in good})
        try:
            with connection.transaction():
                return _aligned(rows, backorders.tell(connection, good))
        except backorders.Unflagged:
            continue  # between the two, nothing was owed and the flag was taken away
    return _aligned(rows, [])


def backorder_rows(
    connection: Connection, items: Sequence[BackorderTold]
) -> list[BackorderRow | Rejected]:
    """The rows that some items stand for, aligned."""
    names = _Names(connection, items, {one.channel for one in items})
    classes = naming.channel_classes(connection)
    rows: list[BackorderRow | Rejected] = []
    for one in items:
        try:
            rows.append(_backorder_row(names, classes, one))
        except Rejected as refusal:
            rows.append(refusal)
    return rows


def _backorder_row(names: _Names, classes: Mapping[str, int], told: BackorderTold) -> BackorderRow:
    names.require("system", told.system)
    names.require("channel", told.channel)
    sku, units = names.base_units(told)
    if told.owed_since is not None:
        _check_time(told.owed_since, "owed_since")
    return BackorderRow(
        system=told.system,
        order=told.order,
        line=told.line,
        revision=told.revision,
        sku=sku,
        channel=told.channel,
        channel_class=classes[told.channel],
        quantity=units,
        demand_class=told.demand_class,
        owed_since=told.owed_since.astimezone(dt.UTC) if told.owed_since else None,
    )


def _check_time(value: dt.datetime, field: str) -> None:
    if not _EARLIEST < value < _LATEST:
        raise Rejected("malformed", field, "A time outside the years 1900 to 9000.")


def _aligned(rows: Sequence[R | Rejected], outcomes: Sequence[Outcome]) -> list[Answer]:
    left = iter(outcomes)
    return [row if isinstance(row, Rejected) else next(left) for row in rows]
