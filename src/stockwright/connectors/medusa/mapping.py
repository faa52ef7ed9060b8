"""Orders into facts: what was ordered, taken off, cancelled, and received back.

A line is a `channel_order` of its whole quantity, under the version of its order: every change of
quantities raises it. A line that was taken off, and all lines of a cancelled order, are a
`channel_cancel`: the ledger takes of it what has not shipped. Goods received back in the shop are a
`return_receipt` for each time that some were.
"""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from stockwright.domain.events import Fact
from stockwright.sdk.calling import whole_text
from stockwright.sdk.mapping import excerpt
from stockwright.sdk.messages import Failure, Mapped
from stockwright.sdk.sources import Wrong

_RECEIVED: Final = frozenset({"RECEIVE_RETURN_ITEM", "RECEIVE_DAMAGED_RETURN_ITEM"})
_NOT_SOLD: Final = frozenset({"draft"})
_CANCELLED: Final = "canceled"


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What the settings say about mapping. places: ids of stock locations and our codes of them."""

    channel: str
    listings: Literal["sku", "item", "variant"] = "sku"
    sales_channels: frozenset[str] = frozenset()
    places: Mapping[str, str] = {}
    returns: bool = True


def map_message(body: bytes, reading: Reading) -> list[Mapped]:
    """The facts of one message; [] for one that says nothing about stock.

    A message is {"order": ...}, and where the order was changed after it was placed {"changes",
    "gone", "returns"}: its changes, its lines of earlier versions, its returns.
    """
    root = whole_text(body)
    order = root.get("order") if isinstance(root, dict) else None
    if not isinstance(root, dict) or not isinstance(order, dict):
        return [_failed("$", "$.order", "is no order")]
    try:
        return list(_facts(root, order, reading))
    except Wrong as bad:
        return [_failed("$.order", bad.path, bad.reason, order)]


def order_key(body: bytes) -> str:
    """The id of the order a message is about; '' where none can be read."""
    root = whole_text(body)
    order = root.get("order") if isinstance(root, dict) else None
    found = order.get("id") if isinstance(order, dict) else None
    return found[:128] if isinstance(found, str) else ""


def _facts(root: Mapping[str, Any], order: Mapping[str, Any], reading: Reading) -> Iterator[Mapped]:
    status = _text(order, "status", "$.order")
    if status in _NOT_SOLD or order.get("is_draft_order") is True:
        return
    told = order.get("sales_channel_id")
    if reading.sales_channels and told not in reading.sales_channels:
        return
    reader = _Order(root, order, reading)
    yield from _each(reader.lines, reader.ordered)
    yield from _each(reader.gone, reader.ordered_before)
    yield from _each(reader.gone, reader.taken_off, "cancel ")
    if status == _CANCELLED:
        yield from _each(reader.lines, reader.cancelled, "cancel ")
    if reading.returns:
        yield from _each(reader.receipts(), reader.received)


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


class _Order:
    """One order, read once."""

    def __init__(self, root: Mapping[str, Any], order: Mapping[str, Any], reading: Reading) -> None:
        self._reading = reading
        self._root = root
        self.id = _text(order, "id", "$.order")
        self.version = _number(order, "version", "$.order")
        self.created = _time(order, "created_at", "$.order")
        self.updated = _time(order, "updated_at", "$.order")
        self.over = (
            _time(order, "canceled_at", "$.order") if order.get("canceled_at") else self.updated
        )
        self.lines = _rows(order, "items", "$.order")
        self.gone = _rows(root, "gone", "$") if root.get("gone") else []
        self._sold = {line.get("id"): line for _, line in self.lines if isinstance(line, dict)}
        for _, row in self.gone:
            if isinstance(row, dict) and isinstance(row.get("item"), dict):
                self._sold[row.get("item_id")] = row["item"]

    def ordered(self, place: str, line: Any) -> Fact | None:
        """All that is ordered of a line now."""
        number = _text(line, "id", place)
        return self._order(number, _number(line, "quantity", place), self.version, place)

    def ordered_before(self, place: str, row: Any) -> Fact | None:
        """What was ordered of a line before it was taken off."""
        version, units = _number(row, "version", place), _number(row, "quantity", place)
        return self._order(_text(row, "item_id", place), units, version, place)

    def taken_off(self, place: str, row: Any) -> Fact | None:
        """A line that stands in the order no more."""
        number, units = _text(row, "item_id", place), _number(row, "quantity", place)
        return self._cancel(number, units, self._taken_off_at(row), place)

    def cancelled(self, place: str, line: Any) -> Fact | None:
        """A line of an order that is cancelled."""
        number, units = _text(line, "id", place), _number(line, "quantity", place)
        return self._cancel(number, units, self.over, place)

    def receipts(self) -> list[tuple[str, Any]]:
        """Each time that goods of a line were received back: the action, with its change."""
        found: list[tuple[str, Any]] = []
        for at, change in self._changes():
            for place, action in _rows(change, "actions", at) if change.get("actions") else ():
                if isinstance(action, dict) and action.get("action") in _RECEIVED:
                    found.append((place, {**action, "change": change}))
        return found

    def received(self, place: str, action: Any) -> Fact | None:
        """Goods that came back, damaged ones as well: the inspection tells what they are."""
        details, change = action.get("details"), action["change"]
        line = _text(details, "reference_id", f"{place}.details")
        code = self._code(line, place)
        units = _number(details, "quantity", f"{place}.details")
        if not code or units <= 0:
            return None
        document = _text(change, "return_id", place)
        return Fact(
            kind="return_receipt",
            document=document,
            line=_text(action, "id", place),
            item=code,
            quantity=units,
            location=self._place_of(document, place),
            occurred_at=_time(change, "confirmed_at", place),
            order=self.id,
            order_line=line,
            reason="damaged" if "DAMAGED" in action["action"] else "",
        )

    def _order(self, number: str, units: int, version: int, place: str) -> Fact | None:
        code = self._code(number, place)
        if not code or units <= 0:
            return None
        return Fact(
            kind="channel_order",
            document=self.id,
            line=number,
            revision=version,
            item=code,
            quantity=units,
            occurred_at=self.created,
            channel=self._reading.channel,
            order=self.id,
            order_line=number,
        )

    def _cancel(self, number: str, units: int, at: dt.datetime, place: str) -> Fact | None:
        code = self._code(number, place)
        if not code or units <= 0:
            return None
        return Fact(
            kind="channel_cancel",
            document=self.id,
            line=number,
            item=code,
            quantity=units,
            occurred_at=at,
            channel=self._reading.channel,
            order=self.id,
            order_line=number,
        )

    def _code(self, number: str, place: str) -> str:
        """What a line sells; '' where the shop keeps no stock of it: free texts, digital goods."""
        line = self._sold.get(number)
        if line is None:
            raise Wrong(place, f"no line {number} of the order is known")
        variant, name = line.get("variant"), line.get("variant_id")
        keeps = not isinstance(variant, dict) or variant.get("manage_inventory") is not False
        if not keeps or not isinstance(name, str):
            return ""
        if self._reading.listings == "sku" and isinstance(line.get("variant_sku"), str):
            return line["variant_sku"].strip() or name
        if self._reading.listings == "item" and isinstance(variant, dict):
            return _single_item(variant) or name
        return name

    def _changes(self) -> list[tuple[str, Mapping[str, Any]]]:
        rows = _rows(self._root, "changes", "$") if self._root.get("changes") else []
        return [
            (at, change)
            for at, change in rows
            if isinstance(change, dict) and change.get("status") == "confirmed"
        ]

    def _taken_off_at(self, row: Any) -> dt.datetime:
        """When the line was last changed: the change that took it off."""
        number, at = row.get("item_id"), self.created
        for where, change in self._changes():
            actions = change.get("actions")
            for action in actions if isinstance(actions, list) else ():
                details = action.get("details") if isinstance(action, dict) else None
                if isinstance(details, dict) and details.get("reference_id") == number:
                    at = max(at, _time(change, "confirmed_at", where))
        return at

    def _place_of(self, number: str, place: str) -> str:
        """Our code of the place a return came to; the shop's own id of it where none is set."""
        returns = self._root.get("returns")
        for one in returns if isinstance(returns, list) else ():
            if isinstance(one, dict) and one.get("id") == number and one.get("location_id"):
                found = str(one["location_id"])
                return self._reading.places.get(found, found)
        raise Wrong(place, f"the stock location of return {number} is not told")


