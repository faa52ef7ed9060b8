"""Keeps what connectors receive, many payloads in one commit where many come at once."""

import threading
from collections import deque
from typing import Final

from stockwright.domain.errors import Rejected, StockwrightError, Transient
from stockwright.sdk.messages import Failure, Payload
from stockwright.store.connection import Pool
from stockwright.store.payloads import NewPayload, keep
from stockwright.store.session import session

MAX_BODY_BYTES: Final = 64 * 1024 * 1024
_BATCH: Final = 200
_BATCH_BYTES: Final = 16 * 1024 * 1024


class _Waiting:
    """One payload on its way into the database, and what came of it."""

    __slots__ = ("error", "number", "payload")

    def __init__(self, payload: NewPayload) -> None:
        self.payload = payload
        self.number = 0
        self.error: StockwrightError | None = None

    @property
    def settled(self) -> bool:
        return bool(self.number) or self.error is not None


class Keeper:
    """Keeps payloads for many threads: whoever has the turn keeps for all who wait by then."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._turn = threading.Lock()
        self._queue: deque[_Waiting] = deque()

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

    def _keep_some(self) -> None:
        """Keeps those in front of the queue in one commit. Only for the holder of the turn."""
        batch: list[_Waiting] = []
        size = 0
        while self._queue and len(batch) < _BATCH and size < _BATCH_BYTES:
            batch.append(self._queue.popleft())
            size += len(batch[-1].payload.body)
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
