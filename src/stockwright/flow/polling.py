"""Asks partners what happened: page after page, each kept together with the cursor behind it."""

import asyncio
from typing import Final, NamedTuple

from stockwright.domain.errors import Misconfigured, StockwrightError, Throttled
from stockwright.flow.intake import new_payload
from stockwright.sdk.messages import Page
from stockwright.sdk.pacing import Bucket, full_bucket, take
from stockwright.sdk.verbs import Reads
from stockwright.store.connection import Pool
from stockwright.store.payloads import keep
from stockwright.store.polls import (
    Advance,
    PollLease,
    advance_poll,
    fail_poll,
    failures_of,
    lease_poll,
    release_poll,
)
from stockwright.store.session import session

MAX_PAGES: Final = 50
_LONGEST_RETRY_S: Final = 300.0


class Poll(NamedTuple):
    """What one poll did. complete: the partner had nothing more; error: why it ended early."""

    payloads: int
    complete: bool
    error: str = ""


class LeaseLost(StockwrightError):
    """Another worker took the connection over: what this one read is not kept."""


class Poller:
    """Polls connections; any number of workers may, each connection is asked by one at a time."""

    def __init__(self, pool: Pool, *, worker: str, lease_s: float = 120.0) -> None:
        self._pool = pool
        self._worker = worker
        self._lease_s = lease_s
        self._paces: dict[str, Bucket] = {}

    async def poll(
        self, system: str, connection: Reads, *, every_s: float = 60.0, now: bool = False
    ) -> Poll | None:
        """Asks one partner for all that is new, at most MAX_PAGES; None where it is not due.

        now asks although it is not due. A failure is kept with the cursor (store.polls) and tried
        again later and later, at most five minutes apart; nothing is raised for it. Raises
        Transient where the database is away.
        """
        lease = await asyncio.to_thread(self._lease, system, now)
        if lease is None:
            return None
        cursor, kept, complete = lease.cursor, 0, False
        try:
            for _ in range(MAX_PAGES):
                await self._keep_pace(system, connection)
                page = await connection.read(cursor)
                await asyncio.to_thread(self._keep, system, cursor, page, every_s)
                await connection.acknowledge(page)
                cursor, complete = page.next_cursor, page.complete
                kept += len(page.payloads)
                if complete:
                    break
        except LeaseLost as error:
            return Poll(kept, complete=False, error=str(error))
        except StockwrightError as error:
            await asyncio.to_thread(self._fail, system, error)
            return Poll(kept, complete=False, error=str(error))
        await asyncio.to_thread(self._release, system)
        return Poll(kept, complete)

    async def _keep_pace(self, system: str, connection: Reads) -> None:
        """Waits until the partner's declared plan allows a call."""
        now, limits = asyncio.get_running_loop().time(), connection.limits
        pace = self._paces.get(system) or full_bucket(limits.calls_per_s, limits.burst, now)
        self._paces[system], wait_s = take(pace, now)
        if wait_s:
            await asyncio.sleep(wait_s)

    def _lease(self, system: str, now: bool) -> PollLease | None:
        with session(self._pool) as connection:
            return lease_poll(connection, system, self._worker, lease_s=self._lease_s, now=now)

    def _keep(self, system: str, before: str, page: Page, every_s: float) -> None:
        step = Advance(before, page.next_cursor, page.started_at, page.complete, every_s)
        payloads = [new_payload("poll", payload) for payload in page.payloads]
        with session(self._pool) as connection:
            keep(connection, system, payloads)
            if not advance_poll(connection, system, self._worker, step, lease_s=self._lease_s):
                raise LeaseLost(f"another worker polls {system} by now")

    def _fail(self, system: str, error: StockwrightError) -> None:
        with session(self._pool) as connection:
            failures = failures_of(connection, system)
            wait_s = min(2.0**failures, _LONGEST_RETRY_S)
            if isinstance(error, Throttled):
                wait_s = max(wait_s, error.retry_after_s)
            if isinstance(error, Misconfigured):
                wait_s = _LONGEST_RETRY_S
            fail_poll(connection, system, self._worker, str(error), retry_s=wait_s)

    def _release(self, system: str) -> None:
        with session(self._pool) as connection:
            release_poll(connection, system, self._worker)
