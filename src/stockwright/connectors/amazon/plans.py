"""How many calls Amazon gives each operation: its usage plans, kept by a bucket each.

The figures are those of Amazon's selling-partner-api-models, Copyright Amazon.com, Inc. or its
affiliates, licensed under the Apache License 2.0 (see NOTICE). An account may have other ones:
Amazon tells the rate in its answers, and what it tells is kept to.
"""

import asyncio
from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from stockwright.domain.errors import Throttled
from stockwright.sdk.pacing import Bucket, full_bucket, hold_off, take

RATE_HEADER: Final = "x-amzn-ratelimit-limit"


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
    """The buckets of one account, shared by all that one connection does."""

    def __init__(self, plans: Mapping[str, Plan] = PLANS) -> None:
        self._plans = plans
        self._buckets: dict[str, Bucket] = {}

    def wait_s(self, operation: str) -> float:
        """Seconds until a call may be made; takes nothing."""
        return take(self._bucket(operation), self._now())[1]

    async def turn(self, operation: str, within_s: float) -> None:
        """Waits for a call's turn. Raises Throttled where it does not come in time: not taken."""
        after, wait_s = take(self._bucket(operation), self._now())
        if wait_s > max(0.0, within_s):
            raise Throttled(f"Amazon's usage plan of {operation} is used up", wait_s)
        self._buckets[operation] = after
        if wait_s:
            await asyncio.sleep(wait_s)

    def heard(self, operation: str, headers: Mapping[str, str], status: int) -> None:
        """Keeps to the rate that an answer tells, and rests where it says that we were too fast."""
        bucket = self._bucket(operation)
        try:
            rate = float(headers.get(RATE_HEADER, ""))
        except ValueError:
            rate = 0.0
        if 0.0 < rate < 1_000.0:
            bucket = msgspec.structs.replace(bucket, rate=rate)
        if status == 429:
            bucket = hold_off(bucket, self._now(), 1.0 / bucket.rate)
        self._buckets[operation] = bucket

    def _bucket(self, operation: str) -> Bucket:
        found = self._buckets.get(operation)
        if found is None:
            plan = self._plans[operation]
            # One call is kept back: calls that leave evenly may arrive closer together.
            found = full_bucket(plan.rate_per_s, max(1, plan.burst - 1), self._now())
        return found

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
