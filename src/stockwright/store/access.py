"""API keys, stored answers to repeated calls, and the log of who changed what.

A key reads `sw_<id>_<secret>`. The secret is 256 random bits. A slow hash such as scrypt protects
words that people choose, by making each guess dear; nobody can guess 256 bits, so one SHA-256 of
the whole key is enough, and it is fast enough to run on every request.
"""

import datetime as dt
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

import msgspec
from psycopg.types.json import Jsonb

from stockwright.domain.errors import Rejected
from stockwright.store import queries
from stockwright.store.connection import Connection

SCOPES: Final[Mapping[str, str]] = {
    "events:write": "record facts",
    "reservations:write": "reserve, and move a reservation on",
    "stock:read": "read stock, availability, reservations, the ledger and its feed of changes",
    "master:read": "read items, units, listings, bindings and locations",
    "master:write": "change items, units, listings, bindings and locations",
    "work:read": "read work items, parked payloads, how publication and connections do",
    "work:write": "close, reopen and assign work items, resume and discard parked payloads, "
    "pause, resume and resync channels, take a connection's steps",
    "subscriptions:read": "read subscriptions and how they do",
    "subscriptions:write": "add, pause, resume, replay and delete subscriptions, rotate their "
    "secrets; what they tell goes to addresses outside",
    "metrics:read": "read /metrics",
    "audit:read": "read the audit log",
    "console": "read the console's pages as JSON",
    "systems:any": "speak for other systems than the one the key is bound to",
    "admin": "all of the above",
}
"""Every scope a key may have, and what it allows."""

ANSWER_KEPT_S: Final = 7 * 86_400
ANSWER_LOCK_S: Final = 60
_KEY: Final = re.compile(r"sw_([a-z2-7]{10})_([A-Za-z0-9_-]{43})")
_ID_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"
_SQL = queries.load("access")


class NewKey(msgspec.Struct, kw_only=True):
    """A key just made. `key` is its only appearance in clear."""

    id: str
    key: str
    name: str
    scopes: list[str]
    system: str
    created_at: dt.datetime
    expires_at: dt.datetime | None = None

    def __repr__(self) -> str:
        return f"NewKey(id={self.id!r}, name={self.name!r})"


class KeyEntry(msgspec.Struct, kw_only=True):
    """What is shown of a key afterwards: everything but the key."""

    id: str
    name: str
    scopes: list[str]
    system: str
    created_at: dt.datetime
    created_by: str
    expires_at: dt.datetime | None
    last_used_at: dt.datetime | None
    revoked_at: dt.datetime | None


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who calls: a key's id, name and scopes, and the one system it speaks for ('' for any).

    user is set instead where a person signed in to the console calls. channels (each with its
    class) and locations are what belongs to the one system.
    """

    id: str
    name: str
    scopes: frozenset[str]
    system: str = ""
    user: str = ""
    channels: Mapping[str, int] = {}
    locations: frozenset[str] = frozenset()

    @property
    def bound(self) -> str:
        """The one system whose own things the caller may touch; '' where it may touch all."""
        return "" if self.may("systems:any") else self.system

    @property
    def actor(self) -> str:
        """Who the change log names: `key ID` or `user NAME`."""
        return f"user {self.user}" if self.user else f"key {self.id}"

    def may(self, scope: str) -> bool:
        """Whether the key carries the scope, or `admin` that stands for all."""
        return scope in self.scopes or "admin" in self.scopes

    def speaks_for(self, system: str) -> bool:
        """Whether the caller may send in the name of a system."""
        return not self.system or system == self.system or self.may("systems:any")

    def sells_through(self, channel: str) -> bool:
        """Whether the caller may act for a channel: one of its own system, where it is bound."""
        return not self.bound or channel in self.channels

    def keeps(self, location: str) -> bool:
        """Whether the caller may change a place: where its system's word counts, if it is bound."""
        return not self.bound or location in self.locations


class StoredAnswer(msgspec.Struct, frozen=True):
    """The answer an earlier call with this key was given."""

    status: int
    content_type: str
    body: bytes


Begun = StoredAnswer | Literal["taken", "other_request", "in_progress"]


def digest_of(key: str) -> bytes:
    """What is kept of a key, and looked up by: its SHA-256."""
    return hashlib.sha256(key.encode()).digest()


def id_of(key: str) -> str | None:
    """The id inside a key, or None where the text is not a key of ours."""
    found = _KEY.fullmatch(key)
    return found[1] if found else None


def add_key(
    connection: Connection,
    *,
    name: str,
    scopes: Iterable[str],
    system: str = "",
    actor: str = "cli",
    expires_at: dt.datetime | None = None,
) -> NewKey:
    """Makes a key and keeps its hash; the caller shows the key once and forgets it.

    Raises Rejected for an unknown scope, no scope at all, or a system that is not configured.
    """
    wanted = sorted(set(scopes))
    _check_rights(connection, name, wanted, system)
    key_id = "".join(secrets.choice(_ID_ALPHABET) for _ in range(10))
    key = f"sw_{key_id}_{secrets.token_urlsafe(32)}"
    row = connection.execute(
        _SQL["add_key"],
        {
            "id": key_id,
            "name": name,
            "hash": digest_of(key),
            "scopes": wanted,
            "system": system,
            "created_by": actor,
            "expires_at": expires_at,
        },
    ).fetchone()
    assert row is not None
    log_change(
        connection, actor, "key.create", key_id, {"name": name, "scopes": wanted, "system": system}
    )
    return NewKey(
        id=key_id,
        key=key,
        name=name,
        scopes=wanted,
        system=system,
        created_at=row[0],
        expires_at=expires_at,
    )


