"""A folder of this machine. All work on files is done in threads.

Whoever drops files there may be a stranger: no link of his is followed, so that he can have us
neither read nor write nor move what lies elsewhere.
"""

import asyncio
import errno
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
    with os.fdopen(_plain(path, os.O_RDONLY), "rb") as file:
        return file.read(limit)


def _plain(path: str, flags: int) -> int:
    """Opens a plain file and nothing else: a pipe would keep us waiting for ever."""
    try:
        opened = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise _odd("is a link or a pipe, not a file:", path) from None
        raise
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise _odd("is no plain file:", path)
    return opened


def _odd(what: str, path: str) -> OSError:
    return OSError(errno.EINVAL, what, path)


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
    try:
        Path(path).mkdir(exist_ok=True)
    except FileExistsError:
        raise _odd("is no folder:", path) from None
    if Path(path).is_symlink():
        raise _odd("is a link, not a folder:", path)


def _remove_folder(path: str) -> None:
    with suppress(OSError):
        Path(path).rmdir()


def _open_lock(path: str) -> IO[bytes]:
    return os.fdopen(_plain(path, os.O_WRONLY | os.O_CREAT), "wb")


def _lock(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _new(path: Path) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        raise _odd("is made by somebody else as well:", str(path)) from None


def replace_file(path: Path, body: bytes) -> None:
    """Puts a file in place at once and for good: readers see the old or the new one, whole."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    draft.unlink(missing_ok=True)
    try:
        with os.fdopen(_new(draft), "wb") as file:
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
