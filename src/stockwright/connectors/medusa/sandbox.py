"""A Medusa shop on this machine: for tests, the demo and dry runs.

It speaks the part of the Admin API that the connector uses, in the shapes recorded from a real
server (`cases/answers`), with its limits: twenty values in a list of a query, all or nothing in a
batch of levels, one change of an order at a time.
"""

import datetime as dt
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from stockwright.connectors.medusa.sandbox_shop import PLACE, Refusal, ShopState
from stockwright.domain.errors import Transient
from stockwright.sdk.auth import basic
from stockwright.sdk.connector import utc_now
from stockwright.sdk.hostile import Faults
from stockwright.sdk.secrets import Secret
from stockwright.sdk.signatures import signature_of
from stockwright.sdk.transports import Http, HttpRequest, json_body

_KEY: Final = "sk_sandbox"
_USER: Final = ("admin@example.com", "sandbox")
_LIST: Final = re.compile(r"(?:\$or\[\d+\]\[(\w+)\]|(\w+))\[\]")
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
        self.faults = Faults()
        self.refused: dict[str, str] = {}
        self.webhook_url = webhook_url
        self.webhooks = True
        self.secret = Secret("medusa-webhook-secret")
        self.deliveries: list[int] = []
        self.calls: list[tuple[str, str]] = []
        self.shop = ShopState(products, clock)
        self._tokens = 0
        self._runner: web.AppRunner | None = None
        self._http = Http()
        self._url = ""

    # ---------------------------------------------------------------- running

    async def start(self, port: int = 0) -> str:
        """Listens on loopback; answers the shop's address."""
        app = web.Application(middlewares=[self._gate, self.faults.middleware(), _told])
        route = app.router.add_route
        route("POST", "/auth/user/emailpass", self._sign_in)
        route("GET", "/admin/inventory-items", self._list_items)
        route("POST", "/admin/inventory-items/location-levels/batch", self._write_levels)
        route("GET", "/admin/product-variants", self._list_variants)
        route("GET", "/admin/orders", self._list_orders)
        route("GET", "/admin/orders/{id}", self._get_order)
        route("GET", "/admin/orders/{id}/changes", self._list_changes)
        route("GET", "/admin/orders/{id}/line-items", self._list_lines)
        route("GET", "/admin/returns", self._list_returns)
        route("POST", "/admin/orders/{id}/cancel", self._cancel)
        route("POST", "/admin/orders/{id}/fulfillments", self._fulfil)
        route("POST", "/admin/orders/{id}/fulfillments/{fid}/cancel", self._cancel_fulfilment)
        route("POST", "/admin/orders/{id}/fulfillments/{fid}/shipments", self._ship)
        route("POST", "/admin/order-edits", self._begin_edit)
        route("POST", "/admin/order-edits/{id}/items/item/{line}", self._edit_line)
        route("POST", "/admin/order-edits/{id}/confirm", self._confirm_edit)
        route("DELETE", "/admin/order-edits/{id}", self._drop_edit)
        route("POST", "/admin/payments/{id}/refund", self._refund)
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

    async def capture(self, number: str) -> None:
        """The payments of an order are taken in full."""
        for collection in self.shop.order(number)["payment_collections"]:
            for payment in collection["payments"]:
                made = {"id": self.shop.name("capt"), "amount": payment["amount"]}
                payment["captures"].append(made)

    async def cancel(self, number: str) -> None:
        """Somebody cancels an order in the shop."""
        self._cancel_order(number)
        await self._tell(number, "order.canceled")

    async def edit(self, number: str, line: str, units: int) -> None:
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
        told: dict[str, Any] = {"order": _listed(self.shop.order(number))}
        if told["order"]["version"] > 1:
            told["changes"] = self.shop.changes[number]
            told["returns"] = self._returns_of(number)
        return json_body(told)

    async def _tell(self, number: str, event: str) -> None:
        if self.webhook_url and self.webhooks:
            await self.deliver(self.message(number), event)

    def _level(self, listing: str) -> dict[str, Any]:
        item = self.shop.item_of(listing)
        assert item is not None
        return self.shop.level(item["id"], PLACE)

    def _returns_of(self, number: str) -> list[dict[str, Any]]:
        return [one for one in self.shop.returns.values() if one["order_id"] == number]

    # ---------------------------------------------------------------- what it answers

    @web.middleware
    async def _gate(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.calls.append((request.method, request.path))
        given = request.headers.get("authorization", "")
        key = (await basic(Secret(_KEY), Secret("")).headers())["authorization"]
        good = {key, f"Bearer jwt-{self._tokens}"}
        if not request.path.startswith("/auth/") and given not in good:
            return _json({"message": "Unauthorized"}, 401)
        counts: dict[str, int] = {}
        for name, _ in _query(request):
            if name.endswith("[]"):
                counts[name] = counts.get(name, 0) + 1
        if max(counts.values(), default=0) > _MOST:
            return _json({"type": "invalid_data", "message": "Invalid request"}, 400)
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _sign_in(self, request: web.Request) -> web.Response:
        asked = await request.json()
        if (asked.get("email"), asked.get("password")) != _USER:
            message = "Invalid email or password"
            return _json({"type": "unauthorized", "message": message}, 401)
        self._tokens += 1
        return _json({"token": f"jwt-{self._tokens}"})

    async def _list_items(self, request: web.Request) -> web.Response:
        return _page(request, "inventory_items", self.shop.items.values())

    async def _list_variants(self, request: web.Request) -> web.Response:
        return _page(request, "variants", self.shop.variants.values())

    async def _write_levels(self, request: web.Request) -> web.Response:
        asked = await request.json()
        rows = [*asked.get("create", ()), *asked.get("update", ())]
        for row in rows:
            sku = self.shop.items.get(row["inventory_item_id"], {}).get("sku")
            if sku in self.refused:
                raise Refusal(400, self.refused[sku], "The shop will not take it.")
        return _json(self.shop.write(asked.get("create", ()), asked.get("update", ())))

    async def _list_orders(self, request: web.Request) -> web.Response:
        query = dict(_query(request))
        since = query.get("updated_at[$gte]", "")
        channels = [value for name, value in _query(request) if name == "sales_channel_id[]"]
        rows = [
            _listed(one)
            for one in self.shop.orders.values()
            if one["updated_at"] >= since and (not channels or one["sales_channel_id"] in channels)
        ]
        rows.sort(key=lambda one: (one["updated_at"], one["id"]))
        limit = int(query.get("limit", "15"))
        told = {"orders": rows[:limit], "count": len(rows), "offset": 0, "limit": limit}
        return _json(told)

    async def _get_order(self, request: web.Request) -> web.Response:
        return _json({"order": self.shop.order(request.match_info["id"])})

    async def _list_changes(self, request: web.Request) -> web.Response:
        return _json({"order_changes": self.shop.changes.get(request.match_info["id"], [])})

    async def _list_lines(self, request: web.Request) -> web.Response:
        number = request.match_info["id"]
        order = self.shop.order(number)
        rows = [
            {
                "item_id": line["id"],
                "version": order["version"],
                "quantity": line["quantity"],
                "item": line,
            }
            for line in order["items"]
        ]
        return _json({"order_items": [*rows, *self.shop.gone[number]]})

    async def _list_returns(self, request: web.Request) -> web.Response:
        rows = self._returns_of(request.query.get("order_id", ""))
        return _json({"returns": rows, "count": len(rows), "offset": 0, "limit": 200})

    async def _cancel(self, request: web.Request) -> web.Response:
        number = request.match_info["id"]
        self._cancel_order(number)
        await self._tell(number, "order.canceled")
        return _json({"order": self.shop.order(number)})

    def _cancel_order(self, number: str) -> None:
        order = self.shop.order(number)
        if order["status"] == "canceled":
            raise Refusal(400, "invalid_data", f"Order with id {number} has been canceled.")
        if any(not one["canceled_at"] for one in order["fulfillments"]):
            message = "All fulfillments must be canceled before canceling an order"
            raise Refusal(400, "not_allowed", message)
        for line in order["items"]:
            self.shop.reserve(line, -line["quantity"])
        self.shop.touch(number, status="canceled", canceled_at=self.shop.now())

    async def _fulfil(self, request: web.Request) -> web.Response:
        number, asked = request.match_info["id"], await request.json()
        lines = [(self.shop.line(number, one["id"]), one["quantity"]) for one in asked["items"]]
        for line, units in lines:
            if units > line["quantity"] - line["detail"]["fulfilled_quantity"]:
                message = f"Cannot fulfill more items than what was ordered for item {line['id']}."
                raise Refusal(400, "invalid_data", message)
        for line, units in lines:
            self._pack(line, units)
        self.shop.order(number)["fulfillments"].append(
            {
                "id": self.shop.name("ful"),
                "location_id": asked.get("location_id") or PLACE,
                "metadata": asked.get("metadata"),
                "shipped_at": None,
                "canceled_at": None,
                "labels": [],
                "items": [{"line_item_id": line["id"], "quantity": units} for line, units in lines],
            }
        )
        return _json({"order": self.shop.order(number)})

    def _pack(self, line: dict[str, Any], units: int) -> None:
        """Packing takes units out of stock and out of what is reserved; negative: unpacked."""
        line["detail"]["fulfilled_quantity"] += units
        self.shop.stock(line, -units)
        self.shop.reserve(line, -units)

    def _fulfilment(self, request: web.Request) -> dict[str, Any]:
        number, wanted = request.match_info["id"], request.match_info["fid"]
        for one in self.shop.order(number)["fulfillments"]:
            if one["id"] == wanted:
                return dict(one) | {"row": one}
        raise Refusal(404, "not_found", f"Fulfillment with id {wanted} not found in the order")

    async def _cancel_fulfilment(self, request: web.Request) -> web.Response:
        number, found = request.match_info["id"], self._fulfilment(request)["row"]
        if found["shipped_at"]:
            message = "The fulfillment has already been shipped. Shipped fulfillments cannot be"
            raise Refusal(400, "not_allowed", f"{message} canceled")
        for one in found["items"]:
            self._pack(self.shop.line(number, one["line_item_id"]), -one["quantity"])
        found["canceled_at"] = self.shop.now()
        return _json({"order": self.shop.order(number)})

    async def _ship(self, request: web.Request) -> web.Response:
        found, asked = self._fulfilment(request)["row"], await request.json()
        found.update(shipped_at=self.shop.now(), labels=asked.get("labels", []))
        return _json({"order": self.shop.order(request.match_info["id"])})

    async def _begin_edit(self, request: web.Request) -> web.Response:
        asked = await request.json()
        note = asked.get("internal_note")
        made = self.shop.change(asked["order_id"], "edit", internal_note=note)
        return _json({"order_change": made})

    async def _edit_line(self, request: web.Request) -> web.Response:
        number, line = request.match_info["id"], request.match_info["line"]
        change, units = self.shop.active(number), (await request.json())["quantity"]
        packed = self.shop.line(number, line)["detail"]["fulfilled_quantity"]
        if units < packed:
            message = f"Item {line} has already been fulfilled and quantity cannot be lower"
            raise Refusal(400, "invalid_data", f"{message} than {packed}.")
        self.shop.act(change, "ITEM_UPDATE", line, units)
        return _json({"order_preview": {"id": number}})

    async def _confirm_edit(self, request: web.Request) -> web.Response:
        number = request.match_info["id"]
        self.shop.confirm(number)
        await self._tell(number, "order-edit.confirmed")
        return _json({"order_preview": {"id": number}})

    async def _drop_edit(self, request: web.Request) -> web.Response:
        number = request.match_info["id"]
        self.shop.changes[number].remove(self.shop.active(number))
        return _json({"id": number, "object": "order-edit", "deleted": True})

    async def _refund(self, request: web.Request) -> web.Response:
        asked, wanted = await request.json(), request.match_info["id"]
        for order in self.shop.orders.values():
            for collection in order["payment_collections"]:
                for payment in collection["payments"]:
                    if payment["id"] == wanted:
                        return self._pay_back(payment, asked)
        raise Refusal(404, "not_found", f"Payment with id: {wanted} was not found")

    def _pay_back(self, payment: dict[str, Any], asked: Mapping[str, Any]) -> web.Response:
        captured = sum(one["amount"] for one in payment["captures"])
        refunded = sum(one["amount"] for one in payment["refunds"])
        if refunded + asked["amount"] > captured:
            message = "You are not allowed to refund more than the captured amount"
            raise Refusal(400, "invalid_data", message)
        made = {"id": self.shop.name("ref"), "amount": asked["amount"], "note": asked.get("note")}
        payment["refunds"].append(made)
        return _json({"payment": payment})


@web.middleware
async def _told(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refusals, as the server words them."""
    try:
        return await handler(request)
    except Refusal as refusal:
        return _json({"type": refusal.kind, "message": str(refusal)}, refusal.status)


def _listed(order: Mapping[str, Any]) -> dict[str, Any]:
    """An order as lists of them show it."""
    left_out = ("fulfillments", "payment_collections")
    return {name: value for name, value in order.items() if name not in left_out}


def _query(request: web.Request) -> list[tuple[str, str]]:
    return parse_qsl(request.query_string, keep_blank_values=True)


def _page(request: web.Request, name: str, rows: Any) -> web.Response:
    """Rows by id; conditions on a field are lists, of which several are either of."""
    wanted: dict[str, set[str]] = {}
    for key, value in _query(request):
        found = _LIST.fullmatch(key)
        if found is not None:
            wanted.setdefault(found[1] or found[2], set()).add(value)
    kept = [row for row in rows if all(row[field] in some for field, some in wanted.items())]
    kept.sort(key=lambda row: str(row["id"]))
    offset, limit = int(request.query.get("offset", "0")), int(request.query.get("limit", "20"))
    told = {name: kept[offset : offset + limit], "count": len(kept), "offset": offset}
    return _json({**told, "limit": limit})


def _json(found: Any, status: int = 200) -> web.Response:
    body = msgspec.json.encode(found)
    return web.Response(body=body, status=status, content_type="application/json")
