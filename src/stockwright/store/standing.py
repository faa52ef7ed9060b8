"""What stands in the ledger as far as this process knows it: its own last batch, carried on.

It is true for as long as no other process has recorded and the item master is as it was; the lane
tells. A batch that touches nothing else is decided on it without asking the database anything, and
while the batch before it is still being committed.
"""

import datetime as dt
import time
from collections.abc import Iterable
from typing import Final

from stockwright.domain.accounts import Balance
from stockwright.domain.books import Books, Written
from stockwright.store.ledger_read import Scope

MOST_PLACES: Final = 100_000
Place = tuple[str, str]
"""(sku, location)"""
_NEVER: Final = dt.datetime.min.replace(tzinfo=dt.UTC)
_ALWAYS: Final = dt.datetime.max.replace(tzinfo=dt.UTC)


class Standing:
    """Balances of whole places, and until when an event there may have been counted already."""

    def __init__(self) -> None:
        self.sequence = -1
        self.revision = -1
        self.due_at: dt.datetime | None = None
        self._recorded_at = _NEVER
        self._clock_at_zero = _NEVER + dt.timedelta(days=1)
        self._balances: dict[Place, dict[str, Balance]] = {}
        self._counted: dict[Place, dt.datetime] = {}

    def now(self) -> dt.datetime:
        """The server's time, never ahead of it nor behind what was recorded last."""
        return max(self._clock_at_zero + dt.timedelta(seconds=time.monotonic()), self._recorded_at)

    def set_clock(self, server_now: dt.datetime, *, anew: bool = False) -> None:
        """The server said its time a moment ago; `anew` forgets what it said before."""
        at_zero = server_now - dt.timedelta(seconds=time.monotonic())
        self._clock_at_zero = at_zero if anew else max(at_zero, self._clock_at_zero)

    # ------------------------------------------------------------ using it

    def covers(self, scope: Scope) -> bool:
        """Whether a batch of this scope can be decided on what is known."""
        if not (scope.ordinary and scope.places <= self._balances.keys()):
            return False
        counted, reach = self._counted, scope.reach
        return scope.inspected <= scope.dated.keys() and all(
            counted.get(place, _ALWAYS) < at - reach for place, at in scope.dated.items()
        )

    def fill(self, books: Books, scope: Scope) -> None:
        """Puts the balances of a scope it covers into the books."""
        known = self._balances
        for place in scope.places:
            for lot, balance in known[place].items():
                books.put_balance((*place, lot), balance)
        books.read = scope.places

    # ------------------------------------------------------------ keeping it up

    def forget(self) -> None:
        """Nothing is known any more: another process recorded, or a batch of ours was lost."""
        self.__init__()  # type: ignore[misc]

    def begin(self, sequence: int, revision: int, due_at: dt.datetime | None) -> None:
        """What the lane told; all is forgotten where it is not what was known."""
        if sequence != self.sequence or len(self._balances) > MOST_PLACES:
            self.forget()
        self.sequence, self.revision, self.due_at = sequence, revision, due_at

    def unheard(self, scope: Scope) -> list[Place]:
        """Places of which it is not known when they were counted last."""
        return [place for place in scope.dated if place not in self._counted]

    def learn(
        self, books: Books, rows: Iterable[tuple[str, str, dt.datetime | None, bool]]
    ) -> None:
        """What a batch has read: whole places, and `latest_counts` of those unheard of."""
        for place in books.read or ():
            lots = books.lots_at.get(place, ())
            self._balances[place] = {lot: books.balances[(*place, lot)] for lot in lots}
        for sku, location, last, inspected in rows:
            self._counted[sku, location] = _ALWAYS if inspected else last or _NEVER

    def carry_on(self, books: Books, written: Written) -> None:
        """A batch was written: its balances count as read from here on."""
        for key in written.balances:
            balance = books.balances[key]
            balance.version += 1
            known = self._balances.get((key[0], key[1]))
            if known is not None:
                known[key[2]] = balance
        for _, key, _, count, _ in written.counts:
            place = (key[0], key[1])
            self._counted[place] = max(count.as_of, self._counted.get(place, _ALWAYS))
        for key, _ in written.waiting.values():
            self._counted[key[0], key[1]] = _ALWAYS
        times = [line.expires_at for line in written.demand.values() if line.expires_at]
        if times:
            first = min(times)
            self.due_at = first if self.due_at is None else min(first, self.due_at)
        self.sequence = books.sequence
        self._recorded_at = books.now
