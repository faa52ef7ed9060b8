"""Measures how blind each channel is, and finds the sources of stock that are silent."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from stockwright.domain.windows import (
    Silence,
    SourceState,
    publication_window,
    silence_of,
    staleness_of,
)
from stockwright.store import levels, windows
from stockwright.store.connection import Connection
from stockwright.store.history import Said, said_by
from stockwright.store.master import raise_revision
from stockwright.store.windows import ChannelFacts, Window

POLL_EVERY_S: Final = 10.0
MEASURING: Final = Said(actor="buffering", source="database", reason="sources fall silent or speak")
PUBLICATION: Final = ""
"""The source of a window that is the channel's own publication."""


class Measured(msgspec.Struct, frozen=True):
    """What a measurement changed: channels whose windows are other now, and the silent sources."""

    channels: frozenset[str] = frozenset()
    silent: Mapping[str, Silence] = {}
    silence_changed: bool = False


def measure_windows(
    connection: Connection,
    *,
    poll_every_s: float = POLL_EVERY_S,
    now: dt.datetime | None = None,
) -> Measured | None:
    """Measures all windows and writes those that changed, in the caller's transaction.

    A source that falls silent, or speaks again, raises the master's revision: from the next batch
    on the ledger caps by it. None where another process measures at this moment.
    """
    if not windows.try_lock(connection):
        return None
    now = now or levels.clock(connection)
    states = windows.sources(connection)
    before = windows.windows(connection)
    new = [
        window
        for window in _windows(connection, states, now, poll_every_s)
        if _differs(before.get((window.channel, window.source)), window)
    ]
    windows.add_windows(connection, new)
    silent = {
        state.system: silence
        for state in states
        if (silence := silence_of(state, now, poll_every_s)) is not None
    }
    said_by(connection, MEASURING)
    changed = windows.replace_degraded(connection, silent)
    if changed:
        raise_revision(connection)
        windows.mark_capped(connection)
    return Measured(frozenset(one.channel for one in new), silent, changed)


def _windows(
    connection: Connection, states: Sequence[SourceState], now: dt.datetime, poll_every_s: float
) -> list[Window]:
    found = []
    stale = {state.system: staleness_of(state, now, poll_every_s) for state in states}
    latencies, waiting = windows.latencies(connection), windows.waiting(connection)
    for channel in windows.channels(connection):
        code = channel.channel
        found.append(_publication(channel, latencies.get(code, []), waiting.get(code, [])))
        found += [
            Window(code, system, one.seconds, one.why) for system, one in sorted(stale.items())
        ]
    return found


def _publication(
    channel: ChannelFacts, latencies: Sequence[float], waiting: Sequence[float]
) -> Window:
    code = channel.channel
    if not channel.is_told:
        return Window(code, PUBLICATION, 0.0, "asks us, and is told at once")
    measured = publication_window(latencies, waiting)
    if measured is None:
        budget = channel.latency_budget_s
        return Window(code, PUBLICATION, budget, "nothing published lately: the latency budget")
    why = f"p99 of {len(latencies)} acknowledged and {len(waiting)} waiting changes"
    return Window(code, PUBLICATION, measured, why)


def _differs(before: Window | None, window: Window) -> bool:
    """A window rises at once and falls once it is half as long, so that it does not flap."""
    if before is None or window.seconds > before.seconds:
        return True
    return window.seconds <= before.seconds / 2 and window.seconds != before.seconds
