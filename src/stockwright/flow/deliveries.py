"""Delivers the feed of changes to its subscribers: in order, at least once, at each one's pace.

Each subscription is a consumer with a position in the feed. Whoever leases it sends what comes
next and moves the position once the consumer said yes. Where a message ends is written down before
it is sent, so that after a crash the same message goes again, under the same id.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple, TypeVar
from uuid import uuid4

import structlog

from stockwright import telemetry
from stockwright.domain.errors import StockwrightError
from stockwright.domain.subscriptions import (
    PATIENCE_S,
    Filters,
    is_given_up,
    retry_s,
    shown_url,
)
from stockwright.flow import consumers
from stockwright.flow.consumers import Gone, NotTaken
from stockwright.flow.envelopes import Message, message_of
from stockwright.flow.following import Wanted, ends, read_upto
from stockwright.sdk.transports import Transport
from stockwright.sdk.verbs import Announces
from stockwright.store import subscriptions as store
from stockwright.store.access import log_change
from stockwright.store.connection import Connection, Pool
from stockwright.store.feed import BEGINNING, Position
from stockwright.store.session import session, translated
from stockwright.store.subscriptions import Outcome, Turn

AT_ONCE: Final = 50
"""Subscriptions that one worker delivers at one time: a slow consumer holds up only itself."""
MESSAGES_A_TURN: Final = 50
TIMEOUT_S: Final = 15.0
LEASE_S: Final = 60.0
DATABASE_THREADS: Final = 2
LAST_CALLS_S: Final = 5.0
"""How long calls under way may still take when the process is asked to stop."""
ACTOR: Final = "subscriptions"
T = TypeVar("T")
_log = structlog.get_logger(__name__)


class Deliveries:
    """Delivers subscriptions; any number of workers may, each subscription is one's at a time.

    connections, by system, are looked at anew for every message: they may come and go. source
    names this house in every CloudEvent. again is set where a turn ends that may have left
    something.
    """

    def __init__(
        self,
        pool: Pool,
        connections: Mapping[str, Any],
        transport: Transport,
        *,
        worker: str,
        source: str,
        patience_s: float = PATIENCE_S,
        lease_s: float = LEASE_S,
        timeout_s: float = TIMEOUT_S,
        chance: Callable[[], float] = random.random,
    ) -> None:
        assert timeout_s < lease_s, "nobody else may send while a call is under way"
        self._pool = pool
        self._connections = connections
        self._uses: Counter[int] = Counter()
        self._unused = asyncio.Condition()
        self._transport = transport
        self._worker = worker
        self._source = source
        self._patience_s = patience_s
        self._lease_s = lease_s
        self._timeout_s = timeout_s
        self._chance = chance
        self.again = asyncio.Event()
        self._threads = ThreadPoolExecutor(DATABASE_THREADS, thread_name_prefix="deliveries")
        self._turns: set[asyncio.Task[int]] = set()
        self._closing = False

    async def step(self) -> int:
        """Delivers once to every subscription that is due; how many changes were taken.

        Raises Transient where the database is away.
        """
        holder, turns, end = await self._claim(AT_ONCE)
        return sum(await asyncio.gather(*(self._deliver(turn, holder, end) for turn in turns)))

    async def begin(self) -> None:
        """Begins to deliver to those that are due, as far as hands are free; does not wait for it.

        Raises Transient where the database is away.
        """
        free = AT_ONCE - len(self._turns)
        if free <= 0:
            return
        self.again.clear()
        holder, turns, end = await self._claim(free)
        for turn in turns:
            task = asyncio.create_task(self._deliver(turn, holder, end))
            self._turns.add(task)
            task.add_done_callback(self._turns.discard)

    async def let_go(self, connection: Any) -> None:
        """Returns once nothing is sent through a connection that is in use no more."""
        async with self._unused:
            await self._unused.wait_for(lambda: not self._uses[id(connection)])

    async def close(self) -> None:
        """Ends what is under way, and gives back sockets and threads. Safe to repeat."""
        self._closing = True
        if self._turns:
            _, late = await asyncio.wait(self._turns, timeout=LAST_CALLS_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._transport.close()
        self._threads.shutdown(wait=False)

    # ---------------------------------------------------------------- one subscription

    async def _claim(self, limit: int) -> tuple[str, list[Turn], Position]:
        """Leases what is due, for a holder that was never before; and how far the feed has come,
        which is asked once for all of them, for it holds up the feed's writers.
        """
        holder = f"{self._worker}/{uuid4().hex[:12]}"
        systems = [
            system for system, one in self._connections.items() if isinstance(one, Announces)
        ]
        turns = await self._block(
            lambda connection: store.claim(
                connection, holder, systems, lease_s=self._lease_s, limit=limit
            )
        )
        if not turns:
            return holder, [], BEGINNING
        loop = asyncio.get_running_loop()
        try:
            return holder, turns, await loop.run_in_executor(self._threads, _end, self._pool)
        except StockwrightError:
            for turn in turns:
                await self._release(turn, holder)
            raise

    async def _deliver(self, turn: Turn, holder: str, end: Position) -> int:
        """Sends message after message; how many changes the consumer took."""
        try:
            with telemetry.span("delivery", subscription=turn.name):
                return await self._deliver_all(turn, holder, end)
        except StockwrightError as failure:
            # The house's own trouble, and no fault of the consumer: nothing is noted against it.
            telemetry.STEP_FAILURES.labels("delivery").inc()
            _log.warning("delivery broke off", subscription=turn.name, error=str(failure))
            return 0
        except Exception:  # noqa: BLE001  told; the lease is given back, and it runs again
            telemetry.STEP_FAILURES.labels("delivery").inc()
            _log.exception("delivery failed, will run again", subscription=turn.name)
            return 0
        finally:
            await self._release(turn, holder)

    async def _deliver_all(self, turn: Turn, holder: str, end: Position) -> int:
        taken = 0
        for _ in range(MESSAGES_A_TURN):
            if self._closing:
                return taken
            message, secrets = await self._next(turn, holder, turn.upto or end)
            if message is None:
                break
            took_ms = 0
            if message.envelopes:
                began = time.monotonic()
                if not await self._sent(turn, holder, message, secrets):
                    return taken
                took_ms = _ms_since(began)
            goes_on = await self._moved(turn, holder, message, took_ms)
            taken += len(message.envelopes)
            if not goes_on:
                return taken
            turn = turn._replace(position=message.end, upto=None, failures=0)
        self.again.set()
        return taken

    async def _next(
        self, turn: Turn, holder: str, end: Position
    ) -> tuple[Message | None, Sequence[str]]:
        """The next message, its end written down, and what it is signed with; None at the end."""

        def work(connection: Connection) -> tuple[Message | None, Sequence[str]]:
            heard = read_upto(connection, turn.position, end, wanted(turn.filters), turn.batch)
            if heard.position == turn.position:
                return None, ()
            message = message_of(turn, heard.changes, heard.position, self._source)
            if not message.envelopes:
                return message, ()
            if not store.fix_end(connection, turn, holder, message.end, lease_s=self._lease_s):
                return None, ()
            return message, store.secrets_of(connection, turn.id)

        return await self._block(work)

    async def _sent(
        self, turn: Turn, holder: str, message: Message, secrets: Sequence[str]
    ) -> bool:
        """Whether the consumer took the message; where not, that is noted."""
        began, changes = time.monotonic(), len(message.envelopes)
        try:
            if turn.via == "queue":
                await self._announce(turn, message)
            else:
                await consumers.post(self._transport, turn, message, secrets, self._timeout_s)
        except NotTaken as failure:
            why, asked_s = _safe(turn, failure), failure.asked_s
            telemetry.DELIVERIES.labels(turn.name, "failed").inc()
            tried = _Tried(_ms_since(began), changes, why)
            await self._block(
                lambda connection: self._fail(connection, turn, holder, tried, asked_s)
            )
            return False
        except Gone as failure:
            why = _safe(turn, failure)
            telemetry.DELIVERIES.labels(turn.name, "gone").inc()
            tried = _Tried(_ms_since(began), changes, why)
            await self._block(lambda connection: self._gone(connection, turn, holder, tried))
            return False
        telemetry.DELIVERIES.labels(turn.name, "taken").inc()
        return True

    async def _announce(self, turn: Turn, message: Message) -> None:
        queue = self._connections.get(turn.system)
        if not isinstance(queue, Announces):
            raise NotTaken(f"no queue is connected as {turn.system} any more")
        self._uses[id(queue)] += 1
        try:
            await consumers.announce(queue, turn, message, self._timeout_s)
        finally:
            self._uses[id(queue)] -= 1
            async with self._unused:
                self._unused.notify_all()

    async def _moved(self, turn: Turn, holder: str, message: Message, took_ms: int) -> bool:
        """Moves the position behind a message that was taken; whether the turn goes on."""
        count = len(message.envelopes)

        def work(connection: Connection) -> bool:
            if count:
                store.note_attempt(
                    connection, turn.id, took_ms=took_ms, changes=count, outcome="taken"
                )
            return store.advance(
                connection, turn, holder, message.end, count, lease_s=self._lease_s
            )

        return await self._block(work)

    def _fail(
        self, connection: Connection, turn: Turn, holder: str, tried: "_Tried", asked_s: float
    ) -> None:
        _note(connection, turn, tried, "failed")
        wait_s = retry_s(turn.failures + 1, asked_s, self._chance())
        times = store.fail(connection, turn, holder, tried.why, wait_s)
        if times and is_given_up(*times, self._patience_s):
            _stop(connection, turn, "failing", tried.why)

    def _gone(self, connection: Connection, turn: Turn, holder: str, tried: "_Tried") -> None:
        _note(connection, turn, tried, "gone")
        if store.fail(connection, turn, holder, tried.why, 0.0):
            _stop(connection, turn, "gone", tried.why)

    async def _release(self, turn: Turn, holder: str) -> None:
        try:
            await self._block(lambda connection: store.release(connection, turn.id, holder))
        except StockwrightError as failure:
            # The lease ends by itself.
            _log.warning("lease not given back", subscription=turn.name, error=str(failure))

    async def _block(self, work: Callable[[Connection], T]) -> T:
        """Runs database work in one transaction on a thread of our own."""

        def inside() -> T:
            with session(self._pool) as connection:
                return work(connection)

        return await asyncio.get_running_loop().run_in_executor(self._threads, inside)


class _Tried(NamedTuple):
    """A message that was not taken: how long that took, how many changes it held, and why."""

    took_ms: int
    changes: int
    why: str


def _note(connection: Connection, turn: Turn, tried: _Tried, outcome: Outcome) -> None:
    store.note_attempt(
        connection,
        turn.id,
        took_ms=tried.took_ms,
        changes=tried.changes,
        outcome=outcome,
        error=tried.why,
    )


def _ms_since(began: float) -> int:
    return round((time.monotonic() - began) * 1_000)


def _safe(turn: Turn, failure: Exception) -> str:
    """Why a message was not taken, without what of the address may be the consumer's key."""
    why = str(failure)
    return telemetry.hide_secrets(why.replace(turn.url, shown_url(turn.url)) if turn.url else why)


def _end(pool: Pool) -> Position:
    """How far the feed has come, asked in a transaction of its own."""
    with translated():
        return ends(pool)


def wanted(filters: Filters) -> Wanted:
    """What passes the filters of a subscription, as the feed is asked for it."""
    return Wanted(
        kinds=filters.wanted_kinds,
        skus=frozenset(filters.skus),
        locations=frozenset(filters.locations),
        channels=frozenset(filters.channels),
        systems=frozenset(filters.systems),
    )


def _stop(connection: Connection, turn: Turn, cause: str, error: str) -> None:
    """Pauses a subscription whose consumer is lost, and asks a person to look at it."""
    words = {"gone": "the consumer is gone", "failing": "the consumer failed for too long"}[cause]
    if store.pause(connection, turn.id, actor=ACTOR, why=f"{words}: {error}"):
        detail = {"why": words, "error": error}
        log_change(connection, ACTOR, "subscription.pause", turn.name, detail)
    store.open_item(connection, turn, cause, error)
