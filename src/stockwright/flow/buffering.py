"""Computes risk-bounded buffers, and keeps them up with demand and blind windows."""

import datetime as dt
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import islice
from typing import Final

import msgspec
import structlog

from stockwright import telemetry
from stockwright.domain import demand_seen as memory
from stockwright.domain import line_sizes
from stockwright.domain.demand_seen import SourceKey
from stockwright.domain.exposure import Policy
from stockwright.domain.line_sizes import Sizes, added
from stockwright.domain.risk import Buffer, Case, Demand, Inputs, Source, smallest_buffer
from stockwright.flow.blind_windows import POLL_EVERY_S, PUBLICATION, measure_windows
from stockwright.flow.counting_demand import count_demand
from stockwright.flow.exposing import Rules
from stockwright.store import buffers, demand_seen, exposure, levels, windows
from stockwright.store.buffers import Pair, Stored, Wanted
from stockwright.store.connection import Connection, Pool
from stockwright.store.history import Said, said_by
from stockwright.store.master import revision
from stockwright.store.windows import Window

_log = structlog.get_logger(__name__)

AT_ONCE: Final = 200
MEASURE_EVERY_S: Final = 5.0
START_S: Final = 15.0
SWEEP_EVERY_S: Final = 900.0
REST_S: Final = 0.05
IDLE_S: Final = 1.0
REST_SHARE: Final = 9.0
"""After work it rests for so many times as long as that took: the ledger needs the processor."""
IDLE_SHARE: Final = 49.0
"""The same where no policy asks for a buffer yet, and demand is only counted for the day one does.
"""
GROUP_LINES: Final = 20.0
"""A group that has sold fewer lines believes what all groups together have."""
BUFFERING: Final = Said(actor="buffering", source="database", reason="demand or windows changed")
_DAY_S: Final = 86_400.0


class Groups(msgspec.Struct, frozen=True):
    """What all groups of SKUs sold, and how many active SKUs each has."""

    seen: Mapping[str, Mapping[SourceKey, memory.Tally]]
    skus: Mapping[str, int]

    def prior(
        self, group: str, since: dt.datetime | None, now: dt.datetime
    ) -> dict[SourceKey, Demand]:
        """What to expect of a new SKU of a group: as the group sells, or as all do."""
        if since is None:
            return {}
        own = {key: tally.aged(now) for key, tally in self.seen.get(group, {}).items()}
        skus = self.skus.get(group, 0)
        if not skus or sum(map(sum, own.values())) < GROUP_LINES:
            own, skus = self._all(now), sum(self.skus.values())
        return memory.prior(own, skus, memory.observed_s(since, now))

    def _all(self, now: dt.datetime) -> dict[SourceKey, Sizes]:
        found: dict[SourceKey, Sizes] = {}
        for group in self.seen.values():
            for key, tally in group.items():
                aged = tally.aged(now)
                found[key] = added(found[key], aged) if key in found else aged
        return found


class Background(msgspec.Struct, frozen=True):
    """What every buffer is computed with: the week's rhythm, groups, windows; read once a sweep."""

    since: dt.datetime | None
    busy: float
    groups: Groups
    windows: Mapping[tuple[str, str], Window]


def read_background(connection: Connection) -> Background:
    """Groups, windows and rhythm as they are now."""
    watched = demand_seen.watched(connection)
    groups = Groups(demand_seen.seen_of_groups(connection), demand_seen.sizes_of_groups(connection))
    busy = memory.busy_factor(watched.hours)
    return Background(watched.since, busy, groups, windows.windows(connection))


