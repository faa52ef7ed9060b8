"""Requests: reservations and their transitions, decided on running balances.

A reservation is the demand lines of one (system, order). Each line moves through
open -> confirmed -> part_fulfilled -> fulfilled | released | expired | cancelled, each transition
once.
"""

import datetime as dt
from typing import Any, Final, NamedTuple

from stockwright.domain.books import DemandLine, Overlay
from stockwright.domain.catalog import Channel
from stockwright.domain.demand import LINES_PER_EVENT, release_stage, settle, shift
from stockwright.domain.errors import Rejected
from stockwright.domain.events import Outcome, Request, RequestLine
from stockwright.domain.exposure import grantable, match_policy
from stockwright.domain.lots import first_expired_first, room
from stockwright.domain.quantity import to_base
from stockwright.domain.sourcing import Wanted, place_whole, spread

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


class Asked(NamedTuple):
    """One line of a reserve as it will be placed: what may still be claimed, in base units."""

    line: RequestLine
    sku: str
    requested: int
    claimable: int
    fresh_until: dt.date | None
    known: DemandLine | None


def order_of(request: Request) -> str:
    """The order a request speaks of: its own document where it names none."""
    return request.order or request.document


def channel_of(overlay: Overlay, request: Request) -> Channel | None:
    """The channel that asks; the system's own code where the request names none.

    None where every line fixes its place and no channel is named. Raises Rejected: unknown_channel.
    """
    found = overlay.books.catalog.channels.get(request.channel or request.system)
    if found is None and (request.channel or not all(line.location for line in request.lines)):
        raise Rejected(
            "unknown_channel",
            "channel",
            f"no channel {request.channel or request.system!r}; name one of the configuration",
        )
    return found


# ---------------------------------------------------------------- reserve


def reserve(overlay: Overlay, request: Request) -> Outcome:
    """Grants all lines, or by choice what there is. Raises Rejected with the refusal's code."""
    channel = channel_of(overlay, request)
    asked = [_ask(overlay, request, line, n) for n, line in enumerate(request.lines)]
    open_asks = [one for one in asked if one.claimable > 0]
    if not open_asks:
        done = all(one.known is not None and not one.known.remaining for one in asked)
        code = "already_fulfilled" if done else "already_claimed"
        raise Rejected(code, "lines", "nothing of these lines is left to claim")
    granted = _grant(overlay, request, channel, open_asks)
    lines = [_line_answer(one, granted.get(one.line.line, [])) for one in asked]
    short = [line for line in lines if line["granted"] < line["claimable"]]
    if len(short) == len([line for line in lines if line["claimable"]]) and not any(
        x["granted"] for x in lines
    ):
        raise Rejected("insufficient", _field_of(asked, short[0]), _shortage(short[0]))
    state = "confirmed" if request.confirmed else "open"
    expires_at = None if request.confirmed else _expiry(overlay, request, channel)
    answer = {
        "state": state,
        "expires_at": expires_at.isoformat() if expires_at else None,
        "lines": lines,
    }
    for line in lines:
        del line["claimable"]
    return Outcome(code="partial" if short else "granted", answer=answer)


def _ask(overlay: Overlay, request: Request, line: RequestLine, n: int) -> Asked:
    catalog = overlay.books.catalog
    sku = line.sku
    unit = line.unit
    if not sku:
        bound = catalog.bindings.get((request.system, line.item))
        if bound is None:
            raise Rejected(
                "unknown_sku",
                f"lines[{n}].item",
                f"code {line.item!r} of {request.system} is not bound",
            )
        sku, unit = bound[0], unit or bound[1]
    item = catalog.skus.get(sku)
    if item is None:
        raise Rejected(
            "unknown_sku", f"lines[{n}].sku", f"no SKU {sku!r}; add it to the item master"
        )
    if line.location and line.location not in catalog.locations:
        raise Rejected("unknown_location", f"lines[{n}].location", f"no location {line.location!r}")
    quantity, _ = to_base(line.quantity, unit, item.base_unit, item.factors)
    fresh = None
    if line.min_shelf_life_days:
        fresh = overlay.books.now.date() + dt.timedelta(days=line.min_shelf_life_days)
    known = overlay.find_line(request.system, order_of(request), line.line)
    if known is None:
        return Asked(line, sku, quantity, quantity, fresh, None)
    if known.sku != sku:
        raise Rejected(
            "already_claimed", f"lines[{n}].sku", f"this order line is for SKU {known.sku!r}"
        )
    ordered = known.ordered or quantity
    if known.state in ("released", "expired"):
        ordered = max(ordered, quantity)
    left = 0 if known.final else max(0, ordered - known.shipped - known.cancelled) - known.open
    return Asked(line, sku, quantity, min(quantity, max(0, left)), fresh, known)


