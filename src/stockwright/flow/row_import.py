"""Rows on their way into the item master: kept chunk by chunk, each bad one with its reason."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from msgspec import Struct

from stockwright.domain.errors import Rejected
from stockwright.flow.csv_report import ImportReport, Refusal
from stockwright.flow.csv_rows import Line
from stockwright.store.access import log_change
from stockwright.store.connection import Connection
from stockwright.store.history import Said, said_by
from stockwright.store.kinds import KINDS, Key, Row
from stockwright.store.master import save

CHUNK_ROWS: Final = 5_000
MAX_ROWS: Final = 5_000_000
SHOWN_REFUSALS: Final = 20
NOTED_KEYS: Final = 100

Progress = Callable[[int], None]
"""Called after each chunk with the rows read since the last call."""


class Refused(Protocol):
    """Takes the rows that were not imported, as they were."""

    def write(self, refusal: Refusal, cells: Sequence[str]) -> None:
        """Adds a row."""
        ...


class Importer(Struct, frozen=True, kw_only=True):
    """Who imports, from where, and what they may not: a reason, or '' where a row may come in.

    Without an actor nothing is written into the log of changes.
    """

    actor: str = ""
    origin: str = ""
    forbids: Callable[[Row], str] | None = None
    shown_refusals: int = SHOWN_REFUSALS

    @property
    def said(self) -> Said:
        """Who makes the revisions of the import, and why."""
        return Said(actor=self.actor, source="import", reason=f"import of {self.origin}")


NOBODY: Final = Importer()
"""Imports without leaving a trace in the log of changes: demos, measurements, tests."""


class Candidate(Struct):
    """A row of the item master and the lines of the file that state it."""

    row: Row
    lines: list[Line]


class RowImport:
    """Takes well-formed rows of one kind; saves a chunk at a time, each in a transaction."""

    def __init__(
        self,
        connection: Connection,
        kind: str,
        importer: Importer,
        *,
        refused: Refused | None = None,
        progress: Progress | None = None,
        chunk_rows: int = CHUNK_ROWS,
    ) -> None:
        self._connection = connection
        self._shape = KINDS[kind]
        self._importer = importer
        self._refused = refused
        self._progress = progress
        self._chunk_rows = chunk_rows
        self._chunk: list[Candidate] = []
        self._told = 0
        # Of each key its first line and a hash of what it said: enough to tell a repetition.
        self._seen: dict[Key, tuple[int, int]] = {}
        self.kept: tuple[str, ...] = ()
        self.skip = 0
        self.report = ImportReport(kind=kind)

    def count(self) -> None:
        """Counts one line that was read. Raises Rejected beyond MAX_ROWS."""
        self.report.rows += 1
        if self.report.rows > MAX_ROWS:
            message = f"the file has more than {MAX_ROWS} rows; split it"
            raise Rejected("too_many_rows", "rows", message)

    def add(self, candidate: Candidate) -> None:
        """Takes a row; each key once. It is saved with its chunk."""
        reason = self._importer.forbids(candidate.row) if self._importer.forbids else ""
        if reason:
            self.refuse(candidate.lines, self._shape.key[0], reason)
            return
        key = self._shape.key_of(candidate.row)
        content = hash(candidate.row)
        first, said = self._seen.setdefault(key, (candidate.lines[0].number, content))
        if said != content:
            reason = f"line {first} says otherwise of {' '.join(key)}; keep one of the two"
            self.refuse(candidate.lines, self._shape.key[-1], reason)
            return
        self._chunk.append(candidate)
        if len(self._chunk) >= self._chunk_rows:
            self.flush()

    def refuse(self, lines: Iterable[Line], field: str, reason: str) -> None:
        """Reports lines that are not imported."""
        for line in lines:
            self.report.refused += 1
            refusal = Refusal(line=line.number, field=field, reason=reason)
            if len(self.report.first_refusals) < self._importer.shown_refusals:
                self.report.first_refusals.append(refusal)
            if self._refused:
                skip = 0 if line.problem else self.skip
                self._refused.write(refusal, line.cells[skip:])

    def flush(self) -> None:
        """Saves what has come so far."""
        chunk, self._chunk = self._chunk, []
        if chunk:
            self._save(chunk)
        if self._progress and self.report.rows > self._told:
            self._progress(self.report.rows - self._told)
            self._told = self.report.rows

    def _save(self, chunk: Sequence[Candidate]) -> None:
        rows = [candidate.row for candidate in chunk]
        with self._connection.transaction():
            if self._importer.actor:
                said_by(self._connection, self._importer.said)
            results = save(self._connection, self.report.kind, rows, self.kept)
            changed = [row for row, result in zip(rows, results, strict=True) if result in _CHANGES]
            self._note(changed)
        self._connection.commit()
        counts: Counter[str] = Counter()
        for candidate, result in zip(chunk, results, strict=True):
            if isinstance(result, Rejected):
                self.refuse(candidate.lines, result.field, result.message)
            else:
                counts[result] += len(candidate.lines)
        self.report.new += counts["new"]
        self.report.changed += counts["changed"]
        self.report.unchanged += counts["unchanged"]

    def _note(self, changed: Sequence[Row]) -> None:
        """Notes who imported what, in the transaction of the change."""
        if changed and self._importer.actor:
            keys = [" ".join(self._shape.key_of(row)) for row in changed[:NOTED_KEYS]]
            detail = {"rows": len(changed), "keys": keys}
            action = f"{self.report.kind}.import"
            log_change(
                self._connection, self._importer.actor, action, self._importer.origin, detail
            )


_CHANGES: Final = ("new", "changed")
