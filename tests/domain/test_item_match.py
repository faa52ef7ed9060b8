"""A partner's items against the item master, rule by rule."""

import pytest

from stockwright.domain.item_match import Known, Listed, Needs, PartnerItem, counts, match

BOTH = Needs(bound=True, channels=("WEB",))
BOUND = Needs(bound=True)
LISTED = Needs(bound=False, channels=("WEB",))


def listed(quantity=1, sku="A", active=True, **parts):
    return Listed(channel="WEB", active=active, parts=parts or {sku: quantity})


def known(*listings, sku="A", unit="", same=False):
    factors = {"EA": 1, "CS": 6} if sku else {}
    base = "EA" if sku else ""
    return Known(sku=sku, unit=unit, base_unit=base, factors=factors, listings=listings, same=same)


@pytest.mark.parametrize(
    ("has", "needs", "units", "state", "why"),
    [
        (known(listed()), BOTH, {""}, "matched", ""),
        (known(), BOUND, {""}, "matched", ""),
        (known(listed(), sku=""), LISTED, {""}, "matched", ""),
        (known(sku=""), BOUND, {""}, "unknown", "it is bound to no SKU"),
        (known(), BOTH, {""}, "unknown", "it is no active listing of WEB"),
        (known(listed(active=False)), BOTH, {""}, "unknown", "it is no active listing of WEB"),
        (known(sku=""), BOTH, {""}, "unknown",
         "it is bound to no SKU and it is no active listing of WEB"),
        (known(), BOUND, {"", "CS"}, "matched", ""),
        (known(), BOUND, {"BX"}, "unit_conflict",
         "it counts in BX, and A has no such unit: CS, EA"),
        (known(unit="BX"), BOUND, {""}, "unit_conflict",
         "it counts in BX, and A has no such unit: CS, EA"),
        (known(listed(6)), BOTH, {""}, "unit_conflict",
         "WEB sells 6 EA under it, and its messages count 1: give its binding a unit of 6"),
        (known(listed(6), unit="CS"), BOTH, {""}, "matched", ""),
        (known(listed(1), unit="CS"), BOTH, {""}, "unit_conflict",
         "WEB sells 1 EA under it, and its messages count 6: give its binding a unit of 1"),
        (known(listed(sku="B")), BOTH, {""}, "unit_conflict",
         "WEB sells B under it, and it is bound to A"),
        (known(listed(A=1, B=2)), BOTH, {""}, "matched", ""),
    ],
)  # fmt: skip
def test_how_a_code_stands(has, needs, units, state, why):
    found = match("X", units, has, needs)
    assert (found.state, found.why) == (state, why)
    assert found.seen == tuple(sorted(units))


def test_an_unknown_code_that_one_of_our_skus_has_is_told_as_likely():
    assert match("X", {""}, known(sku="", same=True), BOUND).sku == "X"
    assert match("X", {""}, known(sku=""), BOUND).sku == ""
    assert match("X", {""}, known(listed(), sku=""), BOTH).sku == "A"


def test_every_state_is_counted():
    items = [PartnerItem(code=code, state="unknown") for code in "AB"]
    assert counts(items) == {"unit_conflict": 0, "unknown": 2, "matched": 0}
