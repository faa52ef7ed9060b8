"""Named users of the console: added, changed, disabled; never deleted, since the log names them."""

import datetime as dt
import hashlib
import secrets
from typing import Final

import msgspec

from stockwright.domain import passwords
from stockwright.domain.errors import Rejected
from stockwright.domain.people import MEANINGS, ROLES, Role, checked_name, user_name
from stockwright.store import queries
from stockwright.store.access import log_change
from stockwright.store.connection import Connection

IDLE_S: Final = 3600.0
"""A session that nobody used for this long is over."""
LONGEST_S: Final = 12 * 3600.0
"""A session is over after this long, used or not."""

_LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"
_SQL: Final = queries.load("users")


class UserEntry(msgspec.Struct, kw_only=True):
    """One user as people see it: everything but the password."""

    id: int
    name: str
    role: Role
    must_change: bool
    created_at: dt.datetime
    created_by: str
    disabled_at: dt.datetime | None
    signed_in_at: dt.datetime | None
    sessions: int


class Settings(msgspec.Struct, frozen=True):
    """What a person set for the console; '' is the server's zone, the system's theme."""

    time_zone: str = ""
    theme: str = ""


def new_password() -> str:
    """A password of one use that is easily read out: 98 random bits."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(5)) for _ in range(4))


def digest_of_account(name: str) -> bytes:
    """What stands for a name where failed attempts are counted."""
    return hashlib.sha256(user_name(name).encode("utf-8", "replace")).digest()


def add_user(
    connection: Connection,
    name: str,
    role: str,
    password: str,
    *,
    must_change: bool = False,
    actor: str = "cli",
) -> str:
    """Adds a user; answers the name as it is kept. Raises Rejected where name, role or password
    cannot be.
    """
    name, role = checked_name(name), _checked_role(role)
    passwords.check(password, name)
    arguments = {
        "name": name,
        "role": role,
        "password": passwords.hashed(password, secrets.token_bytes(16)),
        "must_change": must_change,
        "actor": actor,
    }
    if connection.execute(_SQL["add_user"], arguments).fetchone() is None:
        raise Rejected("conflict", "name", f"There is a user {name} already.")
    log_change(connection, actor, "user.add", name, {"role": role})
    return name


def lock(connection: Connection) -> None:
    """Waits for whoever changes users at the moment, until the end of the transaction."""
    connection.execute(_SQL["lock_users"])


def list_users(connection: Connection) -> list[UserEntry]:
    """Every user by name, disabled ones too."""
    fields = UserEntry.__struct_fields__
    rows = connection.execute(_SQL["users"], {"idle_s": IDLE_S, "longest_s": LONGEST_S})
    return [UserEntry(**dict(zip(fields, row, strict=True))) for row in rows]


def anybody(connection: Connection) -> bool:
    """Whether there is any user who can sign in."""
    row = connection.execute(_SQL["any_user"]).fetchone()
    return bool(row and row[0])


def set_password(
    connection: Connection,
    name: str,
    password: str,
    *,
    must_change: bool = False,
    keep_session: int | None = None,
    instead_of: str | None = None,
    actor: str = "cli",
) -> None:
    """Gives a user a new password and ends their sessions, but for one. Raises Rejected.

    instead_of: only while this is what is kept of the old one, which somebody proved to know.
    """
    name = user_name(name)
    passwords.check(password, name)
    arguments = {
        "name": name,
        "password": passwords.hashed(password, secrets.token_bytes(16)),
        "must_change": must_change,
        "instead_of": instead_of,
    }
    if connection.execute(_SQL["set_password"], arguments).fetchone() is None:
        _check_known(connection, name)
        message = "The password was changed by somebody else just now. Sign in with that one."
        raise Rejected("conflict", "password", message)
    connection.execute(_SQL["end_sessions"], {"name": name, "but": keep_session})
    connection.execute(_SQL["forget_failures"], {"account": digest_of_account(name)})
    log_change(connection, actor, "user.password", name, {})


def set_role(connection: Connection, name: str, role: str, *, actor: str = "cli") -> bool:
    """Gives a user another role, at once in every session; False where it was the same.

    Raises Rejected for a role or user there is not, and where nobody would be left to administer.
    """
    name, role = user_name(name), _checked_role(role)
    _check_known(connection, name)
    lock(connection)
    if role != "admin":
        _check_admins_left(connection, name)
    row = connection.execute(_SQL["set_role"], {"name": name, "role": role}).fetchone()
    if row is None:
        return False
    log_change(connection, actor, "user.role", name, {"from": row[0], "to": role})
    return True


def disable_user(connection: Connection, name: str, *, actor: str = "cli") -> bool:
    """Lets a user in no more and ends their sessions; False where that was so before.

    Raises Rejected for a user there is not, and where nobody would be left to administer.
    """
    name = user_name(name)
    _check_known(connection, name)
    lock(connection)
    _check_admins_left(connection, name)
    arguments = {"name": name, "disabled": True}
    if connection.execute(_SQL["set_disabled"], arguments).fetchone() is None:
        return False
    connection.execute(_SQL["end_sessions"], {"name": name, "but": None})
    log_change(connection, actor, "user.disable", name, {})
    return True


def end_sessions(
    connection: Connection, name: str, *, keep_session: int | None = None, actor: str = "cli"
) -> int:
    """Ends every session of a user, but for one; how many. Raises Rejected for no such user."""
    name = user_name(name)
    _check_known(connection, name)
    arguments = {"name": name, "but": keep_session}
    ended = connection.execute(_SQL["end_sessions"], arguments).rowcount
    if ended:
        log_change(connection, actor, "user.end_sessions", name, {"sessions": ended})
    return ended


def enable_user(connection: Connection, name: str, *, actor: str = "cli") -> bool:
    """Lets a disabled user in again; False where they were let in before. Raises Rejected."""
    name = user_name(name)
    _check_known(connection, name)
    arguments = {"name": name, "disabled": False}
    if connection.execute(_SQL["set_disabled"], arguments).fetchone() is None:
        return False
    log_change(connection, actor, "user.enable", name, {})
    return True


def settings_of(connection: Connection, owner: str) -> Settings:
    """What a person set; the defaults where they set nothing."""
    row = connection.execute(_SQL["settings"], {"owner": owner}).fetchone()
    return Settings(*row) if row else Settings()


def keep_settings(connection: Connection, owner: str, settings: Settings) -> None:
    """Keeps what a person set; the caller checked it."""
    connection.execute(_SQL["keep_settings"], {"owner": owner, **msgspec.structs.asdict(settings)})


def _checked_role(role: str) -> Role:
    for known in ROLES:
        if role == known:
            return known
    told = "; ".join(f"{name}: {meaning}" for name, meaning in MEANINGS.items())
    raise Rejected("malformed", "role", f"No role {role!r}. There are: {told}.")


def _check_known(connection: Connection, name: str) -> None:
    if connection.execute(_SQL["exists"], {"name": name}).fetchone() is None:
        raise _unknown(name)


def _check_admins_left(connection: Connection, name: str) -> None:
    row = connection.execute(_SQL["other_admins"], {"name": name}).fetchone()
    is_admin = any(user.name == name and user.role == "admin" and user.disabled_at is None
                   for user in list_users(connection))  # fmt: skip
    if is_admin and row is not None and row[0] == 0:
        message = f"{name} is the only admin left. Make somebody else an admin first."
        raise Rejected("conflict", "name", message)


def _unknown(name: str) -> Rejected:
    return Rejected("not_found", "name", f"There is no user {name!r}; see: stockwright user list")
