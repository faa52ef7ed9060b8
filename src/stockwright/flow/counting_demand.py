"""Follows the ledger and counts demand: lines by SKU, source and size, decayed by age."""

import datetime as dt
from collections.abc import Sequence
from typing import Final

from stockwright.domain.demand_seen import HOURS, MEMORY, Tally, decay, hour_of_week
from stockwright.domain.windows import LAG_BUCKETS, LONGEST_LAG_S, lag_bucket
from stockwright.store import buffers, demand_seen
from stockwright.store.connection import Connection
from stockwright.store.demand_seen import Cursor, DemandLine, RowKey

SEQUENCES: Final = 2_000
START_DAYS: Final = 4 * MEMORY.days
"""Older lines would count less than a fiftieth."""
LAG_MEMORY: Final = dt.timedelta(days=2)
"""How fast it is forgotten how late a system told of its sales."""


def count_demand(connection: Connection, limit: int = SEQUENCES) -> set[str] | None:
    """Counts demand of at most `limit` sequence numbers, in the caller's transaction.

    Answers the SKUs whose demand was counted; None where nothing is left, or another process
    counts. The same entry is never counted twice: the cursor moves in the same transaction.
    """
    cursor = demand_seen.lock_cursor(connection)
    if cursor is None or cursor.sequence >= cursor.head:
        return None
    if cursor.since is None:
        begin = demand_seen.first_batch(connection, START_DAYS)
        if begin is None:
            return None
        cursor.sequence, cursor.since = max(cursor.sequence, begin[0]), begin[1]
    buffers.take_time(connection)
    upto = min(cursor.sequence + limit, cursor.head)
    lines = demand_seen.demand_lines(connection, cursor.sequence, upto)
    if lines:
        _count_sizes(connection, _of_the_time_watched(connection, lines))
        _count_lags(connection, lines)
        _count_hours(cursor, lines)
    cursor.sequence = upto
    demand_seen.move_cursor(connection, cursor)
    return {line.sku for line in lines}


def _of_the_time_watched(connection: Connection, lines: Sequence[DemandLine]) -> list[DemandLine]:
    """Lines without the past that is told of when a partner is connected: weeks of orders, recorded
    in a minute, would be taken for what sells in a minute.
    """
    old = {line.sku for line in lines if _lag_s(line) > LONGEST_LAG_S}
    since = demand_seen.watched_skus(connection, sorted(old)) if old else {}
    return [
        line
        for line in lines
        if _lag_s(line) <= LONGEST_LAG_S or line.occurred_at >= since[line.sku]
    ]


def _lag_s(line: DemandLine) -> float:
    return (line.recorded_at - line.occurred_at).total_seconds()


def _count_sizes(connection: Connection, lines: Sequence[DemandLine]) -> None:
    keys: set[RowKey] = set()
    for line in lines:
        keys.update(_keys(line))
    rows = demand_seen.read_seen(connection, keys)
    for line in lines:
        for key in _keys(line):
            tally = rows.get(key)
            if tally is None:
                tally = rows[key] = Tally(as_of=line.recorded_at)
            tally.add(line.recorded_at, line.units)
    demand_seen.write_seen(connection, rows)


def _keys(line: DemandLine) -> tuple[RowKey, RowKey]:
    source = (line.system, line.channel)
    return (line.sku, "", *source), ("", line.sku_group, *source)


def _count_lags(connection: Connection, lines: Sequence[DemandLine]) -> None:
    lags = demand_seen.read_lags(connection, {line.system for line in lines})
    for line in lines:
        lag_s = _lag_s(line)
        if lag_s > LONGEST_LAG_S:
            continue  # older than a day: an import or a correction, not how this system tells
        as_of, counts = lags.get(line.system, (line.recorded_at, [0.0] * LAG_BUCKETS))
        factor = decay(line.recorded_at - as_of, LAG_MEMORY)
        counts = [count * factor for count in counts]
        counts[lag_bucket(lag_s)] += 1.0
        lags[line.system] = (max(as_of, line.recorded_at), counts)
    if lags:
        demand_seen.write_lags(connection, lags)


def _count_hours(cursor: Cursor, lines: Sequence[DemandLine]) -> None:
    now = lines[-1].recorded_at
    factor = 0.0 if cursor.hours_as_of.year < 1971 else decay(now - cursor.hours_as_of)
    cursor.hours = [count * factor for count in cursor.hours]
    for line in lines:
        cursor.hours[hour_of_week(line.occurred_at)] += 1.0
    assert len(cursor.hours) == HOURS
    cursor.hours_as_of = max(now, cursor.hours_as_of)
