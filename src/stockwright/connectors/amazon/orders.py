"""Orders in: page after page of what changed, each order with its items.

Of an order only what is needed to know its claims is kept: no name and no address of a buyer.
"""

import asyncio
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from stockwright.connectors.amazon import orders_2026, orders_v0
from stockwright.connectors.amazon.api import Api
from stockwright.connectors.amazon.declaration import AmazonSettings
from stockwright.connectors.amazon.order_forms import KnownOrder, moment_of, text_of
from stockwright.domain.errors import Throttled, Transient

_SETTLED_AFTER: Final = dt.timedelta(minutes=2)
"""Amazon lists orders up to two minutes ago, where it does not say up to when."""


class Cursor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a poll goes on: in the pass that lists what changed from `since` to `until`, with
    Amazon's `token` of its next page and the orders `waiting` for their items to be asked for.

    An empty `until` means that the next pass has not begun. first: where the first pass of all
    began, while it lasts. told: of orders told that changed so late that the next pass lists them
    again, the time of their change and their state.
    """

    since: str = ""
    until: str = ""
    token: str = ""
    first: str = ""
    waiting: Sequence[Mapping[str, Any]] = ()
    told: Mapping[str, str] = {}


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
    if settings.orders_api != "v0" and any("items" not in order for order in cursor.waiting):
        # Listed by v0, whose items that version cannot be asked for: the pass begins anew.
        cursor = Cursor(cursor.since, told=cursor.told)
    listed = not cursor.waiting
    if listed:
        cursor = await _list(api, settings, cursor, now, deadline)
    messages: list[bytes] = []
    for order in _next(cursor.waiting, settings):
        try:
            items = await _items(api, order, deadline)
        except Throttled:
            if not messages and not listed:
                raise
            break
        head = {name: value for name, value in order.items() if name != "items"}
        messages.append(msgspec.json.encode({"order": head, "items": items}))
    waiting = cursor.waiting[len(messages) :]
    proven_at = min(now, moment_of(cursor.until) or now)
    cursor = _told(cursor, cursor.waiting[: len(messages)], settings.overlap_s)
    cursor = msgspec.structs.replace(cursor, waiting=waiting)
    if waiting or cursor.token or not cursor.until:
        return Found(messages, cursor, complete=False, proven_at=proven_at)
    since = text_of(proven_at - dt.timedelta(seconds=settings.overlap_s))
    return Found(messages, Cursor(since, told=cursor.told), complete=True, proven_at=proven_at)


async def order_of(
    api: Api, settings: AmazonSettings, order: str, deadline: float
) -> KnownOrder | None:
    """An order as it is now; None where Amazon does not know it. Raises Throttled or Transient."""
    if settings.orders_api == "v0":
        return await orders_v0.order_of(api, order, deadline)
    return await orders_2026.order_of(api, order, deadline)


async def marketplace_of(api: Api, settings: AmazonSettings, order: str, deadline: float) -> str:
    """The marketplace of an order; '' where Amazon does not know it."""
    if len(settings.marketplaces) == 1:
        return settings.marketplaces[0]
    left_s = deadline - asyncio.get_running_loop().time()
    if settings.orders_api == "v0":
        return await orders_v0.marketplace_of(api, order, left_s)
    return await orders_2026.marketplace_of(api, order, left_s)


async def _list(
    api: Api, settings: AmazonSettings, cursor: Cursor, now: dt.datetime, deadline: float
) -> Cursor:
    """The cursor with the next page of the pass; without one where Amazon forgot the page's
    token: the pass begins anew then.

    The first pass asks for what is still to be shipped: what was shipped before claims nothing.
    """
    first = "" if cursor.since else cursor.first
    if not cursor.since and not first:
        first = text_of(now - dt.timedelta(days=settings.first_poll_days))
    page_of = orders_v0.page_of if settings.orders_api == "v0" else orders_2026.page_of
    page = await page_of(
        api, settings, cursor.since or first, cursor.token, first=bool(first), deadline=deadline
    )
    if page is None:
        if cursor.token:
            return Cursor(cursor.since, told=cursor.told)
        raise Transient("Amazon will not have our question for orders")
    waiting = [
        order
        for order in page.orders
        if isinstance(order.get("AmazonOrderId"), str)
        and cursor.told.get(order["AmazonOrderId"]) != _mark(order)
    ]
    until = cursor.until or _bound(page.until, now)
    return Cursor(cursor.since, until, page.token, first, waiting, cursor.told)


def _next(
    waiting: Sequence[Mapping[str, Any]], settings: AmazonSettings
) -> Sequence[Mapping[str, Any]]:
    """The orders of one step: all whose items are known, or as many as may be asked for."""
    known = [order for order in waiting if "items" in order]
    return known or waiting[: settings.items_at_once]


async def _items(api: Api, order: Mapping[str, Any], deadline: float) -> Any:
    if "items" in order:
        return order["items"]
    return await orders_v0.items_of(api, str(order["AmazonOrderId"]), deadline)


def _told(cursor: Cursor, orders: Sequence[Mapping[str, Any]], overlap_s: int) -> Cursor:
    """The cursor that knows these orders told, as far as the next pass lists them again."""
    until = moment_of(cursor.until)
    if until is None:
        return cursor
    begin = until - dt.timedelta(seconds=overlap_s)
    changed = {str(one["AmazonOrderId"]): _mark(one) for one in orders}
    told = {
        number: mark
        for number, mark in {**cursor.told, **changed}.items()
        if (moment_of(mark.partition(" ")[0]) or until) >= begin
    }
    return msgspec.structs.replace(cursor, told=told)


def _mark(order: Mapping[str, Any]) -> str:
    """When an order changed, and its state: two changes within a second have one time."""
    return f"{order.get('LastUpdateDate', '')} {order.get('OrderStatus', '')}"


def _bound(text: str, now: dt.datetime) -> str:
    """Up to when a pass lists changes."""
    moment = moment_of(text)
    return text_of(now - _SETTLED_AFTER if moment is None else min(moment, now))
