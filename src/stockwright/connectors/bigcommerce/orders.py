"""Orders in: page after page by the time of their change, each with its products and refunds.

Of an order only what its claims follow from is kept: no name and no address of a buyer.
"""

import datetime as dt
from typing import Any, Final

import msgspec

from stockwright.connectors.bigcommerce.api import Api, moment_of
from stockwright.connectors.bigcommerce.declaration import MOST_ORDERS, BigSettings
from stockwright.sdk import passes
from stockwright.sdk.passes import Cursor, Found, Row

KEPT: Final = ("id", "status_id", "date_created", "date_modified", "channel_id", "is_deleted")
KEPT_OF_PRODUCT: Final = (
    *("id", "product_id", "variant_id", "sku", "quantity"),
    *("quantity_refunded", "quantity_shipped", "parent_order_product_id"),
)


def cursor_of(text: str, now: dt.datetime, days: int) -> Cursor:
    """A cursor from its text; the first one begins some days ago. Raises Transient for another's.

    An order that changed longer ago is over, as a rule, and each costs a call.
    """
    begin = now.astimezone(dt.UTC) - dt.timedelta(days=days)
    return passes.cursor_of(text, Cursor, Cursor(begin.replace(microsecond=0).isoformat()))


async def read(api: Api, settings: BigSettings, cursor: Cursor) -> Found:
    """The next orders that were not told before. Raises Throttled where not one could be asked for.

    See sdk.passes.
    """
    query = [
        ("min_date_modified", cursor.since),
        ("sort", "date_modified:asc"),
        ("limit", str(settings.page_size)),
        ("page", str(cursor.page)),
    ]
    rows = [
        passes.row_of(raw, "id", "date_modified", lambda text: moment_of(text).isoformat())
        for raw in await api.v2_page("/v2/orders", query)
    ]
    return await passes.tell(
        cursor,
        rows,
        lambda row: _message(api, row),
        more=len(rows) >= settings.page_size,
        within_s=settings.timeout_s / 2,
        earlier=lambda last: _earlier(last, settings.overlap_s),
    )


async def _message(api: Api, row: Row) -> bytes:
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


def _earlier(text: str, seconds: int) -> str:
    return (dt.datetime.fromisoformat(text) - dt.timedelta(seconds=seconds)).isoformat()
