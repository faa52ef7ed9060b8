"""Which connectors there are, and what each says about its settings."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from stockwright.config.locator import Path
from stockwright.domain.errors import Misconfigured
from stockwright.sdk.connector import Connector

OURS: Final[Mapping[str, str]] = {
    "json_http": "stockwright.connectors.json_http",
    "csv_drop": "stockwright.connectors.csv_drop",
    "woocommerce": "stockwright.connectors.woocommerce",
    "shopify": "stockwright.connectors.shopify",
    "amazon": "stockwright.connectors.amazon",
    "pos_file": "stockwright.connectors.pos_file",
    "bigcommerce": "stockwright.connectors.bigcommerce",
    "magento": "stockwright.connectors.magento",
    "nats": "stockwright.connectors.nats",
    "rabbitmq": "stockwright.connectors.rabbitmq",
    "kafka": "stockwright.connectors.kafka",
    "tryton": "stockwright.connectors.tryton",
    "medusa": "stockwright.connectors.medusa",
}
ENTRY_POINTS: Final = "stockwright.connectors"
"""Where other packages announce theirs: an entry point by the connector's name."""
_STEP: Final = re.compile(r'\[(\d+)\]|"([^"]*)"|([^.\[\]"]+)')


def connector_names() -> list[str]:
    """Every connector that is installed, ours first."""
    return [*OURS, *_others()]


def find_connector(name: str) -> Connector[Any] | None:
    """The connector of this name, ours or another package's; None where there is none."""
    if name in OURS:
        found = import_module(OURS[name]).CONNECTOR
    elif name in (others := _others()):
        found = _loaded(name, others[name])
    else:
        return None
    if not isinstance(found, Connector):
        raise Misconfigured(name, f"{name} is no Connector; let its entry point name one")
    if found.declaration.name != name:
        declared = found.declaration.name
        raise Misconfigured(name, f"declares itself as {declared}; announce it by that name")
    return found


def usable_connectors() -> Iterator[Connector[Any]]:
    """Every connector that can be loaded, ours first; `stockwright lint` tells of the others."""
    for name in connector_names():
        with suppress(Misconfigured):
            found = find_connector(name)
            if found is not None:
                yield found


def _loaded(name: str, entry: EntryPoint) -> Any:
    """What another package announces. Raises Misconfigured where it cannot be loaded."""
    try:
        return entry.load()
    except (Exception, SystemExit) as fault:
        package = entry.dist.name if entry.dist else entry.value
        why = f"of {package} cannot be loaded: {type(fault).__name__}: {fault}; mend or remove it"
        raise Misconfigured(name, why) from fault


def _others() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}


def settings_problems(
    connector: Connector[Any], settings: Mapping[str, Any]
) -> Iterator[tuple[Path, str, str]]:
    """What the connector's declaration finds wrong: path inside settings, problem, fix."""
    for problem in connector.declaration.problems(settings):
        path = tuple(int(n) if n else key or name for n, key, name in _STEP.findall(problem.field))
        what, _, fix = problem.message.partition("; ")
        name = connector.declaration.name
        yield path, what, fix or f"`stockwright connector show {name}` lists its settings"
