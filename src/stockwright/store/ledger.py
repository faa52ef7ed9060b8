"""The only door to stock: one batch, one transaction, one lane.

The lane is an advisory lock taken alone as the first statement, so that every later statement sees
what the holder before us committed; it makes several processes exact without deadlocks, and lets
readers follow `sequence > last` without skipping.

A batch is recorded in one of two ways, with the same rules and the same rows. `record` reads under
the lane what the batch touches, and decides. `ahead` decides on what stands since this process's
last batch, and lets the lane tell whether that is still so: nothing is waited for, the batch is on
its way while the commit before it still runs. What does not hold any more is recorded by `record`.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import psycopg
from psycopg.types.json import Jsonb

from stockwright.domain.books import Books, Unread, Written
from stockwright.domain.errors import Transient
from stockwright.domain.events import MAX_CODE, Outcome
from stockwright.domain.ledger import Decision, decide
from stockwright.domain.wellformed import Expiry, Prepared, prepare
from stockwright.store.arrays import numbers, texts
from stockwright.store.catalog import CatalogCache
from stockwright.store.connection import connect
from stockwright.store.handed_in import (
    BatchInterrupted,
    BatchRefused,
    RawPayload,
    Settlement,
)
from stockwright.store.ledger_read import Needs, Scope, put_demand, put_identities
from stockwright.store.ledger_write import write_part, write_rest
from stockwright.store.queries import load
from stockwright.store.recount import Recount
from stockwright.store.standing import Before, Standing
from stockwright.store.wire import Answer, Wire

LANE: Final = 0x5701_0000
MAX_BATCH: Final = 500
SLICE: Final = 125
LEAST_SLICE: Final = 32
DUE_AT_ONCE: Final = 200
WARY: Final = 2
MOST_WARY: Final = 64
"""Batches that are read for after one that was sent ahead and did not hold; twice as many each time
it happens again before as many have held.
"""
PAYLOAD_IDS: Final = 100
WARM_PLACES: Final = 20_000
WARM_ENTRIES: Final = 100_000
WARM_AT_ONCE: Final = 500
_RERUN: Final = frozenset({"08", "25", "40", "53", "55", "57", "58"})
_ROOM: Final = 500_000
_sql = load("ledger")


class Flight(NamedTuple):
    """A batch that was decided and sent ahead, and whose commit is not known yet."""

    outcomes: list[Outcome]
    raws: Sequence[RawPayload]
    sequence: int
    before: Before
    clock: Answer
    commit: Answer

    @property
    def arrived(self) -> bool:
        """Whether it is known what became of it; `land` waits for nothing then."""
        return self.commit.arrived

    @property
    def held(self) -> bool:
        """Whether it is committed, as it was decided."""
        return self.commit.arrived and self.commit.fault is None


class Ledger:
    """One connection that records batches. Not shared between threads."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._wire: Wire | None = None
        self._aside: Wire | None = None
        self._cache = CatalogCache()
        self._standing = Standing()
        self._in_flight: list[Flight] = []
        self._taken_back = False
        self._wary = 0
        self._wariness = WARY
        self._held = MOST_WARY
        self._partitions_until = 0
        self._payload_ids: list[int] = []
        self.last_sequence = 0

    def now(self) -> dt.datetime:
        """The server's time, not behind what this process recorded last; its own before it was
        told. For any thread.
        """
        return self._standing.now_if_told() or dt.datetime.now(dt.UTC)

    def close(self) -> None:
        """Lets the connection go; an open transaction of it is rolled back."""
        for wire in (self._wire, self._aside):
            if wire is not None:
                wire.close()
        self._wire = self._aside = None

    def record(
        self,
        items: Sequence[Prepared],
        raws: Sequence[RawPayload] = (),
        settlements: Sequence[Settlement] = (),
    ) -> list[Outcome]:
        """Reads, decides and writes a batch in one transaction; outcomes aligned with the items.

        Only while none is in flight. Safe to repeat with the same items: identities answer a second
        time what they answered first. Raises BatchRefused, after which nothing stands, and
        BatchInterrupted, after which nothing or, where the COMMIT was lost, all of it stands.
        """
        places: set[tuple[str, str]] = set()
        try:
            while True:
                try:
                    decision = self._transact(self._open(), items, raws, settlements, places)
                    break
                except Unread as gap:
                    self._abandon()
                    places.add(gap.place)
        except psycopg.Error as fault:
            raise self._given_up(fault) from fault
        except Transient as fault:
            raise BatchInterrupted(str(fault)) from fault
        except BaseException:
            self._abandon()
            raise
        for raw in raws:
            raw.stored = True
        return decision.outcomes[len(decision.outcomes) - len(items) :]

    def _given_up(self, fault: psycopg.Error) -> Exception:
        """What a fault of the database means for the batch it ended."""
        self._abandon()
        if isinstance(fault, psycopg.errors.LockNotAvailable):
            self._free_lane()
        state = (fault.sqlstate or "08")[:2]
        if state in ("22", "23", "54"):
            return BatchRefused(str(fault))
        return BatchInterrupted(str(fault)) if state in _RERUN else fault

    # ------------------------------------------------------------ warming up

    def warm(self) -> bool:
        """Reads some of what was touched last, so that the first batches need not ask for it.

        False where nothing is left to read, or the database does not answer. Only while no batch is
        in flight; what others record meanwhile the lane will tell.
        """
        standing = self._standing
        try:
            if not standing.told:
                self._begin_warm()
            self._learn([], [])
        except (psycopg.Error, Transient):
            standing.wanted.clear()
        return bool(standing.wanted)

    def _begin_warm(self) -> None:
        """Learns where the ledger stands, and which places its latest entries touched."""
        wire = self._reader()
        sequence, now, revision, due_at = _one(wire.execute(_sql["head"]))
        self._standing.begin(sequence, revision, due_at)
        self._standing.set_clock(now, anew=True)
        self._cache.at(wire, revision)
        values = {"entries": WARM_ENTRIES, "places": WARM_PLACES}
        recent = wire.execute(_sql["recent_places"], values)
        wire.sync()
        self._standing.wanted = [(sku, location) for sku, location in reversed(recent.fetchall())]
        self._open()

    # ------------------------------------------------------------ ahead

    def ahead(
        self,
        items: Sequence[Prepared],
        raws: Sequence[RawPayload] = (),
        settlements: Sequence[Settlement] = (),
        *,
        look_up: bool = True,
    ) -> Flight | None:
        """Decides a batch on what stands and sends it; `land` tells whether it was recorded.

        None where something has to be read first. Several may be in flight; they land in order.
        Without `look_up` nothing is waited for, so that an event loop may call it.
        """
        books = self._stands(items, look_up)
        if books is None or self._wire is None:
            return None
        try:
            flight = self._send(self._wire, items, raws, settlements, books)
            self._in_flight.append(flight)
            return flight
        except Unread:
            self._take_back(self._wire)
            return None
        except psycopg.Error:
            self.close()  # what is in flight is lost with it, and its landing will say so
            return None
        except BaseException:
            self._take_back(self._wire)
            raise

    def _take_back(self, wire: Wire) -> None:
        """What was sent of a batch is void; those in flight before it are not.

        They land before anything else is sent: the rollback also ends what one that did not hold
        makes void.
        """
        self._taken_back = True
        wire.sync()  # where a statement of it failed, only what follows this is heard
        wire.execute("rollback")
        wire.sync()

    @property
    def may_send(self) -> bool:
        """Whether a batch may be sent ahead at all, whatever it touches."""
        return self._wire is not None and not self._wary and self._standing.told

    @property
    def socket(self) -> int | None:
        """Where the answers to batches in flight come in; None where there is no connection."""
        return None if self._wire is None or self._wire.closed else self._wire.socket

    def push(self) -> bool:
        """Sends what is left to send, without waiting; False where some of it still is, or `hear`
        has to tell that the connection is lost.
        """
        try:
            return self._wire is not None and self._wire.flush()
        except psycopg.Error:
            return False

    def hear(self) -> bool:
        """Takes the answers that have come and sends what is left to send, without waiting.

        False where something is left to send: call it again once the network takes more. Where the
        connection is lost, landing will say so.
        """
        if self._wire is None:
            return True
        try:
            self._wire.hear()
            return self._wire.flush()
        except psycopg.Error:
            self.close()
            return True

    def land(self, flight: Flight) -> list[Outcome]:
        """The outcomes of a batch, once it is committed.

        Raises BatchInterrupted where it did not hold, or its end is not known: `record` it then,
        and after it what was sent later, which is lost with it.
        """
        try:
            flight.commit.wait()
        except psycopg.Error as fault:
            if flight in self._in_flight:  # not a second time for what was lost with it
                self._be_wary()
            self._go_back(fault)
            self._given_up(fault)
            in_doubt = (fault.sqlstate or "08")[:2] in ("08", "57")
            raise BatchInterrupted(str(fault), in_doubt=in_doubt) from fault
        self._in_flight.remove(flight)
        self._held += 1
        self._standing.set_clock(_one(flight.clock)[0])
        self.last_sequence = flight.sequence
        for raw in flight.raws:
            raw.stored = True
        return flight.outcomes

    def _be_wary(self) -> None:
        often = self._held < self._wariness
        self._wariness = min(2 * self._wariness, MOST_WARY) if often else WARY
        self._wary, self._held = self._wariness, 0

    def _go_back(self, fault: psycopg.Error) -> None:
        """What was in flight is lost: all stands as before it, or who knows where others wrote."""
        for lost in reversed(self._in_flight):
            self._standing.go_back(lost.before)
        self._in_flight.clear()
        if fault.sqlstate == "40001":
            self._standing.forget()

    def _stands(self, items: Sequence[Prepared], look_up: bool) -> Books | None:
        """Books that hold all the batch touches, without reading anything; None where they lack
        some.
        """
        standing = self._standing
        self._taken_back = self._taken_back and bool(self._in_flight)
        if self._taken_back:
            return None
        if self._wary:
            self._wary -= 1
            return None
        if not items or not standing.told or standing.full or self._cache.full:
            return None
        if standing.sequence + _ROOM >= self._partitions_until:
            return None
        now = standing.now()
        if standing.due_at is not None and standing.due_at <= now:
            return None
        needs = Needs(items)
        if not needs.only_new:
            return None
        try:
            return self._fill(needs, now, look_up)
        except (psycopg.Error, Transient):
            if self._aside is not None:
                self._aside.close()
                self._aside = None
            return None

    def _fill(self, needs: Needs, now: dt.datetime, look_up: bool) -> Books | None:
        standing = self._standing
        if self._cache.knows(needs.skus, needs.bindings) is None:
            if not look_up:
                return None
            self._cache.fetch(self._reader(), needs.skus, needs.bindings)
            self._reader().sync()
        books = Books(self._cache.at_hand, now, standing.sequence)
        scope = Scope(needs, books)
        if not scope.ordinary:
            return None
        if look_up:
            self._look_up(scope)
        if not standing.covers(scope):
            return None
        standing.fill(books, scope)
        return books

    def _look_up(self, scope: Scope) -> None:
        """Reads what is not known yet, beside the lane.

        What is in flight does not touch it, else it were known; and where another process does, the
        lane will tell.
        """
        unread, unheard = self._standing.unread(scope), self._standing.unheard(scope)
        if unread or unheard:
            self._learn(unread, unheard)

    def _learn(self, unread: Sequence[tuple[str, str]], unheard: Sequence[tuple[str, str]]) -> None:
        """Reads balances of some places, and when some were counted; and some of what is wanted
        next, since it goes that way anyway.
        """
        wire, standing = self._reader(), self._standing
        more = standing.take_wanted(WARM_AT_ONCE)
        self._cache.fetch(wire, {sku for sku, _ in more}, set())
        unread = [*unread, *more]
        balances = _ask_pairs(wire, "balances", unread)
        counts = _ask_pairs(wire, "latest_counts", [*unheard, *more])
        wire.sync()
        standing.learn_places(unread, balances.fetchall() if balances is not None else ())
        standing.learn_counts(counts.fetchall() if counts is not None else ())

    def _send(
        self,
        wire: Wire,
        items: Sequence[Prepared],
        raws: Sequence[RawPayload],
        settlements: Sequence[Settlement],
        books: Books,
    ) -> Flight:
        before = {"before": books.sequence, "revision": self._standing.revision, "at": books.now}
        wire.execute("begin")
        wire.execute(_sql["lane"], (LANE,))
        clock = wire.execute(_sql["unchanged"], before)
        decision, commit = _decide_and_write(wire, items, raws, settlements, books)
        stood = self._standing.carry_on(books, decision.written)
        return Flight(decision.outcomes, raws, books.sequence, stood, clock, commit)

    # ------------------------------------------------------------ one transaction

    def _transact(
        self,
        wire: Wire,
        items: Sequence[Prepared],
        raws: Sequence[RawPayload],
        settlements: Sequence[Settlement],
        places: Iterable[tuple[str, str]],
    ) -> Decision:
        needs = Needs(items)
        wire.execute("begin")
        wire.execute(_sql["lane"], (LANE,))
        head = wire.execute(_sql["head"])
        identities = wire.execute(_sql["identities"], (texts(needs.keys),))
        demand = _ask_demand(wire, needs.orders)
        sequence, now, revision, due_at = _one(head)
        self._standing.begin(sequence, revision, due_at)
        self._standing.set_clock(now, anew=True)
        catalog = self._cache.at(wire, revision)
        books = Books(catalog, now, sequence)
        put_identities(wire, books, identities.fetchall())
        put_demand(books, demand.fetchall())
        due = due_at is not None and due_at <= now
        everything = [*(self._expiries(wire, books) if due else ()), *items]
        scope = self._read(wire, needs, books, places)
        counts = _ask_pairs(wire, "latest_counts", self._standing.unheard(scope))
        decision, commit = _decide_and_write(wire, everything, raws, settlements, books)
        commit.wait()
        self._standing.learn(books)
        self._standing.learn_counts(counts.fetchall() if counts is not None else ())
        self._standing.carry_on(books, decision.written)
        self.last_sequence = books.sequence
        return decision

    def _read(
        self,
        wire: Wire,
        needs: Needs,
        books: Books,
        places: Iterable[tuple[str, str]],
    ) -> Scope:
        """Reads what the batch touches, its codes and demand lines being known by now."""
        lines = {line.sku for one in books.demand.values() for line in one.values()}
        self._cache.fetch(wire, needs.skus | lines, needs.bindings)
        scope = Scope(needs, books, places)
        scope.read(wire)
        self._recount(wire, scope, books)
        return scope

    def _recount(self, wire: Wire, scope: Scope, books: Books) -> None:
        """Reads what the batch takes back or tells anew, and what that touches in its turn."""
        asked: set[int] = set()
        while events := scope.events() - asked:
            asked |= events
            found = Recount(wire, books, events)
            orders = [one for one in found.needs.orders if one not in books.demand]
            if orders:
                put_demand(books, _ask_demand(wire, orders).fetchall())
            self._cache.fetch(wire, found.needs.skus, found.needs.bindings)
            scope.widen(wire, Scope(found.needs, books, found.places), found.dated())

    def _expiries(self, wire: Wire, books: Books) -> list[Prepared]:
        """Due holds as items to be decided first: a grant that needs stock may record them
        itself.
        """
        items = []
        rows = wire.execute(_sql["due"], (books.now, DUE_AT_ONCE)).fetchall()
        for system, order, lines, expires_at in rows:
            named = "+".join(lines)
            if len(named) > MAX_CODE:  # a key has to fit into its index
                named = blake2b(named.encode(), digest_size=16).hexdigest()
            document = f"{order}@{expires_at.isoformat()}#{named}"
            item = Expiry(system=system, order=order, lines=lines, document=document)
            items.append(prepare(item, books.now))
        missing = {
            (system, order) for system, order, _, _ in rows if (system, order) not in books.demand
        }
        if missing:
            put_demand(books, _ask_demand(wire, missing).fetchall())
        return items

    # ------------------------------------------------------------ connection

    def _open(self) -> Wire:
        if self._wire is None or self._wire.closed:
            self._wire = self._connect("stockwright-ledger")
        self._make_partitions(self._wire)
        return self._wire

    def _reader(self) -> Wire:
        if self._aside is None or self._aside.closed:
            self._aside = self._connect("stockwright-ledger reader")
        return self._aside

    def _connect(self, name: str) -> Wire:
        connection = connect(self._url, application_name=name, autocommit=True)
        connection.execute(_sql["session"])
        return Wire(connection)

    def _make_partitions(self, wire: Wire) -> None:
        """Keeps room ahead of the head, outside the lane."""
        if self.last_sequence + _ROOM < self._partitions_until:
            return
        self.last_sequence = max(self.last_sequence, _one(wire.execute(_sql["head"]))[0])
        self._partitions_until = _one(wire.execute(_sql["partitions_until"]))[0] or 0
        if self.last_sequence + _ROOM >= self._partitions_until:
            wire.execute(_sql["make_partitions"], (self.last_sequence + 2 * _ROOM,))
            self._partitions_until = _one(wire.execute(_sql["partitions_until"]))[0]
        wire.settle()

    def _abandon(self) -> None:
        """Gives the lane back after a failure: by rollback, or by closing where that fails too."""
        try:
            if self._wire is not None:
                self._wire.drain()
                self._wire.execute("rollback")
                self._wire.settle()
        except psycopg.Error:
            self.close()

    def _free_lane(self) -> None:
        """Nobody got the lane for a while: ends the session of a holder that is frozen."""
        try:
            if self._wire is not None:
                self._wire.execute(_sql["free_lane"], (LANE,))
                self._wire.settle()
        except psycopg.Error:
            self.close()

    def number_payloads(self, raws: Sequence[RawPayload]) -> None:
        """Numbers raw payloads that are about to be stored. Raises BatchInterrupted."""
        missing = len(raws) - len(self._payload_ids)
        if missing > 0:
            try:
                wire = self._open()
                asked = wire.execute(_sql["payload_ids"], (missing + PAYLOAD_IDS,))
                wire.sync()
                rows = asked.fetchall()
            except (psycopg.Error, Transient) as fault:
                self._abandon()
                raise BatchInterrupted(str(fault)) from fault
            self._payload_ids += [number for (number,) in rows]
        for raw in raws:
            raw.id = self._payload_ids.pop(0)


