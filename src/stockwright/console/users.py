"""The users of the console: who they are, and what an admin changes about them.

Every change asks for the admin's own password: an open browser alone must not hand out access.
"""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from stockwright.console.access import Visitor
from stockwright.console.pages import HEADERS, message, page, twin
from stockwright.console.reading import Reader
from stockwright.console.signing import Doubt, Hasher, proven
from stockwright.domain.errors import Rejected
from stockwright.domain.people import MEANINGS, ROLES, checked_name, user_name
from stockwright.store import positions, sessions, users
from stockwright.store.connection import Connection
from stockwright.store.users import UserEntry

Change = Literal["add", "role", "password", "disable", "enable", "end_sessions"]
_NOBODY_SIGNS_IN: Final = (
    "In the loopback demo nobody signs in, so nobody can prove who changes this. "
    "Use `stockwright user` on the machine of the database."
)


class UsersPage(msgspec.Struct, frozen=True):
    """Every user, those who are let in first. me: whoever looks."""

    at: dt.datetime
    me: str
    users: Sequence[UserEntry]


class Asked(msgspec.Struct, frozen=True):
    """One change as a form names it."""

    change: Change
    name: str
    role: str = ""


class Told(NamedTuple):
    """What came of a change; password is shown this once."""

    text: str
    password: str = ""


class Deed(NamedTuple):
    """One kind of change: how its button reads, what it will mean, and what does it."""

    label: str
    effect: str
    do: Callable[[Connection, Asked, Visitor], Told]
    grave: bool = False


class UserPages:
    """The handlers of the users' page."""

    def __init__(self, reader: Reader, hasher: Hasher) -> None:
        self._reader = reader
        self._hasher = hasher

    async def show(self, request: Request) -> Response:
        """Every user."""
        found = await self._reader.read(_read, request.state.visitor)
        if request.url.path.endswith(".json"):
            return twin(found)
        told = request.query_params.get("told", "")
        return page(
            request,
            "users.html",
            found=found,
            now=found.at,
            told=_TOLD.get(told, ""),
            roles=MEANINGS,
            frozen="" if request.state.visitor.signed else _NOBODY_SIGNS_IN,
            twin="/users.json",
        )

    async def change(self, request: Request) -> Response:
        """Asks whether something is to be changed, and for the password; then changes it."""
        form, visitor = request.state.form, request.state.visitor
        if visitor.signed is None:
            return message(request, 403, "Not in the demo", _NOBODY_SIGNS_IN)
        asked = _asked(form.one("change"), form.one("name"), form.one("role"))
        await self._reader.read(_check, asked)
        if not form.one("confirm"):
            return self._ask(request, asked)
        proof = await proven(self._reader, self._hasher, request, form.one("own"))
        if isinstance(proof, Doubt):
            return self._ask(request, asked, proof.note, proof.status)
        try:
            told = await self._reader.run(_do, asked, visitor)
        except Rejected as refused:
            return self._ask(request, asked, refused.message, 400, about=refused.field)
        if not told.password:
            return RedirectResponse(f"/users?told={asked.change}", 303, HEADERS)
        # Not behind an address of its own: a password is shown once, and kept nowhere.
        return page(request, "user_password.html", wanted=asked, told=told)

    def _ask(
        self, request: Request, asked: Asked, note: str = "", status: int = 200, about: str = "own"
    ) -> Response:
        own = asked.name == request.state.visitor.owner
        return page(
            request, "user_change.html", status, deed=DEEDS[asked.change], wanted=asked, note=note,
            about=about, own=own, meanings=MEANINGS,
        )  # fmt: skip


def _read(connection: Connection, visitor: Visitor) -> UsersPage:
    found = sorted(users.list_users(connection), key=lambda user: user.disabled_at is not None)
    return UsersPage(at=positions.moment(connection), me=visitor.owner, users=found)


def _asked(change: str, name: str, role: str) -> Asked:
    known = next((one for one in DEEDS if one == change), None)
    if known is None:
        raise Rejected("malformed", "change", "Go back to the list, reload it and try again.")
    if role and role not in ROLES:
        raise Rejected("malformed", "role", f"A role is one of {', '.join(ROLES)}.")
    if known in ("add", "role") and not role:
        raise Rejected("malformed", "role", "Choose a role.")
    if len(name) > 256 or "\x00" in name:
        raise Rejected("malformed", "name", "A name has at most 64 characters.")
    return Asked(known, user_name(name), role)


