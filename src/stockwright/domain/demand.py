"""Demand lines: opening, advancing and closing the claims that hang on them.

The counters of a line (ordered, shipped, cancelled, picked, returned) are what was told of it; the
claims follow from them. That is why shipment, reservation, cancel, pick and return may arrive in
any order and end the same.
"""

import datetime as dt
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from stockwright.domain.accounts import STAGES, Claim, DemandLine
from stockwright.domain.books import Overlay
from stockwright.domain.lots import note_fresh

LINES_PER_EVENT = 4096
"""Demand line ids are sequence * LINES_PER_EVENT + n: unique, ascending, and they tell when they
began.
"""

Part = tuple[tuple[Any, ...], int]
"""((location, lot, stage), units)"""

_DRAW = ("picked", "allocated", "reserved")


def shift(
    overlay: Overlay,
    line: DemandLine,
    location: str,
    lot: str,
    source: str,
    target: str,
    units: int,
    at: dt.datetime,
    free_after: int | None = None,
) -> None:
    """Moves units of one line's claim between the stages and the outside (unclaimed, fulfilled)."""
    place = (location, lot)
    claim = line.claims.get(place)
    if claim is None:
        claim = line.claims[place] = Claim()
    opened = 0
    if source in STAGES:
        setattr(claim, source, getattr(claim, source) - units)
        opened -= units
    if target in STAGES:
        setattr(claim, target, getattr(claim, target) + units)
        opened += units
    if opened and line.fresh_until is not None and not lot:
        note_fresh(overlay, line.sku, location, line.fresh_until, opened)
    if opened and line.channel and overlay.books.catalog.has_fences:
        _note_channel_claims(overlay, line, opened)
    overlay.move(
        line.sku, lot, source, location, target, location, units, at, line.id, "", free_after
    )


def _note_channel_claims(overlay: Overlay, line: DemandLine, units: int) -> None:
    key = (line.channel, line.sku)
    held = overlay.rare.channel_claims.get(key, overlay.books.channel_claims.get(key, 0))
    overlay.rare.channel_claims[key] = held + units


def draw(
    overlay: Overlay, line: DemandLine, location: str, lot: str, units: int, at: dt.datetime
) -> int:
    """Closes up to `units` of the line's own claims as fulfilled, nearest first; returns how
    many.
    """
    left = units
    for place, stage in _by_nearness(line, location, lot):
        take = min(left, getattr(line.claims[place], stage))
        if take > 0:
            shift(overlay, line, place[0], place[1], stage, "fulfilled", take, at)
            left -= take
    return units - left


def fulfil(
    overlay: Overlay, line: DemandLine, location: str, lot: str, units: int, at: dt.datetime
) -> None:
    """Notes units that shipped without a claim of their line; a negative quantity takes back what
    was fulfilled. So the entries of a line tell what shipped of it.
    """
    source, target = ("unclaimed", "fulfilled") if units > 0 else ("fulfilled", "unclaimed")
    if units:
        overlay.move(line.sku, lot, source, location, target, location, abs(units), at, line.id)


def reopen(
    overlay: Overlay,
    line: DemandLine,
    drawn: Sequence[Part],
    freed: Sequence[Part],
    at: dt.datetime,
) -> None:
    """A shipment was taken back, its counters are mended: what it drew and freed is claimed again,
    at most what remains.
    """
    for (location, lot, _), units in drawn:
        fulfil(overlay, line, location, lot, -units, at)
    parts = [*drawn, *freed]
    if not line.finals:
        most = line.wanted - line.shipped
        still_picked = line.open + max(0, line.picked - line.shipped - line.stage("picked"))
        reclaim(overlay, line, parts, ("picked",), min(most, still_picked), at)
        reclaim(overlay, line, parts, ("allocated",), most, at)
    for (location, lot, _), units in parts:
        advance(overlay, line, location, lot, units, at)
    weigh(overlay, line)
    if line.unshipped_state == "confirmed":
        reclaim(overlay, line, parts, ("reserved", "unclaimed"), line.remaining, at)
        # Picked units that another shipment has by now.
        reclaim(overlay, line, parts, ("picked",), line.remaining, at, "reserved")


def reclaim(
    overlay: Overlay,
    line: DemandLine,
    parts: Sequence[Part],
    stages: Collection[str],
    most: int,
    at: dt.datetime,
    stage_now: str = "",
) -> None:
    """Claims again those parts that were in these stages, as long as the line claims no more than
    `most` units in all.
    """
    for (location, lot, stage), units in parts:
        take = min(units, most - line.open)
        if stage in stages and take > 0:
            back = stage_now or ("reserved" if stage == "unclaimed" else stage)
            shift(overlay, line, location, lot, "unclaimed", back, take, at)


