"""Work items: what a person must decide; the board and one item's page."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from stockwright.console.actions import Action, Done, Effect, Field, Values, counted
from stockwright.console.addresses import number_in
from stockwright.console.boards import Asked, Board, Rows
from stockwright.console.pages import message, page, twin
from stockwright.console.reading import Reader
from stockwright.domain.errors import Rejected
from stockwright.domain.facets import Count
from stockwright.domain.work_words import MEANINGS
from stockwright.store import audit_board, positions, work_board, worklist
from stockwright.store.access import Change
from stockwright.store.connection import Connection
from stockwright.store.worklist import WorkItemView

NOBODY = "nobody"


def _read(connection: Connection, asked: Asked, now: dt.datetime, before: int, limit: int) -> Rows:
    found = work_board.rows(connection, asked, now=now, before=before, limit=limit + 1)
    return Rows(found[:limit], found[limit - 1].id if len(found) > limit else None)


def _cube(connection: Connection, asked: Asked, now: dt.datetime) -> Sequence[Count]:
    return work_board.cube(connection, asked, now=now)


def _open_ones(connection: Connection, ids: Sequence[int]) -> tuple[list[WorkItemView], int]:
    """Those of these that are open, and how many are not."""
    items = [one for one in work_board.of_ids(connection, ids) if one.closed_at is None]
    return items, len(ids) - len(items)


def _effect(connection: Connection, ids: Sequence[int], _values: Values) -> Effect:
    items, others = _open_ones(connection, ids)
    lines = [f"{one.kind.replace('_', ' ')}: {one.subject}" for one in items]
    return Effect(
        will=len(items),
        wont={"closed before": others} if others else {},
        lines=counted(lines, len(items)),
    )


def _close(connection: Connection, ids: Sequence[int], values: Values, actor: str) -> Done:
    closed = work_board.close_many(connection, ids, actor=actor, why=values["why"])
    others = len(ids) - len(closed)
    return Done(
        done=len(closed),
        wont={"closed before": others} if others else {},
        undo={"closed": {str(number): at.isoformat() for number, at in closed.items()}},
    )


def _reopen(connection: Connection, needed: Mapping[str, Any], actor: str) -> int:
    closed = {int(n): dt.datetime.fromisoformat(at) for n, at in needed.get("closed", {}).items()}
    return len(work_board.reopen_many(connection, closed, actor=actor))


def _assign(connection: Connection, ids: Sequence[int], values: Values, actor: str) -> Done:
    to = "" if values["to"] == NOBODY else values["to"]
    if to and to not in [name for name, _ in _whom(connection, actor.removeprefix("user "))]:
        raise Rejected("malformed", "to", f"Nobody called {to!r} may decide work items.")
    moved = work_board.assign_many(connection, ids, to, actor=actor)
    others = len(ids) - len(moved)
    return Done(
        done=len(moved),
        wont={"closed, or theirs before": others} if others else {},
        undo={"to": to, "before": {str(number): name for number, name in moved.items()}},
    )


def _give_back(connection: Connection, needed: Mapping[str, Any], actor: str) -> int:
    """Gives work back to who had it, where it was not passed on since."""
    by_name: dict[str, list[int]] = {}
    for number, name in needed["before"].items():
        by_name.setdefault(name, []).append(int(number))
    return sum(
        len(work_board.assign_many(connection, ids, name, actor=actor, held_by=needed.get("to")))
        for name, ids in by_name.items()
    )


def _whom(connection: Connection, owner: str) -> Sequence[tuple[str, str]]:
    """Who can be given work: the visitor first, then the others, then nobody."""
    names = [name for name in work_board.assignable(connection) if name != owner]
    return [(owner, f"{owner} (you)"), *((name, name) for name in names), (NOBODY, NOBODY)]


CLOSE = Action(
    name="work_item.close",
    label="Close",
    told="Closed",
    preview=_effect,
    apply=_close,
    undo=_reopen,
    fields=(Field(name="why", label="Why", hint="what was done about it; kept in the change log"),),
)
ASSIGN = Action(
    name="work_item.assign",
    label="Assign",
    told="Assigned",
    preview=_effect,
    apply=_assign,
    undo=_give_back,
    fields=(Field(name="to", label="To", kind="choice"),),
    choices={"to": _whom},
)
BOARD = Board(
    name="work-items",
    title="Work items",
    template="work.html",
    filters=("state", "kind", "system", "age", "assigned", "sku"),
    facets=work_board.FACETS,
    tabs=(("", "Open"), ("closed", "Closed")),
    read=_read,
    cube=_cube,
    counted=work_board.COUNTED,
    mark=work_board.mark,
    actions=(ASSIGN, CLOSE),
)


class ItemPage(msgspec.Struct, frozen=True):
    """One work item with what it asks of a person, and what was done to it."""

    at: dt.datetime
    item: WorkItemView
    meaning: str
    changes: Sequence[Change]
    assignable: Sequence[tuple[str, str]]


class WorkPages:
    """The handler of one work item's page."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def one(self, request: Request) -> Response:
        """One work item."""
        number, as_json = number_in(request, "id")
        found = await self._reader.read(_one, number, request.state.visitor.owner)
        if found is None:
            text = f"There is no work item {number}. Look at the list."
            return message(request, 404, "Not known", text)
        if as_json:
            return twin(found)
        return page(
            request, "work_item.html", found=found, now=found.at, twin=f"/work-items/{number}.json"
        )


def _one(connection: Connection, number: int, owner: str) -> ItemPage | None:
    item = worklist.find_work_item(connection, number)
    if item is None:
        return None
    asked = {"subject": str(number)}
    changes = audit_board.rows(connection, asked, before=2**62, limit=100)
    return ItemPage(
        at=positions.moment(connection),
        item=item,
        meaning=MEANINGS.get(item.kind, ""),
        changes=[one for one in changes if one.action.startswith("work_item.")],
        assignable=_whom(connection, owner),
    )
