"""Brings the database to what a configuration declares, and reads what it declares now."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from stockwright.domain.errors import Misconfigured, Rejected
from stockwright.domain.network import Channel, Network
from stockwright.store import queries
from stockwright.store.connection import Connection
from stockwright.store.master import lock_master, raise_revision, revision, save

_SQL: Final = queries.load("network")
_MASTER: Final = queries.load("master")


class Applied(Struct, frozen=True, kw_only=True):
    """What changed, by code. revision is the master revision from now on.

    disconnected are systems that are no longer declared: their connectors stop, and what is known
    of them stays for the ledger's sake.
    """

    revision: int
    systems: tuple[str, ...] = ()
    locations: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    disconnected: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """True where anything did."""
        return bool(self.systems or self.locations or self.channels or self.disconnected)


def apply_config(connection: Connection, network: Network) -> Applied:
    """Writes systems, locations, authorities, channels and policies; answers what changed.

    In the caller's transaction, and safe to repeat: the second time nothing changes. A network
    without any system, location or channel changes nothing, since an empty file is no order to
    forget all. Raises Misconfigured where the database already gives a code another meaning.
    """
    lock_master(connection)
    if not (network.systems or network.locations or network.channels):
        return Applied(revision=revision(connection))
    told_before = _changed(connection, "told_channels")
    systems = _changed(connection, "write_systems", rows=_rows(network.systems))
    declared = [system.code for system in network.systems]
    disconnected = _changed(connection, "disconnect_systems", declared=declared)
    # Pools first: a group may be left by its last location once no pool names it any more.
    channels = _apply_channels(connection, network.channels)
    locations = _apply_locations(connection, network)
    # A channel that begins or ends to be told of its levels has none that waits to be sent, or some
    # that wait for ever.
    told = {*told_before} ^ {*_changed(connection, "told_channels")}
    if told or channels:
        connection.execute(_MASTER["mark_channels"], {"channels": sorted({*told, *channels})})
    outcome = Applied(
        revision=0,
        systems=systems,
        locations=locations,
        channels=channels,
        disconnected=disconnected,
    )
    in_force = raise_revision(connection) if outcome.changed else revision(connection)
    return msgspec.structs.replace(outcome, revision=in_force)


def declare_gross(connection: Connection, connectors: Sequence[str]) -> tuple[str, ...]:
    """Notes which connectors' partners take gross numbers; the channels where that changed.

    Their levels are computed anew. In the caller's transaction, and safe to repeat.
    """
    lock_master(connection)
    changed = _changed(connection, "declare_gross", connectors=list(connectors))
    if changed:
        connection.execute(_MASTER["mark_channels"], {"channels": list(changed)})
    return changed


def _apply_locations(connection: Connection, network: Network) -> tuple[str, ...]:
    rows = [
        msgspec.structs.replace(place, authority=(), groups=tuple(sorted(set(place.groups))))
        for place in network.locations
    ]
    changed = set()
    for place, result in zip(rows, save(connection, "locations", rows), strict=True):
        if isinstance(result, Rejected):
            raise Misconfigured(f"locations.{place.code}.{result.field}", result.message)
        if result != "unchanged":
            changed.add(place.code)
    codes = [place.code for place in rows]
    authorities = [
        {"location": place.code, **msgspec.to_builtins(entry)}
        for place in network.locations
        for entry in place.authority
    ]
    given = _rows(authorities)
    changed |= {*_changed(connection, "remove_authorities", locations=codes, rows=given)}
    changed |= {*_changed(connection, "write_authorities", rows=given)}
    return tuple(sorted(changed))


def _apply_channels(connection: Connection, channels: Sequence[Channel]) -> tuple[str, ...]:
    policies = [
        {"channel": channel.code, "position": position, **msgspec.to_builtins(policy)}
        for channel in channels
        for position, policy in enumerate(channel.policies, start=1)
    ]
    codes = [channel.code for channel in channels]
    given = _rows(policies)
    changed = {*_changed(connection, "write_channels", rows=_rows(channels))}
    changed |= {*_changed(connection, "remove_policies", channels=codes, rows=given)}
    changed |= {*_changed(connection, "write_policies", rows=given)}
    return tuple(sorted(changed))


def partners(connection: Connection) -> dict[str, tuple[str, str]]:
    """The partner behind each channel: its system and connector, '' where none tells it."""
    rows = connection.execute(_SQL["partners"]).fetchall()
    return {channel: (system, connector) for channel, system, connector in rows}


def read_network(connection: Connection) -> Network:
    """The network as the database has it; as it was, within a visit of the past."""
    row = connection.execute(_SQL["network"]).fetchone()
    assert row is not None
    return msgspec.convert(row[0], Network)


def edited_last(connection: Connection, family: str, code: str) -> int:
    """The newest revision that touched a part of the network, 0 where none is known."""
    asked = {"family": family, "code": code}
    row = connection.execute(_SQL["edited_last"], asked).fetchone()
    assert row is not None
    return int(row[0] or 0)


def _rows(rows: Sequence[Any]) -> str:
    return msgspec.json.encode(rows).decode()


def _changed(connection: Connection, query: str, **parameters: Any) -> tuple[str, ...]:
    return tuple(sorted({code for (code,) in connection.execute(_SQL[query], parameters)}))


def location_codes(connection: Connection) -> list[str]:
    """The codes of all locations, sorted."""
    return [code for (code,) in connection.execute(_SQL["location_codes"])]
