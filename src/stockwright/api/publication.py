"""How the publication of channels does, and steering it: pause, resume, resync."""

import datetime as dt
from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec

from stockwright.api.bodies import decode, require_json
from stockwright.api.call import Call
from stockwright.api.operations import Operation
from stockwright.api.reply import Reply, reply
from stockwright.domain.links import State
from stockwright.flow import steering
from stockwright.flow.steering import MAX_WHY, Publishing, ResyncPlan
from stockwright.store.connection import Connection

Why = Annotated[
    str,
    msgspec.Meta(min_length=1, max_length=MAX_WHY, description="why; kept in the change log"),
]


class PublicationView(msgspec.Struct, kw_only=True):
    """How one channel's publication does.

    state and why are those of the overview. Levels wait by lane: decreases, increases; first and
    resends are parts of the increases. budget_used is the part of the calls a second that its
    connection used in the last minute, null until a worker has told its limits.
    """

    channel: str
    system: str
    connector: str
    state: State
    why: str
    paused: bool
    paused_by: str
    paused_at: dt.datetime | None
    paused_why: str
    decreases: int
    increases: int
    first: int
    resends: int
    in_doubt: int
    refused: int
    oldest_at: dt.datetime | None
    lag_p50_s: float | None
    lag_p99_s: float | None
    budget_used: float | None


class PublicationsAnswer(msgspec.Struct, kw_only=True):
    """Every channel, by code."""

    items: Sequence[PublicationView]


class SteerAsk(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Why the channel is paused or resumed."""

    why: Why


class ResyncAsk(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Why everything is sent once more; a dry run needs no reason."""

    why: Annotated[str, msgspec.Meta(max_length=MAX_WHY)] = ""


class ResyncQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Whether only to tell what would be done."""

    dry_run: bool = False


class ResyncAnswer(msgspec.Struct, kw_only=True):
    """The plan, and how many levels were made due; null after a dry run."""

    plan: ResyncPlan
    levels: int | None


_STEER: Final = msgspec.json.Decoder(SteerAsk)
_RESYNC: Final = msgspec.json.Decoder(ResyncAsk)


async def get_publications(call: Call) -> Reply:
    """How the publication of every channel does: state, backlog by lane, lag, budget."""
    found = await call.run(steering.publications)
    views = [_view(one) for one in found]
    items = [one for one in views if call.caller.sells_through(one.channel)]
    return reply(PublicationsAnswer(items=items))


async def get_publication(call: Call) -> Reply:
    """How the publication of one channel does."""
    return reply(await call.run(_read, call.path["channel"]))


async def pause_channel(call: Call) -> Reply:
    """Sends a channel nothing until it is resumed; its levels go on being computed."""
    require_json(call.headers)
    ask = decode(_STEER, call.body)
    channel, actor = call.path["channel"], call.caller.actor
    await call.run(steering.pause, channel, actor=actor, why=ask.why)
    return reply(await call.run(_read, channel))


async def resume_channel(call: Call) -> Reply:
    """Lets a paused channel go on: what differs by then is sent, and nothing else."""
    require_json(call.headers)
    ask = decode(_STEER, call.body)
    channel, actor = call.path["channel"], call.caller.actor
    await call.run(steering.resume, channel, actor=actor, why=ask.why)
    return reply(await call.run(_read, channel))


async def resync_channel(call: Call) -> Reply:
    """Sends a channel all its settled levels once more; `dry_run` only tells how many, how long.

    What differs goes first all the while. Refused where it could empty the channel.
    """
    require_json(call.headers)
    ask = decode(_RESYNC, call.body)
    channel, query = call.path["channel"], call.query
    if query.dry_run:
        plan = await call.run(steering.plan_resync, channel)
        return reply(ResyncAnswer(plan=plan, levels=None))
    done = await call.block(
        steering.resync, call.services.pool, channel, actor=call.caller.actor, why=ask.why
    )
    return reply(ResyncAnswer(plan=done.plan, levels=done.levels))


def _read(connection: Connection, channel: str) -> PublicationView:
    return _view(steering.publication(connection, channel))


def _view(one: Publishing) -> PublicationView:
    facts, backlog = one.link.facts, one.backlog
    return PublicationView(
        channel=facts.channel,
        system=facts.system,
        connector=facts.connector,
        state=one.link.judgement.state,
        why=one.link.judgement.why,
        paused=facts.paused,
        paused_by=facts.paused_by,
        paused_at=facts.paused_at,
        paused_why=facts.paused_why,
        decreases=backlog.decreases,
        increases=backlog.increases,
        first=backlog.first,
        resends=backlog.resends,
        in_doubt=backlog.in_doubt,
        refused=facts.refused,
        oldest_at=facts.oldest_at,
        lag_p50_s=facts.lag_p50_s,
        lag_p99_s=facts.lag_p99_s,
        budget_used=one.spending.used,
    )


def operations() -> list[Operation]:
    """The rows of the route table for publication."""

    def row(method: Any, path: str, handler: Any, scope: str, **more: Any) -> Operation:
        address = f"/v1/publication{path}"
        return Operation(
            method=method, path=address, handler=handler, tag="publication", scope=scope, **more
        )

    known = ("unknown_channel",)
    steer = {"body": SteerAsk, "answers": {200: PublicationView}, "problems": known, "stored": True}
    return [
        row("GET", "", get_publications, "work:read", answers={200: PublicationsAnswer}),
        row(
            "GET",
            "/{channel}",
            get_publication,
            "work:read",
            answers={200: PublicationView},
            problems=known,
        ),
        row("POST", "/{channel}/pause", pause_channel, "work:write", **steer),
        row(
            "POST",
            "/{channel}/resume",
            resume_channel,
            "work:write",
            **(steer | {"problems": (*known, "not_ready")}),
        ),
        row(
            "POST",
            "/{channel}/resync",
            resync_channel,
            "work:write",
            body=ResyncAsk,
            query=ResyncQuery,
            answers={200: ResyncAnswer},
            problems=(*known, "incomplete"),
            stored=True,
        ),
    ]
