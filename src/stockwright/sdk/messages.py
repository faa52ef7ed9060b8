"""What crosses between the hub and a connector: levels and documents out, payloads in."""

import datetime as dt
from decimal import Decimal
from typing import Any

import msgspec

from stockwright.domain.events import Item

__all__ = [
    "Announcement",
    "Applied",
    "Cancellation",
    "Delivered",
    "Document",
    "DocumentLine",
    "Failure",
    "InDoubt",
    "Item",
    "LevelKey",
    "LevelToSend",
    "Mapped",
    "Outbound",
    "Outgoing",
    "Page",
    "Payload",
    "PublishResult",
    "Refund",
    "Refused",
    "Retry",
    "Shipment",
    "ShownLevel",
    "SubmitResult",
    "WebhookOff",
]


class LevelKey(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Names one level of a channel. location is empty where the channel shows one pooled number."""

    listing: str
    location: str = ""


class LevelToSend(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An absolute quantity to show, never a difference; safe to send twice.

    A partner that keeps versions ignores one lower than it has. expected is what we believe is
    shown now, for partners that compare and set; None where we do not know.
    """

    channel: str
    listing: str
    quantity: int
    version: int
    location: str = ""
    expected: int | None = None

    @property
    def key(self) -> LevelKey:
        """Names the level; unique within one channel."""
        return LevelKey(listing=self.listing, location=self.location)


class Applied(msgspec.Struct, frozen=True, kw_only=True, tag="applied", omit_defaults=True):
    """The partner says that it shows this level now.

    shown and version are what it answered, where it answered more than yes: a higher version than
    the one sent means that a later write was there first and stays.
    """

    shown: int | None = None
    version: int | None = None


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag="refused", omit_defaults=True):
    """The partner never takes this level as it is. reason is stable: one work item per reason."""

    reason: str
    message: str = ""


class Retry(msgspec.Struct, frozen=True, kw_only=True, tag="retry", omit_defaults=True):
    """Surely not applied; send the then current level again after retry_after_s.

    shown is set where a compare-and-set failed and the partner told what it shows.
    """

    retry_after_s: float
    reason: str = ""
    shown: int | None = None


class InDoubt(msgspec.Struct, frozen=True, kw_only=True, tag="in_doubt", omit_defaults=True):
    """Nobody knows whether it was applied: a time-out, a 5xx, no answer for this level.

    taken: the partner has it and works on it, such as a bulk job. That is no failure: the level is
    handed over again after retry_after_s, for the connection to ask what became of the job.
    reference: the partner's own name of the job that holds a document (see `Follows`).
    """

    reason: str
    retry_after_s: float = 0.0
    taken: bool = False
    reference: str = ""


PublishResult = Applied | Refused | Retry | InDoubt


class DocumentLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Units of one order line, in pieces of its listing. line is the partner's own name of it."""

    line: str
    quantity: int
    listing: str = ""


class Shipment(msgspec.Struct, frozen=True, kw_only=True, tag="shipment", omit_defaults=True):
    """What left for a customer, with carrier and tracking. key is ours and never used twice."""

    key: str
    order: str
    lines: tuple[DocumentLine, ...]
    shipped_at: dt.datetime
    carrier: str = ""
    tracking: str = ""
    tracking_url: str = ""
    location: str = ""


class Cancellation(
    msgspec.Struct, frozen=True, kw_only=True, tag="cancellation", omit_defaults=True
):
    """What will not be delivered. Without lines, the whole order."""

    key: str
    order: str
    lines: tuple[DocumentLine, ...] = ()
    reason: str = ""


class Refund(msgspec.Struct, frozen=True, kw_only=True, tag="refund", omit_defaults=True):
    """What is paid back for units, in the order's currency; amount None: as the partner reckons."""

    key: str
    order: str
    lines: tuple[DocumentLine, ...]
    amount: Decimal | None = None
    currency: str = ""
    reason: str = ""


Document = Shipment | Cancellation | Refund
"""An outgoing fact for one partner: told at least once under its key, in order, never merged."""


Outgoing = Document | tuple[LevelToSend, ...]
"""What leaves for a partner in one go: a document, or levels of one channel."""


class Outbound(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One body in a partner's form, as it would leave. to says where: a call, a file, a subject.

    lost: the fields of ours that are told and would be read from it otherwise; None where it is not
    read again.
    """

    to: str
    body: bytes
    content_type: str = "application/json"
    lost: tuple[str, ...] | None = None


class Delivered(msgspec.Struct, frozen=True, kw_only=True, tag="delivered", omit_defaults=True):
    """The partner has the document; reference is its own name for it."""

    reference: str = ""


SubmitResult = Delivered | Refused | Retry | InDoubt


class Announcement(msgspec.Struct, frozen=True, kw_only=True):
    """One message for whoever listens to a subject. id is the same at every try."""

    id: str
    subject: str
    body: bytes
    content_type: str = "application/json"


class ShownLevel(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a partner shows now, as it answered itself. version is None where it keeps none."""

    listing: str
    quantity: int
    location: str = ""
    version: int | None = None


class Failure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why something could not be mapped.

    path leads to the value at fault ("$.data.lines[2].sku", "line 17, column qty"); missing names
    the code that would cure it ("item:CODE", "location:CODE"), empty where a person must look.
    found is the part as it was read, cut short, for people.
    """

    path: str
    reason: str
    missing: str = ""
    found: str = ""


class Payload(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a partner, byte for byte as received.

    Payloads with the same non-empty raw_key are mapped in the order of their arrival, and wait
    behind a parked one. problem is set where it can be told at the door that mapping is useless.
    hint: it says only that something happened, such as a webhook that names an order: it is kept,
    and the partner is polled at once.
    """

    body: bytes
    content_type: str = ""
    headers: dict[str, str] = {}
    raw_key: str = ""
    problem: Failure | None = None
    hint: bool = False


class Mapped(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a payload after mapping: an item for the ledger, or why there is none.

    place says where in the payload the part stands ("$.data.lines[2]", "line 17"); the same bytes
    give the same places for ever, whatever the mapping says.
    """

    place: str
    item: Item | Failure


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One answer of a poll.

    next_cursor resumes after these payloads. started_at is our clock before the partner was asked.
    complete is True where the partner had nothing more at that time.
    receipt is the connector's own mark, handed back to `acknowledge` once the payloads are kept.
    """

    payloads: tuple[Payload, ...]
    next_cursor: str
    started_at: dt.datetime
    complete: bool
    receipt: Any = None


class WebhookOff(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A webhook of ours that the partner had switched off, or did not have.

    on_again: it tells us again; else why says what a person must do.
    """

    topic: str
    on_again: bool
    why: str = ""
