"""What a listing is at the shop: a product, or a variation of one."""

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from stockwright.connectors.woocommerce.declaration import MOST_AT_ONCE
from stockwright.sdk.calling import Caller

API: Final = "/wp-json/wc/v3"
KEPT: Final = dt.timedelta(minutes=10)
"""How long it is believed that a SKU stands for the same product."""
MOST_PAGES: Final = 100_000
_ID: Final = re.compile(r"([1-9]\d{0,17})(?::([1-9]\d{0,17}))?")


class Place(NamedTuple):
    """A product's id, and its parent's where it is a variation; else 0."""

    parent: int
    id: int

    @property
    def path(self) -> str:
        """Where products of this kind are written and listed."""
        return f"{API}/products/{self.parent}/variations" if self.parent else f"{API}/products"


class Product(msgspec.Struct):
    """A product or variation, as far as stock goes. stock_quantity is null where none is kept."""

    id: int
    sku: str = ""
    type: str = "simple"
    parent_id: int = 0
    stock_quantity: float | None = None
    manage_stock: bool | str = False
    variations: Sequence[int] = ()

    @property
    def shown(self) -> int | None:
        """The whole pieces it shows; None where it keeps no number of its own."""
        keeps = self.manage_stock is True and self.stock_quantity is not None
        return int(self.stock_quantity or 0) if keeps else None


class Catalogue:
    """Finds products by the names of listings."""

    def __init__(self, caller: Caller, by_sku: bool, clock: Callable[[], dt.datetime]) -> None:
        self._caller = caller
        self._by_sku = by_sku
        self._clock = clock
        self._known: dict[str, tuple[Place, dt.datetime]] = {}

    async def places(self, listings: Iterable[str]) -> Mapping[str, Place]:
        """The products of these listings; one that the shop does not know is missing."""
        if not self._by_sku:
            named = {listing: _place_of(listing) for listing in listings}
            return {listing: place for listing, place in named.items() if place is not None}
        now = self._clock()
        wanted = dict.fromkeys(listings)
        unknown = [one for one in wanted if not self._is_known(one, now)]
        for start in range(0, len(unknown), MOST_AT_ONCE):
            await self._look_up(unknown[start : start + MOST_AT_ONCE], now)
        return {one: self._known[one][0] for one in wanted if self._is_known(one, now)}

    def forget(self, listing: str) -> None:
        """The shop has no such product any more, or another one of that SKU."""
        self._known.pop(listing, None)

    def name_of(self, product: Product, parent: int) -> str:
        """What a product is called as a listing; '' where it has no such name."""
        if self._by_sku:
            return product.sku
        return f"{parent}:{product.id}" if parent else str(product.id)

    def _is_known(self, listing: str, now: dt.datetime) -> bool:
        found = self._known.get(listing)
        return found is not None and found[1] > now

    async def _look_up(self, skus: Sequence[str], now: dt.datetime) -> None:
        # A comma parts SKUs in the question; one that has a comma is asked for alone, by its parts.
        query = [("sku", ",".join(skus)), ("per_page", str(MOST_AT_ONCE)), ("status", "any")]
        found = await self._caller.read(f"{API}/products", list[Product], query=query)
        wanted = set(skus)
        for product in found:
            if product.sku in wanted:
                parent = product.parent_id if product.type == "variation" else 0
                self._known[product.sku] = (Place(parent, product.id), now + KEPT)


def _place_of(listing: str) -> Place | None:
    match = _ID.fullmatch(listing)
    if match is None:
        return None
    product, variation = match.groups()
    return Place(int(product), int(variation)) if variation else Place(0, int(product))


async def pages(caller: Caller, path: str, query: Mapping[str, str], size: int) -> Any:
    """Every product under a path, by id, page after page."""
    found: dict[int, Product] = {}
    for page in range(1, MOST_PAGES):
        asked = [
            *query.items(),
            ("per_page", str(size)),
            ("page", str(page)),
            ("orderby", "id"),
            ("order", "asc"),
        ]
        some = await caller.read(path, list[Product], query=asked)
        found |= {product.id: product for product in some}
        if len(some) < size:
            break
    return list(found.values())
