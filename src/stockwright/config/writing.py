"""Writes a network as the file would have it: what is read back from it is the same network."""

import datetime as dt
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from stockwright.config.lint import FAMILIES
from stockwright.config.sections import declared_fields, nested_kind, values_of
from stockwright.domain.network import Network

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


def toml_of(network: Network) -> str:
    """Systems, locations and channels as tables of stockwright.toml, without what is default."""
    tables = [
        "\n".join(_table(f"{family}.{_key(part.code)}", part))
        for family in FAMILIES
        for part in getattr(network, family)
    ]
    return "\n\n".join(tables) + "\n" if tables else ""


def _table(name: str, part: Struct, header: str = "[{}]") -> Iterator[str]:
    yield header.format(name)
    values = values_of(part)
    nested = []
    for key, field in declared_fields(type(part)).items():
        if field.name not in values:
            continue
        if nested_kind(field):
            nested.append((f"{name}.{_key(key)}", getattr(part, field.name)))
        elif values[field.name] is not None:  # TOML has no word for nothing
            yield f"{_key(key)} = {_value(values[field.name])}"
    for inner, entries in nested:
        for entry in entries:
            yield ""
            yield from _table(inner, entry, "[[{}]]")


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _text(value: str) -> str:
    # JSON escapes all that TOML must, but for DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case dt.datetime():
            return value.isoformat()
        case Mapping():
            inner = (
                f"{_key(name)} = {_value(part)}" for name, part in value.items() if part is not None
            )
            return "{ " + ", ".join(inner) + " }" if value else "{}"
        case list() | tuple():
            return "[" + ", ".join(_value(part) for part in value) + "]"
        case _:
            return _text(str(value))
