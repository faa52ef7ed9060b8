"""Shopify and Amazon with a running hub: levels out until verified, orders in, documents out."""

import asyncio
import datetime as dt
from contextlib import asynccontextmanager

import pytest

from stockwright.api.server import WebServer
from stockwright.app import open_connection
from stockwright.connectors.amazon import Sandbox as Account
from stockwright.connectors.shopify import Sandbox as Shop
from stockwright.connectors.woocommerce import Sandbox as WooShop
from stockwright.domain.events import Fact
from stockwright.flow import publication
from stockwright.sdk.messages import Delivered, DocumentLine, Shipment, ShownLevel
from stockwright.sdk.secrets import Secret
from tests.app.test_partners import Running, desired, hurry
from tests.app.test_services import eventually, network, receipt, reserved, stock

NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
SECRETS = (
    "access_token", "webhook_secrets", "client_id", "client_secret", "refresh_token",
    "consumer_key", "consumer_secret",
)  # fmt: skip


@pytest.fixture(autouse=True)
def reads_back_at_once(monkeypatch):
    monkeypatch.setattr(publication, "VERIFY_EVERY_S", 0.05)
    monkeypatch.setattr(publication, "VERIFY_REST_S", 0.1)


def settings_of(partner, monkeypatch):
    """A sandbox's settings as an operator writes them: secrets by reference."""
    given = {}
    for name, value in partner.settings().items():
        many = value if isinstance(value, list) else [value]
        if name in SECRETS:
            monkeypatch.setenv(f"P_{name.upper()}", many[0].reveal())
            reference = f"env:P_{name.upper()}"
            given[name] = [reference] if isinstance(value, list) else reference
        else:
            assert not isinstance(value, Secret)
            given[name] = value
    return {**given, "channel": "web"}


@asynccontextmanager
async def hub(database_url, partner, monkeypatch, connector: str, **more):
    """A hub with API and workers, connected to a sandbox that lists MUG and was told of 10."""
    await partner.start()
    settings = {**settings_of(partner, monkeypatch), **more}
    config = network(database_url, connector=connector, settings=settings)
    try:
        async with Running(config) as services:
            web = WebServer(services, host="127.0.0.1", port=0)
            await asyncio.to_thread(web.start)
            partner.webhook_url = f"{web.url}/v1/hooks/shop"
            # The hub's own belongs to the loop of its workers.
            link = open_connection(config.systems[1])
            try:
                await asyncio.to_thread(stock, services, "A", "MUG")
                await services.recorder.record([receipt("A", 10)])
                await eventually(lambda: partner.shown("MUG") == 10)
                await eventually(lambda: verified(services) == 10)
                yield services, link
            finally:
                await link.close()
                await asyncio.to_thread(web.stop)
    finally:
        await partner.stop()


def verified(services) -> int | None:
    with services.pool.connection() as connection:
        row = connection.execute("select verified from level").fetchone()
    return row[0] if row else None


def work_items(services):
    with services.pool.connection() as connection:
        return connection.execute("select kind, subject from work_item").fetchall()


def parked(services) -> int:
    with services.pool.connection() as connection:
        row = connection.execute("select count(*) from payload where state = 'parked'").fetchone()
    return int(row[0])


def left(order: str, line: str, quantity: int) -> Fact:
    return Fact(
        kind="shipment",
        system="erp",
        document=f"S-{order}",
        sku="A",
        quantity=quantity,
        location="main",
        order_system="shop",
        order=order,
        order_line=line,
        final=True,
    )


def shipped(order: str, line: str, quantity: int) -> Shipment:
    lines = (DocumentLine(line=line, quantity=quantity),)
    return Shipment(
        key=f"S-{order}",
        order=order,
        lines=lines,
        shipped_at=NOON,
        carrier="UPS",
        tracking="1Z-1",
    )


def settled_at(services, partner, units: int):
    return lambda: partner.shown("MUG") == units == verified(services) == desired(services)


