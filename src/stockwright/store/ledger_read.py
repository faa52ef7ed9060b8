"""Reads, under the lane, everything a batch may touch."""

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from stockwright.domain.accounts import Balance, Claim, Count, DemandLine, Lot, Transfer, Waiting
from stockwright.domain.backorders import Backorder
from stockwright.domain.books import Books, Statement
from stockwright.domain.catalog import Catalog
from stockwright.domain.events import Fact, Outcome, Request
from stockwright.domain.postings import POSTINGS
from stockwright.domain.reserving import order_of
from stockwright.domain.wellformed import Expiry, Prepared, statement
from stockwright.store.arrays import texts
from stockwright.store.queries import load
from stockwright.store.wire import Wire

_sql = load("ledger")
_PLACING = frozenset({"reserve", "confirm", "allocate"})
_ORDER_FACTS = frozenset(
    {"shipment", "return_receipt", "pick", "unpick", "channel_order", "channel_cancel"}
)
_TRANSFERS = frozenset({"transfer_out", "transfer_in", "transfer_close"})
_INSPECTED = frozenset(
    {"return_receipt", "inspection_result", "receipt", "transfer_in", "adjustment", "count"}
)

_READ_TWICE = frozenset({"reversal", "lot_recall"})

Pairs = set[tuple[str, str]]


class Needs:
    """What a batch names, told by its items alone.

    only_new: nothing in it speaks of an order that must exist already, or names its places later.
    """

    def __init__(self, items: Iterable[Prepared]) -> None:
        self.keys: list[str] = []
        self.facts: list[tuple[Fact, Prepared]] = []
        self.requests: list[Request] = []
        self.orders: Pairs = set()
        self.skus: set[str] = set()
        self.bindings: Pairs = set()
        self.only_new = True
        for prepared in items:
            self.keys.append(prepared.key)
            # What is at fault in a poisoned item may be what it names: it is parked unread.
            if not prepared.trouble:
                self._add(prepared)

    def _add(self, prepared: Prepared) -> None:
        item = prepared.item
        if type(item) is Request:
            self.requests.append(item)
            self.only_new = self.only_new and item.kind == "reserve"
            self.orders.add((item.system, order_of(item)))
            for line in item.lines:
                if line.sku:
                    self.skus.add(line.sku)
                elif line.item:
                    self.bindings.add((item.system, line.item))
        elif type(item) is Fact:
            self.facts.append((item, prepared))
            if item.order or item.kind in _READ_TWICE:
                self.only_new = False
            if item.order:
                self.orders.add((item.order_system or item.system, item.order))
            if item.sku:
                self.skus.add(item.sku)
            else:
                self.bindings.add((item.system, item.item))
            if item.to_sku:
                self.skus.add(item.to_sku)
        elif isinstance(item, Expiry):
            self.only_new = False
            self.orders.add((item.system, item.order))


def put_identities(wire: Wire, books: Books, rows: Sequence[tuple[Any, ...]]) -> None:
    """Fills in the answers given before; what they said in full is read where there are any."""
    if not rows:
        return
    found = wire.execute(_sql["answers"], ([row[2] for row in rows],))
    kept: dict[int, Any] = dict(found.fetchall())
    for key, digest, sequence, code in rows:
        first = Outcome(code=code, sequence=sequence, **kept.get(sequence, {}))
        books.identities[key] = (bytes(digest), first)


def put_demand(books: Books, rows: Iterable[tuple[Any, ...]]) -> None:
    """Fills in demand lines and their claims."""
    for row in rows:
        lines = books.demand.setdefault((row[1], row[2]), {})
        line = lines.get(row[3])
        if line is None:
            line = lines[row[3]] = _demand_line(row)
        if row[21] is not None:
            line.claims[(row[21], row[22])] = Claim(row[23], row[24], row[25], row[26])


def _demand_line(row: tuple[Any, ...]) -> DemandLine:
    line = DemandLine(row[0], row[1], row[2], row[3], row[4], row[5])
    (
        line.lot,
        line.fresh_until,
        line.ordered,
        line.shipped,
        line.cancelled,
        line.cancel_requested,
        line.cancel_unmet,
    ) = row[6:13]
    (
        line.returned,
        line.picked,
        line.finals,
        line.state,
        line.unshipped_state,
        line.expires_at,
        line.transitions,
        line.version,
    ) = row[13:21]
    return line


