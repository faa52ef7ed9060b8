"""From touched SKUs to the numbers channels should show."""

import threading
import time

import psycopg
import pytest

from stockwright.flow.projection import (
    FEWEST_MARKS,
    MOST_MARKS,
    Projected,
    Projection,
    next_limit,
    rest_after,
)
from stockwright.store import levels
from stockwright.store.connection import Pool
from tests.flow.channels import Clock, World


@pytest.fixture
def pool(database_url):
    with Pool(database_url, size=4) as pool:
        yield pool


@pytest.fixture
def world(database_url):
    return World(database_url)


def test_a_touched_sku_becomes_a_level_of_every_channel_that_lists_it(database_url, pool):
    world = World(database_url, channels=("WEB", "EBAY"))
    sequence = world.stock("SKU-000", 40, reserved=5)
    done = Projection(pool).step()
    assert (done.marks, done.computed, done.changed) == (1, 2, 2)
    assert done.channels == ("EBAY", "WEB")
    for channel in world.channels:
        level = world.level(channel=channel)
        assert (level["desired"], level["sequence"], level["state"]) == (35, sequence, "due")
    assert world.rows("select count(*) from level") == [(2,)], "others were not touched"


def test_a_thousand_marks_of_one_sku_become_one_change(world, pool):
    for units in range(20):
        sequence = world.stock("SKU-000", units)
    done = Projection(pool).step()
    assert (done.marks, done.computed, done.changed) == (20, 1, 1)
    assert world.rows("select sequence, value from level_change") == [(sequence, 19)]
    assert Projection(pool).step().marks == 0


def test_a_number_that_stays_is_not_a_change_but_reflects_the_newer_ledger(world, pool):
    world.policy("WEB", cap=10)
    world.stock("SKU-000", 50)
    projection = Projection(pool)
    projection.step()
    before = world.level()
    sequence = world.stock("SKU-000", 40)
    assert projection.step().changed == 0
    after = world.level()
    assert (after["version"], after["desired"]) == (before["version"], 10)
    assert after["sequence"] == sequence
    assert world.rows("select count(*) from level_change") == [(1,)]


def test_versions_follow_the_clock_and_never_go_back(world, pool):
    clock = Clock()
    projection = Projection(pool, clock=clock)
    versions = []
    for units, pause_s in ((5, 0), (6, 0), (7, 60), (8, -3600)):
        clock.pass_s(pause_s)
        world.stock("SKU-000", units)
        projection.step()
        versions.append(world.level()["version"])
    first = int(Clock().now.timestamp() * 1000)
    assert versions == [first, first + 1, first + 60_000, first + 60_001]


def test_only_units_of_the_pool_count_and_groups_of_places_are_taken_apart(world, pool):
    world.run("insert into location (code) values ('ABROAD'), ('SHOP-1')")
    world.run("insert into location_group values ('SHOPS', 'SHOP-1')")
    world.run("update channel set pool = '{MAIN,SHOPS}'")
    for location, units in (("MAIN", 1), ("STORE", 20), ("ABROAD", 300), ("SHOP-1", 4000)):
        world.stock("SKU-000", units, location=location)
    Projection(pool).step()
    assert world.levels() == {"SKU-000": 4001}


def test_lots_of_a_place_are_summed(world, pool):
    world.stock("SKU-000", 5)
    world.run(
        "insert into balance (sku, location, lot, sellable, reserved) values "
        "('SKU-000', 'MAIN', 'L1', 10, 2)"
    )
    Projection(pool).step()
    assert world.levels() == {"SKU-000": 13}


def test_policy_rows_of_sku_and_group_are_found(world, pool):
    world.run("update sku set sku_group = 'TOYS' where code in ('SKU-001', 'SKU-002')")
    world.policy("WEB", position=1, sku="SKU-002", buffer=1)
    world.policy("WEB", position=2, sku_group="TOYS", buffer=2)
    world.policy("WEB", position=3, buffer=3)
    for sku in world.skus:
        world.stock(sku, 10)
    Projection(pool).step()
    assert world.levels() == {"SKU-000": 7, "SKU-001": 8, "SKU-002": 9}


def test_another_channels_fence_is_withheld_less_what_it_claims(database_url, pool):
    world = World(database_url, channels=("WEB", "B2B"))
    world.policy("B2B", ring_fence=30)
    world.run(
        "insert into demand_line (id, system, order_ref, line, sku, channel, ordered, state) "
        "values (1, 'B2B', 'PO-1', '1', 'SKU-000', 'B2B', 12, 'open')"
    )
    world.run(
        "insert into claim (line_id, location, sku, reserved) values (1, 'MAIN', 'SKU-000', 12)"
    )
    world.stock("SKU-000", 100, reserved=12)
    Projection(pool).step()
    assert world.level(channel="WEB")["desired"] == 88 - 18
    assert world.level(channel="B2B")["desired"] == 88


