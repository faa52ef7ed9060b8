"""The whole item master in and out: a kind as CSV or lines of JSON, all of it as lines of JSON."""

import io
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Final

import msgspec

from stockwright.api.bodies import media_type
from stockwright.api.bound import shows_row, why_not_row
from stockwright.api.call import Call
from stockwright.api.operations import Operation
from stockwright.api.problems import problem
from stockwright.api.reply import Reply, Stream, reply
from stockwright.api.streaming import CSV, NDJSON, wanted
from stockwright.flow.catalogue import csv_lines, import_csv
from stockwright.flow.csv_report import ImportReport
from stockwright.flow.ndjson_master import WHOLE, import_ndjson, line_of
from stockwright.flow.row_import import Importer
from stockwright.store import master, payloads
from stockwright.store.connection import Connection
from stockwright.store.kinds import KINDS, Key, Row
from stockwright.store.session import session

CHUNK_ROWS: Final = 1_000
SHOWN_REFUSALS: Final = 1_000
MAX_LINES: Final = 500_000
FORMS: Final = {NDJSON: None, CSV: None}
LINES: Final = {NDJSON: None}


class ImportAnswer(msgspec.Struct, kw_only=True):
    """What became of each row, by kind. Refused rows come with line, field and reason."""

    reports: list[ImportReport]


async def export_kind(call: Call) -> Reply:
    """All rows of one kind (skus, units, kits, listings, bindings, locations) in order of key."""
    kind = _kind(call)
    media = wanted(call.headers, NDJSON, CSV) or NDJSON
    write = csv_lines(kind) if media == CSV else _json_lines(kind, tagged=False)
    return await _export(call, [(kind, write)], media)


async def export_master(call: Call) -> Reply:
    """The whole item master, each line with its kind, in an order in which it can be imported."""
    parts = [(kind, _json_lines(kind, tagged=True)) for kind in WHOLE]
    return await _export(call, parts, NDJSON)


async def import_kind(call: Call) -> Reply:
    """Imports rows of one kind, CSV or lines of JSON; good ones are kept, bad ones reported."""
    kind = _kind(call)
    media = _media(call, CSV, NDJSON)
    _check_lines(call.body)
    return reply(ImportAnswer(reports=await call.slowly(_import, call, kind, media)))


async def import_master(call: Call) -> Reply:
    """Imports rows of all kinds, each line with its kind; good ones are kept, bad ones reported."""
    media = _media(call, NDJSON)
    _check_lines(call.body)
    return reply(ImportAnswer(reports=await call.slowly(_import, call, None, media)))


def _kind(call: Call) -> str:
    kind = call.path["kind"]
    if kind not in KINDS:
        detail = f"There is no kind {kind!r}; there are {', '.join(WHOLE)}."
        raise problem("not_found", detail, param="kind")
    return kind


def _media(call: Call, *known: str) -> str:
    media = media_type(call.headers).decode("latin-1")
    if media not in known:
        detail = f"Content-Type must be {' or '.join(known)}."
        raise problem("unsupported_media_type", detail, param="Content-Type")
    return media


def _check_lines(body: bytes) -> None:
    """Raises too_many: millions of lines of nothing would keep a thread busy for minutes."""
    lines = max(body.count(b"\n"), body.count(b"\r"))
    if lines > MAX_LINES:
        detail = f"A call holds at most {MAX_LINES:,} lines; this has {lines:,}."
        raise problem("too_many", detail)


_Write = Callable[[Sequence[Row]], bytes]


def _json_lines(kind: str, *, tagged: bool) -> _Write:
    return lambda rows: b"".join(line_of(kind, row, tagged=tagged) for row in rows)


async def _export(call: Call, parts: Sequence[tuple[str, _Write]], media: str) -> Stream:
    async def written() -> AsyncGenerator[bytes, None]:
        for kind, write in parts:
            cursor: Key | None = None
            while True:
                page: master.Page[Any] = await call.run(master.page, kind, cursor, master.MAX_PAGE)
                yield write([row for row in page.items if shows_row(call.caller, row)])
                cursor = page.next_cursor
                if cursor is None:
                    break

    revision = await call.run(payloads.master_revision)
    headers = ((b"stockwright-master-revision", str(revision).encode()),)
    return Stream(written(), media.encode(), headers)


def _import(call: Call, kind: str | None, media: str) -> list[ImportReport]:
    """Runs over a connection of the workers', which readers do not share."""
    where = f"POST /v1/import/{kind}" if kind else "POST /v1/import"
    importer = Importer(
        actor=call.caller.actor,
        origin=where,
        forbids=lambda row: why_not_row(call.caller, row),
        shown_refusals=SHOWN_REFUSALS,
    )
    source = io.BytesIO(call.body)
    with session(call.services.worker_pool) as connection:
        if media == CSV and kind is not None:
            return [_from_csv(connection, kind, source, importer)]
        return import_ndjson(connection, kind, source, importer=importer, chunk_rows=CHUNK_ROWS)


def _from_csv(
    connection: Connection, kind: str, source: io.BytesIO, importer: Importer
) -> ImportReport:
    return import_csv(connection, kind, source, importer=importer, chunk_rows=CHUNK_ROWS)


def operations() -> list[Operation]:
    """The rows of the route table for import and export."""
    return [
        Operation(
            method="GET",
            path="/v1/export",
            handler=export_master,
            tag="master",
            scope="master:read",
            answers={200: None},
            produces=LINES,
            problems=("busy",),
        ),
        Operation(
            method="GET",
            path="/v1/export/{kind}",
            handler=export_kind,
            tag="master",
            scope="master:read",
            answers={200: None},
            produces=FORMS,
            problems=("not_found", "busy"),
        ),
        Operation(
            method="POST",
            path="/v1/import",
            handler=import_master,
            tag="master",
            scope="master:write",
            body=bytes,
            media=(NDJSON,),
            answers={200: ImportAnswer},
            problems=("malformed", "too_many", "busy"),
            patient=True,
        ),
        Operation(
            method="POST",
            path="/v1/import/{kind}",
            handler=import_kind,
            tag="master",
            scope="master:write",
            body=bytes,
            media=(CSV, NDJSON),
            answers={200: ImportAnswer},
            problems=("not_found", "malformed", "too_many", "busy"),
            patient=True,
        ),
    ]
