"""Channels are paused, resumed and sent everything again, whatever process does it."""

import asyncio

import msgspec
import pytest

from stockwright.domain.errors import Rejected
from stockwright.flow import steering
from stockwright.flow.publication import Publisher
from stockwright.store import links
from stockwright.store.connection import Listener, Pool, connect
from tests.flow.channels import FAST, Clock, Shop, World, in_doubt, link, refuse, set_stock, until


@pytest.fixture
def world(database_url):
    return World(database_url, channels=("WEB", "EBAY"))


@pytest.fixture
def clock(world):
    """Just ahead of the database's own clock, by which a resync makes levels due."""
    clock = Clock()
    ((clock.now,),) = world.rows("select clock_timestamp() + interval '10 seconds'")
    return clock


@pytest.fixture
def steer(pool):
    """Calls a function of `steering` in a transaction of its own."""

    def call(name, *args, **kwargs):
        with pool.connection() as connection:
            return getattr(steering, name)(connection, *args, **kwargs)

    return call


def resync(pool, channel="WEB", why="their catalogue was restored"):
    return steering.resync(pool, channel, actor="user ada", why=why)


async def drain(publisher) -> int:
    """Sends all that is due; answers how many levels."""
    sent = 0
    while (levels := await publisher.step()) > 0:
        sent += levels
    return sent


def log(world, action):
    return world.rows(
        "select actor, subject, detail from change_log where action = %s order by id", action
    )


# ---------------------------------------------------------------- pausing


async def test_a_paused_channel_is_sent_nothing_while_its_numbers_go_on(
    world, projection, publisher, shop, steer
):
    set_stock(world, projection, SKU_000=10, SKU_001=10)
    await drain(publisher)
    shop.calls.clear()
    assert steer("pause", "WEB", actor="user ada", why=" they move house ")
    set_stock(world, projection, SKU_000=7, SKU_001=9)
    assert await drain(publisher) == 0
    assert world.levels()["SKU-000"] == 7
    set_stock(world, projection, SKU_001=10)
    assert steer("resume", "WEB", actor="user ada", why="they have moved")
    assert await drain(publisher) == 1
    assert shop.sent == [("SKU-000", 7)], "what came back to the number shown is not sent"
    assert log(world, "channel.pause") == [("user ada", "WEB", {"why": "they move house"})]
    assert log(world, "channel.resume") == [("user ada", "WEB", {"why": "they have moved"})]


async def test_a_pause_holds_for_every_process_that_starts_later(
    world, projection, pool, shop, clock, steer
):
    set_stock(world, projection, SKU_000=10)
    steer("pause", "WEB", actor="cli", why="x")
    for _ in range(2):
        with Pool(world.url, size=2) as another:
            assert await Publisher(another, shop, link(clock=clock)).step() == 0
    assert shop.calls == []


async def test_a_call_that_waited_for_a_pause_does_not_begin(
    world, projection, publisher, shop, pool
):
    set_stock(world, projection, SKU_000=10)
    world.run("insert into connection_state (system) values ('WEB')")
    with connect(world.url, idle_in_transaction_s=0) as connection:
        steering.pause(connection, "WEB", actor="cli", why="x")
        waiting = asyncio.create_task(publisher.step())
        blocked = (
            "select count(*) from pg_stat_activity"
            " where wait_event_type = 'Lock' and datname = current_database()"
        )
        await until(lambda: world.rows(blocked) == [(1,)])
    assert await waiting == 0
    assert shop.calls == []


async def test_neighbours_on_the_same_connection_go_on(world, projection, pool, shop, clock, steer):
    world.run("update channel set system = 'WEB' where code = 'EBAY'")
    set_stock(world, projection, SKU_000=10)
    both = Publisher(pool, shop, link("WEB", "EBAY", clock=clock))
    steer("pause", "WEB", actor="cli", why="x")
    assert await drain(both) == 1
    assert {level.channel for call in shop.calls for level in call} == {"EBAY"}
    steer("resume", "WEB", actor="cli", why="x")
    assert await drain(both) == 1
    assert world.unsettled() == []


async def test_a_call_under_way_ends_and_is_settled(world, projection, publisher, shop, steer):
    set_stock(world, projection, SKU_000=10)

    def pause_meanwhile(shop, levels):
        steer("pause", "WEB", actor="cli", why="x")
        return [shop.apply(level) for level in levels]

    shop.behave(pause_meanwhile)
    assert await publisher.step() == 1
    assert world.level()["state"] == "settled"


