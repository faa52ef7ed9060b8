"""One level: the number a channel should show, the numbers it may be showing, and what to do next.

A level is settled when the channel can be showing nothing but the desired number. What it may show:
the acknowledged number, the one a call is carrying now, and those that earlier calls left in doubt.
Each function is one thing that can happen to a level; it changes the level in place. Times are
those of the database's clock.
"""

import datetime as dt
from typing import Final, Literal

import msgspec

State = Literal["due", "sending", "settled", "refused", "kept"]
Lane = Literal["decrease", "increase"]
Outcome = Literal["acknowledged", "superseded", "retry", "refused", "doubtful"]

STALE_TRIES: Final = 3
"""So many comparisons in a row may fail; then a decrease goes without one."""
SHORT_AGAIN_AFTER: Final = dt.timedelta(hours=1)
"""A channel found to show too little is put right at most once in this time, level by level."""


class Level(msgspec.Struct, kw_only=True):
    """An absolute quantity for (channel, listing, location), in pieces of the listing.

    acknowledged is None where we never learned what the channel shows. call, lease_until and the
    sent fields are set together while a call carries the level; the doubt fields while an earlier
    call may still be applied (any number from doubt_low to doubt_high, until doubt_until). A level
    is `kept` where nothing is sent to the channel: its system asks us. resend says that an operator
    wants the number sent once more, whatever the channel acknowledged.

    stale counts comparisons that failed in a row, slipped the units that the channel went down by
    meanwhile. held is how far the number sent last was below the desired one, on purpose.
    rest_until is when the partner's plan allows another call for this listing. job: the partner is
    at work on the desired number, job_last that all else in doubt was over when it was handed over.
    doubted: a call was left in doubt, or forced, since the channel was read back; short_at: it was
    found to show too little.
    """

    channel: str
    listing: str
    location: str
    desired: int
    version: int
    sequence: int
    projected_at: dt.datetime
    acknowledged: int | None = None
    acknowledged_version: int | None = None
    acknowledged_at: dt.datetime | None = None
    call: int | None = None
    lease_until: dt.datetime | None = None
    sent: int | None = None
    sent_version: int | None = None
    sent_at: dt.datetime | None = None
    doubt_low: int | None = None
    doubt_high: int | None = None
    doubt_until: dt.datetime | None = None
    state: State = "due"
    lane: Lane = "increase"
    due_at: dt.datetime
    waiting_since: dt.datetime
    attempts: int = 0
    last_error: str = ""
    resend: bool = False
    stale: int = 0
    slipped: int = 0
    held: int = 0
    rest_until: dt.datetime | None = None
    job: bool = False
    job_last: bool = False
    doubted: bool = False
    short_at: dt.datetime | None = None

    @property
    def is_forced(self) -> bool:
        """True where a decrease goes whatever is shown: the channel outruns our comparisons."""
        return self.lane == "decrease" and self.stale >= STALE_TRIES

    @property
    def is_resent(self) -> bool:
        """True where the channel acknowledged this very number, and it is only asserted again."""
        return self.resend and self.acknowledged == self.desired

    @property
    def key(self) -> tuple[str, str, str]:
        """(channel, listing, location)."""
        return (self.channel, self.listing, self.location)


def possible(level: Level) -> set[int]:
    """The extremes of what the channel may be showing; empty where nothing is known."""
    known = (level.acknowledged, level.sent, level.doubt_low, level.doubt_high)
    return {value for value in known if value is not None}


def lane_of(level: Level) -> Lane:
    """decrease where the channel may be showing more than it should.

    A level never acknowledged may show anything: a zero goes first, the rest of a first load would
    only crowd out the decreases we know of.
    """
    if level.acknowledged is None and level.desired == 0:
        return "decrease"
    return "decrease" if any(level.desired < value for value in possible(level)) else "increase"


def is_settled(level: Level) -> bool:
    """True where the channel can only be showing the desired number, and nobody doubts that."""
    known = level.acknowledged == level.desired and possible(level) == {level.desired}
    return known and not level.resend


