"""The door: what an item must be before it may wait for a batch. Looks at the item alone."""

import datetime as dt
from hashlib import blake2b
from typing import Final, Literal

import msgspec
from msgspec.structs import replace

from stockwright.domain.errors import Rejected
from stockwright.domain.events import (
    MAX_CODE,
    MAX_LINES,
    MAX_QUANTITY,
    Fact,
    Item,
    Request,
    RequestLine,
)
from stockwright.domain.postings import POSTINGS

_encode = msgspec.json.Encoder().encode
_BACKSLASH: Final = ord("\\")
_FAR_FUTURE: Final = dt.datetime(9000, 1, 1, tzinfo=dt.UTC)
_FAR_PAST: Final = dt.datetime(1900, 1, 1, tzinfo=dt.UTC)
_FACT_CODES: Final = (
    "document",
    "system",
    "line",
    "sku",
    "item",
    "unit",
    "location",
    "to_location",
    "lot",
    "channel",
    "order_system",
    "order",
    "order_line",
    "to_sku",
    "transfer",
)
_NUMBERS: Final = ("position", "contained", "reverses")
_NEEDS_LOCATION: Final = frozenset(
    kind for kind, row in POSTINGS.items() if row.group and kind != "transfer_close"
) | {"snapshot", "lot_expiry"}
_NEEDS_ORDER: Final = frozenset({"pick", "unpick", "channel_order", "channel_cancel"})


class Expiry(msgspec.Struct, kw_only=True):
    """The sweeper's item: these lines of an order held past their time. Never comes from
    outside.
    """

    system: str
    order: str
    lines: list[str]
    document: str
    kind: Literal["expiry"] = "expiry"


class Prepared(msgspec.Struct, eq=False):
    """An item that passed the door: its identity, its content's hash, and its body as it is stored.

    A poisoned item keeps why in `trouble` and is parked instead of decided.
    """

    item: Item | Expiry
    key: str
    hash: bytes
    body: bytes
    received_at: dt.datetime
    payload: int | None
    trouble: str = ""


def prepare(item: Item | Expiry, received_at: dt.datetime, payload: int | None = None) -> Prepared:
    """Checks an item and gives it its identity. Raises Rejected (malformed) naming the field.

    The hash covers what is posted: a remark in `reason` may differ between two tries.
    """
    remark = ""
    if type(item) is Fact:
        _check_fact(item)
        key = identity(item.system, item.document, item.line, item.kind, item.revision)
        remark = item.reason
    else:
        if type(item) is Request:
            _check_request(item)
            remark = item.reason
        key = identity(item.system, item.document, "", item.kind, 0)
    _leave_defaults_out(item)
    try:
        body = _encode(item)
    except UnicodeEncodeError:
        raise Rejected(
            "malformed", "body", "text holds half of a surrogate pair; send valid UTF-8"
        ) from None
    if _BACKSLASH in body and b"\\u0000" in body:
        raise Rejected("malformed", "body", "text holds a NUL character; remove it")
    posted = body
    if remark:
        posted = _encode(replace(item, reason=""))
    return Prepared(item, key, blake2b(posted, digest_size=16).digest(), body, received_at, payload)


def _leave_defaults_out(item: Item | Expiry) -> None:
    """Line "1" written out is line "1" left out: the encoder omits only the default's own
    object.
    """
    if type(item) is Fact:
        if item.line == "1":
            item.line = "1"
    elif type(item) is Request:
        for line in item.lines:
            if line.line == "1":
                line.line = "1"


def identity(system: str, document: str, line: str, kind: str, revision: int) -> str:
    """The natural key of an item: its five parts joined by a bar, bars inside a part doubled.

    Where a part begins with a bar, the doubling alone does not tell to which side that bar belongs;
    the lengths of the first two parts follow then.
    """
    if "|" in document or "|" in line or "|" in system:
        parts = (system, document, line)
        told = f"|{len(system)}|{len(document)}" if any(p[:1] == "|" for p in parts) else ""
        system, document, line = (part.replace("|", "||") for part in parts)
        return f"{system}|{document}|{line}|{kind}|{revision}{told}"
    return f"{system}|{document}|{line}|{kind}|{revision}"


def statement(fact: Fact) -> str:
    """What the revisions of one line have in common: its identity without the revision."""
    if "|" in fact.document or "|" in fact.line or "|" in fact.system:
        return identity(fact.system, fact.document, fact.line, fact.kind, 0)
    return f"{fact.system}|{fact.document}|{fact.line}|{fact.kind}"


def _check_code(value: str, field: str) -> None:
    if len(value) > MAX_CODE:
        raise Rejected("malformed", field, f"longer than {MAX_CODE} characters")


def _check_fact(fact: Fact) -> None:
    if not fact.document:
        raise Rejected("malformed", "document", "name the document this fact comes from")
    if not fact.system:
        raise Rejected("malformed", "system", "name the system this fact comes from")
    if _length_of_codes(fact) > MAX_CODE:
        for field in _FACT_CODES:
            _check_code(getattr(fact, field), field)
    if not 0 <= fact.revision < 1 << 31:
        raise Rejected("malformed", "revision", "a revision is a number from 0 up")
    if fact.position or fact.contained or fact.reverses:
        _check_numbers(fact)
    _check_quantity(fact)
    check_time(fact.occurred_at, "occurred_at")
    check_time(fact.eta, "eta")
    _check_needs(fact)


