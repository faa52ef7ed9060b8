"""Whether a channel may be shown more: only once the orders it took until then are in the number.

A channel that sells without asking has lowered its own number by sales we may not know of yet. An
absolute number sent over it would put these units back on sale. So an increase waits for the
watermark: the start of a poll of the channel's orders that was complete, whose orders are recorded
and projected. A poll that never comes must not hold goods back for ever: after a stated time an
increase goes, less a buffer, and says so.
"""

import datetime as dt
import math
from typing import Final

import msgspec

from stockwright.domain.levels import Level

HELD_SHARE: Final = 0.2
"""The part of a number that is held back, at least one piece, where orders are not known."""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a system's orders have come, as it stood at `now` (the database's clock).

    polled: the watermark of its polls; waits: whether payloads of it are still to be recorded.
    seen: all its orders until then are in the levels. recorded: all of them until then were in the
    ledger at recorded_at. marked: marks of touched SKUs from before recorded_at wait for the
    projection; any_mark: some mark waits.
    """

    now: dt.datetime
    polled: dt.datetime | None = None
    waits: bool = False
    seen: dt.datetime | None = None
    recorded: dt.datetime | None = None
    recorded_at: dt.datetime | None = None
    marked: bool = False
    any_mark: bool = False


class Seen(msgspec.Struct, frozen=True):
    """What is kept of it: see Progress."""

    seen: dt.datetime | None
    recorded: dt.datetime | None
    recorded_at: dt.datetime | None


class Gate(msgspec.Struct, frozen=True):
    """Increases that are due until `until` may go. held_back: less a buffer.

    seen: the orders until then are in the levels, None where nobody was asked for them yet. ready:
    there may be some that go; waits: some are due that must wait.
    """

    until: dt.datetime
    held_back: bool = False
    seen: dt.datetime | None = None
    ready: bool = True
    waits: bool = False


def advance(progress: Progress) -> Seen:
    """How far it is now. A newer watermark is taken up once the one before it has arrived, so that
    a ledger that is never at rest cannot put it off for ever.
    """
    seen, recorded, recorded_at = progress.seen, progress.recorded, progress.recorded_at
    if recorded is not None and not progress.marked:
        seen, recorded, recorded_at = _later(seen, recorded), None, None
    newer = progress.polled is not None and (seen is None or progress.polled > seen)
    if recorded is None and newer and not progress.waits:
        if progress.any_mark:
            recorded, recorded_at = progress.polled, progress.now
        else:
            seen = progress.polled
    return Seen(seen, recorded, recorded_at)


def gate(seen: dt.datetime | None, now: dt.datetime, limit: dt.timedelta) -> Gate:
    """Which increases may go. A watermark older than the limit tells nothing any more."""
    if seen is not None and seen >= now - limit:
        return Gate(min(seen, now), seen=seen)
    return Gate(now - limit, held_back=True, seen=seen)


def held_back(level: Level) -> int:
    """How many pieces of an increase are held back where the channel's orders are not known."""
    return min(level.desired, max(1, math.ceil(level.desired * HELD_SHARE)))


def is_worth_it(level: Level) -> bool:
    """Whether an increase that is held back would still change what the channel may show."""
    if level.acknowledged is None or level.doubt_until is not None:
        return True
    return level.desired - held_back(level) > level.acknowledged


def held_of(level: Level, *, unseen: bool) -> int:
    """How far below the desired number a level goes now.

    A decrease whose comparisons failed again and again goes without one, lower by what the channel
    sold meanwhile: these units may not be in the desired number yet.
    """
    if level.is_forced:
        return min(level.desired, level.slipped)
    if level.lane == "increase" and unseen and not level.job:
        return held_back(level)
    return 0


def _later(one: dt.datetime | None, other: dt.datetime) -> dt.datetime:
    return other if one is None else max(one, other)
