"""Connections: how each stands, its steps as a checklist, and taking them one by one."""

import asyncio
import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, ParamSpec, TypeVar, get_args

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from stockwright.app import connecting as steps
from stockwright.config.asking import (
    ABOUT,
    Asked,
    NewConnection,
    asked,
    connector_of,
    edits_of,
)
from stockwright.config.connectors import usable_connectors
from stockwright.console import formatting as f
from stockwright.console.addresses import checked_code, code_in
from stockwright.console.forms import Form
from stockwright.console.pages import HEADERS, not_with_role, page, twin
from stockwright.console.reading import Reader
from stockwright.domain.errors import Rejected
from stockwright.domain.item_match import PartnerItem
from stockwright.domain.network import System
from stockwright.flow import assigning, checking, connecting, opening_stock, retrying
from stockwright.flow.connecting import ConnectionView
from stockwright.flow.opening_stock import Opening
from stockwright.flow.retrying import Turns
from stockwright.flow.steering import checked_reason
from stockwright.sdk.messages import Payload
from stockwright.store import connecting as store
from stockwright.store import positions
from stockwright.store.connecting import ShadowLevel
from stockwright.store.connection import Connection
from stockwright.store.history import Said
from stockwright.store.network import read_network
from stockwright.store.session import translated

LISTED: Final = 50
SUMMED_UP: Final = 5_000
"""Figures of a partner that a page adds up; more are told by the command, which may take longer."""
_SETTING: Final = "set."
P = ParamSpec("P")
T = TypeVar("T")


class ConnectionsPage(msgspec.Struct, frozen=True):
    """Every connection, by code."""

    at: dt.datetime
    connections: Sequence[ConnectionView]


class ConnectionPage(msgspec.Struct, frozen=True, kw_only=True):
    """One connection, the items and places that wait, its opening stock, what would have been sent,
    and when it is tried next.

    opening is None where the partner told more figures than a page adds up; told counts them.
    """

    at: dt.datetime
    connection: ConnectionView
    items: Sequence[PartnerItem]
    places: Sequence[str]
    opening: Opening | None
    told: int
    told_as_of: dt.datetime | None
    shadow: Sequence[ShadowLevel]
    turns: Turns


class ConnectionPages:
    """The handlers of the pages about connections."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def all(self, request: Request) -> Response:
        """Every connection."""
        found = await self._reader.read(_all)
        if request.url.path.endswith(".json"):
            return twin(found)
        return page(
            request, "connections.html", found=found, now=found.at, twin="/connections.json"
        )

    async def one(self, request: Request) -> Response:
        """One connection with its steps."""
        system, as_json = code_in(request, "system")
        return await self._show(request, system, as_json=as_json)

    async def _show(
        self, request: Request, system: str, *, as_json: bool = False, note: str = ""
    ) -> Response:
        found = await self._reader.read(_one, system)
        if as_json:
            return twin(found)
        return page(
            request,
            "connection.html",
            400 if note else 200,
            found=found,
            now=found.at,
            note=note,
            twin=f.connection_url(system, twin=True),
        )

    async def new(self, request: Request) -> Response:
        """The form of a new connection: first its connector, then the settings that this takes."""
        return self._form(request, request.query_params.get("connector", ""), Form())

    def _form(self, request: Request, connector: str, form: Form, note: str = "") -> Response:
        declaration = connector_of(connector).declaration if connector else None
        wanted: list[Asked] = asked(declaration) if declaration else []
        # What stands in the field of a secret may be the secret by mistake: it is not shown again.
        given = {one.name: "" if one.secret else form.one(_SETTING + one.name) for one in wanted}
        names = ("system", "role", "channel", "pool", "reason", *ABOUT)
        return page(
            request,
            "connection_new.html",
            400 if note else 200,
            connectors=[one.declaration for one in usable_connectors()],
            declaration=declaration,
            wanted=wanted,
            first=_first(wanted),
            given=given,
            values={name: form.one(name) for name in names},
            about=_about(),
            note=note,
        )

    async def add(self, request: Request) -> Response:
        """Writes a new connection into the configuration."""
        form, actor = request.state.form, request.state.visitor.actor
        connector = form.one("connector")
        wanted = asked(connector_of(connector).declaration)
        new = NewConnection(
            code=form.one("system").strip(),
            connector=connector,
            role=form.one("role"),
            settings={
                one.name: text for one in wanted if (text := form.one(_SETTING + one.name).strip())
            },
            about={name: _value(name, form.one(name).strip()) for name in ABOUT},
            channel=form.one("channel").strip(),
            pool=form.one("pool").replace(",", " ").split(),
        )
        reason = form.one("reason").strip() or "connect it"
        said = Said(actor=actor, source="console", reason=reason)
        try:
            await self._add(new, said)
        except Rejected as refused:
            return self._form(request, connector, form, refused.message)
        return RedirectResponse(f.connection_url(new.code), 303, HEADERS)

    async def _add(self, new: NewConnection, said: Said) -> None:
        network = await self._reader.run(read_network)
        # Checking loads the code of connectors: no transaction stands still meanwhile.
        nameable = self._reader.services.nameable
        edits = await self._reader.block(edits_of, new, network, nameable)
        await self._reader.run(connecting.add, edits, new.code, said, connector=new.connector)

    async def act(self, request: Request) -> Response:
        """Takes one step of a connection."""
        form = request.state.form
        act = _ACTS.get(form.one("action"))
        system = checked_code(form.one("system"), "system")
        if act is None:
            raise Rejected("malformed", "action", "There is nothing of that name to do here.")
        visitor = request.state.visitor
        if form.one("force") and not visitor.may("connection.force"):
            return not_with_role(request, "connection.force")
        try:
            await _aside(act, self._reader, system, form, visitor.actor)
        except Rejected as refused:
            if refused.reason == "not_found":
                raise
            return await self._show(request, system, note=refused.message)
        return RedirectResponse(f.connection_url(system), 303, HEADERS)


def _first(wanted: Sequence[Asked]) -> int:
    """How many settings stand before the others: all up to the last one that is needed to get in.

    Where a partner is and how it lets us in is mostly declared before all else.
    """
    needed = [number for number, one in enumerate(wanted, 1) if one.required or one.secret]
    return max(needed, default=len(wanted))


class About(NamedTuple):
    """A field about the system: its choices, where it has some, and what stands for nothing."""

    name: str
    what: str
    default: str
    choices: tuple[str, ...]


def _about() -> list[About]:
    fields = {field.name: field for field in msgspec.structs.fields(System)}
    return [_about_field(fields[name]) for name in ABOUT]


def _about_field(field: msgspec.structs.FieldInfo) -> About:
    what = str(msgspec.json.schema(field.type)["description"])
    plain, default = get_args(field.type)[0], field.default
    shown = f"{default:g}" if isinstance(default, float) else str(default)
    return About(field.name, what, shown, get_args(plain))


def _value(name: str, text: str) -> str | float:
    """What a person typed, as a number where one is meant; the rules say what is wrong with it."""
    try:
        return float(text) if name.endswith("_s") else text
    except ValueError:
        return text


async def _aside(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs what may wait for a partner, beside the threads that answer reads."""

    def inside() -> T:
        with translated():
            return work(*args, **kwargs)

    return await asyncio.to_thread(inside)


