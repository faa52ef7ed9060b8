"""Levels out: absolute adjustments of one location, and what became of what was accepted.

The store answers an adjustment before it carries it out, as a whole or not at all. So what it
accepted is read back: a level is acknowledged once it is shown.
"""

import asyncio
import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from stockwright.connectors.bigcommerce.api import Api
from stockwright.connectors.bigcommerce.declaration import MOST_ITEMS, BigSettings
from stockwright.domain.errors import Misconfigured, Transient
from stockwright.sdk.calling import WAIT_S, excerpt_of, whole_text
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
from stockwright.sdk.transports import HttpResponse

ABSOLUTE: Final = "/v3/inventory/adjustments/absolute"
NAMES_AT_ONCE: Final = 100
"""Listings that one look asks for: an address has to stay short."""
LOOK_AGAIN_S: Final = 1.0
MOST_REMEMBERED: Final = 20_000
_PLACE: Final = re.compile(r"items?[.\[](\d+)")


class _Identity(msgspec.Struct):
    variant_id: int
    sku: str | None = None


class _Item(msgspec.Struct):
    identity: _Identity
    total_inventory_onhand: int


class _Taken(msgspec.Struct):
    transaction_id: str


class _Accepted(msgspec.Struct, frozen=True):
    quantity: int
    at: dt.datetime


