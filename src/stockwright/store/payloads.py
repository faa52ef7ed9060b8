"""Raw payloads: kept as received, leased to those who map them, parked with what failed."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from stockwright.store.connection import Connection
from stockwright.store.facets import Facets, facets_of
from stockwright.store.queries import load

_SQL: Final = load("payloads")
WAKE_UP: Final = "stockwright_payload"
"""NOTIFY channel: payloads wait to be mapped. A hint; look at the table in any case."""
MAX_TEXT: Final = 1_000
CLAIM_BYTES: Final = 16 * 1024 * 1024
"""Bodies leased at one time; one payload goes beyond it."""
_PARTS_AT_ONCE: Final = 5_000


class NewPayload(NamedTuple):
    """One payload to keep. A reason means that it is parked at once, as path and missing say."""

    system: str
    door: str
    body: bytes
    content_type: str = ""
    headers: Mapping[str, str] = {}
    raw_key: str = ""
    path: str = ""
    reason: str = ""
    missing: str = ""


class Claimed(NamedTuple):
    """A payload leased to one worker. body is None where it is large: ask `body_of`.

    parent and place are set for one part of another payload.
    """

    id: int
    system: str
    door: str
    content_type: str
    headers: dict[str, str]
    raw_key: str
    items_done: int
    attempts: int
    parent: int | None
    place: str
    received_at: dt.datetime
    body: bytes | None


class Body(NamedTuple):
    """What a payload said, byte for byte."""

    door: str
    content_type: str
    headers: dict[str, str]
    body: bytes


class Part(NamedTuple):
    """One part of a payload that waits alone. fragment is an excerpt for people."""

    place: str
    path: str
    reason: str
    missing: str = ""
    fragment: str = ""


class PayloadView(msgspec.Struct, frozen=True, kw_only=True):
    """One payload as people see it. waiting_behind: how many later ones of its key wait for it."""

    id: int
    system: str
    door: str
    content_type: str
    received_at: dt.datetime
    state: str
    items_done: int
    reason: str
    path: str
    missing: str
    attempts: int
    settled_at: dt.datetime | None
    raw_key: str
    parent: int | None
    place: str
    fragment: str
    size_bytes: int
    waiting_behind: int


def keep(connection: Connection, payloads: Sequence[NewPayload]) -> list[int]:
    """Keeps payloads in the caller's transaction; ids aligned with them."""
    if not payloads:
        return []
    rows = connection.execute(
        _SQL["keep"],
        {
            "systems": [one.system for one in payloads],
            "doors": [one.door for one in payloads],
            "content_types": [_text(one.content_type) for one in payloads],
            "headers": [_headers(one.headers) for one in payloads],
            "bodies": [one.body for one in payloads],
            "raw_keys": [_text(one.raw_key) for one in payloads],
            "states": ["parked" if one.reason else "received" for one in payloads],
            "paths": [_text(one.path) for one in payloads],
            "reasons": [_text(one.reason) for one in payloads],
            "missing": [_text(one.missing) for one in payloads],
        },
    ).fetchall()
    return [row[0] for row in rows]


def claim(
    connection: Connection, worker: str, systems: Sequence[str], *, lease_s: float, limit: int
) -> list[Claimed]:
    """Leases up to `limit` payloads of these systems, oldest first; nobody else gets them.

    Fewer where the bodies of those before already hold CLAIM_BYTES. A crash may take leases back.
    """
    arguments = {
        "worker": worker,
        "systems": list(systems),
        "lease_s": lease_s,
        "limit": limit,
        "bytes": CLAIM_BYTES,
    }
    rows = connection.execute(_SQL["claim"], arguments).fetchall()
    return sorted(Claimed(*row) for row in rows)


def look_at(connection: Connection, payload_id: int) -> Claimed | None:
    """One payload as `claim` answers it, without a lease; None where there is none of that id."""
    row = connection.execute(_SQL["look_at"], {"id": payload_id}).fetchone()
    return Claimed(*row) if row else None


def body_of(connection: Connection, payload_id: int) -> Body | None:
    """The content of a payload; None where there is none of that id."""
    row = connection.execute(_SQL["body_of"], {"id": payload_id}).fetchone()
    return Body(*row) if row else None


def extend_lease(connection: Connection, payload_id: int, worker: str, lease_s: float) -> bool:
    """Keeps a lease; False where it is no longer this worker's."""
    arguments = {"id": payload_id, "worker": worker, "lease_s": lease_s}
    return connection.execute(_SQL["extend"], arguments).rowcount == 1


def release(connection: Connection, worker: str, ids: Sequence[int]) -> None:
    """Gives back leased payloads that are not settled. Safe to repeat."""
    connection.execute(_SQL["release"], {"ids": list(ids), "worker": worker})


def park(connection: Connection, payload_id: int, part: Part) -> bool:
    """Parks a whole payload; False where it was settled before."""
    arguments = {
        "id": payload_id,
        "path": _text(part.path),
        "reason": _text(part.reason),
        "missing": _text(part.missing),
    }
    return connection.execute(_SQL["park"], arguments).rowcount == 1


