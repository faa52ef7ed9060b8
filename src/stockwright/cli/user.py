"""`stockwright user`: the people who may sign in to the console."""

import datetime as dt
import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final

from cyclopts import App, Parameter
from rich.console import RenderableType
from rich.table import Table

from stockwright.app import open_database
from stockwright.cli import output
from stockwright.cli.output import AsJson, ConfigFile
from stockwright.config import load_config
from stockwright.domain.errors import Rejected
from stockwright.domain.people import MEANINGS, Role
from stockwright.store import users
from stockwright.store.connection import Connection, Pool
from stockwright.store.session import session
from stockwright.store.users import UserEntry

app = App(
    name="user", help="Add, list, change and disable users of the console.", help_format="markdown"
)
_ROLES: Final = "; ".join(f"{role}: {meaning}" for role, meaning in MEANINGS.items())

Name = Annotated[str, Parameter(help="The name to sign in with; small and capital are the same.")]
RoleOption = Annotated[Role, Parameter(help=f"{_ROLES}.")]
FromStdin = Annotated[
    bool,
    Parameter(name="--stdin", negative="", help="Read the password from standard input."),
]
Generate = Annotated[
    bool,
    Parameter(
        negative="", help="Make a password, show it once, and have it changed at the first sign-in."
    ),
]


@app.command
def add(
    name: Name,
    /,
    *,
    role: RoleOption = "viewer",
    stdin: FromStdin = False,
    generate: Generate = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> int:
    """Add a user; asks for the password unless told otherwise."""
    password = _password(stdin, generate)
    with _database(config) as connection:
        made = users.add_user(connection, name, role, password, must_change=generate)
    said = {"name": made, "role": role, **({"password": password} if generate else {})}
    output.emit(said, as_json, lambda _: _told(f"Added {made}, {role}.", password, generate))
    return output.OK


@app.command(name="list")
def list_(*, config: ConfigFile = None, as_json: AsJson = False) -> int:
    """List every user, disabled ones too."""
    with _database(config) as connection:
        found = users.list_users(connection)
    output.emit(found, as_json, _show_all)
    return output.OK


@app.command
def password(
    name: Name,
    /,
    *,
    stdin: FromStdin = False,
    generate: Generate = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> int:
    """Give a user a new password and end their sessions; also ends a wait after failed attempts."""
    chosen = _password(stdin, generate)
    with _database(config) as connection:
        users.set_password(connection, name, chosen, must_change=generate)
    said = {"name": name, **({"password": chosen} if generate else {})}
    told = f"{name} has a new password; all sessions have ended."
    output.emit(said, as_json, lambda _: _told(told, chosen, generate))
    return output.OK


@app.command
def role(
    name: Name,
    role: RoleOption,
    /,
    *,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> int:
    """Give a user another role, at once in every session."""
    with _database(config) as connection:
        changed = users.set_role(connection, name, role)
    told = f"{name} is {role} now." if changed else f"{name} was {role} before."
    output.emit({"name": name, "role": role, "changed": changed}, as_json, lambda _: told)
    return output.OK


@app.command
def disable(
    name: Name,
    /,
    *,
    undo: Annotated[bool, Parameter(negative="", help="Let a disabled user in again.")] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> int:
    """Let a user in no more and end their sessions; what they did stays in the change log."""
    with _database(config) as connection:
        change = users.enable_user if undo else users.disable_user
        changed = change(connection, name)
    state = "enabled" if undo else "disabled"
    told = f"{name} is {state} now." if changed else f"{name} was {state} before."
    output.emit({"name": name, "state": state, "changed": changed}, as_json, lambda _: told)
    return output.OK


@contextmanager
def _database(config: ConfigFile) -> Iterator[Connection]:
    with (
        open_database(load_config(config)) as url,
        Pool(url, size=1) as pool,
        session(pool) as connection,
    ):
        yield connection


def _password(stdin: bool, generate: bool) -> str:
    """The password to set: made here, read from a pipe, or typed twice."""
    if stdin and generate:
        raise Rejected("malformed", "generate", "Choose one: --generate or --stdin.")
    if generate:
        return users.new_password()
    if stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        message = "There is no terminal to ask for the password: use --generate, or --stdin."
        raise Rejected("malformed", "password", message)
    first = getpass.getpass("Password: ")
    if getpass.getpass("The same again: ") != first:
        raise Rejected("malformed", "password", "The two differ; try again.")
    return first


def _told(what: str, password: str, generated: bool) -> str:
    if not generated:
        return what
    return f"{what}\n\n{password}\n\nThis is the only time it is shown; it must be changed at once."


def _show_all(found: list[UserEntry]) -> RenderableType:
    if not found:
        return "There is no user yet. Add the first: stockwright user add NAME --role admin"
    table = Table("name", "role", "added", "last sign-in", "sessions", "state")
    for user in found:
        state = "live"
        if user.disabled_at:
            state = f"disabled {user.disabled_at:%Y-%m-%d}"
        elif user.must_change:
            state = "must change the password"
        table.add_row(
            user.name, user.role, f"{user.created_at:%Y-%m-%d}", _day(user.signed_in_at),
            str(user.sessions), state,
        )  # fmt: skip
    return table


def _day(at: dt.datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M}" if at else "never"
