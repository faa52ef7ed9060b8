"""The file of levels: always complete, replaced whole, with totals the partner can check.

What we know stands in a file of our own beside it (`.NAME.kept`), so that a partner may take its
file away. The visible file is written from that and renamed into place.
"""

import asyncio
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from stockwright.domain.errors import Misconfigured, Transient
from stockwright.sdk.files.places import Place
from stockwright.sdk.files.rows import columns_of, rows_of
from stockwright.sdk.files.settings import FileSettings, shape_of
from stockwright.sdk.files.shapes import cannot_be_written, written
from stockwright.sdk.files.totals import SIDECAR, TRAILER, Control
from stockwright.sdk.messages import (
    Applied,
    Failure,
    LevelKey,
    LevelToSend,
    PublishResult,
    Refused,
)
from stockwright.sdk.outbound import body_for
from stockwright.sdk.transports import Unanswered

_LARGEST: Final = 1 << 30


class Row(NamedTuple):
    """One level as the file shows it."""

    listing: str
    location: str
    quantity: int
    version: int


Rows = dict[LevelKey, Row]


def merged(
    rows: Mapping[LevelKey, Row], levels: Sequence[LevelToSend], settings: FileSettings
) -> tuple[Rows, list[PublishResult]]:
    """The rows after these levels, and what each became; a lower version than known stays out."""
    after = dict(rows)
    results: list[PublishResult] = []
    for level in levels:
        new = Row(level.listing, level.location, level.quantity, level.version)
        refused = _refused(new, settings)
        if refused is not None:
            results.append(refused)
            continue
        known = after.get(level.key)
        if known is None or known.version <= level.version:
            known = after[level.key] = new
        results.append(Applied(shown=known.quantity, version=known.version))
    return after, results


def _refused(row: Row, settings: FileSettings) -> Refused | None:
    shape = shape_of(settings)
    cells = _cells(row, settings)
    if isinstance(cells, Failure):
        return Refused(reason="form", message=f"{cells.path} {cells.reason}")
    for cell, width in zip(cells, _widths(settings, cells), strict=True):
        why = cannot_be_written(str(cell), shape, width)
        if why:
            reason = "encoding" if why.endswith(shape.encoding) else "form"
            return Refused(reason=reason, message=why)
    return None


def _cells(row: Row, settings: FileSettings) -> Sequence[object] | Failure:
    """A row as the partner reads it: by `out` where that has a form of levels, else by columns."""
    out = body_for(settings.out, "level")
    if out is None:
        return [getattr(row, field) for field in settings.columns]
    found = rows_of(out, (_level(row, settings),), settings)
    return found if isinstance(found, Failure) else found[0]


def _table(rows: Sequence[Row], settings: FileSettings) -> Sequence[Sequence[object]]:
    out = body_for(settings.out, "level")
    if out is None:
        return [[getattr(row, field) for field in settings.columns] for row in rows]
    if not rows:
        return []
    levels = tuple(_level(row, settings) for row in rows)
    found = rows_of(out, levels, settings)
    if isinstance(found, Failure):
        # It was refused before it was kept, so the form has changed since.
        cells = ((row, _cells(row, settings)) for row in rows)
        wrong = next(row for row, one in cells if isinstance(one, Failure))
        why = f"{wrong.listing} cannot be written any more: {found.path} {found.reason}"
        raise Misconfigured("out", f"{settings.levels_file}: {why}; mend out")
    return found


def _level(row: Row, settings: FileSettings) -> LevelToSend:
    return LevelToSend(channel=settings.channel, **row._asdict())


def _widths(settings: FileSettings, cells: Sequence[object]) -> list[int]:
    if settings.form != "fixed":
        return [0] * len(cells)
    return [settings.widths.get(field, 0) for field in settings.columns]


def _columns(settings: FileSettings) -> list[str]:
    out = body_for(settings.out, "level")
    return list(settings.columns.values()) if out is None else columns_of(out)


