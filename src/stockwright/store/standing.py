"""What stands in the ledger as far as this process knows it: its own last batch, carried on.

It is true for as long as no other process has recorded and the item master is as it was; the lane
tells. A batch that touches nothing else is decided on it without asking the database anything, and
while the batch before it is still being committed.
"""

import datetime as dt
import time
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from stockwright.domain.accounts import Balance
from stockwright.domain.books import Books, Written
from stockwright.store.ledger_read import Scope

MOST_PLACES: Final = 100_000
LASTING: Final = 64
"""Batches for which what is known must hold, so that reading it ahead is worth while."""
FLEETING: Final = 2
"""Times in a row that it did not, after which nothing is read ahead until it does again."""
Place = tuple[str, str]
"""(sku, location)"""
Changed = list[tuple[dict[str, Balance], str, Balance | None]]
"""(the lots of a place, lot, what stood there before)"""
_NEVER: Final = dt.datetime.min.replace(tzinfo=dt.UTC)
_NO_CLOCK: Final = _NEVER + dt.timedelta(days=1)
_ALWAYS: Final = dt.datetime.max.replace(tzinfo=dt.UTC)


class Before(NamedTuple):
    """How things stood before a batch that may yet be lost."""

    sequence: int
    due_at: dt.datetime | None
    recorded_at: dt.datetime
    changed: Changed


class Standing:
    """Balances of whole places, and until when an event there may have been counted already."""

    def __init__(self) -> None:
        self.wanted: list[Place] = []
        """Places worth reading before somebody asks for them, the most wanted last."""
        self._balances: dict[Place, dict[str, Balance]] = {}
        self._held = self._fleeting = 0
        self._clock_at_zero = _NO_CLOCK
        self.forget()

    def forget(self) -> None:
        """Nothing is known any more: another process has recorded.

        It is wanted again, but not where others record all the time.
        """
        if self._balances:
            self._fleeting = 0 if self._held >= LASTING else self._fleeting + 1
            self.wanted = [*self.wanted, *self._balances] if self._fleeting < FLEETING else []
        self._held = 0
        self.sequence = -1
        self.revision = -1
        self.due_at: dt.datetime | None = None
        self._recorded_at = _NEVER
        self._balances = {}
        self._counted: dict[Place, dt.datetime] = {}

    def now(self) -> dt.datetime:
        """The server's time, never ahead of it nor behind what was recorded last."""
        return max(self._clock_at_zero + dt.timedelta(seconds=time.monotonic()), self._recorded_at)

    def now_if_told(self) -> dt.datetime | None:
        """As `now`; None before the server ever said its time."""
        return None if self._clock_at_zero == _NO_CLOCK else self.now()

    def set_clock(self, server_now: dt.datetime, *, anew: bool = False) -> None:
        """The server said its time a moment ago; `anew` forgets what it said before."""
        at_zero = server_now - dt.timedelta(seconds=time.monotonic())
        self._clock_at_zero = at_zero if anew else max(at_zero, self._clock_at_zero)

    # ------------------------------------------------------------ using it

    @property
    def told(self) -> bool:
        """Whether the lane has told anything yet, or again since all was forgotten."""
        return self.sequence >= 0

    @property
    def full(self) -> bool:
        """Whether it holds more than it should; `begin` begins anew then."""
        return len(self._balances) > MOST_PLACES

    def unread(self, scope: Scope) -> list[Place]:
        """Places of which nothing is known."""
        return [place for place in scope.places if place not in self._balances]

    def unheard(self, scope: Scope) -> list[Place]:
        """Places of which it is not known when they were counted last."""
        return [place for place in scope.dated if place not in self._counted]

    def take_wanted(self, most: int) -> list[Place]:
        """The next places worth reading that are not known yet."""
        some = self.wanted[-most:]
        del self.wanted[-most:]
        return [place for place in some if place not in self._balances]

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

    def begin(self, sequence: int, revision: int, due_at: dt.datetime | None) -> None:
        """What the lane told; all is forgotten where it is not what was known."""
        if sequence != self.sequence or self.full:
            self.forget()
        self.sequence, self.revision, self.due_at = sequence, revision, due_at

    def learn_places(self, places: Iterable[Place], rows: Iterable[tuple[Any, ...]]) -> None:
        """All `balances` there are at these places."""
        for place in places:
            self._balances[place] = {}
        for sku, location, lot, *values in rows:
            self._balances[sku, location][lot] = Balance(*values)

    def learn_counts(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """The `latest_counts` of places; where an inspection waits, nothing is decided ahead."""
        for sku, location, last, inspected in rows:
            self._counted[sku, location] = _ALWAYS if inspected else last or _NEVER

    def learn(self, books: Books) -> None:
        """The places a batch has read, as they were after it."""
        for place in books.read or ():
            lots = books.lots_at.get(place, ())
            self._balances[place] = {lot: books.balances[(*place, lot)] for lot in lots}

    def carry_on(self, books: Books, written: Written) -> Before:
        """A batch was written: its balances count as read from here on. Answers the way back."""
        changed: Changed = []
        before = Before(self.sequence, self.due_at, self._recorded_at, changed)
        for key in written.balances:
            balance = books.balances[key]
            balance.version += 1
            known = self._balances.get((key[0], key[1]))
            if known is not None:
                changed.append((known, key[2], known.get(key[2])))
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
        self._held += 1
        self.sequence = books.sequence
        self._recorded_at = books.now
        return before

    def go_back(self, before: Before) -> None:
        """The batch was lost: all stands as before it. The latest batch goes first."""
        for lots, lot, stood in before.changed:
            if stood is None:
                del lots[lot]
            else:
                lots[lot] = stood
        self.sequence, self.due_at, self._recorded_at, _ = before
