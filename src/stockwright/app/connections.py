"""Connectors by name, and the connections the configuration asks for."""

from collections.abc import Callable, Iterable
from typing import Any

from stockwright.config import Config, connectors, resolve_secret
from stockwright.domain.codes import did_you_mean
from stockwright.domain.errors import Misconfigured
from stockwright.domain.network import System
from stockwright.sdk.connector import Connector, Opening
from stockwright.sdk.verbs import Connection


def find_connector(name: str, setting: str = "connector") -> Connector[Any]:
    """The connector of this name, ours or another package's. Raises Misconfigured."""
    found = connectors.find_connector(name)
    if found is None:
        known = connectors.connector_names()
        hint = did_you_mean(name, known) or f"there are {', '.join(known)}"
        raise Misconfigured(setting, f"There is no connector {name!r}; {hint}.")
    return found


def gross_connectors(names: Iterable[str]) -> list[str]:
    """Those of these connectors whose partners subtract their own open orders from a level."""
    found = {name: connectors.find_connector(name) for name in names if name}
    return sorted(
        name
        for name, one in found.items()
        if one is not None and one.declaration.capabilities.levels_are == "gross"
    )


def open_connections(
    config: Config, secret: Callable[[str], str] = resolve_secret
) -> dict[str, Connection]:
    """A connection for every system that names a connector, by the system's code.

    Nothing is sent yet. Raises Misconfigured with the setting at fault.
    """
    return {
        system.code: open_connection(system, secret)
        for system in config.systems
        if system.connector
    }


def open_connection(system: System, secret: Callable[[str], str] = resolve_secret) -> Connection:
    """One system's connection. Raises Misconfigured."""
    where = f"systems.{system.code}"
    connector = find_connector(system.connector, f"{where}.connector")
    settings = connector.declaration.parse_settings(
        system.settings, secret, where=f"{where}.settings"
    )
    return connector.open(Opening(system=system.code, time_zone=system.time_zone), settings)
