"""Orders and their refunds into facts.

A product of an order in a state that claims stock is a `channel_order` of its whole quantity, by
revisions of the order's own time of change. What was refunded, and what an order that is over still
wants, is a `channel_cancel`: the ledger takes of it what has not shipped. A webhook names an order
and says nothing of it.
"""

import datetime as dt
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from stockwright.connectors.bigcommerce.api import moment_of
from stockwright.domain.events import Fact
from stockwright.sdk.calling import whole_text
from stockwright.sdk.mapping import excerpt
from stockwright.sdk.messages import Failure, Mapped
from stockwright.sdk.sources import Wrong

PRODUCT: Final = "PRODUCT"


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """How orders are read: status ids, the channel, and whether a line is called by its SKU."""

    sold: Collection[int]
    cancelled: Collection[int]
    channel: str
    by_sku: bool


def map_message(body: bytes, reading: Reading) -> list[Mapped]:
    """The facts of one message of the poll; [] for a webhook and for a state of no interest."""
    root = whole_text(body)
    if not isinstance(root, dict):
        return [_failed("$", "$", "is no JSON object")]
    if "scope" in root and "order" not in root:
        return []
    order = root.get("order")
    try:
        status = _number(order, "status_id", "$.order")
        if status not in reading.sold and status not in reading.cancelled:
            return []
        told = _Order(root, reading)
        mapped = list(_each(told.products, told.ordered))
        mapped += _each(told.refunded, told.cancelled)
        if status in reading.cancelled:
            mapped += _each(told.products, told.rest, "cancel ")
    except Wrong as bad:
        return [_failed("$", bad.path, bad.reason, order)]
    return mapped


def order_key(body: bytes) -> str:
    """The number of the order that a message is about; '' where none can be read."""
    root = whole_text(body)
    if isinstance(root, dict):
        about = root.get("order") or root.get("data")
        number = about.get("id") if isinstance(about, dict) else None
        if isinstance(number, int) and not isinstance(number, bool):
            return str(number)[:128]
    return ""


class _Order:
    """One order, read once."""

    def __init__(self, root: Mapping[str, Any], reading: Reading) -> None:
        order = root["order"]
        self.id = str(_number(order, "id", "$.order"))
        self.created = _time(order, "date_created", "$.order")
        self.modified = _time(order, "date_modified", "$.order")
        self.products = _items(root, "products", "$")
        self._reading = reading
        self._codes: dict[int, str] = {}
        self._taken: dict[int, int] = {}
        self._about: dict[str, tuple[str, dt.datetime]] = {}
        self.refunded = list(self._refunds(root)) if root.get("refunds") else []

    def _refunds(self, root: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        for at, refund in _items(root, "refunds", "$"):
            about = (str(_number(refund, "id", at)), _time(refund, "created", at, self.modified))
            for place, item in _items(refund, "items", at):
                if isinstance(item, dict) and item.get("item_type") == PRODUCT:
                    self._about[place] = about
                    yield place, item

    def ordered(self, place: str, line: Any) -> Fact | None:
        quantity, number = _number(line, "quantity", place), _number(line, "id", place)
        self._codes[number] = code_of(line, place, by_sku=self._reading.by_sku)
        if quantity <= 0:
            return None
        return Fact(
            kind="channel_order",
            document=self.id,
            line=str(number),
            revision=int(self.modified.timestamp()),
            item=self._codes[number],
            quantity=quantity,
            occurred_at=self.created,
            channel=self._reading.channel,
            order=self.id,
            order_line=str(number),
        )

    def cancelled(self, place: str, item: Any) -> Fact | None:
        units = _number(item, "quantity", place) if item.get("quantity") is not None else 0
        of = _number(item, "item_id", place)
        if units <= 0:
            return None  # money was given back, and no units
        if of not in self._codes:
            raise Wrong(f"{place}.item_id", "names no product of the order")
        self._taken[of] = self._taken.get(of, 0) + units
        refund, at = self._about[place]
        return self._cancel(f"R{refund}", at, place.rpartition("[")[2].rstrip("]"), of, units)

    def rest(self, place: str, line: Any) -> Fact | None:
        """What an order that is over still wanted of a line."""
        number = _number(line, "id", place)
        units = _number(line, "quantity", place) - self._taken.get(number, 0)
        if units <= 0:
            return None
        # Without a time: the order is told again when it changes, and this must say the same.
        return self._cancel(self.id, None, str(number), number, units)

    def _cancel(
        self, document: str, at: dt.datetime | None, line: str, of: int, units: int
    ) -> Fact:
        return Fact(
            kind="channel_cancel",
            document=document,
            line=line,
            item=self._codes[of],
            quantity=units,
            occurred_at=at,
            channel=self._reading.channel,
            order=self.id,
            order_line=str(of),
        )


def code_of(line: Any, place: str, *, by_sku: bool) -> str:
    """What a line sells: its SKU, or the id of its variant where it has none, or by choice."""
    sku = line.get("sku") if isinstance(line, dict) else None
    if by_sku and isinstance(sku, str) and sku.strip():
        return sku.strip()
    return str(_number(line, "variant_id", place))


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


def _number(root: Any, name: str, at: str) -> int:
    found = root.get(name) if isinstance(root, dict) else None
    if isinstance(found, float) and found.is_integer():
        found = int(found)
    if isinstance(found, bool) or not isinstance(found, int) or abs(found) > 10**15:
        raise Wrong(f"{at}.{name}", "is no whole number")
    return found


def _time(root: Any, name: str, at: str, default: dt.datetime | None = None) -> dt.datetime:
    found = root.get(name) if isinstance(root, dict) else None
    if not found and default is not None:
        return default
    try:
        return moment_of(found)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        reason = "is no time such as Tue, 05 Mar 2019 21:40:11 +0000"
        raise Wrong(f"{at}.{name}", reason) from None


def _failed(place: str, path: str, reason: str, found: Any = None) -> Mapped:
    text = "" if found is None else excerpt(found)
    return Mapped(place=place, item=Failure(path=path, reason=reason, found=text))
