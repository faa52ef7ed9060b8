"""Revisions of the rules: who changed what, when and why, and what every row was before.

Triggers keep the history, so that no change can be forgotten. What code adds is who makes it: call
`said_by` first in the transaction, else the database's user stands for it.
"""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
from psycopg.types.json import Jsonb

from stockwright.domain.errors import Rejected
from stockwright.store.connection import Connection
from stockwright.store.queries import load

Source = Literal["file", "api", "console", "cli", "import", "database"]
"""By which way a change came: the configuration file, a program, a person, or plain SQL."""

LOCK: Final = int.from_bytes(b"swmaster", "big", signed=True)
"""Whoever changes rules holds this lock; no other advisory lock of ours has its number."""
MAX_REASON: Final = 1_000
MAX_ROWS: Final = 1_000
_SQL = load("history")


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """Who makes a change, by which way, and why."""

    actor: str
    source: Source
    reason: str = ""


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """One transaction that changed rules; subjects are the tables it touched."""

    id: int
    at: dt.datetime
    actor: str
    reason: str
    source: Source
    subjects: list[str]


class RowChange(msgspec.Struct, frozen=True, kw_only=True):
    """A row that a revision changed. before is None where it is new, after where it is gone."""

    subject: str
    key: list[str]
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """What a row was from one revision to another; until None is still so."""

    key: list[str]
    since: int
    until: int | None
    row: Mapping[str, Any]
    at: dt.datetime
    actor: str
    reason: str
    source: Source


def said_by(connection: Connection, said: Said, *, for_session: bool = False) -> None:
    """Names who makes the changes of this transaction, or of all of the connection's to come."""
    asked = msgspec.structs.asdict(said) | {"local": not for_session}
    connection.execute(_SQL["said_by"], asked)


def revision_in_force(connection: Connection, *, hold: bool = False) -> int:
    """The newest revision; with hold, rules stay as they are until this transaction ends."""
    if hold:
        connection.execute(_SQL["hold_rules"], {"lock": LOCK})
    return _number(connection, "revision_in_force")


def own_revision(connection: Connection, content: Any = None) -> int:
    """This transaction's revision, made where nothing changed yet; content is what a file says."""
    made = _number(connection, "own_revision")
    if content is not None:
        kept = {"revision": made, "content": Jsonb(msgspec.to_builtins(content))}
        connection.execute(_SQL["keep_content"], kept)
    return made


def _number(connection: Connection, query: str) -> int:
    row = connection.execute(_SQL[query]).fetchone()
    assert row is not None
    return int(row[0])


def last_content(connection: Connection) -> tuple[int, Any] | None:
    """What the configuration file said when it was last read, and the revision; None if never."""
    row = connection.execute(_SQL["last_content"]).fetchone()
    return None if row is None else (int(row[0]), row[1])


def revisions(
    connection: Connection,
    *,
    before: int = 2**63 - 1,
    limit: int = 100,
    subjects: Collection[str] | None = None,
) -> list[Revision]:
    """Revisions below an id, newest first; of some tables, or all."""
    asked = {
        "before": before,
        "limit": limit,
        "subjects": None if subjects is None else list(subjects),
    }
    return [_revision(row) for row in connection.execute(_SQL["revisions"], asked)]


def revision(connection: Connection, number: int) -> Revision:
    """One revision. Raises Rejected (not_found)."""
    row = connection.execute(_SQL["revision"], {"id": number}).fetchone()
    if row is None:
        newest = revision_in_force(connection)
        message = f"There is no revision {number}; the newest is {newest}."
        raise Rejected("not_found", "revision", message)
    return _revision(row)


def _revision(row: Sequence[Any]) -> Revision:
    return Revision(**dict(zip(Revision.__struct_fields__, row, strict=True)))


def changes_of(connection: Connection, made: Revision, *, limit: int = MAX_ROWS) -> list[RowChange]:
    """The rows that a revision changed, by table and key; at most `limit` of each table."""
    found = []
    for subject in sorted(made.subjects):
        asked = {"subject": subject, "revision": made.id, "limit": limit}
        for key, before, after in connection.execute(_SQL["changes"], asked):
            found.append(RowChange(subject=subject, key=key, before=before, after=after))
    return found


def versions_of(
    connection: Connection, subject: str, key: Sequence[str] = (), *, limit: int = 100
) -> list[Version]:
    """What the rows of a table whose key begins so were, newest first. Raises Rejected."""
    known = [name for (name,) in connection.execute(_SQL["subjects"])]
    if subject not in known:
        message = f"There is no history of {subject!r}; there is one of {', '.join(known)}."
        raise Rejected("malformed", "subject", message)
    asked = {"subject": subject, "beginning": list(key), "limit": limit}
    fields = Version.__struct_fields__
    rows = connection.execute(_SQL["versions"], asked)
    return [Version(**dict(zip(fields, row, strict=True))) for row in rows]
