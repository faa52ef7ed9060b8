"""How one link to a partner does, and why it does nothing where it does nothing.

A link is one direction of one connection: levels going out to a channel, or messages coming in
from a system. Facts come from the database; the judgement is pure, so that the console, the
command line and the alarms all say the same.
"""

import datetime as dt
from typing import Final, Literal

import msgspec

Direction = Literal["out", "in"]
State = Literal["paused", "failing", "backlog", "live", "idle"]

STATES: Final[tuple[tuple[State, str], ...]] = (
    ("paused", "an operator stopped it"),
    ("failing", "the last call failed; it waits for its next try"),
    ("backlog", "something waits for longer than the latency budget"),
    ("live", "something went over it within the last minute, or is on its way"),
    ("idle", "there is nothing to do"),
)
"""Every state in order of precedence: the first that applies is the link's."""

LIVE_S: Final = 60.0
SILENT_S: Final = 20.0
"""A publisher that runs looks at its connection several times within this."""


class LinkFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one link. Counts are levels on the way out, payloads on the way in.

    ready are those of `waiting` whose time has come; leased is true while a worker holds some.
    last_activity is when something last changed (out) or came in (in). samples is how many
    acknowledgements the lags were measured on. worker_at is when a publisher last looked at it.
    resending are those of `waiting` that are only sent once more, because an operator asked for it.
    last_try says why the newest try to send something came to nothing; '' where it did not.
    """

    direction: Direction
    system: str
    channel: str = ""
    connector: str = ""
    criticality: str = "normal"
    latency_budget_s: float = 5.0
    paused: bool = False
    paused_by: str = ""
    paused_at: dt.datetime | None = None
    failures: int = 0
    retry_at: dt.datetime | None = None
    last_success: dt.datetime | None = None
    last_failure: dt.datetime | None = None
    last_error: str = ""
    waiting: int = 0
    ready: int = 0
    oldest_at: dt.datetime | None = None
    leased: bool = False
    throttled: bool = False
    refused: int = 0
    parked: int = 0
    last_activity: dt.datetime | None = None
    next_poll_at: dt.datetime | None = None
    lag_p50_s: float | None = None
    lag_p99_s: float | None = None
    samples: int = 0
    worker_at: dt.datetime | None = None
    paused_why: str = ""
    resending: int = 0
    last_try: str = ""

    @property
    def key(self) -> str:
        """Unique by link, and stable: names it in pages and streams."""
        return f"{self.direction}:{self.system}:{self.channel}"


class Judgement(msgspec.Struct, frozen=True):
    """A link's state, and the reason in words for a person."""

    state: State
    why: str


def judge(facts: LinkFacts, now: dt.datetime) -> Judgement:
    """The first state that applies, and why; times are told in the zone of `now`."""
    if facts.paused:
        return Judgement("paused", _paused(facts, now))
    if facts.failures > 0:
        return Judgement("failing", _failing(facts, now))
    oldest_s = age_s(facts.oldest_at, now)
    if oldest_s is not None and oldest_s > facts.latency_budget_s:
        return Judgement("backlog", _waiting_long(facts, now))
    if facts.waiting:
        return Judgement("live", _under_way(facts))
    quiet_s = age_s(_latest(facts.last_activity, facts.last_success), now)
    if quiet_s is not None and quiet_s <= LIVE_S:
        return Judgement("live", "in step" if facts.direction == "out" else "messages come in")
    return Judgement("idle", _idle(facts, now))


def age_s(since: dt.datetime | None, now: dt.datetime) -> float | None:
    """Seconds since a moment, never below zero; None for a moment that never was."""
    return None if since is None else max(0.0, (now - since).total_seconds())


def clock(at: dt.datetime, now: dt.datetime) -> str:
    """A moment for people, in the zone of `now`, with the date where it is another day."""
    at = at.astimezone(now.tzinfo)
    return at.strftime("%H:%M:%S" if at.date() == now.date() else "%d %b %Y %H:%M:%S")


def _paused(facts: LinkFacts, now: dt.datetime) -> str:
    who = f" by {facts.paused_by}" if facts.paused_by else " by an operator"
    since = f" since {clock(facts.paused_at, now)}" if facts.paused_at else ""
    why = f" ({facts.paused_why})" if facts.paused_why else ""
    return f"paused{who}{since}{why}{_pending(facts)}"


def _failing(facts: LinkFacts, now: dt.datetime) -> str:
    times = "once" if facts.failures == 1 else f"{facts.failures} times in a row"
    if facts.retry_at and facts.retry_at > now:
        return f"waiting for retry at {clock(facts.retry_at, now)}, failed {times}"
    return f"failed {times}, trying again now"


def _waiting_long(facts: LinkFacts, now: dt.datetime) -> str:
    if facts.throttled:
        return f"throttled by its limit{_pending(facts)}"
    if _unattended(facts, now):
        return f"no worker holds a lease{_pending(facts)}: is `stockwright up` running?"
    why = f"; the last try: {facts.last_try}" if facts.last_try else ""
    return f"behind its budget of {facts.latency_budget_s:g} s{_pending(facts)}{why}"


def _unattended(facts: LinkFacts, now: dt.datetime) -> bool:
    """Whether nobody works on what is there: nothing is leased, and no publisher was seen."""
    seen_s = age_s(facts.worker_at, now)
    silent = facts.direction == "out" and (seen_s is None or seen_s > SILENT_S)
    return facts.ready > 0 and not facts.leased and (silent or facts.direction == "in")


def _under_way(facts: LinkFacts) -> str:
    if facts.throttled and facts.ready:
        return f"throttled by its limit{_pending(facts)}"
    again = f", {facts.resending} of them sent again" if facts.resending else ""
    return f"{_counted(facts)} on the way{again}"


def _idle(facts: LinkFacts, now: dt.datetime) -> str:
    if facts.direction == "out":
        if not facts.connector:
            return "nothing is sent: this channel asks the API"
        if facts.last_activity is None:
            return "nothing to publish yet: no listing of this channel has stock behind it"
        seen_s = age_s(facts.worker_at, now)
        if facts.worker_at is not None and seen_s is not None and seen_s > SILENT_S:
            return f"no worker looked at it since {clock(facts.worker_at, now)}"
        return f"nothing changed since {clock(facts.last_activity, now)}"
    poll = f", next poll at {clock(facts.next_poll_at, now)}" if facts.next_poll_at else ""
    if facts.last_activity is None:
        return f"nothing came in yet{poll}"
    return f"nothing came in since {clock(facts.last_activity, now)}{poll}"


def _pending(facts: LinkFacts) -> str:
    return f", {_counted(facts)} waiting" if facts.waiting else ""


def _counted(facts: LinkFacts) -> str:
    noun = "level" if facts.direction == "out" else "payload"
    return f"{facts.waiting} {noun}{'s' if facts.waiting > 1 else ''}"


def _latest(*moments: dt.datetime | None) -> dt.datetime | None:
    return max((moment for moment in moments if moment is not None), default=None)
