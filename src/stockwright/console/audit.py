"""Who changed what, and when: the change log as a board."""

import datetime as dt
from collections.abc import Sequence

from stockwright.console.boards import Asked, Board, Rows, in_windows
from stockwright.domain.facets import Count
from stockwright.store import audit_board
from stockwright.store.connection import Connection


def _read(connection: Connection, asked: Asked, _now: dt.datetime, before: int, limit: int) -> Rows:
    found = audit_board.rows(connection, asked, before=before, limit=limit + 1)
    if asked.get("subject") and len(found) <= limit:
        return Rows(found, None)
    return in_windows(connection, found, before, limit, audit_board.bottom)


def _cube(connection: Connection, asked: Asked, _now: dt.datetime) -> Sequence[Count]:
    return audit_board.cube(connection, asked)


BOARD = Board(
    name="audit",
    title="Audit",
    template="audit.html",
    filters=("action", "actor", "subject"),
    facets=audit_board.FACETS,
    read=_read,
    cube=_cube,
    counted=audit_board.WINDOW,
    mark=audit_board.mark,
)
