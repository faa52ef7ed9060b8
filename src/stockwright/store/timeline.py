"""How an item came to where it stands: its events, its level changes, and both over time."""

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from stockwright.store.connection import Connection
from stockwright.store.queries import load

END_OF_TIME: Final = 2**62
"""A sequence no ledger reaches: reads from the newest on."""
CHART_POINTS: Final = 1_000


class Move(msgspec.Struct, frozen=True):
    """One entry of the ledger: units leave one account and enter another."""

    lot: str
    from_account: str
    from_location: str
    to_account: str
    to_location: str
    quantity: int


class Recorded(msgspec.Struct, frozen=True):
    """One event and the moves it made of this SKU."""

    sequence: int
    kind: str
    system: str
    document: str
    order: str
    outcome: str
    occurred_at: dt.datetime
    received_at: dt.datetime
    recorded_at: dt.datetime
    moves: Sequence[Move]


class LevelChange(msgspec.Struct, frozen=True):
    """A number a channel was meant to show from then on; `before` None is the first one."""

    sequence: int
    channel: str
    listing: str
    location: str
    version: int
    value: int
    before: int | None
    projected_at: dt.datetime


class Timeline(msgspec.Struct, frozen=True):
    """Events and level changes, newest first; `older` is where the next page starts, or None."""

    events: Sequence[Recorded]
    changes: Sequence[LevelChange]
    older: int | None


def timeline(
    connection: Connection, sku: str, *, before: int = END_OF_TIME, limit: int = 50
) -> Timeline:
    """The newest `limit` sequences below `before` that changed the SKU's books or its levels."""
    cut = [
        row[0] for row in _rows(connection, "timeline_cut", sku=sku, before=before, limit=limit + 1)
    ]
    page = cut[:limit]
    if not page:
        return Timeline((), (), None)
    span = {"sku": sku, "first": page[-1], "last": page[0]}
    changes = [LevelChange(*row) for row in _rows(connection, "timeline_levels", **span)]
    events = _recorded(_rows(connection, "timeline_events", **span))
    return Timeline(events, changes, page[-1] if len(cut) > limit else None)


def _recorded(rows: Sequence[tuple[Any, ...]]) -> list[Recorded]:
    moves: dict[int, list[Move]] = {}
    heads: dict[int, tuple[Any, ...]] = {}
    for row in rows:
        heads.setdefault(row[0], row)
        moves.setdefault(row[0], []).append(Move(*row[10:16]))
    return [
        Recorded(
            sequence=sequence,
            kind=head[1],
            system=head[2],
            document=head[3] or "",
            order=head[4] or "",
            outcome=head[5],
            occurred_at=head[6],
            received_at=head[7],
            recorded_at=head[8],
            moves=moves[sequence],
        )
        for sequence, head in heads.items()
    ]


def free_changes(
    connection: Connection, sku: str, *, limit: int = CHART_POINTS
) -> list[tuple[dt.datetime, int]]:
    """(recorded_at, units) by which the newest events changed free stock, newest first."""
    return [(row[0], row[1]) for row in _rows(connection, "free_changes", sku=sku, limit=limit)]


def acknowledged_values(
    connection: Connection, sku: str, *, limit: int = CHART_POINTS
) -> dict[tuple[str, str], list[tuple[dt.datetime, int]]]:
    """What channels were brought to show, by (channel, listing), in order of time.

    Only listings of this SKU alone, in base units; the newest `limit` of each.
    """
    shown: dict[tuple[str, str], list[tuple[dt.datetime, int]]] = {}
    for channel, listing, at, value in _rows(
        connection, "acknowledged_values", sku=sku, limit=limit
    ):
        shown.setdefault((channel, listing), []).append((at, value))
    return shown


def _rows(connection: Connection, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
    return connection.execute(load("timeline")[query].encode(), parameters).fetchall()