def _check_rights(connection: Connection, name: str, scopes: list[str], system: str) -> None:
    if not name.strip() or not name.isprintable():
        raise Rejected("malformed", "name", "Give the key a name that says who uses it.")
    if not scopes:
        raise Rejected("malformed", "scope", f"Name at least one scope of: {', '.join(SCOPES)}.")
    for scope in scopes:
        if scope not in SCOPES:
            message = f"No scope {scope!r}; there are: {', '.join(SCOPES)}."
            raise Rejected("unknown_scope", "scope", message)
    if system and not connection.execute(_SQL["system_exists"], {"code": system}).fetchone():
        message = f"No system {system!r}; add it to the configuration, or name one that is there."
        raise Rejected("unknown_system", "system", message)


def list_keys(connection: Connection) -> list[KeyEntry]:
    """Every key ever made, oldest first, revoked ones too."""
    fields = KeyEntry.__struct_fields__
    rows = connection.execute(_SQL["keys"])
    return [KeyEntry(**dict(zip(fields, row, strict=True))) for row in rows]


def revoke_key(connection: Connection, key_id: str, actor: str = "cli") -> str | None:
    """Ends a key; answers its name, or None where no live key has this id. Safe to repeat."""
    row = connection.execute(_SQL["revoke_key"], {"id": key_id}).fetchone()
    if row is None:
        return None
    log_change(connection, actor, "key.revoke", key_id, {"name": row[0]})
    return str(row[0])


def find_caller(connection: Connection, key: str) -> Caller | None:
    """Who a key belongs to; None where it is unknown, wrong, expired or revoked."""
    key_id = id_of(key)
    if key_id is None:
        return None
    row = connection.execute(_SQL["live_key"], {"id": key_id}).fetchone()
    if row is None or not hmac.compare_digest(bytes(row[0]), digest_of(key)):
        return None
    connection.execute(_SQL["touch_key"], {"id": key_id})
    channels, classes, locations = row[4:]
    return Caller(
        id=key_id,
        name=row[1],
        scopes=frozenset(row[2]),
        system=row[3],
        channels=dict(zip(channels, classes, strict=True)),
        locations=frozenset(locations),
    )


def begin_answer(connection: Connection, caller: str, key: str, request_hash: bytes) -> Begun:
    """Takes an Idempotency-Key for one call, or says what stands under it.

    `taken`: answer, then `keep_answer` (or `drop_answer` where it must be tried again). A
    StoredAnswer is to be sent again as it was. `other_request`: the key was used for a different
    request. `in_progress`: the first call is not answered yet. Commit before answering.
    """
    arguments = {
        "caller": caller,
        "key": key,
        "hash": request_hash,
        "lock_s": ANSWER_LOCK_S,
        "keep_s": ANSWER_KEPT_S,
    }
    if connection.execute(_SQL["begin_answer"], arguments).fetchone():
        return "taken"
    row = connection.execute(_SQL["stored_answer"], arguments).fetchone()
    if row is None:
        return "in_progress"
    stored_hash, status, content_type, body = row
    if bytes(stored_hash) != request_hash:
        return "other_request"
    return "in_progress" if status is None else StoredAnswer(status, content_type, bytes(body))


def keep_answer(connection: Connection, caller: str, key: str, answer: StoredAnswer) -> None:
    """Stores what was answered under a taken key, for ANSWER_KEPT_S seconds."""
    connection.execute(
        _SQL["keep_answer"], {"caller": caller, "key": key, **msgspec.structs.asdict(answer)}
    )


def drop_answer(connection: Connection, caller: str, key: str) -> None:
    """Frees a taken key whose call failed in a way that may be tried again."""
    connection.execute(_SQL["drop_answer"], {"caller": caller, "key": key})


def expire_answers(connection: Connection) -> int:
    """Removes stored answers whose time is over, at most 1,000; answers how many."""
    return connection.execute(_SQL["expire_answers"]).rowcount


def log_change(
    connection: Connection, actor: str, action: str, subject: str, detail: Mapping[str, Any]
) -> None:
    """Notes who changed what, in the transaction of the change; detail carries no secret."""
    connection.execute(
        _SQL["log_change"],
        {"actor": actor, "action": action, "subject": subject, "detail": Jsonb(dict(detail))},
    )


class Change(msgspec.Struct, kw_only=True):
    """One line of the change log."""

    id: int
    changed_at: dt.datetime
    actor: str
    action: str
    subject: str
    detail: dict[str, Any]


class WhichChanges(msgspec.Struct, frozen=True, kw_only=True):
    """Which lines of the change log; what is left empty lets all pass. until is not included."""

    actor: str = ""
    action: str = ""
    subject: str = ""
    since: dt.datetime | None = None
    until: dt.datetime | None = None


EVERY_CHANGE: Final = WhichChanges()


def list_changes(
    connection: Connection,
    which: WhichChanges = EVERY_CHANGE,
    *,
    before: int = 2**63 - 1,
    limit: int = 100,
) -> list[Change]:
    """The change log, newest first, below the id `before`."""
    fields = Change.__struct_fields__
    arguments = {**msgspec.structs.asdict(which), "before": before, "limit": limit}
    rows = connection.execute(_SQL["changes"], arguments)
    return [Change(**dict(zip(fields, row, strict=True))) for row in rows]
