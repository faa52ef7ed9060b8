"""The inbox: when a file is whole, whose it is, and where it goes once it is kept.

A file is taken by renaming it into a folder of its own inside `.claimed`, together with what lies
beside it (a marker, a file of totals). That folder's name says when. What was kept for good stands
in the cursor of the poll, in the same commit: so a process that dies in any step leaves a file that
is taken again because it was not kept, or laid aside because it was.
"""

import datetime as dt
import posixpath
import secrets
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final, Literal, NamedTuple

import msgspec

from stockwright.domain.errors import Misconfigured
from stockwright.sdk.files.archives import is_zip
from stockwright.sdk.files.places import Entry, Place, shown

CLAIMED: Final = ".claimed"
DONE: Final = "done"
QUARANTINE: Final = "quarantine"
CLAIM_S: Final = 300.0
"""Seconds after which a taken file of a dead process is taken again."""
REASON: Final = ".reason.txt"
_COPIES: Final = 9
_LABEL: Final = 58
_LONGEST_NAME: Final = 255
"""Bytes of a name that file systems take."""
_FOR_REASON: Final = 40
"""Bytes that stay free where a reason is laid beside: its ending, and that of its draft."""


class Whole(NamedTuple):
    """When a file is whole.

    stable: size and time did not change for stable_s. marker: a second file lies there. rename:
    at once, since it is written under an unfinished name. marker and sidecar: the names of the
    second files, `{name}` or `{stem}` in front; waits: whether a file of this name is not whole
    before its sidecar lies there.
    """

    rule: Literal["stable", "marker", "rename"]
    stable_s: float
    marker: str
    unfinished: tuple[str, ...]
    sidecar: str
    waits: Callable[[str], bool]


class Room(NamedTuple):
    """What one page may hold. A zip weighs what it may unpack to."""

    files: int
    size: int
    zip_size: int

    def weight(self, name: str, size: int) -> int:
        """What a file takes of a page's room."""
        return max(size, self.zip_size) if is_zip(name) else size

    def fits(self, entries: Sequence[Entry]) -> list[Entry]:
        """The first of these, as many as have room; the very first always."""
        chosen: list[Entry] = []
        left = self.size
        for entry in entries[: self.files]:
            left -= self.weight(entry.name, entry.size)
            if left < 0 and chosen:
                break
            chosen.append(entry)
        return chosen


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """A file whose content is kept for good: its claim, where it goes, why it was refused."""

    claim: str
    into: str
    reason: str = ""


class Claim(NamedTuple):
    """A file that is ours: its folder inside `.claimed`, its name, how it was when it was taken."""

    folder: str
    name: str
    size: int
    stamp: float
    beside: tuple[str, ...] = ()


