"""A trial of a channel's rules: what they would change, now and over a month, and applying them."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from stockwright.console.addresses import number_in
from stockwright.console.formatting import words
from stockwright.console.pages import HEADERS, page, twin
from stockwright.console.policies import PolicyPages, channel_address
from stockwright.console.policy_form import draft_of, judged
from stockwright.console.reading import Reader
from stockwright.console.trying import Trier
from stockwright.domain.errors import Rejected
from stockwright.domain.network_changes import Difference
from stockwright.domain.policy_words import sentence
from stockwright.flow import configuring, trying
from stockwright.flow.preview import Effect, Preview
from stockwright.flow.replaying import Replay
from stockwright.store import history, policy_trials, positions
from stockwright.store.connection import Connection
from stockwright.store.history import MAX_REASON, Revision, Said
from stockwright.store.network import read_network
from stockwright.store.policy_trials import Kind, Run, Trial

T = TypeVar("T", Preview, Replay)


class RunView(msgspec.Struct, frozen=True, kw_only=True):
    """How far a computation is: how much it has seen, and when it was last heard of."""

    state: policy_trials.State
    seen: int
    asked_at: dt.datetime
    at: dt.datetime | None
    error: str

    @property
    def is_open(self) -> bool:
        """Whether it waits, or is under way."""
        return self.state in ("waiting", "running")


class TrialPage(msgspec.Struct, frozen=True, kw_only=True):
    """A trial and what it found. differences are what it would change in the rules as they are now;
    notes are oddities of its rules. newest is the last revision of the configuration: the trial is
    outdated where it was planned on an earlier one.
    """

    at: dt.datetime
    trial: Trial
    says: Sequence[str]
    notes: Sequence[str]
    differences: Sequence[Difference]
    newest: Revision | None
    outdated: bool
    preview_run: RunView | None
    preview: Preview | None
    replay_run: RunView | None
    replay: Replay | None


class EffectPage(msgspec.Struct, frozen=True, kw_only=True):
    """Why one listing would show another number: both explanations."""

    trial: int
    at: dt.datetime
    effect: Effect


class TrialPages:
    """The handlers of trials."""

    def __init__(self, reader: Reader, trier: Trier, policies: PolicyPages) -> None:
        self._reader = reader
        self._trier = trier
        self._policies = policies

    async def one(self, request: Request) -> Response:
        """A trial with what it found so far."""
        number, as_json = number_in(request, "trial")
        found = await self._reader.read(_read, number)
        if any(run is not None and run.is_open for run in (found.preview_run, found.replay_run)):
            # What was asked for goes on, also where the process that began it is gone.
            self._trier.wake()
        if as_json:
            return twin(found)
        return self._page(request, found, reason=found.trial.reason)

    async def effect(self, request: Request) -> Response:
        """One listing that would show another number, explained as it is and as it would be."""
        number, _ = number_in(request, "trial")
        asked = request.query_params
        key = (asked.get("channel", ""), asked.get("listing", ""))
        found = await self._reader.read(_read_effect, number, key)
        if request.url.path.endswith(".json"):
            return twin(found)
        return page(request, "policy_effect.html", found=found, effect=found.effect, now=found.at)

    async def act(self, request: Request) -> Response:
        """Computes anew or the last month, stops that, plans on what is in force, or applies."""
        number, _ = number_in(request, "trial")
        step, reason = request.state.form.one("do"), request.state.form.one("reason").strip()
        match step:
            case "preview":
                await self._reader.run(_ask, number, "preview")
                return await self._policies.tried(number)
            case "replay":
                await self._reader.run(_ask, number, "replay")
                self._trier.wake()
            case "stop-preview" | "stop-replay":
                kind: Kind = "preview" if step == "stop-preview" else "replay"
                await self._reader.run(policy_trials.stop, number, kind)
            case "plan-anew":
                owner = request.state.visitor.owner
                anew = await self._reader.run(_plan_anew, number, owner, reason[:MAX_REASON])
                return await self._policies.tried(anew)
            case "apply":
                return await self._apply(request, number, reason)
            case _:
                raise Rejected("malformed", "do", "There is no such button. Open the trial anew.")
        return RedirectResponse(
            f"/policy-trials/{number}#{step.removeprefix('stop-')}", 303, HEADERS
        )

    async def _apply(self, request: Request, number: int, reason: str) -> Response:
        note, status = "", 400
        if not reason:
            note = "Say why: it is kept with the revision."
        elif len(reason) > MAX_REASON or "\x00" in reason:
            note = f"At most {MAX_REASON:,} characters."
        else:
            actor = request.state.visitor.actor
            try:
                await self._reader.run(_apply, number, actor, reason)
                return RedirectResponse(f"/policy-trials/{number}", 303, HEADERS)
            except Rejected as refused:
                if refused.reason == "not_found":
                    raise
                note, status = refused.message, 409 if refused.reason == "outdated" else 400
        found = await self._reader.read(_read, number)
        return self._page(request, found, reason=reason, note=note, status=status)

    def _page(
        self, request: Request, found: TrialPage, *, reason: str, note: str = "", status: int = 200
    ) -> Response:
        return page(
            request,
            "policy_trial.html",
            status,
            found=found,
            trial=found.trial,
            reason=reason,
            note=note,
            now=found.at,
            address=channel_address,
            most_reason=MAX_REASON,
            days=int(trying.DAYS),
            twin=f"/policy-trials/{found.trial.id}.json",
        )


def _find(connection: Connection, number: int) -> Trial:
    found = policy_trials.find(connection, number)
    if found is None:
        text = "There is no such trial, or it was forgotten: trials are kept for 30 days."
        raise Rejected("not_found", "trial", text)
    return found


def _read(connection: Connection, number: int) -> TrialPage:
    trial, network = _find(connection, number), read_network(connection)
    channel = trying.channel_of(network, trial.channel)
    draft = judged(connection, draft_of(trial.rules, trial.revision), channel, network)
    runs = policy_trials.runs(connection, number)
    newest = configuring.newest(connection)
    preview_run, preview = _found(runs.get("preview"), Preview)
    replay_run, replay = _found(runs.get("replay"), Replay)
    return TrialPage(
        at=positions.moment(connection),
        trial=trial,
        says=[sentence(rule) for rule in trial.rules],
        notes=[
            f"Rule {place}: {words(name)} {text}" if name else f"Rule {place} {text}"
            for place, rule in enumerate(draft.rules, start=1)
            for name, text in rule.notes.items()
        ],
        differences=() if trial.applied else trying.differences(connection, trial),
        newest=history.revision(connection, newest) if newest else None,
        outdated=trial.applied is None and newest != trial.revision,
        preview_run=preview_run,
        preview=preview,
        replay_run=replay_run,
        replay=replay,
    )


def _found(run: Run | None, kind: type[T]) -> tuple[RunView | None, T | None]:
    """How far a computation is, and what it found."""
    if run is None:
        return None, None
    view = RunView(
        state=run.state, seen=run.seen, asked_at=run.asked_at, at=run.beat_at, error=run.error
    )
    if run.result is None:
        return view, None
    try:
        return view, msgspec.convert(run.result, kind)
    except msgspec.ValidationError:
        gone = "It was computed by another version of Stockwright. Compute it again."
        return msgspec.structs.replace(view, state="failed", error=gone), None


def _read_effect(connection: Connection, number: int, key: tuple[str, str]) -> EffectPage:
    _find(connection, number)
    view, preview = _found(policy_trials.runs(connection, number).get("preview"), Preview)
    items: Sequence[Effect] = preview.items if preview else ()
    found = next((one for one in items if (one.channel, one.listing) == key), None)
    if view is None or view.at is None or found is None:
        text = "This trial shows no effect on such a listing (any more). Go back to the trial."
        raise Rejected("not_found", "listing", text)
    return EffectPage(trial=number, at=view.at, effect=found)


def _ask(connection: Connection, number: int, kind: Kind) -> None:
    policy_trials.ask(connection, _find(connection, number).id, kind)


def _plan_anew(connection: Connection, number: int, owner: str, reason: str) -> int:
    trial = _find(connection, number)
    return trying.begin(
        connection,
        trial.channel,
        trial.rules,
        owner=owner,
        revision=configuring.newest(connection),
        reason=reason or trial.reason,
    )


def _apply(connection: Connection, number: int, actor: str, reason: str) -> None:
    trial = _find(connection, number)
    if trial.applied is not None:
        return
    runs: Mapping[Any, Run] = policy_trials.runs(connection, number)
    if "preview" not in runs or runs["preview"].state != "done":
        raise Rejected("malformed", "do", "See what would change before you apply it: preview it.")
    applied = trying.apply(connection, trial, Said(actor=actor, source="console", reason=reason))
    if applied.revision is None:
        raise Rejected("malformed", "do", "There is nothing to apply: these rules are in force.")
