"""What blind windows are measured from, and what they were found to be."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from stockwright.domain.windows import Silence, SourceState, reason_of, sources_of
from stockwright.store.arrays import texts, times
from stockwright.store.connection import Connection
from stockwright.store.queries import load

_SQL: Final = load("windows")
# Any number that no other advisory lock of ours has ("swwindow" in bytes).
_LOCK: Final = int.from_bytes(b"swwindow", "big", signed=True)
SAMPLES: Final = 5_000
WITHIN_S: Final = 3_600.0


class Window(msgspec.Struct, frozen=True):
    """Seconds that a channel is blind for a source's sales; source '' is its own publication."""

    channel: str
    source: str
    seconds: float
    why: str


class ChannelFacts(msgspec.Struct, frozen=True):
    """A channel, its system, whether a connector tells it, and how late that may be by plan."""

    channel: str
    system: str
    is_told: bool
    latency_budget_s: float


def try_lock(connection: Connection) -> bool:
    """Whether this transaction is the only one that measures, until it ends."""
    row = connection.execute(_SQL["lock_measuring"], {"lock": _LOCK}).fetchone()
    return bool(row and row[0])


def beat(connection: Connection, system: str) -> dt.datetime | None:
    """Notes a sign of life; its time, or None for an unknown system."""
    row = connection.execute(_SQL["beat"], {"system": system}).fetchone()
    return row[0] if row else None


def sources(connection: Connection) -> list[SourceState]:
    """Every system as a source of sales, by code."""
    fields = SourceState.__struct_fields__
    rows = connection.execute(_SQL["sources"])
    return [SourceState(**dict(zip(fields, row, strict=True))) for row in rows]


def latencies(connection: Connection) -> dict[str, list[float]]:
    """By channel, seconds from change to acknowledgement of the last hour's newest attempts."""
    return _by_channel(connection, "latencies", samples=SAMPLES, within_s=WITHIN_S)


def waiting(connection: Connection) -> dict[str, list[float]]:
    """By channel, ages in seconds of decreases that it did not acknowledge yet."""
    return _by_channel(connection, "waiting", samples=SAMPLES)


def channels(connection: Connection) -> list[ChannelFacts]:
    """Every channel, by code."""
    return [ChannelFacts(*row) for row in connection.execute(_SQL["channels"])]


def windows(connection: Connection) -> dict[tuple[str, str], Window]:
    """The windows in force by (channel, source)."""
    rows = connection.execute(_SQL["windows"])
    return {(row[0], row[1]): Window(*row) for row in rows}


def add_windows(connection: Connection, new: Sequence[Window]) -> None:
    """Stores windows that are other than before; what they were stays."""
    if new:
        connection.execute(
            _SQL["add_windows"],
            {
                "channels": texts([one.channel for one in new]),
                "sources": texts([one.source for one in new]),
                "seconds": "{" + ",".join(repr(one.seconds) for one in new) + "}",
                "whys": texts([one.why for one in new]),
            },
        )


def degraded(connection: Connection) -> dict[str, Silence]:
    """The sources that are silent, by system."""
    rows = connection.execute(_SQL["degraded"])
    return {system: Silence(since=since, reason=reason) for system, since, reason in rows}


def replace_degraded(connection: Connection, silent: Mapping[str, Silence]) -> bool:
    """Makes these the silent ones; answers whether that is new."""
    systems = sorted(silent)
    row = connection.execute(
        _SQL["replace_degraded"],
        {
            "systems": texts(systems),
            "since": times([silent[system].since for system in systems]),
            "reasons": texts([silent[system].reason for system in systems]),
        },
    ).fetchone()
    return bool(row and row[0])


def mark_capped(connection: Connection) -> None:
    """Marks all that is sold through channels that are capped while a source is silent."""
    connection.execute(_SQL["mark_capped"])


def speakers(connection: Connection) -> dict[str, set[str]]:
    """By place, the systems that record there."""
    found: dict[str, set[str]] = {}
    for place, system in connection.execute(_SQL["speakers"]):
        found.setdefault(place, set()).add(system)
    return found


def degraded_channels(connection: Connection, pools: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """By channel, which silent source its stock depends on, and how that is known."""
    silent = {system: one.reason for system, one in degraded(connection).items()}
    if not silent:
        return {}
    systems = {one.channel: one.system for one in channels(connection)}
    spoken = speakers(connection)
    found = {code: reason_of(sources_of(code, systems, pools, spoken), silent) for code in pools}
    return {code: reason for code, reason in found.items() if reason}


def _by_channel(connection: Connection, name: str, **parameters: object) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for channel, seconds in connection.execute(_SQL[name], parameters):
        found.setdefault(channel, []).append(seconds)
    return found
