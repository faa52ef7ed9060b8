"""Calls beyond the first of a poll, or of a look: each waits until levels can spare it."""

import asyncio
import time
from typing import Final

from stockwright.flow.calls import promise_call, spare_call
from stockwright.sdk.declaration import Limits
from stockwright.sdk.transports import Meter
from stockwright.sdk.verbs import paces_itself
from stockwright.store.connection import Pool
from stockwright.store.session import session

PATIENCE_S: Final = 5.0
"""So long such a call lets levels go first; then it has its turn like any other."""


def promised_s(pool: Pool, system: str, limits: Limits) -> float:
    """Takes a call of the shared budget; the seconds until it may start. Blocks: for a thread."""
    with session(pool) as database:
        return promise_call(database, system, limits)


def meter_of(pool: Pool, system: str, connection: object, limits: Limits) -> Meter:
    """A meter that keeps what a verb of the connection does to the budget that all workers share.

    A connection that paces itself is left alone.
    """

    def spare() -> float:
        with session(pool) as database:
            return spare_call(database, system, limits)

    # One after the other: of calls made side by side each would have its turn at once.
    queue = asyncio.Lock()

    async def before() -> None:
        async with queue:
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
