"""Replays recorded sales under another policy: oversells avoided against sales withheld."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from stockwright.domain.availability import Component, Stock, available_to_sell, free
from stockwright.domain.policies import PolicySet
from stockwright.domain.replay import Change, Free, Past, Replayed
from stockwright.domain.replay import replay as play
from stockwright.flow.buffering import Background, compute, read_background
from stockwright.flow.exposing import Reading, candidate_rules, read_by
from stockwright.flow.preview import Progress, check_channels, untold
from stockwright.store import buffers, exposure, levels
from stockwright.store import replay as past_of
from stockwright.store.connection import Connection
from stockwright.store.exposure import Way
from stockwright.store.replay import Sold

AT_ONCE: Final = 200
MOST_SKUS: Final = 5_000


class ReplayedChannel(msgspec.Struct, frozen=True, kw_only=True):
    """The comparison of one channel, all its replayed SKUs together, in base units."""

    channel: str
    skus: int
    result: Replayed


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """Recorded sales under another policy. complete is False where more SKUs sold than are played.

    The answer is only as good as its assumptions: docs/explanation/risk-bounded-buffer.md.
    """

    begins: dt.datetime
    ends: dt.datetime
    complete: bool
    channels: Sequence[ReplayedChannel]


def replay_policies(
    connection: Connection,
    candidate: PolicySet,
    *,
    days: float = 30.0,
    progress: Progress = untold,
) -> Replay:
    """Plays the last days again on every channel of the set; reads only.

    progress is told the SKUs. Raises Rejected for a channel that does not exist.
    """
    buffers.take_time(connection)
    channels = exposure.channels(connection)
    check_channels(candidate, channels)
    ends = levels.clock(connection)
    begins = ends - dt.timedelta(days=days)
    first = past_of.first_sequence(connection, begins)
    player = _Player(connection, candidate, channels, begins, ends, first)
    after, played = ("", ""), 0
    while played < MOST_SKUS:
        some = past_of.sold(connection, sorted(candidate.channels), first, after, AT_ONCE)
        if some:
            player.play(some)
            played += len(some)
            after = (some[-1].channel, some[-1].sku)
            progress(played)
        if len(some) < AT_ONCE:
            break
    return Replay(
        begins=begins,
        ends=ends,
        complete=played < MOST_SKUS,
        channels=[player.channel(code) for code in sorted(candidate.channels)],
    )


class _Player:
    """Plays SKUs some at once and keeps the sums by channel."""

    def __init__(
        self,
        connection: Connection,
        candidate: PolicySet,
        channels: Mapping[str, Way],
        begins: dt.datetime,
        ends: dt.datetime,
        first: int,
    ) -> None:
        self._connection = connection
        self._rows = candidate.rows()
        self._ways = channels
        self._begins, self._ends, self._first = begins, ends, first
        self._background: Background | None = None
        self._played: dict[str, list[Replayed]] = {code: [] for code in candidate.channels}

    def channel(self, code: str) -> ReplayedChannel:
        """The sums of one channel so far."""
        results = self._played[code]
        sums = {
            name: sum(getattr(one, name) for one in results) for name in Replayed.__struct_fields__
        }
        return ReplayedChannel(channel=code, skus=len(results), result=Replayed(**sums))

    def play(self, some: Sequence[Sold]) -> None:
        """Plays these listings."""
        reading = self._reading(some)
        skus, channels = list({one.sku for one in some}), list({one.channel for one in some})
        span = (self._first, reading.books.sequence)
        changes = past_of.free_changes(self._connection, skus, *span)
        orders = past_of.orders(self._connection, skus, channels, *span)
        keys = [(one.channel, one.listing) for one in some]
        shown = past_of.shown(self._connection, keys, self._begins)
        for one in some:
            if self._ways[one.channel].takes_gross:
                continue  # what it was given held its open orders: that is not what it showed
            component = reading.component(one.channel, one.sku, one.quantity)
            past = Past(
                begins=self._begins,
                ends=self._ends,
                quantity=one.quantity,
                free=_free_before(component.places, changes[one.sku]),
                changes=[
                    change
                    for change in changes[one.sku]
                    if change.place in self._ways[one.channel].pool
                ],
                shown=shown.get((one.channel, one.listing), []),
                orders=orders.get((one.channel, one.sku), []),
            )
            if past.shown and past.orders:
                self._played[one.channel].append(play(past, _Values(component)))

    def _reading(self, some: Sequence[Sold]) -> Reading:
        groups = {one.sku: one.sku_group for one in some}
        rules = candidate_rules(self._connection, groups, self._rows, self._ways)
        reading = read_by(self._connection, rules, list(groups))
        if rules.has_risks:
            self._background = self._background or read_background(self._connection)
            wanted = buffers.of_pairs(self._connection, [(one.channel, one.sku) for one in some])
            found = compute(self._connection, wanted, rules, background=self._background)
            computed = {(one.channel, one.sku): one.explained for one in found}
            reading = msgspec.structs.replace(reading, buffers={**reading.buffers, **computed})
        # What is silent now says nothing about then.
        return msgspec.structs.replace(reading, degraded={})


class _Values:
    """What a component would show, given what is free."""

    def __init__(self, component: Component) -> None:
        self._component = component

    def __call__(self, free_by_place: Free) -> int:
        places = [Stock(location=place, sellable=units) for place, units in free_by_place.items()]
        component = msgspec.structs.replace(self._component, places=places)
        return available_to_sell([component]).result


def _free_before(places: Sequence[Stock], changes: Sequence[Change]) -> dict[str, int]:
    """What was free by place before the changes that led to now."""
    found = {stock.location: free(stock) for stock in places}
    for change in changes:
        if change.place in found:
            found[change.place] -= change.units
    return found
