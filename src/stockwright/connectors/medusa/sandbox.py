"""A Medusa shop on this machine: for tests, the demo and dry runs.

It speaks the part of the Admin API that the connector uses, in the shapes recorded from a real
server (`cases/answers`), with its limits: twenty values in a list of a query, all or nothing in a
batch of levels, one change of an order at a time.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any, Final

from aiohttp import web

from stockwright.connectors.medusa.sandbox_answers import (
    Answers,
    json_answer,
    listed,
    query_of,
    refusals,
)
from stockwright.connectors.medusa.sandbox_shop import PLACE, ShopState
from stockwright.domain.errors import Transient
from stockwright.sdk.auth import basic
from stockwright.sdk.connector import utc_now
from stockwright.sdk.hostile import Faults, keeping
from stockwright.sdk.messages import DocumentLine
from stockwright.sdk.secrets import Secret
from stockwright.sdk.signatures import signature_of
from stockwright.sdk.transports import Http, HttpRequest, json_body

_KEY: Final = "sk_sandbox"
_USER: Final = ("admin@example.com", "sandbox")
_MOST: Final = 20


class Sandbox:
    """A shop over real HTTP on loopback. Belongs to the event loop that starts it.

    products are SKUs, each with a variant and an inventory item. faults spoils calls (see
    sdk.hostile). refused: listing -> the type of error a batch with it is answered with, as a
    server with rules of its own may do.
    """

    HAS_FAULTS = True

    def __init__(
        self,
        products: Sequence[str] = ("L-1", "L-2", "L-3"),
        *,
        webhook_url: str = "",
        clock: Callable[[], dt.datetime] = utc_now,
    ) -> None:
        self.refused: dict[str, str] = {}
        self.webhook_url = webhook_url
        self.webhooks = True
        self.secret = Secret("medusa-webhook-secret")
        self.deliveries: list[int] = []
        self.calls: list[tuple[str, str]] = []
        self.shop = ShopState(products, clock)
        self.faults = Faults(keep=keeping(self.shop, "items"))
        self._answers = Answers(self.shop, self.refused, self._tell)
        self._tokens = 0
        self._runner: web.AppRunner | None = None
        self._http = Http()
        self._url = ""

    # ---------------------------------------------------------------- running

    async def start(self, port: int = 0) -> str:
        """Listens on loopback; answers the shop's address."""
        app = web.Application(middlewares=[self._gate, self.faults.middleware(), refusals])
        app.router.add_route("POST", "/auth/user/emailpass", self._sign_in)
        self._answers.add_to(app)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        host, bound = self._runner.addresses[0][:2]
        self._url = f"http://{host}:{bound}"
        return self._url

    async def stop(self) -> None:
        """Closes the server and its calls. Safe to repeat."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
        await self._http.close()

    def settings(self) -> dict[str, Any]:
        """The settings of a connection to this shop, once it is started."""
        return {
            "base_url": self._url,
            "api_key": Secret(_KEY),
            "location": PLACE,
            "webhook_secrets": [self.secret],
        }

    # ---------------------------------------------------------------- what happens there

    def shown(self, listing: str) -> int | None:
        """What it has in stock, reserved units included; None where it has no such item."""
        item = self.shop.item_of(listing)
        return None if item is None else self._level(listing)["stocked_quantity"]

    def available(self, listing: str) -> int:
        """What its own customers may buy: in stock and not reserved."""
        level = self._level(listing)
        return int(level["stocked_quantity"] - level["reserved_quantity"])

    def show(self, listing: str, quantity: int) -> None:
        """Somebody edits the number in the shop, behind our back."""
        self._level(listing)["stocked_quantity"] = quantity

    async def sell(self, lines: Sequence[tuple[str, int]], *, oversell: bool = False) -> str:
        """A customer bought (SKU, quantity) lines: reserves them, tells the hub. The order's id."""
        number = self.shop.place(lines, oversell=oversell)
        await self._tell(number, "order.placed")
        return number

    async def happen(self) -> None:
        """One thing that a poll tells."""
        await self.sell([("L-1", 1)], oversell=True)

    async def ordered(self) -> tuple[str, DocumentLine]:
        """An order that waits for its shipment, and a line of it."""
        number = await self.sell([("L-1", 2)], oversell=True)
        await self.capture(number)
        line = self.shop.order(number)["items"][0]["id"]
        return number, DocumentLine(line=line, quantity=2)

    def shipments_of(self, order: str) -> int:
        """How many shipments it was told of an order."""
        return len(self.shop.order(order)["fulfillments"])

    async def capture(self, number: str) -> None:
        """The payments of an order are taken in full."""
        for collection in self.shop.order(number)["payment_collections"]:
            for payment in collection["payments"]:
                made = {"id": self.shop.name("capt"), "amount": payment["amount"]}
                payment["captures"].append(made)

    async def cancel(self, number: str) -> None:
        """Somebody cancels an order in the shop."""
        self._answers.cancel_order(number)
        await self._tell(number, "order.canceled")

    async def edit_line(self, number: str, line: str, units: int) -> None:
        """Somebody sets the quantity of a line in the shop; zero takes it off."""
        change = self.shop.change(number, "edit")
        self.shop.act(change, "ITEM_UPDATE", line, units)
        self.shop.confirm(number)
        await self._tell(number, "order-edit.confirmed")

    async def receive_back(
        self, number: str, line: str, units: int, *, damaged: bool = False
    ) -> str:
        """Goods of a line come back and are received in the shop; the return's id."""
        made = self.shop.name("return")
        self.shop.returns[made] = {"id": made, "order_id": number, "location_id": PLACE}
        change = self.shop.change(number, "return_receive", return_id=made)
        kind = "RECEIVE_DAMAGED_RETURN_ITEM" if damaged else "RECEIVE_RETURN_ITEM"
        self.shop.act(change, kind, line, units)
        self.shop.confirm(number)
        await self._tell(number, "order.return_received")
        return made

    async def deliver(self, body: bytes, event: str) -> int:
        """Sends one webhook, signed; answers the hub's status, 0 where it did not answer."""
        headers = {
            "content-type": "application/json",
            "x-medusa-event": event,
            "x-stockwright-signature": f"sha256={signature_of(body, self.secret, 'hex')}",
        }
        request = HttpRequest(method="POST", url=self.webhook_url, headers=headers, body=body)
        try:
            status = (await self._http.send(request)).status
        except Transient:
            status = 0
        self.deliveries.append(status)
        return status

    def message(self, number: str) -> bytes:
        """What our subscriber sends of an order."""
        told: dict[str, Any] = {"order": listed(self.shop.order(number))}
        if told["order"]["version"] > 1:
            told["changes"] = self.shop.changes[number]
            told["returns"] = self._answers.returns_of(number)
        return json_body(told)

    async def _tell(self, number: str, event: str) -> None:
        if self.webhook_url and self.webhooks:
            await self.deliver(self.message(number), event)

    def _level(self, listing: str) -> dict[str, Any]:
        item = self.shop.item_of(listing)
        assert item is not None
        return self.shop.level(item["id"], PLACE)

    # ---------------------------------------------------------------- what it answers

    @web.middleware
    async def _gate(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.calls.append((request.method, request.path))
        given = request.headers.get("authorization", "")
        key = (await basic(Secret(_KEY), Secret("")).headers())["authorization"]
        good = {key, f"Bearer jwt-{self._tokens}"}
        if not request.path.startswith("/auth/") and given not in good:
            return json_answer({"message": "Unauthorized"}, 401)
        counts: dict[str, int] = {}
        for name, _ in query_of(request):
            if name.endswith("[]"):
                counts[name] = counts.get(name, 0) + 1
        if max(counts.values(), default=0) > _MOST:
            return json_answer({"type": "invalid_data", "message": "Invalid request"}, 400)
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _sign_in(self, request: web.Request) -> web.Response:
        asked = await request.json()
        if (asked.get("email"), asked.get("password")) != _USER:
            message = "Invalid email or password"
            return json_answer({"type": "unauthorized", "message": message}, 401)
        self._tokens += 1
        return json_answer({"token": f"jwt-{self._tokens}"})