async def test_a_paused_channel_is_not_read_back(world, projection, pool, clock, steer):
    class Window(Shop):
        asked = 0

        async def read_back(self, keys):
            self.asked += 1
            return [None for _ in keys]

    window = Window()
    publisher = Publisher(pool, window, link(clock=clock))
    set_stock(world, projection, SKU_000=10)
    await drain(publisher)
    steer("pause", "WEB", actor="cli", why="x")
    assert (await publisher.verify()).read == 0
    steer("resume", "WEB", actor="cli", why="x")
    assert (await publisher.verify()).read == 1
    assert window.asked == 1


def test_pausing_and_resuming_twice_change_and_log_nothing_the_second_time(world, steer):
    assert steer("pause", "WEB", actor="user ada", why="first")
    assert not steer("pause", "WEB", actor="user bob", why="second")
    state = steer("publication", "WEB").link
    assert state.judgement.state == "paused"
    assert state.judgement.why.startswith("paused by user ada since ")
    assert state.judgement.why.endswith(" (first)")
    assert steer("resume", "WEB", actor="user bob", why="go")
    assert not steer("resume", "WEB", actor="user bob", why="go")
    assert len(log(world, "channel.pause")) == len(log(world, "channel.resume")) == 1


def test_only_the_link_out_of_a_paused_channel_says_paused(world, pool, steer):
    steer("pause", "WEB", actor="cli", why="x")
    with pool.connection() as connection:
        found = {one.facts.key: one.judgement.state for one in links.overview(connection).links}
    assert [key for key, state in found.items() if state == "paused"] == ["out:WEB:WEB"]


def test_a_pause_of_the_whole_connection_ends_with_the_channels(world, steer):
    world.run("insert into connection_state (system, paused) values ('WEB', true)")
    assert steer("resume", "WEB", actor="cli", why="x")
    assert world.rows("select paused from connection_state") == [(False,)]


def test_resuming_wakes_the_publishers_of_every_process(world, steer, database_url):
    steer("pause", "WEB", actor="cli", why="x")
    with Listener(database_url, "stockwright_levels") as listener:
        listener.wait(0)
        steer("resume", "WEB", actor="cli", why="x")
        assert listener.wait(10) == [("stockwright_levels", "WEB")]


@pytest.mark.parametrize("name", ["pause", "resume"])
@pytest.mark.parametrize(
    ("channel", "why", "field"),
    [("NONE", "x", "channel"), ("", "x", "channel"), ("DESK", "x", "channel"), ("WEB", " ", "why"),
     ("WEB", "x" * 1001, "why")],
)  # fmt: skip
def test_what_cannot_be_paused_is_told_by_field(world, steer, name, channel, why, field):
    world.run("insert into channel (code, system, pool) values ('DESK', 'ERP', '{MAIN}')")
    with pytest.raises(Rejected) as refused:
        steer(name, channel, actor="cli", why=why)
    assert refused.value.field == field


# ---------------------------------------------------------------- resync


async def test_a_resync_sends_every_settled_level_once_more(
    world, projection, publisher, shop, pool, steer
):
    set_stock(world, projection, SKU_000=10, SKU_001=0, SKU_002=5)
    await drain(publisher)
    shop.calls.clear()
    shop.shows.clear()
    planned = steer("plan_resync", "WEB")
    assert (planned.estimate.levels, planned.zeroes, planned.refused) == (3, 1, "")
    assert await drain(publisher) == 0, "a plan changes nothing"
    done = resync(pool)
    assert (done.levels, done.plan) == (3, planned)
    assert await drain(publisher) == 3
    assert shop.shows == {"SKU-000": 10, "SKU-001": 0, "SKU-002": 5}
    assert {row[0] for row in world.unsettled()} == {"EBAY"}
    assert await drain(publisher) == 0
    assert log(world, "channel.resync") == [
        ("user ada", "WEB", {"why": "their catalogue was restored", "levels": 3, "calls": 1})
    ]


async def test_a_large_channel_is_marked_in_several_transactions(
    world, projection, publisher, pool, monkeypatch
):
    monkeypatch.setattr(steering, "AT_ONCE", 2)
    set_stock(world, projection, SKU_000=3, SKU_001=4, SKU_002=5)
    for number in range(4):
        world.list_item("WEB", f"L-{number}", {"SKU-000": 1})
    projection.sweep()
    await drain(publisher)
    assert resync(pool).levels == 7
    assert world.rows("select count(*), count(distinct xmin::text) from level where resend") == [
        (7, 4)
    ]
    assert await drain(publisher) == 7


