"""Connections over HTTP: how each stands, and connecting one step by step."""

import datetime as dt
from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from stockwright.api.bodies import decode, require_json
from stockwright.api.call import Call
from stockwright.api.operations import Operation
from stockwright.api.problems import problem
from stockwright.api.reply import Reply, reply
from stockwright.app import connecting as steps
from stockwright.config.asking import ABOUT, NewConnection, edits_of
from stockwright.domain.item_match import ItemState, PartnerItem
from stockwright.domain.network import Criticality, Revisions, Seconds, SnapshotBasis
from stockwright.flow import checking, connecting, opening_stock, retrying
from stockwright.flow.checking import Tested
from stockwright.flow.connecting import ConnectionView
from stockwright.flow.opening_stock import Opening, Taken
from stockwright.flow.retrying import Retried
from stockwright.flow.steering import MAX_WHY
from stockwright.sdk.messages import Payload
from stockwright.store import connecting as store
from stockwright.store.connecting import ShadowCounts, ShadowLevel
from stockwright.store.connection import Connection
from stockwright.store.history import MAX_REASON, Said
from stockwright.store.network import read_network

_AT_ONCE: Final = 1_000
Why = Annotated[str, Meta(max_length=MAX_WHY, description="why; kept in the change log")]
Limit = Annotated[int, Meta(ge=1, le=_AT_ONCE)]


class ConnectionsAnswer(msgspec.Struct, kw_only=True):
    """Every connection, by code."""

    items: Sequence[ConnectionView]


