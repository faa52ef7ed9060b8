"""The publisher: brings what channels show to what they should show, one connection at a time.

It works from present state, never from a queue of changes: whatever differs is due. Each connection
has its own task and its own budget, so that a slow or broken partner delays nobody else.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Final, TypeVar

import msgspec

from stockwright import telemetry
from stockwright.flow.calls import Call, Claimed, Failed, Link, claim, keep_hold
from stockwright.flow.settling import Settled, settle
from stockwright.flow.speaking import ask_back, on_the_whole, send, tell
from stockwright.flow.turns import Turns
from stockwright.flow.verification import Verified, choose, take
from stockwright.sdk.messages import Applied, PublishResult
from stockwright.sdk.transports import Meter, metered
from stockwright.sdk.verbs import Publishes, ReadsBack, paces_itself
from stockwright.store import attempts
from stockwright.store.connection import Connection, Pool, listen

LEVELS: Final = "stockwright_levels"
"""The projection notifies here with the code of each channel it changed."""
DOUBTED: Final = "stockwright_doubted"
"""The code of each channel of which something is to be read back soon."""
POLL_S: Final = 1.0
VERIFY_EVERY_S: Final = 5.0
"""Seconds between two calls that read back what a channel shows, while nothing is to be sent."""
VERIFY_BUSY_EVERY_S: Final = 60.0
"""The same while levels wait: a sample, so that a busy channel is not trusted for ever."""
VERIFY_REST_S: Final = 60.0
"""Seconds until it is looked again whether there is anything to read back."""
_SETTLE_PAUSE_S = 0.5
T = TypeVar("T")


class Publisher:
    """Publishes the channels of one connection. Any number may run, in any number of processes."""

    def __init__(
        self,
        pool: Pool,
        connection: Publishes,
        link: Link,
        executor: Executor | None = None,
        turns: Turns | None = None,
    ) -> None:
        self.link = link
        self._turns = turns
        self._pool = pool
        self._connection = connection
        self._executor = executor
        self._woken = asyncio.Event()
        self._known = False
        self._verify_at = time.monotonic() + VERIFY_EVERY_S
        self._verify_busy_at = time.monotonic() + VERIFY_BUSY_EVERY_S
        self._doubted = False

    def wake(self) -> None:
        """There may be something to send; call it in the event loop's thread."""
        self._woken.set()

    def look_soon(self) -> None:
        """There is something to read back; call it in the event loop's thread."""
        self._doubted = True
        self._verify_at = min(self._verify_at, time.monotonic() + VERIFY_EVERY_S)

    async def step(self) -> int:
        """Makes at most one call; answers how many levels it carried."""
        claimed = await self._claim()
        if claimed.call is None:
            return 0
        await self._carry(claimed.call, time.monotonic())
        return len(claimed.call.levels)

    async def run(self, stop: asyncio.Event) -> None:
        """Sends whatever is due until `stop`, then waits for the calls under way.

        A failed step is counted and tried again; what it held is taken over after its lease.
        """
        calls: set[asyncio.Task[None]] = set()
        try:
            while not stop.is_set():
                self._woken.clear()
                pause_s = await self._start_call(calls)
                if pause_s > 0.0:
                    await self._rest(stop, pause_s)
            if calls:
                await asyncio.wait(calls)
        finally:
            for call in calls:
                call.cancel()
            await self._let_go()

    async def _let_go(self) -> None:
        """Another worker may publish at once; where that cannot be told, it does in a while."""
        holder = self.link.alone_as
        if holder and self._known:
            try:
                await self._in_thread(
                    lambda connection: attempts.let_go(connection, self.link.system, holder)
                )
            except Exception as failure:  # noqa: BLE001  the database may be away
                tell(self.link.system, failure)

    async def _keep_hold(self) -> None:
        try:
            await self._in_thread(lambda connection: keep_hold(connection, self.link))
        except Exception as failure:  # noqa: BLE001  the database may be away: told, tried again
            tell(self.link.system, failure)

    async def _start_call(self, calls: set[asyncio.Task[None]]) -> float:
        """Starts one call if one may be made; answers the seconds to rest before the next try."""
        if len(calls) >= self.link.limits.concurrency:
            if self.link.alone_as:
                await self._keep_hold()
            return POLL_S
        try:
            claimed = await self._claim()
        except Exception as failure:  # noqa: BLE001  the database may be away: told, tried again
            tell(self.link.system, failure)
            return POLL_S
        if claimed.call is None or time.monotonic() >= self._verify_busy_at:
            self._start_verifying(calls)
        if claimed.call is None:
            return POLL_S if claimed.wait_s is None else min(POLL_S, claimed.wait_s)
        task = asyncio.create_task(self._carry_safely(claimed.call, time.monotonic()))
        calls.add(task)
        task.add_done_callback(calls.discard)
        return 0.0

    def _start_verifying(self, calls: set[asyncio.Task[None]]) -> None:
        """Reads back, one call at a time and not all the time."""
        if isinstance(self._connection, ReadsBack) and time.monotonic() >= self._verify_at:
            self._verify_at = time.monotonic() + VERIFY_EVERY_S
            self._verify_busy_at = time.monotonic() + VERIFY_BUSY_EVERY_S
            self._doubted = False
            task = asyncio.create_task(self._verify_safely())
            calls.add(task)
            task.add_done_callback(calls.discard)

    async def _verify_safely(self) -> None:
        try:
            verified = await self.verify()
        except Exception as failure:  # noqa: BLE001  told; the levels are read back another time
            tell(self.link.system, failure)
            return
        if not verified.read and not self._doubted:
            self._verify_at += VERIFY_REST_S
        if verified.wrong:
            self.wake()

    async def _rest(self, stop: asyncio.Event, pause_s: float) -> None:
        waits = [asyncio.ensure_future(event.wait()) for event in (self._woken, stop)]
        await asyncio.wait(waits, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def _carry_safely(self, call: Call, claimed_at: float) -> None:
        try:
            await self._carry(call, claimed_at)
        except Exception as failure:  # noqa: BLE001  the lease ends, another worker goes on
            tell(self.link.system, failure)
        self.wake()

    async def _carry(self, call: Call, claimed_at: float) -> None:
        """Sends a call and takes its answers; `claimed_at` is of the monotonic clock."""
        answer: Sequence[PublishResult] | Failed
        meter = Meter()
        with (
            telemetry.span(
                "publication.send", channel=call.levels[0].channel, levels=len(call.levels)
            ),
            metered(meter),
        ):
            if time.monotonic() - claimed_at > self.link.lease_margin_s / 2:
                # Bytes that leave now might be applied when the lease has gone to another.
                answer = Failed("this process stood still before it could send")
            else:
                answer = await send(self._connection, self.link, call)
        answer = on_the_whole(answer, meter, own_plans=paces_itself(self._connection))
        more = self._more(meter)
        self._learn(call, answer, more)
        _measure(call, await self._settle(call, answer, claimed_at, more))

    async def verify(self) -> Verified:
        """Reads back one batch of settled levels, where the partner can tell what it shows."""
        if not isinstance(self._connection, ReadsBack):
            return Verified()
        asked = await self._in_thread(lambda connection: choose(connection, self.link))
        if not asked:
            return Verified()
        with metered(Meter()) as meter:
            answer = await ask_back(self._connection, self.link, asked)
        more = self._more(meter)
        return await self._in_thread(
            lambda connection: take(connection, self.link, asked, answer, more=more)
        )

    def _learn(self, call: Call, answer: Sequence[PublishResult] | Failed, more: int) -> None:
        """What a level takes, of batches that came through: one that broke off needed less. Asking
        about jobs takes a call for each job, however many levels it carries.
        """
        if any(level.job for level in call.levels):
            return
        broke_off = isinstance(answer, Failed) or not any(isinstance(a, Applied) for a in answer)
        needed = more / len(call.levels)
        if needed > self.link.more_a_level or not broke_off:
            self.link.more_a_level = (self.link.more_a_level + needed) / 2

    def _more(self, meter: Meter) -> int:
        """The calls to pay for beyond the one that was taken of the budget."""
        return 0 if paces_itself(self._connection) else meter.more

    async def _claim(self) -> Claimed:
        claimed = await self._in_thread(self._claim_now)
        if claimed.orders_wanted and self.link.ask_for_orders is not None:
            self.link.ask_for_orders()
        return claimed

    def _claim_now(self, connection: Connection) -> Claimed:
        if not self._known:
            limits = self.link.limits
            attempts.ensure_connection(connection, self.link.system, limits.burst)
            attempts.note_limits(connection, self.link.system, msgspec.structs.asdict(limits))
            self._known = True
        return claim(connection, self.link)

    async def _settle(
        self, call: Call, answer: Sequence[PublishResult] | Failed, claimed_at: float, more: int
    ) -> Settled:
        """Tries for as long as the lease lasts; after that the values are in doubt anyway."""
        while True:
            try:
                return await self._in_thread(
                    lambda connection: settle(connection, self.link, call, answer, more=more)
                )
            except Exception as failure:
                if time.monotonic() - claimed_at > self.link.lease.total_seconds():
                    raise
                tell(self.link.system, failure)
                await asyncio.sleep(_SETTLE_PAUSE_S)

    async def _in_thread(self, work: Callable[[Connection], T]) -> T:
        def run() -> T:
            with self._pool.connection() as connection:
                return work(connection)

        loop = asyncio.get_running_loop()
        if self._turns is None:
            return await loop.run_in_executor(self._executor, run)
        async with self._turns.turn(self.link.criticality):
            return await loop.run_in_executor(self._executor, run)


class Publication:
    """The publishers of one process, each in a task of its own; they may come and go."""

    def __init__(self, publishers: Iterable[Publisher] = ()) -> None:
        self._publishers = tuple(publishers)
        # Replaced as a whole: other threads read it.
        self._by_channel: dict[str, Publisher] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def wake(self, channels: Iterable[str]) -> None:
        """Levels of these channels changed; for any thread, cheap."""
        self._tell(channels, Publisher.wake)

    def look_soon(self, channels: Iterable[str]) -> None:
        """Something of these channels is to be read back; for any thread, cheap."""
        self._tell(channels, Publisher.look_soon)

    def _tell(self, channels: Iterable[str], what: Callable[[Publisher], None]) -> None:
        loop = self._loop
        if loop is None:
            return
        for channel in channels:
            publisher = self._by_channel.get(channel)
            if publisher is not None:
                loop.call_soon_threadsafe(what, publisher)

    async def run(self, stop: asyncio.Event) -> None:
        """Runs those it was given until `stop`, then lets the calls under way finish."""
        await asyncio.gather(*(self.run_one(publisher, stop) for publisher in self._publishers))

    async def run_one(self, publisher: Publisher, stop: asyncio.Event) -> None:
        """Runs and wakes one publisher until `stop`, then lets its calls under way finish."""
        self._loop = asyncio.get_running_loop()
        own = dict.fromkeys(publisher.link.channels, publisher)
        self._by_channel = self._by_channel | own
        try:
            await publisher.run(stop)
        finally:
            rest = {code: one for code, one in self._by_channel.items() if one is not publisher}
            self._by_channel = rest
            if not rest:
                self._loop = None

    def listen(self, url: str, stop: threading.Event) -> None:
        """Wakes publishers for what other processes change and doubt, until `stop`."""
        for notes in listen(url, LEVELS, DOUBTED, stop=stop):
            self.hear(notes)

    def hear(self, notes: Iterable[tuple[str, str]]) -> None:
        """Wakes publishers for notifications of the database, and leaves out what is none's."""
        told = list(notes)
        self.wake(code for channel, code in told if channel == LEVELS)
        self.look_soon(code for channel, code in told if channel == DOUBTED)


def database_threads(connections: int) -> ThreadPoolExecutor:
    """Threads for the publishers' transactions: as many as they may hold connections."""
    return ThreadPoolExecutor(max_workers=connections, thread_name_prefix="publication")


def _measure(call: Call, settled: Settled) -> None:
    channel = call.levels[0].channel
    outcomes = Counter(one.outcome for one in settled.finished)
    for outcome, times in outcomes.items():
        telemetry.ATTEMPTS.labels(channel, outcome).inc(times)
    latency = telemetry.PUBLISH_LATENCY.labels(channel)
    for level, one in zip(call.levels, settled.finished, strict=True):
        if one.outcome == "acknowledged" and not level.is_resent:
            latency.observe(max(0.0, (settled.at - level.projected_at).total_seconds()))
