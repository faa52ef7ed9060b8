"""Recorded sales of a wholesaler, with stock and a blind channel laid over them.

The file has lines with invoice, sku, qty, ts and price; it has no stock and no channels. Both are
laid over it, the same in every run: invoices are the channel's own or from elsewhere by a hash of
their number, and a delivery of about a week's sales comes whenever a stock-out is over.
"""

import csv
import datetime as dt
import gzip
import random
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

OWN_PERCENT = 30
DELIVERY_DAYS = 7.0
SERVICES = frozenset(
    {"POST", "DOT", "M", "C2", "D", "S", "BANK CHARGES", "AMAZONFEE", "CRUK", "PADS", "B"}
)


class Line(NamedTuple):
    """A sold line: seconds since the first one, whether the blind channel sold it, weekday hour."""

    at_s: float
    sku: str
    units: int
    own: bool
    at: dt.datetime


def read_lines(path: Path, one_in: int = 1) -> list[Line]:
    """The sales of every SKU of which one in `one_in` is chosen by a hash, in order of time."""
    found: list[Line] = []
    start: dt.datetime | None = None
    with gzip.open(path, "rt", encoding="utf-8") as text:
        for row in csv.DictReader(text):
            sku, units = row["sku"].upper(), int(row["qty"])
            at = dt.datetime.fromisoformat(row["ts"]).replace(tzinfo=dt.UTC)
            start = start or at
            is_sale = units > 0 and float(row["price"]) > 0 and row["invoice"].isdigit()
            if not is_sale or sku in SERVICES or sku.startswith("GIFT"):
                continue
            if zlib.crc32(sku.encode()) % one_in:
                continue
            own = zlib.crc32(row["invoice"].encode()) % 100 < OWN_PERCENT
            found.append(Line((at - start).total_seconds(), sku, units, own, at))
    return found


class Outcome(msgspec.Struct, kw_only=True):
    """What came of a way to buffer. Units are pieces; withheld is the mean over time and SKUs.

    fast counts the stock-outs of the tenth of SKUs with the most lines, as (all, oversold).
    """

    stock_outs: int = 0
    oversold: int = 0
    fast: tuple[int, int] = (0, 0)
    units_oversold: int = 0
    sales_withheld: int = 0
    own_sold: int = 0
    withheld: float = 0.0

    @property
    def rate(self) -> float:
        """The share of stock-outs in which the channel sold what was gone."""
        return self.oversold / self.stock_outs if self.stock_outs else 0.0

    @property
    def fast_rate(self) -> float:
        """The same of the SKUs that sell most often."""
        return self.fast[1] / self.fast[0] if self.fast[0] else 0.0


class _Shelf:
    """One SKU: what is there, and what the channel was not told of yet."""

    def __init__(self, sku: str, per_day: float) -> None:
        # A text seeds the same numbers in every run and for every way to buffer.
        self._chance = random.Random(sku)
        self._per_day = per_day
        self.stock = 0
        self.unseen: list[tuple[float, int]] = []
        self.gone_at: float | None = None
        self.is_oversold = False
        self.seen_at: float | None = None

    def deliver(self) -> None:
        """About a week's sales arrive, and everybody knows."""
        days = DELIVERY_DAYS * (0.5 + self._chance.random())
        self.stock = max(1, round(self._per_day * days))
        self.unseen, self.gone_at, self.is_oversold = [], None, False


def simulate(
    lines: Sequence[Line],
    window_s: float,
    buffer_of: Callable[[int, int], int],
    *,
    from_s: float = 0.0,
) -> Outcome:
    """Sells the lines from shelves, the channel `window_s` late in knowing what others took.

    buffer_of(number of the line, units in stock) is the buffer. Counted from `from_s` on. A line
    from elsewhere takes at most what is there; the channel sells up to the number it shows.
    """
    outcome = Outcome()
    span_s = lines[-1].at_s - lines[0].at_s
    sums: Counter[str] = Counter()
    for line in lines:
        sums[line.sku] += line.units
    often = Counter(line.sku for line in lines).most_common(len(sums) // 10)
    fast = {sku for sku, _ in often}
    shelves = {sku: _Shelf(sku, units * 86_400 / span_s) for sku, units in sums.items()}
    held = 0.0
    for n, line in enumerate(lines):
        shelf = shelves[line.sku]
        counts = line.at_s >= from_s
        if counts and shelf.seen_at is not None and shelf.stock > 0:
            lasted = line.at_s - max(shelf.seen_at, from_s)
            held += lasted * min(buffer_of(n, shelf.stock), shelf.stock)
        shelf.seen_at = line.at_s
        if shelf.gone_at is not None and line.at_s > shelf.gone_at + window_s:
            if counts:
                outcome.stock_outs += 1
                outcome.oversold += shelf.is_oversold
                if line.sku in fast:
                    outcome.fast = (outcome.fast[0] + 1, outcome.fast[1] + shelf.is_oversold)
            shelf.deliver()
        elif shelf.stock <= 0 and shelf.gone_at is None:
            shelf.deliver()
        shelf.unseen = [one for one in shelf.unseen if one[0] > line.at_s]
        _sell(shelf, line, window_s, buffer_of(n, max(0, shelf.stock)), outcome if counts else None)
        if shelf.stock <= 0 and shelf.gone_at is None:
            shelf.gone_at = line.at_s
    outcome.withheld = held / (span_s - from_s) / len(shelves)
    return outcome


def _sell(shelf: _Shelf, line: Line, window_s: float, buffer: int, outcome: Outcome | None) -> None:
    there = max(0, shelf.stock)
    if not line.own:
        units = min(line.units, there)
        if units:
            shelf.unseen.append((line.at_s + window_s, units))
        shelf.stock -= units
        return
    shown = max(0, shelf.stock + sum(units for _, units in shelf.unseen) - buffer)
    units = min(line.units, shown)
    shelf.stock -= units
    shelf.is_oversold = shelf.is_oversold or units > there
    if outcome is not None:
        outcome.own_sold += min(units, there)
        outcome.units_oversold += max(0, units - there)
        outcome.sales_withheld += max(0, min(line.units, there) - units)
