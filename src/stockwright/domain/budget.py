"""What one connection may ask of its partner: calls per second, calls at once, times to hold off.

The budget is one row that all workers share. Times are those of the database's clock; chance is a
number from 0 up to 1 that the caller draws.
"""

import datetime as dt
from typing import Final, Literal

import msgspec

Circuit = Literal["closed", "open", "half_open"]

FAILURES_TO_OPEN: Final = 3
"""So many failed calls in a row stop all others but one probe at a time."""
FIRST_WAIT_S: Final = 0.5
LONGEST_WAIT_S: Final = 30.0
LONGEST_SILENCE_S: Final = 3_600.0
"""No partner is believed who asks for a longer silence."""
CLOCK_STEP_S: Final = 60.0
"""The database's clock may step back so far and nothing is earned twice. What lies further ahead of
it was written while the clock was wrong.
"""
LONGEST_DEBT_S: Final = 60.0
"""A zero waits no longer until calls that were made beyond the plan are earned: by then the
partner has said itself whether they were too many.
"""
INCREASE_SHARE: Final = 0.1
"""The part of the budget kept for increases that have waited."""
HOLD_S: Final = 10.0
"""Whoever publishes alone and is not heard of for so long is gone: another one goes on."""


class Budget(msgspec.Struct, kw_only=True):
    """How a connection does. tokens are calls it may start now, as of refilled_at.

    increase_credit is the number of levels owed to increases that were passed over. holder is the
    worker that publishes alone until held_until, where only one at a time may.
    """

    paused: bool = False
    circuit: Circuit = "closed"
    failures: int = 0
    retry_at: dt.datetime | None = None
    last_success: dt.datetime | None = None
    last_failure: dt.datetime | None = None
    last_error: str = ""
    heartbeat: dt.datetime | None = None
    tokens: float = 1.0
    refilled_at: dt.datetime
    increase_credit: float = 0.0
    holder: str = ""
    held_until: dt.datetime | None = None


def backoff_s(failures: int, chance: float, longest_s: float = LONGEST_WAIT_S) -> float:
    """Seconds to wait after so many failures in a row: doubling, bounded, half of it by chance."""
    assert failures > 0
    whole = min(longest_s, FIRST_WAIT_S * 2.0 ** min(failures - 1, 30))
    return whole * (0.5 + chance / 2)


def silence_s(asked_s: float) -> float:
    """Seconds that a partner's wish for silence is kept: what is no number is no wish."""
    return min(max(asked_s, 0.0), LONGEST_SILENCE_S) if asked_s == asked_s else 0.0


def refill(budget: Budget, now: dt.datetime, calls_per_s: float, burst: float) -> None:
    """Adds the calls earned since the last time; a clock that steps back earns nothing.

    One that was far ahead and was put right begins anew: it must not silence a connection until
    that far time comes.
    """
    step = dt.timedelta(seconds=CLOCK_STEP_S)
    if budget.refilled_at > now + step:
        budget.refilled_at, budget.heartbeat = now, None
    if budget.retry_at and budget.retry_at > now + step + dt.timedelta(seconds=LONGEST_SILENCE_S):
        budget.retry_at = None
    earned = max(0.0, (now - budget.refilled_at).total_seconds()) * calls_per_s
    budget.tokens = min(max(1.0, burst), budget.tokens + earned)
    budget.refilled_at = max(now, budget.refilled_at)


def wait_s(
    budget: Budget, now: dt.datetime, calls_per_s: float, concurrency: int, under_way: int
) -> float | None:
    """Seconds until a call may start: 0 for now, None where only an end of another call helps."""
    if budget.paused:
        return None
    if budget.retry_at is not None and now < budget.retry_at:
        return (budget.retry_at - now).total_seconds()
    at_once = 1 if budget.circuit != "closed" else concurrency
    if under_way >= at_once:
        return None
    if budget.tokens < 1.0:
        return (1.0 - budget.tokens) / calls_per_s
    return 0.0


def hold(budget: Budget, worker: str, now: dt.datetime) -> float:
    """A worker means to publish alone: 0 where it may, until HOLD_S from now; else the seconds for
    which another one does.
    """
    until = budget.held_until
    if budget.holder not in ("", worker) and until is not None:
        # What lies further ahead was written by a clock that was wrong.
        left_s = (until - now).total_seconds()
        if 0.0 < left_s <= HOLD_S:
            return left_s
    budget.holder, budget.held_until = worker, now + dt.timedelta(seconds=HOLD_S)
    return 0.0


def take_call(budget: Budget) -> None:
    """A call starts. With an open circuit it is the probe that may close it."""
    budget.tokens -= 1.0
    if budget.circuit == "open":
        budget.circuit = "half_open"


