"""The same client for code that does not `await`: its calls run in an event loop of its own."""

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from stockwright.client import types
from stockwright.client.blocking_operations import BlockingOperations
from stockwright.client.client import Client
from stockwright.client.transport import USUAL, Retries
from stockwright.domain.events import Fact

T = TypeVar("T")


class BlockingClient(BlockingOperations):
    """Calls a Stockwright server and waits for its answer. For any number of threads."""

    def __init__(
        self, url: str, key: str = "", *, timeout_s: float = 60.0, retries: Retries = USUAL
    ) -> None:
        self._client = Client(url, key, timeout_s=timeout_s, retries=retries)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="stockwright client", daemon=True
        )
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets the connections go and ends the thread. Safe to repeat."""
        if self._thread.is_alive():
            self._run(self._client.close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def record(self, facts: Sequence[Fact]) -> list[types.ItemResult]:
        """As `Client.record`."""
        return self._run(self._client.record(facts))

    def changes(self, cursor: str = "", **which: Any) -> Iterator[types.ChangesPage]:
        """As `Client.changes`."""
        return self._each(self._client.changes(cursor, **which))

    def _run(self, call: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(call, self._loop).result()

    def _each(self, items: AsyncIterator[T]) -> Iterator[T]:
        async def following() -> tuple[bool, T | None]:
            try:
                return True, await anext(items)
            except StopAsyncIteration:
                return False, None

        async def ended() -> None:
            close = getattr(items, "aclose", None)
            if close is not None:
                await close()

        try:
            while True:
                there, item = self._run(following())
                if not there:
                    return
                yield item  # type: ignore[misc]  # None only where there is none
        finally:
            if not self._loop.is_closed():
                self._run(ended())
