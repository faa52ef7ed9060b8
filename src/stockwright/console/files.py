"""Addresses of our style, scripts and pictures: another content has another address."""

import hashlib
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "static"
_STAMPS: Final = {
    one.name: hashlib.sha256(one.read_bytes()).hexdigest()[:12] for one in FOLDER.iterdir()
}


def file_url(name: str) -> str:
    """The address of one of our files as it is now. A browser may keep for ever what it answers."""
    return f"/console/static/{name}?v={_STAMPS[name]}"


def is_as_now(name: str, query: bytes) -> bool:
    """Whether a query asks for a file of ours as it is now, so that the answer stays true."""
    return query == f"v={_STAMPS.get(name)}".encode()
