"""Search: what a text may mean, by code, number or words, each looked for by an index."""

import datetime as dt
from collections.abc import Sequence
from typing import Final

import msgspec

from stockwright.store import queries, tracing
from stockwright.store.arrays import texts
from stockwright.store.connection import Connection
from stockwright.store.tracing import EventRow

FOUND: Final = 8
"""Hits shown of each kind."""
WINDOW: Final = 5_000
"""Words are looked for in this many of the newest rows of a kind."""
_SQL: Final = queries.load("finding")


class SkuHit(msgspec.Struct, frozen=True):
    """A SKU by its own code or a partner's."""

    sku: str
    description: str


class OrderHit(msgspec.Struct, frozen=True):
    """An order by its number; lines are those looked at, state is one of theirs."""

    system: str
    order: str
    lines: int
    state: str


class PartnerHit(msgspec.Struct, frozen=True):
    """A system, a channel or a location."""

    what: str
    code: str
    words: str


class ParkedHit(msgspec.Struct, frozen=True):
    """A parked payload by what is wrong with it."""

    id: int
    system: str
    path: str
    reason: str
    missing: str
    received_at: dt.datetime


class WorkHit(msgspec.Struct, frozen=True):
    """An open work item by its words."""

    id: int
    kind: str
    subject: str
    system: str
    opened_at: dt.datetime


class ErrorHit(msgspec.Struct, frozen=True):
    """What a connection, a poll or a channel complains of, and how often."""

    what: str
    code: str
    words: str
    times: int


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a text may mean, at most FOUND of each kind."""

    asked: str
    skus: Sequence[SkuHit] = ()
    orders: Sequence[OrderHit] = ()
    events: Sequence[EventRow] = ()
    partners: Sequence[PartnerHit] = ()
    parked: Sequence[ParkedHit] = ()
    work: Sequence[WorkHit] = ()
    errors: Sequence[ErrorHit] = ()

    @property
    def nothing(self) -> bool:
        """Whether the text means nothing that is known."""
        kinds = (self.skus, self.orders, self.events, self.partners, self.parked, self.work)
        return not any(kinds) and not self.errors


def find(connection: Connection, text: str) -> Findings:
    """What a text may mean. An order or document is found exactly, else by how it begins."""
    if not text:
        return Findings(asked=text)
    systems = tracing.systems(connection)
    by_code = {"text": text, "systems": texts(systems), "limit": FOUND}
    words = {"pattern": _contains(text), "window": WINDOW, "limit": FOUND}
    return Findings(
        asked=text,
        skus=[SkuHit(*row) for row in connection.execute(_SQL["skus"], by_code)],
        orders=[OrderHit(*row) for row in connection.execute(_SQL["orders"], by_code)],
        events=_events(connection, systems, text),
        partners=[PartnerHit(*row) for row in connection.execute(_SQL["partners"], words)],
        parked=[ParkedHit(*row) for row in connection.execute(_SQL["parked"], words)],
        work=[WorkHit(*row) for row in connection.execute(_SQL["work"], words)],
        errors=[ErrorHit(*row) for row in connection.execute(_SQL["errors"], words)],
    )


def is_number_of_event(connection: Connection, text: str) -> bool:
    """Whether a text is exactly the number of an order or of a document."""
    systems = tracing.systems(connection)
    return bool(
        tracing.sequences_of_document(connection, systems, text, 1)
        or tracing.sequences_of_order(connection, systems, text, 1)
    )


def _events(connection: Connection, systems: Sequence[str], text: str) -> list[EventRow]:
    """Events of a document or order, else of documents that begin so, else of a sequence number."""
    numbers = {
        *tracing.sequences_of_document(connection, systems, text, FOUND),
        *tracing.sequences_of_order(connection, systems, text, FOUND),
    }
    if not numbers:
        asked = {
            "systems": texts(systems),
            "document": text.replace("|", "||"),
            "limit": FOUND,
        }
        numbers = {row[0] for row in connection.execute(_SQL["documents"], asked)}
    if not numbers and text.isascii() and text.isdecimal() and len(text) < 19:
        numbers = {int(text)}
    return tracing.events(connection, sorted(numbers)[:FOUND])


def _contains(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"
