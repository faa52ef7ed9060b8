"""A source of sales falls silent: what the shop is shown shrinks, and recovers by itself."""

import threading

import pytest

from stockwright.flow.buffering import Buffering
from stockwright.flow.projection import Projection
from stockwright.flow.publication import Publisher
from stockwright.store import windows
from stockwright.store.connection import Pool
from tests.flow.channels import Shop, World, link
from tests.flow.test_buffering import give_demand, publish, settle


@pytest.fixture
def pool(database_url):
    with Pool(database_url, size=4) as pool:
        yield pool


async def test_a_silent_source_lowers_what_the_shop_shows_until_it_speaks_again(database_url, pool):
    world = World(database_url, channels=("WEB", "EBAY"))
    world.policy("WEB", buffer_risk=0.01)
    world.run("update system set heartbeat_s = 60 where code = 'EBAY'")
    world.stock("SKU-000", 500)
    give_demand(pool, "SKU-000", per_day=200)
    publish(world, "WEB", 2)
    buffering, projection, shop = Buffering(pool), Projection(pool), Shop()
    publisher = Publisher(pool, shop, link("WEB"))

    async def shown():
        settle(buffering)
        projection.drain(threading.Event())
        while await publisher.step():
            pass
        return shop.shows["SKU-000"]

    calm = await shown()
    lowered = []
    for minutes in (10, 60, 240):
        world.run(
            "update heartbeat set seen_at = clock_timestamp() - make_interval(mins => %s)"
            " where system = 'EBAY'",
            minutes,
        )
        lowered.append(await shown())
    assert calm > lowered[0] > lowered[1] > lowered[2] > 0
    with pool.connection() as connection:
        windows.beat(connection, "EBAY")
    assert await shown() == calm
    assert world.rows("select state from level where channel = 'WEB' and listing = 'SKU-000'") == [
        ("settled",)
    ]
