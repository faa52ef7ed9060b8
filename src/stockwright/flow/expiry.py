"""What becomes due by itself: holds that ran out, lots that reached their date or fell short of the
days a channel asks for.

All are found in the database, so that they survive a restart, and doing it twice changes nothing.
What moves goods or promises is recorded by the ledger; what only changes a level is marked for the
projection.
"""

import datetime as dt
import time
from typing import Final

from stockwright.domain.events import OWN_SYSTEM, Fact
from stockwright.flow.recording import Recorder
from stockwright.store.backorders import forget_owed
from stockwright.store.connection import Pool
from stockwright.store.due import expired_lots, mark_shelf_life, next_due_s
from stockwright.store.levels import clock
from stockwright.store.overdue import note_overdue

LOTS_AT_ONCE: Final = 500
MOST_LOOKS: Final = 20
"""Pieces of the expired lots, and of the overdue supply, that one sweep takes; the next one goes on
from there.
"""


class Sweeper:
    """Records due holds and expired lots. `step` says how long to sleep, never longer than
    `longest_s`.
    """

    def __init__(
        self,
        pool: Pool,
        recorder: Recorder,
        *,
        longest_s: float = 1.0,
        lots_every_s: float = 60.0,
    ) -> None:
        self._pool = pool
        self._recorder = recorder
        self._longest_s = longest_s
        self._lots_every_s = lots_every_s
        self._lots_at = time.monotonic()
        self._overdue_after = 0

    def step(self) -> float:
        """Records what is due now; returns the seconds until something else can be.

        The database's clock decides; how often is looked, one that nobody can set back.
        """
        if time.monotonic() >= self._lots_at:
            self._lots_at = time.monotonic() + self._lots_every_s
            with self._pool.connection() as connection:
                now = clock(connection)
            self._expire_all(now)
            self.mark(now)
        with self._pool.connection() as connection:
            due_s = next_due_s(connection)
        if due_s is None:
            return self._longest_s
        if due_s <= 0.0:
            self._recorder.sweep().result()
            return 0.0
        return min(self._longest_s, due_s)

    def _expire_all(self, now: dt.datetime) -> None:
        """Thousands of lots may end with one day, and none of them is sold on the next."""
        for _ in range(MOST_LOOKS):
            if self.expire_lots(now) < LOTS_AT_ONCE:
                return

    def expire_lots(self, now: dt.datetime) -> int:
        """Moves lots past their date, by each place's own calendar, out of sale; returns how many.

        A lot is sold until the end of its date. The same lot found again later is moved again.
        """
        with self._pool.connection() as connection:
            found = expired_lots(connection, now, LOTS_AT_ONCE)
        facts = [
            Fact(
                kind="lot_expiry",
                system=OWN_SYSTEM,
                document=f"lot-expiry {sku} {lot} {now.isoformat()}",
                line=location,
                sku=sku,
                lot=lot,
                location=location,
                quantity=0,
                occurred_at=now,
                reason=f"good until {expires_on.isoformat()}",
            )
            for sku, location, lot, expires_on in found
        ]
        if facts:
            self._recorder.submit(facts, bulk=True).result()
        return len(facts)

    def mark(self, now: dt.datetime) -> int:
        """Has the numbers computed again that the calendar changes; returns of how many SKUs and
        lines of supply.
        """
        with self._pool.connection() as connection:
            crossed = mark_shelf_life(connection, now.astimezone(dt.UTC).date())
        late = self._note_overdue(now)
        with self._pool.connection() as connection:
            forget_owed(connection)
        return crossed + late

    def _note_overdue(self, now: dt.datetime) -> int:
        late = 0
        for _ in range(MOST_LOOKS):
            with self._pool.connection() as connection:
                noted = note_overdue(connection, now, self._overdue_after)
            late += noted.late
            self._overdue_after = noted.last or 0
            if noted.last is None:
                break
        return late
