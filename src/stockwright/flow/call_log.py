"""Notes calls to the API without any of them waiting for it.

The event loop counts every call and puts those that are kept into a buffer in memory; a thread of
its own frees them of secrets and writes them in batches. Where more comes than it writes, calls are
left out and counted as left out; no call is ever slowed down, or refused, for the sake of its note.
"""

import datetime as dt
import itertools
import random
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from stockwright import telemetry
from stockwright.domain.call_log import MOST_OF_A_BODY, ApiLog, Kept, why_kept
from stockwright.domain.errors import Rejected
from stockwright.flow.call_notes import Noted, row_of
from stockwright.store import call_log as stored
from stockwright.store.call_log import CallRow, Counted
from stockwright.store.connection import Pool
from stockwright.store.session import session

MOST_WAITING: Final = 2_000
MOST_BYTES: Final = 8 * 1024 * 1024
"""Calls, and bytes of their bodies and answers, that wait to be written."""
STRANGERS_PER_S: Final = 10
"""Refused calls a second that are kept of callers who did not prove who they are."""
AT_ONCE: Final = 500
BODIES_AT_ONCE: Final = 128 * 1024
"""Bytes of bodies that are searched for secrets in one step: others want the interpreter too."""
EVERY_S: Final = 1.0
PRUNE_EVERY_S: Final = 60.0
_HOUR_S: Final = 3_600
_MOST_ANSWER: Final = 1024 * 1024

Key = tuple[str, str, int]
"""Method, route and status."""


class Clock(NamedTuple):
    """The clocks of a log: seconds since 1970, and seconds that only grow."""

    now: Callable[[], float] = time.time
    passed: Callable[[], float] = time.monotonic


CLOCK: Final = Clock()
CHANCE: Final = random.Random().random
"""Numbers from 0 to 1 of a generator of its own: whoever seeds the shared one is left alone."""


