"""Who agrees with whom, by words."""

import datetime as dt

import pytest

from stockwright.domain.agreement import Verdict, of_acknowledged, of_told, of_verified

NOON = dt.datetime(2026, 3, 2, 12, 0, tzinfo=dt.UTC)
LATER = NOON + dt.timedelta(minutes=1)


@pytest.mark.parametrize(
    ("desired", "acknowledged", "is_told", "verdict", "differs"),
    [
        (5, 5, True, Verdict("agrees"), False),
        (5, 9, True, Verdict("too many", 4), True),
        (5, 0, True, Verdict("too few", -5), True),
        (5, None, True, Verdict("never confirmed"), False),
        (5, 9, False, Verdict("agrees", 4), False),  # it asks us, and is sent nothing
    ],
)
def test_what_a_channel_confirmed_is_held_against_what_it_should_show(
    desired, acknowledged, is_told, verdict, differs
):
    found = of_acknowledged(desired, acknowledged, is_told=is_told)
    assert (found, found.differs) == (verdict, differs)


@pytest.mark.parametrize(
    ("acknowledged", "acknowledged_at", "verified", "verified_at", "verdict", "differs"),
    [
        (5, NOON, 5, LATER, Verdict("agrees"), False),
        (5, NOON, 5, NOON, Verdict("agrees"), False),
        (5, NOON, 3, LATER, Verdict("fewer", -2), True),
        (5, NOON, 8, LATER, Verdict("more", 3), True),
        (5, NOON, None, LATER, Verdict("shows nothing", -5), True),
        (5, LATER, 3, NOON, Verdict("out of date"), False),  # read before it was told 5
        (5, NOON, None, None, Verdict("not read"), False),
        (None, None, 2, NOON, Verdict("more", 2), True),
    ],
)
def test_what_a_channel_was_read_back_to_show_is_held_against_what_it_confirmed(
    acknowledged, acknowledged_at, verified, verified_at, verdict, differs
):
    found = of_verified(acknowledged, acknowledged_at, verified, verified_at)
    assert (found, found.differs) == (verdict, differs)


@pytest.mark.parametrize(
    ("difference", "posted", "verdict", "differs"),
    [
        (0, False, Verdict("agrees"), False),
        (-3, False, Verdict("fewer", -3), True),
        (2, False, Verdict("more", 2), True),
        (-3, True, Verdict("corrected", -3), False),
        (None, False, Verdict("not compared"), False),
    ],
)
def test_a_partners_count_is_held_against_the_ledger_as_of_its_time(
    difference, posted, verdict, differs
):
    found = of_told(difference, posted=posted)
    assert (found, found.differs) == (verdict, differs)
