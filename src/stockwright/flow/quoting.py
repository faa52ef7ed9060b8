"""Answers what callers ask about quantities: whoever asks at the same time shares one statement.

A call for one SKU costs mostly its way to the database and back. So at most RUNNERS trips are on
their way at a time; who asks meanwhile goes with the next, up to MOST_SKUS together. A lone caller
waits for nobody.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Final, NamedTuple

from stockwright.flow.explaining import Quantities, explain_found
from stockwright.flow.exposing import RuleBook, read_rule_book
from stockwright.store import stock
from stockwright.store.connection import Connection, Pool
from stockwright.store.session import session

RUNNERS: Final = 2
MOST_SKUS: Final = 1_000
_TRIES: Final = 10
"""Times that the rules are read again because they changed meanwhile."""

Answer = list[Quantities | None]


class _Ask(NamedTuple):
    skus: Sequence[str]
    channel: str | None
    answer: asyncio.Future[Answer]


class Quotes:
    """Quantities for callers of one event loop. The pool's connections commit by themselves."""

    def __init__(self, pool: Pool, threads: Executor) -> None:
        self._pool = pool
        self._threads = threads
        self._book: RuleBook | None = None
        self._waiting: list[_Ask] = []
        self._running = 0

    async def ask(self, skus: Sequence[str], channel: str | None = None) -> Answer:
        """As `explaining.quantities`. Raises what that does, and what the store raises."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append(_Ask(skus, channel, answer))
        self._go_on(loop)
        return await answer

    def _go_on(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting and self._running < RUNNERS:
            together = self._take()
            self._running += 1
            trip = loop.run_in_executor(self._threads, self._travel, together)
            trip.add_done_callback(partial(self._arrived, loop, together))

    def _take(self) -> list[_Ask]:
        """Who goes with the first that waits: those that ask of the same channel."""
        first = self._waiting[0]
        together: list[_Ask] = []
        left: list[_Ask] = []
        room = MOST_SKUS
        for ask in self._waiting:
            fits = ask is first or (ask.channel == first.channel and len(ask.skus) <= room)
            (together if fits else left).append(ask)
            room -= len(ask.skus) if fits else 0
        self._waiting = left
        return together

    def _arrived(
        self,
        loop: asyncio.AbstractEventLoop,
        asks: Sequence[_Ask],
        done: "asyncio.Future[list[Answer]]",
    ) -> None:
        self._running -= 1
        self._go_on(loop)
        failure = None if done.cancelled() else done.exception()
        for n, ask in enumerate(asks):
            if ask.answer.done():  # its caller went away
                continue
            if done.cancelled():
                ask.answer.cancel()
            elif failure is not None:
                ask.answer.set_exception(failure)
            else:
                ask.answer.set_result(done.result()[n])

    def _travel(self, asks: Sequence[_Ask]) -> list[Answer]:
        skus = list(dict.fromkeys(sku for ask in asks for sku in ask.skus))
        with session(self._pool) as connection:
            book, found = self._look(connection, skus, asks[0].channel)
        known = explain_found(book, found, skus, asks[0].channel)
        return [[known.get(sku) for sku in ask.skus] for ask in asks]

    def _look(
        self, connection: Connection, skus: Sequence[str], channel: str | None
    ) -> tuple[RuleBook, stock.Found]:
        """What the books say, and the rules of the same revision of the master."""
        book = self._book or read_rule_book(connection)
        found = stock.quantities(connection, skus, channel, fenced=book.has_fences)
        for _ in range(_TRIES):
            if found.revision == book.revision:
                break
            book = read_rule_book(connection)
            found = stock.quantities(connection, skus, channel, fenced=book.has_fences)
        # Where somebody changes the master all the time, rules a moment old are as good as any.
        self._book = book
        return book, found
