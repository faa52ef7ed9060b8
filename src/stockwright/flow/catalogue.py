"""The item master in and out as CSV. Good rows are kept, each bad one is reported with its reason.

A file is read in chunks, each its own transaction, so that an import may be as long as it likes and
holds nobody up. Importing a file again changes nothing.
"""

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from typing import BinaryIO, Final, TextIO

from msgspec import Struct

from stockwright.domain.errors import Rejected
from stockwright.flow.csv_assembly import ASSEMBLY, Parsed, Unfit, grouped, written
from stockwright.flow.csv_columns import COLUMNS, Column, empty_value
from stockwright.flow.csv_report import ImportReport, Refusal, RefusedRows
from stockwright.flow.csv_rows import Line, match_header, read_lines
from stockwright.store.connection import Connection
from stockwright.store.kinds import KINDS, Key, Row
from stockwright.store.master import iterate, save

CHUNK_ROWS: Final = 5_000
MAX_ROWS: Final = 5_000_000
SHOWN_REFUSALS: Final = 20

Progress = Callable[[int], None]
"""Called after each chunk with the rows read since the last call."""


class _Candidate(Struct):
    """A row of the item master and the lines of the file that state it."""

    row: Row
    lines: list[Line]


def import_csv(
    connection: Connection,
    kind: str,
    source: BinaryIO,
    *,
    refused: RefusedRows | None = None,
    progress: Progress | None = None,
    chunk_rows: int = CHUNK_ROWS,
) -> ImportReport:
    """Imports a file of one kind (a key of COLUMNS); commits chunk by chunk.

    Columns that the file does not have keep their values. Rows of one kit or listing stand together
    and are imported together or not at all. Raises Rejected where the file as a whole is useless:
    an empty one, or a header with unknown or missing columns.
    """
    return _Import(connection, kind, refused, progress).run(source, chunk_rows)


class _Import:
    """One run over one file."""

    def __init__(
        self,
        connection: Connection,
        kind: str,
        refused: RefusedRows | None,
        progress: Progress | None,
    ) -> None:
        self._connection = connection
        self._shape = KINDS[kind]
        self._refused = refused
        self._progress = progress
        self._report = ImportReport(kind=kind)
        self._columns: list[Column | None] = []
        self._kept: tuple[str, ...] = ()
        self._skip = 0
        # Of each key its first line and a hash of what it said: enough to tell a repetition.
        self._seen: dict[Key, tuple[int, int]] = {}

    def run(self, source: BinaryIO, chunk_rows: int) -> ImportReport:
        with closing(read_lines(source)) as lines:
            return self._run(lines, chunk_rows)

    def _run(self, lines: Iterator[Line], chunk_rows: int) -> ImportReport:
        self._begin(next(lines, None))
        chunk: list[_Candidate] = []
        read = 0
        for candidate in self._candidates(lines):
            chunk.append(candidate)
            if len(chunk) >= chunk_rows:
                self._save(chunk)
                chunk = []
                read = self._tell(read)
        self._save(chunk)
        self._tell(read)
        return self._report

    def _begin(self, header: Line | None) -> None:
        if header is None:
            raise Rejected("empty_file", "header", "the file is empty; its first row names columns")
        known = COLUMNS[self._report.kind]
        self._columns = match_header(header, known)
        self._skip = self._columns.count(None)
        there = {column.name for column in self._columns if column}
        own = self._shape.struct.__struct_fields__
        self._kept = tuple(c.name for c in known if c.name not in there and c.name in own)
        if self._refused:
            self._refused.begin(header.cells[self._skip :])

    def _tell(self, before: int) -> int:
        if self._progress and self._report.rows > before:
            self._progress(self._report.rows - before)
        return self._report.rows

    def _candidates(self, lines: Iterable[Line]) -> Iterator[_Candidate]:
        """Rows that are well formed, each key once."""
        assembled = self._assembled if self._report.kind in ASSEMBLY else self._single
        for candidate in assembled(self._parsed(lines)):
            key = self._shape.key_of(candidate.row)
            content = hash(candidate.row)
            first, said = self._seen.setdefault(key, (candidate.lines[0].number, content))
            if said == content:
                yield candidate
            else:
                reason = f"line {first} says otherwise of {' '.join(key)}; keep one of the two"
                self._refuse(candidate.lines, self._shape.key[-1], reason)

    def _single(self, parsed: Iterable[Parsed]) -> Iterator[_Candidate]:
        """One line, one row."""
        for part in parsed:
            if part.reason:
                self._refuse([part.line], part.field, part.reason)
            else:
                yield _Candidate(self._shape.struct(**part.values), [part.line])

    def _assembled(self, parsed: Iterable[Parsed]) -> Iterator[_Candidate]:
        """Lines of one kit or listing, one row; all of them or none."""
        names = [column.name if column else "" for column in self._columns]
        places = [names.index(name) for name in self._shape.key]
        for group in grouped(parsed, places):
            bad = next((part for part in group if part.reason), None)
            if bad is None:
                try:
                    row = ASSEMBLY[self._report.kind]([part.values for part in group])
                    yield _Candidate(row, [part.line for part in group])
                except Unfit as unfit:
                    self._refuse([part.line for part in group], unfit.field, str(unfit))
                continue
            because = f"goes with line {bad.line.number}, which is refused"
            for part in group:
                self._refuse([part.line], part.field or "row", part.reason or because)

    def _parsed(self, lines: Iterable[Line]) -> Iterator[Parsed]:
        for line in lines:
            self._report.rows += 1
            if self._report.rows > MAX_ROWS:
                message = f"the file has more than {MAX_ROWS} rows; split it"
                raise Rejected("too_many_rows", "rows", message)
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
            trimmed = cell.strip()
            try:
                values[column.name] = column.read(trimmed) if trimmed else empty_value(column)
            except ValueError as failure:
                return Parsed(line, field=column.name, reason=str(failure))
        return Parsed(line, values)

    def _refuse(self, lines: Iterable[Line], field: str, reason: str) -> None:
        for line in lines:
            self._report.refused += 1
            refusal = Refusal(line=line.number, field=field, reason=reason)
            if len(self._report.first_refusals) < SHOWN_REFUSALS:
                self._report.first_refusals.append(refusal)
            if self._refused:
                skip = 0 if line.problem else self._skip
                self._refused.write(refusal, line.cells[skip:])

    def _save(self, chunk: Sequence[_Candidate]) -> None:
        if not chunk:
            return
        rows = [candidate.row for candidate in chunk]
        with self._connection.transaction():
            results = save(self._connection, self._report.kind, rows, self._kept)
        self._connection.commit()
        counts: Counter[str] = Counter()
        for candidate, result in zip(chunk, results, strict=True):
            if isinstance(result, Rejected):
                self._refuse(candidate.lines, result.field, result.message)
            else:
                counts[result] += len(candidate.lines)
        self._report.new += counts["new"]
        self._report.changed += counts["changed"]
        self._report.unchanged += counts["unchanged"]


def export_csv(connection: Connection, kind: str, target: TextIO) -> int:
    """Writes everything of one kind as a file that `import_csv` reads back; how many rows."""
    columns = COLUMNS[kind]
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow([column.name for column in columns])
    count = 0
    for row in iterate(connection, kind):
        for values in written(row):
            writer.writerow([values[column.name] for column in columns])
            count += 1
    return count
