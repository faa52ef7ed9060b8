"""A user's own page: password, sessions, time zone and theme."""

import datetime as dt
from collections.abc import Sequence
from typing import Any
from zoneinfo import available_timezones

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from stockwright.console import formatting
from stockwright.console.access import Visitor
from stockwright.console.pages import HEADERS, page, twin
from stockwright.console.reading import Reader
from stockwright.console.signing import Doubt, Hasher, proven
from stockwright.domain import passwords
from stockwright.domain.errors import Rejected
from stockwright.domain.people import PERMISSIONS, Role
from stockwright.store import positions, sessions, users
from stockwright.store.connection import Connection
from stockwright.store.sessions import SessionView
from stockwright.store.users import Settings


class AccountPage(msgspec.Struct, frozen=True):
    """What the page and its twin show."""

    name: str
    role: Role
    must_change: bool
    at: dt.datetime
    settings: Settings
    sessions: Sequence[SessionView]
    session: int | None
    may: Sequence[str]
    may_not: Sequence[str]


class Account:
    """The handlers of a user's own page."""

    def __init__(self, reader: Reader, hasher: Hasher) -> None:
        self._reader = reader
        self._hasher = hasher

    async def show(self, request: Request) -> Response:
        """The page."""
        return await self._page(request)

    async def change_settings(self, request: Request) -> Response:
        """Keeps time zone and theme."""
        form = request.state.form
        zone, theme = form.one("time_zone").strip(), form.one("theme")
        if zone and zone not in available_timezones():
            note = f"There is no time zone {zone[:64]!r}; use an IANA name such as Europe/Berlin."
            return await self._page(request, note=note, about="time_zone", status=400)
        if theme not in ("", "light", "dark"):
            raise Rejected("malformed", "theme", "A theme is light, dark, or the system's.")
        owner = request.state.visitor.owner
        await self._reader.run(users.keep_settings, owner, Settings(zone, theme))
        back = form.one("back")
        return RedirectResponse(back if is_local(back) else "/account", 303, HEADERS)

    async def change_password(self, request: Request) -> Response:
        """Takes a new password in exchange for the old one; other sessions end."""
        form, signed = request.state.form, request.state.visitor.signed
        if signed is None:
            raise Rejected("malformed", "password", "Nobody signs in here: there is no password.")
        new = form.one("new")
        if new != form.one("again"):
            return await self._page(
                request, note="The two new passwords differ.", about="again", status=400
            )
        wrong = "The old password is wrong."
        proof = await proven(self._reader, self._hasher, request, form.one("old"), wrong=wrong)
        if isinstance(proof, Doubt):
            return await self._page(request, note=proof.note, about="old", status=proof.status)
        if passwords.same(new, form.one("old")):
            note = "This is the old password. Choose one that nobody else knows."
            return await self._page(request, note=note, about="new", status=400)
        try:
            await self._reader.run(_set_password, request.state.visitor, new, proof.kept)
        except Rejected as refused:
            return await self._page(request, note=refused.message, about="new", status=400)
        return RedirectResponse("/account?changed=password", 303, HEADERS)

    async def end_session(self, request: Request) -> Response:
        """Ends one of the user's sessions."""
        form, signed = request.state.form, request.state.visitor.signed
        text = form.one("session")
        if signed is not None and text.isascii() and text.isdigit() and len(text) <= 18:
            await self._reader.run(sessions.close_one, signed, int(text))
        return RedirectResponse("/account", 303, HEADERS)

    async def _page(
        self, request: Request, *, note: str = "", about: str = "", status: int = 200
    ) -> Response:
        found = await self._reader.run(_read, request.state.visitor)
        if request.url.path.endswith(".json"):
            return twin(found, status)
        return page(
            request,
            "account.html",
            status,
            account=found,
            now=found.at,
            note=note,
            about=about,
            changed=request.query_params.get("changed", ""),
            zones=sorted(available_timezones()),
            server_zone=str(formatting.SERVER_ZONE),
            twin="/account.json",
        )


def _read(connection: Connection, visitor: Visitor) -> AccountPage:
    signed = visitor.signed
    allowed: dict[bool, list[str]] = {True: [], False: []}
    for action, permission in PERMISSIONS.items():
        allowed[visitor.may(action)].append(permission.meaning)
    return AccountPage(
        name=visitor.owner,
        role=visitor.role,
        must_change=signed is not None and signed.must_change,
        at=positions.moment(connection),
        settings=visitor.settings,
        sessions=sessions.sessions_of(connection, signed.user_id) if signed else (),
        session=signed.session if signed else None,
        may=allowed[True],
        may_not=allowed[False],
    )


def _set_password(connection: Connection, visitor: Visitor, password: str, before: str) -> None:
    assert visitor.signed is not None
    users.set_password(
        connection,
        visitor.owner,
        password,
        keep_session=visitor.signed.session,
        instead_of=before,
        actor=visitor.actor,
    )


def is_local(address: str) -> bool:
    """Whether an address stays on this site, whatever a browser makes of it."""
    return address.startswith("/") and address[1:2] not in ("/", "\\") and address.isprintable()


def choices(settings: Settings) -> dict[str, Any]:
    """What every page needs of a person's settings."""
    return {"theme": settings.theme, "zone": formatting.zone_of(settings.time_zone)}
