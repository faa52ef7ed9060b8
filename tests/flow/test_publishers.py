"""Publishers side by side: shared budgets, lost leases, and a partner that does its worst."""

import asyncio
import datetime as dt
import random
import threading

import msgspec
import psycopg
import pytest

from stockwright.flow.calls import Failed, claim
from stockwright.flow.projection import Projection
from stockwright.flow.publication import Publication, Publisher, database_threads
from stockwright.flow.settling import settle
from stockwright.sdk.messages import Applied, InDoubt, Refused, Retry
from stockwright.store import attempts
from stockwright.store.connection import connect
from tests.flow.channels import (
    FAST,
    Shop,
    World,
    applied_but_500,
    crash,
    half,
    honest,
    in_doubt,
    link,
    misconfigured,
    set_stock,
    throttle,
    unreachable,
    until,
)

LONG_DOUBT = msgspec.structs.replace(FAST, longest_apply_delay_s=60.0)


async def test_three_failed_calls_open_the_circuit_and_a_good_probe_closes_it(
    database_url, pool, clock
):
    world = World(database_url, skus=15)
    projection = Projection(pool, clock=clock)
    shop = Shop()
    publisher = Publisher(pool, shop, link(clock=clock))
    for sku in world.skus:
        world.stock(sku, 10)
    projection.step()
    shop.behave(*[unreachable] * 4)
    state = "select circuit, failures, retry_at, last_error from connection_state"
    for failures in range(1, 5):
        assert await publisher.step() > 0
        circuit, counted, retry_at, error = world.rows(state)[0]
        assert (counted, error) == (failures, "connection refused")
        assert circuit == ("open" if failures >= 3 else "closed")
        assert await publisher.step() == 0, "the partner is left alone for a while"
        clock.now = retry_at
    assert [len(call) for call in shop.calls] == [15, 15, 15, 10], "a probe is small"
    assert world.level()["attempts"] == 0, "it was no fault of the level"
    assert await publisher.step() == 10
    assert world.rows(state)[0][:3] == ("closed", 0, None)
    assert await publisher.step() == 5


async def test_a_partner_that_asks_for_silence_gets_it(world, projection, publisher, shop, clock):
    set_stock(world, projection, SKU_000=10)
    shop.behave(throttle)
    await publisher.step()
    clock.pass_s(6.9)
    assert await publisher.step() == 0
    clock.pass_s(0.2)
    assert await publisher.step() == 1
    assert world.unsettled() == []


def test_a_silence_is_kept_though_a_call_beside_it_is_answered(
    world, projection, clock, database_url
):
    """Of two calls under way the first is told to wait a minute; the second was there before."""
    limits = msgspec.structs.replace(FAST, batch_size=1, concurrency=2)
    own = link(limits=limits, clock=clock)
    set_stock(world, projection, SKU_000=10, SKU_001=10, SKU_002=10)
    with connect(database_url) as connection:
        attempts.ensure_connection(connection, "WEB", 10)
    calls = []
    for _ in range(2):
        with connect(database_url) as connection:
            calls.append(claim(connection, own).call)
    for call, answer in zip(calls, (Failed("429", retry_after_s=60.0), [Applied()]), strict=True):
        with connect(database_url) as connection:
            settle(connection, own, call, answer)
    with connect(database_url) as connection:
        waits = claim(connection, own)
    assert (waits.call, waits.wait_s) == (None, 60.0)
    clock.pass_s(60)
    with connect(database_url) as connection:
        assert claim(connection, own).call is not None


async def test_a_wrong_setting_is_a_work_item_until_the_partner_answers_again(
    world, projection, publisher, shop, clock
):
    set_stock(world, projection, SKU_000=10)
    shop.behave(misconfigured)
    await publisher.step()
    items = "select kind, subject, detail ->> 'setting' from work_item where closed_at is null"
    assert world.rows(items) == [
        (
            "connection_misconfigured",
            "WEB: systems.WEB.settings.token",
            "systems.WEB.settings.token",
        )
    ]
    clock.pass_s(60)
    await publisher.step()
    assert world.rows(items) == []


async def test_a_paused_connection_sends_nothing_and_keeps_what_is_due(
    world, projection, publisher, shop, pool
):
    set_stock(world, projection, SKU_000=10)
    with pool.connection() as connection:
        attempts.pause_connection(connection, "WEB", True)
    assert await publisher.step() == 0
    set_stock(world, projection, SKU_000=8)
    with pool.connection() as connection:
        attempts.pause_connection(connection, "WEB", False)
    assert await publisher.step() == 1
    assert shop.sent == [("SKU-000", 8)]