def compute(
    connection: Connection,
    wanted: Sequence[Wanted],
    rules: Rules,
    *,
    background: Background | None = None,
) -> list[Stored]:
    """The buffers of these pairs whose policy asks for one, in their order; reads only.

    A buffer held so far for the same risk stays where it nearly fits.
    """
    behind = background or read_background(connection)
    skus = sorted({one.sku for one in wanted})
    seen = demand_seen.seen_of_skus(connection, skus)
    since = demand_seen.watched_skus(connection, skus)
    before = buffers.buffers(connection, skus)
    now = levels.clock(connection)
    found = []
    for one in wanted:
        policy = rules.policy(one.channel, one.sku)
        if policy.buffer_risk is not None:
            demand = _demand(one, seen.get(one.sku, {}), since.get(one.sku), behind, now)
            stood = before.get((one.channel, one.sku))
            found.append(_buffer(one, policy, demand, behind, stood))
    return found


def _demand(
    one: Wanted,
    tallies: Mapping[SourceKey, memory.Tally],
    since: dt.datetime | None,
    behind: Background,
    now: dt.datetime,
) -> dict[SourceKey, Demand]:
    """The demand on a SKU by source: seen, and blended with what its group leads to expect."""
    prior = behind.groups.prior(one.sku_group, behind.since, now)
    watched_s = memory.observed_s(since, now) if since is not None else 0.0
    believed_s = next((demand.observed_s for demand in prior.values()), 0.0)
    found = {}
    for key in {*tallies, *prior}:
        sizes = tallies[key].aged(now) if key in tallies else line_sizes.NONE
        seen = Demand(lines=sum(sizes), observed_s=watched_s, sizes=sizes)
        found[key] = seen.plus(prior.get(key, Demand(observed_s=believed_s)))
    return found


def _buffer(
    one: Wanted,
    policy: Policy,
    demand: Mapping[SourceKey, Demand],
    behind: Background,
    stood: Stored | None,
) -> Stored:
    """The buffer of one pair, with what it follows from."""
    assert policy.buffer_risk is not None
    publication = behind.windows.get((one.channel, PUBLICATION))
    own_s = (publication.seconds if publication else 0.0) + policy.blind_s
    own = _average(demand.values())
    elsewhere, slowest = [], None
    for (system, channel), each in sorted(demand.items()):
        window = behind.windows.get((one.channel, system))
        if channel == one.channel:
            own = each
        # With several listings, a sale through one of them is elsewhere for the others; which one
        # sold is not known, so all of the channel's sales count as such.
        if channel != one.channel or one.listings > 1:
            stale_s = window.seconds if window else 0.0
            elsewhere.append(Source(demand=each, window_s=own_s + stale_s))
            if window and each.lines and (slowest is None or window.seconds > slowest.seconds):
                slowest = window
    case = Case(risk=policy.buffer_risk, elsewhere=elsewhere, own=own, busy=behind.busy)
    same_risk = stood is not None and stood.inputs.risk == policy.buffer_risk
    before = stood.units if stood is not None and same_risk else None
    buffer = smallest_buffer(case, policy.buffer_most, before)
    return Stored(one.channel, one.sku, buffer.units, _inputs(policy, case, buffer, own_s, slowest))


def _average(demands: Collection[Demand]) -> Demand:
    """What the average source sells: believed of a channel of which nothing is known yet."""
    if not demands:
        return Demand()
    every = Demand(observed_s=max(one.observed_s for one in demands))
    for one in demands:
        share = 1.0 / len(demands)
        sizes = tuple(weight * share for weight in one.sizes)
        every = every.plus(Demand(lines=one.lines * share, sizes=sizes))
    return every


def _inputs(
    policy: Policy, case: Case, buffer: Buffer, own_s: float, slowest: Window | None
) -> Inputs:
    why = f"publication takes {own_s:g} s" + (f", {slowest.why}" if slowest else "")
    return Inputs(
        risk=case.risk,
        chance=round(buffer.chance, 6),
        elsewhere_per_day=round(sum(one.demand.per_s for one in case.elsewhere) * _DAY_S, 3),
        own_per_day=round(case.own.per_s * _DAY_S, 3),
        seen=round(sum(one.demand.lines for one in case.elsewhere), 2),
        busy=round(case.busy, 2),
        window_s=round(buffer.window_s, 1),
        why_window=why,
        most=policy.buffer_most,
    )


