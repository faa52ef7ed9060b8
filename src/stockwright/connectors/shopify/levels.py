"""Levels out: absolute quantities by compare-and-set, up to 250 a call, with a result for each."""

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from stockwright.connectors.shopify.catalogue import Catalogue, Found
from stockwright.connectors.shopify.declaration import MOST_AT_ONCE, ShopifySettings, Version
from stockwright.connectors.shopify.ids import gid
from stockwright.connectors.shopify.paced import Paced
from stockwright.connectors.shopify.queries import LEVELS, SHOWN, has_keys, set_quantities
from stockwright.connectors.shopify.reading import each_page, value_at
from stockwright.domain.errors import Misconfigured, Throttled, Transient
from stockwright.sdk.calling import WAIT_S
from stockwright.sdk.graphql import Told
from stockwright.sdk.messages import (
    Applied,
    InDoubt,
    LevelKey,
    LevelToSend,
    PublishResult,
    Refused,
    Retry,
    ShownLevel,
)

ROUNDS: Final = 4
"""A call is all or nothing: so often the good ones are sent again without the bad ones."""
STALE: Final = frozenset({"CHANGE_FROM_QUANTITY_STALE", "COMPARE_QUANTITY_STALE"})
_AGAIN: Final = frozenset(
    {"IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED", "IDEMPOTENCY_KEY_PARAMETER_MISMATCH"}
)
_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "INVALID_INVENTORY_ITEM": ("gone", "the shop has no such item any more"),
    "INVALID_LOCATION": ("unknown_location", "correct the setting location or locations"),
    "ITEM_NOT_STOCKED_AT_LOCATION": ("not_stocked", "stock the item at this location in the shop"),
    "NON_MUTABLE_INVENTORY_ITEM": ("bundle", "the shop reckons the stock of a bundle itself"),
}


class _Error(msgspec.Struct, frozen=True):
    code: str
    message: str
    at: int | None


class _Sent(msgspec.Struct, frozen=True):
    """A level on its way: n is its place among those asked for."""

    n: int
    level: LevelToSend
    item: str
    location: str


