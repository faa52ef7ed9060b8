"""Parked payloads: what waits for a code to be bound, or for a person."""

from typing import Annotated, Final

import msgspec

from stockwright.api.bodies import decode, require_json
from stockwright.api.call import Call
from stockwright.api.paging import PageQuery, page_of, position_of
from stockwright.api.problems import problem
from stockwright.api.reply import Reply, reply
from stockwright.api.worklist import number_in
from stockwright.store import payloads
from stockwright.store.access import log_change
from stockwright.store.connection import Connection
from stockwright.store.payloads import PayloadView

_TOP: Final = 2**63 - 1


class ParkedQuery(PageQuery, kw_only=True, forbid_unknown_fields=True):
    """Which parked payloads: of a system, or those that miss a code such as `item:4711`."""

    system: str = ""
    missing: str = ""


class DiscardAsk(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Why the payload is set aside for ever."""

    why: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


_DISCARD: Final = msgspec.json.Decoder(DiscardAsk)


async def get_parked(call: Call) -> Reply:
    """Parked payloads, newest first, each with the path that failed."""
    query: ParkedQuery = call.query
    found = await call.run(
        payloads.payloads,
        state="parked",
        system=query.system,
        missing=query.missing,
        before=position_of(query.cursor, int, _TOP),
        limit=query.limit + 1,
    )
    return reply(page_of(found, query.limit, lambda one: one.id))


async def get_payload(call: Call) -> Reply:
    """One payload in any state, without its bytes."""
    return reply(await _find(call, number_in(call, "id")))


async def get_payload_body(call: Call) -> Reply:
    """The bytes of a payload, as they were received."""
    payload_id = number_in(call, "id")
    found = await call.run(payloads.body_of, payload_id)
    if found is None:
        raise _missing(payload_id)
    # Never under the partner's own type: a browser must not run what a partner sent.
    kept = ((b"x-content-type-options", b"nosniff"),)
    return Reply(200, bytes(found.body), b"application/octet-stream", kept)


async def resume_payload(call: Call) -> Reply:
    """Sends a parked payload to work again; what was recorded of it is absorbed."""
    payload_id = number_in(call, "id")
    await _find(call, payload_id)
    if not await call.run(_resume, payload_id, call.caller.actor):
        raise problem("already_closed", f"The payload {payload_id} is not parked.", param="id")
    call.services.intake.wake.set()
    return reply(await _find(call, payload_id))


async def discard_payload(call: Call) -> Reply:
    """Sets a parked payload aside for ever. Its bytes are kept."""
    require_json(call.headers)
    ask = decode(_DISCARD, call.body)
    payload_id = number_in(call, "id")
    await _find(call, payload_id)
    if not await call.run(_discard, payload_id, ask.why, call.caller.actor):
        raise problem("already_closed", f"The payload {payload_id} is not parked.", param="id")
    return reply(await _find(call, payload_id))


def _resume(connection: Connection, payload_id: int, actor: str) -> bool:
    if not payloads.requeue_one(connection, payload_id):
        return False
    log_change(connection, actor, "payload.resume", str(payload_id), {})
    return True


def _discard(connection: Connection, payload_id: int, why: str, actor: str) -> bool:
    if not payloads.discard(connection, payload_id, why):
        return False
    log_change(connection, actor, "payload.discard", str(payload_id), {"why": why})
    return True


async def _find(call: Call, payload_id: int) -> PayloadView:
    found = await call.run(payloads.find_payload, payload_id)
    if found is None:
        raise _missing(payload_id)
    return found


def _missing(payload_id: int) -> Exception:
    return problem("not_found", f"There is no payload {payload_id}.", param="id")
