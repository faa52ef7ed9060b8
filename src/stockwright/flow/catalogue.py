"""The item master in and out as CSV. Good rows are kept, each bad one is reported with its reason.

A file is read in chunks, each its own transaction, so that an import may be as long as it likes and
holds nobody up. Importing a file again changes nothing.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import BinaryIO, Final

from stockwright.domain.errors import Rejected
from stockwright.domain.spreadsheets import defused, undone
from stockwright.flow.csv_assembly import ASSEMBLY, Parsed, Unfit, grouped, written
from stockwright.flow.csv_columns import COLUMNS, Column, empty_value
from stockwright.flow.csv_report import ImportReport, RefusedRows
from stockwright.flow.csv_rows import Line, match_header, read_lines
from stockwright.flow.row_import import CHUNK_ROWS, NOBODY, Candidate, Importer, Progress, RowImport
from stockwright.store.connection import Connection
from stockwright.store.kinds import KINDS, Row
from stockwright.store.master import iterate

WRITTEN_AT_ONCE: Final = 500


def import_csv(
    connection: Connection,
    kind: str,
    source: BinaryIO,
    *,
    importer: Importer = NOBODY,
    refused: RefusedRows | None = None,
    progress: Progress | None = None,
    chunk_rows: int = CHUNK_ROWS,
) -> ImportReport:
    """Imports a file of one kind (a key of COLUMNS); commits chunk by chunk.

    Columns that the file does not have keep their values. Rows of one kit or listing stand together
    and are imported together or not at all. Raises Rejected where the file as a whole is useless:
    an empty one, or a header with unknown or missing columns.
    """
    rows = RowImport(
        connection, kind, importer, refused=refused, progress=progress, chunk_rows=chunk_rows
    )
    return _Import(kind, rows, refused).run(source)


class _Import:
    """One run over one file."""

    def __init__(self, kind: str, rows: RowImport, refused: RefusedRows | None) -> None:
        self._kind = kind
        self._shape = KINDS[kind]
        self._rows = rows
        self._refused = refused
        self._columns: list[Column | None] = []

    def run(self, source: BinaryIO) -> ImportReport:
        with closing(read_lines(source)) as lines:
            self._begin(next(lines, None))
            assembled = self._assembled if self._kind in ASSEMBLY else self._single
            for candidate in assembled(self._parsed(lines)):
                self._rows.add(candidate)
            self._rows.flush()
        return self._rows.report

    def _begin(self, header: Line | None) -> None:
        if header is None:
            raise Rejected("empty_file", "header", "the file is empty; its first row names columns")
        known = COLUMNS[self._kind]
        self._columns = match_header(header, known)
        self._rows.skip = self._columns.count(None)
        there = {column.name for column in self._columns if column}
        own = self._shape.struct.__struct_fields__
        self._rows.kept = tuple(c.name for c in known if c.name not in there and c.name in own)
        if self._refused:
            self._refused.begin(header.cells[self._rows.skip :])

    def _single(self, parsed: Iterable[Parsed]) -> Iterator[Candidate]:
        """One line, one row."""
        for part in parsed:
            if part.reason:
                self._rows.refuse([part.line], part.field, part.reason)
            else:
                yield Candidate(self._shape.struct(**part.values), [part.line])

    def _assembled(self, parsed: Iterable[Parsed]) -> Iterator[Candidate]:
        """Lines of one kit or listing, one row; all of them or none."""
        names = [column.name if column else "" for column in self._columns]
        places = [names.index(name) for name in self._shape.key]
        for group in grouped(parsed, places):
            bad = next((part for part in group if part.reason), None)
            if bad is None:
                try:
                    row = ASSEMBLY[self._kind]([part.values for part in group])
                    yield Candidate(row, [part.line for part in group])
                except Unfit as unfit:
                    self._rows.refuse([part.line for part in group], unfit.field, str(unfit))
                continue
            because = f"goes with line {bad.line.number}, which is refused"
            for part in group:
                self._rows.refuse([part.line], part.field or "row", part.reason or because)

    def _parsed(self, lines: Iterable[Line]) -> Iterator[Parsed]:
        for line in lines:
            self._rows.count()
            yield self._parse(line)

    def _parse(self, line: Line) -> Parsed:
        if line.problem:
            return Parsed(line, field="row", reason=line.problem)
        if len(line.cells) != len(self._columns):
            reason = f"has {len(line.cells)} cells where the header has {len(self._columns)}"
            return Parsed(line, field="row", reason=reason)
        values = {}
        for column, cell in zip(self._columns, line.cells, strict=True):
            if column is None:
                continue
            trimmed = undone(cell.strip())
            try:
                values[column.name] = column.read(trimmed) if trimmed else empty_value(column)
            except ValueError as failure:
                return Parsed(line, field=column.name, reason=str(failure))
        return Parsed(line, values)


def csv_lines(kind: str) -> Callable[[Sequence[Row]], bytes]:
    """Writes rows of a kind piece by piece as CSV, the header before the first."""
    columns = [column.name for column in COLUMNS[kind]]
    begun = False

    def write(rows: Sequence[Row]) -> bytes:
        nonlocal begun
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if not begun:
            writer.writerow(columns)
            begun = True
        for row in rows:
            writer.writerows([defused(values[name]) for name in columns] for values in written(row))
        return text.getvalue().encode()

    return write


def export_csv(connection: Connection, kind: str, target: BinaryIO) -> int:
    """Writes everything of one kind as a file that `import_csv` reads back; how many lines."""
    write, count = csv_lines(kind), 0
    target.write(write(()))
    rows = iterate(connection, kind)
    while some := list(islice(rows, WRITTEN_AT_ONCE)):
        target.write(write(some))
        count += sum(len(written(row)) for row in some) if kind in ASSEMBLY else len(some)
    return count
