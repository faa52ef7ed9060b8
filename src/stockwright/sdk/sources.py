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
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple

import msgspec

from stockwright.domain.events import MAX_CODE, MAX_QUANTITY, Fact

_STEP: Final = re.compile(r"\.([^.\[\]{}|?]+)|\[(\d+)\]")
_PATH: Final = re.compile(rf"[$@]({_STEP.pattern})*")
_TEMPLATE: Final = re.compile(r"\{([^{}]+)\}")
_WHOLE_NUMBER: Final = re.compile(r"[+-]?\d{1,19}(\.0*)?")
_GROUPED: Final = re.compile(r"[+-]?\d{1,3}(\.\d{3})+(,\d*)?")
_INTEGERS: Final = frozenset(
    {"quantity", "revision", "to_quantity", "contained", "reverses", "position"}
)
MAX_VERSION: Final = 2**63 - 1
"""A version is a time in milliseconds or more: larger than any quantity."""
TIMES: Final = frozenset({"occurred_at", "eta"})
_FLAGS: Final = frozenset({"final", "picked_included"})
_DATES: Final = frozenset({"expires_on"})
_CHOICES: Final = {
    "bucket": ("sellable", "inspection", "quarantined", "damaged"),
    "to_bucket": ("sellable", "quarantined", "damaged", "scrap"),
    "close_as": ("lost", "found"),
}
_YES_OR_NO: Final = {
    "true": True, "1": True, "yes": True, "false": False, "0": False, "no": False,
}  # fmt: skip
MISSING: Final = object()


class Style(msgspec.Struct, frozen=True, kw_only=True):
    """How places are written, times and numbers are read for one kind of payload."""

    file: bool = False
    time_format: str = ""
    decimal: Literal[".", ","] = "."

    def at(self, place: str, tail: str) -> str:
        """The path of a value below a place."""
        if self.file and place != "$":
            return f"{place}, column {tail.removeprefix('.')}"
        return place + tail


class Wrong(Exception):
    """A value that cannot become a field. Stays inside the kit."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(reason)
        self.path = path
        self.reason = reason


class Spot(NamedTuple):
    """Where a rule stands: the whole payload, and one element of it with its place and number."""

    root: Any
    element: Any
    place: str
    number: int


class Option(NamedTuple):
    """One of a source's alternatives, taken apart."""

    form: Literal["number", "text", "template", "element", "root"]
    text: str
    steps: tuple[str | int, ...] = ()


class Source(NamedTuple):
    """A source, taken apart once: its alternatives, and whether none of them need be there."""

    options: tuple[Option, ...]
    optional: bool


@lru_cache(maxsize=10_000)
def source_of(text: str) -> Source:
    """A source from its text. Raises ValueError where it is none of the forms above."""
    parts = [part.strip() for part in text.split("|")]
    options = tuple(_option_of(part.removesuffix("?"), text) for part in parts)
    return Source(options, parts[-1].endswith("?"))


def _option_of(part: str, whole: str) -> Option:
    if part == "#":
        return Option("number", part)
    if part.startswith("="):
        return Option("text", part[1:])
    if "{" in part and "{" not in _TEMPLATE.sub("", part):
        for inner in _TEMPLATE.findall(part):
            source_of(inner)
        return Option("template", part)
    if not _PATH.fullmatch(part):
        raise ValueError(f"{whole!r} is not a source: write $.path, @.path, # or =text")
    return Option("element" if part[0] == "@" else "root", part, _steps(part))


def value_of(name: str, source: str, spot: Spot, style: Style) -> Any:
    """One field's value in its own type, or MISSING. Raises Wrong with the path of the value."""
    value, option = resolve(source, spot, style)
    if value is MISSING:
        return value
    try:
        return _typed(name, value, style)
    except ValueError as error:
        raise Wrong(path_of(option, spot, style), str(error)) from None


def resolve(source: str, spot: Spot, style: Style) -> tuple[Any, Option]:
    """A source's value and where it came from; MISSING where it may be missing and is.

    Null, empty text and nothing but blanks count as missing. Raises Wrong where it must be there
    and is not.
    """
    options, optional = source_of(source)
    for option in options:
        value = _value_at(option, spot, style)
        if value is MISSING or value is None or value == "":
            continue
        if not (isinstance(value, str) and value.isspace()):
            return value, option
    if optional:
        return MISSING, options[0]
    raise Wrong(path_of(options[0], spot, style), "is missing")


