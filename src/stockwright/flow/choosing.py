"""Which levels the next call carries: the most urgent, and increases that may go."""

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from stockwright.domain import budget as budgets
from stockwright.domain import watermark
from stockwright.domain.budget import Budget
from stockwright.domain.levels import Level
from stockwright.domain.watermark import Gate
from stockwright.flow import order_gate
from stockwright.store import levels
from stockwright.store.connection import Connection
from stockwright.store.levels import Key

if TYPE_CHECKING:
    from stockwright.flow.calls import Link

PROBE_LEVELS: Final = 10
"""Levels in the one call that asks whether a failing partner answers again."""
MOST_LEVELS: Final = 12_000
"""Levels in any call, whatever the connector declares: all of them stand in one transaction, and
each has its number in the call in two bytes.
"""
OUT_OF_TURN: Final = 9
"""So many calls in a row may go to channels with decreases before another has its turn."""


class Chosen(msgspec.Struct):
    """Levels for the next call. held: by how many pieces each goes below its number, where it does.

    put_off: increases that are not worth a call while the channel's orders are unknown.
    """

    levels: list[Level] = []
    held: dict[Key, int] = {}
    put_off: list[Level] = []


def choose(
    connection: Connection,
    link: "Link",
    running: Sequence[str],
    budget: Budget,
    gate: Gate,
    now: dt.datetime,
) -> Chosen:
    """Levels of one channel; the connection's channels that are not paused take turns, those with
    decreases before the others.
    """
    put_off = list[Level]()
    for channel, out_of_turn in _in_order(connection, link, running, now):
        chosen = _choose_of(connection, link, budget, channel, gate, now)
        put_off += chosen.put_off
        if chosen.levels:
            if out_of_turn:
                link.out_of_turn += 1
            else:
                link.turn, link.out_of_turn = (running.index(channel) + 1) % len(running), 0
            return Chosen(chosen.levels, chosen.held, put_off)
    return Chosen(put_off=put_off)


def _in_order(
    connection: Connection, link: "Link", running: Sequence[str], now: dt.datetime
) -> list[tuple[str, bool]]:
    """The channels as they are asked for levels, and whether each goes out of its turn: a zero of
    one channel must not wait for what others are to be raised by. Now and then all keep their turn.
    """
    count = len(running)
    turns = [running[(link.turn + n) % count] for n in range(count)]
    if count < 2 or link.out_of_turn >= OUT_OF_TURN:
        return [(channel, False) for channel in turns]
    urgent = levels.channels_with_decreases(connection, running, now)
    first = [(channel, channel != turns[0]) for channel in turns if channel in urgent]
    return first + [(channel, False) for channel in turns if channel not in urgent]


def _choose_of(
    connection: Connection,
    link: "Link",
    budget: Budget,
    channel: str,
    gate: Gate,
    now: dt.datetime,
) -> Chosen:
    """Decreases first; then increases that may go, those owed a share of the budget before all."""
    size = min(link.limits.batch_size, MOST_LEVELS)
    if budget.circuit != "closed":
        size = min(size, PROBE_LEVELS)
    affordable = _affordable(link, size)
    decreases = levels.due_levels(connection, channel, "decrease", now, size)
    # What became of a job is asked though its number had to wait: it is under way already. And
    # before others: a partner works on so many jobs at one time only.
    jobs = levels.jobs_due(connection, channel, now, size - len(decreases))
    owed = min(
        affordable,
        budgets.owed_to_increases(budget, size, beside_jobs=bool(jobs and not decreases)),
    )
    since = now - dt.timedelta(seconds=link.aged_after_s)
    aged = (
        levels.aged_increases(connection, channel, gate.until, since, owed)
        if owed and gate.ready
        else []
    )
    found = {level.key: level for level in (*aged, *decreases)}
    for level in jobs[: max(0, size - len(found))]:
        found.setdefault(level.key, level)
    room = min(size - len(found), affordable)
    # A few increases beside jobs would take a call, or a job, of their own.
    if room > 0 and gate.ready and not (jobs and room < size / 2):
        # The aged ones may be among them again.
        more = levels.due_levels(connection, channel, "increase", gate.until, room + len(aged))
        for level in more:
            found.setdefault(level.key, level)
    put_off = order_gate.put_off(connection, list(found.values())[:size], gate, now)
    for level in put_off:
        found.pop(level.key)
    carried = _narrowed(list(found.values())[:size], size)
    told = {level.key for level in carried}
    owed_sent = sum(level.key in told for level in aged)
    budgets.credit_increases(budget, len(carried), owed_sent, size)
    held = {
        level.key: held
        for level in carried
        if (held := watermark.held_of(level, unseen=gate.held_back))
    }
    order_gate.tell_held(connection, link, carried, gate)
    return Chosen(carried, held, put_off)


def _affordable(link: "Link", size: int) -> int:
    """How many increases may go together: where each takes calls of its own, no more than half a
    burst of them, so that a zero need not wait for long until they are earned.
    """
    if link.more_a_level <= 0.0:
        return size
    return max(1, min(size, int(link.limits.burst / 2 / link.more_a_level)))


def _narrowed(chosen: list[Level], size: int) -> list[Level]:
    """Fewer levels together where some were left in doubt again and again.

    One level that makes the partner fail a whole call is alone after a few tries, and its
    neighbours go on.
    """
    allowed = size
    for n, level in enumerate(chosen):
        if level.doubt_until is not None and level.attempts > 2:
            allowed = min(allowed, max(1, size >> (level.attempts - 2)))
        if n >= allowed:
            return chosen[:n]
    return chosen