async def test_calls_per_second_are_shared_by_all_workers(database_url, pool, clock):
    world = World(database_url, skus=12)
    projection = Projection(pool, clock=clock)
    slow = msgspec.structs.replace(FAST, batch_size=1, calls_per_s=2.0, burst=3)
    shop = Shop()
    workers = [Publisher(pool, shop, link(limits=slow, clock=clock)) for _ in range(3)]
    for sku in world.skus:
        world.stock(sku, 10)
    projection.step()
    world.run(
        "insert into connection_state (system, tokens, refilled_at) values ('WEB', 3, %s)",
        clock.now,
    )
    counts = []
    for _ in range(4):
        before = len(shop.calls)
        for _ in range(2):
            for worker in workers:
                await worker.step()
        counts.append(len(shop.calls) - before)
        clock.pass_s(1)
    assert counts == [3, 2, 2, 2]


async def test_calls_at_once_are_shared_by_all_workers(database_url, pool, clock):
    world = World(database_url, skus=12)
    projection = Projection(pool, clock=clock)
    two = msgspec.structs.replace(FAST, batch_size=1, concurrency=2)
    shop = Shop()
    shop.gate = asyncio.Event()
    workers = [Publisher(pool, shop, link(limits=two, clock=clock)) for _ in range(4)]
    for sku in world.skus:
        world.stock(sku, 10)
    projection.step()
    steps = [asyncio.create_task(worker.step()) for worker in workers]
    await until(lambda: len(shop.calls) == 2)
    await until(lambda: sum(task.done() for task in steps) == 2)
    assert all(task.result() == 0 for task in steps if task.done()), "others find it busy"
    shop.gate.set()
    assert sum(await asyncio.gather(*steps)) == 2
    assert shop.most_at_once == 2


async def test_one_level_that_breaks_every_call_ends_alone(database_url, pool, clock):
    world = World(database_url, skus=4)
    projection = Projection(pool, clock=clock)

    class Allergic(Shop):
        async def publish(self, levels):
            self.calls.append(list(levels))
            if any(level.listing == "SKU-003" for level in levels):
                return in_doubt(self, list(levels))
            return honest(self, list(levels))

    one = link(clock=clock)
    one.chance = lambda: 0.0  # all wait equally long, so that time alone does not part them
    publisher = Publisher(pool, Allergic(), one)
    for sku in world.skus:
        world.stock(sku, 10)
    projection.step()
    for _ in range(12):
        await publisher.step()
        clock.pass_s(400)
    assert {row[1] for row in world.unsettled()} == {"SKU-003"}


# ---------------------------------------------------------------- several workers


async def test_the_levels_of_a_killed_sender_are_taken_over_after_its_lease(
    world, projection, pool, clock, database_url
):
    set_stock(world, projection, SKU_000=10)
    dead = link(limits=LONG_DOUBT, clock=clock)
    with connect(database_url) as connection:
        attempts.ensure_connection(connection, "WEB", 10)
        assert claim(connection, dead).call is not None  # and then nothing more is heard of it
    shop = Shop()
    survivor = Publisher(pool, shop, link(limits=LONG_DOUBT, clock=clock))
    set_stock(world, projection, SKU_000=6)
    assert await survivor.step() == 0, "the lease still holds"
    clock.pass_s(dead.lease.total_seconds() + 0.1)
    assert await survivor.step() == 1
    assert shop.shows == {"SKU-000": 6}
    level = world.level()
    assert (level["state"], level["doubt_high"]) == ("due", 10), "its bytes may be on their way"
    clock.pass_s(60)
    await survivor.step()
    assert world.unsettled() == []
    assert world.rows("select value, outcome from attempt order by call") == [
        (10, None),
        (6, "acknowledged"),
        (6, "acknowledged"),
    ]


async def test_a_late_answer_to_a_lost_lease_is_not_taken_for_the_newest_write(
    world, projection, pool, clock, database_url
):
    """The first sender stands still, a second one writes; then the first one's answer comes."""
    set_stock(world, projection, SKU_000=10)
    first = link(limits=LONG_DOUBT, clock=clock)
    with connect(database_url) as connection:
        attempts.ensure_connection(connection, "WEB", 10)
        lost = claim(connection, first).call
    assert lost is not None
    shop = Shop()
    second = Publisher(pool, shop, link(limits=LONG_DOUBT, clock=clock))
    set_stock(world, projection, SKU_000=6)
    clock.pass_s(first.lease.total_seconds() + 61)
    await second.step()
    clock.pass_s(61)
    await second.step()
    assert world.unsettled() == []
    shop.shows["SKU-000"] = 10  # the frozen one thaws: its bytes leave only now
    with connect(database_url) as connection:
        settle(connection, first, lost, [Applied()])
    level = world.level()
    assert (level["acknowledged"], level["desired"]) == (6, 6)
    assert (level["state"], level["lane"]) == ("due", "decrease"), "10 may be shown"
    clock.pass_s(61)
    await second.step()
    assert shop.shows == {"SKU-000": 6}
    assert world.unsettled() == []


