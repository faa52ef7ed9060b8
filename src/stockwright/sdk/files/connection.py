"""The verbs of a connection that exchanges files; a connector adds what its rows mean."""

import asyncio
import datetime as dt
import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from stockwright.domain.errors import Misconfigured, Transient
from stockwright.sdk.connector import Opening
from stockwright.sdk.files.archives import Unfit, is_zip, unpacked
from stockwright.sdk.files.documents import DocumentFiles
from stockwright.sdk.files.inbox import DONE, QUARANTINE, Claim, Inbox, Kept, Room
from stockwright.sdk.files.levels import LevelsFile, merged
from stockwright.sdk.files.outbound import map_out
from stockwright.sdk.files.places import shown
from stockwright.sdk.files.settings import (
    FileSettings,
    caps_of,
    limits_of,
    place_of,
    whole_of,
)
from stockwright.sdk.files.totals import SIDECAR, Totals
from stockwright.sdk.local_time import zone_of
from stockwright.sdk.messages import (
    Document,
    Failure,
    InDoubt,
    LevelToSend,
    Mapped,
    Outbound,
    Outgoing,
    Page,
    Payload,
    PublishResult,
    Refused,
    Retry,
    SubmitResult,
)
from stockwright.sdk.transports import NotSent, Unanswered

CONTENT_TYPE: Final = "text/csv"
_FILES_PER_PAGE: Final = 10
_PAGE_BYTES: Final = 32 * 1024 * 1024
_SIDECAR_BYTES: Final = 10_000
_BUSY_S: Final = 1.0


class FileConnection:
    """One partner: levels and documents out. `Reading` adds files in."""

    def __init__(
        self,
        opening: Opening,
        settings: FileSettings,
        totals_for: Callable[[str], Totals | None],
    ) -> None:
        self.system = opening.system
        self.limits = limits_of(settings)
        self._files = settings
        self._clock = opening.clock
        self._zone = zone_of(opening.time_zone)
        self._channel = settings.channel or opening.system
        self._place = place_of(settings, opening.clock)
        self._levels = LevelsFile(self._place, settings)
        self._documents = DocumentFiles(self._place, settings, self._zone)
        self._inbox = Inbox(
            self._place, settings.inbox, whole_of(settings, totals_for), opening.clock
        )

    async def close(self) -> None:
        """Gives back the connection to a server, where there is one."""
        await self._place.close()

    @abstractmethod
    def map(self, payload: Payload) -> list[Mapped]:
        """The facts of one file."""

    # ---------------------------------------------------------------- levels out

    async def publish(self, levels: Sequence[LevelToSend]) -> Sequence[PublishResult]:
        """Writes the whole file anew with these levels in it."""
        if not levels:
            return []
        try:
            async with asyncio.timeout(self._time_s()):
                return await self._publish(levels)
        except NotSent:
            raise
        except FileNotFoundError as error:
            raise Transient(f"the outbox of {self.system} lacks {shown(str(error))}") from None
        except Unanswered as error:
            return [InDoubt(reason=f"the file was not written: {error}")] * len(levels)
        except TimeoutError:
            reason = f"the file was not in place within {self.limits.timeout_s:g} s"
            return [InDoubt(reason=reason)] * len(levels)

    async def _publish(self, levels: Sequence[LevelToSend]) -> list[PublishResult]:
        await self._folder("outbox")
        async with self._place.locked(self._levels.lock) as ours:
            if not ours:
                busy = Retry(retry_after_s=_BUSY_S, reason="another process writes the file")
                return [busy] * len(levels)
            rows, results = merged(await self._levels.rows(), levels, self._files)
            if await self._levels.write(rows):
                return results
        known, least = len(rows), self._files.min_rows
        reason = f"only {known} of at least {least} levels are known yet"
        return [Retry(retry_after_s=_BUSY_S, reason=reason)] * len(levels)

    # ---------------------------------------------------------------- documents out

    async def submit(self, document: Document) -> SubmitResult:
        """Lays a file with this document into the outbox, once for each key."""
        kind = type(document).__name__.lower()
        if kind not in self._files.documents:
            return Refused(reason="not_taken", message=f"documents of {self.system} lack {kind}")
        try:
            async with asyncio.timeout(self._time_s()):
                await self._folder("outbox")
                async with self._place.locked(self._documents.lock) as ours:
                    if not ours:
                        return Retry(retry_after_s=_BUSY_S, reason="another process writes")
                    return await self._documents.tell(document)
        except FileNotFoundError as error:
            raise Transient(f"the outbox of {self.system} lacks {shown(str(error))}") from None
        except (Unanswered, TimeoutError) as error:
            why = str(error) or f"no answer within {self.limits.timeout_s:g} s"
            return InDoubt(reason=f"the file was not written: {why}", retry_after_s=_BUSY_S)

    def map_out(self, message: Outgoing) -> list[Outbound] | Failure:
        """The file that a message would become; of levels, as if there were no others."""
        return map_out(message, self._files, self._zone)

    def _time_s(self) -> float | None:
        """Seconds a call may take; work on this machine is not broken off."""
        return self.limits.timeout_s if self._files.sftp_host else None

    async def _folder(self, setting: str) -> None:
        """Raises Misconfigured where the folder is not set or not there."""
        name = str(getattr(self._files, setting))
        if not name:
            raise Misconfigured(setting, f"set {setting} of {self.system} to a folder")
        if not await self._place.has_folder(name):
            raise Misconfigured(setting, f"{setting} of {self.system}: there is no folder {name}")


