"""Version 0 of the Orders API: lists orders without their items, which are asked for one by one.

Amazon ends these calls on 27 March 2027.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote

import msgspec

from stockwright.connectors.amazon.api import Api, left_s
from stockwright.connectors.amazon.declaration import AmazonSettings
from stockwright.connectors.amazon.order_forms import (
    Ask,
    Heading,
    KnownLine,
    KnownOrder,
    OrdersPage,
    amount_of,
    open_states,
)
from stockwright.domain.errors import Misconfigured, Transient

ORDERS: Final = "/orders/v0/orders"
MOST_PAGES: Final = 1_000
_KEPT: Final[Sequence[str]] = (
    "AmazonOrderId",
    "PurchaseDate",
    "LastUpdateDate",
    "OrderStatus",
    "FulfillmentChannel",
    "MarketplaceId",
    "OrderType",
)
_KEPT_OF_ITEM: Final[Sequence[str]] = (
    "OrderItemId",
    "SellerSKU",
    "ASIN",
    "QuantityOrdered",
    "QuantityShipped",
)


_MONEY: Final = ("ItemPrice", "PromotionDiscount", "ItemTax", "PromotionDiscountTax")


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


class _Order(msgspec.Struct, rename="pascal"):
    marketplace_id: str = ""
    order_status: str = ""


class _One(msgspec.Struct):
    payload: _Order


async def page_of(
    api: Api, settings: AmazonSettings, ask: Ask, deadline: float
) -> OrdersPage | None:
    """See orders.Version. Raises Misconfigured where there is no such list any more."""
    query = [("MarketplaceIds", ",".join(settings.marketplaces))]
    if ask.token:
        query.append(("NextToken", ask.token))
    else:
        query += _first_page(settings, ask)
    response = await api.ask("getOrders", ORDERS, query, left_s(deadline))
    if response.status in (404, 410):
        raise _gone(response.status)
    if response.status >= 400:
        if ask.token:
            return None
        raise Transient(f"Amazon answered {response.status} to getOrders")
    page = api.decode(response.body, _Listed, "getOrders").payload
    orders = [{name: order[name] for name in _KEPT if name in order} for order in page.orders]
    return OrdersPage(orders, page.next_token, page.last_updated_before)


def at_once(settings: AmazonSettings) -> int:
    """See orders.Version: each is a call."""
    return settings.items_at_once


async def message_of(api: Api, order: Mapping[str, Any], deadline: float) -> Mapping[str, Any]:
    """See orders.Version: the order and its items, None where Amazon has no such order any more, or
    lists it without a number: it is parked, and holds up no other.
    """
    number = heading_of(order).number
    found = await _items(api, number, deadline) if number else None
    if found is None:
        return {"order": order, "items": None}
    items = [{name: item[name] for name in _KEPT_OF_ITEM if name in item} for item in found]
    return {"order": order, "items": items}


def heading_of(order: Mapping[str, Any]) -> Heading:
    """See orders.Version."""
    number = order.get("AmazonOrderId")
    return Heading(
        number if isinstance(number, str) else "",
        str(order.get("LastUpdateDate", "")),
        str(order.get("OrderStatus", "")),
    )


async def order_of(api: Api, order: str, deadline: float) -> KnownOrder | None:
    """See orders.Version."""
    found = await _order(api, order, deadline)
    items = await _items(api, order, deadline) if found is not None else None
    if found is None or items is None:
        return None
    lines = {str(item["OrderItemId"]): line_of(item) for item in items if "OrderItemId" in item}
    return KnownOrder(found.marketplace_id, found.order_status, lines)


async def marketplace_of(api: Api, order: str, deadline: float) -> str:
    """See orders.Version."""
    found = await _order(api, order, deadline)
    return found.marketplace_id if found is not None else ""


async def _order(api: Api, order: str, deadline: float) -> _Order | None:
    path = f"{ORDERS}/{quote(order, safe='')}"
    response = await api.ask("getOrder", path, within_s=left_s(deadline))
    if response.status == 410:
        raise _gone(response.status)
    if response.status >= 400:
        return None
    return api.decode(response.body, _One, "getOrder").payload


def _gone(status: int) -> Misconfigured:
    words = f'Amazon answered {status}: where v0 has ended, orders_api is "2026-01-01"'
    return Misconfigured("orders_api", words)


def _first_page(settings: AmazonSettings, ask: Ask) -> list[tuple[str, str]]:
    query = [
        ("MaxResultsPerPage", str(settings.page_size)),
        ("FulfillmentChannels", "MFN"),
        ("LastUpdatedAfter", ask.since),
    ]
    states = open_states(settings.sold)
    if ask.first and states:
        query.append(("OrderStatuses", ",".join(states)))
    return query


async def _items(api: Api, order: str, deadline: float) -> list[dict[str, Any]] | None:
    """All items of an order; None where Amazon has no such order any more."""
    items: list[dict[str, Any]] = []
    token = ""
    for _ in range(MOST_PAGES):
        query = [("NextToken", token)] if token else []
        path = f"{ORDERS}/{quote(order, safe='')}/orderItems"
        response = await api.ask("getOrderItems", path, query, left_s(deadline))
        if response.status == 404:
            return None
        if response.status == 410:
            raise _gone(response.status)
        if response.status >= 400:
            raise Transient(f"Amazon answered {response.status} to getOrderItems of {order}")
        page = api.decode(response.body, _Items, "getOrderItems").payload
        items += page.order_items
        token = page.next_token
        if not token:
            return items
    raise Transient(f"the items of order {order} come to no end")


def line_of(item: Mapping[str, Any]) -> KnownLine:
    """An item as Amazon tells it now."""
    money = {name: _money(item, name) for name in _MONEY}
    amounts = [one for one in money.values() if one is not None]
    currency = _currency(item)
    known = bool(currency) and len(amounts) == len(_MONEY)
    price, discount, tax, less_tax = amounts if known else [Decimal(0)] * len(_MONEY)
    collection = item.get("TaxCollection")
    withheld = isinstance(collection, dict) and collection.get("Model") == "MarketplaceFacilitator"
    return KnownLine(
        ordered=_units(item, "QuantityOrdered"),
        shipped=_units(item, "QuantityShipped"),
        price=price - discount if known else None,
        tax=Decimal(0) if withheld else tax - less_tax,
        currency=currency,
    )


def _units(item: Mapping[str, Any], name: str) -> int:
    found = item.get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) else 0


def _currency(item: Mapping[str, Any]) -> str:
    price = item.get("ItemPrice")
    return str(price.get("CurrencyCode") or "") if isinstance(price, dict) else ""


def _money(item: Mapping[str, Any], name: str) -> Decimal | None:
    """What is told under a name: 0 where nothing is, None where it cannot be read."""
    found = item.get(name)
    if not isinstance(found, dict):
        return Decimal(0)
    return amount_of(found.get("Amount"))
