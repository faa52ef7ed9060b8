"""Orders and their refunds into facts.

An order's line in a state that claims stock is a `channel_order` of its whole quantity, by
revisions of the order's own time of change. What was refunded, and what an order that is over still
wants, is a `channel_cancel`: the ledger takes of it what has not shipped.
"""

import datetime as dt
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from stockwright.domain.events import Fact
from stockwright.sdk.calling import whole_text
from stockwright.sdk.mapping import excerpt
from stockwright.sdk.messages import Failure, Mapped
from stockwright.sdk.sources import Wrong

ORDER_TOPICS: Final = frozenset({"", "order.created", "order.updated", "order.restored"})
_REFUNDED_LINE: Final = "_refunded_item_id"


def map_order(
    body: bytes, topic: str, sold: Collection[str], cancelled: Collection[str], channel: str
) -> list[Mapped]:
    """The facts of one message; [] for one that says nothing about stock.

    A message is an order, or {"order": ..., "refunds": [...]} as the poll puts them together. An
    order that has refunds but does not carry them says nothing of what is cancelled: the poll will.
    """
    if topic not in ORDER_TOPICS:
        return []
    root = whole_text(body)
    if not isinstance(root, dict):
        return [_failed("$", "$", "is no JSON object")]
    told = isinstance(root.get("order"), dict)
    at, order = ("$.order", root["order"]) if told else ("$", root)
    refunds = root.get("refunds") if told else []
    try:
        status = _text(order, "status", at)
        if status not in sold and status not in cancelled:
            return []
        reader = _Order(order, at, channel)
        mapped = list(_each(f"{at}.line_items", reader.lines, reader.ordered))
        if told or not order.get("refunds"):
            taken = _Refunds(refunds if isinstance(refunds, list) else [], reader)
            mapped += _each("$.refunds", taken.lines, taken.cancelled)
            if status in cancelled:
                mapped += _each(f"{at}.line_items", reader.lines, taken.rest, "cancel ")
    except Wrong as bad:
        return [_failed(at, bad.path, bad.reason, order)]
    return mapped


def _each(
    where: str, lines: Sequence[tuple[str, Any]], fact_of: Any, prefix: str = ""
) -> Iterator[Mapped]:
    """One part for each line that says something; a bad line fails alone."""
    for place, line in lines:
        try:
            fact = fact_of(place, line)
        except Wrong as bad:
            yield _failed(f"{prefix}{place}", bad.path, bad.reason, line)
            continue
        if fact is not None:
            yield Mapped(place=f"{prefix}{place}", item=fact)


class _Order:
    """One order, read once."""

    def __init__(self, order: Mapping[str, Any], at: str, channel: str) -> None:
        self.id = str(_number(order, "id", at))
        self.channel = channel
        self.created = _time(order, "date_created_gmt", at)
        self.modified = _time(order, "date_modified_gmt", at)
        self.lines = _items(order, "line_items", at)

    def ordered(self, place: str, line: Any) -> Fact | None:
        quantity = _number(line, "quantity", place)
        if quantity <= 0:
            return None
        return Fact(
            kind="channel_order",
            document=self.id,
            line=str(_number(line, "id", place)),
            revision=int(self.modified.timestamp()),
            item=code_of(line, place),
            quantity=quantity,
            occurred_at=self.created,
            channel=self.channel,
            order=self.id,
            order_line=str(_number(line, "id", place)),
        )

    def cancel(
        self,
        document: str,
        at: dt.datetime | None,
        number: int,
        order_line: int,
        units: int,
        item: str,
    ) -> Fact:
        return Fact(
            kind="channel_cancel",
            document=document,
            line=str(number),
            item=item,
            quantity=units,
            occurred_at=at,
            channel=self.channel,
            order=self.id,
            order_line=str(order_line),
        )


