"""The loop that delivers subscriptions, woken by news."""

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

import structlog

from stockwright import telemetry
from stockwright.app.bell import Bell
from stockwright.domain.errors import StockwrightError
from stockwright.domain.proxies import networks
from stockwright.flow.deliveries import Deliveries
from stockwright.sdk.guarded import GuardedHttp

if TYPE_CHECKING:
    from stockwright.app.services import Services

LOOK_S: Final = 1.0
"""The net under lost wake-ups, and how soon a failed consumer is tried again."""
GATHER_S: Final = 0.05
"""A busy ledger rings for every batch: what comes within this time goes in one message."""
SOURCE: Final = "urn:stockwright"
_log = structlog.get_logger(__name__)


def deliveries_of(services: "Services") -> Deliveries:
    """The deliveries of one process, as its configuration says."""
    settings = services.config.subscriptions
    return Deliveries(
        services.worker_pool,
        services.connections,
        GuardedHttp(networks(settings.allowed_networks)),
        worker=services.name,
        source=services.config.server.base or SOURCE,
        patience_s=settings.patience_hours * 3_600,
    )


async def deliver_until(stop: asyncio.Event, deliveries: Deliveries, bell: Bell) -> None:
    """Delivers whatever is due whenever there is news, until `stop`; calls under way then end."""
    try:
        while not stop.is_set():
            rings = bell.rings
            try:
                await deliveries.begin()
            except StockwrightError as failure:
                telemetry.STEP_FAILURES.labels("delivery").inc()
                _log.warning("deliveries failed, will run again", error=str(failure))
            await _first(stop.wait(), deliveries.again.wait(), bell.heard(rings, LOOK_S))
            await _first(stop.wait(), asyncio.sleep(GATHER_S))
    finally:
        await deliveries.close()


async def _first(*waits: Coroutine[Any, Any, object]) -> None:
    """Returns once the first of them does."""
    tasks = [asyncio.ensure_future(one) for one in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in tasks:
            one.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
