"""Sellers that are sandboxes of real partners: a Shopify shop and an Amazon seller account.

They keep the limits these partners publish, so that a number waits as long as it would there.
"""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from stockwright.connectors.amazon import Sandbox as Account
from stockwright.connectors.amazon.plans import PLANS
from stockwright.connectors.shopify import Sandbox as Shop
from stockwright.connectors.shopify.sandbox_shop import order_webhook
from stockwright.demo.happenings import Order, OrderLine
from stockwright.demo.installation import Secrets
from stockwright.demo.overlay import Seller
from stockwright.demo.sellers import Post, Promised
from stockwright.demo.stage import Stage
from stockwright.sdk.secrets import Secret
from stockwright.sdk.transports import json_body

PAID_AFTER_S: Final = 30.0
"""Seconds for which an order of the marketplace is pending."""
LOOKS_EVERY_S: Final = 2.0
ASKS_EVERY_S: Final = 10.0
"""The sandbox lists an order at once: an increase need not wait for a list that ends later."""
RAISED: Final = {**PLANS, "searchOrders": PLANS["getOrders"]}
"""Amazon's plans, but lists of orders as often as v0 gives them: accounts may have larger plans."""
APPLIES_WITHIN_S: Final = 5.0
"""The sandbox reads a feed when it is asked for: nothing of it comes later."""

OnLevel = Callable[[str, int, dt.datetime], None]


class Sold(NamedTuple):
    """An order as the partner calls it: its number, those of its lines, and what it tells of it."""

    order: str
    lines: tuple[str, ...]
    body: bytes


class Stand(Protocol):
    """A partner's sandbox as the replay uses it."""

    async def start(self) -> object:
        """Listens on loopback."""
        ...

    async def stop(self) -> None:
        """Closes it. Safe to repeat."""
        ...

    def table(self, system: str, secrets: Secrets) -> dict[str, Any]:
        """The system's table in the configuration, once it is started."""
        ...

    def open(self, hook: str, clock: Callable[[], dt.datetime]) -> None:
        """Tells it the hub's address for webhooks, and the replay's clock."""
        ...

    def on_level(self, callback: OnLevel) -> None:
        """Calls back for each level it takes."""
        ...

    def shown(self, sku: str) -> int:
        """The number it shows."""
        ...

    async def sell(self, lines: Sequence[OrderLine]) -> Sold:
        """Customers buy these lines; what it shows is lowered."""
        ...

    async def pay(self, order: str) -> bytes:
        """The order is paid; what it tells of that, b'' where it says nothing."""
        ...

    async def deliver(self, body: bytes, message_id: str) -> int:
        """Sends one webhook; the hub's status."""
        ...


class ShopifyStand:
    """The web shop: a Shopify sandbox that lists these SKUs."""

    def __init__(self, skus: Sequence[str]) -> None:
        self._sandbox = Shop(skus)
        self.start = self._sandbox.start
        self.stop = self._sandbox.stop

    def table(self, system: str, secrets: Secrets) -> dict[str, Any]:
        """See Stand."""
        settings = _referred(system, self._sandbox.settings(), secrets)
        return {"role": "shop", "connector": "shopify", "settings": settings}

    def open(self, hook: str, clock: Callable[[], dt.datetime]) -> None:
        """See Stand."""
        self._sandbox.webhook_url = hook
        self._sandbox.shop.clock = clock

    def on_level(self, callback: OnLevel) -> None:
        """See Stand."""
        self._sandbox.shop.on_level.append(callback)

    def shown(self, sku: str) -> int:
        """See Stand."""
        return self._sandbox.shown(sku) or 0

    async def sell(self, lines: Sequence[OrderLine]) -> Sold:
        """See Stand."""
        number = self._sandbox.shop.sell([(line.sku, line.quantity) for line in lines])
        order = self._sandbox.shop.orders[number]
        rows = tuple(str(row["id"]) for row in order["lines"])
        return Sold(str(number), rows, json_body(order_webhook(order)))

    async def pay(self, order: str) -> bytes:
        """A shop's order is paid when it is placed."""
        return b""

    async def deliver(self, body: bytes, message_id: str) -> int:
        """See Stand."""
        return await self._sandbox.deliver(body, "orders/create")


