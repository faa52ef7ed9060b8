"""Calls that keep to the points the shop says are left: a call costs points, which come back."""

import asyncio
import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from stockwright.domain.errors import Throttled
from stockwright.sdk.graphql import Budget, GraphQL, Told
from stockwright.sdk.messages import InDoubt, Refused, Retry
from stockwright.sdk.pacing import NothingToSpare

LONGEST_WAIT_S: Final = 2.0
"""Longer than this nobody sleeps inside a call: the hub comes again."""
RESERVED: Final = 250.0
"""Points that stay for changes when we only look: 25 calls of them."""
FIRST_COST: Final = 10.0
"""Believed of a document that was not sent yet: what the shop says a change costs."""


class TooFewPoints(Throttled):
    """The points of a call come back later than it may wait: nothing was sent."""


class Paced:
    """GraphQL whose calls wait for points, as the last answer told them. Belongs to one shop."""

    def __init__(self, graphql: GraphQL) -> None:
        self._graphql = graphql
        self._costs: dict[str, float] = {}
        self._known: Budget | None = None
        self._left = 0.0
        self._held = 0.0
        self._at = 0.0

    async def ask(
        self, document: str, variables: Mapping[str, Any], *, spare: bool = False
    ) -> Mapping[str, Any]:
        """The data of a query. Raises Throttled, Transient or Misconfigured; with spare, for what
        can wait, NothingToSpare where RESERVED points would not be left.
        """
        if spare and self._left_now() < self._costs.get(document, FIRST_COST) + RESERVED:
            raise NothingToSpare("the points that are left are kept for changes")
        async with self._turn(document):
            return await self._graphql.ask(document, variables)

    async def change(
        self, document: str, variables: Mapping[str, Any], timeout_s: float | None = None
    ) -> Told | Refused | Retry | InDoubt:
        """What a mutation answered, or what became of all of it. Raises Misconfigured."""
        try:
            async with self._turn(document):
                return await self._graphql.change(document, variables, timeout_s=timeout_s)
        except TooFewPoints as error:
            return Retry(retry_after_s=error.retry_after_s, reason=str(error))

    @asynccontextmanager
    async def _turn(self, document: str) -> AsyncIterator[None]:
        """Waits until the points of this document are there, and holds them until it is answered.

        Raises TooFewPoints where that takes too long.
        """
        cost = self._costs.get(document, FIRST_COST)
        wait_s = self._wait_s(cost)
        self._left -= cost
        self._held += cost
        try:
            await asyncio.sleep(wait_s)
            yield
        finally:
            self._held -= cost
            self._learn(document)

    def _wait_s(self, cost: float) -> float:
        """Seconds until so many points are there; none while the shop told nothing yet."""
        if self._known is None:
            return 0.0
        self._left, self._at = self._left_now(), asyncio.get_running_loop().time()
        left = Budget(available=self._left, restores_per_s=self._known.restores_per_s)
        wait_s = left.wait_s(cost)
        if wait_s > LONGEST_WAIT_S:
            raise TooFewPoints("the shop's budget of points is used up", wait_s)
        return wait_s

    def _left_now(self) -> float:
        """The points that are there, as far as told; without bound before the first answer."""
        if self._known is None:
            return math.inf
        passed_s = asyncio.get_running_loop().time() - self._at
        return self._left + passed_s * self._known.restores_per_s

    def _learn(self, document: str) -> None:
        """What the shop said is left, less what others hold: it may not have heard of those yet."""
        budget = self._graphql.budget
        if budget is None or budget is self._known:
            return
        self._known = budget
        self._costs[document] = budget.cost
        self._left = budget.available - self._held
        self._at = asyncio.get_running_loop().time()
