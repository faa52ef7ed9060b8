"""The transaction before a call to a channel: what it carries.

It commits before a byte leaves: the levels are leased, and each value is written down as one that
the channel may be showing from now on. `settling` takes the answers. A sender that dies between the
two leaves its lease to run out; its values stay in doubt, and another worker goes on.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from stockwright.domain import budget as budgets
from stockwright.domain import levels as rules
from stockwright.domain.budget import Budget
from stockwright.domain.levels import Level
from stockwright.flow import order_gate
from stockwright.flow.choosing import Chosen, choose
from stockwright.sdk.declaration import Limits, Patience
from stockwright.store import attempts, levels, polls
from stockwright.store.connection import Connection

LEASE_MARGIN_S: Final = 5.0
"""How much longer a lease lasts than the call it covers."""
AGED_AFTER_S: Final = 5.0
"""An increase that has waited this long is owed a share of the budget."""
HEARTBEAT_S: Final = 5.0


class Link(msgspec.Struct, kw_only=True):
    """One connection of one system as the publisher sees it, and where chance and time come from.

    clock None is the database's clock, which is what several processes must share. order_watermark
    says that a complete poll of its orders proves that none before its start is unseen: then
    increases wait for it, and ask_for_orders is called in the event loop once one does. turn is the
    channel whose turn it is, out_of_turn how many calls in a row went to others. more_a_level: the
    calls beyond its first that a batch took lately, by level. alone_as: the worker's name, where
    only one at a time may publish; empty where any number may.
    """

    system: str
    channels: tuple[str, ...]
    limits: Limits
    chance: Callable[[], float]
    clock: Callable[[], dt.datetime] | None = None
    lease_margin_s: float = LEASE_MARGIN_S
    aged_after_s: float = AGED_AFTER_S
    turn: int = 0
    out_of_turn: int = 0
    more_a_level: float = 0.0
    alone_as: str = ""
    patience: Patience = Patience()
    criticality: str = "normal"
    order_watermark: bool = False
    ask_for_orders: Callable[[], None] | None = None

    @property
    def lease(self) -> dt.timedelta:
        """How long a call may hold its levels: always longer than the call itself."""
        return dt.timedelta(seconds=self.limits.timeout_s + self.lease_margin_s)

    @property
    def apply_delay(self) -> dt.timedelta:
        """How long after its deadline a request may still be applied."""
        return dt.timedelta(seconds=self.limits.longest_apply_delay_s)

    @property
    def increase_wait(self) -> dt.timedelta:
        """How long an increase waits for the channel's orders at most."""
        return dt.timedelta(seconds=self.patience.increase_wait_s)

    @property
    def listing_rest(self) -> dt.timedelta:
        """The least time between two calls that carry the same listing."""
        return dt.timedelta(seconds=self.patience.listing_rest_s)


class Call(msgspec.Struct, frozen=True):
    """Levels of one channel that leave in one request, as they were when it was written down."""

    number: int
    levels: tuple[Level, ...]
    deadline: dt.datetime


class Claimed(msgspec.Struct, frozen=True):
    """A call to make, or the seconds after which to ask again (None: when woken).

    orders_wanted: a poll of the channel's orders was asked for.
    """

    call: Call | None
    wait_s: float | None = None
    orders_wanted: bool = False


class Failed(msgspec.Struct, frozen=True):
    """A call that failed as a whole before the partner did anything."""

    error: str
    retry_after_s: float | None = None
    setting: str = ""


def claim(connection: Connection, link: Link) -> Claimed:
    """Chooses the levels of the next call, leases them and writes the attempts down."""
    now, budget = attempts.lock_connection(connection, link.system)
    now = link.clock() if link.clock else now
    limits = link.limits
    budgets.refill(budget, now, limits.calls_per_s, limits.burst)
    held_s, changed = _hold(link, budget, now)
    if held_s:
        return Claimed(None, held_s)
    under_way = levels.under_way(connection, link.channels, now)
    if under_way.lost:
        _take_over(connection, link, now)
    wait_s = budgets.wait_s(budget, now, limits.calls_per_s, limits.concurrency, under_way.calls)
    running = [channel for channel in link.channels if channel not in under_way.paused]
    chosen, wanted = Chosen(), False
    if wait_s == 0.0:
        gate = order_gate.look(connection, link, running, now)
        chosen = choose(connection, link, running, budget, gate, now)
        wait_s = None if chosen.levels else _until_due(connection, running, now)
        if gate.waits:
            wanted = order_gate.ask(connection, link)
            wait_s = order_gate.LOOK_AGAIN_S if wait_s is None and not chosen.levels else wait_s
        wait_s = 0.0 if chosen.put_off else wait_s
    beats = budget.heartbeat is None or (now - budget.heartbeat).total_seconds() > HEARTBEAT_S
    if not chosen.levels and not beats and not changed:
        return Claimed(None, wait_s, wanted)
    budget.heartbeat = now
    call = _write_down(connection, link, budget, chosen, now) if chosen.levels else None
    attempts.write_connection(connection, link.system, budget)
    return Claimed(call, wait_s, wanted)


