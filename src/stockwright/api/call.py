"""One call: what a handler is given to answer it."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Any, Concatenate, ParamSpec, TypeAlias, TypeVar

from stockwright.api.reply import Reply
from stockwright.app import Services
from stockwright.store.access import Caller
from stockwright.store.connection import Connection
from stockwright.store.session import session, translated

P = ParamSpec("P")
T = TypeVar("T")


class Heard:
    """What is known of a call by the time it is answered, however it ends."""

    __slots__ = ("body", "caller")

    def __init__(self) -> None:
        self.body = b""
        self.caller: Caller | None = None


class Call:
    """One request on its way through a handler; its body is read and its caller known."""

    __slots__ = ("body", "caller", "headers", "path", "query", "services")

    def __init__(
        self,
        services: Services,
        caller: Caller,
        headers: dict[bytes, bytes],
        path: dict[str, str],
        query: Any,
        body: bytes,
    ) -> None:
        self.services = services
        self.caller = caller
        self.headers = headers
        self.path = path
        self.query = query
        self.body = body

    async def run(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Runs `work(connection, ...)` in one transaction on a thread of the readers' pool."""

        def inside() -> T:
            with session(self.services.pool) as connection:
                return work(connection, *args, **kwargs)

        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.services.threads, inside)

    async def block(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs blocking work that takes its own connection on a reader's thread."""
        return await _run(self.services.threads, work, *args, **kwargs)

    async def slowly(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `block`, for work that may take seconds: few at a time, and no read behind them."""
        return await _run(self.services.slow_threads, work, *args, **kwargs)

    async def follow(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `block`, for those who follow the feed, of whom hundreds want the same at once."""
        return await _run(self.services.followers, work, *args, **kwargs)


async def _run(threads: Executor, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    def inside() -> T:
        with translated():
            return work(*args, **kwargs)

    return await asyncio.get_running_loop().run_in_executor(threads, inside)


Handler: TypeAlias = Callable[[Call], Awaitable[Reply]]
