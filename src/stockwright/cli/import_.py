"""`stockwright import`: the item master from CSV files or from lines of JSON."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

from cyclopts import Parameter
from msgspec import Struct
from rich.markup import escape

from stockwright.cli import output
from stockwright.cli.master_files import Form, MasterKind, connected, form_of
from stockwright.config import load_config
from stockwright.domain.errors import Rejected
from stockwright.flow.catalogue import import_csv
from stockwright.flow.configuring import start_with
from stockwright.flow.csv_report import ImportReport, RefusedRows
from stockwright.flow.ndjson_master import WHOLE, RefusedLines, import_ndjson
from stockwright.flow.row_import import Importer
from stockwright.store.connection import Connection
from stockwright.store.history import Said


class Imported(Struct, kw_only=True):
    """The report of an import, and where its refused rows are ('' if there are none)."""

    report: ImportReport
    refused_file: str


class ImportedAll(Struct, kw_only=True):
    """The reports of an import of all kinds, and where refused rows are ('' if there are none)."""

    reports: list[ImportReport]
    refused_file: str


def command(
    kind: MasterKind,
    file: Path,
    /,
    *,
    refused: Annotated[
        Path | None,
        Parameter(help="Where refused rows go; by default beside FILE, as NAME.refused.csv."),
    ] = None,
    form: Annotated[
        Form | None,
        Parameter(name="--format", help="csv or ndjson; by default what the file's name says."),
    ] = None,
    config: output.ConfigFile = None,
    as_json: output.AsJson = False,
) -> int:
    """Import items, units, kits, listings, bindings or locations, or all of them.

    Good rows are imported. Every other row goes to the file of refused rows with its line, field
    and reason; correct it there and import that file. Ends with 1 where a row was refused.
    Importing the same file again changes nothing. `all` takes what `stockwright export all` wrote:
    a file of JSON lines, or a folder with a CSV file for each kind.
    """
    settings = load_config(config)
    with connected(settings, "import") as connection:
        said = Said(actor=output.person(), source="file", reason=f"import {kind}")
        start_with(connection, settings, said)
        connection.commit()
        if kind == "all" and file.is_dir():
            reports = [
                _file(connection, one, path, None, "csv", as_json) for one, path in _in(file)
            ]
            written = str(file / "*.refused.csv")
            return _told(ImportedAll(reports=reports, refused_file=written), as_json)
        if kind == "all":
            lines, target = _all(connection, file, refused, as_json)
            return _told(ImportedAll(reports=lines, refused_file=str(target)), as_json)
        chosen = form_of(file, form, "csv")
        report = _file(connection, kind, file, refused, chosen, as_json)
    target = _beside(file, refused, chosen)
    imported = Imported(report=report, refused_file=str(target) if report.refused else "")
    output.emit(imported, as_json, lambda one: shown([one.report], one.refused_file))
    return output.FINDINGS if report.refused else output.OK


def _told(imported: ImportedAll, as_json: bool) -> int:
    refused = any(report.refused for report in imported.reports)
    if not refused:
        imported.refused_file = ""
    output.emit(imported, as_json, lambda one: shown(one.reports, one.refused_file))
    return output.FINDINGS if refused else output.OK


def _in(folder: Path) -> list[tuple[MasterKind, Path]]:
    """The files of a folder that an export wrote, in the order in which they can be imported."""
    found: list[tuple[MasterKind, Path]] = [
        (kind, folder / f"{kind}.csv") for kind in WHOLE if (folder / f"{kind}.csv").is_file()
    ]
    if not found:
        names = ", ".join(f"{kind}.csv" for kind in WHOLE)
        raise Rejected("unreadable", "file", f"{folder} holds none of {names}")
    return found


def _beside(file: Path, refused: Path | None, form: Form) -> Path:
    return refused or file.with_name(f"{file.stem}.refused.{form}")


def _file(
    connection: Connection,
    kind: MasterKind,
    file: Path,
    refused: Path | None,
    form: Form,
    as_json: bool,
) -> ImportReport:
    target = _beside(file, refused, form)
    importer = Importer(actor=output.person(), origin=file.name)
    with _opened(file, target) as source, _progress(kind, source, as_json) as advance:
        if form == "csv":
            with RefusedRows(target) as rows:
                return import_csv(
                    connection, kind, source, importer=importer, refused=rows, progress=advance
                )
        with RefusedLines(target) as lines:
            (report,) = import_ndjson(
                connection, kind, source, importer=importer, refused=lines, progress=advance
            )
            return report


def _all(
    connection: Connection, file: Path, refused: Path | None, as_json: bool
) -> tuple[list[ImportReport], Path]:
    target = _beside(file, refused, "ndjson")
    importer = Importer(actor=output.person(), origin=file.name)
    with (
        _opened(file, target) as source,
        _progress("all", source, as_json) as advance,
        RefusedLines(target) as lines,
    ):
        reports = import_ndjson(
            connection, None, source, importer=importer, refused=lines, progress=advance
        )
    return reports, target


@contextmanager
def _progress(kind: MasterKind, source: BinaryIO, as_json: bool) -> Iterator[Callable[[int], None]]:
    with output.progress(f"Importing {kind}", _count_lines(source), as_json) as advance:
        yield advance


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


def _count_lines(source: BinaryIO) -> int:
    """Lines of the file, for the progress bar only: rows may span several."""
    count = 0
    while block := source.read(1 << 20):
        count += block.count(b"\n")
    source.seek(0)
    return count


def shown(reports: list[ImportReport], refused_file: str) -> str:
    """What imports did, for people."""
    lines = [line for report in reports for line in _lines(report)]
    if refused_file:
        lines.append(escape(f"Refused rows are in {refused_file}; correct and import it."))
    return "\n".join(lines)


def _lines(report: ImportReport) -> list[str]:
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
    return lines
