"""What happens in the replayed world, in the order it happens.

Lines of one invoice in one minute are one document. The source keeps minutes only, so the documents
of one minute share it out evenly, in the order of the file.
"""

import datetime as dt
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final, Literal, NamedTuple

from stockwright.demo.lines import Line, Meaning, meaning

MINUTE_S: Final = 60.0
"""What the documents of one minute share; 0 lets them all come at its beginning, in a burst."""

MoveKind = Literal["receipt", "return", "inspected", "damage", "scrap", "count", "adjustment"]


class OrderLine(NamedTuple):
    """One line a customer asks for: `code` as the seller writes it, whole pieces."""

    line: str
    sku: str
    code: str
    quantity: int


class Order(NamedTuple):
    """The sale lines of one document, asked for at one moment at one seller."""

    at: dt.datetime
    invoice: str
    lines: tuple[OrderLine, ...]


class Move(NamedTuple):
    """A change of the goods themselves. quantity is signed: what the shelf gains or loses.

    A return gains nothing until it is inspected; one that fails inspection never does.
    """

    at: dt.datetime
    kind: MoveKind
    document: str
    line: str
    sku: str
    code: str
    quantity: int
    remark: str = ""
    passes: bool = True

    @property
    def gain(self) -> int:
        """Sellable pieces gained (or lost, below zero) at this moment."""
        if self.kind == "return" or not self.passes:
            return 0
        return self.quantity


Happening = Order | Move


def together(world: Iterable[Happening]) -> Iterator[Order | list[Move]]:
    """Orders as they are, and moves of one document and kind at one moment as one."""
    for key, group in groupby(world, key=_document_of):
        if isinstance(key, Order):
            yield key
        else:
            yield [step for step in group if isinstance(step, Move)]


def _document_of(happening: Happening) -> Order | tuple[dt.datetime, str, MoveKind]:
    if isinstance(happening, Order):
        return happening
    return happening.at, happening.document, happening.kind


def happenings(lines: Iterable[Line], minute_s: float = MINUTE_S) -> Iterator[Happening]:
    """Orders and moves of a file sorted by time. Repeated rows stay: a line is its number."""
    seen: dict[str, int] = {}
    for minute, rows in groupby(lines, key=lambda line: line.at):
        documents: dict[str, list[Line]] = {}
        for row in rows:
            documents.setdefault(row.invoice, []).append(row)
        for place, (invoice, members) in enumerate(documents.items()):
            at = minute + dt.timedelta(seconds=minute_s * place / len(documents))
            seen[invoice] = seen.get(invoice, 0) + 1
            yield from _document(at, _reference(invoice, seen[invoice]), members)


def _reference(invoice: str, part: int) -> str:
    """43 invoices of the year were typed over two minutes: their later part is its own document."""
    return invoice if part == 1 else f"{invoice}-{part}"


def _document(at: dt.datetime, reference: str, members: list[Line]) -> Iterator[Happening]:
    sold: list[OrderLine] = []
    for line in members:
        means = meaning(line)
        if means == "sale":
            sold.append(OrderLine(str(line.number), line.sku, line.code, line.quantity))
        elif means != "none":
            yield _move(at, reference, line, means)
    if sold:
        yield Order(at, reference, tuple(sold))


def _move(at: dt.datetime, reference: str, line: Line, means: Meaning) -> Move:
    kind: MoveKind
    quantity = line.quantity
    match means:
        case "return":
            kind, quantity = "return", -line.quantity
        case "damage" | "scrap" | "count" | "adjustment":
            kind = means
        case _:
            raise AssertionError(f"line {line.number} means {means}, which moves nothing")
    return Move(at, kind, reference, str(line.number), line.sku, line.code, quantity, line.remark)
