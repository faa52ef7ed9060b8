"""Reserve: which lines may be claimed, where their units come from, and what is granted."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from stockwright.domain.accounts import DemandLine
from stockwright.domain.backorders import DemandKey
from stockwright.domain.books import Overlay
from stockwright.domain.catalog import Channel
from stockwright.domain.demand import LINES_PER_EVENT, shift, weigh
from stockwright.domain.errors import Rejected
from stockwright.domain.events import Outcome, Request, RequestLine
from stockwright.domain.exposure import grantable, match_policy, unused_fence
from stockwright.domain.lots import room, rooms
from stockwright.domain.owing import grantable_beside, owed_to, promote
from stockwright.domain.quantity import to_base
from stockwright.domain.shelf_life import good_until
from stockwright.domain.sourcing import Wanted, place_units, place_whole

Placed = tuple[str, int]
"""(location, units)"""

Until = tuple[dt.datetime, str]
"""When a hold may expire, and its text."""


class Asked(msgspec.Struct, eq=False, gc=False):
    """One line of a reserve: what may still be claimed, in base units, and what was granted.

    free is what was free at each place that counts, before the line claimed anything.
    """

    line: RequestLine
    sku: str
    requested: int
    claimable: int
    fresh_until: dt.date | None
    known: DemandLine | None
    free: Mapping[str, int] = {}
    places: Sequence[Placed] = ()
    granted: int = 0


def order_of(request: Request) -> str:
    """The order a request speaks of: its own document where it names none."""
    return request.order or request.document


def channel_of(overlay: Overlay, request: Request) -> Channel | None:
    """The channel that asks; the system's own code where the request names none.

    None where every line fixes its place and no channel is named. Raises Rejected: unknown_channel.
    """
    found = overlay.books.catalog.channels.get(request.channel or request.system)
    if found is None and (request.channel or _floats(request)):
        raise Rejected(
            "unknown_channel",
            "channel",
            f"no channel {request.channel or request.system!r}; name one of the configuration",
        )
    return found


def _floats(request: Request) -> bool:
    """Whether a line leaves its place to the sourcing rules."""
    for line in request.lines:  # noqa: SIM110 - a loop costs half of any() here
        if not line.location:
            return True
    return False


def reserve(overlay: Overlay, request: Request) -> Outcome:
    """Grants all lines, or by choice what there is. Raises Rejected with the refusal's code."""
    channel = channel_of(overlay, request)
    order = order_of(request)
    asked = [
        _ask(overlay, request, channel, order, line, n) for n, line in enumerate(request.lines)
    ]
    open_asks = [one for one in asked if one.claimable > 0]
    if not open_asks:
        done = all(one.known is not None and not one.known.remaining for one in asked)
        code = "already_fulfilled" if done else "already_claimed"
        raise Rejected(code, "lines", "nothing of these lines is left to claim")
    until = None if request.confirmed else hold_until(overlay, request, channel)
    granted = _grant(overlay, request, channel, open_asks, until)
    if not granted:
        raise Rejected("insufficient", _field_of(asked, open_asks[0]), _shortage(open_asks[0]))
    short = request.mode == "partial" and granted < sum(one.claimable for one in open_asks)
    answer = {
        "state": "open" if until else "confirmed",
        "expires_at": until[1] if until else None,
        "lines": [_line_answer(one) for one in asked],
    }
    return Outcome(code="partial" if short else "granted", answer=answer)


def _ask(
    overlay: Overlay,
    request: Request,
    channel: Channel | None,
    order: str,
    line: RequestLine,
    n: int,
) -> Asked:
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
    quantity = to_base(line.quantity, unit, item.base_unit, item.factors)
    fresh, days = None, line.min_shelf_life_days
    if item.control != "none":
        days = max(days, shelf_life_of(channel, sku, item.group))
    if days:
        fresh = good_until(overlay.books.now.date(), days)
    known = overlay.find_line(request.system, order, line.line)
    if known is None:
        return Asked(line, sku, quantity, quantity, fresh, None)
    if known.sku != sku:
        raise Rejected(
            "already_claimed", f"lines[{n}].sku", f"this order line is for SKU {known.sku!r}"
        )
    ordered = known.ordered or quantity
    if catalog.owed:
        ordered += owed_to(overlay, (request.system, order, line.line), sku)
    if known.state in ("released", "expired"):
        ordered = max(ordered, quantity)
    gone = known.shipped + known.cancelled + known.cancel_unmet
    left = 0 if known.finals else max(0, ordered - gone) - known.open
    return Asked(line, sku, quantity, min(quantity, max(0, left)), fresh, known)


