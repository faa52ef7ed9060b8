"""Why a row cannot stand in the item master as the rest of it is now. Checked under its lock."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from stockwright.domain.errors import Rejected
from stockwright.domain.items import Binding, Component, Kit, Listing, Sku, Unit, path_to
from stockwright.domain.network import Location
from stockwright.store import queries
from stockwright.store.connection import Connection

Faults = list[Rejected | None]
_SQL: Final = queries.load("master")


def sku_faults(connection: Connection, rows: Sequence[Sku]) -> Faults:
    """Base unit and lot control are fixed once the SKU is counted in them, awaited or owed."""
    known = _skus(connection, (row.code for row in rows))
    moved = [
        row.code
        for row in rows
        if (old := known.get(row.code))
        and (old.base_unit, old.control) != (row.base_unit, row.control)
    ]
    found = connection.execute(_SQL["skus_with_stock"], {"skus": moved}) if moved else ()
    in_use = {sku for (sku,) in found}
    return [_in_use(known[row.code], row) if row.code in in_use else None for row in rows]


def _in_use(old: Sku, new: Sku) -> Rejected:
    field = "base_unit" if old.base_unit != new.base_unit else "control"
    kept = getattr(old, field)
    return Rejected(
        "in_use",
        field,
        f"{new.code} is counted with {field} {kept}; keep it, or make a new SKU",
    )


def unit_faults(connection: Connection, rows: Sequence[Unit]) -> Faults:
    """The SKU exists, and its base unit holds exactly one."""
    known = _skus(connection, (row.sku for row in rows))
    return [_unit_fault(known, row) for row in rows]


def _unit_fault(known: Mapping[str, Sku], row: Unit) -> Rejected | None:
    if row.sku not in known:
        return _unknown("sku", "sku", row.sku)
    if row.code == known[row.sku].base_unit and row.factor != 1:
        message = f"{row.code} is the base unit of {row.sku}, which holds 1 of itself"
        return Rejected("base_unit", "factor", message)
    return None


def binding_faults(connection: Connection, rows: Sequence[Binding]) -> Faults:
    """The system exists, what the code is bound to exists, and the unit is one of the SKU's."""
    items = [row for row in rows if row.subject == "item"]
    skus = _skus(connection, (row.code for row in items))
    wanted = [(row.code, row.unit) for row in items if row.unit]
    units = _units(connection, wanted)
    codes = _known_codes(connection, [code for row in rows for code in (row.system, row.code)])
    return [_binding_fault(row, skus, units, codes) for row in rows]


def _binding_fault(
    row: Binding,
    skus: Mapping[str, Sku],
    units: set[tuple[str, str]],
    codes: set[tuple[str, str]],
) -> Rejected | None:
    if ("system", row.system) not in codes:
        return _unknown("system", "system", row.system)
    if row.subject == "location":
        if row.unit:
            return Rejected("unit_of_location", "unit", "a location has no unit; leave it empty")
        known = ("location", row.code) in codes
        return None if known else _unknown("location", "code", row.code)
    if row.code not in skus:
        return _unknown("sku", "code", row.code)
    if row.unit and row.unit != skus[row.code].base_unit and (row.code, row.unit) not in units:
        message = f"{row.code} has no unit {row.unit}; import the unit first"
        return Rejected("unknown_unit", "unit", message)
    return None


def listing_faults(connection: Connection, rows: Sequence[Listing]) -> Faults:
    """The channel and every SKU exist."""
    skus = _skus(connection, (part.sku for row in rows for part in row.components))
    codes = _known_codes(connection, [row.channel for row in rows])
    return [_listing_fault(row, skus, codes) for row in rows]


def _listing_fault(
    row: Listing, skus: Mapping[str, Sku], codes: set[tuple[str, str]]
) -> Rejected | None:
    if ("channel", row.channel) not in codes:
        return _unknown("channel", "channel", row.channel)
    missing = next((part.sku for part in row.components if part.sku not in skus), None)
    if missing is not None:
        return _unknown("sku", "sku", missing)
    return _twice(row.components, "sku")


def _twice(components: Sequence[Component], field: str) -> Rejected | None:
    """Two lines with one SKU: added up or replaced, nobody said."""
    seen: set[str] = set()
    for part in components:
        if part.sku in seen:
            message = f"{part.sku} stands in two lines; write one line with the whole quantity"
            return Rejected("component_twice", field, message)
        seen.add(part.sku)
    return None


