"""Blind windows: for how long a channel sells a number that does not reflect a sale yet.

A sale elsewhere must reach us, and the new number must reach the channel. The first takes what the
sale's system takes to tell (its staleness), the second what the channel takes to acknowledge. Both
are measured. Silence is a missed heartbeat or a failed poll, never that nothing was sold.
"""

import datetime as dt
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

LAG_BUCKETS: Final = 18
"""Lags are counted by powers of two of a second: up to 1, up to 2, ... up to 131,072."""
LONGEST_LAG_S: Final = float(2 ** (LAG_BUCKETS - 1))
MISSED_POLLS: Final = 3
"""A partner that was not read for so many times the usual pause is silent."""
_STEPS_PER_OCTAVE: Final = 2


class SourceState(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a system that tells us of sales.

    heartbeat_s is what it promises, 0 nothing; heard_at its last sign of life by itself. polled_at
    is the last poll that was answered, failures how many were not since; both for polled ones. lags
    holds demand lines by how long after the sale they were recorded. every_s is the pause
    between its polls, where that is longer than usual.
    """

    system: str
    heartbeat_s: float = 0.0
    heard_at: dt.datetime | None = None
    is_polled: bool = False
    polled_at: dt.datetime | None = None
    failures: int = 0
    lags: Sequence[float] = ()
    every_s: float = 0.0


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """A source that does not speak as it promised: since when, and how it is known."""

    since: dt.datetime
    reason: str


class Staleness(msgspec.Struct, frozen=True, kw_only=True):
    """For how long a sale may be unknown to us, in seconds, and why so long."""

    seconds: float
    why: str


def silence_of(state: SourceState, now: dt.datetime, poll_every_s: float) -> Silence | None:
    """Whether a source is silent. A polled one never answered counts from its first failure on."""
    if state.is_polled:
        if state.polled_at is None:
            return None
        every_s = max(poll_every_s, state.every_s)
        late = (now - state.polled_at).total_seconds() > MISSED_POLLS * every_s
        if state.failures or late:
            # The same words for as long as it lasts: other words would be a change of the rules.
            why = "its polls fail" if state.failures else "it is not polled"
            return Silence(since=state.polled_at, reason=f"{state.system} is silent: {why}")
    if state.heartbeat_s > 0.0 and state.heard_at is not None:
        age = (now - state.heard_at).total_seconds()
        if age > state.heartbeat_s:
            why = f"no heartbeat within {state.heartbeat_s:g} s"
            return Silence(since=state.heard_at, reason=f"{state.system} is silent: {why}")
    return None


def staleness_of(state: SourceState, now: dt.datetime, poll_every_s: float) -> Staleness:
    """How stale what we know of a source's sales may be; it grows for as long as it is silent."""
    lag = quantile_of_lags(state.lags, 0.99)
    found = Staleness(seconds=lag, why=f"{state.system} tells of sales within {lag:g} s")
    every_s = max(poll_every_s, state.every_s)
    if state.is_polled and every_s > found.seconds:
        why = f"{state.system} is polled every {every_s:g} s"
        found = Staleness(seconds=every_s, why=why)
    silence = silence_of(state, now, poll_every_s)
    if silence is not None:
        age = stepped((now - silence.since).total_seconds())
        if age > found.seconds:
            return Staleness(seconds=age, why=f"{silence.reason}, for up to {age:,.0f} s")
    return found


def stepped(seconds: float) -> float:
    """The next of the steps 1, 1.4, 2, 2.8, 4 ... seconds: windows that grow do so in few steps."""
    if seconds <= 0.0:
        return 0.0
    return float(2.0 ** (math.ceil(math.log2(seconds) * _STEPS_PER_OCTAVE) / _STEPS_PER_OCTAVE))


def lag_bucket(seconds: float) -> int:
    """The bucket in which a lag counts."""
    return 0 if seconds <= 1.0 else min(math.ceil(math.log2(seconds)), LAG_BUCKETS - 1)


def quantile_of_lags(lags: Sequence[float], share: float) -> float:
    """The bound of the bucket below which a share of the lines were told; 0 where none were."""
    whole = sum(lags)
    if whole <= 0.0:
        return 0.0
    sum_ = 0.0
    for n, count in enumerate(lags):
        sum_ += count
        if sum_ >= share * whole:
            return float(2**n)
    return LONGEST_LAG_S


def publication_window(latencies_s: Sequence[float], waiting_s: Sequence[float]) -> float | None:
    """Seconds from a change until the channel acknowledges it: the 99th percentile, stepped.

    Changes that are still not acknowledged count with their age. None where there are neither.
    """
    both = sorted((*latencies_s, *waiting_s))
    if not both:
        return None
    return stepped(both[min(len(both) - 1, math.ceil(0.99 * len(both)) - 1)])


def sources_of(
    channel: str,
    systems: Mapping[str, str],
    pools: Mapping[str, Iterable[str]],
    speakers: Mapping[str, Iterable[str]],
) -> set[str]:
    """The systems on whose word a channel's stock depends, its own left out.

    systems: by channel the system it belongs to; pools: by channel its places; speakers: by place
    the systems that record there. Another channel counts where the pools meet.
    """
    pool = set(pools.get(channel, ()))
    found = {system for place in pool for system in speakers.get(place, ())}
    found |= {
        systems[other]
        for other, places in pools.items()
        if other in systems and other != channel and not pool.isdisjoint(places)
    }
    return found - {systems.get(channel, "")}


def reason_of(sources: Iterable[str], silent: Mapping[str, str]) -> str:
    """Why one of these sources is silent, the first by code; '' where none is."""
    return next((silent[source] for source in sorted(sources) if source in silent), "")
