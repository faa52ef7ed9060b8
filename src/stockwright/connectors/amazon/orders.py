"""Orders in: page after page of what changed, each order with its items.

The poll is the same by either version of Amazon's Orders API, which are a module each. Of an order
only what is needed to know its claims is kept: no name and no address of a buyer.
"""

import asyncio
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from stockwright.connectors.amazon import orders_2026, orders_v0
from stockwright.connectors.amazon.api import Api
from stockwright.connectors.amazon.declaration import AmazonSettings
from stockwright.connectors.amazon.order_cursor import (
    Cursor,
    after,
    anew,
    begun,
    check_rest,
    is_told,
    refused,
    until_of,
)
from stockwright.connectors.amazon.order_forms import (
    Ask,
    Heading,
    KnownOrder,
    OrdersPage,
    moment_of,
    text_of,
)
from stockwright.domain.errors import Transient


class Version(Protocol):
    """One version of the Orders API."""

    def at_once(self, settings: AmazonSettings) -> int:
        """How many of the listed orders one step of a poll tells."""
        ...

    async def page_of(
        self, api: Api, settings: AmazonSettings, ask: Ask, deadline: float
    ) -> OrdersPage | None:
        """A page of a pass; None where Amazon forgot its token. Raises Throttled or Transient."""
        ...

    async def message_of(
        self, api: Api, order: Mapping[str, Any], deadline: float
    ) -> Mapping[str, Any]:
        """A listed order as mapping takes it. Raises Throttled or Transient."""
        ...

    def heading_of(self, order: Mapping[str, Any]) -> Heading:
        """What tells a listed order and its change from others."""
        ...

    async def order_of(self, api: Api, order: str, deadline: float) -> KnownOrder | None:
        """An order as it is now; None where Amazon does not know it. Raises as page_of does."""
        ...

    async def marketplace_of(self, api: Api, order: str, deadline: float) -> str:
        """The marketplace of an order; '' where Amazon does not know it."""
        ...


_VERSIONS: Final[Mapping[str, Version]] = {"2026-01-01": orders_2026, "v0": orders_v0}


class Found(msgspec.Struct, frozen=True):
    """One step of a poll. proven_at: no order changed before it is unseen once the pass is over."""

    messages: Sequence[bytes]
    cursor: Cursor
    complete: bool
    proven_at: dt.datetime


async def read(api: Api, settings: AmazonSettings, cursor: Cursor, now: dt.datetime) -> Found:
    """The next orders that were not told before. Raises Throttled where no call is allowed yet,
    and Transient.

    Where only the items must wait, what was listed is handed back without them: lists are scarce.
    Each pass begins a little before the end of the last one: Amazon may write a change down late.
    """
    check_rest(cursor, now)
    deadline = asyncio.get_running_loop().time() + settings.timeout_s
    version = _VERSIONS[settings.orders_api]
    if cursor.api != settings.orders_api:
        cursor = anew(cursor, settings.orders_api)
    listed = not cursor.waiting
    if listed:
        cursor = await _list(api, settings, cursor, now, deadline)
    messages: list[bytes] = []
    for order in cursor.waiting[: version.at_once(settings)]:
        try:
            message = await version.message_of(api, order, deadline)
        except Transient:  # what was had so far is kept: else every try would lose it again
            if not messages and not listed:
                raise
            break
        messages.append(msgspec.json.encode(message))
    headings = [version.heading_of(order) for order in cursor.waiting[: len(messages)]]
    waiting = cursor.waiting[len(messages) :]
    cursor = after(cursor, headings, settings.overlap_s)
    cursor = msgspec.structs.replace(cursor, waiting=waiting)
    proven_at = min(now, moment_of(cursor.until) or now)
    if waiting or cursor.token or not cursor.until:
        return Found(messages, cursor, complete=False, proven_at=proven_at)
    since = max(cursor.since, text_of(proven_at - dt.timedelta(seconds=settings.overlap_s)))
    following = Cursor(since, told=cursor.told, api=cursor.api)
    return Found(messages, following, complete=True, proven_at=proven_at)


async def order_of(
    api: Api, settings: AmazonSettings, order: str, deadline: float
) -> KnownOrder | None:
    """An order as it is now; None where Amazon does not know it. Raises Throttled or Transient."""
    return await _VERSIONS[settings.orders_api].order_of(api, order, deadline)


async def marketplace_of(api: Api, settings: AmazonSettings, order: str, deadline: float) -> str:
    """The marketplace of an order; '' where Amazon does not know it.

    Raises Misconfigured, Throttled or Transient.
    """
    if len(settings.marketplaces) == 1:
        return settings.marketplaces[0]
    return await _VERSIONS[settings.orders_api].marketplace_of(api, order, deadline)


async def _list(
    api: Api, settings: AmazonSettings, cursor: Cursor, now: dt.datetime, deadline: float
) -> Cursor:
    """The cursor with the next page of the pass; without one where Amazon refused the page's
    token: the pass begins anew then.

    The first pass asks for what is still to be shipped: what was shipped before claims nothing.
    """
    version = _VERSIONS[cursor.api]
    if not cursor.token:
        cursor = begun(cursor, now, settings.first_poll_days, settings.overlap_s)
    page = await version.page_of(
        api, settings, Ask(cursor.since, cursor.token, cursor.first), deadline
    )
    if page is None:
        return refused(cursor, now)
    waiting = [one for one in page.orders if not is_told(cursor, version.heading_of(one))]
    until = cursor.until or until_of(page.until, cursor, now)
    return msgspec.structs.replace(cursor, until=until, token=page.token, waiting=waiting)