async def test_a_late_answer_does_not_settle_the_call_of_the_one_who_took_over(
    world, projection, pool, clock, database_url
):
    set_stock(world, projection, SKU_000=10)
    first, second = link(limits=LONG_DOUBT, clock=clock), link(limits=LONG_DOUBT, clock=clock)
    with connect(database_url) as connection:
        attempts.ensure_connection(connection, "WEB", 10)
        lost = claim(connection, first).call
    assert lost is not None
    set_stock(world, projection, SKU_000=6)
    clock.pass_s(first.lease.total_seconds() + 1)
    with connect(database_url) as connection:
        taken = claim(connection, second).call
        assert taken is not None
        settle(connection, first, lost, [Applied()])
    level = world.level()
    assert (level["state"], level["call"], level["acknowledged"]) == ("sending", taken.number, None)
    with connect(database_url) as connection:
        settle(connection, second, taken, [Applied()])
    level = world.level()
    assert (level["acknowledged"], level["doubt_high"], level["state"]) == (6, 10, "due")


@pytest.mark.parametrize(
    "answer", [Refused(reason="no"), Retry(retry_after_s=0.0)], ids=["refused", "retry"]
)
async def test_a_late_answer_that_nothing_was_applied_changes_nothing(
    world, projection, pool, clock, database_url, answer
):
    set_stock(world, projection, SKU_000=10)
    first = link(clock=clock)
    with connect(database_url) as connection:
        attempts.ensure_connection(connection, "WEB", 10)
        lost = claim(connection, first).call
    assert lost is not None
    clock.pass_s(60)
    second = Publisher(pool, Shop(), link(clock=clock))
    while await second.step():
        clock.pass_s(60)
    before = world.level()
    with connect(database_url) as connection:
        settle(connection, first, lost, [answer])
    assert world.level() == before


async def test_a_process_that_stood_still_does_not_send_on_an_old_lease(
    world, projection, pool, shop, clock
):
    publisher = Publisher(pool, shop, link(clock=clock))
    set_stock(world, projection, SKU_000=10)
    claimed = await publisher._claim()
    assert claimed.call is not None
    await publisher._carry(claimed.call, claimed_at=-1e9)
    assert shop.calls == []
    assert world.level()["state"] == "due"
    await publisher.step()


async def test_two_workers_never_carry_the_same_level_at_once(world, projection, pool, clock):
    shop = Shop()
    shop.gate = asyncio.Event()
    workers = [Publisher(pool, shop, link(clock=clock)) for _ in range(2)]
    set_stock(world, projection, SKU_000=1, SKU_001=2, SKU_002=3)
    steps = [asyncio.create_task(worker.step()) for worker in workers]
    await asyncio.wait(steps, timeout=5, return_when="FIRST_COMPLETED")
    shop.gate.set()
    assert sum(await asyncio.gather(*steps)) == 3
    assert sorted(shop.sent) == [("SKU-000", 1), ("SKU-001", 2), ("SKU-002", 3)]


async def test_a_broken_channel_does_not_delay_another(database_url, pool):
    world = World(database_url, channels=("STUCK", "WEB"))
    stuck, healthy = Shop(), Shop()
    stuck.gate = asyncio.Event()
    projection = Projection(pool)
    with database_threads(4) as threads:
        publication = Publication(
            [
                Publisher(pool, stuck, link("STUCK"), threads),
                Publisher(pool, healthy, link("WEB"), threads),
            ]
        )
        projection.listeners.append(publication.wake)
        stop = asyncio.Event()
        running = asyncio.create_task(publication.run(stop))
        for units in range(1, 6):
            for sku in world.skus:
                world.stock(sku, units)
            await asyncio.to_thread(projection.step)
            await until(lambda units=units: set(healthy.shows.values()) == {units})
        assert len(healthy.shows) == 3
        assert stuck.shows == {}
        stuck.gate.set()
        await until(lambda: set(stuck.shows.values()) == {5})
        stop.set()
        await running
    assert world.unsettled() == []


