"""Facts about orders: shipped, sent back, picked, sold or cancelled by a channel."""

from typing import Final

import msgspec

from stockwright.domain import demand, reservations
from stockwright.domain.accounts import STAGES, DemandLine
from stockwright.domain.books import Overlay
from stockwright.domain.events import Outcome
from stockwright.domain.goods import (
    Told,
    apply_waiting,
    last_first,
    move_told,
    outbound_lots,
    recorded,
)
from stockwright.domain.reserving import fresh_until
from stockwright.domain.sourcing import place_units

_GIVEN_UP: Final = frozenset({"released", "expired"})


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
    if told.units < 0:
        _take_back(overlay, told, line)
    else:
        _send(overlay, told, line)
    if line is None:
        return Outcome(code="observed") if _snapshot_fed(overlay, told) else recorded()
    demand.trim(overlay, line, told.at)
    demand.settle(overlay, line)
    _check_returns(overlay, line)
    return recorded()


def _snapshot_fed(overlay: Overlay, told: Told) -> bool:
    return overlay.books.catalog.locations[told.fact.location].feed == "snapshot"


def _send(overlay: Overlay, told: Told, line: DemandLine | None) -> None:
    place = told.fact.location
    unseen = _snapshot_fed(overlay, told)
    line_id = line.id if line is not None else None
    for lot, units in outbound_lots(overlay, told):
        drawn = 0
        if line is not None:
            drawn = demand.draw(overlay, line, place, lot, units, told.at)
            demand.fulfil(overlay, line, place, lot, units - drawn, told.at)
        if not unseen:
            move_told(overlay, told, "sellable", "customer", units, lot, "", line_id)
        elif drawn:
            _ship_unseen(overlay, told, lot, drawn)
    if line is not None:
        line.shipped += told.units
        line.finals += told.tells * told.fact.final
        demand.weigh(overlay, line)
        demand.crossed(overlay, line)


def _take_back(overlay: Overlay, told: Told, line: DemandLine | None) -> None:
    """Goods come back to where they left, and the line is as if they never had."""
    place, units = told.fact.location, -told.units
    drawn = last_first(told.stood.drawn, units)
    if not _snapshot_fed(overlay, told):
        line_id = line.id if line is not None else None
        for lot, part in outbound_lots(overlay, told):
            move_told(overlay, told, "sellable", "customer", part, lot, "", line_id)
    else:
        for (_, lot, stage), part in drawn:
            if stage != "unclaimed":
                _ship_unseen(overlay, told, lot, -part)
    if line is None:
        return
    rest = units - sum(part for _, part in drawn)
    if rest:
        drawn.append(((place, told.lot, "unclaimed"), rest))
    line.shipped -= units
    line.finals += told.tells * told.fact.final
    demand.reopen(overlay, line, drawn, _freed(told), told.at)
    if not line.cancel_unmet or line.shipped <= 0:
        overlay.settle_work("shipped_after_cancel", demand.subject_of(line))


def _freed(told: Told) -> list[demand.Part]:
    """What a statement freed of claims, where the whole of it is taken back."""
    parts = told.stood.freed if told.tells < 0 else ()
    return [((place, lot, stage), units) for place, lot, stage, units in parts]


def _ship_unseen(overlay: Overlay, told: Told, lot: str, drawn: int) -> None:
    """At a snapshot-fed place only the units we had promised move, so that free does not rise by
    them.

    A gross number already lacks a shipment made before it was taken; a net one still counts our
    claim.
    """
    system = overlay.books.catalog.systems.get(told.fact.system)
    if system is None or system.snapshot_basis != "net":
        move_told(overlay, told, "sellable", "customer", drawn, lot)
        return
    moved = ("sellable", told.fact.location, "customer", "")
    if drawn < 0:
        moved = ("customer", "", "sellable", told.fact.location)
    overlay.move(told.sku.code, lot, *moved, abs(drawn), told.at)


def returned(overlay: Overlay, told: Told) -> Outcome:
    """Goods come back into inspection; more than was shipped is a question for a person, not a
    refusal.
    """
    line = demand_of(overlay, told)
    line_id = line.id if line is not None else None
    move_told(overlay, told, "customer", "inspection", told.units, told.lot, "", line_id)
    apply_waiting(overlay, told.sku.code, told.fact.location, told.lot)
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
    if told.units < 0 and told.stood.picked:
        return _unpicked(overlay, told, line)
    if told.units < 0:
        return unpick(overlay, msgspec.structs.replace(told, units=-told.units))
    line.picked += told.units
    demand.advance(overlay, line, told.fact.location, told.lot, told.units, told.at)
    demand.weigh(overlay, line)
    demand.trim(overlay, line, told.at)
    if line.state == "open":
        overlay.change_state(line, "confirmed")
        line.expires_at = None
    demand.settle(overlay, line)
    return recorded()


def _unpicked(overlay: Overlay, told: Told, line: DemandLine) -> Outcome:
    """A pick, or part of it, is taken back: its units are claimed as they were before."""
    line.picked += told.units
    for (place, lot, stage), units in last_first(told.stood.picked, -told.units):
        claim = line.claims.get((place, lot))
        units = min(units, claim.picked if claim is not None else 0)
        if units > 0:
            demand.shift(overlay, line, place, lot, "picked", stage, units, told.at)
    demand.weigh(overlay, line)
    demand.reclaim(overlay, line, _freed(told), STAGES, line.remaining, told.at)
    demand.trim(overlay, line, told.at)
    demand.settle(overlay, line)
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
    if told.sku.control != "none" and not line.open:
        seller = overlay.books.catalog.channels.get(line.channel)
        line.fresh_until = fresh_until(overlay, seller, told.sku)
    demand.weigh(overlay, line)
    demand.crossed(overlay, line)
    _claim_owed(overlay, told, line)
    demand.trim(overlay, line, told.at)
    if line.state in ("open", "released", "expired"):
        overlay.change_state(line, "confirmed")
    if line.unshipped_state:
        line.unshipped_state = "confirmed"
    line.expires_at = None
    demand.settle(overlay, line)
    return recorded()


def _claim_owed(overlay: Overlay, told: Told, line: DemandLine) -> None:
    owed = line.remaining - line.open
    if owed > 0:
        for place, units in _places_for(overlay, told, owed):
            demand.shift(overlay, line, place, told.lot, "unclaimed", "reserved", units, told.at)


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
    """A channel cancelled: frees what the warehouse does not have yet, asks for the rest.

    What it asks beyond that is kept: its order may be told later, or a shipment be taken back. A
    cancel that is taken back is owed again, unless the line was given up.
    """
    line = demand_of(overlay, told)
    if line is None:
        return recorded()
    line.cancel_unmet += told.units
    demand.weigh(overlay, line)
    demand.crossed(overlay, line)
    demand.trim(overlay, line, told.at)
    channel = told.fact.channel or line.channel
    if told.units < 0 and line.state not in _GIVEN_UP:
        demand.reclaim(overlay, line, _freed(told), STAGES, line.remaining, told.at)
    if told.units < 0 and (told.fact.location or channel) and line.state not in _GIVEN_UP:
        fact = msgspec.structs.replace(told.fact, channel=channel)
        _claim_owed(overlay, msgspec.structs.replace(told, fact=fact), line)
    demand.settle(overlay, line)
    return Outcome(code="cancel_requested") if line.cancel_requested else recorded()
