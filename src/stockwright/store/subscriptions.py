"""Subscriptions of outside consumers: what they are told, where, and how far each has come."""

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

import msgspec
from psycopg.types.json import Jsonb

from stockwright.domain.subscriptions import Filters, NewSubscription, State, Via, state_of
from stockwright.store.connection import Connection
from stockwright.store.feed import Position
from stockwright.store.queries import load

_SQL: Final = load("subscriptions")
MAX_ERROR: Final = 500
Outcome = Literal["taken", "failed", "gone"]


class SecretView(msgspec.Struct, frozen=True, kw_only=True):
    """That there is a secret, since when, and until when it signs beside its successor."""

    added_at: dt.datetime
    expires_at: dt.datetime | None


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """One subscription and how it does. url is whole: show it without its query.

    behind counts the changes that were not looked at yet, whether they pass the filters or not;
    oldest_at is the time of the oldest of them.
    """

    id: int
    name: str
    via: Via
    url: str
    system: str
    subject: str
    filters: Filters
    batch: int
    created_at: dt.datetime
    created_by: str
    paused_at: dt.datetime | None
    paused_by: str
    paused_why: str
    position: Position
    failures: int
    failing_since: dt.datetime | None
    due_at: dt.datetime
    last_error: str
    delivered: int
    delivered_at: dt.datetime | None
    behind: int
    oldest_at: dt.datetime | None
    secrets: Sequence[SecretView]

    @property
    def state(self) -> State:
        """How it does."""
        return state_of(paused=self.paused_at is not None, failures=self.failures)


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One message to a consumer, when it was answered, and what became of it."""

    at: dt.datetime
    took_ms: int
    changes: int
    outcome: Outcome
    error: str


class Turn(NamedTuple):
    """A subscription while one worker delivers it. upto: the end of a message sent before, with
    nobody knowing whether it was taken; turn changes where it is set to another position.
    """

    id: int
    name: str
    via: Via
    url: str
    system: str
    subject: str
    filters: Filters
    batch: int
    position: Position
    upto: Position | None
    turn: int
    failures: int


def add(connection: Connection, new: NewSubscription, begin: Position, actor: str) -> int | None:
    """Adds a subscription that begins behind a position; its id, None where the name is taken."""
    told = msgspec.structs.asdict(new)
    told["filters"] = Jsonb(msgspec.to_builtins(new.filters))
    row = connection.execute(_SQL["add"], {**told, "actor": actor}).fetchone()
    if row is None:
        return None
    connection.execute(_SQL["begin"], {"id": row[0], **_place(begin)})
    return int(row[0])


def subscriptions(
    connection: Connection, *, after: str = "", limit: int = 1_000
) -> list[Subscription]:
    """Subscriptions with names behind one, by name, at most `limit`."""
    return _views(connection, {"after": after, "name": "", "limit": limit})


def find(connection: Connection, name: str) -> Subscription | None:
    """One subscription by name; None where there is none."""
    if not name:
        return None
    found = _views(connection, {"after": "", "name": name, "limit": 1})
    return found[0] if found else None


def secrets_of(connection: Connection, subscription: int) -> list[str]:
    """What its webhooks are signed with now, the newest first. For the line that signs alone."""
    return [row[0] for row in connection.execute(_SQL["secrets"], {"id": subscription})]


def add_secret(
    connection: Connection, subscription: int, secret: str, *, overlap_s: float = 0.0
) -> None:
    """Gives a subscription a new secret; those before it sign beside it for so many seconds."""
    connection.execute(_SQL["retire_secrets"], {"id": subscription, "overlap_s": overlap_s})
    connection.execute(_SQL["add_secret"], {"id": subscription, "secret": secret})


def pause(connection: Connection, subscription: int, *, actor: str, why: str) -> bool:
    """Stops a subscription; False where it is stopped already."""
    arguments = {"id": subscription, "actor": actor, "why": why}
    return connection.execute(_SQL["pause"], arguments).fetchone() is not None


def resume(connection: Connection, subscription: int) -> bool:
    """Lets a subscription go on, and tries at once; False where it was not stopped."""
    connection.execute(_SQL["try_now"], {"id": subscription})
    return connection.execute(_SQL["resume"], {"id": subscription}).fetchone() is not None


def replay(connection: Connection, subscription: int, position: Position) -> None:
    """Sets a subscription to a position: what stands behind it is told next."""
    connection.execute(_SQL["replay"], {"id": subscription, **_place(position)})


def delete(connection: Connection, subscription: int) -> None:
    """Removes a subscription with its secrets and its position."""
    connection.execute(_SQL["delete"], {"id": subscription})


def position_before(connection: Connection, sequence: int) -> Position:
    """The position in the feed just in front of an event."""
    row = connection.execute(_SQL["place_before"], {"sequence": sequence}).fetchone()
    assert row is not None
    return Position(sequence - 1, row[0])


# -------------------------------------------------------------------- delivering


def claim(
    connection: Connection, holder: str, systems: Sequence[str], *, lease_s: float, limit: int
) -> list[Turn]:
    """Takes up to `limit` subscriptions that have something to be told, for one holder alone.

    systems are those whose queues the holder can send to.
    """
    arguments = {"holder": holder, "systems": list(systems), "lease_s": lease_s, "limit": limit}
    return [_turn(row) for row in connection.execute(_SQL["claim"], arguments)]


def fix_end(
    connection: Connection, turn: Turn, holder: str, end: Position, *, lease_s: float
) -> bool:
    """Fixes where the message about to be sent ends; False where the turn is over."""
    arguments = {**_held(turn, holder), **_place(end), "lease_s": lease_s}
    return connection.execute(_SQL["fix_end"], arguments).fetchone() is not None


def advance(
    connection: Connection, turn: Turn, holder: str, end: Position, count: int, *, lease_s: float
) -> bool:
    """Moves a subscription behind what its consumer took; whether the turn goes on."""
    arguments = {**_held(turn, holder), **_place(end), "count": count, "lease_s": lease_s}
    row = connection.execute(_SQL["advance"], arguments).fetchone()
    return bool(row and row[0])


def fail(
    connection: Connection, turn: Turn, holder: str, error: str, retry_s: float
) -> tuple[dt.datetime, dt.datetime] | None:
    """Notes a failure, and when to try again; since when it fails, and the time now.

    None where the turn is over.
    """
    arguments = {**_held(turn, holder), "error": _clean(error), "retry_s": retry_s}
    row = connection.execute(_SQL["failed"], arguments).fetchone()
    return (row[0], row[1]) if row else None


def release(connection: Connection, subscription: int, holder: str) -> None:
    """Gives a subscription back to whoever delivers it next. Safe to repeat."""
    connection.execute(_SQL["release"], {"id": subscription, "holder": holder})


def note_attempt(
    connection: Connection,
    subscription: int,
    *,
    took_ms: int,
    changes: int,
    outcome: Outcome,
    error: str = "",
) -> None:
    """Keeps what became of a message. error must name no key of the consumer's."""
    told = {"took_ms": took_ms, "changes": changes, "outcome": outcome, "error": _clean(error)}
    connection.execute(_SQL["note_attempt"], {"id": subscription, **told})


