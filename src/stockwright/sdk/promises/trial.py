"""How a connector is tried: by its settings alone, or against its sandbox."""

import asyncio
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from stockwright.sdk.connector import Connector, Opening
from stockwright.sdk.hostile import Fault, FaultKind
from stockwright.sdk.messages import LevelKey, LevelToSend, PublishResult, Retry
from stockwright.sdk.secrets import resolve_secret
from stockwright.sdk.verbs import Connection

Test = Callable[[object], Any]
MOST_TURNS: Final = 8
LONGEST_TURN_S: Final = 5.0
SILENCE_S: Final = 0.5
LONGEST_SLOW_S: Final = 3.0


class Trial(NamedTuple):
    """A connector, and settings that are valid for it."""

    connector: Connector[Any]
    settings: Mapping[str, Any]

    @property
    def has_faults(self) -> bool:
        """Whether its sandbox can be told to misbehave."""
        return bool(getattr(self.connector.sandbox, "HAS_FAULTS", False))

    def connect(self, given: Mapping[str, Any] | None = None, time_zone: str = "UTC") -> Connection:
        """A connection by its settings, or by those that are given."""
        asked = self.settings if given is None else given
        settings = self.connector.declaration.parse_settings(asked, resolve_secret)
        return self.connector.open(Opening(system="partner", time_zone=time_zone), settings)

    def meet(self) -> "Meeting":
        """A fresh meeting with the sandbox."""
        return Meeting(self)


class Meeting:
    """A connection and the sandbox it talks to, for the length of one test."""

    def __init__(self, trial: Trial) -> None:
        assert trial.connector.sandbox is not None
        self._trial = trial
        self.partner: Any = trial.connector.sandbox()
        self.connection: Any = None

    async def __aenter__(self) -> "Meeting":
        await self.partner.start()
        given = {**self._trial.settings, **self.partner.settings()}
        self.connection = self._trial.connect(given)
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.connection.close()
        await self.partner.stop()

    def fault(self, kind: FaultKind) -> Fault:
        """One spoilt answer. `slow` is too late, where the connection's patience is short."""
        too_late_s = min(self.connection.limits.timeout_s + SILENCE_S, LONGEST_SLOW_S)
        return Fault(kind=kind, seconds=too_late_s if kind == "slow" else SILENCE_S)

    async def publish_once(self, quantity: int, version: int) -> list[PublishResult]:
        """Sends three levels of that quantity; the results."""
        levels = [
            LevelToSend(channel="partner", listing=name, quantity=quantity, version=version)
            for name in ("L-1", "L-2", "L-3")
        ]
        results = list(await self.connection.publish(levels))
        assert len(results) == len(levels), "one result for each level, aligned"
        return results

    async def publish(self, quantity: int, version: int) -> list[PublishResult]:
        """The same, and again for as long as the partner's plan has no call left: on its way a call
        may lose its distance to the one before.
        """
        for _ in range(MOST_TURNS):
            results = await self.publish_once(quantity, version)
            waits = [one.retry_after_s for one in results if isinstance(one, Retry)]
            if not waits:
                break
            await asyncio.sleep(min(max(waits), LONGEST_TURN_S))
        return results

    async def read_back(self) -> list[int | None]:
        """What the connection reads back for the three."""
        keys = [LevelKey(listing=name) for name in ("L-1", "L-2", "L-3")]
        return [one and one.quantity for one in await self.connection.read_back(keys)]

    async def happen(self) -> None:
        """One thing happens at the partner that a poll tells."""
        done = self.partner.happen()
        if inspect.isawaitable(done):
            await done

    def shown(self) -> list[int | None]:
        """What the partner shows for the three."""
        getattr(self.partner, "collect", lambda: None)()
        return [self.partner.shown(name) for name in ("L-1", "L-2", "L-3")]
