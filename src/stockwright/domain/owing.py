"""The ledger and what is owed: it grants less, and what it grants settles what is owed."""

from collections.abc import Collection

from stockwright.domain.accounts import DemandLine
from stockwright.domain.backorders import DemandKey, owed_before, owed_first
from stockwright.domain.books import Overlay
from stockwright.domain.catalog import Channel
from stockwright.domain.events import Request

_SETTLES = frozenset({"channel_order", "channel_cancel", "shipment", "pick"})


def grantable_beside(
    overlay: Overlay,
    channel: Channel | None,
    sku: str,
    places: Collection[str],
    units: int,
    own: DemandKey | None,
) -> int:
    """Of `units` that might be granted to a channel from these places, those that are not owed.

    A request without a channel comes after all classes. A line that is owed some itself may have
    these in its turn, even where more than that is owed to others.
    """
    pools = overlay.books.catalog.pools
    queue = overlay.owed_on(sku)
    demand_class = None if channel is None else channel.demand_class
    left = units - owed_first(queue, demand_class, places, pools, own).units
    mine = next((one for one in queue if one.key == own), None)
    if mine is None:
        return left
    in_turn = units - owed_before(queue, mine, places, pools).units
    return max(left, min(mine.owed, in_turn))


def owed_to(overlay: Overlay, key: DemandKey, sku: str = "") -> int:
    """Units that a demand line is owed; of one SKU, where that is given."""
    own = overlay.rare_or_none.backorders if overlay.rare_or_none is not None else {}
    found = own.get(key) or overlay.books.backorders.get(key)
    return 0 if found is None or (sku and found.sku != sku) else found.owed


def promote(
    overlay: Overlay, key: DemandKey, sku: str, units: int, *, cancelled: bool = False
) -> None:
    """Units of a SKU that a demand line got, or gave up, are not owed to it any more.

    Goods that it got in place of those it is owed leave it owed those.
    """
    if owed_to(overlay, key, sku):
        found = overlay.backorder(key)
        assert found is not None
        found.settle(units, cancelled=cancelled)


def settle_owed(overlay: Overlay, kind: str) -> None:
    """What a fact claimed, shipped or cancelled of an order line is not owed to it any more.

    What was claimed before and only moved on settles nothing.
    """
    if kind not in _SETTLES:
        return
    for key, line in overlay.demand.items():
        before = overlay.books.demand.get((key[0], key[1]), {}).get(key[2])
        more = _covered(line) - (0 if before is None else _covered(before))
        if more > 0:
            promote(overlay, key, line.sku, more, cancelled=kind == "channel_cancel")


def _covered(line: DemandLine) -> int:
    # What was cancelled before it was ordered or claimed is only owed, if anything.
    return line.open + line.shipped + line.cancelled + line.cancel_unmet


def cancel_owed(overlay: Overlay, request: Request, order: str) -> dict[str, int]:
    """Cancels what order lines are owed, before what they claim; units by line.

    All that is owed where the request names no lines, or no quantity of a line.
    """
    asked = {line.line: line.quantity for line in request.lines}
    taken = {}
    for system, ref, line in list(overlay.books.backorders):
        if (system, ref) != (request.system, order) or (asked and line not in asked):
            continue
        owed = owed_to(overlay, (system, ref, line))
        if owed:
            found = overlay.backorder((system, ref, line))
            assert found is not None
            taken[line] = found.settle(asked.get(line) or owed, cancelled=True)
    return taken