Asked = list[tuple[Callable[[Iterable[tuple[Any, ...]]], None], Any]]
"""What was asked for: how to put the rows into the books, and the cursor they come by."""


class Scope:
    """What a batch touches once its codes are resolved: places, SKUs, times."""

    def __init__(self, needs: Needs, books: Books, places: Iterable[tuple[str, str]] = ()) -> None:
        self.books = books
        self.places: Pairs = set(places)
        self.everywhere: set[str] = set()
        self.controlled: set[str] = set()
        self.fenced: set[str] = set()
        self.owed: set[str] = set()
        self.owed_orders: Pairs = set()
        self.dated: dict[tuple[str, str], dt.datetime] = {}
        self.inspected: Pairs = set()
        self.transfers: set[str] = set()
        self.documents: set[str] = set()
        self.statements: set[str] = set()
        self.reversed: set[int] = set()
        self.counts: list[tuple[Fact, Prepared, str]] = []
        self.snapshots: set[str] = set()
        catalog = books.catalog
        self._switched = {
            place
            for place, holders in catalog.authorities.items()
            if len({system for _, system in holders}) > 1
        }
        for request in needs.requests:
            self._add_request(request, catalog)
        for fact, prepared in needs.facts:
            self._add_fact(fact, prepared, catalog)
        self._add_demand(catalog)

    def _add_request(self, request: Request, catalog: Catalog) -> None:
        channel = catalog.channels.get(request.channel or request.system)
        for line in request.lines:
            code = line.sku or catalog.bindings.get((request.system, line.item), ("", ""))[0]
            if code:
                self._add_places(code, (line.location, *(channel.pool if channel else ())), catalog)
        if request.kind == "cancel" and catalog.owed:
            self.owed_orders.add((request.system, order_of(request)))

    def _add_places(self, sku: str, places: Iterable[str], catalog: Catalog) -> None:
        for place in places:
            if place:
                self.places.add((sku, place))
        known = catalog.skus.get(sku)
        if known is not None and known.control != "none":
            self.controlled.add(sku)
        if catalog.has_fences:
            self.fenced.add(sku)
        if sku in catalog.owed:
            self.owed.add(sku)

    def _add_fact(self, fact: Fact, prepared: Prepared, catalog: Catalog) -> None:
        code = fact.sku or catalog.bindings.get((fact.system, fact.item), ("", ""))[0]
        place = catalog.place(fact.system, fact.location)
        kind = fact.kind
        pool: tuple[str, ...] = ()
        if kind == "channel_order" and fact.channel in catalog.channels:
            pool = catalog.channels[fact.channel].pool
        if code:
            self._add_places(code, (place, *pool), catalog)
            at = fact.occurred_at or prepared.received_at
            if place and kind != "channel_order":
                self.dated[(code, place)] = min(at, self.dated.get((code, place), at))
            if kind in _INSPECTED:
                self.inspected.add((code, place))
        self._add_rare(fact, prepared, code, place)

    def _add_rare(self, fact: Fact, prepared: Prepared, code: str, place: str) -> None:
        kind = fact.kind
        if kind == "lot_recall":
            self.everywhere.add(code)
            self.dated[(code, "")] = fact.occurred_at or prepared.received_at
        elif kind in ("count", "snapshot"):
            self.counts.append((fact, prepared, code))
            self.snapshots.add(code) if kind == "snapshot" else None
        elif kind in _TRANSFERS:
            self.transfers.add(fact.transfer or fact.document)
        elif kind == "conversion":
            self._add_places(fact.to_sku, (place,), self.books.catalog)
        elif kind == "reversal":
            self.reversed.add(fact.reverses)
            self.statements.add(f"reversal|{fact.reverses}")
        system = self.books.catalog.systems.get(fact.system)
        if kind == "channel_order" or (system is not None and system.revisions != "increment"):
            self.statements.add(statement(fact))
            if kind == "conversion":
                self.statements.add(f"{statement(fact)}|to")
        if (place, POSTINGS[kind].group) in self._switched:
            self.documents.add(fact.order or fact.transfer or fact.document)

    def _add_demand(self, catalog: Catalog) -> None:
        for lines in self.books.demand.values():
            for line in lines.values():
                channel = catalog.channels.get(line.channel)
                self._add_places(line.sku, (place for place, _ in line.claims), catalog)
                if line.state in ("expired", "released", "open"):
                    self._add_places(line.sku, channel.pool if channel else (), catalog)

    @property
    def ordinary(self) -> bool:
        """Whether balances, and when they were counted, are all it touches."""
        return not (
            self.everywhere
            or self.controlled
            or self.fenced
            or self.owed
            or self.transfers
            or self.documents
            or self.statements
            or self.reversed
            or self.counts
            or self.snapshots
        )

    @property
    def reach(self) -> dt.timedelta:
        """How far apart the clocks of two systems may be."""
        systems = self.books.catalog.systems.values()
        return dt.timedelta(seconds=max((one.clock_error_s for one in systems), default=0))

    def events(self) -> set[int]:
        """Events of the past that the batch speaks of: to take them back, or tell them anew."""
        told = {one for found in self.books.revisions.values() for one in found.events}
        return (self.reversed | told) - self.books.recounted.keys()

    def read(self, wire: Wire) -> None:
        """Reads all of it into the books, in one round trip for what every batch needs."""
        self.fill(self.ask(wire))
        if self.everywhere:
            self._read_everywhere(wire)

    def widen(self, wire: Wire, other: "Scope", dated: dict[tuple[str, str], dt.datetime]) -> None:
        """Reads what another scope touches beyond this one, and counts back to earlier times."""
        for cell, at in {**other.dated, **dated}.items():
            other.dated[cell] = min(at, self.dated.get(cell, at), other.dated.get(cell, at))
        for counted in list(self.books.counts):
            if counted[:2] in other.dated:
                del self.books.counts[counted]
        other.inspected -= self.inspected
        other.read(wire)
        self.places |= other.places
        self.dated |= other.dated
        self.inspected |= other.inspected

    def fill(self, asked: "Asked") -> None:
        """Puts what was asked for into the books, once it has come."""
        self.books.read = self.places | (self.books.read or set())
        if self.counts:
            self.books.journal = {}
        for put, cursor in asked:
            put(cursor.fetchall())

    def ask(self, wire: Wire) -> "Asked":
        """Asks for all of it, inside the caller's pipeline."""
        asked: Asked = [(self._put_balances, self._balances(wire))]
        if self.everywhere:
            asked.append(
                (
                    self._put_balances,
                    self._by("balances_everywhere", wire, self.everywhere),
                )
            )
        if self.dated:
            asked.append((self._put_counts, self._counts(wire)))
        if self.inspected:
            asked.append((self._put_waiting, self._pairs("waiting", wire, self.inspected)))
        if self.transfers:
            asked.append((self._put_transfers, self._by("transfers", wire, self.transfers)))
        if self.documents:
            asked.append((self._put_owners, self._by("owners", wire, self.documents)))
        if self.statements:
            asked.append((self._put_revisions, self._by("revisions", wire, self.statements)))
        if self.controlled:
            asked.append((self._put_lots, self._by("lots", wire, self.controlled)))
            asked.append((self._put_fresh, self._by("fresh", wire, self.controlled)))
        if self.fenced:
            asked.append((self._put_channel_claims, self._by("channel_claims", wire, self.fenced)))
        if self.owed:
            asked.append((self._put_backorders, self._by("backorders", wire, self.owed)))
        if self.owed_orders:
            rows = self._pairs("backorders_of_orders", wire, self.owed_orders)
            asked.append((self._put_backorders, rows))
        if self.snapshots:
            asked.append((self._put_contained, self._by("contained", wire, self.snapshots)))
        if self.counts:
            asked.append((self._put_after, self._after(wire)))
        return asked

    # ------------------------------------------------------------ asking

    def _balances(self, wire: Wire) -> Any:
        places = self.places
        return wire.execute(
            _sql["balances"],
            (texts([sku for sku, _ in places]), texts([place for _, place in places])),
        )

    def _by(self, name: str, wire: Wire, codes: Iterable[str]) -> Any:
        return wire.execute(_sql[name], (texts(list(codes)),))

    def _pairs(self, name: str, wire: Wire, pairs: Pairs) -> Any:
        return wire.execute(
            _sql[name], (texts([a for a, _ in pairs]), texts([b for _, b in pairs]))
        )

    def _counts(self, wire: Wire) -> Any:
        reach = self.reach
        cells = list(self.dated)
        times = [(self.dated[cell] - reach).isoformat() for cell in cells]
        return wire.execute(
            _sql["counts"],
            (texts([sku for sku, _ in cells]), texts([place for _, place in cells]), texts(times)),
        )

    def _after(self, wire: Wire) -> Any:
        rows: list[tuple[Any, ...]] = []
        for fact, prepared, code in self.counts:
            sku = self.books.catalog.skus.get(code)
            lot = fact.lot if sku is not None and sku.control != "none" else ""
            at = fact.occurred_at
            if at is None or at > prepared.received_at:
                at = prepared.received_at
            place = self.books.catalog.place(fact.system, fact.location)
            buckets = [fact.bucket] if fact.picked_included else [fact.bucket, "picked"]
            rows.extend(
                (prepared.key, code, place, lot, bucket, at, fact.system, fact.position)
                for bucket in buckets
            )
        return wire.execute(
            _sql["moved_after"], tuple(list(column) for column in zip(*rows, strict=True))
        )

    def _read_everywhere(self, wire: Wire) -> None:
        """A recall names no place: the counts of the places it turns out to touch come second."""
        found = {(key[0], key[1]) for key in self.books.balances if key[0] in self.everywhere}
        self.places |= found
        earliest = min(self.dated.values(), default=self.books.now)
        self.dated = dict.fromkeys(found, earliest)
        if found:
            self._put_counts(self._counts(wire).fetchall())

    # ------------------------------------------------------------ filling in

    def _put_balances(self, rows: Iterable[tuple[Any, ...]]) -> None:
        for row in rows:
            key = (row[0], row[1], row[2])
            if key not in self.books.balances:
                self.books.put_balance(key, Balance(*row[3:]))

    def _put_counts(self, rows: Iterable[tuple[Any, ...]]) -> None:
        for sku, location, lot, bucket, as_of, system, position, reverses in rows:
            cell = (sku, location, lot, bucket)
            self.books.counts.setdefault(cell, []).append(Count(as_of, system, position, reverses))

    def _put_waiting(self, rows: Iterable[tuple[Any, ...]]) -> None:
        for sku, location, lot, sequence, to_bucket, quantity, occurred_at in rows:
            waiting = Waiting(sequence, to_bucket, quantity, occurred_at)
            self.books.waiting.setdefault((sku, location, lot), []).append(waiting)

    def _put_transfers(self, rows: Iterable[tuple[Any, ...]]) -> None:
        for document, sku, lot, *values in rows:
            transfer = self.books.transfers[(document, sku, lot)] = Transfer()
            (
                transfer.sent,
                transfer.arrived,
                transfer.closed,
                transfer.excess,
                transfer.from_location,
                transfer.to_location,
                transfer.eta,
                transfer.version,
            ) = values

    def _put_owners(self, rows: Iterable[tuple[Any, ...]]) -> None:
        for location, group, document, system in rows:
            self.books.owners[(location, group, document)] = system

    def _put_revisions(self, rows: Iterable[tuple[Any, ...]]) -> None:
        for key, revision, quantity, events, since in rows:
            self.books.revisions[key] = Statement(revision, quantity, tuple(events), since)

    def _put_lots(self, rows: Iterable[tuple[Any, ...]]) -> None:
        for sku, code, expires_on, recalled in rows:
            self.books.lots[(sku, code)] = Lot(expires_on, recalled, True)

    def _put_fresh(self, rows: Iterable[tuple[Any, ...]]) -> None:
        for sku, location, fresh_until, units in rows:
            self.books.fresh[(sku, location, fresh_until)] = units

    def _put_channel_claims(self, rows: Iterable[tuple[Any, ...]]) -> None:
        for channel, sku, units in rows:
            self.books.channel_claims[(channel, sku)] = units

    def _put_backorders(self, rows: Iterable[tuple[Any, ...]]) -> None:
        for row in rows:
            found = Backorder(*row)
            self.books.backorders[found.key] = found

    def _put_contained(self, rows: Iterable[tuple[Any, ...]]) -> None:
        for sku, location, line_id, units in rows:
            self.books.contained.setdefault((sku, location), []).append((line_id, units))

    def _put_after(self, rows: Iterable[tuple[Any, ...]]) -> None:
        for item, bucket, later, undecided in rows:
            self.books.after[(item, bucket)] = (int(later), undecided)