# ------------------------------------------------------------ values


def _single_item(variant: Mapping[str, Any]) -> str:
    """The one inventory item of which a variant takes one piece; '' for kits and packs."""
    parts = variant.get("inventory_items")
    part = parts[0] if isinstance(parts, list) and len(parts) == 1 else None
    if not isinstance(part, dict) or part.get("required_quantity") != 1:
        return ""
    return str(part.get("inventory_item_id") or "")


def _rows(root: Mapping[str, Any], name: str, at: str) -> list[tuple[str, Any]]:
    found = root.get(name)
    if not isinstance(found, list):
        raise Wrong(f"{at}.{name}", "is no list" if name in root else "is missing")
    return [(f"{at}.{name}[{n}]", row) for n, row in enumerate(found)]


def _text(root: Any, name: str, at: str) -> str:
    found = root.get(name) if isinstance(root, dict) else None
    if not isinstance(found, str) or not found:
        raise Wrong(f"{at}.{name}", "is no text" if found is not None else "is missing")
    return found


def _number(root: Any, name: str, at: str) -> int:
    """A whole number; the shop writes some of them as texts, in the actions of its changes."""
    found = root.get(name) if isinstance(root, dict) else None
    if isinstance(found, str) and found.isascii() and found.isdigit() and len(found) <= 12:
        found = int(found)
    if isinstance(found, float) and found.is_integer():
        found = int(found)
    if isinstance(found, bool) or not isinstance(found, int) or abs(found) > 10**12:
        raise Wrong(f"{at}.{name}", "is no whole number")
    return found


def _time(root: Any, name: str, at: str) -> dt.datetime:
    found = root.get(name) if isinstance(root, dict) else None
    try:
        moment = dt.datetime.fromisoformat(found)  # type: ignore[arg-type]
        if moment.tzinfo is None or not 1970 <= moment.year <= 2200:
            raise ValueError
    except (TypeError, ValueError):
        raise Wrong(f"{at}.{name}", "is no time such as 2026-03-01T10:00:00Z") from None
    return moment.astimezone(dt.UTC)


def _failed(place: str, path: str, reason: str, found: Any = None) -> Mapped:
    text = "" if found is None else excerpt(found)
    return Mapped(place=place, item=Failure(path=path, reason=reason, found=text))