def test_a_fence_on_a_pool_of_other_places_holds_nothing_back(database_url, pool):
    world = World(database_url, channels=("WEB", "B2B"))
    world.policy("B2B", ring_fence=30)
    world.run("update channel set pool = '{STORE}' where code = 'B2B'")
    world.run("update channel set pool = '{MAIN}' where code = 'WEB'")
    world.stock("SKU-000", 100)
    Projection(pool).step()
    assert world.level(channel="WEB")["desired"] == 100


def test_every_listing_with_the_sku_is_computed_from_all_its_components(world, pool):
    world.list_item("WEB", "SIX", {"SKU-000": 6})
    world.list_item("WEB", "SET", {"SKU-000": 1, "SKU-001": 2})
    world.stock("SKU-001", 9)
    Projection(pool).step()
    assert world.levels() == {"SET": 0, "SKU-001": 9}
    world.stock("SKU-000", 20)
    Projection(pool).step()
    assert world.levels() == {"SET": 4, "SIX": 3, "SKU-000": 20, "SKU-001": 9}


def test_a_listing_that_is_taken_down_sells_nothing(world, pool):
    world.stock("SKU-000", 9)
    projection = Projection(pool)
    projection.step()
    world.run("update listing set active = false where code = 'SKU-000'")
    world.stock("SKU-000", 10)
    projection.step()
    assert world.level()["desired"] == 0


def test_the_sweep_finds_what_no_mark_told(world, pool):
    for sku in world.skus:
        world.stock(sku, 10)
    projection = Projection(pool)
    projection.step()
    world.run("update balance set sellable = 3 where sku = 'SKU-001'")  # no mark: a lost one
    world.run("delete from listing where code = 'SKU-002'")  # its level stays behind
    after, steps = ("", ""), 0
    while after is not None:
        after = projection.sweep(after, limit=2)
        steps += 1
    assert world.levels() == {"SKU-000": 10, "SKU-001": 3, "SKU-002": 0}
    assert steps == 2


def test_marks_come_back_when_the_step_fails(world, pool):
    world.stock("SKU-000", 10)

    def broken():
        raise RuntimeError("no time")

    with pytest.raises(RuntimeError):
        Projection(pool, clock=broken).step()
    assert world.rows("select count(*) from level") == [(0,)]
    assert Projection(pool).step().changed == 1


def test_listeners_hear_the_changed_channels_after_the_commit(world, pool):
    heard = []

    def listener(channels):
        heard.append((channels, world.levels()))

    projection = Projection(pool)
    projection.listeners.append(listener)
    world.stock("SKU-000", 10)
    projection.step()
    projection.step()
    assert heard == [(("WEB",), {"SKU-000": 10})]


def test_the_later_worker_to_lock_reads_the_later_balances(world, pool, database_url):
    """Two workers on one SKU: the older number is never written over the newer."""
    world.stock("SKU-000", 10)
    projection = Projection(pool)
    projection.step()
    with psycopg.connect(database_url) as first:
        # A first worker holds the level, and has not read the balances yet.
        levels.lock_levels(first, [("WEB", "SKU-000")], [])
        world.stock("SKU-000", 4)
        second = threading.Thread(target=projection.step)
        second.start()
        _until_waiting(world)
        world.stock("SKU-000", 2)
        first.commit()
    second.join()
    assert world.level()["desired"] == 2


def _until_waiting(world):
    waiting = (
        "select from pg_stat_activity"
        " where wait_event_type = 'Lock' and datname = current_database()"
    )
    until = time.monotonic() + 30
    while not world.rows(waiting):
        assert time.monotonic() < until, "nobody waits for the lock"


def test_many_workers_and_a_busy_ledger_end_at_the_last_balance(world, pool):
    stop = threading.Event()
    projection = Projection(pool)

    def work():
        while not stop.is_set():
            projection.step(limit=3)

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for units in range(60):
        for sku in world.skus:
            world.stock(sku, units)
    stop.set()
    for worker in workers:
        worker.join()
    while projection.step().marks:
        pass
    assert world.levels() == dict.fromkeys(world.skus, 59)
    history = world.rows(
        "select listing, array_agg(value order by version), array_agg(sequence order by version) "
        "from level_change group by listing"
    )
    for _, values, sequences in history:
        assert values == sorted(values), "no older number came after a newer one"
        assert sequences == sorted(sequences)