def kit_faults(connection: Connection, rows: Sequence[Kit]) -> Faults:
    """All SKUs exist, and no kit contains itself, not even by way of others."""
    named = {part.sku for row in rows for part in row.components}
    skus = _skus(connection, [*named, *(row.sku for row in rows)])
    found = connection.execute(_SQL["kits_below"], {"skus": list(named)})
    boms: dict[str, Iterable[str]] = dict(found.fetchall())
    faults: Faults = []
    for row in rows:
        fault = _kit_fault(row, skus, boms)
        if fault is None:
            boms[row.sku] = [part.sku for part in row.components]
        faults.append(fault)
    return faults


def _kit_fault(
    row: Kit, skus: Mapping[str, Sku], boms: Mapping[str, Iterable[str]]
) -> Rejected | None:
    if row.sku not in skus:
        return _unknown("sku", "sku", row.sku)
    missing = next((part.sku for part in row.components if part.sku not in skus), None)
    if missing is not None:
        return _unknown("sku", "component", missing)
    for part in row.components:
        way = path_to(boms, part.sku, row.sku)
        if way:
            circle = " > ".join([row.sku, *way])
            message = f"the kit would contain itself: {circle}; take one of them out"
            return Rejected("kit_cycle", "component", message)
    return _twice(row.components, "component")


def location_faults(connection: Connection, rows: Sequence[Location]) -> Faults:
    """A channel's pool names locations and groups alike, so no code may be both; and none may lose
    what it sells from.
    """
    faults = _code_faults(connection, rows)
    while emptied := _pools_emptied(connection, _written(rows, faults)):
        for n, row in enumerate(rows):
            if row.code in emptied and faults[n] is None:
                faults[n] = _emptied(*emptied[row.code])
    return faults


def _code_faults(connection: Connection, rows: Sequence[Location]) -> Faults:
    named = [code for row in rows for code in (row.code, *row.groups)]
    codes = _known_codes(connection, named)
    faults: Faults = []
    for row in rows:
        both = next((group for group in row.groups if ("location", group) in codes), None)
        if both is not None:
            message = f"{both} is the code of a location; give the group another code"
            faults.append(Rejected("group_is_location", "groups", message))
        elif ("group", row.code) in codes:
            message = f"{row.code} is the code of a group; give the location another code"
            faults.append(Rejected("location_is_group", "code", message))
        else:
            faults.append(None)
            codes |= {("location", row.code), *(("group", group) for group in row.groups)}
    return faults


def _written(rows: Sequence[Location], faults: Faults) -> list[Location]:
    """The rows that will be written: of a code that is given twice it is the first."""
    found: dict[str, Location] = {}
    for row, fault in zip(rows, faults, strict=True):
        if fault is None:
            found.setdefault(row.code, row)
    return list(found.values())


def _emptied(channel: str, group: str) -> Rejected:
    message = (
        f"{channel} sells from the group {group}, which would have no location any more; "
        "change its pool first, or keep the group"
    )
    return Rejected("in_use", "groups", message)


def _pools_emptied(connection: Connection, rows: Sequence[Location]) -> dict[str, tuple[str, str]]:
    """By location a (channel, group) of it that the rows together would leave without any."""
    kept = {group for row in rows for group in row.groups}
    codes = [row.code for row in rows]
    found = connection.execute(_SQL["pools_without"], {"codes": codes})
    return {code: (channel, group) for code, channel, group in found if group not in kept}


def _unknown(what: str, field: str, code: str) -> Rejected:
    name = "SKU" if what == "sku" else what
    return Rejected(
        f"unknown_{what}", field, f"there is no {name} {code}; add it first, or correct the code"
    )


def _skus(connection: Connection, codes: Iterable[str]) -> dict[str, Sku]:
    found = connection.execute(_SQL["read_skus"], {"k0": list(set(codes))})
    names = Sku.__struct_fields__
    return {row[0]: Sku(**dict(zip(names, row, strict=True))) for row in found}


def _units(connection: Connection, keys: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    skus, codes = [sku for sku, _ in keys], [code for _, code in keys]
    found = connection.execute(_SQL["read_units"], {"k0": skus, "k1": codes})
    return {(sku, code) for sku, code, _ in found}


def _known_codes(connection: Connection, codes: Iterable[str]) -> set[tuple[str, str]]:
    found = connection.execute(_SQL["known_codes"], {"codes": list(set(codes))})
    return {(kind, code) for kind, code in found}


FAULTS: Final[Mapping[str, Callable[[Connection, Sequence[Any]], Faults]]] = {
    "skus": sku_faults,
    "units": unit_faults,
    "bindings": binding_faults,
    "kits": kit_faults,
    "listings": listing_faults,
    "locations": location_faults,
}
"""The check of each kind of row; answers are aligned with the rows."""
