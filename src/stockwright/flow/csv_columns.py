"""The columns of each CSV file of the item master: how a cell is read, and what it means."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cache
from typing import Any, Final
from zoneinfo import available_timezones

from msgspec import Struct

from stockwright.domain.codes import code_problem, did_you_mean
from stockwright.domain.events import MAX_QUANTITY
from stockwright.domain.items import MAX_FACTOR

MAX_TEXT: Final = 2_000
MAX_SECONDS: Final = 31_536_000
_SECONDS: Final = re.compile(r"[0-9]{1,8}(\.[0-9]{1,3})?")
_WHOLE: Final = re.compile(r"[0-9]{1,18}")
_MONEY: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?")
_NOT_UTF8: Final = re.compile(r"[\ud800-\udfff]")
_YES: Final = ("true", "yes", "1")
_NO: Final = ("false", "no", "0")


class Column(Struct, frozen=True, kw_only=True):
    """One column. read turns a trimmed cell that is not empty into a value, or raises ValueError.

    An empty cell stands for the default; without one (None) the column must be filled.
    """

    name: str
    what: str
    read: Callable[[str], Any]
    default: str | None = None

    @property
    def required(self) -> bool:
        """True where the file must have the column, and each row a value in it."""
        return self.default is None

    def reference(self) -> str:
        """The row that the reference page has for the column."""
        default = "required" if self.default is None else self.default or "empty"
        return f"| `{self.name}` | {self.what} | {default} |"


def code(cell: str) -> str:
    """A code exactly as written."""
    problem = code_problem(cell)
    if problem:
        raise ValueError(problem)
    return cell


def text(cell: str) -> str:
    """Free text."""
    if len(cell) > MAX_TEXT:
        raise ValueError(f"is longer than {MAX_TEXT} characters")
    if "\x00" in cell:
        raise ValueError("contains the invisible character U+0000")
    if _NOT_UTF8.search(cell):
        raise ValueError("contains bytes that are not UTF-8; save the file as UTF-8")
    return cell


def money(cell: str) -> Decimal:
    """An amount of money, never negative."""
    if cell.startswith("-"):
        raise ValueError("is negative; a cost is 0 or more")
    if not _MONEY.fullmatch(cell):
        raise ValueError("is no amount; write it as 1234.50, with at most 6 decimals")
    return Decimal(cell)


def currency(cell: str) -> str:
    """An ISO 4217 code."""
    if not re.fullmatch(r"[A-Z]{3}", cell):
        raise ValueError("is no currency; write its three capital letters, such as EUR")
    return cell


def whole(low: int, high: int) -> Callable[[str], int]:
    """A whole number within bounds, digits only."""

    def read(cell: str) -> int:
        if not _WHOLE.fullmatch(cell):
            raise ValueError(f"is no whole number; write digits only, {low} to {high}")
        number = int(cell)
        if not low <= number <= high:
            raise ValueError(f"is out of range; it goes from {low} to {high}")
        return number

    return read


def seconds(cell: str) -> float:
    """A length of time of at most a year, in seconds."""
    if not _SECONDS.fullmatch(cell) or float(cell) > MAX_SECONDS:
        raise ValueError(f"is no length of time; write seconds, 0 to {MAX_SECONDS}")
    return float(cell)


def one_of(*words: str) -> Callable[[str], str]:
    """One of a few words."""

    def read(cell: str) -> str:
        if cell not in words:
            near = did_you_mean(cell, words)
            raise ValueError(f"is not one of {', '.join(words)}" + (f"; {near}" if near else ""))
        return cell

    return read


def yes_or_no(cell: str) -> bool:
    """true or false, yes or no, 1 or 0."""
    word = cell.lower()
    if word not in (*_YES, *_NO):
        raise ValueError("is neither true nor false")
    return word in _YES


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones())


def time_zone(cell: str) -> str:
    """An IANA time zone by name."""
    if cell not in _time_zones():
        near = did_you_mean(cell, _time_zones()) or "write a name such as Europe/Berlin"
        raise ValueError(f"is no IANA time zone; {near}")
    return cell


def codes(cell: str) -> tuple[str, ...]:
    """Codes between semicolons; sorted, each once."""
    parts = (part.strip() for part in cell.split(";"))
    return tuple(sorted({code(part) for part in parts if part}))


def _column(
    name: str, what: str, read: Callable[[str], Any] = code, default: str | None = None
) -> Column:
    return Column(name=name, what=what, read=read, default=default)


_QUANTITY: Final = whole(1, MAX_QUANTITY)

COLUMNS: Final[Mapping[str, tuple[Column, ...]]] = {
    "skus": (
        _column("code", "the SKU's code"),
        _column("description", "what it is", text, ""),
        _column("sku_group", "the group that policies may name", default=""),
        _column("unit_cost", "cost of one base unit, as 1234.50", money, "0"),
        _column("currency", "currency of the cost, as EUR", currency, ""),
        _column("base_unit", "the unit stock is counted in", default="EA"),
        _column(
            "control",
            "whether stock is kept by lot or by serial number: none, lot or serial",
            one_of("none", "lot", "serial"),
            "none",
        ),
        _column("active", "whether it is traded: true or false", yes_or_no, "true"),
    ),
    "units": (
        _column("sku", "a known SKU"),
        _column("code", "the unit of measure, as CASE"),
        _column("factor", "how many base units one holds", whole(1, MAX_FACTOR)),
    ),
    "bindings": (
        _column("system", "a system of the configuration"),
        _column("subject", "what is bound: item or location", one_of("item", "location"), "item"),
        _column("partner_code", "the code in that system"),
        _column("code", "our SKU or location"),
        _column("unit", "the unit of measure the partner means by it", default=""),
    ),
    "kits": (
        _column("sku", "the SKU of the kit"),
        _column("component", "a SKU it is made of"),
        _column("quantity", "how many base units of it one kit needs", _QUANTITY),
    ),
    "listings": (
        _column("channel", "a channel of the configuration"),
        _column("code", "what the channel calls the listing"),
        _column("sku", "a SKU it sells"),
        _column("quantity", "how many base units of it one listing holds", _QUANTITY, "1"),
        _column("active", "whether it is on sale: true or false", yes_or_no, "true"),
    ),
    "locations": (
        _column("code", "the location's code"),
        _column("name", "what people call it", text, ""),
        _column("time_zone", "IANA zone in which its days begin", time_zone, "UTC"),
        _column(
            "feed",
            "whether its stock follows movements or stock figures: movement or snapshot",
            one_of("movement", "snapshot"),
            "movement",
        ),
        _column(
            "priority",
            "lower goes first when an order seeks a place",
            whole(0, 1_000_000),
            "100",
        ),
        _column("groups", "groups it belongs to, with ; between them", codes, ""),
        _column(
            "supply_grace_s",
            "seconds after its date that expected supply is still believed in",
            seconds,
            "86400",
        ),
    ),
}
"""Columns by kind of file, in the order in which an export writes them."""


def empty_value(column: Column) -> Any:
    """What an empty cell stands for. Raises ValueError where it must be filled."""
    if column.default is None:
        raise ValueError("is empty")
    if column.default == "":
        return () if column.read is codes else ""
    return column.read(column.default)
