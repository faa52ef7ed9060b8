"""Exchanges files with one partner. All work on files is done in threads."""

import asyncio
import datetime as dt
import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from stockwright.connectors.csv_drop.declaration import DECLARATION, CsvDropSettings
from stockwright.connectors.csv_drop.inbox import DONE, QUARANTINE, Inbox
from stockwright.connectors.csv_drop.levels_file import LevelsFile, merged
from stockwright.connectors.csv_drop.mapping import header_problem, map_file
from stockwright.domain.errors import Misconfigured, Transient
from stockwright.sdk.connector import Opening
from stockwright.sdk.local_time import zone_of
from stockwright.sdk.messages import (
    Failure,
    InDoubt,
    LevelToSend,
    Mapped,
    Page,
    Payload,
    PublishResult,
    Retry,
)

_FILES_PER_PAGE: Final = 10
_BUSY_S: Final = 1.0


class CsvDropConnection:
    """One partner. Publishes to the outbox, maps."""

    def __init__(self, opening: Opening, settings: CsvDropSettings) -> None:
        self.system = opening.system
        self.limits = msgspec.structs.replace(
            DECLARATION.limits, calls_per_s=settings.calls_per_s, burst=settings.burst
        )
        self._settings = settings
        self._clock = opening.clock
        self._zone = zone_of(opening.time_zone)
        self._channel = settings.channel or opening.system
        self._levels = LevelsFile(settings)
        self._inbox = Inbox(settings)

    async def close(self) -> None:
        """Nothing is held open between calls."""

    async def publish(self, levels: Sequence[LevelToSend]) -> Sequence[PublishResult]:
        """Writes the whole file anew with these levels in it."""
        if not levels:
            return []
        self._folder("outbox")
        return await asyncio.to_thread(self._publish, levels)

    def _publish(self, levels: Sequence[LevelToSend]) -> list[PublishResult]:
        with self._locked() as ours:
            if not ours:
                busy = Retry(retry_after_s=_BUSY_S, reason="another process writes the file")
                return [busy] * len(levels)
            rows, results = merged(self._levels.rows(), levels, self._settings.encoding)
            try:
                if self._levels.write(rows):
                    return results
            except OSError as error:
                # The rename may have happened: only its answer is missing.
                return [InDoubt(reason=f"the file was not written: {error.strerror}")] * len(levels)
            known, least = len(rows), self._settings.min_rows
            reason = f"only {known} of at least {least} levels are known yet"
            return [Retry(retry_after_s=_BUSY_S, reason=reason)] * len(levels)

    @contextmanager
    def _locked(self) -> Iterator[bool]:
        """Whether the outbox is ours to write; it is given back at the end, also by a crash."""
        lock = Path(self._settings.outbox) / f".{self._settings.levels_file}.lock"
        with lock.open("wb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    def map(self, payload: Payload) -> list[Mapped]:
        """The facts of one file."""
        return map_file(payload, self._settings, self._zone, self._channel)

    def _folder(self, setting: str) -> None:
        """Raises Misconfigured where the folder is not set or not there."""
        name = str(getattr(self._settings, setting))
        if not name:
            raise Misconfigured(setting, f"set {setting} of {self.system} to a folder")
        if not Path(name).is_dir():
            raise Misconfigured(setting, f"{setting} of {self.system}: there is no folder {name}")


class ReadingCsvDropConnection(CsvDropConnection):
    """A partner that drops files as well."""

    async def read(self, cursor: str) -> Page:
        """The files that are whole, each a payload; they are ours from then on."""
        self._folder("inbox")
        started_at = self._clock()
        try:
            return await asyncio.to_thread(self._read, cursor, started_at)
        except OSError as error:
            raise Transient(f"the inbox of {self.system} cannot be read: {error}") from None

    def _read(self, cursor: str, started_at: dt.datetime) -> Page:
        paths, complete = self._inbox.take(_FILES_PER_PAGE)
        payloads = tuple(self._payload(path) for path in paths)
        return Page(
            payloads=payloads,
            next_cursor=cursor,
            started_at=started_at,
            complete=complete,
            receipt=[
                (path, QUARANTINE if payload.problem else DONE)
                for path, payload in zip(paths, payloads, strict=True)
            ],
        )

    async def peek(self) -> Page:
        """The files that lie there whole, as they are; none is taken."""
        self._folder("inbox")
        started_at = self._clock()
        try:
            paths = await asyncio.to_thread(self._inbox.waiting, _FILES_PER_PAGE)
            payloads = tuple([await asyncio.to_thread(self._payload, path) for path in paths])
        except OSError as error:
            raise Transient(f"the inbox of {self.system} cannot be read: {error}") from None
        return Page(payloads=payloads, next_cursor="", started_at=started_at, complete=True)

    def _payload(self, path: Path) -> Payload:
        status = path.stat()
        headers = {"file": path.name}
        if status.st_size > self._settings.max_file_bytes:
            reason = (
                f"has {status.st_size} bytes, more than max_file_bytes; it lies in {QUARANTINE}"
            )
            problem: Failure | None = Failure(path=path.name, reason=reason)
            return Payload(body=b"", content_type="text/csv", headers=headers, problem=problem)
        body = path.read_bytes()
        problem = header_problem(path.name, body, self._settings)
        return Payload(body=body, content_type="text/csv", headers=headers, problem=problem)

    async def acknowledge(self, page: Page) -> None:
        """Lays the files of the page aside: `done`, or `quarantine` where the header is wrong."""
        for path, folder in page.receipt or ():
            await asyncio.to_thread(self._inbox.lay_aside, path, folder)


def open_connection(opening: Opening, settings: CsvDropSettings) -> CsvDropConnection:
    """A connection with the verbs its settings allow: without an inbox it reads nothing."""
    if settings.inbox:
        return ReadingCsvDropConnection(opening, settings)
    return CsvDropConnection(opening, settings)
