"""The processes of an installation: each renews its row, so that any other can tell who lives."""

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec
from psycopg.types.json import Jsonb

from stockwright.store import queries
from stockwright.store.connection import Connection

_SQL = queries.load("processes")
SEEN_EVERY_S: Final = 5.0
LOST_AFTER_S: Final = 30.0


class PartView(msgspec.Struct, kw_only=True):
    """One part of a process: whether it runs, how often it failed, and why the last time.

    settings stands for what a connection runs with; empty for other parts, and where none runs.
    """

    name: str
    state: Literal["running", "waiting", "failed", "stopped"]
    failures: int = 0
    error: str = ""
    since: dt.datetime | None = None
    settings: str = ""


class ProcessView(msgspec.Struct, kw_only=True):
    """One process; `lost` where it was not seen for LOST_AFTER_S."""

    worker: str
    roles: list[str]
    started_at: dt.datetime
    seen_at: dt.datetime
    silent_s: float
    parts: list[PartView]

    @property
    def lost(self) -> bool:
        """Whether it ended without saying so, or stands still."""
        return self.silent_s > LOST_AFTER_S


class Waiting(msgspec.Struct, kw_only=True):
    """How far the ledger is, what waits, and how large the house is."""

    ledger_sequence: int
    payloads_to_map: int
    payloads_parked: int
    marks_to_project: int
    work_items_open: int
    skus: int
    locations: int
    channels: int


def seen(
    connection: Connection, worker: str, roles: Sequence[str], parts: Sequence[PartView]
) -> None:
    """Renews what is known of a process."""
    told = Jsonb(msgspec.to_builtins(list(parts)))
    connection.execute(_SQL["seen"], {"worker": worker, "roles": list(roles), "parts": told})
    connection.execute(_SQL["forget_old"])


def gone(connection: Connection, worker: str) -> None:
    """Forgets a process that ends in order. Safe to repeat."""
    connection.execute(_SQL["gone"], {"worker": worker})


def processes(connection: Connection) -> list[ProcessView]:
    """Every process seen within a day and not ended in order, by name."""
    return [_process(row) for row in connection.execute(_SQL["processes"])]


def _process(row: tuple[Any, ...]) -> ProcessView:
    worker, roles, started_at, seen_at, silent_s, parts = row
    return ProcessView(
        worker=worker,
        roles=roles,
        started_at=started_at,
        seen_at=seen_at,
        silent_s=silent_s,
        parts=msgspec.convert(parts, list[PartView]),
    )


def waiting(connection: Connection) -> Waiting:
    """What waits in the house now."""
    row = connection.execute(_SQL["waiting"]).fetchone()
    assert row is not None
    return Waiting(**dict(zip(Waiting.__struct_fields__, row, strict=True)))


def parked_by_system(connection: Connection) -> dict[str, int]:
    """Parked payloads by system; a system without any is missing."""
    return dict(connection.execute(_SQL["parked_by_system"]).fetchall())


def work_by_kind(connection: Connection) -> dict[str, int]:
    """Open work items by kind; a kind without any is missing."""
    return dict(connection.execute(_SQL["work_by_kind"]).fetchall())


def backlog_by_channel(connection: Connection) -> dict[str, tuple[int, float]]:
    """Levels not acknowledged yet, and the age of the oldest in seconds, for every channel."""
    rows = connection.execute(_SQL["backlog_by_channel"])
    return {channel: (count, max(0.0, age_s)) for channel, count, age_s in rows}


def marks(connection: Connection) -> int:
    """Marks that the projection has not consumed yet."""
    row = connection.execute(_SQL["marks"]).fetchone()
    assert row is not None
    return int(row[0])
