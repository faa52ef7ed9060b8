"""What a replay ends with: the figures for machines, and the table for people."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stockwright.demo.oracle import Oracle, Tally
from stockwright.demo.overlay import SELLERS, Seller


class BatchFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The counterfactual: every seller fed by a batch connector."""

    interval_minutes: float
    oversold_lines: int
    oversold_units: int
    refused_servable: int


class HubFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The same orders through Stockwright. Marketplaces are all sellers that tell afterwards.

    untold_* are in marketplace_*: pieces that were gone before anybody could tell the hub, found
    missing by a seller that had asked and was granted.
    """

    oversold_lines: int
    reserved_oversold_lines: int
    reserved_oversold_units: int
    marketplace_oversold_lines: int
    marketplace_oversold_units: int
    untold_oversold_units: int
    accepted_lines: int
    accepted_units: int


class LatencyFigures(msgspec.Struct, frozen=True, kw_only=True):
    """From the event at a partner to the seller's acknowledgement, in milliseconds."""

    p50: float
    p99: float
    max: float
    samples: int


class AuditFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the books add up, and agree with the warehouse's and with the judge's.

    ok is the audit's own verdict and both comparisons; the numbers are SKUs that differ.
    """

    ok: bool
    checks: int
    failed: list[str]
    shelf_differences: int
    free_differences: int


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One replay in figures; the keys of `--exit --json FILE`."""

    profile: str
    seed: int
    orders: int
    lines: int
    units: int
    source_lines: int
    batch: BatchFigures
    stockwright: HubFigures
    refused_servable: int
    latency_ms: LatencyFigures
    duplicates_absorbed: int
    late_messages: int
    parked: int
    work_items: int
    audit: AuditFigures
    elapsed_s: float
    first_page_s: float
    sellers: dict[str, dict[str, int]]


def batch_figures(oracle: Oracle, interval_minutes: float) -> BatchFigures:
    """The batch world in figures."""
    total = oracle.total()
    return BatchFigures(
        interval_minutes=interval_minutes,
        oversold_lines=total.oversold_lines,
        oversold_units=total.oversold_units,
        refused_servable=total.refused_servable,
    )


def hub_figures(oracle: Oracle, sellers: Sequence[Seller] = SELLERS) -> HubFigures:
    """Stockwright's world in figures; every oversold piece is in exactly one of the two sorts."""
    asking = {seller.code: seller for seller in sellers if seller.way == "asks"}
    telling = {seller.code: seller for seller in sellers if seller.way != "asks"}
    asked, told, untold = oracle.total(asking), oracle.total(telling), oracle.charged_untold
    total = oracle.total()
    return HubFigures(
        oversold_lines=asked.oversold_lines + told.oversold_lines + untold.oversold_lines,
        reserved_oversold_lines=asked.oversold_lines,
        reserved_oversold_units=asked.oversold_units,
        marketplace_oversold_lines=told.oversold_lines + untold.oversold_lines,
        marketplace_oversold_units=told.oversold_units + untold.oversold_units,
        untold_oversold_units=untold.oversold_units,
        accepted_lines=total.accepted_lines,
        accepted_units=total.accepted_units,
    )


def seller_figures(sellers: Mapping[str, Tally]) -> dict[str, dict[str, int]]:
    """Each seller's doings by name of the figure, by code."""
    return {
        code: {name: getattr(tally, name) for name in Tally.__slots__}
        for code, tally in sorted(sellers.items())
    }


def as_json(outcome: Outcome) -> bytes:
    """The figures as one indented JSON document."""
    return msgspec.json.format(msgspec.json.encode(outcome), indent=2) + b"\n"


def as_table(outcome: Outcome) -> RenderableType:
    """The figures for people: batch connectors on the left, Stockwright on the right."""
    batch, hub = outcome.batch, outcome.stockwright
    head = Text.assemble(
        (f"{outcome.orders:,} orders, {outcome.lines:,} lines, {outcome.units:,} pieces", "bold"),
        f" at five sellers, in {outcome.elapsed_s:.0f} s",
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    table.add_column(f"batch, every {batch.interval_minutes:g} min", justify="right")
    table.add_column("Stockwright", justify="right", style="bold")
    rows: list[tuple[str, Any, Any]] = [
        ("lines sold that were not there", batch.oversold_lines, hub.oversold_lines),
        ("pieces sold that were not there", batch.oversold_units, _all_units(hub)),
        ("  by sellers that ask first", "", hub.reserved_oversold_units),
        ("  by sellers that tell afterwards", "", hub.marketplace_oversold_units),
        (
            "lines refused although stock was there",
            batch.refused_servable,
            outcome.refused_servable,
        ),
    ]
    for label, left, right in rows:
        table.add_row(label, _figure(left), _figure(right))
    return Group(head, Text(), table, Text(), _footer(outcome))


def _all_units(hub: HubFigures) -> int:
    return hub.reserved_oversold_units + hub.marketplace_oversold_units


def _figure(value: int | str) -> str:
    return f"{value:,}" if isinstance(value, int) else value


def _footer(outcome: Outcome) -> Text:
    latency, audit = outcome.latency_ms, outcome.audit
    verdict = (
        ("all hold", "bold green")
        if audit.ok
        else (f"FAILED: {', '.join(audit.failed) or 'books differ'}", "bold red")
    )
    return Text.assemble(
        "From the event to the seller's acknowledgement: ",
        (f"p50 {latency.p50:.0f} ms, p99 {latency.p99:.0f} ms, max {latency.max:.0f} ms", "bold"),
        f" ({latency.samples:,} numbers)\n",
        f"Messages heard twice and counted once: {outcome.duplicates_absorbed:,}; ",
        f"overtaken by later ones: {outcome.late_messages:,}\n",
        f"Proofs over the books ({audit.checks}): ",
        verdict,
        f"; SKUs that differ from the warehouse's own list: {audit.shelf_differences},"
        f" from the judge's: {audit.free_differences}",
    )
