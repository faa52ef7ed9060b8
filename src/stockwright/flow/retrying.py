"""An operator wants a connection to be tried again at once, after its failures made it wait.

The console, the API and the command line all do it here. What failed long waits up to five minutes
for its next poll, and an open circuit up to half a minute for its probe: too long for whoever has
just mended the cause. What the partner asked for is kept, its plan and its silence.
"""

import datetime as dt
from typing import Literal

import msgspec
from msgspec.structs import replace

from stockwright.domain import budget as budgets
from stockwright.domain.budget import Budget
from stockwright.domain.errors import Rejected
from stockwright.flow.connecting import channels_of, stop_publishers, system_of
from stockwright.flow.steering import checked_reason
from stockwright.store import attempts, connecting, levels, polls
from stockwright.store.access import log_change
from stockwright.store.connection import Connection

Waiting = Literal["none", "due", "waits", "held", "under_way", "paused", "at_once"]


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """When one direction of a connection is tried next, and the error of its last try.

    state: `none`, nobody tries it; `due`, as soon as there is something to do; `waits` until a
    time, which a retry ends; `held` until a time that nothing ends: the partner asked for silence,
    its plan has no call before, or its first failure is a second old; `under_way`; `paused`;
    `at_once`, because somebody wanted it.
    """

    state: Waiting
    until: dt.datetime | None = None
    error: str = ""


class Turns(msgspec.Struct, frozen=True, kw_only=True):
    """When a connection is asked next what happened, and when it is sent its levels next."""

    system: str
    reading: Turn
    sending: Turn


class Retried(msgspec.Struct, frozen=True, kw_only=True):
    """What a retry did: whether anything waited, and when each direction is tried now."""

    changed: bool
    turns: Turns


def turns(connection: Connection, system: str) -> Turns:
    """When a connection is tried next. Raises Rejected (not_found)."""
    _found, network = system_of(connection, system)
    channels = channels_of(network, system)
    return Turns(
        system=system,
        reading=_reading(connection, system),
        sending=_sending(connection, system, channels) if channels else Turn(state="none"),
    )


def retry(connection: Connection, system: str, *, actor: str, why: str) -> Retried:
    """Makes the next poll of a connection, and the probe of its open circuit, due at once.

    Safe to repeat: where nothing waits nothing is changed. Raises Rejected (not_found, malformed
    without a reason, not_ready before the connection is in shadow).
    """
    why = checked_reason(why)
    _found, network = system_of(connection, system)
    standing = connecting.standings(connection, system).get(system)
    if standing is not None and standing.stage == "added":
        message = f"{system} is not in shadow yet: nothing is asked of it, and nothing is sent."
        raise Rejected("not_ready", "system", message)
    stop_publishers(connection, system)
    before = turns(connection, system)
    sending = before.sending.state == "waits" and _probe(connection, system)
    reading = polls.retry_poll(connection, system)
    if not sending and not reading:
        return Retried(changed=False, turns=before)
    log_change(
        connection, actor, "connection.retry", system,
        {"why": why, "reading": reading, "sending": sending},
    )  # fmt: skip
    levels.notify_channels(connection, channels_of(network, system))
    after = Turns(
        system=system,
        reading=_hurried(before.reading) if reading else before.reading,
        sending=_hurried(before.sending) if sending else before.sending,
    )
    return Retried(changed=True, turns=after)


def _hurried(turn: Turn) -> Turn:
    return replace(turn, state="at_once", until=None)


def _probe(connection: Connection, system: str) -> bool:
    now, budget = attempts.lock_connection(connection, system)
    waited = budgets.retry_at_once(budget, now)
    attempts.write_connection(connection, system, budget)
    return waited


def _reading(connection: Connection, system: str) -> Turn:
    found = polls.poll_turn(connection, system)
    if found is None:
        return Turn(state="none")
    error = found.last_error
    if found.under_way:
        return Turn(state="under_way", error=error)
    if not found.waits:
        return Turn(state="due", error=error)
    return Turn(state="held" if found.held else "waits", until=found.due_at, error=error)


def _sending(connection: Connection, system: str, channels: tuple[str, ...]) -> Turn:
    found = attempts.read_connection(connection, system)
    if found is None:
        return Turn(state="none")
    now, budget = found
    goes_on = levels.under_way(connection, channels, now)
    if budget.paused or goes_on.paused >= {*channels}:
        return Turn(state="paused", error=budget.last_error)
    return _turn(budget, now, goes_on.calls)


def _turn(budget: Budget, now: dt.datetime, calls: int) -> Turn:
    error, at = budget.last_error, budget.retry_at
    if at is not None and at > now:
        return Turn(state="waits" if budget.circuit == "open" else "held", until=at, error=error)
    return Turn(state="under_way" if calls else "due", error=error)
