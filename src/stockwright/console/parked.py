"""Parked payloads: the board, one payload with what failed in it, and binding its code there."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from stockwright.console import raw
from stockwright.console.actions import Action, Done, Effect, Field, Values, counted
from stockwright.console.addresses import number_in
from stockwright.console.boards import Asked, Board, Rows
from stockwright.console.pages import HEADERS, message, page, twin
from stockwright.console.reading import Reader
from stockwright.domain.errors import Rejected
from stockwright.domain.facets import Count
from stockwright.domain.items import Binding, Subject
from stockwright.store import master, parked_board, payloads, positions
from stockwright.store.access import log_change
from stockwright.store.connection import Connection
from stockwright.store.payloads import PayloadView

BINDABLE: Final[Mapping[str, Subject]] = {"item": "item", "location": "location"}


def _read(connection: Connection, asked: Asked, now: dt.datetime, before: int, limit: int) -> Rows:
    found = parked_board.rows(connection, asked, now=now, before=before, limit=limit + 1)
    return Rows(found[:limit], found[limit - 1].id if len(found) > limit else None)


def _cube(connection: Connection, asked: Asked, now: dt.datetime) -> Sequence[Count]:
    return () if asked.get("state") else parked_board.cube(connection, asked, now=now)


def _effect(connection: Connection, ids: Sequence[int], _values: Values) -> Effect:
    found = parked_board.of_ids(connection, ids)
    waiting = [one for one in found if one.state == "parked"]
    others = len(ids) - len(waiting)
    lines = [f"{one.id} from {one.system}: {one.reason[:120]}" for one in waiting]
    behind = sum(1 for one in waiting if one.raw_key)
    return Effect(
        will=len(waiting),
        wont={"not parked any more": others} if others else {},
        lines=counted(lines, len(waiting)),
        warning=(
            f"{behind:,} of them hold back later messages of the same key, which go on after them."
            if behind
            else ""
        ),
    )


def _resume(connection: Connection, ids: Sequence[int], _values: Values, actor: str) -> Done:
    sent = parked_board.resume_many(connection, ids, actor=actor)
    others = len(ids) - len(sent)
    return Done(
        done=len(sent),
        wont={"not parked any more": others} if others else {},
        note="What fails again is parked again, with its new reason. What is in the ledger "
        "already is recognised and counts once.",
    )


def _discard(connection: Connection, ids: Sequence[int], values: Values, actor: str) -> Done:
    aside = parked_board.discard_many(connection, ids, actor=actor, why=values["why"])
    others = len(ids) - len(aside)
    return Done(
        done=len(aside),
        wont={"not parked any more": others} if others else {},
        undo={"aside": {str(n): [reason, at.isoformat()] for n, (reason, at) in aside.items()}},
        note="Their bytes are kept. Messages that waited behind them go on.",
    )


def _restore(connection: Connection, needed: Mapping[str, Any], actor: str) -> int:
    aside = {
        int(number): (reason, dt.datetime.fromisoformat(at))
        for number, (reason, at) in needed.get("aside", {}).items()
    }
    return len(parked_board.restore_many(connection, aside, actor=actor))


def _bind_effect(connection: Connection, ids: Sequence[int], _values: Values) -> Effect:
    one = _the_one(connection, ids)
    same = parked_board.missing_same(connection, one.system, one.missing)
    subject, _, code = one.missing.partition(":")
    return Effect(
        will=same,
        lines=[f"{one.system} calls it {code}; from now on that is our {subject}"],
        warning="A binding counts for every message to come, and cannot be taken back for what "
        "was recorded under it.",
    )


async def _bind(reader: Reader, ids: Sequence[int], values: Values, actor: str) -> Done:
    """Binds the code that a payload misses, then sends to work what waited for it."""
    missing, system = await reader.run(_write_binding, ids, values, actor)
    resumed = await reader.block(reader.services.intake.resume, missing, system)
    return Done(done=resumed, note=f"{missing.partition(':')[2]} is bound to {values['code']}.")


def _write_binding(
    connection: Connection, ids: Sequence[int], values: Values, actor: str
) -> tuple[str, str]:
    one = _the_one(connection, ids)
    subject, _, partner_code = one.missing.partition(":")
    row = {
        "system": one.system,
        "subject": BINDABLE[subject],
        "partner_code": partner_code,
        "code": values["code"],
        "unit": values["unit"],
    }
    try:
        binding = msgspec.convert(row, Binding)
    except msgspec.ValidationError as failure:
        raise Rejected("malformed", "code", f"{values['code']!r}: {failure}") from None
    saved = master.save_one(connection, "bindings", binding)
    if saved != "unchanged":
        log_change(
            connection,
            actor,
            "bindings.put",
            f"{one.system} {subject} {partner_code}",
            msgspec.to_builtins(binding),
        )
    return one.missing, one.system


def _the_one(connection: Connection, ids: Sequence[int]) -> PayloadView:
    found = payloads.find_payload(connection, ids[0])
    if found is None or found.state != "parked" or found.missing.partition(":")[0] not in BINDABLE:
        message = "This payload waits for no code that could be bound (any more)."
        raise Rejected("malformed", "id", message)
    return found


RESUME = Action(
    name="payload.resume", label="Resume", told="Sent to work again", preview=_effect, apply=_resume
)
DISCARD = Action(
    name="payload.discard",
    label="Set aside",
    told="Set aside",
    preview=_effect,
    apply=_discard,
    undo=_restore,
    fields=(Field(name="why", label="Why", hint="why this will never make sense; kept with it"),),
    grave=True,
)
BIND = Action(
    name="binding.put",
    label="Bind",
    told="Bound, and sent to work again",
    preview=_bind_effect,
    perform=_bind,
    fields=(
        Field(name="code", label="Our code", kind="line"),
        Field(
            name="unit", label="Unit", kind="line", required=False, hint="empty for the base unit"
        ),
    ),
    alone=True,
)
BOARD = Board(
    name="parked",
    title="Parked payloads",
    template="parked.html",
    filters=("state", "system", "subject", "age", "missing"),
    facets=parked_board.FACETS,
    tabs=(("", "Parked"), ("discarded", "Set aside")),
    read=_read,
    cube=_cube,
    counted=parked_board.COUNTED,
    mark=parked_board.mark,
    actions=(RESUME, DISCARD, BIND),
)


class ParkedPage(msgspec.Struct, frozen=True, kw_only=True):
    """One payload, what it said, and what binding its code would free."""

    at: dt.datetime
    payload: PayloadView
    raw: raw.RawView | None
    same: int
    suggested: Sequence[str]


class ParkedPages:
    """The handlers of one payload's page and of its bytes."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def one(self, request: Request) -> Response:
        """One payload, what failed in it marked."""
        number, as_json = number_in(request, "id")
        may_read = request.state.visitor.may("payload.read_raw")
        found = await self._reader.read(_one, number, may_read)
        if found is None:
            return _missing(request, number)
        if as_json:
            return twin(found)
        return page(
            request,
            "payload.html",
            found=found,
            now=found.at,
            bindable=found.payload.state == "parked"
            and found.payload.missing.partition(":")[0] in BINDABLE,
            twin=f"/parked/{number}.json",
        )

    async def body(self, request: Request) -> Response:
        """The bytes as they were received, to be saved; never under the partner's own type."""
        number, _ = number_in(request, "id")
        found = await self._reader.read(_body, number)
        if found is None:
            return _missing(request, number)
        headers = {
            **HEADERS,
            "Content-Disposition": f'attachment; filename="payload-{number}.bin"',
        }
        return Response(found, 200, headers, media_type="application/octet-stream")


def _one(connection: Connection, number: int, may_read: bool) -> ParkedPage | None:
    payload = payloads.find_payload(connection, number)
    if payload is None:
        return None
    body = _body(connection, payload.parent or number) if may_read else None
    subject, _, code = payload.missing.partition(":")
    return ParkedPage(
        at=positions.moment(connection),
        payload=payload if may_read else msgspec.structs.replace(payload, fragment=""),
        raw=None if body is None else raw.view(body, payload.path, payload.missing),
        same=parked_board.missing_same(connection, payload.system, payload.missing)
        if payload.missing
        else 0,
        suggested=_suggested(connection, code) if subject == "item" else (),
    )


def _suggested(connection: Connection, code: str) -> list[str]:
    """SKUs whose own code, or another partner's, is or contains this one."""
    exact = positions.sku_of(connection, code)
    near = [row.sku for row in positions.items(connection, text=code, limit=8)]
    return list(dict.fromkeys([*([exact] if exact else []), *near]))


def _body(connection: Connection, number: int) -> bytes | None:
    found = payloads.body_of(connection, number)
    return None if found is None else bytes(found.body)


def _missing(request: Request, number: int) -> Response:
    text = f"There is no payload {number}. Look at the list."
    return message(request, 404, "Not known", text)
