"""Tryton's own count: every product at every place, now or at the end of a day."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from stockwright.connectors.tryton.access import Server, day
from stockwright.connectors.tryton.catalogue import STOCKED
from stockwright.connectors.tryton.declaration import Measure, TrytonSettings
from stockwright.connectors.tryton.mapping import Product, whole_units
from stockwright.connectors.tryton.places import Places
from stockwright.domain.errors import Misconfigured, Transient
from stockwright.sdk.messages import LevelKey, ShownLevel

_FIELDS = ("code", "quantity", "default_uom.symbol")


class _Counted(Product):
    quantity: float = 0.0


async def snapshot(
    server: Server, places: Places, settings: TrytonSettings, on: dt.date | None
) -> Sequence[ShownLevel]:
    """Each (item, place) once, zeroes included, so that what is missing is unknown to Tryton.

    Raises Misconfigured where a quantity is not whole, naming the item.
    """
    found: dict[LevelKey, int] = {}
    for place, locations in (await places.stores(settings.places)).items():
        # Assigned goods are still there; what lies below a location is named by itself.
        context: dict[str, Any] = {
            "locations": list(locations),
            "with_childs": False,
            "active_test": False,
        }
        if on is not None:
            context["stock_date_end"] = day(on)
        records = await server.all_of(
            "product.product", STOCKED, _FIELDS, size=settings.page_size, context=context
        )
        for product in _products(records):
            key = LevelKey(listing=product.item, location=place)
            found[key] = found.get(key, 0) + _units(product, place, settings.measures)
    return [
        ShownLevel(listing=key.listing, location=key.location, quantity=units)
        for key, units in found.items()
    ]


def _products(records: Sequence[Mapping[str, Any]]) -> list[_Counted]:
    try:
        return msgspec.convert(records, list[_Counted])
    except msgspec.ValidationError as error:
        raise Transient(f"Tryton answered a product unreadably: {error}") from None


def _units(product: _Counted, place: str, measures: Mapping[str, Measure]) -> int:
    try:
        return whole_units(product.quantity, product.default_uom.symbol, measures)
    except ValueError as error:
        message = f"the quantity of {product.item} at {place} {error}"
        raise Misconfigured("measures", message) from None
