"""Follows an event to the channels: received, recorded, projected, sent, acknowledged."""

import datetime as dt
from typing import Final, Literal

import msgspec

from stockwright.store import tracing
from stockwright.store.connection import Connection
from stockwright.store.tracing import EventRow, WayRow

MAX_EVENTS: Final = 50

Reach = Literal[
    "waiting", "unchanged", "projected", "superseded", "sent", "refused", "acknowledged"
]


class ChannelTrace(msgspec.Struct, frozen=True, kw_only=True):
    """How an event reached one level of a channel, with times.

    reach: `waiting` for the projection; `unchanged`, the number stayed what it was; `projected`,
    not sent yet; `superseded`, a later change went back to what the channel shows before anything
    was sent; `sent`, not known to be applied; `refused`; `acknowledged`. version and value are
    those the event led to; carried_version and carried_value those of the call that told the
    channel, which may have carried a later change along.
    """

    channel: str
    listing: str
    location: str
    reach: Reach
    version: int | None = None
    value: int | None = None
    projected_at: dt.datetime | None = None
    sent_at: dt.datetime | None = None
    carried_version: int | None = None
    carried_value: int | None = None
    acknowledged_at: dt.datetime | None = None
    latency_ms: float | None = None
    detail: str = ""


class EventTrace(msgspec.Struct, frozen=True, kw_only=True):
    """One event, its times, and its way to every channel that sells what it touched.

    latency_ms of a channel counts from received_at to its acknowledgement.
    """

    sequence: int
    kind: str
    system: str
    document: str
    order: str
    outcome: str
    payload: int | None
    occurred_at: dt.datetime
    received_at: dt.datetime
    recorded_at: dt.datetime
    skus: list[str]
    channels: list[ChannelTrace]


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """What was found for an id, oldest first; `cut` where there were more than MAX_EVENTS."""

    asked: str
    found_by: Literal["sequence", "document or order", "nothing"]
    events: list[EventTrace]
    cut: bool = False


def trace(connection: Connection, asked: int | str, system: str = "") -> Trace:
    """Follows what an id names: a sequence number, or the text of a document or an order.

    A text of digits is a document or order first, since many are, and a sequence number only where
    there is none. system limits the search to what one system told.
    """
    if isinstance(asked, int):
        return _traced(connection, str(asked), "sequence", tracing.events(connection, [asked]))
    systems = [system] if system else tracing.systems(connection)
    limit = MAX_EVENTS + 1
    told = tracing.sequences_of_document(connection, systems, asked, limit)
    changed = tracing.sequences_of_order(connection, systems, asked, limit)
    numbers = sorted({*told, *changed})
    if numbers:
        # The key of document A|B begins like that of A, and only the event tells them apart.
        found = tracing.events(connection, numbers)
        named = [row for row in found if row.document == asked or row.sequence in changed]
        return _traced(connection, asked, "document or order", named)
    if asked.isdecimal() and asked.isascii() and len(asked) < 19:
        return _traced(connection, asked, "sequence", tracing.events(connection, [int(asked)]))
    return Trace(asked=asked, found_by="nothing", events=[])


def _traced(
    connection: Connection,
    asked: str,
    found_by: Literal["sequence", "document or order"],
    rows: list[EventRow],
) -> Trace:
    return Trace(
        asked=asked,
        found_by=found_by if rows else "nothing",
        events=[_event(connection, row) for row in rows[:MAX_EVENTS]],
        cut=len(rows) > MAX_EVENTS,
    )


def _event(connection: Connection, row: EventRow) -> EventTrace:
    ways = tracing.way_to_channels(connection, row.sequence, row.skus) if row.skus else []
    return EventTrace(**msgspec.structs.asdict(row), channels=[_channel(row, way) for way in ways])


def _channel(event: EventRow, way: WayRow) -> ChannelTrace:
    latency_ms = None
    if way.acknowledged_at is not None:
        latency_ms = round((way.acknowledged_at - event.received_at).total_seconds() * 1000, 1)
    acknowledged = way.acknowledged_version is not None
    return ChannelTrace(
        channel=way.channel,
        listing=way.listing,
        location=way.location,
        reach=_reach(event.sequence, way),
        version=way.changed_version,
        value=way.changed_value,
        projected_at=way.projected_at,
        sent_at=way.sent_at,
        carried_version=way.acknowledged_version if acknowledged else way.sent_version,
        carried_value=way.acknowledged_value if acknowledged else way.sent_value,
        acknowledged_at=way.acknowledged_at,
        latency_ms=latency_ms,
        detail="" if acknowledged else way.last_error,
    )


def _reach(sequence: int, way: WayRow) -> Reach:
    if way.changed_version is None:
        return "waiting" if way.level_sequence < sequence else "unchanged"
    if way.acknowledged_version is not None:
        return "acknowledged"
    if way.sent_version is None:
        return "superseded" if way.state == "settled" else "projected"
    if way.state == "refused":
        return "refused"
    return "sent"
