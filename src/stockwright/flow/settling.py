"""The transaction after a call to a channel: what became of each level it carried."""

import datetime as dt
from collections.abc import Sequence
from typing import Final

import msgspec

from stockwright.domain import budget as budgets
from stockwright.domain import levels as rules
from stockwright.domain.budget import Budget
from stockwright.domain.levels import Level
from stockwright.flow.calls import Call, Failed, Link
from stockwright.sdk.messages import Applied, InDoubt, PublishResult, Refused, Retry
from stockwright.store import attempts, levels
from stockwright.store.attempts import Finished
from stockwright.store.connection import Connection

LONGEST_LEVEL_WAIT_S: Final = 300.0
"""A level that fails while its neighbours do not waits at most so long between two tries."""
STUCK: Final = "at work for too long"


class Settled(msgspec.Struct, frozen=True):
    """When the answers of a call were taken, and one outcome per level, aligned with the call."""

    at: dt.datetime
    finished: list[Finished]


def settle(
    connection: Connection,
    link: Link,
    call: Call,
    answer: Sequence[PublishResult] | Failed,
    *,
    more: int = 0,
) -> Settled:
    """Takes the answers of a call, aligned with its levels; more: the calls it made in truth beyond
    that one.

    Levels are locked before the connection, which all its workers lock: most of the work is done
    by then, and a call that begins meanwhile need not wait for it.
    """
    current = {one.key: one for one in levels.relock(connection, [one.key for one in call.levels])}
    now = link.clock() if link.clock else levels.clock(connection)
    doubt_until = max(now, call.deadline) + link.apply_delay
    finished, held = [], []
    for n, carried in enumerate(call.levels):
        level = current[carried.key]
        if level.call == call.number:
            held.append(level)
            result = answer if isinstance(answer, Failed) else answer[n]
            finished.append(_settle_one(n, link, level, result, now, doubt_until))
        else:
            finished.append(_settle_late(n, level, carried, answer, doubt_until))
    levels.write_levels(connection, list(current.values()))
    attempts.finish_attempts(connection, call.number, finished, now=now, doubt_until=doubt_until)
    locked_at, budget = attempts.lock_connection(connection, link.system)
    _note_refusals(connection, link, call, answer, held)
    _note_stuck(connection, link, call, held)
    budgets.charge(budget, more, link.limits.calls_per_s, link.limits.burst)
    settle_budget(connection, link, budget, answer, link.clock() if link.clock else locked_at)
    return Settled(now, finished)


def _settle_one(
    n: int,
    link: Link,
    level: Level,
    result: PublishResult | Failed,
    now: dt.datetime,
    doubt_until: dt.datetime,
) -> Finished:
    own_wait_s = budgets.backoff_s(level.attempts + 1, link.chance(), LONGEST_LEVEL_WAIT_S)

    def after(seconds: float) -> dt.datetime:
        return now + dt.timedelta(seconds=max(budgets.silence_s(seconds), own_wait_s))

    match result:
        case Applied(shown=shown, version=version):
            blind = level.held and not link.order_watermark
            again = after(link.patience.increase_wait_s if blind else 0.0)
            outcome = rules.applied(level, now, again, shown, version)
            return Finished(n, outcome, level.last_error)
        case Refused(reason=reason, message=message):
            return Finished(n, rules.refused(level, now, reason), message or reason)
        case Retry(retry_after_s=retry_after_s, reason=reason, shown=shown):
            return Finished(n, rules.retry(level, after(retry_after_s), reason, shown), reason)
        case InDoubt(reason=reason, retry_after_s=retry_after_s, taken=taken):
            stuck = taken and _is_stuck(link, level, now)
            reason = f"{STUCK}: {reason}" if stuck else reason
            outcome = rules.doubtful(
                level, after(retry_after_s), doubt_until, reason, failed=stuck or not taken
            )
            return Finished(n, outcome, reason)
        case Failed(error=error):
            return Finished(n, rules.put_back(level, now, error), error)


def _is_stuck(link: Link, level: Level, now: dt.datetime) -> bool:
    """The net under the connector's own watchdog: no job lasts for ever."""
    return (now - level.waiting_since).total_seconds() > link.patience.longest_job_s


def _settle_late(
    n: int,
    level: Level,
    carried: Level,
    answer: Sequence[PublishResult] | Failed,
    doubt_until: dt.datetime,
) -> Finished:
    """The lease was lost to another worker: what we sent may be shown, but it proves nothing."""
    assert carried.sent is not None
    if isinstance(answer, Failed) or isinstance(answer[n], Refused | Retry):
        return Finished(n, "retry", "not applied; the lease had ended")
    rules.answered_late(level, carried.sent, doubt_until)
    return Finished(n, "doubtful", "answered after its lease had ended")


def _note_refusals(
    connection: Connection,
    link: Link,
    call: Call,
    answer: Sequence[PublishResult] | Failed,
    held: Sequence[Level],
) -> None:
    causes: dict[str, dict[str, object]] = {}
    if not isinstance(answer, Failed):
        for carried, result in zip(call.levels, answer, strict=True):
            if isinstance(result, Refused):
                causes[f"{carried.channel}: {result.reason}"] = {
                    "channel": carried.channel,
                    "listing": carried.listing,
                    "reason": result.reason,
                    "message": result.message,
                }
    for subject, detail in sorted(causes.items()):
        attempts.open_refusal(connection, "publication_refused", subject, link.system, detail)
    had_trouble = {one.key for one in call.levels if one.last_error}
    if any(one.key in had_trouble and not one.last_error for one in held):
        attempts.close_refusals(connection, link.system)


def _note_stuck(connection: Connection, link: Link, call: Call, held: Sequence[Level]) -> None:
    """One work item for a channel whose partner works on a job without end; it closes by itself."""
    channel = call.levels[0].channel
    stuck = [one for one in held if one.last_error.startswith(STUCK)]
    if stuck:
        detail: dict[str, object] = {
            "channel": channel,
            "listing": stuck[0].listing,
            "message": stuck[0].last_error,
        }
        attempts.open_refusal(connection, "publication_stuck", channel, link.system, detail)
    elif any(one.last_error.startswith(STUCK) for one in call.levels):
        attempts.close_item(connection, "publication_stuck", channel, "the partner answers again")


def settle_budget(
    connection: Connection,
    link: Link,
    budget: Budget,
    answer: Sequence[PublishResult] | Failed,
    now: dt.datetime,
) -> None:
    """Notes on the connection's budget, which is locked, how its partner took a call."""
    if isinstance(answer, Failed):
        _settle_failure(connection, link, budget, answer, now)
    elif all(isinstance(result, InDoubt) and not result.taken for result in answer):
        reason = next(result.reason for result in answer if isinstance(result, InDoubt))
        budgets.failed(budget, now, reason, link.chance())
    else:
        if budget.failures:
            attempts.close_misconfigured(connection, link.system, "sending")
        budgets.succeeded(budget, now)
    attempts.write_connection(connection, link.system, budget)


def _settle_failure(
    connection: Connection, link: Link, budget: Budget, failure: Failed, now: dt.datetime
) -> None:
    if failure.setting:
        budgets.misconfigured(budget, now, failure.error)
        attempts.open_misconfigured(
            connection, link.system, failure.setting, failure.error, "sending"
        )
    elif failure.retry_after_s is not None:
        budgets.throttled(budget, now, failure.error, failure.retry_after_s)
    else:
        budgets.failed(budget, now, failure.error, link.chance())
