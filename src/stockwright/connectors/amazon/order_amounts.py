"""What is paid back for units of an order: their share of what each item cost, or what is asked."""

from collections.abc import Mapping, Sequence
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from typing import Final

from stockwright.connectors.amazon.order_feed_forms import Adjusted
from stockwright.connectors.amazon.order_forms import KnownLine, KnownOrder
from stockwright.sdk.messages import Cancellation, Refund, Refused

CENT: Final = Decimal("0.01")
WHOLE: Final = frozenset({"JPY"})
"""Currencies without a smaller part, of those that Amazon's shops are in."""


class Refusal(Exception):
    """Amazon would not have it, as can be told before it is asked. Stays inside."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.told = Refused(reason=reason, message=message)


def units_of(document: Cancellation | Refund, order: KnownOrder) -> Mapping[str, int]:
    """Units by item; a cancellation without lines is all that was not sent. Raises Refusal.

    Only what was not sent can be cancelled.
    """
    if isinstance(document, Cancellation) and not document.lines:
        open_ = {item: one.ordered - one.shipped for item, one in order.lines.items()}
        left = {item: most for item, most in open_.items() if most > 0}
        if not left:
            raise Refusal("shipped", "all of the order was sent: pay it back instead")
        return left
    found: dict[str, int] = {}
    for line in document.lines:
        if line.line not in order.lines:
            raise Refusal("unknown_line", f"the order has no item {line.line!r}")
        found[line.line] = found.get(line.line, 0) + line.quantity
    for item, units in found.items():
        one = order.lines[item]
        most = one.ordered - (one.shipped if isinstance(document, Cancellation) else 0)
        if not 0 < units <= most:
            message = f"{units} of item {item} are asked for, of at most {most}"
            raise Refusal("too_many", message)
    if not found:
        raise Refusal("unknown_line", "a refund names the items it pays back")
    return found


def with_amounts(
    units: Mapping[str, int], order: KnownOrder, refund: Refund | None = None
) -> tuple[Sequence[Adjusted], str]:
    """What is paid back for units, and its currency. Raises Refusal.

    Where a refund names an amount it is spread over its items by what they cost, the price before
    the tax.
    """
    lines = {item: order.lines[item] for item in units}
    if any(one.price is None or one.price < 0 or one.tax < 0 for one in lines.values()):
        raise Refusal("no_price", "Amazon tells no price of these items: use Seller Central")
    currency, *others = {one.currency for one in lines.values()}
    if others:
        raise Refusal("currency", "Amazon tells these items in several currencies")
    cent = Decimal(1) if currency in WHOLE else CENT
    rows = [_share(item, units[item], one, cent) for item, one in lines.items()]
    if refund is None or refund.amount is None:
        return rows, currency
    if refund.currency and refund.currency != currency:
        raise Refusal("currency", f"the order is in {currency}, not in {refund.currency}")
    most = sum((row.principal + row.tax for row in rows), Decimal(0))
    if not refund.amount.is_finite() or not 0 < refund.amount <= most:
        raise Refusal("amount", f"{refund.amount} is asked for, of at most {most} {currency}")
    if refund.amount % cent:
        raise Refusal("amount", f"{refund.amount} is asked for, and {currency} has no such part")
    return _spread(rows, refund.amount.quantize(cent), most, cent), currency


def _share(item: str, units: int, line: KnownLine, cent: Decimal) -> Adjusted:
    part = Decimal(units) / max(1, line.ordered)

    def of(amount: Decimal) -> Decimal:
        return (amount * part).quantize(cent, ROUND_HALF_UP)

    return Adjusted(item, units, of(line.price or Decimal(0)), of(line.tax))


def _spread(
    rows: Sequence[Adjusted], amount: Decimal, most: Decimal, cent: Decimal
) -> list[Adjusted]:
    """Rows that come to an amount, each as far as its own share goes; the last ones take the rest
    of the rounding.
    """
    owns = [row.principal + row.tax for row in rows]
    parts = [(amount * own / most).quantize(cent, ROUND_DOWN) for own in owns]
    left = amount - sum(parts, Decimal(0))
    for n in reversed(range(len(rows))):
        more = min(left, owns[n] - parts[n])
        parts[n] += more
        left -= more
    return [
        Adjusted(row.item, row.units, min(part, row.principal), part - min(part, row.principal))
        for row, part in zip(rows, parts, strict=True)
    ]
