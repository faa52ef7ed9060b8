"""What may be promised and shown: supply, backorders, sets, safety per place, shelf life."""

import datetime as dt
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockwright.domain.availability import (
    Component,
    Explanation,
    Fence,
    Owed,
    Stock,
    available_to_promise,
    available_to_sell,
    earliest,
    explain_grantable,
    free,
)
from stockwright.domain.exposure import RULES, Policy
from stockwright.domain.supply import Dated

NOW = dt.datetime(2026, 11, 26, 12, 0, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


def coming(units, days, location="EAST"):
    at = NOW + days * DAY
    return Dated(location=location, units=units, at=at, overdue_at=at + DAY, what="order PO")


def at(location, units, **more):
    return Stock(location=location, sellable=units, **more)


def steps(explanation):
    return [(step.name, step.amount) for step in explanation.steps]


# ---------------------------------------------------------------- promises by date


ITEM = Component(
    sku="A",
    places=[at("EAST", 20, reserved=5), at("WEST", 2, reserved=6)],
    policy=Policy(safety=8),
    supply=[coming(30, 3), coming(10, 7, "WEST")],
    owed=[Owed(channel="B2B", demand_class=10, units=7, lines=2)],
)


def test_a_promise_is_what_is_free_and_comes_in_time_less_safety_and_what_is_owed():
    promised = available_to_promise([ITEM], NOW + 3 * DAY)
    assert steps(promised) == [
        ("free", 15),
        ("free", -4),
        ("supply", 30),
        ("safety", -8),
        ("backorders", -7),
    ]
    assert promised.result == 26
    assert promised.steps[2].why == "EAST: order PO, 2026-11-29 12:00 UTC"
    assert promised.steps[4].why == "B2B owes 7 to 2 order lines of class 10"
    assert [available_to_promise([ITEM], NOW + n * DAY).result for n in (0, 2, 3, 6, 7)] == [
        *(-4, -4, 26, 26, 36)
    ]


@pytest.mark.parametrize(
    ("quantity", "days"), [(-5, 0), (-4, 0), (-3, 3), (1, 3), (26, 3), (27, 7), (36, 7), (37, None)]
)
def test_the_earliest_date_is_the_first_on_which_enough_can_be_promised(quantity, days):
    expected = None if days is None else NOW + days * DAY
    assert earliest([ITEM], quantity, NOW) == expected


def test_supply_is_shown_before_it_is_there_only_where_the_policy_says_so():
    assert available_to_sell([ITEM]).result == 0
    soon = msgspec.structs.replace(ITEM, presell_until=NOW + 3 * DAY)
    assert available_to_sell([soon]).result == 26
    assert ("supply", 30) in steps(available_to_sell([soon]))


def test_what_is_owed_lowers_what_is_shown_and_what_is_granted():
    owed = Component(
        sku="A", places=[at("EAST", 20)], owed=[Owed(channel="B2B", demand_class=1, units=12)]
    )
    assert steps(available_to_sell([owed])) == [("free", 20), ("backorders", -12)]
    assert steps(explain_grantable(owed)) == [("free", 20), ("backorders", -12)]


# ---------------------------------------------------------------- sets


def bicycle(frames, wheels):
    """A frame and two wheels, by place."""
    return [
        Component(sku="FRAME", places=[at(place, n) for place, n in frames.items()]),
        Component(sku="WHEEL", quantity=2, places=[at(place, n) for place, n in wheels.items()]),
    ]


SETS = [
    # (what it shows, frames, wheels, one piece from one place, one piece from several)
    ("all at one place", {"E": 4}, {"E": 7}, 3, 3),
    ("parts at different places", {"E": 5, "W": 0}, {"E": 0, "W": 10}, 0, 5),
    ("a rest at each place", {"E": 3, "W": 3}, {"E": 3, "W": 3}, 2, 3),
    ("a shortage counts against the pool", {"E": 6, "W": 6}, {"E": 12, "W": -4}, 4, 4),
    ("a shortage deeper than all the rest", {"E": 6, "W": 6}, {"E": 4, "W": -6}, 0, 0),
    ("nothing of one part", {"E": 6}, {"E": 0}, 0, 0),
]


@pytest.mark.parametrize(
    ("frames", "wheels", "one_place", "split"),
    [example[1:] for example in SETS],
    ids=[example[0] for example in SETS],
)
def test_sets_are_taken_place_by_place_unless_an_order_may_be_split(
    frames, wheels, one_place, split
):
    parts = bicycle(frames, wheels)
    assert available_to_sell(parts, split=False).result == one_place
    assert available_to_sell(parts, split=True).result == split


def test_a_set_that_must_lie_at_one_place_says_so():
    shown = available_to_sell(bicycle({"E": 3, "W": 3}, {"E": 3, "W": 3}), split=False)
    assert (shown.sku, steps(shown)) == (
        "FRAME",
        [("free", 3), ("free", 3), ("one_place", -4)],
    )
    assert shown.steps[-1].why == "the parts of 2 sets lie at one place"
    assert [other.result for other in shown.others] == [2]


def test_what_is_withheld_may_be_what_makes_no_set_anyway():
    """Three wheels at each of two places make two pairs, and leave two to be withheld."""
    pair = Component(sku="WHEEL", quantity=2, places=[at("E", 3), at("W", 3)])
    for buffer, pairs in ((0, 2), (2, 2), (3, 1), (4, 1), (5, 0)):
        withheld = msgspec.structs.replace(pair, policy=Policy(buffer=buffer))
        assert available_to_sell([withheld], split=False).result == pairs


# ---------------------------------------------------------------- safety stock


def test_safety_stock_of_the_network_is_withheld_once_that_of_places_at_each():
    places = [at("E", 10), at("W", 3), at("N", -2)]
    once = Component(sku="A", places=places, policy=Policy(safety=5))
    each = msgspec.structs.replace(once, policy=Policy(safety=5, safety_per="place"))
    assert available_to_sell([once]).result == 10 + 3 - 2 - 5
    assert steps(available_to_sell([each]))[3:] == [("safety", -5), ("safety", -3), ("safety", 0)]
    assert available_to_sell([each]).result == 5 + 0 - 2


def test_safety_at_places_and_what_no_request_is_granted_are_not_withheld_twice():
    policy = Policy(safety=5, safety_per="place", hard_safety=12)
    item = Component(sku="A", places=[at("E", 10), at("W", 10)], policy=policy)
    assert steps(available_to_sell([item]))[2:] == [
        ("safety", -5),
        ("safety", -5),
        ("safety", -2),
    ]


def test_safety_at_places_keeps_sets_from_being_made_there():
    parts = [
        msgspec.structs.replace(part, policy=Policy(safety=2, safety_per="place"))
        for part in bicycle({"E": 6, "W": 2}, {"E": 8, "W": 20})
    ]
    assert available_to_sell(parts, split=False).result == 3


# ---------------------------------------------------------------- shelf life


def test_only_what_is_good_for_long_enough_is_shown_and_granted():
    """Safety stock and other channels may be served from what this channel cannot use."""
    fresh = Component(
        sku="L",
        places=[at("E", 30, stale=20), at("W", 5, stale=5)],
        policy=Policy(min_shelf_life_days=30, hard_safety=8),
    )
    shown, granted = available_to_sell([fresh]), explain_grantable(fresh)
    assert (steps(shown), shown.result) == (
        [("free", 30), ("free", 5), ("shelf_life", -20), ("shelf_life", -5), ("safety", -8)],
        2,
    )
    assert (steps(granted), granted.result) == (
        [("free", 30), ("free", 5), ("safety", -8), ("fresh", -17)],
        10,
    )


# ---------------------------------------------------------------- laws


units = st.integers(0, 200)
stocks = st.builds(
    Stock,
    location=st.sampled_from("EWN"),
    sellable=st.integers(-100, 300),
    reserved=units,
    stale=st.integers(0, 80),
)
supplies = st.lists(
    st.builds(coming, units, st.integers(0, 30), st.sampled_from("EWN")), max_size=5
)
policies = st.builds(
    Policy,
    safety=units,
    hard_safety=units,
    safety_per=st.sampled_from(["network", "place"]),
    buffer=units,
    cap=st.none() | units,
    pack_size=st.integers(1, 12),
)
components = st.builds(
    Component,
    sku=st.sampled_from(["A", "B"]),
    quantity=st.integers(1, 6),
    places=st.lists(stocks, min_size=1, max_size=3, unique_by=lambda stock: stock.location),
    policy=policies,
    fences=st.lists(st.builds(Fence, channel=st.just("X"), ring_fence=units), max_size=2),
    supply=supplies,
    presell_until=st.none() | st.integers(0, 20).map(lambda days: NOW + days * DAY),
    owed=st.lists(
        st.builds(Owed, channel=st.just("B2B"), demand_class=st.just(1), units=units), max_size=2
    ),
)
listings = st.lists(components, min_size=1, max_size=3)


def assert_adds_up(explanation: Explanation, order: list[str]) -> None:
    running = 0
    for step in explanation.steps:
        running += step.amount
        assert step.running == running
    assert explanation.result == running
    ranks = [order.index(step.name) for step in explanation.steps]
    assert ranks == sorted(ranks), "the rules apply in their documented order"
    for other in explanation.others:
        assert_adds_up(other, order)


@given(listings, st.integers(0, 30), st.booleans())
def test_every_number_adds_up_in_the_documented_order(parts, days, split):
    order = [name for name, _ in RULES]
    assert_adds_up(available_to_sell(parts, split=split), order)
    assert_adds_up(available_to_promise(parts, NOW + days * DAY, split=split), order)
    for part in parts:
        assert_adds_up(explain_grantable(part), [*order, "fresh"])


@given(listings, st.booleans())
def test_a_channel_never_shows_more_than_can_be_promised(parts, split):
    horizon = max(part.presell_until or NOW - DAY for part in parts)
    shown = available_to_sell(parts, split=split).result
    assert shown <= max(0, available_to_promise(parts, horizon, split=split).result)


@given(components, st.booleans())
def test_without_presale_a_channel_never_shows_more_than_it_would_be_granted(part, split):
    part = msgspec.structs.replace(part, presell_until=None)
    shown = available_to_sell([part], split=split).result * part.quantity
    assert shown <= max(0, explain_grantable(part).result)


@given(listings, st.lists(st.integers(0, 40), min_size=2, max_size=6), st.booleans())
def test_a_later_date_never_promises_less(parts, days, split):
    promised = [
        available_to_promise(parts, NOW + one * DAY, split=split).result for one in sorted(days)
    ]
    assert all(before <= after for before, after in pairwise(promised))


@given(listings, st.integers(-50, 300), st.booleans())
def test_the_earliest_date_holds_and_no_earlier_one_does(parts, quantity, split):
    found = earliest(parts, quantity, NOW, split=split)
    dates = sorted({NOW, *(one.at for part in parts for one in part.supply)})
    enough = [
        date for date in dates if available_to_promise(parts, date, split=split).result >= quantity
    ]
    assert found == (enough[0] if enough else None)


@given(listings, st.integers(0, 30))
def test_sets_of_one_place_are_never_more_than_sets_of_the_pool(parts, days):
    by = NOW + days * DAY
    assert (
        available_to_promise(parts, by, split=False).result
        <= available_to_promise(parts, by, split=True).result
    )
    assert available_to_sell(parts, split=False).result <= available_to_sell(parts).result


@given(listings)
def test_the_sets_that_are_shown_can_be_built_each_at_one_place(parts):
    """Built greedily, they leave in the pool of each part what is withheld of it."""
    plain = [
        msgspec.structs.replace(part, policy=Policy(buffer=part.policy.buffer), presell_until=None)
        for part in parts
    ]
    sets = available_to_sell(plain, split=False).result
    there = [{stock.location: free(stock) - stock.stale for stock in part.places} for part in plain]
    left = sets
    for place in "EWN":
        here = min(
            max(0, units.get(place, 0)) // part.quantity
            for part, units in zip(plain, there, strict=True)
        )
        left -= min(left, here)
    assert left == 0
    for part, units in zip(plain, there, strict=True):
        withheld = part.policy.buffer
        withheld += sum(one.units for one in part.owed)
        withheld += sum(fence.unused for fence in part.fences)
        assert not sets or sum(units.values()) - sets * part.quantity >= withheld


@given(components, units)
def test_more_owed_never_shows_or_grants_more(part, more):
    deeper = msgspec.structs.replace(
        part, owed=[*part.owed, Owed(channel="Y", demand_class=0, units=more)]
    )
    assert available_to_sell([deeper]).result <= available_to_sell([part]).result
    assert explain_grantable(deeper).result <= explain_grantable(part).result