def _grant(
    overlay: Overlay, request: Request, channel: Channel | None, asked: list[Asked]
) -> dict[str, list[tuple[str, int, int]]]:
    """Claims what can be granted; per line the places as (location, units, free after)."""
    whole = ""
    if len(asked) > 1 and channel is not None:
        floating = [one for one in asked if not one.line.location]
        wanted = [Wanted(one.sku, one.claimable, "", one.line.lot) for one in floating]
        fresh = {one.sku: one.fresh_until for one in floating}
        whole = place_whole(
            wanted,
            channel.pool,
            lambda want, place: room(overlay, want.sku, place, fresh[want.sku], want.lot),
        )
    granted: dict[str, list[tuple[str, int, int]]] = {}
    for n, one in enumerate(asked):
        places = _places(overlay, request, channel, one, whole)
        units = sum(part for _, part in places)
        if units < one.claimable and request.mode == "all":
            raise Rejected("insufficient", f"lines[{n}].quantity", _missing(one, units))
        if units:
            granted[one.line.line] = _claim(overlay, request, channel, one, places, n)
    return granted


def _places(
    overlay: Overlay, request: Request, channel: Channel | None, one: Asked, whole: str
) -> list[tuple[str, int]]:
    """Where one line's units come from, within what may be granted to this channel."""
    limit = one.claimable
    pool: tuple[str, ...] = (
        (one.line.location,) if one.line.location else (channel.pool if channel else ())
    )
    if channel is not None:
        limit = min(limit, _grantable(overlay, channel, one.sku))
    if limit < one.claimable and request.mode == "all":
        return []
    if limit <= 0:
        return []

    def free(want: Wanted, place: str) -> int:
        return room(overlay, want.sku, place, one.fresh_until, want.lot)

    want = Wanted(one.sku, limit, one.line.location, one.line.lot)
    if whole and not one.line.location and free(want, whole) >= limit:
        return [(whole, limit)]
    if len(pool) > 1:
        single = place_whole([want], pool, free)
        if single:
            return [(single, limit)]
        if channel is not None and not channel.allow_split:
            return [] if request.mode == "all" else spread(want, _best(pool, free, want), free, {})
    return spread(want, pool, free, {})


def _best(pool: tuple[str, ...], free: Any, want: Wanted) -> tuple[str, ...]:
    """The one place that can give most, where an order may not be split."""
    return (max(pool, key=lambda place: free(want, place)),)


def _grantable(overlay: Overlay, channel: Channel, sku: str) -> int:
    """What this channel may be granted of a SKU now: see domain.exposure.grantable."""
    catalog = overlay.books.catalog
    group = catalog.skus[sku].group
    pool_free = 0
    for place in channel.pool:
        pool_free += overlay.free(sku, place)
    hard = match_policy(channel.policies, sku, group).hard_safety if channel.policies else 0
    fences = 0
    for other in catalog.channels.values():
        if (
            other.code == channel.code
            or not other.policies
            or not set(other.pool) & set(channel.pool)
        ):
            continue
        fence = match_policy(other.policies, sku, group).ring_fence
        if fence:
            key = (other.code, sku)
            held = overlay.channel_claims.get(key, overlay.books.channel_claims.get(key, 0))
            fences += max(0, fence - held)
    return grantable(pool_free, hard_safety=hard, other_fences_unused=fences)


def _claim(
    overlay: Overlay,
    request: Request,
    channel: Channel | None,
    one: Asked,
    places: list[tuple[str, int]],
    n: int,
) -> list[tuple[str, int, int]]:
    order = order_of(request)
    line = overlay.line(request.system, order, one.line.line)
    if line is None:
        line = DemandLine(
            overlay.sequence * LINES_PER_EVENT + n,
            request.system,
            order,
            one.line.line,
            one.sku,
            channel.code if channel else "",
        )
        overlay.add_line(line)
    elif not line.channel and channel is not None and not line.open:
        line.channel = channel.code
    line.fresh_until = one.fresh_until
    line.lot = one.line.lot
    claimed = sum(units for _, units in places)
    whole_ask = one.requested if request.mode == "all" else claimed
    if not line.ordered or line.state in ("released", "expired"):
        line.ordered = max(line.ordered, whole_ask)
    if not line.shipped:
        overlay.change_state(line, "confirmed" if request.confirmed else "open")
        line.expires_at = None if request.confirmed else _expiry(overlay, request, channel)
    now = overlay.books.now
    granted = []
    for place, units in places:
        after = overlay.free(one.sku, place) - units
        shift(overlay, line, place, one.line.lot, "unclaimed", "reserved", units, now, after)
        granted.append((place, units, after))
    return granted


def _expiry(overlay: Overlay, request: Request, channel: Channel | None) -> dt.datetime:
    seconds = request.hold_s or (channel.hold_s if channel else 900)
    return overlay.books.now + dt.timedelta(seconds=seconds)