class Buffering:
    """Keeps buffers up. Any number may run; of those that meet, one goes on."""

    def __init__(
        self,
        pool: Pool,
        *,
        wake: Callable[[], None] = lambda: None,
        poll_every_s: float = POLL_EVERY_S,
    ) -> None:
        self._pool = pool
        self._wake = wake
        self._poll_every_s = poll_every_s
        self._after: Pair | None = ("", "")
        self._touched: set[str] = set()
        self._share = IDLE_SHARE
        self._revision = -1

    def follow(self) -> bool:
        """Counts demand of some more entries; False once none are left."""
        with self._pool.connection() as connection:
            counted = count_demand(connection)
            self._share = REST_SHARE if buffers.asked_for(connection) else IDLE_SHARE
        self._touched |= counted or set()
        return counted is not None

    def measure(self) -> None:
        """Measures windows; where one or the master changed, all buffers are looked at again."""
        with self._pool.connection() as connection:
            measured = measure_windows(connection, poll_every_s=self._poll_every_s)
            in_force = revision(connection)
        if in_force != self._revision or (measured is not None and measured.channels):
            self._revision = in_force
            self.begin()
        if measured is not None and measured.silence_changed:
            self._wake()

    def begin(self) -> None:
        """All buffers are to be looked at, from the first on."""
        self._after = ("", "")

    def recompute(self, limit: int = AT_ONCE) -> int:
        """Looks at the buffers of at most `limit` pairs; answers how many it looked at.

        What a failure kept from being looked at is looked at again.
        """
        touched = set(islice(self._touched, limit))
        if not touched and self._after is None:
            return 0
        with self._pool.connection() as connection:
            if not windows.try_lock(connection):
                return 0
            buffers.take_time(connection)
            wanted = self._wanted(connection, touched, limit)
            found = compute(connection, wanted, rules_of(connection, wanted))
            # From here on nobody else changes rules: a number and what it follows from are one.
            said_by(connection, BUFFERING)
            if not touched:
                buffers.forget(connection, limit)
            changed = buffers.write(connection, found, levels.clock(connection))
        if touched:
            self._touched -= touched
        else:
            self._after = wanted[-1].pair if len(wanted) == limit else None
        if changed:
            self._wake()
        return len(wanted)

    def _wanted(self, connection: Connection, touched: set[str], limit: int) -> list[Wanted]:
        """The pairs of touched SKUs, or else the next of all."""
        if touched:
            return buffers.wanted(connection, ("", ""), 10 * limit, touched)
        assert self._after is not None
        return buffers.wanted(connection, self._after, limit)

    def _is_measured(self) -> bool:
        with self._pool.connection() as connection:
            return bool(windows.windows(connection))

    def run(self, stop: threading.Event) -> None:
        """Counts, measures and computes until `stop`. A failed step is counted and tried again."""
        measure_at = sweep_at = time.monotonic()
        if self._is_measured():
            # Whoever was asked by this process before it stopped gets the time to answer again.
            measure_at += START_S
        while not stop.is_set():
            rest_s = IDLE_S
            now = time.monotonic()
            try:
                if now >= measure_at:
                    measure_at = now + MEASURE_EVERY_S
                    self.measure()
                if now >= sweep_at:
                    sweep_at = now + SWEEP_EVERY_S
                    self.begin()
                if self.follow() or self.recompute():
                    rest_s = max(REST_S, self._share * (time.monotonic() - now))
            except Exception as failure:  # noqa: BLE001  told, counted, run again
                telemetry.STEP_FAILURES.labels("buffering").inc()
                _log.warning("buffering failed, will run again", error=repr(failure))
            stop.wait(rest_s)


def rules_of(connection: Connection, wanted: Sequence[Wanted]) -> Rules:
    """The policy rows that apply to these pairs, as they are now."""
    groups = {one.sku: one.sku_group for one in wanted}
    rows = exposure.policies(connection, list(groups), sorted(set(groups.values())))
    return Rules({}, rows, groups)
