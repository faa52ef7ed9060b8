"""The client: the generated operations, and what makes some of them handier."""

from collections.abc import AsyncIterator, Sequence
from typing import Final

from stockwright.client import types
from stockwright.client.operations import Operations
from stockwright.domain.events import Fact

MAX_FACTS: Final = 10_000
"""Facts in one call; `record` splits longer lists."""
WAIT_S: Final = 25.0


class Client(Operations):
    """Calls a Stockwright server. One method for each operation of its API, and some more."""

    async def record(self, facts: Sequence[Fact]) -> list[types.ItemResult]:
        """Records any number of facts; one result for each, aligned.

        A bad fact changes nothing for its neighbours: look at each result's status and code. Safe
        to repeat: a fact is known by its identity.
        """
        results: list[types.ItemResult] = []
        for start in range(0, len(facts), MAX_FACTS):
            answer = await self.post_events(list(facts[start : start + MAX_FACTS]))
            assert isinstance(answer, types.BatchResult), "a list is answered with a list"
            results += answer.results
        return results

    async def changes(
        self,
        cursor: str = "",
        *,
        begin: types.Begin = "start",
        limit: int = 500,
        kind: Sequence[types.ChangeKind] = (),
        sku: Sequence[str] = (),
        location: Sequence[str] = (),
        channel: Sequence[str] = (),
        system: Sequence[str] = (),
    ) -> AsyncIterator[types.ChangesPage]:
        """Pages of changes in their order, for ever; waits where there is nothing new.

        Keep a page's `cursor` once its items are worked on, and go on from it another time:
        nothing is skipped, and what was worked on after the last cursor kept comes again.
        """
        while True:
            page = await self.get_changes(
                cursor=cursor, begin=begin, limit=limit, wait_s=WAIT_S, kind=kind, sku=sku,
                location=location, channel=channel, system=system,
            )  # fmt: skip
            cursor = page.cursor
            if page.items:
                yield page
