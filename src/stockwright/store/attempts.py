"""Calls to partners: what each carried, what became of it, and the budget all workers share."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple

import msgspec
from psycopg.types.json import Jsonb

from stockwright.domain.budget import Budget
from stockwright.domain.codes import storable
from stockwright.domain.levels import Level, Outcome
from stockwright.store.arrays import numbers, texts
from stockwright.store.connection import Connection
from stockwright.store.queries import load

_SQL = load("attempts")
MAX_SUBJECT: Final = 200
Stopped = Literal["reading", "sending", "webhooks"]
"""What a partner refuses because of a setting."""
_BUDGET: Final = (
    "paused",
    "circuit",
    "failures",
    "retry_at",
    "last_success",
    "last_failure",
    "last_error",
    "heartbeat",
    "tokens",
    "refilled_at",
    "increase_credit",
    "holder",
    "held_until",
)


class Finished(msgspec.Struct, frozen=True):
    """What became of one level of a call; n is its place in the call."""

    n: int
    outcome: Outcome
    detail: str = ""


def start_call(
    connection: Connection,
    chosen: Sequence[Level],
    *,
    now: dt.datetime,
    lease_until: dt.datetime,
    deadline: dt.datetime,
    doubt_until: dt.datetime,
    gated: bool = False,
) -> int:
    """Leases locked levels to a new call and writes down what it carries, in this order.

    gated: increases among them waited for the channel's orders.
    The levels have been started, with any number for the call. Answers the call's number, never
    given out before. Commit before a byte of it leaves.
    """
    row = connection.execute(
        _SQL["start_call"],
        {
            "channels": texts([level.channel for level in chosen]),
            "listings": texts([level.listing for level in chosen]),
            "locations": texts([level.location for level in chosen]),
            "sent": numbers([level.sent for level in chosen]),
            "sent_versions": numbers([level.sent_version for level in chosen]),
            "versions": numbers([level.version for level in chosen]),
            "held": numbers([level.held for level in chosen]),
            "doubted": numbers([level.doubted for level in chosen]),
            "rest_until": chosen[0].rest_until,
            "gated": gated,
            "now": now,
            "lease_until": lease_until,
            "deadline": deadline,
            "doubt": doubt_until,
        },
    ).fetchone()
    assert row is not None
    assert row[1] == len(chosen), "every locked level is still there"
    return int(row[0])


def finish_attempts(
    connection: Connection,
    call: int,
    finished: Sequence[Finished],
    *,
    now: dt.datetime,
    doubt_until: dt.datetime,
) -> None:
    """Writes down the outcomes of a call; what stays in doubt does so until doubt_until."""
    connection.execute(
        _SQL["finish_attempts"],
        {
            "call": call,
            "ns": numbers([one.n for one in finished]),
            "outcomes": texts([one.outcome for one in finished]),
            "details": texts([one.detail for one in finished]),
            "now": now,
            "doubt": doubt_until,
        },
    )


def ensure_connection(connection: Connection, system: str, tokens: float) -> None:
    """Makes the row of a connection with that many calls to start with. Safe to repeat."""
    connection.execute(_SQL["ensure_connection"], {"system": system, "tokens": tokens})


class Failing(NamedTuple):
    """A connection whose last call failed: how often in a row, why, when it is tried again."""

    system: str
    failures: int
    last_error: str
    retry_at: dt.datetime | None


def failing(connection: Connection, system: str = "") -> list[Failing]:
    """The connections to which nothing can be sent now, or this one, by code."""
    rows = connection.execute(_SQL["failing"], {"system": system})
    return [Failing(*row) for row in rows]


def note_limits(connection: Connection, system: str, limits: Mapping[str, float]) -> None:
    """Keeps what a worker keeps to when it calls a partner. Safe to repeat."""
    connection.execute(_SQL["note_limits"], {"system": system, "limits": Jsonb(dict(limits))})


def lock_connection(connection: Connection, system: str) -> tuple[dt.datetime, Budget]:
    """The database's clock, and the connection's budget, locked until the transaction ends."""
    row = connection.execute(_SQL["lock_connection"], {"system": system}).fetchone()
    assert row is not None, "ensure_connection comes first"
    now, *values = row
    return now, Budget(**dict(zip(_BUDGET, values, strict=True)))


def read_connection(connection: Connection, system: str) -> tuple[dt.datetime, Budget] | None:
    """As `lock_connection` without its lock; None for a connection that was never used."""
    row = connection.execute(_SQL["read_connection"], {"system": system}).fetchone()
    if row is None:
        return None
    now, *values = row
    return now, Budget(**dict(zip(_BUDGET, values, strict=True)))


def write_connection(connection: Connection, system: str, budget: Budget) -> None:
    """Stores a budget that this transaction has locked."""
    connection.execute(
        _SQL["write_connection"], msgspec.structs.asdict(budget) | {"system": system}
    )


def let_go(connection: Connection, system: str, holder: str) -> None:
    """A worker that published alone ends: another one may go on at once."""
    connection.execute(_SQL["let_go"], {"system": system, "holder": holder})


def pause_connection(connection: Connection, system: str, paused: bool) -> None:
    """Stops all calls of a connection, or lets them go on. Levels go on being computed."""
    connection.execute(_SQL["pause_connection"], {"system": system, "paused": paused})


def open_refusal(
    connection: Connection, kind: str, subject: str, system: str, detail: dict[str, object]
) -> None:
    """Opens one work item per cause, or notes that its cause was seen again."""
    connection.execute(
        _SQL["open_refusal"],
        {
            "kind": kind,
            "subject": subject,
            "system": system,
            "detail": msgspec.json.encode(detail).decode(),
        },
    )


def close_refusals(connection: Connection, system: str) -> None:
    """Closes the refusals of a system that no level stands for any more."""
    connection.execute(_SQL["close_refusals"], {"system": system})


def close_item(connection: Connection, kind: str, subject: str, why: str) -> None:
    """Closes one work item, if it is open."""
    connection.execute(_SQL["close_item"], {"kind": kind, "subject": subject, "why": why})


def open_misconfigured(
    connection: Connection, system: str, setting: str, message: str, stopped: Stopped
) -> None:
    """Opens one work item for a setting for which a partner refuses us, whatever it stops, or notes
    that it was seen again.
    """
    subject = storable(f"{system}: {setting}", MAX_SUBJECT)
    _close_misconfigured(connection, system, stopped, "it fails for another setting", but=subject)
    connection.execute(
        _SQL["open_misconfigured"],
        {
            "subject": subject,
            "system": system,
            "setting": storable(setting, MAX_SUBJECT),
            "message": message,
            "stopped": stopped,
        },
    )


def close_misconfigured(connection: Connection, system: str, stopped: Stopped) -> None:
    """The partner answers again: closes the work items that stopped nothing else."""
    _close_misconfigured(connection, system, stopped, "the partner answers again")


def _close_misconfigured(
    connection: Connection, system: str, stopped: Stopped, why: str, *, but: str = ""
) -> None:
    connection.execute(
        _SQL["close_misconfigured"],
        {"system": system, "stopped": stopped, "why": why, "but": but},
    )


def resend_decided(connection: Connection, channels: Sequence[str]) -> int:
    """Makes refused levels due again whose cause a person has dealt with; answers how many.

    That is told by the cause's work item, which is no longer open.
    """
    return connection.execute(_SQL["resend_decided"], {"channels": texts(channels)}).rowcount
