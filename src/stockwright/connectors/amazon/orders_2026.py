"""Version 2026-01-01 of the Orders API: its list holds the items, and comes once in three minutes.

A buyer's data are not asked for. Of what is told only what claims need is kept, in Amazon's words.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote

import msgspec

from stockwright.connectors.amazon.api import Api, left_s
from stockwright.connectors.amazon.declaration import AmazonSettings
from stockwright.connectors.amazon.order_forms import (
    STATES,
    Ask,
    Heading,
    KnownLine,
    KnownOrder,
    OrdersPage,
    amount_of,
    open_states,
)
from stockwright.connectors.amazon.plans import GET_ORDER_2026
from stockwright.domain.errors import Transient
from stockwright.sdk.calling import Query

ORDERS: Final = "/orders/2026-01-01/orders"
MOST_AT_ONCE: Final = 100
INCLUDED: Final = "FULFILLMENT,CANCELLATION"
PRICED: Final = f"{INCLUDED},PROCEEDS,TAX"
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
    quantity_unfulfilled: int = 0


class _Collection(msgspec.Struct):
    model: str = ""


class _Tax(msgspec.Struct, rename="camel"):
    tax_collections: list[_Collection] = []


class Item(msgspec.Struct, rename="camel"):
    """An item of one order, with what it cost."""

    order_item_id: str
    quantity_ordered: int
    proceeds: _Proceeds | None = None
    cancellation: _Cancellation | None = None
    fulfillment: _Fulfilled | None = None
    tax: _Tax | None = None

    @property
    def wanted(self) -> int:
        """Units that are wanted, those sent included: what a cancellation left of them."""
        if self.cancellation is None or self.cancellation.cancellation_execution is None:
            return self.quantity_ordered
        told = self.fulfillment or _Fulfilled()
        return min(self.quantity_ordered, told.quantity_fulfilled + told.quantity_unfulfilled)


class _Channel(msgspec.Struct, rename="camel"):
    marketplace_id: str = ""


class _Fulfillment(msgspec.Struct, rename="camel"):
    fulfillment_status: str = ""


class _Order(msgspec.Struct, rename="camel"):
    sales_channel: _Channel
    order_items: list[Item]
    fulfillment: _Fulfillment | None = None


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
    wanted = open_states(settings.sold)
    states = [new for new, old in STATES.items() if old in wanted]
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


async def order_of(api: Api, order: str, deadline: float) -> KnownOrder | None:
    """See orders.Version."""
    found = await _order(api, order, deadline, [("includedData", PRICED)])
    if found is None:
        return None
    state = found.fulfillment.fulfillment_status if found.fulfillment else ""
    lines = {one.order_item_id: line_of(one) for one in found.order_items}
    return KnownOrder(found.sales_channel.marketplace_id, STATES.get(state, state), lines)


async def marketplace_of(api: Api, order: str, deadline: float) -> str:
    """See orders.Version."""
    found = await _order(api, order, deadline)
    return found.sales_channel.marketplace_id if found is not None else ""


async def _order(api: Api, order: str, deadline: float, query: Query = ()) -> _Order | None:
    path = f"{ORDERS}/{quote(order, safe='')}"
    response = await api.ask(GET_ORDER_2026, path, query, left_s(deadline))
    if response.status >= 400:
        return None
    return api.decode(response.body, _One, "getOrder").order


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


def line_of(item: Item) -> KnownLine:
    """An item as Amazon tells it now."""
    told = item.proceeds.breakdowns if item.proceeds else []
    parts = [(one.type, amount_of(one.subtotal.amount)) for one in told]
    known = [(kind, amount) for kind, amount in parts if amount is not None]
    currency = next((one.subtotal.currency_code for one in told if one.type == "ITEM"), "")

    def of(kind: str) -> list[Decimal]:
        return [amount for name, amount in known if name == kind]

    # A discount is told as it changes the proceeds; some tell it with a sign and some without.
    price = sum(of("ITEM"), Decimal(0)) - sum(map(abs, of("DISCOUNT")), Decimal(0))
    collections = item.tax.tax_collections if item.tax else []
    withheld = any(one.model == "MARKETPLACE_FACILITATOR" for one in collections)
    return KnownLine(
        ordered=item.wanted,
        shipped=item.fulfillment.quantity_fulfilled if item.fulfillment else 0,
        price=price if currency and len(known) == len(parts) else None,
        tax=Decimal(0) if withheld else sum(of("TAX"), Decimal(0)),
        currency=currency,
    )
