"""Zip files: their members as bytes, within caps that are kept while unpacking, not believed."""

import io
import stat
import zipfile
import zlib
from typing import Final, NamedTuple

MAX_MEMBERS: Final = 1_000
_CHUNK: Final = 65_536
_PLAIN: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_SMALL: Final = 65_536
"""A few bytes that unpack to this much are no bomb, whatever their ratio."""


class Caps(NamedTuple):
    """member_bytes: of one member; total_bytes: of all; ratio: unpacked size to the zip's own."""

    member_bytes: int
    total_bytes: int
    ratio: int
    members: int = MAX_MEMBERS


class Unfit(Exception):
    """A zip that is not unpacked. Nothing of it counts. Says why."""


def is_zip(name: str) -> bool:
    """Whether a file of this name is unpacked."""
    return name.lower().endswith(".zip")


def unpacked(body: bytes, caps: Caps) -> dict[str, bytes]:
    """The members by their names, in their order, without folders. Raises Unfit.

    Sizes are counted while unpacking: what the zip says about itself may be false.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
            _check(infos, caps)
            allowed = min(caps.total_bytes, max(_SMALL, len(body) * caps.ratio))
            members: dict[str, bytes] = {}
            for info in infos:
                member = _member(archive, info, min(caps.member_bytes, allowed), caps, allowed)
                allowed -= len(member)
                members[_name(info)] = member
            return members
    except Unfit:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise Unfit(f"is no whole zip: {error}") from None
    except Exception as fault:  # noqa: BLE001 - odd bytes make zipfile raise almost anything
        why = f"{type(fault).__name__}: {fault}"
        raise Unfit(f"is no whole zip, or one that is not read: {why}") from None


def _check(infos: list[zipfile.ZipInfo], caps: Caps) -> None:
    if not infos:
        raise Unfit("has no file in it")
    if len(infos) > caps.members:
        raise Unfit(f"has {len(infos)} members, more than {caps.members}")
    names: set[str] = set()
    for info in infos:
        name = _name(info)
        if name in names:
            raise Unfit(f"has {name[:100]!r} twice")
        names.add(name)
        if is_zip(name):
            raise Unfit(f"has a zip in it: {name[:100]!r}")
        if info.flag_bits & 0x1:
            raise Unfit(f"has a member under a password: {name[:100]!r}")
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
            raise Unfit(f"has a member that is no plain file: {name[:100]!r}")
        if info.compress_type not in _PLAIN:
            raise Unfit(f"packs {name[:100]!r} in a way that is not taken: only deflate is")


def _name(info: zipfile.ZipInfo) -> str:
    """The last part of a member's path. Raises Unfit for a path that leads out of its folder."""
    # The name as it stands in the zip: `filename` has NUL and what follows cut off already.
    path = info.orig_filename
    parts = path.split("/")
    wrong = path.startswith("/") or ".." in parts or "\\" in path or ":" in parts[0]
    if wrong or not path.isprintable() or not parts[-1] or parts[-1].startswith("."):
        raise Unfit(f"has a member with a path that is not taken: {path[:100]!r}")
    return parts[-1]


def _member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int, caps: Caps, allowed: int
) -> bytes:
    chunks: list[bytes] = []
    size = 0
    with archive.open(info) as file:
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            if size > limit:
                raise Unfit(_too_large(info, caps, allowed))
            chunks.append(chunk)
    return b"".join(chunks)


def _too_large(info: zipfile.ZipInfo, caps: Caps, allowed: int) -> str:
    name = _name(info)[:100]
    if caps.member_bytes <= allowed:
        return f"unpacks {name!r} to more than the {caps.member_bytes} bytes of max_file_bytes"
    return (
        f"unpacks to more than zip_max_bytes ({caps.total_bytes}) or zip_max_ratio "
        f"({caps.ratio}) allow, at {name!r}"
    )
