"""Folds a timeline: runs of like events become one line that opens.

Alike are events of one kind from one source, of one document, or of one order. A run ends at the
first event that shares none of that with all before it.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from stockwright.store.timeline import LevelChange, Move, Recorded, Timeline

FOLD_FROM: Final = 3
"""Shorter runs stay as they are: a click would not save a line."""
FLOWS_SHOWN: Final = 4
_Trait = tuple[str, str, str]


class Shown(msgspec.Struct, frozen=True):
    """Channels (or their listings) that were to go from one number to another together."""

    names: Sequence[str]
    before: int | None
    value: int


class Moment(msgspec.Struct, frozen=True):
    """One sequence of the timeline: the event, and the level changes that reflect it.

    Changes that no event led to are a moment of their own, without one; revision is that of the
    rules they followed, where these had changed.
    """

    sequence: int
    at: dt.datetime
    event: Recorded | None
    changes: Sequence[LevelChange]
    revision: int | None = None

    def groups(self, sku: str) -> list[Shown]:
        """The changes, those of equal numbers together; a listing is named if it is not the SKU."""
        return _grouped(self.changes, sku)


class Fold(msgspec.Struct, frozen=True):
    """A run of like moments, newest first, as one line; a run of one is the moment itself.

    kinds and systems come with how many events are of each. flows are the moves of all summed by
    where from and where to, the largest first; more_flows are not shown.
    """

    moments: Sequence[Moment]
    kinds: Sequence[tuple[str, int]] = ()
    systems: Sequence[str] = ()
    document: str = ""
    order: str = ""
    documents: int = 0
    flows: Sequence[Move] = ()
    more_flows: int = 0

    @property
    def is_run(self) -> bool:
        """True where it is more than one line."""
        return len(self.moments) > 1

    @property
    def newest(self) -> Moment:
        """The last of the run."""
        return self.moments[0]

    @property
    def oldest(self) -> Moment:
        """The first of the run."""
        return self.moments[-1]

    def groups(self, sku: str) -> list[Shown]:
        """From which number to which each channel went over the whole run."""
        newest: dict[tuple[str, str], LevelChange] = {}
        for moment in self.moments:
            for change in moment.changes:
                key = (change.channel, change.listing)
                later = newest.get(key)
                newest[key] = replace(later, before=change.before) if later else change
        return _grouped(newest.values(), sku)


def moments(line: Timeline) -> list[Moment]:
    """Events and level changes of a timeline brought together by sequence, newest first.

    A change that rules led to after an event was reflected comes in front of it, as its own.
    """
    followed: dict[int, list[LevelChange]] = {}
    apart: dict[tuple[int, int], list[LevelChange]] = {}
    events = {event.sequence: event for event in line.events}
    for change in line.changes:
        if change.is_of_its_event and change.sequence in events:
            followed.setdefault(change.sequence, []).append(change)
        else:
            moved = any(change.since_sequence < one <= change.sequence for one in events)
            revision = 0 if moved else change.revision or 0
            apart.setdefault((change.sequence, revision), []).append(change)
    found = [
        Moment(sequence, event.recorded_at, event, _in_order(followed.get(sequence, ())))
        for sequence, event in events.items()
    ]
    for (sequence, revision), changes in apart.items():
        at = max(change.projected_at for change in changes)
        found.append(Moment(sequence, at, None, _in_order(changes), revision or None))
    return sorted(found, key=lambda one: (one.sequence, one.event is None, one.at), reverse=True)


def _in_order(changes: Iterable[LevelChange]) -> list[LevelChange]:
    """By channel and listing; the newest change of a level comes first, and stays so."""
    return sorted(changes, key=lambda change: (change.channel, change.listing))


def fold(line: Sequence[Moment]) -> list[Fold]:
    """The moments in runs, in their order; every moment is in one of them."""
    folds: list[Fold] = []
    run: list[Moment] = []
    shared: set[_Trait] = set()
    for moment in line:
        traits = _traits(moment)
        if run and shared & traits:
            shared &= traits
            run.append(moment)
            continue
        folds.extend(_folded(run))
        run, shared = [moment], traits
    folds.extend(_folded(run))
    return folds


def _traits(moment: Moment) -> set[_Trait]:
    event = moment.event
    if event is None:
        return {("levels", "", str(moment.revision or ""))}
    traits = {("kind", event.system, event.kind)}
    if event.document:
        traits.add(("document", event.system, event.document))
    if event.order:
        traits.add(("order", event.order_system, event.order))
    return traits


def _folded(run: Sequence[Moment]) -> list[Fold]:
    if len(run) < FOLD_FROM:
        return [Fold((moment,)) for moment in run]
    events = [moment.event for moment in run if moment.event]
    documents = {(event.system, event.document or event.order) for event in events}
    orders = {(event.order_system, event.order) for event in events}
    flows = _flows(move for event in events for move in event.moves)
    return [
        Fold(
            moments=run,
            kinds=Counter(event.kind for event in events).most_common(),
            systems=sorted({event.system for event in events}),
            document=events[0].document if events and len(documents) == 1 else "",
            order=events[0].order if events and len(orders) == 1 else "",
            documents=len(documents),
            flows=flows[:FLOWS_SHOWN],
            more_flows=max(0, len(flows) - FLOWS_SHOWN),
        )
    ]


def _flows(moves: Iterable[Move]) -> list[Move]:
    """Moves of one way and lot summed, the largest first."""
    sums: dict[Move, int] = {}
    for move in moves:
        way = replace(move, quantity=0)
        sums[way] = sums.get(way, 0) + move.quantity
    summed = [replace(way, quantity=units) for way, units in sums.items()]
    return sorted(summed, key=lambda move: -move.quantity)


def _grouped(changes: Iterable[LevelChange], sku: str) -> list[Shown]:
    names: dict[tuple[int | None, int], list[str]] = {}
    for change in changes:
        own = change.listing == sku
        name = change.channel if own else f"{change.channel} {change.listing}"
        names.setdefault((change.before, change.value), []).append(name)
    return [Shown(found, before, value) for (before, value), found in names.items()]