class Levels:
    """The levels of one shop."""

    def __init__(self, shop: Paced, catalogue: Catalogue, settings: ShopifySettings) -> None:
        self._shop = shop
        self._catalogue = catalogue
        self._version: Version = settings.api_version
        self._timeout_s = settings.timeout_s
        self._places = {
            code: gid("Location", number) for code, number in settings.locations.items()
        }
        if settings.location:
            self._places[""] = gid("Location", settings.location)

    # ---------------------------------------------------------------- out

    async def publish(self, levels: Sequence[LevelToSend]) -> list[PublishResult]:
        """Sends levels; results are aligned. Raises Misconfigured where nothing was done yet."""
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        self._check(levels)
        try:
            async with asyncio.timeout_at(deadline):
                found = await self._catalogue.items(level.listing for level in levels)
        except Throttled as error:
            return [Retry(retry_after_s=error.retry_after_s, reason=str(error))] * len(levels)
        except (Transient, TimeoutError) as error:
            # Only asked so far: nothing was written.
            reason = str(error) or "no time was left"
            return [Retry(retry_after_s=WAIT_S, reason=reason)] * len(levels)
        results: dict[int, PublishResult] = {}
        for group in self._groups(self._sorted_out(levels, found, results)):
            await self._write(group, deadline, results)
        return [results[n] for n in range(len(levels))]

    def _check(self, levels: Sequence[LevelToSend]) -> None:
        if "" not in self._places and any(not level.location for level in levels):
            raise Misconfigured("location", "set location: a level of the whole channel goes there")

    def _sorted_out(
        self,
        levels: Sequence[LevelToSend],
        found: Mapping[str, Found],
        results: dict[int, PublishResult],
    ) -> list[_Sent]:
        """The levels that can be sent; the others are refused in results."""
        sent: list[_Sent] = []
        taken: set[tuple[str, str]] = set()
        for n, level in enumerate(levels):
            item, place = found[level.listing], self._places.get(level.location, "")
            refused = _unsendable(level, item, place)
            if refused is None and (item.item, place) in taken:
                refused = Refused(reason="same_item", message="two listings are one item there")
            if refused is not None:
                results[n] = refused
                continue
            taken.add((item.item, place))
            sent.append(_Sent(n, level, item.item, place))
        return sent

    def _groups(self, sent: Sequence[_Sent]) -> list[list[_Sent]]:
        """2025-10 switches the comparison off for a whole call only."""
        if has_keys(self._version):
            groups = [list(sent)]
        else:
            groups = [
                [one for one in sent if (one.level.expected is None) is blind]
                for blind in (False, True)
            ]
        return [group for group in groups if group]

    async def _write(
        self, group: Sequence[_Sent], deadline: float, results: dict[int, PublishResult]
    ) -> None:
        left, stale = list(group), list[_Sent]()
        for _ in range(ROUNDS):
            told = await self._call(left, deadline, results)
            if told is None:
                left = []
                break
            by_place = {error.at: error for error in _errors(told)}
            if None in by_place:
                results |= {one.n: _result(by_place[None]) for one in left}
                left = []
                break
            bad = {n: error for n, error in by_place.items() if n is not None}
            stale += [one for n, one in enumerate(left) if n in bad and bad[n].code in STALE]
            results |= {one.n: self._refusal(one, bad[n]) for n, one in enumerate(left) if n in bad}
            left = [one for n, one in enumerate(left) if n not in bad]
            if not bad or told.get("inventoryAdjustmentGroup") is not None:
                results |= {one.n: Applied(shown=one.level.quantity) for one in left}
                left = []
            if not left:
                break
        again = Retry(retry_after_s=WAIT_S, reason="sent with others that were refused")
        results |= {one.n: again for one in left}
        if stale:
            await self._look(stale, deadline, results)

    def _refusal(self, one: _Sent, error: _Error) -> PublishResult:
        if error.code == "INVALID_INVENTORY_ITEM":
            self._catalogue.forget(one.level.listing)
        return _result(error)

    async def _call(
        self, some: Sequence[_Sent], deadline: float, results: dict[int, PublishResult]
    ) -> Mapping[str, Any] | None:
        """The answer to one call; None where it tells nothing of single levels: results do."""
        left_s = deadline - asyncio.get_running_loop().time()
        outcome: PublishResult | Told = Retry(retry_after_s=0.0, reason="no time was left")
        if left_s > 0.0:
            variables = _variables(self._version, some)
            try:
                async with asyncio.timeout_at(deadline):
                    outcome = await self._shop.change(
                        set_quantities(self._version), variables, left_s
                    )
            except TimeoutError:
                outcome = InDoubt(reason="no answer in time")
            except Misconfigured:
                if not any(isinstance(one, Applied | InDoubt) for one in results.values()):
                    raise
                outcome = Retry(retry_after_s=WAIT_S, reason="an operator must act")
        if isinstance(outcome, Told):
            told = outcome.data.get("inventorySetQuantities")
            if isinstance(told, dict) and isinstance(told.get("userErrors"), list):
                return told
            outcome = InDoubt(reason="the shop's answer cannot be read")
        results |= {one.n: outcome for one in some}
        return None

    async def _look(
        self, stale: Sequence[_Sent], deadline: float, results: dict[int, PublishResult]
    ) -> None:
        """What the shop shows where it shows another number than we thought."""
        shown: dict[tuple[str, str], int] = {}
        try:
            async with asyncio.timeout_at(deadline):
                shown = await self._shown([(one.item, one.location) for one in stale])
        except (Transient, Throttled, TimeoutError, Misconfigured):
            pass  # without a number they are sent again all the same
        for one in stale:
            units = shown.get((one.item, one.location))
            if units == one.level.quantity:
                results[one.n] = Applied(shown=units)
            else:
                wait_s = WAIT_S if units is None else 0.0
                results[one.n] = Retry(retry_after_s=wait_s, reason="stale", shown=units)

    # ---------------------------------------------------------------- back

    async def read_back(self, keys: Sequence[LevelKey]) -> list[ShownLevel | None]:
        """What the shop shows, aligned with keys. Raises Misconfigured, Throttled, Transient."""
        found = await self._catalogue.items(key.listing for key in keys)
        wanted = [(found[key.listing].item, self._places.get(key.location, "")) for key in keys]
        shown = await self._shown([pair for pair in wanted if all(pair)], spare=True)
        return [
            None
            if (units := shown.get(pair)) is None
            else ShownLevel(listing=key.listing, location=key.location, quantity=units)
            for key, pair in zip(keys, wanted, strict=True)
        ]

    async def _shown(
        self, pairs: Sequence[tuple[str, str]], *, spare: bool = False
    ) -> dict[tuple[str, str], int]:
        by_place: dict[str, list[str]] = {}
        for item, place in dict.fromkeys(pairs):
            by_place.setdefault(place, []).append(item)
        found: dict[tuple[str, str], int] = {}
        for place, items in by_place.items():
            for start in range(0, len(items), MOST_AT_ONCE):
                some = items[start : start + MOST_AT_ONCE]
                asked = {"ids": some, "location": place}
                data = await self._shop.ask(SHOWN, asked, spare=spare)
                for node in data.get("nodes") or ():
                    units = _units(value_at(node, "inventoryLevel"))
                    if units is not None:
                        found[node["id"], place] = units
        return found

    async def snapshot(self) -> list[ShownLevel]:
        """All levels of the locations that are configured, page by page."""
        if not self._places:
            raise Misconfigured("location", "set location or locations: their levels are told")
        found: dict[LevelKey, ShownLevel] = {}
        for code, place in self._places.items():
            variables, path = {"location": place}, ("location", "inventoryLevels")
            async for node in each_page(
                self._shop, LEVELS, variables, *path, gone=_no_location(code, place)
            ):
                item, units = node.get("item"), _units(node)
                if not isinstance(item, dict) or units is None or item.get("tracked") is not True:
                    continue
                name = self._catalogue.name_of(item)
                if name:
                    one = ShownLevel(listing=name, location=code, quantity=units)
                    found[LevelKey(listing=name, location=code)] = one
        return list(found.values())