def promise_call(budget: Budget, calls_per_s: float) -> float:
    """Seconds to wait before a call that is promised now may start; nobody takes its turn.

    For calls that must not starve, such as polls: whoever asks by wait_s finds the budget lower.
    """
    budget.tokens -= 1.0
    return max(0.0, -budget.tokens / calls_per_s)


def spare_wait_s(budget: Budget, calls_per_s: float, burst: float) -> float:
    """Seconds until a call may be made that leaves one for levels; 0 for now.

    For the calls of a long poll: a zero must not wait until the poll has come to its end.
    """
    needed = min(2.0, max(1.0, burst))
    return max(0.0, (needed - budget.tokens) / calls_per_s)


def charge(budget: Budget, calls: int, calls_per_s: float, burst: float) -> None:
    """Calls that were made beyond those taken: the next ones wait until these are earned. No more
    is owed than LONGEST_DEBT_S earns, or a burst where that is more.
    """
    assert calls >= 0
    deepest = -max(LONGEST_DEBT_S * calls_per_s, burst)
    budget.tokens = min(budget.tokens, max(budget.tokens - calls, deepest))


def credit_increases(budget: Budget, carried: int, aged: int, batch_size: int) -> None:
    """Notes what a call of `carried` levels owes to increases, less the `aged` ones it carries."""
    credit = budget.increase_credit + carried * INCREASE_SHARE - aged
    # Credit that nobody used must not pile up: they are owed a batch at most.
    budget.increase_credit = min(max(0.0, credit), max(1.0, batch_size))


def owed_to_increases(budget: Budget, batch_size: int, *, beside_jobs: bool) -> int:
    """How many aged increases the next call carries: their share of a call beside decreases, and
    now and then a batch in place of jobs, for a few beside jobs would take a call of their own.
    """
    owed = int(budget.increase_credit)
    if beside_jobs:
        return owed if owed >= batch_size else 0
    return min(owed, max(1, int(batch_size * INCREASE_SHARE)))


def succeeded(budget: Budget, now: dt.datetime) -> None:
    """The partner answered a call. One that left before the partner asked for silence ends none."""
    budget.retry_at = _silent_until(budget, now)
    budget.circuit, budget.failures = "closed", 0
    budget.last_success = now
    budget.last_error = ""


def failed(budget: Budget, now: dt.datetime, error: str, chance: float) -> None:
    """A call failed as a whole: hold off, longer each time; after a few the circuit opens."""
    budget.failures += 1
    budget.last_failure, budget.last_error = now, error
    opens = budget.failures >= FAILURES_TO_OPEN or budget.circuit != "closed"
    _hold_off(budget, now, backoff_s(budget.failures, chance), opens=opens)


def throttled(budget: Budget, now: dt.datetime, error: str, retry_after_s: float) -> None:
    """The partner asked for silence. That is no failure of its own: an open circuit waits for the
    end of the silence, which nobody cuts short, and not for its own next try.
    """
    budget.last_error = error
    until = now + dt.timedelta(seconds=silence_s(retry_after_s))
    budget.retry_at = max(until, _silent_until(budget, now) or until)
    if budget.circuit == "open":
        budget.circuit = "half_open"
    budget.tokens = min(budget.tokens, 1.0)  # no burst right after the silence


def retry_at_once(budget: Budget, now: dt.datetime) -> bool:
    """Somebody wants the next try now: whether an open circuit waited for it.

    A silence that the partner asked for is kept.
    """
    if budget.circuit != "open" or budget.retry_at is None or budget.retry_at <= now:
        return False
    budget.retry_at = now
    return True


def misconfigured(budget: Budget, now: dt.datetime, error: str) -> None:
    """Only an operator can help: one probe at a time, rarely."""
    budget.failures += 1
    budget.last_failure, budget.last_error = now, error
    _hold_off(budget, now, LONGEST_WAIT_S, opens=True)


def _hold_off(budget: Budget, now: dt.datetime, wait_s: float, *, opens: bool) -> None:
    """No call for so long, nor before the end of a silence; then an open circuit waits for that."""
    until, silent = now + dt.timedelta(seconds=wait_s), _silent_until(budget, now)
    longer = silent is not None and silent > until
    budget.retry_at = silent if longer else until
    if opens:
        budget.circuit = "half_open" if longer else "open"


def _silent_until(budget: Budget, now: dt.datetime) -> dt.datetime | None:
    """When the silence ends that the partner asked for, None where it asked for none. Only an open
    circuit waits by itself for longer than a moment.
    """
    if budget.circuit == "open" or budget.retry_at is None or budget.retry_at <= now:
        return None
    return budget.retry_at
