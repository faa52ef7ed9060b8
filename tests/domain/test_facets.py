"""Facets: counts that follow what was chosen in the others."""

import itertools

import pytest

from stockwright.domain.facets import AGES, Count, age_limits, facets, total

TITLES = {"kind": "Kind", "system": "System", "age": "Age"}
CUBE = [
    Count(("shortage", "erp", "older"), 4),
    Count(("shortage", "wms", "under an hour"), 3),
    Count(("conflict", "erp", "under an hour"), 2),
    Count(("conflict", "", "under a day"), 1),
]


def shown(chosen):
    return {
        facet.name: [(one.value, one.count) for one in facet.values]
        for facet in facets(TITLES, CUBE, chosen)
    }


def test_with_nothing_chosen_every_row_counts_and_most_come_first():
    assert shown({}) == {
        "kind": [("shortage", 7), ("conflict", 3)],
        "system": [("erp", 6), ("wms", 3)],
        "age": [("under an hour", 5), ("under a day", 1), ("older", 4)],
    }


def test_a_choice_narrows_the_other_facets_and_not_its_own():
    assert shown({"system": "erp"}) == {
        "kind": [("shortage", 4), ("conflict", 2)],
        "system": [("erp", 6), ("wms", 3)],
        "age": [("under an hour", 2), ("older", 4)],
    }


def test_a_chosen_value_that_no_row_has_is_shown_with_none():
    facet = facets(TITLES, CUBE, {"kind": "recount"})[0]
    assert [(one.value, one.count, one.chosen) for one in facet.values] == [
        ("shortage", 7, False),
        ("conflict", 3, False),
        ("recount", 0, True),
    ]


@pytest.mark.parametrize(
    ("chosen", "rows"),
    [
        ({}, 10),
        ({"kind": "shortage"}, 7),
        ({"kind": "shortage", "system": "erp"}, 4),
        ({"kind": "recount"}, 0),
        ({"sku": "not a facet"}, 10),
    ],
)
def test_the_total_has_every_chosen_value(chosen, rows):
    assert total(list(TITLES), CUBE, chosen) == rows


def test_ages_follow_each_other_without_a_gap():
    assert AGES[0][1] == 0
    for (_, _, high), (_, low, _) in itertools.pairwise(AGES):
        assert high == low
    assert age_limits("under a day") == (3_600, 86_400)
    assert age_limits("no such age") == age_limits("") == (0, 1e12)
