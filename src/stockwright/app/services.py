"""The parts of a running process, opened in order and closed in reverse."""

import os
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, Literal, get_args

import structlog
from msgspec.structs import replace

from stockwright import telemetry
from stockwright.app.bell import Bell
from stockwright.app.connections import (
    Asked,
    OpenConnections,
    Opened,
    asked_of,
    gross_connectors,
)
from stockwright.app.following import Follower
from stockwright.app.signals import watch
from stockwright.app.supervision import Supervisor
from stockwright.app.workers import (
    add_call_log,
    add_following,
    add_housekeeping,
    add_listening,
    add_workers,
)
from stockwright.config import Config, Connections, database_url
from stockwright.domain.network import Network, System
from stockwright.flow.call_log import CallLog
from stockwright.flow.configuring import start_with
from stockwright.flow.gathering import Gatherer
from stockwright.flow.intake import Intake
from stockwright.flow.recording import Recorder
from stockwright.sdk.verbs import Connection
from stockwright.store.connection import Pool
from stockwright.store.embedded import EmbeddedServer
from stockwright.store.migrate import migrate
from stockwright.store.network import declare_gross, read_network
from stockwright.store.session import session

Role = Literal["api", "workers", "console"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
READERS: Final = 8
"""Threads, and with them database connections, that answer reads."""
SLOW: Final = 2
"""Threads, and connections, for what takes seconds, such as imports: no read waits behind them."""
FOLLOWERS: Final = 2
"""Threads, and connections, that read the feed of changes for all who follow it."""
SHOWN_DIFFERENCES: Final = 20
WORKER_POOL: Final = 12
"""Connections of the loops: apart from the readers', so that neither waits for the other."""
_log = structlog.get_logger(__name__)

Progress = Callable[[str], None]


def quiet(_message: str) -> None:
    """Tells nobody."""


class Services:
    """What a process works with. `recorder` is the only door to the ledger.

    Open it with `open_services`. `workers` holds the loops of this process, for its status.
    """

    def __init__(
        self, config: Config, url: str, connections: Mapping[str, Connection] | None = None
    ) -> None:
        self.config = config
        self.url = url
        # Containers share host names and process ids; leases must not be shared.
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self.connections = OpenConnections(connections)
        connected = READERS + SLOW + FOLLOWERS
        self.pool = Pool(url, size=connected, application_name="stockwright reader")
        self.threads = ThreadPoolExecutor(READERS, thread_name_prefix="reader")
        self.slow_threads = ThreadPoolExecutor(SLOW, thread_name_prefix="slow")
        self.followers = ThreadPoolExecutor(FOLLOWERS, thread_name_prefix="follower")
        self.gatherer = Gatherer(self.pool, self.threads)
        self.worker_pool = Pool(url, size=WORKER_POOL, application_name="stockwright worker")
        self.recorder = Recorder(url)
        watch(self.recorder)
        self.bell = Bell()
        self.recorder.listeners.append(lambda _sequence: self.bell.ring())
        self.intake = Intake(self.worker_pool, self.recorder, self.connections, worker=self.name)
        self.call_log = CallLog(config.api_log, worker=self.name)
        self.workers = Supervisor()
        self.follower: Follower | None = None
        self._systems = frozenset(system.code for system in config.systems)
        self._received: dict[tuple[str, str], Callable[[float], None]] = {}

    def follow_configuration(self) -> None:
        """Opens the connections that are configured, and lets a loop follow what changes."""
        self.follower = Follower(
            self.worker_pool, self.workers.told, worker=self.name, changed=self._changed
        )
        self.follower.start(self.connections)

    @property
    def consumer_networks(self) -> Sequence[str]:
        """Private networks that outside consumers may be in."""
        return self.config.subscriptions.allowed_networks

    @property
    def nameable(self) -> Connections:
        """What connections made over the API or in the console may name on this machine."""
        return self.config.connections

    @property
    def held(self) -> dict[str, Opened]:
        """The connections with what asked for them; what it asks of them where they were given."""
        if self.follower is not None:
            return self.follower.held
        asked = asked_of(self.config)
        return {
            code: Opened(asked.get(code, Asked(System(code=code, role="shop"), ())), one, {})
            for code, one in self.connections.items()
        }

    def _changed(self, network: Network) -> None:
        self.config = _with_network(self.config, network)
        self._systems = frozenset(system.code for system in network.systems)

    def received(self, system: str, door: str, items: int = 1) -> None:
        """Counts what came in; systems that are not configured are counted together."""
        known = system if system in self._systems else "other"
        count = self._received.get((known, door))
        if count is None:
            count = self._received[known, door] = telemetry.RECEIVED.labels(known, door).inc
        count(items)


@contextmanager
def open_database(config: Config, progress: Progress = quiet) -> Iterator[str]:
    """Address of the migrated database for as long as it is used.

    Starts the embedded server, or attaches to the one that runs, where the configuration names no
    other. Raises what the store raises: Misconfigured, or Transient where it does not answer.
    """
    with ExitStack() as stack:
        url = database_url(config)
        if url is None:
            folder = Path(config.database.data_dir) if config.database.data_dir else None
            url = stack.enter_context(EmbeddedServer.start(folder, progress)).url
        migrate(url, progress=progress)
        yield url


def in_force(config: Config, url: str) -> Config:
    """The configuration that a process runs by: what changed in the file is applied, and the
    network is what the database says then. Tells in the log where the two still differ.
    """
    with Pool(url, size=1, application_name="stockwright start") as pool:
        with session(pool) as connection:
            started = start_with(connection, config)
            network = read_network(connection)
        # Asking connectors loads their code, which on a busy machine takes longer than a
        # transaction may stand still.
        gross = gross_connectors(one.connector for one in network.systems)
        with session(pool) as connection:
            declare_gross(connection, gross)
    if started.applied.revision is not None:
        changed = [change.field for change in started.applied.changes]
        _log.info("configuration applied", revision=started.applied.revision, changed=changed)
    if started.plan.differences:
        _log.warning(
            "the configuration file and the database differ; the database counts",
            fields=[one.field for one in started.plan.differences[:SHOWN_DIFFERENCES]],
            differences=len(started.plan.differences),
            next="stockwright config plan",
        )
    return _with_network(config, network)


def _with_network(config: Config, network: Network) -> Config:
    return replace(
        config,
        systems=network.systems,
        locations=network.locations,
        channels=network.channels,
    )


@contextmanager
def open_services(
    config: Config,
    roles: Sequence[Role] = ROLES,
    *,
    progress: Progress = quiet,
    connections: Mapping[str, Connection] | None = None,
) -> Iterator[Services]:
    """Opens everything these roles need, and closes it in reverse: what was taken in is recorded.

    Order: database, migrations, configuration, connections, recorder, loops. A connection that
    cannot be opened keeps nobody from starting: a work item tells of it. `connections` replaces
    those the configuration asks for. Raises Misconfigured (with the setting) and Transient.
    """
    with ExitStack() as stack:
        url = stack.enter_context(open_database(config, progress))
        config = in_force(config, url)
        services = Services(config, url, connections)
        stack.callback(services.pool.close)
        stack.callback(services.worker_pool.close)
        if connections is None:
            services.follow_configuration()
        for threads in (services.threads, services.slow_threads, services.followers):
            stack.callback(threads.shutdown, cancel_futures=True)
        services.recorder.start()
        stack.callback(services.recorder.stop)
        if "workers" in roles:
            add_workers(services)
        else:
            add_following(services)
            if "api" in roles:
                add_listening(services)
        if "api" in roles or "console" in roles:
            add_call_log(services)
        add_housekeeping(services, roles)
        # From here on the loops are stopped first, while what they hand to is still there.
        stack.callback(services.workers.stop)
        services.workers.start()
        yield services
