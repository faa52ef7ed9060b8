"""What levels were at a time, and the moments at which an item changed.

Numbers that a channel was meant to show and the calls that carried them are kept for ever; what it
was found to show otherwise is kept beside them. Pooled levels only: location ''.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from stockwright.store.arrays import numbers, texts
from stockwright.store.connection import Connection
from stockwright.store.past import Moment
from stockwright.store.queries import load

_SQL = load("level_past")
STEPS: Final = 60
"""So many moments are offered on each side of the one that is looked at."""
_READINGS: Final = 20


class Listed(msgspec.Struct, frozen=True):
    """A listing that the SKU is part of; is_told where a connector tells its channel numbers."""

    channel: str
    listing: str
    quantity: int
    is_told: bool


class KnownThen(msgspec.Struct, frozen=True):
    """What had been written down about a level by a time, and is true of it then.

    call_* is the newest attempt that had begun, outcome None while it was under way; taken_* the
    number acknowledged last; found_* what the channel was last found to show otherwise; seen_*
    what was read back last, from first to last (which may lie after the time).
    """

    channel: str
    listing: str
    value: int
    version: int
    sequence: int
    projected_at: dt.datetime
    call: int | None
    call_version: int | None
    call_value: int | None
    call_started_at: dt.datetime | None
    call_deadline: dt.datetime | None
    call_finished_at: dt.datetime | None
    call_outcome: str | None
    call_detail: str | None
    taken: int | None
    taken_version: int | None
    taken_at: dt.datetime | None
    found_at: dt.datetime | None
    found: int | None
    found_why: str | None
    doubt_until: dt.datetime | None
    tries: int
    seen_first_at: dt.datetime | None
    seen_last_at: dt.datetime | None
    seen: int | None


class Seen(msgspec.Struct, frozen=True):
    """A stretch of time in which a channel was read back and showed one number; None for none."""

    first_at: dt.datetime
    last_at: dt.datetime
    shown: int | None


class Found(msgspec.Struct, frozen=True):
    """A number that a channel was found to show otherwise than by taking what it was sent."""

    at: dt.datetime
    shown: int | None
    why: str


class Steps(msgspec.Struct, frozen=True):
    """Moments at which an item changed: up to the one looked at, and after it, both in order."""

    earlier: Sequence[dt.datetime]
    later: Sequence[dt.datetime]


def listed(connection: Connection, sku: str) -> list[Listed]:
    """The listings of a SKU in what the connection reads, by channel and listing."""
    return [Listed(*row) for row in _rows(connection, "listed", sku=sku)]


def levels_at(
    connection: Connection, listings: Sequence[tuple[str, str]], then: Moment
) -> list[KnownThen]:
    """What was known of these (channel, listing) then, by key; none where there was no number."""
    parameters = _keys(listings) | {"at": then.at, "sequence": then.sequence}
    return [KnownThen(*row) for row in _rows(connection, "levels_at", **parameters)]


def seen_before(
    connection: Connection, channel: str, listing: str, at: dt.datetime, *, limit: int = _READINGS
) -> list[Seen]:
    """What a channel was read back to show up to a time, newest first."""
    asked = {"channel": channel, "listing": listing, "at": at, "limit": limit}
    return [Seen(*row) for row in _rows(connection, "seen_before", **asked)]


def found_before(
    connection: Connection, channel: str, listing: str, at: dt.datetime, *, limit: int = _READINGS
) -> list[Found]:
    """What a channel was found to show otherwise up to a time, newest first."""
    asked = {"channel": channel, "listing": listing, "at": at, "limit": limit}
    return [Found(*row) for row in _rows(connection, "found_before", **asked)]


def steps(
    connection: Connection,
    sku: str,
    levels: Sequence[tuple[str, str, int]],
    then: Moment,
    *,
    limit: int = STEPS,
) -> Steps:
    """The moments around one at which a SKU or one of its levels changed.

    levels are (channel, listing, the version that it had then).
    """
    asked = _keys([(channel, listing) for channel, listing, _ in levels]) | {
        "versions": numbers([version for _, _, version in levels]),
        "sku": sku,
        "at": then.at,
        "sequence": then.sequence,
        "limit": limit,
    }
    earlier = [row[0] for row in _rows(connection, "moments_before", **asked)]
    later = [row[0] for row in _rows(connection, "moments_after", **asked)]
    return Steps(earlier[::-1], later)


def _keys(listings: Sequence[tuple[str, str]]) -> dict[str, Any]:
    return {
        "channels": texts([channel for channel, _ in listings]),
        "listings": texts([listing for _, listing in listings]),
    }


def _rows(connection: Connection, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
    return connection.execute(_SQL[query].encode(), parameters).fetchall()
