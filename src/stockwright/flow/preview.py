"""What would change now if some channels had other policies: computed, and nothing written."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final, NamedTuple

import msgspec

from stockwright.domain.availability import Explanation, RiskBuffer
from stockwright.domain.codes import did_you_mean
from stockwright.domain.errors import Rejected
from stockwright.domain.exposure import Policy
from stockwright.domain.policies import PolicySet, oddities
from stockwright.flow.buffering import Background, compute, read_background
from stockwright.flow.exposing import (
    Listing,
    Reading,
    Rules,
    candidate_rules,
    read_by,
    read_rules,
)
from stockwright.store import buffers, exposure
from stockwright.store.connection import Connection
from stockwright.store.exposure import Part, Way

AT_ONCE: Final = 500
MOST_LISTINGS: Final = 50_000
MOST_BUFFERS: Final = 5_000
"""Risk-bounded buffers computed for one preview: some milliseconds each."""
MOST_RULES: Final = 20_000
"""Rules of one set, of all channels together."""
MOST_NOTES: Final = 100


class Place(NamedTuple):
    """Where an effect stands among the others: the largest come first, then by channel, listing."""

    size: int
    channel: str
    listing: str


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """A listing that would show another number, in its own pieces, and the steps of both."""

    channel: str
    listing: str
    now: int
    then: int
    change: int
    why_now: Explanation
    why_then: Explanation

    @property
    def place(self) -> Place:
        """Where it stands among the others."""
        return Place(abs(self.change), self.channel, self.listing)


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What a set of policies would change, the largest effects first.

    examined listings were looked at, `changed` of them would show another number: `raised` and
    `lowered` pieces in all. complete is False where there are more listings, or more buffers to
    compute, than a preview looks at. notes are oddities of the set, as lint would tell them.
    """

    examined: int
    changed: int
    raised: int
    lowered: int
    complete: bool
    notes: Sequence[str]
    items: Sequence[Effect]
    next_place: Place | None = None


Progress = Callable[[int], None]
"""Is told from time to time how much was looked at so far; what it raises ends the work."""


def untold(_seen: int) -> None:
    """Tells nobody."""


def preview(
    connection: Connection,
    candidate: PolicySet,
    *,
    after: Place | None = None,
    limit: int = 50,
    progress: Progress = untold,
) -> Preview:
    """Compares what every listing shows now with what it would show; reads only.

    The numbers are of this moment; pages of one preview may differ by what happened between them.
    progress is told the listings. Raises Rejected for a channel that does not exist, and for more
    rules than MOST_RULES.
    """
    buffers.take_time(connection)
    channels = exposure.channels(connection)
    check_channels(candidate, channels)
    comparison = _Comparison(connection, candidate.rows(), channels)
    effects: list[Effect] = []
    for listings in _pages(connection, comparison.channels):
        effects += comparison.effects(listings)
        progress(comparison.examined)
        if not comparison.complete:
            break
    effects.sort(key=lambda one: _rank(one.place))
    behind = [one for one in effects if after is None or _rank(one.place) > _rank(after)]
    page = behind[:limit]
    return Preview(
        examined=comparison.examined,
        changed=len(effects),
        raised=sum(max(0, one.change) for one in effects),
        lowered=sum(max(0, -one.change) for one in effects),
        complete=comparison.complete,
        notes=list(islice(_notes(candidate), MOST_NOTES)),
        items=page,
        next_place=page[-1].place if len(behind) > limit else None,
    )


