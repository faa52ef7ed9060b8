"""Version 0 of the Orders API: a list of orders, and the items of each by a call of its own."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec

from stockwright.connectors.amazon.api import Api
from stockwright.connectors.amazon.declaration import AmazonSettings
from stockwright.connectors.amazon.order_forms import (
    KEPT,
    KEPT_OF_ITEM,
    OVER,
    KnownOrder,
    Line,
    OrdersPage,
    decimal_of,
)
from stockwright.domain.errors import Misconfigured, Transient

ORDERS: Final = "/orders/v0/orders"
MOST_PAGES: Final = 1_000
_GONE: Final = frozenset({404, 410})


class _Page(msgspec.Struct, rename="pascal"):
    orders: list[dict[str, Any]]
    next_token: str = ""
    last_updated_before: str = ""


class _Listed(msgspec.Struct):
    payload: _Page


class _ItemsPage(msgspec.Struct, rename="pascal"):
    order_items: list[dict[str, Any]]
    next_token: str = ""


class _Items(msgspec.Struct):
    payload: _ItemsPage


class _One(msgspec.Struct):
    payload: dict[str, Any]


async def page_of(
    api: Api, settings: AmazonSettings, since: str, token: str, *, first: bool, deadline: float
) -> OrdersPage | None:
    """A page of what changed; None where Amazon will not have the question.

    Raises Misconfigured where there is no such list any more.
    """
    query = [("MarketplaceIds", ",".join(settings.marketplaces))]
    if token:
        query.append(("NextToken", token))
    else:
        query += [
            ("MaxResultsPerPage", str(settings.page_size)),
            ("FulfillmentChannels", "MFN"),
            ("LastUpdatedAfter", since),
        ]
    if first and not token:
        states = [state for state in settings.sold if state not in OVER]
        query.append(("OrderStatuses", ",".join(states)))
    response = await api.ask("getOrders", ORDERS, query, _left_s(deadline))
    if response.status in _GONE:
        words = f'Amazon answered {response.status}: where v0 has ended, orders_api is "2026-01-01"'
        raise Misconfigured("orders_api", words)
    if response.status >= 400:
        return None
    page = api.decode(response.body, _Listed, "getOrders").payload
    orders = [{name: one[name] for name in KEPT if name in one} for one in page.orders]
    return OrdersPage(orders, page.next_token, page.last_updated_before)


async def items_of(api: Api, order: str, deadline: float) -> list[dict[str, Any]] | None:
    """All items of an order, with what is kept of each; None where Amazon has no such order any
    more, so that it is parked and holds up no other.
    """
    items = await _items(api, order, deadline)
    if items is None:
        return None
    return [{name: item[name] for name in KEPT_OF_ITEM if name in item} for item in items]


async def order_of(api: Api, order: str, deadline: float) -> KnownOrder | None:
    """An order as it is now; None where Amazon does not know it. Raises Throttled or Transient."""
    path = f"{ORDERS}/{quote(order, safe='')}"
    response = await api.ask("getOrder", path, within_s=_left_s(deadline))
    if response.status >= 400:
        return None
    found = api.decode(response.body, _One, "getOrder").payload
    items = await _items(api, order, deadline)
    if items is None:
        return None
    lines = {str(item["OrderItemId"]): _line(item) for item in items if "OrderItemId" in item}
    return KnownOrder(str(found.get("MarketplaceId", "")), str(found.get("OrderStatus")), lines)


async def marketplace_of(api: Api, order: str, within_s: float) -> str:
    """The marketplace of an order; '' where Amazon does not know it."""
    path = f"{ORDERS}/{quote(order, safe='')}"
    response = await api.ask("getOrder", path, within_s=within_s)
    if response.status >= 400:
        return ""
    found = api.decode(response.body, _One, "getOrder").payload
    return str(found.get("MarketplaceId", ""))


async def _items(api: Api, order: str, deadline: float) -> list[dict[str, Any]] | None:
    items: list[dict[str, Any]] = []
    token = ""
    for _ in range(MOST_PAGES):
        query = [("NextToken", token)] if token else []
        path = f"{ORDERS}/{quote(order, safe='')}/orderItems"
        response = await api.ask("getOrderItems", path, query, _left_s(deadline))
        if response.status == 404:
            return None
        if response.status >= 400:
            raise Transient(f"Amazon answered {response.status} to getOrderItems of {order}")
        page = api.decode(response.body, _Items, "getOrderItems").payload
        items += page.order_items
        token = page.next_token
        if not token:
            return items
    raise Transient(f"the items of order {order} come to no end")


def _line(item: Mapping[str, Any]) -> Line:
    price, currency = _money(item, "ItemPrice")
    collection = item.get("TaxCollection")
    withheld = isinstance(collection, dict) and collection.get("Model") == "MarketplaceFacilitator"
    tax = _money(item, "ItemTax")[0] - _money(item, "PromotionDiscountTax")[0]
    return Line(
        ordered=_units(item, "QuantityOrdered"),
        shipped=_units(item, "QuantityShipped"),
        price=price - _money(item, "PromotionDiscount")[0] if currency else None,
        tax=tax if not withheld else decimal_of(0),
        currency=currency,
    )


def _units(item: Mapping[str, Any], name: str) -> int:
    found = item.get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) else 0


def _money(item: Mapping[str, Any], name: str) -> tuple[Any, str]:
    found = item.get(name)
    if not isinstance(found, dict):
        return decimal_of(0), ""
    return decimal_of(found.get("Amount")), str(found.get("CurrencyCode") or "")


def _left_s(deadline: float) -> float:
    return deadline - asyncio.get_running_loop().time()
