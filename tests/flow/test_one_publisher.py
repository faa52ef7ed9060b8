"""Where a partner works on jobs one process at a time publishes; another goes on where it ends."""

import asyncio
import datetime as dt

import pytest
from msgspec.structs import replace

from stockwright.domain.budget import HOLD_S, Budget, hold
from stockwright.flow.calls import keep_hold
from stockwright.flow.publication import Publisher
from stockwright.sdk.messages import Applied, InDoubt
from tests.flow.channels import Shop, link, set_stock


class JobShop(Shop):
    """Works on levels by a job each, which it carries out at the end of a look by who made it."""

    def __init__(self, writes):
        super().__init__()
        self.writes = writes
        self.jobs = {}

    def answer(self, level):
        if self.jobs.get(level.listing) == level.quantity:
            self.writes.append((level.listing, self.jobs.pop(level.listing)))
            return Applied()
        self.jobs[level.listing] = level.quantity
        return InDoubt(reason="at work", taken=True)

    async def publish(self, levels):
        return [self.answer(level) for level in levels]


@pytest.fixture
def writes():
    return []


@pytest.fixture
def two(pool, clock, writes):
    """The publishers of two processes, each with jobs that it alone knows."""
    return [
        Publisher(pool, JobShop(writes), replace(link(clock=clock), alone_as=name))
        for name in ("one", "two")
    ]


async def test_what_one_process_handed_over_no_other_hands_over_again(
    world, projection, two, clock, writes
):
    one, other = two
    set_stock(world, projection, SKU_000=10)
    assert await one.step() == 1
    clock.pass_s(2)
    assert await other.step() == 0, "it would make another job of it"
    assert await one.step() == 1
    assert writes == [("SKU-000", 10)]
    assert world.unsettled() == []


async def test_where_it_is_gone_another_goes_on_after_a_while(world, projection, two, clock):
    one, other = two
    set_stock(world, projection, SKU_000=10)
    assert await one.step() == 1
    clock.pass_s(HOLD_S - 1)
    assert await other.step() == 0
    clock.pass_s(2)
    assert await other.step() == 1
    assert await one.step() == 0, "back again, it is the second one"


async def test_who_waits_for_an_answer_is_not_gone(world, projection, two, clock, pool):
    one, other = two
    set_stock(world, projection, SKU_000=10)
    await one.step()
    for _ in range(3):
        clock.pass_s(HOLD_S - 1)
        with pool.connection() as connection:
            keep_hold(connection, one.link)
        assert await other.step() == 0


async def test_who_ends_lets_another_go_on_at_once(world, projection, two):
    one, other = two
    set_stock(world, projection, SKU_000=10)
    assert await one.step() == 1
    ended = asyncio.Event()
    ended.set()
    await one.run(ended)
    set_stock(world, projection, SKU_001=10)
    assert await other.step() > 0


def test_a_hold_from_a_clock_that_was_wrong_holds_nobody_up():
    now = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
    budget = Budget(refilled_at=now)
    assert hold(budget, "one", now + dt.timedelta(hours=1)) == 0.0
    assert hold(budget, "two", now) == 0.0
    assert hold(budget, "one", now) == HOLD_S
