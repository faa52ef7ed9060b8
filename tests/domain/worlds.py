"""A ledger without a database: the same decisions, kept in memory from batch to batch."""

import datetime as dt
from collections.abc import Iterable
from itertools import count as numbers
from typing import Any

from stockwright.domain.accounts import BUCKETS, CELLS, Balance
from stockwright.domain.books import Books, Move, Recounted
from stockwright.domain.catalog import Catalog, Channel, Location, Sku, System
from stockwright.domain.events import Fact, Item, Outcome, Request, RequestLine
from stockwright.domain.ledger import Decision, decide
from stockwright.domain.wellformed import Expiry, prepare

START = dt.datetime(2026, 3, 2, 8, 0, tzinfo=dt.UTC)


def catalog(**changes: Any) -> Catalog:
    """One plain SKU A, one lot-controlled L, a set S of 6 in a case; two places, two channels."""
    parts: dict[str, Any] = {
        "skus": {
            "A": Sku("A", factors={"CS": 6}),
            "B": Sku("B"),
            "L": Sku("L", control="lot"),
            "N": Sku("N", control="serial"),
        },
        "locations": {
            "EAST": Location("EAST", priority=1),
            "WEST": Location("WEST", priority=2),
            "SNAP": Location("SNAP", feed="snapshot", priority=3),
        },
        "channels": {
            "web": Channel("web", "web", ("EAST", "WEST")),
            "b2b": Channel("b2b", "b2b", ("EAST", "WEST"), allow_split=False),
        },
        "systems": {
            "wms": System("wms"),
            "erp": System("erp"),
            "web": System("web"),
            "b2b": System("b2b"),
            "tpl": System("tpl", revisions="cumulative"),
            "net": System("net", snapshot_basis="net"),
            "late": System("late", clock_error_s=60),
        },
        "authorities": {},
        "bindings": {("erp", "0042"): ("A", ""), ("erp", "42-CS"): ("A", "CS")},
    }
    return Catalog(**(parts | changes))


