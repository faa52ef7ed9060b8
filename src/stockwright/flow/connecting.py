"""Connecting a partner step by step: what each step finds is kept, so that one can stop and go on.

Everything here is done in the caller's transaction. Questions to the partner are asked before, by
`probing`: no transaction stays open while a partner thinks.
"""

import datetime as dt
import hashlib
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from stockwright.domain import item_match
from stockwright.domain.connecting import (
    TESTED,
    Stage,
    Step,
    StepName,
    checklist,
    missing,
    next_of,
)
from stockwright.domain.connecting import State as StepState
from stockwright.domain.errors import Misconfigured, Rejected
from stockwright.domain.item_match import ItemState, Needs, PartnerItem
from stockwright.domain.network import Network, System
from stockwright.flow import configuring, probing
from stockwright.flow.probing import Probed
from stockwright.flow.sampling import Sample, Seen, sample
from stockwright.sdk.messages import Payload
from stockwright.sdk.verbs import Connection as Partner
from stockwright.store import attempts, levels
from stockwright.store import connecting as store
from stockwright.store.access import log_change
from stockwright.store.connecting import Kept, ShadowCounts, Shown, Standing
from stockwright.store.connection import Connection
from stockwright.store.history import Said
from stockwright.store.network import read_network

SPOKEN_FOR_S: Final = 60.0
"""A connection that no worker looked at for so long is not open in any running process."""


class ConnectionView(msgspec.Struct, frozen=True, kw_only=True):
    """How one connection stands: its stage, its steps in order, and what comes next.

    by_steps is false for a connection that was configured without these steps: it is live. missing
    says what keeps it from going live. worker_at is when a worker last looked at it.
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


class Tested(msgspec.Struct, frozen=True, kw_only=True):
    """What a test found, and how the connection stands now. sample is None where there was none."""

    connection: ConnectionView
    sample: Sample | None


def views(connection: Connection, system: str = "") -> list[ConnectionView]:
    """Every connection, or this one, by code."""
    network = read_network(connection)
    standings, steps = store.standings(connection, system), store.steps(connection, system)
    items, shadows = store.item_counts(connection, system), store.shadow_counts(connection, system)
    workers, now = store.workers_at(connection, system), levels.clock(connection)
    return [
        _view(one, network, standings.get(one.code), steps.get(one.code, {}),
              items.get(one.code), shadows.get(one.code, ShadowCounts()),
              workers.get(one.code), now)
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
) -> ConnectionView:
    channels = channels_of(network, system.code)
    steps = checklist(_current(kept, digest(system)), role=system.role, sells=bool(channels))
    lacks = missing(steps)
    stage: Stage = standing.stage if standing else "live"
    spoken = worker_at is not None and (now - worker_at).total_seconds() < SPOKEN_FOR_S
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
        next="" if stage == "live" else next_of(steps, system.code),
        items=items or dict.fromkeys(item_match.ITEM_STATES, 0),
        shadow=shadow,
        worker_at=worker_at,
        spoken_for=spoken,
    )


def _current(kept: dict[StepName, Kept], settings: str) -> dict[StepName, Step]:
    """The steps as they hold today: what was tested with other settings is open again."""
    found = {}
    for name, one in kept.items():
        found[name] = one.step
        if name in TESTED and one.settings != settings:
            note = "its settings changed since; test it again"
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
    the settings. Raises Rejected (conflict) where the code belongs to a connection that is used.
    """
    network = read_network(connection)
    before = next((one for one in network.systems if one.code == system), None)
    standing = store.standings(connection, system).get(system)
    if before is not None and before.connector and (standing is None or standing.stage != "added"):
        message = (
            f"{system} is connected already, by {before.connector}. Change its settings with"
            " `stockwright config apply`, or give the new connection another code."
        )
        raise Rejected("conflict", "system", message)
    configuring.apply_edits(connection, edits, said)
    _stop_publishers(connection, system)
    store.set_stage(connection, system, "added", actor=said.actor, why=said.reason)
    store.write_step(
        connection, system, "settings", "done",
        actor=said.actor, note=f"{connector}; secrets stay where their references lead",
    )  # fmt: skip
    log_change(connection, said.actor, "connection.add", system, {"connector": connector})
    return view(connection, system)


def listings_to_ask(connection: Connection, system: str) -> list[str]:
    """A few listings by which a partner can be asked what it shows."""
    return store.any_listings(connection, system, 1)


def judge(
    connection: Connection,
    system: str,
    partner: Partner,
    probed: Probed,
    given: Sequence[Payload],
    *,
    actor: str,
) -> Tested:
    """Keeps what a test found: credentials, sample, items, and what the partner shows.

    given is a sample that a person handed in; without it what the partner told is the sample.
    """
    found, network = system_of(connection, system)
    store.lock_system(connection, system)
    settings = digest(found)
    state, note = _credentials(partner, probed)
    detail: dict[str, Any] = {"asked": probed.asked, "setting": probed.setting}
    _keep(connection, system, "credentials", state, note, settings, detail, actor)
    told, seen = None, Seen(items=(), counts=())
    payloads = given or probed.payloads or ()
    if payloads:
        told, seen = sample(connection, system, partner, payloads, probed.as_of)
    if told is not None or not _has(connection, system, "sample", settings):
        state, note = _sampled(told, probed, partner)
        _keep(connection, system, "sample", state, note, settings, told, actor)
    shown = _shown(probed, seen)
    if shown is not None:
        store.write_shown(connection, system, shown)
    if seen.items or probed.shown is not None:
        needs = _needs(partner, channels_of(network, system))
        items = _match(connection, system, needs, seen, probed)
        _keep_items(connection, system, items, needs, settings, actor)
    log_change(connection, actor, "connection.test", system, {"error": probed.error})
    return Tested(connection=view(connection, system), sample=told)


