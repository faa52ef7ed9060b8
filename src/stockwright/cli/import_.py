"""`stockwright import`: the item master from CSV files."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

from cyclopts import Parameter
from msgspec import Struct
from rich.markup import escape

from stockwright.cli import output
from stockwright.config import Config, database_url, load_config
from stockwright.domain.errors import Rejected
from stockwright.flow.catalogue import import_csv
from stockwright.flow.csv_report import ImportReport, RefusedRows
from stockwright.flow.master_lines import import_lines
from stockwright.store.connection import Pool
from stockwright.store.embedded import EmbeddedServer
from stockwright.store.migrate import migrate
from stockwright.store.network import apply_config
from stockwright.store.session import session

CsvKind = Literal["skus", "units", "bindings", "kits", "listings", "locations"]


class Imported(Struct, kw_only=True):
    """The report of an import, and where its refused rows are ('' if there are none)."""

    report: ImportReport
    refused_file: str


def command(
    kind: CsvKind,
    file: Path,
    /,
    *,
    refused: Annotated[
        Path | None,
        Parameter(help="Where refused rows go; by default beside FILE, as NAME.refused.csv."),
    ] = None,
    config: output.ConfigFile = None,
    as_json: output.AsJson = False,
) -> int:
    """Import items, units, kits, listings, bindings or locations from a CSV or NDJSON file.

    Good rows are imported. Every other row of a CSV file goes to the file of refused rows with its
    line, field and reason; correct it there and import that file. A file named .ndjson or .jsonl
    holds one JSON object a line; of its refused lines the first are shown. Ends with 1 where a row
    was refused. Importing the same file again changes nothing.
    """
    settings = load_config(config)
    target = refused or file.with_name(f"{file.stem}.refused.csv")
    with _opened(file, target) as source, _address(settings) as url:
        migrate(url)
        total = _count_lines(source)
        # A chunk holds no lane of the ledger, so that a busy machine may take its time over one.
        pool = Pool(url, size=1, application_name="stockwright import", idle_in_transaction_s=60)
        try:
            with (
                session(pool) as connection,
                RefusedRows(target) as rows,
                output.progress(f"Importing {kind}", total, as_json) as advance,
            ):
                apply_config(connection, settings)
                connection.commit()
                if file.suffix in (".ndjson", ".jsonl"):
                    report = import_lines(connection, kind, source, progress=advance)
                else:
                    report = import_csv(connection, kind, source, refused=rows, progress=advance)
        finally:
            pool.close()
    imported = Imported(report=report, refused_file=str(target) if report.refused else "")
    output.emit(imported, as_json, _render)
    return output.FINDINGS if report.refused else output.OK


@contextmanager
def _opened(file: Path, target: Path) -> Iterator[BinaryIO]:
    if file.absolute() == target.absolute():
        message = "refused rows cannot go to the file that is imported; give another with --refused"
        raise Rejected("same_file", "refused", message)
    try:
        source = file.open("rb")
    except OSError as failure:
        message = f"{file} cannot be read: {failure.strerror}"
        raise Rejected("unreadable", "file", message) from None
    with source:
        yield source


@contextmanager
def _address(settings: Config) -> Iterator[str]:
    url = database_url(settings)
    if url is not None:
        yield url
        return
    with EmbeddedServer.start(settings.database.data_dir or None, _tell) as server:
        yield server.url


def _tell(message: str) -> None:
    output.err().print(message)


def _count_lines(source: BinaryIO) -> int:
    """Lines of the file, for the progress bar only: rows may span several."""
    count = 0
    while block := source.read(1 << 20):
        count += block.count(b"\n")
    source.seek(0)
    return count


def _render(imported: Imported) -> str:
    report = imported.report
    rows = "1 row" if report.rows == 1 else f"{report.rows:,} rows"
    lines = [
        f"{rows} of {report.kind}: {report.new:,} new, {report.changed:,} changed, "
        f"{report.unchanged:,} unchanged, {report.refused:,} refused."
    ]
    lines += [
        escape(f"  line {refusal.line}: {refusal.field}: {refusal.reason}")
        for refusal in report.first_refusals
    ]
    more = report.refused - len(report.first_refusals)
    if more:
        lines.append(f"  and {more:,} more")
    if report.refused:
        lines.append(escape(f"Refused rows are in {imported.refused_file}; correct and import it."))
    return "\n".join(lines)
