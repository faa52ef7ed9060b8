"""What people do about subscriptions: add, pause, resume, rotate a secret, replay, delete.

Each deed is in the change log, in the transaction that does it. A secret is answered once, by what
made it, and never again.
"""

import statistics
from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from stockwright.domain.cursors import read_cursor
from stockwright.domain.errors import Rejected
from stockwright.domain.proxies import Net
from stockwright.domain.subscriptions import NewSubscription, check, shown_url
from stockwright.flow.following import end_behind
from stockwright.flow.steering import checked_reason
from stockwright.sdk.webhooks import new_secret
from stockwright.store import subscriptions as store
from stockwright.store.access import log_change
from stockwright.store.connection import Connection, Pool
from stockwright.store.feed import BEGINNING, Position
from stockwright.store.session import session
from stockwright.store.subscriptions import Subscription

OVERLAP_S: Final = 86_400.0
"""How long a secret signs beside its successor unless said otherwise."""
MAX_OVERLAP_S: Final = 30 * 86_400.0
MAX_SECRETS: Final = 5
"""Each signs every message, and a header has its bounds."""


class Start(NamedTuple):
    """Where a subscription begins or goes on: behind a cursor of the feed, in front of an event's
    sequence number, or at one end of it.
    """

    begin: Literal["start", "now"] = "now"
    cursor: str = ""
    sequence: int | None = None


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription, and the secret just made for it; '' for a queue, which needs none."""

    subscription: Subscription
    secret: str

    def __repr__(self) -> str:
        return f"Made(subscription={self.subscription.name!r})"


def position_at(pool: Pool, start: Start) -> Position:
    """The position in the feed that is meant. Raises Rejected where there is none such."""
    if start.cursor and start.sequence is not None:
        raise Rejected("malformed", "sequence", "Give a cursor or a sequence number, not both.")
    if start.cursor:
        position = _read(start.cursor)
        end_behind(pool, position)
        return position
    end = end_behind(pool, BEGINNING)
    if start.sequence is None:
        return BEGINNING if start.begin == "start" else end
    if not 0 < start.sequence <= end.sequence + 1:
        message = f"The ledger's events have the numbers 1 to {end.sequence:,}."
        raise Rejected("malformed", "sequence", message)
    with session(pool) as connection:
        return store.position_before(connection, start.sequence)


def add(
    pool: Pool,
    new: NewSubscription,
    start: Start,
    *,
    actor: str,
    allowed: Sequence[Net],
    queues: Mapping[str, bool],
) -> Made | None:
    """Adds a subscription; None where the name is taken.

    allowed: private networks that may be called. queues: for every system, whether announcements
    can be sent through it. Raises Rejected with the field at fault.
    """
    check(new, allowed)
    if new.via == "queue" and not queues.get(new.system):
        known = ", ".join(sorted(system for system, can in queues.items() if can)) or "none"
        message = f"No queue is connected as {new.system!r}; systems with one: {known}."
        raise Rejected("unknown_system", "system", message)
    position = position_at(pool, start)
    secret = new_secret().reveal() if new.via == "webhook" else ""
    with session(pool) as connection:
        number = store.add(connection, new, position, actor)
        if number is None:
            return None
        if secret:
            store.add_secret(connection, number, secret)
        detail = {"via": new.via, "to": shown_url(new.url) or f"{new.system}: {new.subject}"}
        log_change(connection, actor, "subscription.create", new.name, detail)
        return Made(subscription=found(connection, new.name), secret=secret)


def pause(connection: Connection, name: str, *, actor: str, why: str) -> bool:
    """Sends a consumer nothing until it is resumed; False where it is paused already.

    A message that is under way comes to its end. Safe to repeat.
    """
    why = checked_reason(why)
    one = found(connection, name)
    if not store.pause(connection, one.id, actor=actor, why=why):
        return False
    log_change(connection, actor, "subscription.pause", name, {"why": why})
    return True


def resume(connection: Connection, name: str, *, actor: str, why: str) -> bool:
    """Lets a consumer be told again, at once, from where it stopped; False where it was not paused.

    Closes the work items about it.
    """
    why = checked_reason(why)
    one = found(connection, name)
    store.close_items(connection, name, actor=actor, why=why)
    if not store.resume(connection, one.id):
        return False
    log_change(connection, actor, "subscription.resume", name, {"why": why})
    return True


def rotate(connection: Connection, name: str, *, actor: str, overlap_s: float = OVERLAP_S) -> Made:
    """Gives a webhook a new secret; the one before signs beside it for the overlap."""
    one = found(connection, name)
    if one.via != "webhook":
        raise Rejected("malformed", "name", f"{name} goes to a queue: nothing of it is signed.")
    if not 0 <= overlap_s <= MAX_OVERLAP_S:
        raise Rejected("malformed", "overlap_s", f"Give 0 to {MAX_OVERLAP_S:,.0f} seconds.")
    if overlap_s and len(one.secrets) >= MAX_SECRETS:
        text = f"{len(one.secrets)} secrets of {name} sign already. Wait until some have ended, or"
        raise Rejected("malformed", "overlap_s", f"{text} give 0: then they end at once.")
    secret = new_secret().reveal()
    store.add_secret(connection, one.id, secret, overlap_s=overlap_s)
    log_change(connection, actor, "subscription.rotate", name, {"overlap_s": overlap_s})
    return Made(subscription=found(connection, name), secret=secret)


class Distance(msgspec.Struct, frozen=True, kw_only=True):
    """What lies between a position and the end of the feed, before any filter; and the least time
    that sending it takes at the pace of the last messages, None where none was taken yet.
    """

    position: Position
    events: int
    levels: int
    messages: int
    least_s: float | None


def distance(pool: Pool, name: str, start: Start) -> Distance:
    """What a replay from a position would tell at most. Raises as `position_at` does."""
    position = position_at(pool, start)
    end = end_behind(pool, position)
    with session(pool) as connection:
        one = found(connection, name)
        taken = [try_.took_ms for try_ in store.attempts(connection, one.id, 100)
                 if try_.outcome == "taken"]  # fmt: skip
    events, levels = end.sequence - position.sequence, end.place - position.place
    messages = -(-(events + levels) // one.batch)
    least_s = messages * statistics.median(taken) / 1_000 if taken else None
    return Distance(
        position=position, events=events, levels=levels, messages=messages, least_s=least_s
    )


def replay(pool: Pool, name: str, start: Start, *, actor: str) -> Subscription:
    """Sets a subscription to a position, back or on; the consumer is told what stands behind it.

    A message under way is still sent and moves nothing. Ids are those of the first time.
    """
    position = position_at(pool, start)
    with session(pool) as connection:
        one = found(connection, name)
        store.replay(connection, one.id, position)
        detail = {"from": list(_pair(one.position)), "to": list(_pair(position))}
        log_change(connection, actor, "subscription.replay", name, detail)
        return found(connection, name)


def delete(connection: Connection, name: str, *, actor: str) -> Subscription:
    """Removes a subscription with its secrets and its position; answers it as it was."""
    one = found(connection, name)
    store.close_items(connection, name, actor=actor, why="the subscription was deleted")
    store.delete(connection, one.id)
    log_change(connection, actor, "subscription.delete", name, {})
    return one


def found(connection: Connection, name: str) -> Subscription:
    """One subscription. Raises Rejected where there is none."""
    one = store.find(connection, name)
    if one is None:
        raise Rejected("not_found", "name", f"There is no subscription {name!r}.")
    return one


def _read(cursor: str) -> Position:
    try:
        return read_cursor(cursor, Position)
    except ValueError:
        message = "This is no cursor of the feed of changes; take one from GET /v1/changes."
        raise Rejected("malformed", "cursor", message) from None


def _pair(position: Position) -> tuple[int, int]:
    return position.sequence, position.place
