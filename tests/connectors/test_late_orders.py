"""A shop writes an order down late, with a time that a poll has passed: what the poll does then."""

import inspect

import pytest

from stockwright.config.connectors import find_connector
from stockwright.connectors import amazon, bigcommerce, magento, medusa, shopify, woocommerce
from tests.connectors.visiting import connecting, facts, polled

SHOPS = {
    "woocommerce": (woocommerce.Sandbox, {}),
    "bigcommerce": (bigcommerce.Sandbox, {}),
    "magento": (magento.Sandbox, {}),
    "medusa": (medusa.Sandbox, {"settle_s": 0}),
    "shopify": (shopify.Sandbox, {}),
    "amazon": (amazon.Sandbox, {}),
    "amazon by v0": (amazon.Sandbox, {"orders_api": "v0"}),
}


@pytest.fixture(params=SHOPS)
async def visit(request, clock):
    """A shop, and a connection to it whose lists have several pages."""
    sandbox, usual = SHOPS[request.param]
    shop = sandbox(("MUG",), clock=clock)
    await shop.start()
    if request.param == "medusa":
        shop.show("MUG", 100)
    async with connecting(
        find_connector(request.param.split()[0]), shop, clock, **usual
    ) as connect:
        yield shop, connect(page_size=2)
    await shop.stop()


async def sell(shop):
    """The number of an order of one piece."""
    order = shop.sell([("MUG", 1)])
    return str(await order if inspect.isawaitable(order) else order)


async def sell_seven(shop, clock):
    for _ in range(7):
        await sell(shop)
        clock.step()


async def test_a_quiet_shop_tells_nothing_twice(visit, clock):
    """Though each pass begins earlier than the last one ended, and has several pages."""
    shop, connection = visit
    await sell_seven(shop, clock)
    payloads, cursor = await polled(connection)
    assert len(payloads) == 7
    for _ in range(2):
        payloads, cursor = await polled(connection, cursor)
        assert payloads == []


async def test_an_order_written_down_late_is_told_after_a_pass_of_several_pages(visit, clock):
    shop, connection = visit
    await sell_seven(shop, clock)
    _, cursor = await polled(connection)
    clock.step(-5)
    late = await sell(shop)
    clock.step(5)
    payloads, _ = await polled(connection, cursor)
    assert {fact.order for fact in facts(connection, payloads)} == {late}
