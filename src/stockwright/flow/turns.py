"""Turns at what all publishers of a process share: the more critical connection goes first."""

import asyncio
import heapq
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import count
from typing import Final

HEAD_START_S: Final[Mapping[str, float]] = {
    "critical": 0.0,
    "high": 0.1,
    "normal": 0.3,
    "low": 1.0,
}
"""By a system's criticality: how much later it counts as having come. So the more critical goes
first, and nobody waits for ever."""


class Turns:
    """At most `at_once` turns at one time. For coroutines of one event loop."""

    def __init__(self, at_once: int) -> None:
        assert at_once > 0
        self._free = at_once
        self._numbers = count()
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def turn(self, criticality: str) -> AsyncIterator[None]:
        """Waits for a turn, and gives it back at the end."""
        await self._take(criticality)
        try:
            yield
        finally:
            self._pass_on()

    async def _take(self, criticality: str) -> None:
        if self._free:
            self._free -= 1
            return
        loop = asyncio.get_running_loop()
        mine = loop.create_future()
        heapq.heappush(
            self._waiting, (loop.time() + HEAD_START_S[criticality], next(self._numbers), mine)
        )
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        while self._waiting:
            *_, following = heapq.heappop(self._waiting)
            if not following.done():
                following.set_result(None)
                return
        self._free += 1
