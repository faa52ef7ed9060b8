"""Which inventory item a listing is: asked from the shop, and remembered for a while."""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Literal

import msgspec

from stockwright.connectors.medusa.shop import MOST_IN_A_LIST, Shop

KEPT: Final = dt.timedelta(minutes=10)
"""How long it is believed that a name stands for the same item."""
ITEMS_AT_ONCE: Final = 100
ITEM_FIELDS: Final = ("fields", "id,sku,*location_levels")
VARIANT_FIELDS: Final = (
    "fields",
    "id,inventory_items.inventory_item_id,inventory_items.required_quantity",
)


class Level(msgspec.Struct, frozen=True):
    """What one stock location has of an item, reserved units included."""

    location_id: str
    stocked_quantity: float = 0

    @property
    def units(self) -> int:
        """The whole pieces it has."""
        return int(self.stocked_quantity)


class Item(msgspec.Struct, frozen=True):
    """An inventory item with its levels."""

    id: str
    sku: str | None = None
    location_levels: Sequence[Level] | None = ()

    def units(self, location: str) -> int | None:
        """What the location has of it; None where it is not stocked there."""
        levels = self.location_levels or ()
        return next((one.units for one in levels if one.location_id == location), None)


class _Part(msgspec.Struct, frozen=True):
    inventory_item_id: str
    required_quantity: float = 1


class _Variant(msgspec.Struct, frozen=True):
    id: str
    inventory_items: Sequence[_Part] | None = ()

    @property
    def item(self) -> str:
        """The one item of which it takes one piece; '' where it is a kit or keeps no stock."""
        parts = self.inventory_items or ()
        single = len(parts) == 1 and parts[0].required_quantity == 1
        return parts[0].inventory_item_id if single else ""


class Catalogue:
    """The inventory items of one shop, by the names of listings."""

    def __init__(
        self,
        shop: Shop,
        by: Literal["sku", "item", "variant"],
        clock: Callable[[], dt.datetime],
    ) -> None:
        self._shop = shop
        self._by = by
        self._clock = clock
        self._known: dict[str, tuple[Item, dt.datetime]] = {}

    async def items(self, listings: Iterable[str]) -> Mapping[str, Item]:
        """The items of these listings, as they were when last asked for; one that the shop does
        not know is missing.
        """
        now = self._clock()
        wanted = dict.fromkeys(listings)
        unknown = [one for one in wanted if not self._is_known(one, now)]
        await self.look_up(unknown)
        return {one: self._known[one][0] for one in wanted if self._is_known(one, now)}

    async def look_up(self, listings: Sequence[str]) -> Mapping[str, Item]:
        """The items of these listings as they are now."""
        found: dict[str, Item] = {}
        for start in range(0, len(listings), ITEMS_AT_ONCE):
            found |= await self._ask(listings[start : start + ITEMS_AT_ONCE])
        until = self._clock() + KEPT
        for name in listings:
            self._known.pop(name, None)
        self._known |= {name: (item, until) for name, item in found.items()}
        return found

    async def snapshot(self, size: int) -> Mapping[str, Item]:
        """All items that have a name as a listing."""
        items = await self._shop.pages(
            "/inventory-items", "inventory_items", Item, [ITEM_FIELDS], size
        )
        if self._by == "sku":
            return {item.sku: item for item in items if item.sku}
        by_id = {item.id: item for item in items}
        if self._by == "item":
            return by_id
        variants = await self._shop.pages(
            "/product-variants", "variants", _Variant, [VARIANT_FIELDS], size
        )
        return {one.id: by_id[one.item] for one in variants if one.item in by_id}

    def forget(self, listing: str) -> None:
        """The item is gone, or is stocked elsewhere now."""
        self._known.pop(listing, None)

    def _is_known(self, listing: str, now: dt.datetime) -> bool:
        found = self._known.get(listing)
        return found is not None and found[1] > now

    async def _ask(self, some: Sequence[str]) -> dict[str, Item]:
        if self._by == "sku":
            return {str(item.sku): item for item in await self._of("sku", some)}
        if self._by == "item":
            return {item.id: item for item in await self._of("id", some)}
        query = [VARIANT_FIELDS, ("limit", str(len(some))), *_listed("id", some)]
        answer = await self._shop.read("/product-variants", _Variants, query)
        items = {one.id: one.item for one in answer.variants if one.item}
        found = {item.id: item for item in await self._of("id", list(items.values()))}
        return {name: found[item] for name, item in items.items() if item in found}

    async def _of(self, field: str, names: Sequence[str]) -> Sequence[Item]:
        if not names:
            return []
        query = [ITEM_FIELDS, ("limit", str(len(names))), *_listed(field, names)]
        return (await self._shop.read("/inventory-items", _Items, query)).inventory_items


class _Items(msgspec.Struct):
    inventory_items: list[Item]


class _Variants(msgspec.Struct):
    variants: list[_Variant]


def _listed(field: str, names: Sequence[str]) -> list[tuple[str, str]]:
    """A condition on a field: one of the names. A long list is parted into several, either of."""
    if len(names) <= MOST_IN_A_LIST:
        return [(f"{field}[]", name) for name in names]
    return [(f"$or[{n // MOST_IN_A_LIST}][{field}][]", name) for n, name in enumerate(names)]
