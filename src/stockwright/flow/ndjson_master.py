"""The item master in and out as lines of JSON: one row a line, or all kinds in one file.

In a file of all kinds each line names its `kind`; they come in the order of WHOLE, so that what a
row refers to is there before it. A row takes one line whatever its kind, and says all of itself:
what it leaves out has its default.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Final, Self
from zoneinfo import available_timezones

import msgspec
from msgspec.structs import fields

from stockwright.domain.codes import did_you_mean
from stockwright.domain.network import Location
from stockwright.flow.csv_report import ImportReport, Refusal
from stockwright.flow.csv_rows import Line
from stockwright.flow.row_import import CHUNK_ROWS, NOBODY, Candidate, Importer, Progress, RowImport
from stockwright.store.connection import Connection
from stockwright.store.kinds import KINDS, Row, tidy
from stockwright.store.master import iterate

WHOLE: Final = ("locations", "skus", "units", "kits", "listings", "bindings")
"""Every kind, in the order in which one may refer to those before it."""
MAX_LINE: Final = 1_000_000
_REPORTED: Final = "refused"
"""Field of a line of a report that says why it was refused; it may be imported as it is."""
_UNSHOWN: Final = {"locations": ("authority",)}
"""Whose word counts at a place is decided in the configuration alone."""
_encode = msgspec.json.Encoder().encode


class _Unfit(Exception):
    """A line that is no row."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


def line_of(kind: str, row: Row, *, tagged: bool) -> bytes:
    """A row as one line; tagged with its kind for a file of all kinds."""
    told = msgspec.to_builtins(row, builtin_types=())
    for name in _UNSHOWN.get(kind, ()):
        told.pop(name)
    return _encode({"kind": kind, **told} if tagged else told) + b"\n"


def export_ndjson(connection: Connection, kinds: Sequence[str], target: BinaryIO) -> int:
    """Writes all rows of these kinds as a file that `import_ndjson` reads back; how many.

    Lines are tagged where there are several kinds.
    """
    count = 0
    for kind in kinds:
        for row in iterate(connection, kind):
            target.write(line_of(kind, row, tagged=len(kinds) > 1))
            count += 1
    return count


def import_ndjson(
    connection: Connection,
    kind: str | None,
    source: BinaryIO,
    *,
    importer: Importer = NOBODY,
    refused: "RefusedLines | None" = None,
    progress: Progress | None = None,
    chunk_rows: int = CHUNK_ROWS,
) -> list[ImportReport]:
    """Imports lines of one kind, or of all (None), chunk by chunk; a report for each kind met.

    Good rows are kept, each bad one is reported with its line, field and reason.
    """
    imports: dict[str, RowImport] = {}
    before: RowImport | None = None

    def of(name: str) -> RowImport:
        if name not in imports:
            imports[name] = RowImport(
                connection, name, importer, refused=refused, progress=progress,
                chunk_rows=chunk_rows,
            )  # fmt: skip
        return imports[name]

    for line in _lines(source):
        try:
            told = _told(line)
            name = kind or _kind_of(told)
        except _Unfit as unfit:
            rows = before or of(kind or WHOLE[0])
            rows.count()
            rows.refuse([line], unfit.field, str(unfit))
            continue
        rows = of(name)
        if before is not None and before is not rows:
            before.flush()
        before = rows
        rows.count()
        try:
            rows.add(Candidate(_row(name, told), [line]))
        except _Unfit as unfit:
            rows.refuse([line], unfit.field, str(unfit))
    for rows in imports.values():
        rows.flush()
    return [rows.report for rows in imports.values()] or [of(kind or WHOLE[0]).report]


class RefusedLines:
    """A file of refused lines, made when the first one comes: each line, and why, in `refused`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def write(self, refusal: Refusal, cells: Sequence[str]) -> None:
        """Adds a line as it was."""
        if self._file is None:
            self._file = self._path.open("wb")
        why = msgspec.to_builtins(refusal)
        try:
            told = msgspec.json.decode(cells[0], type=dict[str, Any])
            told.pop(_REPORTED, None)
        except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
            told, why = {}, {**why, "text": cells[0].encode("utf-8", "replace").decode()}
        self._file.write(_encode({_REPORTED: why, **told}) + b"\n")

    def close(self) -> None:
        """Ends the file, if there is one."""
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def _lines(source: BinaryIO) -> Iterator[Line]:
    """The lines that are not blank, numbered from 1, bounded in memory."""
    number = 0
    while raw := source.readline(MAX_LINE):
        number += 1
        problem = ""
        if len(raw) >= MAX_LINE and not raw.endswith(b"\n"):
            problem = f"is longer than {MAX_LINE} bytes"
            while (rest := source.readline(MAX_LINE)) and not rest.endswith(b"\n"):
                pass
        text = raw.decode("utf-8", "surrogateescape").removeprefix("\ufeff").strip()
        if text:
            yield Line(number, [text], problem)


def _told(line: Line) -> dict[str, Any]:
    if line.problem:
        raise _Unfit("row", line.problem)
    text = line.cells[0]
    if "\\u0000" in text:
        raise _Unfit("row", "holds the invisible character U+0000")
    try:
        told = msgspec.json.decode(text.encode("utf-8"), type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError) as failure:
        raise _Unfit("row", f"is no JSON object: {failure}") from None
    told.pop(_REPORTED, None)
    return told


def _kind_of(told: dict[str, Any]) -> str:
    name = told.pop("kind", None)
    if name not in KINDS:
        raise _Unfit("kind", f"a line names its kind: one of {', '.join(WHOLE)}")
    return str(name)


@cache
def _fields(kind: str) -> tuple[list[str], list[str]]:
    """The names that a row may have, and those that it must have."""
    struct = KINDS[kind].struct
    known = [name for name in struct.__struct_fields__ if name not in _UNSHOWN.get(kind, ())]
    return known, [field.name for field in fields(struct) if field.required]


def _row(kind: str, told: dict[str, Any]) -> Row:
    known, required = _fields(kind)
    for name in told:
        if name not in known:
            hint = did_you_mean(name, known) or f"there are {', '.join(known)}"
            raise _Unfit(name[:100], f"is unknown; {hint}")
    for name in required:
        if name not in told:
            raise _Unfit(name, "is missing")
    try:
        row = tidy(msgspec.convert(told, KINDS[kind].struct))
    except msgspec.ValidationError as failure:
        what, _, path = str(failure).partition(" - at `$")
        raise _Unfit(path.strip("`.") or "row", what) from None
    if isinstance(row, Location) and row.time_zone not in available_timezones():
        raise _Unfit("time_zone", "is no IANA time zone; write a name such as Europe/Berlin")
    return row
