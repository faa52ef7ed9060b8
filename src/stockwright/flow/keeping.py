"""Keeps what connectors receive, many payloads in one commit where many come at once."""

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import suppress
from typing import Final

import structlog

from stockwright.domain.errors import Rejected, StockwrightError, Transient
from stockwright.sdk.messages import Failure, Payload
from stockwright.store.connection import Pool
from stockwright.store.payloads import NewPayload, keep
from stockwright.store.session import session

MAX_BODY_BYTES: Final = 64 * 1024 * 1024
_BATCH: Final = 200
_BATCH_BYTES: Final = 16 * 1024 * 1024
_log = structlog.get_logger(__name__)


class _Waiting:
    """One payload on its way into the database, and what came of it.

    waiter: the coroutine that waits for it, if it is not a thread that does.
    """

    __slots__ = ("error", "number", "payload", "waiter")

    def __init__(self, payload: NewPayload, waiter: "asyncio.Future[int] | None" = None) -> None:
        self.payload = payload
        self.waiter = waiter
        self.number = 0
        self.error: StockwrightError | None = None

    @property
    def settled(self) -> bool:
        return bool(self.number) or self.error is not None


class Keeper:
    """Keeps payloads for many threads and coroutines: whoever has the turn keeps for all who wait
    by then.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._turn = threading.Lock()
        self._queue: deque[_Waiting] = deque()
        self._lock = threading.Lock()
        self._draining = False

    def keep(self, payload: NewPayload) -> int:
        """Keeps one payload for good and answers its id.

        Raises Transient where the database is away: nothing of it is kept, send it again.
        """
        mine = _Waiting(payload)
        self._queue.append(mine)
        while not mine.settled:
            with self._turn:
                if not mine.settled:
                    self._keep_some()
        if mine.error is not None:
            raise mine.error
        return mine.number

    async def keep_soon(self, payload: NewPayload, threads: Executor) -> int:
        """`keep` for a coroutine, which holds no thread meanwhile: one keeps for all of them."""
        waiter: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        mine = _Waiting(payload, waiter)
        with self._lock:
            self._queue.append(mine)
            starts, self._draining = not self._draining, True
        if starts:
            try:
                threads.submit(self._drain)
            except RuntimeError:
                self._give_up()
        return await waiter

    def _give_up(self) -> None:
        """Tells all coroutines that wait: no thread will keep what is theirs."""
        with self._turn, self._lock:
            self._draining = False
            left = [one for one in self._queue if one.waiter is not None]
            for one in left:
                self._queue.remove(one)
        _tell(left, Transient("the hub is stopping; send the same again in a moment"))
        _wake(left)

    def _drain(self) -> None:
        """Keeps for coroutines until none waits."""
        while self._goes_on():
            try:
                with self._turn:
                    self._keep_some()
            except Exception:  # noqa: BLE001 - logged; whom it was about was told, others follow
                _log.exception("payloads were not kept")

    def _goes_on(self) -> bool:
        with self._lock:
            self._draining = bool(self._queue)
            return self._draining

    def _keep_some(self) -> None:
        """Keeps those in front of the queue in one commit. Only for the holder of the turn."""
        batch: list[_Waiting] = []
        size = 0
        while self._queue and len(batch) < _BATCH and size < _BATCH_BYTES:
            batch.append(self._queue.popleft())
            size += len(batch[-1].payload.body)
        try:
            self._keep_batch(batch)
        finally:
            _wake(batch)

    def _keep_batch(self, batch: list[_Waiting]) -> None:
        try:
            self._commit(batch)
        except Rejected:
            # One of them the database cannot hold: only that one is told so.
            for one in batch:
                self._commit_alone(one)
        except StockwrightError as error:
            _tell(batch, error)
        except BaseException:
            _tell(batch, Transient("keeping the payload was interrupted; send it again"))
            raise

    def _commit(self, batch: list[_Waiting]) -> None:
        with session(self._pool) as connection:
            numbers = keep(connection, [one.payload for one in batch])
        for one, number in zip(batch, numbers, strict=True):
            one.number = number

    def _commit_alone(self, one: _Waiting) -> None:
        try:
            self._commit([one])
        except StockwrightError as error:
            one.error = error


def _tell(batch: list[_Waiting], error: StockwrightError) -> None:
    for one in batch:
        one.error = error


def _wake(batch: Sequence[_Waiting]) -> None:
    """Tells the coroutines among those who wait, each event loop once."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Waiting]] = {}
    for one in batch:
        if one.waiter is not None:
            by_loop.setdefault(one.waiter.get_loop(), []).append(one)
    for loop, some in by_loop.items():
        with suppress(RuntimeError):  # the loop is gone, and with it whoever waited
            loop.call_soon_threadsafe(_answer, some)


def _answer(batch: Sequence[_Waiting]) -> None:
    for one in batch:
        if one.waiter is None or one.waiter.done():
            continue
        if one.error is not None:
            one.waiter.set_exception(one.error)
        else:
            one.waiter.set_result(one.number)


def new_payload(system: str, door: str, payload: Payload) -> NewPayload:
    """A connector's payload as it is kept. Raises Rejected (too_large) beyond MAX_BODY_BYTES."""
    if len(payload.body) > MAX_BODY_BYTES:
        raise Rejected("too_large", "body", f"send at most {MAX_BODY_BYTES} bytes at a time")
    problem = payload.problem or Failure(path="", reason="")
    return NewPayload(
        system=system,
        door=door,
        body=payload.body,
        content_type=payload.content_type,
        headers=payload.headers,
        raw_key=payload.raw_key,
        path=problem.path,
        reason=problem.reason,
        missing=problem.missing,
    )
