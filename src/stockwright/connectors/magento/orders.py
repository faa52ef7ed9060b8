"""Orders in: page after page by the time of their change, each with its credit memos.

Only those fields are asked for that claims follow from: no name and no address of a buyer.
"""

import asyncio
import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from stockwright.connectors.magento.api import Api, Filter, moment_of, text_of
from stockwright.connectors.magento.declaration import MOST_ROWS, MagentoSettings
from stockwright.domain.errors import Throttled, Transient

FIELDS: Final = (
    "items[entity_id,increment_id,state,status,created_at,updated_at,items[item_id,parent_item_id,"
    "sku,product_type,qty_ordered,qty_canceled,qty_refunded,qty_shipped]],total_count"
)
MEMO_FIELDS: Final = ("entity_id", "created_at")
MEMO_LINE_FIELDS: Final = ("entity_id", "order_item_id", "sku", "qty")


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
        return str(self.fields["entity_id"])


def cursor_of(text: str, now: dt.datetime, days: int) -> Cursor:
    """A cursor from its text; the first one begins some days ago. Raises Transient for another's.

    An order that changed longer ago is over, as a rule.
    """
    if not text:
        return Cursor(text_of(now - dt.timedelta(days=days)))
    try:
        return msgspec.json.decode(text, type=Cursor)
    except msgspec.MsgspecError:
        raise Transient("the cursor of the poll cannot be read") from None


async def read(api: Api, settings: MagentoSettings, cursor: Cursor) -> Found:
    """The next orders that were not told before. Raises Throttled where none could be asked for.

    Pages begin at a time and not at a count: an order that changes meanwhile moves to the end and
    shifts the others. What changes again after it was listed comes in the next pass, which begins a
    little earlier than the last one ended: a shop may write an order down later than it dates it.
    """
    page = await api.search(
        "/orders",
        [[Filter("updated_at", "gteq", cursor.since)]],
        sort=("updated_at", "entity_id"),
        size=settings.page_size,
        page=cursor.page,
        fields=FIELDS,
    )
    rows = [_row(raw) for raw in page.items or []]
    # A page beyond the last one repeats the last: the count says whether there is more.
    more = cursor.page * settings.page_size < page.total_count
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
        at = text_of(moment_of(fields["updated_at"]))
        int(fields["entity_id"])
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
        raise Transient(f"an order of the shop cannot be read: {error!r}") from None
    told = hashlib.blake2b(bytes(raw), digest_size=8).hexdigest()
    return _Row(fields, (at, told))


async def _message(api: Api, row: _Row) -> bytes:
    message: dict[str, Any] = {"order": row.fields}
    lines = row.fields.get("items")
    if isinstance(lines, list) and any(_is_refunded(line) for line in lines):
        memos = await api.every(
            "/creditmemos",
            dict[str, Any],
            [[Filter("order_id", "eq", row.id)]],
            sort=("entity_id",),
            size=MOST_ROWS,
        )
        message["memos"] = [_memo(memo) for memo in memos]
    return msgspec.json.encode(message)


def _is_refunded(line: Any) -> bool:
    return isinstance(line, dict) and bool(line.get("qty_refunded"))


def _memo(memo: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: memo[name] for name in MEMO_FIELDS if name in memo}
    kept["items"] = [
        {name: line[name] for name in MEMO_LINE_FIELDS if name in line}
        for line in memo.get("items") or ()
        if isinstance(line, dict)
    ]
    return kept


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
    since = cursor.since
    if seen:
        last = max([cursor.since, *(mark[0] for mark in seen.values())])
        since = text_of(moment_of(last) - dt.timedelta(seconds=overlap_s))
    since = min(since, cursor.back) if cursor.back else since
    kept = {number: mark for number, mark in seen.items() if mark[0] >= since}
    return Cursor(since, seen=kept)