class Levels:
    """The levels of one store at one location.

    What was accepted and not seen yet is remembered, so that it is looked at, and not sent, when
    the hub hands it over again. A process that forgets it sends it once more.
    """

    def __init__(self, api: Api, settings: BigSettings, clock: Callable[[], dt.datetime]) -> None:
        self._api = api
        self._settings = settings
        self._clock = clock
        self._accepted: dict[LevelKey, _Accepted] = {}
        self._items = f"/v3/inventory/locations/{settings.location}/items"

    async def publish(self, levels: Sequence[LevelToSend]) -> list[PublishResult]:
        """Sends levels; results are aligned. Raises Misconfigured where nothing was done yet."""
        deadline = asyncio.get_running_loop().time() + self._settings.timeout_s
        results: dict[int, PublishResult] = {}
        to_see, fresh = [], []
        for n, level in enumerate(levels):
            refusal = self._refusal(level)
            if refusal is not None:
                results[n] = refusal
            elif self._is_on_its_way(level):
                to_see.append(n)
            else:
                fresh.append(n)
        results |= await self._send(levels, fresh, deadline)
        accepted = [n for n in fresh if isinstance(results[n], Applied)]
        if len(accepted) <= self._settings.look_at_most:
            for n in accepted:
                self._remember(levels[n])
            to_see += accepted
        if to_see:
            seen = await self._look([levels[n] for n in to_see], deadline)
            results |= zip(to_see, seen, strict=True)
        return [results[n] for n in range(len(levels))]

    async def read_back(self, keys: Sequence[LevelKey]) -> list[ShownLevel | None]:
        """What the location holds of these listings."""
        asked = [key.listing for key in keys if not key.location]
        shown = await self._shown(asked)
        return [
            None
            if key.location or key.listing not in shown
            else ShownLevel(listing=key.listing, quantity=shown[key.listing])
            for key in keys
        ]

    async def snapshot(self) -> list[ShownLevel]:
        """All that the location holds, each listing once."""
        rows = await self._api.every(self._items, _Item, size=MOST_ITEMS)
        found = {self._name_of(row): row.total_inventory_onhand for row in rows}
        return [ShownLevel(listing=one, quantity=found[one]) for one in sorted(found) if one]

    # ---------------------------------------------------------------- sending

    def _refusal(self, level: LevelToSend) -> Refused | None:
        if level.location:
            message = "the store shows one number: leave the location of the level empty"
            return Refused(reason="unknown_location", message=message)
        if self._settings.listings == "id" and not _is_id(level.listing):
            message = f"{level.listing!r} is no id of a variant; correct the listing"
            return Refused(reason="unknown_listing", message=message)
        if "," in level.listing:
            message = "the store cannot be asked for a SKU with a comma; use listings = 'id'"
            return Refused(reason="comma_in_sku", message=message)
        return None

    async def _send(
        self, levels: Sequence[LevelToSend], numbers: Sequence[int], deadline: float
    ) -> dict[int, PublishResult]:
        """A result for each of these numbers; Applied stands for accepted here."""
        results: dict[int, PublishResult] = {}
        parts = [list(numbers)]
        while parts:
            part = parts.pop(0)
            if not part:
                continue
            left_s = deadline - asyncio.get_running_loop().time()
            try:
                told = await self._put([levels[n] for n in part], left_s)
            except Misconfigured:
                if any(isinstance(one, Applied | InDoubt) for one in results.values()):
                    told = Retry(retry_after_s=WAIT_S, reason="an operator must act")
                else:
                    raise
            if not isinstance(told, HttpResponse):
                results |= dict.fromkeys(part, told)
                continue
            named = _named(told, len(part))
            refused = {part[place]: text for place, text in named.items()}
            if not refused and len(part) == 1:
                refused[part[0]] = excerpt_of(told.body)
            for n, text in refused.items():
                results[n] = _refused(levels[n], text)
            rest = [n for n in part if n not in refused]
            # Nothing of it was done. Where the store does not say whose fault it is, halves tell.
            middle = len(rest) if refused else len(rest) // 2
            parts += [rest[:middle], rest[middle:]]
        return results

    async def _put(
        self, levels: Sequence[LevelToSend], left_s: float
    ) -> HttpResponse | Applied | Refused | Retry | InDoubt:
        """What became of all of them; the answer itself where the store takes not all of them."""
        if left_s <= 0:
            return Retry(retry_after_s=0.0, reason="no time was left to send it")
        body = {"reason": "Stockwright", "items": [self._item(level) for level in levels]}
        answer = await self._api.write("PUT", ABSOLUTE, as_is=(422,), json=body, timeout_s=left_s)
        if not isinstance(answer, HttpResponse) or answer.status == 422:
            return answer
        try:
            msgspec.json.decode(answer.body, type=_Taken)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return InDoubt(reason="the store's answer names no transaction")
        return Applied()

    def _item(self, level: LevelToSend) -> dict[str, Any]:
        name = (
            {"sku": level.listing}
            if self._settings.listings == "sku"
            else {"variant_id": int(level.listing)}
        )
        return {"location_id": self._settings.location, **name, "quantity": level.quantity}

    # ---------------------------------------------------------------- looking

    def _is_on_its_way(self, level: LevelToSend) -> bool:
        """Whether the very number was accepted so lately that it may be on its way yet."""
        known = self._accepted.get(level.key)
        if known is None:
            return False
        settled = self._clock() - known.at >= dt.timedelta(seconds=self._settings.settle_s)
        if settled or known.quantity != level.quantity:
            del self._accepted[level.key]
            return False
        return True

    def _remember(self, level: LevelToSend) -> None:
        while len(self._accepted) >= MOST_REMEMBERED:
            del self._accepted[next(iter(self._accepted))]
        self._accepted[level.key] = _Accepted(level.quantity, self._clock())

    async def _look(self, levels: Sequence[LevelToSend], deadline: float) -> list[PublishResult]:
        """What is shown of levels that the store accepted."""
        left_s = deadline - asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(max(0.0, left_s)):
                shown = await self._shown([level.listing for level in levels])
        except (Misconfigured, Transient, TimeoutError):
            return [_on_its_way()] * len(levels)
        return [self._seen(level, shown.get(level.listing)) for level in levels]

    def _seen(self, level: LevelToSend, shown: int | None) -> PublishResult:
        if shown == level.quantity:
            self._accepted.pop(level.key, None)
            return Applied(shown=shown)
        if shown is None:
            self._accepted.pop(level.key, None)
            message = f"the location has no {level.listing!r}; correct it there, or the listing"
            return Refused(reason="unknown_listing", message=message)
        before = level.expected
        raised = before is None or level.quantity > before
        if shown < level.quantity and (not raised or (before is not None and shown > before)):
            # Lower than asked for, or raised and sold from since: to send it again would sell the
            # same units twice.
            self._accepted.pop(level.key, None)
            return Applied()
        return _on_its_way()

    async def _shown(self, listings: Sequence[str]) -> dict[str, int]:
        name = "sku:in" if self._settings.listings == "sku" else "variant_id:in"
        asked = [
            one
            for one in dict.fromkeys(listings)
            if "," not in one and (name == "sku:in" or _is_id(one))
        ]
        found: dict[str, int] = {}
        for start in range(0, len(asked), NAMES_AT_ONCE):
            some = asked[start : start + NAMES_AT_ONCE]
            query = [(name, ",".join(some))]
            for row in await self._api.every(self._items, _Item, query, size=MOST_ITEMS):
                found[self._name_of(row)] = row.total_inventory_onhand
        return found

    def _name_of(self, row: _Item) -> str:
        if self._settings.listings == "id":
            return str(row.identity.variant_id)
        return row.identity.sku or ""


def _on_its_way() -> InDoubt:
    reason = "the store has accepted it, and does not show it yet"
    return InDoubt(reason=reason, retry_after_s=LOOK_AGAIN_S, taken=True)


def _named(answer: HttpResponse, most: int) -> Mapping[int, str]:
    """The items that a refusal names, by their place in the request, with what it says of each."""
    root = whole_text(answer.body)
    errors = root.get("errors") if isinstance(root, dict) else None
    found: dict[int, str] = {}
    for path, text in errors.items() if isinstance(errors, dict) else ():
        place = _PLACE.search(str(path))
        if place and int(place.group(1)) < most:
            found.setdefault(int(place.group(1)), str(text))
    return found


def _refused(level: LevelToSend, text: str) -> Refused:
    """One cause for all levels that are refused alike: the text without the listing's name."""
    words = re.sub(r"[^a-z0-9]+", "_", text.replace(level.listing, "").lower()).strip("_")
    unknown = "not_found" in words or "does_not_exist" in words
    reason = "unknown_listing" if unknown else words[:60] or "refused"
    return Refused(reason=reason, message=text[:300])


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19 and not text.startswith("0")
