"""What a place holds, cell by cell."""

from collections.abc import Sequence

from stockwright.domain.count_sheets import Cell
from stockwright.store.connection import Connection
from stockwright.store.queries import load

_sql = load("ledger")


def held_cells(connection: Connection, location: str) -> list[Cell]:
    """(sku, lot, bucket) of every cell of a place that is not zero, unsorted."""
    return list(connection.execute(_sql["held_cells"], (location,)).fetchall())


def bound_items(connection: Connection, system: str, codes: Sequence[str]) -> dict[str, str]:
    """The SKUs of those of a system's codes that are bound."""
    return dict(connection.execute(_sql["bound_items"], (system, list(codes))).fetchall())
