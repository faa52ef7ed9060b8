"""Accepted is not applied: what a channel really shows is read back."""

import asyncio
import threading
import time

import msgspec
import pytest

from stockwright import telemetry
from stockwright.domain.errors import Throttled, Transient
from stockwright.flow.projection import Projection
from stockwright.flow.publication import Publication, Publisher
from stockwright.sdk.messages import ShownLevel
from stockwright.sdk.pacing import NothingToSpare
from stockwright.store import levels
from stockwright.store.connection import Pool
from stockwright.store.session import session
from tests.flow.channels import FAST, Shop, in_doubt, link, set_stock, until


class Window(Shop):
    """A shop whose window can be looked into."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[list[str]] = []
        self.failure: Exception | None = None

    async def read_back(self, keys):
        self.asked.append([key.listing for key in keys])
        if self.failure is not None:
            raise self.failure
        return [
            ShownLevel(listing=key.listing, quantity=self.shows[key.listing])
            if key.listing in self.shows
            else None
            for key in keys
        ]


@pytest.fixture
def pool(database_url):
    with Pool(database_url, size=4) as pool:
        yield pool


@pytest.fixture
def window():
    return Window()


@pytest.fixture
async def publisher(world, pool, clock, window):
    """All three SKUs have 10, and the window shows it."""
    publisher = Publisher(pool, window, link(clock=clock))
    for sku in world.skus:
        world.stock(sku, 10)
    Projection(pool, clock=clock).step()
    await publisher.step()
    clock.pass_s(1)
    return publisher


@pytest.mark.parametrize(("levels_are", "wrong"), [("net", 0), ("gross", 1)])
async def test_too_little_is_put_right_where_the_channel_takes_gross_numbers(
    world, publisher, window, levels_are, wrong
):
    """It took the units of a shipment off itself, after we had."""
    world.run("update system set levels_are = %s where code = 'WEB'", levels_are)
    window.shows["SKU-001"] = 7
    assert (await publisher.verify()).wrong == wrong
    level = world.level("SKU-001")
    assert (level["state"], level["verified"]) == ("due" if wrong else "settled", 7)


async def test_what_is_shown_is_noted_with_its_time(world, publisher, window, clock):
    done = await publisher.verify()
    assert (done.read, done.wrong) == (3, 0)
    level = world.level()
    assert (level["verified"], level["verified_at"]) == (10, clock.now)
    assert (await publisher.verify()).read == 0, "not again so soon"
    clock.pass_s(3601)
    assert (await publisher.verify()).read == 3


async def test_what_was_sent_since_is_read_back_first(world, publisher, window, pool, clock):
    await publisher.verify()
    clock.pass_s(3601)
    world.stock("SKU-001", 7)
    Projection(pool, clock=clock).step()
    await publisher.step()
    clock.pass_s(1)
    await publisher.verify()
    assert window.asked[-1] == ["SKU-001", "SKU-000", "SKU-002"]


async def test_what_was_in_doubt_is_read_back_before_all_others(
    world, publisher, window, pool, clock
):
    await publisher.verify()
    clock.pass_s(1)
    set_stock(world, Projection(pool, clock=clock), SKU_002=8)
    window.behave(in_doubt)
    await publisher.step()
    clock.pass_s(60)
    set_stock(world, Projection(pool, clock=clock), SKU_000=7, SKU_001=7)
    while await publisher.step():
        clock.pass_s(1)
    await publisher.verify()
    assert window.asked[-1] == ["SKU-002", "SKU-000", "SKU-001"]
    assert not world.level("SKU-002")["doubted"]


class Crowded(Window):
    """A shop for which more waits than is ever sent; left: how much, whenever it is asked."""

    def __init__(self, world) -> None:
        super().__init__()
        self.world = world
        self.left: list[int] = []

    async def read_back(self, keys):
        self.left.append(self.world.rows("select count(*) from level where state = 'due'")[0][0])
        return await super().read_back(keys)


async def test_a_publisher_that_is_never_at_rest_reads_back_a_sample(world, pool, monkeypatch):
    """A busy channel is not trusted for ever, nor asked all the time."""
    monkeypatch.setattr("stockwright.flow.publication.VERIFY_BUSY_EVERY_S", 0.0)
    monkeypatch.setattr("stockwright.flow.publication.VERIFY_EVERY_S", 0.0)
    world.run(
        "insert into level (channel, listing, desired, version, sequence, projected_at, state,"
        " lane, due_at, waiting_since, acknowledged, acknowledged_version, acknowledged_at)"
        " select 'WEB', 'BULK-' || n, 50, 2, 1, now(), case when n > 9 then 'due' else 'settled'"
        " end, 'increase', now(), now(), case when n > 9 then 5 else 50 end, 1, now()"
        " from generate_series(1, 400) as n"
    )
    window, stop = Crowded(world), asyncio.Event()
    limits = msgspec.structs.replace(FAST, batch_size=1, concurrency=2)
    running = asyncio.create_task(Publisher(pool, window, link(limits=limits)).run(stop))
    await until(lambda: window.left != [])
    stop.set()
    await running
    assert window.left[0] > 300, "long before nothing is left to send"


async def test_a_channel_found_to_show_too_much_is_put_right_at_once(world, publisher, window):
    window.shows["SKU-001"] = 25
    assert (await publisher.verify()).wrong == 1
    level = world.level("SKU-001")
    assert (level["state"], level["lane"], level["verified"]) == ("due", "decrease", 25)
    await publisher.step()
    assert window.shows["SKU-001"] == 10
    assert world.unsettled() == []


async def test_a_channel_that_shows_less_has_sold_what_we_have_not_heard_of(
    world, publisher, window
):
    """Asserting the number again would put the sold units back on sale."""
    window.shows["SKU-001"] = 8
    assert (await publisher.verify()).wrong == 0
    assert world.level("SKU-001")["verified"] == 8
    assert await publisher.step() == 0


async def test_a_level_sent_while_it_was_read_back_is_judged_another_time(
    world, publisher, window, pool, clock
):
    class Busy(Window):
        async def read_back(self, keys):
            world.stock("SKU-000", 3)
            Projection(pool, clock=clock).step()
            clock.pass_s(1)
            old = await super().read_back(keys)
            await publisher.step()
            return old

    busy = Busy()
    busy.shows = dict(window.shows)
    assert (await Publisher(pool, busy, link(clock=clock)).verify()).wrong == 0
    level = world.level("SKU-000")
    assert (level["verified"], level["acknowledged"], level["state"]) == (None, 3, "settled")
    assert world.level("SKU-001")["verified"] == 10


async def test_a_listing_the_partner_does_not_know_is_shown_as_nothing(world, publisher, window):
    del window.shows["SKU-002"]
    await publisher.verify()
    level = world.level("SKU-002")
    assert level["verified"] is None
    assert level["verified_at"] is not None


async def test_a_partner_that_cannot_be_asked_is_still_told(world, publisher, window, pool, clock):
    window.failure = Transient("not implemented")
    assert (await publisher.verify()).read == 0
    world.stock("SKU-000", 4)
    Projection(pool, clock=clock).step()
    assert await publisher.step() == 1


async def test_a_wish_for_silence_counts_for_sending_too(world, publisher, window, pool, clock):
    window.failure = Throttled("slow down", retry_after_s=9.0)
    await publisher.verify()
    world.stock("SKU-000", 4)
    Projection(pool, clock=clock).step()
    assert await publisher.step() == 0
    clock.pass_s(9)
    assert await publisher.step() == 1


async def test_a_plan_with_nothing_to_spare_is_neither_trouble_nor_silence(
    world, publisher, window, pool, clock
):
    failures = telemetry.STEP_FAILURES.labels("publication")._value.get()
    window.failure = NothingToSpare("kept for changes")
    assert (await publisher.verify()).read == 0
    world.stock("SKU-000", 4)
    Projection(pool, clock=clock).step()
    assert await publisher.step() == 1
    assert telemetry.STEP_FAILURES.labels("publication")._value.get() == failures


async def test_reading_back_costs_a_call_of_the_budget(world, pool, window, clock):
    one = msgspec.structs.replace(FAST, calls_per_s=1.0, burst=1)
    publisher = Publisher(pool, window, link(limits=one, clock=clock))
    projection = Projection(pool, clock=clock)
    world.stock("SKU-000", 4)
    projection.step()
    await publisher.step()
    assert (await publisher.verify()).read == 0
    clock.pass_s(1)
    assert (await publisher.verify()).read == 1
    world.stock("SKU-000", 3)
    projection.step()
    assert await publisher.step() == 0, "it was the one call of this second"
    clock.pass_s(1)
    assert await publisher.step() == 1


async def test_a_shop_without_a_window_is_not_asked(world, pool, clock):
    assert (await Publisher(pool, Shop(), link(clock=clock)).verify()).read == 0


async def test_a_running_publisher_reads_back_by_itself(world, pool, monkeypatch):
    monkeypatch.setattr("stockwright.flow.publication.VERIFY_EVERY_S", 0.1)
    monkeypatch.setattr("stockwright.flow.publication.VERIFY_REST_S", 0.1)
    window = Window()
    publication = Publication([Publisher(pool, window, link())])
    stop = asyncio.Event()
    running = asyncio.create_task(publication.run(stop))
    world.stock("SKU-000", 4)
    Projection(pool).step()
    # Not before it is written down what was read: that would be the later of the two.
    await until(lambda: world.rows("select 1 from level where verified_at is not null") != [])
    assert window.asked != []
    window.shows["SKU-000"] = 50
    world.run("update level set verified_at = 'epoch'")
    await until(lambda: window.shows["SKU-000"] == 4)
    stop.set()
    await running


async def test_what_is_doubted_is_read_back_soon_though_all_else_was_read(
    world, pool, database_url, monkeypatch
):
    """A publisher that has nothing to read back rests, and longer than goods may be on sale that
    nobody looked at.
    """
    monkeypatch.setattr("stockwright.flow.publication.VERIFY_EVERY_S", 0.05)
    monkeypatch.setattr("stockwright.flow.publication.VERIFY_REST_S", 3_600.0)
    window = Window()
    publisher = Publisher(pool, window, link())
    publication = Publication([publisher])
    stop, quiet = asyncio.Event(), threading.Event()
    listener = threading.Thread(target=publication.listen, args=(database_url, quiet))
    running = asyncio.create_task(publication.run(stop))

    def doubt():
        # Told once only, and the first ones may come before it listens.
        world.run("update level set doubted = false where state = 'settled'")
        with session(pool) as connection:
            levels.doubt(connection, "WEB", ["SKU-000", "UNKNOWN"])
        return window.shows["SKU-000"] == 4

    listener.start()
    try:
        world.stock("SKU-000", 4)
        Projection(pool).step()
        await until(lambda: publisher._verify_at > time.monotonic() + 1_000)
        await until(lambda: window.shows.get("SKU-000") == 4)
        window.shows["SKU-000"] = 50
        await until(doubt)
    finally:
        stop.set()
        quiet.set()
        await running
        await asyncio.to_thread(listener.join, 30)
