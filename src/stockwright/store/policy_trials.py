"""Exposure policies that somebody tries: the rules, and what computing their effects found."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
from psycopg.types.json import Jsonb

from stockwright.domain.errors import Throttled
from stockwright.domain.network import ExposurePolicy
from stockwright.store.connection import Connection
from stockwright.store.queries import load

Kind = Literal["preview", "replay"]
State = Literal["waiting", "running", "done", "failed", "stopped"]

MOST_OPEN: Final = 20
"""Computations that may wait at once, over all processes."""
QUIET_S: Final = 45.0
"""A computation that nobody spoke of for so long has lost its process."""
_SQL: Final = load("policy_trials")


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """Rules that a channel would have, as of a revision of the configuration.

    applied is the revision that they became, None while they are only tried. reason is what was
    said so far of why.
    """

    id: int
    channel: str
    owner: str
    made_at: dt.datetime
    revision: int
    rules: Sequence[ExposurePolicy]
    reason: str
    applied: int | None


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One computation of a trial; seen is how much it has looked at so far. beat_at is when it was
    last heard of, or ended. result is there once it is done.
    """

    kind: Kind
    state: State
    asked_at: dt.datetime
    beat_at: dt.datetime | None
    seen: int
    result: Mapping[str, Any] | None
    error: str

    @property
    def is_open(self) -> bool:
        """Whether it waits, or is under way."""
        return self.state in ("waiting", "running")


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """A computation that this process carries out; attempt tells it from an earlier try."""

    trial: int
    kind: Kind
    attempt: int
    channel: str
    rules: Sequence[ExposurePolicy]


def make(
    connection: Connection,
    channel: str,
    rules: Sequence[ExposurePolicy],
    *,
    owner: str,
    revision: int,
    reason: str = "",
) -> int:
    """Keeps rules to be tried, planned on a revision; answers the trial's id."""
    connection.execute(_SQL["forget_old"])
    given = {
        "channel": channel,
        "owner": owner,
        "revision": revision,
        "reason": reason,
        "rules": Jsonb(msgspec.to_builtins(list(rules))),
    }
    row = connection.execute(_SQL["make"], given).fetchone()
    assert row is not None
    return int(row[0])


def find(connection: Connection, trial: int) -> Trial | None:
    """One trial, None where there is none (any more)."""
    row = connection.execute(_SQL["trial"], {"id": trial}).fetchone()
    return None if row is None else _trial(row)


def newest(connection: Connection, channel: str, limit: int = 10) -> list[Trial]:
    """The newest trials of a channel; their rules are left out."""
    asked = {"channel": channel, "limit": limit}
    return [_trial(row) for row in connection.execute(_SQL["newest"], asked)]


def _trial(row: Sequence[Any]) -> Trial:
    return msgspec.convert(dict(zip(Trial.__struct_fields__, row, strict=True)), Trial)


def runs(connection: Connection, trial: int) -> dict[Kind, Run]:
    """What was computed for a trial, or will be."""
    rows = connection.execute(_SQL["runs"], {"id": trial})
    return {row[0]: Run(**dict(zip(Run.__struct_fields__, row, strict=True))) for row in rows}


def mark_applied(connection: Connection, trial: int, revision: int, reason: str) -> None:
    """Notes which revision a trial's rules became, and why."""
    noted = {"id": trial, "revision": revision, "reason": reason}
    connection.execute(_SQL["mark_applied"], noted)


def ask(connection: Connection, trial: int, kind: Kind) -> None:
    """Asks for a computation, again where it ended before. Raises Throttled where many wait."""
    row = connection.execute(_SQL["count_open"]).fetchone()
    if row is not None and row[0] >= MOST_OPEN:
        message = f"{MOST_OPEN} trials are computed or wait already. Try again in a minute."
        raise Throttled(message, retry_after_s=60.0)
    connection.execute(_SQL["ask"], {"trial": trial, "kind": kind})


def take(connection: Connection) -> Taken | None:
    """The computation that waits longest, from now on ours; None where none does."""
    row = connection.execute(_SQL["take"], {"quiet_s": QUIET_S}).fetchone()
    if row is None:
        return None
    return msgspec.convert(dict(zip(Taken.__struct_fields__, row, strict=True)), Taken)


def beat(connection: Connection, taken: Taken, seen: int) -> bool:
    """Says that a computation goes on; False where nobody wants it (from us) any more."""
    return connection.execute(_SQL["beat"], {**_key(taken), "seen": seen}).fetchone() is not None


def finish(connection: Connection, taken: Taken, result: Any = None, *, error: str = "") -> None:
    """Keeps what a computation found, or why it failed."""
    ended = {
        "state": "failed" if error else "done",
        "result": None if error else Jsonb(msgspec.to_builtins(result)),
        "error": error,
    }
    connection.execute(_SQL["finish"], {**_key(taken), **ended})


def stop(connection: Connection, trial: int, kind: Kind) -> None:
    """Stops a computation that waits or is under way."""
    connection.execute(_SQL["stop"], {"trial": trial, "kind": kind})


def _key(taken: Taken) -> dict[str, Any]:
    return {"trial": taken.trial, "kind": taken.kind, "attempt": taken.attempt}
