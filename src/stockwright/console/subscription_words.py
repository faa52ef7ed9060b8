"""What can be done to a subscription, and what it would do in words, before it is done."""

from typing import Final

import msgspec

from stockwright.domain.people import Action as Right
from stockwright.flow.subscribing import Distance
from stockwright.store.subscriptions import Subscription


class Deed(msgspec.Struct, frozen=True, kw_only=True):
    """Something that can be done to a subscription. reasoned: it asks why."""

    name: str
    right: Right
    label: str
    told: str
    hint: str = ""
    reasoned: bool = False
    grave: bool = False


DEEDS: Final = {
    one.name: one
    for one in (
        Deed(name="pause", right="subscription.steer", label="Pause", told="Paused", reasoned=True,
             hint="shown beside the subscription, and kept in the change log"),
        Deed(name="resume", right="subscription.steer", label="Resume", told="Resumed",
             reasoned=True, hint="kept in the change log"),
        Deed(name="replay", right="subscription.steer", label="Replay", told="Replaying"),
        Deed(name="rotate", right="subscription.change", label="New secret", told="New secret of"),
        Deed(name="delete", right="subscription.change", label="Delete", told="Deleted",
             grave=True),
    )
}  # fmt: skip
AFTER: Final = {
    "pause": "Nothing is sent to it until it is resumed. Its position is kept.",
    "resume": "It is told again from where it stopped.",
    "replay": "What stands behind the position is told next, under the ids of the first time.",
    "delete": "Its secrets and its position are gone; what it was sent before stays with it.",
}


def lines_of(deed: Deed, one: Subscription, distance: Distance | None) -> list[str]:
    """What a deed would do."""
    if deed.name == "pause":
        return [
            "Nothing is sent to it until it is resumed. A message under way comes to its end.",
            f"Its position is kept: {_changes(one.behind)} behind it wait, and what comes later.",
        ]
    if deed.name == "resume":
        return [
            f"It is told again at once, from where it stopped: {_changes(one.behind)} to look at.",
            "Failures so far are forgotten, and the work item about it closes.",
        ]
    if deed.name == "rotate":
        return [
            "A new secret is made and shown once, on the next page.",
            "The secret of today signs beside it for a day, so that the consumer can change over.",
        ]
    if deed.name == "delete":
        return ["It is told nothing any more, and its position and its secrets are gone."]
    assert distance is not None, "a replay has a position"
    return _replay_lines(one, distance)


def _replay_lines(one: Subscription, distance: Distance) -> list[str]:
    if not distance.messages:
        return ["Nothing stands behind this position: it is told what comes from now on."]
    parts = f"{_counted(distance.events, 'event')} and {_counted(distance.levels, 'level change')}"
    messages = _counted(distance.messages, "message")
    lines = [
        f"It stands in front of {parts}. Of these it is told what passes its filters.",
        f"That is at most {messages} of up to {_counted(one.batch, 'change')} each"
        + (
            "."
            if distance.least_s is None
            else f", {_span(distance.least_s)} at the pace of its last messages."
        ),
    ]
    here, there = (
        (one.position.sequence, one.position.place),
        (distance.position.sequence, distance.position.place),
    )
    if there < here:
        lines.append("What it was told before it is told again; ids are those of the first time.")
    elif there > here:
        lines.append("What lies between its position of now and this one it is never told.")
    return lines


def _span(seconds: float) -> str:
    if seconds < 60:
        return f"about {max(1, round(seconds))} s"
    if seconds < 5_400:
        return f"about {round(seconds / 60)} min"
    return f"about {round(seconds / 3_600)} h"


def _changes(count: int) -> str:
    return _counted(count, "change")


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
