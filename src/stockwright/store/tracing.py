"""Finds events by what people call them, and the way each one took to the channels."""

import datetime as dt
from collections.abc import Sequence

import msgspec

from stockwright.store.arrays import numbers, texts
from stockwright.store.connection import Connection
from stockwright.store.queries import load

_SQL = load("tracing")


class EventRow(msgspec.Struct, frozen=True):
    """One event of the ledger, and the SKUs it moved or promised."""

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


class WayRow(msgspec.Struct, frozen=True):
    """How far one event came on its way to one level; None where a step was not reached.

    `level_sequence` is what the level reflects now.
    """

    channel: str
    listing: str
    location: str
    level_sequence: int
    state: str
    last_error: str
    changed_version: int | None
    changed_value: int | None
    projected_at: dt.datetime | None
    sent_version: int | None
    sent_value: int | None
    sent_at: dt.datetime | None
    acknowledged_version: int | None
    acknowledged_value: int | None
    acknowledged_at: dt.datetime | None


def systems(connection: Connection) -> list[str]:
    """Every system that is configured or has told the ledger anything, by code."""
    return [code for (code,) in connection.execute(_SQL["systems"])]


def sequences_of_document(
    connection: Connection, systems: Sequence[str], document: str, limit: int
) -> list[int]:
    """What these systems told under a document, oldest first."""
    doubled = document.replace("|", "||")  # as the identity's key is written
    parameters = {"systems": texts(systems), "document": doubled, "limit": limit}
    return [found for (found,) in connection.execute(_SQL["sequences_of_document"], parameters)]


def sequences_of_order(
    connection: Connection, systems: Sequence[str], order: str, limit: int
) -> list[int]:
    """What changed the demand lines of an order, oldest first."""
    parameters = {"systems": texts(systems), "order": order, "limit": limit}
    return [found for (found,) in connection.execute(_SQL["sequences_of_order"], parameters)]


def events(connection: Connection, sequences: Sequence[int]) -> list[EventRow]:
    """These events, oldest first; numbers the ledger does not have are left out."""
    parameters = {"sequences": numbers(sequences)}
    return [EventRow(*row) for row in connection.execute(_SQL["events"], parameters)]


def way_to_channels(connection: Connection, sequence: int, skus: Sequence[str]) -> list[WayRow]:
    """What an event did to each level that these SKUs are part of, by key."""
    parameters = {"sequence": sequence, "skus": texts(skus)}
    return [WayRow(*row) for row in connection.execute(_SQL["way_to_channels"], parameters)]
