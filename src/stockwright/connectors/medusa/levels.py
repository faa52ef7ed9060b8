"""Levels out: one call for a batch, halved where the shop refuses it for one of its levels."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from stockwright.connectors.medusa.catalogue import Catalogue, Item
from stockwright.connectors.medusa.shop import Shop
from stockwright.domain.errors import Misconfigured, Throttled, Transient
from stockwright.sdk.calling import WAIT_S
from stockwright.sdk.messages import Applied, InDoubt, LevelToSend, PublishResult, Refused, Retry

_BATCH: Final = "/inventory-items/location-levels/batch"
_STALE: Final = frozenset({"not_found", "duplicate_error", "invalid_data"})
"""What a level is refused with where the item, or its place, is not what we remember."""


class _Written(msgspec.Struct):
    inventory_item_id: str
    location_id: str
    stocked_quantity: float


class _Write(msgspec.Struct, frozen=True):
    """A level on its way: its number in the batch, the item it is, the stock location."""

    n: int
    level: LevelToSend
    item: Item
    place: str

    @property
    def key(self) -> tuple[str, str]:
        return self.item.id, self.place

    @property
    def is_new(self) -> bool:
        return self.item.units(self.place) is None


class Levels:
    """Writes levels to one shop.

    places: our location codes and the stock locations they are; '' is the channel as a whole.
    """

    def __init__(
        self, shop: Shop, catalogue: Catalogue, places: Mapping[str, str], timeout_s: float
    ) -> None:
        self._shop = shop
        self._catalogue = catalogue
        self._places = places
        self._timeout_s = timeout_s

    async def publish(self, levels: Sequence[LevelToSend]) -> list[PublishResult]:
        """Sends levels; results are aligned. Raises Misconfigured where nothing was done yet."""
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        try:
            async with asyncio.timeout_at(deadline):
                items = await self._catalogue.items(level.listing for level in levels)
        except Throttled as error:
            return [Retry(retry_after_s=error.retry_after_s, reason=str(error))] * len(levels)
        except (Transient, TimeoutError) as error:
            # Only asked so far: nothing was written.
            reason = str(error) or "no time was left"
            return [Retry(retry_after_s=WAIT_S, reason=reason)] * len(levels)
        results: dict[int, PublishResult] = {}
        writes: list[_Write] = []
        for n, level in enumerate(levels):
            place, item = self._places.get(level.location, ""), items.get(level.listing)
            if item is None:
                results[n] = _unknown(level)
            elif not place:
                message = f"no stock location is set for {level.location or 'the channel'!r}"
                results[n] = Refused(reason="unknown_location", message=message)
            else:
                writes.append(_Write(n, level, item, place))
        await self._write(writes, results, deadline)
        return [results[n] for n in range(len(levels))]

    async def _write(
        self, writes: Sequence[_Write], results: dict[int, PublishResult], deadline: float
    ) -> None:
        """Writes in one call, or in two halves where the shop refuses the whole."""
        if not writes:
            return
        left_s = deadline - asyncio.get_running_loop().time()
        if left_s <= 0:
            late = Retry(retry_after_s=0.0, reason="no time was left to send it")
            results |= {one.n: late for one in writes}
            return
        try:
            answer = await self._shop.change(_BATCH, _body(writes), timeout_s=left_s)
        except Misconfigured:
            if not any(isinstance(one, Applied | InDoubt) for one in results.values()):
                raise
            answer = Retry(retry_after_s=WAIT_S, reason="an operator must act")
        if isinstance(answer, Refused) and len(writes) > 1:
            half = len(writes) // 2
            await self._write(writes[:half], results, deadline)
            await self._write(writes[half:], results, deadline)
        elif isinstance(answer, Refused):
            results[writes[0].n] = await self._again(writes[0], answer, deadline)
        else:
            results |= self._told(writes, answer)

    def _told(
        self, writes: Sequence[_Write], answer: dict[str, Any] | Retry | InDoubt
    ) -> dict[int, PublishResult]:
        for write in writes:
            if write.is_new:
                # It is there by now, or may be: the next time it is looked up.
                self._catalogue.forget(write.level.listing)
        return _results(writes, answer)

    async def _again(self, write: _Write, refused: Refused, deadline: float) -> PublishResult:
        """One level that was refused: written once more where what we remembered was wrong."""
        if refused.reason not in _STALE:
            return refused
        listing = write.level.listing
        self._catalogue.forget(listing)
        left_s = deadline - asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(max(0.0, left_s)):
                item = (await self._catalogue.look_up([listing])).get(listing)
        except (Transient, TimeoutError) as error:
            return Retry(retry_after_s=WAIT_S, reason=str(error) or "no time was left")
        if item is None:
            return _unknown(write.level)
        again = msgspec.structs.replace(write, item=item)
        if (again.key, again.is_new) == (write.key, write.is_new):
            return refused
        left_s = deadline - asyncio.get_running_loop().time()
        if left_s <= 0:
            return Retry(retry_after_s=0.0, reason="no time was left to send it")
        answer = await self._shop.change(_BATCH, _body([again]), timeout_s=left_s)
        if isinstance(answer, Refused):
            return answer
        return self._told([again], answer)[write.n]


def _body(writes: Sequence[_Write]) -> dict[str, Any]:
    """Levels to update, and those that the item does not have at that place yet to create."""
    told: dict[str, list[dict[str, Any]]] = {"create": [], "update": []}
    for write in writes:
        told["create" if write.is_new else "update"].append(
            {
                "inventory_item_id": write.item.id,
                "location_id": write.place,
                "stocked_quantity": write.level.quantity,
            }
        )
    return told


def _results(
    writes: Sequence[_Write], answer: dict[str, Any] | Retry | InDoubt
) -> dict[int, PublishResult]:
    if not isinstance(answer, dict):
        return {write.n: answer for write in writes}
    shown: dict[tuple[str, str], int] = {}
    for name in ("created", "updated"):
        rows = answer.get(name)
        for row in rows if isinstance(rows, list) else ():
            try:
                one = msgspec.convert(row, _Written, strict=False)
            except msgspec.ValidationError:
                continue  # its level stays unanswered, and so in doubt
            shown[one.inventory_item_id, one.location_id] = int(one.stocked_quantity)
    unnamed = InDoubt(reason="the shop's answer does not name this level")
    return {
        write.n: Applied(shown=shown[write.key]) if write.key in shown else unnamed
        for write in writes
    }


def _unknown(level: LevelToSend) -> Refused:
    message = (
        f"the shop has no inventory item {level.listing!r} of its own; correct it there, or the"
        " listing (a kit is shown by the levels of its parts)"
    )
    return Refused(reason="unknown_listing", message=message)
