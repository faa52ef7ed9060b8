"""What exposure policies apply to, who made them so, and what holds by them now."""

import datetime as dt
from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from stockwright.domain.network import ExposurePolicy
from stockwright.domain.risk import Inputs
from stockwright.store.arrays import texts
from stockwright.store.buffers import Stored
from stockwright.store.connection import Connection
from stockwright.store.history import Source
from stockwright.store.queries import load

UNMATCHED: Final = 0
"""In place of a position: what no row matches."""
_SQL: Final = load("policy_board")


class Reach(NamedTuple):
    """How many SKUs of active listings a row decides, and how many listings have one of them."""

    skus: int
    listings: int


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """A revision: who made a rule what it is, when, why, and by which way."""

    revision: int
    at: dt.datetime
    actor: str
    reason: str
    source: Source


class RuleChange(msgspec.Struct, frozen=True, kw_only=True):
    """What a revision made of the row at a position. before is None where it is new, after where
    it is gone.
    """

    position: int
    before: ExposurePolicy | None
    after: ExposurePolicy | None


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """A revision that changed a channel's rows, and the changes by position."""

    made: Made
    changes: Sequence[RuleChange]


class Held(NamedTuple):
    """Risk-bounded buffers of a channel: of how many SKUs, and base units in all."""

    skus: int
    units: int


def reach(connection: Connection) -> dict[tuple[str, int], Reach]:
    """What each row decides, by channel and position; UNMATCHED for what none does."""
    rows = connection.execute(_SQL["matches"])
    return {(channel, position): Reach(skus, listed) for channel, position, skus, listed in rows}


def made_so(connection: Connection, channels: Sequence[str]) -> dict[tuple[str, int], Made]:
    """Which revision made each row in force what it is, by channel and position."""
    rows = connection.execute(_SQL["made_so"], {"channels": texts(channels)})
    return {(row[0], row[1]): _made(row[2:]) for row in rows}


def past(connection: Connection, channel: str, limit: int = 20) -> list[Past]:
    """The newest revisions that changed a channel's rows, with what they changed."""
    asked = {"channel": channel, "limit": limit}
    made = [_made(row) for row in connection.execute(_SQL["revisions"], asked)]
    changed = {"channel": channel, "ids": [one.revision for one in made]}
    before: dict[int, dict[int, ExposurePolicy]] = {one.revision: {} for one in made}
    after: dict[int, dict[int, ExposurePolicy]] = {one.revision: {} for one in made}
    for since, until, position, row in connection.execute(_SQL["rows_of_revisions"], changed):
        rule = msgspec.convert(row, ExposurePolicy)
        after.get(since, {})[position] = rule
        if until is not None:
            before.get(until, {})[position] = rule
    return [
        Past(
            made=one,
            changes=[
                RuleChange(
                    position=position,
                    before=before[one.revision].get(position),
                    after=after[one.revision].get(position),
                )
                for position in sorted(before[one.revision].keys() | after[one.revision].keys())
            ],
        )
        for one in made
    ]


def rows_at(connection: Connection, channel: str, revision: int) -> list[ExposurePolicy]:
    """A channel's rows as of a revision, in order."""
    rows = connection.execute(_SQL["rows_at"], {"channel": channel, "revision": revision})
    return [msgspec.convert(row, ExposurePolicy) for (row,) in rows]


def held(connection: Connection) -> dict[str, Held]:
    """The risk-bounded buffers in force, by channel; one without any is missing."""
    rows = connection.execute(_SQL["buffers"])
    return {channel: Held(skus, units) for channel, skus, units in rows}


def largest_buffers(connection: Connection, channel: str, limit: int = 10) -> list[Stored]:
    """The largest risk-bounded buffers of a channel."""
    asked = {"channel": channel, "limit": limit}
    return [
        Stored(code, sku, units, msgspec.convert(inputs, Inputs))
        for code, sku, units, inputs in connection.execute(_SQL["largest_buffers"], asked)
    ]


def groups(connection: Connection, limit: int = 200) -> list[str]:
    """Groups of SKUs, by name."""
    return [group for (group,) in connection.execute(_SQL["groups"], {"limit": limit})]


def known_groups(connection: Connection, wanted: Collection[str]) -> set[str]:
    """Which of these are groups of SKUs."""
    rows = connection.execute(_SQL["known_groups"], {"groups": texts(sorted(wanted))})
    return {group for (group,) in rows}


def near_skus(connection: Connection, code: str) -> list[str]:
    """Some SKUs that stand next to a code in their order."""
    return [sku for (sku,) in connection.execute(_SQL["near_skus"], {"code": code})]


def _made(row: Sequence[Any]) -> Made:
    return Made(**dict(zip(Made.__struct_fields__, row, strict=True)))
