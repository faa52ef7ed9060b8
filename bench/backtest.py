"""`backtest`: the risk-bounded buffer on a year of real sales, against buffers of the same cost.

    STOCKWRIGHT_RETAIL_CSV=online_retail.csv.gz python -m bench backtest
    python -m bench.backtest online_retail.csv.gz

No measure of speed: how many of the stock-outs were oversold against the risk asked for. Buffers
know only sales before the moment; "the same cost" is the same units withheld on average.
"""

import datetime as dt
import json
import os
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from bench.measure import Measure, measured, tell
from bench.retail import Line, Outcome, read_lines, simulate
from stockwright.domain.demand_seen import (
    HOURS,
    Tally,
    busy_factor,
    hour_of_week,
    observed_s,
    prior,
)
from stockwright.domain.risk import Case, Demand, Source, smallest_buffer

CSV_VARIABLE = "STOCKWRIGHT_RETAIL_CSV"
RISKS = (0.01, 0.02, 0.05, 0.10)
WINDOW_S = 3_600.0
ONE_IN = 4
LEARN_S = 30 * 86_400.0
"""The first month is learned from and not counted."""
AGAIN_S = 7 * 86_400.0
"""A SKU's buffer is computed again once a week, where it sells."""
OWN, ELSEWHERE = ("shop", "shop"), ("rest", "")


class Way(msgspec.Struct, kw_only=True):
    """A way to buffer, and what came of it. oversold_percent is of the stock-outs.

    fast_percent is the same of the tenth of SKUs that sell most often.
    """

    way: str
    oversold_percent: float
    stock_outs: int
    fast_percent: float
    fast_stock_outs: int
    units_oversold: int
    withheld_per_sku: float
    sales_withheld: int
    own_sold: int


class Compared(msgspec.Struct, kw_only=True):
    """One risk, and other ways of the same cost."""

    risk_percent: float
    ways: list[Way]


class Backtest(msgspec.Struct, kw_only=True):
    """All of it."""

    window_s: float
    one_sku_in: int
    lines: int
    skus: int
    bare: Way
    compared: list[Compared]


class Learned:
    """What is known at a moment: demand by SKU and source, of all together, and the week."""

    def __init__(self) -> None:
        self.tallies: dict[tuple[str, tuple[str, str]], Tally] = {}
        self.since: dict[str, dt.datetime] = {}
        self.hours = [0.0] * HOURS

    def learn(self, line: Line) -> None:
        source = OWN if line.own else ELSEWHERE
        self.since.setdefault(line.sku, line.at)
        for key in ((line.sku, source), ("", source)):
            tally = self.tallies.get(key)
            if tally is None:
                tally = self.tallies[key] = Tally(as_of=line.at)
            tally.add(line.at, line.units)
        self.hours[hour_of_week(line.at)] += 1.0

    def case(self, sku: str, now: dt.datetime, began: dt.datetime, window_s: float) -> Case:
        together = {
            source: self.tallies["", source].aged(now)
            for source in (OWN, ELSEWHERE)
            if ("", source) in self.tallies
        }
        believed = prior(together, len(self.since), observed_s(began, now))
        demand = {}
        for source in (OWN, ELSEWHERE):
            seen = Demand()
            if (sku, source) in self.tallies:
                sizes = self.tallies[sku, source].aged(now)
                seen = Demand(lines=sum(sizes), sizes=sizes)
            watched_s = observed_s(self.since.get(sku, now), now)
            seen = msgspec.structs.replace(seen, observed_s=watched_s)
            demand[source] = seen.plus(believed.get(source, Demand()))
        return Case(
            risk=0.5,
            elsewhere=[Source(demand=demand[ELSEWHERE], window_s=window_s)],
            own=demand[OWN],
            busy=busy_factor(self.hours),
        )


def buffers_in_time(
    lines: Sequence[Line], window_s: float, risks: Sequence[float]
) -> dict[float, list[int]]:
    """For each risk, the buffer in force at each line, from what was known before it."""
    learned = Learned()
    held: dict[str, dict[float, int]] = {}
    due: dict[str, float] = {}
    found: dict[float, list[int]] = {risk: [] for risk in risks}
    for n, line in enumerate(lines):
        if line.at_s >= due.get(line.sku, 0.0) or line.sku not in held:
            due[line.sku] = line.at_s + AGAIN_S
            case = learned.case(line.sku, line.at, lines[0].at, window_s)
            mine = held.setdefault(line.sku, {})
            for risk in risks:
                asked = msgspec.structs.replace(case, risk=risk)
                mine[risk] = smallest_buffer(asked, before=mine.get(risk)).units
        for risk in risks:
            found[risk].append(held[line.sku][risk])
        learned.learn(line)
        if n % 20_000 == 0:
            tell(f"backtest: {n:,} of {len(lines):,} lines")
    return found


