"""What the pages of rules show: channels, their rules, what they decide, who made them so."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from stockwright.domain.exposure import Policy
from stockwright.domain.network import Channel
from stockwright.domain.policy_words import sentence
from stockwright.domain.windows import Silence, sources_of
from stockwright.flow import configuring, trying
from stockwright.store import exposure, master, policy_board, policy_trials, positions, windows
from stockwright.store.buffers import Stored
from stockwright.store.connection import Connection
from stockwright.store.network import read_network
from stockwright.store.policy_board import UNMATCHED, Held, Made, Past, Reach
from stockwright.store.policy_trials import Trial
from stockwright.store.windows import Window

SHOWN: Final = 20
"""Rules of a channel that the page of all channels shows; its own page shows `MOST_ON_PAGE`."""
MOST_ON_PAGE: Final = 100
_NOTHING: Final = Reach(0, 0)


class RuleView(msgspec.Struct, frozen=True, kw_only=True):
    """A rule in force: the row, what it says, what it decides now, and who made it so."""

    policy: Policy
    says: str
    reach: Reach
    made: Made | None


class ChannelView(msgspec.Struct, frozen=True, kw_only=True):
    """A channel and its rules in order; more of them are not shown. places are its whole pool.

    publication and sources are the blind windows in force; silent says which source of the stock
    does not speak. unmatched is what no rule decides.
    """

    code: str
    system: str
    pool: Sequence[str]
    places: Sequence[str]
    demand_class: int
    allow_split: bool
    hold_s: int
    rules: Sequence[RuleView]
    more: int
    unmatched: Reach
    buffers: Held
    publication: Window | None
    sources: Sequence[Window]
    silent: str


class PoliciesPage(msgspec.Struct, frozen=True, kw_only=True):
    """Every channel. revision is the last one of the configuration; silent are the sources that do
    not speak, by system.
    """

    at: dt.datetime
    revision: int
    silent: Mapping[str, Silence]
    channels: Sequence[ChannelView]


class ChannelPage(msgspec.Struct, frozen=True, kw_only=True):
    """One channel, with its largest buffers, what changed its rules, and the newest trials."""

    at: dt.datetime
    revision: int
    channel: ChannelView
    largest_buffers: Sequence[Stored]
    past: Sequence[Past]
    trials: Sequence[Trial]


class Reaches:
    """What the rules decide, counted once for each revision of the master data.

    Any change of items, listings or rules raises that; the count takes about a second where
    100,000 listings are sold.
    """

    def __init__(self) -> None:
        self._known: tuple[int, dict[tuple[str, int], Reach]] = (-1, {})

    def read(self, connection: Connection) -> Mapping[tuple[str, int], Reach]:
        """By channel and position, of all channels; the connection reads one moment."""
        revision = master.revision(connection)
        known, found = self._known
        if known != revision:
            found = policy_board.reach(connection)
            self._known = (revision, found)
        return found


def read_all(connection: Connection, reaches: Reaches) -> PoliciesPage:
    """Every channel."""
    now = positions.moment(connection)
    return PoliciesPage(
        at=now,
        revision=configuring.newest(connection),
        silent=windows.degraded(connection),
        channels=_views(connection, read_network(connection).channels, reaches, SHOWN),
    )


def read_one(connection: Connection, code: str, reaches: Reaches) -> ChannelPage:
    """One channel. Raises Rejected (not_found)."""
    channel = trying.channel_of(read_network(connection), code)
    (view,) = _views(connection, [channel], reaches, MOST_ON_PAGE)
    return ChannelPage(
        at=positions.moment(connection),
        revision=configuring.newest(connection),
        channel=view,
        largest_buffers=policy_board.largest_buffers(connection, code),
        past=policy_board.past(connection, code),
        trials=policy_trials.newest(connection, code),
    )


def _views(
    connection: Connection, channels: Sequence[Channel], reaches: Reaches, most: int
) -> list[ChannelView]:
    codes = [channel.code for channel in channels]
    rows: dict[str, list[Policy]] = {code: [] for code in codes}
    for row in exposure.all_policies(connection, codes):
        rows[row.channel].append(row)
    reach = reaches.read(connection)
    made = policy_board.made_so(connection, codes)
    held = policy_board.held(connection)
    pools = {code: way.pool for code, way in exposure.channels(connection).items()}
    blind = _Blind(connection, pools)
    return [
        ChannelView(
            code=channel.code,
            system=channel.system,
            pool=channel.pool,
            places=pools[channel.code],
            demand_class=channel.demand_class,
            allow_split=channel.allow_split,
            hold_s=channel.hold_s,
            rules=[
                RuleView(
                    policy=row,
                    says=sentence(row),
                    reach=reach.get((channel.code, row.position), _NOTHING),
                    made=made.get((channel.code, row.position)),
                )
                for row in rows[channel.code][:most]
            ],
            more=max(0, len(rows[channel.code]) - most),
            unmatched=reach.get((channel.code, UNMATCHED), _NOTHING),
            buffers=held.get(channel.code, Held(0, 0)),
            publication=blind.publication(channel.code),
            sources=blind.sources(channel.code),
            silent=blind.silent.get(channel.code, ""),
        )
        for channel in channels
    ]


class _Blind:
    """The blind windows in force, by channel, and who is silent."""

    def __init__(self, connection: Connection, pools: Mapping[str, Sequence[str]]) -> None:
        self._windows = windows.windows(connection)
        self._pools = pools
        self._systems = {one.channel: one.system for one in windows.channels(connection)}
        self._speakers = windows.speakers(connection)
        self.silent = windows.degraded_channels(connection, pools)

    def publication(self, channel: str) -> Window | None:
        """How long the channel goes on showing an old number."""
        return self._windows.get((channel, ""))

    def sources(self, channel: str) -> list[Window]:
        """For how long sales of each source may be unknown to us, the longest first."""
        names = sources_of(channel, self._systems, self._pools, self._speakers)
        found = [self._windows[channel, one] for one in names if (channel, one) in self._windows]
        return sorted(found, key=lambda one: (-one.seconds, one.source))
