"""Cursors: a place in a list or a feed as a text that callers pass back and never read."""

import base64
import binascii
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


def cursor_of(position: Any) -> str:
    """The cursor of a position (anything JSON holds)."""
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).decode().rstrip("=")


def read_cursor(cursor: str, kind: type[T]) -> T:
    """The position in a cursor of ours. Raises ValueError where it is none of this kind."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        return msgspec.json.decode(text, type=kind)
    except (binascii.Error, msgspec.MsgspecError) as error:
        raise ValueError(str(error)) from None
