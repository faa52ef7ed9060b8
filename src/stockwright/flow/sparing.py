"""Calls beyond the first of a poll, of a look, or of a person's question: each waits until levels
can spare it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    nullcontext,
    suppress,
)
from typing import Final

from stockwright import telemetry
from stockwright.domain.codes import storable
from stockwright.domain.errors import Throttled, Transient
from stockwright.flow.calls import keep_silence, promise_call, spare_call
from stockwright.sdk.declaration import Limits
from stockwright.sdk.transports import Meter, metered
from stockwright.sdk.verbs import Connection, paces_itself
from stockwright.store.connection import Pool
from stockwright.store.session import session

MAX_ERROR: Final = 500
PATIENCE_S: Final = 5.0
"""So long such a call lets levels go first; then it has its turn like any other."""


def promised_s(pool: Pool, system: str, limits: Limits) -> float:
    """Takes a call of the shared budget; the seconds until it may start. Blocks: for a thread."""
    with session(pool) as database:
        return promise_call(database, system, limits)


def meter_of(
    pool: Pool,
    system: str,
    connection: object,
    limits: Limits,
    waiting: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Meter:
    """A meter that keeps what a verb of the connection does to the budget that all workers share.

    A connection that paces itself is left alone. Each wait for a turn is made inside `waiting`.
    """

    def spare() -> float:
        with session(pool) as database:
            return spare_call(database, system, limits)

    # One after the other: of calls made side by side each would have its turn at once.
    queue = asyncio.Lock()

    async def before() -> None:
        async with queue:
            with waiting():
                await turn()

    async def turn() -> None:
        patient_until = time.monotonic() + PATIENCE_S
        while time.monotonic() < patient_until:
            wait_s = await asyncio.to_thread(spare)
            if wait_s == 0.0:
                return
            await asyncio.sleep(wait_s)
        await asyncio.sleep(await asyncio.to_thread(promised_s, pool, system, limits))

    return Meter(None if paces_itself(connection) else before)


class Asker:
    """Asks a partner what a person wants to know, within the budget that all workers share."""

    def __init__(self, pool: Pool, partner: Connection) -> None:
        self._pool = pool
        self._partner = partner

    @asynccontextmanager
    async def patiently(self, patience_s: float | None = None) -> AsyncIterator[None]:
        """For one question, which begins when its first call has its turn, and each further call
        when levels can spare it. Raises TimeoutError after patience_s in which it did not wait for
        a turn, and Transient where the database is away. A silence that the partner asks for is
        kept by the workers as well.
        """
        system, limits = self._partner.system, self._partner.limits
        await asyncio.sleep(await asyncio.to_thread(promised_s, self._pool, system, limits))
        async with asyncio.timeout(patience_s) as patience:
            meter = meter_of(
                self._pool, system, self._partner, limits, lambda: _standing_still(patience)
            )
            try:
                with metered(meter):
                    yield
            except Throttled as asked:
                await asyncio.to_thread(self._tell, asked)
                raise

    def _tell(self, asked: Throttled) -> None:
        """Tells the workers of a silence, except of a partner whose plans all share anyway."""
        if paces_itself(self._partner):
            return
        # Without a database nobody calls, and the question's own failure is what is to be told.
        with suppress(Transient), session(self._pool) as database:
            keep_silence(
                database,
                self._partner.system,
                self._partner.limits,
                storable(telemetry.hide_secrets(str(asked)), MAX_ERROR),
                asked.retry_after_s,
            )


@contextmanager
def _standing_still(patience: asyncio.Timeout) -> Iterator[None]:
    """No time of a patience passes inside."""
    until, clock = patience.when(), asyncio.get_running_loop().time
    if until is None:
        yield
        return
    left_s = until - clock()
    patience.reschedule(None)
    try:
        yield
    finally:
        patience.reschedule(clock() + left_s)
