"""The loops of a process, each a part that the supervisor keeps running."""

import asyncio
import random
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import structlog

from stockwright import telemetry
from stockwright.app.signals import measure
from stockwright.config import Config
from stockwright.flow.calls import Link
from stockwright.flow.expiry import Sweeper
from stockwright.flow.intake import Intake
from stockwright.flow.polling import Poller
from stockwright.flow.projection import LEDGER, Projection
from stockwright.flow.publication import LEVELS, Publication, Publisher, database_threads
from stockwright.sdk.verbs import Connection, Publishes, Reads
from stockwright.store import access, processes
from stockwright.store.connection import listen
from stockwright.store.payloads import WAKE_UP
from stockwright.store.session import session

if TYPE_CHECKING:
    from stockwright.app.services import Services

WORKER_CONNECTIONS: Final = 4
IDLE_S: Final = 1.0
SHORTEST_S: Final = 0.01
POLL_EVERY_S: Final = 15.0
_log = structlog.get_logger(__name__)


def add_workers(services: "Services") -> None:
    """Intake, projection, publication, polls and expiry, woken by whoever has work for them."""
    projection = Projection(services.worker_pool)
    threads = database_threads(WORKER_CONNECTIONS)
    publication = Publication(
        Publisher(services.worker_pool, connection, link, threads)
        for connection, link in links(services.config, services.connections)
    )
    projection.listeners.append(publication.wake)
    services.recorder.listeners.append(lambda _sequence: projection.wake())
    poller = Poller(services.worker_pool, worker=services.name)

    async def partners(stop: asyncio.Event) -> None:
        polls = [
            _poll(poller, system, connection, services.intake, stop)
            for system, connection in services.connections.items()
            if isinstance(connection, Reads)
        ]
        try:
            await asyncio.gather(publication.run(stop), *polls)
        finally:
            await close_all(services.connections)

    def wake_ups(stop: threading.Event) -> None:
        for notes in listen(services.url, LEDGER, LEVELS, WAKE_UP, stop=stop):
            channels = {channel for channel, _ in notes}
            if LEDGER in channels:
                projection.wake()
            if WAKE_UP in channels:
                services.intake.wake.set()
            publication.wake(code for channel, code in notes if channel == LEVELS)

    parts = services.workers
    parts.add("wake-ups", wake_ups)
    parts.add("intake", lambda stop: run_intake(services.intake, stop))
    parts.add("projection", projection.run)
    parts.add(
        "expiry", lambda stop: run_expiry(Sweeper(services.worker_pool, services.recorder), stop)
    )
    parts.add_async("partners", partners)


def links(config: Config, connections: Mapping[str, Connection]) -> list[tuple[Publishes, Link]]:
    """The connections that publish, with the channels of their systems."""
    found: list[tuple[Publishes, Link]] = []
    for system, connection in connections.items():
        channels = tuple(c.code for c in config.channels if c.system == system)
        if channels and isinstance(connection, Publishes):
            link = Link(
                system=system,
                channels=channels,
                limits=connection.limits,
                chance=random.SystemRandom().random,
            )
            found.append((connection, link))
    return found


def run_intake(intake: Intake, stop: threading.Event) -> None:
    """Maps and records payloads whenever woken, and looks every second, until `stop`."""
    while not stop.is_set():
        if intake.step().payloads == 0:
            intake.wake.wait(IDLE_S)


def run_expiry(sweeper: Sweeper, stop: threading.Event) -> None:
    """Records what becomes due by itself, until `stop`."""
    while not stop.is_set():
        stop.wait(max(SHORTEST_S, sweeper.step()))


async def _poll(
    poller: Poller, system: str, connection: Reads, intake: Intake, stop: asyncio.Event
) -> None:
    """Polls one partner whenever it is due, until `stop`."""
    while not stop.is_set():
        polled = await poller.poll(system, connection, every_s=POLL_EVERY_S)
        if polled is not None:
            telemetry.POLLS.labels(system, "failed" if polled.error else "ok").inc()
            if polled.payloads:
                intake.wake.set()
        try:
            await asyncio.wait_for(stop.wait(), IDLE_S)
        except TimeoutError:
            continue


async def close_all(connections: Mapping[str, Connection]) -> None:
    """Gives back the sockets and files of every connection, whatever the others do."""
    for system, connection in connections.items():
        try:
            await connection.close()
        except Exception:  # noqa: BLE001  told; the others must be closed as well
            _log.exception("connection did not close", system=system)


def add_housekeeping(services: "Services", roles: Sequence[str]) -> None:
    """Tells the house that this process lives, measures what waits, forgets what is over."""

    def housekeeping(stop: threading.Event) -> None:
        try:
            while not stop.is_set():
                _keep_house(services, roles)
                stop.wait(processes.SEEN_EVERY_S)
        finally:
            with session(services.worker_pool) as connection:
                processes.gone(connection, services.name)

    services.workers.add("housekeeping", housekeeping)


def _keep_house(services: "Services", roles: Sequence[str]) -> None:
    with session(services.worker_pool) as connection:
        processes.seen(connection, services.name, roles, services.workers.views())
        access.expire_answers(connection)
        measure(connection)
