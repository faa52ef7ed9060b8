"""A shop whose hub is away: what each channel keeps showing, and how it catches up."""

import pytest

from stockwright.connectors import csv_drop
from stockwright.flow import steering
from stockwright.flow.projection import Projection
from stockwright.flow.publication import Publisher
from stockwright.sdk.connector import Opening
from stockwright.sdk.verbs import Publishes
from stockwright.store.connection import Pool
from tests.flow.channels import Clock, World, link
from tests.proof.trading import trading, until_verified

SKU = "SKU-000"


async def test_a_shop_goes_on_selling_what_it_shows_and_is_brought_to_the_truth_afterwards(
    database_url: str,
) -> None:
    """Two shops share ten. While the hub is away they sell seven, and five come in."""
    async with trading(database_url, systems=("WEB", "EBAY"), skus=1) as house:
        web, ebay = house.partners["WEB"], house.partners["EBAY"]
        house.receive(SKU, 10)
        await house.round()
        house.pass_s(1)
        await house.round()
        assert (web.shows, ebay.shows) == ({SKU: 10}, {SKU: 10})

        # Away: nobody polls, records, projects or publishes. Each shop counts down by itself.
        await web.sell(SKU, 4)
        await ebay.sell(SKU, 3)
        house.pass_s(3_600)
        assert (web.shows, ebay.shows) == ({SKU: 6}, {SKU: 7})

        # Back: five units came in. No shop is raised before its orders are known.
        house.receive(SKU, 5)
        house.project()
        sent = house.world.rows("select count(*) from attempt")
        for partner in (web, ebay):
            await partner.publish()
        assert (web.shows, ebay.shows) == ({SKU: 6}, {SKU: 7}), "15 would sell seven units twice"
        assert house.world.rows("select count(*) from attempt") == sent

        # The orders of one shop are there, those of the other not yet: it is told at once.
        await ebay.poll()
        house.record()
        house.project()
        await ebay.publish()
        assert ebay.shows == {SKU: 12}
        await house.round()
        assert (web.shows, ebay.shows) == ({SKU: 8}, {SKU: 8})
        await until_verified(house)
        house.check_books()
        assert house.true(SKU) == 8


async def test_two_shops_that_sold_the_same_units_meanwhile_are_zeroed_first(
    database_url: str,
) -> None:
    """What was sold twice cannot be undone: it is a shortage, told at once and shown as zero."""
    async with trading(database_url, systems=("WEB", "EBAY"), skus=1) as house:
        web, ebay = house.partners["WEB"], house.partners["EBAY"]
        house.receive(SKU, 5)
        await house.round()
        await web.sell(SKU, 4)
        await ebay.sell(SKU, 3)
        house.pass_s(600)
        assert (web.shows, ebay.shows) == ({SKU: 1}, {SKU: 2}), "at most what each was shown"
        await web.poll()
        await ebay.poll()
        house.record()
        house.project()
        for partner in (web, ebay):
            assert await partner.workers[0].step() == 1, "a zero waits for nothing"
        assert (web.shows, ebay.shows) == ({SKU: 0}, {SKU: 0})
        assert house.world.rows(
            "select sum(sellable - reserved - allocated - picked) from balance"
        ) == [(-2,)]
        house.check_books()


async def test_a_shop_whose_orders_cannot_be_had_is_raised_less_a_buffer_and_says_so(
    database_url: str,
) -> None:
    """The hub is back, the shop's order list is not: after two minutes part of the goods go."""
    async with trading(database_url, skus=1) as house:
        web = house.partners["WEB"]
        house.receive(SKU, 10)
        await house.round()
        house.pass_s(3_600)
        house.receive(SKU, 10)
        house.project()
        await web.publish()
        assert web.shows == {SKU: 10}
        house.pass_s(119)
        await web.publish()
        assert web.shows == {SKU: 10}
        house.pass_s(2)
        await web.publish()
        assert web.shows == {SKU: 16}
        items = "select subject from work_item where kind = 'orders_unseen' and closed_at is null"
        assert house.world.rows(items) == [("WEB",)]
        house.pass_s(5)
        await house.round()
        assert web.shows == {SKU: 20}
        assert house.world.rows(items) == []


@pytest.mark.parametrize("kind", ["medusa", "magento"])
async def test_a_shop_that_takes_gross_numbers_is_told_without_waiting_for_its_orders(
    database_url: str, kind: str
) -> None:
    """It subtracts its open orders itself: what it sold meanwhile is not put back on sale."""
    async with trading(database_url, skus=1, kind=kind) as house:
        web = house.partners["WEB"]
        house.receive(SKU, 10)
        await house.round()
        house.pass_s(5)
        await house.round()
        assert web.shows == {SKU: 10}
        await web.sell(SKU, 4)
        house.pass_s(3_600)
        assert web.shows == {SKU: 6}
        house.receive(SKU, 5)
        house.project()
        await web.publish()
        house.pass_s(5)
        assert web.shows == {SKU: 11}
        await until_verified(house)
        assert web.shows == {SKU: 11}
        house.check_books()


async def test_a_shop_that_reads_files_keeps_the_last_whole_one_and_the_next_holds_everything(
    database_url: str, tmp_path
) -> None:
    world, clock = World(database_url, skus=3), Clock()
    async with csv_drop.Sandbox(tmp_path, clock=clock) as shop:
        await shop.start()
        settings = csv_drop.CONNECTOR.declaration.parse_settings(shop.settings(), str)
        with Pool(database_url, size=2) as pool:
            connection = csv_drop.CONNECTOR.open(Opening(system="WEB", clock=clock), settings)
            assert isinstance(connection, Publishes)
            publisher = Publisher(pool, connection, link(clock=clock))
            projection = Projection(pool, clock=clock)
            for sku in world.skus:
                world.stock(sku, 10)
            projection.step()
            await publisher.step()
            assert shop.collect() == 3

            # Away: the shop counts its own sales down; goods move, and no file comes.
            shop.lower(SKU, 4)
            world.stock(SKU, 6)
            world.stock("SKU-001", 0)
            clock.pass_s(3_600)
            assert shop.collect() == 0
            assert [shop.shown(sku) for sku in world.skus] == [6, 10, 10]

            projection.step()
            while await publisher.step():
                clock.pass_s(1)
            assert shop.collect() > 0
            assert [shop.shown(sku) for sku in world.skus] == [6, 0, 10]
            await connection.close()


async def test_a_paused_channel_shows_what_it_showed_until_it_is_resumed(database_url: str) -> None:
    """It makes no difference to it whether the hub is there."""
    async with trading(database_url, skus=1) as house:
        web = house.partners["WEB"]
        house.receive(SKU, 10)
        await house.round()
        with house.pool.connection() as connection:
            steering.pause(connection, "WEB", actor="op", why="they move house")
        await web.sell(SKU, 4)
        house.pass_s(3_600)
        house.lose(SKU, 3)
        await house.round()
        assert web.shows == {SKU: 6}, "its orders are known, its number is not touched"
        with house.pool.connection() as connection:
            steering.resume(connection, "WEB", actor="op", why="moved")
        await house.round()
        assert web.shows == {SKU: 3}
        house.check_books()
