"""Levels out: source items of one source, at once or by bulk, and what the source holds."""

import asyncio
import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec

from stockwright.connectors.magento.api import V1, Api, Filter, problem_of
from stockwright.connectors.magento.bulk import Bulks
from stockwright.connectors.magento.declaration import MOST_ROWS, MagentoSettings
from stockwright.domain.errors import Misconfigured, Throttled, Transient
from stockwright.sdk.calling import WAIT_S, whole_text
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

ITEMS: Final = "/inventory/source-items"
NAMES_AT_ONCE: Final = 100
"""SKUs that one search names: an address has to stay short."""
KEPT: Final = dt.timedelta(minutes=10)
"""How long it is believed that the source carries a SKU."""


class Item(msgspec.Struct):
    """What a source holds of a SKU. Quantities are decimals there."""

    sku: str
    quantity: float = 0.0

    @property
    def units(self) -> int:
        """Whole units."""
        return int(self.quantity)


class Levels:
    """The levels of one shop at one source.

    The shop writes down a source item for any SKU, also for one it does not have. So SKUs are
    looked up before they are sent for the first time.
    """

    def __init__(
        self, api: Api, settings: MagentoSettings, clock: Callable[[], dt.datetime]
    ) -> None:
        self._api = api
        self._settings = settings
        self._clock = clock
        self._carried: dict[str, dt.datetime] = {}
        self.bulks = Bulks(api, settings, clock)

    async def publish(self, levels: Sequence[LevelToSend]) -> list[PublishResult]:
        """Sends levels; results are aligned. Raises Misconfigured where nothing was done yet."""
        deadline = asyncio.get_running_loop().time() + self._settings.timeout_s
        try:
            async with asyncio.timeout_at(deadline):
                await self._look_up(level.listing for level in levels)
        except Throttled as error:
            return [Retry(retry_after_s=error.retry_after_s, reason=str(error))] * len(levels)
        except (Transient, TimeoutError) as error:
            # Only asked so far: nothing was written.
            reason = str(error) or "no time was left"
            return [Retry(retry_after_s=WAIT_S, reason=reason)] * len(levels)
        results: dict[int, PublishResult] = await self.bulks.ask(levels, deadline)
        for n, level in enumerate(levels):
            refusal = self._refusal(level)
            if refusal is not None:
                results[n] = refusal
        rest = [n for n in range(len(levels)) if n not in results]
        rest.sort(key=lambda n: _order(levels[n]))
        now, later = self._parted(rest, levels)
        results |= await self._send(levels, now, deadline)
        if later:
            some = [levels[n] for n in later]
            told = await self._by_bulk(some, results, deadline)
            results |= zip(later, told, strict=True)
        return [results[n] for n in range(len(levels))]

    async def read_back(self, keys: Sequence[LevelKey]) -> list[ShownLevel | None]:
        """What the source holds of these listings."""
        found = await self.units(key.listing for key in keys if not key.location)
        # What the source shows it carries: nobody need ask that again before it is sent.
        self._carried |= dict.fromkeys(found, self._clock())
        return [
            None
            if key.location or key.listing not in found
            else ShownLevel(listing=key.listing, quantity=found[key.listing])
            for key in keys
        ]

    async def snapshot(self) -> list[ShownLevel]:
        """All that the source holds, each SKU once."""
        rows = await self._api.every(
            ITEMS, Item, [[self._here()]], sort=("sku",), size=self._settings.page_size
        )
        found = {row.sku: row.units for row in rows}
        return [ShownLevel(listing=sku, quantity=found[sku]) for sku in sorted(found)]

    async def units(self, skus: Iterable[str]) -> dict[str, int]:
        """What the source holds of these SKUs; one it does not carry is missing."""
        asked = list(dict.fromkeys(skus))
        found: dict[str, int] = {}
        for start in range(0, len(asked), NAMES_AT_ONCE):
            some = asked[start : start + NAMES_AT_ONCE]
            rows = await self._api.every(
                ITEMS, Item, [_named(some), [self._here()]], sort=("sku",), size=MOST_ROWS
            )
            found |= {row.sku: row.units for row in rows}
        return found

    async def set_units(self, units: dict[str, int], left_s: float) -> PublishResult:
        """Writes some numbers at once. For what has to be put right around a document."""
        rows = [self._row(sku, quantity) for sku, quantity in units.items()]
        answer = await self._api.write(
            "POST", V1 + ITEMS, json={"sourceItems": rows}, timeout_s=left_s
        )
        return Applied() if isinstance(answer, HttpResponse) else answer

    # ---------------------------------------------------------------- which SKUs there are

    async def _look_up(self, listings: Iterable[str]) -> None:
        now = self._clock()
        unknown = [one for one in listings if now - self._carried.get(one, _NEVER) >= KEPT]
        for start in range(0, len(unknown), NAMES_AT_ONCE):
            some = unknown[start : start + NAMES_AT_ONCE]
            found = await self.units(some)
            for one in some:
                self._carried.pop(one, None)
            # Kept at once: a batch whose look-up takes too long goes on from here.
            self._carried |= dict.fromkeys(found, now)

    def _refusal(self, level: LevelToSend) -> Refused | None:
        if level.location:
            message = "the source shows one number: leave the location of the level empty"
            return Refused(reason="unknown_location", message=message)
        if level.listing not in self._carried:
            source = self._settings.source
            message = f"the source {source} does not carry {level.listing!r}; assign it there"
            return Refused(reason="unknown_listing", message=message)
        return None

    def _here(self) -> Filter:
        return Filter("source_code", "eq", self._settings.source)

    # ---------------------------------------------------------------- which way

    def _parted(
        self, rest: list[int], levels: Sequence[LevelToSend]
    ) -> tuple[list[int], list[int]]:
        """Which are sent at once, and which by bulk, of levels in their order: the urgent ones of a
        large batch at once, as many as one call carries.
        """
        most = self._settings.bulk_from
        if not most or len(rest) < most:
            return rest, []
        urgent = [n for n in rest if _is_urgent(levels[n]) or self.bulks.holds_more(levels[n])]
        now = urgent[: self._settings.sync_most]
        return now, [n for n in rest if n not in set(now)]

    async def _by_bulk(
        self, levels: Sequence[LevelToSend], done: dict[int, PublishResult], deadline: float
    ) -> list[PublishResult]:
        try:
            return await self.bulks.send(levels, [self._operation(one) for one in levels], deadline)
        except Misconfigured:
            if not any(isinstance(one, Applied | InDoubt) for one in done.values()):
                raise
            return [Retry(retry_after_s=WAIT_S, reason="an operator must act")] * len(levels)

    # ---------------------------------------------------------------- at once

    async def _send(
        self, levels: Sequence[LevelToSend], numbers: Sequence[int], deadline: float
    ) -> dict[int, PublishResult]:
        results: dict[int, PublishResult] = {}
        most = self._settings.sync_most
        parts = [list(numbers[start : start + most]) for start in range(0, len(numbers), most)]
        while parts:
            part = parts.pop(0)
            left_s = deadline - asyncio.get_running_loop().time()
            try:
                told = await self._post([levels[n] for n in part], left_s)
            except Misconfigured:
                if not any(isinstance(one, Applied | InDoubt) for one in results.values()):
                    raise
                told = Retry(retry_after_s=WAIT_S, reason="an operator must act")
            if isinstance(told, Refused) and len(part) > 1:
                # Nothing of it was done, and the shop does not say whose fault it is: halves tell.
                middle = len(part) // 2
                parts = [part[:middle], part[middle:], *parts]
                continue
            for n in part:
                results[n] = self.bulks.careful(levels[n], told)
        return results

    async def _post(self, levels: Sequence[LevelToSend], left_s: float) -> PublishResult:
        if left_s <= 0:
            return Retry(retry_after_s=0.0, reason="no time was left to send it")
        answer = await self._api.write(
            "POST",
            V1 + ITEMS,
            as_is=(400,),
            json={"sourceItems": [self._row(one.listing, one.quantity) for one in levels]},
            timeout_s=left_s,
        )
        if not isinstance(answer, HttpResponse):
            return answer
        if answer.status == 400:
            problem = problem_of(answer.body)
            return Refused(reason=problem.reason, message=problem.text)
        if not isinstance(whole_text(answer.body), list):
            return InDoubt(reason="the shop's answer cannot be read")
        return Applied()

    def _operation(self, level: LevelToSend) -> dict[str, Any]:
        return {"sourceItems": [self._row(level.listing, level.quantity)]}

    def _row(self, sku: str, quantity: int) -> dict[str, Any]:
        return {
            "sku": sku,
            "source_code": self._settings.source,
            "quantity": quantity,
            "status": 1 if quantity > 0 else 0,
        }


_NEVER: Final = dt.datetime.min.replace(tzinfo=dt.UTC)


def _named(skus: Sequence[str]) -> list[Filter]:
    """Filters of which one holds for these SKUs; a list cannot name one with a comma."""
    plain = [sku for sku in skus if "," not in sku]
    filters = [Filter("sku", "in", ",".join(plain))] if plain else []
    return filters + [Filter("sku", "eq", sku) for sku in skus if "," in sku]


def _is_urgent(level: LevelToSend) -> bool:
    """More may be shown than there is."""
    if level.expected is None:
        return level.quantity == 0
    return level.quantity < level.expected


def _order(level: LevelToSend) -> tuple[bool, bool, int]:
    """Urgent ones first, zeroes before others, large drops before small ones."""
    drop = 0 if level.expected is None else level.quantity - level.expected
    return (not _is_urgent(level), level.quantity != 0, drop)