async def test_publishers_of_another_process_are_woken_by_notification(database_url, pool):
    world = World(database_url)
    publication = Publication([Publisher(pool, Shop(), link())])
    woken = []
    publication.wake = lambda channels: woken.extend(channels)
    stop = threading.Event()
    listener = threading.Thread(target=publication.listen, args=(database_url, stop))
    listener.start()
    projection = Projection(pool)
    units = 0
    while not woken and units < 300:  # the first ones may come before it listens
        units += 1
        set_stock(world, projection, SKU_000=units)
        await asyncio.sleep(0.05)
    stop.set()
    listener.join(30)
    assert set(woken) == {"WEB"}


# ---------------------------------------------------------------- under a hostile partner


class Hostile(Shop):
    """Misbehaves by seed for a while: slow, 5xx, half-done, applied late, out of order."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.random = random.Random(seed)
        self.hostile = True
        self.history: dict[str, list[int]] = {}
        self.late: set[asyncio.Task[None]] = set()

    async def publish(self, levels):
        self.calls.append(list(levels))
        for level in levels:
            self.history.setdefault(level.listing, []).append(level.version)
        if not self.hostile:
            return honest(self, list(levels))
        await asyncio.sleep(self.random.random() * 0.03)
        mood = self.random.choice(
            ["honest", "500", "applied500", "late", "half", "down", "throttle", "crash"]
        )
        if mood == "late":
            task = asyncio.create_task(self.apply_late(list(levels)))
            self.late.add(task)
            return in_doubt(self, list(levels))
        acts = {
            "honest": honest,
            "500": in_doubt,
            "applied500": applied_but_500,
            "half": half,
            "down": unreachable,
            "throttle": self.throttle_a_little,
            "crash": crash,
        }
        return acts[mood](self, list(levels))

    async def apply_late(self, levels) -> None:
        await asyncio.sleep(self.random.random() * 0.05)
        honest(self, levels)

    @staticmethod
    def throttle_a_little(shop, levels):
        return [InDoubt(reason="429 in the middle") for _ in levels]


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_whatever_the_partner_did_it_ends_showing_what_it_should(
    database_url, pool, seed, monkeypatch
):
    """Two workers, one of them killed on the way; versions never go backwards."""
    monkeypatch.setattr("stockwright.domain.budget.LONGEST_WAIT_S", 0.2)
    monkeypatch.setattr("stockwright.domain.budget.FIRST_WAIT_S", 0.02)
    monkeypatch.setattr("stockwright.flow.settling.LONGEST_LEVEL_WAIT_S", 0.2)
    world = World(database_url, skus=8)
    shop = Hostile(seed)
    limits = msgspec.structs.replace(FAST, batch_size=3, timeout_s=0.4, longest_apply_delay_s=0.2)
    projection = Projection(pool)
    stop = asyncio.Event()
    workers = [
        Publication([Publisher(pool, shop, link(limits=limits, seed=n, lease_margin_s=0.4))])
        for n in range(3)
    ]
    tasks = [asyncio.create_task(worker.run(stop)) for worker in workers]
    for worker in workers:
        projection.listeners.append(worker.wake)
    chance = random.Random(seed)
    for n in range(25):
        world.stock(chance.choice(world.skus), chance.randrange(30))
        await asyncio.to_thread(projection.step)
        await asyncio.sleep(0.02)
        if n == 12:
            tasks.pop().cancel()  # its calls under way are never settled
    shop.hostile = False
    await until(lambda: not world.unsettled())
    await asyncio.gather(*shop.late)
    stop.set()
    await asyncio.gather(*tasks)

    wanted = world.levels()
    assert shop.shows == wanted
    acknowledged = world.rows("select listing, acknowledged from level")
    assert dict(acknowledged) == wanted
    for listing, versions in shop.history.items():
        assert versions == sorted(versions), f"{listing}: an older version left after a newer"
    history = world.rows(
        "select listing, array_agg(version order by projected_at) from level_change group by 1"
    )
    assert all(versions == sorted(set(versions)) for _, versions in history)


async def test_the_database_going_away_costs_a_publisher_one_step(database_url, pool):
    world = World(database_url)
    projection = Projection(pool)
    shop = Shop()
    stop = asyncio.Event()
    publication = Publication([Publisher(pool, shop, link())])
    running = asyncio.create_task(publication.run(stop))
    set_stock(world, projection, SKU_000=1)
    await until(lambda: shop.shows == {"SKU-000": 1})
    with psycopg.connect(database_url, autocommit=True) as db:
        db.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()"
        )
    world.stock("SKU-000", 2)
    await asyncio.to_thread(projection.step)
    await until(lambda: shop.shows == {"SKU-000": 2})
    stop.set()
    await running


def test_a_lease_outlasts_the_call_it_covers():
    assert link().lease > dt.timedelta(seconds=FAST.timeout_s)
