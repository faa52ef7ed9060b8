"""What comes in: facts that happened, and requests that may be refused.

Both are one line of one document of one system. Their identity is
(system, document, line, kind, revision): the same identity with the same content is answered as the
first time, with other content it is a conflict.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

FactKind = Literal[
    "receipt",
    "shipment",
    "pos_sale",
    "return_receipt",
    "inspection_result",
    "transfer_out",
    "transfer_in",
    "transfer_close",
    "adjustment",
    "count",
    "snapshot",
    "damage",
    "quarantine",
    "unquarantine",
    "scrap",
    "lot_recall",
    "lot_expiry",
    "conversion",
    "pick",
    "unpick",
    "channel_order",
    "channel_cancel",
    "reversal",
]
RequestKind = Literal["reserve", "extend", "confirm", "allocate", "deallocate", "release", "cancel"]
Bucket = Literal["sellable", "inspection", "quarantined", "damaged"]

OWN_SYSTEM: Final = "stockwright"
"""Whose facts are those that become true by the calendar alone; it is declared nowhere."""
MAX_QUANTITY: Final = 1_000_000_000_000
"""Base units in one line; keeps every sum of a batch inside a 64-bit integer."""
MAX_CODE: Final = 128
MAX_LINES: Final = 1_000


class Fact(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Something that already happened: recorded, never refused.

    quantity is in `unit` (the base unit where empty); only an adjustment may be negative, and a
    count or snapshot may be zero. occurred_at is the partner's clock, timezone-aware; without it
    the event happened when it was received. `item` is the partner's own code where `sku` is not
    known.
    """

    kind: FactKind
    document: str
    quantity: int
    system: str = ""
    line: str = "1"
    revision: int = 0
    sku: str = ""
    item: str = ""
    unit: str = ""
    location: str = ""
    to_location: str = ""
    lot: str = ""
    expires_on: dt.date | None = None
    bucket: Bucket = "sellable"
    to_bucket: Literal["sellable", "quarantined", "damaged", "scrap"] = "sellable"
    occurred_at: dt.datetime | None = None
    position: int | None = None
    channel: str = ""
    order_system: str = ""
    order: str = ""
    order_line: str = ""
    final: bool = False
    close_as: Literal["lost", "found"] = "lost"
    to_sku: str = ""
    to_quantity: int = 0
    transfer: str = ""
    eta: dt.datetime | None = None
    picked_included: bool = True
    contained: int = 0
    reverses: int = 0
    reason: str = ""


class RequestLine(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One line of a request. An empty location leaves the place to the sourcing rules."""

    line: str = "1"
    sku: str = ""
    item: str = ""
    quantity: int = 0
    unit: str = ""
    location: str = ""
    lot: str = ""
    min_shelf_life_days: int = 0


class Request(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A question that may be refused. `document` is the caller's key: a new try needs a new one.

    The demand lines of (system, order) are one reservation; order is the document where it is
    empty. Without lines, a transition acts on every line of the order. mode `all` grants every
    line in full or none; `partial` grants what there is. hold_s is the time until an unconfirmed
    hold may expire.
    """

    kind: RequestKind
    document: str
    system: str = ""
    channel: str = ""
    order: str = ""
    lines: list[RequestLine] = []
    mode: Literal["all", "partial"] = "all"
    hold_s: int = 0
    confirmed: bool = False
    reason: str = ""


Item = Fact | Request


class Outcome(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The one answer to one item. `code` is listed in OUTCOMES; replay marks the first answer
    again.

    field and message say what is wrong and what to do next. answer carries what was granted, line
    by line: {"state", "expires_at", "lines": [{"line", "sku", "requested", "granted", "places":
    [{"location", "lot", "quantity"}]}]} in base units.
    """

    code: str
    sequence: int = 0
    replay: bool = False
    field: str = ""
    message: str = ""
    answer: dict[str, Any] | None = None

    @property
    def accepted(self) -> bool:
        """True where the item stands in the ledger and was not refused."""
        return self.code in ACCEPTED


OUTCOMES: Final[Sequence[tuple[str, str]]] = (
    ("malformed", "a field is missing, of the wrong type or out of range; nothing was recorded"),
    ("conflict", "this identity was answered before with other content; kept as a work item"),
    ("poison", "deciding this item failed; it is parked alone with the reason"),
    ("parked", "a code is not bound yet; resumes by itself once it is"),
    ("unknown_system", "no such system; a request is refused where a fact would be parked"),
    ("unknown_channel", "no such channel; name one of the configuration"),
    ("unknown_sku", "no such SKU; a request is refused where a fact would be parked"),
    ("unknown_location", "no such location; name one of the item master"),
    ("unknown_unit", "this SKU has no such unit of measure"),
    ("unknown_demand", "no demand line with this system, order and line"),
    ("superseded", "a higher revision of this line was recorded before"),
    ("observed", "another system holds the authority; kept to reconcile, nothing moved"),
    ("already_fulfilled", "ordered - shipped - cancelled leaves nothing to claim or cancel"),
    ("already_claimed", "all that was ordered on this line is already claimed"),
    ("closed", "the reservation was released or cancelled; this transition is not possible"),
    ("expired", "the hold expired and its stock is gone"),
    ("insufficient", "grantable stock does not cover the request"),
    ("cancel_requested", "released to the warehouse: frees on the warehouse's word"),
    ("partial", "granted in part"),
    ("granted", "granted in full"),
    ("regranted", "the hold had expired and was granted again"),
    ("done", "the transition was made"),
    ("recorded", "the fact stands in the ledger"),
)
"""Outcome codes in order of precedence: the first that applies is the answer."""

ACCEPTED: Final = frozenset(
    {
        "observed",
        "superseded",
        "cancel_requested",
        "partial",
        "granted",
        "regranted",
        "done",
        "recorded",
    }
)
REFUSED: Final = frozenset(
    {
        "unknown_system",
        "unknown_location",
        "unknown_channel",
        "unknown_sku",
        "unknown_unit",
        "unknown_demand",
        "already_fulfilled",
        "already_claimed",
        "closed",
        "expired",
        "insufficient",
    }
)
