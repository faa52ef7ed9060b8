"""The only door to stock: one batch, one transaction, one lane.

The lane is an advisory lock taken alone as the first statement, so that every later statement sees
what the holder before us committed; it makes several processes exact without deadlocks, and lets
readers follow `sequence > last` without skipping.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any, Final

import msgspec
import psycopg
from psycopg.types.json import Jsonb

from stockwright.domain.books import Books, Unread, Written
from stockwright.domain.errors import Transient
from stockwright.domain.events import MAX_CODE, Outcome
from stockwright.domain.ledger import Decision, decide
from stockwright.domain.wellformed import Expiry, Prepared, prepare
from stockwright.store.arrays import texts
from stockwright.store.catalog import CatalogCache
from stockwright.store.connection import Connection, connect
from stockwright.store.ledger_read import Needs, Scope, put_demand, put_identities
from stockwright.store.ledger_write import write_part, write_rest
from stockwright.store.queries import load

LANE: Final = 0x5701_0000
MAX_BATCH: Final = 500
SLICE: Final = 125
DUE_AT_ONCE: Final = 200
_RERUN: Final = frozenset({"08", "25", "40", "53", "55", "57", "58"})
_ROOM: Final = 500_000
_sql = load("ledger")


class RawPayload(msgspec.Struct):
    """The raw body of one call, kept in the same commit as its items. id is given on first use."""

    system: str
    door: str
    content_type: str
    headers: dict[str, str]
    body: bytes
    received_at: dt.datetime | None = None
    id: int = 0
    stored: bool = False


class Settlement(msgspec.Struct):
    """How far a payload of the first door is recorded once this batch commits."""

    payload_id: int
    items_done: int
    final: bool


class BatchRefused(Exception):
    """The database refused a value, a constraint or a size (SQLSTATE 22, 23, 54): some item of the
    batch is at fault.
    """


class BatchInterrupted(Exception):
    """The batch may be run again as it is (SQLSTATE 40, 08, 57, or a COMMIT whose end is not
    known).
    """


class Ledger:
    """One connection that records batches. Not shared between threads."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Connection | None = None
        self._cache = CatalogCache()
        self._partitions_until = 0
        self.last_sequence = 0

    def close(self) -> None:
        """Lets the connection go; an open transaction of it is rolled back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def record(
        self,
        items: Sequence[Prepared],
        raws: Sequence[RawPayload] = (),
        settlements: Sequence[Settlement] = (),
    ) -> list[Outcome]:
        """Decides and writes a batch in one transaction; outcomes are aligned with the items.

        Safe to repeat with the same items: identities answer a second time what they answered
        first. Raises BatchRefused, after which nothing stands, and BatchInterrupted, after which
        nothing or, where the COMMIT was lost, all of it stands.
        """
        places: set[tuple[str, str]] = set()
        try:
            connection = self._open()
            while True:
                try:
                    decision = self._transact(connection, items, raws, settlements, places)
                    break
                except Unread as gap:
                    self._abandon()
                    connection = self._open()
                    places.add(gap.place)
        except psycopg.Error as fault:
            self._abandon()
            if isinstance(fault, psycopg.errors.LockNotAvailable):
                self._free_lane()
            state = (fault.sqlstate or "08")[:2]
            if state in ("22", "23", "54"):
                raise BatchRefused(str(fault)) from fault
            if state in _RERUN:
                raise BatchInterrupted(str(fault)) from fault
            raise
        except Transient as fault:
            raise BatchInterrupted(str(fault)) from fault
        except BaseException:
            self._abandon()
            raise
        for raw in raws:
            raw.stored = True
        return decision.outcomes[len(decision.outcomes) - len(items) :]

    # ------------------------------------------------------------ one transaction

    def _transact(
        self,
        connection: Connection,
        items: Sequence[Prepared],
        raws: Sequence[RawPayload],
        settlements: Sequence[Settlement],
        places: Iterable[tuple[str, str]],
    ) -> Decision:
        needs = Needs(items)
        guess = self._guess(needs, places)
        with connection.pipeline():
            connection.execute("begin", prepare=True)
            connection.execute(_sql["lane"], (LANE,), prepare=True)
            head = connection.execute(_sql["head"], prepare=True)
            identities = connection.execute(_sql["identities"], (texts(needs.keys),), prepare=True)
            orders = needs.orders
            demand = connection.execute(
                _sql["demand"],
                (texts([one for one, _ in orders]), texts([one for _, one in orders])),
                prepare=True,
            )
            asked = guess.ask(connection) if guess is not None else []
        sequence, now, revision, due = _one(head)
        catalog = self._cache.at(connection, revision)
        books = Books(catalog, now, sequence)
        put_identities(connection, books, identities.fetchall())
        put_demand(books, demand.fetchall())
        everything = [*(self._expiries(connection, books) if due else ()), *items]
        if guess is not None and guess.books.catalog is catalog and not books.demand:
            guess.books = books
            guess.fill(asked)
        else:
            self._read(connection, needs, books, places)
        with connection.pipeline():
            for raw in raws:
                if not raw.stored:
                    _keep_raw(connection, raw, books.now)
            decision = _decide_and_write(connection, everything, books, sequence)
            for one in settlements:
                values = {"id": one.payload_id, "done": one.items_done, "final": one.final}
                connection.execute(_sql["settle_payload"], values)
            connection.execute("commit", prepare=True)
        self.last_sequence = books.sequence
        return decision

    def _guess(self, needs: Needs, places: Iterable[tuple[str, str]]) -> Scope | None:
        """What a batch of new things will touch if the item master has not changed meanwhile.

        Asked for in the same round trip as the head, which tells whether it has.
        """
        catalog = self._cache.knows(needs.skus, needs.bindings) if needs.only_new else None
        if catalog is None:
            return None
        return Scope(needs, Books(catalog, dt.datetime.now(dt.UTC), 0), places)

    def _read(
        self,
        connection: Connection,
        needs: Needs,
        books: Books,
        places: Iterable[tuple[str, str]],
    ) -> None:
        """Reads what the batch touches, its codes and demand lines being known by now."""
        lines = {line.sku for one in books.demand.values() for line in one.values()}
        self._cache.fetch(connection, needs.skus | lines, needs.bindings)
        Scope(needs, books, places).read(connection)

    def _expiries(self, connection: Connection, books: Books) -> list[Prepared]:
        """Due holds as items to be decided first: a grant that needs stock may record them
        itself.
        """
        items = []
        rows = connection.execute(_sql["due"], (books.now, DUE_AT_ONCE)).fetchall()
        for system, order, lines, expires_at in rows:
            named = "+".join(lines)
            if len(named) > MAX_CODE:  # a key has to fit into its index
                named = blake2b(named.encode(), digest_size=16).hexdigest()
            document = f"{order}@{expires_at.isoformat()}#{named}"
            item = Expiry(system=system, order=order, lines=lines, document=document)
            items.append(prepare(item, books.now))
        missing = [
            (system, order) for system, order, _, _ in rows if (system, order) not in books.demand
        ]
        if missing:
            pairs = (texts([one for one, _ in missing]), texts([one for _, one in missing]))
            put_demand(books, connection.execute(_sql["demand"], pairs).fetchall())
        return items

    # ------------------------------------------------------------ connection

    def _open(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = connect(
                self._url, application_name="stockwright-ledger", autocommit=True
            )
            self._connection.prepare_threshold = 0
            self._connection.execute(_sql["session"])
        self._make_partitions(self._connection)
        return self._connection

    def _make_partitions(self, connection: Connection) -> None:
        """Keeps room ahead of the head, outside the lane."""
        if self.last_sequence + _ROOM < self._partitions_until:
            return
        self.last_sequence = max(self.last_sequence, _one(connection.execute(_sql["head"]))[0])
        self._partitions_until = _one(connection.execute(_sql["partitions_until"]))[0] or 0
        if self.last_sequence + _ROOM >= self._partitions_until:
            connection.execute(_sql["make_partitions"], (self.last_sequence + 2 * _ROOM,))
            self._partitions_until = _one(connection.execute(_sql["partitions_until"]))[0]

    def _abandon(self) -> None:
        """Gives the lane back after a failure: by rollback, or by closing where that fails too."""
        try:
            if self._connection is not None:
                self._connection.execute("rollback")
        except psycopg.Error:
            self.close()

    def _free_lane(self) -> None:
        """Nobody got the lane for a while: ends the session of a holder that is frozen."""
        try:
            if self._connection is not None:
                self._connection.execute(_sql["free_lane"], (LANE,))
        except psycopg.Error:
            self.close()

    def number_payloads(self, raws: Sequence[RawPayload]) -> None:
        """Numbers raw payloads that are about to be stored. Raises BatchInterrupted."""
        try:
            rows = self._open().execute(_sql["payload_ids"], (len(raws),), prepare=True).fetchall()
        except (psycopg.Error, Transient) as fault:
            self._abandon()
            raise BatchInterrupted(str(fault)) from fault
        for raw, (number,) in zip(raws, rows, strict=True):
            raw.id = number


def _decide_and_write(
    connection: Connection, items: Sequence[Prepared], books: Books, before: int
) -> Decision:
    """Decides in slices, so that the server already writes one while the next is being decided.

    History and demand lines are sent per slice; balances, which many items share, once at the end.
    """
    whole = Decision([], [], [], Written())
    for start in range(0, len(items), SLICE):
        part = decide(items[start : start + SLICE], books)
        write_part(connection, part, books.now)
        whole.outcomes.extend(part.outcomes)
        whole.recorded.extend(part.recorded)
        whole.parked.extend(part.parked)
        whole.written.absorb(part.written)
    write_rest(connection, whole, books, before)
    return whole


def _keep_raw(connection: Connection, raw: RawPayload, now: dt.datetime) -> None:
    values = (
        raw.id,
        raw.system,
        raw.door,
        raw.content_type,
        Jsonb(raw.headers),
        raw.body,
        raw.received_at or now,
    )
    connection.execute(_sql["keep_raw"], values)


def _one(cursor: Any) -> tuple[Any, ...]:
    row = cursor.fetchone()
    assert row is not None
    found: tuple[Any, ...] = row
    return found
