"""The loops of a process, each a part that the supervisor keeps running."""

import asyncio
import random
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final

import structlog

from stockwright.app.asking import IDLE_S, POLL_EVERY_S, poll_until, watch_until
from stockwright.app.connections import Opened, find_connector
from stockwright.app.delivering import deliver_until, deliveries_of
from stockwright.app.partners import Partners, close_all
from stockwright.app.signals import measure
from stockwright.flow import shadowing
from stockwright.flow.buffering import Buffering
from stockwright.flow.calls import Link
from stockwright.flow.expiry import Sweeper
from stockwright.flow.intake import Intake
from stockwright.flow.polling import Poller
from stockwright.flow.projection import LEDGER, Projection
from stockwright.flow.publication import (
    DOUBTED,
    LEVELS,
    Publication,
    Publisher,
    database_threads,
)
from stockwright.flow.turns import Turns
from stockwright.flow.watching_webhooks import WebhookWatch
from stockwright.sdk.declaration import Capabilities
from stockwright.sdk.verbs import Publishes, Reads, WatchesWebhooks, keeps_jobs
from stockwright.store import access, clock, processes
from stockwright.store.connection import listen
from stockwright.store.payloads import WAKE_UP
from stockwright.store.session import session

if TYPE_CHECKING:
    from stockwright.app.services import Services

WORKER_CONNECTIONS: Final = 4
SHORTEST_S: Final = 0.01
WAKE_UPS_REST_S: Final = 0.02
"""After a notification the next ones may gather for so long: a busy ledger sends one per batch."""
_NEWS: Final = frozenset({LEDGER, LEVELS})
_log = structlog.get_logger(__name__)


def add_workers(services: "Services") -> None:
    """Intake, projection, publication, polls and expiry, woken by whoever has work for them."""
    projection = Projection(services.worker_pool)
    threads = database_threads(WORKER_CONNECTIONS)
    turns = Turns(WORKER_CONNECTIONS)
    publication = Publication()
    projection.listeners.append(publication.wake)
    services.recorder.listeners.append(lambda _sequence: projection.wake())
    poller = Poller(services.worker_pool, worker=services.name)
    watch = WebhookWatch(services.worker_pool)
    deliveries = deliveries_of(services)

    def work(opened: Opened, stop: asyncio.Event) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        connection, system, wanted = opened.connection, opened.asked.system.code, asyncio.Event()
        runs: list[Callable[[], Coroutine[Any, Any, None]]] = []
        link = link_of(opened, services.name)
        if link is not None and isinstance(connection, Publishes):
            link.ask_for_orders = wanted.set
            publisher = Publisher(services.worker_pool, connection, link, threads, turns)
            runs.append(lambda: publication.run_one(publisher, stop))
        if isinstance(connection, Reads):
            found = services.intake.wake.set
            runs.append(lambda: poll_until(stop, poller, system, connection, found, wanted))
        if isinstance(connection, WatchesWebhooks):
            every_s = connection.webhook_look_s
            runs.append(lambda: watch_until(stop, watch, opened.connection, every_s))
        return runs

    async def partners(stop: asyncio.Event) -> None:
        followed = Partners(
            services.connections, services.held, services.follower, work, deliveries.let_go
        )
        await asyncio.gather(followed.run(stop), deliver_until(stop, deliveries, services.bell))
        # Last: announcements under way still needed theirs.
        await close_all(services.connections)

    def wake_ups(stop: threading.Event) -> None:
        for notes in listen(services.url, LEDGER, LEVELS, DOUBTED, WAKE_UP, stop=stop):
            channels = {channel for channel, _ in notes}
            if LEDGER in channels:
                projection.wake()
            if WAKE_UP in channels:
                services.intake.wake.set()
            publication.hear(notes)
            if channels & _NEWS:
                services.bell.ring()
            if notes:
                # Most of them are of our own commits, whose followers are awake already.
                stop.wait(WAKE_UPS_REST_S)

    parts = services.workers
    parts.add("wake-ups", wake_ups)
    parts.add("intake", lambda stop: run_intake(services.intake, stop))
    parts.add("projection", projection.run)
    parts.add("shadow", lambda stop: shadowing.run(services.worker_pool, stop))
    buffering = Buffering(services.worker_pool, wake=projection.wake, poll_every_s=POLL_EVERY_S)
    parts.add("buffering", buffering.run)
    parts.add(
        "expiry", lambda stop: run_expiry(Sweeper(services.worker_pool, services.recorder), stop)
    )
    parts.add_async("partners", partners)


def add_listening(services: "Services") -> None:
    """Rings for what other processes recorded and projected, where no worker listens anyway."""

    def news(stop: threading.Event) -> None:
        for notes in listen(services.url, *sorted(_NEWS), stop=stop):
            if notes:
                services.bell.ring()
                stop.wait(WAKE_UPS_REST_S)

    services.workers.add("news", news)


def add_following(services: "Services") -> None:
    """Follows the configuration where no worker does: webhooks are proven by its connections."""
    followed = Partners(services.connections, services.held, services.follower)

    async def connections(stop: asyncio.Event) -> None:
        await followed.run(stop)
        await close_all(services.connections)

    services.workers.add_async("connections", connections)


def add_call_log(services: "Services") -> None:
    """Writes down what the API's event loop noted of its calls."""

    def calls(stop: threading.Event) -> None:
        services.call_log.run(services.worker_pool, stop)

    services.workers.add("api log", calls)


def link_of(opened: Opened, worker: str = "") -> Link | None:
    """A connection as its publisher sees it; None where it publishes nothing. worker names this
    process.
    """
    (system, channels), connection = opened.asked, opened.connection
    if not channels or not isinstance(connection, Publishes):
        return None
    declared = find_connector(system.connector).declaration
    return Link(
        system=system.code,
        channels=channels,
        limits=opened.connection.limits,
        chance=random.SystemRandom().random,
        patience=getattr(connection, "patience", declared.patience),
        criticality=system.criticality,
        alone_as=worker if keeps_jobs(connection) else "",
        order_watermark=isinstance(connection, Reads) and _waits(declared.capabilities),
    )


def _waits(capabilities: Capabilities) -> bool:
    """Whether increases wait for orders: a sale lowers no gross number, so none is undone there."""
    return capabilities.order_watermark and capabilities.levels_are == "net"


def run_intake(intake: Intake, stop: threading.Event) -> None:
    """Maps and records payloads whenever woken, and looks every second, until `stop`."""
    while not stop.is_set():
        if intake.step().payloads == 0:
            intake.wake.wait(IDLE_S)


def run_expiry(sweeper: Sweeper, stop: threading.Event) -> None:
    """Records what becomes due by itself, until `stop`."""
    while not stop.is_set():
        stop.wait(max(SHORTEST_S, sweeper.step()))


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
        set_s = clock.follow(connection)
        processes.seen(connection, services.name, roles, services.workers.views())
        access.expire_answers(connection)
        measure(connection)
    if set_s:
        _log.warning(
            "the database's clock was set back; what was due by it is due in time",
            seconds=round(set_s),
            next="count again what was counted while the clock was ahead",
        )
