"""Where a fact's field comes from: the closed vocabulary of sources, and the types they fill.

$.order.id          a value of the whole payload
@.sku               a value of the element the rule is at
#                   the element's number, from 1
=EA                 this text
{@.store}-{@.slip}  a text with values in it
@.lot?              ... may be missing: the field keeps its default
@.sku | @.ean       ... the first that is there
"""

import datetime as dt
import re
import sys
from typing import Any, Final

import msgspec

from stockwright.domain.events import MAX_CODE, MAX_QUANTITY, Fact

_STEP: Final = re.compile(r"\.([^.\[\]{}|?]+)|\[(\d+)\]")
_PATH: Final = re.compile(rf"[$@]({_STEP.pattern})*")
_TEMPLATE: Final = re.compile(r"\{([^{}]+)\}")
_INTEGERS: Final = frozenset(
    {"quantity", "revision", "to_quantity", "contained", "reverses", "position"}
)
TIMES: Final = frozenset({"occurred_at", "eta"})
_FLAGS: Final = frozenset({"final", "picked_included"})
_DATES: Final = frozenset({"expires_on"})
_CHOICES: Final = {
    "bucket": ("sellable", "inspection", "quarantined", "damaged"),
    "to_bucket": ("sellable", "quarantined", "damaged", "scrap"),
    "close_as": ("lost", "found"),
}
MISSING: Final = object()


class Style(msgspec.Struct, frozen=True, kw_only=True):
    """How places are written and times are read for one kind of payload."""

    file: bool = False
    time_format: str = ""

    def at(self, place: str, tail: str) -> str:
        """The path of a value below a place."""
        if self.file and place != "$":
            return f"{place}, column {tail.removeprefix('.')}"
        return place + tail


class Wrong(Exception):
    """A value that cannot become a field. Stays inside this module."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(reason)
        self.path = path
        self.reason = reason


class Spot(msgspec.Struct, frozen=True, kw_only=True):
    """Where a rule stands: the whole payload, and one element of it with its place and number."""

    root: Any
    element: Any
    place: str
    number: int


def value_of(name: str, source: str, spot: Spot, style: Style) -> Any:
    """One field's value in its own type, or MISSING. Raises Wrong with the path."""
    value, path = resolve(source, spot, style)
    if value is MISSING:
        return value
    if name in _INTEGERS:
        return _integer(value, path)
    if name in _FLAGS:
        return _flag(value, path)
    text = text_of(value)
    if text is None:
        raise Wrong(path, "is neither text nor a whole number")
    if name in _DATES:
        return _date(text, path)
    return _words(name, text, path)


def _words(name: str, text: str, path: str) -> str:
    allowed = _CHOICES.get(name)
    if allowed and text not in allowed:
        raise Wrong(path, f"is {text[:40]!r}, not one of {', '.join(allowed)}")
    if name == "reason":
        return text[:1000]
    if len(text) > MAX_CODE:
        raise Wrong(path, f"is longer than {MAX_CODE} characters")
    if not text.isprintable():
        raise Wrong(path, "has a character that cannot be printed")
    # Interned, so that a default written out is encoded like one left out.
    return sys.intern(text) if name == "line" else text


def _integer(value: Any, path: str) -> int:
    number: Any = value
    if isinstance(value, str):
        text = value.strip()
        whole, _, fraction = text.partition(".")
        if not re.fullmatch(r"[+-]?\d{1,15}", whole) or fraction.strip("0"):
            raise Wrong(path, f"is {text[:40]!r}, not a whole number")
        number = int(whole)
    elif isinstance(value, float) and value.is_integer():
        number = int(value)
    if isinstance(number, bool) or not isinstance(number, int):
        raise Wrong(path, "is not a whole number")
    if abs(number) > MAX_QUANTITY:
        raise Wrong(path, f"is beyond {MAX_QUANTITY}")
    return number


def _flag(value: Any, path: str) -> bool:
    if isinstance(value, bool):
        return value
    known = {
        "true": True,
        "1": True,
        "yes": True,
        "false": False,
        "0": False,
        "no": False,
        "": False,
    }
    text = (text_of(value) or "?").strip().lower() if value != "" else ""
    if text not in known:
        raise Wrong(path, "is not true or false")
    return known[text]


def _date(text: str, path: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text.strip())
    except ValueError:
        raise Wrong(path, f"is {text[:40]!r}, not a date such as 2026-12-31") from None


def text_of(value: Any) -> str | None:
    """Text as it is, a whole number as its digits, a flag as JSON writes it; None for the rest."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else None


def resolve(source: str, spot: Spot, style: Style) -> tuple[Any, str]:
    """The value of a source and the path it came from; MISSING where it may be missing and is."""
    options = [option.strip() for option in source.split("|")]
    path = ""
    for option in options:
        value, found_at = _option(option.removesuffix("?"), spot, style)
        path = path or found_at
        if value is not MISSING and value is not None and value != "":
            return value, found_at
    if options[-1].endswith("?"):
        return MISSING, path
    raise Wrong(path, "is missing")


def _option(option: str, spot: Spot, style: Style) -> tuple[Any, str]:
    if option == "#":
        return spot.number, spot.place
    if option.startswith("="):
        return option[1:], spot.place
    if "{" in option:
        return _filled(option, spot, style), spot.place
    if option.startswith("@"):
        return walk(spot.element, option), style.at(spot.place, option[1:])
    return walk(spot.root, option), option


def _filled(template: str, spot: Spot, style: Style) -> str:
    def one(match: re.Match[str]) -> str:
        value, path = resolve(match.group(1), spot, style)
        text = text_of(value)
        if text is None:
            raise Wrong(path, "is neither text nor a whole number")
        return text

    return _TEMPLATE.sub(one, template)


def walk(value: Any, path: str) -> Any:
    """What a path leads to from a value, or MISSING."""
    for name, index in _STEP.findall(path[1:]):
        if name:
            value = value.get(name, MISSING) if isinstance(value, dict) else MISSING
        else:
            at = int(index)
            value = value[at] if isinstance(value, list) and at < len(value) else MISSING
        if value is MISSING:
            return MISSING
    return value


def check_source(source: str) -> None:
    """Raises ValueError where a source is none of the forms above."""
    for option in (part.strip().removesuffix("?") for part in source.split("|")):
        if option == "#" or option.startswith("="):
            continue
        paths = _TEMPLATE.findall(option) if "{" in option else [option]
        torn = "{" in _TEMPLATE.sub("", option)
        for path in paths:
            tail = path.strip().removesuffix("?")
            torn = torn or (tail != "#" and not _PATH.fullmatch(tail))
        if torn:
            raise ValueError(f"{source!r} is not a source: write $.path, @.path, # or =text")


assert set(_CHOICES) | _INTEGERS | TIMES | _FLAGS | _DATES <= set(Fact.__struct_fields__)
