"""The orders of the sandbox shop: what customers and clerks do, and what the API answers."""

import datetime as dt
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from aiohttp import web

from stockwright.connectors.magento.api import text_of

Handler = Callable[[web.Request], Awaitable[web.Response]]
PRICE: Final = 12.0
_CRITERION: Final = re.compile(
    r"searchCriteria\[filter_groups\]\[(\d+)\]\[filters\]\[(\d+)\]\[(\w+)\]"
)


class Orders:
    """The books of the sandbox: what its source holds, reservations, orders, shipments, memos."""

    def __init__(self, clock: Callable[[], dt.datetime]) -> None:
        self.clock = clock
        self.sources: dict[str, int] = {}
        self.reserved: dict[str, int] = {}
        self.orders: dict[int, dict[str, Any]] = {}
        self.shipments: list[dict[str, Any]] = []
        self.memos: list[dict[str, Any]] = []
        self.invoices: list[dict[str, Any]] = []
        self._next = 100

    def number(self) -> int:
        """A number that was never used."""
        self._next += 1
        return self._next

    def add(self, sku: str, quantity: int = 0) -> None:
        """Adds a product that the source carries."""
        self.sources[sku] = quantity

    def salable(self, sku: str) -> int:
        """What its customers may buy: what the source holds, less what is reserved."""
        return self.sources[sku] - self.reserved.get(sku, 0)

    # ---------------------------------------------------------------- what happens there

    def sell(self, lines: Sequence[tuple[str, int]], state: str = "processing") -> int:
        """A customer bought (SKU, quantity) lines: they are reserved. The order's number."""
        number = self.number()
        items = [self._line(sku, quantity) for sku, quantity in lines]
        for sku, quantity in lines:
            self.reserved[sku] = self.reserved.get(sku, 0) + quantity
        now = self._now()
        self.orders[number] = {
            "entity_id": number,
            "increment_id": f"{number:09d}",
            "state": state,
            "status": state,
            "created_at": now,
            "updated_at": now,
            "customer_email": "jane@example.com",
            "items": items,
        }
        held = [{"order_item_id": line["item_id"], "qty": line["qty_ordered"]} for line in items]
        self.invoices.append({"entity_id": self.number(), "order_id": number, "items": held})
        return number

    def _line(self, sku: str, quantity: int) -> dict[str, Any]:
        return {
            "item_id": self.number(),
            "sku": sku,
            "product_type": "simple",
            "qty_ordered": quantity,
            "qty_canceled": 0,
            "qty_refunded": 0,
            "qty_shipped": 0,
            "row_total_incl_tax": quantity * PRICE,
            "discount_amount": 0,
        }

    def change(self, number: int, **fields: Any) -> None:
        """Somebody changes an order in the shop."""
        self.orders[number] |= {**fields, "updated_at": self._now()}

    def cancel(self, number: int) -> bool:
        """Cancels what is left of an order and releases it; False where nothing can be."""
        order = self.orders[number]
        if order["state"] in ("canceled", "complete", "closed"):
            return False
        for line in order["items"]:
            left = line["qty_ordered"] - line["qty_shipped"] - line["qty_refunded"]
            line["qty_canceled"] = left
            self.reserved[line["sku"]] -= left
        self.change(number, state="canceled", status="canceled")
        return True

    def ship(self, number: int, lines: Sequence[Mapping[str, Any]], comment: str = "") -> int | str:
        """Takes units off the source and releases them; the shipment's number, or why not."""
        order = self.orders[number]
        known = {line["item_id"]: line for line in order["items"]}
        for one in lines:
            line = known[one["order_item_id"]]
            taken = line["qty_shipped"] + line["qty_canceled"] + line["qty_refunded"]
            if one["qty"] > line["qty_ordered"] - taken:
                return "The shipment contains more than was ordered"
            if self.sources[line["sku"]] < one["qty"]:
                return "Not all of your products are available in the requested quantity."
        for one in lines:
            line = known[one["order_item_id"]]
            line["qty_shipped"] += one["qty"]
            self.sources[line["sku"]] -= one["qty"]
            self.reserved[line["sku"]] -= one["qty"]
        made = self.number()
        about = {"entity_id": made, "order_id": number, "items": list(lines)}
        self.shipments.append({**about, "comments": [{"comment": comment}]})
        whole = all(line["qty_shipped"] >= line["qty_ordered"] for line in order["items"])
        self.change(number, state="complete" if whole else "processing")
        return made

    def pay_back(
        self, number: int, lines: Sequence[Mapping[str, Any]], comment: str = "", **more: Any
    ) -> int | str:
        """Pays units back; what has not shipped is released. The memo's number, or why not."""
        known = {line["item_id"]: line for line in self.orders[number]["items"]}
        for one in lines:
            line = known[one["order_item_id"]]
            if one["qty"] > line["qty_ordered"] - line["qty_refunded"] - line["qty_canceled"]:
                return "The credit memo contains more than was invoiced"
        for one in lines:
            line = known[one["order_item_id"]]
            line["qty_refunded"] += one["qty"]
            unshipped = line["qty_ordered"] - line["qty_shipped"] - line["qty_canceled"]
            released = min(one["qty"], max(0, unshipped))
            self.reserved[line["sku"]] -= released
        items = [
            {"entity_id": self.number(), "sku": known[one["order_item_id"]]["sku"], **one}
            for one in lines
        ]
        made = self.number()
        memo = {"entity_id": made, "order_id": number, "created_at": self._now()}
        self.memos.append({**memo, "items": items, "comments": [{"comment": comment}], **more})
        self.change(number)
        return made

    # ---------------------------------------------------------------- what it answers

    def order_routes(self) -> Iterator[tuple[str, str, Handler]]:
        """(method, path, handler) of all that is about orders."""
        yield "GET", "/orders", self._list_orders
        yield "GET", "/orders/{id}", self._get_order
        yield "POST", "/orders/{id}/cancel", self._cancel_order
        yield "POST", "/order/{id}/ship", self._ship_order
        yield "POST", "/order/{id}/refund", self._refund_order
        yield "POST", "/invoice/{id}/refund", self._refund_invoice
        yield "GET", "/shipments", self._list_shipments
        yield "GET", "/creditmemos", self._list_memos
        yield "GET", "/invoices", self._list_invoices

    async def _list_orders(self, request: web.Request) -> web.Response:
        return found(request, list(self.orders.values()))

    async def _list_shipments(self, request: web.Request) -> web.Response:
        return found(request, self.shipments)

    async def _list_memos(self, request: web.Request) -> web.Response:
        return found(request, self.memos)

    async def _list_invoices(self, request: web.Request) -> web.Response:
        return found(request, self.invoices)

    async def _get_order(self, request: web.Request) -> web.Response:
        order = self.orders.get(int(request.match_info["id"]))
        if order is None:
            text = "The entity that was requested doesn't exist. Verify the entity and try again."
            return refusal(404, text)
        return web.json_response(order)

    async def _cancel_order(self, request: web.Request) -> web.Response:
        return web.json_response(self.cancel(int(request.match_info["id"])))

    async def _ship_order(self, request: web.Request) -> web.Response:
        asked = await request.json()
        comment = asked.get("comment", {}).get("comment", "")
        made = self.ship(int(request.match_info["id"]), asked["items"], comment)
        if isinstance(made, str):
            return refusal(400, made)
        self.shipments[-1]["tracks"] = asked.get("tracks", [])
        return web.json_response(str(made))

    async def _refund_order(self, request: web.Request) -> web.Response:
        return await self._refunded(request, int(request.match_info["id"]))

    async def _refund_invoice(self, request: web.Request) -> web.Response:
        number = int(request.match_info["id"])
        invoice = next(one for one in self.invoices if one["entity_id"] == number)
        return await self._refunded(request, int(invoice["order_id"]))

    async def _refunded(self, request: web.Request, order: int) -> web.Response:
        asked = await request.json()
        comment, more = asked.get("comment", {}).get("comment", ""), asked.get("arguments", {})
        online = bool(asked.get("isOnline"))
        made = self.pay_back(order, asked["items"], comment, arguments=more, online=online)
        return refusal(400, made) if isinstance(made, str) else web.json_response(str(made))

    def _now(self) -> str:
        return text_of(self.clock())


