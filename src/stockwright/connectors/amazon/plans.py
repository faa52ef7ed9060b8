"""How many calls Amazon gives each operation: its usage plans, kept by a bucket each.

The figures are those of Amazon's selling-partner-api-models, Copyright Amazon.com, Inc. or its
affiliates, licensed under the Apache License 2.0 (see NOTICE). An account may have other ones:
Amazon tells the rate in its answers, and what it tells is kept to.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, NamedTuple

import msgspec

from stockwright.domain.errors import Throttled, Transient
from stockwright.sdk.pacing import Bucket, Buckets, full_bucket, hold_off, take

RATE_HEADER: Final = "x-amzn-ratelimit-limit"
_SLOWEST: Final = 1 / 1_800
_FASTEST: Final = 1_000.0
"""What is told beyond these is no rate: by a slower one we would hardly ask, and hear another."""


class Plan(NamedTuple):
    """Calls per second on average, and at once after a rest."""

    rate_per_s: float
    burst: int


GET_ORDER_2026: Final = "getOrder2026"
"""Both versions of the Orders API call an operation getOrder. Each has a plan of its own."""
PLANS: Final[Mapping[str, Plan]] = {
    "patchListingsItem": Plan(5, 5),
    "getListingsItem": Plan(5, 10),
    "searchListingsItems": Plan(5, 5),
    "createFeedDocument": Plan(0.5, 15),
    "createFeed": Plan(0.0083, 15),
    "getFeeds": Plan(0.0222, 10),
    "getFeed": Plan(2, 15),
    "cancelFeed": Plan(2, 15),
    "getFeedDocument": Plan(0.0222, 10),
    "getOrders": Plan(0.0167, 20),
    "getOrder": Plan(0.5, 30),
    "getOrderItems": Plan(0.5, 30),
    "searchOrders": Plan(0.0056, 20),
    GET_ORDER_2026: Plan(0.5, 30),
    "confirmShipment": Plan(2, 10),
}


class Pace:
    """The plans of one account, kept where all that speak to it share them."""

    def __init__(self, buckets: Buckets, plans: Mapping[str, Plan] = PLANS) -> None:
        self._buckets = buckets
        self._plans = plans
        self._seen: dict[str, tuple[Bucket, float]] = {}

    def wait_s(self, operation: str) -> float:
        """Seconds until a call may be made, as far as is known here; takes nothing."""
        if operation not in self._seen:
            return 0.0
        bucket, seen_at = self._seen[operation]
        return take(bucket, bucket.at + self._now() - seen_at)[1]

    async def turn(self, operation: str, within_s: float) -> None:
        """Waits for a call's turn. Raises Throttled where it does not come in time, and Transient:
        not taken.
        """

        def taken(before: Bucket | None, now: float) -> tuple[Bucket, tuple[Bucket, float]]:
            bucket = self._of(operation, before, now)
            after, wait_s = take(bucket, now)
            if wait_s > max(0.0, within_s):
                return bucket, (bucket, wait_s)
            return after, (after, wait_s)

        bucket, wait_s = await self._buckets.change(operation, taken)
        self._seen[operation] = bucket, self._now()
        if wait_s > max(0.0, within_s):
            raise Throttled(f"Amazon's usage plan of {operation} is used up", wait_s)
        if wait_s:
            await asyncio.sleep(wait_s)

    async def heard(self, operation: str, headers: Mapping[str, str], status: int) -> None:
        """Keeps to the rate that an answer tells, and rests where it says that we were too fast.

        Raises nothing: where it cannot be written down, the next answer tells it again.
        """
        try:
            rate = float(headers.get(RATE_HEADER, ""))
        except ValueError:
            rate = 0.0
        told = _SLOWEST <= rate <= _FASTEST
        seen = self._seen.get(operation)
        same = not told or (seen is not None and seen[0].rate == rate)
        if same and status != 429:
            return

        def slower(before: Bucket | None, now: float) -> tuple[Bucket, Bucket]:
            bucket = self._of(operation, before, now)
            if told:
                bucket = msgspec.structs.replace(bucket, rate=rate)
            if status == 429:
                bucket = hold_off(bucket, now, 1.0 / bucket.rate)
            return bucket, bucket

        with suppress(Transient):
            bucket = await self._buckets.change(operation, slower)
            self._seen[operation] = bucket, self._now()

    def _of(self, operation: str, bucket: Bucket | None, now: float) -> Bucket:
        plan = self._plans[operation]
        # One call is kept back: calls that leave evenly may arrive closer together.
        burst = float(max(1, plan.burst - 1))
        if bucket is None:
            return full_bucket(plan.rate_per_s, burst, now)
        return msgspec.structs.replace(bucket, burst=burst)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
