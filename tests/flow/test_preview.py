"""What other policies would change: now, and over what is recorded."""

import asyncio
import datetime as dt
import threading
import time

import msgspec
import pytest

from stockwright.domain.errors import Rejected
from stockwright.domain.events import Fact
from stockwright.domain.policies import PolicySet
from stockwright.flow import exposing
from stockwright.flow import preview as preview_of
from stockwright.flow.buffering import Buffering
from stockwright.flow.preview import preview
from stockwright.flow.projection import Projection
from stockwright.flow.publication import Publisher
from stockwright.flow.recording import Recorder
from stockwright.flow.replaying import replay_policies
from stockwright.store.connection import Pool
from tests.flow.channels import Shop, World, link
from tests.flow.test_buffering import give_demand, order, publish, receipt, record, settle


@pytest.fixture
def pool(database_url):
    with Pool(database_url, size=4) as pool:
        yield pool


@pytest.fixture
def world(database_url):
    world = World(database_url, channels=("WEB", "EBAY"), skus=5)
    for n, sku in enumerate(world.skus):
        world.stock(sku, 10 * n)
    return world


def candidate(**channels) -> PolicySet:
    return msgspec.convert({"channels": channels}, PolicySet)


def show(pool, asked, **more):
    with pool.connection() as connection:
        return preview(connection, asked, **more)


def changes(found):
    return [(one.channel, one.listing, one.now, one.then) for one in found.items]


def test_the_largest_effects_come_first_and_nothing_is_written(world, pool):
    found = show(pool, candidate(WEB=[{"buffer_percent": 10}]))
    assert changes(found) == [
        ("WEB", "SKU-004", 40, 36),
        ("WEB", "SKU-003", 30, 27),
        ("WEB", "SKU-002", 20, 18),
        ("WEB", "SKU-001", 10, 9),
    ]
    assert (found.examined, found.changed, found.lowered, found.raised) == (5, 4, 10, 0)
    assert found.complete
    assert found.next_place is None
    assert found.items[0].why_then.steps[-1].why == "10 % of the pool's 40, rounded up"
    assert world.rows("select count(*) from exposure_policy") == [(0,)]
    assert world.rows("select count(*) from level") == [(0,)]


def test_progress_is_told_and_what_it_raises_ends_the_work(world, pool):
    told = []
    show(pool, candidate(WEB=[{"ring_fence": 1}]), progress=told.append)
    assert told == [5, 10], "both channels, since a fence concerns both"

    class Enough(Exception):
        pass

    def enough(_seen):
        raise Enough

    with pytest.raises(Enough):
        show(pool, candidate(WEB=[{"safety": 1}]), progress=enough)


def test_effects_come_in_pages(world, pool):
    asked = candidate(WEB=[{"buffer_percent": 10}])
    first = show(pool, asked, limit=3)
    assert first.next_place == (2, "WEB", "SKU-002")
    rest = show(pool, asked, limit=3, after=first.next_place)
    assert changes(rest) == [("WEB", "SKU-001", 10, 9)]
    assert rest.next_place is None


def test_the_rules_of_now_give_no_effect_and_an_empty_list_takes_them_away(world, pool):
    world.policy("WEB", safety=5)
    assert changes(show(pool, candidate(WEB=[{"safety": 5}]))) == []
    found = show(pool, candidate(WEB=[]))
    assert found.raised == 5 * 4
    assert found.items[0].change == 5


def test_a_fence_changes_what_the_other_channels_show(world, pool):
    found = show(pool, candidate(EBAY=[{"ring_fence": 8}]))
    assert {one[0] for one in changes(found)} == {"WEB"}
    assert found.lowered == 8 * 4


def test_a_risk_is_computed_for_the_preview_alone(world, pool):
    give_demand(pool, "SKU-004", per_day=500)
    publish(world, "WEB", 250)
    settle(Buffering(pool))
    assert world.rows("select count(*) from buffer_now") == [(0,)]
    found = show(pool, candidate(WEB=[{"buffer_risk": 0.01}]))
    (channel, listing, now, then) = changes(found)[0]
    assert (channel, listing, now) == ("WEB", "SKU-004", 40)
    assert then < 40
    assert "risk 1 % per stock-out" in found.items[0].why_then.steps[-1].why
    assert world.rows("select count(*) from buffer_now") == [(0,)]