class _Refunds:
    """The refunds of an order: each line names the line of the order that it takes from."""

    def __init__(self, refunds: Sequence[Any], order: _Order) -> None:
        self._order = order
        self._about: dict[str, tuple[str, dt.datetime]] = {}
        self._taken: dict[int, int] = {}
        self.lines: list[tuple[str, Any]] = []
        for n, refund in enumerate(refunds):
            at = f"$.refunds[{n}]"
            about = (str(_number(refund, "id", at)), _time(refund, "date_created_gmt", at))
            for place, line in _items(refund, "line_items", at):
                self._about[place] = about
                self.lines.append((place, line))

    def cancelled(self, place: str, line: Any) -> Fact | None:
        units = abs(_number(line, "quantity", place))
        if not units:
            return None  # money was given back, and no units
        of = _refunded(line, place)
        self._taken[of] = self._taken.get(of, 0) + units
        refund, at = self._about[place]
        number = _number(line, "id", place)
        return self._order.cancel(f"R{refund}", at, number, of, units, code_of(line, place))

    def rest(self, place: str, line: Any) -> Fact | None:
        """What an order that is over still wanted of a line."""
        number = _number(line, "id", place)
        units = _number(line, "quantity", place) - self._taken.get(number, 0)
        if units <= 0:
            return None
        item, order = code_of(line, place), self._order
        # Without a time: the order is told again when it changes, and this must say the same.
        return order.cancel(order.id, None, number, number, units, item)


def code_of(line: Any, place: str) -> str:
    """What a line sells: its SKU, else PRODUCT or PRODUCT:VARIATION."""
    sku = line.get("sku") if isinstance(line, dict) else None
    if isinstance(sku, str) and sku.strip():
        return sku.strip()
    product = _number(line, "product_id", place)
    variation = line.get("variation_id")
    return f"{product}:{variation}" if isinstance(variation, int) and variation else str(product)


def order_key(body: bytes) -> str:
    """The number of the order a message is about; '' where none can be read."""
    root = whole_text(body)
    if isinstance(root, dict):
        order = root.get("order") if isinstance(root.get("order"), dict) else root
        number = order.get("id") if isinstance(order, dict) else None
        if isinstance(number, int) and not isinstance(number, bool):
            return str(number)[:128]
    return ""


# ------------------------------------------------------------ values


def _refunded(line: Any, place: str) -> int:
    for one in line.get("meta_data") or ():
        if isinstance(one, dict) and one.get("key") == _REFUNDED_LINE:
            value = str(one.get("value"))
            if value.isascii() and value.isdigit() and len(value) <= 18:
                return int(value)
    raise Wrong(f"{place}.meta_data", f"has no {_REFUNDED_LINE}, the order's line it takes from")


def _items(root: Mapping[str, Any], name: str, at: str) -> list[tuple[str, Any]]:
    found = root.get(name)
    if not isinstance(found, list):
        raise Wrong(f"{at}.{name}", "is no list")
    return [(f"{at}.{name}[{n}]", line) for n, line in enumerate(found)]


def _text(root: Mapping[str, Any], name: str, at: str) -> str:
    found = root.get(name)
    if not isinstance(found, str) or not found:
        raise Wrong(f"{at}.{name}", "is no text" if name in root else "is missing")
    return found


def _number(root: Any, name: str, at: str) -> int:
    found = root.get(name) if isinstance(root, dict) else None
    if isinstance(found, float) and found.is_integer():
        found = int(found)
    if isinstance(found, bool) or not isinstance(found, int) or abs(found) > 10**15:
        raise Wrong(f"{at}.{name}", "is no whole number")
    return found


def _time(root: Any, name: str, at: str) -> dt.datetime:
    found = root.get(name) if isinstance(root, dict) else None
    try:
        moment = dt.datetime.fromisoformat(found)  # type: ignore[arg-type]
        if not 1970 <= moment.year <= 2200:
            raise ValueError
    except (TypeError, ValueError):
        raise Wrong(f"{at}.{name}", "is no time such as 2026-03-01T10:00:00") from None
    # The fields that end in _gmt carry no zone.
    return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)


def _failed(place: str, path: str, reason: str, found: Any = None) -> Mapped:
    text = "" if found is None else excerpt(found)
    return Mapped(place=place, item=Failure(path=path, reason=reason, found=text))
