"""Orders and refunds into facts, from webhooks and from what a poll asked for.

Both say the same in two spellings: webhooks as in the REST API, with numbers; polls as in the
GraphQL API, with global ids. The facts are the same, and so are their identities.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from stockwright.connectors.shopify.ids import number_of
from stockwright.connectors.shopify.reading import value_at
from stockwright.domain.events import Fact
from stockwright.sdk.calling import whole_text
from stockwright.sdk.mapping import excerpt
from stockwright.sdk.messages import Failure, Mapped
from stockwright.sdk.sources import Wrong

TOPIC: Final = "x-shopify-topic"
ORDER_TOPICS: Final = frozenset(
    {"orders/create", "orders/updated", "orders/cancelled", "orders/paid", "orders/fulfilled"}
)
REFUND_TOPIC: Final = "refunds/create"
_RETURNS: Final = (b'"return"', b'"RETURN"')
HINTS: Final = frozenset({"inventory_levels/update"})
"""Topics that say nothing for sure: what a shop shows is read back when it matters."""


class Spelling(msgspec.Struct, frozen=True):
    """How one of the two APIs spells what we read."""

    created: str
    updated: str
    cancelled: str
    lines: str
    refund_lines: str
    restock: str
    gift: str
    line_of_refund: tuple[str, ...]
    variant: tuple[str, ...]


REST: Final = Spelling(
    "created_at",
    "updated_at",
    "cancelled_at",
    "line_items",
    "refund_line_items",
    "restock_type",
    "gift_card",
    ("line_item_id",),
    ("variant_id",),
)
GRAPH: Final = Spelling(
    "createdAt",
    "updatedAt",
    "cancelledAt",
    "lineItems",
    "refundLineItems",
    "restockType",
    "isGiftCard",
    ("lineItem", "id"),
    ("variant", "id"),
)


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What the settings say about mapping."""

    channel: str
    by_sku: bool = True
    test_orders: bool = False
    returns_at: str = ""


def map_message(body: bytes, topic: str, reading: Reading) -> list[Mapped]:
    """The facts of one message; [] for one that says nothing about stock."""
    if topic and topic not in ORDER_TOPICS and topic != REFUND_TOPIC:
        return []
    root = whole_text(body)
    if not isinstance(root, dict):
        return [_failed("$", "$", "is no JSON object")]
    polled = isinstance(root.get("order"), dict)
    at, found = ("$.order", root["order"]) if polled else ("$", root)
    try:
        if topic == REFUND_TOPIC:
            return list(_refund(found, reading))
        return list(_order(found, at, GRAPH if polled else REST, reading))
    except Wrong as bad:
        return [_failed(at, bad.path, bad.reason, found)]


def order_key(body: bytes, topic: str = "") -> str:
    """The number of the order a message is about; '' where none can be read."""
    root = whole_text(body)
    found = value_at(root, "order_id") if topic == REFUND_TOPIC else value_at(root, "order", "id")
    return number_of(found) or ("" if topic == REFUND_TOPIC else number_of(value_at(root, "id")))


def restocked(body: bytes, topic: str, reading: Reading) -> set[str]:
    """What the shop put back on sale when it came back, and no fact tells of."""
    if not any(word in body for word in _RETURNS):
        return set()
    root = whole_text(body)
    polled = isinstance(value_at(root, "order"), dict)
    spelling, order = (GRAPH, value_at(root, "order")) if polled else (REST, root)
    taking = _Taking("", spelling, reading)
    codes = {value_at(line, "id"): taking.code_of(line) for line in _any(order, spelling.lines)}
    found = set()
    for refund in [order] if topic == REFUND_TOPIC else _any(order, "refunds"):
        for line in _any(refund, spelling.refund_lines):
            if _is_return(line, spelling):
                of = value_at(line, *spelling.line_of_refund)
                found.add(codes.get(of) or taking.code_of(value_at(line, "line_item")))
    return {code for code in found if code}


def _any(root: Any, name: str) -> list[Any]:
    """The objects of a list, as far as there are any; a connection holds them as its nodes."""
    found = value_at(root, name)
    rows = value_at(found, "nodes") if isinstance(found, dict) else found
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _is_return(line: Any, spelling: Spelling) -> bool:
    return str(value_at(line, spelling.restock)).lower() == "return"


def _order(
    found: Mapping[str, Any], at: str, spelling: Spelling, reading: Reading
) -> Iterator[Mapped]:
    if found.get("test") is True and not reading.test_orders:
        return
    order = _Order(found, at, spelling, reading)
    yield from _each(order.lines, order.ordered)
    # A webhook may be told to leave fields out: what was refunded, and so what a cancelled order
    # still wanted, then comes with the next poll.
    told = "refunds" in found or spelling is GRAPH
    for place, refund in _rows(found, "refunds", at) if told else ():
        yield from _refunded(refund, place, order.taking)
    if told and found.get(spelling.cancelled) is not None:
        order.cancelled = _time(found, spelling.cancelled, at)
        yield from _each(order.lines, order.rest, "cancel ")


def _refund(found: Mapping[str, Any], reading: Reading) -> Iterator[Mapped]:
    """The units of a webhook that carries one refund, with the lines it is about."""
    yield from _refunded(found, "$", _Taking(_number(found, "$", "order_id"), REST, reading))


def _refunded(refund: Any, at: str, taking: "_Taking") -> Iterator[Mapped]:
    try:
        number = _number(refund, at, "id")
        moment = _time(refund, taking.spelling.created, at)
        lines = _rows(refund, taking.spelling.refund_lines, at)
    except Wrong as bad:
        yield _failed(at, bad.path, bad.reason, refund)
        return
    yield from _each(lines, lambda place, line: taking.refunded(number, moment, place, line))


