"""What files look like: CSV, TSV or fixed width; rows of text into cells, and cells into a file."""

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, Final, Literal, NamedTuple

from msgspec import Meta, Struct

Form = Literal["csv", "tsv", "fixed"]
Encoding = Literal[
    "utf-8", "utf-8-sig", "utf-16", "cp1252", "iso-8859-1", "iso-8859-15", "cp850", "cp437"
]
_BREAK: Final = re.compile(r"\r\n|\n|\r")
_MARKS: Final = (
    (codecs.BOM_UTF8, "UTF-8", ("utf-8", "utf-8-sig")),
    (codecs.BOM_UTF16_LE, "UTF-16", ("utf-16",)),
    (codecs.BOM_UTF16_BE, "UTF-16", ("utf-16",)),
)


class Cell(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A column by its place: in order, or where it begins (from 1) and how long it is.

    The last one of a fixed width may have the length 0: it goes to the end of the line.
    """

    name: Annotated[str, Meta(min_length=1)]
    start: Annotated[int, Meta(ge=0)] = 0
    length: Annotated[int, Meta(ge=0)] = 0


class Shape(Struct, frozen=True, kw_only=True):
    """How the rows of a kind of file are written.

    quote is empty where nothing is quoted. header: whether the first line names the columns. cells
    says where they are, where it does not or may not.
    """

    form: Form = "csv"
    delimiter: str = ","
    quote: str = '"'
    encoding: Encoding = "utf-8"
    header: bool = True
    cells: tuple[Cell, ...] = ()
    decimal: Literal[".", ","] = "."


class Line(NamedTuple):
    """One row: the number of its first line in the file, and its cells or why there are none."""

    number: int
    cells: list[str]
    problem: str = ""


def problem_of_cells(cells: Sequence[Cell], form: Form) -> str:
    """What is wrong with a declared list of columns; '' where nothing is."""
    names = [cell.name for cell in cells]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        return f"names a column twice: {', '.join(twice)}"
    if form != "fixed":
        placed = [cell.name for cell in cells if cell.start or cell.length]
        return f"gives {placed[0]} a place, which only form fixed has" if placed else ""
    ends = sorted((cell.start, cell.start + cell.length - 1, cell.name) for cell in cells)
    for number, (start, _, name) in enumerate(ends):
        if start < 1:
            return f"must say where {name} starts, from 1"
        if number and start <= ends[number - 1][1]:
            return f"has {name} begin inside {ends[number - 1][2]}"
        if ends[number][1] < start and number < len(ends) - 1:
            return f"must say how long {name} is: only the last column may go to the line's end"
    return ""


def decoded(body: bytes, encoding: Encoding) -> str:
    """The text of a file, without its byte order mark.

    Bytes that are no text stay in their cell as lone surrogates, and fail there. Raises ValueError
    where the file is plainly in another encoding than declared.
    """
    for mark, name, allowed in _MARKS:
        if body.startswith(mark) and encoding not in allowed:
            raise ValueError(f"begins with the mark of {name}, but encoding says {encoding}")
    if encoding == "utf-16":
        try:
            return body.decode("utf-16")
        except UnicodeDecodeError as error:
            raise ValueError(f"is no UTF-16 from byte {error.start} on") from None
    return body.decode(encoding, "surrogateescape").removeprefix("\ufeff")


def lines_of(text: str, shape: Shape) -> Iterator[Line]:
    """The rows that are not empty, a header among them."""
    if shape.form == "fixed":
        return _fixed(text)
    return _delimited(text, shape)


def cut(line: Line, cells: Sequence[Cell], form: Form) -> list[str] | str:
    """A row's cells by declared places, or what is wrong with it.

    Of a fixed width, a line that ends early is wrong: a number that lost its last digits would
    still be a number.
    """
    if form != "fixed":
        if len(line.cells) != len(cells):
            return f"has {len(line.cells)} cells where {len(cells)} are declared"
        return line.cells
    (text,) = line.cells
    needed = max(cell.start + cell.length - 1 for cell in cells)
    if len(text) < needed:
        return f"has {len(text)} characters where {needed} are declared"
    return [
        text[cell.start - 1 : cell.start - 1 + cell.length if cell.length else None]
        for cell in cells
    ]


def _fixed(text: str) -> Iterator[Line]:
    for number, line in enumerate(_BREAK.split(text), start=1):
        if line.strip():
            yield Line(number, [line])


def _delimited(text: str, shape: Shape) -> Iterator[Line]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, **_dialect(shape))
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Line(number, [], f"cannot be read: {error}")
            continue
        if any(cells):
            yield Line(number, cells)


def _dialect(shape: Shape) -> dict[str, Any]:
    if shape.form == "tsv" or not shape.quote:
        delimiter = "\t" if shape.form == "tsv" else shape.delimiter
        return {"delimiter": delimiter, "quoting": csv.QUOTE_NONE, "quotechar": None}
    return {"delimiter": shape.delimiter, "quotechar": shape.quote}


# -------------------------------------------------------------------- writing


def written(rows: Iterable[Sequence[object]], shape: Shape, widths: Sequence[int] = ()) -> str:
    """Rows as the text of a file; widths for fixed width: numbers stand right, text left.

    For values that `cannot_be_written` has nothing against.
    """
    if shape.form == "fixed":
        return "".join(
            "".join(_padded(value, width) for value, width in zip(row, widths, strict=True))
            + "\r\n"
            for row in rows
        )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n", **_dialect(shape))
    writer.writerows(rows)
    return text.getvalue()


def cannot_be_written(value: str, shape: Shape, width: int = 0) -> str:
    """Why a text has no place in such a file; '' where it has."""
    try:
        value.encode(shape.encoding)
    except UnicodeEncodeError:
        return f"{value!r} cannot be written in {shape.encoding}"
    if shape.form == "fixed" and len(value) > width:
        return f"{value!r} is longer than its {width} characters"
    bare = shape.form != "csv" or not shape.quote
    if bare and (_BREAK.search(value) or _dialect_delimiter(shape) in value):
        return f"{value!r} holds what parts cells or lines in this form"
    return ""


def _dialect_delimiter(shape: Shape) -> str:
    if shape.form == "fixed":
        return "\n"
    return "\t" if shape.form == "tsv" else shape.delimiter


def _padded(value: object, width: int) -> str:
    text = str(value)
    return text.rjust(width) if isinstance(value, int) else text.ljust(width)
