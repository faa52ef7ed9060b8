"""Connecting a partner step by step: what each step finds is kept, so that one can stop and go on.

Everything here is done in the caller's transaction. Questions to the partner are asked before, by
`probing`: no transaction stays open while a partner thinks.
"""

import datetime as dt
import hashlib
from collections.abc import Iterator, Sequence
from typing import Final, Literal

import msgspec

from stockwright.domain import item_match
from stockwright.domain.connecting import (
    AGAIN,
    TESTED,
    Stage,
    Step,
    StepName,
    checklist,
    missing,
    next_of,
)
from stockwright.domain.errors import Rejected
from stockwright.domain.item_match import ItemState
from stockwright.domain.network import Network, System
from stockwright.flow import configuring
from stockwright.flow.steering import checked_reason
from stockwright.store import attempts, levels
from stockwright.store import connecting as store
from stockwright.store.access import log_change
from stockwright.store.connecting import Kept, ShadowCounts, Standing
from stockwright.store.connection import Connection
from stockwright.store.history import Said
from stockwright.store.master import lock_master
from stockwright.store.network import read_network
from stockwright.store.polls import PollState, poll_states, retry_mended
from stockwright.store.processes import ProcessView, processes

PART: Final = "connection "
"""A process tells of each of its connections by this name and the system's code."""
TOO_OFTEN: Final = 3
"""Failures in a row after which a partner that cannot be read is a problem."""
FAR: Final = dt.timedelta(minutes=1)
SPOKEN_FOR_S: Final = 60.0
"""A worker that looked at a connection within this speaks for it."""


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A connection in one running process. current: it runs with the settings of now.

    error says why it does not: then it goes on with those before, or, where open is false, not at
    all. since is when that began.
    """

    worker: str
    roles: tuple[str, ...]
    open: bool
    current: bool
    error: str
    since: dt.datetime | None


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """What a running connection cannot do now: `read` the partner, or `send` to it, and why.

    failures is how often in a row it failed; it is tried again at again_at.
    """

    what: Literal["read", "send"]
    error: str
    failures: int
    again_at: dt.datetime | None


class ConnectionView(msgspec.Struct, frozen=True, kw_only=True):
    """How one connection stands: its stage, its steps in order, and what comes next.

    by_steps is false for a connection that was configured without these steps: it is live. missing
    says what keeps it from going live. worker_at is when a worker last looked at it. troubles are
    what it cannot do though it is open.
    """

    system: str
    role: str
    connector: str
    channels: tuple[str, ...]
    stage: Stage
    by_steps: bool
    since: dt.datetime | None
    by: str
    why: str
    forced: bool
    steps: tuple[Step, ...]
    missing: tuple[str, ...]
    next: str
    items: dict[ItemState, int]
    shadow: ShadowCounts
    worker_at: dt.datetime | None
    spoken_for: bool
    running: tuple[Running, ...] = ()
    troubles: tuple[Trouble, ...] = ()


def views(connection: Connection, system: str = "") -> list[ConnectionView]:
    """Every connection, or this one, by code."""
    network = read_network(connection)
    standings, steps = store.standings(connection, system), store.steps(connection, system)
    items, shadows = store.item_counts(connection, system), store.shadow_counts(connection, system)
    workers, now = store.workers_at(connection, system), levels.clock(connection)
    alive = [one for one in processes(connection) if not one.lost]
    troubles = _troubles(connection, system)
    return [
        _view(one, network, standings.get(one.code), steps.get(one.code, {}),
              items.get(one.code), shadows.get(one.code, ShadowCounts()),
              workers.get(one.code), now, alive, troubles.get(one.code, ()))
        for one in sorted(network.systems, key=lambda each: each.code)
        if one.connector and system in ("", one.code)
    ]  # fmt: skip


def view(connection: Connection, system: str) -> ConnectionView:
    """One connection. Raises Rejected (not_found)."""
    found = views(connection, system) if system else []
    if not found:
        raise _unknown(system)
    return found[0]


def _view(
    system: System,
    network: Network,
    standing: Standing | None,
    kept: dict[StepName, Kept],
    items: dict[ItemState, int] | None,
    shadow: ShadowCounts,
    worker_at: dt.datetime | None,
    now: dt.datetime,
    alive: Sequence[ProcessView],
    troubles: Sequence[Trouble],
) -> ConnectionView:
    channels = channels_of(network, system.code)
    stage: Stage = standing.stage if standing else "live"
    found = _current(kept, digest(system), stage)
    steps = checklist(found, role=system.role, sells=bool(channels), stage=stage)
    lacks = missing(steps)
    running = tuple(_running(alive, system))
    looked = worker_at is not None and (now - worker_at).total_seconds() < SPOKEN_FOR_S
    spoken = looked or any(one.open and "workers" in one.roles for one in running)
    return ConnectionView(
        system=system.code,
        role=system.role,
        connector=system.connector,
        channels=channels,
        stage=stage,
        by_steps=standing is not None,
        since=standing.since if standing else None,
        by=standing.by if standing else "",
        why=standing.why if standing else "",
        forced=standing.forced if standing else False,
        steps=steps,
        missing=tuple(lacks),
        next="" if stage == "live" else next_of(steps, system.code, stage),
        items=items or dict.fromkeys(item_match.ITEM_STATES, 0),
        shadow=shadow,
        worker_at=worker_at,
        spoken_for=spoken,
        running=running,
        troubles=() if stage == "added" else tuple(troubles),
    )


def unread(connection: Connection) -> list[PollState]:
    """Polls that keep failing, by code; one that failed a moment ago may succeed the next time."""
    return [
        poll
        for poll in poll_states(connection)
        if poll.failures >= TOO_OFTEN or (poll.failures > 0 and _is_far(poll))
    ]


def _is_far(poll: PollState) -> bool:
    """Whether the next try is far off, as after a setting that is wrong."""
    return poll.last_error_at is not None and poll.due_at - poll.last_error_at > FAR


def _troubles(connection: Connection, system: str) -> dict[str, list[Trouble]]:
    """What connections cannot do now, by code: what is read before what is sent."""
    found: dict[str, list[Trouble]] = {}
    for poll in unread(connection):
        one = Trouble(
            what="read", error=poll.last_error, failures=poll.failures, again_at=poll.due_at
        )
        found.setdefault(poll.connection, []).append(one)
    for call in attempts.failing(connection, system):
        one = Trouble(
            what="send", error=call.last_error, failures=call.failures, again_at=call.retry_at
        )
        found.setdefault(call.system, []).append(one)
    return found


def _running(alive: Sequence[ProcessView], system: System) -> Iterator[Running]:
    settings = digest(system)
    for process in alive:
        for part in process.parts:
            if part.name == PART + system.code:
                yield Running(
                    worker=process.worker,
                    roles=tuple(process.roles),
                    open=bool(part.settings),
                    current=part.settings == settings and part.state != "failed",
                    error=part.error,
                    since=part.since,
                )


def _current(kept: dict[StepName, Kept], settings: str, stage: Stage) -> dict[StepName, Step]:
    """The steps as they hold today: what was done with other settings is open again.

    Of a connection that is live only what a test tells: its stock is taken, its numbers are sent.
    """
    judged = TESTED if stage == "live" else tuple(AGAIN)
    found = {}
    for name, one in kept.items():
        found[name] = one.step
        if name in judged and one.settings not in ("", settings):
            note = f"its settings changed since; {AGAIN[name]}"
            found[name] = Step(name=name, at=one.step.at, by=one.step.by, note=note)
    return found


def digest(system: System) -> str:
    """Stands for the settings a connection is opened with. References to secrets, no secret."""
    told = [system.connector, system.time_zone, dict(system.settings)]
    return hashlib.sha256(msgspec.json.encode(told, order="deterministic")).hexdigest()[:16]


def channels_of(network: Network, system: str) -> tuple[str, ...]:
    """The channels that belong to a system, by code."""
    return tuple(sorted(one.code for one in network.channels if one.system == system))


def system_of(connection: Connection, code: str) -> tuple[System, Network]:
    """A system that has a connector, and the network. Raises Rejected (not_found)."""
    network = read_network(connection)
    found = next((one for one in network.systems if one.code == code and one.connector), None)
    if found is None:
        raise _unknown(code)
    return found, network


def add(
    connection: Connection, edits: Network, system: str, said: Said, *, connector: str
) -> ConnectionView:
    """Writes a new connection into the configuration as a revision; nothing is sent to it yet.

    edits are the checked parts, its system among them. For a connection that is `added` it changes
    the settings; one that was taken out begins anew. Raises Rejected (already_connected) where the
    code is that of a connection that is in use.
    """
    lock_master(connection)
    store.lock_system(connection, system)
    network = read_network(connection)
    before = next((one for one in network.systems if one.code == system), None)
    standing = store.standings(connection, system).get(system)
    if before is not None and before.connector and (standing is None or standing.stage != "added"):
        message = (
            f"{system} is connected already, by {before.connector}. Change its settings with"
            " `stockwright config apply`, or give the new connection another code."
        )
        raise Rejected("already_connected", "system", message)
    configuring.apply_edits(connection, edits, said)
    stop_publishers(connection, system)
    if before is None or not before.connector:
        store.forget(connection, system)
    store.set_stage(connection, system, "added", actor=said.actor, why=said.reason)
    store.write_step(
        connection, system, "settings", "done",
        actor=said.actor, note=f"{connector}; secrets stay where their references lead",
    )  # fmt: skip
    log_change(connection, said.actor, "connection.add", system, {"connector": connector})
    return view(connection, system)


def stop_publishers(connection: Connection, system: str) -> None:
    """Takes the lock under which every publisher looks whether it may send."""
    attempts.ensure_connection(connection, system, 1.0)
    attempts.lock_connection(connection, system)


def held(connection: Connection, system: str) -> ConnectionView:
    """How a connection stands, kept so until the end of the transaction: whoever would take a step,
    change its settings or begin a call waits. Raises Rejected (not_found).

    The locks are taken in the order of `add`: configuration, system, publishers.
    """
    store.lock_system(connection, system)
    system_of(connection, system)
    stop_publishers(connection, system)
    return view(connection, system)


def go_live(
    connection: Connection, system: str, *, actor: str, why: str, force: bool = False
) -> ConnectionView:
    """Lets a connection send from now on. Safe to repeat.

    Raises Rejected (malformed) without a reason, (not_ready) with every reason while a step is
    missing; force goes live all the same, and the reasons are kept beside why.
    """
    why = checked_reason(why)
    now = held(connection, system)
    if now.stage == "live":
        return now
    if now.missing and not force:
        reasons = "; ".join(now.missing)
        raise Rejected("not_ready", "system", f"{system} is not ready to go live: {reasons}.")
    forced = bool(now.missing)
    store.set_stage(connection, system, "live", actor=actor, why=why, forced=forced)
    note = f"forced: {why}" if forced else why
    lacked = {"missing": now.missing}
    store.write_step(connection, system, "live", "done", actor=actor, note=note, detail=lacked)
    detail = {"why": why, "forced": forced, "missing": list(now.missing)}
    log_change(connection, actor, "connection.live", system, detail)
    levels.notify_channels(connection, now.channels)
    return view(connection, system)


def not_opened(
    connection: Connection, system: str, *, worker: str, setting: str, error: str, goes_on: bool
) -> None:
    """Asks a person to look at a connection that cannot be opened as it is configured now."""
    runs = "with the settings before" if goes_on else "not at all"
    detail: dict[str, object] = {
        "setting": setting,
        "message": error,
        "process": worker,
        "runs": runs,
    }
    attempts.open_refusal(connection, "connection_not_opened", system, system, detail)


def opened(connection: Connection, systems: Sequence[str]) -> None:
    """Settles what asked a person to look at these connections, and reads at once what could not
    be read for a setting. Safe to repeat.
    """
    store.close_not_opened(connection, systems)
    for system in systems:
        retry_mended(connection, system)


def configured(connection: Connection, systems: Sequence[str]) -> None:
    """Settles what asked a person to look at connections that are none of these any more."""
    store.close_of_others(connection, systems)


def _unknown(system: str) -> Rejected:
    message = (
        f"No system {system!r} has a connector; see `stockwright connection status`, or"
        " add one with `stockwright connection add`."
    )
    return Rejected("not_found", "system", message)