def _all(connection: Connection) -> ConnectionsPage:
    return ConnectionsPage(positions.moment(connection), connecting.views(connection))


def _one(connection: Connection, system: str) -> ConnectionPage:
    found = connecting.view(connection, system)
    told, as_of = store.shown_total(connection, system)
    few = told <= SUMMED_UP
    opening = opening_stock.plan(connection, system)[0] if few else None
    items = store.items(connection, system, limit=LISTED)
    return ConnectionPage(
        at=positions.moment(connection),
        connection=found,
        items=[item for item in items if item.state != "matched"],
        places=checking.places_that_wait(connection, found),
        opening=opening,
        told=told,
        told_as_of=as_of,
        shadow=store.shadow(connection, system, differing=True, limit=LISTED),
        turns=retrying.turns(connection, system),
    )


def _test(reader: Reader, system: str, form: Form, actor: str) -> None:
    text, name = form.one("sample"), form.one("file").strip()
    headers = {"file": name} if name else {}
    samples = [Payload(body=text.encode(), headers=headers)] if text.strip() else []
    steps.test(reader.services.pool, system, samples, actor=actor)


def _match(reader: Reader, system: str, _form: Form, actor: str) -> None:
    with reader.services.pool.connection() as connection:
        checking.rematch(connection, system, actor=actor)


def _written_beside(form: Form, theirs: str, ours: str) -> dict[str, str]:
    """What a person wrote beside the partner's words, of those where anything was written."""
    given = zip(form.all(theirs), form.all(ours), strict=False)
    return {name: text.strip() for name, text in given if text.strip()}


def _assign(reader: Reader, system: str, form: Form, actor: str) -> None:
    skus = _written_beside(form, "code", "sku")
    said = Said(actor=actor, source="console", reason=f"connect {system}")
    with reader.services.pool.connection() as connection:
        assigning.assign(connection, system, skus, said)


def _bind_places(reader: Reader, system: str, form: Form, actor: str) -> None:
    places = _written_beside(form, "place", "location")
    said = Said(actor=actor, source="console", reason=f"connect {system}")
    with reader.services.pool.connection() as connection:
        assigning.bind_places(connection, system, places, said)


def _take_stock(reader: Reader, system: str, form: Form, actor: str) -> None:
    services = reader.services
    steps.take_stock(
        services.pool,
        services.recorder,
        system,
        actor=actor,
        location=form.one("location").strip(),
        as_of=_time(form.one("as_of")),
    )


def _without_stock(reader: Reader, system: str, form: Form, actor: str) -> None:
    with reader.services.pool.connection() as connection:
        opening_stock.without(connection, system, actor=actor, why=form.one("why"))


def _shadow(reader: Reader, system: str, form: Form, actor: str) -> None:
    why = form.one("why").strip()[:1_000]
    steps.shadow(reader.services.pool, system, actor=actor, why=why)


def _live(reader: Reader, system: str, form: Form, actor: str) -> None:
    why, force = checked_reason(form.one("why")), bool(form.one("force"))
    with reader.services.pool.connection() as connection:
        connecting.go_live(connection, system, actor=actor, why=why, force=force)


def _retry(reader: Reader, system: str, form: Form, actor: str) -> None:
    why = checked_reason(form.one("why"))
    with reader.services.pool.connection() as connection:
        retrying.retry(connection, system, actor=actor, why=why)


_ACTS: Final[dict[str, Callable[[Reader, str, Form, str], Any]]] = {
    "test": _test,
    "match": _match,
    "assign": _assign,
    "bind_places": _bind_places,
    "take_stock": _take_stock,
    "without_stock": _without_stock,
    "shadow": _shadow,
    "live": _live,
    "retry": _retry,
}


def _time(text: str) -> dt.datetime:
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise Rejected("malformed", "as_of", "Reload the page: it does not say as of when.")
    return found
