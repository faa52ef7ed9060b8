"""How an item came to where it stands: its events, its level changes, and both over time."""

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from stockwright.store.arrays import numbers, texts
from stockwright.store.connection import Connection
from stockwright.store.queries import load

END_OF_TIME: Final = 2**62
"""A sequence no ledger reaches: reads from the newest on."""
CHART_POINTS: Final = 1_000
PAGE: Final = 80
LOOKED_AT: Final = 10_000
"""So many sequences are looked through for a page of one kind."""
COUNTED: Final = 2_000
"""So many sequences are counted by kind."""


class Move(msgspec.Struct, frozen=True):
    """One entry of the ledger: units leave one account and enter another."""

    lot: str
    from_account: str
    from_location: str
    to_account: str
    to_location: str
    quantity: int


class Recorded(msgspec.Struct, frozen=True):
    """One event and the moves it made of this SKU. order_system is the one the order belongs to."""

    sequence: int
    kind: str
    system: str
    document: str
    order: str
    order_system: str
    outcome: str
    occurred_at: dt.datetime
    received_at: dt.datetime
    recorded_at: dt.datetime
    moves: Sequence[Move]


class LevelChange(msgspec.Struct, frozen=True):
    """A number a channel was meant to show from then on; `before` None is the first one.

    Up to since_sequence the number before was right: where that is `sequence` itself, no event led
    to this one, but rules or the time did. revision is that of the rules, where they are others
    than those of the number before.
    """

    sequence: int
    channel: str
    listing: str
    location: str
    version: int
    value: int
    before: int | None
    projected_at: dt.datetime
    since_sequence: int = 0
    revision: int | None = None

    @property
    def is_of_its_event(self) -> bool:
        """Whether the event of its sequence may have led to it."""
        return self.since_sequence < self.sequence


class Timeline(msgspec.Struct, frozen=True):
    """Events and level changes, newest first; `older` is where the next page starts, or None."""

    events: Sequence[Recorded]
    changes: Sequence[LevelChange]
    older: int | None


class Kind(msgspec.Struct, frozen=True):
    """How many of the newest events of a SKU are of a kind."""

    kind: str
    events: int


def timeline(
    connection: Connection,
    sku: str,
    *,
    before: int = END_OF_TIME,
    until: dt.datetime,
    kind: str = "",
    limit: int = PAGE,
) -> Timeline:
    """The newest `limit` sequences below `before` that changed the SKU's books or its levels.

    Levels count as far as they were changed by `until`. With a kind only its events, with the
    levels that followed them at once; they are looked for among the newest LOOKED_AT: where those
    end, `older` goes on.
    """
    page, older = _cut(connection, sku, before, until, kind, limit)
    if not page:
        return Timeline((), (), older)
    span = {"sku": sku, "first": page[-1], "last": page[0]}
    events = _recorded(_rows(connection, "timeline_events", **span, kind=kind))
    changes = [
        LevelChange(*row) for row in _rows(connection, "timeline_levels", **span, until=until)
    ]
    if kind:
        told = {event.sequence for event in events}
        changes = [one for one in changes if one.sequence in told and one.is_of_its_event]
    return Timeline(events, changes, older)


def _cut(
    connection: Connection, sku: str, before: int, until: dt.datetime, kind: str, limit: int
) -> tuple[list[int], int | None]:
    asked: dict[str, Any] = {"sku": sku, "before": before, "limit": limit + 1}
    if kind:
        rows = _rows(connection, "timeline_cut_of_kind", **asked, kind=kind, most=LOOKED_AT)
        cut = [row[0] for row in rows if row[0] is not None]
        beyond = rows[0][1]
    else:
        cut = [row[0] for row in _rows(connection, "timeline_cut", **asked, until=until)]
        beyond = None
    page = cut[:limit]
    return page, page[-1] if len(cut) > limit else beyond


def kinds(connection: Connection, sku: str, *, before: int = END_OF_TIME) -> list[Kind]:
    """The kinds of the newest COUNTED events of a SKU below a sequence number, most first."""
    rows = _rows(connection, "timeline_kinds", sku=sku, before=before, most=COUNTED)
    return [Kind(*row) for row in rows]


def _recorded(rows: Sequence[tuple[Any, ...]]) -> list[Recorded]:
    moves: dict[int, list[Move]] = {}
    heads: dict[int, tuple[Any, ...]] = {}
    for row in rows:
        heads.setdefault(row[0], row)
        moves.setdefault(row[0], []).append(Move(*row[11:17]))
    return [
        Recorded(
            sequence=sequence,
            kind=head[1],
            system=head[2],
            document=head[3] or "",
            order=head[4] or "",
            order_system=head[5] or "",
            outcome=head[6],
            occurred_at=head[7],
            received_at=head[8],
            recorded_at=head[9],
            moves=moves[sequence],
        )
        for sequence, head in heads.items()
    ]


def free_changes(
    connection: Connection, sku: str, upto: int, *, limit: int = CHART_POINTS
) -> list[tuple[dt.datetime, int]]:
    """(recorded_at, units) by which the newest events up to a sequence number changed free stock,
    newest first.
    """
    rows = _rows(connection, "free_changes", sku=sku, upto=upto, limit=limit)
    return [(row[0], row[1]) for row in rows]


def acknowledged_values(
    connection: Connection,
    sku: str,
    levels: Sequence[tuple[str, str, int]],
    until: dt.datetime,
    *,
    limit: int = CHART_POINTS,
) -> dict[tuple[str, str], list[tuple[dt.datetime, int]]]:
    """What channels were brought to show until a time, by (channel, listing), in order of time.

    levels are (channel, listing, version by then). Only listings of this SKU alone, in base units;
    the newest `limit` of each.
    """
    shown: dict[tuple[str, str], list[tuple[dt.datetime, int]]] = {}
    asked = {
        "channels": texts([channel for channel, _, _ in levels]),
        "listings": texts([listing for _, listing, _ in levels]),
        "versions": numbers([version for _, _, version in levels]),
        "sku": sku,
        "until": until,
        "limit": limit,
    }
    for channel, listing, at, value in _rows(connection, "acknowledged_values", **asked):
        shown.setdefault((channel, listing), []).append((at, value))
    return shown


def _rows(connection: Connection, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
    return connection.execute(load("timeline")[query].encode(), parameters).fetchall()
