"""Writes the table of docs/reference/benchmarks.md from results.json: `python -m bench.report`."""

from pathlib import Path

import msgspec

from bench.measure import RESULTS, Measure

PAGE = Path(__file__).parents[1] / "docs/reference/benchmarks.md"
BEGIN, END = "<!-- results -->\n", "<!-- end of results -->\n"


def table(results: list[Measure]) -> str:
    """The results as a Markdown table."""
    rows = [
        "| bench | Stockwright | baseline | ratio | target | load average |",
        "|---|---|---|---|---|---|",
    ]
    for one in results:
        baseline = "" if one.baseline is None else f"{one.baseline:,.0f} {one.unit}"
        ratio = "" if one.ratio is None else f"{one.ratio:.2f}x"
        rows.append(
            f"| `{one.name}` | {one.value:,.0f} {one.unit} | {baseline} | {ratio} "
            f"| {_target(one)} | {one.load_average:.1f} |"
        )
    return "\n".join(rows) + "\n"


def _target(one: Measure) -> str:
    if one.target is None:
        return ""
    if one.ratio is not None and one.unit.endswith("at most"):
        return f"at most {one.target:g}x"
    if one.ratio is not None:
        return f"at least {one.target:g}x"
    exact = one.unit == "reservations"
    return f"{'exactly' if exact else 'below'} {one.target:g} {one.unit}"


def main() -> None:
    results = msgspec.json.decode(RESULTS.read_bytes(), type=list[Measure])
    before, _, rest = PAGE.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(before + BEGIN + table(results) + END + after)


if __name__ == "__main__":
    main()
