"""The file of levels: always complete, replaced whole, with totals the partner can check.

What we know stands in a file of our own beside it (`.NAME.kept`), so that a partner may take its
file away. The visible file is written from that and renamed into place.
"""

import csv
import hashlib
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from stockwright.connectors.csv_drop.declaration import CsvDropSettings
from stockwright.domain.errors import Misconfigured
from stockwright.sdk.messages import Applied, LevelKey, LevelToSend, PublishResult, Refused

TRAILER: Final = "#total"


class Row(NamedTuple):
    """One level as the file shows it."""

    listing: str
    location: str
    quantity: int
    version: int


class Control(msgspec.Struct, frozen=True, kw_only=True):
    """What the partner checks a file against. sha256 is of the file's bytes, in a sidecar only."""

    rows: int
    quantity: int
    sha256: str = ""


Rows = dict[LevelKey, Row]


def merged(
    rows: Mapping[LevelKey, Row], levels: Sequence[LevelToSend], encoding: str
) -> tuple[Rows, list[PublishResult]]:
    """The rows after these levels, and what each became; a lower version than known stays out."""
    after = dict(rows)
    results: list[PublishResult] = []
    for level in levels:
        if not _can_write(level, encoding):
            message = f"{level.listing!r} cannot be written in {encoding}"
            results.append(Refused(reason="encoding", message=message))
            continue
        known = after.get(level.key)
        if known is None or known.version <= level.version:
            known = Row(level.listing, level.location, level.quantity, level.version)
            after[level.key] = known
        results.append(Applied(shown=known.quantity, version=known.version))
    return after, results


def _can_write(level: LevelToSend, encoding: str) -> bool:
    try:
        (level.listing + level.location).encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def rendered(rows: Iterable[Row], settings: CsvDropSettings) -> tuple[bytes, Control]:
    """The file's bytes, sorted by listing and location, and its totals."""
    ordered = sorted(rows)
    text = io.StringIO()
    writer = csv.writer(text, delimiter=settings.delimiter, lineterminator="\r\n")
    writer.writerow(settings.columns.values())
    for row in ordered:
        writer.writerow([getattr(row, field) for field in settings.columns])
    quantity = sum(row.quantity for row in ordered)
    if settings.control == "trailer":
        writer.writerow([TRAILER, len(ordered), quantity])
    body = text.getvalue().encode(settings.encoding, "strict")
    digest = hashlib.sha256(body).hexdigest()
    return body, Control(rows=len(ordered), quantity=quantity, sha256=digest)


def check_complete(rows: int, before: int, settings: CsvDropSettings) -> None:
    """Raises Misconfigured where a file would lose more of the catalogue than `min_share` allows.

    A file that says less than the last one tells the partner to stop selling the rest.
    """
    if rows < before * settings.min_share:
        raise Misconfigured(
            "outbox",
            f"{settings.levels_file} would shrink from {before} rows to {rows}, so it was not "
            f"written. Put back .{settings.levels_file}.kept, or remove {settings.levels_file} and "
            "its .control.json to begin anew, and resync the channel",
        )


class LevelsFile:
    """The files of one outbox. For one process at a time: the caller holds the lock."""

    def __init__(self, settings: CsvDropSettings) -> None:
        self._settings = settings
        folder = Path(settings.outbox)
        self.path = folder / settings.levels_file
        self._kept = folder / f".{settings.levels_file}.kept"
        self._control = folder / f"{settings.levels_file}.control.json"

    def rows(self) -> Rows:
        """All we ever wrote, by key."""
        if not self._kept.exists():
            return {}
        try:
            rows = msgspec.json.decode(self._kept.read_bytes(), type=list[Row])
        except msgspec.DecodeError as error:
            raise Misconfigured(
                "outbox", f"{self._kept} is damaged ({error}): remove it and resync the channel"
            ) from None
        return {LevelKey(listing=row.listing, location=row.location): row for row in rows}

    def write(self, rows: Rows) -> bool:
        """Keeps the rows, and replaces the visible file; False where there are too few as yet.

        Raises Misconfigured where the file would lose its catalogue.
        """
        check_complete(len(rows), self._rows_last_written(), self._settings)
        replace_file(self._kept, msgspec.json.encode(sorted(rows.values())))
        if not rows or len(rows) < self._settings.min_rows:
            return False
        body, control = rendered(rows.values(), self._settings)
        replace_file(self.path, body)
        if self._settings.control == "sidecar":
            replace_file(self._control, msgspec.json.encode(control))
        return True

    def _rows_last_written(self) -> int:
        """What the visible files say, since only they were surely seen by the partner."""
        if self._control.exists():
            return msgspec.json.decode(self._control.read_bytes(), type=Control).rows
        if not self.path.exists():
            return 0
        lines = self.path.read_bytes().count(b"\n")
        return max(0, lines - (2 if self._settings.control == "trailer" else 1))


def replace_file(path: Path, body: bytes) -> None:
    """Puts a file in place at once and for good: readers see the old or the new one, whole."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with draft.open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
