"""The transitions of a reservation, decided on running balances.

A reservation is the demand lines of one (system, order). Each line moves through
open -> confirmed -> part_fulfilled -> fulfilled | released | expired | cancelled, each transition
once.
"""

import datetime as dt
from typing import Any, Final

from msgspec.structs import replace

from stockwright.domain.accounts import DemandLine
from stockwright.domain.books import Overlay
from stockwright.domain.demand import release_stage, settle, shift, trim, weigh
from stockwright.domain.errors import Rejected
from stockwright.domain.events import Outcome, Request
from stockwright.domain.lots import first_expired_first, room, rooms
from stockwright.domain.owing import cancel_owed, promote
from stockwright.domain.reserving import grantable_now, hold_until, order_of
from stockwright.domain.sourcing import spread

STATES: Final = {
    "open": "held until it expires, is confirmed or released",
    "confirmed": "bought; nothing of it expires any more",
    "part_fulfilled": "some of it has shipped",
    "fulfilled": "all that remained of it has shipped",
    "released": "given up before it was bought",
    "expired": "held past its time, and recorded so",
    "cancelled": "cancelled before anything shipped",
}
_BOUGHT: Final = frozenset({"confirmed", "part_fulfilled", "fulfilled"})
_GONE: Final = frozenset({"released", "cancelled"})


def lines_asked(overlay: Overlay, request: Request) -> list[DemandLine]:
    """The demand lines a transition acts on, to be changed. Raises Rejected: unknown_demand."""
    order = order_of(request)
    names = [line.line for line in request.lines]
    names = names or [line.line for line in overlay.lines_of(request.system, order)]
    found = []
    for n, name in enumerate(names):
        line = overlay.line(request.system, order, name)
        if line is None:
            raise Rejected(
                "unknown_demand", f"lines[{n}].line", f"order {order!r} has no line {name!r}"
            )
        found.append(line)
    if not found:
        raise Rejected(
            "unknown_demand", "order", f"no order {order!r} of {request.system} holds a claim"
        )
    return found


def confirm(overlay: Overlay, request: Request) -> Outcome:
    """Buys what is held. After a recorded expiry the whole order is granted again, or it is
    expired.
    """
    lines = lines_asked(overlay, request)
    if any(line.state in _GONE for line in lines):
        raise Rejected(
            "closed", "order", "the reservation was given up before; reserve again with a new key"
        )
    lapsed = [line for line in lines if line.state == "expired"]
    for line in lapsed:
        _regrant(overlay, line)
    for line in lines:
        line.expires_at = None
        if line.state not in _BOUGHT:
            overlay.change_state(line, "confirmed")
    return Outcome(code="regranted" if lapsed else "done", answer=_state_answer(lines))


def _regrant(overlay: Overlay, line: DemandLine) -> None:
    """Claims an expired line again, its old places first. Raises Rejected: expired."""
    channel = overlay.books.catalog.channels.get(line.channel)
    needed = line.remaining - line.open  # a warehouse that picked it late holds some already
    if needed <= 0:
        return
    before = [place for place, lot in sorted(line.claims) if lot == line.lot]
    pool = tuple(dict.fromkeys([*before, *(channel.pool if channel else ())]))
    own = (line.system, line.order, line.line)
    if channel is not None and needed > grantable_now(
        overlay, channel, line.sku, overlay.free_at(line.sku, channel.pool), own
    ):
        raise Rejected(
            "expired",
            "order",
            "the hold expired and its stock was promised to others; reserve again",
        )

    free = overlay.free_at(line.sku, pool)
    places = spread(needed, pool, rooms(overlay, line.sku, free, line.fresh_until, line.lot))
    if sum(units for _, units in places) < needed:
        raise Rejected(
            "expired",
            "order",
            "the hold expired and its stock was promised to others; reserve again",
        )
    for place, units in places:
        after = free[place] - units
        shift(
            overlay, line, place, line.lot, "unclaimed", "reserved", units, overlay.books.now, after
        )
    if overlay.books.backorders:
        promote(overlay, own, line.sku, needed)


def extend(overlay: Overlay, request: Request) -> Outcome:
    """Moves the end of an open hold. What is bought needs no extension and is left as it is."""
    lines = lines_asked(overlay, request)
    for line in lines:
        if line.state in _GONE:
            raise Rejected(
                "closed",
                "order",
                "the reservation was given up before; reserve again with a new key",
            )
        if line.state == "expired":
            raise Rejected(
                "expired", "order", "the hold expired before; confirm tries to grant it again"
            )
        if line.state == "open":
            channel = overlay.books.catalog.channels.get(line.channel)
            line.expires_at = hold_until(overlay, request, channel)[0]
    return Outcome(code="done", answer=_state_answer(lines))


