"""What a consumer is sent: changes as CloudEvents, in messages whose ids stay the same."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from stockwright.domain.cursors import cursor_of
from stockwright.domain.subscriptions import CloudEvent, filled
from stockwright.sdk.messages import Announcement
from stockwright.store.feed import Change, EventChange, Position
from stockwright.store.subscriptions import Turn

MAX_BYTES: Final = 1024 * 1024
"""A message is not begun to be filled beyond this; one change may be larger alone."""
ONE: Final = "application/cloudevents+json"
SEVERAL: Final = "application/cloudevents-batch+json"
_encode: Final = msgspec.json.Encoder().encode


class Envelope(NamedTuple):
    """One change, ready to be sent: its id, its bytes, and the words its subject is made of."""

    id: str
    body: bytes
    words: dict[str, str]


class Message(NamedTuple):
    """Changes that are sent together, and the position behind them.

    id: of the one change where a message holds no more; else it names the stretch of the feed, so
    that the same id is always the same changes.
    """

    id: str
    envelopes: Sequence[Envelope]
    end: Position
    single: bool

    @property
    def content_type(self) -> str:
        """The media type of `body`."""
        return ONE if self.single else SEVERAL

    @property
    def body(self) -> bytes:
        """All of it as CloudEvents: one, or a batch."""
        if self.single:
            return self.envelopes[0].body
        return b"[" + b",".join(one.body for one in self.envelopes) + b"]"


def message_of(
    turn: Turn, changes: Sequence[tuple[Change, Position]], end: Position, source: str
) -> Message:
    """The changes as one message; fewer of them where all would be too many bytes.

    end is the position behind all that was looked at; it holds where nothing is left for later.
    """
    envelopes: list[Envelope] = []
    size = 0
    for change, behind in changes:
        made = _envelope(change, behind, source)
        if envelopes and size + len(made.body) > MAX_BYTES:
            end = changes[len(envelopes) - 1][1]
            break
        envelopes.append(made)
        size += len(made.body)
    single = turn.batch == 1
    if single and envelopes:
        return Message(envelopes[0].id, envelopes, end, single)
    first, last = turn.position, end
    stretch = f"{first.sequence}.{first.place}-{last.sequence}.{last.place}"
    return Message(f"changes-{turn.id}-{stretch}", envelopes, end, single)


def announcements(turn: Turn, message: Message) -> list[Announcement]:
    """The changes of a message, each for its own subject.

    A broker drops an id that it has seen, so each replay has ids of its own, and so has a
    subscription that takes the name of one that was deleted.
    """
    return [
        Announcement(
            id=f"{turn.name}.{turn.id}.{turn.turn}.{one.id}",
            subject=filled(turn.subject, one.words),
            body=one.body,
            content_type=ONE,
        )
        for one in message.envelopes
    ]


def _envelope(change: Change, behind: Position, source: str) -> Envelope:
    if isinstance(change, EventChange):
        name, kind, at = f"event-{change.sequence}", change.kind, change.recorded_at
        subject = str(change.body.get("document") or change.body.get("order") or change.sequence)
        channel = str(change.body.get("channel") or "")
    else:
        name, kind, at = f"level-{change.position}", "level", change.projected_at
        subject, channel = f"{change.channel}/{change.listing}", change.channel
    told = CloudEvent(
        id=name,
        source=source,
        type=f"stockwright.{kind}",
        subject=subject,
        time=at,
        cursor=cursor_of(behind),
        data=change,
    )
    words = {"kind": kind, "system": change.system, "channel": channel}
    words["change"] = "event" if isinstance(change, EventChange) else "level"
    return Envelope(name, _encode(told), words)
