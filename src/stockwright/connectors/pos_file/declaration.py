"""Sales files of tills, declared."""

import re
from typing import Annotated, Final, Literal

from msgspec import Meta, field

from stockwright.domain.errors import Misconfigured
from stockwright.sdk.declaration import Capabilities, Declaration
from stockwright.sdk.files.settings import LIMITS, FileSettings, shape_of
from stockwright.sdk.files.shapes import Cell, problem_of_cells
from stockwright.sdk.files.totals import Totals, problem_of_totals
from stockwright.sdk.local_time import zone_of

Field = Literal[
    "store",
    "terminal",
    "receipt",
    "line",
    "sku",
    "ean",
    "quantity",
    "type",
    "time",
    "date",
    "business_date",
    "lot",
]
Meaning = Literal["sale", "return", "void", "ignore"]
NEEDED: Final[tuple[Field, ...]] = ("store", "receipt", "quantity", "time")
_READS: Final[dict[Field, str]] = {
    "store": "store",
    "terminal": "terminal",
    "receipt": "receipt",
    "line": "line",
    "sku": "sku",
    "quantity": "quantity",
    "time": "time",
}
_COLUMN: Final = re.compile(r"[^.\[\]{}|?@#=$]+")


class PosFileSettings(FileSettings, frozen=True, kw_only=True):
    """What an operator sets for the tills of one retail system."""

    pattern: Annotated[
        str, Meta(min_length=1, description="names of its sales files; others are quarantined")
    ] = "*"
    reads: Annotated[
        dict[Field, str],
        Meta(description="our field -> the column of a sales file that holds it"),
    ] = field(default_factory=lambda: dict(_READS))
    cells: Annotated[
        tuple[Cell, ...],
        Meta(description="columns of a sales file in order or by position, without a header"),
    ] = ()
    totals: Annotated[
        Totals | None,
        Meta(description="where a sales file says how many rows it has and their sum"),
    ] = None
    types: Annotated[
        dict[str, Meaning],
        Meta(description="text of the column for type -> sale, return, void or ignore"),
    ] = field(default_factory=dict)
    returns_to: Annotated[
        Literal["inspection", "sellable"],
        Meta(description="where a customer's returns go: looked at first, or back on the shelf"),
    ] = "inspection"
    receipts_restart: Annotated[
        Literal["daily", "yearly", "never"],
        Meta(description="how often a till begins its receipt numbers anew"),
    ] = "daily"
    store_zones: Annotated[
        dict[str, str],
        Meta(description="store code -> IANA zone, where it is not the system's time_zone"),
    ] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        for needed in NEEDED:
            if needed not in self.reads:
                raise ValueError(f"reads must name the column for the {needed}")
        if "sku" not in self.reads and "ean" not in self.reads:
            raise ValueError("reads must name the column for the sku or the ean")
        for name, column in self.reads.items():
            if not _COLUMN.fullmatch(column):
                raise ValueError(f"reads: the column for the {name} has a character of paths in it")
        if ("type" in self.reads) != bool(self.types):
            raise ValueError("types must say what each text of the column for the type means")
        self._check_places()
        self._check_zones()

    def _check_places(self) -> None:
        if not self.inbox:
            return
        if not self.cells and (self.form == "fixed" or not shape_of(self).header):
            raise ValueError("cells must list the columns: no header does")
        wrong = problem_of_cells(self.cells, self.form)
        if wrong:
            raise ValueError(f"cells {wrong}")
        if self.totals is not None:
            wrong = problem_of_totals(self.totals, self.form)
            if wrong:
                raise ValueError(f"a sales file {wrong}")

    def _check_zones(self) -> None:
        for store, zone in self.store_zones.items():
            try:
                zone_of(zone)
            except Misconfigured:
                raise ValueError(f"store_zones: {zone!r} of {store} is no IANA zone") from None


DECLARATION: Declaration[PosFileSettings] = Declaration(
    name="pos_file",
    roles=("pos", "store", "erp"),
    summary="Tills whose sales and returns come as files, and that take stock as a file.",
    settings=PosFileSettings,
    limits=LIMITS,
    capabilities=Capabilities(
        versioned_writes=True, documents=("shipment", "cancellation", "refund")
    ),
    partner_docs="docs/reference/connectors/pos-file.md",
)