def release(overlay: Overlay, request: Request) -> Outcome:
    """Gives up a hold. What the warehouse already has stays until the warehouse answers."""
    lines = lines_asked(overlay, request)
    if all(line.state in ("released", "cancelled", "expired") for line in lines):
        return Outcome(code="done", answer=_state_answer(lines))
    if all(line.state == "fulfilled" for line in lines):
        raise Rejected("already_fulfilled", "order", "all of it has shipped; use a return")
    waits = False
    for line in lines:
        release_stage(overlay, line, "reserved", line.stage("reserved"), overlay.books.now)
        if line.open:  # nothing of it is wanted any more: the rest is cancelled with it
            waits = cancel_units(overlay, line, line.remaining) or waits
        elif line.state in ("open", "confirmed"):
            overlay.change_state(line, "released")
            line.expires_at = None
        elif line.unshipped_state:
            line.unshipped_state = "released"
    return Outcome(code="cancel_requested" if waits else "done", answer=_state_answer(lines))


def cancel(overlay: Overlay, request: Request) -> Outcome:
    """Cancels units of order lines, all that remain where no quantity is given.

    What a line is owed goes first; an order that is only owed has no line in the books.
    """
    owed: dict[str, int] = {}
    if overlay.books.backorders:
        owed = cancel_owed(overlay, request, order_of(request))
        rest = _rest_of(overlay, request, owed)
        if rest is None:
            return Outcome(code="done", answer=_owed_answer(owed))
        request = rest
    lines = lines_asked(overlay, request)
    asked = {line.line: line.quantity for line in request.lines}
    found = any(line.remaining for line in lines)
    if not found and owed:
        return Outcome(code="done", answer=_state_answer(lines))
    if not found:
        if all(line.state == "cancelled" for line in lines):
            return Outcome(code="done", answer=_state_answer(lines))
        raise Rejected("already_fulfilled", "order", "nothing of it is left to cancel")
    waits = False
    for line in lines:
        waits = cancel_units(overlay, line, asked.get(line.line, 0) or line.remaining) or waits
    return Outcome(code="cancel_requested" if waits else "done", answer=_state_answer(lines))


def _rest_of(overlay: Overlay, request: Request, owed: dict[str, int]) -> Request | None:
    """What is left to cancel of what is claimed; None where it was all owed."""
    if not owed:
        return request
    known = {line.line for line in overlay.lines_of(request.system, order_of(request))}
    if not request.lines:
        return request if known else None
    rest = []
    for line in request.lines:
        left = line.quantity - owed.get(line.line, 0)
        if line.line not in owed or (line.line in known and (not line.quantity or left > 0)):
            rest.append(replace(line, quantity=max(0, left) if line.quantity else 0))
    return replace(request, lines=rest) if rest else None


def cancel_units(overlay: Overlay, line: DemandLine, units: int) -> bool:
    """Cancels up to `units` of a line; True where part of it waits for the warehouse's word.

    Units nobody claims are cancelled first, then reserved ones; allocated and picked ones are
    asked for.
    """
    # More may have been picked than was ordered; that is not there to be cancelled.
    left = (line.ordered or line.picked) - line.shipped - line.cancelled - line.cancel_requested
    units = min(units, line.remaining - line.cancel_requested, left)
    if units > 0:
        line.cancel_unmet += units
        weigh(overlay, line)
        trim(overlay, line, overlay.books.now)
        settle(overlay, line)
    return line.cancel_requested > 0


def allocate(overlay: Overlay, request: Request) -> Outcome:
    """Ties reserved units to their place and releases them to the warehouse; lots first expired
    first.
    """
    lines = lines_asked(overlay, request)
    asked = {line.line: line for line in request.lines}
    moved = 0
    for line in lines:
        if line.state in ("released", "expired", "cancelled"):
            raise Rejected(
                "closed", "order", f"line {line.line!r} is {line.state}; nothing is held for it"
            )
        ask = asked.get(line.line)
        units = (
            min(ask.quantity or line.stage("reserved"), line.stage("reserved"))
            if ask
            else line.stage("reserved")
        )
        if ask is not None and ask.location:
            _bring_to(overlay, line, ask.location, units)
        moved += _allocate_line(overlay, line, units, ask.location if ask else "")
        if line.state == "open":
            overlay.change_state(line, "confirmed")
            line.expires_at = None
    if not moved:
        raise Rejected("already_claimed", "order", "nothing of it is waiting to be allocated")
    return Outcome(code="done", answer=_state_answer(lines))


def _bring_to(overlay: Overlay, line: DemandLine, location: str, units: int) -> None:
    """Moves reserved units to one place. Raises Rejected: insufficient, unknown_location."""
    if location not in overlay.books.catalog.locations:
        raise Rejected("unknown_location", "location", f"no location {location!r}")
    there = sum(claim.reserved for (place, _), claim in line.claims.items() if place == location)
    missing = units - there
    if missing <= 0:
        return
    if room(overlay, line.sku, location, line.fresh_until, line.lot) < missing:
        raise Rejected(
            "insufficient",
            "location",
            f"{location!r} cannot give {missing} units of SKU {line.sku!r}",
        )
    for place, lot in sorted(line.claims):
        take = min(missing, line.claims[(place, lot)].reserved)
        if place != location and take > 0:
            shift(overlay, line, place, lot, "reserved", "unclaimed", take, overlay.books.now)
            after = overlay.free(line.sku, location) - take
            shift(
                overlay,
                line,
                location,
                lot,
                "unclaimed",
                "reserved",
                take,
                overlay.books.now,
                after,
            )
            missing -= take


