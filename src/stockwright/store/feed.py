"""The feed of changes: events of the ledger and changes of levels, in one order that never skips.

A place in the feed is a pair of numbers, one for each of its two sources. Each source has an order
in which its rows are committed, so a transaction that ends late appears behind all that was read.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from stockwright.store.arrays import texts
from stockwright.store.connection import Connection
from stockwright.store.queries import load

_SQL = load("feed")
SCAN: Final = 5_000
"""Rows of each source that one reading looks at, whether they pass the filter or not."""
LEVEL: Final = "level"
"""The kind of a level change; all others are kinds of events."""


class Place(msgspec.Struct, frozen=True, array_like=True):
    """What was read already: events up to sequence, level changes up to position."""

    sequence: int = 0
    position: int = 0


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which changes; an empty field lets all through."""

    kinds: Sequence[str] = ()
    skus: Sequence[str] = ()
    locations: Sequence[str] = ()
    channels: Sequence[str] = ()
    systems: Sequence[str] = ()


class FeedMove(msgspec.Struct, frozen=True, kw_only=True):
    """Units of one SKU that left one account and entered another."""

    sku: str
    lot: str
    from_account: str
    from_location: str
    to_account: str
    to_location: str
    quantity: int


class FeedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event of the ledger in its canonical form, and the moves it made."""

    sequence: int
    kind: str
    system: str
    outcome: str
    occurred_at: dt.datetime
    received_at: dt.datetime
    recorded_at: dt.datetime
    event: msgspec.Raw
    moves: list[FeedMove]


class FeedLevel(msgspec.Struct, frozen=True, kw_only=True):
    """A number a channel is meant to show from now on; it reflects the ledger up to sequence."""

    position: int
    channel: str
    listing: str
    location: str
    version: int
    value: int
    sequence: int
    projected_at: dt.datetime


Item = tuple[Place, FeedEvent | FeedLevel]


class Reading(msgspec.Struct, frozen=True):
    """Items in order, each with the place behind it; the place behind all that was looked at.

    at_end says that there was nothing more at that moment.
    """

    items: list[Item]
    place: Place
    at_end: bool


class _Source(msgspec.Struct, frozen=True):
    """What was found of one source, how far it was looked, and how far it goes."""

    found: list[Any]
    upto: int
    head: int


_moves = msgspec.json.Decoder(list[FeedMove]).decode


def newest(connection: Connection) -> Place:
    """The place behind everything that is there."""
    row = connection.execute(_SQL["heads"]).fetchone()
    assert row is not None
    return Place(*row)


def read(connection: Connection, after: Place, which: Filter, limit: int) -> Reading:
    """At most `limit` changes after a place. An event comes before the levels that reflect it."""
    # Levels first: what they reflect is then surely among the events.
    levels = _levels(connection, after, which, limit)
    events = _events(connection, after, which, limit)
    return merge(events, levels, after, limit)


def merge(events: _Source, levels: _Source, after: Place, limit: int) -> Reading:
    """One order out of two: a level waits until all events it reflects were looked at."""
    sequence, position = after.sequence, after.position
    items: list[Item] = []
    n = m = 0
    while len(items) < limit:
        event = events.found[n] if n < len(events.found) else None
        level = levels.found[m] if m < len(levels.found) else None
        if event is not None and (level is None or event.sequence <= level.sequence):
            sequence, n = event.sequence, n + 1
            items.append((Place(sequence, position), event))
        elif level is not None and level.sequence <= events.upto:
            position, m = level.position, m + 1
            items.append((Place(sequence, position), level))
        else:
            break
    # What was looked at beyond the last item, and let nothing through, is read as well.
    if n == len(events.found):
        sequence = max(sequence, events.upto)
    if m == len(levels.found):
        position = max(position, levels.upto)
    at_end = sequence >= events.head and position >= levels.head
    return Reading(items, Place(sequence, position), at_end)


def _events(connection: Connection, after: Place, which: Filter, limit: int) -> _Source:
    kinds = [kind for kind in which.kinds if kind != LEVEL]
    if which.kinds and not kinds:
        head = newest(connection).sequence
        return _Source([], max(head, after.sequence), head)
    rows = connection.execute(
        _SQL["events"],
        _arguments(which) | {"kinds": _array(kinds), "after": after.sequence, "limit": limit},
    ).fetchall()
    found = [_event(*row[2:]) for row in rows if row[2] is not None]
    return _source(found, rows[0], limit, found[-1].sequence if found else 0)


def _levels(connection: Connection, after: Place, which: Filter, limit: int) -> _Source:
    if which.kinds and LEVEL not in which.kinds:
        head = newest(connection).position
        return _Source([], max(head, after.position), head)
    rows = connection.execute(
        _SQL["levels"], _arguments(which) | {"after": after.position, "limit": limit}
    ).fetchall()
    fields = FeedLevel.__struct_fields__
    found = [
        FeedLevel(**dict(zip(fields, row[2:], strict=True))) for row in rows if row[2] is not None
    ]
    return _source(found, rows[0], limit, found[-1].position if found else 0)


def _source(found: list[Any], first: Sequence[Any], limit: int, last: int) -> _Source:
    """A full page was looked at up to its last row only."""
    return _Source(found, last if len(found) == limit else first[0], first[1])


def _event(
    sequence: int,
    kind: str,
    system: str,
    outcome: str,
    occurred_at: dt.datetime,
    received_at: dt.datetime,
    recorded_at: dt.datetime,
    body: str,
    moves: str | None,
) -> FeedEvent:
    return FeedEvent(
        sequence=sequence,
        kind=kind,
        system=system,
        outcome=outcome,
        occurred_at=occurred_at,
        received_at=received_at,
        recorded_at=recorded_at,
        event=msgspec.Raw(body.encode()),
        moves=_moves(moves or "[]"),
    )


def _arguments(which: Filter) -> dict[str, Any]:
    return {
        "skus": _array(which.skus),
        "locations": _array(which.locations),
        "channels": _array(which.channels),
        "systems": _array(which.systems),
        "scan": SCAN,
    }


def _array(values: Sequence[str]) -> str | None:
    return texts(values) if values else None
