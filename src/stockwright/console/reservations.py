"""Reservations: the board of demand lines, and one order with all it went through."""

import datetime as dt
import secrets
from collections.abc import Sequence
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from stockwright.console.actions import Action, Done, Effect, Field, Values, counted
from stockwright.console.boards import Asked, Board, Rows, in_windows
from stockwright.console.pages import message, page, twin
from stockwright.console.reading import Reader
from stockwright.domain.errors import Rejected
from stockwright.domain.events import Request as Ask
from stockwright.domain.events import RequestLine
from stockwright.domain.facets import Count
from stockwright.store import positions, reservation_board
from stockwright.store.access import log_change
from stockwright.store.connection import Connection
from stockwright.store.reservation_board import DemandRow, TransitionRow
from stockwright.store.reservations import ReservationView, find_reservation

_AT_ONCE: Final = 200


def _read(connection: Connection, asked: Asked, _now: dt.datetime, before: int, limit: int) -> Rows:
    """Rows among the next window of lines; the next page goes on where this one stopped looking."""
    found = reservation_board.rows(connection, asked, before=before, limit=limit + 1)
    if asked.get("sku") and len(found) <= limit:
        return Rows(found, None)
    return in_windows(connection, found, before, limit, reservation_board.bottom)


def _cube(connection: Connection, asked: Asked, _now: dt.datetime) -> Sequence[Count]:
    return reservation_board.cube(connection, asked)


def _effect(connection: Connection, ids: Sequence[int], _values: Values) -> Effect:
    found = reservation_board.of_ids(connection, ids)
    holding = [one for one in found if one.held]
    others = len(ids) - len(holding)
    units = sum(one.held for one in holding)
    lines = [
        f"{one.system} {one.order} line {one.line}: {one.held:,} of {one.sku}" for one in holding
    ]
    return Effect(
        will=len(holding),
        wont={"hold nothing": others} if others else {},
        lines=counted(lines, len(holding)),
        warning=f"{units:,} units become free for others at once. Whoever was promised them loses "
        "them, and what is sold since cannot be taken back."
        if units
        else "",
    )


async def _release(reader: Reader, ids: Sequence[int], values: Values, actor: str) -> Done:
    """Gives back what these lines hold, order by order; each is one request to the ledger."""
    found = await reader.read(reservation_board.of_ids, ids)
    by_order: dict[tuple[str, str], list[DemandRow]] = {}
    for row in found:
        if row.held:
            by_order.setdefault((row.system, row.order), []).append(row)
    done, wont = 0, {}
    idle = len(ids) - sum(len(lines) for lines in by_order.values())
    if idle:
        wont["hold nothing"] = idle
    asked = [
        (lines, _ask(system, order, lines, f"{values['why']} ({actor})"))
        for (system, order), lines in by_order.items()
    ]
    for start in range(0, len(asked), _AT_ONCE):
        some = asked[start : start + _AT_ONCE]
        outcomes = await reader.services.recorder.record([ask for _, ask in some])
        released = []
        for (lines, ask), outcome in zip(some, outcomes, strict=True):
            if outcome.accepted:
                done += len(lines)
                released.append(ask)
            else:
                reason = outcome.code.replace("_", " ")
                wont[reason] = wont.get(reason, 0) + len(lines)
        await reader.run(_log, released, actor, values["why"])
    return Done(done=done, wont=wont)


def _ask(system: str, order: str, lines: Sequence[DemandRow], reason: str) -> Ask:
    return Ask(
        kind="release",
        document=f"console-{secrets.token_hex(10)}",
        system=system,
        order=order,
        lines=[RequestLine(line=one.line) for one in lines],
        reason=reason[:500],
    )


def _log(connection: Connection, released: Sequence[Ask], actor: str, why: str) -> None:
    for one in released:
        detail = {"lines": [line.line for line in one.lines], "why": why}
        log_change(connection, actor, "reservation.release", f"{one.system} {one.order}", detail)


RELEASE = Action(
    name="reservation.release",
    label="Release",
    told="Released",
    preview=_effect,
    perform=_release,
    fields=(Field(name="why", label="Why", hint="kept in the ledger and in the change log"),),
    grave=True,
)
BOARD = Board(
    name="reservations",
    title="Reservations",
    template="reservations.html",
    filters=("state", "channel", "system", "sku"),
    facets=reservation_board.FACETS,
    read=_read,
    cube=_cube,
    counted=reservation_board.WINDOW,
    mark=reservation_board.mark,
    actions=(RELEASE,),
)


class ReservationPage(msgspec.Struct, frozen=True, kw_only=True):
    """One order: its lines, where they hold units, and what they went through."""

    at: dt.datetime
    reservation: ReservationView
    lines: Sequence[DemandRow]
    transitions: Sequence[TransitionRow]


class ReservationPages:
    """The handler of one reservation's page."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def one(self, request: Request) -> Response:
        """One order of one system, which the query names."""
        system = request.query_params.get("system", "")
        order = request.query_params.get("order", "")
        for name, text in (("system", system), ("order", order)):
            if not text or "\x00" in text or len(text) > 512:
                raise Rejected("malformed", name, f"Name the {name} of the reservation.")
        found = await self._reader.read(_one, system, order)
        if found is None:
            text = f"{system} has no order {order}. Search for it by its number."
            return message(request, 404, "Not known", text)
        if request.url.path.endswith(".json"):
            return twin(found)
        return page(
            request,
            "reservation.html",
            found=found,
            now=found.at,
            holds=any(one.held for one in found.lines),
            twin=f"/reservation.json?{request.url.query}",
        )


def _one(connection: Connection, system: str, order: str) -> ReservationPage | None:
    reservation = find_reservation(connection, system, order)
    if reservation is None:
        return None
    return ReservationPage(
        at=positions.moment(connection),
        reservation=reservation,
        lines=reservation_board.of_order(connection, system, order),
        transitions=reservation_board.transitions(connection, system, order),
    )
