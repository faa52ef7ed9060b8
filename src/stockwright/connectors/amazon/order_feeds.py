"""Cancellations and refunds out: a feed each, made once under the document's key.

Amazon takes them by feed only, and keeps no keys of ours. So a document is in doubt, and taken,
while its feed is at work; whoever tells it again under its key learns how the feed does.
"""

import asyncio
import datetime as dt
from collections.abc import Callable
from typing import Final

from stockwright.connectors.amazon import feed_calls
from stockwright.connectors.amazon.api import Api, left_s
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
)
from stockwright.connectors.amazon.order_forms import PENDING, KnownOrder
from stockwright.connectors.amazon.order_jobs import Jobs, Told
from stockwright.connectors.amazon.orders import order_of
from stockwright.connectors.amazon.shipping import unknown
from stockwright.domain.errors import Misconfigured, Throttled, Transient
from stockwright.sdk.calling import WAIT_S
from stockwright.sdk.messages import Cancellation, Delivered, InDoubt, Retry, SubmitResult

PAID_LATER_S: Final = 900.0
"""Until an order that is pending is looked at again: it is paid within days, as a rule in half an
hour.
"""


class OrderFeeds:
    """Tells the cancellations and refunds of one connection."""

    def __init__(
        self, api: Api, settings: AmazonSettings, clock: Callable[[], dt.datetime]
    ) -> None:
        self._api = api
        self._settings = settings
        self._jobs = Jobs(api, settings, clock)

    async def submit(self, document: Told) -> SubmitResult:
        """Tells Amazon of one document, or what became of it. Raises Misconfigured: not done."""
        deadline = asyncio.get_running_loop().time() + self._settings.timeout_s
        known = await self._jobs.look(document, deadline)
        if known is not None:
            return known
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
        if reference and document.key not in self._jobs:
            self._jobs.follow(document.key, reference)
        return await self.submit(document)

    async def _send(self, document: Told, deadline: float) -> SubmitResult:
        if not self._jobs.has_room():
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
        if wait_s > left_s(deadline) / 2:
            return Retry(retry_after_s=wait_s, reason="Amazon allows no other feed yet")
        if document.key in self._jobs:  # somebody else told it while the order was asked for
            return await self._jobs.look(document, deadline) or Retry(retry_after_s=WAIT_S)
        return await self._make(document, sending, deadline)

    async def _make(self, document: Told, sending: Sending, deadline: float) -> SubmitResult:
        job = self._jobs.begin(document.key, sending.kind)
        try:
            made = await feed_calls.make(self._api, sending, deadline)
        except Misconfigured:
            self._jobs.forget(document.key)
            raise
        finally:
            job.making = False
        if isinstance(made, str):
            job.feed = made
        elif not isinstance(made, InDoubt):
            self._jobs.forget(document.key)
            return made
        return self._jobs.at_work(job)

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