def _check(connection: Connection, asked: Asked) -> None:
    """Raises Rejected for what needs no password to be refused."""
    known = any(user.name == asked.name for user in users.list_users(connection))
    if asked.change == "add":
        checked_name(asked.name)
        if known:
            raise Rejected("conflict", "name", f"There is a user {asked.name} already.")
    elif not known:
        raise Rejected("not_found", "name", "There is no such user. Go back to the list.")


def _do(connection: Connection, asked: Asked, visitor: Visitor) -> Told:
    """Does it, if whoever asked may still do so: that was before the password was compared."""
    assert visitor.signed is not None
    users.lock(connection)
    still = sessions.still(connection, visitor.signed)
    if still is None or still.role != visitor.role:
        raise Rejected("malformed", "own", "Your session has ended or your role is another now.")
    return DEEDS[asked.change].do(connection, asked, visitor)


def _add(connection: Connection, asked: Asked, visitor: Visitor) -> Told:
    password = users.new_password()
    name = users.add_user(
        connection, asked.name, asked.role, password, must_change=True, actor=visitor.actor
    )
    return Told(f"{name} is added as {asked.role}.", password)


def _role(connection: Connection, asked: Asked, visitor: Visitor) -> Told:
    changed = users.set_role(connection, asked.name, asked.role, actor=visitor.actor)
    _check_changed(changed, f"{asked.name} is {asked.role} already.")
    return Told(f"{asked.name} is {asked.role} now.")


def _password(connection: Connection, asked: Asked, visitor: Visitor) -> Told:
    if asked.name == visitor.owner:
        raise Rejected("malformed", "name", "Change your own password on your own page.")
    password = users.new_password()
    users.set_password(connection, asked.name, password, must_change=True, actor=visitor.actor)
    return Told(f"{asked.name} has a new password; all sessions have ended.", password)


def _disable(connection: Connection, asked: Asked, visitor: Visitor) -> Told:
    changed = users.disable_user(connection, asked.name, actor=visitor.actor)
    _check_changed(changed, f"{asked.name} is disabled already.")
    return Told(f"{asked.name} is let in no more.")


def _enable(connection: Connection, asked: Asked, visitor: Visitor) -> Told:
    changed = users.enable_user(connection, asked.name, actor=visitor.actor)
    _check_changed(changed, f"{asked.name} is let in already.")
    return Told(f"{asked.name} is let in again.")


def _end_sessions(connection: Connection, asked: Asked, visitor: Visitor) -> Told:
    assert visitor.signed is not None
    users.end_sessions(
        connection, asked.name, keep_session=visitor.signed.session, actor=visitor.actor
    )
    return Told(f"{asked.name} is signed out everywhere.")


def _check_changed(changed: bool, otherwise: str) -> None:
    if not changed:
        raise Rejected("conflict", "name", otherwise)


DEEDS: Final[Mapping[Change, Deed]] = {
    "add": Deed(
        "Add the user",
        "A password of one use is made and shown once. Hand it over; it must be changed at the "
        "first sign-in.",
        _add,
    ),
    "role": Deed("Change the role", "It counts at once, in every open session.", _role),
    "password": Deed(
        "Make a new password",
        "All sessions of this user end, and so does a wait after failed attempts. The new password "
        "is shown once and must be changed at the first sign-in.",
        _password,
        grave=True,
    ),
    "disable": Deed(
        "Disable",
        "All sessions of this user end, and the password opens none any more. What this user did "
        "stays in the change log. You can enable the user again.",
        _disable,
        grave=True,
    ),
    "enable": Deed("Enable", "The user is let in again, with the password of before.", _enable),
    "end_sessions": Deed(
        "End all sessions",
        "Every browser in which this user is signed in has to sign in again; yours here stays.",
        _end_sessions,
        grave=True,
    ),
}
"""Every change, by its name."""

_TOLD: Final[Mapping[str, str]] = {
    "role": "The role is changed.",
    "disable": "The user is disabled.",
    "enable": "The user is enabled.",
    "end_sessions": "The sessions have ended.",
}
