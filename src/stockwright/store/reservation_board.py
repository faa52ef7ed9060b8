"""Reservations as people look at them: demand lines by state, channel and SKU, and their past."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from stockwright.domain.facets import Count
from stockwright.store import queries
from stockwright.store.connection import Connection

FACETS: Final[Mapping[str, str]] = {"state": "State", "channel": "Channel", "system": "System"}
WINDOW: Final = 20_000
"""Demand lines looked at for one page; lines further back are on the pages that follow."""
_SQL: Final = queries.load("reservation_board")


class DemandRow(msgspec.Struct, frozen=True, kw_only=True):
    """One demand line in base units; held is what is reserved, allocated or picked for it now."""

    id: int
    system: str
    order: str
    line: str
    sku: str
    channel: str
    state: str
    ordered: int
    shipped: int
    cancelled: int
    returned: int
    expires_at: dt.datetime | None
    held: int


class TransitionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a line: the state it entered, and the event that did it."""

    line: str
    n: int
    state: str
    sequence: int
    kind: str
    system: str
    document: str
    recorded_at: dt.datetime


def rows(
    connection: Connection, asked: Mapping[str, str], *, before: int, limit: int
) -> list[DemandRow]:
    """Demand lines below an id, newest first, among the next WINDOW of them.

    asked: a value for some FACETS; with a sku, the lines that hold units of it, all of them.
    """
    arguments = {"before": before, "limit": limit, "window": WINDOW, **_values(asked)}
    query = "rows_of_sku" if asked.get("sku") else "rows"
    return _rows(connection.execute(_SQL[query], arguments))


def bottom(connection: Connection, before: int) -> int | None:
    """The lowest id that `rows` looked at; None where nothing is further back."""
    arguments = {"before": before, "window": WINDOW}
    row = connection.execute(_SQL["bottom"], arguments).fetchone()
    return None if row is None or row[0] is None else int(row[0])


def cube(connection: Connection, asked: Mapping[str, str]) -> list[Count]:
    """How many of the newest WINDOW lines (of those that hold a SKU) share the FACETS' values."""
    query = "cube_of_sku" if asked.get("sku") else "cube"
    found = connection.execute(_SQL[query], {"window": WINDOW, **_values(asked)})
    return [Count(row[:-1], row[-1]) for row in found]


def of_ids(connection: Connection, ids: Sequence[int]) -> list[DemandRow]:
    """These demand lines, newest first."""
    return _rows(connection.execute(_SQL["of_ids"], {"ids": list(ids)}))


def of_order(connection: Connection, system: str, order: str) -> list[DemandRow]:
    """The demand lines of one order, by line."""
    return _rows(connection.execute(_SQL["of_order"], {"system": system, "order": order}))


def transitions(connection: Connection, system: str, order: str) -> list[TransitionRow]:
    """What the lines of an order went through, newest first, at most 500 steps."""
    fields = TransitionRow.__struct_fields__
    found = connection.execute(_SQL["transitions"], {"system": system, "order": order})
    return [TransitionRow(**dict(zip(fields, row, strict=True))) for row in found]


def mark(connection: Connection) -> str:
    """Changes whenever the newest lines may have."""
    return str(connection.execute(_SQL["mark"]).fetchone())


def _values(asked: Mapping[str, str]) -> dict[str, str]:
    return {name: asked.get(name, "") for name in (*FACETS, "sku")}


def _rows(found: Any) -> list[DemandRow]:
    fields = DemandRow.__struct_fields__
    return [DemandRow(**dict(zip(fields, row, strict=True))) for row in found]
