"""Wakes those who wait for changes, however many they are, over one listening connection."""

import asyncio
import threading
from typing import Final

from stockwright.flow.projection import LEDGER
from stockwright.flow.publication import LEVELS
from stockwright.store.connection import listen

NET_S: Final = 1.0
"""A wake-up may be lost; who waits looks at least so often."""


class Bell:
    """Rung when the ledger or a level changes. `rung` counts, so that no ring is missed between
    looking and waiting.
    """

    def __init__(self) -> None:
        self.rung = 0
        self._mutex = threading.Lock()
        self._waiting: dict[asyncio.Future[None], asyncio.AbstractEventLoop] = {}

    def ring(self) -> None:
        """Wakes everybody; for any thread."""
        with self._mutex:
            self.rung += 1
            waiting, self._waiting = self._waiting, {}
        for future, loop in waiting.items():
            loop.call_soon_threadsafe(_wake, future)

    async def wait(self, since: int, timeout_s: float) -> None:
        """Returns once it has rung more than `since` times, after the time, or after NET_S."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        with self._mutex:
            if self.rung != since:
                return
            self._waiting[future] = loop
        try:
            await asyncio.wait({future}, timeout=min(timeout_s, NET_S))
        finally:
            with self._mutex:
                self._waiting.pop(future, None)

    def listen(self, url: str, stop: threading.Event) -> None:
        """Rings for what any process of the house commits, until `stop`."""
        for notes in listen(url, LEDGER, LEVELS, stop=stop):
            if notes:
                self.ring()


def _wake(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
