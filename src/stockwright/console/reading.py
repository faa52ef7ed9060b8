"""What the console needs of its process, and how it reads: on threads, one moment at a time."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from stockwright.config import Connections
from stockwright.flow.intake import Intake
from stockwright.flow.recording import Recorder
from stockwright.store import positions
from stockwright.store.connection import Connection, Pool
from stockwright.store.session import session, translated

P = ParamSpec("P")
T = TypeVar("T")


class ConsoleServices(Protocol):
    """What the console needs of a process: connections, and threads to use them on."""

    @property
    def pool(self) -> Pool:
        """Lends connections."""

    @property
    def threads(self) -> Executor:
        """Runs what waits for the database."""

    @property
    def recorder(self) -> Recorder:
        """The only door to the ledger."""

    @property
    def intake(self) -> Intake:
        """Maps payloads, and those that were parked anew."""

    @property
    def consumer_networks(self) -> Sequence[str]:
        """Private networks that outside consumers may be in."""

    @property
    def nameable(self) -> Connections:
        """What connections made here may name on this machine."""


class Reader:
    """Runs work on the database away from the event loop."""

    def __init__(self, services: ConsoleServices) -> None:
        self._services = services

    @property
    def services(self) -> ConsoleServices:
        """What else the process has."""
        return self._services

    async def block(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs blocking work that takes a connection of its own on a thread."""

        def inside() -> T:
            with translated():
                return work(*args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self._services.threads, inside)

    async def run(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Runs `work(connection, ...)` on a thread, in one transaction."""

        def inside() -> T:
            with session(self._services.pool) as connection:
                return work(connection, *args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self._services.threads, inside)

    async def read(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """The same, reading one moment: every number on a page is true together."""

        def steady(connection: Connection) -> T:
            positions.read_one_moment(connection)
            return work(connection, *args, **kwargs)

        return await self.run(steady)
