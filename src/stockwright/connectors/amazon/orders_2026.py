"""Version 2026-01-01 of the Orders API: its list holds the items, and comes once in three minutes.

A buyer's data are not asked for. Of what is told only what claims need is kept, in Amazon's words.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec

from stockwright.connectors.amazon.api import Api
from stockwright.connectors.amazon.declaration import AmazonSettings
from stockwright.connectors.amazon.order_forms import (
    OVER,
    STATES,
    Ask,
    Heading,
    OrdersPage,
    left_s,
)
from stockwright.connectors.amazon.plans import GET_ORDER_2026
from stockwright.domain.errors import Transient

ORDERS: Final = "/orders/2026-01-01/orders"
MOST_AT_ONCE: Final = 100
INCLUDED: Final = "FULFILLMENT,CANCELLATION"
_ITEM: Final[Mapping[str, Any]] = {
    "orderItemId": None,
    "quantityOrdered": None,
    "product": {"sellerSku": None, "asin": None},
    "fulfillment": {"quantityFulfilled": None, "quantityUnfulfilled": None},
    "cancellation": {"cancellationExecution": {"cancelledBy": None}},
}
_ORDER: Final[Mapping[str, Any]] = {
    "orderId": None,
    "createdTime": None,
    "lastUpdatedTime": None,
    "salesChannel": {"marketplaceId": None},
    "fulfillment": {"fulfillmentStatus": None, "fulfilledBy": None},
    "orderItems": [_ITEM],
}
"""What is kept of an order."""


class _Pagination(msgspec.Struct, rename="camel"):
    next_token: str = ""


class _Found(msgspec.Struct, rename="camel"):
    orders: list[dict[str, Any]]
    pagination: _Pagination | None = None
    last_updated_before: str = ""


class _Channel(msgspec.Struct, rename="camel"):
    marketplace_id: str = ""


class _Order(msgspec.Struct, rename="camel"):
    sales_channel: _Channel


class _One(msgspec.Struct):
    order: _Order


async def page_of(
    api: Api, settings: AmazonSettings, ask: Ask, deadline: float
) -> OrdersPage | None:
    """See orders.Version. A next page is asked for with all that the first one was."""
    query = [
        ("lastUpdatedAfter", ask.since),
        ("marketplaceIds", ",".join(settings.marketplaces)),
        ("fulfilledBy", "MERCHANT"),
        ("includedData", INCLUDED),
        ("maxResultsPerPage", str(settings.page_size)),
    ]
    states = [new for new, old in STATES.items() if old in settings.sold and old not in OVER]
    if ask.first and states:
        query.append(("fulfillmentStatuses", ",".join(states)))
    if ask.token:
        query.append(("paginationToken", ask.token))
    response = await api.ask("searchOrders", ORDERS, query, left_s(deadline))
    if response.status >= 400:
        if ask.token:
            return None
        raise Transient(f"Amazon answered {response.status} to searchOrders")
    found = api.decode(response.body, _Found, "searchOrders")
    token = found.pagination.next_token if found.pagination else ""
    orders = [kept(order, _ORDER) for order in found.orders]
    return OrdersPage(orders, token, found.last_updated_before)


def at_once(settings: AmazonSettings) -> int:
    """See orders.Version: all of a page, which costs no call."""
    return MOST_AT_ONCE


async def message_of(api: Api, order: Mapping[str, Any], deadline: float) -> Mapping[str, Any]:
    """See orders.Version: the form of an answer to getOrder."""
    return {"order": order}


def heading_of(order: Mapping[str, Any]) -> Heading:
    """See orders.Version."""
    number = order.get("orderId")
    state = str(order.get("fulfillment", {}).get("fulfillmentStatus", ""))
    return Heading(
        number if isinstance(number, str) else "",
        str(order.get("lastUpdatedTime", "")),
        STATES.get(state, state),
    )


async def marketplace_of(api: Api, order: str, deadline: float) -> str:
    """See orders.Version."""
    path = f"{ORDERS}/{quote(order, safe='')}"
    response = await api.ask(GET_ORDER_2026, path, within_s=left_s(deadline))
    if response.status >= 400:
        return ""
    return api.decode(response.body, _One, "getOrder").order.sales_channel.marketplace_id


def kept(found: Mapping[str, Any], form: Mapping[str, Any]) -> dict[str, Any]:
    """What a form names of an object: None stands for a plain value, a list for a list of objects.
    What is of another kind than the form says is left out.
    """
    picked: dict[str, Any] = {}
    for name, inner in form.items():
        value = found.get(name)
        match inner, value:
            case None, str() | int():
                picked[name] = value
            case dict(), dict():
                picked[name] = kept(value, inner)
            case [part], list():
                picked[name] = [kept(x, part) if isinstance(x, dict) else None for x in value]
    return picked
