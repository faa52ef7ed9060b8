"""The loops of a process together: an increase asks for the orders it waits for, and goes."""

import asyncio

import msgspec

from stockwright.app import asking
from stockwright.app.asking import poll_until
from stockwright.connectors.json_http import CONNECTOR, Sandbox
from stockwright.flow.polling import Poller
from stockwright.flow.projection import Projection
from stockwright.flow.publication import Publication, Publisher
from stockwright.sdk.connector import Opening
from stockwright.store.connection import Pool
from tests.flow.channels import World, link, until


async def test_an_increase_does_not_wait_for_the_next_poll_by_the_clock(database_url, monkeypatch):
    monkeypatch.setattr(asking, "POLL_EVERY_S", 3_600.0)
    world = World(database_url)
    async with Sandbox() as shop:
        await shop.start()
        settings = CONNECTOR.declaration.parse_settings(shop.settings(), str)
        connection = CONNECTOR.open(Opening(system="WEB"), settings)
        with Pool(database_url, size=6) as pool:
            wanted, stop = asyncio.Event(), asyncio.Event()
            own = msgspec.structs.replace(
                link(limits=connection.limits), order_watermark=True, ask_for_orders=wanted.set
            )
            publication = Publication([Publisher(pool, connection, own)])
            projection = Projection(pool)
            projection.listeners.append(publication.wake)
            poller = Poller(pool, worker="w1")
            running = [
                asyncio.create_task(publication.run(stop)),
                asyncio.create_task(poll_until(stop, poller, "WEB", connection, print, wanted)),
            ]
            for units in (10, 20, 30):
                world.stock("SKU-000", units)
                await asyncio.to_thread(projection.step)
                await until(lambda units=units: shop.shown("SKU-000") == units)
            stop.set()
            await asyncio.gather(*running)
        await connection.close()
    ((kept,),) = world.rows(
        "select min(watermark) - max(projected_at) > interval '0' from"
        " poll_cursor, level where state = 'settled'"
    )
    assert kept, "the poll began after the increase"
