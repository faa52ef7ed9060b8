"""`stockwright export`: the item master as CSV or as lines of JSON, for `stockwright import`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

from cyclopts import Parameter
from msgspec import Struct

from stockwright.cli import output
from stockwright.cli.master_files import Form, MasterKind, connected, form_of
from stockwright.config import load_config
from stockwright.domain.errors import Rejected
from stockwright.flow.catalogue import export_csv
from stockwright.flow.ndjson_master import WHOLE, export_ndjson
from stockwright.store.connection import Connection
from stockwright.store.master import fix_snapshot


class Exported(Struct, kw_only=True):
    """How many rows of each kind were written, and where to ('' for standard output)."""

    rows: dict[str, int]
    target: str


def command(
    kind: MasterKind,
    file: Path | None = None,
    /,
    *,
    form: Annotated[
        Form | None,
        Parameter(name="--format", help="csv or ndjson; by default what the file's name says."),
    ] = None,
    config: output.ConfigFile = None,
    as_json: output.AsJson = False,
) -> int:
    """Export items, units, kits, listings, bindings or locations, or all of them.

    Without a file the rows go to standard output. `all` is one file of JSON lines, or with
    --format csv a folder with a file for each kind. Everything is of one moment.
    """
    chosen = form_of(file, form, "ndjson" if kind == "all" else "csv")
    folder = kind == "all" and chosen == "csv"
    if file is None and (folder or as_json):
        message = "Name a folder to write the files to." if folder else "Name a file to write to."
        raise Rejected("missing", "file", message)
    with connected(load_config(config), "export") as connection:
        fix_snapshot(connection)
        if folder and file is not None:
            rows = _folder(connection, file)
        else:
            with _target(file) as target:
                rows = _one_file(connection, kind, chosen, target)
    exported = Exported(rows=rows, target=str(file) if file else "")
    if file is None:
        output.err().print(_render(exported))
    else:
        output.emit(exported, as_json, _render)
    return output.OK


def _one_file(
    connection: Connection, kind: MasterKind, form: Form, target: BinaryIO
) -> dict[str, int]:
    if kind == "all":
        return {"all": export_ndjson(connection, WHOLE, target)}
    if form == "csv":
        return {kind: export_csv(connection, kind, target)}
    return {kind: export_ndjson(connection, [kind], target)}


def _folder(connection: Connection, folder: Path) -> dict[str, int]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as failure:
        raise _unwritable(folder, failure) from None
    rows = {}
    for kind in WHOLE:
        with _target(folder / f"{kind}.csv") as target:
            rows[kind] = export_csv(connection, kind, target)
    return rows


@contextmanager
def _target(file: Path | None) -> Iterator[BinaryIO]:
    if file is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        opened = file.open("wb")
    except OSError as failure:
        raise _unwritable(file, failure) from None
    with opened:
        yield opened


def _unwritable(file: Path, failure: OSError) -> Rejected:
    message = f"{file} cannot be written: {failure.strerror}; give another name"
    return Rejected("unwritable", "file", message)


def _render(exported: Exported) -> str:
    told = ", ".join(
        f"{count:,} row{'' if count == 1 else 's'}" + ("" if kind == "all" else f" of {kind}")
        for kind, count in exported.rows.items()
    )
    return f"Exported {told}{f' to {exported.target}' if exported.target else ''}."
