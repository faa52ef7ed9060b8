"""How far each connection has been asked: cursor, watermark, and why the last poll failed."""

import datetime as dt
from typing import Final, NamedTuple

import msgspec

from stockwright.domain.codes import storable
from stockwright.store.connection import Connection
from stockwright.store.queries import load

_SQL: Final = load("polls")
MAX_ERROR: Final = 1_000


class PollLease(NamedTuple):
    """A connection's cursor while one worker polls it. poll_started_at: of a poll cut in pages."""

    cursor: str
    poll_started_at: dt.datetime | None


class PollState(msgspec.Struct, frozen=True, kw_only=True):
    """How a connection's polls do. watermark: nothing that happened before it is unseen."""

    connection: str
    cursor: str
    watermark: dt.datetime | None
    last_success_at: dt.datetime | None
    last_error: str
    last_error_at: dt.datetime | None
    failures: int
    due_at: dt.datetime


class PollTurn(NamedTuple):
    """When a connection is polled next. waits: not yet; under_way: a worker polls it now; held: the
    partner's plan has no call for it before.
    """

    due_at: dt.datetime
    waits: bool
    under_way: bool
    held: bool
    last_error: str


class Advance(NamedTuple):
    """One page's step of a cursor. every_s: when the next poll is due once this one is complete.

    took_s: seconds since the partner was asked, which no wrong clock can change.
    """

    before: str
    cursor: str
    started_at: dt.datetime
    complete: bool
    every_s: float
    took_s: float = 0.0


def lease_poll(
    connection: Connection, system: str, worker: str, *, lease_s: float, now: bool = False
) -> PollLease | None:
    """Takes a connection for one poll; None where it is not due or another worker polls it."""
    connection.execute(_SQL["ensure"], {"connection": system})
    arguments = {"connection": system, "worker": worker, "lease_s": lease_s, "now": now}
    row = connection.execute(_SQL["lease"], arguments).fetchone()
    return PollLease(*row) if row else None


def advance_poll(
    connection: Connection, system: str, worker: str, step: Advance, *, lease_s: float
) -> bool:
    """Moves the cursor on; False where the lease was lost or the cursor moved: roll back.

    For the same transaction as the payloads of the page.
    """
    arguments = {"connection": system, "worker": worker, "lease_s": lease_s, **step._asdict()}
    return connection.execute(_SQL["advance"], arguments).rowcount == 1


def fail_poll(
    connection: Connection, system: str, worker: str, error: str, *, retry_s: float
) -> None:
    """Notes why a poll failed, and when to try again. An unfinished poll begins anew."""
    arguments = {
        "connection": system,
        "worker": worker,
        "error": storable(error, MAX_ERROR),
        "retry_s": retry_s,
    }
    connection.execute(_SQL["failed"], arguments)


def extend_lease(connection: Connection, system: str, worker: str, *, lease_s: float) -> bool:
    """Keeps a connection for who reads a page of it; False where the lease is over."""
    arguments = {"connection": system, "worker": worker, "lease_s": lease_s}
    return connection.execute(_SQL["extend"], arguments).rowcount == 1


def hold_poll(connection: Connection, system: str, worker: str, *, wait_s: float) -> None:
    """Puts a poll off until its turn in the partner's plan comes, which is no failure."""
    connection.execute(_SQL["hold"], {"connection": system, "worker": worker, "wait_s": wait_s})


def keep_silence(connection: Connection, system: str, wait_s: float) -> None:
    """Puts the next poll off until the partner's silence is over, where it asked for one in answer
    to somebody else. Safe to repeat.
    """
    connection.execute(_SQL["keep_silence"], {"connection": system, "wait_s": wait_s})


def failures_of(connection: Connection, system: str) -> int:
    """How many polls of a connection have failed in a row."""
    row = connection.execute(_SQL["failures"], {"connection": system}).fetchone()
    return int(row[0]) if row else 0


def release_poll(connection: Connection, system: str, worker: str) -> None:
    """Gives a connection back to whoever polls it next."""
    connection.execute(_SQL["release"], {"connection": system, "worker": worker})


def hurry_poll(connection: Connection, system: str) -> None:
    """Makes the next poll of a connection due now: the partner says that it has news.

    One that waits for its turn in the partner's plan goes on waiting.
    """
    connection.execute(_SQL["hurry"], {"connection": system})


def retry_mended(connection: Connection, system: str) -> None:
    """Reads a connection at once that failed for a setting: it was opened anew since."""
    connection.execute(_SQL["mended"], {"connection": system})


def retry_poll(connection: Connection, system: str) -> bool:
    """Makes the next poll due now, as a person wants it; False where it does not wait.

    One that waits for its turn in the partner's plan goes on waiting.
    """
    return connection.execute(_SQL["retry"], {"connection": system}).rowcount == 1


def poll_turn(connection: Connection, system: str) -> PollTurn | None:
    """When a connection is polled next; None where nobody polled it yet."""
    row = connection.execute(_SQL["turn"], {"connection": system}).fetchone()
    return PollTurn(*row) if row else None


def poll_states(connection: Connection) -> list[PollState]:
    """Every polled connection, by code."""
    fields = PollState.__struct_fields__
    rows = connection.execute(_SQL["states"]).fetchall()
    return [PollState(**dict(zip(fields, row, strict=True))) for row in rows]
