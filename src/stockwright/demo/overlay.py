"""What the data set lacks, laid over it by rule: sellers, warehouses, opening stock, receipts.

Every choice is a hash of the seed and of a code of the source, so that the same seed gives the same
world whatever part of the file is read. docs/explanation/demo-method.md states the rules.
"""

import datetime as dt
import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple

from stockwright.demo.happenings import Move
from stockwright.demo.lines import Line, meaning

Way = Literal["asks", "tells", "files"]


class Seller(NamedTuple):
    """One of the five sellers; share is its part of all invoices, in percent.

    way: `asks` for a reservation before it promises; `tells` afterwards, by webhook, what it sold
    of the number it shows; `files` does the same through files in a folder.
    """

    code: str
    name: str
    way: Way
    share: int


SELLERS: Final = (
    Seller("webshop", "Web shop", "asks", 30),
    Seller("portal", "B2B portal", "asks", 25),
    Seller("bazaar", "Marketplace Bazaar", "tells", 20),
    Seller("emporium", "Marketplace Emporium", "tells", 15),
    Seller("mailorder", "Mail-order house (files)", "files", 10),
)
REAL: Final[Mapping[str, str]] = {"webshop": "shopify", "bazaar": "amazon"}
"""Sellers that are sandboxes of real partners in the profile `partners`, by their connector."""
REAL_SELLERS: Final = tuple(
    seller._replace(way="tells", name=f"{seller.name} ({REAL[seller.code].title()})")
    if seller.code in REAL
    else seller
    for seller in SELLERS
)
WAREHOUSES: Final = ("NORTH", "SOUTH")
NORTH_PERCENT: Final = 70

HOT_PERCENT: Final = 25
"""The SKUs with the most order lines: this part of all SKUs is `hot` and runs short."""
HOT_SUPPLY_PERCENT: Final = 80
COLD_SUPPLY_PERCENT: Final = 115
DELIVERIES: Final = 12
"""Receipts of one span come in so many lorries, evenly spread over the span's first half."""
SPAN_DAYS: Final = 14
"""Hot SKUs are supplied span by span; a period shorter than two spans is cut in two."""

PASSES_PERCENT: Final = 80
INSPECTED_AFTER: Final = dt.timedelta(hours=2)


class Chance:
    """Repeatable chance: a number from 0 to 99 for a name, other names independent of it."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def percent(self, *name: str) -> int:
        """0..99, always the same for the same seed and name."""
        return self._number(name) % 100

    def fraction(self, *name: str) -> float:
        """0 <= x < 1, always the same for the same seed and name."""
        return self._number(name) / 2**64

    def _number(self, name: Sequence[str]) -> int:
        text = "\x1f".join((str(self.seed), *name))
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


class Demand(NamedTuple):
    """What the lines of a period ask of one SKU, by span of the period."""

    lines: int
    sold: Counter[int]
    lost: int


class Plan(NamedTuple):
    """The stock laid over a period: pieces by SKU at the start, and receipts sorted by time.

    hottest is the SKU that most order lines ask for, '' where there is none.
    """

    opening: dict[str, int]
    receipts: list[Move]
    hot: frozenset[str]
    hottest: str


def seller_of(invoice: str, chance: Chance) -> Seller:
    """The seller an invoice was placed at."""
    drawn = chance.percent("seller", invoice)
    for seller in SELLERS:
        if drawn < seller.share:
            return seller
        drawn -= seller.share
    raise AssertionError("the shares of the sellers do not add up to 100")


def warehouse_of(sku: str, chance: Chance) -> str:
    """The one warehouse that keeps a SKU."""
    return WAREHOUSES[0] if chance.percent("warehouse", sku) < NORTH_PERCENT else WAREHOUSES[1]


def inspected(received: Move, chance: Chance) -> Move:
    """The inspection of a return: two hours later, four of five lines pass."""
    return received._replace(
        at=received.at + INSPECTED_AFTER,
        kind="inspected",
        passes=chance.percent("inspection", received.line) < PASSES_PERCENT,
    )


def plan_stock(lines: Iterable[Line], chance: Chance) -> Plan:
    """Opening stock and receipts for the lines of a period (reads them once, in order)."""
    rows = _stock_lines(lines)
    if not rows:
        return Plan({}, [], frozenset(), "")
    spans = _spans(rows[0][1], rows[-1][1])
    demand = _demand(rows, spans)
    ranked = sorted(demand, key=lambda sku: (-demand[sku].lines, sku))
    hot = frozenset(ranked[: math.ceil(len(ranked) * HOT_PERCENT / 100)])
    opening: dict[str, int] = {}
    receipts: list[Move] = []
    for sku, wanted in sorted(demand.items()):
        if sku in hot:
            opening[sku] = _percent(wanted.sold[0], HOT_SUPPLY_PERCENT) + wanted.lost
            receipts.extend(_receipts(sku, wanted, spans, chance))
        else:
            opening[sku] = _percent(wanted.sold.total(), COLD_SUPPLY_PERCENT) + wanted.lost
    return Plan(opening, sorted(receipts), hot, ranked[0])


_StockLine = tuple[str, dt.datetime, str, int]
_Spans = list[tuple[dt.datetime, dt.datetime]]


def _stock_lines(lines: Iterable[Line]) -> list[_StockLine]:
    """(sku, time, meaning, quantity) of the lines that touch stock: all a plan needs of a year."""
    kept = ((line.sku, line.at, meaning(line), line.quantity) for line in lines)
    return [row for row in kept if row[2] != "none"]


def _spans(first: dt.datetime, last: dt.datetime) -> _Spans:
    count = max(2, (last - first).days // SPAN_DAYS)
    length = (last - first) / count
    return [(first + length * n, first + length * (n + 1)) for n in range(count)]


def _demand(rows: list[_StockLine], spans: _Spans) -> dict[str, Demand]:
    start, length = spans[0][0], (spans[0][1] - spans[0][0]) or dt.timedelta(seconds=1)
    asked: Counter[str] = Counter()
    sold: defaultdict[str, Counter[int]] = defaultdict(Counter)
    lost: Counter[str] = Counter()
    for sku, at, means, quantity in rows:
        lost[sku] += 0
        if means == "sale":
            asked[sku] += 1
            sold[sku][min((at - start) // length, len(spans) - 1)] += quantity
        elif means != "return" and quantity < 0:
            lost[sku] -= quantity
    return {sku: Demand(asked[sku], sold[sku], lost[sku]) for sku in lost}


def _receipts(sku: str, wanted: Demand, spans: _Spans, chance: Chance) -> list[Move]:
    """One receipt in each later span, on one of its lorries."""
    receipts = []
    for n, (start, end) in enumerate(spans[1:], start=1):
        quantity = _percent(wanted.sold[n], HOT_SUPPLY_PERCENT)
        if quantity:
            lorry = int(chance.fraction("lorry", sku, str(n)) * DELIVERIES)
            at = start + (end - start) / 2 * (lorry + 0.5) / DELIVERIES
            receipts.append(
                Move(at, "receipt", f"DELIVERY-{n}-{lorry + 1}", sku, sku, sku, quantity)
            )
    return receipts


def _percent(quantity: int, percent: int) -> int:
    return math.ceil(quantity * percent / 100)
