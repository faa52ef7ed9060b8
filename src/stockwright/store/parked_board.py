"""Parked payloads as people work through them: filtered, counted, resumed or set aside in bulk."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Final

from stockwright.domain.facets import Count, age_limits
from stockwright.store import queries
from stockwright.store.connection import Connection
from stockwright.store.payloads import WAKE_UP, PayloadView, views
from stockwright.store.work_board import log_many

FACETS: Final[Mapping[str, str]] = {"system": "From", "subject": "Misses", "age": "Age"}
COUNTED: Final = 50_000
"""Facets count among this many of the newest rows."""
_SQL: Final = queries.load("parked_board")


def rows(
    connection: Connection,
    asked: Mapping[str, str],
    *,
    now: dt.datetime,
    before: int,
    limit: int,
) -> list[PayloadView]:
    """Parked payloads below an id, newest first. asked: missing and a value for some FACETS."""
    low, high = age_limits(asked.get("age", ""))
    arguments = {
        "before": before,
        "system": asked.get("system", ""),
        "subject": asked.get("subject", ""),
        "missing": asked.get("missing", ""),
        "now": now,
        "age_low": low,
        "age_high": high,
        "limit": limit,
    }
    query = "discarded_rows" if asked.get("state") == "discarded" else "rows"
    return views(connection.execute(_SQL[query], arguments))


def cube(connection: Connection, asked: Mapping[str, str], *, now: dt.datetime) -> list[Count]:
    """How many of the newest COUNTED parked payloads share the values of FACETS."""
    arguments = {"now": now, "missing": asked.get("missing", ""), "limit": COUNTED}
    return [Count(row[:-1], row[-1]) for row in connection.execute(_SQL["cube"], arguments)]


def of_ids(connection: Connection, ids: Sequence[int]) -> list[PayloadView]:
    """These payloads, newest first; ids there are not are left out."""
    return views(connection.execute(_SQL["of_ids"], {"ids": list(ids)}))


def resume_many(connection: Connection, ids: Sequence[int], *, actor: str) -> list[int]:
    """Sends those of these that are parked to work again; the ids it sent."""
    sent = [row[0] for row in connection.execute(_SQL["resume_many"], {"ids": list(ids)})]
    if sent:
        connection.execute("select pg_notify(%s, '')", [WAKE_UP])
    log_many(connection, actor, "payload.resume", sent, {})
    return sent


def discard_many(
    connection: Connection, ids: Sequence[int], *, actor: str, why: str
) -> dict[int, tuple[str, dt.datetime]]:
    """Sets those of these aside that are parked; each with the reason it had, and when."""
    arguments = {"ids": list(ids), "why": f" (discarded: {why})"}
    aside = {
        row[0]: (row[1], row[2]) for row in connection.execute(_SQL["discard_many"], arguments)
    }
    log_many(connection, actor, "payload.discard", list(aside), {"why": why})
    return aside


def restore_many(
    connection: Connection, aside: Mapping[int, tuple[str, dt.datetime]], *, actor: str
) -> list[int]:
    """Parks payloads again that were set aside at these times, with these reasons; their ids.

    What was parked and set aside once more since stays aside.
    """
    reasons = [reason for reason, _ in aside.values()]
    times = [at.isoformat() for _, at in aside.values()]
    arguments = {"ids": list(aside), "reasons": reasons, "times": times}
    parked = [row[0] for row in connection.execute(_SQL["restore_many"], arguments)]
    log_many(connection, actor, "payload.restore", parked, {})
    return parked


def missing_same(connection: Connection, system: str, missing: str) -> int:
    """How many parked payloads of a system miss this code ("item:CODE")."""
    arguments = {"system": system, "missing": missing}
    row = connection.execute(_SQL["missing_same"], arguments).fetchone()
    assert row is not None
    return int(row[0])


def mark(connection: Connection) -> str:
    """Changes whenever the list may have."""
    return str(connection.execute(_SQL["mark"]).fetchone())
