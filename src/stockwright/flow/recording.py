"""The recording station: callers queue items, one thread turns what queued into batches.

A batch is what arrived while the last commit ran. Callers who were answered together and ask again
are let come together again, which takes them no timer but a look whether more keep coming. Under
load the next batch is decided and sent while the last is being committed; answers are given after
their commit and in order. The queue is
bounded: a full one answers Throttled at once. Interactive items go before bulk ones, and each kind
keeps its order.
"""

import asyncio
import datetime as dt
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import structlog

from stockwright import telemetry
from stockwright.domain.errors import Rejected, Throttled, Transient
from stockwright.domain.events import Item, Outcome
from stockwright.domain.wellformed import Expiry, Prepared, prepare
from stockwright.flow.batches import Batch, Group, claim_own, tell_callers
from stockwright.flow.driving import LoopDriver
from stockwright.flow.promise import Promise
from stockwright.store.handed_in import BatchInterrupted, BatchRefused, RawPayload, Settlement
from stockwright.store.ledger import MAX_BATCH, Ledger

T = TypeVar("T")
_log = structlog.get_logger()

MAX_QUEUE: Final = 20_000
BULK_SHARE: Final = 50
TARGET_S: Final = 0.05
MIN_BATCH: Final = 250
WORTH_A_BATCH: Final = 100
"""Items that must wait before a batch follows one that is still on its way."""
MOST_AHEAD: Final = 2
"""Batches on their way at one time while a further one is decided."""
FEW_CALLERS: Final = 8
"""So few answered at once are not waited for."""
BACK_WITHIN_S: Final = 0.02
GATHER_S: Final = 0.0015
GATHER_TURNS: Final = 3
GIVE_UP_AFTER_S: Final = 30.0


