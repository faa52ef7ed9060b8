"""One stock move of Tryton into facts: what it means follows from where it came from and went to.

A move that was cancelled after it was done is told twice: as it was, which the ledger absorbs where
it has it, and taken back. So it does not matter whether its first state was ever seen.
"""

import datetime as dt
from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

import msgspec

from stockwright.connectors.tryton.access import day_of
from stockwright.connectors.tryton.declaration import Measure
from stockwright.connectors.tryton.places import Side
from stockwright.domain.events import Fact, FactKind
from stockwright.sdk.json_text import read_json
from stockwright.sdk.messages import Failure, Mapped

CUSTOMER_RETURN: Final = "stock.shipment.out.return"
_END_OF_DAY: Final = dt.time(23, 59, 59)
_OUTSIDE: Final = ("supplier", "customer", "lost_found", "production", "storage", "rental", "drop")
_EXACT: Final = Decimal("0.000001")
"""Tryton reckons with binary fractions: closer than this is meant to be whole."""


class Unit(msgspec.Struct):
    """A unit of measure of Tryton."""

    symbol: str


class Product(msgspec.Struct):
    """A product, as far as it is told of. Its quantities are in its default unit."""

    id: int
    default_uom: Unit
    code: str | None = None

    @property
    def item(self) -> str:
        """What Tryton calls it: its code; its number where it has none."""
        return self.code or f"product.product,{self.id}"


class Lot(msgspec.Struct):
    """A lot."""

    number: str | None = None


class Move(msgspec.Struct):
    """A move, as Tryton tells it."""

    id: int
    state: Literal["done", "cancelled"]
    internal_quantity: float
    product: Product
    effective_date: dict[str, Any] | None = None
    shipment: str | None = None
    lot: Lot | None = None

    @property
    def document(self) -> str:
        """The shipment it belongs to, or itself."""
        return self.shipment or f"stock.move,{self.id}"


class Transfer(msgspec.Struct):
    """The ends of an internal shipment, which its own moves may not name."""

    source: Side = msgspec.field(name="from")
    target: Side = msgspec.field(name="to")
    planned_date: dict[str, Any] | None = None


class Message(msgspec.Struct):
    """What one poll tells of one move."""

    move: Move
    source: Side = msgspec.field(name="from")
    target: Side = msgspec.field(name="to")
    transfer: Transfer | None = None


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """How moves are read: the settings that say so, and the zone of Tryton's days."""

    places: Collection[str]
    measures: Mapping[str, Measure]
    returns: Literal["inspection", "sellable"]
    zone: ZoneInfo


class _Unfit(Exception):
    def __init__(self, path: str, reason: str) -> None:
        super().__init__(reason)
        self.path = path
        self.reason = reason


