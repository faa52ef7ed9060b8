"""`stockwright export`: the item master to CSV or NDJSON files."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, TextIO

from cyclopts import Parameter
from msgspec import Struct
from rich.markup import escape

from stockwright.app import open_database
from stockwright.cli import output
from stockwright.cli.import_ import CsvKind
from stockwright.config import load_config
from stockwright.domain.errors import Rejected
from stockwright.flow.catalogue import export_csv
from stockwright.flow.master_lines import encode_row
from stockwright.store.connection import Connection, Pool
from stockwright.store.master import iterate
from stockwright.store.session import session


class Exported(Struct, kw_only=True):
    """What was written, and where."""

    kind: str
    rows: int
    file: str


def command(
    kind: CsvKind,
    file: Path | None = None,
    /,
    *,
    form: Annotated[
        Literal["csv", "ndjson"] | None,
        Parameter(name="--format", help="By default what FILE's name says, else csv."),
    ] = None,
    config: output.ConfigFile = None,
    as_json: output.AsJson = False,
) -> int:
    """Export items, units, kits, listings, bindings or locations to a CSV or NDJSON file.

    Without FILE they go to standard output, with --json as NDJSON. `stockwright import` reads the
    file back, and then changes nothing.
    """
    settings = load_config(config)
    lines = file.suffix in (".ndjson", ".jsonl") if file else as_json
    chosen = form or ("ndjson" if lines else "csv")
    with open_database(settings, lambda message: output.err().print(message)) as url:
        pool = Pool(url, size=1, application_name="stockwright export", idle_in_transaction_s=60)
        try:
            with session(pool) as connection, _opened(file) as target:
                count = _write(connection, kind, chosen, target)
        finally:
            pool.close()
    if file:
        output.emit(Exported(kind=kind, rows=count, file=str(file)), as_json, _render)
    return output.OK


def _render(exported: Exported) -> str:
    rows = "1 row" if exported.rows == 1 else f"{exported.rows:,} rows"
    return escape(f"{rows} of {exported.kind} written to {exported.file}.")


def _write(connection: Connection, kind: str, form: str, target: TextIO) -> int:
    if form == "csv":
        return export_csv(connection, kind, target)
    count = 0
    for row in iterate(connection, kind):
        target.write(encode_row(kind, row).decode() + "\n")
        count += 1
    return count


@contextlib.contextmanager
def _opened(file: Path | None) -> Iterator[TextIO]:
    if file is None:
        yield sys.stdout
        return
    try:
        target = file.open("w", encoding="utf-8", newline="")
    except OSError as failure:
        message = f"{file} cannot be written: {failure.strerror}; give another name"
        raise Rejected("unwritable", "file", message) from None
    with target:
        yield target