def shelf_life_of(channel: Channel | None, sku: str, group: str) -> int:
    """The days of shelf life that a channel's policy asks of a SKU's lots."""
    if channel is None or not channel.policies:
        return 0
    return match_policy(channel.policies, sku, group).min_shelf_life_days


def _grant(
    overlay: Overlay,
    request: Request,
    channel: Channel | None,
    asked: list[Asked],
    until: Until | None,
) -> int:
    """Claims what can be granted; returns how many units."""
    pool, whole = _one_place(overlay, channel, asked)
    total = 0
    for n, one in enumerate(asked):
        one.places = _places(overlay, request, channel, one, pool, whole)
        for _, units in one.places:
            one.granted += units
        if one.granted < one.claimable and request.mode == "all":
            raise Rejected("insufficient", f"lines[{n}].quantity", _missing(one))
        if one.granted:
            _claim(overlay, request, channel, one, n, until)
            if overlay.books.backorders:
                own = (request.system, order_of(request), one.line.line)
                promote(overlay, own, one.sku, one.granted)
            total += one.granted
    return total


def _one_place(
    overlay: Overlay, channel: Channel | None, asked: list[Asked]
) -> tuple[tuple[str, ...], str]:
    """The places the order may come from, and the one that holds all of it, or ''.

    Where an order may not be split, only one place is left: the one that can give most of it.
    """
    if channel is None:
        return (), ""
    pool = channel.pool
    floating = [one for one in asked if not one.line.location]
    if len(pool) < 2 or not floating:
        return pool, ""
    fresh = {one.sku: one.fresh_until for one in floating}

    def free(want: Wanted, place: str) -> int:
        return room(overlay, want.sku, place, fresh[want.sku], want.lot)

    wanted = [Wanted(one.sku, one.claimable, one.line.lot) for one in floating]
    whole = place_whole(wanted, pool, free)
    if whole or channel.allow_split:
        return pool, whole
    most = max(pool, key=lambda place: sum(min(free(w, place), w.quantity) for w in wanted))
    return (most,), ""


def _places(
    overlay: Overlay,
    request: Request,
    channel: Channel | None,
    one: Asked,
    pool: tuple[str, ...],
    whole: str,
) -> list[Placed]:
    """Where one line's units come from, within what may be granted to this channel."""
    fixed = one.line.location
    one.free = free = overlay.free_at(one.sku, _grant_pool(channel, fixed))
    own = (request.system, order_of(request), one.line.line)
    limit = min(one.claimable, grantable_now(overlay, channel, one.sku, free, own))
    if limit <= 0 or (limit < one.claimable and request.mode == "all"):
        return []
    if fixed:
        pool = (fixed,)
    elif whole:
        pool = (whole, *pool)
    room = rooms(overlay, one.sku, free, one.fresh_until, one.line.lot)
    return place_units(limit, pool, room)


def _grant_pool(channel: Channel | None, fixed: str) -> tuple[str, ...]:
    """The places whose stock decides on a line: the channel's, or one it fixes outside of them."""
    if channel is None or (fixed and fixed not in channel.pool):
        return (fixed,)
    return channel.pool


def grantable_now(
    overlay: Overlay,
    channel: Channel | None,
    sku: str,
    free: Mapping[str, int],
    own: DemandKey | None = None,
) -> int:
    """What this channel may be granted of a SKU now: see domain.exposure.grantable.

    own is the demand line that asks: what it is owed itself does not hinder it.

    `free` is what is free at each place that counts: the channel's pool, or a fixed place outside
    of it. The fences of others and the hard safety stock bind there as well.
    """
    catalog = overlay.books.catalog
    hard = fences = 0
    most = None
    if channel is not None and channel.policies:
        policy = match_policy(channel.policies, sku, catalog.skus[sku].group)
        hard = policy.hard_safety
        if policy.min_shelf_life_days:
            until = good_until(overlay.books.now.date(), policy.min_shelf_life_days)
            free = rooms(overlay, sku, free, until)
        if channel.degraded and policy.degraded_cap is not None:
            most = max(0, policy.degraded_cap - _held(overlay, channel.code, sku))
    if catalog.has_fences:
        code = channel.code if channel is not None else ""
        fences = _fences_unused(overlay, code, free, sku, catalog.skus[sku].group)
    found = grantable(sum(free.values()), hard_safety=hard, other_fences_unused=fences)
    if sku in catalog.owed:
        found = grantable_beside(overlay, channel, sku, free.keys(), found, own)
    return found if most is None else min(found, most)


