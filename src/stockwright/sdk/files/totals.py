"""What a file says about itself, and whether that is so: number of rows, sum, checksum."""

import hashlib
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from stockwright.sdk.files.shapes import Cell, Form, Line, cut, problem_of_cells
from stockwright.sdk.messages import Failure
from stockwright.sdk.sources import plain_number

TRAILER: Final = "#total"
SIDECAR: Final = ".control.json"
_NUMBER: Final = re.compile(r"[+-]?\d{1,15}(\.\d{0,9})?")


class Control(Struct, frozen=True, kw_only=True):
    """What our partner checks a file of ours against. sha256 is of the file's bytes."""

    rows: int
    quantity: int
    sha256: str = ""


class Told(Struct, frozen=True, kw_only=True):
    """What a partner's file is checked against, as far as it tells."""

    rows: int | None = None
    quantity: Decimal | None = None
    sha256: str = ""


class Totals(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the partner writes its totals: a last row that begins with `mark`, or a second file.

    cells: those of the last row; the ones named `rows` and `quantity` are compared. column: the one
    that is summed, the connector's own column of quantities where it is empty. counts_itself: its
    number of rows counts the last row as well.
    """

    at: Annotated[Literal["trailer", "sidecar"], Meta(description="a last row, or a second file")]
    mark: Annotated[str, Meta(min_length=1)] = TRAILER
    cells: tuple[Cell, ...] = (Cell(name="mark"), Cell(name="rows"), Cell(name="quantity"))
    column: str = ""
    counts_itself: bool = False

    def __post_init__(self) -> None:
        if not {"rows", "quantity"} & {cell.name for cell in self.cells}:
            raise ValueError("the cells of totals must name rows or quantity")


def problem_of_totals(totals: Totals, form: Form) -> str:
    """What is wrong with declared totals; '' where nothing is."""
    wrong = problem_of_cells(totals.cells, form) if totals.at == "trailer" else ""
    return f"has totals whose list {wrong}" if wrong else ""


def summing(totals: Totals | None, column: str) -> Totals | None:
    """Totals with the column they sum, where they do not name it themselves."""
    if totals is None or totals.column:
        return totals
    return msgspec.structs.replace(totals, column=column)


def is_trailer(line: Line, totals: Totals | None) -> bool:
    """Whether a row is the one with the totals."""
    if totals is None or totals.at != "trailer" or not line.cells:
        return False
    first = line.cells[0].strip()
    marks = [cell for cell in totals.cells if cell.name == "mark" and cell.start]
    if marks:
        # Of a fixed width a line is one cell as yet.
        start = marks[0].start - 1
        return line.cells[0][start : start + marks[0].length].strip() == totals.mark
    return first == totals.mark or (len(line.cells) == 1 and first.startswith(totals.mark))


def problem_with_totals(
    rows: Sequence[tuple[Line, dict[str, str] | None]],
    trailers: Sequence[Line],
    body: bytes,
    control: str,
    totals: Totals,
    form: Form,
    decimal: str,
) -> Failure | None:
    """Why a file is not what it says of itself; None where it is.

    rows are those without header and trailer, each with its cells by column, None where it has
    none that can be read. control is the second file's text.
    """
    if totals.at == "sidecar":
        told: Told | Failure = _told_beside(control)
        place = "its control file"
    else:
        told = _told_at_the_end(rows, trailers, totals, form, decimal)
        place = f"line {trailers[-1].number}" if trailers else "the end"
    if isinstance(told, Failure):
        return told
    if told.sha256 and told.sha256.lower() != hashlib.sha256(body).hexdigest():
        return Failure(path=place, reason="its sha256 is not that of the file")
    found = len(rows) + (1 if totals.counts_itself else 0)
    if told.rows is not None and told.rows != found:
        return Failure(path=place, reason=f"says {told.rows} rows, the file has {found}")
    if told.quantity is None:
        return None
    total = _sum(rows, totals.column, decimal)
    if isinstance(total, Failure):
        return total
    if total != told.quantity:
        reason = f"says {told.quantity} as the sum of {totals.column}, the rows make {total}"
        return Failure(path=place, reason=reason)
    return None


def _told_beside(text: str) -> Told | Failure:
    try:
        told = msgspec.json.decode(text, type=Told)
    except msgspec.DecodeError as error:
        return Failure(path="its control file", reason=f"cannot be read: {error}")
    if told.quantity is not None and not told.quantity.is_finite():
        return Failure(path="its control file", reason="has a quantity that is no number")
    if told == Told():
        return Failure(path="its control file", reason="says neither rows, quantity nor sha256")
    return told


def _told_at_the_end(
    found: Sequence[tuple[Line, Any]],
    trailers: Sequence[Line],
    totals: Totals,
    form: Form,
    decimal: str,
) -> Told | Failure:
    if not trailers:
        reason = f"has no last row with totals ({totals.mark}): it was cut off, or has none"
        return Failure(path="the end", reason=reason)
    last = trailers[-1]
    place = f"line {last.number}"
    if len(trailers) > 1 or (found and found[-1][0].number > last.number):
        return Failure(path=f"line {trailers[0].number}", reason="has its totals before its end")
    cells = cut(last, totals.cells, form)
    if isinstance(cells, str):
        return Failure(path=place, reason=f"the totals: {cells}")
    named = dict(zip([cell.name for cell in totals.cells], cells, strict=True))
    told: dict[str, Decimal] = {}
    for name in ("rows", "quantity"):
        if name in named:
            number = _number(named[name], decimal)
            if number is None or (name == "rows" and number != int(number)):
                reason = f"is {named[name][:40]!r}, not a number"
                return Failure(path=f"{place}, column {name}", reason=reason)
            told[name] = number
    rows = int(told["rows"]) if "rows" in told else None
    return Told(rows=rows, quantity=told.get("quantity"))


def _sum(
    rows: Sequence[tuple[Line, dict[str, str] | None]], column: str, decimal: str
) -> Decimal | Failure:
    total = Decimal(0)
    for line, cells in rows:
        text = (cells or {}).get(column)
        number = None if text is None else _number(text, decimal)
        if number is None:
            reason = "cannot be summed, so the file's total cannot be proved"
            return Failure(path=f"line {line.number}, column {column}", reason=reason)
        total += number
    return total


def _number(text: str, decimal: str) -> Decimal | None:
    """A number of a cell; an empty cell is 0; None for anything else."""
    try:
        plain = plain_number(text, decimal)
    except ValueError:
        return None
    if not plain:
        return Decimal(0)
    return Decimal(plain) if _NUMBER.fullmatch(plain) else None
