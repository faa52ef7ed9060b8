"""A recorded past played again under another policy, told order by order."""

import datetime as dt

import pytest

from stockwright.domain.replay import Change, Order, Past, Shown, replay

NOON = dt.datetime(2026, 11, 20, 12, 0, tzinfo=dt.UTC)


def at(minutes: float) -> dt.datetime:
    return NOON + dt.timedelta(minutes=minutes)


# 10 free; a till takes 8 at sequence 2 without the channel being told in time; the channel sells 5.
STALE = Past(
    begins=at(0),
    ends=at(60),
    quantity=1,
    free={"MAIN": 10},
    changes=[Change(2, "MAIN", -8), Change(3, "MAIN", -5)],
    shown=[Shown(at(0), 1, 10), Shown(at(30), 3, 0)],
    orders=[Order(3, at(10), 5)],
)


def less(buffer):
    return lambda free: max(0, sum(free.values()) - buffer)


def test_the_same_policy_changes_nothing():
    found = replay(STALE, less(0))
    assert (found.orders, found.sold) == (1, 5)
    assert (found.oversold, found.oversold_then, found.avoided) == (3, 3, 0)
    assert (found.withheld_sales, found.withheld) == (0, 0.0)


@pytest.mark.parametrize(
    ("buffer", "oversold_then", "withheld_sales"),
    [(5, 3, 0), (6, 2, 0), (7, 1, 0), (8, 0, 0), (9, 0, 1), (10, 0, 2)],
)
def test_a_buffer_avoids_oversells_and_then_withholds_sales(buffer, oversold_then, withheld_sales):
    found = replay(STALE, less(buffer))
    assert found.oversold_then == oversold_then
    assert found.withheld_sales == withheld_sales
    assert found.avoided == 3 - oversold_then


def test_units_withheld_are_weighed_by_the_time_they_were():
    past = Past(
        begins=at(0),
        ends=at(60),
        quantity=1,
        free={"MAIN": 10},
        changes=[Change(2, "MAIN", -10)],
        shown=[Shown(at(-500), 1, 10), Shown(at(45), 2, 0)],
        orders=[],
    )
    assert replay(past, less(4)).withheld == pytest.approx(4 * 45 / 60)


def test_what_was_not_sold_stays_and_can_be_sold_later():
    past = Past(
        begins=at(0),
        ends=at(60),
        quantity=1,
        free={"MAIN": 10},
        changes=[Change(2, "MAIN", -8), Change(3, "MAIN", -2)],
        shown=[Shown(at(0), 1, 10), Shown(at(5), 2, 2)],
        orders=[Order(2, at(1), 8), Order(3, at(10), 2)],
    )
    found = replay(past, less(4))
    # 6 of 8 at first; later 2 - 4 would be nothing, but the 2 that stayed are still there.
    assert (found.withheld_sales, found.oversold_then) == (2, 0)


def test_pieces_of_several_units_are_counted_in_units():
    past = Past(
        begins=at(0),
        ends=at(60),
        quantity=6,
        free={"MAIN": 60},
        changes=[Change(2, "MAIN", -48)],
        shown=[Shown(at(0), 1, 10)],
        orders=[Order(2, at(1), 48)],
    )
    found = replay(past, lambda free: sum(free.values()) // 6 - 3)
    assert found.withheld_sales == 48 - 7 * 6


def test_orders_before_anything_was_shown_are_left_out():
    early = Past(
        begins=at(0),
        ends=at(60),
        quantity=1,
        free={},
        changes=[],
        shown=[Shown(at(5), 1, 3)],
        orders=[Order(1, at(1), 1)],
    )
    assert replay(early, less(0)).orders == 0
