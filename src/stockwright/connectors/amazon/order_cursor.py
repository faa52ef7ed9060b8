"""Where a poll of orders goes on: the pass that is under way, and what it has told already."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from stockwright.connectors.amazon.order_forms import Heading, moment_of, text_of
from stockwright.domain.errors import Transient
from stockwright.sdk import passes

MOST_REFUSED: Final = 3
"""Tokens of pages refused in a row; the pass is begun anew at once as long as there are fewer."""
REST: Final = dt.timedelta(minutes=5)
"""Until the next one after that: each costs lists of a scarce plan."""
_SETTLED_AFTER: Final = dt.timedelta(minutes=2)
"""Amazon lists orders up to two minutes ago, where it does not say up to when."""


class Cursor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a poll goes on: in the pass that lists what changed from `since` to `until`, with
    Amazon's `token` of its next page and the orders `waiting` for their items to be asked for.

    An empty `until` means that the next pass has not begun. told: of orders told that changed so
    late that the next pass lists them again, the time of their change and their state. api: the
    version that token and waiting orders are of. first: it is the first pass of all. refused: how
    often in a row a pass was begun anew because a token was refused; it rests until `rests_until`.
    """

    since: str = ""
    until: str = ""
    token: str = ""
    waiting: Sequence[Mapping[str, Any]] = ()
    told: Mapping[str, str] = {}
    api: str = "v0"
    first: bool = False
    refused: int = 0
    rests_until: str = ""


def cursor_of(text: str) -> Cursor:
    """A cursor from its text, empty at the beginning. Raises Transient where it is none of ours."""
    return passes.cursor_of(text, Cursor, Cursor())


def anew(cursor: Cursor, api: str) -> Cursor:
    """The same pass from its beginning, by a version of the Orders API."""
    return msgspec.structs.replace(cursor, until="", token="", waiting=(), api=api)


def refused(cursor: Cursor, now: dt.datetime) -> Cursor:
    """The same pass from its beginning, after Amazon refused the token of its next page."""
    times = cursor.refused + 1
    rests_until = text_of(now + REST) if times >= MOST_REFUSED else ""
    return msgspec.structs.replace(anew(cursor, cursor.api), refused=times, rests_until=rests_until)


def check_rest(cursor: Cursor, now: dt.datetime) -> None:
    """Raises Transient while a pass rests whose tokens Amazon refuses again and again."""
    until = moment_of(cursor.rests_until)
    # A clock that was put right must not let it rest until that far time.
    if until is not None and now < until <= now + REST:
        times, at = cursor.refused, cursor.rests_until
        words = f"Amazon refused the token of a page {times} times: orders are listed anew at {at}"
        raise Transient(words)


def begun(cursor: Cursor, now: dt.datetime, first_poll_days: int, overlap_s: int) -> Cursor:
    """A cursor whose pass has a beginning, and none in the future: the clock may have gone back."""
    if not cursor.since:
        since = text_of(now - dt.timedelta(days=first_poll_days))
        return msgspec.structs.replace(cursor, since=since, first=True)
    if (moment_of(cursor.since) or now) <= now:
        return cursor
    return msgspec.structs.replace(cursor, since=text_of(now - dt.timedelta(seconds=overlap_s)))


def until_of(told: str, cursor: Cursor, now: dt.datetime) -> str:
    """Up to when a pass lists changes: as Amazon told, not before the pass begins."""
    moment = moment_of(told)
    until = now - _SETTLED_AFTER if moment is None else min(moment, now)
    return text_of(max(until, moment_of(cursor.since) or until))


def is_told(cursor: Cursor, heading: Heading) -> bool:
    """Whether a pass told of this very change before."""
    return cursor.told.get(heading.name) == heading.mark


def after(cursor: Cursor, headings: Sequence[Heading], overlap_s: int) -> Cursor:
    """The cursor that knows these orders told, as far as the next pass lists them again."""
    until = moment_of(cursor.until)
    if until is None:
        return cursor
    begin = until - dt.timedelta(seconds=overlap_s)
    known = {**cursor.told, **{one.name: one.mark for one in headings}}
    told = {
        name: mark
        for name, mark in known.items()
        if (moment_of(mark.partition(" ")[0]) or until) >= begin
    }
    return msgspec.structs.replace(cursor, told=told)
