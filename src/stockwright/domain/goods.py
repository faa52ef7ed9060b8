"""Facts about goods alone: what comes in, goes out, changes its bucket or waits for inspection."""

import datetime as dt
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from stockwright.domain import counts
from stockwright.domain.accounts import BUCKETS, Lot, Waiting
from stockwright.domain.books import Overlay
from stockwright.domain.catalog import Sku
from stockwright.domain.events import Fact, Outcome
from stockwright.domain.lots import expiry_of
from stockwright.domain.postings import Posting

Claimed = tuple[str, str, str, int]
"""(location, lot, stage, units)"""


class Stood(NamedTuple):
    """What the entries of a statement hold, each in the order it was posted.

    goods: (lot, units) that left; drawn: claims that shipped, the
    stage `unclaimed` where nothing had been claimed; picked the same of claims that were picked;
    freed of claims that were given up.
    """

    goods: Sequence[tuple[str, int]] = ()
    drawn: Sequence[Claimed] = ()
    picked: Sequence[Claimed] = ()
    freed: Sequence[Claimed] = ()


class Told(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A fact with its codes resolved. units is signed, in base units: what is to be posted now.

    into is the same of the SKU that a conversion makes. tells is 1 for a statement, -1 for one that
    is taken back, 0 for a change of its quantity; stood is what the ledger holds of it so far.
    """

    fact: Fact
    sku: Sku
    lot: str
    units: int
    at: dt.datetime
    posting: Posting
    key: str
    into: int = 0
    tells: int = 1
    stood: Stood = Stood()


def recorded() -> Outcome:
    """The answer to a fact of which there is no more to say."""
    return Outcome(code="recorded")


def goods(overlay: Overlay, told: Told) -> Outcome:
    """Moves goods as the row says; a negative quantity moves them the other way."""
    source = account_of(told.posting.source, told.fact)
    target = account_of(told.posting.target, told.fact)
    move_told(overlay, told, source, target, told.units, told.lot)
    note_supplied(overlay, told)
    if target == "inspection" or told.fact.bucket == "inspection":
        apply_waiting(overlay, told.sku.code, told.fact.location, told.lot)
    return recorded()


def note_supplied(overlay: Overlay, told: Told) -> None:
    """A receipt that names an order brings what that order, or ship notice, let expect."""
    fact = told.fact
    if fact.kind == "receipt" and fact.order:
        system, line = fact.order_system or fact.system, fact.order_line or fact.line
        overlay.rare.supplied.append((system, fact.order, line, told.sku.code, told.units))


def account_of(name: str, fact: Fact) -> str:
    """The account that a cell of the posting table means for this fact."""
    return str(getattr(fact, name[1:])) if name.startswith("$") else name


def move_told(
    overlay: Overlay,
    told: Told,
    source: str,
    target: str,
    units: int,
    lot: str,
    transfer: str = "",
    line_id: int | None = None,
) -> None:
    """Books the move a fact tells of at its place; a negative quantity goes the other way."""
    place = told.fact.location
    if units < 0:
        source, target, units = target, source, -units
        if source == "sellable" and lot:
            _fetch_recalled(overlay, told, lot, units)
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
        line_id,
        transfer,
    )
    if target == "sellable" and lot:
        _hold_recalled(overlay, told, lot, units)


def _hold_recalled(overlay: Overlay, told: Told, lot: str, units: int) -> None:
    """Goods of a recalled lot go to quarantine wherever they still turn up."""
    if _recalled(overlay, told, lot):
        _move_here(overlay, told, lot, "sellable", "quarantined", units)


def _fetch_recalled(overlay: Overlay, told: Told, lot: str, units: int) -> None:
    """Goods of a recalled lot are taken back from where the recall put them."""
    if _recalled(overlay, told, lot):
        _move_here(overlay, told, lot, "quarantined", "sellable", units)


def _recalled(overlay: Overlay, told: Told, lot: str) -> bool:
    known = overlay.lot(told.sku.code, lot)
    return known is not None and known.recalled


def _move_here(
    overlay: Overlay, told: Told, lot: str, source: str, target: str, units: int
) -> None:
    place = told.fact.location
    overlay.move(told.sku.code, lot, source, place, target, place, units, told.at)


def note_lot(overlay: Overlay, sku: Sku, fact: Fact, lot: str) -> None:
    """Keeps what a fact says of its lot; a serial number stands for one unit at most."""
    if lot:
        known = overlay.lot(sku.code, lot)
        if known is None or (fact.expires_on and known.expires_on != fact.expires_on):
            recalled = known.recalled if known else False
            overlay.rare.lots[(sku.code, lot)] = Lot(
                fact.expires_on or (known.expires_on if known else None), recalled
            )
    elif sku.control != "none":
        overlay.raise_work(
            "lot_missing", f"{sku.code}/{fact.location}/{fact.document}", sku.code, fact.location
        )


def outbound_lots(overlay: Overlay, told: Told) -> list[tuple[str, int]]:
    """(lot, units) that leave: the lot named, else first expired first, the rest without a lot.

    What is taken back goes where it came from, what left last first.
    """
    if told.units < 0 and told.stood.goods:
        return [(lot, -units) for (lot,), units in last_first(told.stood.goods, -told.units)]
    if told.lot or told.sku.control == "none" or told.units < 0:
        return [(told.lot, told.units)]
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


def last_first(parts: Sequence[tuple[Any, ...]], units: int) -> list[tuple[tuple[Any, ...], int]]:
    """Takes units out of parts that end with their quantity, the last part first: (part, taken)."""
    taken = []
    for *part, there in reversed(parts):
        take = min(units, there)
        if take > 0:
            taken.append((tuple(part), take))
            units -= take
    return taken


def sold_at_till(overlay: Overlay, told: Told) -> Outcome:
    """Goods leave now; nobody was promised them."""
    for lot, units in outbound_lots(overlay, told):
        move_told(overlay, told, "sellable", "customer", units, lot)
    return recorded()


def conversion(overlay: Overlay, told: Told) -> Outcome:
    """Units of one SKU become units of another at the same place."""
    fact = told.fact
    target = overlay.books.catalog.skus[fact.to_sku]
    if told.units:
        move_told(overlay, told, "sellable", "adjustment", told.units, told.lot)
    if told.into:
        lot = told.lot if target.control != "none" else ""
        made = ("adjustment", "", "sellable", fact.location)
        if told.into < 0:
            made = ("sellable", fact.location, "adjustment", "")
        counts.move_goods(overlay, target.code, lot, *made, abs(told.into), told.at, fact.position)
    return recorded()


def inspect(overlay: Overlay, told: Told) -> Outcome:
    """Moves at most what lies in inspection; the rest waits for the goods it speaks of."""
    cell = (told.sku.code, told.fact.location, told.lot)
    if told.units < 0:
        _uninspect(overlay, told, cell)
    else:
        overlay.waiting_at(cell).append(
            Waiting(overlay.sequence, told.fact.to_bucket, told.units, told.at)
        )
    apply_waiting(overlay, *cell)
    return recorded()


def _uninspect(overlay: Overlay, told: Told, cell: tuple[str, str, str]) -> None:
    """A result revised downwards: what still waits of it is dropped, the rest goes back."""
    back = -told.units
    for one in reversed(overlay.waiting_at(cell)):
        if one.to_bucket == told.fact.to_bucket:
            dropped = min(back, one.quantity)
            one.quantity -= dropped
            back -= dropped
    if back:
        move_told(overlay, told, "inspection", told.fact.to_bucket, -back, told.lot)


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
