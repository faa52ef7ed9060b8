"""Connectors by name, and the connections that are open in this process."""

import hashlib
from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from stockwright.config import connectors, resolve_secret
from stockwright.config.secrets import is_reference
from stockwright.domain.codes import did_you_mean
from stockwright.domain.errors import Misconfigured
from stockwright.domain.network import Network, System
from stockwright.flow.connecting import channels_of
from stockwright.flow.partner_plans import SharedBuckets
from stockwright.sdk.connector import Connector, Opening
from stockwright.sdk.pacing import OwnBuckets
from stockwright.sdk.verbs import Connection
from stockwright.store.connection import Pool


def find_connector(name: str, setting: str = "connector") -> Connector[Any]:
    """The connector of this name, ours or another package's. Raises Misconfigured."""
    found = connectors.find_connector(name)
    if found is None:
        known = connectors.connector_names()
        near = did_you_mean(name, known)
        there = f"{near} There are" if near else "there are"
        message = f"There is no connector {name!r}; {there} {', '.join(known)}. One of another"
        raise Misconfigured(
            setting, f"{message} package must be installed where this process runs."
        )
    return found


def gross_connectors(names: Iterable[str]) -> list[str]:
    """Those of these connectors whose partners subtract their own open orders from a level."""
    return sorted(name for name in {*names} if name and _is_gross(name))


def _is_gross(name: str) -> bool:
    try:
        found = connectors.find_connector(name)
    except Misconfigured:
        return False  # told where it is opened, which fails as well
    return found is not None and found.declaration.capabilities.levels_are == "gross"


class Asked(NamedTuple):
    """All of the configuration that a connection is opened and run with; equal where nothing of it
    changed.
    """

    system: System
    channels: tuple[str, ...]


class Opened(NamedTuple):
    """An open connection, what asked for it, and a digest of every secret by its reference."""

    asked: Asked
    connection: Connection
    secrets: Mapping[str, str]


class OpenConnections(Mapping[str, Connection]):
    """The open connections by system. Any thread may read while one loop replaces them."""

    def __init__(self, connections: Mapping[str, Connection] | None = None) -> None:
        self._held = dict(connections or {})

    def __getitem__(self, system: str) -> Connection:
        return self._held[system]

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)

    def items(self) -> ItemsView[str, Connection]:
        """As they are now: what is replaced meanwhile changes nothing of it."""
        return self._held.items()

    def put(self, system: str, connection: Connection) -> None:
        """From now on this one speaks for the system."""
        self._held = self._held | {system: connection}

    def drop(self, system: str) -> None:
        """From now on none speaks for the system."""
        self._held = {code: one for code, one in self._held.items() if code != system}


def asked_of(network: Network) -> dict[str, Asked]:
    """What the configuration asks for: every system that names a connector, by its code."""
    return {
        one.code: Asked(
            System(
                code=one.code,
                role=one.role,
                connector=one.connector,
                settings=one.settings,
                time_zone=one.time_zone,
                criticality=one.criticality,
            ),
            channels_of(network, one.code),
        )
        for one in network.systems
        if one.connector
    }


def open_asked(
    asked: Asked, secret: Callable[[str], str] = resolve_secret, *, pool: Pool | None = None
) -> Opened:
    """Opens a connection; with `pool` it keeps its partner's plans together with other processes.

    Nothing is sent yet. Raises Misconfigured with the setting at fault.
    """
    secrets: dict[str, str] = {}

    def noted(reference: str) -> str:
        found = secret(reference)
        secrets[reference] = _digest(found)
        return found

    connection = open_connection(asked.system, noted, pool=pool)
    return Opened(asked, connection, secrets)


def is_current(opened: Opened, asked: Asked, secret: Callable[[str], str] = resolve_secret) -> bool:
    """Whether a connection is what is asked for now, its secrets included.

    Raises Misconfigured where one of its secrets is gone.
    """
    return opened.asked == asked and all(
        _digest(secret(reference)) == known for reference, known in opened.secrets.items()
    )


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def open_connection(
    system: System, secret: Callable[[str], str] = resolve_secret, *, pool: Pool | None = None
) -> Connection:
    """One system's connection; see open_asked. Raises Misconfigured."""
    where = f"systems.{system.code}"
    connector = find_connector(system.connector, f"{where}.connector")
    try:
        settings = connector.declaration.parse_settings(
            system.settings, secret, where=f"{where}.settings"
        )
    except Misconfigured as failure:
        raise _by_its_setting(failure, system) from None
    return connector.open(
        Opening(
            system=system.code,
            time_zone=system.time_zone,
            buckets=OwnBuckets() if pool is None else SharedBuckets(pool, system.code),
        ),
        settings,
    )


def _by_its_setting(failure: Misconfigured, system: System) -> Misconfigured:
    """The same, named by the setting that refers to the secret, where a secret is at fault."""
    if not is_reference(failure.setting):
        return failure
    names = [
        name
        for name, value in system.settings.items()
        if value == failure.setting or (isinstance(value, list) and failure.setting in value)
    ]
    if not names:
        return failure
    return Misconfigured(f"systems.{system.code}.settings.{names[0]}", f"{names[0]}: {failure}")
