"""Items, their units and codes; and what suppliers are expected to send."""

import datetime as dt
from collections.abc import AsyncIterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from stockwright.connectors.tryton.access import Domain, Server, day_of
from stockwright.connectors.tryton.declaration import MOST_AT_ONCE, Measure, TrytonSettings
from stockwright.connectors.tryton.mapping import Product, end_of, whole_units
from stockwright.connectors.tryton.places import Places
from stockwright.domain.errors import Misconfigured, Transient
from stockwright.domain.items import MAX_FACTOR, Binding, Sku, Unit
from stockwright.domain.supply import ToldSupply

STOCKED: Final[Domain] = [["type", "in", ["goods", "assets"]]]
"""Products that lie in stock, unlike services."""
_FIELDS: Final = (
    *("code", "name", "active", "cost_price"),
    *("default_uom.symbol", "default_uom.factor", "default_uom.category"),
)
_EXPECTED: Final = (
    *("internal_quantity", "planned_date", "product.code", "product.default_uom.symbol"),
    *("to_location",),
)
_FINEST: Final = Decimal("0.0001")


class Uom(msgspec.Struct):
    """A unit of measure: one of it holds `factor` of its category's reference unit."""

    symbol: str
    factor: float
    category: int


class _Item(msgspec.Struct):
    id: int
    default_uom: Uom
    code: str | None = None
    name: str | None = None
    active: bool | int = True
    """0 or 1 from a Tryton on SQLite."""
    cost_price: dict[str, str] | None = None
    lot_required: Sequence[str] | None = None


class _Coming(msgspec.Struct):
    id: int
    internal_quantity: float
    planned_date: dict[str, Any]
    product: Product
    to_location: int


def sku_fields(settings: TrytonSettings) -> Sequence[str]:
    """What is told of an SKU: costs of one company's currency, lots where they are read."""
    costs = ("unit_cost", "currency") if settings.company else ()
    control = ("control",) if settings.lots else ()
    return ("code", "description", "base_unit", "active", *costs, *control)


async def items(
    server: Server, settings: TrytonSettings, system: str
) -> AsyncIterator[Sequence[Sku | Unit | Binding]]:
    """Pages of rows: each product's SKU, its units of measure, and its code as ours.

    A product without a code has an empty one, which no item master takes: it is reported.
    """
    uoms = _as(await _uoms(server), list[Uom])
    currency = await _currency(server, settings.company)
    last = 0
    while True:
        records = await server.search_read(
            "product.product",
            [*STOCKED, ["id", ">", last]],
            (*_FIELDS, *(("lot_required",) if settings.lots else ())),
            limit=settings.page_size,
            context={"active_test": False},
        )
        products = _as(records, list[_Item])
        yield [row for one in products for row in _rows(one, uoms, settings, currency, system)]
        if len(products) < settings.page_size:
            return
        last = products[-1].id


async def expected(
    server: Server, places: Places, settings: TrytonSettings, system: str, zone: ZoneInfo
) -> Sequence[ToldSupply]:
    """Every receipt from a supplier that is planned and not done; the places are Tryton's codes."""
    wanted: Domain = [
        ["state", "in", ["draft", "assigned"]],
        ["from_location.type", "=", "supplier"],
        ["planned_date", "!=", None],
    ]
    if settings.company:
        wanted.append(["company", "=", settings.company])
    records = await server.all_of("stock.move", wanted, _EXPECTED, size=settings.page_size)
    coming = _as(records, list[_Coming])
    sides = await places.sides({one.to_location for one in coming})
    told = []
    for one in coming:
        place = sides[one.to_location].place(settings.places)
        units = _whole(one, settings.measures)
        if not place or units <= 0:
            continue
        told.append(
            ToldSupply(
                system=system,
                kind="purchase_order",
                document=f"stock.move,{one.id}",
                item=one.product.item,
                location=place,
                quantity=units,
                due_at=_due(one, zone),
            )
        )
    return told


def _rows(
    product: _Item, uoms: Sequence[Uom], settings: TrytonSettings, currency: str, system: str
) -> list[Sku | Unit | Binding]:
    code, base = product.code or "", product.default_uom
    measure = settings.measures.get(base.symbol)
    sku = Sku(
        code=code,
        description=(product.name or "")[:2_000],
        unit_cost=_cost(product.cost_price, measure) if currency else Decimal(0),
        currency=currency,
        base_unit=measure.unit if measure else base.symbol,
        control="lot" if product.lot_required else "none",
        active=bool(product.active),
    )
    units = [
        Unit(sku=code, code=symbol, factor=factor)
        for symbol, factor in _factors(base, uoms, measure).items()
        if symbol != sku.base_unit
    ]
    return [sku, *units, Binding(system=system, partner_code=code, code=code)]


def _factors(base: Uom, uoms: Sequence[Uom], measure: Measure | None) -> dict[str, int]:
    """How many base units each unit of the same kind holds, where it is a whole number above one.

    The first of several with one symbol.
    """
    found: dict[str, int] = {}
    for one in uoms:
        if one.category != base.category or not base.factor:
            continue
        ratio = Decimal(str(one.factor)) / Decimal(str(base.factor))
        units = ratio * (measure.factor if measure else 1)
        factor = int(units.to_integral_value())
        if 1 < factor <= MAX_FACTOR and abs(units - factor) < _FINEST:
            found.setdefault(one.symbol, factor)
    return found


def _cost(told: Mapping[str, str] | None, measure: Measure | None) -> Decimal:
    try:
        cost = Decimal((told or {}).get("decimal", "0"))
    except InvalidOperation:
        raise Transient("Tryton answered a cost that is no number") from None
    return (cost / (measure.factor if measure else 1)).quantize(_FINEST)


async def _uoms(server: Server) -> list[dict[str, Any]]:
    return await server.all_of(
        "product.uom", [], ["symbol", "factor", "category"], size=MOST_AT_ONCE
    )


async def _currency(server: Server, company: int) -> str:
    """The currency of the company's costs; '' where no single company is read."""
    if not company:
        return ""
    records = await server.search_read(
        "company.company", [["id", "=", company]], ["currency.code"], limit=1
    )
    if not records:
        raise Misconfigured("company", f"Tryton shows no company {company}")
    return str((records[0].get("currency") or {}).get("code") or "")


def _whole(one: _Coming, measures: Mapping[str, Measure]) -> int:
    try:
        return whole_units(one.internal_quantity, one.product.default_uom.symbol, measures)
    except ValueError as error:
        message = f"the expected quantity of {one.product.item} {error}"
        raise Misconfigured("measures", message) from None


def _due(one: _Coming, zone: ZoneInfo) -> dt.datetime:
    try:
        date = day_of(one.planned_date)
    except (KeyError, TypeError, ValueError):
        date = None
    if date is None:
        raise Transient(f"Tryton answered the move {one.id} with a planned date that is none")
    return end_of(date, zone)


def _as(records: Any, form: Any) -> Any:
    try:
        return msgspec.convert(records, form)
    except msgspec.ValidationError as error:
        raise Transient(f"Tryton answered unreadably: {error}") from None
