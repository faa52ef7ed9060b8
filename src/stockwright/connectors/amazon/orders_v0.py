"""Version 0 of the Orders API: lists orders without their items, which are asked for one by one.

Amazon ends these calls on 27 March 2027.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import msgspec

from stockwright.connectors.amazon.api import Api
from stockwright.connectors.amazon.declaration import AmazonSettings
from stockwright.connectors.amazon.order_forms import OVER, Ask, Heading, OrdersPage, left_s
from stockwright.domain.errors import Transient

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


class _One(msgspec.Struct):
    payload: _Order


async def page_of(
    api: Api, settings: AmazonSettings, ask: Ask, deadline: float
) -> OrdersPage | None:
    """See orders.Version."""
    query = [("MarketplaceIds", ",".join(settings.marketplaces))]
    if ask.token:
        query.append(("NextToken", ask.token))
    else:
        query += _first_page(settings, ask)
    response = await api.ask("getOrders", ORDERS, query, left_s(deadline))
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
    """See orders.Version: the order and its items, None where Amazon has no such order any more."""
    items = await _items(api, str(order["AmazonOrderId"]), deadline)
    return {"order": order, "items": items}


def heading_of(order: Mapping[str, Any]) -> Heading:
    """See orders.Version."""
    number = order.get("AmazonOrderId")
    return Heading(
        number if isinstance(number, str) else "",
        str(order.get("LastUpdateDate", "")),
        str(order.get("OrderStatus", "")),
    )


async def marketplace_of(api: Api, order: str, deadline: float) -> str:
    """See orders.Version."""
    path = f"{ORDERS}/{quote(order, safe='')}"
    response = await api.ask("getOrder", path, within_s=left_s(deadline))
    if response.status >= 400:
        return ""
    return api.decode(response.body, _One, "getOrder").payload.marketplace_id


def _first_page(settings: AmazonSettings, ask: Ask) -> list[tuple[str, str]]:
    query = [
        ("MaxResultsPerPage", str(settings.page_size)),
        ("FulfillmentChannels", "MFN"),
        ("LastUpdatedAfter", ask.since),
    ]
    if not ask.first:
        return query
    states = [state for state in settings.sold if state not in OVER]
    return [*query, ("OrderStatuses", ",".join(states))]


async def _items(api: Api, order: str, deadline: float) -> list[dict[str, Any]] | None:
    """All items of an order, with what is kept of each; None where Amazon has no such order any
    more, so that it is parked and holds up no other.
    """
    items: list[dict[str, Any]] = []
    token = ""
    for _ in range(MOST_PAGES):
        query = [("NextToken", token)] if token else []
        path = f"{ORDERS}/{quote(order, safe='')}/orderItems"
        response = await api.ask("getOrderItems", path, query, left_s(deadline))
        if response.status == 404:
            return None
        if response.status >= 400:
            raise Transient(f"Amazon answered {response.status} to getOrderItems of {order}")
        page = api.decode(response.body, _Items, "getOrderItems").payload
        items += [
            {name: item[name] for name in _KEPT_OF_ITEM if name in item}
            for item in page.order_items
        ]
        token = page.next_token
        if not token:
            return items
    raise Transient(f"the items of order {order} come to no end")
