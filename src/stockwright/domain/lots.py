"""Lots: first expired first out, shelf life asked for, and the room that is left for it."""

import datetime as dt
from collections.abc import Mapping, Sequence

from stockwright.domain.books import Overlay
from stockwright.domain.shelf_life import NEVER


def expiry_of(overlay: Overlay, sku: str, lot: str) -> dt.date:
    """The date after which a lot may not be sold; NEVER where none is known."""
    known = overlay.lot(sku, lot)
    return known.expires_on if known and known.expires_on else NEVER


def first_expired_first(
    overlay: Overlay, sku: str, location: str, fresh_until: dt.date | None = None
) -> Sequence[tuple[str, int]]:
    """(lot, units not promised by name), soonest date first; lots without units or too old are
    left out.
    """
    found = []
    for lot in overlay.lots_here(sku, location):
        balance = overlay.look((sku, location, lot))
        if not lot or balance is None or balance.free <= 0:
            continue
        expires = expiry_of(overlay, sku, lot)
        if fresh_until is None or expires >= fresh_until:
            found.append((expires, lot, balance.free))
    return [(lot, units) for _, lot, units in sorted(found)]


def room(
    overlay: Overlay, sku: str, location: str, fresh_until: dt.date | None, lot: str = ""
) -> int:
    """Units that one more claim may take without breaking a promise of freshness.

    For every date t: claims that ask for t or later, and claims that name a lot good until t or
    later, fit into the sellable units of lots good until t or later. A claim that names a lot fits
    into it.
    """
    free = overlay.free_at(sku, (location,))
    return rooms(overlay, sku, free, fresh_until, lot)[location]


def rooms(
    overlay: Overlay,
    sku: str,
    free: Mapping[str, int],
    fresh_until: dt.date | None,
    lot: str = "",
) -> Mapping[str, int]:
    """The room at each of these places, from what is free there."""
    if overlay.books.catalog.skus[sku].control == "none":
        return free
    return {
        place: _bound(overlay, sku, place, units, fresh_until, lot) for place, units in free.items()
    }


def _bound(
    overlay: Overlay, sku: str, location: str, free: int, fresh_until: dt.date | None, lot: str
) -> int:
    until = expiry_of(overlay, sku, lot) if lot else fresh_until
    if lot:
        named = overlay.look((sku, location, lot))
        free = min(free, named.free if named else 0)
    asked = {
        date
        for (one, place, date) in (*overlay.books.fresh, *overlay.rare.fresh)
        if one == sku and place == location
    }
    if until is None:
        return free
    thresholds = {date for date in asked if date <= until}
    if fresh_until is not None:
        thresholds.add(fresh_until)
    for threshold in thresholds:
        free = min(free, _left_for(overlay, sku, location, threshold, asked))
    return free


def _left_for(
    overlay: Overlay, sku: str, location: str, threshold: dt.date, asked: set[dt.date]
) -> int:
    left = 0
    for lot in overlay.lots_here(sku, location):
        balance = overlay.look((sku, location, lot))
        if lot and balance is not None and expiry_of(overlay, sku, lot) >= threshold:
            left += balance.free
    for date in asked:
        if date >= threshold:
            key = (sku, location, date)
            left -= overlay.rare.fresh.get(key, overlay.books.fresh.get(key, 0))
    return left


def note_fresh(overlay: Overlay, sku: str, location: str, fresh_until: dt.date, units: int) -> None:
    """Keeps the running sum of unnamed claims that ask for a date."""
    key = (sku, location, fresh_until)
    overlay.rare.fresh[key] = overlay.rare.fresh.get(key, overlay.books.fresh.get(key, 0)) + units
