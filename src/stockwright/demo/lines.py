"""One invoice line of the data set, and what it means for stock.

The data set is "Online Retail" (see data/NOTICE.md): no receipts, no on-hand figures, no channels.
What it lacks is laid over it in `overlay`; nothing here is invented.
"""

import csv
import datetime as dt
import gzip
import importlib.resources
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Final, Literal, NamedTuple
from zoneinfo import ZoneInfo

from stockwright.domain.errors import Misconfigured

LONDON: Final = ZoneInfo("Europe/London")
"""The source's clock: local UK time to the minute, written without its zone."""

SHIPPED_FILE: Final = "days.csv.gz"
COLUMNS: Final = (
    "line_no",
    "invoice",
    "sku",
    "qty",
    "ts",
    "price",
    "customer",
    "country",
    "description",
)

SERVICE_CODES: Final = frozenset(
    ("POST", "DOT", "M", "m", "C2", "D", "S", "BANK CHARGES", "AMAZONFEE", "CRUK", "PADS", "B")
)
"""Postage, fees, discounts, samples and manual entries: no goods. Gift vouchers are a prefix."""

Meaning = Literal["sale", "return", "damage", "scrap", "count", "adjustment", "none"]

_SCRAPPED = re.compile(r"thr[oe]w|destroy|unsaleable")
_DAMAGED = re.compile(
    r"damag|dagam|wet|rust|smash|crush|crack|brok|break|mould|faulty|smudg|incorrectly made"
)
_COUNTED = re.compile(r"check|count|found|missing|lost|mystery|mia$|can't find|\?")


class Line(NamedTuple):
    """One row of the file. `number` is its only unique key; `code` is as written, case included."""

    number: int
    invoice: str
    code: str
    quantity: int
    at: dt.datetime
    price: Decimal
    customer: str
    remark: str

    @property
    def sku(self) -> str:
        """The canonical code: 112 codes of the source differ only in case."""
        return self.code.upper()


def meaning(line: Line) -> Meaning:
    """What kind of stock event a line is, by the table of the data set's notes.

    Corrections (price 0) are told apart by the clerk's remark: thrown away, damaged, found or
    missed in a check of the shelf, or anything else.
    """
    if line.invoice.startswith("A") or is_service(line.code) or line.quantity == 0:
        return "none"
    if line.invoice.startswith("C"):
        return "return"
    if line.quantity > 0 and line.price > 0:
        return "sale"
    return _correction(line)


def is_service(code: str) -> bool:
    """True for postage, fees, vouchers: codes that move no goods."""
    return code in SERVICE_CODES or code.startswith("gift_0001_")


def _correction(line: Line) -> Meaning:
    remark = line.remark.lower()
    if line.quantity < 0 and _SCRAPPED.search(remark):
        return "scrap"
    if line.quantity < 0 and _DAMAGED.search(remark):
        return "damage"
    if _COUNTED.search(remark):
        return "count"
    return "adjustment"


def read_lines(path: Path) -> Iterator[Line]:
    """The rows of a file (gzip or plain CSV) in their order; Misconfigured names the flaw."""
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8", newline="") as text:
            rows = csv.reader(text)
            header = tuple(next(rows, ()))
            if header != COLUMNS:
                raise Misconfigured(
                    "--all", f"{path} has the columns {list(header)}; needed are {list(COLUMNS)}"
                )
            for row in rows:
                yield _line(row)
    except OSError as failure:
        raise Misconfigured(
            "--all", f"cannot read {path} ({failure.strerror or failure}); name the year's file"
        ) from None


def _line(row: list[str]) -> Line:
    number, invoice, code, quantity, at, price, customer, _country, remark = row
    moment = dt.datetime.fromisoformat(at).replace(tzinfo=LONDON).astimezone(dt.UTC)
    return Line(int(number), invoice, code, int(quantity), moment, Decimal(price), customer, remark)


def shipped_lines() -> list[Line]:
    """The real days that come with the package, in their order."""
    resource = importlib.resources.files("stockwright.demo") / "data" / SHIPPED_FILE
    with importlib.resources.as_file(resource) as path:
        return list(read_lines(path))