def of_lines(buffers: Sequence[int]) -> Callable[[int, int], int]:
    """A buffer for each line."""
    return lambda n, _stock: buffers[n]


def fixed(lines: Sequence[Line], buffer: float) -> Callable[[int, int], int]:
    """The same buffer for all; of 2.3, three SKUs in ten get 3 and the others 2."""
    whole, part = int(buffer), buffer - int(buffer)
    more = {
        sku: whole + (zlib.crc32(sku.encode()) // 7 % 1_000 < part * 1_000)
        for sku in {line.sku for line in lines}
    }
    return lambda n, _stock: more[lines[n].sku]


def percent(share: float) -> Callable[[int, int], int]:
    """A share of what is in stock, rounded up."""
    return lambda _n, stock: -int(-stock * share // 100)


def of_the_same_cost(
    way: Callable[[float], Outcome], withheld: float, most: float
) -> tuple[float, Outcome]:
    """The setting of a way that withholds as much, found by halving; and its outcome."""
    low, high = 0.0, most
    for _ in range(14):
        middle = (low + high) / 2
        outcome = way(middle)
        low, high = (middle, high) if outcome.withheld < withheld else (low, middle)
    return middle, outcome


def backtest(
    path: Path, *, one_in: int = ONE_IN, window_s: float = WINDOW_S, risks: Sequence[float] = RISKS
) -> Backtest:
    """Compares ways to buffer on the sales of a file."""
    lines = read_lines(path, one_in)
    skus = len({line.sku for line in lines})
    tell(f"backtest: {len(lines):,} lines of {skus:,} SKUs, blind for {window_s:,.0f} s")
    buffers = buffers_in_time(lines, window_s, risks)

    def played(buffer_of: Callable[[int, int], int]) -> Outcome:
        return simulate(lines, window_s, buffer_of, from_s=LEARN_S)

    compared = []
    for risk in risks:
        ours = played(of_lines(buffers[risk]))
        flat, flat_outcome = of_the_same_cost(
            lambda buffer: played(fixed(lines, buffer)), ours.withheld, 5_000.0
        )
        share, share_outcome = of_the_same_cost(
            lambda setting: played(percent(setting)), ours.withheld, 100.0
        )
        compared.append(
            Compared(
                risk_percent=100 * risk,
                ways=[
                    _way(f"risk-bounded at {100 * risk:g} %", ours),
                    _way(f"fixed at {flat:.1f} units", flat_outcome),
                    _way(f"{share:.1f} % of stock", share_outcome),
                ],
            )
        )
        tell(f"backtest: {json.dumps(msgspec.to_builtins(compared[-1]))}")
    return Backtest(
        window_s=window_s,
        one_sku_in=one_in,
        lines=len(lines),
        skus=skus,
        bare=_way("no buffer", played(lambda _n, _stock: 0)),
        compared=compared,
    )


def _way(name: str, outcome: Outcome) -> Way:
    return Way(
        way=name,
        oversold_percent=round(100 * outcome.rate, 2),
        stock_outs=outcome.stock_outs,
        fast_percent=round(100 * outcome.fast_rate, 2),
        fast_stock_outs=outcome.fast[0],
        units_oversold=outcome.units_oversold,
        withheld_per_sku=round(outcome.withheld, 2),
        sales_withheld=outcome.sales_withheld,
        own_sold=outcome.own_sold,
    )


def measure(_server: str) -> Iterator[Measure]:
    """Stock-outs oversold in a year of real sales, against a fixed buffer of the same cost."""
    path = os.environ.get(CSV_VARIABLE, "")
    if not path:
        tell(f"backtest: left out; name the file of sales in {CSV_VARIABLE}")
        return
    for one in backtest(Path(path)).compared:
        ours, flat, _ = one.ways
        yield measured(
            f"backtest_{one.risk_percent:g}_percent",
            ours.oversold_percent,
            baseline=flat.oversold_percent or None,
            unit="% of stock-outs",
        )


def main(arguments: Sequence[str]) -> int:
    if not 1 <= len(arguments) <= 3:
        tell("python -m bench.backtest FILE [one SKU in so many] [window in seconds]")
        return 2
    one_in = int(arguments[1]) if len(arguments) > 1 else ONE_IN
    window_s = float(arguments[2]) if len(arguments) > 2 else WINDOW_S
    found = backtest(Path(arguments[0]), one_in=one_in, window_s=window_s)
    print(json.dumps(msgspec.to_builtins(found), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
