"""GET /v1/changes: one ordered feed of events and levels, as pages, by long poll, or live."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Final, Literal

import msgspec

from stockwright.api.call import Call
from stockwright.api.paging import DEFAULT_LIMIT, Cursor, Limit, cursor_of, position_of
from stockwright.api.problems import problem
from stockwright.api.reply import Reply, encode_json, reply
from stockwright.api.stock import Codes
from stockwright.api.streams import EVENTS, Stream
from stockwright.store import feed
from stockwright.store.feed import FeedEvent, FeedLevel, Filter, Place

LONGEST_WAIT_S: Final = 60
COMMENT_EVERY_S: Final = 15.0
"""A live feed without changes still says something, so that proxies keep it open."""
_NO_CACHE: Final = ((b"cache-control", b"no-store"),)


class ChangesQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which changes, after which place. Each list may be given several times; the kind of a level
    change is `level`.

    start counts where there is no cursor. wait_s is how long to wait where there is no change yet.
    """

    cursor: Cursor = ""
    start: Literal["first", "now"] = "first"
    limit: Limit = DEFAULT_LIMIT
    wait_s: Annotated[float, msgspec.Meta(ge=0, le=LONGEST_WAIT_S)] = 0
    kinds: Codes = []
    skus: Codes = []
    locations: Codes = []
    channels: Codes = []
    systems: Codes = []


class EventChange(FeedEvent, frozen=True, kw_only=True, tag_field="type", tag="event"):
    """One event of the ledger: its canonical form, and the moves it made.

    cursor is the place behind it.
    """

    cursor: str


class LevelChange(FeedLevel, frozen=True, kw_only=True, tag_field="type", tag="level"):
    """A channel's number changed; it reflects the ledger up to sequence.

    cursor is the place behind it.
    """

    cursor: str


class Changes(msgspec.Struct, kw_only=True):
    """Changes in order. next_cursor is always there: pass it on to go on, at any later time."""

    items: list[EventChange | LevelChange]
    next_cursor: str


async def get_changes(call: Call) -> Reply:
    """Events and level changes in one order; as text/event-stream where Accept names it."""
    query: ChangesQuery = call.query
    live = b"text/event-stream" in call.headers.get(b"accept", b"")
    place = await _start(call, query, live)
    which = Filter(
        kinds=query.kinds,
        skus=query.skus,
        locations=query.locations,
        channels=query.channels,
        systems=query.systems,
    )
    if live:
        return Stream(_frames(call, which, place, query.limit), EVENTS, _NO_CACHE)
    found = await _next(call, which, place, query.limit, query.wait_s)
    return reply(Changes(items=_views(found), next_cursor=cursor_of(found.place)))


async def _start(call: Call, query: ChangesQuery, live: bool) -> Place:
    cursor = query.cursor
    if live and (last := call.headers.get(b"last-event-id")):
        cursor = last.decode("latin-1")
    if cursor or query.start == "first":
        place = position_of(cursor, Place, Place())
        if not (0 <= place.sequence < 2**62 and 0 <= place.position < 2**62):
            raise problem("malformed", "This is not a cursor of this list.", param="cursor")
        return place
    return await call.run(feed.newest)


async def _next(call: Call, which: Filter, place: Place, limit: int, wait_s: float) -> feed.Reading:
    """The next changes; without any, what there is after wait_s seconds."""
    loop, bell = asyncio.get_running_loop(), call.services.bell
    until = loop.time() + wait_s
    while True:
        rung = bell.rung
        found = await call.run(feed.read, place, which, limit)
        stands, left_s = found.at_end or found.place == place, until - loop.time()
        if found.items or (stands and left_s <= 0):
            return found
        place = found.place
        if stands:
            await bell.wait(rung, left_s)


async def _frames(call: Call, which: Filter, place: Place, limit: int) -> AsyncIterator[bytes]:
    """The feed as server-sent events; each one's id is the cursor that goes on after it."""
    yield b"retry: 2000\n\n"
    while True:
        found = await _next(call, which, place, limit, COMMENT_EVERY_S)
        place = found.place
        yield b"".join(_frame(view) for view in _views(found)) or b": still here\n\n"


def _frame(view: EventChange | LevelChange) -> bytes:
    kind = b"level" if isinstance(view, LevelChange) else b"event"
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (view.cursor.encode(), kind, encode_json(view))


def _views(found: feed.Reading) -> list[EventChange | LevelChange]:
    return [_view(place, item) for place, item in found.items]


def _view(place: Place, item: FeedEvent | FeedLevel) -> EventChange | LevelChange:
    told = {name: getattr(item, name) for name in item.__struct_fields__}
    kind = LevelChange if isinstance(item, FeedLevel) else EventChange
    return kind(**told, cursor=cursor_of(place))