def park_parts(connection: Connection, payload_id: int, parts: Sequence[Part]) -> int:
    """Parks parts of a payload alone; how many are new. Safe to repeat: a place is parked once."""
    parked = 0
    for start in range(0, len(parts), _PARTS_AT_ONCE):
        some = parts[start : start + _PARTS_AT_ONCE]
        values = {
            "id": payload_id,
            "places": [_text(part.place) for part in some],
            "paths": [_text(part.path) for part in some],
            "reasons": [_text(part.reason) for part in some],
            "missing": [_text(part.missing) for part in some],
            "fragments": [_text(part.fragment) for part in some],
        }
        parked += connection.execute(_SQL["park_parts"], values).rowcount
    return parked


def settle(connection: Connection, ids: Sequence[int]) -> None:
    """Marks payloads as done that hold nothing for the ledger. Safe to repeat."""
    if ids:
        connection.execute(_SQL["settle"], {"ids": list(ids)})


def requeue_missing(connection: Connection, missing: str, system: str = "") -> list[int]:
    """Sends parked payloads that miss this code ("item:CODE") to work again; their ids."""
    rows = connection.execute(_SQL["requeue_missing"], {"missing": missing, "system": system})
    return _woken(connection, [row[0] for row in rows])


def requeue_one(connection: Connection, payload_id: int) -> bool:
    """Sends one parked payload to work again; False where it is not parked."""
    rows = connection.execute(_SQL["requeue_one"], {"id": payload_id}).fetchall()
    return bool(_woken(connection, [row[0] for row in rows]))


def requeue_bound(connection: Connection, limit: int) -> list[int]:
    """Sends up to `limit` parked payloads to work again whose missing code is known by now."""
    rows = connection.execute(_SQL["requeue_bound"], {"limit": limit}).fetchall()
    return [row[0] for row in rows]


def discard(connection: Connection, payload_id: int, why: str) -> bool:
    """Sets a parked payload aside for ever; False where it is not parked. Its bytes stay."""
    arguments = {"id": payload_id, "why": f" (discarded: {_text(why)})"}
    return connection.execute(_SQL["discard"], arguments).rowcount == 1


def master_revision(connection: Connection) -> int:
    """The number of the last change of the item master and configuration."""
    row = connection.execute(_SQL["revision"]).fetchone()
    assert row is not None
    return int(row[0])


def places_of(connection: Connection, system: str, codes: Sequence[str]) -> dict[str, str]:
    """Our code for each location a system calls by its own; unbound ones are left out."""
    rows = connection.execute(_SQL["places_of"], {"system": system, "codes": list(codes)})
    return {row[0]: row[1] for row in rows.fetchall()}


def unknown_codes(
    connection: Connection, system: str, asked: Sequence[tuple[str, str]]
) -> set[tuple[str, str]]:
    """Of (subject, code) pairs those that nobody knows yet: subject is item, sku, location,
    channel.
    """
    rows = connection.execute(
        _SQL["unknown_codes"],
        {
            "system": system,
            "subjects": [subject for subject, _ in asked],
            "codes": [code for _, code in asked],
        },
    )
    return {(row[0], row[1]) for row in rows.fetchall()}


def payloads(
    connection: Connection,
    *,
    state: str = "parked",
    system: str = "",
    missing: str = "",
    text: str = "",
    before: int = 2**63 - 1,
    limit: int = 100,
) -> list[PayloadView]:
    """Payloads in one state with an id below `before`, newest first, at most `limit`.

    text is looked for in their reason and path.
    """
    arguments = {
        "state": state,
        "system": system,
        "missing": missing,
        "text": text,
        "before": before,
        "limit": limit,
    }
    return views(connection.execute(_SQL["page"], arguments))


def payload_facets(
    connection: Connection,
    *,
    state: str = "parked",
    system: str = "",
    missing: str = "",
    text: str = "",
) -> Facets:
    """How many payloads pass such a filter, by system, by missing code and by reason."""
    arguments = {"state": state, "system": system, "missing": missing, "text": text}
    return facets_of(connection.execute(_SQL["facets"], arguments))


def find_payload(connection: Connection, payload_id: int) -> PayloadView | None:
    """One payload in any state; None where there is none of that id."""
    row = connection.execute(_SQL["one"], {"id": payload_id}).fetchone()
    return _view(row) if row else None


def backlog(connection: Connection) -> tuple[int, dt.datetime | None]:
    """How many payloads wait to be mapped, and since when the oldest does."""
    row = connection.execute(_SQL["backlog"]).fetchone()
    assert row is not None
    return row[0], row[1]


def views(rows: Iterable[tuple[Any, ...]]) -> list[PayloadView]:
    """Rows in the order of the fields as payloads."""
    return [_view(row) for row in rows]


def _view(row: tuple[Any, ...]) -> PayloadView:
    return PayloadView(**dict(zip(PayloadView.__struct_fields__, row, strict=True)))


def _woken(connection: Connection, ids: list[int]) -> list[int]:
    if ids:
        connection.execute("select pg_notify(%s, '')", [WAKE_UP])
    return ids


def _text(text: str) -> str:
    """Text the database can hold, whatever a partner sent: without NUL and half surrogates."""
    clean = text[:MAX_TEXT].replace("\x00", "\ufffd")
    return clean.encode("utf-8", "replace").decode("utf-8")


def _headers(headers: Mapping[str, str]) -> str:
    kept = {_text(name): _text(value) for name, value in headers.items()}
    return msgspec.json.encode(kept).decode()
