"""What people keep at their desk: views they saved, and what they did, for as long as it can be
undone.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from psycopg.types.json import Jsonb

from stockwright.domain.errors import Rejected
from stockwright.store import queries
from stockwright.store.connection import Connection

UNDO_S: Final = 3600.0
"""For how long a deed can be undone."""
MAX_VIEWS: Final = 50
_SQL: Final = queries.load("desk")


class SavedView(msgspec.Struct, frozen=True):
    """A list as somebody likes to see it: the query string behind its address."""

    name: str
    query: str


class Deed(msgspec.Struct, frozen=True, kw_only=True):
    """One action of a person and what came of it; undone is what came of taking it back."""

    id: int
    action: str
    done_at: dt.datetime
    result: dict[str, Any]
    can_undo: bool
    undone_at: dt.datetime | None
    undone: dict[str, Any] | None


def save_view(connection: Connection, owner: str, page: str, view: SavedView) -> None:
    """Keeps a view. Raises Rejected for a name that is none, or one view too many."""
    name = view.name.strip()
    if not 0 < len(name) <= 60 or not name.isprintable():
        raise Rejected("malformed", "name", "A view's name is 1 to 60 printable characters.")
    if len(view.query) > 2_000 or not view.query.isprintable():
        raise Rejected("malformed", "query", "The filters of this view are too long to keep.")
    key = {"owner": owner, "page": page}
    row = connection.execute(_SQL["count_views"], key).fetchone()
    if row is not None and row[0] >= MAX_VIEWS:
        message = f"There are {MAX_VIEWS} views of this page; delete one first."
        raise Rejected("malformed", "name", message)
    connection.execute(_SQL["save_view"], {**key, "name": name, "query": view.query})


def drop_view(connection: Connection, owner: str, page: str, name: str) -> bool:
    """Forgets a view; False where there was none of this name."""
    arguments = {"owner": owner, "page": page, "name": name}
    return connection.execute(_SQL["drop_view"], arguments).fetchone() is not None


def saved_views(connection: Connection, owner: str, page: str) -> list[SavedView]:
    """Somebody's views of a page, by name."""
    found = connection.execute(_SQL["views"], {"owner": owner, "page": page})
    return [SavedView(*row) for row in found]


def note_deed(
    connection: Connection,
    owner: str,
    action: str,
    result: Mapping[str, Any],
    undo: Mapping[str, Any] | None,
) -> int:
    """Keeps what somebody did and what undoing it needs; its id."""
    connection.execute(_SQL["forget_old"])
    arguments = {
        "owner": owner,
        "action": action,
        "result": Jsonb(dict(result)),
        "undo": None if undo is None else Jsonb(dict(undo)),
    }
    row = connection.execute(_SQL["note_deed"], arguments).fetchone()
    assert row is not None
    return int(row[0])


def find_deed(connection: Connection, owner: str, deed_id: int) -> Deed | None:
    """One deed of somebody; None where there is none of that id, or it is somebody else's."""
    arguments = {"id": deed_id, "owner": owner, "undo_s": UNDO_S}
    row = connection.execute(_SQL["deed"], arguments).fetchone()
    if row is None:
        return None
    return Deed(**dict(zip(Deed.__struct_fields__, row, strict=True)))


def take_undo(
    connection: Connection, owner: str, deed_id: int
) -> tuple[str, dict[str, Any]] | None:
    """The action and what undoing it needs, once; None where it is too late or was undone."""
    arguments = {"id": deed_id, "owner": owner, "undo_s": UNDO_S}
    row = connection.execute(_SQL["take_undo"], arguments).fetchone()
    return None if row is None else (row[0], row[1])


def note_undone(connection: Connection, deed_id: int, undone: Mapping[str, Any]) -> None:
    """Keeps what came of undoing a deed."""
    connection.execute(_SQL["note_undone"], {"id": deed_id, "undone": Jsonb(dict(undone))})
