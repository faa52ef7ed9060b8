"""The bulk lane: many levels in one call that the shop works off later.

Accepted is not applied: the shop puts each level into a queue, and its consumers may be busy, or
not run at all. So the levels of a bulk are in doubt while it is at work, and whoever hands them
over again learns what became of each. A bulk that does not end is given up at its deadline: its
levels go another way, and no later bulk waits for it.
"""

import asyncio
import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from stockwright.connectors.magento.api import BULK, V1, Api, problem_of
from stockwright.connectors.magento.declaration import MagentoSettings
from stockwright.domain.errors import Transient
from stockwright.sdk.calling import WAIT_S
from stockwright.sdk.jobs import Job
from stockwright.sdk.messages import (
    Applied,
    InDoubt,
    LevelKey,
    LevelToSend,
    PublishResult,
    Refused,
    Retry,
)
from stockwright.sdk.transports import HttpResponse

ITEMS: Final = "/inventory/source-items"
MOST_BULKS: Final = 50
"""Bulks that are remembered at one time."""


class Bulk(Job, kw_only=True):
    """A bulk and the numbers it carries. results fills as the shop works it off.

    overwritten: keys of which another number left while it was at work: its end does not say which
    of the two is shown.
    """

    quantities: dict[LevelKey, int]
    results: dict[LevelKey, PublishResult]
    overwritten: set[LevelKey] = msgspec.field(default_factory=set)

    def is_open(self, key: LevelKey) -> bool:
        """Whether it may still write this level."""
        return key in self.quantities and key not in self.results


class _Accepted(msgspec.Struct):
    id: int
    status: str = ""
    error_message: str | None = None


class _Made(msgspec.Struct):
    bulk_uuid: str
    request_items: list[_Accepted] = []


class _Operation(msgspec.Struct):
    status: int
    serialized_data: str | None = None
    result_message: str | None = None


class _State(msgspec.Struct):
    operations_list: list[_Operation]


