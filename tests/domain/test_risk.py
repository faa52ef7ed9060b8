"""The risk-bounded buffer keeps the risk it is asked to keep, as counted in simulated run-downs."""

import math
import random
from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stockwright.domain.demand_seen import PRIOR_LINES, busy_factor, prior
from stockwright.domain.line_sizes import BOUNDS, bucket_of
from stockwright.domain.risk import (
    LOWER_AT,
    Buffer,
    Case,
    Demand,
    Source,
    chance_of,
    smallest_buffer,
)

EXACT = 1e9
"""So many lines seen that the rate is known exactly."""


class Stream(NamedTuple):
    """Lines a second, the chance of each size, and for how long the channel does not see them."""

    per_s: float
    sizes: dict[int, float]
    window_s: float = 0.0

    def seen(self, lines: float = EXACT) -> Demand:
        sizes = [0.0] * len(BOUNDS)
        for units, chance in self.sizes.items():
            sizes[bucket_of(units)] += chance * lines
        return Demand(lines=lines, observed_s=lines / self.per_s, sizes=tuple(sizes))


def case_of(risk: float, elsewhere: Sequence[Stream], own: Stream) -> Case:
    sources = [Source(demand=one.seen(), window_s=one.window_s) for one in elsewhere]
    return Case(risk=risk, elsewhere=sources, own=own.seen())


def run_down(
    chance: random.Random, stock: int, elsewhere: Sequence[Stream], own: Stream, buffer: int
) -> bool:
    """Sells a stock out; whether the channel sold units that were gone.

    Elsewhere takes what there is at most. The channel sells up to the number it shows: what it
    knows of the stock, less the buffer. It knows its own sales at once, the others after a window.
    """
    streams = [*elsewhere, own]
    rates = [one.per_s for one in streams]
    longest_s = max(one.window_s for one in elsewhere)
    now, gone_at = 0.0, None
    unseen: list[tuple[float, int]] = []
    while gone_at is None or now <= gone_at + longest_s:
        now += chance.expovariate(sum(rates))
        unseen = [one for one in unseen if one[0] > now]
        stream = chance.choices(streams, rates)[0]
        units = chance.choices(list(stream.sizes), list(stream.sizes.values()))[0]
        if stream is own:
            units = min(units, max(0, stock + sum(one[1] for one in unseen) - buffer))
            if units > stock:
                return True
        else:
            units = min(units, stock)
            unseen.append((now + stream.window_s, units))
        stock -= units
        if stock <= 0 and gone_at is None:
            gone_at = now
    return False


ONES = {1: 1.0}
MIXED = {1: 0.7, 6: 0.2, 24: 0.1}
WORLDS = [
    # (what it shows, risk, demand from elsewhere, the channel's own, stock at the beginning)
    ("one line a window", 0.05, [Stream(1 / 600, ONES, 600)], Stream(1 / 600, ONES), 30),
    ("ten lines a window", 0.05, [Stream(1 / 60, ONES, 600)], Stream(1 / 60, ONES), 60),
    ("lines of many sizes", 0.05, [Stream(1 / 60, MIXED, 600)], Stream(1 / 300, MIXED), 400),
    ("a slow channel", 0.02, [Stream(1 / 60, ONES, 600)], Stream(1 / 7200, ONES), 40),
    ("mostly its own sales", 0.02, [Stream(1 / 3600, ONES, 600)], Stream(1 / 60, MIXED), 80),
    (
        "two sources, one far staler",
        0.05,
        [Stream(1 / 60, ONES, 120), Stream(1 / 600, {12: 1.0}, 1800)],
        Stream(1 / 100, {1: 0.5, 3: 0.5}),
        120,
    ),
]


@pytest.mark.parametrize(
    ("risk", "elsewhere", "own", "stock"),
    [world[1:] for world in WORLDS],
    ids=[world[0] for world in WORLDS],
)
def test_at_most_the_configured_share_of_stock_outs_is_oversold(risk, elsewhere, own, stock):
    case = case_of(risk, elsewhere, own)
    buffer = smallest_buffer(case)
    assert buffer.chance <= risk
    chance, times = random.Random(11), 3_000
    sold = sum(run_down(chance, stock, elsewhere, own, buffer.units) for _ in range(times))
    # Three standard errors of a share at the risk itself.
    assert sold / times <= risk + 3 * math.sqrt(risk * (1 - risk) / times)
    # And the buffer is needed: without it far more are oversold than the risk allows.
    bare = sum(run_down(chance, stock, elsewhere, own, 0) for _ in range(1_000)) / 1_000
    assert (bare > 2 * risk) == (buffer.units > 0)


def test_the_bound_is_near_what_happens_where_both_sell_alike():
    elsewhere, own = [Stream(1 / 60, MIXED, 600)], Stream(1 / 300, ONES)
    case = case_of(0.05, elsewhere, own)
    buffer = smallest_buffer(case).units
    chance, times = random.Random(5), 3_000
    counted = sum(run_down(chance, 400, elsewhere, own, buffer) for _ in range(times)) / times
    assert 0.02 < counted <= 0.062, "a buffer much too large would withhold sales for nothing"


