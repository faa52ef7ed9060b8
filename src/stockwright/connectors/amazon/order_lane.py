"""Cancellations and refunds out: a feed each, and what became of it once Amazon has read it.

Amazon takes them by feed only, and keeps no keys of ours. So a document is in doubt, and taken,
while its feed is at work; whoever tells it again under its key learns how the feed does. Where the
answer to the making of a feed was lost, the feed is looked for before another one is made.
"""

import asyncio
import datetime as dt
from collections.abc import Callable
from typing import Final

import msgspec

from stockwright.connectors.amazon import feed_calls
from stockwright.connectors.amazon.api import Api
from stockwright.connectors.amazon.declaration import AmazonSettings
from stockwright.connectors.amazon.feed_calls import Sending
from stockwright.connectors.amazon.order_amounts import Refusal, units_of, with_amounts
from stockwright.connectors.amazon.order_feed_forms import (
    ADJUST_REASONS,
    ADJUSTS,
    CANCEL_REASONS,
    CANCELS,
    CONTENT,
    adjustment_of,
    cancellation_of,
    reason_of,
    result_of,
)
from stockwright.connectors.amazon.order_forms import PENDING, KnownOrder, text_of
from stockwright.connectors.amazon.orders import order_of
from stockwright.connectors.amazon.shipping import unknown
from stockwright.domain.errors import Misconfigured, Throttled, Transient
from stockwright.sdk.calling import WAIT_S
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
PAID_LATER_S: Final = 900.0
"""Until an order that is pending is looked at again: it is paid within days, as a rule in half an
hour.
"""
_CLOCKS: Final = dt.timedelta(minutes=1)
"""How far Amazon's clock may be behind ours."""
_LOOK_IN: Final = "look at the order in Seller Central before you tell it anew"
Told = Cancellation | Refund


class Job(msgspec.Struct):
    """A document in a feed. feed is '' where Amazon's answer to its making was lost."""

    kind: str
    feed: str
    made: dt.datetime
    look_at: dt.datetime
    result: Delivered | Refused | None = None


