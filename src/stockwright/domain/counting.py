"""Facts about what lies there: counts and snapshots, and lots that may not be sold any more."""

from stockwright.domain import counts, demand
from stockwright.domain.accounts import Lot
from stockwright.domain.books import Overlay
from stockwright.domain.events import Outcome
from stockwright.domain.goods import Told, apply_waiting


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
    if not told.lot:
        return _not_kept_by_lot(overlay, told)
    known = overlay.lot(told.sku.code, told.lot)
    overlay.rare.lots[(told.sku.code, told.lot)] = Lot(
        known.expires_on if known else told.fact.expires_on, True
    )
    places = sorted(
        {key[1] for key in overlay.books.balances if key[0] == told.sku.code and key[2] == told.lot}
    )
    moved = sum(_block(overlay, told, place) for place in places)
    return Outcome(code="recorded", answer={"quarantined": moved})


def expire_lot(overlay: Overlay, told: Told) -> Outcome:
    """A lot reached its date at one place: what is sellable of it is not any more."""
    if not told.lot:
        return _not_kept_by_lot(overlay, told)
    return Outcome(
        code="recorded", answer={"quarantined": _block(overlay, told, told.fact.location)}
    )


def _not_kept_by_lot(overlay: Overlay, told: Told) -> Outcome:
    """This SKU's goods carry no lot: which units are meant is a question for a person."""
    subject = f"{told.sku.code}/{told.fact.lot}"
    overlay.raise_work(
        "lot_not_kept", subject, told.sku.code, told.fact.location, lot=told.fact.lot
    )
    return Outcome(code="observed", message="this SKU is not kept by lot; see the work item")


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
