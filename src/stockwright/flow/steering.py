"""What operators do about a channel: pause it, let it go on, send it everything once more.

The console, the API and the command line all do it here. Each deed is in the change log, in the
transaction that does it. A pause is a row that every publisher reads under the lock of the
connection: once it is committed no call begins any more, in whichever process.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from stockwright.domain import levels as rules
from stockwright.domain import resync as resync_rules
from stockwright.domain.errors import Rejected
from stockwright.domain.resync import Estimate, Standings
from stockwright.store import attempts, connecting, levels, publishing
from stockwright.store.access import log_change
from stockwright.store.connection import Connection, Pool
from stockwright.store.links import Link, outgoing
from stockwright.store.publishing import Backlog, Spending

AT_ONCE: Final = 2_000
"""Levels that one transaction marks: a large channel must not hold up the projection."""
MAX_WHY: Final = 1_000


class Publishing(msgspec.Struct, frozen=True, kw_only=True):
    """How one channel's publication does: its link, what waits by lane, its connection's budget."""

    link: Link
    backlog: Backlog
    spending: Spending

    @property
    def channel(self) -> str:
        """The channel's code."""
        return self.link.facts.channel

    @property
    def is_told(self) -> bool:
        """Whether a connector sends anything to it; other channels ask the API."""
        return bool(self.link.facts.connector)


class ResyncPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a resync would do now. refused says why it may not be done, '' where it may.

    left_alone counts the levels that are not sent, by why. paused: nothing leaves until the channel
    is resumed, from when on the seconds count.
    """

    channel: str
    listings: int
    estimate: Estimate
    zeroes: int
    left_alone: dict[str, int]
    paused: bool
    refused: str = ""


class Resynced(msgspec.Struct, frozen=True, kw_only=True):
    """What a resync did: the plan as it was then, and how many levels it made due."""

    plan: ResyncPlan
    levels: int


def publications(connection: Connection) -> list[Publishing]:
    """How the publication of every channel does, by code."""
    return list(_publications(connection, ""))


def publication(connection: Connection, channel: str) -> Publishing:
    """How the publication of one channel does. Raises Rejected where there is none."""
    found = next(_publications(connection, channel), None) if channel else None
    if found is None:
        raise _unknown(channel)
    return found


def _publications(connection: Connection, channel: str) -> Iterator[Publishing]:
    backlogs = publishing.backlogs(connection, channel)
    spending = publishing.spending(connection)
    for link in outgoing(connection, channel):
        code, system = link.facts.channel, link.facts.system
        yield Publishing(
            link=link,
            backlog=backlogs.get(code, Backlog(channel=code)),
            spending=spending.get(system, Spending(system=system)),
        )


def pause(connection: Connection, channel: str, *, actor: str, why: str) -> bool:
    """Sends a channel nothing any more until it is resumed; False where it is paused already.

    Its levels go on being computed. A call that is under way comes to its end. Safe to repeat.
    Raises Rejected for a channel that is unknown or not told by a connector, or without a reason.
    """
    why = checked_reason(why)
    _lock(connection, channel)
    if not publishing.pause(connection, channel, actor=actor, why=why):
        return False
    log_change(connection, actor, "channel.pause", channel, {"why": why})
    return True


def resume(connection: Connection, channel: str, *, actor: str, why: str) -> bool:
    """Lets a channel go on: what differs by then is sent, and nothing else.

    False where it was not paused. A pause of its whole connection ends with it. Raises Rejected as
    `pause` does, and where its connection is not live yet.
    """
    why = checked_reason(why)
    system = _lock(connection, channel)
    if not publishing.resume(connection, channel, system):
        _check_live(connection, channel, system)
        return False
    log_change(connection, actor, "channel.resume", channel, {"why": why})
    levels.notify_channels(connection, [channel])
    return True


def plan_resync(connection: Connection, channel: str) -> ResyncPlan:
    """What a resync of a channel would do now. Changes nothing.

    Raises Rejected for a channel that is unknown or not told by a connector.
    """
    system = told_by(connection, channel)
    return _plan(connection, channel, system, publishing.standings(connection, channel))


def resync(pool: Pool, channel: str, *, actor: str, why: str) -> Resynced:
    """Makes every settled level of a channel due once more, in transactions of AT_ONCE levels.

    What differs goes first all the while. Safe to repeat: what is marked is not marked twice.
    Raises Rejected as `plan_resync` does, and where the channel's levels are not complete.
    """
    why = checked_reason(why)
    with pool.connection() as connection:
        system = told_by(connection, channel)
        standings = publishing.standings(connection, channel)
        resync_rules.check(standings)
        plan = _plan(connection, channel, system, standings)
        detail = {"why": why, "levels": standings.again, "calls": plan.estimate.calls}
        log_change(connection, actor, "channel.resync", channel, detail)
        marked, after = _mark(connection, channel, ("", ""))
    while after is not None:
        with pool.connection() as connection:
            more, after = _mark(connection, channel, after)
            marked += more
    return Resynced(plan=plan, levels=marked)


def _mark(
    connection: Connection, channel: str, after: tuple[str, str]
) -> tuple[int, tuple[str, str] | None]:
    """Makes due again what is settled of the next levels; answers how many, and where to go on."""
    keys, reached = publishing.again_after(connection, channel, after, AT_ONCE)
    found = levels.relock(connection, keys)
    now = levels.clock(connection)
    marked = [level for level in found if rules.send_again(level, now)]
    levels.write_levels(connection, marked)
    levels.notify_channels(connection, [channel])
    return len(marked), reached


def _plan(connection: Connection, channel: str, system: str, standings: Standings) -> ResyncPlan:
    pace = publishing.spending(connection, system).get(system, Spending(system=system)).pace
    (link,) = outgoing(connection, channel)
    return ResyncPlan(
        channel=channel,
        listings=standings.listings,
        estimate=resync_rules.estimate(standings.again, pace),
        zeroes=standings.zeroes,
        left_alone=standings.left_alone,
        paused=link.facts.paused,
        refused=_refusal(standings),
    )


def _refusal(standings: Standings) -> str:
    try:
        resync_rules.check(standings)
    except Rejected as refused:
        return refused.message
    return ""


def checked_reason(why: str) -> str:
    """The reason without blanks around it. Raises Rejected where it is none."""
    why = why.strip()
    if not 0 < len(why) <= MAX_WHY or "\x00" in why:
        message = f"Say why in 1 to {MAX_WHY:,} characters; it is kept in the change log."
        raise Rejected("malformed", "why", message)
    return why


def told_by(connection: Connection, channel: str) -> str:
    """The system behind a channel that a connector tells. Raises Rejected for any other."""
    found = publishing.find_channel(connection, channel)
    if found is None:
        raise _unknown(channel)
    system, is_told = found
    if not is_told:
        message = f"Nothing is sent to {channel}: its system asks the API, and names no connector."
        raise Rejected("malformed", "channel", message)
    return system


def _lock(connection: Connection, channel: str) -> str:
    """Locks the connection of a channel against publishers that would begin a call."""
    system = told_by(connection, channel)
    attempts.ensure_connection(connection, system, 1.0)
    attempts.lock_connection(connection, system)
    return system


def _check_live(connection: Connection, channel: str, system: str) -> None:
    """Raises Rejected where a channel is still because its connection is not live."""
    standing = connecting.standings(connection, system).get(system)
    if standing is not None and standing.stage != "live":
        message = (
            f"{channel} is not paused: its connection {system} is not live yet. See"
            f" `stockwright connection status {system}`."
        )
        raise Rejected("not_ready", "channel", message)


def _unknown(channel: str) -> Rejected:
    message = f"There is no channel {channel!r}; see /publications, or `stockwright publish list`."
    return Rejected("unknown_channel", "channel", message)
