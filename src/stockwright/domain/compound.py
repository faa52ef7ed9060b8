"""Compound demand: a random number of lines, each of a random size, summed over a window.

The number of lines is negative binomial: Poisson at a rate that is itself known only as a Gamma
distribution. Its `shape` says how well it is known; a large one is plain Poisson. The sum is
computed by Panjer's recursion (H. H. Panjer, "Recursive evaluation of a family of compound
distributions", ASTIN Bulletin 12, 1981, 22-26), on cells of `step` units each.
"""

import math
from collections.abc import Sequence
from typing import Final

_LOWEST_LOG: Final = -600.0


def on_cells(sizes: Sequence[tuple[int, float]], step: int) -> dict[int, float]:
    """(units, weight) as chances by cell. A size between two cells is shared so that the mean
    stays; sizes of `step` 1 stay what they are.
    """
    whole = sum(weight for _, weight in sizes)
    cells: dict[int, float] = {}
    for units, weight in sizes:
        low, rest = divmod(units, step)
        upper = rest / step
        for cell, share in ((low, 1.0 - upper), (low + 1, upper)):
            if share and weight:
                cells[cell] = cells.get(cell, 0.0) + share * weight / whole
    return cells


def chances_of_sum(
    lines: float, shape: float, line_cells: dict[int, float], cells: int
) -> list[float]:
    """The chance that demand sums to 0, 1, ... `cells` - 1 cells.

    lines is the mean number of lines, line_cells the chance of each size in cells.
    """
    if lines <= 0.0 or not line_cells:
        return [1.0] + [0.0] * (cells - 1)
    over = lines / shape
    none = line_cells.get(0, 0.0)
    log_of_none = -shape * math.log1p(over * (1.0 - none))
    if log_of_none < _LOWEST_LOG:
        # Too small for a float: demand of half the lines at half the shape, twice.
        half = chances_of_sum(lines / 2, shape / 2, line_cells, cells)
        return _convolved(half, half)
    a, b = over / (1.0 + over), (shape - 1.0) * over / (1.0 + over)
    jumps = sorted((size, chance) for size, chance in line_cells.items() if size)
    scale = 1.0 / (1.0 - a * none)
    found = [math.exp(log_of_none)]
    for total in range(1, cells):
        sum_ = 0.0
        for size, chance in jumps:
            if size > total:
                break
            sum_ += (a + b * size / total) * chance * found[total - size]
        found.append(scale * sum_)
    return found


def _convolved(first: list[float], second: list[float]) -> list[float]:
    """Chances of the sum of two, cut at the length of the first."""
    out = [0.0] * len(first)
    for n, one in enumerate(first):
        if one > 0.0:
            for m in range(len(first) - n):
                out[n + m] += one * second[m]
    return out


def tail(chances: Sequence[float]) -> list[float]:
    """The chance of more than 0, 1, ... cells."""
    left = 1.0
    out = []
    for chance in chances:
        left -= chance
        out.append(max(0.0, left))
    return out


def tail_with_last_line(tails: Sequence[float], line_cells: dict[int, float]) -> list[float]:
    """The chance that demand and what the last line took of the rest are more than 0, 1, ... cells.

    tails is that of the demand alone. What was left before the line that takes the last unit is r
    with chance P(size >= r) / mean size, r = 1, 2, ...: the equilibrium distribution of renewal
    theory. Larger lines end a stock more often than smaller ones.
    """
    mean = sum(size * chance for size, chance in line_cells.items())
    if mean <= 0.0:
        return list(tails)
    out = []
    # sums[n] is the sum of the tails before n; below zero cells, demand surely is more.
    sums = [0.0]
    for chance in tails:
        sums.append(sums[-1] + chance)
    for most in range(len(tails)):
        total = 0.0
        for size, chance in line_cells.items():
            # The sum over r = 1 .. size of P(demand > most - r).
            first = max(0, most - size)
            within = sums[most] - sums[first]
            total += chance * (within + max(0, size - most))
        out.append(min(1.0, total / mean))
    return out
