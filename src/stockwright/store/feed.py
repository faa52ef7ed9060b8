"""The feed of changes: events of the ledger and changes of levels, in one order for everybody.

Both kinds take their number under a lock that is held until the commit: events under the ledger's
lane, changes of levels under FEED_LOCK, with the head of the ledger at that time. A reader first
waits for whoever holds FEED_LOCK and only then looks how far both have come. So all that is
numbered up to there is committed, and whatever comes later stands behind it: going on after the
last position skips nothing, however late a transaction commits.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from stockwright.store.arrays import numbers
from stockwright.store.connection import Connection
from stockwright.store.levels import FEED_LOCK
from stockwright.store.queries import load

_SQL: Final = load("feed")


class Position(msgspec.Struct, frozen=True, array_like=True):
    """How far a reader has come: the last event's sequence number, the last place of a level."""

    sequence: int = 0
    place: int = 0


BEGINNING: Final = Position()


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of an event: a quantity left one account and entered another, in base units."""

    sku: str
    lot: str
    from_account: str
    from_location: str
    to_account: str
    to_location: str
    quantity: int
    transfer: str


class EventChange(msgspec.Struct, frozen=True, kw_only=True, tag_field="change", tag="event"):
    """One event of the ledger: a fact or a request as it was told, its outcome, and what it moved.

    answer is what a request was answered beyond the outcome's code; param and message say why it
    was refused, or only observed.
    """

    sequence: int
    kind: str
    system: str
    outcome: str
    occurred_at: dt.datetime
    received_at: dt.datetime
    recorded_at: dt.datetime
    payload: int | None
    body: dict[str, Any]
    answer: dict[str, Any] | None
    param: str = ""
    message: str = ""
    moves: Sequence[Move] = ()

    def after(self, before: Position) -> Position:
        """The position behind this event, given the one in front of it."""
        return Position(self.sequence, before.place)


class LevelChange(msgspec.Struct, frozen=True, kw_only=True, tag_field="change", tag="level"):
    """A channel is to show another number of a listing, in pieces; skus are the listing's parts.

    sequence is the ledger's number up to which the number is right. location is '' for the whole
    pool of the channel.
    """

    channel: str
    system: str
    listing: str
    location: str
    value: int
    version: int
    sequence: int
    projected_at: dt.datetime
    skus: Sequence[str]
    position: int

    def after(self, before: Position) -> Position:
        """The position behind this change, given the one in front of it."""
        return Position(before.sequence, self.position)


Change = EventChange | LevelChange


def ends(connection: Connection) -> Position:
    """The position behind all that is committed; what comes later will stand behind it.

    In a transaction of its own: it holds writers of levels up while it lasts. Where one of them
    does not come to its end, the database gives up after a second.
    """
    connection.execute(_SQL["short_wait"])
    connection.execute(_SQL["wait_for_writers"], {"lock": FEED_LOCK})
    row = connection.execute(_SQL["ends"]).fetchone()
    assert row is not None
    return Position(row[0], row[1])


def changes(
    connection: Connection,
    after: Position,
    upto: Position,
    limit: int,
    *,
    events: bool = True,
    levels: bool = True,
) -> tuple[list[Change], Position]:
    """At most `limit` changes behind one position up to another, in order, and how far that is.

    upto is an answer of `ends`. Without events, or without levels, these are passed over.
    """
    found_events = _events(connection, after, upto, limit) if events else []
    found_levels = _levels(connection, after, upto, limit) if levels else []
    # Both lists may be cut short; only what lies in front of both cuts is in order for sure.
    merged: list[tuple[tuple[int, int, int], Change]] = [
        ((one.sequence, 0, 0), one) for one in found_events
    ]
    merged += [((head, 1, one.position), one) for head, one in found_levels]
    merged.sort(key=lambda pair: pair[0])
    if len(merged) > limit:
        chosen = [change for _, change in merged[:limit]]
        reached = after
        for change in chosen:
            reached = change.after(reached)
        return chosen, reached
    return [change for _, change in merged], upto


def events_at(connection: Connection, sequences: Sequence[int]) -> list[EventChange]:
    """The events with these sequence numbers, in order."""
    if not sequences:
        return []
    wanted = {"sequences": numbers(sorted(set(sequences)))}
    rows = connection.execute(_SQL["events_at"], wanted).fetchall()
    return _with_moves(rows, connection.execute(_SQL["moves_at"], wanted))


def _events(
    connection: Connection, after: Position, upto: Position, limit: int
) -> list[EventChange]:
    bounds = {"after": after.sequence, "upto": upto.sequence, "limit": limit + 1}
    rows = connection.execute(_SQL["events"], bounds).fetchall()
    if not rows:
        return []
    between = {"first": rows[0][0], "last": rows[-1][0]}
    return _with_moves(rows, connection.execute(_SQL["moves"], between))


def _with_moves(
    rows: Iterable[tuple[Any, ...]], entries: Iterable[tuple[Any, ...]]
) -> list[EventChange]:
    moves: dict[int, list[Move]] = {}
    for sequence, *told in entries:
        move = Move(**dict(zip(Move.__struct_fields__, told, strict=True)))
        moves.setdefault(sequence, []).append(move)
    return [_event(row, moves.get(row[0], ())) for row in rows]


def _event(row: tuple[Any, ...], moves: Sequence[Move]) -> EventChange:
    sequence, kind, system, outcome, occurred_at, received_at, recorded_at, payload, body, kept = (
        row
    )
    return EventChange(
        sequence=sequence,
        kind=kind,
        system=system,
        outcome=outcome,
        occurred_at=occurred_at,
        received_at=received_at,
        recorded_at=recorded_at,
        payload=payload,
        body=body,
        answer=kept["answer"] if kept else None,
        param=kept["field"] if kept else "",
        message=kept["message"] if kept else "",
        moves=moves,
    )


def _levels(
    connection: Connection, after: Position, upto: Position, limit: int
) -> list[tuple[int, LevelChange]]:
    """Changes of levels, each with the event behind which it stands."""
    bounds = {"after": after.place, "upto": upto.place, "limit": limit + 1}
    return [
        (
            head,
            LevelChange(
                position=position,
                channel=channel,
                system=system,
                listing=listing,
                location=location,
                value=value,
                version=version,
                sequence=sequence,
                projected_at=projected_at,
                skus=skus,
            ),
        )
        for (
            head, position, channel, system, listing, location,
            value, version, sequence, projected_at, skus,
        ) in connection.execute(_SQL["level_changes"], bounds)
    ]  # fmt: skip