def test_a_rate_that_few_lines_tell_is_believed_with_the_doubt_it_deserves():
    """SKUs whose true rates differ: buffers from five lines each keep the risk over all of them."""
    chance, risk, window_s = random.Random(17), 0.05, 3_600.0
    observed_s = 5 * 3_600.0
    sold = stock_outs = 0
    for _ in range(1_500):
        # Gamma(1) rates, of which Poisson many lines were seen: the model's own prior.
        rate = chance.gammavariate(1.0, 1 / 3_600)
        seen = _poisson(chance, rate * observed_s)
        told = Demand(
            lines=1.0 + seen,
            observed_s=3_600.0 + observed_s,
            sizes=(1.0 + seen, *[0.0] * (len(BOUNDS) - 1)),
        )
        own = Stream(1 / 1_800, ONES)
        case = Case(risk=risk, elsewhere=[Source(demand=told, window_s=window_s)], own=own.seen())
        buffer = smallest_buffer(case).units
        # A SKU that sells faster runs out more often: that is what `per stock-out` counts.
        for _ in range(_poisson(chance, 2.0 * rate * 3_600)):
            stock_outs += 1
            sold += run_down(chance, 40, [Stream(rate, ONES, window_s)], own, buffer)
    assert stock_outs > 1_500
    assert sold / stock_outs <= risk + 3 * math.sqrt(risk * (1 - risk) / stock_outs)


def _poisson(chance: random.Random, mean: float) -> int:
    count, left = 0, chance.expovariate(1.0)
    while left < mean:
        count, left = count + 1, left + chance.expovariate(1.0)
    return count


CASE = case_of(0.05, [Stream(1 / 60, MIXED, 600)], Stream(1 / 300, ONES))


def replaced(**changes) -> Case:
    return Case(
        **{
            "risk": CASE.risk,
            "elsewhere": CASE.elsewhere,
            "own": CASE.own,
            "busy": CASE.busy,
            **changes,
        }
    )


def test_never_more_than_the_most_and_then_the_chance_that_is_left_is_told():
    free = smallest_buffer(CASE)
    capped = smallest_buffer(CASE, most=10)
    assert capped.units == 10 < free.units
    assert capped.chance == pytest.approx(chance_of(CASE, 10))
    assert capped.chance > CASE.risk


def test_nothing_is_held_back_where_nothing_can_go_wrong():
    assert smallest_buffer(replaced(elsewhere=[])).units == 0
    assert smallest_buffer(replaced(own=Demand())).units == 0
    blind = [Source(demand=CASE.elsewhere[0].demand, window_s=0.0)]
    assert smallest_buffer(replaced(elsewhere=blind)) == Buffer(units=0, chance=0.0)


def test_a_buffer_rises_at_once_and_falls_only_where_the_smaller_one_holds_with_room():
    needed = smallest_buffer(CASE).units
    assert smallest_buffer(CASE, before=needed - 5).units == needed
    assert smallest_buffer(CASE, before=needed + 1).units == needed + 1, "not worth a change"
    fallen = smallest_buffer(CASE, before=3 * needed)
    assert fallen.units < 3 * needed
    assert fallen.chance <= CASE.risk * LOWER_AT


def test_one_line_more_or_less_does_not_make_it_flap():
    stream = Stream(1 / 60, ONES, 600)
    held, changes = None, 0
    for turn in range(40):
        seen = stream.seen(lines=400 + 4 * (turn % 2))
        case = Case(
            risk=0.02,
            elsewhere=[Source(demand=seen, window_s=600)],
            own=Stream(1 / 60, ONES).seen(lines=400),
        )
        units = smallest_buffer(case, before=held).units
        changes += held is not None and units != held
        held = units
    assert changes <= 1


rates = st.floats(1e-6, 0.1)
windows = st.floats(1.0, 7_200.0)


@settings(max_examples=40, deadline=None)
@given(rates, windows, rates, st.sampled_from([0.005, 0.02, 0.1]), st.floats(1.0, 5_000.0))
def test_more_of_anything_bad_never_needs_a_smaller_buffer(rate, window_s, own, risk, seen):
    def needed(**changes):
        now = {"rate": rate, "window_s": window_s, "risk": risk, "busy": 1.0, **changes}
        stream = Stream(now["rate"], MIXED, now["window_s"])
        case = Case(
            risk=now["risk"],
            elsewhere=[Source(demand=stream.seen(seen), window_s=stream.window_s)],
            own=Stream(own, ONES).seen(seen),
            busy=now["busy"],
        )
        return smallest_buffer(case).units

    units = needed()
    # Cells of several units are as exact as a hundredth of the buffer.
    slack = math.ceil(units / 40)
    assert needed(window_s=2 * window_s) >= units - slack
    assert needed(busy=2.0) >= units - slack
    assert needed(risk=risk / 2) >= units - slack


def test_a_new_sku_is_expected_to_sell_as_its_group_does():
    sizes = [0.0] * len(BOUNDS)
    sizes[bucket_of(2)] = 90.0
    other = [0.0] * len(BOUNDS)
    other[bucket_of(1)] = 30.0
    found = prior({("web", "web"): tuple(sizes), ("pos", ""): tuple(other)}, 10, 1_000.0)
    assert sum(one.lines for one in found.values()) == pytest.approx(PRIOR_LINES)
    assert found["web", "web"].per_s == pytest.approx(90 / 10 / 1_000)
    assert found["pos", ""].per_s == pytest.approx(30 / 10 / 1_000)
    assert prior({}, 10, 1_000.0) == {}


def test_lines_that_come_in_few_hours_come_faster_there():
    assert busy_factor([1.0] * 168) == pytest.approx(1.0)
    assert busy_factor([4.0] * 42 + [0.0] * 126) == pytest.approx(4.0)
    assert busy_factor([0.0] * 168) == 1.0
