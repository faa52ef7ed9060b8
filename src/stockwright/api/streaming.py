"""Answers in parts: which form a caller asks for, and rows as lines of JSON or of CSV."""

import csv
import io
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from stockwright.domain.spreadsheets import defused

NDJSON: Final = "application/x-ndjson"
CSV: Final = "text/csv"
EVENTS: Final = "text/event-stream"
_encode_lines = msgspec.json.Encoder().encode_lines


def wanted(headers: dict[bytes, bytes], *offered: str) -> str:
    """The first of the media types offered that Accept names; '' where it names none of them."""
    accept = headers.get(b"accept", b"").decode("latin-1").lower()
    named = [part.split(";", 1)[0].strip() for part in accept.split(",")]
    return next((media for media in named if media in offered), "")


def json_lines(rows: Sequence[Any]) -> bytes:
    """Rows as one JSON document a line."""
    return _encode_lines(rows)


class CsvLines:
    """Rows of one type as CSV, the header before the first."""

    def __init__(self, fields: Sequence[str]) -> None:
        self._fields = fields
        self._begun = False

    def __call__(self, rows: Sequence[Any]) -> bytes:
        """The lines of these rows."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if not self._begun:
            writer.writerow(self._fields)
            self._begun = True
        writer.writerows([defused(getattr(row, name)) for name in self._fields] for row in rows)
        return text.getvalue().encode()