def _each(
    lines: Sequence[tuple[str, Any]], fact_of: Callable[[str, Any], Fact | None], prefix: str = ""
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


class _Taking:
    """Units that refunds take from the lines of one order."""

    def __init__(self, order: str, spelling: Spelling, reading: Reading) -> None:
        self.order = order
        self.spelling = spelling
        self.reading = reading
        self.codes: dict[str, str | None] = {}
        self.taken: dict[str, int] = {}

    def code_of(self, line: Any) -> str | None:
        """What a line sells; None where the shop keeps no stock of it: gift cards, free texts."""
        if not isinstance(line, dict) or line.get(self.spelling.gift) is True:
            return None
        sku = line.get("sku")
        if self.reading.by_sku and isinstance(sku, str) and sku.strip():
            return sku.strip()
        return number_of(value_at(line, *self.spelling.variant)) or None

    def refunded(self, refund: str, at: dt.datetime, place: str, line: Any) -> Fact | None:
        """What one line of a refund takes away, or says came back."""
        units = _whole(line, "quantity", place)
        back = _is_return(line, self.spelling)
        if units <= 0 or (back and not self.reading.returns_at):
            return None  # goods that come back are told by the warehouse that gets them
        of = _number(line, place, *self.spelling.line_of_refund)
        if not back:
            self.taken[of] = self.taken.get(of, 0) + units
        code = self.codes[of] if of in self.codes else self.code_of(line.get("line_item"))
        number = _number(line, place, "id")
        if code is None:
            return None
        if back:
            return self.received(f"R{refund}", number, of, code, units, at)
        return self.cancel(f"R{refund}", number, of, code, units, at)

    def received(
        self, document: str, line: str, of: str, code: str, units: int, at: dt.datetime
    ) -> Fact:
        """Units of the order's line `of` that came back; the inspection tells what they are."""
        return Fact(
            kind="return_receipt",
            document=document,
            line=line,
            item=code,
            quantity=units,
            location=self.reading.returns_at,
            occurred_at=at,
            order=self.order,
            order_line=of,
        )

    def cancel(
        self, document: str, line: str, of: str, code: str, units: int, at: dt.datetime
    ) -> Fact:
        """Units of the order's line `of` that are not wanted any more."""
        return Fact(
            kind="channel_cancel",
            document=document,
            line=line,
            item=code,
            quantity=units,
            occurred_at=at,
            channel=self.reading.channel,
            order=self.order,
            order_line=of,
        )


class _Order:
    """One order, read once."""

    def __init__(
        self, found: Mapping[str, Any], at: str, spelling: Spelling, reading: Reading
    ) -> None:
        self.id = _number(found, at, "id")
        self.channel = reading.channel
        self.created = _time(found, spelling.created, at)
        self.updated = _time(found, spelling.updated, at)
        self.cancelled = self.updated
        self.lines = _rows(found, spelling.lines, at)
        self.taking = _Taking(self.id, spelling, reading)

    def ordered(self, place: str, line: Any) -> Fact | None:
        """All that was ever ordered of a line."""
        number, units = _number(line, place, "id"), _whole(line, "quantity", place)
        code = self.taking.codes[number] = self.taking.code_of(line)
        if units <= 0 or code is None:
            return None
        return Fact(
            kind="channel_order",
            document=self.id,
            line=number,
            revision=int(self.updated.timestamp()),
            item=code,
            quantity=units,
            occurred_at=self.created,
            channel=self.channel,
            order=self.id,
            order_line=number,
        )

    def rest(self, place: str, line: Any) -> Fact | None:
        """What an order that is cancelled still wanted of a line."""
        number = _number(line, place, "id")
        units = _whole(line, "quantity", place) - self.taking.taken.get(number, 0)
        code = self.taking.code_of(line)
        if units <= 0 or code is None:
            return None
        return self.taking.cancel(self.id, number, number, code, units, self.cancelled)


# ------------------------------------------------------------ values


def _rows(root: Any, name: str, at: str) -> list[tuple[str, Any]]:
    """The objects of a list with their places; a connection holds them as its nodes."""
    found, where = value_at(root, name), f"{at}.{name}"
    if isinstance(found, dict):
        found, where = found.get("nodes"), f"{where}.nodes"
    if not isinstance(found, list):
        raise Wrong(where, "is no list" if found is not None else "is missing")
    return [(f"{where}[{n}]", row) for n, row in enumerate(found)]


def _number(root: Any, at: str, *path: str) -> str:
    number = number_of(value_at(root, *path))
    if not number:
        raise Wrong(".".join((at, *path)), "is no id of the shop")
    return number


def _whole(root: Any, name: str, at: str) -> int:
    found = value_at(root, name)
    if isinstance(found, bool) or not isinstance(found, int) or abs(found) > 10**15:
        raise Wrong(f"{at}.{name}", "is no whole number")
    return found


def _time(root: Any, name: str, at: str) -> dt.datetime:
    try:
        moment = dt.datetime.fromisoformat(value_at(root, name))
        if moment.tzinfo is None or not 1970 <= moment.year <= 2200:
            raise ValueError
    except (TypeError, ValueError):
        raise Wrong(f"{at}.{name}", "is no time such as 2026-03-01T10:00:00Z") from None
    return moment.astimezone(dt.UTC)


def _failed(place: str, path: str, reason: str, found: Any = None) -> Mapped:
    text = "" if found is None else excerpt(found)
    return Mapped(place=place, item=Failure(path=path, reason=reason, found=text))
