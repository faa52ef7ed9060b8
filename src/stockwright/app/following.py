"""Compares the connections that are open in this process with the configuration of now.

The configuration is in the database and changes while processes run. Each looks by itself, every
second, whether anything is new; secrets that lie in files are read each time. What cannot be opened
leaves the connection before as it is, and a person is told.
"""

import datetime as dt
import time
from collections.abc import Callable, Collection, Iterator
from typing import Final, NamedTuple

import structlog

from stockwright import telemetry
from stockwright.app.connections import (
    Asked,
    OpenConnections,
    Opened,
    asked_of,
    gross_connectors,
    is_current,
    open_asked,
)
from stockwright.domain.errors import Misconfigured, StockwrightError
from stockwright.domain.network import Network
from stockwright.flow import connecting
from stockwright.store.connection import Connection, Pool
from stockwright.store.history import revision_in_force
from stockwright.store.network import declare_gross, read_network
from stockwright.store.processes import PartView
from stockwright.store.session import session

RETRY_S: Final = 5.0
"""How soon it is tried again to open what could not be opened."""
REMIND_S: Final = 60.0
"""How often the work item about it is seen again, should somebody have closed it."""
_log = structlog.get_logger(__name__)


class Change(NamedTuple):
    """A connection that takes the place of another one; None where the system has none any more."""

    system: str
    opened: Opened | None


class Failure(NamedTuple):
    """Why something could not be opened, and the times of the monotonic clock for what follows."""

    asked: Asked
    error: str
    retry_at: float
    remind_at: float
    times: int


class Follower:
    """Looks for changes; `told` is where it tells how each connection does. For one thread."""

    def __init__(
        self,
        pool: Pool,
        told: dict[str, PartView],
        *,
        worker: str,
        changed: Callable[[Network], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._told = told
        self._worker = worker
        self._changed = changed
        self._clock = clock
        self._revision = -1
        self._gross: set[str] = set()
        self._asked: dict[str, Asked] = {}
        self._failed: dict[str, Failure] = {}
        self._unwritten: dict[str, Callable[[Connection], None]] = {}
        self.held: dict[str, Opened] = {}

    def look(self, busy: Collection[str] = ()) -> list[Change]:
        """What is to change now; what it opened counts as held. Systems in busy are left alone.

        Raises what the database raises: then nothing changed.
        """
        self._read()
        changes = [
            change
            for system in sorted({*self._asked, *self.held, *self._failed})
            if system not in busy
            for change in self._look_at(system)
        ]
        self._write_down()
        return changes

    def start(self, connections: OpenConnections) -> None:
        """Opens what is configured at the start of the process."""
        for system, opened in self.look():
            if opened is not None:
                connections.put(system, opened.connection)

    def _write_down(self) -> None:
        """Opens and closes work items. What cannot be written now is written by a later look."""
        if not self._unwritten:
            return
        try:
            with session(self._pool) as connection:
                for write in self._unwritten.values():
                    write(connection)
        except StockwrightError as failure:
            _log.warning("work items of connections not written", error=str(failure))
        else:
            self._unwritten.clear()

    def _read(self) -> None:
        with session(self._pool) as connection:
            revision = revision_in_force(connection)
            if revision == self._revision:
                return
            network = read_network(connection)
            asked = asked_of(network)
            names = {one.system.connector for one in asked.values()}
            if not names <= self._gross:
                declare_gross(connection, gross_connectors(names))
            connecting.configured(connection, list(asked))
        self._gross |= names
        self._asked = asked
        self._changed(network)
        # Last: whatever failed above is read again.
        self._revision = revision

    def _look_at(self, system: str) -> Iterator[Change]:
        asked, held = self._asked.get(system), self.held.get(system)
        if asked is None:
            if self._failed.pop(system, None) is not None:
                self._unwritten[system] = lambda connection: connecting.opened(connection, [system])
            self._told.pop(connecting.PART + system, None)
            if held is not None:
                del self.held[system]
                _log.info("connection ends: it is configured no more", system=system)
                yield Change(system, None)
            return
        failed = self._failed.get(system)
        if failed is not None and failed.asked == asked and self._clock() < failed.retry_at:
            return
        try:
            if held is not None and is_current(held, asked):
                if failed is not None:
                    self._opened(system, held)
                return
            opened = open_asked(asked, pool=self._pool)
        except Exception as failure:  # noqa: BLE001 - a connector may be anybody's code
            self._fail(system, asked, failure)
            return
        self._opened(system, opened)
        yield Change(system, opened)

    def _opened(self, system: str, opened: Opened) -> None:
        again = system in self.held
        self.held[system] = opened
        self._failed.pop(system, None)
        self._unwritten[system] = lambda connection: connecting.opened(connection, [system])
        self._told[connecting.PART + system] = PartView(
            name=connecting.PART + system,
            state="running",
            since=dt.datetime.now(dt.UTC),
            settings=connecting.digest(opened.asked.system),
        )
        _log.info("connection opened", system=system, in_place_of_another=again)

    def _fail(self, system: str, asked: Asked, failure: Exception) -> None:
        before, now = self._failed.get(system), self._clock()
        error = telemetry.hide_secrets(str(failure) or type(failure).__name__)[:500]
        setting = failure.setting if isinstance(failure, Misconfigured) else f"systems.{system}"
        known = before is not None and (before.asked, before.error) == (asked, error)
        remind = before is None or not known or now >= before.remind_at
        goes_on = system in self.held
        if remind:
            self._unwritten[system] = lambda connection: connecting.not_opened(
                connection,
                system,
                worker=self._worker,
                setting=setting,
                error=error,
                goes_on=goes_on,
            )
        if not known:
            telemetry.STEP_FAILURES.labels("connection").inc()
            _log.error("connection not opened", system=system, goes_on=goes_on, error=error)
        times = 1 if before is None else before.times + 1
        remind_at = now + REMIND_S if remind or before is None else before.remind_at
        self._failed[system] = Failure(asked, error, now + RETRY_S, remind_at, times)
        held = self.held.get(system)
        since = self._told.get(connecting.PART + system)
        self._told[connecting.PART + system] = PartView(
            name=connecting.PART + system,
            state="failed",
            failures=times,
            error=error,
            since=since.since if since and known else dt.datetime.now(dt.UTC),
            settings=connecting.digest(held.asked.system) if held else "",
        )