class Reading(FileConnection):
    """A partner that drops files as well."""

    @abstractmethod
    def problem_with(self, name: str, body: bytes, control: str) -> Failure | None:
        """Why nothing of a file may count; None where its rows may be tried."""

    async def read(self, cursor: str) -> Page:
        """The files that are whole, each a payload; they are ours from then on.

        The cursor names the files whose content is kept with it. They are laid aside first, so that
        none is read again where a process ended before it could do so.
        """
        started_at = self._clock()
        try:
            async with asyncio.timeout(self._time_s()):
                await self._folder("inbox")
                return await self._read(cursor, started_at)
        except FileNotFoundError as error:
            raise Transient(f"the inbox of {self.system} lacks {shown(str(error))}") from None
        except TimeoutError:
            wait = f"{self.limits.timeout_s:g} s"
            raise Transient(f"the inbox of {self.system} was not read within {wait}") from None

    async def _read(self, cursor: str, started_at: dt.datetime) -> Page:
        room = Room(_FILES_PER_PAGE, _PAGE_BYTES, self._files.zip_max_bytes)
        claims, complete = await self._inbox.take(_kept_by(cursor), room)
        payloads: list[Payload] = []
        kept: list[Kept] = []
        late = asyncio.get_running_loop().time() + (self._time_s() or math.inf) / 2
        for claim in claims:
            if payloads and asyncio.get_running_loop().time() > late:
                # What is read must be kept within the page's time: the rest has the next page.
                complete = False
                await self._inbox.put_back(claim)
                continue
            found = await self._payloads(claim)
            problems = [one.problem for one in found if one.problem]
            payloads += found
            if found and problems:
                reason = f"{problems[0].path}: {problems[0].reason}"
                kept.append(Kept(claim.folder, QUARANTINE, reason))
            elif found:
                kept.append(Kept(claim.folder, DONE))
        return Page(
            payloads=tuple(payloads),
            next_cursor=msgspec.json.encode(kept).decode() if kept else "",
            started_at=started_at,
            complete=complete,
            receipt=kept,
        )

    async def peek(self) -> Page:
        """The files that lie there whole, as they are; none is taken."""
        started_at = self._clock()
        payloads: list[Payload] = []
        try:
            async with asyncio.timeout(self._time_s()):
                await self._folder("inbox")
                room = Room(_FILES_PER_PAGE, _PAGE_BYTES, self._files.zip_max_bytes)
                for one in await self._inbox.waiting(room):
                    payloads += await self._looked_at(one)
        except FileNotFoundError as error:
            raise Transient(f"the inbox of {self.system} lacks {shown(str(error))}") from None
        except TimeoutError:
            wait = f"{self.limits.timeout_s:g} s"
            raise Transient(f"the inbox of {self.system} was not read within {wait}") from None
        return Page(payloads=tuple(payloads), next_cursor="", started_at=started_at, complete=True)

    async def _looked_at(self, waiting: Claim) -> list[Payload]:
        most = self._files.max_file_bytes
        if waiting.size > most:
            return [_unfit(shown(waiting.name), b"", _too_large(waiting))]
        body, sidecar = await self._inbox.look(waiting, most, _SIDECAR_BYTES)
        return await self._told(waiting, body, sidecar)

    async def acknowledge(self, page: Page) -> None:
        """Lays the files of the page aside: `done`, or `quarantine` where nothing of it counts."""
        for kept in page.receipt or ():
            await self._inbox.lay_aside(kept)

    # ---------------------------------------------------------------- one file

    async def _payloads(self, claim: Claim) -> list[Payload]:
        """What a taken file holds; nothing where it was not whole after all, or is not ours now."""
        most = self._files.max_file_bytes
        if claim.size > most:
            return [_unfit(shown(claim.name), b"", _too_large(claim))]
        try:
            body = await self._inbox.read(claim, most)
            sidecar = await self._inbox.read_sidecar(claim, _SIDECAR_BYTES)
        except FileNotFoundError:
            return []
        return [] if body is None else await self._told(claim, body, sidecar)

    async def _told(self, claim: Claim, body: bytes, sidecar: bytes) -> list[Payload]:
        name = shown(claim.name)
        if name != claim.name:
            return [_unfit(name, body, "has a name that is no text")]
        if is_zip(name):
            return await asyncio.to_thread(self._members, name, body)
        return [await asyncio.to_thread(self._payload, name, body, sidecar)]

    def _members(self, name: str, body: bytes) -> list[Payload]:
        """Each member of a zip; the zip as one where anything in it is wrong."""
        if self._files.zip == "refused":
            return [_unfit(name, body, "is a zip, and the setting zip says that none are taken")]
        try:
            members = unpacked(body, caps_of(self._files))
        except Unfit as error:
            return [_unfit(name, body, str(error))]
        files = [one for one in members if not _is_sidecar(one, members)]
        if self._files.zip == "one" and len(files) > 1:
            return [_unfit(name, body, f"has {len(files)} members; the setting zip allows one")]
        payloads = [
            self._payload(one, members[one], members.get(one + SIDECAR, b""), archive=name)
            for one in files
        ]
        for one in payloads:
            if one.problem:
                where = f"{one.headers['file']}: {one.problem.path}"
                return [_unfit(name, body, f"{where}: {one.problem.reason}")]
        return payloads

    def _payload(self, name: str, body: bytes, sidecar: bytes, archive: str = "") -> Payload:
        headers = {"file": name}
        if archive:
            headers["archive"] = archive
        control = sidecar.decode("utf-8", "replace").replace("\x00", "\ufffd")
        if control:
            headers["control"] = control
        try:
            problem = self.problem_with(name, body, control)
        except Exception as fault:  # noqa: BLE001 - one bad file must not stop all that follow
            problem = Failure(path=name, reason=f"cannot be read: {type(fault).__name__}: {fault}")
        return Payload(body=body, content_type=CONTENT_TYPE, headers=headers, problem=problem)


def _is_sidecar(name: str, members: dict[str, bytes]) -> bool:
    return name.endswith(SIDECAR) and name.removesuffix(SIDECAR) in members


def _too_large(claim: Claim) -> str:
    return f"has {claim.size} bytes, more than max_file_bytes; it lies in {QUARANTINE}"


def _unfit(name: str, body: bytes, reason: str) -> Payload:
    problem = Failure(path=name, reason=reason)
    return Payload(body=body, content_type=CONTENT_TYPE, headers={"file": name}, problem=problem)


def _kept_by(cursor: str) -> list[Kept]:
    try:
        return msgspec.json.decode(cursor, type=list[Kept]) if cursor else []
    except msgspec.DecodeError:
        return []  # an earlier version kept nothing there
