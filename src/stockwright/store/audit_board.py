"""The change log as people look at it: by action, by who did it, or all of one subject."""

from collections.abc import Mapping
from typing import Final

from stockwright.domain.facets import Count
from stockwright.store import queries
from stockwright.store.access import Change
from stockwright.store.connection import Connection

FACETS: Final[Mapping[str, str]] = {"action": "Action", "actor": "Who"}
WINDOW: Final = 20_000
"""Lines looked at for one page; lines further back are on the pages that follow."""
_SQL: Final = queries.load("audit_board")


def rows(
    connection: Connection, asked: Mapping[str, str], *, before: int, limit: int
) -> list[Change]:
    """Lines below an id, newest first. asked: subject and a value for some FACETS."""
    arguments = {"before": before, "limit": limit, "window": WINDOW, **_values(asked)}
    query = "rows_of_subject" if asked.get("subject") else "rows"
    fields = Change.__struct_fields__
    found = connection.execute(_SQL[query], arguments)
    return [Change(**dict(zip(fields, row, strict=True))) for row in found]


def bottom(connection: Connection, before: int) -> int | None:
    """The lowest id that `rows` looked at; None where nothing is further back."""
    row = connection.execute(_SQL["bottom"], {"before": before, "window": WINDOW}).fetchone()
    return None if row is None or row[0] is None else int(row[0])


def cube(connection: Connection, asked: Mapping[str, str]) -> list[Count]:
    """How many of the newest WINDOW lines share the values of FACETS."""
    query = "cube_of_subject" if asked.get("subject") else "cube"
    found = connection.execute(_SQL[query], {"window": WINDOW, **_values(asked)})
    return [Count(row[:-1], row[-1]) for row in found]


def mark(connection: Connection) -> str:
    """Changes whenever the list may have."""
    return str(connection.execute(_SQL["mark"]).fetchone())


def _values(asked: Mapping[str, str]) -> dict[str, str]:
    return {name: asked.get(name, "") for name in (*FACETS, "subject")}