class Recorder:
    """Records items of many callers in batches, on one connection and one thread.

    `listeners` are called in that thread after each commit with the last sequence number.
    """

    def __init__(
        self,
        url: str,
        *,
        max_queue: int = MAX_QUEUE,
        clock: Callable[[], dt.datetime] | None = None,
    ) -> None:
        self._ledger = Ledger(url)
        self._max_queue = max_queue
        # What says no time of its own happened when we heard of it. By clocks that differ it could
        # lie before a count that was recorded earlier, and be taken for counted.
        self._clock = clock or self._ledger.now
        self._lock = threading.Lock()
        self._work = threading.Event()
        self._idle = False
        self._interactive: deque[Group] = deque()
        self._bulk: deque[Group] = deque()
        self._queued = 0
        self._batch_limit = MAX_BATCH
        self._per_item_s = 0.0001
        self._running = False
        self._warming = True
        self._interrupted = False
        self._answered_at = 0.0
        self._everybody = 0
        self._expected = 0
        self._thread: threading.Thread | None = None
        self._driver: LoopDriver | None = None
        self._left: deque[Batch] = deque()
        self.listeners: list[Callable[[int], None]] = []
        self.observers: list[Callable[[Sequence[Outcome], float], None]] = []

    def __enter__(self) -> "Recorder":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Starts the thread. Calling it again does nothing."""
        if self._thread is None:
            self._running = True
            self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Records what is queued, then ends the thread and lets the connection go."""
        with self._lock:
            self._running = False
            driver = self._driver
        if driver is not None and driver.holds:
            driver.let_go()
        self._work.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._ledger.close()

    @property
    def alive(self) -> bool:
        """True while the thread runs; once false, nothing is recorded any more."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def queued(self) -> int:
        """Items that wait for a batch."""
        return self._queued

    # ------------------------------------------------------------ callers

    def submit(
        self,
        items: Sequence[Item | Expiry],
        *,
        bulk: bool = False,
        raw: RawPayload | None = None,
        settles: Settlement | None = None,
    ) -> Promise:
        """A promise of one outcome per item, aligned. Safe to repeat: identities absorb the
        repetition.

        Raises Throttled where the queue is full; nothing of the call is kept then. The promise
        raises Transient where the database stayed away; the same items may be sent again.
        """
        group = self._prepare(items, bulk, raw, settles)
        group.promise = Promise()
        self._enqueue(group)
        return group.promise

    async def record(
        self,
        items: Sequence[Item | Expiry],
        *,
        bulk: bool = False,
        raw: RawPayload | None = None,
        settles: Settlement | None = None,
    ) -> list[Outcome]:
        """`submit` for a coroutine: one wake-up of the event loop per batch, not per caller."""
        group = self._prepare(items, bulk, raw, settles)
        if group.refused and not group.items and group.alone:
            return group.told()  # nothing of it is for the ledger
        group.loop = asyncio.get_running_loop()
        group.waiter = group.loop.create_future()
        self._enqueue(group)
        return await group.waiter

    def sweep(self) -> Promise:
        """Runs a batch even if nothing is queued: due holds are recorded as expired by every
        batch.
        """
        return self.submit([])

    def _prepare(
        self,
        items: Sequence[Item | Expiry],
        bulk: bool,
        raw: RawPayload | None,
        settles: Settlement | None,
    ) -> Group:
        received_at = (
            raw.received_at if raw is not None and raw.received_at is not None else self._clock()
        )
        group = Group(bulk, raw, settles)
        if raw is not None:
            raw.received_at = received_at
        for place, item in enumerate(items):
            try:
                group.items.append(prepare(item, received_at))
            except Rejected as refusal:
                told = Outcome(code=refusal.reason, field=refusal.field, message=refusal.message)
                group.refused.append((place, told))
        return group

    def _enqueue(self, group: Group) -> None:
        size = len(group.items)
        with self._lock:
            if not self._running:
                raise Transient("the recorder is stopping; send the same again in a moment")
            if self._queued + size > self._max_queue and self._queued:
                wait = max(0.05, self._queued * self._per_item_s)
                raise Throttled(
                    "the ledger's queue is full; send the same again later", round(wait, 2)
                )
            self._queued += size
            (self._bulk if group.bulk else self._interactive).append(group)
            gone = self._wake(group)
        if gone is not None:
            gone.let_go()

    def _wake(self, group: Group) -> LoopDriver | None:
        """Tells who records that something came. Answers a driver that cannot be told any more."""
        driver = self._driver
        if driver is not None and driver.holds:
            # Others' items are not left to a loop that may end before they are recorded.
            driver.wanted = driver.wanted or not group.plain or group.loop is not driver.loop
            return None if driver.kick() else driver
        if self._idle:
            self._idle = False
            if not (group.plain and self._may_drive(group.loop)):
                self._work.set()
        elif self._expected and self._queued >= self._expected:
            self._work.set()
        return None

    def _may_drive(self, loop: asyncio.AbstractEventLoop | None) -> bool:
        """Gives the ledger to an event loop, where its batches can be decided ahead."""
        if loop is None or not self._ledger.may_send:
            return False
        if self._driver is None or self._driver.loop is not loop:
            self._driver = LoopDriver(self, loop)
        return self._driver.take()

    # ------------------------------------------------------------ the thread

    def _run(self) -> None:
        """Batches are decided while those before them are being committed, and land in order."""
        sent: deque[Batch] = deque()
        while True:
            if self._warming and not (sent or self._queued or self._left):
                self._warming = self._warm()
                continue
            batch = self._left.popleft() if self._left else self._next(sent)
            if batch is not None and batch.flight is None:
                self.send(batch, look_up=True)
            if batch is None:
                if sent:
                    self._land(sent.popleft())
                elif not self._wait_for_work():
                    return
            elif batch.flight is None:
                while sent:
                    self._land(sent.popleft())
                self._record(batch)
            else:
                if len(sent) == MOST_AHEAD:
                    self._land(sent.popleft())
                sent.append(batch)

    def _warm(self) -> bool:
        """Reads what was touched last; what fails there shows when a batch is recorded."""
        try:
            return self._ledger.warm()
        except Exception as fault:  # noqa: BLE001 - logged; the thread lives on
            _log.warning("nothing could be read ahead", error=repr(fault))
            return False

    def _next(self, sent: deque[Batch]) -> Batch | None:
        """What queued; next to batches that are on their way only what is worth a batch."""
        if not sent and (self._driven() or self._give_back()):
            return None
        if not sent and self._everybody and self._queued:
            self._gather()
        with self._lock:
            if sent and self._queued < WORTH_A_BATCH:
                return None
            slices = self._take() if self._interactive or self._bulk else []
        return Batch(slices) if slices else None

    def _gather(self) -> None:
        """Lets the callers just answered come back, for a few milliseconds at the most.

        Without it they fall into halves that take turns for good, and each half pays for a batch
        of its own. Nobody waits for callers that do not come.
        """
        everybody, self._everybody = self._everybody, 0
        if time.perf_counter() - self._answered_at > BACK_WITHIN_S:
            return
        for _ in range(GATHER_TURNS):
            with self._lock:
                before = self._queued
                if before >= everybody or self._bulk or not self._running:
                    break
                self._expected = everybody
                self._work.clear()
            self._work.wait(GATHER_S)
            if self._queued == before:
                break
        self._expected = 0

    def _driven(self) -> bool:
        return self._driver is not None and self._driver.holds

    def _wait_for_work(self) -> bool:
        """Returns once something may be queued; False where the recorder stops and nothing is."""
        with self._lock:
            if not self._driven():
                if self._interactive or self._bulk or self._left:
                    return True
                if not self._running:
                    return False
                self._idle = True
            self._work.clear()
        self._work.wait()
        return True

    def _give_back(self) -> bool:
        """Gives the ledger to an event loop whose callers are all that wait."""
        with self._lock:
            if not self._interactive or self._bulk or not self._running:
                return False
            loop = self._interactive[0].loop
            if not all(group.plain and group.loop is loop for group in self._interactive):
                return False
            self._work.clear()
            return self._may_drive(loop)

    def _take(self) -> list[tuple[Group, int, int]]:
        """The next batch as (group, from, to): interactive first, a share kept for bulk."""
        slices: list[tuple[Group, int, int]] = []
        share = min(BULK_SHARE, self._batch_limit // 4) if self._bulk else 0
        left = self._fill(self._interactive, self._batch_limit - share, slices) + share
        self._fill(self._bulk, left, slices)
        self._queued -= sum(end - start for _, start, end in slices)
        return slices

    def _fill(self, queue: deque[Group], room: int, slices: list[tuple[Group, int, int]]) -> int:
        while queue and (room > 0 or not queue[0].items):
            group = queue[0]
            end = min(len(group.items), group.taken + room)
            slices.append((group, group.taken, end))
            room -= end - group.taken
            group.taken = end
            if end == len(group.items):
                queue.popleft()
        return room

    # ------------------------------------------------------------ for whoever drives

    def next_plain(self, most: int, least: int) -> Batch | None:
        """The next batch of an event loop's callers: up to `most` items, where `least` wait."""
        with self._lock:
            driver = self._driver
            if self._queued < least or not self._interactive or driver is None or driver.wanted:
                return None
            slices: list[tuple[Group, int, int]] = []
            self._fill(self._interactive, most, slices)
            self._queued -= sum(end - start for _, start, end in slices)
        return Batch(slices)

    def send(self, batch: Batch, *, look_up: bool) -> bool:
        """Sends a batch ahead where that can be done; what goes wrong shows when it is recorded."""
        try:
            self._number(batch)
            with telemetry.span("ledger.batch", items=len(batch.items)):
                batch.flight = self._ledger.ahead(
                    batch.items, batch.raws, batch.settles, look_up=look_up
                )
        except Exception as fault:  # noqa: BLE001 - recording it tells the callers, if it comes again
            _log.warning("a batch could not be sent ahead", error=repr(fault))
        return batch.flight is not None

    def land(self, batch: Batch, here: asyncio.AbstractEventLoop) -> None:
        """Answers a batch that is committed."""
        assert batch.flight is not None
        self._answer(batch, self._ledger.land(batch.flight), here)

    def push(self) -> bool:
        """Sends what is left to send; False where some of it still is."""
        return self._ledger.push()

    def hear(self) -> bool:
        """Takes what has come from the database; False where something is left to send."""
        return self._ledger.hear()

    @property
    def socket(self) -> int | None:
        """Where the database's answers come in."""
        return self._ledger.socket

    def release(self, driver: LoopDriver) -> bool:
        """Lets the ledger go; False where something waits for it."""
        with self._lock:
            if self._interactive or self._bulk:
                return False
            driver.holds = False
            self._idle = True
        return True

    def inherit(self, driver: LoopDriver, batches: deque[Batch]) -> None:
        """Makes the thread hold the ledger and go on with these."""
        with self._lock:
            driver.holds = False
            self._left.extend(batches)
            self._work.set()

    # ------------------------------------------------------------ recording

    def _land(self, batch: Batch) -> None:
        """Waits for a batch that was sent; records it again, in its turn, where it was lost."""
        assert batch.flight is not None
        try:
            outcomes = self._ledger.land(batch.flight)
        except BatchInterrupted as fault:
            telemetry.RETRIES.labels("lost").inc()
            batch.in_doubt = fault.in_doubt
            self._record(batch)
        else:
            self._answer(batch, outcomes)

    def _record(self, batch: Batch) -> None:
        try:
            self._number(batch)
            with telemetry.span("ledger.batch", items=len(batch.items)):
                outcomes = self._persist(
                    batch.items, batch.raws, batch.settles, interrupted=batch.in_doubt
                )
        except BaseException as fault:  # noqa: BLE001 - every caller is told, the thread lives on
            self._fail(batch.slices, fault)
        else:
            self._answer(batch, outcomes)

    def _answer(
        self,
        batch: Batch,
        outcomes: Sequence[Outcome],
        here: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        now = time.perf_counter()
        seconds = now - max(batch.began, self._answered_at)
        self._answered_at = now
        if here is None and len(batch.items) > FEW_CALLERS:
            self._everybody = min(self._queued + len(batch.items), self._batch_limit)
        self._deliver(batch.slices, outcomes, here)
        self._adapt(len(batch.items), seconds)
        self._tell(outcomes, seconds)

    def _tell(self, outcomes: Sequence[Outcome], seconds: float) -> None:
        """Tells who follows the ledger; what fails there must not end the recording."""
        try:
            for listener in self.listeners:
                listener(self._ledger.last_sequence)
            for observer in self.observers:
                observer(outcomes, seconds)
        except Exception as fault:  # noqa: BLE001 - counted and logged; the next batch goes on
            telemetry.STEP_FAILURES.labels("recording").inc()
            _log.warning("a follower of the ledger failed", error=repr(fault))

    def _number(self, batch: Batch) -> None:
        unnumbered = [raw for raw in batch.raws if not raw.id]
        if unnumbered:
            self._patiently(lambda: self._ledger.number_payloads(unnumbered))
        for group, start, end in batch.slices:
            payload = (
                group.raw.id
                if group.raw is not None
                else group.settles.payload_id
                if group.settles
                else None
            )
            if payload is not None:
                for item in group.items[start:end]:
                    item.payload = payload

    def _persist(
        self,
        items: Sequence[Prepared],
        raws: Sequence[RawPayload],
        settles: Sequence[Settlement],
        *,
        interrupted: bool = False,
    ) -> list[Outcome]:
        """Records a batch; where the database refuses it, its halves, down to the one item at
        fault. interrupted: an earlier try may have recorded it.
        """
        before = self._ledger.last_sequence
        try:
            outcomes = self._patiently(lambda: self._ledger.record(items, raws, settles))
            if self._interrupted or interrupted:
                claim_own(outcomes, before)
            return outcomes
        except BatchRefused as fault:
            if not items:
                raise
            if len(items) == 1:
                if items[0].trouble:
                    raise
                items[0].trouble = f"the database refused it: {fault}"
                return self._persist(items, raws, settles)
        telemetry.RETRIES.labels("bisected").inc()
        half = len(items) // 2
        return self._persist(items[:half], raws, ()) + self._persist(items[half:], (), settles)

    def _patiently(self, run: Callable[[], T]) -> T:
        """Runs again, with the same identities, what the database interrupted. Raises Transient at
        the end.
        """
        began = time.monotonic()
        pause = 0.01
        self._interrupted = False
        while True:
            try:
                return run()
            except BatchInterrupted as fault:
                self._interrupted = True
                if time.monotonic() - began > (GIVE_UP_AFTER_S if self._running else 1.0):
                    raise Transient(
                        f"the database does not answer: {fault}; send the same again later"
                    ) from fault
                telemetry.RETRIES.labels("rerun").inc()
                time.sleep(pause)
                pause = min(1.0, pause * 2)

    def _deliver(
        self,
        slices: list[tuple[Group, int, int]],
        outcomes: Sequence[Outcome],
        here: asyncio.AbstractEventLoop | None,
    ) -> None:
        at = 0
        done = []
        for group, start, end in slices:
            till = at + end - start
            group.outcomes += outcomes[at:till]
            at = till
            if end == len(group.items) and not group.told_of_fault:
                done.append(group)
        tell_callers(done, None, here)

    def _fail(self, slices: list[tuple[Group, int, int]], fault: BaseException) -> None:
        """Tells every caller of the batch; what still waits of their items is not tried."""
        told = fault if isinstance(fault, Transient) else Transient(f"not recorded: {fault}")
        groups = [group for group, _, _ in slices if not group.told_of_fault]
        with self._lock:
            for group in groups:
                group.told_of_fault = True
                if group.taken < len(group.items):
                    self._queued -= len(group.items) - group.taken
                    (self._bulk if group.bulk else self._interactive).remove(group)
        tell_callers(groups, told)

    def _adapt(self, items: int, seconds: float) -> None:
        """Keeps a transaction near its time: half the items after a slow one, more again after
        fast ones.
        """
        if items:
            self._per_item_s = 0.8 * self._per_item_s + 0.2 * seconds / items
        if seconds > TARGET_S and items > MIN_BATCH:
            self._batch_limit = max(MIN_BATCH, self._batch_limit // 2)
        elif seconds < TARGET_S / 2 and self._batch_limit < MAX_BATCH:
            self._batch_limit = min(MAX_BATCH, self._batch_limit * 2)
