"""PostgreSQL array literals, written whole: far cheaper than dumping each element.

The server parses them as the type the statement names. Text elements are always quoted; the others
are written as in JSON, so that None stands as NULL among them, and only there.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Final

import msgspec
from psycopg import DataError

_APART: Final = "\0"
_encode = msgspec.json.Encoder().encode


def texts(values: Sequence[str]) -> str:
    """A text[] literal. Raises DataError, as the driver does, where a value holds a NUL."""
    if not values:
        return "{}"
    joined = _APART.join(values)
    if joined.count(_APART) != len(values) - 1:
        raise DataError("text holds a NUL character")
    escaped = joined.replace("\\", "\\\\").replace('"', '\\"')
    return '{"' + escaped.replace(_APART, '","') + '"}'


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
