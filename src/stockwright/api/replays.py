"""Replaying a parked payload: what it would lead to, and what it led to."""

import asyncio
import time
from typing import Annotated, Final

import msgspec

from stockwright.api import parked
from stockwright.api.bodies import decode, require_json
from stockwright.api.call import Call
from stockwright.api.operations import Operation
from stockwright.api.problems import problem
from stockwright.api.reply import Reply, reply
from stockwright.api.worklist import number_in
from stockwright.domain.codes import Code
from stockwright.domain.items import Binding
from stockwright.flow import rehearsing
from stockwright.flow.rehearsing import Preview, ReplayPart, Supposed
from stockwright.store import master
from stockwright.store.access import log_change
from stockwright.store.connection import Connection
from stockwright.store.history import Said, said_by
from stockwright.store.payloads import PayloadView

MAX_WAIT_S: Final = 30
LOOK_S: Final = 0.05


class ReplayQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What to suppose: our code for the partner's code that the payload misses, and its unit."""

    code: Annotated[str, msgspec.Meta(max_length=128)] = ""
    unit: Annotated[str, msgspec.Meta(max_length=128)] = ""


class ReplayAsk(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How to replay: with `code`, the partner's code that the payload misses is bound to it first.

    wait_s is how long to wait for the end.
    """

    code: Code | None = None
    unit: Annotated[str, msgspec.Meta(max_length=128)] = ""
    wait_s: Annotated[float, msgspec.Meta(ge=0, le=MAX_WAIT_S)] = 5.0


class ReplayPreview(msgspec.Struct, kw_only=True):
    """What a replay would lead to now, part by part; the first 500 of them, `more` counts the rest.

    new counts the parts that would be recorded, standing those that are, waiting those that would
    wait.
    """

    payload: PayloadView
    parts: list[ReplayPart]
    more: int
    new: int
    standing: int
    waiting: int


class ReplayResult(msgspec.Struct, kw_only=True):
    """What a replay was foreseen to lead to, and what stands after it.

    differs names the places of which something else stands than was foreseen. Where the payload
    was not worked on in time, `settled` is false.
    """

    payload: PayloadView
    settled: bool
    foreseen: list[ReplayPart]
    after: list[ReplayPart]
    differs: list[str]


_ASK: Final = msgspec.json.Decoder(ReplayAsk)


async def preview_replay(call: Call) -> Reply:
    """What replaying a payload would record now, part by part; a dry run that writes nothing."""
    query: ReplayQuery = call.query
    payload_id = number_in(call, "id")
    payload = await parked.own(call, payload_id)
    suppose = _suppose(payload, query.code, query.unit) if query.code else None
    found = await _preview(call, payload_id, suppose)
    return reply(_told(payload, found))


async def replay_payload(call: Call) -> Reply:
    """Replays a parked payload, and tells what was foreseen and what stands after it."""
    ask = ReplayAsk()
    if call.body:
        require_json(call.headers)
        ask = decode(_ASK, call.body)
    payload_id = number_in(call, "id")
    payload = await parked.own(call, payload_id)
    if payload.state != "parked":
        raise problem("already_closed", f"The payload {payload_id} is not parked.", param="id")
    suppose = _suppose(payload, ask.code, ask.unit) if ask.code is not None else None
    foreseen = await _preview(call, payload_id, suppose)
    if suppose is not None:
        await _bind(call, payload.system, suppose)
    await call.run(parked.resume, payload_id, call.caller.actor)
    call.services.intake.wake.set()
    payload = await _settled(call, payload_id, ask.wait_s)
    after = await _preview(call, payload_id, None)
    settled = payload.state != "received"
    result = ReplayResult(
        payload=payload,
        settled=settled,
        foreseen=foreseen.parts,
        after=after.parts,
        differs=rehearsing.differences(foreseen, after) if settled else [],
    )
    return reply(result, 200 if settled else 202)


def _suppose(payload: PayloadView, code: str, unit: str) -> Supposed:
    return rehearsing.supposed(payload.missing, code, unit)


async def _preview(call: Call, payload_id: int, suppose: Supposed | None) -> Preview:
    services = call.services
    found = await call.block(
        rehearsing.preview,
        services.pool,
        services.url,
        services.connections,
        payload_id,
        suppose,
    )
    if found is None:
        raise parked.missing(payload_id)
    return found


async def _bind(call: Call, system: str, suppose: Supposed) -> None:
    if not call.caller.may("master:write"):
        raise problem("forbidden", "To bind a code this needs the scope master:write.")
    row = Binding(
        system=system,
        subject=suppose.subject,  # type: ignore[arg-type]  # one of the two that can be supposed
        partner_code=suppose.partner_code,
        code=suppose.code,
        unit=suppose.unit,
    )
    reason = f"replay of payload {call.path['id']}"
    await call.run(_save, row, Said(actor=call.caller.actor, source="api", reason=reason))
    missing = f"{suppose.subject}:{suppose.partner_code}"
    await call.block(call.services.intake.resume, missing, system)


def _save(connection: Connection, row: Binding, said: Said) -> None:
    said_by(connection, said)
    if master.save_one(connection, "bindings", row) != "unchanged":
        subject = f"{row.system} {row.subject} {row.partner_code}"
        log_change(connection, said.actor, "bindings.put", subject, msgspec.to_builtins(row))


async def _settled(call: Call, payload_id: int, wait_s: float) -> PayloadView:
    """The payload once it is worked on, or as it is when the time is over."""
    deadline = time.monotonic() + wait_s
    while True:
        payload = await parked.find(call, payload_id)
        if payload.state != "received" or time.monotonic() >= deadline:
            return payload
        await asyncio.sleep(LOOK_S)


def _told(payload: PayloadView, found: Preview) -> ReplayPreview:
    standing = sum(part.recorded is not None for part in found.parts)
    waiting = sum(part.would.code in ("parked", "poison", "conflict") for part in found.parts)
    return ReplayPreview(
        payload=payload,
        parts=found.parts,
        more=found.more,
        new=len(found.parts) - standing - waiting,
        standing=standing,
        waiting=waiting,
    )


def operations() -> list[Operation]:
    """The rows of the route table for replays."""
    return [
        Operation(
            method="GET",
            path="/v1/parked/{id}/replay",
            handler=preview_replay,
            tag="work",
            scope="work:read",
            query=ReplayQuery,
            answers={200: ReplayPreview},
            problems=("not_found", "not_bindable"),
        ),
        Operation(
            method="POST",
            path="/v1/parked/{id}/replay",
            handler=replay_payload,
            tag="work",
            scope="work:write",
            body=ReplayAsk,
            answers={200: ReplayResult, 202: ReplayResult},
            problems=(
                "not_found",
                "not_bindable",
                "already_closed",
                "unknown_sku",
                "forbidden_system",
            ),
            stored=True,
            patient=True,
        ),
    ]
