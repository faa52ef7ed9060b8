"""GET /v1/changes: events and levels as they come, by cursor, by long poll, or as a stream."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Annotated, Final, Literal

import msgspec

from stockwright.api.call import Call
from stockwright.api.paging import DEFAULT_LIMIT, Cursor, Limit, cursor_of, position_of
from stockwright.api.reply import Reply, Stream, encode_json, reply
from stockwright.api.streaming import EVENTS, wanted
from stockwright.domain.events import FactKind, RequestKind
from stockwright.flow import following
from stockwright.flow.following import Heard, Wanted
from stockwright.store.feed import BEGINNING, Change, Position

MAX_WAIT_S: Final = 30
LOOK_S: Final = 1.0
"""The net under lost wake-ups."""
GATHER_S: Final = 0.03
"""A busy ledger rings for every batch: a stream tells of what came within this time at once."""
STILL_HERE_S: Final = 15.0
STREAM_LIMIT: Final = 500
STREAMS: Final = {EVENTS: Change}
Kind = FactKind | RequestKind | Literal["expiry", "level"]
Codes = Annotated[list[str], msgspec.Meta(max_length=100)]


class ChangesQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What to hear of, from where, and how long to wait for it.

    Without a cursor the feed begins at the `start` of all, or `now`. Filters may name several
    values each; kinds are those of events, and `level`.
    """

    cursor: Cursor = ""
    begin: Literal["start", "now"] = "start"
    limit: Limit = DEFAULT_LIMIT
    wait_s: Annotated[float, msgspec.Meta(ge=0, le=MAX_WAIT_S)] = 0
    kind: Annotated[list[Kind], msgspec.Meta(max_length=100)] = []
    sku: Codes = []
    location: Codes = []
    channel: Codes = []
    system: Codes = []


class ChangesPage(msgspec.Struct, kw_only=True):
    """Changes in order, and the cursor to go on from; there always is one, for a feed has no end.

    caught_up is false where more is there already.
    """

    items: Sequence[Change]
    cursor: str
    caught_up: bool


async def get_changes(call: Call) -> Reply:
    """Events of the ledger and changes of levels, in one order; waits for new ones if asked to."""
    query: ChangesQuery = call.query
    which = Wanted(
        kinds=query.kind,
        skus=frozenset(query.sku),
        locations=frozenset(query.location),
        channels=frozenset(query.channel),
        systems=frozenset(query.system),
    )
    position = await _start(call)
    if wanted(call.headers, EVENTS):
        no_cache = ((b"cache-control", b"no-store"), (b"x-accel-buffering", b"no"))
        return Stream(_events(call, position, which), EVENTS.encode(), no_cache, endless=True)
    heard = await _heard(call, position, which, query.limit, query.wait_s)
    items = [change for change, _ in heard.changes]
    cursor = cursor_of(heard.position)
    return reply(ChangesPage(items=items, cursor=cursor, caught_up=heard.at_end))


async def _start(call: Call) -> Position:
    query: ChangesQuery = call.query
    last = call.headers.get(b"last-event-id", b"").decode("latin-1")
    cursor = last or query.cursor
    if not cursor and query.begin == "now":
        return await call.block(following.ends, call.services.pool)
    return position_of(cursor, Position, BEGINNING)


async def _heard(call: Call, position: Position, which: Wanted, limit: int, wait_s: float) -> Heard:
    """The next changes; where there are none, those that come within the time."""
    bell = call.services.bell
    deadline = time.monotonic() + wait_s
    while True:
        rings = bell.rings
        heard = await call.follow(following.read_on, call.services.pool, position, which, limit)
        left_s = deadline - time.monotonic()
        if heard.changes or left_s <= 0 or bell.closed:
            return heard
        position = heard.position
        if heard.at_end:
            await bell.heard(rings, min(LOOK_S, left_s))


async def _events(call: Call, position: Position, which: Wanted) -> AsyncGenerator[bytes, None]:
    """Server-sent events until the client goes; each id is the cursor behind it.

    Where nothing passes for a while the position is told all the same, so that a consumer that
    comes back need not look through it again.
    """
    await call.block(following.end_behind, call.services.pool, position)
    yield b"retry: 2000\n\n"
    while not call.services.bell.closed:
        heard = await _heard(call, position, which, STREAM_LIMIT, STILL_HERE_S)
        position = heard.position
        if heard.changes:
            yield await call.follow(_frames, heard.changes)
        else:
            yield b"id: %s\n: still here\n\n" % cursor_of(position).encode()
        if heard.at_end:
            await asyncio.sleep(GATHER_S)


def _frames(changes: Sequence[tuple[Change, Position]]) -> bytes:
    """What takes a while is not done on the event loop, which has others to serve."""
    return b"".join(_frame(change, behind) for change, behind in changes)


def _frame(change: Change, behind: Position) -> bytes:
    name = change.__struct_config__.tag
    assert isinstance(name, str)
    told = (cursor_of(behind).encode(), name.encode(), encode_json(change))
    return b"id: %s\nevent: %s\ndata: %s\n\n" % told