async def test_shopify_end_to_end(database_url, monkeypatch):
    shop = Shop(("MUG",))
    async with hub(database_url, shop, monkeypatch, "shopify") as (services, link):
        order = await shop.sell([("MUG", 3)])
        await eventually(lambda: reserved(services, "A") == 3)
        await eventually(settled_at(services, shop, 7))

        # Webhooks fail: the poll brings the next order and what becomes of it.
        shop.webhooks = False
        lost = shop.shop.sell([("MUG", 2)])
        await asyncio.to_thread(hurry, services)
        await eventually(lambda: reserved(services, "A") == 5)
        await eventually(settled_at(services, shop, 5))
        shop.shop.cancel(lost)
        await asyncio.to_thread(hurry, services)
        await eventually(lambda: reserved(services, "A") == 3)
        await eventually(settled_at(services, shop, 7))

        # A refund before shipment frees a unit; told by webhook and by poll it counts once.
        shop.webhooks = True
        row = shop.shop.orders[order]["lines"][0]
        await shop.pay_back(order, [(row["id"], 1)])
        await eventually(lambda: reserved(services, "A") == 2)
        await asyncio.to_thread(hurry, services)
        await eventually(settled_at(services, shop, 8))
        assert set(shop.deliveries) == {202}

        document = shipped(str(order), str(row["id"]), 2)
        told = await link.submit(document)
        assert isinstance(told, Delivered)
        assert await link.submit(document) == told
        (fulfilment,) = shop.shop.orders[order]["fulfillments"]
        assert (fulfilment["tracking"], fulfilment["lines"]) == ("1Z-1", [(row["id"], 2)])
        await services.recorder.record([left(str(order), str(row["id"]), 2)])
        await eventually(lambda: reserved(services, "A") == 0)

        # Goods that come back are sold again once the warehouse has them, not before.
        await shop.pay_back(order, [(row["id"], 1)], "RETURN")
        await asyncio.to_thread(hurry, services)
        await eventually(settled_at(services, shop, 8))
        assert reserved(services, "A") == 0
        assert await link.snapshot() == [ShownLevel(listing="MUG", quantity=8)]
        assert (parked(services), work_items(services)) == (0, [])


async def test_amazon_end_to_end(database_url, monkeypatch):
    account = Account(("MUG",))
    often = {"asked_every_s": 0.5}
    async with hub(database_url, account, monkeypatch, "amazon", **often) as (services, link):
        # An order that is not paid yet claims stock, and its payment claims it no second time.
        order = await account.sell([("MUG", 3)], "Pending")
        await eventually(lambda: reserved(services, "A") == 3)
        await account.change(order, "Unshipped")
        await eventually(settled_at(services, account, 7))
        assert reserved(services, "A") == 3

        account.webhooks = False
        lost = await account.sell([("MUG", 2)], "Pending")
        await asyncio.to_thread(hurry, services)
        await eventually(lambda: reserved(services, "A") == 5)
        await account.change(lost, "Canceled")
        await asyncio.to_thread(hurry, services)
        await eventually(lambda: reserved(services, "A") == 3)
        await eventually(settled_at(services, account, 7))

        account.webhooks = True
        line = account.lines[order][0]["OrderItemId"]
        await account.change_line(order, 0, 2)
        await eventually(lambda: reserved(services, "A") == 2)
        await eventually(settled_at(services, account, 8))
        assert set(account.deliveries) == {202}

        document = shipped(order, line, 2)
        told = await link.submit(document)
        assert isinstance(told, Delivered)
        assert await link.submit(document) == told
        (package,) = account.packages[order].values()
        assert package["trackingNumber"] == "1Z-1"
        assert account.orders[order]["OrderStatus"] == "Shipped"
        await services.recorder.record([left(order, line, 2)])
        await eventually(lambda: reserved(services, "A") == 0)
        await asyncio.to_thread(hurry, services)
        await eventually(settled_at(services, account, 8))
        assert await link.snapshot() == [ShownLevel(listing="MUG", quantity=8)]
        assert account.throttled == []
        assert (parked(services), work_items(services)) == (0, [])


async def test_webhooks_that_a_shop_gave_up_while_the_hub_was_away_are_on_again(
    database_url, monkeypatch
):
    shop = WooShop(("MUG",))
    shop.webhook_url = "http://127.0.0.1:1/v1/hooks/shop"
    shop.give_up_webhooks()
    async with hub(database_url, shop, monkeypatch, "woocommerce") as (services, _):
        await eventually(lambda: {one["status"] for one in shop.hooks.values()} == {"active"})
        await eventually(lambda: ("webhook_off", "shop") in work_items(services))
        await shop.sell([("MUG", 3)])
        assert shop.deliveries == [202]
        await eventually(lambda: reserved(services, "A") == 3)
