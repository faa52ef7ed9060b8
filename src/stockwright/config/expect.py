"""What a field may hold, as words, and whether a value does. Read from its declared type."""

import re
import zoneinfo
from functools import cache
from typing import Any, Final

import msgspec
from msgspec import inspect as mi

from stockwright.domain.codes import code_problem, did_you_mean

_KINDS: Final = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a table",
}


@cache
def time_zones() -> frozenset[str]:
    """Names of all IANA time zones."""
    return frozenset(zoneinfo.available_timezones())


def expectation(declared: Any) -> str:
    """What a declared type allows, such as 'a whole number, 1 to 86400'."""
    return _words(mi.type_info(declared))


def _words(info: mi.Type) -> str:
    match info:
        case mi.Metadata(type=inner):
            return "an IANA time zone such as Europe/Berlin" if _is_zone(info) else _words(inner)
        case mi.LiteralType(values=values):
            return "one of " + ", ".join(str(value) for value in values)
        case mi.IntType(ge=low, le=high):
            return "a whole number" + _range(low, high)
        case mi.FloatType(gt=above, lt=below) if above is not None and below is not None:
            return f"a number above {above:g} and below {below:g}"
        case mi.FloatType(ge=low, le=high):
            return "a number" + _range(low, high)
        case mi.BoolType():
            return "true or false"
        case mi.StrType(pattern=pattern, max_length=longest) if pattern:
            return f"a code of 1 to {longest} characters"
        case mi.StrType(min_length=shortest) if shortest:
            return "text that is not empty"
        case mi.StrType():
            return "text"
        case mi.DateTimeType():
            return "a time with its zone such as 2026-01-01T00:00:00Z"
        case mi.VarTupleType(item_type=mi.StructType(cls=cls)):
            return f"a list of tables: {', '.join(cls.__struct_encode_fields__)}"
        case mi.VarTupleType(item_type=item, min_length=shortest):
            return "a list" + (" that is not empty" if shortest else "") + f", each {_words(item)}"
        case mi.UnionType(types=types):
            kept = [kind for kind in types if not isinstance(kind, mi.NoneType)]
            return _words(kept[0])
        case _:
            return "a table"


def _is_zone(info: mi.Type) -> bool:
    return isinstance(info, mi.Metadata) and (info.extra or {}).get("check") == "time_zone"


def _range(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return ""
    return f", {low:.0f} to {high:.0f}"


def convert(declared: Any, value: Any) -> tuple[Any, str, str, tuple[int, ...]]:
    """Reads one value as its declared type: (value, problem, fix, index within a list).

    problem is empty where the value is good. Neither text repeats the value, which may be a secret
    in the wrong place.
    """
    try:
        result = msgspec.convert(value, declared)
    except msgspec.ValidationError as failure:
        index = tuple(int(found) for found in re.findall(r"\[(\d+)\]", str(failure)))
        return None, *_explain(declared, value, index), index
    problem, fix = _check(declared, result)
    return result, problem, fix, ()


def _explain(declared: Any, value: Any, index: tuple[int, ...]) -> tuple[str, str]:
    for position in index:
        value = value[position]
    info = mi.type_info(declared)
    wanted = expectation(declared)
    if index and isinstance(info, mi.VarTupleType):
        wanted = _words(info.item_type)
    if isinstance(value, str) and wanted.startswith("a code"):
        return code_problem(value) or "is no valid code", f"give {wanted}"
    if isinstance(value, str) and wanted.startswith("one of "):
        near = did_you_mean(value, wanted.removeprefix("one of ").split(", "))
        return f"is not {wanted}", near or f"give {wanted}"
    kind = _KINDS.get(type(value), "a date or time")
    if value in ("", []):
        return "is empty", f"give {wanted}"
    if wanted.startswith(kind) or (kind == "a whole number" and wanted.startswith("a number")):
        return "is out of range", f"give {wanted}"
    return f"is {kind}", f"give {wanted}"


def _check(declared: Any, value: Any) -> tuple[str, str]:
    """Checks that a type cannot express: time zones by name, and numbers that are none."""
    info = mi.type_info(declared)
    if _is_zone(info) and value not in time_zones():
        near = did_you_mean(value, time_zones())
        return "is no IANA time zone", near or "give a name such as Europe/Berlin or UTC"
    if isinstance(value, str) and "\x00" in value:
        return "contains the control character U+0000", "remove it"
    return "", ""
