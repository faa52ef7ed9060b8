"""A test of a connection: what the partner's first answers say, kept as the outcome of its steps.

Everything here is done in the caller's transaction. Questions to the partner are asked before, by
`probing`: no transaction stays open while a partner thinks.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from stockwright.domain import item_match
from stockwright.domain.connecting import (
    MISSING_CHANNEL,
    MISSING_LOCATION,
    StepName,
    places_missing,
)
from stockwright.domain.connecting import State as StepState
from stockwright.domain.errors import Misconfigured, Rejected
from stockwright.domain.item_match import Needs, PartnerItem
from stockwright.domain.network import System
from stockwright.flow import probing
from stockwright.flow.connecting import ConnectionView, channels_of, digest, system_of, view
from stockwright.flow.probing import Probed
from stockwright.flow.sampling import Sample, Seen, sample
from stockwright.flow.shadowing import shown_of
from stockwright.sdk.messages import Payload
from stockwright.sdk.verbs import Connection as Partner
from stockwright.store import connecting as store
from stockwright.store.access import log_change
from stockwright.store.connecting import Shown
from stockwright.store.connection import Connection
from stockwright.store.payloads import places_of
from stockwright.telemetry import hide_secrets

_HINTS = {
    MISSING_CHANNEL: "; say which channel its orders are of",
    MISSING_LOCATION: "; bind it to a place of ours",
}
"""What is to be said of a code that is missing, by how it begins."""


class Tested(msgspec.Struct, frozen=True, kw_only=True):
    """What a test found, and how the connection stands now. sample is None where there was none."""

    connection: ConnectionView
    sample: Sample | None


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
    asked: System | None = None,
) -> Tested:
    """Keeps what a test found: credentials, sample, items, and what the partner shows.

    given is a sample that a person handed in; without it what the partner told is the sample.
    asked is the system as it was when the partner was asked, by default as it is now: what was
    found speaks of those settings, whatever they are by now.
    """
    store.lock_system(connection, system)
    found, network = system_of(connection, system)
    settings = digest(asked or found)
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
    elif not probing.names_items(partner):
        note = "it names no item to us: nothing is to be matched"
        _keep(connection, system, "items", "skipped", note, settings, {}, actor)
    log_change(connection, actor, "connection.test", system, {"error": probed.error})
    return Tested(connection=view(connection, system), sample=told)


def unopened(
    connection: Connection, asked: System, failure: Misconfigured, *, actor: str
) -> Tested:
    """Keeps that a connection cannot even be opened: a setting or a secret is at fault."""
    system = asked.code
    store.lock_system(connection, system)
    system_of(connection, system)
    detail, error = {"setting": failure.setting}, hide_secrets(str(failure))
    name = failure.setting.rpartition(".settings.")[2]
    if name and name not in error:
        error = f"{name}: {error}"
    _keep(connection, system, "credentials", "failed", error, digest(asked), detail, actor)
    log_change(connection, actor, "connection.test", system, {"error": error})
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
    words = {
        "snapshot": "told what it shows",
        "read_back": "was asked back",
        "check": "has what we send to",
        "read": "was read",
    }
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
        missing = first.missing or ""
        hint = next((hint for begin, hint in _HINTS.items() if missing.startswith(begin)), "")
        return "failed", f"{first.path}: {first.reason}{more}{hint}"
    if not told.events:
        return "attention", f"{_count(told.payloads, 'message')}, none of which says anything"
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(told.kinds.items()))
    return "done", f"{_count(told.payloads, 'message')}: {kinds}"


def places_that_wait(connection: Connection, found: ConnectionView) -> list[str]:
    """The partner's names of places in the last sample that are bound to none of ours by now."""
    named = places_missing(found.steps)
    bound = places_of(connection, found.system, named) if named else {}
    return [place for place in named if place not in bound]


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
    store.lock_system(connection, system)
    _found, network = system_of(connection, system)
    before = store.items(connection, system, limit=2**31)
    kept = store.steps(connection, system).get(system, {}).get("items")
    if not before or kept is None:
        raise Rejected("not_ready", "system", f"No item of {system} was seen yet; test it first.")
    channels = channels_of(network, system) if kept.step.detail.get("listed") else ()
    needs = Needs(bound=bool(kept.step.detail.get("bound")), channels=channels)
    known = store.known_items(connection, system, [item.code for item in before])
    items = [item_match.match(one.code, one.seen, known[one.code], needs) for one in before]
    _keep_items(connection, system, items, needs, kept.settings, actor)
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
