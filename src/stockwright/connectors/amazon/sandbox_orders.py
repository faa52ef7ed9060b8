"""The sandbox's orders by version 2026-01-01 of the Orders API, and what order feeds do to them."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final
from xml.etree import ElementTree as Xml

from aiohttp import web

from stockwright.connectors.amazon.order_feed_forms import ADJUSTS, CANCELS
from stockwright.connectors.amazon.order_forms import PENDING, STATES
from stockwright.connectors.amazon.orders_2026 import ORDERS
from stockwright.connectors.amazon.plans import GET_ORDER_2026
from stockwright.connectors.amazon.sandbox_feeds import answer, failed

Order = dict[str, Any]
PRICE: Final = 10
"""What a piece costs; a tax of a tenth comes on top of it."""
MESSAGES: Final = {CANCELS: "OrderAcknowledgement", ADJUSTS: "OrderAdjustment"}
_NEWER: Final = {older: newer for newer, older in STATES.items()}
_FULFILLED_BY: Final = {"MFN": "MERCHANT", "AFN": "AMAZON"}
_MAY_CHANGE: Final = frozenset({"paginationToken", "maxResultsPerPage", "includedData"})
"""Parameters that a next page may be asked for with other values of."""


class OrderDesk:
    """Tells orders, kept as v0 tells them, and carries out what order feeds say of them. The codes
    of its refusals are its own.

    now is the time as Amazon tells it, until up to when changes are listed now. bought: the units
    that were ordered of each item at first. page_size: orders on a page at most. pages: by token,
    what the pass asked for, up to when, and the orders that are left of it. paid_back: by order,
    (item, units, amount) of each refund.
    """

    def __init__(
        self,
        orders: Mapping[str, Order],
        lines: Mapping[str, Sequence[Order]],
        now: Callable[[], str],
        until: Callable[[], str],
    ) -> None:
        self.bought: dict[str, int] = {}
        self.paid_back: dict[str, list[tuple[str, int, str]]] = {}
        self.page_size = 100
        self.pages: dict[str, tuple[Mapping[str, str], str, list[Mapping[str, Any]]]] = {}
        self._orders = orders
        self._lines = lines
        self._now = now
        self.until = until
        self._tokens = 0

    def routes(self) -> list[tuple[str, str, str, Any]]:
        """(operation, method, path, handler)."""
        return [
            ("searchOrders", "GET", ORDERS, self._search),
            (GET_ORDER_2026, "GET", f"{ORDERS}/{{id}}", self._get),
        ]

    async def _search(self, request: web.Request) -> web.Response:
        query = request.query
        asked = {name: value for name, value in query.items() if name not in _MAY_CHANGE}
        if ("createdAfter" in query) == ("lastUpdatedAfter" in query):
            return failed(400, "InvalidInput", "Give one of createdAfter and lastUpdatedAfter.")
        if "paginationToken" in query:
            same, until, rows = self.pages.pop(query["paginationToken"], ({}, "", []))
            if same != asked:
                return failed(400, "InvalidInput", "The token has ended, or is another question's.")
        else:
            until = self.until()
            rows = [row for row in self._orders.values() if _is_asked(row, query, until)]
            rows.sort(key=lambda row: (row["LastUpdateDate"], row["AmazonOrderId"]))
        size = min(self.page_size, int(query.get("maxResultsPerPage", "100")))
        included = query.get("includedData", "").split(",")
        told: dict[str, Any] = {
            "orders": [self._told(row, included) for row in rows[:size]],
            "lastUpdatedBefore": until,
        }
        if rows[size:]:
            self._tokens += 1
            token = f"more-{self._tokens}"
            self.pages[token] = (asked, until, rows[size:])
            told["pagination"] = {"nextToken": token}
        return answer(told)

    async def _get(self, request: web.Request) -> web.Response:
        order = self._orders.get(request.match_info["id"])
        if order is None:
            return failed(404, "NotFound", "There is no such order.")
        included = request.query.get("includedData", "").split(",")
        return answer({"order": self._told(order, included)})

    def _told(self, order: Mapping[str, Any], included: Sequence[str]) -> dict[str, Any]:
        number = order["AmazonOrderId"]
        lines = self._lines.get(number, ())
        told: dict[str, Any] = {
            "orderId": number,
            "createdTime": order["PurchaseDate"],
            "lastUpdatedTime": order["LastUpdateDate"],
            "salesChannel": {"channelName": "AMAZON", "marketplaceId": order["MarketplaceId"]},
            "orderItems": [self._item(order, line, included) for line in lines],
        }
        if "FULFILLMENT" in included:
            told["fulfillment"] = {
                "fulfillmentStatus": _NEWER[order["OrderStatus"]],
                "fulfilledBy": _FULFILLED_BY[order["FulfillmentChannel"]],
            }
        if "BUYER" in included:
            told["buyer"] = {"buyerEmail": order["BuyerInfo"]["BuyerEmail"]}
        return told

    def _item(
        self, order: Mapping[str, Any], line: Mapping[str, Any], included: Sequence[str]
    ) -> dict[str, Any]:
        """An item. While an order is pending nothing of it is to be fulfilled or was cancelled."""
        wanted, sent = line["QuantityOrdered"], line["QuantityShipped"]
        pending = order["OrderStatus"] in PENDING
        ordered = wanted if pending else self.bought[line["OrderItemId"]]
        told: dict[str, Any] = {
            "orderItemId": line["OrderItemId"],
            "quantityOrdered": ordered,
            "product": {
                "asin": line["ASIN"],
                "sellerSku": line["SellerSKU"],
                "title": line["Title"],
            },
        }
        if "FULFILLMENT" in included:
            left = 0 if pending else wanted - sent
            told["fulfillment"] = {"quantityFulfilled": sent, "quantityUnfulfilled": left}
        if "CANCELLATION" in included and wanted < ordered:
            told["cancellation"] = {"cancellationExecution": {"cancelledBy": "BUYER"}}
        if "PROCEEDS" in included and not pending:
            price, tax = wanted * PRICE, wanted * PRICE // 10
            parts = (("ITEM", price), ("TAX", tax))
            told["proceeds"] = {
                "proceedsTotal": _money(price + tax),
                "breakdowns": [{"type": kind, "subtotal": _money(x)} for kind, x in parts],
            }
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
            amounts = [Decimal(one.text or "0") for one in row.iter("Amount")]
            line["QuantityOrdered"] -= gone
            units = int(row.findtext("Quantity") or 0)
            if units:
                paid = (line["OrderItemId"], units, f"{sum(amounts, Decimal(0)):.2f}")
                self.paid_back.setdefault(number, []).append(paid)
        order["LastUpdateDate"] = self._now()
        return None


def _is_asked(order: Mapping[str, Any], query: Mapping[str, str], until: str) -> bool:
    states = query.get("fulfillmentStatuses", "")
    fulfilled_by = query.get("fulfilledBy", "")
    changed = order["LastUpdateDate"]
    return (
        query.get("lastUpdatedAfter", "") <= changed <= until
        and query.get("createdAfter", "") <= order["PurchaseDate"]
        and (not states or _NEWER.get(order["OrderStatus"]) in states.split(","))
        and (
            not fulfilled_by
            or _FULFILLED_BY[order["FulfillmentChannel"]] in fulfilled_by.split(",")
        )
    )


def _money(amount: int) -> dict[str, str]:
    return {"amount": f"{amount}.00", "currencyCode": "USD"}
