"""The rules of an exposure policy, one by one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockwright.domain.exposure import (
    NEUTRAL,
    RULES,
    Policy,
    grantable,
    match_policy,
    unused_fence,
)

ALL = Policy(channel="WEB", position=9, safety=1)
GROUP = Policy(channel="WEB", position=5, sku_group="TOYS", safety=2)
ONE = Policy(channel="WEB", position=2, sku="0042", safety=3)
ONE_IN_GROUP = Policy(channel="WEB", position=1, sku="0042", sku_group="BOOKS", safety=4)


@pytest.mark.parametrize(
    ("policies", "sku", "group", "expected"),
    [
        ([], "0042", "TOYS", NEUTRAL),
        ([GROUP], "0042", "BOOKS", NEUTRAL),
        ([ALL], "0042", "", ALL),
        ([ONE, GROUP, ALL], "0042", "TOYS", ONE),
        ([ONE, GROUP, ALL], "0007", "TOYS", GROUP),
        ([ONE, GROUP, ALL], "0007", "BOOKS", ALL),
        # Both conditions of a row must hold.
        ([ONE_IN_GROUP, ONE], "0042", "TOYS", ONE),
        ([ONE_IN_GROUP, ONE], "0042", "BOOKS", ONE_IN_GROUP),
        # Leading zeros are part of a code.
        ([ONE, ALL], "42", "TOYS", ALL),
        # Position decides, not the order of the list.
        ([ALL, GROUP, ONE], "0042", "TOYS", ONE),
    ],
)
def test_the_first_row_by_position_that_matches_applies(policies, sku, group, expected):
    assert match_policy(policies, sku, group) is expected


@pytest.mark.parametrize(
    ("ring_fence", "claimed", "unused"),
    [(0, 0, 0), (10, 0, 10), (10, 4, 6), (10, 10, 0), (10, 25, 0)],
)
def test_a_fence_holds_what_its_channel_has_not_claimed(ring_fence, claimed, unused):
    assert unused_fence(ring_fence, claimed) == unused


@pytest.mark.parametrize(
    ("free", "hard_safety", "fences", "backorders", "expected"),
    [
        (108, 0, 0, 0, 108),
        (108, 8, 0, 0, 100),
        (108, 8, 30, 0, 70),
        (108, 8, 30, 20, 50),
        # A shortage stays visible: the ledger must see how far it is from a grant.
        (-5, 3, 0, 0, -8),
    ],
)
def test_grantable_is_what_neither_others_nor_hard_safety_hold(
    free, hard_safety, fences, backorders, expected
):
    assert (
        grantable(free, hard_safety=hard_safety, other_fences_unused=fences, backorders=backorders)
        == expected
    )


@given(st.integers(-1000, 1000), st.integers(0, 100), st.integers(0, 100), st.integers(0, 100))
def test_whoever_is_owed_more_leaves_less_to_grant(free, safety, fences, backorders):
    less = grantable(free, hard_safety=safety, other_fences_unused=fences, backorders=backorders)
    assert less <= grantable(free, hard_safety=0, other_fences_unused=0)


def test_the_documented_order_of_rules_is_the_one_of_the_design():
    assert [name for name, _ in RULES] == [
        "free",
        "shelf_life",
        "supply",
        "safety",
        "backorder",
        "ring_fence",
        "degraded_cap",
        "buffer",
        "component",
        "places",
        "assembled",
        "cap",
        "pack_size",
        "floor",
        "gross",
    ]
