"""Documents out: one file each, under a name made from its key, and seen by the partner once.

A draft is written whole, then noted in `.sent`, then renamed into the outbox. Whoever comes after a
crash sees from the note and the draft what is left to do: a partner that takes its files away is
never told twice.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Final
from zoneinfo import ZoneInfo

from stockwright.domain.errors import Transient
from stockwright.sdk.bodies import kind_of
from stockwright.sdk.files.places import Place
from stockwright.sdk.files.rows import UTC, columns_of, rows_of
from stockwright.sdk.files.settings import FileSettings, shape_of
from stockwright.sdk.files.shapes import Shape, cannot_be_written, written
from stockwright.sdk.messages import (
    Cancellation,
    Delivered,
    Document,
    Failure,
    Refund,
    Refused,
    Shipment,
)
from stockwright.sdk.outbound import body_for

COLUMNS: Final = (
    "kind", "key", "order", "line", "listing", "quantity", "location", "carrier", "tracking",
    "tracking_url", "at", "amount", "currency", "reason",
)  # fmt: skip
DRAFTS: Final = ".drafts"
SENT: Final = ".sent"
_ODD: Final = re.compile(r"[^A-Za-z0-9._-]+")


def file_of(document: Document, settings: FileSettings) -> str:
    """The name of a document's file: the same key gives the same name for ever."""
    digest = hashlib.sha256(document.key.encode()).hexdigest()[:16]
    order = _ODD.sub("_", document.order)[:60]
    ending = {"csv": "csv", "tsv": "tsv", "fixed": "csv"}[settings.form]
    return f"{kind_of(document)}-{order}-{digest}.{ending}"


def table_of_document(
    document: Document, settings: FileSettings, zone: ZoneInfo = UTC
) -> tuple[Sequence[str], Sequence[Sequence[object]]] | Failure:
    """Columns and rows of a document, in the form of `out` where there is one for its kind: then
    without columns where `header` says that none are named.
    """
    out = body_for(settings.out, kind_of(document))
    if out is None:
        return COLUMNS, list(_rows(document))
    rows = rows_of(out, document, settings, zone)
    if isinstance(rows, Failure):
        return rows
    return (columns_of(out) if _shape(settings).header else ()), rows


def content_of(document: Document, settings: FileSettings, zone: ZoneInfo = UTC) -> bytes | Refused:
    """A document as a file: a row for each line; a cancellation of all is one row without a line.

    Documents of a partner with fixed widths are written as CSV: they have no widths declared.
    """
    shape = _shape(settings)
    table = table_of_document(document, settings, zone)
    if isinstance(table, Failure):
        return Refused(reason="form", message=f"{table.path} {table.reason}")
    columns, rows = table
    for row in rows:
        for value in row:
            why = cannot_be_written(str(value), shape)
            if why:
                return Refused(reason="form", message=why)
    return written([columns, *rows] if columns else rows, shape).encode(shape.encoding)


def _shape(settings: FileSettings) -> Shape:
    shape = shape_of(settings)
    if shape.form != "fixed":
        return shape
    return Shape(delimiter=settings.delimiter, quote='"', encoding=settings.encoding)


def _rows(document: Document) -> Iterator[list[object]]:
    head: list[object] = [kind_of(document), document.key, document.order]
    tail = _tail(document)
    if not document.lines:
        yield [*head, "", "", "", *tail]
    for line in document.lines:
        yield [*head, line.line, line.listing, line.quantity, *tail]


def _tail(document: Document) -> list[object]:
    if isinstance(document, Shipment):
        told = [document.location, document.carrier, document.tracking, document.tracking_url]
        return [*told, document.shipped_at.isoformat(), "", "", ""]
    blank: list[object] = ["", "", "", "", ""]
    if isinstance(document, Cancellation):
        return [*blank, "", "", document.reason]
    assert isinstance(document, Refund)
    amount = "" if document.amount is None else format(document.amount, "f")
    return [*blank, amount, document.currency, document.reason]


class DocumentFiles:
    """The documents of one outbox. For one process at a time: the caller holds the lock."""

    def __init__(self, place: Place, settings: FileSettings, zone: ZoneInfo = UTC) -> None:
        self._place = place
        self._zone = zone
        self._settings = settings
        self._outbox = settings.outbox
        self.lock = f"{settings.outbox}/.documents.lock"

    async def tell(self, document: Document) -> Delivered | Refused:
        """Lays a document into the outbox where it never lay there. Safe to repeat."""
        content = content_of(document, self._settings, self._zone)
        if isinstance(content, Refused):
            return content
        name = file_of(document, self._settings)
        draft, note = f"{self._outbox}/{DRAFTS}/{name}", f"{self._outbox}/{SENT}/{name}"
        if not await self._is_there(note):
            for folder in (DRAFTS, SENT):
                await self._place.make_folder(f"{self._outbox}/{folder}")
            await self._place.write(draft, content)
            await self._place.write(note, document.key.encode())
        try:
            # Without a draft it went out before: the note stands before the draft leaves.
            await self._place.move(draft, f"{self._outbox}/{name}")
        except FileExistsError:
            if await self._is_there(draft):
                why = f"{name} lies in the outbox already, and is none of ours"
                raise Transient(why) from None
        return Delivered(reference=name)

    async def _is_there(self, path: str) -> bool:
        try:
            await self._place.read(path, 1)
        except FileNotFoundError:
            return False
        return True
