"""How many calls a partner gets: a token bucket as arithmetic, with the time as an argument."""

import asyncio
from collections.abc import Callable
from typing import Protocol, TypeVar

import msgspec

from stockwright.domain.errors import Transient

T = TypeVar("T")


class NothingToSpare(Transient):
    """What is left of the partner's plan is kept for changes: what can wait asks another time."""


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """A token bucket: `rate` calls per second on average, at most `burst` at once.

    tokens were there at the time `at` (seconds of any clock that only goes forward). Below zero
    means that calls are already promised to those who wait.
    """

    rate: float
    burst: float
    tokens: float
    at: float


def full_bucket(rate: float, burst: float, now: float) -> Bucket:
    """A bucket nobody has taken from yet."""
    assert rate > 0, "rate must be above zero"
    assert burst >= 1, "burst must allow one call"
    return Bucket(rate=rate, burst=burst, tokens=burst, at=now)


def take(bucket: Bucket, now: float, calls: float = 1.0) -> tuple[Bucket, float]:
    """Promises `calls`: the bucket after it, and the seconds to wait before they may be made.

    In any window of t seconds at most burst + rate * t calls come out, whoever asks.
    """
    tokens = _tokens_at(bucket, now) - calls
    after = msgspec.structs.replace(bucket, tokens=tokens, at=max(now, bucket.at))
    return after, max(0.0, -tokens / bucket.rate)


def hold_off(bucket: Bucket, now: float, seconds: float) -> Bucket:
    """The bucket after the partner asked for `seconds` of silence: nothing comes out before."""
    tokens = min(_tokens_at(bucket, now), 1.0 - seconds * bucket.rate)
    return msgspec.structs.replace(bucket, tokens=tokens, at=max(now, bucket.at))


def _tokens_at(bucket: Bucket, now: float) -> float:
    # A clock that steps back gives nothing and takes nothing.
    earned = max(0.0, now - bucket.at) * bucket.rate
    return min(bucket.burst, bucket.tokens + earned)


Change = Callable[[Bucket | None, float], tuple[Bucket, T]]
"""What comes after a bucket at a time, and what else is to be told; None before there was one."""


class Buckets(Protocol):
    """Where the buckets of a partner's operations are kept."""

    async def change(self, operation: str, change: Change[T]) -> T:
        """Puts what `change` makes of a bucket in its place, as one step; what it says besides.

        `change` is pure and may be asked again. Raises Transient: then nothing was changed.
        """
        ...


class OwnBuckets:
    """Kept for one connection, where nobody shares its plans. Belongs to one event loop.

    now tells seconds; without it, the loop does.
    """

    def __init__(self, now: Callable[[], float] | None = None) -> None:
        self._buckets: dict[str, Bucket] = {}
        self._now = now

    async def change(self, operation: str, change: Change[T]) -> T:
        """See Buckets. Raises nothing."""
        now = self._now() if self._now else asyncio.get_running_loop().time()
        self._buckets[operation], told = change(self._buckets.get(operation), now)
        return told
