"""Boards: lists that people work through, all of one kind.

A board names its filters and facets, reads its rows and says what can be done to them. Filters,
facets with counts, pages by key, saved views, the twin, selecting all that matches, seeing an
effect before it happens, its result and its undoing are the same for all.
"""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from stockwright.console.actions import MAX_SELECTED, Action, Done, Effect, checked
from stockwright.console.addresses import number_in
from stockwright.console.pages import HEADERS, message, not_with_role, page, twin
from stockwright.console.reading import Reader
from stockwright.domain.errors import Rejected
from stockwright.domain.facets import Count, Facet, facets, total
from stockwright.domain.people import Action as Right
from stockwright.store import desk, positions
from stockwright.store.connection import Connection
from stockwright.store.desk import SavedView

ROWS: Final = 50
TOP: Final = 2**62
_LONGEST: Final = 512
_WINDOWS: Final = 50
"""Stretches of rows that a selection of all that matches looks through."""

Asked = Mapping[str, str]


class Rows(msgspec.Struct, frozen=True):
    """Rows of a board, newest first, and the id below which the next page begins, if any."""

    rows: Sequence[Any]
    older: int | None


class Board(msgspec.Struct, frozen=True, kw_only=True):
    """One list. filters are the names a query string may give a value to; facets those counted.

    read(connection, asked, now, before, limit) answers rows, cube(connection, asked, now) counts,
    ids names the rows of an id's kind among rows. counted: how many rows the facets look at. told:
    what else the page says, about all rows and whatever is asked.
    """

    name: str
    title: str
    template: str
    needs: Right = "look"
    filters: Sequence[str]
    facets: Mapping[str, str]
    tabs: Sequence[tuple[str, str]] = ()
    read: Callable[[Connection, Asked, dt.datetime, int, int], Rows]
    cube: Callable[[Connection, Asked, dt.datetime], Sequence[Count]]
    counted: int
    told: Callable[[Connection], Any] | None = None
    mark: Callable[[Connection], str] | None = None
    actions: Sequence[Action] = ()

    @property
    def path(self) -> str:
        """The board's address."""
        return f"/{self.name}"

    def action(self, name: str) -> Action:
        """The action of a name. Raises Rejected where there is none."""
        found = next((one for one in self.actions if one.name == name), None)
        if found is None:
            raise Rejected("not_found", "action", f"There is nothing called {name!r} to do here.")
        return found


class BoardPage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One page of a board, as its twin shows it. total counts what matches the facets, among the
    newest `counted`; capped says that there are more than these.
    """

    at: dt.datetime
    asked: Mapping[str, str]
    rows: Sequence[Any]
    facets: Sequence[Facet]
    total: int
    capped: bool
    next: str | None
    views: Sequence[SavedView]
    told: Any = None


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows an action is for. Chosen as ids, or as all up to one id that match what was asked;
    from the first sight of its effect on these rows and no others, whatever matches by then.
    """

    ids: Sequence[int]
    query: str
    more: bool = False

    @property
    def frozen(self) -> str:
        """The rows as a confirmation names them."""
        return " ".join(map(str, self.ids))


def in_windows(
    connection: Connection,
    found: Sequence[Any],
    before: int,
    limit: int,
    bottom: Callable[[Connection, int], int | None],
) -> Rows:
    """A page of rows found in a window; the next one goes on where this one stopped looking.

    found holds up to limit + 1 rows; bottom tells the lowest id of the window above `before`.
    """
    if len(found) > limit:
        return Rows(found[:limit], found[limit - 1].id)
    reached = bottom(connection, before)
    more = reached is not None and bottom(connection, reached) is not None
    return Rows(found, reached if more else None)


