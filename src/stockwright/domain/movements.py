"""Facts: how each kind moves goods and claims. Every function decides one fact on its overlay."""

import datetime as dt
from collections.abc import Callable
from typing import Final, NamedTuple

from stockwright.domain import counts, demand, reservations
from stockwright.domain.books import BUCKETS, DemandLine, Lot, Overlay, Waiting
from stockwright.domain.catalog import Sku
from stockwright.domain.errors import Rejected
from stockwright.domain.events import Fact, Outcome
from stockwright.domain.postings import POSTINGS, Posting
from stockwright.domain.sourcing import Wanted, spread

RECORDED: Final = Outcome(code="recorded")


class Told(NamedTuple):
    """A fact with its codes resolved. units is signed, in base units: what is to be posted now."""

    fact: Fact
    sku: Sku
    lot: str
    units: int
    at: dt.datetime
    posting: Posting
    key: str


# ---------------------------------------------------------------- plain goods


def goods(overlay: Overlay, told: Told) -> Outcome:
    """Moves goods as the row says; a negative quantity moves them the other way."""
    source, target = (
        _account(name, told.fact) for name in (told.posting.source, told.posting.target)
    )
    _move(overlay, told, source, target, told.units, told.lot)
    if target == "inspection" or told.fact.bucket == "inspection":
        apply_waiting(overlay, told.sku.code, told.fact.location, told.lot)
    return RECORDED


def _account(name: str, fact: Fact) -> str:
    return str(getattr(fact, name[1:])) if name.startswith("$") else name


def _move(
    overlay: Overlay, told: Told, source: str, target: str, units: int, lot: str, transfer: str = ""
) -> None:
    if units < 0:
        source, target, units = target, source, -units
    place = told.fact.location
    from_location = place if source in BUCKETS else ""
    to_location = place if target in BUCKETS else ""
    counts.move_goods(
        overlay,
        told.sku.code,
        lot,
        source,
        from_location,
        target,
        to_location,
        units,
        told.at,
        told.fact.position,
        None,
        transfer,
    )
    if target == "sellable" and lot:
        _hold_recalled(overlay, told, lot, units)


def _hold_recalled(overlay: Overlay, told: Told, lot: str, units: int) -> None:
    """Goods of a recalled lot go to quarantine wherever they still turn up."""
    known = overlay.lot(told.sku.code, lot)
    if known is not None and known.recalled:
        overlay.move(
            told.sku.code,
            lot,
            "sellable",
            told.fact.location,
            "quarantined",
            told.fact.location,
            units,
            told.at,
        )


def note_lot(overlay: Overlay, sku: Sku, fact: Fact, lot: str) -> None:
    """Keeps what a fact says of its lot; a serial number stands for one unit at most."""
    if lot:
        known = overlay.lot(sku.code, lot)
        if known is None or (fact.expires_on and known.expires_on != fact.expires_on):
            recalled = known.recalled if known else False
            overlay.lots[(sku.code, lot)] = Lot(
                fact.expires_on or (known.expires_on if known else None), recalled
            )
    elif sku.control != "none":
        overlay.raise_work(
            "lot_missing", f"{sku.code}/{fact.location}/{fact.document}", sku.code, fact.location
        )


def outbound_lots(overlay: Overlay, told: Told) -> list[tuple[str, int]]:
    """(lot, units) that leave: the lot named, else first expired first, the rest without a lot."""
    if told.lot or told.sku.control == "none" or told.units < 0:
        return [(told.lot, told.units)]
    from stockwright.domain.lots import expiry_of

    left = told.units
    found = []
    place = told.fact.location
    for lot in sorted(
        overlay.lots_here(told.sku.code, place),
        key=lambda lot: (expiry_of(overlay, told.sku.code, lot), lot),
    ):
        balance = overlay.look((told.sku.code, place, lot))
        if lot and balance is not None and balance.sellable > 0 and left:
            found.append((lot, min(left, balance.sellable)))
            left -= found[-1][1]
    return [*found, ("", left)] if left else found


def sold_at_till(overlay: Overlay, told: Told) -> Outcome:
    """Goods leave now; nobody was promised them."""
    for lot, units in outbound_lots(overlay, told):
        _move(overlay, told, "sellable", "customer", units, lot)
    return RECORDED