def test_run_works_until_stopped_and_outlives_a_failed_step(world, pool):
    stop = threading.Event()
    clock = Clock()
    failures = iter([True])

    def sometimes():
        if next(failures, False):
            raise RuntimeError("the database went away")
        return clock.now

    projection = Projection(pool, clock=sometimes)
    changed = threading.Event()
    projection.listeners.append(lambda _: changed.set())
    world.stock("SKU-000", 10)
    runner = threading.Thread(target=projection.run, args=(stop,))
    runner.start()
    assert changed.wait(30)
    stop.set()
    projection.wake()
    runner.join(30)
    assert not runner.is_alive()
    assert world.level()["desired"] == 10


def test_a_notification_of_the_ledger_wakes_the_projection(world, pool, database_url):
    stop = threading.Event()
    projection = Projection(pool)
    woken = threading.Event()
    projection.wake = woken.set
    listener = threading.Thread(target=projection.listen, args=(database_url, stop))
    listener.start()
    tries = 0
    while not woken.wait(0.1) and tries < 300:  # the first ones may come before it listens
        world.run("select pg_notify('stockwright_ledger', '1')")
        tries += 1
    assert woken.is_set()
    stop.set()
    listener.join(30)
    assert not listener.is_alive()


@pytest.mark.parametrize(
    ("limit", "computed", "expected"),
    [
        (500, 5, 2_000),
        (8_000, 5, MOST_MARKS),
        (500, 400, 500),
        (500, 2_500, 250),
        (60, 2_500, FEWEST_MARKS),
    ],
)
def test_marks_of_few_listings_are_taken_more_at_once(limit, computed, expected):
    assert next_limit(limit, computed) == expected


def test_a_flood_of_marks_of_one_sku_is_drained_in_a_few_steps(world, pool, monkeypatch):
    world.stock("SKU-000", 7)
    world.run(
        "insert into dirty (sku, sequence) select 'SKU-000', n from generate_series(1, 9999) n"
    )
    projection = Projection(pool)
    taken = []
    step = projection.step
    monkeypatch.setattr(projection, "step", lambda limit: taken.append(step(limit)) or taken[-1])
    projection.drain(threading.Event())
    assert [done.marks for done in taken] == [500, 2_000, 7_500]
    assert world.levels() == {"SKU-000": 7}


def test_a_channel_that_asks_us_has_levels_that_are_kept_until_it_gets_a_connector(world, pool):
    world.run("update system set connector = ''")
    projection = Projection(pool)
    world.stock("SKU-000", 9)
    projection.step()
    asked = world.level()
    assert (asked["desired"], asked["state"]) == (9, "kept")
    world.stock("SKU-000", 9)
    assert projection.step().changed == 0

    world.run("update system set connector = 'fake'")
    world.stock("SKU-000", 9)
    assert projection.step().changed == 1
    told = world.level()
    assert (told["state"], told["desired"]) == ("due", 9)
    assert told["version"] > asked["version"]

    world.run("update system set connector = ''")
    world.stock("SKU-000", 9)
    projection.step()
    assert world.level()["state"] == "kept"


def test_marks_of_what_no_channel_lists_are_only_taken_away(world, pool):
    world.run("insert into sku (code) values ('UNLISTED')")
    world.stock("UNLISTED", 5)
    world.stock("UNLISTED", 6)
    sequence = world.stock("SKU-000", 7)
    done = Projection(pool).step()
    assert (done.marks, done.computed, done.changed) == (3, 1, 1)
    assert world.level()["sequence"] == sequence
    world.stock("UNLISTED", 8)
    done = Projection(pool).step()
    assert (done.marks, done.computed) == (1, 0)
    assert world.rows("select count(*) from dirty") == [(0,)]


@pytest.mark.parametrize(
    ("took_s", "done", "rest_s"),
    [
        (0.001, Projected(marks=9, computed=5), 0.015),
        (0.010, Projected(marks=9, computed=5), 0.020),
        (1.000, Projected(marks=9, computed=5), 0.050),
        (0.001, Projected(marks=9, computed=0), 0.050),
        (0.001, Projected(), 0.015),
    ],
)
def test_it_rests_in_proportion_to_its_work(took_s, done, rest_s):
    assert rest_after(took_s, done) == pytest.approx(rest_s)
