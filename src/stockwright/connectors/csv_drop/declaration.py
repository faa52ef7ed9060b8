"""The file drop, declared."""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from stockwright.sdk.declaration import Capabilities, ConnectorSettings, Declaration, Limits
from stockwright.sdk.mapping import Rule

LIMITS = Limits(
    batch_size=10_000,
    calls_per_s=1.0,
    burst=2,
    concurrency=1,
    timeout_s=30.0,
    longest_apply_delay_s=0.0,
)

Column = Literal["listing", "location", "quantity", "version"]
_COLUMNS: dict[Column, str] = {
    "listing": "listing",
    "location": "location",
    "quantity": "quantity",
    "version": "version",
}
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


class InboundFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind of file in the inbox: the names it matches, and what a row of it says."""

    pattern: Annotated[str, Meta(min_length=1, description="file names, such as sales-*.csv")]
    rules: Annotated[tuple[Rule, ...], Meta(min_length=1, description="what a row becomes")]


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


class CsvDropSettings(ConnectorSettings, frozen=True, kw_only=True):
    """What an operator sets for one partner."""

    outbox: Annotated[
        str, Meta(description="folder the levels are written to; empty: none are")
    ] = ""
    inbox: Annotated[str, Meta(description="folder its files are read from; empty: none are")] = ""
    levels_file: Annotated[
        str, Meta(pattern=r"^[^/\\.][^/\\]*$", description="name of the file of levels")
    ] = "levels.csv"
    columns: Annotated[
        dict[Column, str],
        Meta(description="our field -> the partner's column, in this order"),
    ] = field(default_factory=lambda: dict(_COLUMNS))
    control: Annotated[
        Literal["sidecar", "trailer", "none"],
        Meta(description="where rows, sum and checksum stand: a second file, or a last line"),
    ] = "sidecar"
    min_rows: Annotated[
        int, Meta(ge=0, description="the file is not written before this many levels are known")
    ] = 1
    min_share: Annotated[
        float, Meta(ge=0, le=1, description="a file may not shrink below this share of the last")
    ] = 0.9
    delimiter: Annotated[
        Literal[",", ";", "|", "\t"], Meta(description="between cells, in both directions")
    ] = ","
    encoding: Annotated[
        Literal["utf-8", "utf-8-sig", "cp1252", "iso-8859-1"],
        Meta(description="of its files, in both directions"),
    ] = "utf-8"
    files: Annotated[
        tuple[InboundFile, ...],
        Meta(min_length=1, description="what files there are; the first that matches applies"),
    ] = DEFAULT_FILES
    time_format: Annotated[
        str, Meta(description="of times in its files, as strptime takes it; empty: ISO 8601")
    ] = ""
    complete: Annotated[
        Literal["stable", "marker"],
        Meta(description="a file is whole once its size is stable, or once NAME.done lies there"),
    ] = "stable"
    stable_s: Annotated[
        float, Meta(ge=0, le=3600, description="seconds without change until a file is whole")
    ] = 2.0
    max_file_bytes: Annotated[
        int, Meta(ge=1024, le=67_108_864, description="largest file that is read")
    ] = 8_388_608
    channel: Annotated[
        str, Meta(max_length=128, description="the channel it sells on; empty: the system's code")
    ] = ""
    calls_per_s: Annotated[
        float, Meta(gt=0, le=100, description="files written per second, on average")
    ] = LIMITS.calls_per_s
    burst: Annotated[int, Meta(ge=1, le=1_000, description="files at once after a rest")] = (
        LIMITS.burst
    )

    def __post_init__(self) -> None:
        for needed in ("listing", "quantity"):
            if needed not in self.columns:
                raise ValueError(f"columns must name one for the {needed}")


DECLARATION: Declaration[CsvDropSettings] = Declaration(
    name="csv_drop",
    roles=("shop", "marketplace", "erp", "wms", "3pl", "store", "pos", "planning"),
    summary="Any partner that exchanges files of rows through a folder.",
    settings=CsvDropSettings,
    limits=LIMITS,
    capabilities=Capabilities(versioned_writes=True),
    partner_docs="docs/reference/connectors/csv-drop.md",
)
