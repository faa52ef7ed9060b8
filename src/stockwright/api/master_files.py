"""The whole item master as files: one kind at a time, CSV or NDJSON, out and in."""

import csv
import io
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any, Final

from stockwright.api.call import Call
from stockwright.api.operations import Operation
from stockwright.api.problems import problem
from stockwright.api.reply import Reply, reply
from stockwright.api.streams import CSV, NDJSON, Form, Stream, form_of
from stockwright.flow.catalogue import import_csv
from stockwright.flow.csv_assembly import written
from stockwright.flow.csv_columns import COLUMNS
from stockwright.flow.csv_report import ImportReport
from stockwright.flow.master_lines import encode_row, import_lines
from stockwright.store.access import log_change
from stockwright.store.connection import Connection
from stockwright.store.kinds import KINDS, Row
from stockwright.store.master import MAX_PAGE, page_after
from stockwright.store.session import session

_LINES: Final = (b"application/x-ndjson", b"application/jsonl")
_TABLE: Final = b"text/csv"


async def export_master(call: Call) -> Reply:
    """Every row of one kind, as NDJSON or CSV by Accept, in a form that the import reads back."""
    kind = _kind(call)
    form = form_of(call.headers)
    return Stream(_chunks(call, kind, form), NDJSON if form == "ndjson" else CSV)


async def import_master(call: Call) -> Reply:
    """Saves the rows of a file of one kind, each for itself; refused ones are told by line."""
    kind = _kind(call)
    content_type = call.headers.get(b"content-type", b"").split(b";")[0].strip().lower()
    if content_type not in (*_LINES, _TABLE):
        detail = "Content-Type is application/x-ndjson or text/csv."
        raise problem("unsupported_media_type", detail, param="Content-Type")
    if kind == "bindings" and not call.caller.speaks_for(""):
        raise problem("forbidden_system", "A file of bindings may speak of any system.")
    run = import_csv if content_type == _TABLE else import_lines
    actor = f"key {call.caller.id}"
    return reply(await call.block(partial(_import, call, run, kind, actor)))


def _import(call: Call, run: Any, kind: str, actor: str) -> ImportReport:
    with session(call.services.pool) as connection:
        report: ImportReport = run(connection, kind, io.BytesIO(call.body))
        _note(connection, actor, report)
    return report


def _note(connection: Connection, actor: str, report: ImportReport) -> None:
    counts = {name: getattr(report, name) for name in ("rows", "new", "changed", "refused")}
    log_change(connection, actor, f"{report.kind}.import", report.kind, counts)


def _kind(call: Call) -> str:
    kind = call.path["kind"]
    if kind not in KINDS:
        raise problem("not_found", f"There is no kind {kind}; there are {', '.join(KINDS)}.")
    return kind


async def _chunks(call: Call, kind: str, form: Form) -> AsyncIterator[bytes]:
    if form == "csv":
        yield _table([[column.name for column in COLUMNS[kind]]])
    after = None
    while True:
        page = await call.run(page_after, kind, after, MAX_PAGE)
        if page.items:
            yield _text(kind, form, page.items)
        after = page.next_cursor
        if after is None:
            return


def _text(kind: str, form: Form, rows: Sequence[Row]) -> bytes:
    if form == "ndjson":
        return b"".join([encode_row(kind, row) + b"\n" for row in rows])
    names = [column.name for column in COLUMNS[kind]]
    return _table([[line[name] for name in names] for row in rows for line in written(row)])


def _table(rows: Sequence[Sequence[object]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode()


OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/v1/master/{kind}",
        handler=export_master,
        tag="master",
        scope="master:read",
        answers={200: None},
        problems=("not_found", "not_acceptable"),
        streams=("application/x-ndjson", "text/csv"),
        patient=True,
    ),
    Operation(
        method="POST",
        path="/v1/master/{kind}",
        handler=import_master,
        tag="master",
        scope="master:write",
        body=str,
        media=("application/x-ndjson", "text/csv"),
        answers={200: ImportReport},
        problems=("not_found", "forbidden_system"),
        patient=True,
    ),
)
