"""Calls of one connection that begin and end at the same time hold each other up little."""

import asyncio
from contextlib import contextmanager

import psycopg
import pytest
from msgspec.structs import replace

from stockwright.flow.projection import Projection
from stockwright.flow.publication import Publisher
from stockwright.store import attempts
from stockwright.store.connection import Pool
from tests.flow.channels import FAST, Shop, link, refuse, set_stock, until
from tests.flow.test_verification import Window


@pytest.fixture
def pool(database_url):
    with Pool(database_url, size=8) as pool:
        yield pool


class Slow(Window):
    """Answers only once its gate is open, and only what was asked before it was shut again."""

    async def read_back(self, keys):
        answer = await super().read_back(keys)
        if self.gate is not None:
            await self.gate.wait()
        return answer


def publisher_of(pool, shop):
    """One level a call, so that two calls carry two levels."""
    return Publisher(pool, shop, link(limits=replace(FAST, batch_size=1, timeout_s=20.0)))


async def test_a_call_begins_and_ends_while_another_waits_to_be_settled(world, pool, database_url):
    shop = Shop()
    shop.gate = asyncio.Event()
    publisher = publisher_of(pool, shop)
    set_stock(world, Projection(pool), SKU_000=5)
    first = asyncio.create_task(publisher.step())
    await until(lambda: len(shop.calls) == 1)
    with locked(database_url):
        await goes_on(world, pool, shop, publisher)
        assert world.level("SKU-001")["state"] == "settled"
        assert not first.done()
    assert await first == 1
    assert world.level("SKU-000")["state"] == "settled"


async def test_reading_back_holds_up_no_call(world, pool, database_url):
    shop = Slow()
    publisher = publisher_of(pool, shop)
    set_stock(world, Projection(pool), SKU_000=5)
    await publisher.step()
    shop.gate = asyncio.Event()
    looking = asyncio.create_task(publisher.verify())
    await until(lambda: shop.asked != [])
    with locked(database_url):
        await goes_on(world, pool, shop, publisher)
    assert (await looking).read == 1


async def test_a_refused_level_that_is_locked_is_sent_again_another_time(world, pool, database_url):
    shop = Shop()
    shop.behave(refuse("no such item"))
    publisher = publisher_of(pool, shop)
    set_stock(world, Projection(pool), SKU_000=5)
    await publisher.step()
    assert world.level("SKU-000")["state"] == "refused"
    world.run("update work_item set closed_at = now() where kind = 'publication_refused'")
    with locked(database_url), pool.connection() as connection:
        connection.execute("set local lock_timeout = '5s'")
        assert attempts.resend_decided(connection, ["WEB"]) == 0
    with pool.connection() as connection:
        assert attempts.resend_decided(connection, ["WEB"]) == 1
    assert await publisher.step() == 1
    assert world.level("SKU-000")["state"] == "settled"


async def test_calls_and_looks_side_by_side_meet_no_deadlock(world, pool, database_url):
    """Late answers, looks and new calls lock the same levels and the same connection."""
    shop = Slow()
    publisher = publisher_of(pool, shop)
    stop = asyncio.Event()
    await publisher.step()
    others = [publisher_of(pool, shop) for _ in range(2)]
    running = [asyncio.create_task(one.run(stop)) for one in (publisher, *others)]
    for n in range(40):
        set_stock(world, Projection(pool), SKU_000=n, SKU_001=n + 1, SKU_002=n + 2)
        if n % 4 == 0:
            # What is under way has lost its lease: its answer comes late.
            world.run("update level set lease_until = now() where state = 'sending'")
        await publisher.verify()
    await until(lambda: world.unsettled() == [])
    stop.set()
    await asyncio.gather(*running)
    assert shop.shows == {"SKU-000": 39, "SKU-001": 40, "SKU-002": 41}
    deadlocks = "select deadlocks from pg_stat_database where datname = current_database()"
    assert world.rows(deadlocks) == [(0,)]


@contextmanager
def locked(url):
    """The level of SKU-000 is held, as by a projection that computes it anew."""
    with psycopg.connect(url) as holds:
        holds.execute("select from level where listing = 'SKU-000' for update")
        yield


async def goes_on(world, pool, shop, publisher):
    """Once the shop has answered, and its answer waits for SKU-000, SKU-001 is sent and settled."""
    shop.gate.set()
    await until(lambda: waiting(world) == 1)
    set_stock(world, Projection(pool), SKU_001=3)
    async with asyncio.timeout(30):
        assert await publisher.step() == 1


def waiting(world) -> int:
    """How many of this database's transactions wait for a row."""
    told = (
        "select count(*) from pg_stat_activity where datname = current_database()"
        " and wait_event_type = 'Lock'"
    )
    return int(world.rows(told)[0][0])
