"""Kits and listings are told over several lines of a file; here they become one row and back."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from msgspec import Struct

from stockwright.domain.items import Component, Kit, Listing
from stockwright.domain.spreadsheets import undone
from stockwright.flow.csv_rows import Line
from stockwright.store.kinds import Row

MAX_COMPONENTS: Final = 1_000


class Parsed(Struct):
    """A line with its values by column, or with the field at fault and the reason."""

    line: Line
    values: dict[str, Any] = {}
    field: str = ""
    reason: str = ""


class Unfit(Exception):
    """Lines that are good one by one do not go together."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def grouped(parsed: Iterable[Parsed], places: Sequence[int]) -> Iterator[list[Parsed]]:
    """Lines that follow each other with the same key; places are the cells of the key.

    A line whose key cannot be read may belong to the lines before it or after it, and joins both:
    a kit without one of its components would promise what nobody can pack.
    """
    group: list[Parsed] = []
    key: tuple[str, ...] | None = None
    for part in parsed:
        own = _key(part, places)
        if group and own is not None and key is not None and own != key:
            yield group
            group = []
        group.append(part)
        key = own
    if group:
        yield group


def _key(part: Parsed, places: Sequence[int]) -> tuple[str, ...] | None:
    cells = part.line.cells
    if part.line.problem or len(cells) <= max(places):
        return None
    return tuple(undone(cells[place].strip()) for place in places)


def _kit(lines: Sequence[Mapping[str, Any]]) -> Kit:
    pairs = ((line["component"], line["quantity"]) for line in lines)
    return Kit(sku=lines[0]["sku"], components=_components("component", pairs))


def _listing(lines: Sequence[Mapping[str, Any]]) -> Listing:
    pairs = ((line["sku"], line.get("quantity", 1)) for line in lines)
    first = lines[0]
    if any(line.get("active") != first.get("active") for line in lines):
        raise Unfit("active", "differs between the lines of one listing")
    return Listing(
        channel=first["channel"],
        code=first["code"],
        components=_components("sku", pairs),
        active=first.get("active", True),
    )


def _components(field: str, pairs: Iterable[tuple[str, int]]) -> tuple[Component, ...]:
    quantities: dict[str, int] = {}
    for sku, quantity in pairs:
        if quantities.setdefault(sku, quantity) != quantity:
            raise Unfit("quantity", f"differs between two lines with {sku}")
    if len(quantities) > MAX_COMPONENTS:
        raise Unfit(field, f"there are more than {MAX_COMPONENTS}")
    return tuple(Component(sku=sku, quantity=quantities[sku]) for sku in sorted(quantities))


ASSEMBLY: Final[Mapping[str, Callable[[Sequence[Mapping[str, Any]]], Row]]] = {
    "kits": _kit,
    "listings": _listing,
}
"""Kinds of which one row may take several lines, and how they become one."""


def written(row: Row) -> list[dict[str, Any]]:
    """The lines that state a row, each as cells by column."""
    if isinstance(row, Kit):
        return [
            {"sku": row.sku, "component": part.sku, "quantity": part.quantity}
            for part in row.components
        ]
    if isinstance(row, Listing):
        shared = {"channel": row.channel, "code": row.code, "active": str(row.active).lower()}
        return [{**shared, "sku": part.sku, "quantity": part.quantity} for part in row.components]
    return [{name: _cell(getattr(row, name)) for name in row.__struct_fields__}]


def _cell(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case tuple():
            return ";".join(str(part) for part in value)
        case Decimal():
            return format(value, "f")
        case _:
            return str(value)
