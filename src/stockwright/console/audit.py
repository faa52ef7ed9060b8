"""Who changed what, and when: the change log as a board."""

import datetime as dt
from collections.abc import Sequence

from stockwright.console.boards import Asked, Board, Rows
from stockwright.domain.facets import Count
from stockwright.store import audit_board
from stockwright.store.connection import Connection


def _read(connection: Connection, asked: Asked, _now: dt.datetime, before: int, limit: int) -> Rows:
    found = audit_board.rows(connection, asked, before=before, limit=limit + 1)
    if len(found) > limit:
        return Rows(found[:limit], found[limit - 1].id)
    if asked.get("subject"):
        return Rows(found, None)
    reached = audit_board.bottom(connection, before)
    more = reached is not None and audit_board.bottom(connection, reached) is not None
    return Rows(found, reached if more else None)


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
