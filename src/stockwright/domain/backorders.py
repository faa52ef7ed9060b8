"""Backorders in the ledger: what goes before a request, and what serves or ends what is owed."""

from collections.abc import Iterable

from stockwright.domain.accounts import DemandLine
from stockwright.domain.books import Overlay
from stockwright.domain.catalog import Channel
from stockwright.domain.owing import LineKey, Queue, Standing, queue


def queue_of(
    overlay: Overlay,
    channel: Channel | None,
    sku: str,
    places: Iterable[str],
    own: LineKey | None = None,
) -> Queue:
    """What is owed of a SKU before, and around, a demand line that asks for it at these places."""
    known = overlay.books.backorders
    pools = {code: one.pool for code, one in overlay.books.catalog.channels.items()}
    found = [overlay.rare.backorders.get(key, one) for key, one in known.items() if one.sku == sku]
    return queue(found, pools, places, channel.demand_class if channel else None, own)


def own_owed(overlay: Overlay, key: LineKey) -> int:
    """Units owed to a demand line itself."""
    one = overlay.rare.backorders.get(key) or overlay.books.backorders.get(key)
    return one.owed if one is not None else 0


def settle_owed(overlay: Overlay, line: DemandLine) -> None:
    """Brings the backorder of a demand line, where it has one, in step with the line."""
    key = (line.system, line.order, line.line)
    stored = overlay.rare.backorders.get(key) or overlay.books.backorders.get(key)
    if stored is None or stored.sku != line.sku or stored.state != "owed":
        return
    one = stored.after(standing_of(line))
    if (one.served, one.cancelled, one.state) != (stored.served, stored.cancelled, stored.state):
        overlay.rare.backorders[key] = one


def standing_of(line: DemandLine) -> Standing:
    """What a demand line says about its backorder."""
    return Standing(
        claimed=line.open + line.shipped,
        cancelled=line.cancelled + line.cancel_unmet,
        held=line.state == "open",
        ended=bool(line.finals) or line.state in ("released", "cancelled"),
    )


def settle_all(overlay: Overlay) -> None:
    """Settles what is owed to every demand line that this item changed."""
    for line in overlay.demand.values():
        settle_owed(overlay, line)
