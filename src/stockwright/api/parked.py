"""Parked payloads: what waits for a code to be bound, or for a person."""

from typing import Final, Literal

import msgspec

from stockwright.api.bodies import decode, require_json
from stockwright.api.bound import not_own
from stockwright.api.call import Call
from stockwright.api.operations import Link, Operation
from stockwright.api.paging import DEFAULT_LIMIT, Cursor, Limit, Page, page_of, position_of
from stockwright.api.problems import problem
from stockwright.api.reply import Reply, reply
from stockwright.api.worklist import Why, number_in
from stockwright.store import payloads
from stockwright.store.access import log_change
from stockwright.store.connection import Connection
from stockwright.store.facets import Facets
from stockwright.store.payloads import PayloadView

_TOP: Final = 2**63 - 1
BODY: Final = {"application/octet-stream": None}


class ParkedFilter(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which payloads: parked ones unless said otherwise, of a system, or that miss a code such as
    `item:4711`. `text` is looked for in path and reason.
    """

    state: Literal["parked", "discarded", "received", "recorded"] = "parked"
    system: str = ""
    missing: str = ""
    text: str = ""


class ParkedQuery(ParkedFilter, kw_only=True, forbid_unknown_fields=True):
    """Which payloads: parked ones unless said otherwise, of a system, or that miss a code such as
    `item:4711`. `text` is looked for in path and reason.
    """

    limit: Limit = DEFAULT_LIMIT
    cursor: Cursor = ""


class DiscardAsk(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Why the payload is set aside for ever."""

    why: Why


_LINKS: Final = tuple(
    Link(to=to, parameters={"id": "$response.body#/items/0/id"})
    for to in (
        *("get_payload", "get_payload_body", "preview_replay"),
        *("replay_payload", "resume_payload", "discard_payload"),
    )
)
_DISCARD: Final = msgspec.json.Decoder(DiscardAsk)


async def get_parked(call: Call) -> Reply:
    """Parked payloads, newest first, each with the path that failed."""
    query: ParkedQuery = call.query
    found = await call.run(
        payloads.payloads,
        **_filters(query),
        before=position_of(query.cursor, int, _TOP),
        limit=query.limit + 1,
    )
    return reply(page_of(found, query.limit, lambda one: one.id))


async def get_parked_facets(call: Call) -> Reply:
    """How many payloads pass a filter, by system, by missing code and by reason."""
    return reply(await call.run(payloads.payload_facets, **_filters(call.query)))


async def get_payload(call: Call) -> Reply:
    """One payload in any state, without its bytes."""
    return reply(await own(call, number_in(call, "id")))


async def get_payload_body(call: Call) -> Reply:
    """The bytes of a payload, as they were received."""
    payload_id = number_in(call, "id")
    await own(call, payload_id)
    found = await call.run(payloads.body_of, payload_id)
    if found is None:
        raise missing(payload_id)
    # Never under the partner's own type: a browser must not run what a partner sent.
    kept = ((b"x-content-type-options", b"nosniff"),)
    return Reply(200, bytes(found.body), b"application/octet-stream", kept)


async def resume_payload(call: Call) -> Reply:
    """Sends a parked payload to work again; what was recorded of it is absorbed."""
    payload_id = number_in(call, "id")
    await own(call, payload_id)
    if not await call.run(resume, payload_id, call.caller.actor):
        raise problem("already_closed", f"The payload {payload_id} is not parked.", param="id")
    call.services.intake.wake.set()
    return reply(await find(call, payload_id))


async def discard_payload(call: Call) -> Reply:
    """Sets a parked payload aside for ever. Its bytes are kept."""
    require_json(call.headers)
    ask = decode(_DISCARD, call.body)
    payload_id = number_in(call, "id")
    await own(call, payload_id)
    if not await call.run(_discard, payload_id, ask.why, call.caller.actor):
        raise problem("already_closed", f"The payload {payload_id} is not parked.", param="id")
    return reply(await find(call, payload_id))


def resume(connection: Connection, payload_id: int, actor: str) -> bool:
    """Sends one parked payload to work again, and notes who did it; False where none is parked."""
    if not payloads.requeue_one(connection, payload_id):
        return False
    log_change(connection, actor, "payload.resume", str(payload_id), {})
    return True


def _discard(connection: Connection, payload_id: int, why: str, actor: str) -> bool:
    if not payloads.discard(connection, payload_id, why):
        return False
    log_change(connection, actor, "payload.discard", str(payload_id), {"why": why})
    return True


def _filters(query: ParkedFilter) -> dict[str, str]:
    return {name: getattr(query, name) for name in ParkedFilter.__struct_fields__}


async def find(call: Call, payload_id: int) -> PayloadView:
    """One payload in any state. Raises not_found."""
    found = await call.run(payloads.find_payload, payload_id)
    if found is None:
        raise missing(payload_id)
    return found


async def own(call: Call, payload_id: int) -> PayloadView:
    """A payload of the caller's own system. Raises not_found and forbidden_system."""
    found = await find(call, payload_id)
    if not call.caller.speaks_for(found.system):
        raise not_own(call.caller, f"The payload came from {found.system}.", param="id")
    return found


def missing(payload_id: int) -> Exception:
    """The problem that there is no such payload."""
    return problem("not_found", f"There is no payload {payload_id}.", param="id")


def operations() -> list[Operation]:
    """The rows of the route table for parked payloads."""
    return [
        Operation(
            method="GET",
            path="/v1/parked",
            handler=get_parked,
            tag="work",
            scope="work:read",
            query=ParkedQuery,
            answers={200: Page[PayloadView]},
            links=_LINKS,
        ),
        Operation(
            method="GET",
            path="/v1/parked/facets",
            handler=get_parked_facets,
            tag="work",
            scope="work:read",
            query=ParkedFilter,
            answers={200: Facets},
        ),
        Operation(
            method="GET",
            path="/v1/parked/{id}",
            handler=get_payload,
            tag="work",
            scope="work:read",
            answers={200: PayloadView},
            problems=("not_found",),
        ),
        Operation(
            method="GET",
            path="/v1/parked/{id}/body",
            handler=get_payload_body,
            tag="work",
            scope="work:read",
            answers={200: None},
            produces=BODY,
            problems=("not_found",),
        ),
        Operation(
            method="POST",
            path="/v1/parked/{id}/resume",
            handler=resume_payload,
            tag="work",
            scope="work:write",
            answers={200: PayloadView},
            problems=("not_found", "already_closed", "forbidden_system"),
            stored=True,
        ),
        Operation(
            method="POST",
            path="/v1/parked/{id}/discard",
            handler=discard_payload,
            tag="work",
            scope="work:write",
            body=DiscardAsk,
            answers={200: PayloadView},
            problems=("not_found", "already_closed", "forbidden_system"),
            stored=True,
        ),
    ]