def attempts(connection: Connection, subscription: int, limit: int = 20) -> list[Attempt]:
    """The newest messages to a consumer, newest first."""
    rows = connection.execute(_SQL["attempts"], {"id": subscription, "limit": limit})
    fields = Attempt.__struct_fields__
    return [Attempt(**dict(zip(fields, row, strict=True))) for row in rows]


def mark(connection: Connection) -> str:
    """Changes whenever a page about subscriptions may have."""
    row = connection.execute(_SQL["mark"]).fetchone()
    assert row is not None
    return "|".join(str(part) for part in row)


def open_item(connection: Connection, turn: Turn, cause: str, error: str) -> None:
    """Asks a person to look at a subscription that was stopped; one open item per cause."""
    detail = {"subscription": turn.name, "cause": cause, "error": error[:MAX_ERROR]}
    arguments = {
        "subject": f"{turn.name}: {cause}",
        "system": turn.system,
        "detail": Jsonb(detail),
    }
    connection.execute(_SQL["open_item"], arguments)


def close_items(connection: Connection, name: str, *, actor: str, why: str) -> None:
    """Closes what is open about a subscription. Safe to repeat."""
    connection.execute(_SQL["close_items"], {"name": name, "actor": actor, "why": why})


def lags(connection: Connection) -> dict[str, tuple[int, float]]:
    """By subscription: how many changes it has not looked at, and the oldest one's age in s."""
    rows = connection.execute(_SQL["lags"])
    return {name: (count, max(0.0, age_s)) for name, count, age_s in rows}


def _clean(error: str) -> str:
    return error[:MAX_ERROR].replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def _place(position: Position) -> dict[str, int]:
    return {"sequence": position.sequence, "place": position.place}


def _held(turn: Turn, holder: str) -> dict[str, Any]:
    return {"id": turn.id, "holder": holder, "turn": turn.turn}


def _turn(row: tuple[Any, ...]) -> Turn:
    number, name, via, url, system, subject, filters, batch, *places, turn, failures = row
    sequence, place, to_sequence, to_place = places
    return Turn(
        id=number,
        name=name,
        via=via,
        url=url,
        system=system,
        subject=subject,
        filters=msgspec.convert(filters, Filters),
        batch=batch,
        position=Position(sequence, place),
        upto=None if to_sequence is None else Position(to_sequence, to_place),
        turn=turn,
        failures=failures,
    )


def _views(connection: Connection, arguments: dict[str, Any]) -> list[Subscription]:
    return [_view(row) for row in connection.execute(_SQL["page"], arguments)]


def _view(row: tuple[Any, ...]) -> Subscription:
    told = dict(zip(_COLUMNS, row, strict=True))
    position = Position(told.pop("sequence"), told.pop("place"))
    filters = msgspec.convert(told.pop("filters"), Filters)
    secrets = [
        SecretView(added_at=added, expires_at=ends)
        for added, ends in zip(told.pop("secrets_added"), told.pop("secrets_end"), strict=True)
    ]
    return Subscription(**told, position=position, filters=filters, secrets=secrets)


_COLUMNS: Final = (
    *("id", "name", "via", "url", "system", "subject", "filters", "batch"),
    *("created_at", "created_by", "paused_at", "paused_by", "paused_why"),
    *("sequence", "place", "failures", "failing_since", "due_at", "last_error"),
    *("delivered", "delivered_at", "behind", "oldest_at", "secrets_added", "secrets_end"),
)
