"""What may be promised of a SKU by a date, through a channel or at a place."""

import datetime as dt
from collections.abc import Collection

import msgspec

from stockwright.domain.availability import Component
from stockwright.domain.backorders import owed_first
from stockwright.domain.codes import did_you_mean
from stockwright.domain.errors import Rejected
from stockwright.domain.promising import Promise, promise
from stockwright.flow.exposing import Reading, read
from stockwright.store import exposure
from stockwright.store.connection import Connection
from stockwright.store.network import location_codes
from stockwright.store.supply import expected_of_skus


class Promised(msgspec.Struct, frozen=True, kw_only=True):
    """A promise, whom it is for, and the sequence number of the ledger it stands on."""

    sku: str
    channel: str
    location: str
    sequence: int
    promise: Promise


def promise_of(
    connection: Connection,
    sku: str,
    *,
    channel: str = "",
    location: str = "",
    by: dt.datetime | None = None,
    quantity: int = 0,
) -> Promised:
    """What may be promised of a SKU by a date (now where None), and when `quantity` may be.

    Of a channel's pool by its safety stock and class, or of one place, after all that is owed from
    there. Raises Rejected: malformed, unknown_sku, unknown_channel, unknown_location.
    """
    if bool(channel) == bool(location):
        raise Rejected("malformed", "channel", "Name either a channel or a location.")
    groups = exposure.groups_of_skus(connection, [sku])
    if sku not in groups:
        raise Rejected("unknown_sku", "sku", f"No SKU {sku}; import it, or ask by its own code.")
    reading = read(connection, groups)
    if channel:
        _expect("channel", channel, reading.rules.pools)
        component = reading.component(channel, sku)
    else:
        _expect("location", location, location_codes(connection))
        component = _at_place(reading, sku, location)
    supply = expected_of_skus(connection, [sku]).get(sku, [])
    return Promised(
        sku=sku,
        channel=channel,
        location=location,
        sequence=reading.books.sequence,
        promise=promise(component, supply, reading.books.read_at, by, quantity),
    )


def _at_place(reading: Reading, sku: str, location: str) -> Component:
    owed = owed_first(reading.books.owed.get(sku, ()), None, (location,), reading.rules.pools)
    return Component(sku=sku, places=reading.books.at(sku, (location,)), owed=owed)


def _expect(what: str, code: str, known: Collection[str]) -> None:
    if code not in known:
        there_are = did_you_mean(code, sorted(known)) or "see the configuration"
        raise Rejected(f"unknown_{what}", what, f"No {what} {code}; {there_are}.")
