"""Small questions asked at the same time are read together: one reading answers all who wait.

What is asked while a reading is under way waits for the next one, and nobody waits for a timer. So
a reading's dozen statements are shared by as many callers as there are, and a single caller is
answered as soon as without it.
"""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Final, NamedTuple

from stockwright.domain.errors import Rejected
from stockwright.flow import explaining
from stockwright.flow.explaining import Quantities
from stockwright.store.connection import Connection, Pool
from stockwright.store.session import session

READINGS: Final = 1
"""Readings under way at one time. With two, each is shared by half as many callers, and their
threads wait for each other: a tenth fewer answers a second on two cores.
"""
MOST_ASKS: Final = 100
"""Questions that one reading answers; more wait for the next."""

Found = list[Quantities | None]


class _Ask(NamedTuple):
    skus: Sequence[str]
    channel: str | None
    waiter: "asyncio.Future[Found]"


class Gatherer:
    """Answers questions about a few SKUs. For coroutines of any event loop."""

    def __init__(self, pool: Pool, threads: Executor) -> None:
        self._pool = pool
        self._threads = threads
        self._lock = threading.Lock()
        self._waiting: list[_Ask] = []
        self._under_way = 0

    async def quantities(self, skus: Sequence[str], channel: str | None = None) -> Found:
        """As `explaining.quantities`, without levels. Raises what that and `session` raise."""
        waiter: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        with self._lock:
            self._waiting.append(_Ask(skus, channel, waiter))
            begin = self._under_way < READINGS
            self._under_way += begin
        if begin:
            self._threads.submit(self._read)
        return await waiter

    def _read(self) -> None:
        """Reads for whoever waits, until nobody does."""
        while True:
            with self._lock:
                asks, self._waiting = self._waiting[:MOST_ASKS], self._waiting[MOST_ASKS:]
                if not asks:
                    self._under_way -= 1
                    return
            _hand_over(asks, self._answers(asks))

    def _answers(self, asks: Sequence[_Ask]) -> "list[Found | Exception]":
        try:
            with session(self._pool) as connection:
                return _told(connection, asks)
        except Exception as failure:  # noqa: BLE001  told to each caller, who answers with it
            return [failure] * len(asks)


def _told(connection: Connection, asks: Sequence[_Ask]) -> "list[Found | Exception]":
    """The answer to each question; those of one channel share a reading."""
    answers: list[Found | Exception] = [[] for _ in asks]
    channels: dict[str | None, list[int]] = {}
    for place, ask in enumerate(asks):
        channels.setdefault(ask.channel, []).append(place)
    for channel, places in channels.items():
        skus = list(dict.fromkeys(sku for place in places for sku in asks[place].skus))
        try:
            found = explaining.quantities(connection, skus, channel, with_levels=False)
        except Rejected as refusal:
            for place in places:
                answers[place] = refusal
            continue
        known = dict(zip(skus, found, strict=True))
        for place in places:
            answers[place] = [known[sku] for sku in asks[place].skus]
    return answers


def _hand_over(asks: Sequence[_Ask], answers: "Sequence[Found | Exception]") -> None:
    """Wakes each event loop once, with all answers for it."""
    ready: dict[asyncio.AbstractEventLoop, list[tuple[_Ask, Found | Exception]]] = {}
    for ask, answer in zip(asks, answers, strict=True):
        ready.setdefault(ask.waiter.get_loop(), []).append((ask, answer))
    for loop, some in ready.items():
        try:
            loop.call_soon_threadsafe(_answer, some)
        except RuntimeError:
            continue  # that event loop is gone, and with it whoever waited


def _answer(some: "list[tuple[_Ask, Found | Exception]]") -> None:
    for ask, answer in some:
        if ask.waiter.done():
            continue
        if isinstance(answer, Exception):
            ask.waiter.set_exception(answer)
        else:
            ask.waiter.set_result(answer)
