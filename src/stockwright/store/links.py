"""How every link and the hub as a whole do, read from the tables the workers keep. Read only."""

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from stockwright.domain.links import Judgement, LinkFacts, judge
from stockwright.store.connection import Connection
from stockwright.store.queries import load

LAG_WINDOW_S: Final = 600
RATE_WINDOW_S: Final = 10
NEWEST: Final = 5_000
"""Attempts and events looked at, so that an overview costs the same on a grown database."""


class Link(msgspec.Struct, frozen=True):
    """One link: its facts, its state and the reason in words."""

    facts: LinkFacts
    judgement: Judgement


class Totals(msgspec.Struct, frozen=True):
    """The hub in a few numbers. events_per_s is over RATE_WINDOW_S."""

    sequence: int
    recorded_at: dt.datetime | None
    events_per_s: float
    projection_waiting: int
    projection_oldest_at: dt.datetime | None
    work_items: int
    parked: int
    skus: int
    locations: int
    channels: int


class WorkCount(msgspec.Struct, frozen=True):
    """Open work items of one kind."""

    kind: str
    items: int
    oldest_at: dt.datetime


class Overview(msgspec.Struct, frozen=True):
    """Everything the overview shows, as of one moment; links out first, each sorted by code."""

    at: dt.datetime
    totals: Totals
    links: Sequence[Link]
    work: Sequence[WorkCount]


def overview(connection: Connection, *, window_s: int = LAG_WINDOW_S) -> Overview:
    """Every link with its state, and the totals. Lags are measured over the last `window_s`."""
    now = _now(connection)
    found = [link for query in ("out", "in") for link in _links(connection, query, now, window_s)]
    return Overview(
        at=now,
        totals=totals(connection),
        links=found,
        work=[WorkCount(*row) for row in _rows(connection, "work_by_kind", {})],
    )


def outgoing(connection: Connection, channel: str = "") -> list[Link]:
    """The links to channels, or to this one, by code; empty where there is no such channel."""
    return _links(connection, "out", _now(connection), LAG_WINDOW_S, channel)


def totals(connection: Connection) -> Totals:
    """The hub in a few numbers."""
    (row,) = _rows(connection, "totals", {"window_s": RATE_WINDOW_S})
    return Totals(*row)


def _links(
    connection: Connection, query: str, now: dt.datetime, window_s: int, channel: str = ""
) -> list[Link]:
    parameters = {"window_s": window_s, "samples": NEWEST, "channel": channel}
    facts = [
        LinkFacts(**dict(zip(LinkFacts.__struct_fields__, row, strict=True)))
        for row in _rows(connection, query, parameters)
    ]
    return [Link(fact, judge(fact, now)) for fact in facts]


def _now(connection: Connection) -> dt.datetime:
    row = connection.execute("select clock_timestamp()").fetchone()
    assert row is not None
    moment: dt.datetime = row[0]
    return moment


def _rows(connection: Connection, query: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    return connection.execute(load("links")[query].encode(), parameters).fetchall()
