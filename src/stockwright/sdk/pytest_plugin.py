"""The pytest plugin for those who write connectors: the contract suite runs and explains itself.

It loads with pytest wherever Stockwright is installed, so it imports nothing of it by itself.
"""

import inspect
import random
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from aiohttp.web import AbstractRouteDef

    from stockwright.sdk.hostile import HostilePartner

if "stockwright.sdk.contract" not in sys.modules:
    pytest.register_assert_rewrite("stockwright.sdk.contract", "stockwright.sdk.promises")


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: Any, obj: Any) -> None:
    """Marks the contract's coroutines, so that they run in pytest-asyncio's strict mode too.

    Before that plugin sees them: it chooses by the mark.
    """
    ours = getattr(getattr(collector, "cls", None), "is_connector_contract", False)
    if ours and inspect.iscoroutinefunction(obj):
        pytest.mark.asyncio(obj)


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
