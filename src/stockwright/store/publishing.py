"""Publication as operators see and steer it: pauses, backlogs, lags, calls, resyncs."""

import datetime as dt
from typing import Any, Final

import msgspec

from stockwright.domain import budget as budgets
from stockwright.domain.budget import Budget
from stockwright.domain.resync import Pace, Standings
from stockwright.store.connection import Connection
from stockwright.store.levels import Key
from stockwright.store.queries import load

NEWEST_CALLS: Final = 3_000
"""Calls of all connections looked at to tell how much of a budget is used."""
NEWEST_ATTEMPTS: Final = 20_000
"""Attempts of a channel looked at for its lags."""
_SQL = load("publishing")


class Backlog(msgspec.Struct, frozen=True, kw_only=True):
    """Levels of one channel that wait, by lane.

    first and resends are parts of increases: numbers of listings that the channel never
    acknowledged any of, and what is only sent again. in_doubt are those of all lanes of which a
    call had no answer, so that the channel may show either number.
    """

    channel: str = ""
    decreases: int = 0
    increases: int = 0
    first: int = 0
    resends: int = 0
    in_doubt: int = 0


class Spending(msgspec.Struct, frozen=True, kw_only=True):
    """What a connection may do, and did in the last minute. pace is None until a worker told it."""

    system: str
    calls_per_s: float = 0.0
    pace: Pace | None = None

    @property
    def used(self) -> float | None:
        """The part of its calls a second that it used, from 0; above 1 after a rest."""
        return self.calls_per_s / self.pace.calls_per_s if self.pace else None


class WaitingLevel(msgspec.Struct, frozen=True):
    """A level that waits. sku is the first of what its listing is made of, '' where it is gone."""

    listing: str
    location: str
    sku: str
    lane: str
    state: str
    desired: int
    acknowledged: int | None
    doubt_low: int | None
    doubt_high: int | None
    doubt_until: dt.datetime | None
    waiting_since: dt.datetime
    due_at: dt.datetime
    attempts: int
    last_error: str
    is_resent: bool


class CallMade(msgspec.Struct, frozen=True):
    """One call to a channel: its levels by what became of them. open ones have no answer yet."""

    call: int
    started_at: dt.datetime
    finished_at: dt.datetime | None
    levels: int
    acknowledged: int
    superseded: int
    retry: int
    refused: int
    doubtful: int
    open: int
    detail: str


class Lag(msgspec.Struct, frozen=True):
    """Seconds from change to acknowledgement, of what was acknowledged in the period from `at`."""

    at: dt.datetime
    p50_s: float
    p99_s: float
    samples: int


def find_channel(connection: Connection, channel: str) -> tuple[str, bool] | None:
    """The system of a channel and whether a connector tells it; None where there is none."""
    row = connection.execute(_SQL["channel"], {"channel": channel}).fetchone()
    return None if row is None else (row[0], row[1])


def pause(connection: Connection, channel: str, *, actor: str, why: str) -> bool:
    """Pauses a channel; False where it is paused. Lock its connection first."""
    arguments = {"channel": channel, "actor": actor, "why": why}
    return connection.execute(_SQL["pause"], arguments).fetchone() is not None


def resume(connection: Connection, channel: str, system: str) -> bool:
    """Ends a channel's pause, and that of its whole connection; False where neither was."""
    arguments = {"channel": channel, "system": system}
    return connection.execute(_SQL["resume"], arguments).fetchone() is not None


def standings(connection: Connection, channel: str) -> Standings:
    """What a resync makes of a channel's levels."""
    row = connection.execute(_SQL["standings"], {"channel": channel}).fetchone()
    assert row is not None
    return Standings(**dict(zip(Standings.__struct_fields__, row, strict=True)))


def again_after(
    connection: Connection, channel: str, after: tuple[str, str], limit: int
) -> tuple[list[Key], tuple[str, str] | None]:
    """Which of the next levels after (listing, location) a resync sends again, in order of key.

    Answers the (listing, location) to go on after as well, None once all were looked at.
    """
    arguments = {
        "channel": channel,
        "listing": after[0],
        "location": after[1],
        "limit": limit,
    }
    rows = connection.execute(_SQL["again"], arguments).fetchall()
    keys = [(channel, listing, location) for listing, location, again in rows if again]
    return keys, (rows[-1][0], rows[-1][1]) if len(rows) == limit else None


def spending(connection: Connection, system: str = "") -> dict[str, Spending]:
    """The budget of every connection that was used yet, or of this one, by system."""
    rows = connection.execute(_SQL["budgets"], {"system": system, "calls": NEWEST_CALLS})
    return {row[0]: _spending(*row) for row in rows}


def _spending(
    system: str,
    limits: dict[str, Any] | None,
    tokens: float,
    refilled_at: dt.datetime,
    calls_per_s: float,
    call_s: float,
    ahead: int,
    now: dt.datetime,
) -> Spending:
    if limits is None:
        return Spending(system=system, calls_per_s=calls_per_s)
    budget = Budget(tokens=tokens, refilled_at=refilled_at)
    budgets.refill(budget, now, limits["calls_per_s"], limits["burst"])
    pace = Pace(
        batch_size=limits["batch_size"],
        calls_per_s=limits["calls_per_s"],
        burst=limits["burst"],
        concurrency=limits["concurrency"],
        tokens=budget.tokens,
        call_s=call_s,
        ahead=ahead,
    )
    return Spending(system=system, calls_per_s=calls_per_s, pace=pace)


def backlogs(connection: Connection, channel: str = "") -> dict[str, Backlog]:
    """The levels that wait, by channel; channels (or this one) without any are missing."""
    fields = Backlog.__struct_fields__
    rows = connection.execute(_SQL["backlogs"], {"channel": channel})
    return {row[0]: Backlog(**dict(zip(fields, row, strict=True))) for row in rows}


def oldest(connection: Connection, channel: str, *, limit: int = 50) -> list[WaitingLevel]:
    """The levels of a channel that have waited longest; what is only sent again comes last."""
    rows = connection.execute(_SQL["oldest"], {"channel": channel, "limit": limit})
    return [WaitingLevel(*row) for row in rows]


def calls(connection: Connection, channel: str, *, limit: int = 20) -> list[CallMade]:
    """The newest calls to a channel, newest first."""
    arguments = {"channel": channel, "limit": limit}
    return [CallMade(*row) for row in connection.execute(_SQL["calls"], arguments)]


def lags(connection: Connection, channel: str, *, since: dt.datetime, period_s: int) -> list[Lag]:
    """How late a channel was in each period since a time, oldest first; empty ones are missing."""
    arguments = {
        "channel": channel,
        "since": since,
        "period_s": period_s,
        "samples": NEWEST_ATTEMPTS,
    }
    return [Lag(*row) for row in connection.execute(_SQL["lags"], arguments)]


def mark(connection: Connection) -> str:
    """Changes whenever a page about publication may have."""
    row = connection.execute(_SQL["mark"]).fetchone()
    assert row is not None
    return "|".join(str(part) for part in row)
