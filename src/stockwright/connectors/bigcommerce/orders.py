"""Orders in: page after page by the time of their change, each with its products and refunds.

Of an order only what its claims follow from is kept: no name and no address of a buyer.
"""

import asyncio
import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from stockwright.connectors.bigcommerce.api import Api, moment_of
from stockwright.connectors.bigcommerce.declaration import MOST_ORDERS, BigSettings
from stockwright.domain.errors import Throttled, Transient

KEPT: Final = ("id", "status_id", "date_created", "date_modified", "channel_id", "is_deleted")
KEPT_OF_PRODUCT: Final = (
    *("id", "product_id", "variant_id", "sku", "quantity"),
    *("quantity_refunded", "quantity_shipped", "parent_order_product_id"),
)


class Cursor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a poll goes on: orders changed at `since` or later, oldest change first.

    seen are the orders that were told and changed since then, each with the time of its change and
    a hash of what it said. page is above 1 only where more orders changed in the second `since`
    than a page holds; back is the first such second of the pass: the next one begins there.
    """

    since: str
    page: int = 1
    back: str = ""
    seen: Mapping[str, tuple[str, str]] = {}


class Found(msgspec.Struct, frozen=True):
    """A page of a poll: messages, the cursor after them, and whether there are no more now."""

    messages: Sequence[bytes]
    cursor: Cursor
    complete: bool


class _Row(msgspec.Struct, frozen=True):
    """An order as it is listed."""

    fields: Mapping[str, Any]
    mark: tuple[str, str]

    @property
    def id(self) -> str:
        return str(self.fields["id"])


def cursor_of(text: str, now: dt.datetime, days: int) -> Cursor:
    """A cursor from its text; the first one begins some days ago. Raises Transient for another's.

    An order that changed longer ago is over, as a rule, and each costs a call.
    """
    if not text:
        begin = now.astimezone(dt.UTC) - dt.timedelta(days=days)
        return Cursor(begin.replace(microsecond=0).isoformat())
    try:
        return msgspec.json.decode(text, type=Cursor)
    except msgspec.MsgspecError:
        raise Transient("the cursor of the poll cannot be read") from None


async def read(api: Api, settings: BigSettings, cursor: Cursor) -> Found:
    """The next orders that were not told before. Raises Throttled where not one could be asked for.

    Pages begin at a time and not at a count: an order that changes meanwhile moves to the end and
    shifts the others. What changes again after it was listed comes in the next pass, which begins a
    little earlier than the last one ended: a store may write an order down later than it dates it.
    """
    query = [
        ("min_date_modified", cursor.since),
        ("sort", "date_modified:asc"),
        ("limit", str(settings.page_size)),
        ("page", str(cursor.page)),
    ]
    rows = [_row(raw) for raw in await api.v2_page("/v2/orders", query)]
    more = len(rows) >= settings.page_size
    messages: list[bytes] = []
    deadline = asyncio.get_running_loop().time() + settings.timeout_s / 2
    for n, row in enumerate(rows):
        if cursor.seen.get(row.id) == row.mark:
            continue
        late = bool(messages) and asyncio.get_running_loop().time() > deadline
        try:
            message = None if late else await _message(api, row)
        except Throttled:
            if not messages:
                raise
            message = None
        if message is None:  # the rest of the page is listed again
            return Found(messages, _within(cursor, rows[:n], cut=True), complete=False)
        messages.append(message)
    if more:
        return Found(messages, _within(cursor, rows, cut=False), complete=False)
    return Found(messages, _after(cursor, rows, settings.overlap_s), complete=True)


def _row(raw: msgspec.Raw) -> _Row:
    try:
        fields = msgspec.json.decode(raw, type=dict[str, Any])
        at = moment_of(fields["date_modified"]).isoformat()
        int(fields["id"])
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
        raise Transient(f"an order of the store cannot be read: {error!r}") from None
    told = hashlib.blake2b(bytes(raw), digest_size=8).hexdigest()
    return _Row(fields, (at, told))


async def _message(api: Api, row: _Row) -> bytes:
    path = f"/v2/orders/{row.id}/products"
    products = await api.v2_all(path, dict[str, Any], size=MOST_ORDERS)
    message: dict[str, Any] = {
        "order": {name: row.fields[name] for name in KEPT if name in row.fields},
        "products": [
            {name: one[name] for name in KEPT_OF_PRODUCT if name in one} for one in products
        ],
    }
    if any(one.get("quantity_refunded") for one in products):
        path = f"/v3/orders/{row.id}/payment_actions/refunds"
        message["refunds"] = [
            {
                "id": refund.get("id"),
                "created": refund.get("created"),
                "items": refund.get("items"),
            }
            for refund in await api.every(path, dict[str, Any], size=MOST_ORDERS)
        ]
    return msgspec.json.encode(message)


def _within(cursor: Cursor, rows: Sequence[_Row], *, cut: bool) -> Cursor:
    """The cursor in the middle of a pass, after these rows of a page."""
    seen = {**cursor.seen, **{row.id: row.mark for row in rows}}
    last = max([cursor.since, *(row.mark[0] for row in rows)])
    page, back = 1, cursor.back
    if last == cursor.since and not cut:
        page, back = cursor.page + 1, back or last
    elif last == cursor.since:
        page = cursor.page
    kept = {number: mark for number, mark in seen.items() if mark[0] >= (back or last)}
    return Cursor(last, page, back, kept)


def _after(cursor: Cursor, rows: Sequence[_Row], overlap_s: int) -> Cursor:
    """The cursor from which the next pass begins."""
    seen = {**cursor.seen, **{row.id: row.mark for row in rows}}
    last = max([cursor.since, *(mark[0] for mark in seen.values())])
    since = cursor.since
    if seen:
        earlier = dt.datetime.fromisoformat(last) - dt.timedelta(seconds=overlap_s)
        since = earlier.isoformat()
    since = min(since, cursor.back) if cursor.back else since
    kept = {number: mark for number, mark in seen.items() if mark[0] >= since}
    return Cursor(since, seen=kept)
