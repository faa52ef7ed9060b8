"""A number that a job carries, and another one that was written beside it meanwhile."""

import pytest

from stockwright.connectors.amazon.listing_feeds import MOST_FEEDS
from stockwright.connectors.magento import CONNECTOR as MAGENTO
from stockwright.connectors.magento import Sandbox as Shop
from stockwright.sdk.messages import Applied, LevelKey, Retry
from tests.connectors.amazon_account import account
from tests.connectors.amazon_account import connecting as connecting_amazon
from tests.connectors.visiting import connecting, level

MANY = tuple(f"SKU-{n}" for n in range(4))


@pytest.fixture
async def amazon(clock, monkeypatch):
    """An account that reads feeds at once and is looked at a minute later; a connection to it."""
    async with (
        account(clock, ("MUG", *MANY)) as amazon,
        connecting_amazon(amazon, clock, monkeypatch) as connect,
    ):
        yield amazon, connect(feed_from=3)


@pytest.fixture
async def magento(clock):
    """A shop that works off bulks at once, and a connection to it."""
    shop = Shop(("MUG", *MANY), clock=clock)
    await shop.start()
    async with connecting(MAGENTO, shop, clock) as connect:
        yield shop, connect(bulk_from=3, bulk_look_s=60)
    await shop.stop()


@pytest.fixture(params=["amazon", "magento"])
def partner(request):
    return request.getfixturevalue(request.param)


def work(sandbox):
    (sandbox.collect if hasattr(sandbox, "collect") else sandbox.work)()


async def test_a_number_that_comes_back_is_sent_though_an_older_job_carries_it(partner, clock):
    """2 by a job, 9 beside it, 2 again: the job's end says nothing of the 9 that came later."""
    sandbox, connection = partner
    batch = [level(one, 2, expected=1) for one in ("MUG", *MANY)]
    assert all(one.taken for one in await connection.publish(batch))
    work(sandbox)
    clock.step(1)
    await connection.publish([level("MUG", 9, version=2)])
    assert sandbox.shown("MUG") == 9
    clock.step(1)
    back = [level("MUG", 2, version=3)]
    (told,) = await connection.publish(back)
    assert (sandbox.shown("MUG"), told) == (2, Applied()), "a decrease waits for no job"
    clock.step(61)
    assert await connection.publish(batch[1:]) == [Applied()] * len(MANY)


async def test_of_two_jobs_the_older_one_does_not_speak_for_what_the_newer_one_changed(
    partner, clock
):
    sandbox, connection = partner
    names = ("MUG", *MANY)
    await connection.publish([level(one, 2, expected=1) for one in names])
    work(sandbox)
    clock.step(1)
    await connection.publish([level(one, 9, expected=1, version=2) for one in names])
    work(sandbox)
    assert sandbox.shown("MUG") == 9
    clock.step(61)
    (told,) = await connection.publish([level("MUG", 2, version=3)])
    assert (sandbox.shown("MUG"), told) == (2, Applied())


async def test_feeds_that_nobody_asks_about_any_more_do_not_stop_later_ones(amazon, clock):
    """Another process took their levels over: this one is never asked what became of them."""
    _, connection = amazon
    for n in range(MOST_FEEDS):
        await connection.publish([level(one, n, expected=0) for one in MANY])
        connection._listing_feeds.feeds[-1].quantities = {LevelKey(listing=f"GONE-{n}"): n}
    batch = [level(one, 99, expected=0) for one in MANY]
    assert isinstance((await connection.publish(batch))[0], Retry)
    clock.step(900 + 900 + 1)
    assert all(one.taken for one in await connection.publish(batch))
