"""Reads back what channels show: accepted is not applied, and others may change a number too."""

import datetime as dt
from collections.abc import Sequence
from typing import Final

import msgspec

from stockwright.domain import budget as budgets
from stockwright.domain import levels as rules
from stockwright.domain.levels import Level
from stockwright.flow.calls import Failed, Link
from stockwright.flow.settling import settle_budget
from stockwright.sdk.messages import ShownLevel
from stockwright.store import attempts, exposure, levels
from stockwright.store.connection import Connection

LEVELS_AT_ONCE: Final = 50
READ_AGAIN_AFTER_S: Final = 3_600.0
"""A level that was read back is not asked for again for so long, unless it is sent again."""


class Verified(msgspec.Struct, frozen=True):
    """How many levels were read back, and how many of them are put right."""

    read: int = 0
    wrong: int = 0


def choose(connection: Connection, link: Link) -> list[Level]:
    """Levels of one channel to read back in one call, which is taken from the budget.

    Empty where nothing is left to verify, or where the connection has no call to spare now.
    """
    now, budget = attempts.lock_connection(connection, link.system)
    now = link.clock() if link.clock else now
    budgets.refill(budget, now, link.limits.calls_per_s, link.limits.burst)
    if budget.circuit != "closed":
        return []
    under_way = levels.under_way(connection, link.channels, now)
    limits = link.limits
    if budgets.wait_s(budget, now, limits.calls_per_s, limits.concurrency, under_way.calls) != 0.0:
        return []
    before = now - dt.timedelta(seconds=READ_AGAIN_AFTER_S)
    for channel in link.channels:
        if channel in under_way.paused:
            continue
        chosen = levels.unverified_levels(connection, channel, before, LEVELS_AT_ONCE)
        if chosen:
            budgets.take_call(budget)
            attempts.write_connection(connection, link.system, budget)
            return chosen
    return []


def take(
    connection: Connection,
    link: Link,
    asked: Sequence[Level],
    answer: Sequence[ShownLevel | None] | Failed,
    *,
    more: int = 0,
) -> Verified:
    """Notes what was shown, aligned with the levels asked for; what is wrong is due again. more:
    the calls it took beyond the first.

    Too little may be due to orders on their way, except of gross numbers: see rules.read_back.
    """
    if isinstance(answer, Failed):
        _charge(connection, link, more, answer)
        return Verified()
    # Levels before the connection, as in `settling`.
    current = {one.key: one for one in levels.relock(connection, [one.key for one in asked])}
    now = link.clock() if link.clock else levels.clock(connection)
    shown = [None if one is None else one.quantity for one in answer]
    levels.write_verified(connection, asked, shown, now)
    wrong = []
    gross = exposure.gross_channels(connection, link.channels)
    for level, quantity in zip(asked, shown, strict=True):
        now_there = current[level.key]
        untouched = now_there.acknowledged_version == level.acknowledged_version
        if not untouched or quantity is None:
            continue
        if rules.read_back(
            now_there,
            quantity,
            now,
            orders_are_seen=link.order_watermark,
            gross=level.channel in gross,
        ):
            wrong.append(now_there)
    levels.write_levels(connection, wrong)
    _charge(connection, link, more)
    return Verified(len(asked), len(wrong))


def _charge(connection: Connection, link: Link, more: int, failed: Failed | None = None) -> None:
    """Pays for the calls that it took beyond the first. A partner that cannot be asked may still be
    told: of its failures only a wish for silence counts.
    """
    silence = failed is not None and failed.retry_after_s is not None
    if not more and not silence:
        return
    now, budget = attempts.lock_connection(connection, link.system)
    budgets.charge(budget, more, link.limits.calls_per_s, link.limits.burst)
    if failed is not None and silence:
        settle_budget(connection, link, budget, failed, link.clock() if link.clock else now)
    else:
        attempts.write_connection(connection, link.system, budget)