def rendered(rows: Iterable[Row], settings: FileSettings) -> tuple[bytes, Control]:
    """The file's bytes, sorted by listing and location, and its totals."""
    shape = shape_of(settings)
    ordered = sorted(rows)
    body = _table(ordered, settings)
    columns = _columns(settings)
    table = [columns, *body] if shape.header else body
    text = written(table, shape, _widths(settings, columns))
    quantity = sum(row.quantity for row in ordered)
    if settings.control == "trailer":
        last = [TRAILER, len(ordered), quantity]
        text += written([last], shape, [len(TRAILER), 12, 15])
    content = text.encode(shape.encoding, "strict")
    digest = hashlib.sha256(content).hexdigest()
    return content, Control(rows=len(ordered), quantity=quantity, sha256=digest)


def check_complete(rows: int, before: int, settings: FileSettings) -> None:
    """Raises Misconfigured where a file would lose more of the catalogue than `min_share` allows.

    A file that says less than the last one tells the partner to stop selling the rest.
    """
    if rows < before * settings.min_share:
        raise Misconfigured(
            "outbox",
            f"{settings.levels_file} would shrink from {before} rows to {rows}, so it was not "
            f"written. Put back .{settings.levels_file}.kept, or remove {settings.levels_file} and "
            f"its {SIDECAR} to begin anew, and resync the channel",
        )


class LevelsFile:
    """The files of one outbox. For one process at a time: the caller holds the lock."""

    def __init__(self, place: Place, settings: FileSettings) -> None:
        self._place = place
        self._settings = settings
        self._path = f"{settings.outbox}/{settings.levels_file}"
        self._kept = f"{settings.outbox}/.{settings.levels_file}.kept"
        self._control = f"{self._path}{SIDECAR}"
        self.lock = f"{settings.outbox}/.{settings.levels_file}.lock"

    async def rows(self) -> Rows:
        """All we ever wrote, by key."""
        try:
            body = await self._place.read(self._kept, _LARGEST)
        except FileNotFoundError:
            return {}
        try:
            rows = msgspec.json.decode(body, type=list[Row])
        except msgspec.DecodeError as error:
            raise Misconfigured(
                "outbox", f"{self._kept} is damaged ({error}): remove it and resync the channel"
            ) from None
        return {LevelKey(listing=row.listing, location=row.location): row for row in rows}

    async def write(self, rows: Rows) -> bool:
        """Keeps the rows, and replaces the visible file; False where there are too few as yet.

        Raises Misconfigured where the file would lose its catalogue.
        """
        check_complete(len(rows), await self._rows_last_written(), self._settings)
        await self._place.write(self._kept, msgspec.json.encode(sorted(rows.values())))
        if not rows or len(rows) < self._settings.min_rows:
            return False
        # A large file takes seconds to write by a form, in which others must not wait.
        body, control = await asyncio.to_thread(rendered, list(rows.values()), self._settings)
        await self._place.write(self._path, body)
        if self._settings.control == "sidecar":
            try:
                await self._place.write(self._control, msgspec.json.encode(control))
            except (Transient, Misconfigured) as error:
                # The levels are in place already.
                raise Unanswered(str(error)) from None
        return True

    async def _rows_last_written(self) -> int:
        """What the visible files say, since only they were surely seen by the partner."""
        try:
            told = await self._place.read(self._control, 10_000)
            return msgspec.json.decode(told, type=Control).rows
        except FileNotFoundError:
            pass
        except msgspec.DecodeError:
            raise Misconfigured("outbox", f"{self._control} is damaged: remove it") from None
        try:
            body = await self._place.read(self._path, _LARGEST)
        except FileNotFoundError:
            return 0
        lines = body.decode(self._settings.encoding, "replace").count("\n")
        header = 1 if shape_of(self._settings).header else 0
        return max(0, lines - header - (1 if self._settings.control == "trailer" else 0))
