"""The work list as people work through it: filtered, counted by facet, decided one or many."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final

from psycopg.types.json import Jsonb

from stockwright.domain.facets import Count, age_limits
from stockwright.store import queries
from stockwright.store.connection import Connection
from stockwright.store.worklist import WorkItemView, views

COUNTED: Final = 50_000
"""Facets count among this many of the newest rows."""
FACETS: Final[Mapping[str, str]] = {
    "kind": "Kind",
    "system": "System",
    "age": "Age",
    "assigned": "With",
}
_SQL: Final = queries.load("work_board")


def rows(
    connection: Connection,
    asked: Mapping[str, str],
    *,
    now: dt.datetime,
    before: int,
    limit: int,
) -> list[WorkItemView]:
    """Work items below an id, newest first. asked: state, sku and a value for some FACETS."""
    low, high = age_limits(asked.get("age", ""))
    state = asked.get("state") or "open"
    arguments = {
        "before": before,
        "state": state,
        "kind": asked.get("kind", ""),
        "system": asked.get("system", ""),
        "sku": asked.get("sku", ""),
        "assigned": asked.get("assigned", ""),
        "now": now,
        "age_low": low,
        "age_high": high,
        "limit": limit,
    }
    query = "open_rows" if state == "open" else "rows"
    return views(connection.execute(_SQL[query], arguments))


def cube(connection: Connection, asked: Mapping[str, str], *, now: dt.datetime) -> list[Count]:
    """How many of the newest COUNTED items share the values of FACETS."""
    query = "open_cube" if (asked.get("state") or "open") == "open" else "closed_cube"
    arguments = {"now": now, "sku": asked.get("sku", ""), "limit": COUNTED}
    found = connection.execute(_SQL[query], arguments)
    return [Count(row[:-1], row[-1]) for row in found]


def of_ids(connection: Connection, ids: Sequence[int]) -> list[WorkItemView]:
    """These work items, newest first; ids there are not are left out."""
    return views(connection.execute(_SQL["of_ids"], {"ids": list(ids)}))


def close_many(
    connection: Connection, ids: Sequence[int], *, actor: str, why: str
) -> dict[int, dt.datetime]:
    """Closes those of these that are open, and notes who did it; those it closed, with when."""
    arguments = {"ids": list(ids), "actor": actor, "why": why}
    closed = {row[0]: row[1] for row in connection.execute(_SQL["close_many"], arguments)}
    log_many(connection, actor, "work_item.close", list(closed), {"why": why})
    return closed


def reopen_many(
    connection: Connection, closed: Mapping[int, dt.datetime], *, actor: str
) -> list[int]:
    """Opens again what this person closed at these times; the ids it opened.

    What was opened and closed once more since stays closed, and so does what came up anew.
    """
    times = [at.isoformat() for at in closed.values()]
    arguments = {"ids": list(closed), "times": times, "actor": actor}
    opened = [row[0] for row in connection.execute(_SQL["reopen_many"], arguments)]
    log_many(connection, actor, "work_item.reopen", opened, {})
    return opened


def assign_many(
    connection: Connection,
    ids: Sequence[int],
    to: str,
    *,
    actor: str,
    held_by: str | None = None,
) -> dict[int, str]:
    """Gives open work items to somebody ('' for nobody); those it moved, with who had them.

    held_by: only those that this person has ('' is nobody).
    """
    arguments = {"ids": list(ids), "to": to, "held_by": held_by}
    moved = {row[0]: row[1] for row in connection.execute(_SQL["assign_many"], arguments)}
    log_many(connection, actor, "work_item.assign", list(moved), {"to": to})
    return moved


def assignable(connection: Connection) -> list[str]:
    """Users whom work can be given to, by name."""
    return [row[0] for row in connection.execute(_SQL["assignable"])]


def log_many(
    connection: Connection,
    actor: str,
    action: str,
    subjects: Sequence[Any],
    detail: Mapping[str, Any],
) -> None:
    """Notes one change of many subjects, a line each."""
    if subjects:
        arguments = {
            "actor": actor,
            "action": action,
            "subjects": [str(one) for one in subjects],
            "detail": Jsonb(dict(detail)),
        }
        connection.execute(_SQL["log_many"], arguments)


def mark(connection: Connection) -> str:
    """Changes whenever the list may have."""
    return str(connection.execute(_SQL["mark"]).fetchone())
