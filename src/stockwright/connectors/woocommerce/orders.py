"""Orders in: page after page by the time of their change, each with its refunds."""

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from stockwright.connectors.woocommerce.catalogue import API
from stockwright.domain.errors import Transient
from stockwright.sdk import passes
from stockwright.sdk.calling import Caller

TOPIC = "x-wc-webhook-topic"


class Cursor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a poll goes on: orders changed after `since`, oldest change first, but for those in
    `listed`, which came earlier in the same pass.

    seen are the orders changed after `since` that were told, each with the time of its change and a
    hash of what it said: two changes within a second have the same time.
    """

    since: str = ""
    listed: Sequence[int] = ()
    seen: Mapping[str, tuple[str, str]] = {}


class _Order(msgspec.Struct):
    id: int
    date_modified_gmt: str
    refunds: Sequence[Any] = ()


class Found(msgspec.Struct, frozen=True):
    """A page of a poll: messages, the cursor after them, and whether there are no more now."""

    messages: Sequence[bytes]
    cursor: Cursor
    complete: bool


def cursor_of(text: str) -> Cursor:
    """A cursor from its text, empty at the beginning. Raises Transient where it is none of ours."""
    return passes.cursor_of(text, Cursor, Cursor())


async def read(
    caller: Caller, cursor: Cursor, statuses: Sequence[str], size: int, overlap_s: int
) -> Found:
    """The next orders that were not told before, as they are.

    Pages begin at a time and never at a count: an order that changes meanwhile moves to the end and
    shifts the others, so that counting would miss one. What changes again after it was listed comes
    in the next pass, which begins a little earlier than the last one ended: a shop may also write
    an order down later than it dates it.
    """
    query = [
        ("status", ",".join(statuses)),
        ("orderby", "modified"),
        ("order", "asc"),
        ("dates_are_gmt", "true"),
        ("per_page", str(size)),
    ]
    if cursor.since:
        query.append(("modified_after", cursor.since))
    if cursor.listed:
        query.append(("exclude", ",".join(str(number) for number in cursor.listed)))
    raws = await caller.read(f"{API}/orders", list[msgspec.Raw], query=query)
    orders = [_order(caller, raw) for raw in raws]
    now = {
        str(order.id): (order.date_modified_gmt, _hash(raw))
        for order, raw in zip(orders, raws, strict=True)
    }
    messages = [
        await _message(caller, raw, order, size)
        for order, raw in zip(orders, raws, strict=True)
        if cursor.seen.get(str(order.id)) != now[str(order.id)]
    ]
    complete = len(raws) < size
    return Found(messages, _after(cursor, now, complete, overlap_s), complete)


def _order(caller: Caller, raw: msgspec.Raw) -> _Order:
    return caller.decode(bytes(raw), _Order, "GET orders")


async def _message(caller: Caller, raw: msgspec.Raw, order: _Order, size: int) -> bytes:
    """The order as it came; where it has refunds, with all of them."""
    if not order.refunds:
        return bytes(raw)
    refunds: list[msgspec.Raw] = []
    page = 1
    while True:
        query = [("per_page", str(size)), ("page", str(page))]
        path = f"{API}/orders/{order.id}/refunds"
        some = await caller.read(path, list[msgspec.Raw], query=query)
        refunds += some
        if len(some) < size:
            return msgspec.json.encode({"order": raw, "refunds": refunds})
        page += 1


def _after(
    cursor: Cursor, now: Mapping[str, tuple[str, str]], complete: bool, overlap_s: int
) -> Cursor:
    seen = {**cursor.seen, **now}
    if not seen:
        return Cursor(cursor.since)
    # Kept through all pages of a pass: the next one lists again what changed after `begin`.
    begin = _earlier(max(at for at, _ in seen.values()), overlap_s)
    if complete:
        return Cursor(begin, (), {n: told for n, told in seen.items() if told[0] > begin})
    since = max(cursor.since, _earlier(max(at for at, _ in now.values()), 1))
    listed = [*cursor.listed, *(int(number) for number in now)]
    kept = {n: told for n, told in seen.items() if told[0] > min(since, begin)}
    return Cursor(since, [n for n in listed if seen[str(n)][0] > since], kept)


def _hash(raw: msgspec.Raw) -> str:
    return hashlib.blake2b(bytes(raw), digest_size=8).hexdigest()


def _earlier(text: str, seconds: int) -> str:
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise Transient(f"the shop dates an order {text[:40]!r}") from None
    return (moment - dt.timedelta(seconds=seconds)).isoformat(timespec="seconds")
