"""Facts about orders: shipped, sent back, picked, sold or cancelled by a channel."""

import datetime as dt

import msgspec

from stockwright.domain import demand, reservations
from stockwright.domain.accounts import DemandLine
from stockwright.domain.books import Overlay
from stockwright.domain.events import Outcome
from stockwright.domain.goods import Told, apply_waiting, move_told, outbound_lots, recorded
from stockwright.domain.sourcing import place_units


def demand_of(overlay: Overlay, told: Told) -> DemandLine | None:
    """The demand line a fact speaks of, opened where it was not heard of before; None without an
    order.
    """
    fact = told.fact
    if not fact.order:
        return None
    system = fact.order_system or fact.system
    name = fact.order_line or fact.line
    line = overlay.line(system, fact.order, name)
    if line is None:
        line = DemandLine(
            overlay.sequence * demand.LINES_PER_EVENT,
            system,
            fact.order,
            name,
            told.sku.code,
            fact.channel,
        )
        overlay.add_line(line)
        overlay.change_state(line, "confirmed")
    elif line.sku != told.sku.code:
        overlay.raise_work(
            "sku_mismatch",
            demand.subject_of(line),
            told.sku.code,
            fact.location,
            ordered=line.sku,
            told=told.sku.code,
        )
        return None
    return line


def shipment(overlay: Overlay, told: Told) -> Outcome:
    """Goods leave; the line's own claims are drawn down, the rest comes from free, never another's
    promise.
    """
    line = demand_of(overlay, told)
    place = told.fact.location
    snapshot_fed = overlay.books.catalog.locations[place].feed == "snapshot"
    for lot, units in outbound_lots(overlay, told):
        drawn = (
            demand.draw(overlay, line, place, lot, units, told.at)
            if line is not None and units > 0
            else 0
        )
        if not snapshot_fed:
            move_told(overlay, told, "sellable", "customer", units, lot)
        elif drawn:
            _ship_unseen(overlay, told, lot, drawn)
    if line is None:
        return Outcome(code="observed") if snapshot_fed else recorded()
    line.shipped += told.units
    line.final = line.final or (told.fact.final and told.units > 0)
    demand.crossed(overlay, line, told.at)
    if told.units < 0:
        _claim_again(overlay, line, place, told.lot, told.at)
    demand.trim(overlay, line, told.at)
    demand.settle(overlay, line)
    _check_returns(overlay, line)
    return recorded()


def _ship_unseen(overlay: Overlay, told: Told, lot: str, drawn: int) -> None:
    """At a snapshot-fed place only the units we had promised move, so that free does not rise by
    them.

    A gross number already lacks a shipment made before it was taken; a net one still counts our
    claim.
    """
    system = overlay.books.catalog.systems.get(told.fact.system)
    if system is not None and system.snapshot_basis == "net":
        overlay.move(
            told.sku.code, lot, "sellable", told.fact.location, "customer", "", drawn, told.at
        )
    else:
        move_told(overlay, told, "sellable", "customer", drawn, lot)


def _claim_again(overlay: Overlay, line: DemandLine, place: str, lot: str, at: dt.datetime) -> None:
    """A shipment was taken back: its units are owed to the line again, at the same place."""
    owed = line.remaining - line.open
    if owed > 0:
        demand.shift(overlay, line, place, lot, "unclaimed", "allocated", owed, at)


def returned(overlay: Overlay, told: Told) -> Outcome:
    """Goods come back into inspection; more than was shipped is a question for a person, not a
    refusal.
    """
    move_told(overlay, told, "customer", "inspection", told.units, told.lot)
    apply_waiting(overlay, told.sku.code, told.fact.location, told.lot)
    line = demand_of(overlay, told)
    if line is not None:
        line.returned += told.units
        _check_returns(overlay, line)
    return recorded()


def _check_returns(overlay: Overlay, line: DemandLine) -> None:
    if line.returned > line.shipped:
        overlay.raise_work(
            "returned_more_than_shipped",
            demand.subject_of(line),
            line.sku,
            "",
            returned=line.returned,
            shipped=line.shipped,
        )
    elif line.returned:
        overlay.settle_work("returned_more_than_shipped", demand.subject_of(line))


