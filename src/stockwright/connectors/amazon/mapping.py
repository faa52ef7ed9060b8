"""Orders and notices of their change into facts.

A line of an order that claims stock is a `channel_order` of its whole quantity, by revisions of the
order's time of change. Amazon counts a cancelled line as none, and does not say how many there
were: it is a `channel_cancel` of more units than an order holds. The ledger takes of it what has
not shipped.
"""

import datetime as dt
from collections.abc import Collection, Mapping
from typing import Any, Final

import msgspec

from stockwright.domain.events import Fact
from stockwright.sdk.calling import whole_text
from stockwright.sdk.mapping import excerpt
from stockwright.sdk.messages import Failure, Mapped

EVERY_UNIT: Final = 1_000_000
"""What a cancel of a line asks for: all of it, however many there are."""
ORDER_CHANGE: Final = "ORDER_CHANGE"


class _Bad(Exception):
    """A value that cannot become a fact. Stays inside the mapping."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(reason)
        self.path = path
        self.reason = reason


class _Names(msgspec.Struct, frozen=True):
    """What a message calls the parts of an order: a polled one, and a notice of a change."""

    status: str
    fulfilled: str
    units: str


_POLLED: Final = _Names("OrderStatus", "FulfillmentChannel", "QuantityOrdered")
_NOTICE: Final = _Names("OrderStatus", "FulfillmentType", "Quantity")


class _Order(msgspec.Struct, frozen=True):
    """One order, wherever it came from. root: where its head stands; lines: where its items do."""

    id: str
    head: Mapping[str, Any]
    root: str
    items: Any
    lines: str
    changed: dt.datetime
    names: _Names


def map_message(
    body: bytes, sold: Collection[str], cancelled: Collection[str], channel: str
) -> list[Mapped]:
    """The facts of one message; [] for one that says nothing of stock the seller ships himself.

    A message is {"order", "items"} as the poll puts them together, or a notification of Amazon, by
    itself or as the `detail` of an event.
    """
    root = whole_text(body)
    if not isinstance(root, dict):
        return [_failed("$", "$", "is no JSON object")]
    try:
        order = _order_of(root)
        if order is None:
            return []
        status = _text(order.head, order.names.status, order.root)
        fulfilled = order.head.get(order.names.fulfilled)
        if fulfilled == "AFN" or (status not in sold and status not in cancelled):
            return []
        if not isinstance(order.items, list):
            raise _Bad(order.lines, "is no list")
        bought = _time(order.head, "PurchaseDate", order.root, order.changed)
    except _Bad as bad:
        return [_failed("$", bad.path, bad.reason, root)]
    mapped = []
    for n, item in enumerate(order.items):
        place = f"{order.lines}[{n}]"
        try:
            fact = _fact(order, item, place, bought, channel, over=status in cancelled)
        except _Bad as bad:
            mapped.append(_failed(place, bad.path, bad.reason, item))
            continue
        mapped.append(Mapped(place=place, item=fact))
    return mapped


def order_key(body: bytes) -> str:
    """The number of the order a message is about; '' where none can be read."""
    root = whole_text(body)
    if not isinstance(root, dict):
        return ""
    try:
        order = _order_of(root)
    except _Bad:
        return ""
    return order.id[:128] if order is not None else ""


def _order_of(root: Mapping[str, Any]) -> _Order | None:
    """The order a message tells of; None where it is a notification of something else."""
    head = root.get("order")
    if isinstance(head, dict):
        number = _text(head, "AmazonOrderId", "$.order")
        changed = _time(head, "LastUpdateDate", "$.order")
        items = root.get("items")
        return _Order(number, head, "$.order", items, "$.items", changed, _POLLED)
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
    return _Order(number, summary, where, items, f"{where}.OrderItems", changed, _NOTICE)


def _fact(
    order: _Order, item: Any, place: str, bought: dt.datetime, channel: str, *, over: bool
) -> Fact:
    if not isinstance(item, dict):
        raise _Bad(place, "is no JSON object")
    line = _text(item, "OrderItemId", place)
    code = _text(item, "SellerSKU", place)
    units = item.get(order.names.units)
    if isinstance(units, bool) or not isinstance(units, int) or not 0 <= units < EVERY_UNIT:
        raise _Bad(f"{place}.{order.names.units}", "is no whole number of units")
    if over or not units:
        # Without a time of its own: a poll and a notice of the same cancel say the same.
        return Fact(
            kind="channel_cancel",
            document=order.id,
            line=line,
            item=code,
            quantity=EVERY_UNIT,
            channel=channel,
            order=order.id,
            order_line=line,
        )
    return Fact(
        kind="channel_order",
        document=order.id,
        line=line,
        revision=int(order.changed.timestamp()),
        item=code,
        quantity=units,
        occurred_at=bought,
        channel=channel,
        order=order.id,
        order_line=line,
    )


# ------------------------------------------------------------ values


def _inside(root: Mapping[str, Any], name: str, at: str) -> tuple[str, Mapping[str, Any]]:
    found = root.get(name)
    if not isinstance(found, dict):
        raise _Bad(f"{at}.{name}", "is no JSON object" if name in root else "is missing")
    return f"{at}.{name}", found


def _text(root: Mapping[str, Any], name: str, at: str) -> str:
    found = root.get(name)
    if not isinstance(found, str) or not found.strip():
        raise _Bad(f"{at}.{name}", "is no text" if name in root else "is missing")
    return found.strip()


def _time(
    root: Mapping[str, Any], name: str, at: str, otherwise: dt.datetime | None = None
) -> dt.datetime:
    """A time in whole seconds: notices tell of the same moment more finely than orders do."""
    found = root.get(name)
    if found is None and otherwise is not None:
        return otherwise
    try:
        moment = dt.datetime.fromisoformat(found)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise _Bad(f"{at}.{name}", "is no time such as 2026-03-01T10:00:00Z") from None
    if moment.tzinfo is None:
        raise _Bad(f"{at}.{name}", "has no time zone")
    return moment.astimezone(dt.UTC).replace(microsecond=0)


def _failed(place: str, path: str, reason: str, found: Any = None) -> Mapped:
    text = "" if found is None else excerpt(found)
    return Mapped(place=place, item=Failure(path=path, reason=reason, found=text))
