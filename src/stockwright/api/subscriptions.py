"""Subscriptions: what outside consumers are told of, where, and how far each has come."""

import datetime as dt
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import msgspec

from stockwright.api.bodies import decode, require_json
from stockwright.api.call import Call
from stockwright.api.operations import Link, Operation
from stockwright.api.paging import Cursor, Page, PageQuery, cursor_of, page_of, position_of
from stockwright.api.problems import problem
from stockwright.api.publication import Why
from stockwright.api.reply import Reply, reply
from stockwright.domain.proxies import networks
from stockwright.domain.subscriptions import (
    MAX_SUBJECT,
    MAX_URL,
    MOST_IN_A_MESSAGE,
    Filters,
    NewSubscription,
    State,
    Via,
    shown_url,
)
from stockwright.flow import subscribing
from stockwright.flow.subscribing import MAX_OVERLAP_S, OVERLAP_S, Made, Start
from stockwright.sdk.verbs import Announces
from stockwright.store import subscriptions as store
from stockwright.store.connection import Connection
from stockwright.store.subscriptions import SecretView, Subscription

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Sequence_ = Annotated[int, msgspec.Meta(ge=1, le=2**62)]


class SubscriptionAsk(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A new subscription: by webhook to `url`, or through the queue of `system` to `subject`.

    It begins `now`, at the `start` of all, behind a `cursor` of the feed, or in front of the event
    with a `sequence` number. batch: how many changes one message may hold.
    """

    name: Name
    via: Via = "webhook"
    url: Annotated[str, msgspec.Meta(max_length=MAX_URL)] = ""
    system: Annotated[str, msgspec.Meta(max_length=128)] = ""
    subject: Annotated[str, msgspec.Meta(max_length=MAX_SUBJECT)] = ""
    filters: Filters = Filters()
    batch: Annotated[int, msgspec.Meta(ge=1, le=MOST_IN_A_MESSAGE)] = 100
    begin: Literal["start", "now"] = "now"
    cursor: Cursor = ""
    sequence: Sequence_ | None = None


class SubscriptionView(msgspec.Struct, kw_only=True):
    """A subscription and how it does. url is told without its query, secrets without themselves.

    cursor: behind what its consumer took. behind counts the changes it has not come to yet, whether
    they pass the filters or not; lag_s is the age of the oldest of them.
    """

    name: str
    via: Via
    url: str
    system: str
    subject: str
    filters: Filters
    batch: int
    state: State
    why: str
    paused_by: str
    paused_at: dt.datetime | None
    failures: int
    failing_since: dt.datetime | None
    next_try_at: dt.datetime | None
    last_error: str
    cursor: str
    behind: int
    lag_s: float
    delivered: int
    delivered_at: dt.datetime | None
    created_at: dt.datetime
    created_by: str
    secrets: Sequence[SecretView]


class SubscriptionMade(msgspec.Struct, kw_only=True):
    """A subscription with the secret just made for it, told this once; empty for a queue."""

    subscription: SubscriptionView
    secret: str


class SubscriptionSteer(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Why it is paused or resumed."""

    why: Why


class RotateAsk(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """For how many seconds the secret before signs beside the new one."""

    overlap_s: Annotated[float, msgspec.Meta(ge=0, le=MAX_OVERLAP_S)] = OVERLAP_S


class SubscriptionReplayAsk(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is told next: all behind a `cursor` of the feed, all from the event with a `sequence`
    number on, or from one end of the feed. Exactly one of the three.
    """

    begin: Literal["start", "now"] | None = None
    cursor: Cursor = ""
    sequence: Sequence_ | None = None


_ADD: Final = msgspec.json.Decoder(SubscriptionAsk)
_STEER: Final = msgspec.json.Decoder(SubscriptionSteer)
_ROTATE: Final = msgspec.json.Decoder(RotateAsk)
_REPLAY: Final = msgspec.json.Decoder(SubscriptionReplayAsk)
_LINKS: Final = ("get_subscription", "pause_subscription", "resume_subscription")


async def post_subscription(call: Call) -> Reply:
    """Adds a subscription. The secret that its webhooks are signed with is told this once."""
    require_json(call.headers)
    ask = decode(_ADD, call.body)
    new = NewSubscription(
        **{name: getattr(ask, name) for name in NewSubscription.__struct_fields__}
    )
    start = Start(ask.begin, ask.cursor, ask.sequence)
    queues = {code: isinstance(one, Announces) for code, one in call.services.connections.items()}
    allowed = networks(call.services.config.subscriptions.allowed_networks)
    made = await call.block(
        subscribing.add,
        call.services.pool,
        new,
        start,
        actor=call.caller.actor,
        allowed=allowed,
        queues=queues,
    )
    if made is None:
        raise problem("name_taken", f"There is a subscription {ask.name!r}.", param="name")
    call.services.bell.ring()
    return reply(_made(made), 201)


async def get_subscriptions(call: Call) -> Reply:
    """Subscriptions, by name, each with its state, its position and its lag."""
    query: PageQuery = call.query
    found = await call.run(
        store.subscriptions, after=position_of(query.cursor, str, ""), limit=query.limit + 1
    )
    return reply(page_of([_view(one) for one in found], query.limit, lambda one: one.name))


async def get_subscription(call: Call) -> Reply:
    """One subscription, with its state, its position and its lag."""
    return reply(_view(await call.run(subscribing.found, call.path["name"])))


async def pause_subscription(call: Call) -> Reply:
    """Sends a consumer nothing until it is resumed; its position is kept."""
    return await _steer(call, subscribing.pause)


async def resume_subscription(call: Call) -> Reply:
    """Lets a paused consumer be told again, at once, from where it stopped."""
    return await _steer(call, subscribing.resume)


async def rotate_subscription_secret(call: Call) -> Reply:
    """Makes a new secret, told this once; the one before signs beside it for a while."""
    require_json(call.headers)
    ask = decode(_ROTATE, call.body or b"{}")
    made = await call.run(
        subscribing.rotate, call.path["name"], actor=call.caller.actor, overlap_s=ask.overlap_s
    )
    return reply(_made(made))


async def replay_subscription(call: Call) -> Reply:
    """Sets a subscription to a position in the feed: what stands behind it is told next."""
    require_json(call.headers)
    ask = decode(_REPLAY, call.body)
    if sum((ask.begin is not None, bool(ask.cursor), ask.sequence is not None)) != 1:
        raise problem("malformed", "Give one of begin, cursor and sequence.", param="cursor")
    start = Start(ask.begin or "now", ask.cursor, ask.sequence)
    name, actor = call.path["name"], call.caller.actor
    found = await call.block(subscribing.replay, call.services.pool, name, start, actor=actor)
    call.services.bell.ring()
    return reply(_view(found))


async def delete_subscription(call: Call) -> Reply:
    """Removes a subscription with its secrets and its position; answers it as it was."""
    found = await call.run(subscribing.delete, call.path["name"], actor=call.caller.actor)
    return reply(_view(found))


async def _steer(call: Call, deed: Any) -> Reply:
    require_json(call.headers)
    ask = decode(_STEER, call.body)

    def work(connection: Connection) -> Subscription:
        deed(connection, call.path["name"], actor=call.caller.actor, why=ask.why)
        return subscribing.found(connection, call.path["name"])

    found = await call.run(work)
    call.services.bell.ring()
    return reply(_view(found))


def _made(made: Made) -> SubscriptionMade:
    return SubscriptionMade(subscription=_view(made.subscription), secret=made.secret)


def _view(one: Subscription) -> SubscriptionView:
    now = dt.datetime.now(dt.UTC)
    lag_s = max(0.0, (now - one.oldest_at).total_seconds()) if one.oldest_at else 0.0
    return SubscriptionView(
        name=one.name,
        via=one.via,
        url=shown_url(one.url),
        system=one.system,
        subject=one.subject,
        filters=one.filters,
        batch=one.batch,
        state=one.state,
        why=one.paused_why or one.last_error,
        paused_by=one.paused_by,
        paused_at=one.paused_at,
        failures=one.failures,
        failing_since=one.failing_since,
        next_try_at=one.due_at if one.state == "failing" else None,
        last_error=one.last_error,
        cursor=cursor_of(one.position),
        behind=one.behind,
        lag_s=round(lag_s, 3),
        delivered=one.delivered,
        delivered_at=one.delivered_at,
        created_at=one.created_at,
        created_by=one.created_by,
        secrets=one.secrets,
    )


def operations() -> list[Operation]:
    """The rows of the route table for subscriptions."""
    links = tuple(
        Link(to=to, parameters={"name": "$response.body#/subscription/name"}) for to in _LINKS
    )

    def row(method: Any, path: str, handler: Any, verb: str, answer: Any, **more: Any) -> Operation:
        return Operation(
            method=method,
            path=f"/v1/subscriptions{path}",
            handler=handler,
            tag="subscriptions",
            scope=f"subscriptions:{verb}",
            answers={201 if handler is post_subscription else 200: answer},
            problems=("name_taken", "unknown_system", "busy") if not path else ("not_found",),
            **more,
        )

    one = "/{name}"
    steer = {"body": SubscriptionSteer, "stored": True}
    view, made = SubscriptionView, SubscriptionMade
    return [
        # Not `stored`: the answer holds a secret, which must not be kept for a second asking.
        row("POST", "", post_subscription, "write", made, body=SubscriptionAsk, links=links),
        row("GET", "", get_subscriptions, "read", Page[SubscriptionView], query=PageQuery),
        row("GET", one, get_subscription, "read", view),
        row("DELETE", one, delete_subscription, "write", view),
        row("POST", f"{one}/pause", pause_subscription, "write", view, **steer),
        row("POST", f"{one}/resume", resume_subscription, "write", view, **steer),
        row("POST", f"{one}/secret", rotate_subscription_secret, "write", made, body=RotateAsk),
        row(
            "POST",
            f"{one}/replay",
            replay_subscription,
            "write",
            view,
            body=SubscriptionReplayAsk,
            stored=True,
        ),
    ]