def conversion(overlay: Overlay, told: Told) -> Outcome:
    """Units of one SKU become units of another at the same place."""
    fact = told.fact
    target = overlay.books.catalog.skus[fact.to_sku]
    _move(overlay, told, "sellable", "adjustment", told.units, told.lot)
    lot = told.lot if target.control != "none" else ""
    counts.move_goods(
        overlay,
        target.code,
        lot,
        "adjustment",
        "",
        "sellable",
        fact.location,
        fact.to_quantity,
        told.at,
        fact.position,
    )
    return RECORDED


# ---------------------------------------------------------------- inspection


def inspect(overlay: Overlay, told: Told) -> Outcome:
    """Moves at most what lies in inspection; the rest waits for the goods it speaks of."""
    cell = (told.sku.code, told.fact.location, told.lot)
    overlay.waiting_at(cell).append(
        Waiting(overlay.sequence, told.fact.to_bucket, told.units, told.at)
    )
    apply_waiting(overlay, *cell)
    return RECORDED


def apply_waiting(overlay: Overlay, sku: str, location: str, lot: str) -> None:
    """Applies waiting inspection results to what now lies in inspection, oldest first."""
    cell = (sku, location, lot)
    for one in overlay.waiting_at(cell):
        balance = overlay.look(cell)
        units = min(one.quantity, max(0, balance.inspection if balance else 0))
        if units <= 0:
            continue
        to_location = "" if one.to_bucket == "scrap" else location
        counts.move_goods(
            overlay,
            sku,
            lot,
            "inspection",
            location,
            one.to_bucket,
            to_location,
            units,
            one.occurred_at,
        )
        one.quantity -= units


# ---------------------------------------------------------------- demand lines


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
            _move(overlay, told, "sellable", "customer", units, lot)
        elif drawn:
            _ship_unseen(overlay, told, lot, drawn)
    if line is None:
        return Outcome(code="observed") if snapshot_fed else RECORDED
    line.shipped += told.units
    line.final = line.final or (told.fact.final and told.units > 0)
    demand.crossed(overlay, line, told.at)
    if told.units < 0:
        _claim_again(overlay, line, place, told.lot, told.at)
    demand.trim(overlay, line, told.at)
    demand.settle(overlay, line)
    _check_returns(overlay, line)
    return RECORDED


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
        _move(overlay, told, "sellable", "customer", drawn, lot)


def _claim_again(overlay: Overlay, line: DemandLine, place: str, lot: str, at: dt.datetime) -> None:
    """A shipment was taken back: its units are owed to the line again, at the same place."""
    owed = line.remaining - line.open
    if owed > 0:
        demand.shift(overlay, line, place, lot, "unclaimed", "allocated", owed, at)


def returned(overlay: Overlay, told: Told) -> Outcome:
    """Goods come back into inspection; more than was shipped is a question for a person, not a
    refusal.
    """
    _move(overlay, told, "customer", "inspection", told.units, told.lot)
    apply_waiting(overlay, told.sku.code, told.fact.location, told.lot)
    line = demand_of(overlay, told)
    if line is not None:
        line.returned += told.units
        _check_returns(overlay, line)
    return RECORDED


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
        return RECORDED
    line.picked += told.units
    demand.advance(overlay, line, told.fact.location, told.lot, told.units, told.at)
    if line.state == "open":
        overlay.change_state(line, "confirmed")
        line.expires_at = None
    return RECORDED


def unpick(overlay: Overlay, told: Told) -> Outcome:
    """Back on the shelf: allocated again, or free where a cancel was waiting for the warehouse."""
    line = demand_of(overlay, told)
    if line is None:
        return RECORDED
    line.picked -= told.units
    reservations.give_back(overlay, line, "picked", told.units, told.fact.location, told.at)
    demand.trim(overlay, line, told.at)
    return RECORDED


def channel_order(overlay: Overlay, told: Told) -> Outcome:
    """A channel sold without asking: the promise stands, free may go below zero.

    The quantity is what the line orders in total; a later revision replaces it.
    """
    line = demand_of(overlay, told)
    if line is None:
        return RECORDED
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
    return RECORDED


def _places_for(overlay: Overlay, told: Told, units: int) -> list[tuple[str, int]]:
    """Where an unconditional promise is booked: the place told, else where there is most room
    first.
    """
    if told.fact.location:
        return [(told.fact.location, units)]
    pool = overlay.books.catalog.channels[told.fact.channel].pool
    want = Wanted(told.sku.code, units, "", told.lot)

    def free(_: Wanted, place: str) -> int:
        return overlay.free(told.sku.code, place)

    for place in pool:
        if free(want, place) >= units:
            return [(place, units)]
    found = spread(want, pool, free, {})
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
        return RECORDED
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
    return Outcome(code="cancel_requested") if waits else RECORDED


