"""What waits to be recorded: one caller's group of items, and the batch that groups make."""

import asyncio
import time
from collections.abc import Sequence

import msgspec

from stockwright.domain.events import Outcome
from stockwright.domain.wellformed import Prepared
from stockwright.flow.promise import Promise
from stockwright.store.handed_in import RawPayload, Settlement
from stockwright.store.ledger import Flight


class Group(msgspec.Struct, eq=False):
    """One caller's items and their answers; it may span several batches.

    refused holds the items that never got past the door, by their place among the caller's.
    """

    bulk: bool
    raw: RawPayload | None
    settles: Settlement | None
    items: list[Prepared] = []
    outcomes: list[Outcome] = []
    refused: list[tuple[int, Outcome]] = []
    taken: int = 0
    told_of_fault: bool = False
    promise: Promise | None = None
    loop: asyncio.AbstractEventLoop | None = None
    waiter: asyncio.Future[list[Outcome]] | None = None

    @property
    def plain(self) -> bool:
        """Whether an event loop may drive it: a coroutine's few items that nothing comes with."""
        return self.loop is not None and bool(self.items) and not self.bulk and self.alone

    @property
    def alone(self) -> bool:
        """Whether nothing comes with the items."""
        return self.raw is None and self.settles is None

    def told(self) -> list[Outcome]:
        """One outcome per item of the caller, aligned."""
        for place, outcome in self.refused:
            self.outcomes.insert(place, outcome)
        return self.outcomes


class Batch:
    """Slices of groups that are recorded together, as (group, from, to)."""

    __slots__ = ("began", "flight", "in_doubt", "items", "raws", "settles", "slices")

    def __init__(self, slices: list[tuple[Group, int, int]]) -> None:
        self.began = time.perf_counter()
        self.slices = slices
        self.items = [item for group, start, end in slices for item in group.items[start:end]]
        self.raws = [
            group.raw for group, start, _ in slices if group.raw is not None and start == 0
        ]
        self.settles = [
            group.settles
            for group, _, end in slices
            if group.settles is not None and end == len(group.items)
        ]
        self.flight: Flight | None = None
        self.in_doubt = False


def claim_own(outcomes: Sequence[Outcome], before: int) -> None:
    """After a COMMIT whose end was not known, what it had recorded is ours, not a repetition."""
    for outcome in outcomes:
        if outcome.replay and outcome.sequence > before:
            outcome.replay = False


def tell_callers(
    groups: Sequence[Group],
    fault: BaseException | None,
    here: asyncio.AbstractEventLoop | None = None,
) -> None:
    """Gives every caller the outcomes or the fault; an event loop is woken once for all of its.

    `here` is the event loop that runs this, if one does: its callers are told at once.
    """
    ready: dict[asyncio.AbstractEventLoop, list[Group]] = {}
    for group in groups:
        promise, loop = group.promise, group.loop
        if loop is not None:
            ready.setdefault(loop, []).append(group)
        elif promise is not None and fault is None:
            promise.keep(group.told())
        elif promise is not None and fault is not None:
            promise.break_with(fault)
    for loop, waiting in ready.items():
        if loop is here:
            _answer(waiting, fault)
        else:
            _hand_over(loop, waiting, fault)


def _hand_over(
    loop: asyncio.AbstractEventLoop, groups: list[Group], fault: BaseException | None
) -> None:
    try:
        loop.call_soon_threadsafe(_answer, groups, fault)
    except RuntimeError:
        return  # the caller's event loop is gone, and with it whoever waited


def _answer(groups: list[Group], fault: BaseException | None) -> None:
    for group in groups:
        waiter = group.waiter
        if waiter is None or waiter.done():
            continue
        if fault is not None:
            waiter.set_exception(fault)
        else:
            waiter.set_result(group.told())
