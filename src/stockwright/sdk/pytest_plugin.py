"""The pytest plugin for those who write connectors: the contract suite runs and explains itself.

It loads with pytest wherever Stockwright is installed, so it imports nothing of it by itself.
"""

import inspect
import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from aiohttp.web import AbstractRouteDef

    from stockwright.sdk.hostile import HostilePartner

pytest.register_assert_rewrite("stockwright.sdk.contract")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the contract's coroutines, so that they run in pytest-asyncio's strict mode too."""
    for item in items:
        kind = getattr(item, "cls", None)
        if getattr(kind, "is_connector_contract", False) and inspect.iscoroutinefunction(
            getattr(item, "obj", None)
        ):
            item.add_marker(pytest.mark.asyncio)


@pytest.fixture
def hostile_partner() -> "Callable[[Sequence[AbstractRouteDef]], HostilePartner]":
    """Serves aiohttp routes on loopback with `faults` in front: `async with hostile_partner(...)`.

    See `stockwright.sdk.hostile` for what can be planned.
    """
    from stockwright.sdk.hostile import HostilePartner

    return HostilePartner


@pytest.fixture
def webhook_storm() -> Callable[..., list[Any]]:
    """`webhook_storm(messages, seed=1)`: the messages in any order, some of them several times."""
    from stockwright.sdk.hostile import storm

    def told(messages: Sequence[Any], seed: int = 1, copies: int = 3) -> list[Any]:
        return storm(messages, random.Random(seed), copies)

    return told
