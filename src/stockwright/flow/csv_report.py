"""What became of an import: counts, the first refusals, and a file with all of them."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Self, TextIO

from msgspec import Struct

from stockwright.domain.errors import Rejected
from stockwright.domain.spreadsheets import defused, kept_plain
from stockwright.flow.csv_rows import REPORT_COLUMNS


class Refusal(Struct, frozen=True, kw_only=True):
    """Why one row was not imported."""

    line: int
    field: str
    reason: str


class ImportReport(Struct, kw_only=True):
    """What became of each row: rows = new + changed + unchanged + refused.

    first_refusals are the first few; the file of refused rows has them all.
    """

    kind: str
    rows: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    refused: int = 0
    first_refusals: list[Refusal] = []


class RefusedRows:
    """A CSV file of refused rows, made when the first one comes: line, field, reason, the row."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = None
        self._header: list[str] = []

    def begin(self, header: Sequence[str]) -> None:
        """Takes the header of the imported file, and removes the report of an earlier run.

        Raises Rejected where another file has that name already.
        """
        self._header = list(header)
        if self._path.exists():
            if not self._is_report():
                message = f"{self._path} exists and is no report of refused rows; give another name"
                raise Rejected("file_exists", "refused", message)
            self._path.unlink()

    def _is_report(self) -> bool:
        if not self._path.is_file():
            return False
        with self._path.open("rb") as earlier:
            return earlier.readline().startswith(",".join(REPORT_COLUMNS).encode())

    def write(self, refusal: Refusal, cells: Sequence[str]) -> None:
        """Adds a row as it was."""
        if self._file is None:
            self._file = self._open()
            csv.writer(self._file).writerow([*REPORT_COLUMNS, *self._header])
        told = [refusal.line, defused(refusal.field), defused(refusal.reason)]
        csv.writer(self._file).writerow([*told, *map(kept_plain, cells)])

    def _open(self) -> TextIO:
        try:
            return self._path.open("w", encoding="utf-8", errors="surrogateescape", newline="")
        except OSError as failure:
            message = f"{self._path} cannot be written: {failure.strerror}; give another name"
            raise Rejected("unwritable", "refused", message) from None

    def close(self) -> None:
        """Ends the file, if there is one."""
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()