def trim(overlay: Overlay, line: DemandLine, at: dt.datetime) -> int:
    """Releases what the line claims beyond what remains to be shipped; returns how many units."""
    over = line.open - line.remaining
    released = 0
    for stage in STAGES:
        for place in sorted(line.claims):
            take = min(over - released, getattr(line.claims[place], stage))
            if take > 0:
                shift(overlay, line, place[0], place[1], stage, "unclaimed", take, at)
                released += take
    return released


def release_stage(
    overlay: Overlay, line: DemandLine, stage: str, units: int, at: dt.datetime, location: str = ""
) -> int:
    """Frees up to `units` of one stage, at one place or at all; returns how many."""
    left = units
    for place in sorted(line.claims):
        if location and place[0] != location:
            continue
        take = min(left, getattr(line.claims[place], stage))
        if take > 0:
            shift(overlay, line, place[0], place[1], stage, "unclaimed", take, at)
            left -= take
    return units - left


def advance(
    overlay: Overlay, line: DemandLine, location: str, lot: str, units: int, at: dt.datetime
) -> None:
    """A pick: brings own claims to `picked` at this place, and opens what was never claimed.

    A fact is not refused: units beyond the claims are promised unconditionally, free may go below
    zero. What was picked and has shipped is not picked any more, whichever of the two was told
    first.
    """
    left = 0 if line.finals else min(units, line.picked - line.shipped - line.stage("picked"))
    for place, stage in list(_by_nearness(line, location, lot)):
        if stage == "picked":
            continue
        take = min(left, getattr(line.claims[place], stage))
        if take <= 0:
            continue
        if place == (location, lot):
            shift(overlay, line, location, lot, stage, "picked", take, at)
        else:
            shift(overlay, line, place[0], place[1], stage, "unclaimed", take, at)
            shift(overlay, line, location, lot, "unclaimed", "picked", take, at)
        left -= take
    if left > 0:
        shift(overlay, line, location, lot, "unclaimed", "picked", left, at)


def weigh(overlay: Overlay, line: DemandLine) -> None:
    """Splits what was asked to be cancelled: done, waiting for the warehouse, still unmet.

    The split follows from the sums alone, so that a cancel may come before what it cancels: it
    covers what was ordered and did not ship, and frees of that what the warehouse does not have.
    """
    asked = line.cancelled + line.cancel_requested + line.cancel_unmet
    if not (asked or line.cancelled or line.cancel_requested):
        return
    waited = line.cancel_requested
    covered = min(asked, max(0, (line.ordered or line.picked) - line.shipped))
    held = 0 if line.finals else line.held
    line.cancelled = min(covered, max(0, line.wanted - line.shipped - held))
    line.cancel_requested = covered - line.cancelled
    line.cancel_unmet = asked - covered
    if line.cancel_requested > waited:
        overlay.raise_work(
            "cancel_requested", subject_of(line), line.sku, "", units=line.cancel_requested
        )
    elif waited and not line.cancel_requested:
        overlay.settle_work("cancel_requested", subject_of(line))


def crossed(overlay: Overlay, line: DemandLine) -> None:
    """A cancel cannot cover what has left; what crossed is a work item."""
    if line.ordered and line.shipped > 0 and line.cancel_unmet:
        overlay.raise_work(
            "shipped_after_cancel",
            subject_of(line),
            line.sku,
            "",
            ordered=line.ordered,
            shipped=line.shipped,
            asked_to_cancel=line.cancelled + line.cancel_requested + line.cancel_unmet,
        )


def settle(overlay: Overlay, line: DemandLine) -> None:
    """Brings the line's state in step with its counters; what shipped counts before what was
    cancelled.
    """
    if line.shipped > 0:
        if not line.unshipped_state:
            bought = line.state in ("open", "cancelled")
            line.unshipped_state = "confirmed" if bought else line.state
        overlay.change_state(line, "part_fulfilled" if line.remaining else "fulfilled")
    else:
        if line.unshipped_state:  # all of it was taken back
            overlay.change_state(line, line.unshipped_state)
            line.unshipped_state = ""
        if line.cancelled > 0 and line.ordered > 0 and not line.remaining:
            overlay.change_state(line, "cancelled")
        elif line.state == "cancelled":
            overlay.change_state(line, "confirmed")
    if line.state != "open" and line.expires_at is not None:
        line.expires_at = None


def subject_of(line: DemandLine) -> str:
    """How work items name a demand line."""
    return f"{line.system}/{line.order}/{line.line}"


def _by_nearness(
    line: DemandLine, location: str, lot: str
) -> Iterator[tuple[tuple[str, str], str]]:
    places = sorted(line.claims, key=lambda place: (place[0] != location, place[1] != lot, place))
    for place in places:
        for stage in _DRAW:
            yield place, stage
