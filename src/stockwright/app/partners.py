"""The connections of a running process: replaced one by one as their configuration changes.

A new one takes the place of the old at once for what comes in. The old one's poll is given back,
its calls under way come to their end, and only then the new one begins to send: a level or a
message is never in the hands of both.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

import structlog

from stockwright import telemetry
from stockwright.app.connections import OpenConnections, Opened
from stockwright.app.following import Change, Follower
from stockwright.app.supervision import FIRST_PAUSE_S, LONGEST_PAUSE_S
from stockwright.domain.errors import StockwrightError
from stockwright.flow.calls import LEASE_MARGIN_S
from stockwright.sdk.verbs import Connection

LOOK_S: Final = 1.0
"""How often it is looked whether the configuration changed."""
_log = structlog.get_logger(__name__)

Work = Callable[[Opened, asyncio.Event], Sequence[Callable[[], Coroutine[Any, Any, None]]]]
"""What a process does with a connection until the event: what of it is run side by side."""
LetGo = Callable[[Connection], Awaitable[None]]


class Run(NamedTuple):
    """What is done with one connection, and how it is ended."""

    stop: asyncio.Event
    task: asyncio.Future[Any]
    patience_s: float


async def _until_unused(_connection: Connection) -> None:
    """Nothing else uses a connection."""


class Partners:
    """Runs what this process does with each connection, and follows the configuration.

    follower None leaves the connections as they are. let_go returns once a connection that is out
    of the map is used by nothing any more.
    """

    def __init__(
        self,
        connections: OpenConnections,
        held: dict[str, Opened],
        follower: Follower | None,
        work: Work | None = None,
        let_go: LetGo = _until_unused,
    ) -> None:
        self._connections = connections
        self._held = held
        self._follower = follower
        self._work = work
        self._let_go = let_go
        self._runs: dict[str, Run] = {}
        self._changing: dict[str, asyncio.Task[None]] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; then calls under way end. What to close is the caller's."""
        for system, opened in self._held.items():
            self._connections.put(system, opened.connection)
            self._begin(system, opened)
        try:
            while not stop.is_set():
                await self._look()
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await stop.wait()
        finally:
            await asyncio.gather(*self._changing.values())
            await asyncio.gather(*(self._end(system) for system in list(self._runs)))

    async def _look(self) -> None:
        if self._follower is None:
            return
        try:
            changes = await asyncio.to_thread(self._follower.look, set(self._changing))
        except StockwrightError as failure:
            telemetry.STEP_FAILURES.labels("connections").inc()
            _log.warning("connections not looked at, will look again", error=str(failure))
            return
        for change in changes:
            self._changing[change.system] = asyncio.create_task(self._change(change))

    async def _change(self, change: Change) -> None:
        try:
            await self._replace(change)
        except Exception:  # noqa: BLE001  told; the other connections go on
            telemetry.STEP_FAILURES.labels("connections").inc()
            _log.exception("connection not replaced", system=change.system)
        finally:
            del self._changing[change.system]

    async def _replace(self, change: Change) -> None:
        system, opened = change
        before = self._connections.get(system)
        if opened is None:
            self._connections.drop(system)
        else:
            self._connections.put(system, opened.connection)
        await self._end(system)
        if opened is not None:
            self._begin(system, opened)
        if before is not None:
            await self._let_go(before)
            await close_one(system, before)

    def _begin(self, system: str, opened: Opened) -> None:
        if self._work is None:
            return
        stop = asyncio.Event()
        work = [_kept_running(system, one, stop) for one in self._work(opened, stop)]
        patience_s = opened.connection.limits.timeout_s + LEASE_MARGIN_S
        self._runs[system] = Run(stop, asyncio.gather(*work), patience_s)

    async def _end(self, system: str) -> None:
        """Ends what is done with a connection. A call that outlasts its lease is given up."""
        run = self._runs.pop(system, None)
        if run is None:
            return
        run.stop.set()
        _done, late = await asyncio.wait({run.task}, timeout=run.patience_s)
        for task in late:
            _log.warning("a call did not end in time and is given up", system=system)
            task.cancel()
            await asyncio.wait({task})


async def _kept_running(
    system: str, work: Callable[[], Coroutine[Any, Any, None]], stop: asyncio.Event
) -> None:
    """Runs one thing until `stop`; whatever it raises is told, and it runs again after a while."""
    pause_s = FIRST_PAUSE_S
    while not stop.is_set():
        try:
            await work()
        except Exception:  # noqa: BLE001  told; one connection must not end the others
            telemetry.STEP_FAILURES.labels("connection").inc()
            _log.exception("connection failed, will run again", system=system)
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await stop.wait()
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)


async def close_all(connections: Mapping[str, Connection]) -> None:
    """Gives back the sockets and files of every connection, whatever the others do."""
    for system, connection in connections.items():
        await close_one(system, connection)


async def close_one(system: str, connection: Connection) -> None:
    """Gives back the sockets and files of a connection; what fails is told."""
    try:
        await connection.close()
    except Exception:  # noqa: BLE001  told; the others must be closed as well
        _log.exception("connection did not close", system=system)
