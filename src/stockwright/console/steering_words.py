"""What can be done to a channel, and what it would do in words, before it is done."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from stockwright.console import formatting as f
from stockwright.domain.people import Action as Right
from stockwright.flow import steering
from stockwright.flow.steering import ResyncPlan
from stockwright.store.connection import Connection


class Deed(msgspec.Struct, frozen=True, kw_only=True):
    """Something that can be done to a channel. name stands in forms, right is what it takes."""

    name: str
    right: Right
    label: str
    told: str
    hint: str


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What a deed would do, in lines; refused says why it cannot be done."""

    lines: Sequence[str]
    warning: str = ""
    refused: str = ""


DEEDS: Final = {
    one.name: one
    for one in (
        Deed(name="pause", right="channel.pause", label="Pause", told="Paused",
             hint="shown beside the channel, and kept in the change log"),
        Deed(name="resume", right="channel.pause", label="Resume", told="Resumed",
             hint="kept in the change log"),
        Deed(name="resync", right="channel.resync", label="Resync", told="Resyncing",
             hint="kept in the change log"),
    )
}  # fmt: skip


def _preview_pause(connection: Connection, channel: str) -> Preview:
    steering.told_by(connection, channel)
    state = steering.publication(connection, channel)
    facts = state.link.facts
    lines = [
        "Nothing is sent to it, and it is not read back, until somebody resumes it. A call under "
        "way comes to its end.",
        f"{_counted(facts.waiting, 'level')} waiting now stay due. Its numbers go on being "
        "computed; on resuming only what differs by then is sent.",
    ]
    warning = (
        f"{_counted(state.backlog.decreases, 'decrease')} among them: it goes on showing more than "
        "it should for as long as it is paused."
        if state.backlog.decreases
        else "It goes on selling by the numbers it shows now, whatever is sold elsewhere meanwhile."
    )
    refused = f"{channel} is {state.link.judgement.why}." if facts.paused else ""
    return Preview(lines=lines, warning=warning, refused=refused)


def _preview_resume(connection: Connection, channel: str) -> Preview:
    steering.told_by(connection, channel)
    state = steering.publication(connection, channel)
    backlog = state.backlog
    lines = [
        f"{_counted(backlog.decreases, 'decrease')} and {_counted(backlog.increases, 'increase')} "
        "are sent, decreases first. What came back to the number it shows is not sent."
    ]
    refused = "" if state.link.facts.paused else f"{channel} is not paused."
    return Preview(lines=lines, refused=refused)


def _preview_resync(connection: Connection, channel: str) -> Preview:
    plan = steering.plan_resync(connection, channel)
    estimate = plan.estimate
    lines = [
        f"{_counted(estimate.levels, 'level')} of {_counted(plan.listings, 'active listing')} "
        f"{'is' if estimate.levels == 1 else 'are'} sent once more, {f.number(plan.zeroes)} as 0. "
        "What differs goes first all the while.",
        resynced(plan),
        *(
            f"{_counted(count, 'level')} left alone: {why}."
            for why, count in plan.left_alone.items()
        ),
    ]
    return Preview(lines=lines, refused=plan.refused)


def resynced(plan: ResyncPlan) -> str:
    """In how many calls, how long, and from when on."""
    estimate = plan.estimate
    if estimate.calls is None or estimate.seconds is None:
        words = "In how many calls is not known: no worker has told the connection's limits yet."
    else:
        takes = (
            "is done within about a second"
            if estimate.seconds < 1
            else f"takes at least {f.seconds(estimate.seconds)}"
        )
        calls = _counted(estimate.calls, "call")
        words = f"That is {calls} and {takes} at the limits of its connection."
    return f"{words} It is paused: they leave once it is resumed." if plan.paused else words


def _counted(count: int, noun: str) -> str:
    return f"{f.number(count)} {noun}{'' if count == 1 else 's'}"


PREVIEWS: Final[Mapping[str, Callable[[Connection, str], Preview]]] = {
    "pause": _preview_pause,
    "resume": _preview_resume,
    "resync": _preview_resync,
}
LOGGED: Final = frozenset(f"channel.{name}" for name in DEEDS)
AFTER: Final = {
    "pause": "Nothing is sent until it is resumed. Its numbers go on being computed.",
    "resume": "What differs is on its way.",
}