def unopened(connection: Connection, system: str, failure: Misconfigured, *, actor: str) -> Tested:
    """Keeps that a connection cannot even be opened: a setting or a secret is at fault."""
    found, _network = system_of(connection, system)
    detail = {"setting": failure.setting}
    _keep(connection, system, "credentials", "failed", str(failure), digest(found), detail, actor)
    log_change(connection, actor, "connection.test", system, {"error": str(failure)})
    return Tested(connection=view(connection, system), sample=None)


def _keep(
    connection: Connection,
    system: str,
    step: StepName,
    state: StepState,
    note: str,
    settings: str,
    detail: Any,
    actor: str,
) -> None:
    store.write_step(
        connection, system, step, state,
        actor=actor, note=note, settings=settings, detail=detail,
    )  # fmt: skip


def _has(connection: Connection, system: str, step: StepName, settings: str) -> bool:
    """Whether a sample of these settings was mapped before, and still stands."""
    kept = store.steps(connection, system).get(system, {}).get(step)
    return kept is not None and kept.settings == settings and kept.step.passed


def _credentials(partner: Partner, probed: Probed) -> tuple[StepState, str]:
    if probed.error:
        at = f"{probed.setting}: " if probed.setting else ""
        return "failed", f"{at}{probed.error}"
    if not probed.asked:
        return "attention", "it can only be written to, so that only the first call will prove them"
    words = {"snapshot": "told what it shows", "read": "was read", "read_back": "was asked back"}
    told = " and ".join(words[one] for one in probed.asked)
    return "done", f"{partner.system} {told}"


def _sampled(told: Sample | None, probed: Probed, partner: Partner) -> tuple[StepState, str]:
    if told is None:
        if probed.error:
            return "failed", "the partner was not read; hand in a file with --sample"
        if not probing.tells(partner):
            return "skipped", "it tells us nothing"
        return "failed", "the partner has no message to show; hand in a file with --sample"
    if told.failures:
        first = told.broken[0]
        more = f" and {told.failures - 1:,} more" if told.failures > 1 else ""
        return "failed", f"{first.path}: {first.reason}{more}"
    if not told.events:
        return "attention", f"{_count(told.payloads, 'message')}, none of which says anything"
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(told.kinds.items()))
    return "done", f"{_count(told.payloads, 'message')}: {kinds}"


def _matched(items: Sequence[PartnerItem]) -> tuple[StepState, str]:
    counted = item_match.counts(items)
    note = (
        f"{counted['matched']:,} matched, {counted['unknown']:,} unknown,"
        f" {counted['unit_conflict']:,} in conflict about the unit"
    )
    if not items:
        return "attention", "the partner names no item yet"
    if counted["unit_conflict"] or not counted["matched"]:
        return "failed", note
    return ("attention" if counted["unknown"] else "done"), note


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _shown(probed: Probed, seen: Seen) -> list[Shown] | None:
    """What the partner shows or holds: its snapshot, else the counts of its sample."""
    if probed.shown is not None:
        return shown_of(probed)
    return list(seen.counts) or None


def shown_of(probed: Probed) -> list[Shown]:
    """The numbers that a partner told when it was asked."""
    return [
        Shown(code=one.listing, location=one.location, quantity=one.quantity, as_of=probed.as_of)
        for one in probed.shown or ()
    ]


def _needs(partner: Partner, channels: tuple[str, ...]) -> Needs:
    takes = probing.takes(partner)
    return Needs(bound=probing.tells(partner), channels=channels if takes else ())


def _match(
    connection: Connection, system: str, needs: Needs, seen: Seen, probed: Probed
) -> list[PartnerItem]:
    pairs = [*seen.items, *((one.listing, "") for one in probed.shown or ())]
    units = item_match.units_by_code(pairs)
    known = store.known_items(connection, system, list(units))
    return [item_match.match(code, units[code], known[code], needs) for code in sorted(units)]


def rematch(connection: Connection, system: str, *, actor: str) -> ConnectionView:
    """Matches the items of the last test once more, after codes were bound or listed.

    Raises Rejected where none was seen yet.
    """
    found, network = system_of(connection, system)
    store.lock_system(connection, system)
    before = store.items(connection, system, limit=2**31)
    kept = store.steps(connection, system).get(system, {}).get("items")
    if not before or kept is None:
        raise Rejected("incomplete", "system", f"No item of {system} was seen yet; test it first.")
    channels = channels_of(network, system) if kept.step.detail.get("listed") else ()
    needs = Needs(bound=bool(kept.step.detail.get("bound")), channels=channels)
    known = store.known_items(connection, system, [item.code for item in before])
    items = [item_match.match(one.code, one.seen, known[one.code], needs) for one in before]
    _keep_items(connection, system, items, needs, digest(found), actor)
    return view(connection, system)


