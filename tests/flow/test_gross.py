"""Partners that subtract their own open orders themselves: what they are given is gross."""

import asyncio

import pytest

from stockwright.domain.events import Fact, Request, RequestLine
from stockwright.domain.levels import Level, read_back
from stockwright.domain.policies import PolicySet
from stockwright.flow.explaining import quantities
from stockwright.flow.projection import Projection
from stockwright.flow.publication import Publisher
from stockwright.flow.recording import Recorder
from stockwright.flow.replaying import replay_policies
from stockwright.store.connection import Pool, connect
from stockwright.store.network import declare_gross
from tests.flow.channels import Clock, Shop, World, link

SKU = "SKU-000"
READ_BACK = [
    (True, 7, True),
    (True, 8, False),
    (True, 9, True),
    (False, 7, False),
    (False, 9, True),
]


@pytest.fixture
def world(database_url):
    world = World(database_url, channels=("SHOP", "WEB"))
    world.run("update system set connector = 'subtracts' where code = 'SHOP'")
    with connect(database_url) as connection:
        assert declare_gross(connection, ["subtracts"]) == ("SHOP",)
        connection.commit()
    return world


@pytest.fixture
def record(world, database_url):
    with Recorder(database_url) as recorder:

        def take(*items):
            outcomes = recorder.submit(items).result(30)
            assert all(one.accepted for one in outcomes), outcomes

        yield take


@pytest.fixture
def levels(world, database_url):
    """The numbers of both channels for one listing, as they are projected."""
    with Pool(database_url, size=1) as pool:
        projection = Projection(pool)

        def project(listing=SKU):
            while projection.step().marks:
                pass
            return tuple(world.levels(channel)[listing] for channel in ("SHOP", "WEB"))

        yield project


def receipt(quantity, sku=SKU):
    return Fact(
        kind="receipt",
        system="WMS",
        document=f"GR-{sku}",
        sku=sku,
        location="MAIN",
        quantity=quantity,
    )


def of_order(kind, quantity, system="SHOP", order="O-1", document="", sku=SKU, **more):
    return Fact(
        kind=kind,
        system=system,
        document=document or order,
        sku=sku,
        quantity=quantity,
        channel=more.pop("channel", "SHOP"),
        order_system="SHOP" if system == "WMS" else "",
        order=order,
        order_line="1",
        location="MAIN",
        **more,
    )


def test_an_open_order_raises_the_number_and_its_shipment_takes_it_back(record, levels):
    record(receipt(10))
    assert levels() == (10, 10)
    record(of_order("channel_order", 3))
    assert levels() == (10, 7), "the partner shows 10 - 3, as everybody else"
    record(of_order("shipment", 2, system="WMS", document="S-1"))
    assert levels() == (8, 7)
    record(of_order("shipment", 1, system="WMS", document="S-2", line="2"))
    assert levels() == (7, 7)


def test_a_cancelled_order_is_taken_back_too(record, levels):
    record(receipt(10), of_order("channel_order", 3))
    assert levels() == (10, 7)
    record(of_order("channel_cancel", 2))
    assert levels() == (10, 9)


def test_what_is_asked_to_be_cancelled_is_no_longer_subtracted_there(world, record, levels):
    record(receipt(10), of_order("channel_order", 3))
    world.run("update demand_line set cancel_requested = 2")
    world.run("insert into dirty (sku, sequence) values (%s, 0)", SKU)
    assert levels() == (8, 7), "the shop released two, and the warehouse may still ship them"


def test_more_orders_than_goods_show_nothing_and_not_less(record, levels):
    record(receipt(2), of_order("channel_order", 5))
    assert levels() == (5, 0)


def test_only_orders_of_the_partners_own_system_count(record, levels):
    record(receipt(10))
    record(
        Request(
            kind="reserve",
            system="ERP",
            document="R-1",
            channel="SHOP",
            lines=[RequestLine(sku=SKU, quantity=4)],
        )
    )
    assert levels() == (6, 6), "the partner knows nothing of it"
    record(of_order("channel_order", 1, system="WEB", order="W-1", channel="WEB"))
    assert levels() == (5, 5)


def test_an_order_of_a_sku_that_two_listings_sell_is_counted_for_neither(world, record, levels):
    world.list_item("SHOP", "PAIR", {SKU: 2})
    record(receipt(10), of_order("channel_order", 4))
    assert levels()[0] == 6
    assert world.levels("SHOP")["PAIR"] == 3
    world.run("update listing set active = false where code = 'PAIR'")
    world.run("insert into dirty (sku, sequence) values (%s, 0)", SKU)
    assert levels()[0] == 10


def test_packs_are_counted_whole(world, record, levels):
    world.list_item("SHOP", "SIX", {"SKU-001": 6})
    world.run("update listing set active = false where channel = 'SHOP' and code = 'SKU-001'")
    record(receipt(20, "SKU-001"), of_order("channel_order", 9, sku="SKU-001"))
    levels("SKU-000")
    assert world.levels("SHOP")["SIX"] == 1 + 1


def test_it_is_a_step_of_its_own_now_and_as_of_a_time(world, record, levels, database_url):
    record(receipt(10), of_order("channel_order", 3))
    levels()
    ((then,),) = world.rows("select clock_timestamp()")
    record(of_order("shipment", 3, system="WMS", document="S-1"))
    with connect(database_url, autocommit=True) as connection:
        for at, expected in ((None, [("free", 7)]), (then, [("free", 7), ("gross", 3)])):
            (found,) = quantities(connection, [SKU], "SHOP", at)
            (listing,) = found.channels[0].listings
            steps = [step for step in listing.available_to_sell.steps if step.amount]
            assert [(step.name, step.amount) for step in steps] == expected
            assert listing.available_to_sell.result == sum(step.amount for step in steps)
    assert steps[-1].why == "3 on this channel's open orders, which its partner subtracts itself"


def test_a_connector_that_takes_net_numbers_again_is_noted(world, record, levels, database_url):
    record(receipt(10), of_order("channel_order", 3))
    assert levels()[0] == 10
    with connect(database_url) as connection:
        assert declare_gross(connection, ["subtracts"]) == ()
        assert declare_gross(connection, []) == ("SHOP",)
        connection.commit()
    assert levels()[0] == 7


@pytest.mark.parametrize(("gross", "shown", "put_right"), READ_BACK)
def test_a_gross_number_that_was_lowered_by_a_shipment_is_put_right(gross, shown, put_right):
    now = Clock().now
    level = Level(
        channel="SHOP",
        listing=SKU,
        location="",
        desired=8,
        version=1,
        sequence=1,
        projected_at=now,
        acknowledged=8,
        acknowledged_version=1,
        acknowledged_at=now,
        state="settled",
        due_at=now,
        waiting_since=now,
    )
    assert read_back(level, shown, now, gross=gross) is put_right
    assert (level.state == "due") is put_right


def test_a_replay_of_policies_leaves_it_out(record, levels, database_url):
    record(receipt(10))
    levels()
    with Pool(database_url, size=2) as pool:
        for channel in ("SHOP", "WEB"):
            assert asyncio.run(Publisher(pool, Shop(), link(channel)).step())
    record(of_order("channel_order", 3))
    record(of_order("channel_order", 1, system="WEB", order="W-1", channel="WEB"))
    with connect(database_url, autocommit=True) as connection:
        rules = PolicySet(channels={"SHOP": [], "WEB": []})
        played = replay_policies(connection, rules).channels
    assert [(one.channel, one.skus) for one in played] == [("SHOP", 0), ("WEB", 1)]
