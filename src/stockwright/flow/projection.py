"""The projection: from SKUs the ledger touched to the numbers each channel should show.

It takes marks away, computes the listings they touch and writes a level where its number changed,
all in one transaction. Levels are locked before balances are read, so several projections may run:
the later one to lock is the later one to read.
"""

import datetime as dt
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import structlog

from stockwright import telemetry
from stockwright.domain.levels import Level, desire
from stockwright.flow.exposing import Listing, read_listings
from stockwright.store import exposure, levels
from stockwright.store.connection import Connection, Pool, listen
from stockwright.store.due import mark_due, note_due_times
from stockwright.store.exposure import Listed

_log = structlog.get_logger(__name__)

LEDGER: Final = "stockwright_ledger"
"""The ledger notifies here once per batch."""
POLL_S: Final = 1.0
"""The net under lost wake-ups."""
REST_S: Final = 0.015
"""The least time between two steps; a mark that comes after it is taken at once."""
REST_MOST_S: Final = 0.05
REST_SHARE: Final = 2.0
"""After work it rests for so many times as long as that took: others need the interpreter."""
MARKS: Final = 500
FEWEST_MARKS: Final = 50
MOST_MARKS: Final = 20_000
LEVELS_AT_ONCE: Final = 500


class Projected(msgspec.Struct, frozen=True):
    """What one step did: marks taken, levels computed, levels whose number changed, by channel."""

    marks: int = 0
    computed: int = 0
    changed: int = 0
    channels: tuple[str, ...] = ()


