"""The item master of a replay as the CSV files that `stockwright import` reads."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from stockwright.demo.lines import Line, meaning
from stockwright.demo.overlay import SELLERS

BOUND_SYSTEMS: Final = ("erp", "wms", *(seller.code for seller in SELLERS))
FILES: Final = ("skus", "bindings", "listings")
"""Kinds of file in the order in which they must be imported."""


class Item(msgspec.Struct):
    """One SKU: what the source called it last, and every way in which it wrote its code."""

    sku: str
    description: str = ""
    codes: set[str] = msgspec.field(default_factory=set)


def items_of(lines: Iterable[Line]) -> list[Item]:
    """Every SKU that a period moves, by code. The canonical code is one of its own codes."""
    found: dict[str, Item] = {}
    for line in lines:
        means = meaning(line)
        if means == "none":
            continue
        item = found.setdefault(line.sku, Item(line.sku))
        item.codes.update((line.sku, line.code))
        if means == "sale":
            item.description = line.remark or item.description
    return [found[sku] for sku in sorted(found)]


def write_files(folder: Path, items: Sequence[Item], hot: frozenset[str]) -> None:
    """Write the item master: SKUs, what each partner calls them, what each seller lists."""
    rows = {
        "skus": _skus(items, hot),
        "bindings": _bindings(items),
        "listings": _listings(items),
    }
    for name in FILES:
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as text:
            csv.writer(text, lineterminator="\n").writerows(rows[name])


def _skus(items: Sequence[Item], hot: frozenset[str]) -> Iterator[Sequence[str]]:
    yield ("code", "description", "sku_group")
    for item in items:
        yield (item.sku, item.description, "HOT" if item.sku in hot else "REGULAR")


def _bindings(items: Sequence[Item]) -> Iterator[Sequence[str]]:
    yield ("system", "partner_code", "code")
    for system in BOUND_SYSTEMS:
        for item in items:
            for code in sorted(item.codes):
                yield (system, code, item.sku)


def _listings(items: Sequence[Item]) -> Iterator[Sequence[str]]:
    yield ("channel", "code", "sku")
    for seller in SELLERS:
        for item in items:
            yield (seller.code, item.sku, item.sku)
