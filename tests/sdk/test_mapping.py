"""Mapping as data: what a source means, and how a rule that cannot work is refused."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockwright.domain.errors import Misconfigured
from stockwright.domain.events import Fact
from stockwright.sdk.local_time import WallClock, zone_of
from stockwright.sdk.mapping import Rule, map_document, rules_from
from stockwright.sdk.messages import Failure
from stockwright.sdk.sources import Style

ROOT = {
    "id": 7,
    "code": "  x ",
    "blank": " \t\u00a0 ",
    "long": "2026-03-01T10:00:00." + "1" * 1_000_000,
    "lines": [
        {"sku": "A", "n": 2, "deep": {"list": [10, 20]}, "empty": "", "none": None, "yes": True},
    ],
}


def mapped(root=ROOT, each="$.lines", when=None, sign="any", **fields):
    rule = Rule(
        kind="adjustment",
        each=each,
        when=when or {},
        sign=sign,
        fields={"document": "$.id", "quantity": "@.n", **fields},
    )
    clock = WallClock(zone_of("UTC"))
    return [part.item for part in map_document((rule,), root, clock, Style())]


@pytest.mark.parametrize(
    ("field", "source", "value"),
    [
        ("item", "@.sku", "A"),
        ("item", "$.lines[0].sku", "A"),
        ("item", "=EA", "EA"),
        ("item", "{$.id}/{@.sku}-{#}", "7/A-1"),
        ("item", "@.ean | @.sku", "A"),
        ("item", "@.empty | @.none | @.sku", "A"),
        ("item", "@.ean?", ""),
        ("item", "@.ean | @.gtin?", ""),
        ("item", "$.code", "  x "),
        ("item", "$.blank | @.sku", "A"),
        ("unit", "$.blank?", ""),
        ("line", "#", "1"),
        ("quantity", "@.deep.list[1]", 20),
        ("final", "@.yes", True),
        ("final", "=no", False),
        ("expires_on", "=2026-12-31", dt.date(2026, 12, 31)),
        ("bucket", "=damaged", "damaged"),
        ("occurred_at", "=2026-03-01T10:00:00Z", dt.datetime(2026, 3, 1, 10, tzinfo=dt.UTC)),
    ],
)
def test_a_source_fills_a_field_in_its_own_type(field, source, value):
    (fact,) = mapped(**{field: source})
    assert isinstance(fact, Fact)
    assert getattr(fact, field) == value


@pytest.mark.parametrize(
    ("field", "source", "path", "reason"),
    [
        ("item", "@.ean", "$.lines[0].ean", "is missing"),
        ("item", "@.ean | @.gtin", "$.lines[0].ean", "is missing"),
        ("document", "$.blank", "$.blank", "is missing"),
        ("document", "{$.blank}-1", "$.blank", "is missing"),
        ("occurred_at", "$.long", "$.long", "is no time"),
        ("item", "@.deep", "$.lines[0].deep", "is neither text nor a whole number"),
        ("item", "{@.deep}", "$.lines[0].deep", "is neither text nor a whole number"),
        ("item", "{@.ean}-x", "$.lines[0].ean", "is missing"),
        ("item", "@.deep.list[9]", "$.lines[0].deep.list[9]", "is missing"),
        ("quantity", "@.sku", "$.lines[0].sku", "is 'A', not a whole number"),
        ("quantity", "=2.5", "$.lines[0]", "is '2.5', not a whole number"),
        ("quantity", "=1000000000001", "$.lines[0]", "is beyond 1000000000000"),
        ("quantity", "@.yes", "$.lines[0].yes", "is not a whole number"),
        ("final", "@.sku", "$.lines[0].sku", "is not true or false"),
        ("bucket", "@.sku", "$.lines[0].sku", "is 'A', not one of sellable"),
        ("expires_on", "=31.12.2026", "$.lines[0]", "not a date such as 2026-12-31"),
        ("occurred_at", "@.sku", "$.lines[0].sku", "is no time"),
        ("occurred_at", "@.deep", "$.lines[0].deep", "is not a time written as text"),
    ],
)
def test_what_cannot_fill_a_field_is_told_with_the_path_of_the_value(field, source, path, reason):
    (failure,) = mapped(**{field: source})
    assert isinstance(failure, Failure)
    assert failure.path == path
    assert reason in failure.reason
    assert len(failure.reason) < 300, "people read it"


@pytest.mark.parametrize(
    ("root", "path"),
    [
        ({"id": 1}, "$.lines"),
        ({"id": 1, "lines": {}}, "$.lines"),
        ({"id": 1, "lines": []}, "$.lines"),
        ([], "$.lines"),
        ("text", "$.lines"),
        (5, "$.lines"),
    ],
)
def test_a_payload_without_its_list_fails_as_a_whole(root, path):
    (failure,) = mapped(root=root)
    assert failure.path == path


def test_a_negative_quantity_becomes_a_positive_one_of_its_own_kind():
    root = {"id": 1, "lines": [{"n": 3}, {"n": -2}]}
    assert [getattr(item, "quantity", item) for item in mapped(root=root, sign="negative")] == [
        Failure(path="$.lines[0]", reason="no rule applies here", found='{"n":3}'),
        2,
    ]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"kind": "sale"}, "kind"),
        ({"kind": "receipt", "fields": {"document": "$.a"}}, "quantity"),
        (
            {"kind": "receipt", "fields": {"document": "$.a", "quantity": "@.q", "colour": "$.c"}},
            "colour",
        ),
        (
            {"kind": "receipt", "fields": {"document": "$.a", "quantity": "@.q", "system": "=x"}},
            "system",
        ),
        (
            {"kind": "receipt", "fields": {"document": "a", "quantity": "@.q"}},
            "'a' is not a source",
        ),
        (
            {"kind": "receipt", "fields": {"document": "$.a[x]", "quantity": "@.q"}},
            "is not a source",
        ),
        ({"kind": "receipt", "fields": {"document": "", "quantity": "@.q"}}, "is not a source"),
        ({"kind": "receipt", "fields": {"document": "{$.a", "quantity": "@.q"}}, "is not a source"),
        (
            {
                "kind": "receipt",
                "each": "@",
                "fields": {"document": "#", "quantity": "@.q"},
                "x": 1,
            },
            "x",
        ),
    ],
)
def test_a_rule_that_cannot_work_is_refused_when_it_is_read(rule, words):
    with pytest.raises(Misconfigured, match="rules") as error:
        rules_from([rule])
    assert words in str(error.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["id", "lines", "sku", "n", "at"]), inner, max_size=5)
    ),
    max_leaves=20,
)


@given(root=JSON)
def test_no_document_makes_a_mapping_fail(root):
    rule = Rule(
        kind="channel_order",
        each="$.lines",
        fields={
            "document": "$.id",
            "quantity": "@.n",
            "item": "{@.sku}",
            "occurred_at": "@.at?",
            "final": "@.at?",
        },
    )
    parts = map_document((rule,), root, WallClock(zone_of("Europe/Berlin")), Style())
    assert parts
    for part in parts:
        assert isinstance(part.item, Fact | Failure)
