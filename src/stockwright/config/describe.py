"""Every setting with what it holds and its default: for the documentation and the first file."""

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import NODEFAULT, Meta, Struct
from msgspec.structs import FieldInfo

from stockwright.config.expect import expectation
from stockwright.config.lint import FAMILIES, TABLES
from stockwright.config.model import Config
from stockwright.config.sections import declared_fields, nested_kind


class Setting(Struct, frozen=True, kw_only=True):
    """One setting. table is how its table is written, such as [systems.CODE]; '' at the top."""

    table: str
    name: str
    what: str
    allowed: str
    default: str

    def reference(self) -> str:
        """The sentences that the reference page has under the setting's heading."""
        default = f"Default: {self.default}." if self.default else "Required."
        return f"{_sentence(self.what)} {_sentence(self.allowed)} {default}"


_LISTS: Final[Mapping[str, str]] = {
    "[locations.CODE].authority": "[[locations.CODE.authority]]",
    "[channels.CODE].policies": "[[channels.CODE.policies]]",
}


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def settings() -> list[Setting]:
    """All settings, in the order in which the file and the documentation have them."""
    found: list[Setting] = []
    for name, kind in TABLES.items():
        found += _of(f"[{name}]", kind)
    for name, kind in FAMILIES.items():
        found += _of(f"[{name}.CODE]", kind)
    top = declared_fields(Config)["imported_places"]
    return [*found, _setting("", "imported_places", top)]


def _of(table: str, kind: type[Struct]) -> Iterator[Setting]:
    nested = []
    for name, field in declared_fields(kind).items():
        yield _setting(table, name, field)
        inner = nested_kind(field)
        if inner is not None:
            nested.append((_LISTS[f"{table}.{name}"], inner))
    for inner_table, inner in nested:
        yield from _of(inner_table, inner)


def _setting(table: str, name: str, field: FieldInfo) -> Setting:
    return Setting(
        table=table,
        name=name,
        what=_description(field.type),
        allowed=expectation(field.type),
        default=_default(field),
    )


def _description(declared: Any) -> str:
    notes = [note for note in getattr(declared, "__metadata__", ()) if isinstance(note, Meta)]
    return next((note.description for note in notes[::-1] if note.description), "")


def _default(field: FieldInfo) -> str:
    if field.default_factory is not NODEFAULT:
        value = field.default_factory()
    elif field.default is NODEFAULT:
        return ""
    else:
        value = field.default
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case str():
            return f'"{value}"'
        case dt.datetime():
            return "the beginning"
        case tuple() if value:
            return "[" + ", ".join(f'"{one}"' for one in value) + "]"
        case tuple() | dict():
            return "empty"
        case float():
            return f"{value:g}"
        case _:
            return str(value)
