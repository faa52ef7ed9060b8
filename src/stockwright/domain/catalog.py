"""The part of the item master and configuration that the ledger decides with, as plain values."""

import datetime as dt
from collections.abc import Mapping, Sequence

import msgspec

from stockwright.domain.exposure import Policy

MOVEMENT_GROUPS = ("inbound", "outbound", "internal", "count", "pos")


class Sku(msgspec.Struct, frozen=True):
    """One canonical item. factors: base units held by each other unit of measure."""

    code: str
    group: str = ""
    base_unit: str = "EA"
    control: str = "none"
    factors: dict[str, int] = {}


class Location(msgspec.Struct, frozen=True):
    """One place. feed says whether movements or snapshots are its truth."""

    code: str
    feed: str = "movement"
    time_zone: str = "UTC"
    priority: int = 100


class Channel(msgspec.Struct, frozen=True):
    """One seller. pool: its places in order of priority, then code.

    degraded says which source of its stock is silent, '' where none is.
    """

    code: str
    system: str
    pool: tuple[str, ...]
    allow_split: bool = True
    hold_s: int = 900
    policies: tuple[Policy, ...] = ()
    demand_class: int = 100
    degraded: str = ""


class System(msgspec.Struct, frozen=True):
    """One partner system and how its statements are to be read."""

    code: str
    clock_error_s: float = 0.0
    snapshot_basis: str = "gross"
    revisions: str = "increment"


class Catalog(msgspec.Struct):
    """All of it. SKUs and bindings are those the batch names; the rest is whole.

    authorities: per (location, movement group) the systems in force, sorted by their start.
    bindings: per (system, partner code) the SKU and, where declared, the unit.
    places: per (system, partner code) the location. owed: SKUs of which order lines may be owed
    units. has_fences: open claims by channel decide: there are ring-fences, or a cap is in force.
    """

    skus: Mapping[str, Sku]
    locations: Mapping[str, Location]
    channels: Mapping[str, Channel]
    systems: Mapping[str, System]
    authorities: Mapping[tuple[str, str], Sequence[tuple[dt.datetime, str]]]
    bindings: Mapping[tuple[str, str], tuple[str, str]]
    places: Mapping[tuple[str, str], str] = {}
    owed: frozenset[str] = frozenset()
    has_fences: bool = False

    def __post_init__(self) -> None:
        self.has_fences = any(
            policy.ring_fence or (channel.degraded and policy.degraded_cap is not None)
            for channel in self.channels.values()
            for policy in channel.policies
        )

    @property
    def pools(self) -> dict[str, tuple[str, ...]]:
        """The places of every channel."""
        return {code: channel.pool for code, channel in self.channels.items()}

    def authority(self, location: str, group: str, at: dt.datetime) -> str:
        """The system that may record these movements there at that time; '' where none is
        declared.
        """
        holder = ""
        for valid_from, system in self.authorities.get((location, group), ()):
            if valid_from <= at:
                holder = system
        return holder

    def place(self, system: str, code: str) -> str:
        """The location a code stands for: canonical as it is, or bound for this system; else the
        code.
        """
        if code in self.locations:
            return code
        return self.places.get((system, code), code)