def _line_answer(one: Asked, places: list[tuple[str, int, int]]) -> dict[str, Any]:
    return {
        "line": one.line.line,
        "sku": one.sku,
        "requested": one.requested,
        "granted": sum(units for _, units, _ in places),
        "claimable": one.claimable,
        "places": [
            {"location": place, "lot": one.line.lot, "quantity": units}
            for place, units, _ in places
        ],
    }


def _field_of(asked: list[Asked], short: dict[str, Any]) -> str:
    n = next(n for n, one in enumerate(asked) if one.line.line == short["line"])
    return f"lines[{n}].quantity"


def _missing(one: Asked, units: int) -> str:
    return (
        f"{one.claimable} of SKU {one.sku!r} asked for; the grantable stock does not cover it"
        + (f", {units} could be placed" if units else "")
    )


def _shortage(line: dict[str, Any]) -> str:
    return f"none of the {line['requested']} asked of SKU {line['sku']!r} can be granted"


# ---------------------------------------------------------------- transitions


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
    needed = line.remaining
    before = [place for place, lot in sorted(line.claims) if lot == line.lot]
    pool = tuple(dict.fromkeys([*before, *(channel.pool if channel else ())]))
    if channel is not None and _grantable(overlay, channel, line.sku) < needed:
        raise Rejected(
            "expired",
            "order",
            "the hold expired and its stock was promised to others; reserve again",
        )

    def free(want: Wanted, place: str) -> int:
        return room(overlay, want.sku, place, line.fresh_until, want.lot)

    places = spread(Wanted(line.sku, needed, "", line.lot), pool, free, {})
    if sum(units for _, units in places) < needed:
        raise Rejected(
            "expired",
            "order",
            "the hold expired and its stock was promised to others; reserve again",
        )
    for place, units in places:
        after = overlay.free(line.sku, place) - units
        shift(
            overlay, line, place, line.lot, "unclaimed", "reserved", units, overlay.books.now, after
        )


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
            line.expires_at = _expiry(
                overlay, request, overlay.books.catalog.channels.get(line.channel)
            )
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
        left = line.open
        if left:
            waits = _ask_warehouse(overlay, line, left) or waits
        elif line.state in ("open", "confirmed"):
            overlay.change_state(line, "released")
            line.expires_at = None
    return Outcome(code="cancel_requested" if waits else "done", answer=_state_answer(lines))


def cancel(overlay: Overlay, request: Request) -> Outcome:
    """Cancels units of order lines, all that remain where no quantity is given."""
    lines = lines_asked(overlay, request)
    asked = {line.line: line.quantity for line in request.lines}
    found = any(line.remaining for line in lines)
    if not found:
        if all(line.state == "cancelled" for line in lines):
            return Outcome(code="done", answer=_state_answer(lines))
        raise Rejected("already_fulfilled", "order", "nothing of it is left to cancel")
    waits = False
    for line in lines:
        waits = cancel_units(overlay, line, asked.get(line.line, 0) or line.remaining) or waits
    return Outcome(code="cancel_requested" if waits else "done", answer=_state_answer(lines))


def cancel_units(overlay: Overlay, line: DemandLine, units: int) -> bool:
    """Cancels up to `units` of a line; True where part of it waits for the warehouse's word.

    Units nobody claims are cancelled first, then reserved ones; allocated and picked ones are
    asked for.
    """
    now = overlay.books.now
    if not line.ordered:
        line.cancelled += units
        return False
    units = min(units, line.remaining - line.cancel_requested)
    if units <= 0:
        return False
    unclaimed = min(units, line.remaining - line.open)
    freed = max(0, unclaimed)
    freed += release_stage(overlay, line, "reserved", units - freed, now)
    line.cancelled += freed
    settle(overlay, line)
    return _ask_warehouse(overlay, line, units - freed) if freed < units else False


def _ask_warehouse(overlay: Overlay, line: DemandLine, units: int) -> bool:
    more = min(units, line.open - line.cancel_requested)
    if more > 0:
        line.cancel_requested += more
        overlay.raise_work(
            "cancel_requested",
            f"{line.system}/{line.order}/{line.line}",
            line.sku,
            "",
            units=line.cancel_requested,
        )
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
    for place, lot in sorted(line.claims):
        take = min(left, getattr(line.claims[(place, lot)], stage))
        if take <= 0 or (location and place != location):
            continue
        freed = min(take, line.cancel_requested)
        if freed:
            shift(overlay, line, place, lot, stage, "unclaimed", freed, at)
            line.cancel_requested -= freed
            line.cancelled += freed
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
    if not line.cancel_requested:
        overlay.settle_work("cancel_requested", f"{line.system}/{line.order}/{line.line}")
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


def order_state(states: list[str]) -> str:
    """One word for several lines: their common state, or how far the furthest has come."""
    distinct = set(states)
    if len(distinct) == 1:
        return distinct.pop()
    if distinct & {"part_fulfilled", "fulfilled"}:
        return "part_fulfilled"
    return "confirmed" if "confirmed" in distinct else "open" if "open" in distinct else "released"
