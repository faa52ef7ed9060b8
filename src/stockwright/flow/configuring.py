"""The configuration: the database is the truth, and a file or a program changes it by revisions.

What is applied is read first and compared, in one transaction that holds the lock of the master
data: what a plan shows is what an application does, unless somebody else came between.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from stockwright.domain import levels as rules
from stockwright.domain.errors import Misconfigured, Rejected
from stockwright.domain.network import Network
from stockwright.domain.network_changes import (
    Difference,
    differences,
    lost_names,
    merged,
    normal,
    only_in,
    overlaid,
    part_name,
    parts,
)
from stockwright.store import connecting, history, levels, past
from stockwright.store.access import log_change
from stockwright.store.connection import Connection
from stockwright.store.history import Revision, Said
from stockwright.store.master import lock_master
from stockwright.store.network import apply_config, edited_last, partners, read_network
from stockwright.telemetry import hide_in

SUBJECTS: Final = (
    *("system", "location", "location_group", "authority"),
    *("channel", "exposure_policy"),
)
"""The tables that a configuration is kept in."""
AT_ONCE: Final = 2_000
"""Levels that are held in memory at one time."""
AT_START: Final = Said(actor="startup", source="file", reason="startup")


class Edited(Struct, frozen=True, kw_only=True):
    """A part that was edited at run time since the file was last read, and the last edit of it."""

    name: str
    by: Revision


class Plan(Struct, frozen=True, kw_only=True):
    """Where the database and a configuration differ.

    revision is the last one that touched the configuration, file_revision the last one that read a
    file in, None where none did. differences are what applying it would change; edited are the
    parts among them that a start leaves as they are; only_in_database stay whatever is applied.
    """

    revision: int
    file_revision: int | None
    differences: tuple[Difference, ...]
    edited: tuple[Edited, ...]
    only_in_database: tuple[str, ...]


class Applied(Struct, frozen=True, kw_only=True):
    """What was changed; revision is None where nothing was."""

    revision: int | None
    changes: tuple[Difference, ...]


class Started(Struct, frozen=True, kw_only=True):
    """What a start changed, and where file and database still differ."""

    applied: Applied
    plan: Plan


def network_of(network: Network) -> Network:
    """The systems, locations and channels alone, in one order."""
    return normal(network)


def is_empty(network: Network) -> bool:
    """An empty file is no order to forget all."""
    return not (network.systems or network.locations or network.channels)


def plan(connection: Connection, wanted: Network) -> Plan:
    """What applying a whole configuration would change; changes nothing."""
    database = read_network(connection)
    read_in = _last_file(connection)
    whole = _with_unnamed(connection, database, wanted)
    held = merged(read_in[1], database, whole)[1] if read_in else ()
    named = {part_name(key): key for key in parts(database)}
    return Plan(
        revision=newest(connection),
        file_revision=read_in[0] if read_in else None,
        differences=() if is_empty(wanted) else differences(database, whole),
        edited=tuple(
            Edited(
                name=name, by=history.revision(connection, edited_last(connection, *named[name]))
            )
            for name in held
        ),
        only_in_database=only_in(database, wanted),
    )


def plan_edits(connection: Connection, edits: Network) -> tuple[Difference, ...]:
    """What applying some parts would change; the others are left alone. Raises as applying does."""
    database = read_network(connection)
    wanted = overlaid(database, edits)
    _check_names(database, wanted)
    return differences(database, wanted, complete=False)


def newest(connection: Connection) -> int:
    """The last revision that touched the configuration; 0 where none did."""
    found = history.revisions(connection, limit=1, subjects=SUBJECTS)
    return found[0].id if found else 0


def apply_file(connection: Connection, file: Network, said: Said) -> Applied:
    """Makes the database what a file says; the file counts as read in, run-time edits give way.

    In the caller's transaction, and safe to repeat. Raises Misconfigured as `apply_config` does,
    and where a channel would lose what it sells from.
    """
    lock_master(connection)
    history.said_by(connection, said)
    changes = _bring(connection, _with_unnamed(connection, read_network(connection), file))
    read_in = _last_file(connection)
    if not changes and read_in and read_in[1] == network_of(file):
        return Applied(revision=None, changes=())
    made = history.own_revision(connection, network_of(file))
    return _logged(connection, said, "config.apply", made, changes)


def start_with(connection: Connection, file: Network, said: Said = AT_START) -> Started:
    """What a start does with its file: applies what changed in it since it was last read in.

    Parts that were edited at run time stay as they are, and the plan tells of them.
    """
    lock_master(connection)
    if is_empty(file):
        return Started(applied=Applied(revision=None, changes=()), plan=plan(connection, file))
    history.said_by(connection, said)
    applied = _start(connection, file, said)
    return Started(applied=applied, plan=plan(connection, file))


def _start(connection: Connection, file: Network, said: Said) -> Applied:
    read_in = _last_file(connection)
    if read_in is None:
        return apply_file(connection, file, said)
    if read_in[1] == network_of(file):
        return Applied(revision=None, changes=())
    database = read_network(connection)
    wanted, _held = merged(read_in[1], database, _with_unnamed(connection, database, file))
    changes = _bring(connection, wanted)
    made = history.own_revision(connection, network_of(file))
    return _logged(connection, said, "config.apply", made, changes)


def apply_edits(
    connection: Connection, edits: Network, said: Said, *, if_revision: int | None = None
) -> Applied:
    """Makes some parts what a program says; the others are left alone.

    With if_revision nothing is done unless that is still the newest revision of the configuration:
    raises Rejected (outdated).
    """
    lock_master(connection)
    last = newest(connection)
    if if_revision not in (None, last):
        message = f"The configuration is at revision {last} by now; look at it and plan again."
        raise Rejected("outdated", "if_revision", message)
    database = read_network(connection)
    history.said_by(connection, said)
    changes = _bring(connection, overlaid(database, edits), complete=False)
    return _made(connection, said, "config.apply", changes)


def roll_back(connection: Connection, number: int, said: Said) -> Applied:
    """Makes the configuration what it was as of a revision, by a new one.

    Parts that came later stay; systems among them are disconnected. Raises Rejected (not_found).
    """
    lock_master(connection)
    wanted = network_at(connection, number)
    if is_empty(wanted):
        message = f"There was no configuration yet at revision {number}; name a later one."
        raise Rejected("malformed", "revision", message)
    history.said_by(connection, said)
    changes = _bring(connection, wanted)
    return _made(connection, said, "config.rollback", changes, to=number)


def network_at(connection: Connection, number: int) -> Network:
    """The configuration as of a revision. Raises Rejected (not_found)."""
    found = history.revision(connection, number)
    moment = past.Moment(at=found.at, sequence=0, revision=number)
    with past.visit(connection, moment):
        return normal(read_network(connection))


def _bring(
    connection: Connection, wanted: Network, *, complete: bool = True
) -> tuple[Difference, ...]:
    database = read_network(connection)
    if is_empty(wanted):
        return ()
    _check_names(database, overlaid(database, wanted))
    changes = differences(database, wanted, complete=complete)
    before = partners(connection)
    apply_config(connection, wanted)
    for channel, partner in sorted(partners(connection).items()):
        if partner[1] and before.get(channel, partner) != partner:
            _forget_shown(connection, channel)
    return changes


def _forget_shown(connection: Connection, channel: str) -> None:
    """Another partner speaks for a channel, or one again that did not: all of it is to be sent."""
    now, place = levels.clock(connection), ("", "")
    while some := levels.next_of_channel(connection, channel, place, AT_ONCE):
        for level in some:
            rules.forget(level, now)
        levels.write_levels(connection, some)
        place = some[-1].listing, some[-1].location
    levels.notify_channels(connection, [channel])


def _with_unnamed(connection: Connection, database: Network, file: Network) -> Network:
    """The file, and the systems that were connected by steps and that no file has named so far.

    Its silence says nothing of those. One that the file named once is disconnected by its leaving.
    """
    if is_empty(file):
        return file
    read_in = _last_file(connection)
    files = [file, *([read_in[1]] if read_in else [])]
    named = {system.code for one in files for system in one.systems}
    by_steps = connecting.standings(connection)
    unnamed = [one for one in database.systems if one.code in by_steps and one.code not in named]
    return replace(file, systems=(*file.systems, *unnamed)) if unnamed else file


def _check_names(before: Network, after: Network) -> None:
    """Keeps channels from losing what they sell from: each would show nothing at all.

    Raises Misconfigured. Rules over one file or body cannot see it: the pool may be another's.
    """
    for field, name in lost_names(before, after):
        message = f"Names {name}, which would be no location or group any more: "
        raise Misconfigured(field, message + "change the pool first, or keep the group.")


def _made(
    connection: Connection,
    said: Said,
    action: str,
    changes: tuple[Difference, ...],
    **detail: Any,
) -> Applied:
    if not changes:
        return Applied(revision=None, changes=())
    return _logged(connection, said, action, history.own_revision(connection), changes, **detail)


def _logged(
    connection: Connection,
    said: Said,
    action: str,
    made: int,
    changes: tuple[Difference, ...],
    **detail: Any,
) -> Applied:
    told = hide_in(
        [{"field": one.field, "before": one.database, "after": one.wanted} for one in changes]
    )
    about = {"reason": said.reason, "changes": told} | detail
    log_change(connection, said.actor, action, f"revision {made}", about)
    return Applied(revision=made, changes=changes)


def _last_file(connection: Connection) -> tuple[int, Network] | None:
    found = history.last_content(connection)
    return None if found is None else (found[0], normal(msgspec.convert(found[1], Network)))
