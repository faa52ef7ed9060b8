"""Subscriptions: how every outside consumer does, one in depth, adding one and steering it.

What is done is seen before it is done, as with `publications`. A secret is on the one page that
answers the post which made it, and never again.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final, get_args

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from stockwright.config.connectors import find_connector
from stockwright.console import formatting as f
from stockwright.console.addresses import checked_code, code_in
from stockwright.console.forms import Form
from stockwright.console.pages import HEADERS, message, not_with_role, page, twin
from stockwright.console.reading import Reader
from stockwright.console.subscription_form import asked_for, start_of
from stockwright.console.subscription_words import AFTER, DEEDS, Deed, lines_of
from stockwright.domain.cursors import cursor_of
from stockwright.domain.errors import Misconfigured, Rejected
from stockwright.domain.proxies import networks
from stockwright.domain.subscriptions import Kind, State, shown_url
from stockwright.flow import subscribing
from stockwright.flow.steering import checked_reason
from stockwright.flow.subscribing import Made
from stockwright.store import audit_board, desk, positions
from stockwright.store import subscriptions as store
from stockwright.store.access import Change
from stockwright.store.connection import Connection
from stockwright.store.network import read_network
from stockwright.store.subscriptions import Attempt, Subscription

NAME: Final = "subscriptions"
KINDS: Final = tuple(kind for part in get_args(Kind) for kind in (get_args(part) or (part,)))
LISTED: Final = 20
mark: Final = store.mark


class SubscriptionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One subscription, its address without what may be a key, and how it does in words."""

    state: State
    why: str
    to: str
    lag_s: float
    cursor: str
    subscription: Subscription


class SubscriptionsPage(msgspec.Struct, frozen=True):
    """Every subscription, by name."""

    at: dt.datetime
    subscriptions: Sequence[SubscriptionRow]


class SubscriptionPage(msgspec.Struct, frozen=True, kw_only=True):
    """One subscription, its newest messages, and what was done to it."""

    at: dt.datetime
    row: SubscriptionRow
    attempts: Sequence[Attempt]
    changes: Sequence[Change]