# ---------------------------------------------------------------- transfers


def _transfer_document(fact: Fact) -> str:
    return fact.transfer or fact.document


def transfer_out(overlay: Overlay, told: Told) -> Outcome:
    """Goods are under way under their document; what had arrived before it left is settled now."""
    document = _transfer_document(told.fact)
    transfer = overlay.transfer(document, told.sku.code, told.lot)
    _move(overlay, told, "sellable", "in_transit", told.units, told.lot, document)
    transfer.sent += told.units
    transfer.from_location = told.fact.location
    transfer.to_location = told.fact.to_location or transfer.to_location
    transfer.eta = told.fact.eta or transfer.eta
    early = min(transfer.excess, transfer.under_way)
    if early > 0:
        overlay.move(
            told.sku.code,
            told.lot,
            "in_transit",
            "",
            "adjustment",
            "",
            early,
            told.at,
            None,
            document,
        )
        transfer.excess -= early
        transfer.arrived += early
    if not transfer.excess:
        overlay.settle_work("transfer_excess", _transfer_subject(told, document))
    return RECORDED


def transfer_in(overlay: Overlay, told: Told) -> Outcome:
    """Goods arrive; beyond what is under way they come from `adjustment`, with a work item."""
    document = _transfer_document(told.fact)
    transfer = overlay.transfer(document, told.sku.code, told.lot)
    transfer.to_location = told.fact.location
    known = min(told.units, transfer.under_way)
    if known > 0:
        _move(overlay, told, "in_transit", told.fact.bucket, known, told.lot, document)
        transfer.arrived += known
    early = told.units - max(0, known)
    if early > 0:
        _move(overlay, told, "adjustment", told.fact.bucket, early, told.lot, document)
        transfer.excess += early
        overlay.raise_work(
            "transfer_excess",
            _transfer_subject(told, document),
            told.sku.code,
            told.fact.location,
            excess=transfer.excess,
            sent=transfer.sent,
        )
    if told.fact.bucket == "inspection":
        apply_waiting(overlay, told.sku.code, told.fact.location, told.lot)
    return RECORDED


def transfer_close(overlay: Overlay, told: Told) -> Outcome:
    """The rest under way (or a part of it) is lost, or found at a place."""
    document = _transfer_document(told.fact)
    transfer = overlay.transfer(document, told.sku.code, told.lot)
    units = min(told.units or transfer.under_way, transfer.under_way)
    if units > 0:
        found = told.fact.close_as == "found"
        _move(
            overlay,
            told,
            "in_transit",
            "sellable" if found else "adjustment",
            units,
            told.lot,
            document,
        )
        transfer.closed += units
    return RECORDED


def _transfer_subject(told: Told, document: str) -> str:
    return f"{document}/{told.sku.code}/{told.lot}"


# ---------------------------------------------------------------- counts and lots


def count(overlay: Overlay, told: Told) -> Outcome:
    """Posts what the book was off by as of the count's time."""
    fact = told.fact
    counted = told.units
    cell = (told.sku.code, fact.location, told.lot)
    if fact.bucket == "sellable" and not fact.picked_included:
        counted += counts.picked_as_of(overlay, *cell, told.at, told.key)
    difference = counts.post_count(
        overlay, cell, fact.bucket, counted, told.at, fact.position, told.key
    )
    if fact.bucket == "inspection":
        apply_waiting(overlay, *cell)
    return Outcome(code="recorded", answer={"difference": difference})


def snapshot(overlay: Overlay, told: Told) -> Outcome:
    """At a snapshot-fed place the number is the truth; at a movement-fed one it is only
    compared.
    """
    fact = told.fact
    cell = (told.sku.code, fact.location, told.lot)
    if overlay.books.catalog.locations[fact.location].feed == "snapshot":
        counted = told.units + _contained(overlay, told)
        difference = counts.post_count(
            overlay, cell, fact.bucket, counted, told.at, fact.position, told.key
        )
        return Outcome(code="recorded", answer={"difference": difference})
    system = overlay.books.catalog.systems.get(fact.system)
    told_units = told.units + (
        _contained(overlay, told) if system and system.snapshot_basis == "net" else 0
    )
    difference, _ = counts.book_difference(
        overlay, cell, fact.bucket, told_units, told.at, told.key
    )
    subject = f"{fact.system}/{'/'.join(cell)}/{fact.bucket}"
    if difference:
        overlay.raise_work(
            "discrepancy",
            subject,
            told.sku.code,
            fact.location,
            bucket=fact.bucket,
            told=told.units,
            difference=difference,
            as_of=told.at.isoformat(),
        )
    else:
        overlay.settle_work("discrepancy", subject)
    return Outcome(code="observed", answer={"difference": difference})