class Boards:
    """The handlers of every board."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def show(self, board: Board) -> Callable[[Request], Any]:
        """Answers the handler of a board's page and twin."""

        async def handler(request: Request) -> Response:
            asked, before = asked_of(board, request), _before(request)
            found, mark = await self._reader.read(_page, board, asked, before, request)
            if request.url.path.endswith(".json"):
                return twin(found)
            return page(
                request,
                board.template,
                board=board,
                found=found,
                now=found.at,
                newest=before == TOP,
                upto=found.rows[0].id if found.rows else 0,
                query=query_of(asked),
                address=lambda **changes: address(board, {**asked, **changes}),
                actions=[
                    one
                    for one in board.actions
                    if not one.alone and request.state.visitor.may(one.name)
                ],
                twin=f"{board.path}.json?{query_of(asked, before)}",
                stream=f"/console/stream?board={board.name}" if board.mark else "",
                shape=mark,
            )

        return handler

    def act(self, board: Board) -> Callable[[Request], Any]:
        """Answers the handler that shows what an action would do, and does it once confirmed."""

        async def handler(request: Request) -> Response:
            form, visitor = request.state.form, request.state.visitor
            action = board.action(form.one("action"))
            if not visitor.may(action.name):
                return not_with_role(request, action.name)
            selection = await self._reader.read(_selected, board, request)
            if not selection.ids:
                text = "Nothing was selected. Go back and select rows, or all that match."
                return message(request, 400, "Nothing to do", text)
            # What matches is looked up to be seen first; a confirmation names what was seen.
            confirming = bool(form.one("confirm")) and not form.one("all")
            note, about, values = "", "", {field.name: "" for field in action.fields}
            try:
                values = checked(action, form.one)
                if confirming:
                    return await self._do(request, board, action, selection, values)
            except Rejected as refused:
                note, about = refused.message, refused.field
                values = {field.name: form.one(field.name) for field in action.fields}
            effect, choices = await self._reader.read(
                _preview, action, selection.ids, values, visitor.owner
            )
            return page(
                request,
                "action.html",
                400 if confirming and note else 200,
                board=board,
                action=action,
                selection=selection,
                effect=effect,
                choices=choices,
                values=values,
                note=note if confirming else "",
                about=about if confirming else "",
                back=_back(board, form.one("back"), selection.query),
                largest=MAX_SELECTED,
            )

        return handler

    async def _do(
        self,
        request: Request,
        board: Board,
        action: Action,
        selection: Selection,
        values: Mapping[str, str],
    ) -> Response:
        visitor = request.state.visitor
        back = _back(board, request.state.form.one("back"), selection.query)
        if action.perform is not None:
            done = await action.perform(self._reader, selection.ids, values, visitor.actor)
            deed = await self._reader.run(_note, visitor.owner, action, done, back)
        else:
            deed = await self._reader.run(
                _apply, action, selection.ids, values, (visitor.owner, visitor.actor), back
            )
        return RedirectResponse(f"/done/{deed}", 303, HEADERS)

    async def done(self, request: Request) -> Response:
        """What came of an action, and whether it can be taken back."""
        number, as_json = number_in(request, "deed")
        found = await self._reader.read(desk.find_deed, request.state.visitor.owner, number)
        if found is None:
            text = "This is nobody's deed, or somebody else's."
            return message(request, 404, "Not known", text)
        if as_json:
            return twin(found)
        return page(
            request, "done.html", deed=found, now=dt.datetime.now(dt.UTC),
            twin=f"/done/{number}.json",
        )  # fmt: skip

    def undo(self, boards: Sequence[Board]) -> Callable[[Request], Any]:
        """Answers the handler that takes a deed back."""
        actions: dict[str, Action] = {one.name: one for board in boards for one in board.actions}

        async def handler(request: Request) -> Response:
            visitor = request.state.visitor
            number, _ = number_in(request, "deed")
            await self._reader.run(_undo, actions, number, visitor)
            return RedirectResponse(f"/done/{number}", 303, HEADERS)

        return handler

    def keep_view(self, boards: Sequence[Board]) -> Callable[[Request], Any]:
        """Answers the handler that saves or deletes one of the visitor's views of a list."""
        paths = {board.name: board.path for board in boards}

        async def handler(request: Request) -> Response:
            form, owner = request.state.form, request.state.visitor.owner
            board, path = form.one("board"), paths.get(form.one("board"))
            if path is None:
                raise Rejected("malformed", "board", "There is no such list.")
            if form.one("drop"):
                await self._reader.run(desk.drop_view, owner, board, form.one("drop"))
                return RedirectResponse(path, 303, HEADERS)
            view = SavedView(form.one("name"), form.one("query"))
            await self._reader.run(desk.save_view, owner, board, view)
            return RedirectResponse(f"{path}?{view.query}", 303, HEADERS)

        return handler


def asked_of(board: Board, request: Request) -> dict[str, str]:
    """What a request asks of a board; `me` stands for the visitor."""
    return _asked(board, dict(request.query_params), request.state.visitor.owner)


def _asked(board: Board, given: Mapping[str, str], owner: str) -> dict[str, str]:
    asked = {name: given[name] for name in board.filters if given.get(name)}
    for name, text in asked.items():
        if "\x00" in text or len(text) > _LONGEST:
            raise Rejected("malformed", name, f"{name} has no NUL and at most 512 characters.")
    if asked.get("assigned") == "me":
        asked["assigned"] = owner
    return asked


def query_of(asked: Asked, before: int = TOP) -> str:
    """The query string that asks this again."""
    return urlencode({**asked, **({"before": before} if before != TOP else {})})


