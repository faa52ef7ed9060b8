"""The API log: calls that failed, were slow or are in the sample, and one of them in full."""

import datetime as dt
from collections.abc import Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from stockwright.console import raw
from stockwright.console.addresses import number_in
from stockwright.console.boards import Asked, Board, Rows, in_windows
from stockwright.console.pages import message, page, twin
from stockwright.console.raw import RawView
from stockwright.console.reading import Reader
from stockwright.domain.facets import Count
from stockwright.flow.call_notes import MOST_SHOWN
from stockwright.store import call_log, positions
from stockwright.store.call_log import CallView
from stockwright.store.connection import Connection


def _read(connection: Connection, asked: Asked, _now: dt.datetime, before: int, limit: int) -> Rows:
    found = call_log.rows(connection, asked, before=before, limit=limit + 1)
    if asked.get("request"):
        return Rows(found, None)
    return in_windows(connection, found, before, limit, call_log.bottom)


def _cube(connection: Connection, asked: Asked, _now: dt.datetime) -> Sequence[Count]:
    return call_log.cube(connection, asked)


BOARD = Board(
    name="api-log",
    title="API log",
    template="calls.html",
    filters=(*call_log.FACETS, "request"),
    facets=call_log.FACETS,
    read=_read,
    cube=_cube,
    counted=call_log.WINDOW,
    told=call_log.counted,
    mark=call_log.mark,
)


class CallPage(msgspec.Struct, frozen=True, kw_only=True):
    """One call. raw is its body for those who may read what partners send, else None."""

    at: dt.datetime
    call: CallView
    raw: RawView | None


class CallPages:
    """The handler of one call's page."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def one(self, request: Request) -> Response:
        """One call: what was asked, what was answered, and the events it recorded."""
        number, as_json = number_in(request, "id")
        found = await self._reader.read(_one, number)
        if found is None:
            text = "There is no such call, or it is too old and was removed."
            return message(request, 404, "Not known", text)
        if not request.state.visitor.may("payload.read_raw"):
            found = msgspec.structs.replace(found, raw=None, call=_without_body(found.call))
        if as_json:
            return twin(found)
        return page(
            request,
            "call.html",
            found=found,
            now=found.at,
            shown=MOST_SHOWN,
            twin=f"/api-log/{number}.json",
        )


def _one(connection: Connection, number: int) -> CallPage | None:
    call = call_log.find(connection, number)
    if call is None:
        return None
    shown = None if call.body is None else raw.view(call.body.encode(), _path(call))
    return CallPage(at=positions.moment(connection), call=call, raw=shown)


def _path(call: CallView) -> str:
    """Where in the body the first fault is, as the raw view asks for it."""
    if call.refusals:
        first = call.refusals[0]
        param = str(first.get("param", ""))
        return f"$[{first['index']}]" + (f".{param}" if param else "")
    if not call.param or call.param.startswith(("[", "$")):
        return f"${call.param}"
    return f"$.{call.param}"


def _without_body(call: CallView) -> CallView:
    return msgspec.structs.replace(call, body=None)
