"""Sessions of people in the console: opened with an API key, found by a random token."""

import secrets
from typing import Final

from stockwright.store.access import Caller, digest_of
from stockwright.store.connection import Connection
from stockwright.store.queries import load

SESSION_S: Final = 12 * 3600.0


def open_session(connection: Connection, caller: Caller, *, ttl_s: float = SESSION_S) -> str:
    """Opens a session for a key's holder; answers its token, whose hash alone is kept."""
    token = secrets.token_urlsafe(32)
    queries = load("visitors")
    connection.execute(queries["drop_expired"].encode())
    connection.execute(
        queries["open_session"].encode(),
        {"token_hash": digest_of(token), "key_id": caller.id, "ttl_s": ttl_s},
    )
    return token


def visitor(connection: Connection, token: str) -> Caller | None:
    """Who holds this token; None where the session or its key is unknown, over or revoked."""
    row = connection.execute(
        load("visitors")["visitor"].encode(), {"token_hash": digest_of(token)}
    ).fetchone()
    if row is None:
        return None
    return Caller(id=row[0], name=row[1], scopes=frozenset(row[2]), system=row[3])


def close_session(connection: Connection, token: str) -> None:
    """Ends a session. Safe to repeat."""
    connection.execute(load("visitors")["close_session"].encode(), {"token_hash": digest_of(token)})
