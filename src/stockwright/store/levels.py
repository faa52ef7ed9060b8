"""Levels: taking marks of touched SKUs, locking and writing levels, finding what is due."""

import datetime as dt
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any, Final

import msgspec

from stockwright.domain.levels import Lane, Level
from stockwright.store.arrays import numbers, texts, times
from stockwright.store.connection import Connection
from stockwright.store.queries import load

_SQL = load("levels")
# Any number will do that no other advisory lock of ours has ("swfeed" in bytes).
FEED_LOCK: Final = int.from_bytes(b"swfeed", "big")
"""Held by whoever writes changes of levels, from then until the commit; see `store.feed`."""
_FIELDS: Final = Level.__struct_fields__
_DESIRED: Final = (
    *("channel", "listing", "location", "desired", "version", "sequence", "projected_at"),
    *("state", "lane", "due_at", "waiting_since", "attempts"),
)
_TEXTS: Final = frozenset({"channel", "listing", "location", "state", "lane", "last_error"})

Key = tuple[str, str, str]
"""(channel, listing, location); location '' is the channel's whole pool."""


class Dirty(msgspec.Struct, frozen=True):
    """A SKU whose levels must be computed again: its marks, and the time of the oldest.

    SKU '' stands for all that no channel lists: nothing is to be computed for them.
    """

    sku: str
    marks: int
    marked_at: dt.datetime


def clock(connection: Connection) -> dt.datetime:
    """The database's clock, the one that all workers share."""
    row = connection.execute(_SQL["clock"]).fetchone()
    assert row is not None
    now: dt.datetime = row[0]
    return now


def take_dirty(connection: Connection, limit: int) -> list[Dirty]:
    """Takes at most `limit` marks away, one answer per listed SKU and one for the rest, by SKU.

    They come back when the transaction rolls back. Marks that another worker holds are left out.
    """
    return [Dirty(*row) for row in connection.execute(_SQL["take_dirty"], {"limit": limit})]


def lock_levels(
    connection: Connection, listings: Sequence[tuple[str, str]], missing: Sequence[tuple[str, str]]
) -> list[Level]:
    """The pooled levels of these listings, the missing of them made (version 0), locked, by key.

    Read balances only in a later statement: then of two workers the later lock sees the later
    balances, and no older number is written over a newer.
    """
    if missing:
        # Before any lock is taken, so that no two workers wait for each other.
        connection.execute(_SQL["insert_missing"], _pair_arrays(sorted(missing)))
    return relock(connection, [(channel, listing, "") for channel, listing in sorted(listings)])


def next_of_channel(
    connection: Connection, channel: str, after: tuple[str, str], limit: int
) -> list[Level]:
    """The next levels of a channel after (listing, location), locked, in order of key."""
    arguments = {"channel": channel, "listing": after[0], "location": after[1], "limit": limit}
    return _levels(connection, "next_of_channel", **arguments)


def relock(connection: Connection, keys: Sequence[Key]) -> list[Level]:
    """Existing levels, locked in order of key."""
    return _levels(connection, "lock_levels", **_key_arrays(keys))


def write_levels(connection: Connection, levels: Sequence[Level]) -> None:
    """Stores levels that this transaction has locked."""
    if levels:
        _write(connection, "write_levels", levels, _columns(levels, _FIELDS))


def write_desired(
    connection: Connection, levels: Sequence[Level], since: Sequence[int], rules: int
) -> None:
    """Stores new desired numbers of levels that this transaction has locked, and their history.

    since holds, aligned, the sequence number up to which the number before each was right; rules
    is the revision of the rules they follow.
    """
    if levels:
        connection.execute(_SQL["feed_lock"], {"lock": FEED_LOCK})
        columns = _columns(levels, _DESIRED) | {"since": numbers(since), "rules": rules}
        _write(connection, "write_desired", levels, columns)


def write_reflected(connection: Connection, levels: Sequence[Level], sequence: int) -> None:
    """Stores that these locked levels, unchanged, are true as of a newer sequence number."""
    if levels:
        keys = _key_arrays([level.key for level in levels])
        _write(connection, "write_reflected", levels, keys | {"sequence": sequence})


def notify_channels(connection: Connection, channels: Sequence[str]) -> None:
    """Wakes the publishers of these channels when the transaction commits."""
    connection.execute(_SQL["notify_channels"], {"channels": texts(channels)})


def levels_of_listings(connection: Connection, listings: Sequence[tuple[str, str]]) -> list[Level]:
    """The levels of these listings as they are, by key."""
    return _levels(connection, "levels_of_listings", **_pair_arrays(listings))


def due_levels(
    connection: Connection, channel: str, lane: Lane, until: dt.datetime, limit: int
) -> list[Level]:
    """Levels of a lane due until a time, locked, most urgent first; held ones are skipped."""
    arguments = {"channel": channel, "lane": lane, "until": until, "limit": limit}
    return _levels(connection, "due_levels", **arguments)