class CallLog:
    """The log of one process: count, keep and new_id for one event loop, step for one thread."""

    def __init__(
        self,
        rule: ApiLog,
        *,
        worker: str,
        clock: Clock = CLOCK,
        chance: Callable[[], float] = CHANCE,
    ) -> None:
        self.rule = rule
        self._worker = worker
        self._clock = clock
        self._chance = chance
        self._share = 1 / rule.sample if rule.sample else 0.0
        self._slow_s = rule.slow_ms / 1000
        self._totals: dict[Key, int] = {}
        self._waiting: deque[Noted] = deque()
        self._bytes_in = self._bytes_out = 0  # each is one side's own, so that neither needs a lock
        self._strangers_at, self._strangers = 0, 0
        self._ids = itertools.count(1)
        self._prefix = secrets.token_hex(5).encode()
        # The writer's own.
        self._batch: list[Noted] = []
        self._written: dict[Key, int] = {}
        self._hour, self._at_hour = 0, dict[Key, int]()
        self._pruned_at = float("-inf")

    # ------------------------------------------------------------ for the event loop

    def new_id(self) -> bytes:
        """An id for one call, unlike all others; in ASCII."""
        return b"%b-%x" % (self._prefix, next(self._ids))

    def count(self, key: Key, took_s: float, refused: int = 0) -> Kept | None:
        """Counts a call that was answered, and tells why it is to be kept, if at all."""
        self._totals[key] = self._totals.get(key, 0) + 1
        chosen = self._chance() < self._share
        slow = took_s >= self._slow_s
        if key[2] < 400 and not (refused or slow or chosen):
            return None  # nearly all are, and there are thousands a second
        return why_kept(key[2], refused, slow=slow, chosen=chosen)

    def keep(self, noted: Noted) -> bool:
        """Puts a call where the writer finds it; False where it is left out."""
        if not noted.caller and noted.status >= 400 and not self._another_stranger():
            return _dropped("strangers")
        if len(self._waiting) >= MOST_WAITING:
            return _dropped("full")
        noted = self._bounded(noted)
        self._bytes_in += noted.weight
        self._waiting.append(noted)
        return True

    def _another_stranger(self) -> bool:
        """Whether this second has room for one: else anybody could push out everybody's calls."""
        second = int(self._clock.now())
        if second != self._strangers_at:
            self._strangers_at, self._strangers = second, 0
        self._strangers += 1
        return self._strangers <= STRANGERS_PER_S

    def _bounded(self, noted: Noted) -> Noted:
        """The call with as much of its body and answer as there is room for."""
        wrong = noted.kept in ("failed", "refused")
        # What was read well says nothing that its page shows.
        wanted = (wrong or noted.method != "GET") and len(noted.answer) <= _MOST_ANSWER
        answer = noted.answer if wanted else b""
        body, note = b"", ""
        if self.rule.bodies and wrong and noted.caller:
            body = noted.body[:MOST_OF_A_BODY]
            note = "cut" if len(noted.body) > len(body) else ""
        if self._bytes_in - self._bytes_out + len(body) + len(answer) > MOST_BYTES:
            body, answer, note = b"", b"", "left out" if body else ""
        return noted._replace(body=body, answer=answer, body_note=note)

    # ------------------------------------------------------------ for the writer

    def run(self, pool: Pool, stop: threading.Event) -> None:
        """Writes every second until `stop`, and then what is left."""
        while not stop.wait(EVERY_S):
            self.step(pool)
        while self.step(pool):
            pass

    def step(self, pool: Pool) -> int:
        """Writes what waits, up to AT_ONCE calls, and the counts; answers how many calls.

        What could not be written since the database was away is written by the next step.
        """
        while len(self._batch) < AT_ONCE and self._waiting:
            self._batch.append(self._waiting.popleft())
        rows = self._rows()
        counts, totals = self._counts()
        if rows or counts:
            try:
                _write(pool, rows, counts)
            except Rejected:
                _write(pool, [], counts)
                _write_one_by_one(pool, rows)
        self._written = totals
        self._bytes_out += sum(noted.weight for noted in self._batch)
        done, self._batch = len(self._batch), []
        self._prune(pool)
        return done

    def _rows(self) -> list[CallRow]:
        """The batch as rows; bodies beyond BODIES_AT_ONCE are left out."""
        rows, size = [], 0
        for noted in self._batch:
            size += len(noted.body)
            if size > BODIES_AT_ONCE and noted.body:
                rows.append(row_of(noted._replace(body=b"", body_note="left out")))
            else:
                rows.append(row_of(noted))
        return rows

    def _counts(self) -> tuple[list[Counted], dict[Key, int]]:
        """What changed since it was written, as it stands this hour, and the totals behind it."""
        hour = int(self._clock.now()) // _HOUR_S
        if hour != self._hour:
            self._hour, self._at_hour = hour, dict(self._written)
        totals = self._totals.copy()  # whole: the loop cannot add to it meanwhile
        begun = dt.datetime.fromtimestamp(hour * _HOUR_S, dt.UTC)
        return [
            Counted(self._worker, begun, *key, total - self._at_hour.get(key, 0))
            for key, total in totals.items()
            if total != self._written.get(key)
        ], totals

    def _prune(self, pool: Pool) -> None:
        if self._clock.passed() - self._pruned_at < PRUNE_EVERY_S:
            return
        with session(pool) as connection:
            more = stored.prune(connection, days=self.rule.days, rows=self.rule.rows)
        if not more:
            self._pruned_at = self._clock.passed()


def _write(pool: Pool, rows: list[CallRow], counts: list[Counted]) -> None:
    with session(pool) as connection:
        stored.keep(connection, rows)
        stored.count(connection, counts)


def _write_one_by_one(pool: Pool, rows: list[CallRow]) -> None:
    """Writes what can be written: one that the database cannot hold must not hold up the others."""
    for row in rows:
        try:
            _write(pool, [row], [])
        except Rejected:
            _dropped("unwritable")


def _dropped(cause: str) -> bool:
    telemetry.API_LOG_DROPPED.labels(cause).inc()
    return False