class AmazonStand:
    """The marketplace: an Amazon sandbox that lists these SKUs. Its orders are pending at first."""

    def __init__(self, skus: Sequence[str]) -> None:
        self._sandbox = Account(skus, plans=RAISED)
        self._sandbox.webhooks = False
        self.start = self._sandbox.start
        self.stop = self._sandbox.stop

    def table(self, system: str, secrets: Secrets) -> dict[str, Any]:
        """See Stand."""
        settings = {
            **_referred(system, self._sandbox.settings(), secrets),
            "feed_look_s": LOOKS_EVERY_S,
            "asked_every_s": ASKS_EVERY_S,
            "longest_apply_delay_s": APPLIES_WITHIN_S,
        }
        return {"connector": "amazon", "settings": settings}

    def open(self, hook: str, clock: Callable[[], dt.datetime]) -> None:
        """See Stand."""
        self._sandbox.webhook_url = hook
        # The replay's clock stands while nothing is played, and the hub's does not: increases would
        # wait for a list of orders that ends later than they.
        self._sandbox.clock = lambda: max(clock(), dt.datetime.now(dt.UTC))

    def on_level(self, callback: OnLevel) -> None:
        """See Stand."""
        self._sandbox.on_level.append(callback)

    def shown(self, sku: str) -> int:
        """See Stand."""
        return self._sandbox.shown(sku) or 0

    async def sell(self, lines: Sequence[OrderLine]) -> Sold:
        """See Stand."""
        number = await self._sandbox.sell([(line.sku, line.quantity) for line in lines], "Pending")
        rows = tuple(row["OrderItemId"] for row in self._sandbox.lines[number])
        return Sold(number, rows, json_body(self._sandbox.notice(number)))

    async def pay(self, order: str) -> bytes:
        """See Stand."""
        await self._sandbox.change(order, "Unshipped")
        return json_body(self._sandbox.notice(order))

    async def deliver(self, body: bytes, message_id: str) -> int:
        """See Stand."""
        return await self._sandbox.deliver(msgspec.json.decode(body))


def stands_with(skus: Sequence[str]) -> dict[str, Stand]:
    """The partners of the profile `partners`, by system (see overlay.REAL)."""
    return {"webshop": ShopifyStand(skus), "bazaar": AmazonStand(skus)}


class RealSeller:
    """Sells what it shows and tells the hub afterwards, in its partner's own words."""

    def __init__(self, seller: Seller, stand: Stand, stage: Stage, promised: Promised) -> None:
        self.seller = seller
        self._stand = stand
        self._stage = stage
        self._promised = promised
        self._post = Post(stand.deliver, stage, seller.code)
        stand.on_level(self._took)

    async def order(self, order: Order) -> None:
        """Promise what the shown number covers, and tell the hub."""
        code, stage = self.seller.code, self._stage
        stage.oracle.order(code)
        sold = self._sellable(order.lines)
        if not sold:
            return
        made = await self._stand.sell(sold)
        for line in sold:
            stage.picture.see_shown(stage.clock.now(), code, line.sku, self._stand.shown(line.sku))
        # The warehouse hears of an order under the partner's own numbers.
        lines = [line._replace(line=own) for line, own in zip(sold, made.lines, strict=True)]
        self._promised(code, order._replace(invoice=made.order), lines)

        def heard() -> None:
            for line in sold:
                stage.told(line.sku, line.quantity)

        skus = [line.sku for line in sold]
        stage.loop.at(stage.after(PAID_AFTER_S), lambda: self._pay(made.order))
        await self._post.send(made.body, name=made.order, skus=skus, heard=heard)

    async def _pay(self, order: str) -> None:
        body = await self._stand.pay(order)
        if body:
            await self._post.send(body, name=f"{order}-paid", skus=(), heard=lambda: None)

    def _sellable(self, lines: Sequence[OrderLine]) -> list[OrderLine]:
        """The lines that the shown numbers cover, each whole or not at all."""
        code, stage = self.seller.code, self._stage
        taken: Counter[str] = Counter()
        sold = []
        for line in lines:
            if line.quantity > self._stand.shown(line.sku) - taken[line.sku]:
                stage.oracle.refused(code, line.sku, line.quantity)
                continue
            taken[line.sku] += line.quantity
            stage.accept(code, line.sku, line.quantity)
            stage.keep_back(line.sku, line.quantity)
            sold.append(line)
        return sold

    def _took(self, listing: str, quantity: int, at: dt.datetime) -> None:
        self._stage.meter.shown(self.seller.code, listing)
        self._stage.picture.see_shown(at, self.seller.code, listing, quantity)


def _referred(system: str, settings: dict[str, Any], secrets: Secrets) -> dict[str, Any]:
    """Settings as they stand in a file: a reference in the place of each secret."""

    def refer(name: str, value: Any) -> Any:
        if isinstance(value, Secret):
            return secrets.keep(system, name, value.reveal())
        if isinstance(value, list):
            return [refer(name, one) for one in value]
        return value

    return {name: refer(name, value) for name, value in settings.items()}
