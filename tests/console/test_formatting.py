import datetime as dt
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockwright.console import formatting as f

NOW = dt.datetime(2026, 3, 2, 10, 30, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (999, "999"), (1000, "1\u2009000"), (-1234567, "\u22121\u2009234\u2009567"),
        (None, "–"),
    ],
)  # fmt: skip
def test_quantities_are_grouped_by_thousands_with_a_true_minus(value, text):
    assert f.number(value) == text


def test_changes_always_carry_their_sign():
    assert [f.signed(value) for value in (5, 0, -5)] == ["+5", "0", "\u22125"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"), (0.0004, "0 ms"), (0.042, "42 ms"), (0.9996, "1.0 s"), (1.34, "1.3 s"),
        (9.949, "9.9 s"), (9.96, "10 s"), (61, "61 s"), (240, "4 min"), (5969, "99 min"),
        (7500, "2 h 05"), (172_799, "48 h 00"), (3 * 86_400, "3 d"),
    ],
)  # fmt: skip
def test_durations_are_as_short_as_they_stay_meaningful(value, text):
    assert f.seconds(value) == text


@pytest.mark.parametrize(
    ("passed_s", "text"),
    [(0.4, "just now"), (-5, "just now"), (9, "9 s ago"), (70, "70 s ago"), (120, "2 min ago")],
)
def test_ages_are_whole_seconds_and_never_negative(passed_s, text):
    assert f.ago(NOW - dt.timedelta(seconds=passed_s), NOW) == text


def test_what_never_happened_has_no_age():
    assert (f.ago(None, NOW), f.age(None, NOW), f.clock(None, NOW), f.exact(None)) == (
        "–", "–", "–", "",
    )  # fmt: skip


def test_times_of_another_day_carry_their_date_and_every_zone_becomes_utc():
    berlin = dt.timezone(dt.timedelta(hours=1))
    assert f.clock(dt.datetime(2026, 3, 2, 11, 0, tzinfo=berlin), NOW) == "10:00:00"
    assert f.clock(dt.datetime(2026, 3, 2, 0, 30, tzinfo=berlin), NOW) == "01 Mar 2026 23:30:00"


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=40))
def test_the_address_of_any_code_leads_back_to_it(sku):
    parts = urlsplit(f.item_url(sku))
    assert parts.fragment == ""
    if parts.path == "/item":
        assert parse_qs(parts.query, keep_blank_values=True)["sku"] == [sku]
    else:
        assert parts.query == ""
        assert unquote(parts.path.removeprefix("/items/")) == sku
        assert not sku.endswith(".json")