class AddAsk(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A new connection. role may be left out where the connector has one; a new channel needs pool.
    What is not said of the system is as in the configuration file.

    Secrets in settings are references: env:NAME or file:PATH on the server.
    """

    system: Annotated[str, Meta(min_length=1, max_length=128)]
    connector: Annotated[str, Meta(min_length=1, max_length=128)]
    reason: Annotated[str, Meta(min_length=1, max_length=MAX_REASON)]
    role: str = ""
    settings: dict[str, Any] = {}
    time_zone: str = ""
    owner: str = ""
    latency_budget_s: Seconds | None = None
    criticality: Criticality | None = None
    clock_error_s: Seconds | None = None
    heartbeat_s: Seconds | None = None
    snapshot_basis: SnapshotBasis | None = None
    revisions: Revisions | None = None
    channel: str = ""
    pool: list[str] = []


class SampleGiven(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A message as the partner sends it, as text; file is its name where names say what it is."""

    body: str
    file: Annotated[str, Meta(max_length=255)] = ""
    content_type: Annotated[str, Meta(max_length=255)] = ""


class TestAsk(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A sample to map instead of what the partner tells when it is asked."""

    samples: Annotated[list[SampleGiven], Meta(max_length=20)] = []


class TestAnswer(msgspec.Struct, kw_only=True):
    """What the test found, and what the stock that the partner told would be as opening stock."""

    tested: Tested
    opening: Opening


class StockAsk(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Take it as of the time that was shown, or go on without it, for a reason.

    location is where the figures lie that name no place.
    """

    as_of: Annotated[dt.datetime, Meta(tz=True)] | None = None
    without: Why = ""
    location: Annotated[str, Meta(max_length=128)] = ""


class StockAnswer(msgspec.Struct, kw_only=True):
    """What was recorded, null where it was gone on without it; and how the connection stands."""

    taken: Taken | None
    connection: ConnectionView


class StepAsk(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Why."""

    why: Why = ""


class LiveAsk(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Why it goes live. force goes live though steps are missing; it takes the scope admin."""

    why: Annotated[str, Meta(min_length=1, max_length=MAX_WHY)]
    force: bool = False


class RetryAsk(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Why it is tried again."""

    why: Annotated[str, Meta(min_length=1, max_length=MAX_WHY)]


class ItemsQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which items: those that stand so, after the last one of the page before."""

    state: ItemState | None = None
    after: str = ""
    after_state: ItemState | None = None
    limit: Limit = 100


class ItemsAnswer(msgspec.Struct, kw_only=True):
    """The partner's items of the last test: in conflict, unknown, matched, each by code."""

    counts: dict[ItemState, int]
    items: Sequence[PartnerItem]


class ShadowQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which levels: all, or only those that differ from what the partner shows."""

    differing: bool = False
    limit: Limit = 100


class ShadowAnswer(msgspec.Struct, kw_only=True):
    """What would have been sent: what the partner does not show first, then by difference."""

    counts: ShadowCounts
    levels: Sequence[ShadowLevel]


_ADD: Final = msgspec.json.Decoder(AddAsk)
_TEST: Final = msgspec.json.Decoder(TestAsk)
_STOCK: Final = msgspec.json.Decoder(StockAsk)
_STEP: Final = msgspec.json.Decoder(StepAsk)
_LIVE: Final = msgspec.json.Decoder(LiveAsk)
_RETRY: Final = msgspec.json.Decoder(RetryAsk)


async def get_connections(call: Call) -> Reply:
    """Every connection with its stage, its steps and what comes next."""
    found = await call.run(connecting.views)
    items = [one for one in found if call.caller.speaks_for(one.system)]
    return reply(ConnectionsAnswer(items=items))


async def get_connection(call: Call) -> Reply:
    """One connection: its steps with who took them and when, and what keeps it from going live."""
    return reply(await call.run(connecting.view, call.path["system"]))


async def add_connection(call: Call) -> Reply:
    """Writes a new connection into the configuration as a revision; nothing is sent to it yet."""
    require_json(call.headers)
    ask = decode(_ADD, call.body)
    said = Said(actor=call.caller.actor, source="api", reason=ask.reason)
    network = await call.run(read_network)
    # Checking loads the code of connectors: no transaction stands still meanwhile.
    edits = await call.block(edits_of, _new(ask), network, call.services.nameable)
    return reply(await call.run(connecting.add, edits, ask.system, said, connector=ask.connector))


def _new(ask: AddAsk) -> NewConnection:
    return NewConnection(
        code=ask.system,
        connector=ask.connector,
        role=ask.role,
        settings=ask.settings,
        about={name: getattr(ask, name) for name in ABOUT},
        channel=ask.channel,
        pool=ask.pool,
    )


async def test_connection(call: Call) -> Reply:
    """Checks the credentials by a real call, maps a sample, matches the items; changes nothing.

    What the partner does wrong is an outcome of the steps, not a problem of this call.
    """
    require_json(call.headers)
    ask = decode(_TEST, call.body)
    system, pool = call.path["system"], call.services.pool
    samples = [_payload(one) for one in ask.samples]
    tested = await call.slowly(steps.test, pool, system, samples, actor=call.caller.actor)
    opening = await call.block(steps.plan_stock, pool, system)
    return reply(TestAnswer(tested=tested, opening=opening))


def _payload(one: SampleGiven) -> Payload:
    headers = {"file": one.file} if one.file else {}
    body = one.body.encode("utf-8", "surrogatepass")
    return Payload(body=body, headers=headers, content_type=one.content_type)


async def post_opening_stock(call: Call) -> Reply:
    """Records what the last test kept as opening stock, or goes on without it. Safe to repeat."""
    require_json(call.headers)
    ask = decode(_STOCK, call.body)
    system, actor, services = call.path["system"], call.caller.actor, call.services
    if ask.without:
        found = await call.run(opening_stock.without, system, actor=actor, why=ask.without)
        return reply(StockAnswer(taken=None, connection=found))
    if ask.as_of is None:
        raise problem("malformed", "Give as_of as the test showed it, or without.", param="as_of")
    taken = await call.slowly(
        steps.take_stock,
        services.pool,
        services.recorder,
        system,
        actor=actor,
        location=ask.location,
        as_of=ask.as_of,
    )
    return reply(StockAnswer(taken=taken, connection=taken.connection))


async def shadow_connection(call: Call) -> Reply:
    """Writes down what would be sent, sends nothing, and compares it with what the partner shows.

    Repeat it to compare again. A connection that is live is sent nothing from then on.
    """
    require_json(call.headers)
    ask = decode(_STEP, call.body)
    found = await call.slowly(
        steps.shadow,
        call.services.pool,
        call.path["system"],
        actor=call.caller.actor,
        why=ask.why,
        limit=100,
    )
    return reply(ShadowAnswer(counts=found.connection.shadow, levels=found.levels))


async def get_shadow(call: Call) -> Reply:
    """What would have been sent to a connection, beside what its partner last showed."""
    query: ShadowQuery = call.query
    return reply(await call.run(_shadow, call.path["system"], query))


def _shadow(connection: Connection, system: str, query: ShadowQuery) -> ShadowAnswer:
    found = connecting.view(connection, system)
    listed = store.shadow(connection, system, differing=query.differing, limit=query.limit)
    return ShadowAnswer(counts=found.shadow, levels=listed)


async def get_items(call: Call) -> Reply:
    """The partner's items as the last test saw them, and how they stand in the item master."""
    query: ItemsQuery = call.query
    return reply(await call.run(_items, call.path["system"], query))


def _items(connection: Connection, system: str, query: ItemsQuery) -> ItemsAnswer:
    found = connecting.view(connection, system)
    after = None
    if query.after:
        after = PartnerItem(code=query.after, state=query.after_state or query.state or "matched")
    listed = store.items(
        connection, system, state=query.state or "", after=after, limit=query.limit
    )
    return ItemsAnswer(counts=found.items, items=listed)


async def match_items(call: Call) -> Reply:
    """Matches the items of the last test once more, after codes were bound or listed."""
    return reply(await call.run(checking.rematch, call.path["system"], actor=call.caller.actor))


async def live_connection(call: Call) -> Reply:
    """Lets a connection send from now on; refused with every reason while a step is missing."""
    require_json(call.headers)
    ask = decode(_LIVE, call.body)
    if ask.force and not call.caller.may("admin"):
        raise problem("forbidden", "Going live with steps missing takes the scope admin.")
    found = await call.run(
        connecting.go_live,
        call.path["system"],
        actor=call.caller.actor,
        why=ask.why,
        force=ask.force,
    )
    return reply(found)


async def retry_connection(call: Call) -> Reply:
    """Tries a connection again at once, after failures made it wait. Safe to repeat.

    Its next poll is due, and the next call of its open circuit; what the partner asked for is kept.
    """
    require_json(call.headers)
    ask = decode(_RETRY, call.body)
    system, actor = call.path["system"], call.caller.actor
    return reply(await call.run(retrying.retry, system, actor=actor, why=ask.why))


def operations() -> list[Operation]:
    """The rows of the route table for connections."""

    def row(method: Any, path: str, handler: Any, scope: str, **more: Any) -> Operation:
        address = f"/v1/connections{path}"
        known = ("not_found", *more.pop("problems", ())) if path else more.pop("problems", ())
        return Operation(
            method=method,
            path=address,
            handler=handler,
            tag="connections",
            scope=scope,
            problems=known,
            **more,
        )

    view = {"answers": {200: ConnectionView}}
    return [
        row("GET", "", get_connections, "work:read", answers={200: ConnectionsAnswer}),
        row(
            "POST",
            "",
            add_connection,
            "admin",
            body=AddAsk,
            problems=("already_connected", "malformed", "misconfigured"),
            **view,
        ),
        row("GET", "/{system}", get_connection, "work:read", **view),
        row(
            "POST",
            "/{system}/test",
            test_connection,
            "work:write",
            body=TestAsk,
            answers={200: TestAnswer},
            problems=("too_large",),
        ),
        row(
            "POST",
            "/{system}/opening-stock",
            post_opening_stock,
            "work:write",
            body=StockAsk,
            answers={200: StockAnswer},
            problems=("malformed", "not_ready", "forbidden_system"),
        ),
        row(
            "GET",
            "/{system}/items",
            get_items,
            "work:read",
            query=ItemsQuery,
            answers={200: ItemsAnswer},
        ),
        row(
            "POST",
            "/{system}/items/match",
            match_items,
            "work:write",
            problems=("not_ready",),
            **view,
        ),
        row(
            "GET",
            "/{system}/shadow",
            get_shadow,
            "work:read",
            query=ShadowQuery,
            answers={200: ShadowAnswer},
        ),
        row(
            "POST",
            "/{system}/shadow",
            shadow_connection,
            "work:write",
            body=StepAsk,
            answers={200: ShadowAnswer},
            problems=("not_ready",),
        ),
        row(
            "POST",
            "/{system}/live",
            live_connection,
            "work:write",
            body=LiveAsk,
            problems=("not_ready", "forbidden"),
            **view,
        ),
        row(
            "POST",
            "/{system}/retry",
            retry_connection,
            "work:write",
            body=RetryAsk,
            answers={200: Retried},
            problems=("not_ready",),
        ),
    ]
