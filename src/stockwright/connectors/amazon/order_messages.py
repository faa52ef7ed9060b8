"""The forms in which Amazon tells of an order: by a poll of either version, and by notices."""

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from stockwright.connectors.amazon.order_forms import PENDING, STATES
from stockwright.sdk.sources import Wrong

ORDER_CHANGE: Final = "ORDER_CHANGE"
EVERY_UNIT: Final = 1_000_000
"""What a cancel of a line asks for: all of it, however many there are. No line has so many."""


class Line(NamedTuple):
    """An item of an order. units: how many are wanted, with those sent; 0 for a cancelled one."""

    id: str
    sku: str
    units: int


class Order(msgspec.Struct, frozen=True):
    """One order, wherever it came from. root: where its head stands; lines: where its items do."""

    id: str
    head: Mapping[str, Any]
    root: str
    items: Any
    lines: str
    changed: dt.datetime
    form: "Form"


class Form(Protocol):
    """How a message says the parts of an order. Each raises Wrong where its part cannot be read."""

    @property
    def state_at(self) -> str:
        """Where in the head of an order its state stands."""
        ...

    def state(self, order: Order) -> str:
        """The order's state, in the words of v0 where it has one."""
        ...

    def is_amazons(self, order: Order) -> bool:
        """Whether Amazon ships it from its own stock."""
        ...

    def bought(self, order: Order) -> dt.datetime:
        """When it was placed."""
        ...

    def line(self, order: Order, item: Mapping[str, Any], place: str) -> Line:
        """One of its items."""
        ...


class _Flat(msgspec.Struct, frozen=True):
    """The form of v0 and of notices, which have two names of their own."""

    fulfilled: str
    units: str
    state_at: str = "OrderStatus"

    def state(self, order: Order) -> str:
        return _text(order.head, self.state_at, order.root)

    def is_amazons(self, order: Order) -> bool:
        return order.head.get(self.fulfilled) == "AFN"

    def bought(self, order: Order) -> dt.datetime:
        return _time(order.head, "PurchaseDate", order.root, order.changed)

    def line(self, order: Order, item: Mapping[str, Any], place: str) -> Line:
        number, sku = _text(item, "OrderItemId", place), _text(item, "SellerSKU", place)
        return Line(number, sku, _units(item, self.units, place))


class _Nested(msgspec.Struct, frozen=True):
    """The form of 2026-01-01."""

    state_at: str = "fulfillment.fulfillmentStatus"

    def state(self, order: Order) -> str:
        at, fulfillment = _inside(order.head, "fulfillment", order.root)
        state = _text(fulfillment, "fulfillmentStatus", at)
        return STATES.get(state, state)

    def is_amazons(self, order: Order) -> bool:
        _, fulfillment = _inside(order.head, "fulfillment", order.root)
        return fulfillment.get("fulfilledBy") == "AMAZON"

    def bought(self, order: Order) -> dt.datetime:
        return _time(order.head, "createdTime", order.root, order.changed)

    def line(self, order: Order, item: Mapping[str, Any], place: str) -> Line:
        number = _text(item, "orderItemId", place)
        at, product = _inside(item, "product", place)
        sku = _text(product, "sellerSku", at)
        ordered = _units(item, "quantityOrdered", place)
        if self.state(order) not in PENDING and _was_cancelled(item):
            return Line(number, sku, min(ordered, _left(item, place)))
        return Line(number, sku, ordered)


POLLED_V0: Final[Form] = _Flat("FulfillmentChannel", "QuantityOrdered")
NOTICE: Final[Form] = _Flat("FulfillmentType", "Quantity")
POLLED_2026: Final[Form] = _Nested()


def order_in(root: Mapping[str, Any]) -> Order | None:
    """The order a message tells of; None where it is a notice of something else. Raises Wrong."""
    head = root.get("order")
    if isinstance(head, dict):
        return _polled_v0(root, head) if "items" in root else _polled_2026(head)
    detail = root.get("detail")
    at, notice = ("$.detail", detail) if isinstance(detail, dict) else ("$", root)
    # Newer kinds of notifications begin their names small.
    name = "notificationType" if "notificationType" in notice else "NotificationType"
    if _text(notice, name, at) != ORDER_CHANGE:
        return None
    at, payload = _inside(notice, "Payload", at)
    at, change = _inside(payload, "OrderChangeNotification", at)
    where, summary = _inside(change, "Summary", at)
    by, trigger = _inside(change, "OrderChangeTrigger", at)
    changed = _time(trigger, "TimeOfOrderChange", by, _time(notice, "EventTime", "$"))
    number = _text(change, "AmazonOrderId", at)
    items = summary.get("OrderItems")
    return Order(number, summary, where, items, f"{where}.OrderItems", changed, NOTICE)


def _polled_v0(root: Mapping[str, Any], head: Mapping[str, Any]) -> Order:
    number = _text(head, "AmazonOrderId", "$.order")
    changed = _time(head, "LastUpdateDate", "$.order")
    return Order(number, head, "$.order", root.get("items"), "$.items", changed, POLLED_V0)


def _polled_2026(head: Mapping[str, Any]) -> Order:
    number = _text(head, "orderId", "$.order")
    changed = _time(head, "lastUpdatedTime", "$.order")
    items, lines = head.get("orderItems"), "$.order.orderItems"
    return Order(number, head, "$.order", items, lines, changed, POLLED_2026)


def _was_cancelled(item: Mapping[str, Any]) -> bool:
    """Whether units of an item were cancelled. A buyer's request alone changes nothing."""
    cancellation = item.get("cancellation")
    told = cancellation.get("cancellationExecution") if isinstance(cancellation, dict) else None
    return isinstance(told, dict)


def _left(item: Mapping[str, Any], place: str) -> int:
    """What a cancellation left of an item: what was sent, and what still is to be."""
    told = item.get("fulfillment")
    if not isinstance(told, dict):
        return 0
    at = f"{place}.fulfillment"
    names = [name for name in ("quantityFulfilled", "quantityUnfulfilled") if name in told]
    return sum(_units(told, name, at) for name in names)


# ------------------------------------------------------------ values


def _inside(root: Mapping[str, Any], name: str, at: str) -> tuple[str, Mapping[str, Any]]:
    found = root.get(name)
    if not isinstance(found, dict):
        raise Wrong(f"{at}.{name}", "is no JSON object" if name in root else "is missing")
    return f"{at}.{name}", found


def _text(root: Mapping[str, Any], name: str, at: str) -> str:
    found = root.get(name)
    if not isinstance(found, str) or not found.strip():
        raise Wrong(f"{at}.{name}", "is no text" if name in root else "is missing")
    return found.strip()


def _units(root: Mapping[str, Any], name: str, at: str) -> int:
    found = root.get(name)
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found < EVERY_UNIT:
        raise Wrong(f"{at}.{name}", "is no whole number of units")
    return found


def _time(
    root: Mapping[str, Any], name: str, at: str, otherwise: dt.datetime | None = None
) -> dt.datetime:
    """A time in whole seconds: notices tell of the same moment more finely than orders do."""
    found = root.get(name)
    if found is None and otherwise is not None:
        return otherwise
    try:
        moment = dt.datetime.fromisoformat(found)  # type: ignore[arg-type]
        if not 1970 <= moment.year <= 2200:
            raise ValueError
    except (TypeError, ValueError):
        raise Wrong(f"{at}.{name}", "is no time such as 2026-03-01T10:00:00Z") from None
    if moment.tzinfo is None:
        raise Wrong(f"{at}.{name}", "has no time zone")
    return moment.astimezone(dt.UTC).replace(microsecond=0)
