"""Orders in: page after page by the time of their change, each whole."""

import datetime as dt
import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from stockwright.connectors.shopify.paced import Paced
from stockwright.connectors.shopify.queries import (
    ORDER_LINES,
    ORDER_REFUNDS,
    ORDERS,
    REFUND,
    REFUNDS,
)
from stockwright.connectors.shopify.reading import each_page, next_of, nodes_of, value_at
from stockwright.domain.errors import Transient
from stockwright.sdk import passes


class Cursor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a poll goes on: orders changed at or after `since`, after the shop's own cursor.

    newest is the latest change seen in this pass. seen are orders that changed within the overlap
    before it, each with the time of its change and a hash of what it said.
    """

    since: str = ""
    after: str = ""
    newest: str = ""
    seen: Mapping[str, tuple[str, str]] = {}


class Found(msgspec.Struct, frozen=True):
    """A page of a poll: messages, the cursor after them, and whether there are no more now."""

    messages: list[bytes]
    cursor: Cursor
    complete: bool


def cursor_of(text: str) -> Cursor:
    """A cursor from its text, empty at the beginning. Raises Transient where it is none of ours."""
    return passes.cursor_of(text, Cursor, Cursor())


async def read(shop: Paced, cursor: Cursor, size: int, overlap_s: int) -> Found:
    """The next orders that were not told before, each with all its lines and refunds.

    A pass goes by the shop's own cursor, which stands for a value and not for a count: an order
    that changes meanwhile moves to the end and comes again. The next pass begins a little before
    the last change seen, since the shop's search learns of some changes late.
    """
    variables = {
        "first": size,
        "after": cursor.after or None,
        "query": f"updated_at:>='{cursor.since}'" if cursor.since else None,
    }
    data = await shop.ask(ORDERS, variables)
    connection = data.get("orders")
    messages: list[bytes] = []
    seen = dict(cursor.seen)
    newest = cursor.newest
    for order in nodes_of(connection):
        body = msgspec.json.encode({"order": await _whole(shop, order)})
        name, changed = str(order.get("id")), _time(order.get("updatedAt"))
        told = (changed, hashlib.blake2b(body, digest_size=8).hexdigest())
        if seen.get(name) != told:
            messages.append(body)
        seen[name] = told
        newest = max(newest, changed)
    after = next_of(connection)
    return Found(messages, _after(cursor, after, newest, seen, overlap_s), after is None)


def _after(
    cursor: Cursor,
    after: str | None,
    newest: str,
    seen: Mapping[str, tuple[str, str]],
    overlap_s: int,
) -> Cursor:
    since = max(cursor.since, _earlier(newest, overlap_s)) if newest else cursor.since
    kept = {name: told for name, told in seen.items() if told[0] >= since}
    if after is None:
        return Cursor(since=since, seen=kept)
    return Cursor(since=cursor.since, after=after, newest=newest, seen=kept)


async def _whole(shop: Paced, order: dict[str, Any]) -> dict[str, Any]:
    """The order with the lines and refunds that did not come with the page."""
    number = order.get("id")
    lines = order.get("lineItems")
    order["lineItems"] = {"nodes": nodes_of(lines) + await _rest(
        shop, ORDER_LINES, str(number), next_of(lines), "order", "lineItems"
    )}  # fmt: skip
    refunds = order.get("refunds")
    if not isinstance(refunds, list):
        raise Transient("the shop's answer holds no list of refunds")
    known = {refund["id"]: refund for refund in refunds if isinstance(refund, dict)}
    if len(refunds) >= REFUNDS:
        data = await shop.ask(ORDER_REFUNDS, {"id": number})
        listed = value_at(dict(data), "order", "refunds")
        if not isinstance(listed, list):
            raise Transient("the shop's answer holds no list of refunds")
        refunds = [known.get(refund["id"], refund) for refund in listed]
    order["refunds"] = [await _whole_refund(shop, refund) for refund in refunds]
    return order


async def _whole_refund(shop: Paced, refund: dict[str, Any]) -> dict[str, Any]:
    lines, number = refund.get("refundLineItems"), str(refund.get("id"))
    if lines is None:
        path = ("refund", "refundLineItems")
        nodes = [node async for node in each_page(shop, REFUND, {"id": number}, *path)]
    else:
        nodes = nodes_of(lines) + await _rest(
            shop, REFUND, number, next_of(lines), "refund", "refundLineItems"
        )
    return {**refund, "refundLineItems": {"nodes": nodes}}


async def _rest(
    shop: Paced, document: str, number: str, after: str | None, *path: str
) -> list[dict[str, Any]]:
    if after is None:
        return []
    pages = each_page(shop, document, {"id": number}, *path, after=after)
    return [node async for node in pages]


def _time(found: Any) -> str:
    """A time in the one form in which texts are ordered as times are."""
    try:
        moment = dt.datetime.fromisoformat(found)
        return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (TypeError, ValueError):
        raise Transient(f"the shop dates an order {str(found)[:40]!r}") from None


def _earlier(text: str, seconds: int) -> str:
    return _time((dt.datetime.fromisoformat(text) - dt.timedelta(seconds=seconds)).isoformat())