def _allocate_line(overlay: Overlay, line: DemandLine, units: int, location: str) -> int:
    controlled = overlay.books.catalog.skus[line.sku].control != "none"
    left = units
    for place, lot in sorted(line.claims):
        take = min(left, line.claims[(place, lot)].reserved)
        if take <= 0 or (location and place != location):
            continue
        if controlled and not lot:
            take = _allocate_lots(overlay, line, place, take)
        else:
            shift(overlay, line, place, lot, "reserved", "allocated", take, overlay.books.now)
        left -= take
    return units - left


def _allocate_lots(overlay: Overlay, line: DemandLine, place: str, units: int) -> int:
    left = units
    now = overlay.books.now
    for lot, room_in_lot in first_expired_first(overlay, line.sku, place, line.fresh_until):
        take = min(left, room_in_lot)
        if take > 0:
            shift(overlay, line, place, "", "reserved", "unclaimed", take, now)
            shift(overlay, line, place, lot, "unclaimed", "allocated", take, now)
            left -= take
    return units - left


def deallocate(overlay: Overlay, request: Request) -> Outcome:
    """The warehouse gives an allocation back: to the hold, or free where a cancel waits for it."""
    lines = lines_asked(overlay, request)
    asked = {line.line: line.quantity for line in request.lines}
    moved = 0
    for line in lines:
        units = min(asked.get(line.line, 0) or line.stage("allocated"), line.stage("allocated"))
        moved += give_back(overlay, line, "allocated", units, "", overlay.books.now)
    if not moved:
        raise Rejected("already_claimed", "order", "nothing of it is allocated")
    return Outcome(code="done", answer=_state_answer(lines))


def give_back(
    overlay: Overlay, line: DemandLine, stage: str, units: int, location: str, at: dt.datetime
) -> int:
    """Takes units out of a warehouse stage, one stage back or free for a waiting cancel; returns
    how many.
    """
    left = units
    unfounded = max(0, line.open - line.remaining)  # picked beyond the order, and put back
    waiting = line.cancel_requested + unfounded
    for place, lot in sorted(line.claims):
        take = min(left, getattr(line.claims[(place, lot)], stage))
        if take <= 0 or (location and place != location):
            continue
        freed = min(take, waiting)
        if freed:
            shift(overlay, line, place, lot, stage, "unclaimed", freed, at)
            waiting -= freed
        if take > freed:
            shift(
                overlay,
                line,
                place,
                lot,
                stage,
                "allocated" if stage == "picked" else "reserved",
                take - freed,
                at,
            )
        left -= take
    weigh(overlay, line)
    trim(overlay, line, at)
    settle(overlay, line)
    return units - left


def expire(overlay: Overlay, system: str, order: str, names: list[str]) -> Outcome:
    """Records that holds ran out, where they are still open and past their time by the ledger's
    clock.
    """
    now = overlay.books.now
    lines = []
    for name in names:
        line = overlay.line(system, order, name)
        if line is None or line.state != "open" or line.expires_at is None or line.expires_at > now:
            continue
        release_stage(overlay, line, "reserved", line.stage("reserved"), now)
        line.expires_at = None
        overlay.change_state(line, "expired")
        lines.append(line)
    if not lines:
        raise Rejected("closed", "order", "no open hold of this order is past its time")
    return Outcome(code="done", answer=_state_answer(lines))


def _state_answer(lines: list[DemandLine]) -> dict[str, Any]:
    return {
        "state": order_state([line.state for line in lines]),
        "lines": [
            {
                "line": line.line,
                "sku": line.sku,
                "state": line.state,
                "ordered": line.ordered,
                "claimed": line.open,
                "shipped": line.shipped,
                "cancelled": line.cancelled,
                "cancel_requested": line.cancel_requested,
                "expires_at": line.expires_at.isoformat() if line.expires_at else None,
            }
            for line in lines
        ],
    }


def _owed_answer(owed: dict[str, int]) -> dict[str, Any]:
    lines = [{"line": line, "cancelled": units} for line, units in owed.items()]
    return {"state": "cancelled", "lines": lines}


def order_state(states: list[str]) -> str:
    """One word for several lines: their common state, or how far the furthest has come."""
    distinct = set(states)
    if len(distinct) == 1:
        return distinct.pop()
    if distinct & {"part_fulfilled", "fulfilled"}:
        return "part_fulfilled"
    return "confirmed" if "confirmed" in distinct else "open" if "open" in distinct else "released"
