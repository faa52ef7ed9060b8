"""The state a batch is decided on: balances, demand lines and what hangs on them.

`Books` holds what was read for the whole batch. Each item works on an `Overlay` of it, which is
merged only when the item is complete, so that a failing item leaves no trace on its neighbours.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from stockwright.domain.accounts import (
    CELLS,
    Balance,
    Count,
    DemandLine,
    Key,
    Lot,
    Transfer,
    Waiting,
)
from stockwright.domain.backorders import Backorder, DemandKey
from stockwright.domain.catalog import Catalog
from stockwright.domain.events import Fact, Outcome

Move = tuple[str, str, str, str, str, str, int, dt.datetime, int | None, str, int | None]
"""(sku, lot, from_account, from_location, to_account, to_location, quantity, occurred_at, line_id,
transfer, free_after): one entry of the ledger."""

Received = tuple[str, str, str, str]
"""(system, document, line, sku): a line of expected supply, whether it was told or not."""

WorkNote = tuple[str, str, str, str, str, str, dict[str, Any]]
"""("open" or "close", kind, subject, sku, location, system, detail)."""


class Statement(NamedTuple):
    """What the latest revision of a line says: its quantity, and the events whose entries make up
    what stands of it; of the first of them those from number `since` on.
    """

    revision: int
    units: int
    events: tuple[int, ...] = ()
    since: int = 1


class Recounted(NamedTuple):
    """A fact of the past with its quantity in base units and its entries, in their order."""

    fact: Fact
    units: int
    moves: Sequence[Move]


class Unread(Exception):
    """A place was asked for that the batch did not read: it is read, and all decided again."""

    def __init__(self, sku: str, location: str) -> None:
        super().__init__(f"{sku} at {location} was not read")
        self.place = (sku, location)


class Books:
    """Everything one batch may touch, read under the lane. Missing keys mean: nothing there yet."""

    def __init__(self, catalog: Catalog, now: dt.datetime, sequence: int) -> None:
        self.catalog = catalog
        self.now = now
        self.sequence = sequence
        self.balances: dict[Key, Balance] = {}
        self.lots_at: dict[tuple[str, str], set[str]] = {}
        self.free_before: dict[tuple[str, str], int] = {}
        self.negative_before: set[Key] = set()
        self.read: set[tuple[str, str]] | None = None
        self._holds: dict[int, tuple[dt.datetime, str]] = {}
        self.demand: dict[tuple[str, str], dict[str, DemandLine]] = {}
        self.identities: dict[str, tuple[bytes, Outcome]] = {}
        self.counts: dict[tuple[str, str, str, str], list[Count]] = {}
        self.after: dict[tuple[str, str], tuple[int, bool]] = {}
        self.transfers: dict[tuple[str, str, str], Transfer] = {}
        self.lots: dict[tuple[str, str], Lot] = {}
        self.fresh: dict[tuple[str, str, dt.date], int] = {}
        self.waiting: dict[Key, list[Waiting]] = {}
        self.owners: dict[tuple[str, str, str], str] = {}
        self.revisions: dict[str, Statement] = {}
        self.recounted: dict[int, Recounted] = {}
        self.channel_claims: dict[tuple[str, str], int] = {}
        self.backorders: dict[DemandKey, Backorder] = {}
        self.contained: dict[tuple[str, str], list[tuple[int, int]]] = {}
        self.journal: dict[tuple[str, str, str, str], list[tuple[dt.datetime, int, str]]] | None = (
            None
        )

    def hold_until(self, seconds: int) -> tuple[dt.datetime, str]:
        """When a hold of this length ends, and its text: one object for all holds of a batch."""
        found = self._holds.get(seconds)
        if found is None:
            at = self.now + dt.timedelta(seconds=seconds)
            found = self._holds[seconds] = (at, at.isoformat())
        return found

    def put_balance(self, key: Key, balance: Balance) -> None:
        """Adds a balance as read from the store."""
        self.balances[key] = balance
        place = (key[0], key[1])
        self.lots_at.setdefault(place, set()).add(key[2])
        self.free_before[place] = self.free_before.get(place, 0) + balance.free
        if balance.negative:
            self.negative_before.add(key)

    def put_demand(self, line: DemandLine) -> None:
        """Adds a demand line, or puts it in the place of what it was."""
        self.demand.setdefault((line.system, line.order), {})[line.line] = line


class Rare(msgspec.Struct, eq=False, gc=False):
    """The part of an overlay that few items need: made where one does."""

    transfers: dict[tuple[str, str, str], Transfer] = {}
    new_counts: list[tuple[Key, str, Count, int]] = []
    lots: dict[tuple[str, str], Lot] = {}
    fresh: dict[tuple[str, str, dt.date], int] = {}
    waiting: dict[Key, list[Waiting]] = {}
    owners: dict[tuple[str, str, str], str] = {}
    documents: dict[str, Statement] = {}
    fact: Fact | None = None
    observations: list[tuple[str, str, str, str, str, str, int]] = []
    channel_claims: dict[tuple[str, str], int] = {}
    backorders: dict[DemandKey, Backorder] = {}
    received: dict[Received, int] = {}


class Overlay(msgspec.Struct, eq=False, gc=False):
    """One item's view of the books: reads fall through, writes stay here until `merge`."""

    books: Books
    sequence: int
    system: str
    balances: dict[Key, Balance] = {}
    demand: dict[tuple[str, str, str], DemandLine] = {}
    moves: list[tuple[int, int, Move]] = []
    transitions: list[tuple[int, int, str, int]] = []
    work: list[WorkNote] = []
    counts: dict[tuple[str, str, str, str], list[Count]] = {}
    rare_or_none: Rare | None = None

    @property
    def rare(self) -> Rare:
        """What this item changes of the things that most items leave alone."""
        if self.rare_or_none is None:
            self.rare_or_none = Rare()
        return self.rare_or_none

    # ------------------------------------------------------------ reading

    def look(self, key: Key) -> Balance | None:
        """The balance at a key, not to be changed, or None. Raises Unread."""
        found = self.balances.get(key) or self.books.balances.get(key)
        if found is None:
            self._expect_read(key[0], key[1])
        return found

    def _expect_read(self, sku: str, location: str) -> None:
        read = self.books.read
        if read is not None and (sku, location) not in read:
            raise Unread(sku, location)

    def free(self, sku: str, location: str) -> int:
        """Free units of a SKU at a place, over all its lots."""
        known = self.books.catalog.skus.get(sku)
        if known is None or known.control == "none":
            found = self.look((sku, location, ""))
            return 0 if found is None else found.free
        lots = self.lots_here(sku, location)
        return sum(found.free for lot in lots if (found := self.look((sku, location, lot))))

    def free_at(self, sku: str, places: Iterable[str]) -> dict[str, int]:
        """Free units of a SKU at each of these places."""
        found = {}
        for place in places:
            found[place] = self.free(sku, place)
        return found

    def lots_here(self, sku: str, location: str) -> set[str]:
        """Lots that have a balance at a place, those opened by this item included."""
        lots = self.books.lots_at.get((sku, location))
        if lots is None:
            self._expect_read(sku, location)
            lots = set()
        own = {key[2] for key in self.balances if key[0] == sku and key[1] == location}
        return lots | own if own - lots else lots

    def lot(self, sku: str, lot: str) -> Lot | None:
        """What is known of a lot, or None."""
        return self.rare.lots.get((sku, lot)) or self.books.lots.get((sku, lot))

    def lines_of(self, system: str, order: str) -> Iterator[DemandLine]:
        """The demand lines of an order, those of this item included, by line code."""
        stored = self.books.demand.get((system, order), {})
        names = set(stored) | {
            key[2] for key in self.demand if key[0] == system and key[1] == order
        }
        for name in sorted(names):
            found = self.demand.get((system, order, name))
            yield found if found is not None else stored[name]

    def find_line(self, system: str, order: str, line: str) -> DemandLine | None:
        """A demand line, not to be changed, or None."""
        found = self.demand.get((system, order, line))
        if found is not None:
            return found
        lines = self.books.demand.get((system, order))
        return lines.get(line) if lines else None

    def owed_on(self, sku: str) -> list[Backorder]:
        """The backorders of a SKU, not to be changed."""
        own = self.rare_or_none.backorders if self.rare_or_none is not None else {}
        return [own.get(one.key, one) for one in self.books.backorders.values() if one.sku == sku]

    # ------------------------------------------------------------ changing

    def note_received(self, key: Received, units: int) -> None:
        """Goods that came in against a line of supply; below zero what was taken back."""
        self.rare.received[key] = self.rare.received.get(key, 0) + units

    def backorder(self, key: DemandKey) -> Backorder | None:
        """The backorder of a demand line, to be changed by this item, or None."""
        if key not in self.books.backorders:
            return None
        found = self.rare.backorders.get(key)
        if found is None:
            found = self.rare.backorders[key] = replace(self.books.backorders[key])
        return found

    def balance(self, key: Key) -> Balance:
        """The balance at a key, to be changed by this item. Raises Unread."""
        found = self.balances.get(key)
        if found is None:
            stored = self.books.balances.get(key)
            if stored is None:
                self._expect_read(key[0], key[1])
            found = self.balances[key] = stored.copy() if stored else Balance()
        return found

    def line(self, system: str, order: str, line: str) -> DemandLine | None:
        """A demand line to be changed by this item, or None where there is none."""
        key = (system, order, line)
        found = self.demand.get(key)
        if found is None:
            lines = self.books.demand.get((system, order))
            stored = lines.get(line) if lines else None
            if stored is None:
                return None
            found = self.demand[key] = stored.copy()
        return found

    def add_line(self, line: DemandLine) -> None:
        """Opens a new demand line."""
        self.demand[(line.system, line.order, line.line)] = line

    def transfer(self, document: str, sku: str, lot: str) -> Transfer:
        """A transfer line, to be changed by this item."""
        key = (document, sku, lot)
        found = self.rare.transfers.get(key)
        if found is None:
            stored = self.books.transfers.get(key)
            found = self.rare.transfers[key] = stored.copy() if stored else Transfer()
        return found

    def waiting_at(self, key: Key) -> list[Waiting]:
        """Inspection results that wait at a cell, to be changed by this item."""
        found = self.rare.waiting.get(key)
        if found is None:
            stored = self.books.waiting.get(key, [])
            found = self.rare.waiting[key] = [
                Waiting(one.sequence, one.to_bucket, one.quantity, one.occurred_at)
                for one in stored
            ]
        return found

    def move(
        self,
        sku: str,
        lot: str,
        from_account: str,
        from_location: str,
        to_account: str,
        to_location: str,
        quantity: int,
        occurred_at: dt.datetime,
        line_id: int | None = None,
        transfer: str = "",
        free_after: int | None = None,
    ) -> None:
        """Books one entry: quantity (> 0) leaves one account and enters another."""
        if quantity <= 0:
            raise AssertionError(f"a move needs a positive quantity, not {quantity}")
        if from_account in CELLS:
            self.balance((sku, from_location, lot)).add(from_account, -quantity)
        if to_account in CELLS:
            self.balance((sku, to_location, lot)).add(to_account, quantity)
        entry = (
            sku,
            lot,
            from_account,
            from_location,
            to_account,
            to_location,
            quantity,
            occurred_at,
            line_id,
            transfer,
            free_after,
        )
        self.moves.append((self.sequence, len(self.moves) + 1, entry))

    def change_state(self, line: DemandLine, state: str) -> None:
        """One transition of a demand line; to the same state it is none."""
        if line.state == state:
            return
        line.state = state
        line.transitions += 1
        self.transitions.append((line.id, line.transitions, state, self.sequence))

    def raise_work(self, kind: str, subject: str, sku: str, location: str, **detail: Any) -> None:
        """Asks for a person's decision; the open item of the same kind and subject is reused."""
        self.work.append(("open", kind, subject, sku, location, self.system, detail))

    def settle_work(self, kind: str, subject: str) -> None:
        """Closes the open item of this kind and subject, if there is one."""
        self.work.append(("close", kind, subject, "", "", self.system, {}))

    # ------------------------------------------------------------ keeping

    def merge(self, written: "Written") -> None:
        """Makes the item's changes the state its successors see, and notes them to be written."""
        books = self.books
        for key, balance in self.balances.items():
            if not balance.version:
                books.lots_at.setdefault((key[0], key[1]), set()).add(key[2])
        books.balances.update(self.balances)
        written.balances.update(self.balances)
        for line in self.demand.values():
            books.put_demand(line)
            written.demand[line.id] = line
        written.moves.extend(self.moves)
        written.transitions.extend(self.transitions)
        if self.work:
            written.work.extend([(self.sequence, note) for note in self.work])
        if books.journal is not None:
            self._keep_journal(books.journal)
        if self.rare_or_none is not None:
            self._merge_rare(self.rare_or_none, written)

    def _merge_rare(self, rare: Rare, written: "Written") -> None:
        books, sequence = self.books, self.sequence
        books.channel_claims.update(rare.channel_claims)
        books.fresh.update(rare.fresh)
        books.counts.update(self.counts)
        written.counts.extend([(sequence, *one) for one in rare.new_counts])
        books.transfers.update(rare.transfers)
        written.transfers.update(rare.transfers)
        books.lots.update(rare.lots)
        written.lots.update(rare.lots)
        books.owners.update(rare.owners)
        written.owners.update(rare.owners)
        books.revisions.update(rare.documents)
        written.documents.update(rare.documents)
        if rare.fact is not None:
            moves = [move for _, _, move in self.moves]
            books.recounted[sequence] = Recounted(rare.fact, rare.fact.quantity, moves)
        for key, waiting in rare.waiting.items():
            books.waiting[key] = [one for one in waiting if one.quantity > 0]
            for one in waiting:
                written.waiting[one.sequence] = (key, one)
        written.observations.extend([(sequence, *one) for one in rare.observations])
        books.backorders.update(rare.backorders)
        written.backorders.update({key: (sequence, one) for key, one in rare.backorders.items()})
        written.received.extend(
            [(sequence, *key, units) for key, units in rare.received.items() if units]
        )

    def _keep_journal(
        self, journal: dict[tuple[str, str, str, str], list[tuple[dt.datetime, int, str]]]
    ) -> None:
        for _, _, move in self.moves:
            sku, lot, from_account, from_location, to_account, to_location, quantity, at, *_ = move
            origin = "" if "adjustment" in (from_account, to_account) else self.system
            if from_account in CELLS:
                cell = (sku, from_location, lot, from_account)
                journal.setdefault(cell, []).append((at, -quantity, origin))
            if to_account in CELLS:
                cell = (sku, to_location, lot, to_account)
                journal.setdefault(cell, []).append((at, quantity, origin))


class Written:
    """What a decided batch leaves to be stored, by table."""

    def __init__(self) -> None:
        self.balances: set[Key] = set()
        self.demand: dict[int, DemandLine] = {}
        self.moves: list[tuple[int, int, Move]] = []
        self.transitions: list[tuple[int, int, str, int]] = []
        self.work: list[tuple[int, WorkNote]] = []
        self.transfers: dict[tuple[str, str, str], Transfer] = {}
        self.counts: list[tuple[int, Key, str, Count, int]] = []
        self.lots: dict[tuple[str, str], Lot] = {}
        self.waiting: dict[int, tuple[Key, Waiting]] = {}
        self.owners: dict[tuple[str, str, str], str] = {}
        self.documents: dict[str, Statement] = {}
        self.observations: list[tuple[int, str, str, str, str, str, str, int]] = []
        self.backorders: dict[DemandKey, tuple[int, Backorder]] = {}
        self.received: list[tuple[int, str, str, str, str, int]] = []

    def absorb(self, later: "Written") -> None:
        """Adds what a later part of the same batch leaves; its state replaces ours."""
        for name, ours in vars(self).items():
            theirs = getattr(later, name)
            if isinstance(ours, list):
                ours.extend(theirs)
            else:
                ours.update(theirs)