class OrderLane:
    """The cancellations and refunds of one connection, by their keys."""

    def __init__(
        self, api: Api, settings: AmazonSettings, clock: Callable[[], dt.datetime]
    ) -> None:
        self._api = api
        self._settings = settings
        self._clock = clock
        self.jobs: dict[str, Job] = {}

    async def submit(self, document: Told) -> SubmitResult:
        """Tells Amazon of one document, or what became of it. Raises Misconfigured: not done."""
        deadline = asyncio.get_running_loop().time() + self._settings.timeout_s
        job = self.jobs.get(document.key)
        if job is not None and not job.feed:
            lost = await self._found(document.key, job, deadline)
            if lost is not None:
                return lost
            job = self.jobs.get(document.key)
        if job is not None:
            return await self._look(document, job, deadline)
        try:
            return await self._send(document, deadline)
        except Refusal as refusal:
            return refusal.told
        except Throttled as error:
            return Retry(retry_after_s=error.retry_after_s, reason=str(error))
        except Transient as error:  # asked only: a write is judged, and raises nothing
            return Retry(retry_after_s=WAIT_S, reason=str(error))

    async def follow(self, document: Told, reference: str) -> SubmitResult:
        """What became of a document whose feed an earlier process made."""
        if document.key not in self.jobs:
            self._remember(document, _kind_of(document), reference)
            self.jobs[document.key].look_at = self._clock()
        return await self.submit(document)

    # ---------------------------------------------------------------- what became of them

    async def _look(self, document: Told, job: Job, deadline: float) -> SubmitResult:
        """How its feed does, where it is time to ask. What cannot be told now is asked later."""
        now = self._clock()
        if job.result is not None or now < job.look_at:
            return job.result or self._at_work(job)
        job.look_at = now + dt.timedelta(seconds=self._settings.feed_look_s)
        left_s = deadline - asyncio.get_running_loop().time()
        try:
            state = await feed_calls.state_of(self._api, job.feed, left_s)
            match state.processing_status:
                case "DONE":
                    report = await feed_calls.report_of(self._api, state, left_s)
                    job.result = await self._ended(document, job, report, deadline)
                case "FATAL":
                    job.result = await self._ended(document, job, None, deadline)
                case "CANCELLED":
                    del self.jobs[document.key]
                    return Retry(retry_after_s=0.0, reason="the feed was cancelled")
                case "IN_QUEUE" if await self._is_given_up(job, now, left_s):
                    del self.jobs[document.key]
                    return Retry(retry_after_s=0.0, reason="the feed was not begun in time")
        except (Transient, Misconfigured):
            pass
        return job.result or self._at_work(job)

    async def _ended(
        self, document: Told, job: Job, report: bytes | None, deadline: float
    ) -> Delivered | Refused:
        """What the report says. A cancellation that Amazon carried out before is told as it is."""
        wrong = result_of(report)
        if wrong is None:
            return Delivered(reference=job.feed)
        if job.kind == CANCELS:
            order = await order_of(self._api, self._settings, document.order, deadline)
            if order is not None and order.status in self._settings.cancelled:
                return Delivered(reference=document.order)
        return wrong if isinstance(wrong, Refused) else _perhaps(wrong.reason)

    async def _is_given_up(self, job: Job, now: dt.datetime, left_s: float) -> bool:
        """The watchdog: a feed that was not begun in time is taken back."""
        deadline = job.made + dt.timedelta(seconds=self._settings.feed_deadline_s)
        return now >= deadline and await feed_calls.cancel(self._api, job.feed, left_s)

    async def _found(self, key: str, job: Job, deadline: float) -> SubmitResult | None:
        """None once it is known what became of a feed whose making was not answered: its job has
        the feed, or is gone.
        """
        now = self._clock()
        if now < job.look_at:
            return self._at_work(job)
        left_s = deadline - asyncio.get_running_loop().time()
        since = text_of(job.made - _CLOCKS)
        try:
            made = await feed_calls.made_since(self._api, job.kind, since, left_s)
        except (Transient, Misconfigured):
            return self._at_work(job)
        known = {one.feed for one in self.jobs.values()}
        strange = [feed for feed in made if feed not in known]
        if not strange:
            del self.jobs[key]
        elif len(strange) == 1:
            job.feed = strange[0]
        else:
            job.result = _perhaps("several feeds were made when the answer to this one was lost")
            job.feed = strange[0]
        return None

    def _at_work(self, job: Job) -> InDoubt:
        reason = f"feed {job.feed} is at work" if job.feed else "Amazon's answer was lost"
        wait_s = self._settings.feed_look_s
        return InDoubt(
            reason=reason, retry_after_s=wait_s, taken=bool(job.feed), reference=job.feed
        )

    # ---------------------------------------------------------------- out

    async def _send(self, document: Told, deadline: float) -> SubmitResult:
        def left_s() -> float:
            return deadline - asyncio.get_running_loop().time()

        if not self._has_room():
            return Retry(retry_after_s=self._settings.feed_look_s, reason="too many feeds at work")
        order = await order_of(self._api, self._settings, document.order, deadline)
        if order is None:
            return unknown(document)
        if isinstance(document, Cancellation) and order.status in self._settings.cancelled:
            return Delivered(reference=document.order)
        if order.status in PENDING:
            reason = "Amazon lets nobody change an order before it is paid"
            return Retry(retry_after_s=PAID_LATER_S, reason=reason)
        sending = self._sending(document, order)
        wait_s = self._api.pace.wait_s("createFeed")
        if wait_s > left_s() / 2:
            return Retry(retry_after_s=wait_s, reason="Amazon allows no other feed yet")
        made = await feed_calls.make(self._api, sending, left_s)
        if isinstance(made, str):
            return self._at_work(self._remember(document, sending.kind, made))
        if isinstance(made, InDoubt):
            return self._at_work(self._remember(document, sending.kind, ""))
        return made

    def _sending(self, document: Told, order: KnownOrder) -> Sending:
        """The feed of a document. Raises Refusal."""
        seller, number = self._settings.seller_id, document.order
        if isinstance(document, Cancellation):
            units = units_of(document, order)
            if all(one.ordered == units.get(item, 0) for item, one in order.lines.items()):
                reason = reason_of(document.reason, CANCEL_REASONS, "NoInventory")
                body = cancellation_of(seller, number, list(units), reason)
                return Sending(CANCELS, self._marketplace(order), CONTENT, body)
            rows, currency = with_amounts(units, order)
            reason = reason_of(document.reason, ADJUST_REASONS, "NoInventory")
        else:
            rows, currency = with_amounts(units_of(document, order), order, document)
            reason = reason_of(document.reason, ADJUST_REASONS, "CustomerReturn")
        cancels = isinstance(document, Cancellation)
        body = adjustment_of(seller, number, rows, currency, reason, cancels=cancels)
        return Sending(ADJUSTS, self._marketplace(order), CONTENT, body)

    def _marketplace(self, order: KnownOrder) -> str:
        return order.marketplace or self._settings.marketplaces[0]

    def _remember(self, document: Told, kind: str, feed: str) -> Job:
        now = self._clock()
        look_at = now + dt.timedelta(seconds=self._settings.feed_look_s)
        job = self.jobs[document.key] = Job(kind, feed, now, look_at)
        return job

    def _has_room(self) -> bool:
        """Makes room for one more by what ended first; False where all are at work."""
        if len(self.jobs) >= MOST_JOBS:
            ended = next((key for key, job in self.jobs.items() if job.result is not None), None)
            if ended is None:
                return False
            del self.jobs[ended]
        return True


def _kind_of(document: Told) -> str:
    whole = isinstance(document, Cancellation) and not document.lines
    return CANCELS if whole else ADJUSTS


def _perhaps(words: str) -> Refused:
    """Nobody can tell, and to tell it again could pay twice: a person must look."""
    return Refused(reason="perhaps_told", message=f"{words}: {_LOOK_IN}")
