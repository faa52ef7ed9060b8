"""The orders of the sandbox store: what customers and clerks do, and what the API answers."""

import datetime as dt
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from email.utils import format_datetime
from typing import Any, Final

from aiohttp import web

from stockwright.connectors.bigcommerce.api import moment_of

Handler = Callable[[web.Request], Awaitable[web.Response]]
NAMES: Final = {2: "Shipped", 3: "Partially Shipped", 5: "Cancelled", 11: "Awaiting Fulfillment"}
PRICE: Final = 10.0
TAX: Final = 2.0


class Orders:
    """The books of the sandbox: items at its one location, orders, shipments, refunds."""

    def __init__(self, clock: Callable[[], dt.datetime]) -> None:
        self.clock = clock
        self.items: dict[str, dict[str, Any]] = {}
        self.orders: dict[int, dict[str, Any]] = {}
        self.products: dict[int, list[dict[str, Any]]] = {}
        self.shipments: dict[int, list[dict[str, Any]]] = {}
        self.refunds: dict[int, list[dict[str, Any]]] = {}
        self._next = 100

    def number(self) -> int:
        """A number that was never used."""
        self._next += 1
        return self._next

    async def tell(self, scope: str, data: Mapping[str, Any]) -> None:
        """Tells whoever listens."""
        raise NotImplementedError

    def add(self, sku: str, quantity: int = 0) -> int:
        """Adds a product with one variant; the variant's id."""
        variant = self.number()
        identity = {"sku": sku, "variant_id": variant, "product_id": self.number(), "sku_id": 0}
        self.items[sku] = {
            "identity": identity,
            "available_to_sell": quantity,
            "total_inventory_onhand": quantity,
            "settings": {"safety_stock": 0, "is_in_stock": True, "warning_level": 0},
        }
        return variant

    # ---------------------------------------------------------------- what happens there

    async def sell(
        self, lines: Sequence[tuple[str, int]], status: int = 11, addresses: Sequence[int] = ()
    ) -> int:
        """A customer bought (SKU, quantity) lines: lowers what is held, tells the hub. The order's
        number.
        """
        number = self.number()
        self.products[number] = []
        for n, (sku, quantity) in enumerate(lines):
            item = self.items[sku]
            item["total_inventory_onhand"] = max(0, item["total_inventory_onhand"] - quantity)
            self.products[number].append(
                {
                    "id": self.number(),
                    "order_id": number,
                    "order_address_id": addresses[n] if addresses else 1,
                    "product_id": item["identity"]["product_id"],
                    "variant_id": item["identity"]["variant_id"],
                    "sku": sku,
                    "quantity": quantity,
                    "quantity_shipped": 0,
                    "quantity_refunded": 0,
                    "parent_order_product_id": None,
                }
            )
        now = self._now()
        self.orders[number] = {
            "id": number,
            "status_id": status,
            "status": NAMES.get(status, "Pending"),
            "date_created": now,
            "date_modified": now,
            "channel_id": 1,
            "is_deleted": False,
            "currency_code": "EUR",
            "billing_address": {"first_name": "Jane", "email": "jane@example.com"},
        }
        self.shipments[number], self.refunds[number] = [], []
        await self.tell("store/order/created", {"type": "order", "id": number})
        return number

    async def change(self, number: int, **fields: Any) -> None:
        """Somebody changes an order in the store, such as its status."""
        self.orders[number] |= {**fields, "date_modified": self._now()}
        await self.tell("store/order/updated", {"type": "order", "id": number})

    async def pay_back(self, number: int, lines: Sequence[tuple[int, int]]) -> int:
        """Somebody refunds units of (line's number, quantity) in the store; the refund's number."""
        items = [{"item_type": "PRODUCT", "item_id": a, "quantity": b} for a, b in lines]
        return int((await self._refunded(number, items, ()))["id"])

    async def _refunded(
        self, number: int, items: Sequence[Mapping[str, Any]], payments: Sequence[Any]
    ) -> dict[str, Any]:
        lines = {line["id"]: line for line in self.products[number]}
        for item in items:
            if item["item_type"] == "PRODUCT":
                lines[item["item_id"]]["quantity_refunded"] += item["quantity"]
        made = {
            "id": self.number(),
            "order_id": number,
            "created": self.clock().astimezone(dt.UTC).isoformat(timespec="seconds"),
            "reason": "",
            "total_amount": _total(items),
            "items": [{"reason": "", **item} for item in items],
            "payments": list(payments),
        }
        self.refunds[number].append(made)
        status = 4 if all(x["quantity_refunded"] >= x["quantity"] for x in lines.values()) else 14
        await self.change(number, status_id=status)
        about = {"type": "order", "id": number, "refund": {"refund_id": made["id"]}}
        await self.tell("store/order/refund/created", about)
        return made

    # ---------------------------------------------------------------- what it answers

    def order_routes(self) -> Iterator[tuple[str, str, Handler]]:
        """(method, path, handler) of all that is about orders."""
        order, actions = "/v2/orders/{id}", "/v3/orders/{id}/payment_actions"
        yield "GET", "/v2/orders", self._list_orders
        yield "GET", order, self._get_order
        yield "PUT", order, self._put_order
        yield "GET", f"{order}/products", self._list_products
        yield "GET", f"{order}/shipments", self._list_shipments
        yield "POST", f"{order}/shipments", self._add_shipment
        yield "GET", f"{actions}/refunds", self._list_refunds
        yield "POST", f"{actions}/refund_quotes", self._quote
        yield "POST", f"{actions}/refunds", self._add_refund

    async def _list_orders(self, request: web.Request) -> web.Response:
        since = moment_of(request.query["min_date_modified"])
        rows = [row for row in self.orders.values() if moment_of(row["date_modified"]) >= since]
        rows.sort(key=lambda row: (moment_of(row["date_modified"]), row["id"]))
        return page_of(request, rows)

    async def _get_order(self, request: web.Request) -> web.Response:
        order = self.orders.get(int(request.match_info["id"]))
        return missing() if order is None else web.json_response(order)

    async def _put_order(self, request: web.Request) -> web.Response:
        number = int(request.match_info["id"])
        await self.change(number, **await request.json())
        return web.json_response(self.orders[number])

    async def _list_products(self, request: web.Request) -> web.Response:
        return page_of(request, self.products.get(int(request.match_info["id"]), []))

    async def _list_shipments(self, request: web.Request) -> web.Response:
        return page_of(request, self.shipments[int(request.match_info["id"])])

    async def _add_shipment(self, request: web.Request) -> web.Response:
        number, asked = int(request.match_info["id"]), await request.json()
        lines = {line["id"]: line for line in self.products[number]}
        for item in asked["items"]:
            line = lines.get(item["order_product_id"])
            if line is None or line["order_address_id"] != asked["order_address_id"]:
                return bad("The order_product_id is invalid.")
            if item["quantity"] > line["quantity"] - line["quantity_shipped"]:
                return bad("The quantity is more than what is left to ship.")
        for item in asked["items"]:
            lines[item["order_product_id"]]["quantity_shipped"] += item["quantity"]
        made = {"id": self.number(), "order_id": number, "date_created": self._now(), **asked}
        self.shipments[number].append(made)
        whole = all(line["quantity_shipped"] >= line["quantity"] for line in lines.values())
        await self.change(number, status_id=2 if whole else 3)
        return web.json_response(made, status=201)

    async def _list_refunds(self, request: web.Request) -> web.Response:
        rows = self.refunds[int(request.match_info["id"])]
        return web.json_response({"data": rows, "meta": {}})

    async def _quote(self, request: web.Request) -> web.Response:
        total = _total((await request.json())["items"])
        way = {"provider_id": "sandbox-pay", "amount": total, "offline": False}
        credit = {"provider_id": "storecredit", "amount": total, "offline": False}
        found = {"total_refund_amount": total, "refund_methods": [[credit], [way]]}
        return web.json_response({"data": found, "meta": {}})

    async def _add_refund(self, request: web.Request) -> web.Response:
        number, asked = int(request.match_info["id"]), await request.json()
        lines = {line["id"]: line for line in self.products[number]}
        for item in asked["items"]:
            line = lines.get(item["item_id"])
            left = line["quantity"] - line["quantity_refunded"] if line else 0
            if item["item_type"] == "PRODUCT" and item["quantity"] > left:
                told = {"status": 422, "title": "more than was bought", "errors": {}}
                return web.json_response(told, status=422)
        made = await self._refunded(number, asked["items"], asked["payments"])
        return web.json_response({"data": made, "meta": {}}, status=201)

    def _now(self) -> str:
        return format_datetime(self.clock().astimezone(dt.UTC).replace(microsecond=0))


def page_of(request: web.Request, rows: Sequence[Any]) -> web.Response:
    """A page of a v2 list: 204 where there is nothing on it."""
    size, page = int(request.query.get("limit", "50")), int(request.query.get("page", "1"))
    some = rows[(page - 1) * size : page * size]
    return web.json_response(some) if some else web.Response(status=204)


def bad(message: str) -> web.Response:
    """A refusal as v2 words it."""
    return web.json_response([{"status": 400, "message": message}], status=400)


def missing() -> web.Response:
    """What is not there."""
    told = [{"status": 404, "message": "The requested resource was not found."}]
    return web.json_response(told, status=404)


def _total(items: Sequence[Mapping[str, Any]]) -> float:
    amounts = [
        float(item["amount"]) if "amount" in item else int(item["quantity"]) * (PRICE + TAX)
        for item in items
    ]
    return round(sum(amounts), 2)