def _length_of_codes(fact: Fact) -> int:
    """Of all together: few facts need a look at each."""
    return (
        len(fact.document)
        + len(fact.system)
        + len(fact.line)
        + len(fact.sku)
        + len(fact.item)
        + len(fact.unit)
        + len(fact.location)
        + len(fact.to_location)
        + len(fact.lot)
        + len(fact.channel)
        + len(fact.order_system)
        + len(fact.order)
        + len(fact.order_line)
        + len(fact.to_sku)
        + len(fact.transfer)
    )


def _check_numbers(fact: Fact) -> None:
    for field in _NUMBERS:
        if not -(1 << 63) <= (getattr(fact, field) or 0) < 1 << 63:
            raise Rejected("malformed", field, "beyond a 64-bit number")


def _check_quantity(fact: Fact) -> None:
    rule = POSTINGS[fact.kind].quantity
    quantity = fact.quantity
    if not -MAX_QUANTITY <= quantity <= MAX_QUANTITY or not 0 <= fact.to_quantity <= MAX_QUANTITY:
        raise Rejected("malformed", "quantity", f"beyond {MAX_QUANTITY} units in one line")
    if rule == "signed" and quantity == 0:
        raise Rejected("malformed", "quantity", "an adjustment of zero says nothing; leave it out")
    if rule == "positive" and quantity <= 0:
        raise Rejected("malformed", "quantity", f"a {fact.kind} needs a quantity above zero")
    if rule in ("whole", "optional") and quantity < 0:
        raise Rejected("malformed", "quantity", f"a {fact.kind} cannot be below zero")


def check_time(value: dt.datetime | None, field: str) -> None:
    """Raises Rejected (malformed) where a time has no zone, or lies outside what can be counted."""
    if value is None:
        return
    if value.tzinfo is None:
        raise Rejected("malformed", field, "a time needs its zone, as in 2026-01-31T12:00:00+01:00")
    if not _FAR_PAST < value < _FAR_FUTURE:
        raise Rejected("malformed", field, "a time outside the years 1900 to 9000")


def _check_needs(fact: Fact) -> None:
    kind = fact.kind
    if kind in _NEEDS_LOCATION and not fact.location:
        raise Rejected("malformed", "location", f"a {kind} needs the location where it happened")
    if kind in _NEEDS_ORDER and not fact.order:
        raise Rejected("malformed", "order", f"a {kind} needs the order it belongs to")
    if kind == "reversal":
        if fact.reverses <= 0:
            raise Rejected(
                "malformed", "reverses", "name the sequence number of the event to take back"
            )
        return
    if not fact.sku and not fact.item:
        raise Rejected("malformed", "sku", "name the SKU, or the partner's own code in item")
    if kind in ("lot_recall", "lot_expiry") and not fact.lot:
        raise Rejected("malformed", "lot", f"a {kind} needs the lot")
    if kind == "conversion" and (not fact.to_sku or fact.to_quantity <= 0):
        raise Rejected("malformed", "to_sku", "a conversion needs to_sku and to_quantity")
    if kind == "channel_order" and not fact.channel and not fact.location:
        raise Rejected("malformed", "channel", "a channel_order needs its channel or a location")


def _check_request(request: Request) -> None:
    texts = len(request.document) + len(request.system) + len(request.channel) + len(request.order)
    if texts > MAX_CODE:
        for field in ("document", "system", "channel", "order"):
            _check_code(getattr(request, field), field)
    if not request.document:
        raise Rejected(
            "malformed", "document", "name your key for this request; a new try needs a new key"
        )
    if not request.system:
        raise Rejected("malformed", "system", "name the system that asks")
    if not 0 <= request.hold_s <= 366 * 86_400:
        raise Rejected("malformed", "hold_s", "a hold lasts up to 366 days")
    if len(request.lines) > MAX_LINES:
        raise Rejected("malformed", "lines", f"more than {MAX_LINES} lines; split the request")
    reserve = request.kind == "reserve"
    if reserve and not request.lines:
        raise Rejected("malformed", "lines", "name at least one line to reserve")
    seen = set()
    for n, line in enumerate(request.lines):
        _check_line(line, n, reserve)
        if line.line in seen:
            raise Rejected(
                "malformed", f"lines[{n}].line", f"line {line.line!r} stands twice in one request"
            )
        seen.add(line.line)


def _check_line(line: RequestLine, n: int, reserve: bool) -> None:
    texts = len(line.line) + len(line.sku) + len(line.item) + len(line.unit)
    if texts + len(line.location) + len(line.lot) > MAX_CODE:
        for field in ("line", "sku", "item", "unit", "location", "lot"):
            _check_code(getattr(line, field), f"lines[{n}].{field}")
    if not 0 <= line.min_shelf_life_days <= 36_500:
        raise Rejected("malformed", f"lines[{n}].min_shelf_life_days", "from 0 to 36500 days")
    if not (1 if reserve else 0) <= line.quantity <= MAX_QUANTITY:
        raise Rejected(
            "malformed", f"lines[{n}].quantity", f"from {int(reserve)} to {MAX_QUANTITY} units"
        )
    if reserve and not line.sku and not line.item:
        raise Rejected("malformed", f"lines[{n}].sku", "name the SKU, or your own code in item")
