"""Asks partners again and again: what happened, and whether they still tell us by themselves."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, TypeVar

import structlog

from stockwright import telemetry
from stockwright.domain.errors import Transient
from stockwright.flow.polling import Poller
from stockwright.flow.watching_webhooks import WebhookWatch
from stockwright.sdk.verbs import Connection, Reads

IDLE_S: Final = 1.0
POLL_EVERY_S: Final = 10.0
T = TypeVar("T")
_log = structlog.get_logger(__name__)


async def poll_until(
    stop: asyncio.Event,
    poller: Poller,
    system: str,
    connection: Reads,
    found: Callable[[], None],
    wanted: asyncio.Event | None = None,
) -> None:
    """Polls one partner whenever it is due, until `stop`; `found` is called for new payloads.

    wanted says that its orders may be due before their time. A partner that keeps us waiting holds
    up neither the others nor the stop. One that waits by itself until there is something, such as
    a queue, is asked again at once.
    """
    every_s = getattr(connection, "poll_every_s", POLL_EVERY_S)
    wanted = wanted or asyncio.Event()
    while not stop.is_set():
        wanted.clear()
        try:
            polled = await _unless(stop, poller.poll(system, connection, every_s=every_s))
        except Transient as failure:
            telemetry.STEP_FAILURES.labels("poll").inc()
            _log.warning("poll failed, will run again", system=system, error=str(failure))
            polled = None
        if polled is not None:
            telemetry.POLLS.labels(system, "failed" if polled.error else "ok").inc()
            if polled.payloads:
                found()
        if every_s or polled is None or polled.error:
            await _unless(stop, _within(wanted, IDLE_S))


async def watch_until(
    stop: asyncio.Event, watch: WebhookWatch, connection: Connection, every_s: float
) -> None:
    """Looks after the webhooks of one partner until `stop`: at once, then every so many seconds."""
    while not stop.is_set():
        try:
            await _unless(stop, watch.look(connection))
        except Transient as failure:
            telemetry.STEP_FAILURES.labels("webhooks").inc()
            _log.warning("look at webhooks failed", system=connection.system, error=str(failure))
        await _unless(stop, asyncio.sleep(every_s))


async def _within(event: asyncio.Event, seconds: float) -> None:
    """Waits for an event, no longer than some seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """What the work answers; None where `stop` came first, and the work was cancelled."""
    task, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    await asyncio.wait((task, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if task.done():
        return task.result()
    task.cancel()
    await asyncio.wait((task,))
    return None