def desire(level: Level, value: int, sequence: int, now: dt.datetime, *, told: bool = True) -> bool:
    """The projection found `value`, true as of a ledger sequence. Answers whether that is new.

    told is False where nothing is sent to the channel; that it begins or ends to be told is new as
    well. The version is raised by the smallest step that also follows the clock, and never goes
    back.
    """
    level.sequence = max(level.sequence, sequence)
    same_way = level.state == "sending" or told == (level.state != "kept")
    if level.version > 0 and value == level.desired and same_way:
        return False
    waits = level.state == "due" and level.version > 0
    if level.state in ("settled", "kept") or level.version == 0:
        level.waiting_since = now
    urgent_before = level.lane == "decrease"
    level.desired, level.job = value, False
    level.version = max(level.version + 1, int(now.timestamp() * 1000))
    level.projected_at = now
    if level.state == "sending":
        level.lane = lane_of(level)
        return True
    if not told:
        level.state, level.attempts = "kept", 0
        return True
    backing_off = waits and level.attempts > 0
    level.attempts = level.attempts if backing_off else 0
    # Who waits keeps its place: a number that changes all the time must not wait for ever.
    keeps_place = waits and lane_of(level) == level.lane
    at = min(level.due_at, now) if keeps_place else now
    _schedule(level, level.due_at if backing_off else at)
    if level.lane == "decrease" and not urgent_before:
        level.due_at = _rested(level, min(level.due_at, now))
    return True


def start(
    level: Level,
    call: int,
    now: dt.datetime,
    lease: dt.timedelta,
    *,
    held: int = 0,
    rest: dt.timedelta = dt.timedelta(),
) -> None:
    """A call takes the level's number along, less `held`; from here on the channel may show it.

    rest is how long the partner wants no other call for this listing.
    """
    assert level.call is None, "a level is carried by one call at a time"
    assert 0 <= held <= level.desired
    level.doubted = level.doubted or level.is_forced
    level.state = "sending"
    level.call = call
    level.lease_until = now + lease
    level.rest_until = now + rest if rest else None
    level.held = held
    # A version stands for one number only: a lower one gets its own, and the desired one a later.
    level.version += bool(held)
    level.sent, level.sent_version, level.sent_at = level.desired - held, level.version, now
    level.version += bool(held)


def applied(
    level: Level, now: dt.datetime, retry_at: dt.datetime, shown: int | None, version: int | None
) -> Outcome:
    """The channel took the number that was sent (not the newest), or told what it shows instead.

    version is the one the channel holds, where it keeps any; a higher one than ours was there
    first and stays. retry_at is used where it shows something else than it was sent, or was sent
    less than it should show.
    """
    assert level.sent is not None
    assert level.sent_version is not None
    assert level.sent_at is not None
    overtaken = version is not None and version > level.sent_version
    now_shown = shown if shown is not None else None if overtaken else level.sent
    took_it = now_shown == level.sent and not overtaken
    level.acknowledged = now_shown
    if took_it:
        level.acknowledged_version = level.sent_version
        level.acknowledged_at = now
    if overtaken and version is not None:
        level.version = max(level.version, version + 1)
    if _is_over(level) or (level.job and level.job_last):
        # Whatever was in doubt has been applied or lost by now; this call came after it.
        _clear_doubt(level)
    _release(level)
    level.resend = level.resend and (not took_it or level.held > 0)
    level.attempts = 0 if took_it else level.attempts + 1
    level.last_error = "" if took_it else f"the channel shows {now_shown}"
    if took_it:
        level.stale = level.slipped = 0
        if level.held:
            level.last_error = f"{level.held} held back until the channel's orders are known"
    level.waiting_since = max(level.waiting_since, level.projected_at)
    _schedule(level, now if took_it and not level.held else retry_at)
    if level.state == "settled":
        level.last_error = ""
    return "acknowledged" if took_it else "superseded"


def refused(level: Level, now: dt.datetime, reason: str) -> Outcome:
    """The channel will never take the number that was sent; only another one is sent again."""
    same = level.sent_version == level.version
    _release(level)
    level.last_error = reason
    level.attempts = 0
    _schedule(level, now)
    if same and level.state == "due":
        level.state = "refused"
    return "refused"


def retry(level: Level, retry_at: dt.datetime, reason: str, shown: int | None = None) -> Outcome:
    """The number was surely not applied; the number wanted by then goes at retry_at.

    shown is what the channel told that it shows, where a comparison failed.
    """
    if shown is not None:
        level.stale += 1
        level.slipped += max(0, (level.acknowledged or 0) - shown)
        level.acknowledged = shown
    _release(level)
    level.attempts += 1
    level.last_error = reason
    _schedule(level, retry_at)
    return "retry"


def put_back(level: Level, now: dt.datetime, reason: str) -> Outcome:
    """The whole call failed before anything was done: no fault of this level."""
    _release(level)
    level.last_error = reason
    _schedule(level, now)
    return "retry"


