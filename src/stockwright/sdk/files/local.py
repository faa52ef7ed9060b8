"""A folder of this machine. All work on files is done in threads."""

import asyncio
import fcntl
import os
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO, Literal, ParamSpec, TypeVar

from stockwright.domain.errors import Transient
from stockwright.sdk.files.places import Entry, shown
from stockwright.sdk.transports import Unanswered

P = ParamSpec("P")
T = TypeVar("T")


class LocalPlace:
    """Folders that this process can reach by their paths, mounted ones included."""

    async def has_folder(self, path: str) -> bool:
        """Whether a folder is there."""
        return await _in_thread(os.path.isdir, path)

    async def entries(self, folder: str) -> list[Entry]:
        """All names in a folder."""
        return await _in_thread(_entries, folder)

    async def read(self, path: str, limit: int) -> bytes:
        """The first `limit` bytes of a file."""
        return await _in_thread(_read, path, limit)

    async def write(self, path: str, body: bytes) -> None:
        """Writes beside, flushes to disk, renames."""
        try:
            await _in_thread(replace_file, Path(path), body)
        except Transient as error:
            # The rename may have happened: only its answer is missing.
            raise Unanswered(str(error)) from None

    async def move(self, source: str, target: str) -> bool:
        """Renames; False where the source is gone."""
        return await _in_thread(_move, source, target)

    async def remove(self, path: str) -> None:
        """Takes a file away."""
        await _in_thread(_remove, path)

    async def make_folder(self, path: str) -> None:
        """Makes a folder."""
        await _in_thread(_make_folder, path)

    async def remove_folder(self, path: str) -> None:
        """Takes an empty folder away."""
        await _in_thread(_remove_folder, path)

    @asynccontextmanager
    async def locked(self, path: str) -> AsyncIterator[bool]:
        """A lock of the operating system: it ends with its holder."""
        file = await _in_thread(_open_lock, path)
        try:
            yield _lock(file)
        finally:
            file.close()

    async def close(self) -> None:
        """Nothing is held open between calls."""


async def _in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Work in a thread, to its end: whoever is cancelled meanwhile keeps its lock until then."""
    task = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
    except (FileNotFoundError, FileExistsError):
        raise
    except OSError as error:
        where = f" {shown(str(error.filename))}" if error.filename else ""
        raise Transient(f"{error.strerror or error}{where}") from None


def _entries(folder: str) -> list[Entry]:
    found: list[Entry] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # another process took it just now
            found.append(Entry(entry.name, status.st_size, status.st_mtime, _kind(status.st_mode)))
    return found


def _kind(mode: int) -> Literal["file", "folder", "other"]:
    if stat.S_ISREG(mode):
        return "file"
    return "folder" if stat.S_ISDIR(mode) else "other"


def _read(path: str, limit: int) -> bytes:
    with Path(path).open("rb") as file:
        return file.read(limit)


def _move(source: str, target: str) -> bool:
    if os.path.lexists(target):
        raise FileExistsError(target)
    try:
        Path(source).rename(target)
    except FileNotFoundError:
        return False
    return True


def _remove(path: str) -> None:
    Path(path).unlink(missing_ok=True)


def _make_folder(path: str) -> None:
    Path(path).mkdir(exist_ok=True)


def _remove_folder(path: str) -> None:
    with suppress(OSError):
        Path(path).rmdir()


def _open_lock(path: str) -> IO[bytes]:
    return Path(path).open("wb")


def _lock(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


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