def found(request: web.Request, rows: Sequence[Mapping[str, Any]]) -> web.Response:
    """What a search finds. A page after the last one is the last one, as the shop has it."""
    groups = _groups(request)
    kept = [row for row in rows if all(any(_holds(row, one) for one in g) for g in groups)]
    fields = [
        value
        for name, value in request.query.items()
        if name.startswith("searchCriteria[sortOrders]") and name.endswith("[field]")
    ]
    kept.sort(key=lambda row: tuple(row[field] for field in fields))
    size = int(request.query.get("searchCriteria[pageSize]", "100"))
    page = min(int(request.query.get("searchCriteria[currentPage]", "1")), -(-len(kept) // size))
    some = kept[max(0, page - 1) * size : max(0, page) * size]
    return web.json_response({"items": some, "search_criteria": {}, "total_count": len(kept)})


def named(request: web.Request, field: str) -> list[str] | None:
    """The values of a field that alone a search can find; None where it asks for others as well."""
    for group in _groups(request):
        if all(one["field"] == field and _listed(one) is not None for one in group):
            return [value for one in group for value in _listed(one) or ()]
    return None


def _groups(request: web.Request) -> list[list[dict[str, str]]]:
    """The conditions of a search: one of each group must hold."""
    groups: dict[str, dict[str, dict[str, str]]] = {}
    for name, value in request.query.items():
        part = _CRITERION.fullmatch(name)
        if part:
            groups.setdefault(part[1], {}).setdefault(part[2], {})[part[3]] = value
    return [list(group.values()) for group in groups.values()]


def _listed(one: Mapping[str, str]) -> list[str] | None:
    """The values of which a row must have one; None where the condition is of another kind."""
    match one.get("condition_type", "eq"):
        case "eq":
            return [one["value"]]
        case "in":
            return one["value"].split(",")
        case _:
            return None


def refusal(status: int, message: str, parameters: Any = None) -> web.Response:
    """A refusal as the shop words it."""
    told = {"message": message}
    return web.json_response(
        told | ({"parameters": parameters} if parameters else {}), status=status
    )


def _holds(row: Mapping[str, Any], one: Mapping[str, str]) -> bool:
    value, listed = str(row[one["field"]]), _listed(one)
    if listed is not None:
        return value in listed
    if one["condition_type"] == "gteq":
        return value >= one["value"]
    raise web.HTTPBadRequest(text=f"the sandbox knows no condition {one['condition_type']}")