async def test_what_differs_goes_before_what_is_only_sent_again(
    world, projection, pool, shop, clock
):
    one = msgspec.structs.replace(FAST, batch_size=1)
    publisher = Publisher(pool, shop, link(limits=one, clock=clock))
    set_stock(world, projection, SKU_000=10, SKU_001=10, SKU_002=10)
    await drain(publisher)
    shop.calls.clear()
    resync(pool)
    clock.pass_s(1)
    set_stock(world, projection, SKU_001=12, SKU_002=3)
    await drain(publisher)
    assert shop.sent == [("SKU-002", 3), ("SKU-001", 12), ("SKU-000", 10)]


async def test_levels_sent_again_make_the_channel_neither_late_nor_its_lag_long(
    world, projection, publisher, pool, clock, steer
):
    set_stock(world, projection, SKU_000=10, SKU_001=10, SKU_002=10)
    await drain(publisher)
    world.run("update attempt set finished_at = now() - interval '1 hour'")
    resync(pool)
    state = steer("publication", "WEB")
    assert (state.link.facts.waiting, state.link.facts.resending) == (3, 3)
    assert state.link.facts.oldest_at is None
    assert state.link.judgement.why == "3 levels on the way, 3 of them sent again"
    assert (state.backlog.increases, state.backlog.resends) == (3, 3)
    assert await drain(publisher) == 3
    assert world.rows("select resent, count(*) from attempt group by 1 order by 1") == [
        (False, 3),
        (True, 3),
    ]
    assert steer("publication", "WEB").link.facts.samples == 0


async def test_levels_that_must_not_go_are_left_alone_and_counted(
    world, projection, publisher, shop, pool, steer
):
    set_stock(world, projection, SKU_000=10, SKU_001=10, SKU_002=10)
    shop.behave(refuse("no such listing"))
    world.run("update level set due_at = '2100-01-01' where listing <> 'SKU-000'")
    await drain(publisher)
    world.run("update level set due_at = '2000-01-01' where due_at = '2100-01-01'")
    await drain(publisher)
    world.run("update listing set active = false where channel = 'WEB' and code = 'SKU-002'")
    found = steer("plan_resync", "WEB")
    assert found.estimate.levels == 1
    assert found.left_alone == {
        "refused by the channel: see the work items": 1,
        "listing inactive or gone": 1,
    }
    shop.calls.clear()
    resync(pool)
    await drain(publisher)
    assert shop.sent == [("SKU-001", 10)]


async def test_a_paused_channel_is_resynced_once_it_is_resumed(
    world, projection, publisher, pool, steer
):
    set_stock(world, projection, SKU_000=10, SKU_001=10, SKU_002=10)
    await drain(publisher)
    steer("pause", "WEB", actor="cli", why="x")
    assert resync(pool).plan.paused
    assert await drain(publisher) == 0
    steer("resume", "WEB", actor="cli", why="x")
    assert await drain(publisher) == 3


async def test_a_level_in_doubt_stays_to_be_sent_again(world, projection, publisher, shop, pool):
    set_stock(world, projection, SKU_000=10, SKU_001=10, SKU_002=10)
    await drain(publisher)
    resync(pool)
    shop.behave(in_doubt)
    await publisher.step()
    level = world.level()
    assert (level["state"], level["resend"]) == ("due", True)


# ---------------------------------------------------------------- the guard


def refusal(pool, channel="WEB") -> str:
    with pytest.raises(Rejected) as refused:
        resync(pool, channel)
    assert refused.value.reason == "incomplete"
    return refused.value.message


async def test_a_channel_whose_listings_are_gone_is_not_zeroed(
    world, projection, publisher, shop, pool, steer
):
    set_stock(world, projection, SKU_000=10)
    await drain(publisher)
    world.run("delete from listing_component where channel = 'WEB'")
    world.run("delete from listing where channel = 'WEB'")
    projection.sweep()
    await drain(publisher)
    shop.calls.clear()
    assert refusal(pool).startswith("No active listing")
    assert steer("plan_resync", "WEB").refused.startswith("No active listing")
    assert await drain(publisher) == 0
    assert log(world, "channel.resync") == []


def test_a_channel_whose_levels_are_not_computed_is_not_resynced(world, projection, pool):
    assert "3 of 3 active listings have no computed level" in refusal(pool)
    world.stock("SKU-000", 10)
    projection.step()
    assert "2 of 3 active listings have no computed level" in refusal(pool)