def _no_location(code: str, place: str) -> Misconfigured:
    """What is wrong where the shop knows no location of that number."""
    setting, number = "locations" if code else "location", place.rpartition("/")[2]
    message = (
        f"the shop has no location {number}: take the number at the end of the location's address"
        " in the admin (Settings, Locations)"
    )
    return Misconfigured(setting, message)


def _unsendable(level: LevelToSend, found: Found, place: str) -> Refused | None:
    if not place:
        message = f"the setting locations does not name {level.location!r}"
        return Refused(reason="unknown_location", message=message)
    if found.several:
        message = f"the shop has several items of the SKU {level.listing!r}; it must be unique"
        return Refused(reason="ambiguous_listing", message=message)
    if not found.item:
        message = f"the shop has no item {level.listing!r}; correct it there, or the listing"
        return Refused(reason="unknown_listing", message=message)
    if not found.tracked:
        return Refused(reason="not_tracked", message="switch on Track quantity in the shop")
    return None


def _variables(version: Version, some: Sequence[_Sent]) -> dict[str, Any]:
    """The variables of one call; in 2025-10 either all are compared, or none."""
    keyed = has_keys(version)
    blind = any(one.level.expected is None for one in some)
    quantities: list[dict[str, Any]] = []
    for one in some:
        row: dict[str, Any] = {
            "inventoryItemId": one.item,
            "locationId": one.location,
            "quantity": one.level.quantity,
        }
        if keyed:
            row["changeFromQuantity"] = one.level.expected
        elif not blind:
            row["compareQuantity"] = one.level.expected
        quantities.append(row)
    told: dict[str, Any] = {"name": "available", "reason": "correction", "quantities": quantities}
    if keyed:
        # A key of its own for each call: the same level may have to be set again later.
        return {"input": told, "key": str(uuid.uuid4())}
    return {"input": {**told, "ignoreCompareQuantity": blind}}


def _errors(told: Mapping[str, Any]) -> list[_Error]:
    return [
        _Error(str(one.get("code") or ""), str(one.get("message") or "")[:300], _place(one))
        for one in told["userErrors"]
        if isinstance(one, dict)
    ]


def _place(error: Mapping[str, Any]) -> int | None:
    """The number of the quantity an error is about: ["input", "quantities", "3", ...]."""
    field = error.get("field")
    if isinstance(field, list) and len(field) > 2 and field[1] == "quantities":
        text = str(field[2])
        return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else None
    return None


def _result(error: _Error) -> PublishResult:
    if error.code == "IDEMPOTENCY_CONCURRENT_REQUEST":
        return InDoubt(reason=error.code.lower())
    if error.code in _AGAIN or error.code in STALE:
        return Retry(retry_after_s=WAIT_S, reason=error.code.lower())
    reason, message = _WORDS.get(error.code, (error.code.lower() or "refused", ""))
    return Refused(reason=reason, message=": ".join(filter(None, [message, error.message])))


def _units(level: Any) -> int | None:
    quantities = value_at(level, "quantities")
    first = quantities[0] if isinstance(quantities, list) and quantities else None
    units = value_at(first, "quantity")
    return units if isinstance(units, int) and not isinstance(units, bool) else None
