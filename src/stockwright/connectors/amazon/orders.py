"""Orders in: page after page of what changed, each order with its items.

Of an order only what is needed to know its claims is kept: no name and no address of a buyer.
"""

import asyncio
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import msgspec

from stockwright.connectors.amazon.api import Api
from stockwright.connectors.amazon.declaration import AmazonSettings
from stockwright.domain.errors import Throttled, Transient

ORDERS: Final = "/orders/v0/orders"
KEPT: Final[Sequence[str]] = (
    "AmazonOrderId",
    "PurchaseDate",
    "LastUpdateDate",
    "OrderStatus",
    "FulfillmentChannel",
    "MarketplaceId",
    "OrderType",
)
"""What is kept of an order, besides its items."""
_KEPT_OF_ITEM: Final[Sequence[str]] = (
    "OrderItemId",
    "SellerSKU",
    "ASIN",
    "QuantityOrdered",
    "QuantityShipped",
)
_OVER: Final = frozenset({"Shipped", "Canceled", "Unfulfillable"})
_SETTLED_AFTER: Final = dt.timedelta(minutes=2)
"""Amazon lists orders up to two minutes ago, where it does not say up to when."""
MOST_PAGES: Final = 1_000


class Cursor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a poll goes on: in the pass that lists what changed from `since` to `until`, with
    Amazon's `token` of its next page and the orders `waiting` for their items to be asked for.

    An empty `until` means that the next pass has not begun. told: of orders told that changed so
    late that the next pass lists them again, the time of their change and their state.
    """

    since: str = ""
    until: str = ""
    token: str = ""
    waiting: Sequence[Mapping[str, Any]] = ()
    told: Mapping[str, str] = {}


class Found(msgspec.Struct, frozen=True):
    """One step of a poll. proven_at: no order changed before it is unseen once the pass is over."""

    messages: Sequence[bytes]
    cursor: Cursor
    complete: bool
    proven_at: dt.datetime


class _Page(msgspec.Struct, rename="pascal"):
    orders: list[dict[str, Any]]
    next_token: str = ""
    last_updated_before: str = ""


class _Listed(msgspec.Struct):
    payload: _Page


class _ItemsPage(msgspec.Struct, rename="pascal"):
    order_items: list[dict[str, Any]]
    next_token: str = ""


class _Items(msgspec.Struct):
    payload: _ItemsPage


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
    listed = not cursor.waiting
    if listed:
        cursor = await _list(api, settings, cursor, now, deadline)
    messages: list[bytes] = []
    for order in cursor.waiting[: settings.items_at_once]:
        try:
            items = await _items(api, str(order["AmazonOrderId"]), deadline)
        except Throttled:
            if not messages and not listed:
                raise
            break
        messages.append(msgspec.json.encode({"order": order, "items": items}))
    waiting = cursor.waiting[len(messages) :]
    proven_at = min(now, _moment(cursor.until) or now)
    cursor = _told(cursor, cursor.waiting[: len(messages)], settings.overlap_s)
    cursor = msgspec.structs.replace(cursor, waiting=waiting)
    if waiting or cursor.token or not cursor.until:
        return Found(messages, cursor, complete=False, proven_at=proven_at)
    since = _text(proven_at - dt.timedelta(seconds=settings.overlap_s))
    return Found(messages, Cursor(since, told=cursor.told), complete=True, proven_at=proven_at)


async def _list(
    api: Api, settings: AmazonSettings, cursor: Cursor, now: dt.datetime, deadline: float
) -> Cursor:
    """The cursor with the next page of the pass; without one where Amazon forgot the page's
    token: the pass begins anew then.
    """
    query = [("MarketplaceIds", ",".join(settings.marketplaces))]
    if cursor.token:
        query.append(("NextToken", cursor.token))
    else:
        query += _first_page(settings, cursor, now)
    left_s = deadline - asyncio.get_running_loop().time()
    response = await api.ask("getOrders", ORDERS, query, left_s)
    if response.status >= 400:
        if cursor.token:
            return Cursor(cursor.since, told=cursor.told)
        raise Transient(f"Amazon answered {response.status} to getOrders")
    page = api.decode(response.body, _Listed, "getOrders").payload
    until = cursor.until or _bound(page.last_updated_before, now)
    waiting: list[Mapping[str, Any]] = [
        {name: order[name] for name in KEPT if name in order}
        for order in page.orders
        if isinstance(order.get("AmazonOrderId"), str)
        and cursor.told.get(order["AmazonOrderId"]) != _mark(order)
    ]
    return Cursor(cursor.since, until, page.next_token, waiting, cursor.told)


def _first_page(
    settings: AmazonSettings, cursor: Cursor, now: dt.datetime
) -> list[tuple[str, str]]:
    query = [
        ("MaxResultsPerPage", str(settings.page_size)),
        ("FulfillmentChannels", "MFN"),
        ("LastUpdatedAfter", cursor.since),
    ]
    if cursor.since:
        return query
    # The first poll asks for what is still to be shipped: what was shipped before claims nothing.
    query[-1] = ("LastUpdatedAfter", _text(now - dt.timedelta(days=settings.first_poll_days)))
    states = [state for state in settings.sold if state not in _OVER]
    return [*query, ("OrderStatuses", ",".join(states))]


async def _items(api: Api, order: str, deadline: float) -> list[dict[str, Any]] | None:
    """All items of an order, with what is kept of each; None where Amazon has no such order any
    more, so that it is parked and holds up no other.
    """
    items: list[dict[str, Any]] = []
    token = ""
    for _ in range(MOST_PAGES):
        query = [("NextToken", token)] if token else []
        left_s = deadline - asyncio.get_running_loop().time()
        path = f"{ORDERS}/{quote(order, safe='')}/orderItems"
        response = await api.ask("getOrderItems", path, query, left_s)
        if response.status == 404:
            return None
        if response.status >= 400:
            raise Transient(f"Amazon answered {response.status} to getOrderItems of {order}")
        page = api.decode(response.body, _Items, "getOrderItems").payload
        items += [
            {name: item[name] for name in _KEPT_OF_ITEM if name in item}
            for item in page.order_items
        ]
        token = page.next_token
        if not token:
            return items
    raise Transient(f"the items of order {order} come to no end")


def _told(cursor: Cursor, orders: Sequence[Mapping[str, Any]], overlap_s: int) -> Cursor:
    """The cursor that knows these orders told, as far as the next pass lists them again."""
    until = _moment(cursor.until)
    if until is None:
        return cursor
    begin = until - dt.timedelta(seconds=overlap_s)
    changed = {str(one["AmazonOrderId"]): _mark(one) for one in orders}
    told = {
        number: mark
        for number, mark in {**cursor.told, **changed}.items()
        if (_moment(mark.partition(" ")[0]) or until) >= begin
    }
    return msgspec.structs.replace(cursor, told=told)


def _mark(order: Mapping[str, Any]) -> str:
    """When an order changed, and its state: two changes within a second have one time."""
    return f"{order.get('LastUpdateDate', '')} {order.get('OrderStatus', '')}"


def _bound(text: str, now: dt.datetime) -> str:
    """Up to when a pass lists changes."""
    moment = _moment(text)
    return _text(now - _SETTLED_AFTER if moment is None else min(moment, now))


def _moment(text: str) -> dt.datetime | None:
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=dt.UTC)


def _text(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
