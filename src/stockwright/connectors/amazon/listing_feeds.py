"""The feed lane: many levels in one document, and what became of each once Amazon has read it.

A feed takes minutes. So its levels are in doubt while it is at work, and whoever hands them over
again learns what became of it. A feed that does not end is cancelled or forgotten at its deadline:
its levels go another way, and no later feed waits for it.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import msgspec

from stockwright.connectors.amazon import feed_calls
from stockwright.connectors.amazon.api import Api, left_s
from stockwright.connectors.amazon.declaration import AmazonSettings
from stockwright.connectors.amazon.listing_feed_forms import (
    CONTENT,
    FEED_TYPE,
    document_of,
    results_of,
)
from stockwright.connectors.amazon.plans import PLANS
from stockwright.domain.errors import Transient
from stockwright.sdk.calling import WAIT_S
from stockwright.sdk.jobs import Job
from stockwright.sdk.messages import (
    Applied,
    InDoubt,
    LevelKey,
    LevelToSend,
    PublishResult,
    Retry,
)

MOST_FEEDS: Final = 30
"""Feeds that are remembered at one time."""


class Feed(Job, kw_only=True):
    """A feed and the numbers it carries. results is None while it is at work.

    rows are the keys in the order of its messages, numbered from 1. overwritten: keys of which
    another number left while it was at work: its end does not say which of the two is shown.
    """

    rows: tuple[LevelKey, ...]
    quantities: dict[LevelKey, int]
    overwritten: set[LevelKey] = msgspec.field(default_factory=set)
    results: dict[LevelKey, PublishResult] | None = None


class ListingFeeds:
    """The feeds of one connection that are at work, or whose results were not asked for yet."""

    def __init__(
        self, api: Api, settings: AmazonSettings, clock: Callable[[], dt.datetime]
    ) -> None:
        self._api = api
        self._settings = settings
        self._clock = clock
        self.feeds: list[Feed] = []

    @property
    def wait_s(self) -> float:
        """Seconds until another feed may be made."""
        return self._api.pace.wait_s("createFeed")

    # ---------------------------------------------------------------- what became of them

    async def ask(self, levels: Sequence[LevelToSend], deadline: float) -> dict[int, PublishResult]:
        """What became of those levels whose very number a feed carries, by their place.

        Those of a feed at work are in doubt, and taken. A feed is looked at when its time has come.
        """
        keys = {level.key for level in levels}
        for feed in list(self.feeds):
            if feed.results is None and not keys.isdisjoint(feed.quantities):
                await feed.once(partial(self._look, feed, deadline), deadline)
        found: dict[int, PublishResult] = {}
        for n, level in enumerate(levels):
            result = self._told(level)
            if result is not None:
                found[n] = result
        self._tidy()
        return found

    def holds_another(self, level: LevelToSend) -> bool:
        """True where a feed at work carries another number of this level, and may still write
        it.
        """
        return bool(self._others(level))

    def _others(self, level: LevelToSend) -> list[Feed]:
        return [
            feed
            for feed in self.feeds
            if feed.results is None
            and feed.quantities.get(level.key, level.quantity) != level.quantity
        ]

    def holds_more(self, level: LevelToSend) -> bool:
        """True where a feed at work may raise this level above its number."""
        return any(
            feed.results is None and feed.quantities.get(level.key, 0) > level.quantity
            for feed in self.feeds
        )

    def at_work(self, reason: str, feed: Feed | None = None) -> InDoubt:
        """The word for a level that Amazon has and did not answer yet."""
        every_s = self._settings.feed_look_s
        wait_s = feed.wait_s(self._clock(), every_s) if feed else every_s
        return InDoubt(reason=reason, retry_after_s=wait_s, taken=True)

    def _told(self, level: LevelToSend) -> PublishResult | None:
        for feed in reversed(self.feeds):  # the newest has the last word
            if level.key not in feed.quantities:
                continue
            speaks = level.key not in feed.overwritten
            same = speaks and feed.quantities[level.key] == level.quantity
            if feed.results is None:
                return self.at_work(f"feed {feed.id} is at work", feed) if same else None
            del feed.quantities[level.key]
            if same:
                return self.careful(level, feed.results[level.key])
        return None

    def careful(self, level: LevelToSend, result: PublishResult) -> PublishResult:
        """A result as it stands while a feed at work may still write another number over it."""
        others = self._others(level)
        if isinstance(result, Applied | InDoubt):
            self._overwritten(level, others)
        if isinstance(result, Applied) and others:
            return self.at_work("a feed at work may still write another number")
        return result

    @staticmethod
    def _overwritten(level: LevelToSend, others: Sequence[Feed]) -> None:
        for feed in others:
            feed.overwritten.add(level.key)

    def _tidy(self) -> None:
        now = self._clock()
        # One that nobody asks about any more: another process took its levels over.
        forgotten = now - dt.timedelta(seconds=self._settings.longest_apply_delay_s)
        self.feeds = [
            feed
            for feed in self.feeds
            if (
                feed.deadline > forgotten
                if feed.results is None
                else feed.quantities and feed.deadline > now
            )
        ]

    async def _look(self, feed: Feed, deadline: float) -> None:
        """Asks how a feed does, where it is time to. What cannot be told now is asked later."""
        now, look_every = self._clock(), dt.timedelta(seconds=self._settings.feed_look_s)
        # A clock that was put back must not put off the look by as much.
        if feed.results is not None or now < feed.look_at <= now + look_every:
            return
        feed.look_at = now + look_every
        feed.deadline = min(
            feed.deadline, now + dt.timedelta(seconds=self._settings.feed_deadline_s)
        )
        status = ""
        try:
            state = await feed_calls.state_of(self._api, feed.id, deadline)
            status = state.processing_status
            feed.results = await self._results(feed, state, deadline)
        except Transient:
            pass
        if feed.results is None and now >= feed.deadline:
            await self._give_up(feed, status, deadline)

    async def _results(
        self, feed: Feed, state: feed_calls.State, deadline: float
    ) -> dict[LevelKey, PublishResult] | None:
        match state.processing_status:
            case "DONE":
                return await self._reported(feed, state, deadline)
            case "FATAL":
                return self._all(feed, InDoubt(reason="feed_fatal", retry_after_s=WAIT_S))
            case "CANCELLED":
                return self._all(feed, Retry(retry_after_s=0.0, reason="the feed was cancelled"))
            case _:
                return None

    async def _reported(
        self, feed: Feed, state: feed_calls.State, deadline: float
    ) -> dict[LevelKey, PublishResult]:
        """What the processing report says of each message. Raises Transient: not to be had now."""
        plain = await feed_calls.report_of(self._api, state, deadline)
        return results_of(feed.rows, plain)

    async def _give_up(self, feed: Feed, status: str, deadline: float) -> None:
        """The watchdog: a feed still in the queue is cancelled; one at work is forgotten.

        A forgotten one may still write its numbers: the hub holds them possible for as long as
        `longest_apply_delay_s` says, and reads back.
        """
        if status == "IN_QUEUE" and await feed_calls.cancel(self._api, feed.id, deadline):
            reason = "the feed was not begun in time, and cancelled"
            feed.results = self._all(feed, Retry(retry_after_s=0.0, reason=reason))
            return
        self.feeds.remove(feed)

    @staticmethod
    def _all(feed: Feed, result: PublishResult) -> dict[LevelKey, PublishResult]:
        return dict.fromkeys(feed.rows, result)

    # ---------------------------------------------------------------- out

    async def send(self, levels: Sequence[LevelToSend], deadline: float) -> list[PublishResult]:
        """Makes a feed of these levels; results are aligned. Raises Misconfigured: not done."""
        result = await self._send(levels, deadline)
        return [result] * len(levels)

    async def _send(self, levels: Sequence[LevelToSend], deadline: float) -> PublishResult:
        if len(self.feeds) >= MOST_FEEDS:
            return Retry(retry_after_s=self._settings.feed_look_s, reason="too many feeds at work")
        if self.wait_s > left_s(deadline) / 2:
            # By then the patches of this call have gone, and those of the next one may go.
            turn_s = self._settings.patches_at_once / PLANS["patchListingsItem"].rate_per_s
            wait_s = min(self.wait_s, turn_s)
            return Retry(retry_after_s=wait_s, reason="Amazon allows no other feed yet")
        sending = feed_calls.Sending(
            FEED_TYPE,
            self._settings.marketplaces[0],
            CONTENT,
            document_of(levels, self._settings),
        )
        made = await feed_calls.make(self._api, sending, deadline)
        if isinstance(made, str | InDoubt):
            for level in levels:
                self._overwritten(level, self._others(level))
        if not isinstance(made, str):
            return made
        now = self._clock()
        rows = tuple(level.key for level in levels)
        self.feeds.append(
            Feed(
                id=made,
                rows=rows,
                quantities={level.key: level.quantity for level in levels},
                look_at=now + dt.timedelta(seconds=self._settings.feed_look_s),
                deadline=now + dt.timedelta(seconds=self._settings.feed_deadline_s),
            )
        )
        return self.at_work(f"feed {made} is at work")