async def test_a_channel_of_a_hub_that_knows_no_stock_is_not_zeroed(
    world, projection, publisher, shop, pool
):
    projection.sweep()
    await drain(publisher)
    assert world.levels() == {"SKU-000": 0, "SKU-001": 0, "SKU-002": 0}
    assert "No stock was ever recorded" in refusal(pool)


async def test_a_channel_that_lost_its_pool_is_not_zeroed(world, projection, publisher, pool):
    set_stock(world, projection, SKU_000=10, SKU_001=3, SKU_002=1)
    await drain(publisher)
    world.run("update channel set pool = '{}' where code = 'WEB'")
    world.run("update master_revision set revision = revision + 1")
    projection.sweep()
    await drain(publisher)
    assert "All 3 levels to send are 0" in refusal(pool)


async def test_sold_out_listings_are_sent_again_while_what_sells_is_on_its_way(
    world, projection, publisher, shop, pool
):
    set_stock(world, projection, SKU_000=10, SKU_001=0, SKU_002=0)
    await drain(publisher)
    set_stock(world, projection, SKU_000=9)
    shop.calls.clear()
    assert resync(pool).levels == 2
    await drain(publisher)
    assert sorted(shop.sent) == [("SKU-000", 9), ("SKU-001", 0), ("SKU-002", 0)]


async def test_zeroes_without_any_stock_recorded_are_left_alone_sold_out_ones_sent(
    world, projection, publisher, shop, pool, steer
):
    set_stock(world, projection, SKU_000=10, SKU_001=0)
    world.list_item("WEB", "SET", {"SKU-000": 1, "SKU-001": 1})
    projection.sweep()
    await drain(publisher)
    shop.calls.clear()
    found = steer("plan_resync", "WEB")
    assert (found.estimate.levels, found.zeroes) == (3, 2)
    assert found.left_alone == {"0 without any stock ever recorded": 1}
    assert resync(pool).levels == 3
    await drain(publisher)
    assert sorted(shop.sent) == [("SET", 0), ("SKU-000", 10), ("SKU-001", 0)]


async def test_a_kit_is_founded_on_the_stock_of_its_parts(
    world, projection, publisher, pool, steer
):
    world.run("insert into sku (code) values ('BOX')")
    world.run("insert into kit (sku, component, quantity) values ('BOX', 'SKU-001', 2)")
    world.list_item("WEB", "BOX", {"BOX": 1})
    set_stock(world, projection, SKU_000=10, SKU_001=1, SKU_002=1)
    projection.sweep()
    await drain(publisher)
    assert world.level("BOX")["desired"] == 0
    assert steer("plan_resync", "WEB").left_alone == {}


# ---------------------------------------------------------------- the estimate


async def test_the_estimate_uses_the_limits_that_the_workers_keep_to(
    world, projection, pool, shop, clock, steer
):
    set_stock(world, projection, SKU_000=10, SKU_001=3, SKU_002=1)
    slow = msgspec.structs.replace(FAST, batch_size=2, calls_per_s=0.0025, burst=1)
    before = steer("plan_resync", "WEB").estimate
    assert (before.calls, before.seconds) == (None, None)
    await drain(Publisher(pool, shop, link(limits=slow, clock=clock)))
    world.run("update connection_state set tokens = 0, refilled_at = clock_timestamp()")
    world.run("update attempt set started_at = now() - interval '1 hour'")
    world.run(
        "update level set acknowledged = desired, state = 'settled', acknowledged_version = 1"
    )
    found = steer("plan_resync", "WEB").estimate
    assert (found.levels, found.calls) == (3, 2)
    # What is earned while the machine stands still is no call as yet.
    assert found.seconds == pytest.approx(800.0, abs=60)


async def test_the_budget_used_is_told_by_connection(world, projection, pool, shop, clock, steer):
    limits = msgspec.structs.replace(FAST, batch_size=1, calls_per_s=0.5, burst=100)
    clock.now = world.rows("select clock_timestamp()")[0][0]
    set_stock(world, projection, SKU_000=10, SKU_001=3, SKU_002=1)
    assert await drain(Publisher(pool, shop, link(limits=limits, clock=clock))) == 3
    spent = steer("publication", "WEB").spending
    assert spent.calls_per_s == pytest.approx(3 / 60)
    assert spent.used == pytest.approx(0.1)
    assert steer("publication", "EBAY").spending.used is None
