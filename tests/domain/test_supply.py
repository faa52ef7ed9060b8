"""Expected supply, every unit once in whatever order it was told, and promises by a date."""

import datetime as dt
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockwright.domain.availability import Component, Stock, available_to_sell
from stockwright.domain.backorders import Owed
from stockwright.domain.exposure import Policy
from stockwright.domain.promising import available_to_promise, earliest, promise
from stockwright.domain.supply import Expected, SupplyLine, UnderWay, expected, units_left
from tests.domain.test_availability import assert_adds_up, steps

NOW = dt.datetime(2026, 11, 26, 12, 0, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
PO = ("erp", "PO-1", "1")


def order(quantity, *, due=10, **more):
    return SupplyLine(
        kind="purchase_order",
        system="erp",
        document="PO-1",
        line="1",
        sku="S",
        location="A",
        quantity=quantity,
        due_at=NOW + due * DAY,
        **more,
    )


def notice(document, quantity, *, due=5, of=PO, **more):
    return SupplyLine(
        kind="asn",
        system="sup",
        document=document,
        line="1",
        sku="S",
        location="A",
        quantity=quantity,
        due_at=NOW + due * DAY,
        of=of,
        **more,
    )


LEFT = [
    # (what it shows, lines, still to come by document)
    ("a purchase order alone", [order(100)], {"PO-1": 100}),
    ("part of it came", [order(100, received=30)], {"PO-1": 70}),
    ("more came than was ordered", [order(100, received=130)], {"PO-1": 0}),
    ("a notice replaces as much of it", [order(100), notice("N-1", 40)], {"PO-1": 60, "N-1": 40}),
    (
        "two notices, and one came",
        [order(100), notice("N-1", 40, received=40), notice("N-2", 50)],
        {"PO-1": 10, "N-1": 0, "N-2": 50},
    ),
    (
        "a receipt that names the order is of what was advised first",
        [order(100, received=40), notice("N-1", 40)],
        {"PO-1": 60, "N-1": 0},
    ),
    (
        "and of the notice that is due first, then of the rest",
        [order(100, received=60), notice("N-2", 30, due=7), notice("N-1", 20, due=6)],
        {"PO-1": 40, "N-1": 0, "N-2": 0},
    ),
    (
        "a notice of more than was ordered",
        [order(100), notice("N-1", 120)],
        {"PO-1": 0, "N-1": 120},
    ),
    (
        "a notice that came short and was closed gives the rest back to the order",
        [order(100), notice("N-1", 40, received=30, closed=True)],
        {"PO-1": 70, "N-1": 0},
    ),
    (
        "a closed order leaves its notices",
        [order(100, closed=True), notice("N-1", 40)],
        {"PO-1": 0, "N-1": 40},
    ),
    ("a notice whose order is not known", [notice("N-1", 40)], {"N-1": 40}),
]


@pytest.mark.parametrize(("lines", "left"), [row[1:] for row in LEFT], ids=[r[0] for r in LEFT])
def test_what_is_still_to_come(lines, left):
    for shuffled in permutations(lines):
        found = units_left(shuffled)
        assert {key[1]: units for key, units in found.items()} == left


lines_of_order = st.tuples(
    st.builds(order, st.integers(1, 200), received=st.integers(0, 250)),
    st.lists(
        st.builds(
            lambda n, quantity, due, received: notice(
                f"N-{n}", quantity, due=due, received=received
            ),
            st.integers(0, 10**6),
            st.integers(1, 100),
            st.integers(-5, 30),
            st.integers(0, 120),
        ),
        max_size=4,
        unique_by=lambda one: one.document,
    ),
)


@given(lines_of_order)
def test_no_unit_is_expected_twice_and_none_below_zero(told):
    whole, notices = told
    left = units_left([whole, *notices])
    assert all(units >= 0 for units in left.values())
    most = max(whole.quantity, sum(one.advised for one in notices))
    came = whole.received + sum(one.received for one in notices)
    assert sum(left.values()) <= most
    if all(one.received <= one.quantity for one in notices):
        assert sum(left.values()) == max(0, most - came)


@given(lines_of_order, st.integers(1, 50))
def test_more_that_came_never_leaves_more_to_come(told, more):
    whole, notices = told
    later = order(whole.quantity, received=whole.received + more)
    before, after = units_left([whole, *notices]), units_left([later, *notices])
    assert all(after[key] <= before[key] for key in before)


def test_a_transfer_is_counted_as_planned_until_it_leaves_and_under_way_from_then_on():
    plan = SupplyLine(
        kind="transfer",
        system="erp",
        document="T-1",
        line="1",
        sku="S",
        location="B",
        quantity=50,
        due_at=NOW + 4 * DAY,
        left_for=30,
    )
    moving = UnderWay(
        document="T-1", sku="S", location="B", units=20, eta=NOW + 2 * DAY, grace_s=60
    )
    unknown = UnderWay(document="T-2", sku="S", location="B", units=7)
    found = expected([plan], [moving, unknown])
    assert [(one.units, one.due_at) for one in found] == [(20, NOW + 2 * DAY), (20, NOW + 4 * DAY)]
    assert found[0].overdue_at == NOW + 2 * DAY + dt.timedelta(minutes=1)


def arrives(units, due, *, location="A", grace=1):
    due_at = NOW + due * DAY
    overdue_at = due_at + grace * DAY
    return Expected(
        location=location, units=units, due_at=due_at, overdue_at=overdue_at, what="order X"
    )


def held(units=10, *, policy=None, owed=0):
    return Component(
        sku="S",
        places=[Stock(location="A", sellable=units), Stock(location="B", sellable=3)],
        policy=policy or Policy(),
        owed=Owed(units=owed) if owed else None,
    )


def test_what_may_be_promised_by_a_date():
    """13 are free, 5 of them safety stock, 12 are owed, and 40 come in two lots."""
    component = held(policy=Policy(safety=5), owed=12)
    supply = [arrives(30, 3), arrives(10, 8, location="B"), arrives(99, 2, location="ELSEWHERE")]
    assert steps(available_to_promise(component, supply, NOW, NOW + 8 * DAY)) == [
        ("free", 10, 10),
        ("free", 3, 13),
        ("supply", 30, 43),
        ("supply", 10, 53),
        ("safety", -5, 48),
        ("backorder", -12, 36),
    ]
    assert available_to_promise(component, supply, NOW, NOW).result == -4
    assert available_to_promise(component, supply, NOW, NOW + 7 * DAY).result == 26


def test_the_earliest_date_of_a_quantity():
    component, supply = held(owed=12), [arrives(30, 3), arrives(10, 8)]
    assert earliest(component, supply, NOW, 1) == NOW
    assert earliest(component, supply, NOW, 2) == NOW + 3 * DAY
    assert earliest(component, supply, NOW, 31) == NOW + 3 * DAY
    assert earliest(component, supply, NOW, 32) == NOW + 8 * DAY
    assert earliest(component, supply, NOW, 42) is None


def test_supply_that_is_late_counts_until_its_place_allows_no_more():
    component = held(0)
    late = [arrives(30, -1, grace=2)]
    assert available_to_promise(component, late, NOW, NOW).result == 33
    after = NOW + DAY
    assert (
        available_to_promise(component, late, after - dt.timedelta(seconds=1), after).result == 33
    )
    assert available_to_promise(component, late, after, after).result == 3
    assert earliest(component, late, NOW, 33) == NOW


def test_safety_per_place_is_kept_of_what_will_be_there():
    component = held(0, policy=Policy(safety=5, safety_per="place"))
    assert available_to_promise(component, [arrives(30, 3)], NOW, NOW).result == 0
    assert available_to_promise(component, [arrives(30, 3)], NOW, NOW + 3 * DAY).result == 25


def test_a_date_in_the_past_is_now():
    told = promise(held(), [arrives(30, 3)], NOW, NOW - 9 * DAY, 20)
    assert (told.by, told.available_to_promise.result, told.earliest) == (NOW, 13, NOW + 3 * DAY)
    assert promise(held(), [], NOW).earliest is None


components = st.builds(
    lambda places, policy, owed: Component(
        sku="S",
        places=[Stock(location=place, sellable=units) for place, units in places.items()],
        policy=policy,
        owed=Owed(units=owed),
    ),
    st.dictionaries(st.sampled_from("ABC"), st.integers(-50, 200)),
    st.builds(
        Policy,
        safety=st.integers(0, 80),
        safety_per=st.sampled_from(["network", "place"]),
        hard_safety=st.integers(0, 80),
    ),
    st.integers(0, 100),
)
supplies = st.lists(
    st.builds(
        lambda units, due, location, grace: arrives(units, due, location=location, grace=grace),
        st.integers(1, 100),
        st.integers(-10, 30),
        st.sampled_from("ABCD"),
        st.integers(0, 5),
    ),
    max_size=5,
)


@given(components, supplies, st.integers(0, 30), st.integers(0, 10))
def test_later_never_promises_less_and_every_step_adds_up(component, supply, days, more):
    soon = available_to_promise(component, supply, NOW, NOW + days * DAY)
    later = available_to_promise(component, supply, NOW, NOW + (days + more) * DAY)
    assert_adds_up(soon)
    assert soon.result <= later.result


@given(components, supplies, st.integers(1, 300))
def test_the_earliest_date_is_the_first_by_which_it_may_be_promised(component, supply, quantity):
    by = earliest(component, supply, NOW, quantity)
    if by is None:
        assert available_to_promise(component, supply, NOW, NOW + 99 * DAY).result < quantity
        return
    assert available_to_promise(component, supply, NOW, by).result >= quantity
    before = by - dt.timedelta(seconds=1)
    if before >= NOW:
        assert available_to_promise(component, supply, NOW, before).result < quantity


@given(components, supplies)
def test_no_more_is_shown_than_may_be_promised(component, supply):
    shown = available_to_sell([component]).result
    assert shown <= max(0, available_to_promise(component, supply, NOW, NOW).result)
