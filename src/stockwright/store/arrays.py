"""PostgreSQL array literals, written whole: far cheaper than dumping each element.

The server parses them as the type the statement names. They are written as JSON with other
brackets: texts are quoted, and None stands as NULL.
"""

import datetime as dt
from collections.abc import Sequence

import msgspec

_encode = msgspec.json.Encoder().encode


def texts(values: Sequence[str]) -> str:
    """A text[] literal. The values hold no NUL character: the door refuses them."""
    literal = _plain(values)
    if "\\" in literal:  # the escapes of control characters mean other things in JSON
        escaped = [value.replace("\\", "\\\\").replace('"', '\\"') for value in values]
        literal = '{"' + '","'.join(escaped) + '"}'
    return literal


def documents(values: Sequence[str]) -> str:
    """A text[] literal of JSON documents or empty texts: they hold no control characters, whose
    escapes mean other things in JSON.
    """
    return _plain(values)


def numbers(values: Sequence[int | None]) -> str:
    """A bigint[], integer[] or boolean[] literal; None is NULL."""
    return _plain(values)


def times(values: Sequence[dt.datetime | dt.date | None]) -> str:
    """A timestamptz[] or date[] literal; None is NULL."""
    return _plain(values)


def _plain(values: Sequence[object]) -> str:
    return "{" + _encode(values)[1:-1].decode() + "}"


def digests(values: Sequence[bytes]) -> str:
    """A text[] literal of hexadecimal digits, for decode(..., 'hex'). All are of one length."""
    return "{" + b"".join(values).hex(",", len(values[0])) + "}"


def shared_text(values: Sequence[str]) -> tuple[str, str | None]:
    """A text[] literal and None; where all values are equal, an empty one and that value."""
    if values and values.count(values[0]) == len(values):
        return "{}", values[0]
    return texts(values), None


def shared_time(values: Sequence[dt.datetime]) -> tuple[str, dt.datetime | None]:
    """A timestamptz[] literal and None; where all values are equal, an empty one and that value."""
    if values and values.count(values[0]) == len(values):
        return "{}", values[0]
    return times(values), None
