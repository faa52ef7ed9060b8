"""A file as a table: its columns, its rows by column, and whether any of it may count."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from stockwright.sdk.files.shapes import Line, Shape, cut, decoded, lines_of
from stockwright.sdk.files.totals import Totals, is_trailer, problem_with_totals
from stockwright.sdk.mapping import excerpt
from stockwright.sdk.messages import Failure

Row = tuple[Line, dict[str, str] | Failure]


class Table(NamedTuple):
    """A file whose columns are known. skipped: whether its first line is a header."""

    text: str
    columns: list[str]
    skipped: bool
    shape: Shape
    totals: Totals | None

    def rows(self) -> Iterator[Row]:
        """The rows with their cells by column, or why one has none; without header and totals."""
        for line in self._lines():
            if not is_trailer(line, self.totals):
                yield line, self._cells(line)

    def trailers(self) -> list[Line]:
        """The rows with totals."""
        return [line for line in self._lines() if is_trailer(line, self.totals)]

    def _lines(self) -> Iterator[Line]:
        lines = lines_of(self.text, self.shape)
        if self.skipped:
            next(lines, None)
        return lines

    def _cells(self, line: Line) -> dict[str, str] | Failure:
        place = f"line {line.number}"
        if line.problem:
            return Failure(path=place, reason=line.problem)
        if self.shape.cells:
            cells = cut(line, self.shape.cells, self.shape.form)
            if isinstance(cells, str):
                return Failure(path=place, reason=cells, found=excerpt(line.cells))
        else:
            cells = line.cells
            if len(cells) != len(self.columns):
                reason = f"has {len(cells)} cells where the header has {len(self.columns)}"
                return Failure(path=place, reason=reason, found=excerpt(cells))
        return {name: cell.strip() for name, cell in zip(self.columns, cells, strict=True)}


def table_of(
    body: bytes, shape: Shape, totals: Totals | None, needed: Sequence[str]
) -> Table | Failure:
    """A file as a table, or why no row of it can be read. needed: columns it must have."""
    try:
        text = decoded(body, shape.encoding)
    except ValueError as error:
        return Failure(path="line 1", reason=str(error))
    first = next(lines_of(text, shape), None)
    if shape.cells:
        columns = [cell.name for cell in shape.cells]
        if first is None and shape.header:
            return Failure(path="line 1", reason="has no header")
    elif first is None or first.problem or not any(first.cells):
        return Failure(path="line 1", reason=(first and first.problem) or "has no header")
    else:
        columns = [cell.strip() for cell in first.cells]
    twice = sorted({column for column in columns if column and columns.count(column) > 1})
    if twice:
        return Failure(path="line 1", reason=f"names a column twice: {', '.join(twice)}")
    lacking = [column for column in needed if column not in columns]
    if lacking:
        found = ", ".join(columns)[:200]
        reason = f"lacks the columns {', '.join(lacking)}; it has {found}{_parted(columns, shape)}"
        return Failure(path="line 1", reason=reason)
    return Table(text, columns, shape.header, shape, totals)


def _parted(columns: Sequence[str], shape: Shape) -> str:
    """What to do where a header that is one column is parted by another character than ours."""
    other = next((mark for mark in "\t;|," if mark in columns[0]), "")
    ours = "\t" if shape.form == "tsv" else shape.delimiter
    if len(columns) > 1 or other in ("", ours):
        return ""
    if other == "\t":
        return ", which is one column: set form to tsv"
    form = "form to csv and " if shape.form == "tsv" else ""
    return f", which is one column: set {form}delimiter to {other}"


def problem_with_table(table: Table, body: bytes, control: str) -> Failure | None:
    """Why nothing of a file counts although its rows can be read: its totals are not its own."""
    if table.totals is None:
        return None
    rows = [(line, None if isinstance(cells, Failure) else cells) for line, cells in table.rows()]
    shape = table.shape
    return problem_with_totals(
        rows, table.trailers(), body, control, table.totals, shape.form, shape.decimal
    )
