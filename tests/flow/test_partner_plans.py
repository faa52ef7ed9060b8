"""Plans of single operations, kept by all processes of a house together."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from stockwright.connectors.amazon.plans import Pace, Plan
from stockwright.domain.errors import Throttled, Transient
from stockwright.flow.partner_plans import SharedBuckets
from stockwright.sdk.pacing import OwnBuckets, full_bucket, take
from stockwright.store import clock
from stockwright.store.connection import Pool

PLANS = {"createFeed": Plan(0.01, 11), "getFeed": Plan(100.0, 11)}


@pytest.fixture
def processes(database_url):
    """Two processes that speak to one account."""
    with Pool(database_url, size=2) as one, Pool(database_url, size=2) as other:
        yield SharedBuckets(one, "AMZ"), SharedBuckets(other, "AMZ")


async def calls_of(pace, operation="createFeed", most=100):
    """How many calls are let through at once."""
    for n in range(most):
        try:
            await pace.turn(operation, 0.0)
        except Throttled:
            return n
    return most


async def test_two_processes_together_make_no_more_calls_than_one_may(processes):
    """One call of the eleven is kept back; each process for itself would make ten."""
    one, other = (Pace(buckets, PLANS) for buckets in processes)
    first = await calls_of(one, most=4)
    assert (first, await calls_of(other), await calls_of(one)) == (4, 6, 0)
    assert 0 < one.wait_s("createFeed") <= 100


async def test_a_process_that_starts_anew_does_not_begin_with_a_full_plan(processes):
    assert await calls_of(Pace(processes[0], PLANS)) == 10
    assert await calls_of(Pace(processes[0], PLANS)) == 0


def test_turns_that_are_taken_at_once_are_taken_one_by_one(processes):
    def taken(before, now):
        bucket = before or full_bucket(0.001, 40, now)
        after, wait_s = take(bucket, now)
        return (bucket, False) if wait_s else (after, True)

    def turn(n):
        return asyncio.run(processes[n % 2].change("getOrders", taken))

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(turn, range(100))) == 40


async def test_what_one_is_told_by_the_partner_the_other_keeps_to(processes):
    one, other = (Pace(buckets, PLANS) for buckets in processes)
    await one.turn("getFeed", 0.0)
    await one.heard("getFeed", {"x-amzn-ratelimit-limit": "0.5"}, 429)
    with pytest.raises(Throttled) as told:
        await other.turn("getFeed", 0.0)
    assert 1.0 < told.value.retry_after_s <= 2.0


async def test_each_operation_and_each_system_has_a_plan_of_its_own(processes, database_url):
    assert await calls_of(Pace(processes[0], PLANS)) == 10
    await Pace(processes[0], PLANS).turn("getFeed", 0.0)
    with Pool(database_url, size=1) as pool:
        assert await calls_of(Pace(SharedBuckets(pool, "AMZ-EU"), PLANS)) == 10


async def test_a_clock_that_is_set_back_stops_no_partner(processes, world, pool):
    pace = Pace(processes[0], PLANS)
    await pace.turn("getFeed", 0.0)
    world.run("update partner_bucket set tokens = 0, refilled_at = now() + interval '1 hour'")
    with pytest.raises(Throttled):
        await pace.turn("getFeed", 0.0)
    with pool.connection() as connection:
        clock.put_right(connection, 3600.0)
        connection.commit()
    await pace.turn("getFeed", 1.0)


async def test_a_database_that_is_away_makes_no_call_and_loses_no_answer(database_url):
    class Away(OwnBuckets):
        async def change(self, operation, change):
            raise Transient("the database is away")

    pace = Pace(Away(), PLANS)
    with pytest.raises(Transient):
        await pace.turn("getFeed", 1.0)
    await pace.heard("getFeed", {"x-amzn-ratelimit-limit": "0.5"}, 429)
