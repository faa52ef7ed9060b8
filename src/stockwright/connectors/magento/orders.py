"""Orders in: page after page by the time of their change, each with its credit memos.

Only those fields are asked for that claims follow from: no name and no address of a buyer.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from stockwright.connectors.magento.api import Api, Filter, moment_of, text_of
from stockwright.connectors.magento.declaration import MOST_ROWS, MagentoSettings
from stockwright.sdk import passes
from stockwright.sdk.passes import Cursor, Found, Row

FIELDS: Final = (
    "items[entity_id,increment_id,state,status,created_at,updated_at,items[item_id,parent_item_id,"
    "sku,product_type,qty_ordered,qty_canceled,qty_refunded,qty_shipped]],total_count"
)
MEMO_FIELDS: Final = ("entity_id", "created_at")
MEMO_LINE_FIELDS: Final = ("entity_id", "order_item_id", "sku", "qty")


def cursor_of(text: str, now: dt.datetime, days: int) -> Cursor:
    """A cursor from its text; the first one begins some days ago. Raises Transient for another's.

    An order that changed longer ago is over, as a rule.
    """
    return passes.cursor_of(text, Cursor, Cursor(text_of(now - dt.timedelta(days=days))))


async def read(api: Api, settings: MagentoSettings, cursor: Cursor) -> Found:
    """The next orders that were not told before. Raises Throttled where none could be asked for.

    See sdk.passes.
    """
    page = await api.search(
        "/orders",
        [[Filter("updated_at", "gteq", cursor.since)]],
        sort=("updated_at", "entity_id"),
        size=settings.page_size,
        page=cursor.page,
        fields=FIELDS,
    )
    return await passes.tell(
        cursor,
        [
            passes.row_of(raw, "entity_id", "updated_at", lambda text: text_of(moment_of(text)))
            for raw in page.items or []
        ],
        lambda row: _message(api, row),
        # A page beyond the last one repeats the last: the count says whether there is more.
        more=cursor.page * settings.page_size < page.total_count,
        within_s=settings.timeout_s / 2,
        earlier=lambda last: _earlier(last, settings.overlap_s),
    )


async def _message(api: Api, row: Row) -> bytes:
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


def _earlier(text: str, seconds: int) -> str:
    return text_of(moment_of(text) - dt.timedelta(seconds=seconds))