def pick(overlay: Overlay, told: Told) -> Outcome:
    """Own claims become picked here; what was never claimed is claimed now."""
    line = demand_of(overlay, told)
    if line is None:
        return recorded()
    if told.units < 0:
        return unpick(overlay, msgspec.structs.replace(told, units=-told.units))
    line.picked += told.units
    demand.advance(overlay, line, told.fact.location, told.lot, told.units, told.at)
    if line.state == "open":
        overlay.change_state(line, "confirmed")
        line.expires_at = None
    return recorded()


def unpick(overlay: Overlay, told: Told) -> Outcome:
    """Back on the shelf: allocated again, or free where a cancel was waiting for the warehouse."""
    line = demand_of(overlay, told)
    if line is None:
        return recorded()
    if told.units < 0:
        return pick(overlay, msgspec.structs.replace(told, units=-told.units))
    line.picked -= told.units
    reservations.give_back(overlay, line, "picked", told.units, told.fact.location, told.at)
    demand.trim(overlay, line, told.at)
    return recorded()


def channel_order(overlay: Overlay, told: Told) -> Outcome:
    """A channel sold without asking: the promise stands, free may go below zero.

    The quantity is what the line orders in total; a later revision replaces it.
    """
    line = demand_of(overlay, told)
    if line is None:
        return recorded()
    line.ordered = told.units
    line.channel = line.channel or told.fact.channel
    demand.crossed(overlay, line, told.at)
    owed = line.remaining - line.open
    if owed > 0:
        for place, units in _places_for(overlay, told, owed):
            demand.shift(overlay, line, place, told.lot, "unclaimed", "reserved", units, told.at)
    demand.trim(overlay, line, told.at)
    if line.state in ("open", "released", "expired"):
        overlay.change_state(line, "confirmed")
    line.expires_at = None
    demand.settle(overlay, line)
    return recorded()


def _places_for(overlay: Overlay, told: Told, units: int) -> list[tuple[str, int]]:
    """Where an unconditional promise is booked: the place told, else where there is most room
    first.
    """
    if told.fact.location:
        return [(told.fact.location, units)]
    pool = overlay.books.catalog.channels[told.fact.channel].pool
    found = place_units(units, pool, overlay.free_at(told.sku.code, pool))
    left = units - sum(part for _, part in found)
    if not left:
        return found
    places = dict(found)
    places[pool[0]] = places.get(pool[0], 0) + left
    return list(places.items())


def channel_cancel(overlay: Overlay, told: Told) -> Outcome:
    """A channel cancelled: frees what the warehouse does not have yet, asks for the rest."""
    line = demand_of(overlay, told)
    if line is None:
        return recorded()
    if told.units < 0:
        return _cancel_less(overlay, told, line)
    before = line.cancelled + line.cancel_requested
    waits = reservations.cancel_units(overlay, line, told.units)
    if (
        line.cancelled + line.cancel_requested - before < told.units
        and line.shipped > 0
        and line.ordered
    ):
        overlay.raise_work(
            "shipped_after_cancel",
            demand.subject_of(line),
            line.sku,
            "",
            ordered=line.ordered,
            shipped=line.shipped,
            asked_to_cancel=told.units,
        )
    demand.settle(overlay, line)
    return Outcome(code="cancel_requested") if waits else recorded()


def _cancel_less(overlay: Overlay, told: Told, line: DemandLine) -> Outcome:
    """A cancel revised downwards: its units are owed again, unless the line was given up."""
    back = -told.units
    asked = min(back, line.cancel_requested)
    line.cancel_requested -= asked
    line.cancelled = max(0, line.cancelled - (back - asked))
    if not line.cancel_requested:
        overlay.settle_work("cancel_requested", demand.subject_of(line))
    owed = line.remaining - line.open
    channel = told.fact.channel or line.channel
    if owed > 0 and (told.fact.location or channel) and line.state not in ("released", "expired"):
        told = msgspec.structs.replace(
            told, fact=msgspec.structs.replace(told.fact, channel=channel)
        )
        for place, units in _places_for(overlay, told, owed):
            demand.shift(overlay, line, place, told.lot, "unclaimed", "reserved", units, told.at)
        overlay.change_state(line, "confirmed")
    demand.settle(overlay, line)
    return recorded()