def _contained(overlay: Overlay, told: Told) -> int:
    """Our open claims that a net number has already subtracted: those told to that system and
    applied.
    """
    fact = told.fact
    system = overlay.books.catalog.systems.get(fact.system)
    if system is None or system.snapshot_basis != "net" or fact.bucket != "sellable":
        return 0
    units = 0
    seen = set()
    for one in overlay.books.demand.values():
        for line in one.values():
            seen.add(line.id)
            if line.sku == told.sku.code and line.id // demand.LINES_PER_EVENT <= fact.contained:
                units += sum(
                    claim.units
                    for (place, _), claim in line.claims.items()
                    if place == fact.location
                )
    for line_id, held in overlay.books.contained.get((told.sku.code, fact.location), ()):
        if line_id not in seen and line_id // demand.LINES_PER_EVENT <= fact.contained:
            units += held
    return units


def recall(overlay: Overlay, told: Told) -> Outcome:
    """Blocks a lot at every place in one command; what is under way is blocked when it arrives."""
    known = overlay.lot(told.sku.code, told.lot)
    overlay.lots[(told.sku.code, told.lot)] = Lot(
        known.expires_on if known else told.fact.expires_on, True
    )
    places = sorted(
        {key[1] for key in overlay.books.balances if key[0] == told.sku.code and key[2] == told.lot}
    )
    moved = sum(_block(overlay, told, place) for place in places)
    return Outcome(code="recorded", answer={"quarantined": moved})


def expire_lot(overlay: Overlay, told: Told) -> Outcome:
    """A lot reached its date at one place: what is sellable of it is not any more."""
    return Outcome(
        code="recorded", answer={"quarantined": _block(overlay, told, told.fact.location)}
    )


def _block(overlay: Overlay, told: Told, place: str) -> int:
    balance = overlay.look((told.sku.code, place, told.lot))
    units = balance.sellable if balance is not None else 0
    if units <= 0:
        return 0
    counts.move_goods(
        overlay,
        told.sku.code,
        told.lot,
        "sellable",
        place,
        "quarantined",
        place,
        units,
        told.at,
        told.fact.position,
    )
    return units


# ---------------------------------------------------------------- reversal

_NOT_REVERSIBLE: Final = frozenset({"in_transit"})


def reverse(overlay: Overlay, fact: Fact, at: dt.datetime) -> Outcome:
    """Takes back the goods moves of an earlier event, once; its claims are mended by requests
    instead.
    """
    moves = overlay.books.reversible.get(fact.reverses)
    subject = f"reversal|{fact.reverses}"
    if not moves:
        raise Rejected("unknown_demand", "reverses", f"event {fact.reverses} moved no goods")
    if subject in overlay.books.revisions:
        return Outcome(code="superseded", message="this event was taken back before")
    if any({move[2], move[4]} & _NOT_REVERSIBLE for move in moves):
        overlay.raise_work(
            "reversal_by_hand",
            subject,
            moves[0][0],
            moves[0][3] or moves[0][5],
            reverses=fact.reverses,
        )
        return Outcome(
            code="observed", message="a transfer is mended by its own documents; see the work item"
        )
    overlay.documents[subject] = (1, 0)
    for sku, lot, source, from_location, target, to_location, units, moved_at, *_ in moves:
        counts.move_goods(
            overlay, sku, lot, target, to_location, source, from_location, units, moved_at
        )
    return RECORDED


Rule = Callable[[Overlay, Told], Outcome]

RULES: Final[dict[str, Rule]] = {
    "goods": goods,
    "till": sold_at_till,
    "shipment": shipment,
    "returned": returned,
    "inspect": inspect,
    "transfer_out": transfer_out,
    "transfer_in": transfer_in,
    "transfer_close": transfer_close,
    "count": count,
    "snapshot": snapshot,
    "recall": recall,
    "expire_lot": expire_lot,
    "conversion": conversion,
    "pick": pick,
    "unpick": unpick,
    "channel_order": channel_order,
    "channel_cancel": channel_cancel,
}
RULES_BY_KIND: Final = {
    kind: RULES[row.rule] for kind, row in POSTINGS.items() if row.rule in RULES
}
