"""The tests every connector passes, in this repository or outside.

    TestMyPartner = contract.suite(CONNECTOR, settings={...})

pytest runs the class (with pytest-asyncio, for the verbs; our plugin marks them). Cases are JSON
files in the connector's `cases` folder: {"about", "settings", "time_zone", "headers",
"body" | "json", "expected": [{"place", "item" | "failure"}]}. Those of what goes out have our own
message instead, {"out": {"levels": [...]} | {"type": "shipment", ...}}, and expect
[{"to", "json" | "text", "lost"}] or [{"failure"}].
"""

from collections.abc import Mapping
from typing import Any, Protocol

from stockwright.sdk.connector import Connector
from stockwright.sdk.promises import (
    cases,
    declarations,
    documents,
    levels,
    polls,
    snapshots,
    webhooks,
)
from stockwright.sdk.promises.trial import Test, Trial
from stockwright.sdk.reference import verbs_of
from stockwright.sdk.verbs import Publishes, Submits


class Partner(Protocol):
    """A sandbox, as far as the contract uses it.

    `refused` and `collect` are looked for. One that says HAS_FAULTS has `faults`, with `keep` where
    it is read back, and `happen()`, which may be a coroutine: one thing that a poll tells. One that
    is only asked has no `shown` and no `show`.
    """

    async def start(self) -> str:
        """Begins to answer."""
        ...

    async def stop(self) -> None:
        """Ends it."""
        ...

    def settings(self) -> dict[str, Any]:
        """What a connection to it is configured with."""
        ...

    def shown(self, listing: str) -> int | None:
        """What it shows now."""
        ...

    def show(self, listing: str, quantity: int) -> None:
        """Somebody edits the number there, behind our back."""
        ...


def suite(connector: Connector[Any], settings: Mapping[str, Any]) -> type:
    """A class of tests for a connector. settings are valid ones, and short time-outs."""
    trial = Trial(connector, settings)
    tests: dict[str, Any] = {"is_connector_contract": True}
    tests |= {**declarations.declared(trial), **cases.as_expected(trial)}
    if connector.sandbox is not None:
        tests |= _met(trial)
    return type(f"Contract{connector.declaration.name.title()}", (), tests)


def _met(trial: Trial) -> dict[str, Test]:
    """The tests against the sandbox, of the verbs that there are and that it can be asked about."""
    verbs, sandbox = verbs_of(trial.connector), trial.connector.sandbox
    connection = trial.connect()
    tests = polls.polled(trial)
    # A connection that shows levels nowhere is held to what it reads.
    tests |= levels.published(trial) if isinstance(connection, Publishes) else polls.read(trial)
    if trial.connector.declaration.capabilities.compare_and_set:
        tests |= levels.compared(trial)
    if "receive" in verbs and hasattr(sandbox, "deliver"):
        tests |= webhooks.received(trial)
    if "snapshot" in verbs and hasattr(sandbox, "show"):
        tests |= snapshots.counted(trial)
    if isinstance(connection, Submits):
        tests |= documents.of_nobody(trial)
    if "submit" in verbs and hasattr(sandbox, "ordered"):
        tests |= documents.submitted(trial)
    if "follow" in verbs and getattr(sandbox, "TAKES_JOBS", False):
        tests |= documents.followed(trial)
    return tests
