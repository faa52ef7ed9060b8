"""Orders and their credit memos into facts.

A line of an order in a state that claims stock is a `channel_order` of its whole quantity, by
revisions of the order's own time of change. What the shop cancelled of a line, and what a credit
memo gave back, is a `channel_cancel`: the ledger takes of it what has not shipped.
"""

import datetime as dt
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from stockwright.connectors.magento.api import moment_of
from stockwright.domain.events import Fact
from stockwright.sdk.calling import whole_text
from stockwright.sdk.mapping import excerpt
from stockwright.sdk.messages import Failure, Mapped
from stockwright.sdk.sources import Wrong

NOT_SHIPPED: Final = frozenset({"virtual", "downloadable", "giftcard"})
"""Kinds of product that no warehouse keeps."""
CONFIGURABLE, BUNDLE = "configurable", "bundle"


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """How orders are read."""

    sold: Collection[str]
    cancelled: Collection[str]
    channel: str


def map_message(body: bytes, reading: Reading) -> list[Mapped]:
    """The facts of one message of the poll; [] for an order in a state of no interest."""
    root = whole_text(body)
    if not isinstance(root, dict):
        return [_failed("$", "$", "is no JSON object")]
    order = root.get("order")
    try:
        state = _text(order, "state", "$.order")
        if state not in reading.sold and state not in reading.cancelled:
            return []
        told = _Order(root, reading.channel, over=state in reading.cancelled)
        mapped = list(_each(told.lines, told.ordered))
        mapped += _each(told.returned, told.refunded)
        mapped += _each(told.lines, told.cancelled, "cancel ")
    except Wrong as bad:
        return [_failed("$", bad.path, bad.reason, order)]
    return mapped


def order_key(body: bytes) -> str:
    """The number of the order that a message is about; '' where none can be read."""
    root = whole_text(body)
    order = root.get("order") if isinstance(root, dict) else None
    number = order.get("entity_id") if isinstance(order, dict) else None
    return str(number)[:128] if isinstance(number, int) and not isinstance(number, bool) else ""


def is_goods(line: Mapping[str, Any], parents: Mapping[Any, str]) -> bool:
    """Whether a line stands for goods. parents: the kind of product of each line, by its number.

    A configurable product is told twice, as what was chosen from and as what was chosen: the first
    has the numbers. A bundle is told with what is in it: that is what is shipped.
    """
    kind = line.get("product_type")
    if kind in NOT_SHIPPED or kind == BUNDLE:
        return False
    return parents.get(line.get("parent_item_id")) != CONFIGURABLE


class _Order:
    """One order, read once."""

    def __init__(self, root: Mapping[str, Any], channel: str, *, over: bool) -> None:
        order = root["order"]
        self.id = str(_number(order, "entity_id", "$.order"))
        self.created = _time(order, "created_at", "$.order")
        self.modified = _time(order, "updated_at", "$.order")
        self._channel = channel
        self._over = over
        self._skus: dict[int, str] = {}
        self._about: dict[str, tuple[str, dt.datetime]] = {}
        every = _items(order, "items", "$.order")
        kinds = {
            line.get("item_id"): str(line.get("product_type"))
            for _, line in every
            if isinstance(line, dict)
        }
        self.lines = [
            (place, line)
            for place, line in every
            if not isinstance(line, dict) or is_goods(line, kinds)
        ]
        self.returned = list(self._memos(root)) if root.get("memos") else []

    def _memos(self, root: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        goods = {line.get("item_id") for _, line in self.lines if isinstance(line, dict)}
        for at, memo in _items(root, "memos", "$"):
            number = str(_number(memo, "entity_id", at))
            about = (f"M{number}", _time(memo, "created_at", at))
            for place, line in _items(memo, "items", at):
                if isinstance(line, dict) and line.get("order_item_id") in goods:
                    self._about[place] = about
                    yield place, line

    def ordered(self, place: str, line: Any) -> Fact | None:
        number = _number(line, "item_id", place)
        sku = self._skus[number] = _text(line, "sku", place)
        quantity = _number(line, "qty_ordered", place)
        if quantity <= 0:
            return None
        return Fact(
            kind="channel_order",
            document=self.id,
            line=str(number),
            revision=int(self.modified.timestamp()),
            item=sku,
            quantity=quantity,
            occurred_at=self.created,
            channel=self._channel,
            order=self.id,
            order_line=str(number),
        )

    def cancelled(self, place: str, line: Any) -> Fact | None:
        """What the shop cancelled of a line. It cancels what is left of an order, and only once."""
        number = _number(line, "item_id", place)
        units = _number(line, "qty_canceled", place, 0)
        if self._over and not units:
            units = _number(line, "qty_ordered", place) - _number(line, "qty_refunded", place, 0)
        if units <= 0 or number not in self._skus:
            return None
        # Without a time: the order is told again when it changes, and this must say the same.
        return self._cancel(self.id, None, str(number), number, units)

    def refunded(self, place: str, line: Any) -> Fact | None:
        units = _number(line, "qty", place, 0)
        of = _number(line, "order_item_id", place)
        if units <= 0 or of not in self._skus:
            return None
        memo, at = self._about[place]
        return self._cancel(memo, at, str(_number(line, "entity_id", place)), of, units)

    def _cancel(
        self, document: str, at: dt.datetime | None, line: str, of: int, units: int
    ) -> Fact:
        return Fact(
            kind="channel_cancel",
            document=document,
            line=line,
            item=self._skus[of],
            quantity=units,
            occurred_at=at,
            channel=self._channel,
            order=self.id,
            order_line=str(of),
        )


# ------------------------------------------------------------ values


def _each(lines: Sequence[tuple[str, Any]], fact_of: Any, prefix: str = "") -> Iterator[Mapped]:
    """One part for each line that says something; a bad line fails alone."""
    for place, line in lines:
        try:
            fact = fact_of(place, line)
        except Wrong as bad:
            yield _failed(f"{prefix}{place}", bad.path, bad.reason, line)
            continue
        if fact is not None:
            yield Mapped(place=f"{prefix}{place}", item=fact)


def _items(root: Any, name: str, at: str) -> list[tuple[str, Any]]:
    found = root.get(name) if isinstance(root, dict) else None
    if not isinstance(found, list):
        raise Wrong(f"{at}.{name}", "is no list")
    return [(f"{at}.{name}[{n}]", line) for n, line in enumerate(found)]


def _text(root: Any, name: str, at: str) -> str:
    found = root.get(name) if isinstance(root, dict) else None
    if not isinstance(found, str) or not found:
        raise Wrong(f"{at}.{name}", "is no text")
    return found


def _number(root: Any, name: str, at: str, default: int | None = None) -> int:
    found = root.get(name) if isinstance(root, dict) else None
    if found is None and default is not None:
        return default
    if isinstance(found, float) and found.is_integer():
        found = int(found)
    if isinstance(found, bool) or not isinstance(found, int) or abs(found) > 10**15:
        raise Wrong(f"{at}.{name}", "is no whole number")
    return found


def _time(root: Any, name: str, at: str) -> dt.datetime:
    found = root.get(name) if isinstance(root, dict) else None
    try:
        return moment_of(found)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise Wrong(f"{at}.{name}", "is no time such as 2026-03-01 10:00:00") from None


def _failed(place: str, path: str, reason: str, found: Any = None) -> Mapped:
    text = "" if found is None else excerpt(found)
    return Mapped(place=place, item=Failure(path=path, reason=reason, found=text))