class Projection:
    """Computes levels. `listeners` are called after a commit with the channels that changed."""

    def __init__(self, pool: Pool, *, clock: Callable[[], dt.datetime] | None = None) -> None:
        self._pool = pool
        self._clock = clock
        self._wake = threading.Event()
        self.listeners: list[Callable[[tuple[str, ...]], None]] = []

    def wake(self) -> None:
        """There may be something to do; for any thread, cheap."""
        self._wake.set()

    def step(self, limit: int = MARKS) -> Projected:
        """Takes at most `limit` marks and writes the levels they touch, in one transaction."""
        with self._pool.connection() as connection:
            dirty = levels.take_dirty(connection, limit)
            if not dirty:
                return Projected()
            marks = sum(row.marks for row in dirty)
            listed = [row for row in dirty if row.sku]
            if not listed:
                return Projected(marks)
            with telemetry.span("projection.step", skus=len(listed)):
                listings = exposure.listings_of_skus(connection, [row.sku for row in listed])
                now, changed = self._project(connection, listings)
                channels = _notify(connection, changed)
        for row in listed:
            telemetry.PROJECTION_LAG.observe(max(0.0, (now - row.marked_at).total_seconds()))
        self._tell(channels)
        return Projected(marks, len(listings), len(changed), channels)

    def mark_due(self) -> int:
        """Marks the SKUs whose numbers change by time alone about now; how many."""
        with self._pool.connection() as connection:
            return mark_due(connection, self._clock() if self._clock else None)

    def sweep(self, after: Listing = ("", ""), limit: int = 200) -> Listing | None:
        """Computes the next `limit` listings after a key, touched or not: the net under all marks.

        Answers the key to go on from, None once all are done.
        """
        with self._pool.connection() as connection:
            listings = exposure.listings_after(connection, after, limit)
            _, changed = self._project(connection, listings)
            channels = _notify(connection, changed)
        self._tell(channels)
        return listings[-1].key if len(listings) == limit else None

    def run(self, stop: threading.Event, *, sweep_every_s: float = 900.0) -> None:
        """Steps whenever woken, at least every second, until `stop`; sweeps in between.

        A failed step is counted and tried again: its marks came back with its transaction.
        """
        sweep_at = due_at = time.monotonic()
        while not stop.is_set():
            self._wake.clear()
            began, done = time.monotonic(), Projected()
            try:
                if time.monotonic() >= due_at:
                    self.mark_due()
                    due_at = time.monotonic() + POLL_S
                done = self.drain(stop)
                if time.monotonic() >= sweep_at:
                    self._sweep_all(stop)
                    sweep_at = time.monotonic() + sweep_every_s
            except Exception as failure:  # noqa: BLE001  its marks came back: told, counted, run again
                telemetry.STEP_FAILURES.labels("projection").inc()
                _log.warning("projection failed, will run again", error=repr(failure))
                stop.wait(POLL_S)
            # A busy ledger commits often: its marks are taken a few batches at once.
            stop.wait(rest_after(time.monotonic() - began, done))
            self._wake.wait(POLL_S)

    def drain(self, stop: threading.Event) -> Projected:
        """Steps until no mark is left: more marks at once where they are of few listings.

        Answers how many marks it took and levels it computed in all.
        """
        limit, marks, computed = MARKS, 0, 0
        while not stop.is_set():
            done = self.step(limit)
            marks, computed = marks + done.marks, computed + done.computed
            if done.marks < limit:
                break
            limit = next_limit(limit, done.computed)
        return Projected(marks, computed)

    def listen(self, url: str, stop: threading.Event) -> None:
        """Wakes this projection for every batch of any process's ledger, until `stop`."""
        for notes in listen(url, LEDGER, stop=stop):
            if notes:
                self.wake()

    def _sweep_all(self, stop: threading.Event) -> None:
        after: Listing | None = ("", "")
        while after is not None and not stop.is_set():
            after = self.sweep(after)
            self.drain(stop)  # what was touched meanwhile does not wait for the end of the sweep

    def _project(
        self, connection: Connection, listed: Sequence[Listed]
    ) -> tuple[dt.datetime, list[Level]]:
        """Writes the levels of these listings; answers the time and those that changed."""
        if not listed:
            return levels.clock(connection), []
        listings = [one.key for one in listed]
        missing = [one.key for one in listed if not one.has_level]
        told = {one.key for one in listed if one.is_told}
        locked = levels.lock_levels(connection, listings, missing)
        told_now = self._clock() if self._clock else None
        reading, explained = read_listings(connection, listings, told_now)
        now = reading.now
        note_due_times(connection, reading.changes_by_time())
        sequence = reading.books.sequence
        changed: list[Level] = []
        unchanged: list[Level] = []
        since: list[int] = []
        for level in locked:
            key, right_until = (level.channel, level.listing), level.sequence
            if desire(level, explained[key].result, sequence, now, told=key in told):
                changed.append(level)
                since.append(right_until)
            else:
                unchanged.append(level)
        levels.write_reflected(connection, unchanged, sequence)
        levels.write_desired(connection, changed, since, reading.books.revision)
        return now, changed

    def _tell(self, channels: tuple[str, ...]) -> None:
        if channels:
            for listener in self.listeners:
                listener(channels)


def rest_after(took_s: float, done: Projected) -> float:
    """How long to rest after work: in proportion to its time.

    Where no channel lists what the ledger touches, marks are only taken away, and nobody waits.
    """
    if done.marks and not done.computed:
        return REST_MOST_S
    return min(REST_MOST_S, max(REST_S, REST_SHARE * took_s))


def next_limit(limit: int, computed: int) -> int:
    """How many marks to take next, after `limit` of them touched `computed` levels.

    A transaction is to write some hundred levels: fewer cost more trips for each, more hold up the
    publishers of those levels.
    """
    if computed <= LEVELS_AT_ONCE // 4:
        return min(MOST_MARKS, limit * 4)
    if computed > LEVELS_AT_ONCE * 2:
        return max(FEWEST_MARKS, limit // 2)
    return limit


def _notify(connection: Connection, changed: Sequence[Level]) -> tuple[str, ...]:
    channels = tuple(sorted({level.channel for level in changed}))
    if channels:
        levels.notify_channels(connection, channels)
    return channels
