"""PostgreSQL array literals, built by joining: far cheaper than dumping each element.

The server parses them as the type the statement names. Text elements are always quoted; numbers
never are, so that None can stand as NULL among numbers, and only there.
"""

import datetime as dt
from collections.abc import Sequence


def texts(values: Sequence[str]) -> str:
    """A text[] literal. The values hold no NUL character: the door refuses them."""
    if not values:
        return "{}"
    joined = '","'.join(values)
    if "\\" in joined or joined.count('"') != 2 * (len(values) - 1):
        joined = '","'.join([value.replace("\\", "\\\\").replace('"', '\\"') for value in values])
    return f'{{"{joined}"}}'


def numbers(values: Sequence[int | None]) -> str:
    """A bigint[] or integer[] literal; None is NULL."""
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def integers(values: Sequence[int]) -> str:
    """A bigint[] or integer[] literal of numbers only."""
    return "{" + ",".join(map(str, values)) + "}"


def booleans(values: Sequence[bool]) -> str:
    """A boolean[] literal."""
    return "{" + ",".join(["t" if value else "f" for value in values]) + "}"


def times(values: Sequence[dt.datetime | dt.date | None]) -> str:
    """A timestamptz[] or date[] literal; None is NULL. Equal neighbours are formatted once."""
    parts = []
    last: dt.datetime | dt.date | None = None
    text = "NULL"
    for value in values:
        if value is not last:
            last = value
            text = "NULL" if value is None else f'"{value.isoformat()}"'
        parts.append(text)
    return "{" + ",".join(parts) + "}"


def blobs(values: Sequence[bytes]) -> str:
    """A text[] literal of hexadecimal digits, for decode(..., 'hex')."""
    return "{" + ",".join([value.hex() for value in values]) + "}"


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
