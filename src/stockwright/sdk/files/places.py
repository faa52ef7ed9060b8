"""Where files lie, behind one seam: a folder of this machine, or one of an SFTP server.

Paths are text with `/` between; bytes of a name that are no UTF-8 stand in it as lone surrogates.
Every call may raise Transient (nothing was done) and Misconfigured (an operator must act); `write`
and `move` may raise Unanswered: it may have been done.
"""

from contextlib import AbstractAsyncContextManager
from typing import Literal, NamedTuple, Protocol


class Entry(NamedTuple):
    """One name in a folder. size in bytes; stamp: the place's own time of the last change."""

    name: str
    size: int
    stamp: float
    kind: Literal["file", "folder", "other"]


class Place(Protocol):
    """The seam."""

    async def has_folder(self, path: str) -> bool:
        """Whether a folder is there."""
        ...

    async def entries(self, folder: str) -> list[Entry]:
        """All names in a folder, in no order. Links are `other`. Raises FileNotFoundError."""
        ...

    async def read(self, path: str, limit: int) -> bytes:
        """The first `limit` bytes of a file. Raises FileNotFoundError."""
        ...

    async def write(self, path: str, body: bytes) -> None:
        """Puts a file in place at once and for good: readers see the old or the new one, whole."""
        ...

    async def move(self, source: str, target: str) -> bool:
        """Renames a file or folder; False where there is none (any more): one of many callers wins.

        Raises FileExistsError where the target is there already: nothing is written over.
        """
        ...

    async def remove(self, path: str) -> None:
        """Takes a file away. Safe to repeat."""
        ...

    async def make_folder(self, path: str) -> None:
        """Makes a folder where there is none. Safe to repeat."""
        ...

    async def remove_folder(self, path: str) -> None:
        """Takes an empty folder away; one that is not empty, or is gone, stays as it is."""
        ...

    def locked(self, path: str) -> AbstractAsyncContextManager[bool]:
        """Whether the turn at this lock is ours; given back at the end, and after a crash."""
        ...

    async def close(self) -> None:
        """Gives back what is held open. Safe to repeat."""
        ...


def shown(name: str) -> str:
    """A name as text that can be stored and printed."""
    clean = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in clean)
