"""Orders in one form, whichever version of Amazon's Orders API is asked: a page of them for a poll,
one of them for a cancellation or a refund.
"""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple

import msgspec

STATES: Final[Mapping[str, str]] = {
    "PENDING_AVAILABILITY": "PendingAvailability",
    "PENDING": "Pending",
    "UNSHIPPED": "Unshipped",
    "PARTIALLY_SHIPPED": "PartiallyShipped",
    "SHIPPED": "Shipped",
    "CANCELLED": "Canceled",
    "UNFULFILLABLE": "Unfulfillable",
}
"""The states of an order in 2026-01-01, by the words that v0, notices and settings have for them.
"""
PENDING: Final = frozenset({"PendingAvailability", "Pending"})
"""States of an order that is not paid: Amazon has nothing of it to fulfil yet, tells no prices, and
lets nobody cancel.
"""
OVER: Final = frozenset({"Shipped", "Canceled", "Unfulfillable"})
KNOWN: Final = frozenset({*STATES.values(), "InvoiceUnconfirmed"})
"""All states there are. v0 and notices have one more."""


_DIGITS: Final = 12
"""Of an amount, before its point: no order costs more."""
_FIRST_YEAR: Final = 1970
"""What is older is no time of an order, and cannot be reckoned with."""


class Ask(msgspec.Struct, frozen=True):
    """What a pass asks for: what changed `since`; in the first one of all, what is still to be
    shipped. token: of its next page, '' for its first.
    """

    since: str
    token: str
    first: bool


class OrdersPage(msgspec.Struct, frozen=True):
    """A page of a pass. orders: what is kept of each. until: up to when Amazon listed changes, ''
    where it does not say.
    """

    orders: Sequence[Mapping[str, Any]]
    token: str
    until: str


class Heading(NamedTuple):
    """An order's number, '' where it has none, the time of its change, and its state as of v0."""

    number: str
    changed: str
    state: str

    @property
    def name(self) -> str:
        """By what an order is known: it is told, and parked, without a number as well."""
        return self.number or f"? {self.mark}"

    @property
    def mark(self) -> str:
        """When an order changed, and its state: two changes within a second have one time."""
        return f"{self.changed} {self.state}"


class KnownLine(msgspec.Struct, frozen=True):
    """An item of an order. price and tax are those of all its units, tax without what Amazon
    itself collects; price is None where Amazon tells none, or what cannot be read.
    """

    ordered: int
    shipped: int = 0
    price: Decimal | None = None
    tax: Decimal = Decimal(0)
    currency: str = ""


class KnownOrder(msgspec.Struct, frozen=True):
    """An order as it is now, by the ids of its items."""

    marketplace: str
    status: str
    lines: Mapping[str, KnownLine]


def open_states(sold: Collection[str]) -> list[str]:
    """Those of `sold` in which something is still to be shipped."""
    return [state for state in sold if state not in OVER]


def amount_of(text: Any) -> Decimal | None:
    """An amount of money; None for what is none."""
    try:
        found = Decimal(str(text))
    except InvalidOperation:
        return None
    return found if found.is_finite() and found.adjusted() < _DIGITS else None


def moment_of(text: str) -> dt.datetime | None:
    """A time in UTC; None for what is none. One without a zone is in UTC."""
    try:
        moment = dt.datetime.fromisoformat(text)
        zoned = moment if moment.tzinfo is not None else moment.replace(tzinfo=dt.UTC)
        utc = zoned.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return None
    return utc if utc.year >= _FIRST_YEAR else None


def text_of(moment: dt.datetime) -> str:
    """A time as Amazon takes it."""
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