def _fences_unused(overlay: Overlay, code: str, pool: Iterable[str], sku: str, group: str) -> int:
    """What other channels over the same places have fenced off and not claimed yet."""
    unused = 0
    for other in overlay.books.catalog.channels.values():
        if other.code == code or set(other.pool).isdisjoint(pool):
            continue
        policy = match_policy(other.policies, sku, group)
        if policy.ring_fence:
            held = _held(overlay, other.code, sku)
            unused += unused_fence(policy.ring_fence, held, policy.ring_fence_mode)
    return unused


def _held(overlay: Overlay, code: str, sku: str) -> int:
    """Units of a SKU that a channel has open; kept only where the catalog says they decide."""
    key = (code, sku)
    return overlay.rare.channel_claims.get(key, overlay.books.channel_claims.get(key, 0))


def _claim(
    overlay: Overlay,
    request: Request,
    channel: Channel | None,
    one: Asked,
    n: int,
    until: Until | None,
) -> None:
    line = _line_to_claim(overlay, request, channel, one, n)
    line.fresh_until = one.fresh_until
    line.lot = one.line.lot
    if not line.ordered or line.state in ("released", "expired"):
        line.ordered = max(line.ordered, _whole_ask(request, one, line))
    elif overlay.books.catalog.owed:
        # What it was owed on top of what it could be granted before is ordered as well.
        covered = line.open + line.shipped + line.cancelled + one.granted
        line.ordered = max(line.ordered, covered)
    if not line.shipped:
        overlay.change_state(line, "open" if until else "confirmed")
        line.expires_at = until[0] if until else None
    else:
        line.unshipped_state = "confirmed"
    now = overlay.books.now
    for place, units in one.places:
        after = one.free[place] - units
        shift(overlay, line, place, line.lot, "unclaimed", "reserved", units, now, after)
    weigh(overlay, line)


def _line_to_claim(
    overlay: Overlay, request: Request, channel: Channel | None, one: Asked, n: int
) -> DemandLine:
    order = order_of(request)
    code = channel.code if channel is not None else ""
    line = overlay.line(request.system, order, one.line.line) if one.known is not None else None
    if line is None:
        number = overlay.sequence * LINES_PER_EVENT + n
        line = DemandLine(number, request.system, order, one.line.line, one.sku, code)
        overlay.add_line(line)
    elif not line.channel and not line.open:
        line.channel = code
    return line


def _whole_ask(request: Request, one: Asked, line: DemandLine) -> int:
    """What a line orders: all of it as asked for; in part, what was told of it before the order
    was heard of, and what was granted.
    """
    if request.mode == "all":
        return one.requested
    return line.open + line.shipped + line.cancelled + line.cancel_unmet + one.granted


def hold_until(overlay: Overlay, request: Request, channel: Channel | None) -> Until:
    """When a hold asked for now may expire: as asked, else as its channel says."""
    return overlay.books.hold_until(request.hold_s or (channel.hold_s if channel else 900))


def _line_answer(one: Asked) -> dict[str, Any]:
    lot = one.line.lot
    return {
        "line": one.line.line,
        "sku": one.sku,
        "requested": one.requested,
        "granted": one.granted,
        "places": [{"location": at, "lot": lot, "quantity": units} for at, units in one.places],
    }


def _field_of(asked: list[Asked], short: Asked) -> str:
    return f"lines[{asked.index(short)}].quantity"


def _missing(one: Asked) -> str:
    return (
        f"{one.claimable} of SKU {one.sku!r} asked for; the grantable stock does not cover it"
        + (f", {one.granted} could be placed" if one.granted else "")
    )


def _shortage(one: Asked) -> str:
    return f"none of the {one.requested} asked of SKU {one.sku!r} can be granted"