def channels_with_decreases(
    connection: Connection, channels: Sequence[str], now: dt.datetime
) -> set[str]:
    """Those of these channels that have a decrease to send now."""
    arguments = {"channels": texts(channels), "now": now}
    rows = connection.execute(_SQL["channels_with_decreases"], arguments).fetchall()
    return {channel for (channel,) in rows}


def aged_increases(
    connection: Connection, channel: str, until: dt.datetime, since: dt.datetime, limit: int
) -> list[Level]:
    """Increases due until a time and waiting since before another, locked; held ones skipped."""
    arguments = {"channel": channel, "until": until, "since": since, "limit": limit}
    return _levels(connection, "aged_increases", **arguments)


def jobs_due(connection: Connection, channel: str, now: dt.datetime, limit: int) -> list[Level]:
    """Levels the partner is at work on, to be asked about now, locked; held ones are skipped."""
    return _levels(connection, "jobs_due", channel=channel, now=now, limit=limit)


def abandoned_levels(
    connection: Connection, channels: Sequence[str], now: dt.datetime, limit: int = 1_000
) -> list[Level]:
    """Levels whose sender let its lease run out, locked, by key."""
    return _levels(connection, "abandoned_levels", channels=texts(channels), now=now, limit=limit)


class UnderWay(msgspec.Struct, frozen=True):
    """Calls that hold levels of some channels, levels that lost their sender, paused channels."""

    calls: int
    lost: int
    paused: frozenset[str]


def under_way(connection: Connection, channels: Sequence[str], now: dt.datetime) -> UnderWay:
    """What goes on in these channels. Ask it after locking the connection they belong to."""
    row = connection.execute(
        _SQL["under_way"], {"channels": texts(channels), "now": now}
    ).fetchone()
    assert row is not None
    return UnderWay(int(row[0]), int(row[1]), frozenset(row[2]))


def next_due(connection: Connection, channels: Sequence[str]) -> dt.datetime | None:
    """When the next level of these channels may be sent or a lease ends; None if nothing waits."""
    row = connection.execute(_SQL["next_due"], {"channels": texts(channels)}).fetchone()
    found: dt.datetime | None = row[0] if row else None
    return found


def unverified_levels(
    connection: Connection, channel: str, before: dt.datetime, limit: int
) -> list[Level]:
    """Settled levels to read back: doubted ones, those acknowledged since, those longest ago."""
    return _levels(connection, "unverified_levels", channel=channel, before=before, limit=limit)


def doubt(connection: Connection, system: str, listings: Iterable[str]) -> None:
    """Has these listings of a system's channels read back before all others, and tells publishers.

    A listing that is told already, and not read back yet, is not told again.
    """
    named = {"system": system, "listings": texts(sorted(listings))}
    connection.execute(_SQL["doubt_levels"], named)


def write_verified(
    connection: Connection,
    levels: Sequence[Level],
    shown: Sequence[int | None],
    now: dt.datetime,
) -> None:
    """Stores what the channel was found to show (None: nothing), aligned; sent ones are skipped."""
    connection.execute(
        _SQL["write_verified"],
        _key_arrays([level.key for level in levels])
        | {
            "versions": numbers([level.acknowledged_version for level in levels]),
            "shown": numbers(shown),
            "now": now,
        },
    )


def _levels(connection: Connection, name: str, **parameters: Any) -> list[Level]:
    cursor = connection.execute(_SQL[name], parameters)
    names = [column.name for column in cursor.description or ()]
    fields = itemgetter(*(names.index(field) for field in _FIELDS))
    return [Level(**dict(zip(_FIELDS, fields(row), strict=True))) for row in cursor]


def _write(
    connection: Connection, name: str, levels: Sequence[Level], parameters: dict[str, Any]
) -> None:
    done = connection.execute(_SQL[name], parameters)
    assert done.rowcount == len(levels), "every locked level is still there"


def _columns(levels: Sequence[Level], fields: Sequence[str]) -> dict[str, str]:
    columns = {}
    for field in fields:
        values = [getattr(level, field) for level in levels]
        if field in _TEXTS:
            columns[field] = texts(values)
        elif field.endswith(("_at", "_until", "_since")):
            columns[field] = times(values)
        else:
            columns[field] = numbers(values)
    return columns


def _key_arrays(keys: Sequence[Key]) -> dict[str, str]:
    return {
        "channels": texts([key[0] for key in keys]),
        "listings": texts([key[1] for key in keys]),
        "locations": texts([key[2] for key in keys]),
    }


def _pair_arrays(keys: Sequence[tuple[str, str]]) -> dict[str, str]:
    return {
        "channels": texts([key[0] for key in keys]),
        "listings": texts([key[1] for key in keys]),
    }
