"""What a measurement is, how it is taken in turns, and where the results are kept."""

import json
import os
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

RESULTS = Path(__file__).parent / "results.json"
TURNS = 3
TURN_S = 6


class Measure(msgspec.Struct, kw_only=True):
    """One result. target is what `ratio` must reach, or `value` where there is no baseline.

    A unit of `at most` turns that around: the ratio must not pass it. note: under which conditions.
    """

    name: str
    value: float
    baseline: float | None = None
    ratio: float | None = None
    target: float | None = None
    unit: str
    load_average: float
    note: str = ""


def tell(text: str) -> None:
    """Progress, for people."""
    print(text, file=sys.stderr, flush=True)


def in_turns(
    name: str,
    baseline: Callable[[int], float],
    ours: Callable[[int], float],
    *,
    target: float | None,
    unit: str = "1/s",
    turns: int = TURNS,
) -> Measure:
    """Takes both in turns, A B A B, and compares the medians; each call gets the turn's number."""
    theirs_all, ours_all = [], []
    for turn in range(turns):
        theirs_all.append(baseline(turn))
        ours_all.append(ours(turn))
        tell(
            f"{name} turn {turn + 1}/{turns}: baseline {theirs_all[-1]:,.0f}, "
            f"ours {ours_all[-1]:,.0f} {unit} ({ours_all[-1] / theirs_all[-1]:.2f}x)"
        )
    return measured(
        name,
        statistics.median(ours_all),
        baseline=statistics.median(theirs_all),
        target=target,
        unit=unit,
    )


def measured(
    name: str,
    value: float,
    *,
    unit: str,
    baseline: float | None = None,
    target: float | None = None,
) -> Measure:
    """A result with its ratio and the machine's load as it is now."""
    return Measure(
        name=name,
        value=round(value, 1),
        baseline=None if baseline is None else round(baseline, 1),
        ratio=None if baseline is None else round(value / baseline, 2),
        target=target,
        unit=unit,
        load_average=round(os.getloadavg()[0], 2),
    )


def keep(new: list[Measure], path: Path = RESULTS) -> None:
    """Puts results in the place of older ones of the same name, and leaves the others."""
    old = msgspec.json.decode(path.read_bytes(), type=list[Measure]) if path.exists() else []
    names = {one.name for one in new}
    together = [one for one in old if one.name not in names] + new
    path.write_text(json.dumps(msgspec.to_builtins(together), indent=2) + "\n")
