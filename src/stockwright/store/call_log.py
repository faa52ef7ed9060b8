"""The log of calls to the API: written in batches, pruned by age and number, and shown."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from psycopg.types.json import Jsonb

from stockwright.domain.call_log import Kept
from stockwright.domain.facets import Count
from stockwright.store import queries
from stockwright.store.connection import Connection

FACETS: Final[Mapping[str, str]] = {
    "kept": "Kept because", "call": "Call", "status": "Status", "code": "Error", "caller": "Who",
}  # fmt: skip
WINDOW: Final = 20_000
"""Calls looked at for one page; calls further back are on the pages that follow."""
COUNTED_H: Final = 24
"""Hours, this one included, over which all calls are counted."""
_PRUNED: Final = 10_000
_SQL: Final = queries.load("call_log")


class CallRow(msgspec.Struct, frozen=True, kw_only=True):
    """One call as it is written down, free of secrets."""

    request_id: str
    at: dt.datetime
    kept: Kept
    method: str
    route: str
    address: str
    status: int
    caller: str
    peer: str
    took_ms: float
    bytes_in: int
    bytes_out: int
    items: int
    refused: int
    code: str
    param: str
    problem: dict[str, Any] | None
    refusals: list[dict[str, Any]]
    sequences: list[int]
    body: str | None
    body_note: str


class Counted(NamedTuple):
    """How many calls of a kind a process answered in an hour, so far."""

    worker: str
    hour: dt.datetime
    method: str
    route: str
    status: int
    calls: int


class CallLine(msgspec.Struct, frozen=True, kw_only=True):
    """One call as a list shows it. caller is `key ID` or `user NAME`, '' where it proved to be
    nobody; name is the key's own.
    """

    id: int
    request_id: str
    at: dt.datetime
    kept: Kept
    method: str
    route: str
    address: str
    status: int
    caller: str
    name: str
    took_ms: float
    bytes_in: int
    items: int
    refused: int
    code: str
    param: str


class CallView(CallLine, frozen=True, kw_only=True):
    """One call with all that was kept of it. body_note says that a body was cut or left out."""

    peer: str
    bytes_out: int
    problem: dict[str, Any] | None
    refusals: list[dict[str, Any]]
    sequences: list[int]
    body: str | None
    body_note: str


class Totals(msgspec.Struct, frozen=True):
    """All calls of some hours, kept or not: those answered 4xx and 5xx are among `calls`."""

    hours: int
    calls: int
    client_errors: int
    server_errors: int


def keep(connection: Connection, rows: Sequence[CallRow]) -> None:
    """Keeps calls. Safe to repeat."""
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(_SQL["keep"], [_arguments(row) for row in rows])


def _arguments(row: CallRow) -> dict[str, Any]:
    values = msgspec.structs.asdict(row)
    problem = None if row.problem is None else Jsonb(row.problem)
    return {**values, "problem": problem, "refusals": Jsonb(row.refusals)}


def count(connection: Connection, counts: Sequence[Counted]) -> None:
    """Keeps how many calls there were, as it stands. Safe to repeat."""
    if counts:
        with connection.cursor() as cursor:
            cursor.executemany(_SQL["count"], [one._asdict() for one in counts])


def prune(connection: Connection, *, days: int, rows: int) -> bool:
    """Removes calls older than `days` and beyond the newest `rows`, some at a time; whether more
    are left to remove.
    """
    limits = {"days": days, "rows": rows, "limit": _PRUNED}
    removed = [
        connection.execute(_SQL[query], limits).rowcount
        for query in ("prune_old", "prune_many", "prune_counts")
    ]
    return max(removed) >= _PRUNED


def rows(
    connection: Connection, asked: Mapping[str, str], *, before: int, limit: int
) -> list[CallLine]:
    """Calls below an id, newest first, among the next WINDOW of them.

    asked: a value for some FACETS, or the id of one request.
    """
    arguments = {"before": before, "limit": limit, "window": WINDOW, **_values(asked)}
    query = "rows_of_request" if asked.get("request") else "rows"
    fields = CallLine.__struct_fields__
    found = connection.execute(_SQL[query], arguments)
    return [CallLine(**dict(zip(fields, row, strict=True))) for row in found]


def bottom(connection: Connection, before: int) -> int | None:
    """The lowest id that `rows` looked at; None where nothing is further back."""
    row = connection.execute(_SQL["bottom"], {"before": before, "window": WINDOW}).fetchone()
    return None if row is None or row[0] is None else int(row[0])


def cube(connection: Connection, asked: Mapping[str, str]) -> list[Count]:
    """How many of the newest WINDOW calls (or of one request) share the values of FACETS."""
    query = "cube_of_request" if asked.get("request") else "cube"
    found = connection.execute(_SQL[query], {"window": WINDOW, **_values(asked)})
    return [Count(row[:-1], row[-1]) for row in found]


def mark(connection: Connection) -> str:
    """Changes whenever the list may have."""
    return str(connection.execute(_SQL["mark"]).fetchone())


def find(connection: Connection, call_id: int) -> CallView | None:
    """One call; None where it is not there (any more)."""
    row = connection.execute(_SQL["one"], {"id": call_id}).fetchone()
    if row is None:
        return None
    return CallView(**dict(zip(CallView.__struct_fields__, row, strict=True)))


def counted(connection: Connection, hours: int = COUNTED_H) -> Totals:
    """All calls of the last hours, this one included."""
    row = connection.execute(_SQL["counted"], {"hours": hours}).fetchone()
    assert row is not None
    return Totals(hours, *row)


def _values(asked: Mapping[str, str]) -> dict[str, str]:
    return {name: asked.get(name, "") for name in (*FACETS, "request")}
