"""Rows of a CSV file with their line numbers. One bad row never hides its neighbours."""

import csv
import io
from collections import deque
from collections.abc import Generator, Sequence
from typing import BinaryIO, Final

from msgspec import Struct

from stockwright.domain.codes import did_you_mean
from stockwright.domain.errors import Rejected
from stockwright.flow.csv_columns import Column

REPORT_COLUMNS: Final = ("line", "field", "reason")
"""In front of the columns of a file of refused rows; such a file may be imported again as it is."""

MAX_LINE: Final = 100_000
MAX_LINES_IN_ROW: Final = 100
_DELIMITERS: Final = ",;\t"
_OPEN_QUOTE: Final = "opens a quote that is not closed; close it, or write two quotes for one"


class Line(Struct, frozen=True):
    """One row as written: its first line from 1, its cells, and why it cannot be read, if so."""

    number: int
    cells: list[str]
    problem: str = ""


class _Unreadable(Exception):
    """A row that must not be read on."""


class _Lines:
    """Feeds lines to the csv reader and can take them back."""

    def __init__(self, source: BinaryIO) -> None:
        # Bytes that are not UTF-8 are carried along, so that the refused row keeps them.
        self._text = io.TextIOWrapper(
            source, encoding="utf-8-sig", errors="surrogateescape", newline=""
        )
        self._waiting: deque[str] = deque()
        self._taken: list[str] = []
        self.number = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        if len(self._taken) >= MAX_LINES_IN_ROW:
            raise _Unreadable(_OPEN_QUOTE)
        line = self._waiting.popleft() if self._waiting else self._text.readline(MAX_LINE)
        if not line:
            raise StopIteration
        self.number += 1
        self._taken.append(line)
        if len(line) >= MAX_LINE:
            self._skip_line()
            raise _Unreadable(f"is longer than {MAX_LINE} characters")
        return line

    def _skip_line(self) -> None:
        line = self._taken[-1]
        while line and not line.endswith(("\n", "\r")):
            line = self._text.readline(MAX_LINE)

    def begin_row(self) -> None:
        self._taken.clear()

    def take_back(self, *, keep_first: bool) -> str:
        """Puts the lines of this row back, all or all but the first; answers the first."""
        first, *others = self._taken or [""]
        back = others if keep_first else self._taken
        self._waiting.extendleft(reversed(back))
        self.number -= len(back)
        self._taken.clear()
        return first

    def delimiter(self) -> str:
        """Comma, semicolon or tab: whichever the first line with anything on it uses most."""
        header = ""
        while not header.strip():
            try:
                header = next(self)
            except (StopIteration, _Unreadable):
                break
        self.take_back(keep_first=False)
        return max(_DELIMITERS, key=header.count)

    def detach(self) -> None:
        """Leaves the source open for its owner."""
        self._text.detach()


def read_lines(source: BinaryIO) -> Generator[Line, None, None]:
    """The header, then the rows of a file, blank rows left out; bounded in memory.

    Comma, semicolon or tab: whichever the header uses. A row that cannot be read is answered with
    its problem, and reading goes on with the next line. The source stays open.
    """
    lines = _Lines(source)
    try:
        delimiter = lines.delimiter()
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        while True:
            lines.begin_row()
            start = lines.number + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except (csv.Error, _Unreadable) as failure:
                raw = lines.take_back(keep_first=True).rstrip("\r\n")
                yield Line(start, [raw], _explain(failure))
                reader = csv.reader(lines, delimiter=delimiter, strict=True)
                continue
            if any(cell.strip() for cell in cells):
                yield Line(start, cells)
    finally:
        lines.detach()


def _explain(failure: Exception) -> str:
    words = str(failure)
    if "unexpected end" in words or "field limit" in words:
        return _OPEN_QUOTE
    if "expected after" in words:
        return "goes on after a closing quote; write two quotes for one within a cell"
    return words


def match_header(header: Line, columns: Sequence[Column]) -> list[Column | None]:
    """The column of each cell of the header, aligned; None for those of a refused-rows report.

    Raises Rejected that names every column that is unknown, missing or there twice.
    """
    by_name = {column.name: column for column in columns}
    names = [cell.strip().lower().replace(" ", "_") for cell in header.cells]
    if header.problem or any("\x00" in name for name in names):
        what = "the header cannot be read; save the file as CSV in UTF-8"
        raise Rejected("bad_header", "header", what)
    skipped = len(REPORT_COLUMNS) if tuple(names[:3]) == REPORT_COLUMNS else 0
    own = names[skipped:]
    problems = [_unknown(name, by_name) for name in own if name not in by_name]
    problems += [f"{name} is there twice" for name in sorted(set(own)) if own.count(name) > 1]
    problems += [f"{c.name} is missing" for c in columns if c.required and c.name not in own]
    if problems:
        fields = [problem.split(" ")[0] for problem in problems]
        raise Rejected("bad_header", fields[0], f"the header is wrong: {', '.join(problems)}")
    return [None] * skipped + [by_name[name] for name in own]


def _unknown(name: str, known: dict[str, Column]) -> str:
    near = did_you_mean(name, known)
    return f"{name or 'an empty name'} is unknown ({near or 'columns: ' + ' '.join(known)})"
