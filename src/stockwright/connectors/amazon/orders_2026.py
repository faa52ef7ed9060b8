"""Version 2026-01-01 of the Orders API: the list tells the items too, once in three minutes.

What it says is put under the names of v0: the same order is the same facts, whichever version told
it, so that an account may change over while orders are open.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec

from stockwright.connectors.amazon.api import Api
from stockwright.connectors.amazon.declaration import AmazonSettings
from stockwright.connectors.amazon.order_forms import (
    OVER,
    KnownOrder,
    Line,
    OrdersPage,
    decimal_of,
)
from stockwright.connectors.amazon.plans import GET_ORDER_2026

ORDERS: Final = "/orders/2026-01-01/orders"
STATES: Final[Mapping[str, str]] = {
    "PENDING_AVAILABILITY": "PendingAvailability",
    "PENDING": "Pending",
    "UNSHIPPED": "Unshipped",
    "PARTIALLY_SHIPPED": "PartiallyShipped",
    "SHIPPED": "Shipped",
    "CANCELLED": "Canceled",
    "UNFULFILLABLE": "Unfulfillable",
}
CHANNELS: Final[Mapping[str, str]] = {"MERCHANT": "MFN", "AMAZON": "AFN"}


class _Product(msgspec.Struct, rename="camel"):
    seller_sku: str | None = None
    asin: str | None = None


class _Money(msgspec.Struct, rename="camel"):
    amount: str = ""
    currency_code: str = ""


class _Part(msgspec.Struct):
    type: str
    subtotal: _Money


class _Proceeds(msgspec.Struct):
    breakdowns: list[_Part] = []


class _Cancellation(msgspec.Struct, rename="camel"):
    cancellation_execution: dict[str, Any] | None = None


class _Fulfilled(msgspec.Struct, rename="camel"):
    quantity_fulfilled: int = 0


class _Collection(msgspec.Struct):
    model: str = ""


class _Tax(msgspec.Struct, rename="camel"):
    tax_collections: list[_Collection] = []


class _Item(msgspec.Struct, rename="camel"):
    order_item_id: str
    quantity_ordered: int
    product: _Product
    proceeds: _Proceeds | None = None
    cancellation: _Cancellation | None = None
    fulfillment: _Fulfilled | None = None
    tax: _Tax | None = None

    @property
    def wanted(self) -> int:
        """Units that are wanted: none once somebody has cancelled the item, as v0 counts."""
        over = self.cancellation is not None and self.cancellation.cancellation_execution
        return 0 if over else self.quantity_ordered


class _Channel(msgspec.Struct, rename="camel"):
    marketplace_id: str = ""


class _Fulfillment(msgspec.Struct, rename="camel"):
    fulfillment_status: str
    fulfilled_by: str = ""


class _Order(msgspec.Struct, rename="camel"):
    order_id: str
    created_time: str
    last_updated_time: str
    sales_channel: _Channel
    order_items: list[_Item]
    fulfillment: _Fulfillment | None = None

    @property
    def status(self) -> str:
        """Its state in v0's words."""
        found = self.fulfillment.fulfillment_status if self.fulfillment else ""
        return STATES.get(found, found)


class _Pagination(msgspec.Struct, rename="camel"):
    next_token: str = ""


class _Found(msgspec.Struct, rename="camel"):
    orders: list[dict[str, Any]]
    pagination: _Pagination | None = None
    last_updated_before: str = ""


class _One(msgspec.Struct):
    order: _Order


async def page_of(
    api: Api, settings: AmazonSettings, since: str, token: str, *, first: bool, deadline: float
) -> OrdersPage | None:
    """A page of what changed, items and all; None where Amazon will not have the question."""
    query = [
        ("lastUpdatedAfter", since),
        ("marketplaceIds", ",".join(settings.marketplaces)),
        ("fulfilledBy", "MERCHANT"),
        ("includedData", "FULFILLMENT,CANCELLATION"),
        ("maxResultsPerPage", str(settings.page_size)),
    ]
    if first:
        names = {ours: theirs for theirs, ours in STATES.items()}
        states = [names[one] for one in settings.sold if one in names and one not in OVER]
        query.append(("fulfillmentStatuses", ",".join(states)))
    if token:
        query.append(("paginationToken", token))
    response = await api.ask("searchOrders", ORDERS, query, _left_s(deadline))
    if response.status >= 400:
        return None
    found = api.decode(response.body, _Found, "searchOrders")
    token = found.pagination.next_token if found.pagination else ""
    orders = [kept for one in found.orders if (kept := _kept(one))]
    return OrdersPage(orders, token, found.last_updated_before)