def keep_hold(connection: Connection, link: Link) -> None:
    """Goes on publishing alone while nothing is claimed, such as during calls that last."""
    now, budget = attempts.lock_connection(connection, link.system)
    now = link.clock() if link.clock else now
    if not _hold(link, budget, now)[0]:
        attempts.write_connection(connection, link.system, budget)


def _hold(link: Link, budget: Budget, now: dt.datetime) -> tuple[float, bool]:
    """Seconds for which another worker publishes alone, and whether this one begins to."""
    if not link.alone_as:
        return 0.0, False
    before = budget.holder
    return budgets.hold(budget, link.alone_as, now), before != link.alone_as


def promise_call(
    connection: Connection,
    system: str,
    limits: Limits,
    *,
    clock: Callable[[], dt.datetime] | None = None,
) -> float:
    """Takes a call of the budget that all workers share; answers the seconds until it may start."""
    attempts.ensure_connection(connection, system, limits.burst)
    now, budget = attempts.lock_connection(connection, system)
    budgets.refill(budget, clock() if clock else now, limits.calls_per_s, limits.burst)
    wait_s = budgets.promise_call(budget, limits.calls_per_s)
    attempts.write_connection(connection, system, budget)
    return wait_s


def spare_call(
    connection: Connection,
    system: str,
    limits: Limits,
    *,
    clock: Callable[[], dt.datetime] | None = None,
) -> float:
    """Takes a call of the shared budget that levels can spare; else the seconds until there is one.

    0 says that it was taken.
    """
    now, budget = attempts.lock_connection(connection, system)
    budgets.refill(budget, clock() if clock else now, limits.calls_per_s, limits.burst)
    wait_s = budgets.spare_wait_s(budget, limits.calls_per_s, limits.burst)
    if wait_s == 0.0:
        budgets.take_call(budget)
    attempts.write_connection(connection, system, budget)
    return wait_s


def keep_silence(
    connection: Connection,
    system: str,
    limits: Limits,
    error: str,
    retry_after_s: float,
    *,
    clock: Callable[[], dt.datetime] | None = None,
) -> None:
    """A partner that was asked by hand wants silence: workers neither send to it nor poll it
    meanwhile. A poll under way hears it for itself.
    """
    attempts.ensure_connection(connection, system, limits.burst)
    now, budget = attempts.lock_connection(connection, system)
    now = clock() if clock else now
    budgets.refill(budget, now, limits.calls_per_s, limits.burst)
    budgets.throttled(budget, now, error, retry_after_s)
    attempts.write_connection(connection, system, budget)
    polls.keep_silence(connection, system, budgets.silence_s(retry_after_s))


def _write_down(
    connection: Connection, link: Link, budget: Budget, chosen: Chosen, now: dt.datetime
) -> Call:
    deadline = now + dt.timedelta(seconds=link.limits.timeout_s)
    carried = sorted(chosen.levels, key=lambda level: level.key)
    for level in carried:
        held = chosen.held.get(level.key, 0)
        rules.start(level, 0, now, link.lease, held=held, rest=link.listing_rest)
    number = attempts.start_call(
        connection,
        carried,
        now=now,
        lease_until=now + link.lease,
        deadline=deadline,
        doubt_until=deadline + link.apply_delay,
        gated=link.order_watermark,
    )
    for level in carried:
        level.call = number
    budgets.take_call(budget)
    return Call(number, tuple(carried), deadline)


def _take_over(connection: Connection, link: Link, now: dt.datetime) -> None:
    lost = levels.abandoned_levels(connection, link.channels, now)
    for level in lost:
        rules.abandoned(level, now, link.apply_delay)
    levels.write_levels(connection, lost)


def _until_due(connection: Connection, running: Sequence[str], now: dt.datetime) -> float | None:
    if attempts.resend_decided(connection, running):
        return 0.0
    due = levels.next_due(connection, running)
    # A level that is due and was skipped is locked by a worker whose commit will wake us.
    return None if due is None or due <= now else (due - now).total_seconds()
