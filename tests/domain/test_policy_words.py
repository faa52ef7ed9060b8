"""Policies in words."""

from typing import Any

import pytest

from stockwright.domain.exposure import Policy
from stockwright.domain.network import ExposurePolicy
from stockwright.domain.policy_words import FIELDS, TOPICS, plain, sentence

LATE = "held back against sales that we learn of late"


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({}, "All SKUs: all that may be sold is shown."),
        ({"sku": "A"}, "SKU A: all that may be sold is shown."),
        ({"sku_group": "g"}, "SKUs of the group g: all that may be sold is shown."),
        (
            {"sku": "A", "sku_group": "g", "cap": 0},
            "SKU A, while it is of the group g: nothing is shown.",
        ),
        ({"safety": 1}, "All SKUs: 1 is held back from what is shown."),
        (
            {"safety": 1_500, "safety_per": "place"},
            "All SKUs: 1,500 are held back from what is shown at every place of the pool.",
        ),
        (
            {"hard_safety": 2},
            "All SKUs: 2 are held back from what is shown and from requests.",
        ),
        (
            {"ring_fence": 3},
            "All SKUs: 3 are kept for this channel alone, until it has claimed them.",
        ),
        (
            {"ring_fence": 3, "ring_fence_mode": "standing"},
            "All SKUs: 3 are kept for this channel alone, at all times, on top of what it claims.",
        ),
        ({"buffer": 1}, f"All SKUs: 1 unit is {LATE}."),
        ({"buffer": 2}, f"All SKUs: 2 units are {LATE}."),
        ({"buffer_percent": 12.5}, f"All SKUs: 12.5 % of the pool is {LATE}."),
        (
            {"buffer_risk": 0.01},
            f"All SKUs: what keeps oversold stock-outs to 1 in 100 is {LATE}.",
        ),
        ({"buffer_risk": 0.03}, f"All SKUs: what keeps oversold stock-outs to 3 % is {LATE}."),
        (
            {
                "buffer": 1,
                "buffer_risk": 0.5,
                "buffer_most": 9,
                "buffer_most_percent": 25,
                "blind_s": 30,
            },
            "All SKUs: the largest of these is held back against sales that we learn of late:"
            " 1 unit, what keeps oversold stock-outs to 1 in 2 (at most 9 units, at most 25 % of"
            " the pool, counting 30 s that cannot be measured).",
        ),
        ({"min_shelf_life_days": 1}, "All SKUs: only lots with 1 day left count."),
        (
            {"degraded_cap": 0},
            "All SKUs: while a source of the stock is silent, at most 0 units of a SKU may be"
            " open.",
        ),
        ({"cap": 1}, "All SKUs: never more than 1 piece is shown."),
        (
            {"cap": 12, "pack_size": 6},
            "All SKUs: never more than 12 pieces are shown; only whole packs of 6 are shown.",
        ),
        # What has no effect is not told.
        ({"safety_per": "place", "buffer_most": 3}, "All SKUs: all that may be sold is shown."),
    ],
)
def test_a_rule_is_one_sentence(rule: dict[str, Any], says: str):
    assert sentence(ExposurePolicy(**rule)) == says
    assert sentence(Policy(channel="WEB", position=3, **rule)) == says


def test_every_field_has_a_meaning_a_topic_and_what_it_is_by_default():
    assert sorted(name for _, names in TOPICS for name in names) == sorted(FIELDS)
    for name, field in FIELDS.items():
        assert field.meaning
        assert field.default == plain(getattr(ExposurePolicy(), name))
        assert (field.kind == "choice") == bool(field.choices)
    assert FIELDS["safety_per"].choices == ["network", "place"]
    assert {name for name, one in FIELDS.items() if one.kind == "code"} == {"sku", "sku_group"}
    assert FIELDS["buffer_risk"].kind == "number"
    assert FIELDS["degraded_cap"].kind == "whole"
    assert [FIELDS[name].label for name in ("blind_s", "sku_group")] == ["Blind", "SKU group"]


@pytest.mark.parametrize(
    "value", [0.1, 12.5, 1e-7, 1 / 3, 31_536_000.0, 100.0, 0.30000000000000004, 1e300]
)
def test_a_number_is_written_so_that_it_reads_back_as_the_same(value: float):
    assert float(plain(value)) == value
    assert "e" not in plain(value)
