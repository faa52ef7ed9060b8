"""Answers that no partner should give: they cost one level, never a call, a channel or an hour."""

import datetime as dt

import pytest

from stockwright.domain.budget import LONGEST_SILENCE_S
from stockwright.domain.errors import Throttled
from stockwright.flow.publication import Publisher
from stockwright.sdk.messages import Applied, InDoubt, Refused, Retry, ShownLevel
from tests.flow.channels import Shop, honest, link, set_stock

HUGE = 10**30


def first_is(odd):
    """The first level of a call gets an odd answer, its neighbours an honest one."""
    return lambda shop, levels: [odd, *honest(shop, levels[1:])]


@pytest.mark.parametrize(
    "odd",
    [
        Refused(reason="no\x00reason", message="\x00\ud800" + "x" * 100_000),
        Retry(retry_after_s=float("inf"), reason="\x00"),
        Retry(retry_after_s=float("nan"), reason="nan"),
        Retry(retry_after_s=1e300, reason="later", shown=HUGE),
        InDoubt(reason="\ud800", retry_after_s=float("inf")),
        Applied(shown=HUGE),
        Applied(shown=-HUGE),
        Applied(version=2**63),
        None,
    ],
    ids=lambda odd: type(odd).__name__,
)
async def test_an_odd_answer_to_one_level_leaves_its_neighbours_settled(
    world, projection, publisher, shop, clock, odd
):
    set_stock(world, projection, SKU_000=10, SKU_001=10, SKU_002=10)
    shop.behave(first_is(odd))
    assert await publisher.step() == 3
    assert {row[1] for row in world.unsettled()} <= {"SKU-000"}
    set_stock(world, projection, SKU_000=7)
    for _ in range(3):
        clock.pass_s(LONGEST_SILENCE_S + 1)
        await publisher.step()
    assert world.unsettled() == []
    assert shop.shows["SKU-000"] == 7


@pytest.mark.parametrize("asked_s", [1e15, float("inf")])
async def test_a_partner_that_asks_for_silence_for_ever_gets_an_hour(
    world, projection, publisher, shop, clock, asked_s
):
    def never(shop, levels):
        raise Throttled("come back never", retry_after_s=asked_s)

    set_stock(world, projection, SKU_000=10)
    shop.behave(never)
    await publisher.step()
    clock.pass_s(LONGEST_SILENCE_S - 1)
    assert await publisher.step() == 0
    clock.pass_s(2)
    assert await publisher.step() == 1
    assert world.unsettled() == []


async def test_a_clock_that_was_a_year_ahead_silences_no_connection_for_that_year(
    world, projection, publisher, shop, clock
):
    def throttled(shop, levels):
        raise Throttled("slowly", retry_after_s=60.0)

    right = clock.now
    clock.now += dt.timedelta(days=365)
    set_stock(world, projection, SKU_000=10)
    shop.behave(throttled)
    await publisher.step()
    clock.now = right
    world.run("update connection_state set tokens = 0")
    world.run("update level set due_at = %s", right)
    sent = 0
    for _ in range(3):
        clock.pass_s(1)
        sent += await publisher.step()
    assert sent == 1


async def test_a_small_step_back_of_the_clock_earns_nothing_twice(world, pool, projection, clock):
    world.run(
        "insert into connection_state (system, tokens, refilled_at) values ('WEB', 0, %s)",
        clock.now + dt.timedelta(seconds=30),
    )
    shop = Shop()
    publisher = Publisher(pool, shop, link(clock=clock))
    set_stock(world, projection, SKU_000=10)
    assert await publisher.step() == 0


async def test_what_cannot_be_read_back_is_looked_at_once_and_no_more(
    world, projection, pool, clock
):
    class Liar(Shop):
        async def read_back(self, keys):
            return [ShownLevel(listing=key.listing, quantity=HUGE) for key in keys]

    shop = Liar()
    publisher = Publisher(pool, shop, link(clock=clock))
    set_stock(world, projection, SKU_000=10)
    await publisher.step()
    assert (await publisher.verify()).read == 1
    assert (await publisher.verify()).read == 0, "it stands behind all others now"
    assert world.unsettled() == []
