"""What either version of Amazon's Orders API says, in one form: the names are those of v0."""

import datetime as dt
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

KEPT: Final[Sequence[str]] = (
    "AmazonOrderId",
    "PurchaseDate",
    "LastUpdateDate",
    "OrderStatus",
    "FulfillmentChannel",
    "MarketplaceId",
    "OrderType",
)
"""What is kept of an order, besides its items."""
KEPT_OF_ITEM: Final[Sequence[str]] = (
    "OrderItemId",
    "SellerSKU",
    "ASIN",
    "QuantityOrdered",
    "QuantityShipped",
)
PENDING: Final = frozenset({"PendingAvailability", "Pending"})
"""States in which an order is not paid: Amazon tells no prices, and lets nobody cancel."""
OVER: Final = frozenset({"Shipped", "Canceled", "Unfulfillable"})


class OrdersPage(msgspec.Struct, frozen=True):
    """A page of the list. until: up to when changes are listed, '' where it is not told.

    Orders have the fields KEPT, and `items` where the list tells them too.
    """

    orders: Sequence[Mapping[str, Any]]
    token: str
    until: str


class Line(msgspec.Struct, frozen=True):
    """An item of an order. price and tax are those of all its units, tax without what Amazon
    itself collects; price is None where Amazon tells none.
    """

    ordered: int
    shipped: int = 0
    price: Decimal | None = None
    tax: Decimal = Decimal(0)
    currency: str = ""


class KnownOrder(msgspec.Struct, frozen=True):
    """An order as it is now, by the ids of its items."""

    marketplace: str
    status: str
    lines: Mapping[str, Line]


def decimal_of(text: Any) -> Decimal:
    """An amount; 0 for what is none."""
    try:
        found = Decimal(str(text))
    except InvalidOperation:
        return Decimal(0)
    return found if found.is_finite() else Decimal(0)


def moment_of(text: str) -> dt.datetime | None:
    """A time; None for what is none. One without a zone is in UTC."""
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=dt.UTC)


def text_of(moment: dt.datetime) -> str:
    """A time as Amazon takes it."""
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
