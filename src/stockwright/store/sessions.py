"""Signing in and what follows: attempts are counted, sessions opened, found and ended.

A session's token is 256 random bits, of which the hash alone is kept. What its forms carry is
derived from the token, so that no other site can know it and nothing need be kept for it.
"""

import base64
import datetime as dt
import hashlib
import hmac
import ipaddress
import secrets
from typing import Final

import msgspec

from stockwright.domain.people import Role, is_name, user_name
from stockwright.store import queries
from stockwright.store.access import digest_of, log_change
from stockwright.store.connection import Connection
from stockwright.store.users import IDLE_S, LONGEST_S, digest_of_account

WINDOW_S: Final = 600.0
"""For how long a failed attempt to sign in slows down the next ones."""
PER_ACCOUNT: Final = 10
PER_ADDRESS: Final = 30
"""Failed attempts within WINDOW_S after which an account, an address, has to wait."""
# Any number will do that no other advisory lock of ours has ("swsignin" in bytes).
LOCK: Final = int.from_bytes(b"swsignin", "big", signed=True)
_LONGEST_TEXT: Final = 200

_SQL: Final = queries.load("sessions")
_LIMITS: Final = {"idle_s": IDLE_S, "longest_s": LONGEST_S}


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to sign in. wait_s above 0: not now. user_id None: nobody is called that."""

    name: str
    wait_s: float = 0.0
    user_id: int | None = None
    kept: str = ""


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """A session that holds, and whose it is. must_change: somebody else chose the password."""

    session: int
    user_id: int
    name: str
    role: Role
    must_change: bool = False


class SessionView(msgspec.Struct, frozen=True, kw_only=True):
    """One open session as its user sees it."""

    id: int
    opened_at: dt.datetime
    seen_at: dt.datetime
    address: str
    agent: str


def begin_attempt(connection: Connection, name: str, address: str) -> Attempt:
    """Counts an attempt before it is judged, so that a thousand at once are no better than ten.

    Commit before the password is compared: that takes its time.
    """
    known = user_name(name)
    account, place = digest_of_account(name), network_of(address)
    connection.execute(_SQL["lock_sign_in"], {"lock": LOCK})
    wait_s = max(
        _wait_s(connection, PER_ACCOUNT, account=account),
        _wait_s(connection, PER_ADDRESS, address=place),
    )
    if wait_s > 0:
        return Attempt(name=known, wait_s=wait_s)
    connection.execute(_SQL["forget_old_failures"], {"window_s": WINDOW_S})
    connection.execute(_SQL["count_attempt"], {"account": account, "address": place})
    # What nobody can be called is asked all the same, as a name that nobody has.
    asked = known if is_name(known) else ""
    row = connection.execute(_USERS["password_of"], {"name": asked}).fetchone()
    return Attempt(name=known, user_id=row[0], kept=row[1]) if row else Attempt(name=known)


def _wait_s(
    connection: Connection, limit: int, *, account: bytes | None = None, address: str | None = None
) -> float:
    row = connection.execute(
        _SQL["recent_failures"],
        {"account": account, "address": address, "window_s": WINDOW_S, "limit": limit},
    ).fetchone()
    assert row is not None
    return max(0.001, float(row[1])) if row[0] >= limit else 0.0


def sign_in(
    connection: Connection, attempt: Attempt, *, address: str, agent: str = "", rehashed: str = ""
) -> str | None:
    """Opens the session that a right password earned; its token, or None where the user is gone or
    has another password since.

    rehashed is the password under today's cost, where the kept one was cheaper.
    """
    assert attempt.user_id is not None
    if rehashed:
        changed = {"user_id": attempt.user_id, "old": attempt.kept, "new": rehashed}
        connection.execute(_SQL["rehash"], changed)
    connection.execute(_SQL["drop_over"], _LIMITS)
    token = secrets.token_urlsafe(32)
    opened = {
        "token_hash": digest_of(token),
        "user_id": attempt.user_id,
        "password": rehashed or attempt.kept,
        "address": _short(address),
        "agent": _short(agent),
    }
    row = connection.execute(_SQL["open_session"], opened).fetchone()
    if row is None:
        return None
    connection.execute(_SQL["forget_failures"], {"account": digest_of_account(attempt.name)})
    log_change(connection, f"user {row[1]}", "user.sign_in", row[1], {"address": _short(address)})
    return token


def note_failure(connection: Connection, attempt: Attempt, *, address: str) -> None:
    """Tells the change log of a failed attempt. A name that is nobody's is not written down."""
    known = attempt.user_id is not None
    subject = attempt.name if known else "a name that is nobody's"
    detail = {"address": _short(address)}
    log_change(connection, "nobody", "user.sign_in_failed", subject, detail)


def forgive(connection: Connection, attempt: Attempt) -> None:
    """Forgets the attempts on an account, after its password was given."""
    connection.execute(_SQL["forget_failures"], {"account": digest_of_account(attempt.name)})


def find_session(connection: Connection, token: str, *, touch: bool = True) -> Signed | None:
    """Whose session a token is; None where it is unknown, over, or its user disabled.

    touch: using it keeps it from being idle.
    """
    row = connection.execute(
        _SQL["session"], {"token_hash": digest_of(token), **_LIMITS}
    ).fetchone()
    if row is None:
        return None
    if touch and row[5]:
        connection.execute(_SQL["touch"], {"id": row[0]})
    return Signed(session=row[0], user_id=row[1], name=row[2], role=row[3], must_change=row[4])


def still(connection: Connection, signed: Signed) -> Signed | None:
    """A session as it is now; None where it is over, or its user disabled."""
    row = connection.execute(_SQL["still"], {"id": signed.session, **_LIMITS}).fetchone()
    if row is None:
        return None
    return Signed(session=row[0], user_id=row[1], name=row[2], role=row[3], must_change=row[4])


def close_session(connection: Connection, token: str, *, noted: bool = True) -> None:
    """Ends a session, and tells the change log if so asked. Safe to repeat."""
    row = connection.execute(_SQL["close"], {"token_hash": digest_of(token)}).fetchone()
    if row is not None and noted:
        log_change(connection, f"user {row[0]}", "user.sign_out", row[0], {})


def close_one(connection: Connection, signed: Signed, session_id: int) -> bool:
    """Ends one of a user's own sessions; False where it was over."""
    closed = {"id": session_id, "user_id": signed.user_id}
    if connection.execute(_SQL["close_one"], closed).fetchone() is None:
        return False
    log_change(connection, f"user {signed.name}", "user.end_session", signed.name, {})
    return True


def sessions_of(connection: Connection, user_id: int) -> list[SessionView]:
    """A user's open sessions, newest first, at most a hundred."""
    fields = SessionView.__struct_fields__
    rows = connection.execute(_SQL["sessions_of"], {"user_id": user_id, **_LIMITS})
    return [SessionView(**dict(zip(fields, row, strict=True))) for row in rows]


def form_token_of(token: str) -> str:
    """What forms and scripts of this session carry to prove that they are its own."""
    made = hmac.new(token.encode(), b"stockwright form", hashlib.sha256).digest()
    return base64.urlsafe_b64encode(made).decode().rstrip("=")


def network_of(address: str) -> str:
    """What counts as one address: an IPv6 customer has a whole /64 to himself."""
    try:
        parsed = ipaddress.ip_address(address.split("%")[0])
    except ValueError:
        return _short(address)
    if parsed.version == 6 and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)


def _short(text: str) -> str:
    clean = text[:_LONGEST_TEXT].replace("\x00", "")
    return clean.encode("utf-8", "replace").decode("utf-8")


_USERS: Final = queries.load("users")