class _Comparison:
    """Listings under the rules of now and those of a candidate, on one reading of the books."""

    def __init__(
        self,
        connection: Connection,
        candidate: Mapping[str, Sequence[Policy]],
        channels: Mapping[str, Way],
    ) -> None:
        self._connection = connection
        self._candidate = candidate
        self._ways = channels
        self._background: Background | None = None
        self._buffers_left = MOST_BUFFERS
        self.examined = 0
        self.complete = True
        # A fence changes what the other channels show.
        self.channels = sorted(channels if self._touches_fences() else candidate)

    def _touches_fences(self) -> bool:
        now = exposure.all_policies(self._connection, sorted(self._candidate))
        rows = [*now, *(row for some in self._candidate.values() for row in some)]
        return any(row.ring_fence for row in rows)

    def effects(self, listings: Sequence[Listing]) -> Iterator[Effect]:
        """The listings that would show another number."""
        if self.examined + len(listings) > MOST_LISTINGS:
            self.complete = False
            return
        parts = exposure.components(self._connection, listings)
        groups = {part.sku: part.sku_group for part in parts}
        rules = candidate_rules(self._connection, groups, self._candidate, self._ways)
        in_force = read_rules(self._connection, groups)
        now = read_by(self._connection, in_force, list(groups), also=rules)
        then = self._under(now, rules, parts)
        if then is None:
            return
        self.examined += len(listings)
        by_now, by_then = now.explain(listings, parts), then.explain(listings, parts)
        for key in listings:
            change = by_then[key].result - by_now[key].result
            if change:
                yield Effect(
                    channel=key[0],
                    listing=key[1],
                    now=by_now[key].result,
                    then=by_then[key].result,
                    change=change,
                    why_now=by_now[key],
                    why_then=by_then[key],
                )

    def _under(self, now: Reading, rules: Rules, parts: Sequence[Part]) -> Reading | None:
        """The same reading under the candidate's rules; None where it asks for too many buffers."""
        found = self._buffers(rules, parts)
        if found is None:
            return None
        both = {**now.buffers, **found}
        return Reading(rules, now.books, both, now.degraded, now.sold_twice)

    def _buffers(
        self, rules: Rules, parts: Sequence[Part]
    ) -> dict[tuple[str, str], RiskBuffer] | None:
        pairs = {
            (part.channel, part.sku)
            for part in parts
            if part.channel in self._candidate
            and rules.policy(part.channel, part.sku).buffer_risk is not None
        }
        self._buffers_left -= len(pairs)
        if self._buffers_left < 0:
            self.complete = False
            return None
        if not pairs:
            return {}
        self._background = self._background or read_background(self._connection)
        wanted = buffers.of_pairs(self._connection, pairs)
        computed = compute(self._connection, wanted, rules, background=self._background)
        return {(one.channel, one.sku): one.explained for one in computed}


def _pages(connection: Connection, channels: Sequence[str]) -> Iterator[list[Listing]]:
    """The active listings of these channels, a bounded number at once."""
    for channel in channels:
        after: Listing = (channel, "")
        while True:
            listed = exposure.listings_after(connection, after, AT_ONCE)
            mine = [one.key for one in listed if one.channel == channel]
            if mine:
                yield mine
            if len(mine) < AT_ONCE:
                break
            after = mine[-1]


def check_channels(candidate: PolicySet, channels: Mapping[str, Way]) -> None:
    """Raises Rejected for a channel of the set that does not exist, and for too many rules."""
    rules = sum(len(some) for some in candidate.channels.values())
    if rules > MOST_RULES:
        message = f"A set holds at most {MOST_RULES:,} rules; this has {rules:,}."
        raise Rejected("too_many", "channels", message)
    for channel in candidate.channels:
        if channel not in channels:
            near = did_you_mean(channel, channels) or f"there are: {', '.join(sorted(channels))}"
            raise Rejected(
                "unknown_channel", f"channels.{channel}", f"No channel {channel}; {near}"
            )


def _notes(candidate: PolicySet) -> Iterator[str]:
    for channel, policies in candidate.channels.items():
        for index, policy in enumerate(policies):
            given = {
                name: value
                for name, value in msgspec.structs.asdict(policy).items()
                if value != getattr(_DEFAULT, name)
            }
            for field, problem, fix in oddities(given):
                yield f"channels.{channel}[{index}].{field} {problem}: {fix}"


def _rank(place: Place) -> tuple[int, str, str]:
    return (-place.size, place.channel, place.listing)


_DEFAULT: Final = Policy()
