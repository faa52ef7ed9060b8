"""Which inventory item a listing is: asked from the shop, and remembered for a while."""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from stockwright.connectors.shopify.declaration import MOST_AT_ONCE
from stockwright.connectors.shopify.ids import gid, number_of
from stockwright.connectors.shopify.paced import Paced
from stockwright.connectors.shopify.queries import ITEMS_OF_SKUS, ITEMS_OF_VARIANTS
from stockwright.connectors.shopify.reading import each_page, value_at

KEPT: Final = dt.timedelta(minutes=10)
SKUS_AT_ONCE: Final = 40
"""One question names so many SKUs: the shop's search takes texts of some length only."""


class Found(msgspec.Struct, frozen=True):
    """What the shop has under a listing's name: item is its id, '' where there is not just one."""

    item: str = ""
    tracked: bool = True
    several: bool = False


UNKNOWN: Final = Found()


class Catalogue:
    """The items of one shop. Remembers those that can be written to."""

    def __init__(self, shop: Paced, by_sku: bool, clock: Callable[[], dt.datetime]) -> None:
        self._shop = shop
        self._by_sku = by_sku
        self._clock = clock
        self._known: dict[str, tuple[Found, dt.datetime]] = {}

    async def items(self, listings: Iterable[str]) -> Mapping[str, Found]:
        """What the shop has under each name. Raises Throttled, Transient or Misconfigured."""
        now = self._clock()
        wanted = dict.fromkeys(listings)
        found = {
            one: known[0]
            for one in wanted
            if (known := self._known.get(one)) is not None and known[1] > now
        }
        unknown = [one for one in wanted if one not in found]
        size = SKUS_AT_ONCE if self._by_sku else MOST_AT_ONCE
        for start in range(0, len(unknown), size):
            some = unknown[start : start + size]
            told = await (self._of_skus(some) if self._by_sku else self._of_variants(some))
            found |= told
            self._known |= {
                name: (one, now + KEPT) for name, one in told.items() if one.item and one.tracked
            }
        return {one: found.get(one, UNKNOWN) for one in wanted}

    def forget(self, listing: str) -> None:
        """The shop has no such item any more, or another one of that name."""
        self._known.pop(listing, None)

    def name_of(self, item: Mapping[str, Any]) -> str:
        """What an inventory item is called as a listing; '' where it has no such name."""
        if self._by_sku:
            return str(item.get("sku") or "")
        return number_of(value_at(item, "variant", "id"))

    async def _of_skus(self, skus: Sequence[str]) -> dict[str, Found]:
        wanted = set(skus)
        found: dict[str, Found] = {}
        query = " OR ".join(f"sku:{_quoted(sku)}" for sku in skus)
        async for node in each_page(self._shop, ITEMS_OF_SKUS, {"query": query}, "inventoryItems"):
            # The search is wider than asked: it finds words, whatever their case.
            sku = node.get("sku")
            if sku in wanted and sku in found:
                found[sku] = Found(several=True)
            elif sku in wanted:
                found[sku] = Found(str(node.get("id", "")), bool(node.get("tracked")))
        return found

    async def _of_variants(self, variants: Sequence[str]) -> dict[str, Found]:
        numbers = [one for one in variants if one.isascii() and one.isdigit()]
        if not numbers:
            return {}
        ids = [gid("ProductVariant", one) for one in numbers]
        data = await self._shop.ask(ITEMS_OF_VARIANTS, {"ids": ids})
        nodes = data.get("nodes")
        return {
            number: Found(str(item.get("id", "")), bool(item.get("tracked")))
            for number, node in zip(numbers, nodes if isinstance(nodes, list) else [], strict=False)
            if isinstance(item := value_at(node, "inventoryItem"), dict)
        }


def _quoted(text: str) -> str:
    """A text as the search syntax writes it."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
