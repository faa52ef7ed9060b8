"""JSON that says a key twice: of two quantities the last would count, and nobody be told.

The decoders take such a document as it is. Nearly all are seen to be in order by counting: as many
keys are written in them as are left once they are read. The others are read once more, key by key.
"""

import json
from typing import Any, Final

import msgspec

from stockwright.domain.errors import Rejected

_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_OBJECTS: Final = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_BEFORE_COLON: Final = (b" :", b"\t:", b"\r:", b"\n:")
_KEY_END: Final = b'":'


class _Twice(Exception):
    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def refuse_repeats(body: bytes) -> None:
    """Raises Rejected, naming the key, where an object says one twice. For JSON that was decoded;
    RecursionError where it is nested too deeply to be looked at.
    """
    if seen_once(body):
        return
    try:
        _KEY_BY_KEY.decode(body.decode())
    except _Twice as found:
        message = f"The key {found.key!r} stands twice in one object. Send it once."
        raise Rejected("malformed", found.key, message) from None


def seen_once(body: bytes, *, in_lines: bool = False) -> bool:
    """Whether it is plain that no object says a key twice; False where that is to be looked at.

    in_lines: an object a line.
    """
    if any(blank in body for blank in _BEFORE_COLON):
        return False
    # Each key is written so at its end, and a text may hold the same: as many are keys, or fewer.
    return body.count(_KEY_END) == _left(body, in_lines)


def _left(body: bytes, in_lines: bool) -> int:
    """The keys that are left of an object and its lines, or of each of several, but of nothing that
    lies deeper; -1 for other forms.
    """
    try:
        if in_lines:
            return sum(map(len, _OBJECT.decode_lines(body)))
        if body.lstrip().startswith(b"["):
            return sum(map(len, _OBJECTS.decode(body)))
        found = _OBJECT.decode(body)
        return len(found) + sum(map(len, _OBJECTS.decode(found.get("lines", b"[]"))))
    except (msgspec.MsgspecError, RecursionError):
        return -1


def _once(pairs: list[tuple[str, Any]]) -> None:
    seen = set()
    for key, _ in pairs:
        if key in seen:
            raise _Twice(key)
        seen.add(key)


# Numbers are left as they are written: what they say was judged before.
_KEY_BY_KEY: Final = json.JSONDecoder(
    object_pairs_hook=_once, parse_int=str, parse_float=str, strict=False
)
