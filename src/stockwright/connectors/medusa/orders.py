"""Orders in: page after page by the time of their change, each with what became of its lines."""

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from stockwright.connectors.medusa.shop import MOST_IN_A_LIST, Shop
from stockwright.domain.errors import Transient
from stockwright.sdk import passes

FIELDS: Final = (
    "id,status,version,is_draft_order,sales_channel_id,currency_code,created_at,updated_at,"
    "canceled_at,*items,items.variant.manage_inventory,"
    "items.variant.inventory_items.inventory_item_id,"
    "items.variant.inventory_items.required_quantity"
)
"""What is asked of an order, by the poll as by our subscriber in the shop."""
CHANGE_FIELDS: Final = (
    "id,status,change_type,return_id,confirmed_at,actions.id,actions.action,actions.details"
)
RETURN_FIELDS: Final = ("fields", "id,location_id")
LINE_FIELDS: Final = (
    "fields",
    "item_id,version,quantity,item.variant_id,item.variant_sku,item.variant.manage_inventory",
)
_RECEIVE: Final = "return_receive"


class Cursor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a poll goes on: orders changed at or after `since`, oldest change first.

    seen are orders told that changed within the overlap before the last page's end, or later: each
    with the time of its change and a hash of what it said.
    """

    since: str = ""
    seen: Mapping[str, tuple[str, str]] = {}


class Found(msgspec.Struct, frozen=True):
    """A page of a poll: messages, the cursor after them, and whether there are no more now."""

    messages: Sequence[bytes]
    cursor: Cursor
    complete: bool


class _Order(msgspec.Struct):
    id: str
    updated_at: str
    version: int = 1
    items: Sequence[Mapping[str, Any]] = ()


class _Orders(msgspec.Struct):
    orders: list[msgspec.Raw]


class _Changes(msgspec.Struct):
    order_changes: list[dict[str, Any]]


class _Returns(msgspec.Struct):
    returns: list[dict[str, Any]]


class _Lines(msgspec.Struct):
    order_items: list[dict[str, Any]]


def cursor_of(text: str) -> Cursor:
    """A cursor from its text, empty at the beginning. Raises Transient where it is none of ours."""
    return passes.cursor_of(text, Cursor, Cursor())


async def read(
    shop: Shop,
    cursor: Cursor,
    sales_channels: Sequence[str],
    size: int,
    overlap_s: int,
    until: dt.datetime,
) -> Found:
    """The next orders that were not told before and changed at `until` at the latest, as they are.

    The shop writes an order down while it is checked out, and deletes it where that fails: the
    latest changes are left for the next poll.

    Pages begin at a time and never at a count: an order that changes meanwhile moves to the end and
    would shift the others. Those that changed at the very time a page begins are asked for again,
    on top of the page's size, and left out here.
    """
    again = sum(at == cursor.since for at, _ in cursor.seen.values())
    limit = size + again
    query = [("fields", FIELDS), ("order", "updated_at"), ("limit", str(limit))]
    query.append(("updated_at[$lte]", _instant(until.isoformat())))
    query += [("sales_channel_id[]", one) for one in sales_channels[:MOST_IN_A_LIST]]
    if cursor.since:
        query.append(("updated_at[$gte]", cursor.since))
    raws = (await shop.read("/orders", _Orders, query)).orders
    messages: list[bytes] = []
    seen = dict(cursor.seen)
    last = cursor.since
    for raw in raws:
        order = _decoded(raw)
        told = (_instant(order.updated_at), _hash(raw))
        if seen.get(order.id) != told:
            messages.append(await _message(shop, raw, order))
        seen[order.id] = told
        last = max(last, told[0])
    complete = len(raws) < limit
    return Found(messages, _after(seen, last, complete, overlap_s), complete)


def _after(
    seen: Mapping[str, tuple[str, str]], last: str, complete: bool, overlap_s: int
) -> Cursor:
    if not last:
        return Cursor()
    early = _earlier(last, overlap_s)
    kept = {number: told for number, told in seen.items() if told[0] >= early}
    return Cursor(early if complete else last, kept)


async def _message(shop: Shop, raw: msgspec.Raw, order: _Order) -> bytes:
    """The order as it came; where it was changed after it was placed, with what was changed."""
    told: dict[str, Any] = {"order": raw}
    if order.version > 1:
        changes = await shop.read(
            f"/orders/{order.id}/changes", _Changes, [("fields", CHANGE_FIELDS)]
        )
        told["changes"] = found = changes.order_changes
        if any(one.get("change_type") == _RECEIVE for one in found):
            query = [("order_id", order.id), RETURN_FIELDS, ("limit", "200")]
            told["returns"] = (await shop.read("/returns", _Returns, query)).returns
        # A line that was taken off the order stands in it no more.
        path = f"/orders/{order.id}/line-items"
        rows = (await shop.read(path, _Lines, [LINE_FIELDS])).order_items
        present = {line.get("id") for line in order.items}
        told["gone"] = [row for row in rows if row.get("item_id") not in present]
    return msgspec.json.encode(told)


def _decoded(raw: msgspec.Raw) -> _Order:
    try:
        return msgspec.json.decode(raw, type=_Order)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise Transient(f"the shop lists an order that cannot be read: {error}") from None


def _hash(raw: msgspec.Raw) -> str:
    return hashlib.blake2b(bytes(raw), digest_size=8).hexdigest()


def _instant(text: str) -> str:
    """A time in the one form in which texts are ordered as times are."""
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise Transient(f"the shop dates an order {text[:40]!r}") from None
    moment = moment.astimezone(dt.UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="milliseconds") + "Z"


def _earlier(text: str, seconds: int) -> str:
    return _instant((dt.datetime.fromisoformat(text) - dt.timedelta(seconds=seconds)).isoformat())
