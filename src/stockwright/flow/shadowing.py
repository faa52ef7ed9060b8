"""Connections in shadow: what would be sent is written down where a publisher would send it.

It works from present state like the publisher: a level that is due is written down once for each
number, and stays due, so that going live sends what is true then.
"""

import threading
from typing import Final

import msgspec

from stockwright.domain.connecting import State, Step, StepName
from stockwright.domain.errors import Rejected
from stockwright.domain.network import System
from stockwright.flow.connecting import (
    ConnectionView,
    channels_of,
    digest,
    held,
    system_of,
    view,
)
from stockwright.flow.probing import Probed
from stockwright.store import connecting as store
from stockwright.store.access import log_change
from stockwright.store.connecting import ShadowCounts, Shown
from stockwright.store.connection import Connection, Pool
from stockwright.store.session import session

AT_ONCE: Final = 1_000
EVERY_S: Final = 2.0
_MOST: Final = 1_000
"""Steps in one go: a million levels."""


def to_shadow(connection: Connection, system: str, *, actor: str, why: str) -> ConnectionView:
    """Puts a connection into shadow: what would be sent is written down, and nothing is sent.

    Once it is committed no call begins any more, in whichever process. Safe to repeat. Raises
    Rejected where the credentials were not checked: nothing could be compared.
    """
    now = held(connection, system)
    if now.stage == "added" and not _step(now, "credentials").passed:
        note = _step(now, "credentials").note or "not checked yet"
        raise Rejected("not_ready", "system", f"Credentials: {note}. Test {system} first.")
    if now.stage == "shadow":
        return now
    store.clear_shadow(connection, system)
    store.set_stage(connection, system, "shadow", actor=actor, why=why)
    log_change(connection, actor, "connection.shadow", system, {"why": why, "from": now.stage})
    return view(connection, system)


def compared(
    connection: Connection,
    system: str,
    probed: Probed | None,
    *,
    actor: str,
    asked: System | None = None,
) -> ConnectionView:
    """Keeps what the partner shows beside what would have been sent to it.

    probed is None where the partner cannot be asked; asked is the system as it was then, by default
    as it is now. Raises Rejected where it is not in shadow.
    """
    store.lock_system(connection, system)
    found, network = system_of(connection, system)
    settings = digest(asked or found)
    if view(connection, system).stage != "shadow":
        raise Rejected("not_ready", "system", f"{system} is not in shadow.")
    if not channels_of(network, system):
        return view(connection, system)
    if probed is not None and probed.error:
        store.write_step(
            connection, system, "shadow", "failed",
            actor=actor, note=probed.error, settings=settings,
        )  # fmt: skip
        return view(connection, system)
    told = probed is not None and probed.shown is not None
    if told and probed is not None:
        whole = probed.asked == ("snapshot",)
        store.write_shown(connection, system, shown_of(probed), whole=whole)
    counts = store.shadow_counts(connection, system).get(system, ShadowCounts())
    listings = store.active_listings(connection, system)
    state, note = _shadowed(counts, listings, told)
    store.write_step(
        connection, system, "shadow", state,
        actor=actor, note=note, settings=settings, detail=msgspec.structs.asdict(counts),
    )  # fmt: skip
    return view(connection, system)


def _shadowed(counts: ShadowCounts, listings: int, told: bool) -> tuple[State, str]:
    if not listings:
        return "failed", "nothing would be sent: no listing of it is on sale; import its listings"
    if not counts.levels:
        return "done", "nothing would be sent: it acknowledged every number before"
    if counts.zeroes == counts.levels:
        return "failed", (
            f"all {counts.levels:,} levels would be 0: going live would empty it; check its pool,"
            " its policies and whether the opening stock was taken"
        )
    note = f"{counts.levels:,} level{'' if counts.levels == 1 else 's'} would be sent"
    if not told:
        return "attention", f"{note}; it cannot be asked what it shows now"
    return "done", f"{note}: {counts.differing:,} differ, {counts.not_shown:,} it does not show"


def shown_of(probed: Probed) -> list[Shown]:
    """The numbers that a partner told when it was asked."""
    as_of = probed.shown_at or probed.as_of
    return [
        Shown(code=one.listing, location=one.location, quantity=one.quantity, as_of=as_of)
        for one in probed.shown or ()
    ]


def _step(found: ConnectionView, name: StepName) -> Step:
    return next(step for step in found.steps if step.name == name)


def note(connection: Connection, limit: int = AT_ONCE) -> int:
    """Writes down at most `limit` levels that are due and were not written down yet; how many."""
    return len(store.note_shadow(connection, limit))


def note_all(pool: Pool) -> int:
    """Writes down all that is due, in transactions of AT_ONCE levels; how many."""
    noted = 0
    for _ in range(_MOST):
        with session(pool) as connection:
            some = note(connection)
        noted += some
        if some < AT_ONCE:
            break
    return noted


def run(pool: Pool, stop: threading.Event) -> None:
    """Writes down what becomes due, until `stop`."""
    while not stop.is_set():
        note_all(pool)
        stop.wait(EVERY_S)
