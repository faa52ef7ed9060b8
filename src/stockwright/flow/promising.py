"""Promises by date: what can be promised of a SKU or a listing, and when a quantity can be."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

from stockwright.domain.availability import (
    Component,
    Explanation,
    available_to_promise,
    earliest,
)
from stockwright.domain.codes import Code
from stockwright.domain.errors import Rejected
from stockwright.domain.events import MAX_QUANTITY
from stockwright.domain.network import Instant
from stockwright.flow.exposing import Listing, Reading, read
from stockwright.store import exposure
from stockwright.store.connection import Connection
from stockwright.store.exposure import Part
from stockwright.store.master import known_codes

Pieces = Annotated[int, msgspec.Meta(ge=1, le=MAX_QUANTITY)]


class PromiseAsk(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be promised: a SKU of a channel's pool or of one location, or a channel's listing.

    by is the date, now where it is left out. quantity asks for the earliest date it can be promised
    for: pieces of the listing, kits of a kit, else base units.
    """

    sku: Code | None = None
    listing: Code | None = None
    channel: Code | None = None
    location: Code | None = None
    by: Instant | None = None
    quantity: Pieces | None = None


class Promise(msgspec.Struct, frozen=True, kw_only=True):
    """What can be promised for a date, and the earliest date for the quantity that was asked.

    earliest is None where no supply known reaches the quantity, or none was asked.
    """

    by: dt.datetime
    available_to_promise: Explanation
    earliest: dt.datetime | None = None


def promises(
    connection: Connection, asks: Sequence[PromiseAsk], now: dt.datetime | None = None
) -> list[Promise | Rejected]:
    """One answer per question, aligned; a question that makes no sense is told why in its place."""
    faults = _faults(connection, asks)
    good = [ask for ask, fault in zip(asks, faults, strict=True) if fault is None]
    skus = exposure.parts_of_skus(connection, sorted({ask.sku for ask in good if ask.sku}))
    listings = _by_listing(
        exposure.components(
            connection,
            sorted({(ask.channel or "", ask.listing) for ask in good if ask.listing}),
        )
    )
    groups = {
        part.sku: part.sku_group for parts in (*skus.values(), *listings.values()) for part in parts
    }
    reading = read(connection, groups, with_supply=True, now=now)
    found: list[Promise | Rejected] = []
    for ask, fault in zip(asks, faults, strict=True):
        key = (ask.channel or "", ask.listing or "")
        parts = skus.get(ask.sku) if ask.sku else listings.get(key)
        found.append(fault or _promise(reading, ask, parts))
    return found


def _promise(reading: Reading, ask: PromiseAsk, parts: Sequence[Part] | None) -> Promise | Rejected:
    if not parts:
        if ask.sku:
            message = f"No SKU {ask.sku}; import it, or ask by its canonical code."
            return Rejected("unknown_sku", "sku", message)
        message = f"{ask.channel} has no active listing {ask.listing}."
        return Rejected("unknown_sku", "listing", message)
    components = components_of(reading, parts, ask.channel, ask.location)
    split = ask.channel is None or reading.rules.seller(ask.channel).allow_split
    by = max(ask.by.astimezone(dt.UTC), reading.now) if ask.by else reading.now
    first = None
    if ask.quantity is not None:
        first = earliest(components, ask.quantity, reading.now, split=split)
    return Promise(
        by=by,
        available_to_promise=available_to_promise(components, by, split=split),
        earliest=first,
    )


def components_of(
    reading: Reading, parts: Sequence[Part], channel: str | None, location: str | None
) -> list[Component]:
    """What decides about a promise of these parts, from a channel's pool or from one place."""
    if location is not None and channel is None:
        return [reading.at_place(location, part.sku, part.quantity) for part in parts]
    return [reading.component(channel or "", part.sku, part.quantity) for part in parts]


def _by_listing(parts: Sequence[Part]) -> Mapping[Listing, list[Part]]:
    found: dict[Listing, list[Part]] = {}
    for part in parts:
        found.setdefault((part.channel, part.listing), []).append(part)
    return found


def _faults(connection: Connection, asks: Sequence[PromiseAsk]) -> list[Rejected | None]:
    named = {code for ask in asks for code in (ask.channel, ask.location) if code}
    known = known_codes(connection, sorted(named))
    return [_fault(ask, known) for ask in asks]


def _fault(ask: PromiseAsk, known: set[tuple[str, str]]) -> Rejected | None:
    if (ask.sku is None) == (ask.listing is None):
        return Rejected("malformed", "sku", "Name a SKU, or a listing; one of the two.")
    if ask.listing is not None and ask.channel is None:
        return Rejected("malformed", "channel", "Name the channel that has the listing.")
    if (ask.channel is None) == (ask.location is None):
        return Rejected("malformed", "channel", "Name a channel, or a location; one of the two.")
    for kind, code in (("channel", ask.channel), ("location", ask.location)):
        if code is not None and (kind, code) not in known:
            return Rejected(f"unknown_{kind}", kind, f"No {kind} {code}; check its code.")
    return None
