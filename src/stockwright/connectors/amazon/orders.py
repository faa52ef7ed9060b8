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
from stockwright.connectors.amazon.order_forms import (
    Ask,
    Heading,
    KnownOrder,
    OrdersPage,
    moment_of,
    text_of,
)
from stockwright.domain.errors import Throttled, Transient

_SETTLED_AFTER: Final = dt.timedelta(minutes=2)
"""Amazon lists orders up to two minutes ago, where it does not say up to when."""


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


class Cursor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a poll goes on: in the pass that lists what changed from `since` to `until`, with
    Amazon's `token` of its next page and the orders `waiting` for their items to be asked for.

    An empty `until` means that the next pass has not begun. told: of orders told that changed so
    late that the next pass lists them again, the time of their change and their state. api: the
    version that token and waiting orders are of. first: it is the first pass of all.
    """

    since: str = ""
    until: str = ""
    token: str = ""
    waiting: Sequence[Mapping[str, Any]] = ()
    told: Mapping[str, str] = {}
    api: str = "v0"
    first: bool = False


class Found(msgspec.Struct, frozen=True):
    """One step of a poll. proven_at: no order changed before it is unseen once the pass is over."""

    messages: Sequence[bytes]
    cursor: Cursor
    complete: bool
    proven_at: dt.datetime


def cursor_of(text: str) -> Cursor:
    """A cursor from its text, empty at the beginning. Raises Transient where it is none of ours."""
    if not text:
        return Cursor()
    try:
        return msgspec.json.decode(text, type=Cursor)
    except msgspec.MsgspecError:
        raise Transient("the cursor of the poll cannot be read") from None


async def read(api: Api, settings: AmazonSettings, cursor: Cursor, now: dt.datetime) -> Found:
    """The next orders that were not told before. Raises Throttled where no call is allowed yet.

    Where only the items must wait, what was listed is handed back without them: lists are scarce.
    Each pass begins a little before the end of the last one: Amazon may write a change down late.
    """
    deadline = asyncio.get_running_loop().time() + settings.timeout_s
    version = _VERSIONS[settings.orders_api]
    if cursor.api != settings.orders_api:
        cursor = msgspec.structs.replace(_anew(cursor), api=settings.orders_api)
    listed = not cursor.waiting
    if listed:
        cursor = await _list(api, settings, cursor, now, deadline)
    messages: list[bytes] = []
    for order in cursor.waiting[: version.at_once(settings)]:
        try:
            message = await version.message_of(api, order, deadline)
        except Throttled:
            if not messages and not listed:
                raise
            break
        messages.append(msgspec.json.encode(message))
    waiting = cursor.waiting[len(messages) :]
    proven_at = min(now, moment_of(cursor.until) or now)
    cursor = _told(cursor, version, cursor.waiting[: len(messages)], settings.overlap_s)
    cursor = msgspec.structs.replace(cursor, waiting=waiting)
    if waiting or cursor.token or not cursor.until:
        return Found(messages, cursor, complete=False, proven_at=proven_at)
    since = text_of(proven_at - dt.timedelta(seconds=settings.overlap_s))
    after = Cursor(since, told=cursor.told, api=cursor.api)
    return Found(messages, after, complete=True, proven_at=proven_at)


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
    """The cursor with the next page of the pass; without one where Amazon forgot the page's
    token: the pass begins anew then.

    The first pass asks for what is still to be shipped: what was shipped before claims nothing.
    """
    version = _VERSIONS[cursor.api]
    if not cursor.since and not cursor.token:
        since = text_of(now - dt.timedelta(days=settings.first_poll_days))
        cursor = msgspec.structs.replace(cursor, since=since, first=True)
    ask = Ask(cursor.since, cursor.token, cursor.first)
    page = await version.page_of(api, settings, ask, deadline)
    if page is None:
        return _anew(cursor)
    told = cursor.told
    waiting = [
        order
        for order in page.orders
        if (heading := version.heading_of(order)).number
        and told.get(heading.number) != heading.mark
    ]
    until = cursor.until or _bound(page.until, now)
    return msgspec.structs.replace(cursor, until=until, token=page.token, waiting=waiting)


def _anew(cursor: Cursor) -> Cursor:
    """The same pass from its beginning."""
    return msgspec.structs.replace(cursor, until="", token="", waiting=())


def _told(
    cursor: Cursor, version: Version, orders: Sequence[Mapping[str, Any]], overlap_s: int
) -> Cursor:
    """The cursor that knows these orders told, as far as the next pass lists them again."""
    until = moment_of(cursor.until)
    if until is None:
        return cursor
    begin = until - dt.timedelta(seconds=overlap_s)
    headings = [version.heading_of(order) for order in orders]
    told = {
        number: mark
        for number, mark in {**cursor.told, **{one.number: one.mark for one in headings}}.items()
        if (moment_of(mark.partition(" ")[0]) or until) >= begin
    }
    return msgspec.structs.replace(cursor, told=told)


def _bound(text: str, now: dt.datetime) -> str:
    """Up to when a pass lists changes."""
    moment = moment_of(text)
    return text_of(now - _SETTLED_AFTER if moment is None else min(moment, now))
