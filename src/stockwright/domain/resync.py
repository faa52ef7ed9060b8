"""Sending a channel everything once more: whether that may be, and how long it takes.

A resync asserts what was acknowledged before, so it must never assert what nobody computed: a
channel whose listings are gone, or whose stock was never told, would be zeroed by it.
"""

import math

import msgspec

from stockwright.domain.errors import Rejected


class Standings(msgspec.Struct, frozen=True, kw_only=True):
    """A channel's levels by what a resync makes of them.

    listings are the active ones, uncomputed those of them without a level. again would be sent,
    zeroes of them as 0. Left alone: waiting (on their way anyway), refused, unlisted (their listing
    is inactive or gone), unfounded (0, and nothing was ever recorded of their goods). stocked are
    those waiting or refused that are above 0.
    """

    listings: int = 0
    uncomputed: int = 0
    again: int = 0
    zeroes: int = 0
    waiting: int = 0
    refused: int = 0
    unlisted: int = 0
    unfounded: int = 0
    stocked: int = 0

    @property
    def left_alone(self) -> dict[str, int]:
        """How many levels are not sent, by why."""
        reasons = {
            "on their way already": self.waiting,
            "refused by the channel: see the work items": self.refused,
            "listing inactive or gone": self.unlisted,
            "0 without any stock ever recorded": self.unfounded,
        }
        return {why: count for why, count in reasons.items() if count}


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """What a connection may do, and does now.

    The first four come from the connector's declaration. tokens are calls it may start now, call_s
    is how long a call took lately, ahead the levels of the connection that wait already.
    """

    batch_size: int
    calls_per_s: float
    burst: int
    concurrency: int
    tokens: float = 0.0
    call_s: float = 0.0
    ahead: int = 0


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """Levels to send, in so many calls, and the seconds until the last is answered.

    seconds counts what waits already, and nothing that comes meanwhile. calls and seconds are None
    where no worker has told yet what the connection may do.
    """

    levels: int
    calls: int | None
    seconds: float | None


def check(standings: Standings) -> None:
    """Raises Rejected where a resync could empty the channel, or would send nothing."""
    if standings.listings == 0:
        raise _incomplete(
            "No active listing: a resync would tell the channel to stop selling everything. "
            "Import its listings first."
        )
    if standings.uncomputed:
        raise _incomplete(
            f"{standings.uncomputed:,} of {standings.listings:,} active listings have no computed "
            "level yet. Wait for the projection (see the overview), then try again."
        )
    # What waits may be what sells: of a resync that was cut short only the zeroes may be left.
    if standings.again and standings.zeroes == standings.again and not standings.stocked:
        raise _incomplete(
            f"All {standings.again:,} levels to send are 0: a resync would empty the channel. "
            "Check its pool, its policies and whether the opening stock was handed over."
        )
    if standings.again == 0 and standings.unfounded:
        raise _incomplete(
            "No stock was ever recorded of anything the channel sells. Hand over the opening stock "
            "first."
        )
    if standings.again == 0:
        raise _incomplete("Nothing to send again: no level of the channel is settled.")


def estimate(levels: int, pace: Pace | None) -> Estimate:
    """How many calls that many levels take, and how long, at the connection's limits."""
    if pace is None:
        return Estimate(levels=levels, calls=None, seconds=None)
    calls = math.ceil(levels / pace.batch_size)
    if not calls:
        return Estimate(levels=levels, calls=0, seconds=0.0)
    before = math.ceil(pace.ahead / pace.batch_size)
    by_rate = max(0.0, before + calls - pace.tokens) / pace.calls_per_s
    by_work = (before + calls) * pace.call_s / pace.concurrency
    return Estimate(levels=levels, calls=calls, seconds=max(by_rate + pace.call_s, by_work))


def _incomplete(message: str) -> Rejected:
    return Rejected("incomplete", "channel", message)