def address(board: Board, asked: Mapping[str, str]) -> str:
    """The address of a board with these filters; empty ones are left out."""
    query = urlencode({name: text for name, text in asked.items() if text})
    return f"{board.path}?{query}" if query else board.path


def _before(request: Request) -> int:
    text = request.query_params.get("before", "")
    if not text:
        return TOP
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Rejected("malformed", "before", "`before` is the number of a row.")
    return int(text)


def _page(
    connection: Connection, board: Board, asked: Asked, before: int, request: Request
) -> tuple[BoardPage, str]:
    """A page of a board, and the board's mark at the same moment."""
    now = positions.moment(connection)
    cube = board.cube(connection, asked, now)
    found = board.read(connection, asked, now, before, ROWS)
    names = list(board.facets)
    counted = sum(cell.rows for cell in cube)
    shown = BoardPage(
        at=now,
        asked=asked,
        rows=found.rows,
        facets=facets(board.facets, cube, asked),
        total=total(names, cube, asked),
        capped=counted >= board.counted,
        next=None if found.older is None else f"{board.path}?{query_of(asked, found.older)}",
        views=desk.saved_views(connection, request.state.visitor.owner, board.name),
        told=board.told(connection) if board.told else None,
    )
    return shown, board.mark(connection) if board.mark else ""


def _selected(connection: Connection, board: Board, request: Request) -> Selection:
    form = request.state.form
    if form.one("all"):
        return _matching(connection, board, request)
    given = [*form.all("id"), *form.one("ids").split(" ")]
    numbers = [text for text in given if text.isascii() and text.isdigit() and len(text) <= 18]
    ids = list(dict.fromkeys(map(int, numbers)))
    more = len(ids) > MAX_SELECTED or bool(form.one("more"))
    return Selection(ids=ids[:MAX_SELECTED], query=form.one("query"), more=more)


def _matching(connection: Connection, board: Board, request: Request) -> Selection:
    query, upto = request.state.form.one("query"), request.state.form.one("upto")
    if not (upto.isascii() and upto.isdigit() and len(upto) <= 18):
        raise Rejected("malformed", "upto", "Go back to the list, reload it and select again.")
    asked = _asked(board, dict(parse_qsl(query)), request.state.visitor.owner)
    found: list[int] = []
    before: int | None = int(upto) + 1
    now = positions.moment(connection)
    for _ in range(_WINDOWS):
        if before is None or len(found) > MAX_SELECTED:
            break
        some = board.read(connection, asked, now, before, MAX_SELECTED + 1 - len(found))
        found += [row.id for row in some.rows]
        before = some.older
    return Selection(
        ids=found[:MAX_SELECTED],
        query=query,
        more=len(found) > MAX_SELECTED or before is not None,
    )


def _preview(
    connection: Connection,
    action: Action,
    ids: Sequence[int],
    values: Mapping[str, str],
    owner: str,
) -> tuple[Effect, dict[str, Sequence[tuple[str, str]]]]:
    choices = {name: read(connection, owner) for name, read in action.choices.items()}
    return action.preview(connection, ids, values), choices


def _apply(
    connection: Connection,
    action: Action,
    ids: Sequence[int],
    values: Mapping[str, str],
    who: tuple[str, str],
    back: str,
) -> int:
    assert action.apply is not None
    done = action.apply(connection, ids, values, who[1])
    return _note(connection, who[0], action, done, back)


def _note(connection: Connection, owner: str, action: Action, done: Done, back: str) -> int:
    result = {
        "told": action.told,
        "done": done.done,
        "wont": dict(done.wont),
        "note": done.note,
        "back": back,
    }
    undo = done.undo if action.undo is not None and done.done else None
    return desk.note_deed(connection, owner, action.name, result, undo)


def _undo(connection: Connection, actions: Mapping[str, Action], number: int, visitor: Any) -> None:
    taken = desk.take_undo(connection, visitor.owner, number)
    if taken is None:
        raise Rejected("malformed", "deed", "This cannot be taken back (any more).")
    name, needed = taken
    action = actions.get(name)
    if action is None or action.undo is None or not visitor.may(action.name):
        raise Rejected("malformed", "deed", "This cannot be taken back by you.")
    undone = action.undo(connection, needed, visitor.actor)
    desk.note_undone(connection, number, {"undone": undone})


def _back(board: Board, given: str, query: str) -> str:
    """Where to go afterwards: the page the form named if it is one of this board, else the list."""
    if given.startswith("/") and given[1:2] not in ("/", "\\") and given.isprintable():
        return given
    return f"{board.path}?{query}" if query else board.path
