"""Reads tables of the file against their declared structs, noting every fault and going on."""

from collections.abc import Mapping
from typing import Any, Final, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Struct
from msgspec.structs import FieldInfo

from stockwright.config.expect import convert, expectation
from stockwright.config.findings import Report
from stockwright.config.locator import Path
from stockwright.domain.codes import code_problem, did_you_mean, field_name

Values = dict[str, Any]
"""The good fields of one table by attribute name; nested tables as a list of Values."""

GIVEN: Final = "code"
"""The attribute that the table's own key gives: [systems.WMS] has the code WMS."""


def read_table(report: Report, path: Path, kind: type[Struct], table: object) -> Values:
    """The good fields of a table; what is unknown, missing or wrong goes to the report."""
    if not isinstance(table, dict):
        report.add(path, "is not a table", f"write it as [{field_name(path)}]")
        return {}
    fields = declared_fields(kind)
    for key in table:
        if key not in fields:
            known = ", ".join(fields)
            near = did_you_mean(key, fields) or f"remove it; known here: {known}"
            report.add((*path, key), "is unknown", near)
    values: Values = {}
    for key, field in fields.items():
        if key in table:
            _read_field(report, (*path, key), field, table[key], values)
        elif is_required(field):
            report.add((*path, key), "is missing", f"give {expectation(field.type)}")
    return values


def declared_fields(kind: type[Struct]) -> dict[str, FieldInfo]:
    """The fields of a struct by the name they have in the file, in order, without the code."""
    return {
        field.encode_name: field
        for field in msgspec.structs.fields(kind)
        if field.encode_name != GIVEN
    }


def is_required(field: FieldInfo) -> bool:
    """True where the file must state the field."""
    return field.default is NODEFAULT and field.default_factory is NODEFAULT


def nested_kind(field: FieldInfo) -> type[Struct] | None:
    """The struct that a list of tables holds; None for every other field."""
    declared = field.type
    if hasattr(declared, "__metadata__"):
        declared = get_args(declared)[0]
    inner = get_args(declared)[0] if get_origin(declared) is tuple else None
    return inner if isinstance(inner, type) and issubclass(inner, Struct) else None


def _read_field(report: Report, path: Path, field: FieldInfo, raw: object, into: Values) -> None:
    kind = nested_kind(field)
    if kind is None:
        value, problem, fix, index = convert(field.type, raw)
        if problem:
            report.add((*path, *index), problem, fix)
        else:
            into[field.name] = value
    elif isinstance(raw, list):
        into[field.name] = [
            read_table(report, (*path, n), kind, entry) for n, entry in enumerate(raw)
        ]
    else:
        report.add(path, "is not a list of tables", f"give {expectation(field.type)}")


def read_family(report: Report, name: str, kind: type[Struct], tables: object) -> dict[str, Values]:
    """The tables [name.CODE] by code."""
    if not isinstance(tables, Mapping):
        report.add((name,), "is not a table", f"write one table [{name}.CODE] for each")
        return {}
    family = {}
    for code, table in tables.items():
        problem = code_problem(code)
        if problem:
            report.add((name, code), f"the code {problem}", "give a code of 1 to 128 characters")
        family[code] = read_table(report, (name, code), kind, table)
    return family


def build(kind: type[Struct], values: Values, **given: str) -> Struct:
    """A struct of values that lint has found good."""
    ready = {
        name: tuple(_build_nested(kind, name, entry) for entry in value)
        if isinstance(value, list)
        else value
        for name, value in values.items()
    }
    return kind(**given, **ready)


def _build_nested(kind: type[Struct], name: str, values: Values) -> Struct:
    field = next(field for field in msgspec.structs.fields(kind) if field.name == name)
    inner = nested_kind(field)
    assert inner is not None, f"{kind.__name__}.{name} holds no tables"
    return build(inner, values)


def values_of(part: Struct) -> Values:
    """The fields of a struct as `read_table` reads them; what is left at its default is missing."""
    values: Values = {}
    for field in declared_fields(type(part)).values():
        value = getattr(part, field.name)
        default = field.default
        if field.default_factory is not NODEFAULT:
            default = field.default_factory()
        if is_required(field) or value != default:
            values[field.name] = [values_of(one) for one in value] if nested_kind(field) else value
    return values