async def order_of(api: Api, order: str, deadline: float) -> KnownOrder | None:
    """An order as it is now; None where Amazon does not know it. Raises Throttled or Transient."""
    query = [("includedData", "PROCEEDS,FULFILLMENT,CANCELLATION,TAX")]
    found = await _get(api, order, query, _left_s(deadline))
    if found is None:
        return None
    lines = {one.order_item_id: _line(one) for one in found.order_items}
    return KnownOrder(found.sales_channel.marketplace_id, found.status, lines)


async def marketplace_of(api: Api, order: str, within_s: float) -> str:
    """The marketplace of an order; '' where Amazon does not know it."""
    found = await _get(api, order, [], within_s)
    return found.sales_channel.marketplace_id if found else ""


async def _get(
    api: Api, order: str, query: list[tuple[str, str]], within_s: float
) -> _Order | None:
    path = f"{ORDERS}/{quote(order, safe='')}"
    response = await api.ask(GET_ORDER_2026, path, query, within_s)
    if response.status >= 400:
        return None
    return api.decode(response.body, _One, "getOrder").order


def _kept(found: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of an order, under the names of v0; {} where it has no number.

    One that is not as it should be is kept without items: it is parked, and holds up no other.
    """
    try:
        order = msgspec.convert(found, _Order)
    except msgspec.ValidationError:
        number = found.get("orderId")
        head = {"AmazonOrderId": number, "OrderStatus": "Unshipped", "FulfillmentChannel": "MFN"}
        changed = {"LastUpdateDate": found.get("lastUpdatedTime")}
        return {**head, **changed, "items": None} if isinstance(number, str) else {}
    by = order.fulfillment.fulfilled_by if order.fulfillment else ""
    kept = {
        "AmazonOrderId": order.order_id,
        "PurchaseDate": order.created_time,
        "LastUpdateDate": order.last_updated_time,
        "OrderStatus": order.status,
        "FulfillmentChannel": CHANNELS.get(by, by),
        "MarketplaceId": order.sales_channel.marketplace_id,
    }
    items = [
        {
            "OrderItemId": one.order_item_id,
            "SellerSKU": one.product.seller_sku,
            "ASIN": one.product.asin,
            "QuantityOrdered": one.wanted,
            "QuantityShipped": one.fulfillment.quantity_fulfilled if one.fulfillment else 0,
        }
        for one in order.order_items
    ]
    return {**kept, "items": [{k: v for k, v in one.items() if v is not None} for one in items]}


def _line(item: _Item) -> Line:
    parts = item.proceeds.breakdowns if item.proceeds else []
    withheld = any(
        one.model == "MARKETPLACE_FACILITATOR"
        for one in (item.tax.tax_collections if item.tax else ())
    )
    by_type = {kind: [x.subtotal for x in parts if x.type == kind] for kind in ("ITEM", "TAX")}
    price = sum((decimal_of(one.amount) for one in by_type["ITEM"]), decimal_of(0))
    # A discount is told as it changes the proceeds; some tell it with a sign and some without.
    discount = sum(
        (abs(decimal_of(x.subtotal.amount)) for x in parts if x.type == "DISCOUNT"), decimal_of(0)
    )
    tax = sum((decimal_of(one.amount) for one in by_type["TAX"]), decimal_of(0))
    return Line(
        ordered=item.wanted,
        shipped=item.fulfillment.quantity_fulfilled if item.fulfillment else 0,
        price=price - discount if by_type["ITEM"] else None,
        tax=decimal_of(0) if withheld else tax,
        currency=by_type["ITEM"][0].currency_code if by_type["ITEM"] else "",
    )


def _left_s(deadline: float) -> float:
    return deadline - asyncio.get_running_loop().time()
