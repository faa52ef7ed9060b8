"""Reserve: which lines may be claimed, where their units come from, and what is granted."""

import datetime as dt
from collections.abc import Sequence
from typing import Any, NamedTuple

from stockwright.domain.accounts import DemandLine
from stockwright.domain.books import Overlay
from stockwright.domain.catalog import Channel
from stockwright.domain.demand import LINES_PER_EVENT, shift
from stockwright.domain.errors import Rejected
from stockwright.domain.events import Outcome, Request, RequestLine
from stockwright.domain.exposure import grantable, match_policy
from stockwright.domain.lots import room
from stockwright.domain.quantity import to_base
from stockwright.domain.sourcing import Wanted, place_whole, spread

Granted = tuple[str, int, int]
"""(location, units, free units left there)"""


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
    if not granted:
        raise Rejected("insufficient", _field_of(asked, open_asks[0]), _shortage(open_asks[0]))
    short = request.mode == "partial" and any(
        _units(granted.get(one.line.line, ())) < one.claimable for one in open_asks
    )
    answer = {
        "state": "confirmed" if request.confirmed else "open",
        "expires_at": None if request.confirmed else hold_until(overlay, request, channel)[1],
        "lines": [_line_answer(one, granted.get(one.line.line, ())) for one in asked],
    }
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
) -> dict[str, list[Granted]]:
    """Claims what can be granted; per line the places as (location, units, free after)."""
    pool, whole = _one_place(overlay, channel, asked)
    granted: dict[str, list[Granted]] = {}
    for n, one in enumerate(asked):
        places = _places(overlay, request, channel, one, pool, whole)
        units = sum(part for _, part in places)
        if units < one.claimable and request.mode == "all":
            raise Rejected("insufficient", f"lines[{n}].quantity", _missing(one, units))
        if units:
            granted[one.line.line] = _claim(overlay, request, channel, one, places, n)
    return granted


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

    wanted = [Wanted(one.sku, one.claimable, "", one.line.lot) for one in floating]
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
) -> list[tuple[str, int]]:
    """Where one line's units come from, within what may be granted to this channel."""
    limit = one.claimable
    fixed = one.line.location
    outside = fixed if channel is None or fixed not in channel.pool else ""
    limit = min(limit, grantable_now(overlay, channel, one.sku, outside))
    if limit <= 0 or (limit < one.claimable and request.mode == "all"):
        return []

    def free(want: Wanted, place: str) -> int:
        return room(overlay, want.sku, place, one.fresh_until, want.lot)

    want = Wanted(one.sku, limit, fixed, one.line.lot)
    if fixed:
        return spread(want, (fixed,), free, {})
    if whole and free(want, whole) >= limit:
        return [(whole, limit)]
    if len(pool) > 1:
        single = place_whole([want], pool, free)
        if single:
            return [(single, limit)]
    return spread(want, pool, free, {})


def grantable_now(overlay: Overlay, channel: Channel | None, sku: str, place: str = "") -> int:
    """What this channel may be granted of a SKU now: see domain.exposure.grantable.

    `place` is a fixed place outside the channel's pool: then that place alone is the pool. The
    fences of others and the hard safety stock bind there as well.
    """
    catalog = overlay.books.catalog
    pool = (place,) if place or channel is None else channel.pool
    pool_free = 0
    for one in pool:
        pool_free += overlay.free(sku, one)
    group = catalog.skus[sku].group
    hard = 0
    if channel is not None and channel.policies:
        hard = match_policy(channel.policies, sku, group).hard_safety
    code = channel.code if channel is not None else ""
    fences = _fences_unused(overlay, code, pool, sku, group) if catalog.has_fences else 0
    return grantable(pool_free, hard_safety=hard, other_fences_unused=fences)


def _fences_unused(overlay: Overlay, code: str, pool: tuple[str, ...], sku: str, group: str) -> int:
    """What other channels over the same places have fenced off and not claimed yet."""
    unused = 0
    for other in overlay.books.catalog.channels.values():
        if other.code == code or not set(other.pool) & set(pool):
            continue
        fence = match_policy(other.policies, sku, group).ring_fence
        if fence:
            key = (other.code, sku)
            held = overlay.channel_claims.get(key, overlay.books.channel_claims.get(key, 0))
            unused += max(0, fence - held)
    return unused


def _claim(
    overlay: Overlay,
    request: Request,
    channel: Channel | None,
    one: Asked,
    places: list[tuple[str, int]],
    n: int,
) -> list[Granted]:
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
    # What was told of the line before the order was heard of counts into what was ordered.
    before = line.open + line.shipped + line.cancelled
    whole_ask = one.requested if request.mode == "all" else before + claimed
    if not line.ordered or line.state in ("released", "expired"):
        line.ordered = max(line.ordered, whole_ask)
    if not line.shipped:
        overlay.change_state(line, "confirmed" if request.confirmed else "open")
        line.expires_at = None if request.confirmed else hold_until(overlay, request, channel)[0]
    now = overlay.books.now
    granted = []
    for place, units in places:
        after = overlay.free(one.sku, place) - units
        shift(overlay, line, place, one.line.lot, "unclaimed", "reserved", units, now, after)
        granted.append((place, units, after))
    return granted


def hold_until(
    overlay: Overlay, request: Request, channel: Channel | None
) -> tuple[dt.datetime, str]:
    """When a hold asked for now may expire, and its text: as asked, else as its channel says."""
    return overlay.books.hold_until(request.hold_s or (channel.hold_s if channel else 900))


def _line_answer(one: Asked, places: Sequence[Granted]) -> dict[str, Any]:
    lot = one.line.lot
    return {
        "line": one.line.line,
        "sku": one.sku,
        "requested": one.requested,
        "granted": _units(places),
        "places": [{"location": at, "lot": lot, "quantity": units} for at, units, _ in places],
    }


def _units(places: Sequence[Granted]) -> int:
    total = 0
    for _, units, _ in places:
        total += units
    return total


def _field_of(asked: list[Asked], short: Asked) -> str:
    return f"lines[{asked.index(short)}].quantity"


def _missing(one: Asked, units: int) -> str:
    return (
        f"{one.claimable} of SKU {one.sku!r} asked for; the grantable stock does not cover it"
        + (f", {units} could be placed" if units else "")
    )


def _shortage(one: Asked) -> str:
    return f"none of the {one.requested} asked of SKU {one.sku!r} can be granted"