def map_move(body: bytes, reading: Reading) -> list[Mapped]:
    """The facts of a message; none where nothing of ours moved, or only within one place."""
    try:
        message = read_json(body, Message)
        facts = _told(message, reading)
        if message.move.state == "cancelled":
            facts += _taken_back(message.move, facts)
    except _Unfit as unfit:
        return _failed(unfit.path, unfit.reason, body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        return _failed("$", f"is no move of Tryton: {error}", body)
    return [Mapped(place="$.move", item=fact) for fact in facts]


def whole_units(quantity: float, symbol: str, measures: Mapping[str, Measure]) -> int:
    """A quantity of Tryton in whole base units. Raises ValueError where it is no whole number."""
    measure = measures.get(symbol)
    units = Decimal(str(quantity)) * (measure.factor if measure else 1)
    found = int(units.to_integral_value())
    if abs(units - found) > _EXACT:
        shown = f"is {quantity:g} {symbol}"
        if measure is None:
            reason = f"{shown}, no whole number: say in measures how many units one {symbol} holds"
        else:
            reason = f"{shown}, which is {units.normalize():f} {measure.unit}, no whole number"
        raise ValueError(reason)
    return found


def end_of(date: dt.date, zone: ZoneInfo) -> dt.datetime:
    """When a day of Tryton is over: it dates moves by the day, and its stock of a day has all."""
    return dt.datetime.combine(date, _END_OF_DAY, zone).astimezone(dt.UTC)


def _told(message: Message, reading: Reading) -> list[Fact]:
    move = message.move
    source = message.source.place(reading.places)
    target = message.target.place(reading.places)
    if source == target:
        return []
    try:
        units = whole_units(
            move.internal_quantity, move.product.default_uom.symbol, reading.measures
        )
    except ValueError as error:
        raise _Unfit("$.move.internal_quantity", str(error)) from None
    if units <= 0:
        return []
    make = _maker(move, units, reading.zone)
    if source and target:
        return [
            make("transfer_out", location=source, to_location=target, transfer=move.document),
            make("transfer_in", location=target, transfer=move.document),
        ]
    if target:
        return _came(message, target, make, reading)
    return _left(message, source, make, reading)


def _maker(move: Move, units: int, zone: ZoneInfo) -> Callable[..., Fact]:
    try:
        date = day_of(move.effective_date)
    except (KeyError, TypeError, ValueError):
        raise _Unfit("$.move.effective_date", "is no date") from None
    common: dict[str, Any] = {
        "document": move.document,
        "line": str(move.id),
        "item": move.product.item,
        "lot": (move.lot.number or "") if move.lot else "",
        "occurred_at": end_of(date, zone) if date else None,
    }

    def make(kind: FactKind, sign: int = 1, **more: Any) -> Fact:
        return Fact(kind=kind, quantity=sign * units, **common, **more)

    return make


def _came(message: Message, place: str, make: Callable[..., Fact], reading: Reading) -> list[Fact]:
    """Something came into a place from outside."""
    move, kind = message.move, message.source.type
    if message.transfer is not None and message.transfer.source.place(reading.places):
        return [make("transfer_in", location=place, transfer=move.document)]
    if kind == "customer" or (
        kind == "storage" and (move.shipment or "").startswith(CUSTOMER_RETURN)
    ):
        back = [make("return_receipt", location=place, bucket="inspection")]
        if reading.returns == "sellable":
            back.append(make("inspection_result", location=place, to_bucket="sellable"))
        return back
    if kind in ("supplier", "storage"):
        # The supply that was expected is told under the same name.
        return [make("receipt", location=place, order=f"stock.move,{move.id}", order_line="1")]
    _known(kind, "$.from.type")
    return [make("adjustment", location=place, reason=f"from {kind} in Tryton")]


def _left(message: Message, place: str, make: Callable[..., Fact], reading: Reading) -> list[Fact]:
    """Something left a place for outside."""
    move, kind = message.move, message.target.type
    to = message.transfer.target.place(reading.places) if message.transfer else ""
    if message.transfer is not None and to:
        eta = _eta(message.transfer, reading.zone)
        return [
            make("transfer_out", location=place, to_location=to, transfer=move.document, eta=eta)
        ]
    if kind in ("customer", "storage"):
        return [make("shipment", location=place)]
    _known(kind, "$.to.type")
    return [make("adjustment", -1, location=place, reason=f"to {kind} in Tryton")]


def _eta(transfer: Transfer, zone: ZoneInfo) -> dt.datetime | None:
    try:
        date = day_of(transfer.planned_date)
    except (KeyError, TypeError, ValueError):
        raise _Unfit("$.transfer.planned_date", "is no date") from None
    return end_of(date, zone) if date else None


def _known(kind: str, path: str) -> None:
    if kind not in _OUTSIDE:
        raise _Unfit(path, f"is {kind[:40]!r}, a kind of location that nothing is known of")


def _taken_back(move: Move, facts: list[Fact]) -> list[Fact]:
    """The opposite of what a move did, which is no longer so."""
    if [fact.kind for fact in facts] == ["transfer_out"]:
        fact = msgspec.structs.replace(
            facts[0], kind="transfer_close", close_as="found", eta=None, to_location=""
        )
        return [fact]
    effects: dict[tuple[str, str], int] = {}
    for fact in facts:
        for bucket, units in _EFFECTS[fact.kind](fact):
            effects[fact.location, bucket] = effects.get((fact.location, bucket), 0) + units
    return [
        Fact(
            kind="adjustment",
            document=move.document,
            line=f"{move.id} cancelled {number}",
            item=facts[0].item,
            lot=facts[0].lot,
            occurred_at=facts[0].occurred_at,
            location=location,
            bucket=bucket,  # type: ignore[arg-type]
            quantity=-units,
            reason="the move was cancelled in Tryton",
        )
        for number, ((location, bucket), units) in enumerate(effects.items(), 1)
        if units
    ]


_EFFECTS: Final[Mapping[FactKind, Callable[[Fact], list[tuple[str, int]]]]] = {
    "receipt": lambda fact: [("sellable", fact.quantity)],
    "return_receipt": lambda fact: [("inspection", fact.quantity)],
    "inspection_result": lambda fact: [("inspection", -fact.quantity), ("sellable", fact.quantity)],
    "shipment": lambda fact: [("sellable", -fact.quantity)],
    "transfer_out": lambda fact: [("sellable", -fact.quantity)],
    "transfer_in": lambda fact: [("sellable", fact.quantity)],
    "adjustment": lambda fact: [("sellable", fact.quantity)],
}
"""What a fact adds to the buckets of its location."""


def _failed(path: str, reason: str, body: bytes) -> list[Mapped]:
    failure = Failure(path=path, reason=reason, found=body[:300].decode("utf-8", "replace"))
    return [Mapped(place="$", item=failure)]
