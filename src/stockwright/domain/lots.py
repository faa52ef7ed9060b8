"""Lots: first expired first out, shelf life asked for, and the room that is left for it."""

import datetime as dt
from collections.abc import Mapping, Sequence

from stockwright.domain.books import Overlay
from stockwright.domain.shelf_life import room_at

NEVER = dt.date.max


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
    if until is None:
        return free
    asked = _asked_at(overlay, sku, location)
    days = {day for day in asked if day <= until}
    if fresh_until is not None:
        days.add(fresh_until)
    return room_at(free, _units_by_day(overlay, sku, location), asked, days) if days else free


def _asked_at(overlay: Overlay, sku: str, location: str) -> dict[dt.date, int]:
    """Units of claims without a lot, by the day they ask for."""
    stored, own = overlay.books.fresh, overlay.rare.fresh
    return {
        key[2]: own.get(key, stored.get(key, 0))
        for key in (*stored, *own)
        if key[0] == sku and key[1] == location
    }


def _units_by_day(overlay: Overlay, sku: str, location: str) -> list[tuple[dt.date, int]]:
    found = []
    for lot in overlay.lots_here(sku, location):
        balance = overlay.look((sku, location, lot))
        if lot and balance is not None:
            found.append((expiry_of(overlay, sku, lot), balance.free))
    return found


def note_fresh(overlay: Overlay, sku: str, location: str, fresh_until: dt.date, units: int) -> None:
    """Keeps the running sum of unnamed claims that ask for a date."""
    key = (sku, location, fresh_until)
    overlay.rare.fresh[key] = overlay.rare.fresh.get(key, overlay.books.fresh.get(key, 0)) + units