def doubtful(
    level: Level,
    retry_at: dt.datetime,
    doubt_until: dt.datetime,
    reason: str,
    *,
    failed: bool = True,
) -> Outcome:
    """Nobody knows whether the number was applied; until doubt_until it still may be.

    failed is False where the channel took it and is at work on it: the try does not count.
    """
    assert level.sent is not None
    job = not failed and level.sent == level.desired
    # A job that goes on puts its own number in doubt again and again, and no other one.
    job_last = level.job_last if level.job else _is_over(level)
    _doubt(level, level.sent, doubt_until, doubted=failed)
    _release(level)
    level.job, level.job_last = job, job and job_last
    level.attempts += failed
    level.last_error = reason
    _schedule(level, retry_at)
    return "doubtful"


def abandoned(level: Level, now: dt.datetime, apply_delay: dt.timedelta) -> None:
    """The lease ran out before an answer came: whoever held it is gone, its number in doubt."""
    assert level.sent is not None
    assert level.lease_until is not None
    _doubt(level, level.sent, level.lease_until + apply_delay)
    _release(level)
    level.attempts += 1
    level.last_error = "the sender did not come back"
    _schedule(level, now)


def answered_late(level: Level, value: int, doubt_until: dt.datetime) -> None:
    """An answer to a call that no longer holds the level: its number may be shown, and no more."""
    _doubt(level, value, doubt_until)
    level.job_last = False
    if level.state == "settled":
        _schedule(level, doubt_until)
    else:
        level.lane = lane_of(level)


def read_back(
    level: Level,
    shown: int,
    now: dt.datetime,
    *,
    orders_are_seen: bool = False,
    gross: bool = False,
) -> bool:
    """The channel told what it shows of a settled level. Answers whether that must be put right.

    Less than desired may be units the channel sold whose order has not reached us: to assert the
    number at once would sell them twice. orders_are_seen says that increases wait for its orders;
    then it is due as one, and settles by itself if an order explains the difference. Not so where
    it takes gross numbers: a sale does not lower them, but the shipment that we told it of does,
    once more.
    """
    level.doubted = False
    if level.state != "settled" or shown == level.desired:
        return False
    if shown < level.desired and not gross:
        tried = level.short_at is not None and now < level.short_at + SHORT_AGAIN_AFTER
        if tried or not orders_are_seen:
            return False
        level.short_at = now
    level.acknowledged = shown
    level.waiting_since = now
    level.last_error = f"the channel was found to show {shown}"
    _schedule(level, now)
    return True


def send_again(level: Level, now: dt.datetime) -> bool:
    """An operator doubts what the channel shows: the number goes once more, behind all that differ.

    Answers whether it does: what is not settled is on its way already, or must not go.
    """
    if level.state != "settled":
        return False
    level.resend = True
    level.waiting_since = now
    level.attempts = 0
    _schedule(level, now)
    return True


def forget(level: Level, now: dt.datetime) -> None:
    """Another partner speaks for the channel from now on: what it shows, nobody ever told us.

    What a call to the one before carries is in doubt: by another name it may be the same partner.
    """
    if level.call is not None:
        assert level.sent is not None
        assert level.lease_until is not None
        _doubt(level, level.sent, level.lease_until)
        _release(level)
    level.acknowledged = level.acknowledged_version = level.acknowledged_at = None
    level.resend, level.short_at, level.rest_until = False, None, None
    level.attempts = level.stale = level.slipped = level.held = 0
    level.last_error = ""
    if level.state != "kept":
        level.waiting_since = now
        _schedule(level, now)


def _doubt(level: Level, value: int, until: dt.datetime, *, doubted: bool = True) -> None:
    level.doubted = level.doubted or doubted
    low, high, before = level.doubt_low, level.doubt_high, level.doubt_until
    level.doubt_low = value if low is None else min(low, value)
    level.doubt_high = value if high is None else max(high, value)
    level.doubt_until = until if before is None else max(before, until)


def _is_over(level: Level) -> bool:
    """Whether nothing that was in doubt could still be applied when the present call was sent."""
    assert level.sent_at is not None
    return level.doubt_until is None or level.doubt_until <= level.sent_at


def _clear_doubt(level: Level) -> None:
    level.doubt_low = level.doubt_high = level.doubt_until = None


def _release(level: Level) -> None:
    level.call = level.lease_until = None
    level.job = level.job_last = False
    level.sent = level.sent_version = level.sent_at = None


def _schedule(level: Level, at: dt.datetime) -> None:
    """Decides what a level that no call carries waits for: nothing, or to be sent at a time."""
    level.lane = lane_of(level)
    if is_settled(level):
        level.state = "settled"
        return
    level.state = "due"
    if level.acknowledged == level.desired and level.doubt_until is not None and not level.job:
        # Only an older call may still change what is shown: assert again once it no longer can.
        at = max(at, level.doubt_until)
    level.due_at = _rested(level, at)


def _rested(level: Level, at: dt.datetime) -> dt.datetime:
    return at if level.rest_until is None else max(at, level.rest_until)
