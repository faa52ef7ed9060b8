"""Follows the feed of changes for one consumer: what passes its filter, in order, without gaps."""

from collections.abc import Collection, Iterator
from typing import Any, Final, NamedTuple

import msgspec

from stockwright.domain.errors import Rejected
from stockwright.store import feed
from stockwright.store.connection import Connection, Pool
from stockwright.store.feed import Change, EventChange, LevelChange, Position
from stockwright.store.session import session

WINDOW: Final = 1_000
MOST_WINDOWS: Final = 20
"""A filter that lets little pass looks at so many windows of the feed in one go."""
LEVEL: Final = "level"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a consumer wants to hear of. An empty field lets all pass; all fields must agree.

    kinds are those of events, and `level` for changes of levels. An event passes for a SKU, place
    or channel that it names or moves; a change of a level for a SKU that its listing has a part
    of, and for a place only where it is that place's own.
    """

    kinds: Collection[str] = ()
    skus: Collection[str] = ()
    locations: Collection[str] = ()
    channels: Collection[str] = ()
    systems: Collection[str] = ()

    @property
    def events(self) -> bool:
        """Whether any event may pass."""
        return not self.kinds or any(kind != LEVEL for kind in self.kinds)

    @property
    def levels(self) -> bool:
        """Whether any change of a level may pass."""
        return not self.kinds or LEVEL in self.kinds

    def passes(self, change: Change) -> bool:
        """Whether the consumer hears of this change."""
        named = _of_event(change) if isinstance(change, EventChange) else _of_level(change)
        asked = (self.kinds, self.systems, self.skus, self.locations, self.channels)
        return all(
            not some or any(code in some for code in codes)
            for some, codes in zip(asked, named, strict=True)
        )


class Heard(NamedTuple):
    """What passed, each with the position behind it; how far was looked, and whether to the end."""

    changes: list[tuple[Change, Position]]
    position: Position
    at_end: bool


def ends(pool: Pool) -> Position:
    """The position behind all there is."""
    with session(pool) as connection:
        return feed.ends(connection)


def end_behind(pool: Pool, after: Position) -> Position:
    """The position behind all there is, for one who was told all up to another.

    Raises Rejected (malformed) where that lies behind the end: what comes next was told before, or
    would be skipped.
    """
    upto = ends(pool)
    if after.sequence > upto.sequence or after.place > upto.place:
        message = (
            "this cursor lies behind the end of the feed; it is of another database, or of this one"
            " before it was restored. Begin anew with begin=now, and read the state once"
        )
        raise Rejected("malformed", "cursor", message)
    return upto


def read_on(pool: Pool, after: Position, wanted: Wanted, limit: int) -> Heard:
    """The next changes behind a position that a consumer wants, at most `limit`.

    Raises what `end_behind` raises.
    """
    upto = end_behind(pool, after)
    with session(pool) as connection:
        return read_upto(connection, after, upto, wanted, limit)


def read_upto(
    connection: Connection, after: Position, upto: Position, wanted: Wanted, limit: int
) -> Heard:
    """The changes from one position to another that a consumer wants, at most `limit`.

    upto is an answer of `end_behind`, or a position that was reached on the way to one.
    """
    found: list[tuple[Change, Position]] = []
    reached = after
    if reached != upto:
        for _ in range(MOST_WINDOWS):
            window, end = feed.changes(
                connection, reached, upto, WINDOW, events=wanted.events, levels=wanted.levels
            )
            for change in window:
                reached = change.after(reached)
                if wanted.passes(change):
                    found.append((change, reached))
                    if len(found) == limit:
                        return Heard(found, reached, at_end=False)
            reached = end
            if end == upto:
                break
    return Heard(found, reached, at_end=reached == upto)


def _of_event(change: EventChange) -> tuple[Collection[str], ...]:
    """Kind, system, SKUs, places and channel of an event, in the order of `Wanted.passes`."""
    body = change.body
    told = [body, *(line for line in body.get("lines", ()) if isinstance(line, dict))]
    return (
        (change.kind,),
        (change.system,),
        {*_texts(told, "sku", "to_sku"), *(move.sku for move in change.moves)},
        {
            *_texts(told, "location", "to_location"),
            *(move.from_location for move in change.moves),
            *(move.to_location for move in change.moves),
        }
        - {""},
        set(_texts([body], "channel")),
    )


def _of_level(change: LevelChange) -> tuple[Collection[str], ...]:
    return ((LEVEL,), (change.system,), change.skus, (change.location,), (change.channel,))


def _texts(told: list[Any], *names: str) -> Iterator[str]:
    for one in told:
        for name in names:
            if one.get(name):
                yield one[name]
