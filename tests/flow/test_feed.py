"""The feed of changes never skips what is committed late, and has one order."""

import datetime as dt
import threading
import time

import msgspec
import pytest

from stockwright.flow.projection import Projection
from stockwright.store import feed
from stockwright.store.connection import Pool
from stockwright.store.feed import FeedEvent, FeedLevel, Filter, Place
from tests.flow.channels import World

ALL = Filter()


@pytest.fixture
def pool(database_url):
    with Pool(database_url, size=4) as pool:
        yield pool


@pytest.fixture
def world(database_url):
    return World(database_url)


def read(pool, place=Place(), which=ALL, limit=100):  # noqa: B008
    with pool.connection() as connection:
        return feed.read(connection, place, which, limit)


def positions(reading) -> list[int]:
    return [item.position for _, item in reading.items]


def waits_for_a_lock(world) -> bool:
    return bool(
        world.rows(
            "select 1 from pg_stat_activity where wait_event_type = 'Lock' "
            "and query like '%%feed_head%%' and datname = current_database()"
        )
    )


def test_a_level_change_whose_transaction_is_held_open_is_not_skipped(world, pool, database_url):
    world.stock("SKU-000", 5)
    with Pool(database_url, size=2) as held_pool:
        with held_pool.connection() as held:
            # The first projection has drawn its position and does not commit.
            held.execute("update feed_head set position = position + 1")
            held.execute(
                "insert into level_change (channel, listing, location, sequence, version, value, "
                "projected_at, position) values ('WEB', 'held', '', 1, 1, 9, now(), 1)"
            )
            second = threading.Thread(target=Projection(pool).step)
            second.start()
            deadline = time.monotonic() + 10
            while not waits_for_a_lock(world):
                assert time.monotonic() < deadline, "the second does not wait for the first"
                held.execute("select 1")  # not idle: the server ends who sits in a transaction
                time.sleep(0.01)
            before = read(pool)
            assert before.items == [], "the second must not be seen before the first"
        second.join()
    after = read(pool, before.place)
    assert positions(after) == [1, 2]
    assert [item.listing for _, item in after.items] == ["held", "SKU-000"]


def test_a_projection_that_is_rolled_back_leaves_no_hole(world, pool):
    world.stock("SKU-000", 5)

    class Ended(Exception):
        pass

    class Failing(Projection):
        def _project(self, connection, listed):
            super()._project(connection, listed)
            raise Ended

    with pytest.raises(Ended):
        Failing(pool).step()
    Projection(pool).step()
    world.stock("SKU-001", 6)
    Projection(pool).step()
    assert positions(read(pool)) == [1, 2]


def test_several_projections_at_once_give_every_change_one_position(world, pool, database_url):
    """Readers that follow while four projections write see every position once, in order."""
    stop, seen = threading.Event(), []

    def follow() -> None:
        place = Place()
        with Pool(database_url, size=1) as own:
            while True:
                ended = stop.is_set()
                reading = read(own, place)
                seen.extend(positions(reading))
                if ended and reading.at_end:
                    return
                place = reading.place

    def project() -> None:
        with Pool(database_url, size=1) as own:
            projection = Projection(own)
            while not stop.is_set():
                projection.step(limit=1)

    threads = [threading.Thread(target=work) for work in (follow, *[project] * 3)]
    for thread in threads:
        thread.start()
    for units in range(60):
        for sku in world.skus:
            world.stock(sku, units)
    while world.rows("select 1 from dirty limit 1"):
        time.sleep(0.02)
    stop.set()
    for thread in threads:
        thread.join()
    written = world.rows("select count(*) from level_change")[0][0]
    assert written > 50
    assert seen == list(range(1, written + 1))


def test_pages_of_one_read_what_one_page_does(world, pool):
    for units in range(1, 8):
        world.stock(world.skus[units % 3], units)
        Projection(pool).step()
    whole = read(pool)
    place, found = Place(), []
    while page := read(pool, place, limit=1).items:
        found += page
        place = page[-1][0]
    assert len(found) == 7
    assert found == whole.items
    assert whole.at_end


AT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def event(sequence: int) -> FeedEvent:
    return FeedEvent(
        sequence=sequence,
        kind="receipt",
        system="erp",
        outcome="recorded",
        occurred_at=AT,
        received_at=AT,
        recorded_at=AT,
        event=msgspec.Raw(b"{}"),
        moves=[],
    )


def level(position: int, sequence: int) -> FeedLevel:
    return FeedLevel(
        position=position,
        channel="web",
        listing="A",
        location="",
        version=1,
        value=1,
        sequence=sequence,
        projected_at=AT,
    )


def source(found, upto, head):
    return feed._Source(found, upto, head)


def order(reading) -> list[str]:
    return [
        f"e{item.sequence}" if isinstance(item, FeedEvent) else f"l{item.position}"
        for _, item in reading.items
    ]


def test_an_event_comes_before_the_levels_that_reflect_it():
    events = source([event(1), event(2), event(4)], 4, 4)
    levels = source([level(1, 2), level(2, 1), level(3, 4)], 3, 3)
    reading = feed.merge(events, levels, Place(), 10)
    assert order(reading) == ["e1", "e2", "l1", "l2", "e4", "l3"]
    assert (reading.place, reading.at_end) == (Place(4, 3), True)


def test_a_level_waits_until_what_it_reflects_was_looked_at():
    events = source([event(1)], 3, 9)  # looked at up to 3 of 9
    levels = source([level(1, 2), level(2, 8)], 2, 2)
    reading = feed.merge(events, levels, Place(), 10)
    assert order(reading) == ["e1", "l1"]
    assert (reading.place, reading.at_end) == (Place(3, 1), False)


def test_a_full_page_ends_at_its_last_item():
    events = source([event(1), event(2)], 2, 9)
    levels = source([level(1, 1)], 1, 1)
    reading = feed.merge(events, levels, Place(), 2)
    assert order(reading) == ["e1", "l1"]
    assert reading.place == Place(1, 1)
