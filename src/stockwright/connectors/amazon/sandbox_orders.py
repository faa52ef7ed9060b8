"""The orders of the sandbox by version 2026-01-01, and what its order feeds do to them."""

from collections.abc import Callable, Mapping
from typing import Any, Final
from xml.etree import ElementTree as Xml

from aiohttp import web

from stockwright.connectors.amazon.order_feed_forms import ADJUSTS, CANCELS
from stockwright.connectors.amazon.orders_2026 import CHANNELS, ORDERS, STATES
from stockwright.connectors.amazon.plans import GET_ORDER_2026
from stockwright.connectors.amazon.sandbox_feeds import answer, failed

Order = dict[str, Any]
PENDING: Final = ("Pending", "PendingAvailability")
PRICE: Final = 10
"""What a piece costs; a tax of a tenth comes on top of it."""
MESSAGES: Final = {CANCELS: "OrderAcknowledgement", ADJUSTS: "OrderAdjustment"}
_STATES: Final = {ours: theirs for theirs, ours in STATES.items()}
_FULFILLERS: Final = {ours: theirs for theirs, ours in CHANNELS.items()}


class OrderDesk:
    """Tells orders as 2026-01-01 does, and carries out what order feeds say of them.

    The codes of its refusals are its own. bought: the units each item was first ordered with.
    paid_back: by order, (item, units, amount) of each refund.
    """

    def __init__(
        self, orders: Mapping[str, Order], lines: Mapping[str, list[Order]], now: Callable[[], str]
    ) -> None:
        self._orders = orders
        self._lines = lines
        self._now = now
        self.bought: dict[str, int] = {}
        self.paid_back: dict[str, list[tuple[str, int, str]]] = {}
        self.page_size = 100
        self.until: Callable[[], str] = now

    def routes(self) -> list[tuple[str, str, str, Any]]:
        """(operation, method, path, handler)."""
        return [
            ("searchOrders", "GET", ORDERS, self._search),
            (GET_ORDER_2026, "GET", f"{ORDERS}/{{id}}", self._get),
        ]

    # ---------------------------------------------------------------- as 2026-01-01 tells them

    async def _search(self, request: web.Request) -> web.Response:
        query, until = request.query, self.until()
        if ("createdAfter" in query) == ("lastUpdatedAfter" in query):
            return failed(400, "InvalidInput", "Give one of createdAfter and lastUpdatedAfter.")
        rows = [row for row in self._orders.values() if self._is_asked(row, query, until)]
        rows.sort(key=lambda row: (row["LastUpdateDate"], row["AmazonOrderId"]))
        after = query.get("paginationToken", "")
        rows = [row for row in rows if not after or _place(row) > after]
        size = min(self.page_size, int(query.get("maxResultsPerPage", "100")))
        told: dict[str, Any] = {
            "orders": [self._told(row, query.get("includedData", "")) for row in rows[:size]],
            "lastUpdatedBefore": until,
        }
        if rows[size:]:
            told["pagination"] = {"nextToken": _place(rows[size - 1])}
        return answer(told)

    async def _get(self, request: web.Request) -> web.Response:
        order = self._orders.get(request.match_info["id"])
        if order is None:
            return failed(404, "NotFound", "There is no such order.")
        return answer({"order": self._told(order, request.query.get("includedData", ""))})

    def _is_asked(self, order: Order, query: Mapping[str, str], until: str) -> bool:
        states = query.get("fulfillmentStatuses", "")
        return (
            query.get("lastUpdatedAfter", "") <= order["LastUpdateDate"] <= until
            and (not states or _STATES.get(order["OrderStatus"], "") in states.split(","))
            and _FULFILLERS[order["FulfillmentChannel"]] in query.get("fulfilledBy", "MERCHANT")
        )

    def _told(self, order: Order, included: str) -> dict[str, Any]:
        told: dict[str, Any] = {
            "orderId": order["AmazonOrderId"],
            "createdTime": order["PurchaseDate"],
            "lastUpdatedTime": order["LastUpdateDate"],
            "salesChannel": {"channelName": "AMAZON", "marketplaceId": order["MarketplaceId"]},
            "orderItems": [
                self._item(order, line, included) for line in self._lines[order["AmazonOrderId"]]
            ],
        }
        if "FULFILLMENT" in included:
            told["fulfillment"] = {
                "fulfillmentStatus": _STATES[order["OrderStatus"]],
                "fulfilledBy": _FULFILLERS[order["FulfillmentChannel"]],
            }
        return told

    def _item(self, order: Order, line: Order, included: str) -> dict[str, Any]:
        wanted, bought = line["QuantityOrdered"], self.bought[line["OrderItemId"]]
        told: dict[str, Any] = {
            "orderItemId": line["OrderItemId"],
            "quantityOrdered": wanted or bought,
            "product": {"asin": line["ASIN"], "sellerSku": line["SellerSKU"]},
        }
        if "FULFILLMENT" in included:
            left = wanted - line["QuantityShipped"]
            shipped = line["QuantityShipped"]
            told["fulfillment"] = {"quantityFulfilled": shipped, "quantityUnfulfilled": left}
        if "CANCELLATION" in included and not wanted:
            told["cancellation"] = {"cancellationExecution": {"cancelledBy": "BUYER"}}
        if "PROCEEDS" in included and order["OrderStatus"] not in PENDING:
            price, tax = wanted * PRICE, wanted * PRICE // 10
            parts = [{"type": kind, "subtotal": _money(x)} for kind, x in
                     (("ITEM", price), ("TAX", tax))]  # fmt: skip
            told["proceeds"] = {"proceedsTotal": _money(price + tax), "breakdowns": parts}
        return told

    def priced(self, order: Order, line: Order) -> Order:
        """An item as v0 tells it: with prices once the order is paid."""
        if order["OrderStatus"] in PENDING:
            return line
        price = line["QuantityOrdered"] * PRICE
        names = {"ItemPrice": price, "ItemTax": price // 10}
        return {
            **line,
            **{
                name: {"CurrencyCode": "USD", "Amount": f"{amount}.00"}
                for name, amount in names.items()
            },
        }

    # ---------------------------------------------------------------- what feeds do to them

    def take(self, kind: str, document: bytes) -> tuple[str, str] | None:
        """Carries out the document of an order feed, or answers the (code, message) of why not."""
        told = Xml.fromstring(document).find(f"Message/{MESSAGES[kind]}")
        number = told.findtext("AmazonOrderID") if told is not None else None
        order = self._orders.get(number or "")
        if told is None or order is None:
            return "unknown_order", "There is no such order."
        if order["OrderStatus"] in PENDING:
            return "pending", "The order is not paid yet."
        return self._cancel(order) if kind == CANCELS else self._adjust(order, told)

    def _cancel(self, order: Order) -> tuple[str, str] | None:
        if order["OrderStatus"] != "Unshipped":
            return "not_cancellable", f"The order is {order['OrderStatus']}."
        for line in self._lines[order["AmazonOrderId"]]:
            line["QuantityOrdered"] = 0
        order |= {"OrderStatus": "Canceled", "LastUpdateDate": self._now()}
        return None

    def _adjust(self, order: Order, told: Xml.Element) -> tuple[str, str] | None:
        number = order["AmazonOrderId"]
        lines = {line["OrderItemId"]: line for line in self._lines[number]}
        for row in told.iter("AdjustedItem"):
            line = lines.get(row.findtext("AmazonOrderItemCode") or "")
            if line is None:
                return "unknown_item", "The order has no such item."
            gone = int(row.findtext("QuantityCancelled") or 0)
            if gone > line["QuantityOrdered"] - line["QuantityShipped"]:
                return "too_many", "So many are not open."
            amounts = [float(one.text or 0) for one in row.iter("Amount")]
            line["QuantityOrdered"] -= gone
            units = int(row.findtext("Quantity") or 0)
            if units:
                paid = (line["OrderItemId"], units, f"{sum(amounts):.2f}")
                self.paid_back.setdefault(number, []).append(paid)
        order["LastUpdateDate"] = self._now()
        return None


def _place(order: Order) -> str:
    return f"{order['LastUpdateDate']} {order['AmazonOrderId']}"


def _money(amount: int) -> dict[str, str]:
    return {"amount": f"{amount}.00", "currencyCode": "USD"}