def path_of(option: Option, spot: Spot, style: Style) -> str:
    """The path of the value an option leads to, as people read it."""
    if option.form == "root":
        return option.text
    return style.at(spot.place, option.text[1:]) if option.form == "element" else spot.place


def walk(value: Any, path: str) -> Any:
    """What a path leads to from a value, or MISSING."""
    return _follow(value, _steps(path))


def text_of(value: Any) -> str | None:
    """Text as it is, a whole number as its digits, a flag as JSON writes it; None for the rest."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else None


def _value_at(option: Option, spot: Spot, style: Style) -> Any:
    match option.form:
        case "element":
            return _follow(spot.element, option.steps)
        case "root":
            return _follow(spot.root, option.steps)
        case "number":
            return spot.number
        case "text":
            return option.text
        case _:
            return _filled(option.text, spot, style)


def _filled(template: str, spot: Spot, style: Style) -> str:
    def one(match: re.Match[str]) -> str:
        value, option = resolve(match.group(1), spot, style)
        text = "" if value is MISSING else text_of(value)
        if text is None:
            reason = "is neither text nor a whole number"
            raise Wrong(path_of(option, spot, style), reason)
        return text

    return _TEMPLATE.sub(one, template)


def _steps(path: str) -> tuple[str | int, ...]:
    return tuple(name or int(index) for name, index in _STEP.findall(path[1:]))


def _follow(value: Any, steps: tuple[str | int, ...]) -> Any:
    for step in steps:
        if isinstance(step, str):
            value = value.get(step, MISSING) if isinstance(value, dict) else MISSING
        else:
            value = value[step] if isinstance(value, list) and step < len(value) else MISSING
    return value


# -------------------------------------------------------------------- types


def plain_number(text: str, decimal: str = ".") -> str:
    """A number of a file in our form: its sign in front, a point, no grouping.

    With a decimal comma "1.234,0" and "1.234" are both 1234. Raises ValueError for a point there
    that groups nothing.
    """
    text = text.strip()
    if text[-1:] in ("-", "+") and text[:1].isdigit():
        text = text[-1] + text[:-1]
    if decimal == ".":
        return text
    if _GROUPED.fullmatch(text):
        text = text.replace(".", "")
    if "." in text:
        raise ValueError(f"is {text[:40]!r}, not a number with a decimal comma")
    return text.replace(",", ".", 1)


def _typed(name: str, value: Any, style: Style) -> Any:
    """A value as a field's own type. Raises ValueError with the reason."""
    if name in _INTEGERS:
        file = style.file and isinstance(value, str)
        return whole_number(plain_number(value, style.decimal) if file else value)
    if name in _FLAGS:
        return _flag(value)
    text = text_of(value)
    if text is None:
        raise ValueError("is neither text nor a whole number")
    return _date(text) if name in _DATES else _words(name, text)


def _words(name: str, text: str) -> str:
    allowed = _CHOICES.get(name)
    if allowed and text not in allowed:
        raise ValueError(f"is {text[:40]!r}, not one of {', '.join(allowed)}")
    if name == "reason":
        return text[:1000]
    if len(text) > MAX_CODE:
        raise ValueError(f"is longer than {MAX_CODE} characters")
    if not text.isprintable():
        raise ValueError("has a character that cannot be printed")
    if "\ufffd" in text:
        raise ValueError("has a character that was lost on its way")  # two codes would be one
    # Interned, so that a default written out is encoded like one left out.
    return sys.intern(text) if name == "line" else text


def whole_number(value: Any, most: int = MAX_QUANTITY) -> int:
    """A whole number, or text that is one. Raises ValueError with the reason."""
    number: Any = value
    if isinstance(value, str):
        text = value.strip()
        if not _WHOLE_NUMBER.fullmatch(text):
            raise ValueError(f"is {text[:40]!r}, not a whole number")
        number = int(text.partition(".")[0])
    elif isinstance(value, float) and value.is_integer():
        number = int(value)
    if isinstance(number, bool) or not isinstance(number, int):
        raise ValueError("is not a whole number")
    if abs(number) > most:
        raise ValueError(f"is beyond {most}")
    return number


def _flag(value: Any) -> bool:
    known = _YES_OR_NO.get((text_of(value) or "").strip().lower())
    if known is None:
        raise ValueError("is not true or false")
    return known


def _date(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"is {text[:40]!r}, not a date such as 2026-12-31") from None


assert set(_CHOICES) | _INTEGERS | TIMES | _FLAGS | _DATES <= set(Fact.__struct_fields__)
