"""What the Medusa sandbox answers: the part of the Admin API that the connector uses."""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from stockwright.connectors.medusa.sandbox_shop import PLACE, Refusal, ShopState, dict_of

Tell = Callable[[str, str], Awaitable[None]]
"""Tells the hub of an order: its id, and the event."""
_LIST: Final = re.compile(r"(?:\$or\[\d+\]\[(\w+)\]|(\w+))\[\]")


class Answers:
    """Handlers over the books of one shop. refused: SKU -> type of error of a batch with it."""

    def __init__(self, shop: ShopState, refused: Mapping[str, str], tell: Tell) -> None:
        self.shop = shop
        self.refused = refused
        self._tell = tell

    def add_to(self, app: web.Application) -> None:
        """The routes of the Admin API."""
        route = app.router.add_route
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

    async def _list_items(self, request: web.Request) -> web.Response:
        return _page(request, "inventory_items", self.shop.items.values())

    async def _list_variants(self, request: web.Request) -> web.Response:
        return _page(request, "variants", self.shop.variants.values())

    async def _write_levels(self, request: web.Request) -> web.Response:
        asked = await request.json()
        rows = [*asked.get("create", ()), *asked.get("update", ())]
        for row in rows:
            sku = str(self.shop.items.get(row["inventory_item_id"], {}).get("sku"))
            if sku in self.refused:
                raise Refusal(400, self.refused[sku], "The shop will not take it.")
        return json_answer(self.shop.write(asked.get("create", ()), asked.get("update", ())))

    async def _list_orders(self, request: web.Request) -> web.Response:
        query = dict(query_of(request))
        since, until = query.get("updated_at[$gte]", ""), query.get("updated_at[$lte]", "~")
        channels = [value for name, value in query_of(request) if name == "sales_channel_id[]"]
        rows = [
            listed(one)
            for one in self.shop.orders.values()
            if since <= one["updated_at"] <= until
            and (not channels or one["sales_channel_id"] in channels)
        ]
        rows.sort(key=lambda one: (one["updated_at"], one["id"]))
        limit = int(query.get("limit", "15"))
        shown = chosen(rows[:limit], query_of(request))
        told = {"orders": shown, "count": len(rows), "offset": 0, "limit": limit}
        return json_answer(told)

    async def _get_order(self, request: web.Request) -> web.Response:
        return json_answer({"order": _told(self.shop.order(request.match_info["id"]))})

    async def _list_changes(self, request: web.Request) -> web.Response:
        rows = self.shop.changes.get(request.match_info["id"], [])
        return json_answer({"order_changes": chosen(rows, query_of(request))})

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
        rows += self.shop.gone[number]
        return json_answer({"order_items": chosen(rows, query_of(request))})

    async def _list_returns(self, request: web.Request) -> web.Response:
        rows = self.returns_of(request.query.get("order_id", ""))
        shown = chosen(rows, query_of(request))
        return json_answer({"returns": shown, "count": len(rows), "offset": 0, "limit": 15})

    async def _cancel(self, request: web.Request) -> web.Response:
        number = request.match_info["id"]
        self.cancel_order(number)
        await self._tell(number, "order.canceled")
        return json_answer({"order": self.shop.order(number)})

    def cancel_order(self, number: str) -> None:
        """An order is over; what it reserved is free. Raises Refusal."""
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
        return json_answer({"order": self.shop.order(number)})

    def _pack(self, line: dict[str, Any], units: int) -> None:
        """Packing takes units out of stock and out of what is reserved; negative: unpacked."""
        line["detail"]["fulfilled_quantity"] += units
        self.shop.stock(line, -units)
        self.shop.reserve(line, -units)

    def _fulfilment(self, request: web.Request) -> dict[str, Any]:
        number, wanted = request.match_info["id"], request.match_info["fid"]
        for one in self.shop.order(number)["fulfillments"]:
            if one["id"] == wanted:
                return dict_of(one)
        raise Refusal(404, "not_found", f"Fulfillment with id {wanted} not found in the order")

    async def _cancel_fulfilment(self, request: web.Request) -> web.Response:
        number, found = request.match_info["id"], self._fulfilment(request)
        if found["shipped_at"]:
            message = "The fulfillment has already been shipped. Shipped fulfillments cannot be"
            raise Refusal(400, "not_allowed", f"{message} canceled")
        for one in found["items"]:
            self._pack(self.shop.line(number, one["line_item_id"]), -one["quantity"])
        found["canceled_at"] = self.shop.now()
        return json_answer({"order": self.shop.order(number)})

    async def _ship(self, request: web.Request) -> web.Response:
        found, asked = self._fulfilment(request), await request.json()
        found.update(shipped_at=self.shop.now(), labels=asked.get("labels", []))
        return json_answer({"order": self.shop.order(request.match_info["id"])})

    async def _begin_edit(self, request: web.Request) -> web.Response:
        asked = await request.json()
        note = asked.get("internal_note")
        made = self.shop.change(asked["order_id"], "edit", internal_note=note)
        return json_answer({"order_change": made})

    async def _edit_line(self, request: web.Request) -> web.Response:
        number, line = request.match_info["id"], request.match_info["line"]
        change, units = self.shop.active(number), (await request.json())["quantity"]
        packed = self.shop.line(number, line)["detail"]["fulfilled_quantity"]
        if units < packed:
            message = f"Item {line} has already been fulfilled and quantity cannot be lower"
            raise Refusal(400, "invalid_data", f"{message} than {packed}.")
        self.shop.act(change, "ITEM_UPDATE", line, units)
        return json_answer({"order_preview": {"id": number}})

    async def _confirm_edit(self, request: web.Request) -> web.Response:
        number = request.match_info["id"]
        self.shop.confirm(number)
        await self._tell(number, "order-edit.confirmed")
        return json_answer({"order_preview": {"id": number}})

    async def _drop_edit(self, request: web.Request) -> web.Response:
        number = request.match_info["id"]
        self.shop.changes[number].remove(self.shop.active(number))
        return json_answer({"id": number, "object": "order-edit", "deleted": True})

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
        return json_answer({"payment": payment})

    def returns_of(self, number: str) -> list[dict[str, Any]]:
        """The returns of an order."""
        return [one for one in self.shop.returns.values() if one["order_id"] == number]


