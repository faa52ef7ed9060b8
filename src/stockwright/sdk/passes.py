"""Polls of what changed, for partners that list it by the time of its change, oldest first.

Pages begin at a time and not at a count: what changes meanwhile moves to the end and shifts the
others. What changes again after it was listed comes in the next pass, which begins a little earlier
than the last one ended: a partner may write a change down later than it dates it.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from stockwright.domain.errors import Throttled, Transient

C = TypeVar("C")


class Cursor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a poll goes on: with what changed at `since` or later, oldest change first.

    Times are texts that are ordered as times are. seen is what was told and changed since then,
    each with the time of its change and a hash of what it said. page is above 1 only where more
    changed in the second `since` than a page holds; back is the first such second of the pass: the
    next one begins there. told: this pass had news.
    """

    since: str
    page: int = 1
    back: str = ""
    seen: Mapping[str, tuple[str, str]] = {}
    told: bool = False


class Row(msgspec.Struct, frozen=True):
    """One thing as it is listed. mark: the time of its change, and a hash of what it says."""

    id: str
    fields: Mapping[str, Any]
    mark: tuple[str, str]


class Found(msgspec.Struct, frozen=True):
    """A page of a poll: messages, the cursor after them, and whether there are no more now."""

    messages: Sequence[bytes]
    cursor: Cursor
    complete: bool


def cursor_of(text: str, form: type[C], first: C) -> C:
    """A cursor from its text, `first` at the beginning. Raises Transient where it is none of
    ours.
    """
    if not text:
        return first
    try:
        return msgspec.json.decode(text, type=form)
    except msgspec.MsgspecError:
        raise Transient("the cursor of the poll cannot be read") from None


def row_of(raw: msgspec.Raw, number: str, changed: str, time: Callable[[str], str]) -> Row:
    """A row from what is listed, by the names of its number and of the time of its change.

    time makes a text of a time that is ordered as times are. Raises Transient.
    """
    try:
        fields = msgspec.json.decode(raw, type=dict[str, Any])
        at = time(fields[changed])
        name = str(int(fields[number]))
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
        raise Transient(f"what the partner lists cannot be read: {error!r}") from None
    return Row(name, fields, (at, hashlib.blake2b(bytes(raw), digest_size=8).hexdigest()))


async def tell(
    cursor: Cursor,
    rows: Sequence[Row],
    message: Callable[[Row], Awaitable[bytes]],
    *,
    more: bool,
    within_s: float,
    earlier: Callable[[str], str],
) -> Found:
    """The messages of those rows of a page that were not told before, as many as can be asked for
    in that time, and one at least. Raises Throttled where not one could be.

    more: the partner has another page. earlier: where the next pass begins, of the last change.
    """
    messages: list[bytes] = []
    deadline = asyncio.get_running_loop().time() + within_s
    for n, row in enumerate(rows):
        if cursor.seen.get(row.id) == row.mark:
            continue
        late = bool(messages) and asyncio.get_running_loop().time() > deadline
        try:
            told = None if late else await message(row)
        except Throttled:
            if not messages:
                raise
            told = None
        if told is None:
            # The rest of the page is listed again.
            return Found(
                messages, _within(cursor, rows[:n], messages, earlier, cut=True), complete=False
            )
        messages.append(told)
    if more:
        return Found(messages, _within(cursor, rows, messages, earlier, cut=False), complete=False)
    # Where pages of one second were counted, one may have been missed, as long as there is news.
    again = bool(cursor.back) and (cursor.told or bool(messages))
    return Found(messages, _after(cursor, rows, earlier), complete=not again)


def _within(
    cursor: Cursor,
    rows: Sequence[Row],
    messages: Sequence[bytes],
    earlier: Callable[[str], str],
    *,
    cut: bool,
) -> Cursor:
    """The cursor in the middle of a pass, after these rows of a page."""
    seen = {**cursor.seen, **{row.id: row.mark for row in rows}}
    last = max([cursor.since, *(row.mark[0] for row in rows)])
    page, back = 1, cursor.back
    if last == cursor.since and not cut:
        page, back = cursor.page + 1, back or last
    elif last == cursor.since:
        page = cursor.page
    # The next pass begins no earlier: what it lists again is known.
    begin = min(back or last, earlier(last))
    kept = {number: mark for number, mark in seen.items() if mark[0] >= begin}
    return Cursor(last, page, back, kept, cursor.told or bool(messages))


def _after(cursor: Cursor, rows: Sequence[Row], earlier: Callable[[str], str]) -> Cursor:
    """The cursor from which the next pass begins."""
    seen = {**cursor.seen, **{row.id: row.mark for row in rows}}
    since = cursor.since
    if seen:
        since = earlier(max([cursor.since, *(mark[0] for mark in seen.values())]))
    since = min(since, cursor.back) if cursor.back else since
    kept = {number: mark for number, mark in seen.items() if mark[0] >= since}
    return Cursor(since, seen=kept)
