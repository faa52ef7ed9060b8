"""Orders and notices of their change into facts.

A line of an order that claims stock is a `channel_order` of its whole quantity, by revisions of the
order's time of change. A cancelled line is a `channel_cancel` of more units than an order holds:
neither v0 nor a notice says how many there were, and one cancel must be one fact, whoever tells it.
The ledger takes of it what has not shipped.
"""

import datetime as dt
from collections.abc import Collection
from typing import Any

from stockwright.connectors.amazon.order_forms import KNOWN
from stockwright.connectors.amazon.order_messages import EVERY_UNIT, Order, order_in
from stockwright.domain.events import Fact
from stockwright.sdk.calling import whole_text
from stockwright.sdk.mapping import excerpt
from stockwright.sdk.messages import Failure, Mapped
from stockwright.sdk.sources import Wrong


def map_message(
    body: bytes, sold: Collection[str], cancelled: Collection[str], channel: str
) -> list[Mapped]:
    """The facts of one message; [] for one that says nothing of stock the seller ships himself.

    A message is {"order", "items"} as a poll by v0 puts them together, {"order"} as 2026-01-01
    answers it, or a notification of Amazon, by itself or as the `detail` of an event.
    """
    root = whole_text(body)
    if not isinstance(root, dict):
        return [_failed("$", "$", "is no JSON object")]
    try:
        order = order_in(root)
        if order is None:
            return []
        if order.form.is_amazons(order):
            return []
        state = order.form.state(order)
        if state not in sold and state not in cancelled:
            if state in KNOWN:
                return []
            at = f"{order.root}.{order.form.state_at}"
            raise Wrong(at, "is no state of an order that is known here")
        if not isinstance(order.items, list):
            raise Wrong(order.lines, "is no list")
        bought = order.form.bought(order)
    except Wrong as bad:
        return [_failed("$", bad.path, bad.reason, root)]
    mapped = []
    for n, item in enumerate(order.items):
        place = f"{order.lines}[{n}]"
        try:
            fact = _fact(order, item, place, bought, channel, over=state in cancelled)
        except Wrong as bad:
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
        order = order_in(root)
    except Wrong:
        return ""
    return order.id[:128] if order is not None else ""


def _fact(
    order: Order, item: Any, place: str, bought: dt.datetime, channel: str, *, over: bool
) -> Fact:
    if not isinstance(item, dict):
        raise Wrong(place, "is no JSON object")
    line = order.form.line(order, item, place)
    if over or not line.units:
        # Without a time of its own: a poll and a notice of the same cancel say the same.
        return Fact(
            kind="channel_cancel",
            document=order.id,
            line=line.id,
            item=line.sku,
            quantity=EVERY_UNIT,
            channel=channel,
            order=order.id,
            order_line=line.id,
        )
    return Fact(
        kind="channel_order",
        document=order.id,
        line=line.id,
        revision=int(order.changed.timestamp()),
        item=line.sku,
        quantity=line.units,
        occurred_at=bought,
        channel=channel,
        order=order.id,
        order_line=line.id,
    )


def _failed(place: str, path: str, reason: str, found: Any = None) -> Mapped:
    text = "" if found is None else excerpt(found)
    return Mapped(place=place, item=Failure(path=path, reason=reason, found=text))
