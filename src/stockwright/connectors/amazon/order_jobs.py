"""What became of cancellations and refunds, by their keys: each is in a feed of Amazon's.

A job is remembered before its feed is made. Where the answer to that was lost, the feed is looked
for before another one may be made: else a refund would be paid twice.
"""

import datetime as dt
from collections.abc import Callable
from typing import Final

import msgspec

from stockwright.connectors.amazon import feed_calls
from stockwright.connectors.amazon.api import Api
from stockwright.connectors.amazon.declaration import AmazonSettings
from stockwright.connectors.amazon.order_feed_forms import ADJUSTS, CANCELS, result_of
from stockwright.connectors.amazon.order_forms import moment_of, text_of
from stockwright.connectors.amazon.orders import order_of
from stockwright.domain.errors import Misconfigured, Transient
from stockwright.sdk.messages import (
    Cancellation,
    Delivered,
    InDoubt,
    Refund,
    Refused,
    Retry,
    SubmitResult,
)

MOST_JOBS: Final = 1_000
"""Documents that are remembered at one time."""
GIVEN_UP_AFTER: Final = dt.timedelta(days=1)
"""A feed that did not end by then is given to a person."""
_CLOCKS: Final = dt.timedelta(minutes=1)
"""By how much Amazon's clock may be off what its last answer told."""
_LOST: Final = "lost"
_LOOK_IN: Final = "look at the order in Seller Central before you tell it anew"
Told = Cancellation | Refund


class Job(msgspec.Struct):
    """A document in a feed. feed is '' until Amazon answered its making. made: when that began;
    since: a little before that by Amazon's clock.

    followed: another process made it, whose other feeds are not known here. making: its call is
    under way.
    """

    kind: str
    feed: str
    made: dt.datetime
    look_at: dt.datetime
    since: str = ""
    followed: bool = False
    making: bool = False
    result: Delivered | Refused | None = None


class Jobs:
    """The cancellations and refunds of one connection, by their keys."""

    def __init__(
        self, api: Api, settings: AmazonSettings, clock: Callable[[], dt.datetime]
    ) -> None:
        self._api = api
        self._settings = settings
        self._clock = clock
        self._look_every = dt.timedelta(seconds=settings.feed_look_s)
        self._jobs: dict[str, Job] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._jobs

    def has_room(self) -> bool:
        """Makes room for one more by what ended first; False where all are at work."""
        if len(self._jobs) >= MOST_JOBS:
            ended = next((key for key, job in self._jobs.items() if job.result is not None), None)
            if ended is None:
                return False
            del self._jobs[ended]
        return True

    def begin(self, key: str, kind: str) -> Job:
        """Remembers a document whose feed is about to be made."""
        now = self._clock()
        since = text_of(self._api.now - _CLOCKS)
        job = self._jobs[key] = Job(kind, "", now, now + self._look_every, since, making=True)
        return job

    def follow(self, key: str, reference: str) -> None:
        """Remembers a document whose feed an earlier process made, by its `InDoubt.reference`."""
        now = self._clock()
        match reference.split(" "):
            case [word, kind, since] if word == _LOST and kind in (CANCELS, ADJUSTS):
                made = min(now, moment_of(since) or now)
                job = Job(kind, "", made, now, since, followed=True)
            case _:
                job = Job("", reference, now, now, followed=True)
        self._jobs[key] = job

    def forget(self, key: str) -> None:
        """There is no feed of it, and none under way."""
        self._jobs.pop(key, None)

    def at_work(self, job: Job) -> InDoubt:
        """The word for a document that Amazon may have, and did not answer yet."""
        wait_s = self._settings.feed_look_s
        if job.feed:
            reason = f"feed {job.feed} is at work"
            return InDoubt(reason=reason, retry_after_s=wait_s, taken=True, reference=job.feed)
        reference = f"{_LOST} {job.kind} {job.since}"
        reason = "Amazon's answer is awaited, or was lost"
        return InDoubt(reason=reason, retry_after_s=wait_s, reference=reference)

    async def look(self, document: Told, deadline: float) -> SubmitResult | None:
        """What became of a document, as far as it is time to ask; what cannot be told now is asked
        later. None where there is no feed of it: it may be told.
        """
        job, now = self._jobs.get(document.key), self._clock()
        if job is None:
            return None
        if job.result is not None:
            return job.result
        # A clock that was put back must not put off the look by as much.
        if job.making or now < job.look_at <= now + self._look_every:
            return self.at_work(job)
        job.look_at = now + self._look_every
        job.made = min(job.made, now)
        try:
            told = await self._told(document, job, now, deadline)
        except (Transient, Misconfigured):
            told = self.at_work(job)
        if isinstance(told, InDoubt) and now >= job.made + GIVEN_UP_AFTER:
            told = _perhaps("Amazon did not end the feed within a day")
        if isinstance(told, Delivered | Refused):
            job.result = told
        elif not isinstance(told, InDoubt):
            self.forget(document.key)
        return told

    async def _told(
        self, document: Told, job: Job, now: dt.datetime, deadline: float
    ) -> SubmitResult | None:
        """What Amazon says of a job; None where it knows of none. Raises as feed_calls does."""
        if not job.feed:
            made = await feed_calls.made_since(self._api, job.kind, job.since, deadline)
            known = {one.feed for one in self._jobs.values()}
            strange = [feed for feed in made if feed not in known]
            if not strange:
                return None
            job.feed = strange[0]
            if job.followed or len(strange) > 1:
                return _perhaps("a feed was made when the answer to this one was lost")
        state = await feed_calls.state_of(self._api, job.feed, deadline)
        if job.followed:
            job.made = min(job.made, moment_of(state.created_time) or job.made)
        late = now >= job.made + dt.timedelta(seconds=self._settings.feed_deadline_s)
        match state.processing_status:
            case "DONE":
                wrong = result_of(await feed_calls.report_of(self._api, state, deadline))
                # A report that is garbled on its way is fetched again.
                if late or not isinstance(wrong, InDoubt):
                    return await self._ended(document, job, wrong, deadline)
            case "FATAL":
                broken_off = InDoubt(reason="Amazon broke the feed off")
                return await self._ended(document, job, broken_off, deadline)
            case "CANCELLED":
                return Retry(retry_after_s=0.0, reason="the feed was cancelled")
            case "IN_QUEUE" if late and await feed_calls.cancel(self._api, job.feed, deadline):
                return Retry(retry_after_s=0.0, reason="the feed was not begun in time")
        return self.at_work(job)

    async def _ended(
        self, document: Told, job: Job, wrong: Refused | InDoubt | None, deadline: float
    ) -> Delivered | Refused:
        """What its report says. A cancellation of what is cancelled by now is told as it is."""
        if wrong is None:
            return Delivered(reference=job.feed)
        if isinstance(document, Cancellation):
            order = await order_of(self._api, self._settings, document.order, deadline)
            if order is not None and order.status in self._settings.cancelled:
                return Delivered(reference=document.order)
        return wrong if isinstance(wrong, Refused) else _perhaps(wrong.reason)


def _perhaps(words: str) -> Refused:
    """Nobody can tell, and to tell it again could pay twice: a person must look."""
    return Refused(reason="perhaps_told", message=f"{words}: {_LOOK_IN}")
