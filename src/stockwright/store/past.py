"""Standing at an earlier moment: the tables of rules and the books as they were then.

Inside `visit` the same queries that answer for today answer for then: each table of rules has a
view of its name that reads its history, and the books are those of one sequence of the ledger. A
table that keeps no history is not there at all, so that nothing of today is taken for the past.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec

from stockwright.store.arrays import texts
from stockwright.store.connection import Connection
from stockwright.store.queries import load

_SQL = load("past")


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """A time, the last sequence of the ledger that counts, and the revision of the rules."""

    at: dt.datetime
    sequence: int
    revision: int


class LevelThen(msgspec.Struct, frozen=True):
    """The number a listing was meant to show at a time, and what its channel had acknowledged.

    It was computed at projected_at from the ledger up to `sequence` and the rules of revision
    `rules`, None where that was before the rules had a history. Up to since_sequence the number
    before it was right.
    """

    channel: str
    listing: str
    value: int
    version: int
    since_sequence: int
    sequence: int
    rules: int | None
    projected_at: dt.datetime
    acknowledged: int | None
    acknowledged_version: int | None
    acknowledged_at: dt.datetime | None


class Carried(msgspec.Struct, frozen=True):
    """A call that took a number to its channel; outcome None where the answer is not known."""

    call: int
    version: int
    value: int
    started_at: dt.datetime
    finished_at: dt.datetime | None
    outcome: str | None
    detail: str


def moment(connection: Connection, at: dt.datetime) -> Moment:
    """Where the ledger and the rules were at a time; the beginning for a time before all."""
    row = connection.execute(_SQL["moment"], {"at": at}).fetchone()
    assert row is not None
    return Moment(at=at, sequence=row[0], revision=row[1])


def moment_of(connection: Connection, level: LevelThen) -> Moment:
    """The moment at which a number was computed: its own sequence, by its own rules."""
    found = moment(connection, level.projected_at)
    return Moment(
        at=level.projected_at,
        sequence=level.sequence,
        revision=found.revision if level.rules is None else level.rules,
    )


@contextmanager
def visit(connection: Connection, then: Moment) -> Iterator[None]:
    """Within the block, reads answer as of then. In the caller's transaction, or one of its own."""
    with connection.transaction():
        row = connection.execute(_SQL["visit"], msgspec.structs.asdict(then)).fetchone()
        assert row is not None
        yield
        # A failed block rolls back, and the path with it.
        connection.execute(_SQL["leave"], {"path": row[0], "plans": row[1]})


def levels_then(
    connection: Connection, listings: Sequence[tuple[str, str]], at: dt.datetime
) -> list[LevelThen]:
    """The numbers of these (channel, listing) at a time, by key; none where there was no number."""
    rows = connection.execute(
        _SQL["levels_then"],
        {
            "channels": texts([key[0] for key in listings]),
            "listings": texts([key[1] for key in listings]),
            "at": at,
        },
    )
    return [LevelThen(*row) for row in rows]


def attempts_of(connection: Connection, level: LevelThen) -> list[Carried]:
    """The calls that carried this number, or the newer one that went in its place, oldest first."""
    parameters = {"channel": level.channel, "listing": level.listing, "version": level.version}
    return [Carried(*row) for row in connection.execute(_SQL["attempts_of"], parameters)]