def _decide_and_write(
    wire: Wire,
    items: Sequence[Prepared],
    raws: Sequence[RawPayload],
    settlements: Sequence[Settlement],
    books: Books,
) -> tuple[Decision, Answer]:
    """Decides in slices, so that the server already writes one while the next is being decided.

    History and demand lines are sent per slice; balances, which many items share, once at the end.
    Answers the decision, and the commit that was sent and not waited for.
    """
    before = books.sequence
    for raw in raws:
        if not raw.stored:
            _keep_raw(wire, raw, books.now)
    whole = Decision([], [], [], Written())
    size = min(SLICE, max(LEAST_SLICE, (len(items) + 1) // 2))
    for start in range(0, len(items), size):
        part = decide(items[start : start + size], books)
        write_part(wire, part, books.now)
        wire.flush()
        whole.outcomes.extend(part.outcomes)
        whole.recorded.extend(part.recorded)
        whole.parked.extend(part.parked)
        whole.written.absorb(part.written)
    write_rest(wire, whole, books, before)
    if settlements:
        _settle(wire, settlements)
    commit = wire.execute("commit")
    wire.sync()
    return whole, commit


def _ask_demand(wire: Wire, orders: Iterable[tuple[str, str]]) -> Answer:
    pairs = list(orders)
    return wire.execute(
        _sql["demand"], (texts([one for one, _ in pairs]), texts([one for _, one in pairs]))
    )


def _ask_pairs(wire: Wire, name: str, pairs: Sequence[tuple[str, str]]) -> Answer | None:
    if not pairs:
        return None
    columns = (texts([one for one, _ in pairs]), texts([one for _, one in pairs]))
    return wire.execute(_sql[name], columns)


def _keep_raw(wire: Wire, raw: RawPayload, now: dt.datetime) -> None:
    values = (
        raw.id,
        raw.system,
        raw.door,
        raw.content_type,
        Jsonb(raw.headers),
        raw.body,
        raw.received_at or now,
    )
    wire.execute(_sql["keep_raw"], values)


def _settle(wire: Wire, settlements: Sequence[Settlement]) -> None:
    """Marks how far payloads are; of several marks of one the last holds."""
    latest = list({one.payload_id: one for one in settlements}.values())
    values = {
        "ids": numbers([one.payload_id for one in latest]),
        "done": numbers([one.items_done for one in latest]),
        "final": numbers([one.final for one in latest]),
    }
    wire.execute(_sql["settle_payloads"], values)


def _one(answer: Answer) -> tuple[Any, ...]:
    row = answer.fetchone()
    assert row is not None
    return row