class World:
    """Feeds items to the ledger and keeps its books. Every batch is checked for conservation."""

    def __init__(self, known: Catalog | None = None, now: dt.datetime = START) -> None:
        self.catalog = known or catalog()
        self.now = now
        self.books = Books(self.catalog, now, 0)
        self.moves: list[tuple[int, Move]] = []
        self.transitions: list[tuple[int, int, str]] = []
        self.work: dict[tuple[str, str], dict[str, Any]] = {}
        self.decision: Decision | None = None
        self.told_by: dict[int, str] = {}
        self.told: dict[int, Item | Expiry] = {}
        self.base_units: dict[int, int] = {}
        self._documents = numbers(1)

    def batch(self, items: Iterable[Item | Expiry]) -> list[Outcome]:
        """Decides items in one batch and carries the state on, as the store would."""
        prepared = [prepare(item, self.now) for item in items]
        self._read_ahead(prepared)
        decision = self.decision = decide(prepared, self.books)
        for sequence, _, move in decision.written.moves:
            self.moves.append((sequence, move))
        for one in decision.recorded:
            self.told[one.sequence] = one.prepared.item
            if one.outcome.answer and "base_quantity" in one.outcome.answer:
                self.base_units[one.sequence] = one.outcome.answer["base_quantity"]
        self.told_by |= {one.sequence: one.prepared.item.system for one in decision.recorded}
        self.transitions += [(one, n, state) for one, n, state, _ in decision.written.transitions]
        for _, (what, kind, subject, *_rest, detail) in decision.written.work:
            if what == "open":
                self.work[(kind, subject)] = detail
            else:
                self.work.pop((kind, subject), None)
        self.check()
        return decision.outcomes

    def _read_ahead(self, prepared: list[Any]) -> None:
        """What the store reads for counts and reversals, answered from the moves kept here."""
        self.books.now = self.now
        self.books.journal = {}
        self.books.after = {}
        for one in prepared:
            item = one.item
            if isinstance(item, Fact) and item.kind in ("count", "snapshot"):
                at = min(item.occurred_at or self.now, self.now)
                for bucket in (item.bucket, "picked"):
                    self.books.after[(one.key, bucket)] = self._later(item, bucket, at)
            if isinstance(item, Fact) and item.kind == "reversal":
                told = self.told.get(item.reverses)
                if isinstance(told, Fact) and item.reverses not in self.books.recounted:
                    moved = [move for sequence, move in self.moves if sequence == item.reverses]
                    units = self.base_units.get(item.reverses, told.quantity)
                    self.books.recounted[item.reverses] = Recounted(told, units, moved)

    def _later(self, item: Fact, bucket: str, at: dt.datetime) -> tuple[int, bool]:
        later = 0
        undecided = False
        lot = item.lot if self.catalog.skus[item.sku].control != "none" else ""
        systems = self.catalog.systems
        for sequence, move in self.moves:
            sku, its_lot, source, origin, target, place, units, moved_at, *_ = move
            if (sku, its_lot) != (item.sku, lot):
                continue
            signed = units * ((target, place) == (bucket, item.location))
            signed -= units * ((source, origin) == (bucket, item.location))
            if not signed:
                continue
            if moved_at > at:
                later += signed
            told_by = self.told_by.get(sequence, "")
            if told_by != item.system and "adjustment" not in (source, target):
                error = max(systems[one].clock_error_s for one in (told_by, item.system))
                undecided |= error > 0 and abs((moved_at - at).total_seconds()) <= error
        return later, undecided

    def one(self, item: Item | Expiry) -> Outcome:
        """Decides one item in a batch of its own."""
        return self.batch([item])[0]

    def fact(self, kind: str, quantity: int = 0, sku: str = "A", **fields: Any) -> Outcome:
        """One fact at EAST from the WMS, its document numbered, unless told otherwise."""
        fields.setdefault("system", "wms")
        fields.setdefault("document", f"D{next(self._documents)}")
        fields.setdefault("location", "EAST")
        return self.one(Fact(kind=kind, quantity=quantity, sku=sku, **fields))  # type: ignore[arg-type]

    def ask(self, kind: str, order: str = "O1", **fields: Any) -> Outcome:
        """One request of the web channel; `lines` as {line: (sku, quantity)} or RequestLines."""
        fields.setdefault("system", "web")
        fields.setdefault("document", f"K{next(self._documents)}")
        lines = fields.pop("lines", {})
        if isinstance(lines, dict):
            lines = [
                RequestLine(line=name, sku=sku, quantity=n) for name, (sku, n) in lines.items()
            ]
        return self.one(Request(kind=kind, order=order, lines=lines, **fields))  # type: ignore[arg-type]

    def reserve(self, quantity: int, order: str = "O1", sku: str = "A", **fields: Any) -> Outcome:
        """One line reserved for the web channel."""
        return self.ask("reserve", order, lines={"1": (sku, quantity)}, **fields)

    def at(self, location: str = "EAST", sku: str = "A", lot: str = "") -> Balance:
        """The balance of a cell."""
        return self.books.balances.get((sku, location, lot), Balance())

    def free(self, location: str = "EAST", sku: str = "A") -> int:
        """Free units at a place over all lots."""
        return sum(
            one.free
            for key, one in self.books.balances.items()
            if key[0] == sku and key[1] == location
        )

    def line(self, order: str = "O1", line: str = "1", system: str = "web") -> Any:
        """A demand line."""
        return self.books.demand[(system, order)][line]

    def check(self) -> None:
        """Conservation: balances are the sum of the moves, claims are the sum of the lines'."""
        summed: dict[tuple[str, str, str, str], int] = {}
        for _, (sku, lot, source, origin, target, place, units, *_) in self.moves:
            assert units > 0
            if source in CELLS:
                summed[(sku, origin, lot, source)] = (
                    summed.get((sku, origin, lot, source), 0) - units
                )
            if target in CELLS:
                summed[(sku, place, lot, target)] = summed.get((sku, place, lot, target), 0) + units
        for key, balance in self.books.balances.items():
            for account in (*BUCKETS, "reserved", "allocated", "picked"):
                assert getattr(balance, account) == summed.get((*key, account), 0), (key, account)
        claimed: dict[tuple[str, str, str, str], int] = {}
        for lines in self.books.demand.values():
            for line in lines.values():
                for (place, lot), claim in line.claims.items():
                    for stage in ("reserved", "allocated", "picked"):
                        units = getattr(claim, stage)
                        assert units >= 0
                        cell = (line.sku, place, lot, stage)
                        claimed[cell] = claimed.get(cell, 0) + units
        for (sku, place, lot, account), units in summed.items():
            if account in ("reserved", "allocated", "picked"):
                assert claimed.get((sku, place, lot, account), 0) == units

    def end(self) -> Any:
        """What must not depend on the order of arrival: balances, and what became of each line."""
        balances = {
            key: tuple(getattr(one, name) for name in (*BUCKETS, "reserved", "allocated", "picked"))
            for key, one in self.books.balances.items()
        }
        lines = {
            (system, order, name): (
                line.ordered, line.shipped, line.cancelled, line.cancel_requested,
                line.cancel_unmet, line.returned, line.open, line.held, line.state,
            )
            for (system, order), found in self.books.demand.items()
            for name, line in found.items()
        }  # fmt: skip
        return {key: one for key, one in balances.items() if any(one)}, lines


def moves_of_goods(moves: Iterable[Move]) -> list[Move]:
    """The moves of the goods book."""
    promises = {"unclaimed", "reserved", "allocated", "picked", "fulfilled"}
    return [move for move in moves if not promises & {move[2], move[4]}]
