"""The file drop, declared."""

from typing import Annotated

from msgspec import Meta, Struct

from stockwright.sdk.declaration import Capabilities, Declaration
from stockwright.sdk.files.settings import LIMITS, FileSettings, shape_of
from stockwright.sdk.files.shapes import Cell, problem_of_cells
from stockwright.sdk.files.totals import Totals, problem_of_totals
from stockwright.sdk.mapping import Rule
from stockwright.sdk.sources import source_of

_LINE = {
    "document": "@.order",
    "line": "@.line | #",
    "item": "@.sku",
    "quantity": "@.quantity",
    "location": "@.location?",
    "occurred_at": "@.occurred_at?",
    "order": "@.order",
    "order_line": "@.line | #",
}


_GOODS = {
    "line": "@.line | #",
    "item": "@.sku",
    "quantity": "@.quantity",
    "location": "@.location",
    "lot": "@.lot?",
    "expires_on": "@.expires_on?",
    "occurred_at": "@.occurred_at?",
}
_OF_AN_ORDER = {
    "order_system": "@.order_system?",
    "order": "@.order?",
    "order_line": "@.order_line?",
}


class InboundFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind of file in the inbox: the names it matches, and what a row of it says.

    cells: its columns where no header names them. skip: rows that say nothing. totals: what it says
    about itself.
    """

    pattern: Annotated[str, Meta(min_length=1, description="file names, such as sales-*.csv")]
    rules: Annotated[tuple[Rule, ...], Meta(min_length=1, description="what a row becomes")]
    cells: tuple[Cell, ...] = ()
    skip: dict[str, str | list[str]] = {}
    totals: Totals | None = None

    def __post_init__(self) -> None:
        for source in self.skip:
            source_of(source)


DEFAULT_FILES: tuple[InboundFile, ...] = (
    InboundFile(pattern="orders*.csv", rules=(Rule(kind="channel_order", fields=_LINE),)),
    InboundFile(
        pattern="cancels*.csv",
        rules=(Rule(kind="channel_cancel", fields={**_LINE, "document": "@.cancellation"}),),
    ),
    InboundFile(
        pattern="sales*.csv",
        rules=(
            Rule(
                kind="pos_sale",
                sign="positive",
                fields={
                    "document": "@.receipt",
                    "line": "@.line | #",
                    "item": "@.sku",
                    "quantity": "@.quantity",
                    "location": "@.location",
                    "occurred_at": "@.occurred_at",
                },
            ),
            Rule(
                kind="return_receipt",
                sign="negative",
                fields={
                    "document": "@.receipt",
                    "line": "@.line | #",
                    "item": "@.sku",
                    "quantity": "@.quantity",
                    "location": "@.location",
                    "occurred_at": "@.occurred_at",
                },
            ),
        ),
    ),
    InboundFile(
        pattern="receipts*.csv",
        rules=(Rule(kind="receipt", fields={**_GOODS, "document": "@.receipt"}),),
    ),
    InboundFile(
        pattern="shipments*.csv",
        rules=(
            Rule(
                kind="shipment",
                fields={
                    **_GOODS,
                    **_OF_AN_ORDER,
                    "document": "@.shipment",
                    "final": "@.final?",
                },
            ),
        ),
    ),
    InboundFile(
        pattern="returns*.csv",
        rules=(
            Rule(
                kind="return_receipt",
                fields={**_GOODS, **_OF_AN_ORDER, "document": "@.return", "reason": "@.reason?"},
            ),
        ),
    ),
    InboundFile(
        pattern="stock*.csv",
        rules=(
            Rule(
                kind="count",
                fields={
                    "document": "@.count | $.file",
                    "line": "@.line | #",
                    "item": "@.sku",
                    "quantity": "@.quantity",
                    "location": "@.location",
                    "lot": "@.lot?",
                    "occurred_at": "@.counted_at",
                },
            ),
        ),
    ),
)


class CsvDropSettings(FileSettings, frozen=True, kw_only=True):
    """What an operator sets for one partner."""

    files: Annotated[
        tuple[InboundFile, ...],
        Meta(min_length=1, description="what files there are; the first that matches applies"),
    ] = DEFAULT_FILES

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.inbox:
            return
        header = shape_of(self).header
        for file in self.files:
            if not file.cells and (not header or self.form == "fixed"):
                raise ValueError(f"files: {file.pattern} must list its cells: no header does")
            wrong = problem_of_cells(file.cells, self.form)
            if not wrong and file.totals is not None:
                wrong = problem_of_totals(file.totals, self.form)
            if wrong:
                raise ValueError(f"files: {file.pattern} {wrong}")


DECLARATION: Declaration[CsvDropSettings] = Declaration(
    name="csv_drop",
    roles=("shop", "marketplace", "erp", "wms", "3pl", "store", "pos", "planning"),
    summary="Any partner that exchanges files of rows, through a folder or by SFTP.",
    settings=CsvDropSettings,
    limits=LIMITS,
    capabilities=Capabilities(
        versioned_writes=True, documents=("shipment", "cancellation", "refund")
    ),
    partner_docs="docs/reference/connectors/csv-drop.md",
)