class SubscriptionPages:
    """The handlers of the pages about subscriptions."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def all(self, request: Request) -> Response:
        """Every subscription."""
        found, shape = await self._reader.read(_all)
        if request.url.path.endswith(".json"):
            return twin(found)
        return page(
            request, "subscriptions.html", found=found, now=found.at, twin="/subscriptions.json",
            stream=f"/console/stream?board={NAME}", shape=shape,
        )  # fmt: skip

    async def one(self, request: Request) -> Response:
        """One subscription."""
        name, as_json = code_in(request, "name")
        found, shape = await self._reader.read(_one, name)
        if as_json:
            return twin(found)
        return page(
            request, "subscription.html", found=found, now=found.at,
            twin=f.subscription_url(name, twin=True),
            stream=f"/console/stream?board={NAME}", shape=shape,
        )  # fmt: skip

    async def new(self, request: Request) -> Response:
        """The form of a new subscription."""
        return await self._form(request, Form())

    async def add(self, request: Request) -> Response:
        """Adds a subscription, and shows its secret this once."""
        form, actor = request.state.form, request.state.visitor.actor
        services = self._reader.services
        try:
            new, start = asked_for(form), start_of(form)
            made = await self._reader.block(
                subscribing.add,
                services.pool,
                new,
                start,
                actor=actor,
                allowed=networks(services.consumer_networks),
                queues=await self._reader.run(_queues),
            )
        except Rejected as refused:
            return await self._form(request, form, refused.message, refused.field)
        if made is None:
            note = f"There is a subscription {new.name!r}. Choose another name."
            return await self._form(request, form, note, "name")
        if not made.secret:
            return RedirectResponse(f.subscription_url(new.name), 303, HEADERS)
        return _secret(request, made)

    async def _form(
        self, request: Request, form: Form, note: str = "", about: str = ""
    ) -> Response:
        queues = [code for code, can in (await self._reader.run(_queues)).items() if can]
        return page(
            request, "subscription_new.html", 400 if note else 200,
            form=form, note=note, about=about, queues=queues, kinds=KINDS,
        )  # fmt: skip

    async def act(self, request: Request) -> Response:
        """Shows what a deed would do to a subscription, and does it once confirmed."""
        form, visitor = request.state.form, request.state.visitor
        deed, name = DEEDS.get(form.one("action")), form.one("name")
        if deed is None:
            raise Rejected("malformed", "action", "There is nothing of that name to do here.")
        checked_code(name, "name")
        if not visitor.may(deed.right):
            return not_with_role(request, deed.right)
        note, why = "", form.one("why")
        if form.one("confirm"):
            try:
                why = checked_reason(why) if deed.reasoned else ""
                return await self._do(request, deed, name, why)
            except Rejected as refused:
                if refused.reason == "not_found":
                    raise
                note = refused.message
        return await self._preview(request, deed, name, why, note)

    async def _preview(
        self, request: Request, deed: Deed, name: str, why: str, note: str
    ) -> Response:
        form, distance = request.state.form, None
        one = await self._reader.run(subscribing.found, name)
        if deed.name == "replay":
            try:
                distance = await self._reader.block(
                    subscribing.distance, self._reader.services.pool, name, start_of(form)
                )
            except Rejected as refused:
                return message(request, 400, "From where?", refused.message)
        lines = lines_of(deed, one, distance)
        return page(
            request, "subscription_deed.html", 400 if note else 200,
            deed=deed, name=name, lines=lines, why=why, note=note, form=form,
        )  # fmt: skip

    async def _do(self, request: Request, deed: Deed, name: str, why: str) -> Response:
        visitor, pool = request.state.visitor, self._reader.services.pool
        actor, back = visitor.actor, f.subscription_url(name)
        if deed.name == "rotate":
            made = await self._reader.run(subscribing.rotate, name, actor=actor)
            return _secret(request, made)
        if deed.name == "replay":
            start = start_of(request.state.form)
            await self._reader.block(subscribing.replay, pool, name, start, actor=actor)
        elif deed.name == "delete":
            await self._reader.run(subscribing.delete, name, actor=actor)
            back = "/subscriptions"
        else:
            do = subscribing.pause if deed.name == "pause" else subscribing.resume
            if not await self._reader.run(do, name, actor=actor, why=why):
                text = f"{name} was {deed.told.lower()} before, by you or by somebody else."
                return message(request, 409, "Nothing to do", text)
        result: dict[str, Any] = {
            "told": f"{deed.told} {name}", "done": None, "wont": {}, "note": AFTER[deed.name],
            "back": back,
        }  # fmt: skip
        number = await self._reader.run(
            desk.note_deed, visitor.owner, f"subscription.{deed.name}", result, None
        )
        return RedirectResponse(f"/done/{number}", 303, HEADERS)


def _all(connection: Connection) -> tuple[SubscriptionsPage, str]:
    now = positions.moment(connection)
    rows = [_row(one, now) for one in store.subscriptions(connection)]
    return SubscriptionsPage(now, rows), mark(connection)


def _one(connection: Connection, name: str) -> tuple[SubscriptionPage, str]:
    now, one = positions.moment(connection), subscribing.found(connection, name)
    changes = audit_board.rows(connection, {"subject": name}, before=2**62, limit=100)
    found = SubscriptionPage(
        at=now,
        row=_row(one, now),
        attempts=store.attempts(connection, one.id, LISTED),
        changes=[each for each in changes if each.action.startswith("subscription.")][:10],
    )
    return found, mark(connection)


def _row(one: Subscription, now: dt.datetime) -> SubscriptionRow:
    lag_s = max(0.0, (now - one.oldest_at).total_seconds()) if one.oldest_at else 0.0
    return SubscriptionRow(
        state=one.state,
        why=one.paused_why or one.last_error,
        to=shown_url(one.url) or f"{one.system}: {one.subject}",
        lag_s=round(lag_s, 3),
        cursor=cursor_of(one.position),
        subscription=msgspec.structs.replace(one, url=shown_url(one.url)),
    )


def _secret(request: Request, made: Made) -> Response:
    one = made.subscription
    return page(
        request,
        "subscription_secret.html",
        name=one.name,
        secret=made.secret,
        to=shown_url(one.url),
        both=len(one.secrets) > 1,
    )


def _queues(connection: Connection) -> dict[str, bool]:
    """For every connected system, whether announcements can be sent through it."""
    connected = [one for one in read_network(connection).systems if one.connector]
    return {one.code: _announces(one.connector) for one in connected}


def _announces(connector: str) -> bool:
    try:
        found = find_connector(connector)
    except Misconfigured:
        return False
    return found is not None and found.declaration.capabilities.announces
