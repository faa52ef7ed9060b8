"""Listings of several SKUs, kits, safety stock per place and shelf life: the worked examples."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockwright.domain.availability import (
    Component,
    Kit,
    Stock,
    available_to_sell,
    explain_grantable,
    free,
    sets_together,
)
from stockwright.domain.backorders import Owed
from stockwright.domain.exposure import Policy
from stockwright.domain.shelf_life import Lots, good_until, room
from tests.domain.test_availability import assert_adds_up, components, steps, units


def at(**units_at):
    return [Stock(location=place, sellable=units) for place, units in units_at.items()]


def part(sku, quantity, policy=None, **units_at):
    return Component(sku=sku, quantity=quantity, places=at(**units_at), policy=policy or Policy())


SETS = [
    # (what it shows, components, sets where an order may be split, sets where it may not)
    ("all parts at one place", [part("F", 1, A=3), part("W", 2, A=7)], 3, 3),
    ("parts at different places", [part("F", 1, A=5, B=0), part("W", 2, A=0, B=10)], 5, 0),
    (
        "what makes no set at either place",
        [part("F", 1, A=2, B=2), part("W", 2, A=3, B=3)],
        3,
        2,
    ),
    ("a multipack over two places", [part("S", 6, A=5, B=7)], 2, 1),
    (
        "a shortage at one place counts against the rest",
        [part("F", 1, A=-1, B=5), part("W", 1, A=9, B=9)],
        4,
        4,
    ),
    (
        "a shortage that breaks a set takes a whole one",
        [part("S", 6, A=-1, B=12)],
        1,
        1,
    ),
    ("all short", [part("F", 1, A=-3), part("W", 1, A=9)], 0, 0),
    ("a part that lies nowhere", [part("F", 1, A=3), part("W", 2)], 0, 0),
]


@pytest.mark.parametrize(
    ("parts", "split", "whole"), [row[1:] for row in SETS], ids=[row[0] for row in SETS]
)
def test_how_many_sets_there_are(parts, split, whole):
    assert available_to_sell(parts).result == split
    assert available_to_sell(parts, allow_split=False).result == whole


def test_the_step_over_places_says_how_many_sets_lie_at_each():
    parts = [part("F", 1, A=2, B=4), part("W", 2, A=6, B=3)]
    explained = available_to_sell(parts, allow_split=False)
    assert sets_together(parts) == {"A": 2, "B": 1}
    assert (explained.sku, explained.result) == ("F", 3)
    assert [(s.name, s.amount) for s in explained.steps][-1] == ("places", -3)
    assert explained.steps[-1].why == "whole sets that lie together: A 2, B 1"


def test_a_single_sku_may_come_from_anywhere_piece_by_piece():
    explained = available_to_sell([part("S", 1, A=5, B=7)], allow_split=False)
    assert [step.name for step in explained.steps] == ["free", "free"]


SAFETY = [
    # (policy, steps after free at A 10, B 3, C -2, result)
    (Policy(safety=4), [("safety", -4, 7)], 7),
    (
        Policy(safety=4, safety_per="place"),
        [("safety", -4, 7), ("safety", -3, 4), ("safety", 0, 4)],
        4,
    ),
    (
        Policy(safety=4, safety_per="place", hard_safety=9),
        [("safety", -4, 7), ("safety", -3, 4), ("safety", 0, 4), ("safety", -2, 2)],
        2,
    ),
    (Policy(safety_per="place", hard_safety=9), [("safety", -9, 2)], 2),
]


@pytest.mark.parametrize(("policy", "expected", "result"), SAFETY)
def test_safety_stock_is_kept_once_or_at_every_place(policy, expected, result):
    explained = available_to_sell([part("S", 1, policy, A=10, B=3, C=-2)])
    assert steps(explained)[3:] == expected
    assert explained.result == result


def test_safety_at_a_place_leaves_its_sets_fewer():
    """A could give 2 frames and B 4, were it not for one kept at each; wheels there are enough."""
    kept = Policy(safety=1, safety_per="place")
    parts = [part("F", 1, kept, A=2, B=4), part("W", 2, A=9, B=9)]
    assert sets_together(parts) == {"A": 1, "B": 3}
    assert available_to_sell(parts, allow_split=False).result == 4


def test_what_is_withheld_is_taken_first_from_what_makes_no_set():
    parts = [part("F", 1, Policy(buffer=3), A=5), part("W", 2, A=4)]
    assert available_to_sell(parts, allow_split=False).result == 2


KITS = [
    # (ready-made kits, alone on the listing, its steps, result); parts make 4
    (0, True, [], 4),
    (3, True, [("assembled", 3)], 7),
    (3, False, [], 4),
    (-3, True, [("assembled", -3)], 1),
    (-3, False, [("assembled", -3)], 1),
]


@pytest.mark.parametrize(("ready", "alone", "expected", "result"), KITS)
def test_a_kit_is_ready_made_or_made_of_its_parts(ready, alone, expected, result):
    kit = Kit(component=part("KIT", 1, A=ready), alone=alone)
    explained = available_to_sell([part("F", 1, A=4), part("W", 2, A=9)], kits=[kit])
    assert [(s.name, s.amount) for s in explained.steps if s.name == "assembled"] == expected
    assert explained.result == result
    assert_adds_up(explained)


def test_a_ready_made_kit_is_withheld_by_its_own_row_and_its_parts_by_theirs():
    kit = Kit(component=part("KIT", 1, Policy(buffer=2), A=3))
    explained = available_to_sell([part("F", 1, Policy(buffer=1), A=4)], kits=[kit])
    assert explained.result == 3 + 1


def test_cap_and_packs_of_a_kit_are_those_of_its_own_row():
    made = Component(sku="F", places=at(A=9), policy=Policy(cap=2), pieces=Policy(cap=5))
    assert available_to_sell([made]).result == 5


def test_what_is_owed_is_shown_to_nobody_and_granted_to_nobody():
    asked = Component(sku="S", places=at(A=10), owed=Owed(units=7, lines=2))
    assert steps(available_to_sell([asked])) == [("free", 10, 10), ("backorder", -7, 3)]
    assert explain_grantable(asked).result == 3
    assert explain_grantable(asked).steps[1].why == "7 owed on 2 order lines that come first"


TODAY = dt.date(2026, 11, 26)
SHELF = [
    # (free, lots as (days left, units), promised as (days, units), days asked for, room)
    (15, [(30, 10), (200, 5)], [], 60, 5),
    (15, [(30, 10), (200, 5)], [], 30, 15),
    (15, [(None, 5), (30, 10)], [], 60, 5),
    # A promise of freshness takes from the same lots; one that asks for less may not be pushed out.
    (11, [(30, 10), (200, 5)], [(90, 4)], 60, 1),
    (3, [(30, 10), (200, 5)], [(20, 12)], 60, 3),
    # What is free is the most; a shortage stays one.
    (2, [(200, 5)], [], 60, 2),
    (-4, [(200, 5)], [], 60, -4),
    (5, [(200, -2), (30, 7)], [], 60, -2),
    (0, [], [], 60, 0),
]


@pytest.mark.parametrize(("free_units", "lots", "asked", "days", "expected"), SHELF)
def test_only_lots_with_the_days_asked_for_count(free_units, lots, asked, days, expected):
    here = Lots(
        lots=[(good_until(TODAY, left) if left is not None else None, n) for left, n in lots],
        asked={good_until(TODAY, left): n for left, n in asked},
    )
    assert room(free_units, here, good_until(TODAY, days)) == expected


def test_a_lot_counts_on_the_last_day_it_has_the_days_and_not_on_the_next():
    here = Lots(lots=[(dt.date(2026, 12, 26), 5)])
    assert room(5, here, good_until(TODAY, 30)) == 5
    assert room(5, here, good_until(TODAY + dt.timedelta(days=1), 30)) == 0


def test_too_short_a_shelf_life_is_a_step_of_its_own():
    stock = Stock(location="A", sellable=15, reserved=2, fresh=5)
    asked = Component(sku="L", places=[stock])
    assert free(stock) == 13
    assert steps(available_to_sell([asked])) == [("free", 13, 13), ("shelf_life", -8, 5)]
    assert steps(explain_grantable(asked)) == [("free", 13, 13), ("shelf_life", -8, 5)]


policies = st.builds(
    Policy,
    safety=units,
    safety_per=st.sampled_from(["network", "place"]),
    hard_safety=units,
    buffer=units,
    cap=st.none() | units,
    pack_size=st.integers(1, 5),
)
stocks = st.builds(
    lambda location, sellable, reserved, short: Stock(
        location=location,
        sellable=sellable,
        reserved=reserved,
        fresh=None if short is None else sellable - reserved - short,
    ),
    st.sampled_from("ABC"),
    st.integers(-100, 300),
    st.integers(0, 100),
    st.none() | st.integers(0, 50),
)
parts_of_sets = st.lists(
    st.builds(
        Component,
        sku=st.sampled_from(["S", "T"]),
        quantity=st.integers(1, 8),
        places=st.lists(stocks, max_size=4),
        policy=policies,
        owed=st.none() | st.builds(Owed, units=units),
    ),
    min_size=1,
    max_size=3,
)


@given(parts_of_sets, st.booleans(), st.lists(st.builds(Kit, component=components), max_size=1))
def test_every_step_adds_up_and_the_result_is_never_below_zero(parts, split, kits):
    explained = available_to_sell(parts, allow_split=split, kits=kits)
    assert_adds_up(explained)
    assert explained.result >= 0


@given(parts_of_sets)
def test_the_sum_of_the_least_is_at_most_the_least_of_the_sums(parts):
    together = sets_together(parts)
    for one in parts:
        left = 0
        for stock in one.places:
            here = free(stock) if stock.fresh is None else stock.fresh
            kept = one.policy.safety if one.policy.safety_per == "place" else 0
            left += here - min(kept, max(0, here))
        assert sum(together.values()) <= left // one.quantity
    whole, split = available_to_sell(parts, allow_split=False), available_to_sell(parts)
    assert whole.result <= split.result


@given(parts_of_sets)
def test_no_more_is_shown_than_would_be_granted(parts):
    shown = available_to_sell(parts).result
    for one in parts:
        assert shown * one.quantity <= max(0, explain_grantable(one).result)


@given(parts_of_sets)
def test_safety_at_every_place_withholds_no_less_than_once(parts):
    def with_safety(per):
        return [
            Component(
                sku=one.sku,
                quantity=one.quantity,
                places=one.places,
                policy=Policy(safety=one.policy.safety, safety_per=per),
            )
            for one in parts
        ]

    everywhere = available_to_sell(with_safety("place")).result
    assert everywhere <= available_to_sell(with_safety("network")).result
