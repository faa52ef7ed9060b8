"""Measurements take turns, compare medians, and keep what other benches found."""

import json
from pathlib import Path

import pytest

from bench.__main__ import BENCHES, main
from bench.measure import Measure, in_turns, keep, measured
from bench.report import table

PAGE = Path(__file__).parents[2] / "docs/reference/benchmarks.md"


def test_both_sides_take_turns_and_medians_are_compared() -> None:
    order: list[str] = []
    theirs, ours = iter([100.0, 900.0, 110.0]), iter([300.0, 10.0, 330.0])

    def baseline(turn: int) -> float:
        order.append(f"baseline{turn}")
        return next(theirs)

    def product(turn: int) -> float:
        order.append(f"ours{turn}")
        return next(ours)

    found = in_turns("x", baseline, product, target=2.5)
    assert order == ["baseline0", "ours0", "baseline1", "ours1", "baseline2", "ours2"]
    assert (found.value, found.baseline, found.ratio, found.target) == (300.0, 110.0, 2.73, 2.5)


def test_a_new_result_replaces_the_old_one_of_its_name_alone(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    keep([measured("a", 1, unit="MB"), measured("b", 2, unit="MB")], file)
    keep([measured("a", 3, unit="MB", target=300)], file)
    kept = json.loads(file.read_text())
    assert [(one["name"], one["value"]) for one in kept] == [("b", 2), ("a", 3)]
    assert set(kept[1]) == {
        *("name", "value", "baseline", "ratio", "target", "unit", "load_average", "note"),
    }


def test_the_table_says_ratio_and_target_or_the_bound_of_a_plain_value() -> None:
    rows = table(
        [
            Measure(
                name="r", value=5000, baseline=2000, ratio=2.5, target=2, unit="1/s", load_average=1
            ),
            Measure(name="m", value=95.2, target=300, unit="MB", load_average=0.5),
            Measure(name="g", value=500, target=500, unit="reservations", load_average=0.5),
        ]
    ).splitlines()
    assert rows[2] == "| `r` | 5,000 1/s | 2,000 1/s | 2.50x | at least 2x | 1.0 |"
    assert rows[3] == "| `m` | 95 MB |  |  | below 300 MB | 0.5 |"
    assert rows[4].endswith("| exactly 500 reservations | 0.5 |")


def test_every_bench_is_explained_on_its_page() -> None:
    page = PAGE.read_text()
    assert [name for name in BENCHES if f"`{name}`" not in page] == []


def test_an_unknown_bench_is_refused_before_anything_starts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["ledger_spred"]) == 2
    assert "ledger_spread" in capsys.readouterr().err
