"""The item master in and out as NDJSON: one row a line, in the shape the API has for it."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

import msgspec
from msgspec.structs import asdict, fields

from stockwright.domain.errors import Rejected
from stockwright.domain.network import Location
from stockwright.flow.catalogue import CHUNK_ROWS, MAX_ROWS, SHOWN_REFUSALS, Progress
from stockwright.flow.csv_columns import time_zone
from stockwright.flow.csv_report import ImportReport, Refusal
from stockwright.store.connection import Connection
from stockwright.store.kinds import KINDS, Row
from stockwright.store.master import save

MAX_LINE: Final = 1_000_000
CLOSED: Final = {"locations": ("authority",)}
"""Fields that are decided in the configuration file alone, and are no part of a row here."""
_LOCATED: Final = re.compile(r"^(.*?) - at `\$\.?([^`]*)`$", re.DOTALL)
_NAMED: Final = re.compile(r"(?:missing required|contains unknown) field `([^`]*)`")


def encode_row(kind: str, row: Row) -> bytes:
    """A row as one line, without its end."""
    told = {name: value for name, value in asdict(row).items() if name not in CLOSED.get(kind, ())}
    return msgspec.json.encode(told)


def import_lines(
    connection: Connection, kind: str, source: BinaryIO, *, progress: Progress | None = None
) -> ImportReport:
    """Imports NDJSON of one kind (a key of KINDS); commits chunk by chunk.

    A line is a whole row: what it leaves out has its default. Each bad line is refused for itself.
    """
    return _Import(connection, kind, progress).run(source)


class _Import:
    """One run over one file."""

    def __init__(self, connection: Connection, kind: str, progress: Progress | None) -> None:
        self._connection = connection
        self._struct = KINDS[kind].struct
        self._decoder = msgspec.json.Decoder(_strict(kind))
        self._progress = progress
        self._report = ImportReport(kind=kind)

    def run(self, source: BinaryIO) -> ImportReport:
        chunk: list[tuple[int, Row]] = []
        told = 0
        for number, line in _lines(source):
            self._report.rows += 1
            if self._report.rows > MAX_ROWS:
                message = f"the file has more than {MAX_ROWS} rows; split it"
                raise Rejected("too_many_rows", "rows", message)
            row = self._read(number, line)
            if row is not None:
                chunk.append((number, row))
            if len(chunk) >= CHUNK_ROWS:
                self._save(chunk)
                chunk = []
                told = self._tell(told)
        self._save(chunk)
        self._tell(told)
        return self._report

    def _tell(self, before: int) -> int:
        if self._progress and self._report.rows > before:
            self._progress(self._report.rows - before)
        return self._report.rows

    def _read(self, number: int, line: bytes) -> Row | None:
        """The row of a line; None where it was refused."""
        try:
            if len(line) >= MAX_LINE:
                raise _Unfit("row", f"is longer than {MAX_LINE} bytes")
            row = self._struct(**_shallow(self._decoder.decode(line)))
            if isinstance(row, Location):
                _check_zone(row)
            return row
        except _Unfit as unfit:
            self._refuse(number, unfit.field, str(unfit))
        except msgspec.ValidationError as failure:
            self._refuse(number, *_explain(str(failure)))
        except msgspec.DecodeError as failure:
            self._refuse(number, "row", f"is no JSON object: {failure}")
        except ValueError as failure:  # a bound that a type cannot declare
            self._refuse(number, str(failure).split(" ")[0], str(failure))
        return None

    def _refuse(self, line: int, field: str, reason: str) -> None:
        self._report.refused += 1
        if len(self._report.first_refusals) < SHOWN_REFUSALS:
            refusal = Refusal(line=line, field=field, reason=reason)
            self._report.first_refusals.append(refusal)

    def _save(self, chunk: list[tuple[int, Row]]) -> None:
        if not chunk:
            return
        with self._connection.transaction():
            results = save(self._connection, self._report.kind, [row for _, row in chunk])
        self._connection.commit()
        counts: Counter[str] = Counter()
        for (number, _), result in zip(chunk, results, strict=True):
            if isinstance(result, Rejected):
                self._refuse(number, result.field, result.message)
            else:
                counts[result] += 1
        self._report.new += counts["new"]
        self._report.changed += counts["changed"]
        self._report.unchanged += counts["unchanged"]


class _Unfit(Exception):
    """A line that its type lets through, and that is no row."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def _check_zone(row: Location) -> None:
    try:
        time_zone(row.time_zone)
    except ValueError as failure:
        raise _Unfit("time_zone", str(failure)) from None


def _strict(kind: str) -> type[msgspec.Struct]:
    """The row's type, without what is closed; an unknown field is a mistake."""
    kept: list[Any] = [
        (field.name, field.type) if field.required else (field.name, field.type, field.default)
        for field in fields(KINDS[kind].struct)
        if field.name not in CLOSED.get(kind, ())
    ]
    return msgspec.defstruct(f"{kind}_line", kept, kw_only=True, forbid_unknown_fields=True)


def _shallow(line: msgspec.Struct) -> dict[str, Any]:
    return {name: getattr(line, name) for name in line.__struct_fields__}


def _lines(source: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """(number from 1, line), blank ones left out; what is beyond MAX_LINE is cut off."""
    number = 0
    while line := source.readline(MAX_LINE):
        number += 1
        rest = line
        while rest and not rest.endswith(b"\n") and len(rest) == MAX_LINE:
            rest = source.readline(MAX_LINE)
        if line.strip():
            yield number, line


def _explain(message: str) -> tuple[str, str]:
    """(field, reason) of what the decoder says."""
    located = _LOCATED.match(message)
    what, path = (located[1], located[2]) if located else (message, "")
    named = _NAMED.search(what)
    if named:
        path = f"{path}.{named[1]}" if path else named[1]
    return path or "row", what
