import datetime as dt
import random
import xml.etree.ElementTree as ET
from zoneinfo import ZoneInfo

import pytest

from stockwright.console.charts import HEIGHT, WIDTH, lag_by_period, shown_against_true

SVG = "{http://www.w3.org/2000/svg}"
EIGHT = dt.datetime(2026, 3, 2, 8, 0, tzinfo=dt.UTC)


def minutes(*pairs: tuple[float, int]) -> list[tuple[dt.datetime, int]]:
    return [(EIGHT + dt.timedelta(minutes=minute), level) for minute, level in pairs]


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in parsed(svg).iter(f"{SVG}text")]


def paths(svg: str, name: str) -> list[str]:
    return [
        element.attrib["d"]
        for element in parsed(svg).iter(f"{SVG}path")
        if element.attrib["class"] == name
    ]


def test_levels_are_drawn_as_steps_that_hold_until_the_next_point():
    svg = shown_against_true(minutes((0, 100), (30, 50), (60, 0)), {}, "one")
    (line,) = paths(svg, "chart-true")
    middle = 64 + (WIDTH - 64 - 16) / 2
    assert line.startswith("M64 82")
    assert f"H{middle:.0f}V" in line
    assert line.endswith(f"V{HEIGHT - 36}H{WIDTH - 16}")
    assert "L" not in line


def test_a_channel_that_shows_more_than_there_is_gets_a_mark_for_exactly_that_time():
    true = minutes((0, 100), (15, 20), (60, 20))
    svg = shown_against_true(true, {"shop": minutes((0, 100), (30, 20))}, "late")
    (mark,) = paths(svg, "chart-oversell")
    quarter = (WIDTH - 64 - 16) / 4
    assert mark.startswith(f"M{64 + quarter:.0f} 82H{64 + 2 * quarter:.0f}V")
    assert mark.count("M") == 1


@pytest.mark.parametrize("shown", [minutes((0, 100), (15, 20)), minutes((0, 90), (14, 0))])
def test_a_channel_that_never_shows_more_than_there_is_gets_no_mark(shown):
    svg = shown_against_true(minutes((0, 100), (15, 20), (60, 20)), {"shop": shown}, "right")
    assert paths(svg, "chart-oversell") == []


def test_stock_below_zero_counts_as_none_and_stays_inside_the_picture():
    svg = shown_against_true(minutes((0, 10), (30, -4), (60, -4)), {"a": minutes((0, 0))}, "short")
    assert paths(svg, "chart-oversell") == []
    assert "0" in texts(svg)
    (line,) = paths(svg, "chart-true")
    lowest = max(float(part.split("H")[0]) for part in line.split("V")[1:])
    assert lowest == HEIGHT - 36


def test_the_axes_name_round_quantities_and_times_of_the_points_own_zone():
    berlin = [
        (at.astimezone(ZoneInfo("Europe/Berlin")), level)
        for at, level in minutes((0, 0), (55, 480))
    ]
    labels = texts(shown_against_true(berlin, {}, "zone"))
    assert labels.count("09:10") == 1
    assert {"0", "100", "200", "300", "400", "500"} <= set(labels)


def test_a_year_is_labelled_with_dates_and_thousands_are_grouped():
    points = [(EIGHT + dt.timedelta(days=day), 1000 * (day % 90)) for day in range(365)]
    labels = texts(shown_against_true(points, {}, "year"))
    assert any(label.endswith(" 2026") for label in labels)
    assert "80\u2009000" in labels


def test_the_legend_names_every_channel_once_and_breaks_lines_when_it_is_long():
    channels = {f"marketplace number {n}": minutes((0, 1)) for n in range(6)}
    svg = shown_against_true(minutes((0, 5), (10, 5)), channels, "many")
    labels = texts(svg)
    assert all(labels.count(f"shown by {channel}") == 1 for channel in channels)
    rights = [
        float(element.attrib["x"]) + 6.4 * len(element.text or "")
        for element in parsed(svg).iter(f"{SVG}text")
        if (element.text or "").startswith("shown by")
    ]
    assert max(rights) <= WIDTH


def test_hostile_text_stays_text():
    svg = shown_against_true(
        minutes((0, 5)), {'"><script>alert(1)</script>': minutes((0, 9))}, "<b>&amp;\"'"
    )
    assert "<script" not in svg
    assert "<b>" not in svg
    assert parsed(svg).findtext(f"{SVG}title") == "<b>&amp;\"'"


def test_without_a_recorded_point_the_picture_says_so():
    assert "Nothing was recorded yet." in texts(shown_against_true([], {"a": []}, "empty"))


def test_many_points_cost_no_more_than_the_picture_can_show():
    chance = random.Random(7)
    points = minutes(*((n / 10, chance.randrange(1000)) for n in range(20_000)))
    few = shown_against_true(points[:5_000], {"a": points[:5_000]}, "few")
    many = shown_against_true(points, {"a": points}, "many")
    assert len(many) < 1.5 * len(few)
    assert len(many) < 200_000


def test_the_picture_has_no_inline_style_or_script_for_the_content_policy_to_refuse():
    svg = shown_against_true(minutes((0, 5), (9, 1)), {"a": minutes((0, 9))}, "plain")
    for element in parsed(svg).iter():
        assert "style" not in element.attrib
        assert element.tag not in (f"{SVG}style", f"{SVG}script")


def lag_chart(*lags: tuple[float, float, float], budget_s: float = 5.0) -> str:
    """Lags of one hour: (minute, p50, p99)."""
    return lag_by_period(
        [(EIGHT + dt.timedelta(minutes=minute), p50, p99) for minute, p50, p99 in lags],
        "lag",
        span=(EIGHT, EIGHT + dt.timedelta(hours=1)),
        period_s=60,
        budget_s=budget_s,
    )


def test_lags_stand_in_the_middle_of_their_period_on_a_scale_of_time():
    svg = lag_chart((0, 0.5, 1.0), (1, 0.25, 2.0), budget_s=60.0)
    (p99,) = paths(svg, "chart-c1")
    (p50,) = paths(svg, "chart-c0")
    minute = (WIDTH - 64 - 16) / 60
    assert p99.startswith(f"M{64 + minute / 2:.1f} ")
    assert f"L{64 + 1.5 * minute:.1f} 82" in p99, "the highest is at the top"
    assert p50 != p99
    assert {"500 ms", "1 s", "2 s", "0"} <= set(texts(svg))


def test_a_period_without_any_lag_breaks_the_line():
    (line,) = paths(lag_chart((0, 1, 1), (1, 1, 1), (30, 1, 1)), "chart-c1")
    assert (line.count("M"), line.count("L")) == (2, 1)


def test_the_budget_is_drawn_where_it_is_near_and_told_where_it_is_not():
    def budgets(svg: str) -> list[str]:
        lines = parsed(svg).iter(f"{SVG}line")
        return [one.attrib["y1"] for one in lines if "stroke-dasharray" in one.attrib]

    near = lag_chart((0, 1, 4.0), budget_s=5.0)
    assert len(budgets(near)) == 1
    assert "latency budget 5 s" in texts(near)
    far = lag_chart((0, 0.01, 0.02), budget_s=5.0)
    assert budgets(far) == []
    assert "latency budget 5 s, above the picture" in texts(far)


def test_a_lag_chart_of_nothing_says_so():
    assert "Nothing was acknowledged in this time." in texts(lag_chart())
