"""Live pages by server-sent events: one reader of the database however many browsers look.

While anybody follows a topic its source is read once a second, and what changed goes to every
follower. A browser that connects (again) gets everything first, so nothing needs to be replayed.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Final

import msgspec
import structlog

from stockwright import telemetry
from stockwright.domain.errors import StockwrightError

EVERY_S: Final = 1.0
COMMENT_EVERY_S: Final = 15.0
"""An unchanged page still says something, so that proxies keep the stream open."""
MAX_FOLLOWERS: Final = 500

log = structlog.get_logger("stockwright.console")


class Snapshot(msgspec.Struct, frozen=True):
    """Texts by cell; a page whose shape differs is fetched anew by the browser."""

    shape: str
    cells: Mapping[str, str]


Source = Callable[[], Awaitable[Snapshot]]


def frame(event: str, data: object) -> bytes:
    """One server-sent event."""
    return b"event: %s\ndata: %s\n\n" % (event.encode(), msgspec.json.encode(data))


def difference(old: Snapshot | None, new: Snapshot) -> bytes:
    """The event that brings a page from one snapshot to the next; empty where nothing changed."""
    if old is None:
        return frame("cells", {"shape": new.shape, "cells": new.cells})
    changed = {name: text for name, text in new.cells.items() if old.cells.get(name) != text}
    if not changed and old.shape == new.shape:
        return b""
    return frame("cells", {"shape": new.shape, "cells": changed})


class Topic:
    """One source, read while somebody follows it."""

    def __init__(self, source: Source, *, every_s: float = EVERY_S) -> None:
        self._source = source
        self._every_s = every_s
        self._followers: set[asyncio.Queue[Snapshot]] = set()
        self._reader: asyncio.Task[None] | None = None
        self._latest: Snapshot | None = None

    @property
    def followers(self) -> int:
        """How many browsers follow."""
        return len(self._followers)

    async def follow(self) -> AsyncGenerator[bytes, None]:
        """Events for one browser: everything first, then what changed, at most once a period."""
        inbox: asyncio.Queue[Snapshot] = asyncio.Queue(maxsize=1)
        self._followers.add(inbox)
        telemetry.STREAMS.inc()
        try:
            self._start()
            if self._latest is not None:
                inbox.put_nowait(self._latest)
            seen: Snapshot | None = None
            yield b"retry: 2000\n\n"
            while True:
                try:
                    async with asyncio.timeout(COMMENT_EVERY_S):
                        new = await inbox.get()
                except TimeoutError:
                    yield b": still here\n\n"
                    continue
                change = difference(seen, new)
                seen = new
                if change:
                    yield change
        finally:
            self._followers.discard(inbox)
            telemetry.STREAMS.dec()

    def _start(self) -> None:
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        """Runs until nobody follows. A source that fails is tried again: the page keeps its age."""
        while self._followers:
            try:
                self._latest = await self._source()
            except StockwrightError as failure:
                log.warning("the stream cannot read", failure=str(failure))
            else:
                for inbox in self._followers:
                    _replace(inbox, self._latest)
            await asyncio.sleep(self._every_s)
        self._latest = None


async def while_allowed(
    events: AsyncGenerator[bytes, None],
    allowed: Callable[[], Awaitable[bool]],
    *,
    every_s: float = COMMENT_EVERY_S,
) -> AsyncGenerator[bytes, None]:
    """The events until somebody may see them no more, which is asked now and then."""
    loop = asyncio.get_running_loop()
    asked_at = loop.time()
    async with aclosing(events):
        async for event in events:
            if loop.time() - asked_at >= every_s:
                asked_at = loop.time()
                try:
                    if not await allowed():
                        return
                except StockwrightError as failure:
                    log.warning("cannot ask who looks", failure=str(failure))
            yield event


def _replace(inbox: asyncio.Queue[Snapshot], new: Snapshot) -> None:
    """A slow browser misses snapshots in between, never the newest."""
    if inbox.full():
        inbox.get_nowait()
    inbox.put_nowait(new)


class Topics:
    """All topics of a process by name; a name's topic goes when its last follower has gone."""

    def __init__(self, *, every_s: float = EVERY_S) -> None:
        self._every_s = every_s
        self._topics: dict[str, Topic] = {}

    @property
    def full(self) -> bool:
        """Whether another follower would be one too many."""
        return sum(topic.followers for topic in self._topics.values()) >= MAX_FOLLOWERS

    async def follow(self, name: str, source: Source) -> AsyncGenerator[bytes, None]:
        """Events of the topic for one browser; the first to name it brings its source."""
        topic = self._topics.setdefault(name, Topic(source, every_s=self._every_s))
        try:
            async with aclosing(topic.follow()) as events:
                async for event in events:
                    yield event
        finally:
            if not topic.followers and self._topics.get(name) is topic:
                del self._topics[name]
