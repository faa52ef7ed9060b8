"""Count sheets: what was counted at a place, and what its silence means.

A cell that the sheet leaves out was not counted, unless the sheet declares that it covers the
whole place: then it holds nothing.
"""

import datetime as dt
from collections.abc import Iterable
from typing import Literal

import msgspec

from stockwright.domain.errors import Rejected
from stockwright.domain.events import Bucket, Fact


class CountLine(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One cell. counted_at is when this cell was scanned; the sheet's as_of where it is empty."""

    quantity: int
    sku: str = ""
    item: str = ""
    unit: str = ""
    lot: str = ""
    bucket: Bucket = "sellable"
    counted_at: dt.datetime | None = None


class CountSheet(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One count of one place. scope `full` covers every SKU of the declared buckets there.

    picked_included says whether units picked and not yet shipped were counted as well.
    """

    document: str
    location: str
    as_of: dt.datetime
    lines: list[CountLine]
    system: str = ""
    kind: Literal["count", "snapshot"] = "count"
    scope: Literal["listed", "full"] = "listed"
    buckets: tuple[Bucket, ...] = ("sellable",)
    picked_included: bool = True
    contained: int = 0


Cell = tuple[str, str, Bucket]
"""(sku, lot, bucket)"""


def facts(sheet: CountSheet, held: Iterable[Cell]) -> list[Fact]:
    """The sheet as facts: its lines in order, then a zero for each held cell a full sheet leaves
    out.

    `held` are the cells of the place that hold something now; SKUs named by a partner's code must
    be resolved before. Raises Rejected (malformed) where a cell stands twice, or a full sheet is
    empty: an empty file must never empty a place.
    """
    told: set[Cell] = set()
    found = []
    for n, line in enumerate(sheet.lines):
        if line.bucket not in sheet.buckets:
            raise Rejected("malformed", f"lines[{n}].bucket", "not one of the sheet's buckets")
        cell = (line.sku or line.item, line.lot, line.bucket)
        if cell in told:
            raise Rejected("malformed", f"lines[{n}]", "this cell stands twice in the sheet")
        told.add(cell)
        found.append(_fact(sheet, line))
    if sheet.scope == "full":
        if not sheet.lines:
            raise Rejected(
                "malformed",
                "lines",
                "a full sheet without lines; count something, or adjust by hand",
            )
        for sku, lot, bucket in sorted(set(held) - told):
            if bucket in sheet.buckets:
                found.append(_fact(sheet, CountLine(sku=sku, lot=lot, bucket=bucket, quantity=0)))
    return found


def _fact(sheet: CountSheet, line: CountLine) -> Fact:
    return Fact(
        kind=sheet.kind,
        system=sheet.system,
        document=sheet.document,
        line="/".join(part for part in (line.sku or line.item, line.lot, line.bucket) if part),
        sku=line.sku,
        item=line.item,
        unit=line.unit,
        lot=line.lot,
        bucket=line.bucket,
        location=sheet.location,
        quantity=line.quantity,
        occurred_at=line.counted_at or sheet.as_of,
        picked_included=sheet.picked_included,
        contained=sheet.contained,
    )
