"""Compound demand, against what can be computed or counted in other ways."""

import math
import random

import pytest

from stockwright.domain.compound import (
    chances_of_sum,
    on_cells,
    tail,
    tail_with_last_line,
)

POISSON = 1e9


def test_lines_of_one_unit_are_plain_poisson():
    found = chances_of_sum(3.0, POISSON, {1: 1.0}, 12)
    expected = [math.exp(-3.0) * 3.0**n / math.factorial(n) for n in range(12)]
    assert found == pytest.approx(expected, rel=1e-6)


def test_a_rate_known_from_few_lines_is_negative_binomial():
    found = chances_of_sum(3.0, 2.0, {1: 1.0}, 10)
    p = 2.0 / (2.0 + 3.0)
    expected = [(n + 1) * p**2 * (1 - p) ** n for n in range(10)]
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("lines", "sizes", "cells"),
    [
        (0.5, {1: 0.6, 3: 0.3, 12: 0.1}, 100),
        (40.0, {1: 0.6, 12: 0.4}, 600),
        (900.0, {1: 1.0}, 1_400),
    ],
)
def test_the_mean_is_that_of_lines_times_sizes(lines, sizes, cells):
    found = chances_of_sum(lines, 10_000.0, sizes, cells)
    mean = sum(n * chance for n, chance in enumerate(found))
    assert sum(found) == pytest.approx(1.0, abs=1e-6)
    assert mean == pytest.approx(lines * sum(n * c for n, c in sizes.items()), rel=1e-4)


def test_sizes_on_coarser_cells_keep_their_mean():
    sizes = [(1, 2.0), (7, 1.0), (100, 1.0)]
    cells = on_cells(sizes, 8)
    assert sum(cells.values()) == pytest.approx(1.0)
    assert sum(8 * n * chance for n, chance in cells.items()) == pytest.approx(109 / 4)
    assert on_cells(sizes, 1) == {1: 0.5, 7: 0.25, 100: 0.25}


def test_the_line_that_ends_a_stock_is_one_of_the_larger_and_takes_part_of_itself():
    """Against counting: a stock of 1,000 is drawn down by lines until one takes the last unit."""
    sizes = {1: 0.5, 4: 0.3, 10: 0.2}
    chance = random.Random(3)
    left: dict[int, int] = {}
    times = 20_000
    for _ in range(times):
        stock = 200
        while True:
            line = chance.choices(list(sizes), list(sizes.values()))[0]
            if line >= stock:
                break
            stock -= line
        left[stock] = left.get(stock, 0) + 1
    found = tail_with_last_line(tail([1.0] + [0.0] * 11), sizes)
    for most in range(11):
        counted = sum(count for units, count in left.items() if units > most) / times
        assert found[most] == pytest.approx(counted, abs=4 * math.sqrt(0.25 / times))
