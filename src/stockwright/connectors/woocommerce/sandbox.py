"""A shop on this machine that answers as WooCommerce's REST API v3 does: see cases/SHAPES.md."""

import base64
import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any, Final

from aiohttp import web

from stockwright.connectors.woocommerce.catalogue import API
from stockwright.connectors.woocommerce.sandbox_answers import answer, error, failed, page_of
from stockwright.connectors.woocommerce.sandbox_webhooks import Webhooks
from stockwright.domain.errors import Transient
from stockwright.sdk.connector import utc_now
from stockwright.sdk.hostile import Faults, keeping
from stockwright.sdk.messages import DocumentLine
from stockwright.sdk.secrets import Secret
from stockwright.sdk.signatures import signature_of
from stockwright.sdk.transports import Http, HttpRequest, json_body

MOST: Final = 100
_KEYS: Final = "Basic " + base64.b64encode(b"ck_sandbox:cs_sandbox").decode()
_FIRST: Final = 11


class Sandbox:
    """A shop over real HTTP on loopback. Belongs to the event loop that starts it.

    products are SKUs; a name with a slash is a variation, PARENT/SKU. faults spoils calls (see
    sdk.hostile). refused: listing -> the code of the error it is answered with.
    """

    HAS_FAULTS = True

    def __init__(
        self,
        products: Sequence[str] = ("L-1", "L-2", "L-3"),
        *,
        webhook_url: str = "",
        clock: Callable[[], dt.datetime] = utc_now,
    ) -> None:
        self.faults = Faults(keep=keeping(self, "products"))
        self.refused: dict[str, str] = {}
        self.webhook_url = webhook_url
        self.webhooks = True
        self.secret = Secret("woo-webhook-secret")
        self.clock = clock
        self.deliveries: list[int] = []
        self.calls: list[tuple[str, str]] = []
        self.products: dict[int, dict[str, Any]] = {}
        self.orders: dict[int, dict[str, Any]] = {}
        self.refunds: dict[int, list[dict[str, Any]]] = {}
        self.notes: dict[int, list[dict[str, Any]]] = {}
        self._by_sku: dict[str, list[int]] = {}
        self._next = _FIRST
        self.webhook_rows = Webhooks(self._number)
        self.hooks = self.webhook_rows.rows
        self._runner: web.AppRunner | None = None
        self._http = Http()
        self._url = ""
        for name in products:
            parent, _, sku = name.rpartition("/")
            self.add(sku, parent=parent)

    def add(self, sku: str, *, parent: str = "", quantity: int | None = 0) -> int:
        """Adds a product, or a variation of the product `parent`, which is made where it is not
        there. Its id.
        """
        above = 0
        if parent:
            above = self._id_of(parent) or self.add(parent, quantity=None)
            self.products[above]["type"] = "variable"
        number = self._number()
        self.products[number] = {
            "id": number,
            "name": sku,
            "sku": sku,
            "type": "variation" if above else "simple",
            "parent_id": above,
            "manage_stock": quantity is not None,
            "stock_quantity": quantity,
            "stock_status": "instock" if quantity else "outofstock",
            "variations": [],
        }
        self._by_sku.setdefault(sku, []).append(number)
        if above:
            self.products[above]["variations"].append(number)
        return number

    # ---------------------------------------------------------------- running

    async def start(self, port: int = 0) -> str:
        """Listens on loopback; answers the shop's address."""
        app = web.Application(middlewares=[self._gate, self.faults.middleware()])
        route = app.router.add_route
        route("GET", f"{API}/products", self._list_products)
        route("POST", f"{API}/products/batch", self._write_products)
        route("GET", f"{API}/products/{{parent}}/variations", self._list_products)
        route("POST", f"{API}/products/{{parent}}/variations/batch", self._write_products)
        route("GET", f"{API}/orders", self._list_orders)
        route("GET", f"{API}/orders/{{id}}", self._get_order)
        route("PUT", f"{API}/orders/{{id}}", self._put_order)
        for name in ("notes", "refunds"):
            route("GET", f"{API}/orders/{{id}}/{name}", self._list_of_order)
        route("POST", f"{API}/orders/{{id}}/notes", self._add_note)
        route("POST", f"{API}/orders/{{id}}/refunds", self._add_refund)
        self.webhook_rows.serve(app)
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
            "consumer_key": Secret("ck_sandbox"),
            "consumer_secret": Secret("cs_sandbox"),
            "webhook_secrets": [self.secret],
        }

    # ---------------------------------------------------------------- what happens there

    def shown(self, listing: str) -> int | None:
        """The quantity it shows now; None where it has no such product, or keeps no number."""
        number = self._id_of(listing)
        found = self.products[number]["stock_quantity"] if number else None
        return None if found is None else int(found)

    def show(self, listing: str, quantity: int) -> None:
        """Somebody edits the number in the shop, behind our back."""
        self.products[self._id_of(listing) or 0]["stock_quantity"] = quantity

    async def sell(self, lines: Sequence[tuple[str, int]], status: str = "processing") -> int:
        """A customer bought (SKU, quantity) lines: lowers what is shown, tells the hub. The order's
        number.
        """
        number = self._number()
        items = []
        for sku, quantity in lines:
            product = self.products[self._id_of(sku) or 0]
            if product["stock_quantity"] is not None:
                product["stock_quantity"] = max(0, product["stock_quantity"] - quantity)
            child = product["type"] == "variation"
            items.append(
                {
                    "id": self._number(),
                    "product_id": product["parent_id"] if child else product["id"],
                    "variation_id": product["id"] if child else 0,
                    "quantity": quantity,
                    "sku": sku,
                    "total": f"{quantity * 10}.00",
                    "taxes": [{"id": 1, "total": f"{quantity * 2}.00"}],
                }
            )
        now = self._now()
        self.orders[number] = {
            "id": number,
            "status": status,
            "currency": "EUR",
            "date_created_gmt": now,
            "date_modified_gmt": now,
            "line_items": items,
            "refunds": [],
            "meta_data": [],
        }
        self.refunds[number], self.notes[number] = [], []
        await self._tell(number, "order.created")
        return number

    async def happen(self) -> None:
        """One thing that a poll tells."""
        await self.sell([("L-1", 1)])

    async def ordered(self) -> tuple[str, DocumentLine]:
        """An order that waits for its shipment, and a line of it."""
        number = await self.sell([("L-1", 2)])
        line = self.orders[number]["line_items"][0]["id"]
        return str(number), DocumentLine(line=str(line), quantity=2)

    def shipments_of(self, order: str) -> int:
        """How many shipments it was told of an order."""
        return len(self.notes[int(order)])

    async def change(self, number: int, **fields: Any) -> None:
        """Somebody changes an order in the shop, such as its status."""
        self.orders[number] |= {**fields, "date_modified_gmt": self._now()}
        await self._tell(number, "order.updated")

    async def pay_back(self, number: int, lines: Sequence[tuple[int, int]]) -> int:
        """Somebody refunds units of (line's number, quantity) in the shop; the refund's number."""
        made = self._refunded(number, [{"id": a, "quantity": b} for a, b in lines], {})
        await self._tell(number, "order.updated")
        return int(made["id"])

    def give_up_webhooks(self) -> None:
        """The shop could not deliver, and disables its webhooks."""
        self.webhook_rows.give_up(self.webhook_url)

    async def deliver(self, body: bytes, topic: str) -> int:
        """Sends one webhook, signed; answers the hub's status, 0 where it did not answer."""
        headers = {
            "content-type": "application/json",
            "x-wc-webhook-topic": topic,
            "x-wc-webhook-signature": signature_of(body, self.secret),
        }
        request = HttpRequest(method="POST", url=self.webhook_url, headers=headers, body=body)
        try:
            status = (await self._http.send(request)).status
        except Transient:
            status = 0
        self.deliveries.append(status)
        return status

    async def _tell(self, number: int, topic: str) -> None:
        """By the shop's webhooks that are on; by one of its own where none was ever set up."""
        if not (self.webhook_url and self.webhooks):
            return
        body = json_body(self.orders[number])
        if not self.hooks:
            await self.deliver(body, topic)
        for hook in self.webhook_rows.on(topic):
            self.webhook_rows.count(hook, await self.deliver(body, topic))

    # ---------------------------------------------------------------- what it answers

    @web.middleware
    async def _gate(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.calls.append((request.method, request.path))
        if request.headers.get("authorization") != _KEYS:
            return error(401, "woocommerce_rest_cannot_view", "Sorry, you cannot list resources.")
        if int(request.query.get("per_page", "10")) > MOST:
            return error(400, "rest_invalid_param", "Invalid parameter(s): per_page")
        response: web.StreamResponse = await handler(request)
        return response

    async def _list_products(self, request: web.Request) -> web.Response:
        query = request.query
        parent = int(request.match_info.get("parent", "0"))
        if "sku" in query:
            rows = [row for sku in set(query["sku"].split(",")) for row in self._of_sku(sku)]
        else:
            rows = [row for row in self.products.values() if parent or row["type"] != "variation"]
        rows = [row for row in rows if parent in (0, row["parent_id"])]
        if "include" in query:
            ids = {int(text) for text in query["include"].split(",")}
            rows = [row for row in rows if row["id"] in ids]
        return page_of(request, sorted(rows, key=lambda row: row["id"]))

    async def _write_products(self, request: web.Request) -> web.Response:
        asked = (await request.json()).get("update", [])
        if len(asked) > MOST:
            text = "Unable to accept more than 100 items for this request."
            return error(413, "woocommerce_rest_request_entity_too_large", text)
        parent = int(request.match_info.get("parent", "0"))
        return answer({"update": [self._take(one, parent) for one in asked]})

    def _take(self, asked: dict[str, Any], parent: int) -> dict[str, Any]:
        found = self.products.get(asked["id"])
        if found is None or found["parent_id"] != parent:
            kind = "product_variation" if parent else "product"
            return failed(asked["id"], f"woocommerce_rest_{kind}_invalid_id", "Invalid ID.")
        if found["sku"] in self.refused:
            return failed(asked["id"], self.refused[found["sku"]], "The shop will not take it.")
        found["manage_stock"] = asked.get("manage_stock", found["manage_stock"])
        found["stock_quantity"] = asked["stock_quantity"]
        found["stock_status"] = "instock" if asked["stock_quantity"] > 0 else "outofstock"
        return found

    async def _list_orders(self, request: web.Request) -> web.Response:
        states = set(request.query.get("status", "any").split(","))
        after = request.query.get("modified_after", "")
        without = {int(text) for text in request.query.get("exclude", "").split(",") if text}
        rows = [
            row
            for row in self.orders.values()
            if ("any" in states or row["status"] in states)
            and row["date_modified_gmt"] > after
            and row["id"] not in without
        ]
        return page_of(request, sorted(rows, key=lambda row: (row["date_modified_gmt"], row["id"])))

    async def _get_order(self, request: web.Request) -> web.Response:
        order = self.orders.get(int(request.match_info["id"]))
        if order is None:
            return error(404, "woocommerce_rest_shop_order_invalid_id", "Invalid ID.")
        return answer(order)

    async def _put_order(self, request: web.Request) -> web.Response:
        order = self.orders[int(request.match_info["id"])]
        change = await request.json()
        metas = {one["key"]: one for one in (*order["meta_data"], *change.pop("meta_data", ()))}
        await self.change(order["id"], **change, meta_data=list(metas.values()))
        return answer(self.orders[order["id"]])

    async def _list_of_order(self, request: web.Request) -> web.Response:
        number = int(request.match_info["id"])
        if request.path.endswith("/notes"):
            return answer(self.notes[number])
        return page_of(request, self.refunds[number])

    async def _add_note(self, request: web.Request) -> web.Response:
        note = {"id": self._number(), **await request.json()}
        self.notes[int(request.match_info["id"])].append(note)
        return answer(note, 201)

    async def _add_refund(self, request: web.Request) -> web.Response:
        asked = await request.json()
        number = int(request.match_info["id"])
        made = self._refunded(number, asked.pop("line_items", []), asked)
        await self._tell(number, "order.updated")
        return answer(made, 201)

    def _refunded(
        self, number: int, lines: Sequence[dict[str, Any]], more: dict[str, Any]
    ) -> dict[str, Any]:
        order = self.orders[number]
        sold = {line["id"]: line for line in order["line_items"]}
        made = {
            "id": self._number(),
            "date_created_gmt": self._now(),
            "meta_data": [],
            **more,
            "line_items": [
                {
                    "id": self._number(),
                    "quantity": -line["quantity"],
                    "sku": sold[line["id"]]["sku"],
                    "product_id": sold[line["id"]]["product_id"],
                    "variation_id": sold[line["id"]]["variation_id"],
                    "meta_data": [{"key": "_refunded_item_id", "value": str(line["id"])}],
                }
                for line in lines
            ],
        }
        self.refunds[number].append(made)
        order["refunds"].append({"id": made["id"], "reason": "", "total": "-1.00"})
        order["date_modified_gmt"] = self._now()
        return made

    def _of_sku(self, sku: str) -> list[dict[str, Any]]:
        return [self.products[n] for n in self._by_sku.get(sku, ()) if n in self.products]

    def _id_of(self, sku: str) -> int | None:
        return next((row["id"] for row in self._of_sku(sku)), None)

    def _number(self) -> int:
        self._next += 1
        return self._next

    def _now(self) -> str:
        return self.clock().astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S")