@web.middleware
async def refusals(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refusals, as the server words them."""
    try:
        return await handler(request)
    except Refusal as refusal:
        return json_answer({"type": refusal.kind, "message": str(refusal)}, refusal.status)


def listed(order: Mapping[str, Any]) -> dict[str, Any]:
    """An order as lists of them show it."""
    left_out = ("fulfillments", "payment_collections")
    items = [
        {name: value for name, value in line.items() if name != "total"} for line in order["items"]
    ]
    shown = {name: value for name, value in order.items() if name not in left_out}
    return {**shown, "items": items}


def _told(order: Mapping[str, Any]) -> dict[str, Any]:
    """An order as it is shown alone."""
    left_out = ("is_draft_order", "sales_channel_id", "canceled_at")
    fulfilments = [
        {name: value for name, value in one.items() if name != "labels"}
        for one in order["fulfillments"]
    ]
    items = [
        {**line, "variant": {"manage_inventory": line["variant"]["manage_inventory"]}}
        for line in order["items"]
    ]
    shown = {name: value for name, value in order.items() if name not in left_out}
    return {**shown, "items": items, "fulfillments": fulfilments}


def query_of(request: web.Request) -> list[tuple[str, str]]:
    """The query, in its own order; a name may stand several times."""
    return parse_qsl(request.query_string, keep_blank_values=True)


def _page(request: web.Request, name: str, rows: Any) -> web.Response:
    """Rows by id; conditions on a field are lists, of which several are either of."""
    wanted: dict[str, set[str]] = {}
    for key, value in query_of(request):
        found = _LIST.fullmatch(key)
        if found is not None:
            wanted.setdefault(found[1] or found[2], set()).add(value)
    kept = [row for row in rows if all(row[field] in some for field, some in wanted.items())]
    kept.sort(key=lambda row: str(row["id"]))
    offset, limit = int(request.query.get("offset", "0")), int(request.query.get("limit", "20"))
    kept = chosen(kept, query_of(request))
    told = {name: kept[offset : offset + limit], "count": len(kept), "offset": offset}
    return json_answer({**told, "limit": limit})


def chosen(rows: Any, query: list[tuple[str, str]]) -> Any:
    """Of rows the fields that `fields` asks for: paths, and `*name` for all plain fields below it.

    Names that begin with `*` or `+` alone are asked for on top of all that is shown anyway.
    """
    asked = [name for name in dict(query).get("fields", "").split(",") if name]
    if all(name[0] in "*+" for name in asked):
        return rows
    tree: dict[str, Any] = {}
    for name in asked:
        node = tree
        for part in [*name.lstrip("*").split("."), *(["*"] if name[0] == "*" else [])]:
            node = node.setdefault(part, {})
    return _picked(rows, tree)


def _picked(value: Any, tree: Mapping[str, Any]) -> Any:
    if not tree:
        return value
    if isinstance(value, list):
        return [_picked(one, tree) for one in value]
    return {
        name: _picked(found, tree.get(name, {}))
        for name, found in value.items()
        if name in tree or ("*" in tree and not isinstance(found, dict | list))
    }


def json_answer(found: Any, status: int = 200) -> web.Response:
    """An answer as JSON."""
    body = msgspec.json.encode(found)
    return web.Response(body=body, status=status, content_type="application/json")
