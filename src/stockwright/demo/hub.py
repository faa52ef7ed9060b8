"""The partners' side of Stockwright's API: facts and reservations, sent as a careful caller would.

Every call may be repeated: a document of its own names each request, so an answer that got lost is
asked for again.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import msgspec

from stockwright.domain.errors import StockwrightError, Transient

TRIES: Final = 8
LONGEST_WAIT_S: Final = 2.0
REFUSED: Final = frozenset({"insufficient"})


class HubRefused(StockwrightError):
    """The hub answered that this call is wrong; the replay cannot go on."""


class EventAnswers(msgspec.Struct, frozen=True):
    """How many facts of a call were answered with which code, and how many as heard before."""

    counts: dict[str, int]
    replays: int


class Granted(msgspec.Struct, frozen=True):
    """The answer to a reservation: pieces granted by line, and whether it was answered before."""

    by_line: dict[str, int]
    replay: bool


class Hub:
    """One partner's connection to the API of a hub in demo mode. Belongs to one event loop."""

    def __init__(self, base: str, system: str, connections: int = 16) -> None:
        self.system = system
        self._base = base.rstrip("/")
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Gives back the sockets. Safe to repeat."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def events(self, facts: Sequence[dict[str, Any]]) -> EventAnswers:
        """Tell facts in one call. Raises HubRefused where one of them did not enter the ledger."""
        told = [{"system": self.system, **fact} for fact in facts]
        status, answer = await self._post("/v1/events", told)
        results = answer.get("results", [])
        wrong = [r for r in results if r["status"] >= 300 or r["code"] == "parked"]
        if status >= 300 or wrong or len(results) != len(facts):
            raise HubRefused(f"{self.system}: events were answered {status}: {wrong[:3] or answer}")
        counts: dict[str, int] = answer["counts"]
        return EventAnswers(counts, sum(bool(result.get("replay")) for result in results))

    async def reserve(
        self, order: str, document: str, lines: Sequence[dict[str, Any]], mode: str = "partial"
    ) -> Granted:
        """Ask for lines of {line, item, quantity}; a refusal grants nothing of any."""
        ask = {
            "order": order,
            "document": document,
            "channel": self.system,
            "system": self.system,
            "mode": mode,
            "lines": list(lines),
        }
        status, answer = await self._post("/v1/reservations", ask)
        outcome = answer if status < 300 else answer.get("outcome", {})
        if status >= 300 and outcome.get("code") not in REFUSED:
            raise HubRefused(f"{self.system}: order {order} was answered {status}: {answer}")
        granted = outcome.get("lines", []) if status < 300 else []
        by_line = {line["line"]: line["granted"] for line in granted}
        return Granted(by_line, bool(outcome.get("replay")))

    async def move_on(
        self, order: str, transition: str, document: str, lines: Sequence[dict[str, Any]] = ()
    ) -> bool:
        """Confirm or release an order (some lines of it); answers whether it was done before."""
        path = f"/v1/reservations/{quote(self.system)}/{quote(order, safe='')}/{transition}"
        status, answer = await self._post(path, {"document": document, "lines": list(lines)})
        if status >= 300:
            raise HubRefused(f"{self.system}: {transition} of {order}: {status} {answer}")
        return bool(answer.get("replay"))

    async def _post(self, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        """One POST, repeated while the hub is busy or does not answer."""
        payload = msgspec.json.encode(body)
        failure = "no answer"
        for attempt in range(TRIES):
            wait_s = min(LONGEST_WAIT_S, 0.05 * 2**attempt)
            try:
                async with self._opened().post(self._base + path, data=payload) as response:
                    raw = await response.read()
                    if response.status not in (429, 503):
                        return response.status, msgspec.json.decode(raw)
                    wait_s = float(response.headers.get("retry-after", wait_s))
                    failure = f"{response.status} {raw[:200].decode(errors='replace')}"
            except (aiohttp.ClientError, TimeoutError) as error:
                failure = type(error).__name__
            await asyncio.sleep(min(LONGEST_WAIT_S, wait_s))
        raise Transient(f"the hub did not take POST {path} in {TRIES} tries: {failure}")

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._connections),
                headers={"content-type": "application/json"},
                timeout=aiohttp.ClientTimeout(total=30),
                trust_env=False,
            )
        return self._session