class Bulks:
    """The bulks of one connection that are at work, or whose results were not asked for yet."""

    def __init__(
        self, api: Api, settings: MagentoSettings, clock: Callable[[], dt.datetime]
    ) -> None:
        self._api = api
        self._settings = settings
        self._clock = clock
        self.bulks: list[Bulk] = []

    # ---------------------------------------------------------------- what became of them

    async def ask(self, levels: Sequence[LevelToSend], deadline: float) -> dict[int, PublishResult]:
        """What became of those levels whose very number a bulk carries, by their place."""
        keys = {level.key for level in levels}
        for bulk in list(self.bulks):
            if any(bulk.is_open(key) for key in keys):
                await bulk.once(partial(self._look, bulk, deadline), deadline)
        found: dict[int, PublishResult] = {}
        for n, level in enumerate(levels):
            result = self._told(level)
            if result is not None:
                found[n] = result
        now = self._clock()
        self.bulks = [one for one in self.bulks if one.quantities and now < one.deadline]
        return found

    def holds_more(self, level: LevelToSend) -> bool:
        """True where a bulk at work may raise this level above its number."""
        return any(
            bulk.is_open(level.key) and bulk.quantities[level.key] > level.quantity
            for bulk in self.bulks
        )

    def careful(self, level: LevelToSend, result: PublishResult) -> PublishResult:
        """A result as it stands while a bulk at work may still write another number over it."""
        another = self._others(level)
        if isinstance(result, Applied | InDoubt):
            self._overwritten(level, another)
        if isinstance(result, Applied) and another:
            return self._at_work("a bulk at work may still write another number")
        return result

    def _others(self, level: LevelToSend) -> list[Bulk]:
        """The bulks at work that carry another number of this level."""
        return [
            bulk
            for bulk in self.bulks
            if bulk.is_open(level.key) and bulk.quantities[level.key] != level.quantity
        ]

    @staticmethod
    def _overwritten(level: LevelToSend, others: Sequence[Bulk]) -> None:
        for bulk in others:
            bulk.overwritten.add(level.key)

    def _at_work(self, reason: str, bulk: Bulk | None = None) -> InDoubt:
        every_s = self._settings.bulk_look_s
        wait_s = bulk.wait_s(self._clock(), every_s) if bulk else every_s
        return InDoubt(reason=reason, retry_after_s=wait_s, taken=True)

    def _told(self, level: LevelToSend) -> PublishResult | None:
        for bulk in reversed(self.bulks):  # the newest has the last word
            if level.key not in bulk.quantities:
                continue
            speaks = level.key not in bulk.overwritten
            same = speaks and bulk.quantities[level.key] == level.quantity
            if level.key not in bulk.results:
                return self._at_work(f"bulk {bulk.id} is at work", bulk) if same else None
            del bulk.quantities[level.key]
            result = bulk.results.pop(level.key)
            if same:
                return self.careful(level, result)
        return None

    async def _look(self, bulk: Bulk, deadline: float) -> None:
        """Asks how a bulk does, where it is time to. What cannot be told now is asked later."""
        now = self._clock()
        left_s = deadline - asyncio.get_running_loop().time()
        if bulk not in self.bulks:
            return
        if now >= bulk.deadline:
            # Forgotten: it may still write, which the hub believes for longest_apply_delay_s.
            self.bulks.remove(bulk)
            return
        if now < bulk.look_at or left_s <= 0:
            return
        bulk.look_at = now + dt.timedelta(seconds=self._settings.bulk_look_s)
        try:
            async with asyncio.timeout(left_s):
                path = f"{V1}/bulk/{bulk.id}/detailed-status"
                state = await self._api.read(path, _State)
        except (Transient, TimeoutError):
            return
        by_sku = {key.listing: key for key in bulk.quantities}
        for operation in state.operations_list:
            key = by_sku.get(_sku_of(operation.serialized_data))
            result = _result(operation)
            if key is not None and result is not None:
                bulk.results[key] = result

    # ---------------------------------------------------------------- out

    async def send(
        self, levels: Sequence[LevelToSend], operations: Sequence[Any], deadline: float
    ) -> list[PublishResult]:
        """Makes a bulk of these levels, one operation each; results are aligned.

        Raises Misconfigured: not done.
        """
        left_s = deadline - asyncio.get_running_loop().time()
        if len(self.bulks) >= MOST_BULKS:
            result = Retry(
                retry_after_s=self._settings.bulk_look_s, reason="too many bulks at work"
            )
            return [result] * len(levels)
        if left_s <= 0:
            return [Retry(retry_after_s=0.0, reason="no time was left to send it")] * len(levels)
        answer = await self._api.write(
            "POST", BULK + ITEMS, as_is=(400,), json=operations, timeout_s=left_s
        )
        if isinstance(answer, HttpResponse | InDoubt):
            for level in levels:
                self._overwritten(level, self._others(level))
        if not isinstance(answer, HttpResponse):
            return [answer] * len(levels)
        if answer.status == 400:
            problem = problem_of(answer.body)
            return [Refused(reason=problem.reason, message=problem.text)] * len(levels)
        try:
            made = msgspec.json.decode(answer.body, type=_Made)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return [InDoubt(reason="the shop's answer names no bulk")] * len(levels)
        return self._taken(made, levels)

    def _taken(self, made: _Made, levels: Sequence[LevelToSend]) -> list[PublishResult]:
        """What the shop put into its queue is at work; what it did not is refused."""
        refused = {
            one.id: Refused(reason="not_accepted", message=one.error_message or one.status)
            for one in made.request_items
            if one.status != "accepted"
        }
        now = self._clock()
        self.bulks.append(
            Bulk(
                id=made.bulk_uuid,
                quantities={
                    level.key: level.quantity for n, level in enumerate(levels) if n not in refused
                },
                look_at=now + dt.timedelta(seconds=self._settings.bulk_look_s),
                deadline=now + dt.timedelta(seconds=self._settings.bulk_deadline_s),
                results={},
            )
        )
        at_work = self._at_work(f"bulk {made.bulk_uuid} is at work")
        return [refused.get(n, at_work) for n in range(len(levels))]


def _result(operation: _Operation) -> PublishResult | None:
    """What became of one operation, by the shop's numbers for it; None while it is open."""
    message = operation.result_message or ""
    match operation.status:
        case 1:
            return Applied()
        case 2:
            return Retry(retry_after_s=WAIT_S, reason=message or "the shop may try it again")
        case 3 | 5:
            return Refused(reason="bulk_operation_failed", message=message[:300])
        case _:
            return None


def _sku_of(serialized: str | None) -> str:
    """The SKU that an operation is about: its input is JSON within JSON."""
    try:
        outer: Any = msgspec.json.decode(serialized or "")
        inner: Any = msgspec.json.decode(outer["meta_information"])
        found = inner["sourceItems"]
        row = found[0] if isinstance(found, Sequence) else found
        return str(row["sku"]) if isinstance(row, Mapping) else ""
    except (msgspec.MsgspecError, RecursionError, KeyError, TypeError, IndexError, UnicodeError):
        return ""