def test_an_unknown_channel_is_told_and_odd_rules_are_noted(world, pool):
    with pytest.raises(Rejected) as failure:
        show(pool, candidate(WEV=[]))
    assert failure.value.field == "channels.WEV"
    found = show(pool, candidate(WEB=[{"buffer_most": 5}]))
    assert found.notes == [
        "channels.WEB[0].buffer_most has no effect without buffer_risk: give buffer_risk, or"
        " remove it"
    ]


def test_a_hostile_set_is_bounded_and_many_rules_by_group_cost_no_more_than_one(world, pool):
    """Each SKU looked at every rule for any group: 20,000 of them held a thread for a minute."""
    groups = [
        {"sku_group": f"G-{n}", "cap": 0, "pack_size": 2} for n in range(preview_of.MOST_RULES)
    ]
    with pytest.raises(Rejected, match="20,000 rules; this has 20,001") as refused:
        show(pool, candidate(WEB=[*groups, {}]))
    assert (refused.value.reason, refused.value.field) == ("too_many", "channels")
    asked = candidate(WEB=[*groups[1:], {"buffer": 1}])
    assert len(show(pool, asked).notes) == preview_of.MOST_NOTES
    rules = exposing.Rules({}, asked.rows(), {f"S-{n}": f"T-{n}" for n in range(20_000)})
    began = time.process_time()
    assert {rules.policy("WEB", f"S-{n}").buffer for n in range(20_000)} == {1}
    assert time.process_time() - began < 5


@pytest.mark.parametrize("first", ["sku", "group", "both", "any"])
def test_of_rules_by_sku_and_by_group_the_first_applies(first):
    names = {
        "sku": {"sku": "A"},
        "group": {"sku_group": "G"},
        "both": {"sku": "A", "sku_group": "G"},
        "any": {},
    }
    others = [{"sku": "B"}, {"sku_group": "H"}, {"sku": "A", "sku_group": "H"}]
    ordered = [first, *(name for name in names if name != first)]
    asked = candidate(
        WEB=[*others, *({"cap": 7 if n == first else 1, **names[n]} for n in ordered)]
    )
    assert exposing.Rules({}, asked.rows(), {"A": "G"}).policy("WEB", "A").cap == 7


def test_a_mistyped_rule_is_refused():
    with pytest.raises(msgspec.ValidationError, match="bufer"):
        candidate(WEB=[{"bufer": 5}])


def test_recorded_oversells_are_avoided_by_a_buffer_that_withholds_little(database_url, pool):
    """A till sells while the shop shows an old number; the shop sells what is gone."""
    world = World(database_url, channels=("WEB",), skus=1)
    world.run(
        "insert into system (code, role) values ('WMS', 'wms'), ('TILL', 'pos') "
        "on conflict do nothing"
    )
    shop = Shop()

    def bring():
        Projection(pool).drain(threading.Event())
        asyncio.run(Publisher(pool, shop, link("WEB")).step())

    with Recorder(database_url) as recorder:
        record(recorder, receipt(units=20))
        bring()
        # For a while already: an order is dated by the recorder's clock, which runs behind the
        # database's by as long as it was told late.
        world.run("update attempt set finished_at = finished_at - interval '1 hour'")
        record(
            recorder,
            Fact(
                kind="pos_sale",
                system="TILL",
                document="T-1",
                sku="SKU-000",
                quantity=17,
                location="MAIN",
            ),
            order(1, 5, channel="WEB"),
        )
        bring()
    assert shop.shows == {"SKU-000": 0}
    with pool.connection() as connection:
        as_it_was = replay_policies(connection, candidate(WEB=[]))
        buffered = replay_policies(connection, candidate(WEB=[{"buffer": 17}]))
        long_ago = replay_policies(connection, candidate(WEB=[]), days=1e-9)
        told: list[int] = []
        replay_policies(connection, candidate(WEB=[]), progress=told.append)
    assert told == [1]
    (one,) = as_it_was.channels
    assert (one.skus, one.result.orders, one.result.oversold, one.result.avoided) == (1, 1, 2, 0)
    assert one.result.withheld_sales == 0
    (one,) = buffered.channels
    assert (one.result.oversold_then, one.result.avoided, one.result.withheld_sales) == (0, 2, 0)
    assert one.result.withheld > 0
    assert long_ago.channels[0].skus == 0
    assert long_ago.ends - long_ago.begins < dt.timedelta(seconds=1)
