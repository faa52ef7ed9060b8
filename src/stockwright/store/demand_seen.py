"""What is remembered of demand: counted from the ledger, and read for buffers."""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from stockwright.domain.demand_seen import Tally
from stockwright.domain.line_sizes import Sizes, mean_units
from stockwright.store.arrays import texts, times
from stockwright.store.connection import Connection
from stockwright.store.queries import load

_SQL: Final = load("demand")

RowKey = tuple[str, str, str, str]
"""(sku, group, system, channel). Of a SKU the group is ''; where the SKU is '', it sums a group."""


class Cursor(msgspec.Struct, kw_only=True):
    """How far entries are counted, and how far the ledger is.

    since is None where none were counted yet. hours holds lines by hour of the week, decayed to
    hours_as_of.
    """

    sequence: int
    since: dt.datetime | None
    hours: list[float]
    hours_as_of: dt.datetime
    head: int


class DemandLine(msgspec.Struct, frozen=True):
    """One line of demand as the ledger recorded it, in base units."""

    sku: str
    sku_group: str
    system: str
    channel: str
    units: int
    occurred_at: dt.datetime
    recorded_at: dt.datetime


class Watched(msgspec.Struct, frozen=True):
    """Since when demand is counted, None where it is not, and lines by hour of the week."""

    since: dt.datetime | None
    hours: Sequence[float]


def lock_cursor(connection: Connection) -> Cursor | None:
    """The cursor, locked until the transaction ends; None where another process counts."""
    row = connection.execute(_SQL["lock_cursor"]).fetchone()
    if row is None:
        return None
    return Cursor(sequence=row[0], since=row[1], hours=row[2], hours_as_of=row[3], head=row[4])


def first_batch(connection: Connection, days: int) -> tuple[int, dt.datetime] | None:
    """The sequence number after which to count, so many days back, and its time."""
    row = connection.execute(_SQL["first_batch"], {"days": days}).fetchone()
    return (row[0], row[1]) if row else None


def demand_lines(connection: Connection, after: int, upto: int) -> list[DemandLine]:
    """Demand recorded after one sequence number and up to another, in order; notes its SKUs."""
    span = {"after": after, "upto": upto}
    connection.execute(_SQL["note_skus"], span)
    return [DemandLine(*row) for row in connection.execute(_SQL["demand_lines"], span)]


def move_cursor(connection: Connection, cursor: Cursor) -> None:
    """Stores a locked cursor."""
    connection.execute(
        _SQL["move_cursor"],
        {
            "sequence": cursor.sequence,
            "since": cursor.since,
            "hours": _floats(cursor.hours),
            "hours_as_of": cursor.hours_as_of,
        },
    )


def read_seen(connection: Connection, keys: Collection[RowKey]) -> dict[RowKey, Tally]:
    """The rows with these keys, as far as there are any."""
    rows = connection.execute(_SQL["seen_rows"], _key_columns(sorted(keys)))
    return {(row[0], row[1], row[2], row[3]): _tally(row[4], row[5]) for row in rows}


def write_seen(connection: Connection, rows: Mapping[RowKey, Tally]) -> None:
    """Stores rows, new or not."""
    ordered = sorted(rows)
    sizes = [rows[key].sizes for key in ordered]
    lines = [sum(one) for one in sizes]
    connection.execute(
        _SQL["write_seen"],
        _key_columns(ordered)
        | {
            "as_of": times([rows[key].as_of for key in ordered]),
            "lines": _floats(lines),
            "units": _floats(
                [count * mean_units(one) for count, one in zip(lines, sizes, strict=True)]
            ),
            "sizes": texts([_floats(one) for one in sizes]),
        },
    )


def read_lags(
    connection: Connection, systems: Collection[str]
) -> dict[str, tuple[dt.datetime, list[float]]]:
    """By system, lines by how late they were told, as of a time."""
    rows = connection.execute(_SQL["lags"], {"systems": texts(sorted(systems))})
    return {system: (as_of, lags) for system, as_of, lags in rows}


def write_lags(
    connection: Connection, lags: Mapping[str, tuple[dt.datetime, Sequence[float]]]
) -> None:
    """Stores how late systems tell of demand."""
    ordered = sorted(lags)
    connection.execute(
        _SQL["write_lags"],
        {
            "systems": texts(ordered),
            "as_of": times([lags[system][0] for system in ordered]),
            "lags": texts([_floats(lags[system][1]) for system in ordered]),
        },
    )


def seen_of_skus(
    connection: Connection, skus: Sequence[str]
) -> dict[str, dict[tuple[str, str], Tally]]:
    """By SKU, what is remembered of its demand by (system, channel)."""
    found: dict[str, dict[tuple[str, str], Tally]] = {}
    for sku, system, channel, as_of, sizes in connection.execute(
        _SQL["seen_of_skus"], {"skus": texts(skus)}
    ):
        found.setdefault(sku, {})[system, channel] = _tally(as_of, sizes)
    return found


def seen_of_groups(connection: Connection) -> dict[str, dict[tuple[str, str], Tally]]:
    """By group of SKUs, what is remembered of the demand of all its SKUs together."""
    found: dict[str, dict[tuple[str, str], Tally]] = {}
    for group, system, channel, as_of, sizes in connection.execute(_SQL["seen_of_groups"]):
        found.setdefault(group, {})[system, channel] = _tally(as_of, sizes)
    return found


def sizes_of_groups(connection: Connection) -> dict[str, int]:
    """How many active SKUs each group has."""
    return _pairs(connection.execute(_SQL["sizes_of_groups"]))


def watched(connection: Connection) -> Watched:
    """Since when demand is counted, and how it is spread over the week."""
    row = connection.execute(_SQL["watched"]).fetchone()
    assert row is not None
    return Watched(*row)


def watched_skus(connection: Connection, skus: Sequence[str]) -> dict[str, dt.datetime]:
    """When these SKUs were first seen to move; one that never did is missing."""
    rows = connection.execute(_SQL["watched_skus"], {"skus": texts(skus)})
    return _pairs(rows)


def _pairs(rows: Iterable[tuple[Any, ...]]) -> dict[str, Any]:
    return {row[0]: row[1] for row in rows}


def _tally(as_of: dt.datetime, sizes: Sequence[float]) -> Tally:
    found: Sizes = tuple(sizes)
    return Tally(as_of=as_of, sizes=found)


def _floats(values: Sequence[float]) -> str:
    return "{" + ",".join(map(repr, values)) + "}"


def _key_columns(keys: Sequence[RowKey]) -> dict[str, str]:
    names = ("skus", "groups", "systems", "channels")
    return {name: texts([key[n] for key in keys]) for n, name in enumerate(names)}
