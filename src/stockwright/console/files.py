"""Addresses of our style, scripts and pictures: another content has another address."""

import hashlib
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "static"


def _stamp() -> str:
    """One for all: scripts load each other by relative addresses, and so under the same stamp."""
    seen = hashlib.sha256()
    for one in sorted(FOLDER.iterdir()):
        content = one.read_bytes()
        seen.update(f"{one.name} {len(content)} ".encode() + content)
    return seen.hexdigest()[:12]


STAMP: Final = _stamp()


def file_url(name: str) -> str:
    """The address of one of our files as it is now. A browser may keep for ever what it answers."""
    return f"/console/static/{STAMP}/{name}"


def as_now(path: str) -> tuple[str, bool]:
    """The name in a path below our folder, and whether it asks for the file as it is now.

    A page of an older version may still ask under that one's stamp: it gets what is here.
    """
    stamp, _, name = path.rpartition("/")
    return (name, stamp == STAMP) if len(stamp) == len(STAMP) else (path, False)
