"""Asks partners what happened: page after page, each kept together with the cursor behind it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final, NamedTuple

from stockwright import telemetry
from stockwright.domain.budget import silence_s
from stockwright.domain.codes import storable
from stockwright.domain.errors import Misconfigured, StockwrightError, Throttled, Transient
from stockwright.flow.keeping import new_payload
from stockwright.flow.sparing import meter_of, promised_s
from stockwright.sdk.declaration import Limits
from stockwright.sdk.messages import Page
from stockwright.sdk.transports import metered
from stockwright.sdk.verbs import Reads
from stockwright.store.attempts import close_misconfigured, open_misconfigured
from stockwright.store.connection import Pool
from stockwright.store.payloads import keep
from stockwright.store.polls import (
    MAX_ERROR,
    Advance,
    PollLease,
    advance_poll,
    extend_lease,
    fail_poll,
    failures_of,
    hold_poll,
    lease_poll,
    release_poll,
)
from stockwright.store.session import session

MAX_PAGES: Final = 50
MAX_EXTENSIONS: Final = 20
_LONGEST_RETRY_S: Final = 300.0
_DOUBLINGS: Final = 9
_SHORTEST_HOLD_S: Final = 1.0


class Poll(NamedTuple):
    """What one poll did. complete: the partner had nothing more; error: why it ended early."""

    payloads: int
    complete: bool
    error: str = ""


class LeaseLost(StockwrightError):
    """Another worker took the connection over: what this one read is not kept."""


class Poller:
    """Polls connections; any number of workers may, each connection is asked by one at a time.

    spare_s: how much longer a lease lasts than the call for one page.
    """

    def __init__(self, pool: Pool, *, worker: str, spare_s: float = 20.0) -> None:
        self._pool = pool
        self._worker = worker
        self._spare_s = spare_s

    async def poll(
        self, system: str, connection: Reads, *, every_s: float = 60.0, now: bool = False
    ) -> Poll | None:
        """Asks one partner for all that is new, at most MAX_PAGES; None where it is not due.

        now asks although it is not due. A failure is kept with the cursor (store.polls) and tried
        again later and later, at most five minutes apart; nothing is raised for it. A setting that
        is wrong opens a work item, which the next page closes. Where only its
        turn in the partner's plan has not come, it is put off and has not failed. Raises Transient
        where the database is away.
        """
        limits = connection.limits
        lease_s = limits.timeout_s + 1 / limits.calls_per_s + self._spare_s
        lease = await asyncio.to_thread(self._lease, system, lease_s, now)
        if lease is None:
            return None
        kept = 0
        try:
            with telemetry.span("poll", system=system):
                async for page in self._pages(system, connection, lease.cursor, every_s, lease_s):
                    kept += len(page.payloads)
                    if page.complete:
                        return Poll(kept, complete=True)
        except Throttled as wait:
            await asyncio.to_thread(
                self._hold, system, max(silence_s(wait.retry_after_s), _SHORTEST_HOLD_S)
            )
            return Poll(kept, complete=False)
        except LeaseLost as error:
            return Poll(kept, complete=False, error=str(error))
        except Exception as fault:  # noqa: BLE001 - a connector may be anybody's code
            told = str(fault) if isinstance(fault, StockwrightError) else repr(fault)
            why = storable(telemetry.hide_secrets(told), MAX_ERROR)
            await asyncio.to_thread(self._fail, system, fault, why)
            return Poll(kept, complete=False, error=why)
        finally:
            await asyncio.to_thread(self._release, system)
        return Poll(kept, complete=False)

    async def _pages(
        self, system: str, connection: Reads, cursor: str, every_s: float, lease_s: float
    ) -> AsyncIterator[Page]:
        """The pages after a cursor, each kept before it is told; at most MAX_PAGES."""
        for _ in range(MAX_PAGES):
            async with self._kept(system, lease_s):
                await self._keep_pace(system, connection.limits)
                asked_at = time.monotonic()
                with metered(meter_of(self._pool, system, connection, connection.limits)):
                    page = await connection.read(cursor)
            step = Advance(cursor, page.next_cursor, page.started_at, page.complete, every_s)
            await asyncio.to_thread(self._keep, system, page, step, asked_at, lease_s)
            await connection.acknowledge(page)
            cursor = page.next_cursor
            yield page

    @asynccontextmanager
    async def _kept(self, system: str, lease_s: float) -> AsyncIterator[None]:
        """Extends the lease while a page waits for its turn and is read, which may take many calls;
        not for ever: a worker that hangs is to lose it.
        """

        async def extend() -> None:
            for _ in range(MAX_EXTENSIONS):
                await asyncio.sleep(lease_s / 2)
                await asyncio.to_thread(self._extend, system, lease_s)

        extending = asyncio.create_task(extend())
        try:
            yield
        finally:
            extending.cancel()
            await asyncio.wait((extending,))

    async def _keep_pace(self, system: str, limits: Limits) -> None:
        """Waits until the partner's declared plan, which polls share with levels, allows a call."""
        wait_s = await asyncio.to_thread(promised_s, self._pool, system, limits)
        if wait_s:
            await asyncio.sleep(wait_s)

    def _lease(self, system: str, lease_s: float, now: bool) -> PollLease | None:
        with session(self._pool) as connection:
            return lease_poll(connection, system, self._worker, lease_s=lease_s, now=now)

    def _extend(self, system: str, lease_s: float) -> None:
        # What the database does not hear of now, the page's own step finds out.
        with suppress(Transient), session(self._pool) as connection:
            extend_lease(connection, system, self._worker, lease_s=lease_s)

    def _keep(
        self, system: str, page: Page, step: Advance, asked_at: float, lease_s: float
    ) -> None:
        payloads = [new_payload(system, "poll", payload) for payload in page.payloads]
        with session(self._pool) as connection:
            keep(connection, payloads)
            step = step._replace(took_s=time.monotonic() - asked_at)
            if not advance_poll(connection, system, self._worker, step, lease_s=lease_s):
                raise LeaseLost(f"another worker polls {system} by now")
            close_misconfigured(connection, system, "reading")

    def _fail(self, system: str, fault: Exception, error: str) -> None:
        with session(self._pool) as connection:
            failures = failures_of(connection, system)
            # Bounded before it is a power: a float has no 2 ** 1024, which is four days away.
            wait_s = min(2.0 ** min(failures, _DOUBLINGS), _LONGEST_RETRY_S)
            if isinstance(fault, Misconfigured):
                wait_s = _LONGEST_RETRY_S
                open_misconfigured(connection, system, fault.setting, error, "reading")
            fail_poll(connection, system, self._worker, error, retry_s=wait_s)

    def _hold(self, system: str, wait_s: float) -> None:
        with session(self._pool) as connection:
            hold_poll(connection, system, self._worker, wait_s=wait_s)

    def _release(self, system: str) -> None:
        with session(self._pool) as connection:
            release_poll(connection, system, self._worker)
