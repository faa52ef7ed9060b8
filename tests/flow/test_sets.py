"""Kits, orders that are not split and shelf life: from the ledger to the levels and the grants."""

import datetime as dt

import pytest

from stockwright.domain.events import Fact, Request, RequestLine
from stockwright.flow.expiry import Sweeper
from stockwright.flow.explaining import quantities
from stockwright.flow.projection import Projection
from stockwright.flow.recording import Recorder
from stockwright.store.connection import Pool, connect
from tests.flow.channels import World


@pytest.fixture
def world(database_url):
    return World(database_url, channels=("WEB", "B2B"))


@pytest.fixture
def recorder(world, database_url):
    with Recorder(database_url) as recorder:
        yield recorder


@pytest.fixture
def pool(database_url):
    with Pool(database_url, size=2) as pool:
        yield pool


@pytest.fixture
def projection(pool, world):
    return Projection(pool)


@pytest.fixture
def connection(database_url):
    with connect(database_url, autocommit=True) as connection:
        yield connection


def in_days(days):
    return dt.datetime.now(dt.UTC).date() + dt.timedelta(days=days)


def kit(world, sku, **parts):
    world.run("insert into sku (code) values (%s) on conflict do nothing", sku)
    for code, quantity in parts.items():
        world.run("insert into kit values (%s, %s, %s)", sku, code.replace("_", "-"), quantity)


def test_what_touches_a_part_of_a_kit_changes_the_level_of_the_kit(world, projection):
    kit(world, "PAIR", SKU_000=1, SKU_001=2)
    kit(world, "GIFT", PAIR=2, SKU_002=1)
    world.list_item("WEB", "gift", {"GIFT": 1})
    world.stock("SKU-000", 9)
    world.stock("SKU-001", 9)
    world.stock("SKU-002", 9)
    projection.step()
    assert world.levels()["gift"] == 2, "nine single parts, four of them in a gift"
    world.stock("SKU-001", 12)
    projection.step()
    assert world.levels()["gift"] == 3
    world.stock("GIFT", 1)
    projection.step()
    assert world.levels()["gift"] == 4, "one is ready-made"


def test_a_part_on_a_listing_by_itself_and_in_a_kit_is_counted_once(world, projection):
    kit(world, "PAIR", SKU_000=1, SKU_001=1)
    world.list_item("WEB", "three", {"PAIR": 1, "SKU-000": 1})
    world.stock("SKU-000", 9)
    world.stock("SKU-001", 9)
    world.stock("PAIR", 5)
    projection.step()
    assert world.levels()["three"] == 4


def test_the_listing_of_a_kit_is_found_by_its_parts(world, connection):
    kit(world, "PAIR", SKU_000=1, SKU_001=2)
    world.list_item("WEB", "pair", {"PAIR": 1})
    world.stock("SKU-000", 3)
    world.stock("SKU-001", 2)
    (found,) = quantities(connection, ["SKU-000"], "WEB")
    shown = {one.listing: one.available_to_sell for one in found.channels[0].listings}
    assert (shown["pair"].result, shown["pair"].sku) == (1, "SKU-001")


def test_a_channel_that_does_not_split_shows_sets_that_lie_together(world, projection):
    world.run("update channel set allow_split = false where code = 'B2B'")
    for channel in ("WEB", "B2B"):
        world.list_item(channel, "SET", {"SKU-000": 1, "SKU-001": 1})
    world.stock("SKU-000", 5)
    world.stock("SKU-001", 5, location="STORE")
    world.stock("SKU-001", 2)
    projection.step()
    assert world.levels("WEB")["SET"] == 5
    assert world.levels("B2B")["SET"] == 2


def lots(recorder, world, **lots):
    world.run("update sku set control = 'lot' where code = 'SKU-000'")
    recorder.submit(
        [
            Fact(
                kind="receipt",
                system="WMS",
                document=f"GR-{lot}",
                sku="SKU-000",
                location="MAIN",
                lot=lot,
                expires_on=in_days(days),
                quantity=quantity,
            )
            for lot, (days, quantity) in lots.items()
        ]
    ).result(30)


def reserve(document, quantity, channel="WEB"):
    return Request(
        kind="reserve",
        system=channel,
        document=document,
        channel=channel,
        lines=[RequestLine(sku="SKU-000", quantity=quantity)],
    )


def test_only_lots_with_the_days_a_policy_asks_for_are_shown_and_granted(
    world, recorder, projection, connection
):
    world.policy("WEB", min_shelf_life_days=60, hard_safety=1)
    lots(recorder, world, OLD=(30, 10), NEW=(200, 5))
    projection.step()
    assert world.levels("WEB")["SKU-000"] == 4
    assert world.levels("B2B")["SKU-000"] == 15
    (found,) = quantities(connection, ["SKU-000"], "WEB")
    grantable = found.channels[0].grantable.result
    assert grantable == 4
    too_much, all_of_it = recorder.submit([reserve("R-1", 5), reserve("R-2", 4)]).result(30)
    assert (too_much.code, all_of_it.code) == ("insufficient", "granted")
    # What WEB was promised fresh is not granted to another out of the same lots.
    (rest,) = recorder.submit([reserve("R-3", 11, "B2B")]).result(30)
    assert rest.code == "granted"
    (found,) = quantities(connection, ["SKU-000"], "WEB")
    assert found.channels[0].grantable.result == -1


def test_a_lot_that_falls_short_of_the_days_leaves_the_level_by_the_calendar(
    world, recorder, projection, pool
):
    world.policy("WEB", min_shelf_life_days=60)
    lots(recorder, world, EDGE=(60, 10), NEW=(200, 5))
    projection.step()
    assert world.levels("WEB")["SKU-000"] == 15
    tomorrow = dt.datetime.combine(in_days(1), dt.time(0, 1), dt.UTC)
    sweeper = Sweeper(pool, recorder)
    assert sweeper.mark(tomorrow - dt.timedelta(days=1)) == 0
    assert sweeper.mark(tomorrow) == 1
    assert sweeper.mark(tomorrow) == 0, "once"
    assert world.rows("select sku from dirty") == [("SKU-000",)]


def test_days_that_nobody_looked_are_made_up_for(world, recorder, projection, pool):
    world.policy("WEB", min_shelf_life_days=60)
    lots(recorder, world, A=(61, 1), B=(70, 1), C=(90, 1))
    projection.step()
    sweeper = Sweeper(pool, recorder)
    later = dt.datetime.combine(in_days(5), dt.time(12), dt.UTC)
    assert sweeper.mark(later) == 1
    assert sweeper.mark(later + dt.timedelta(days=3)) == 0