class Inbox:
    """One folder. Several processes may share it: a rename succeeds for one of them."""

    def __init__(
        self, place: Place, folder: str, whole: Whole, clock: Callable[[], dt.datetime]
    ) -> None:
        self._place = place
        self._folder = folder
        self._claimed = f"{folder}/{CLAIMED}"
        self._whole = whole
        self._clock = clock
        self._seen: dict[str, tuple[int, float, float]] = {}
        self._ready = False

    async def take(self, kept: Sequence[Kept], room: Room) -> tuple[list[Claim], bool]:
        """Whole files, now ours, oldest first; and whether no whole one is left.

        kept are those of the cursor: they are laid aside first where they still lie there.
        """
        await self._prepare()
        claims = {entry.name: entry for entry in await self._entries(self._claimed)}
        for one in kept:
            if claims.pop(one.claim, None):
                await self.lay_aside(one)
        old = [entry for entry in claims.values() if self._is_old(entry)]
        busy = {name.partition("~")[2] for name in claims} - {
            entry.name.partition("~")[2] for entry in old
        }
        taken: list[Claim] = []
        left = room.size
        for entry in sorted(old, key=lambda one: one.name)[: room.files]:
            taken += await self._take_over(entry)
            left -= sum(room.weight(claim.name, claim.size) for claim in taken[-1:])
            if left < 0:
                break
        whole, beside = await self._whole_files()
        if taken:
            # What a dead process left may be large: the rest has the next page.
            return taken, len(old) == len(taken) and not whole
        chosen = room.fits([entry for entry in whole if _label(entry.name) not in busy])
        for entry in chosen:
            claim = await self._claim(entry, beside)
            if claim is not None:
                taken.append(claim)
        return taken, len(whole) <= len(chosen)

    async def waiting(self, room: Room) -> list[Claim]:
        """Whole files as they lie there, oldest first; nothing is moved, and no claim is made.

        Under the rule `stable` a file counts as whole by its age: one look knows no earlier size.
        """
        before = self._seen
        entries = await self._entries(self._folder)
        self._seen = {one.name: (one.size, one.stamp, one.stamp) for one in entries}
        try:
            whole, beside = await self._whole_files()
        finally:
            self._seen = before
        return [
            Claim("", one.name, one.size, one.stamp, tuple(beside[one.name]))
            for one in room.fits(whole)
        ]

    async def look(self, waiting: Claim, limit: int, totals: int) -> tuple[bytes, bytes]:
        """The bytes of a file that lies there, at most limit + 1, and of its file of totals."""
        body = await self._place.read(f"{self._folder}/{waiting.name}", limit + 1)
        name = _beside(waiting.name, self._whole.sidecar)
        if name not in waiting.beside:
            return body, b""
        return body, await self._place.read(f"{self._folder}/{name}", totals)

    async def read(self, claim: Claim, limit: int) -> bytes | None:
        """A taken file's bytes; None where it changed since it was thought whole: it is put back.

        At most limit + 1 bytes. Raises FileNotFoundError where another process has it by now.
        """
        folder = f"{self._claimed}/{claim.folder}"
        body = await self._place.read(f"{folder}/{claim.name}", limit + 1)
        entries = await self._entries(folder)
        now = [(one.size, one.stamp) for one in entries if one.name == claim.name]
        if now == [(claim.size, claim.stamp)] and len(body) == min(claim.size, limit + 1):
            return body
        await self.put_back(claim)
        return None

    async def put_back(self, claim: Claim) -> None:
        """Gives a taken file back, before its marker: it is whole only with that."""
        folder = f"{self._claimed}/{claim.folder}"
        for name in (claim.name, *claim.beside):
            with suppress(FileExistsError):
                await self._place.move(f"{folder}/{name}", f"{self._folder}/{name}")
        await self._place.remove_folder(folder)

    async def read_sidecar(self, claim: Claim, limit: int) -> bytes:
        """The file of totals that came with it; empty where there is none."""
        name = _beside(claim.name, self._whole.sidecar)
        if name not in claim.beside:
            return b""
        return await self._place.read(f"{self._claimed}/{claim.folder}/{name}", limit)

    async def lay_aside(self, kept: Kept) -> None:
        """Moves a taken file to `done` or `quarantine`, there with its reason. Safe to repeat.

        What lies beside it goes first: a folder without its file is an unfinished claim.
        """
        folder = f"{self._claimed}/{kept.claim}"
        try:
            entries = await self._entries(folder)
        except FileNotFoundError:
            return
        name, beside = self._parted(entries)
        for other in beside:
            await self._place.remove(f"{folder}/{other}")
        if name:
            await self._lay_one_aside(f"{folder}/{name}", name, kept)
        await self._place.remove_folder(folder)

    async def _lay_one_aside(self, source: str, name: str, kept: Kept) -> None:
        longest = _LONGEST_NAME - (_FOR_REASON if kept.reason else 0)
        for target in _free_names(name, kept.claim, longest):
            path = f"{self._folder}/{kept.into}/{target}"
            if kept.reason:
                # Before the file: a reason without one says more than a file without its reason.
                exists = await self._exists(f"{self._folder}/{kept.into}", target)
                if exists:
                    continue
                await self._place.write(f"{path}{REASON}", f"{kept.reason}\n".encode())
            with suppress(FileExistsError):
                await self._place.move(source, path)
                return

    # ---------------------------------------------------------------- what is whole

    async def _whole_files(self) -> tuple[list[Entry], dict[str, list[str]]]:
        """The complete files, oldest first, and for each name what lies beside it."""
        entries = await self._entries(self._folder)
        self._check_own(entries)
        files = [
            entry for entry in entries if entry.kind == "file" and not entry.name.startswith(".")
        ]
        names = {entry.name for entry in files}
        extras = {extra for name in names for extra in self._extras(name) if extra != name}
        data = [entry for entry in files if not self._is_extra(entry.name, extras)]
        self._seen = {
            entry.name: self._seen[entry.name] for entry in data if entry.name in self._seen
        }
        found = [entry for entry in data if self._is_whole(entry, names)]
        beside = {
            entry.name: [extra for extra in self._extras(entry.name) if extra in names]
            for entry in found
        }
        return sorted(found, key=lambda entry: (entry.stamp, entry.name)), beside

    def _check_own(self, entries: Sequence[Entry]) -> None:
        """Raises Misconfigured where a folder of ours was exchanged for a link: it leads out."""
        for entry in entries:
            if entry.kind == "other" and entry.name in (CLAIMED, DONE, QUARANTINE):
                message = f"inbox: {entry.name} in {self._folder} is a link; make it a folder"
                raise Misconfigured("inbox", message)

    def _extras(self, name: str) -> list[str]:
        return [_beside(name, self._whole.marker), _beside(name, self._whole.sidecar)]

    def _is_extra(self, name: str, extras: set[str]) -> bool:
        endings = [
            template.partition("}")[2] for template in (self._whole.marker, self._whole.sidecar)
        ]
        return name in extras or name.endswith((*self._whole.unfinished, *endings))

    def _is_whole(self, entry: Entry, names: set[str]) -> bool:
        whole = self._whole
        if whole.waits(entry.name) and _beside(entry.name, whole.sidecar) not in names:
            return False
        if whole.rule == "marker":
            return _beside(entry.name, whole.marker) in names
        if whole.rule == "rename":
            return True
        now = self._clock().timestamp()
        seen = self._seen.get(entry.name)
        if seen is None or seen[:2] != (entry.size, entry.stamp):
            self._seen[entry.name] = (entry.size, entry.stamp, now)
            return whole.stable_s == 0
        return now - seen[2] >= whole.stable_s

    # ---------------------------------------------------------------- whose it is

    async def _claim(self, entry: Entry, beside: dict[str, list[str]]) -> Claim | None:
        """Takes a file: what lies beside it first, so that no marker outlives its file."""
        token = self._token(entry.name)
        folder = f"{self._claimed}/{token}"
        await self._place.make_folder(folder)
        extras = beside.get(entry.name, [])
        for name in (*extras, entry.name):
            if not await self._place.move(f"{self._folder}/{name}", f"{folder}/{name}"):
                await self._give_back(token)
                return None
        self._seen.pop(entry.name, None)
        return Claim(token, entry.name, entry.size, entry.stamp, tuple(extras))

    async def _take_over(self, entry: Entry) -> list[Claim]:
        """The file of a process that died with it; nothing where another one was faster."""
        if entry.kind == "file":
            return await self._adopt(entry)
        token = self._token(entry.name.partition("~")[2])
        if not await self._place.move(f"{self._claimed}/{entry.name}", f"{self._claimed}/{token}"):
            return []
        entries = await self._entries(f"{self._claimed}/{token}")
        name, beside = self._parted(entries)
        if not name:
            await self._give_back(token)
            return []
        (file,) = (one for one in entries if one.name == name)
        return [Claim(token, name, file.size, file.stamp, tuple(beside))]

    async def _adopt(self, entry: Entry) -> list[Claim]:
        """A file that an earlier version took, which gave it no folder of its own."""
        token = self._token(entry.name)
        folder = f"{self._claimed}/{token}"
        await self._place.make_folder(folder)
        if not await self._place.move(f"{self._claimed}/{entry.name}", f"{folder}/{entry.name}"):
            await self._place.remove_folder(folder)
            return []
        return [Claim(token, entry.name, entry.size, entry.stamp)]

    async def _give_back(self, token: str) -> None:
        """Ends a claim that has no file: another process was faster, or ours ended early."""
        folder = f"{self._claimed}/{token}"
        for entry in await self._entries(folder):
            with suppress(FileExistsError):
                await self._place.move(f"{folder}/{entry.name}", f"{self._folder}/{entry.name}")
        await self._place.remove_folder(folder)

    def _parted(self, entries: Iterable[Entry]) -> tuple[str, list[str]]:
        """The file of a claim, '' where there is none, and what lies beside it."""
        names = [entry.name for entry in entries if entry.kind == "file"]
        extras = {extra for name in names for extra in self._extras(name) if extra != name}
        data = [name for name in names if not self._is_extra(name, extras)]
        return (data[0] if data else ""), [name for name in names if name not in data[:1]]

    def _is_old(self, entry: Entry) -> bool:
        when = entry.name.partition("-")[0]
        begun = int(when) / 1000 if entry.kind == "folder" and when.isdecimal() else entry.stamp
        # One that lies as far ahead was begun while a clock was wrong.
        return abs(self._clock().timestamp() - begun) > CLAIM_S

    def _token(self, name: str) -> str:
        when = int(self._clock().timestamp() * 1000)
        return f"{when}-{secrets.token_hex(3)}~{_label(name)}"

    # ---------------------------------------------------------------- folders

    async def _prepare(self) -> None:
        if self._ready:
            return
        if not await self._place.has_folder(self._folder):
            raise Misconfigured("inbox", f"inbox: there is no folder {self._folder}")
        for name in (CLAIMED, DONE, QUARANTINE):
            await self._place.make_folder(f"{self._folder}/{name}")
        self._ready = True

    async def _entries(self, folder: str) -> list[Entry]:
        try:
            return await self._place.entries(folder)
        except FileNotFoundError:
            # Somebody took the folder away: looked at anew with the next poll.
            self._ready = False
            raise

    async def _exists(self, folder: str, name: str) -> bool:
        return any(entry.name == name for entry in await self._entries(folder))


def _beside(name: str, template: str) -> str:
    """The name of a second file: `{name}.done` or `{stem}.ok`."""
    stem = posixpath.splitext(name)[0]
    return template.replace("{name}", name).replace("{stem}", stem)


def _label(name: str) -> str:
    """A name as part of the name of a claim: any name gives one that every system takes."""
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in shown(name))[:_LABEL]


def _free_names(name: str, claim: str, longest: int) -> Iterable[str]:
    """Names under which a file may be laid aside, the first its own; at most so many bytes long."""
    stem, ending = posixpath.splitext(name)
    numbers = ["", *(f".{number}" for number in range(2, _COPIES + 1))]
    for number in (*numbers, f".{claim.partition('~')[0]}"):
        yield _fitting(stem, number + ending, longest)


def _fitting(stem: str, tail: str, longest: int) -> str:
    room = longest - len(_raw(tail))
    while stem and len(_raw(stem)) > room:
        stem = stem[:-1]
    return stem + tail if room > 0 else tail[-longest:]


def _raw(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
