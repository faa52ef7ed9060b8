"""Partners connected to a running hub: one takes gross numbers, the webhooks of one only hint."""

import asyncio

from stockwright.api.server import WebServer
from stockwright.app import asking, open_services
from stockwright.connectors.bigcommerce import Sandbox as Store
from stockwright.connectors.magento import Sandbox
from stockwright.domain.events import Fact
from stockwright.flow import retrying
from stockwright.store.polls import hurry_poll
from tests.app.test_services import eventually, network, receipt, reserved, stock


class Running:
    """A hub with workers, connected to a shop."""

    def __init__(self, config):
        self._context = open_services(config)

    async def __aenter__(self):
        self.services = await asyncio.to_thread(self._context.__enter__)
        return self.services

    async def __aexit__(self, *_):
        await asyncio.to_thread(self._context.__exit__, None, None, None)


def desired(services) -> int:
    with services.pool.connection() as connection:
        row = connection.execute("select desired from level").fetchone()
    return -1 if row is None else int(row[0])


def hurry(services) -> None:
    with services.pool.connection() as connection:
        hurry_poll(connection, "shop")


async def test_an_order_of_the_shop_is_subtracted_once(database_url, monkeypatch):
    shop = Sandbox(("MUG",))
    monkeypatch.setenv("SHOP_TOKEN", "sandbox-token")
    settings = {"base_url": await shop.start(), "access_token": "env:SHOP_TOKEN", "channel": "web"}
    config = network(database_url, connector="magento", settings=settings)
    try:
        async with Running(config) as services:
            await asyncio.to_thread(stock, services, "A", "MUG")
            await services.recorder.record([receipt("A", 10)])
            await eventually(lambda: shop.shown("MUG") == 10)

            order = shop.sell([("MUG", 3)])
            await asyncio.to_thread(hurry, services)
            await eventually(lambda: reserved(services, "A") == 3)
            await services.recorder.record([receipt("A", 1)])
            await eventually(lambda: shop.shown("MUG") == 11)
            assert shop.salable("MUG") == 8 == 11 - reserved(services, "A")

            line = str(shop.orders[order]["items"][0]["item_id"])
            left = Fact(
                kind="shipment",
                system="erp",
                document="S-1",
                sku="A",
                quantity=3,
                location="main",
                order_system="shop",
                order=str(order),
                order_line=line,
                final=True,
            )
            await services.recorder.record([left])
            await eventually(lambda: shop.shown("MUG") == 8)
            assert await asyncio.to_thread(desired, services) == 8
    finally:
        await shop.stop()


def failing(services) -> bool:
    """Whether the shop's poll waits for five minutes, and its circuit is open."""
    with services.pool.connection() as connection:
        row = connection.execute(
            "select poll_cursor.due_at > clock_timestamp() + interval '4 minutes',"
            " circuit = 'open' from poll_cursor, connection_state"
        ).fetchone()
    return bool(row == (True, True))


def retry(services) -> retrying.Retried:
    with services.pool.connection() as connection:
        return retrying.retry(connection, "shop", actor="user ada", why="the token is good again")


async def test_a_shop_whose_cause_is_mended_is_asked_and_told_at_once(database_url, monkeypatch):
    """By itself it would be asked after five minutes."""
    shop = Sandbox(("MUG",))
    monkeypatch.setenv("SHOP_TOKEN", "sandbox-token")
    settings = {"base_url": await shop.start(), "access_token": "env:SHOP_TOKEN", "channel": "web"}
    config = network(database_url, connector="magento", settings=settings)
    try:
        with monkeypatch.context() as wrong:
            wrong.setattr("stockwright.connectors.magento.sandbox.TOKEN", "another")
            async with Running(config) as services:
                await asyncio.to_thread(stock, services, "A", "MUG")
                await services.recorder.record([receipt("A", 10)])
                await eventually(lambda: failing(services))
                wrong.undo()
                shop.sell([("MUG", 3)])
                found = await asyncio.to_thread(retry, services)
                assert found.turns.reading.state == "at_once"
                await eventually(lambda: reserved(services, "A") == 3)
                await eventually(lambda: shop.shown("MUG") == 10)
    finally:
        await shop.stop()


async def test_a_thin_webhook_brings_the_order_at_once(database_url, monkeypatch):
    monkeypatch.setattr(asking, "POLL_EVERY_S", 3_600.0)
    store = Store(("MUG",))
    monkeypatch.setenv("SHOP_TOKEN", "sandbox-token")
    monkeypatch.setenv("SHOP_SECRET", store.secret.reveal())
    settings = {
        "base_url": await store.start(),
        "store_hash": "sandbox",
        "access_token": "env:SHOP_TOKEN",
        "client_secrets": ["env:SHOP_SECRET"],
        "channel": "web",
    }
    config = network(database_url, connector="bigcommerce", settings=settings)
    try:
        async with Running(config) as services:
            web = WebServer(services, host="127.0.0.1", port=0)
            await asyncio.to_thread(web.start)
            try:
                store.webhook_url = f"{web.url}/v1/hooks/shop"
                await asyncio.to_thread(stock, services, "A", "MUG")
                await services.recorder.record([receipt("A", 10)])
                await eventually(lambda: store.shown("MUG") == 10)
                await store.sell([("MUG", 3)])
                assert store.deliveries == [202]
                await eventually(lambda: reserved(services, "A") == 3)
                await eventually(lambda: store.shown("MUG") == 7)
            finally:
                await asyncio.to_thread(web.stop)
    finally:
        await store.stop()