def _keep_items(
    connection: Connection,
    system: str,
    items: Sequence[PartnerItem],
    needs: Needs,
    settings: str,
    actor: str,
) -> None:
    store.write_items(connection, system, items)
    state, note = _matched(items)
    counts = item_match.counts(items)
    detail = {"counts": counts, "bound": needs.bound, "listed": bool(needs.channels)}
    _keep(connection, system, "items", state, note, settings, detail, actor)


def _stop_publishers(connection: Connection, system: str) -> None:
    """Takes the lock under which every publisher looks whether it may send."""
    attempts.ensure_connection(connection, system, 1.0)
    attempts.lock_connection(connection, system)


def to_shadow(connection: Connection, system: str, *, actor: str, why: str) -> ConnectionView:
    """Puts a connection into shadow: what would be sent is written down, and nothing is sent.

    Once it is committed no call begins any more, in whichever process. Safe to repeat. Raises
    Rejected where the credentials were not checked: nothing could be compared.
    """
    system_of(connection, system)
    now = view(connection, system)
    if now.stage == "added" and not _step(now, "credentials").passed:
        note = _step(now, "credentials").note or "not checked yet"
        raise Rejected("incomplete", "system", f"Credentials: {note}. Test {system} first.")
    if now.stage == "shadow":
        return now
    _stop_publishers(connection, system)
    store.clear_shadow(connection, system)
    store.set_stage(connection, system, "shadow", actor=actor, why=why)
    log_change(connection, actor, "connection.shadow", system, {"why": why, "from": now.stage})
    return view(connection, system)


def compared(
    connection: Connection, system: str, probed: Probed | None, *, actor: str
) -> ConnectionView:
    """Keeps what the partner shows beside what would have been sent to it.

    probed is None where the partner cannot be asked. Raises Rejected where it is not in shadow.
    """
    found, network = system_of(connection, system)
    store.lock_system(connection, system)
    if view(connection, system).stage != "shadow":
        raise Rejected("incomplete", "system", f"{system} is not in shadow.")
    if not channels_of(network, system):
        return view(connection, system)
    if probed is not None and probed.error:
        _keep(connection, system, "shadow", "failed", probed.error, "", {}, actor)
        return view(connection, system)
    told = probed is not None and probed.shown is not None
    if told and probed is not None:
        whole = probed.asked == ("snapshot",)
        store.write_shown(connection, system, shown_of(probed), whole=whole)
    counts = store.shadow_counts(connection, system).get(system, ShadowCounts())
    state, note = _shadowed(counts, told)
    _keep(connection, system, "shadow", state, note, digest(found), counts, actor)
    return view(connection, system)


def _shadowed(counts: ShadowCounts, told: bool) -> tuple[StepState, str]:
    if not counts.levels:
        return "failed", "nothing would be sent: import its listings, and see that stock is known"
    if counts.zeroes == counts.levels:
        return "failed", (
            f"all {counts.levels:,} levels would be 0: going live would empty it; check its pool,"
            " its policies and whether the opening stock was taken"
        )
    note = f"{_count(counts.levels, 'level')} would be sent"
    if not told:
        return "attention", f"{note}; it cannot be asked what it shows now"
    return "done", f"{note}: {counts.differing:,} differ, {counts.not_shown:,} it does not show"


def go_live(
    connection: Connection, system: str, *, actor: str, why: str, force: bool = False
) -> ConnectionView:
    """Lets a connection send from now on. Safe to repeat.

    Raises Rejected (incomplete) with every reason while a step is missing; force goes live all the
    same, and the reasons are kept beside why.
    """
    system_of(connection, system)
    now = view(connection, system)
    if now.stage == "live":
        return now
    if now.missing and not force:
        reasons = "; ".join(now.missing)
        raise Rejected("incomplete", "system", f"{system} is not ready to go live: {reasons}.")
    if force and not why.strip():
        raise Rejected("malformed", "why", "Say why it goes live with steps missing.")
    _stop_publishers(connection, system)
    forced = bool(now.missing)
    store.set_stage(connection, system, "live", actor=actor, why=why, forced=forced)
    note = f"forced: {why}" if forced else why
    _keep(connection, system, "live", "done", note, "", {"missing": now.missing}, actor)
    detail = {"why": why, "forced": forced, "missing": list(now.missing)}
    log_change(connection, actor, "connection.live", system, detail)
    levels.notify_channels(connection, now.channels)
    return view(connection, system)


def _step(found: ConnectionView, name: StepName) -> Step:
    return next(step for step in found.steps if step.name == name)


def _unknown(system: str) -> Rejected:
    message = (
        f"No system {system!r} has a connector; see `stockwright connection status`, or"
        " add one with `stockwright connection add`."
    )
    return Rejected("not_found", "system", message)
