"""Rehearses a batch: what the ledger would decide now, without the lane and without a trace.

It reads the way `store.ledger` reads, on a snapshot of its own, decides by the same rules, and
rolls back. What another batch records meanwhile may make the real thing end otherwise.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import psycopg

from stockwright.domain.books import Books, Unread
from stockwright.domain.errors import Transient
from stockwright.domain.events import Outcome
from stockwright.domain.ledger import Decision, decide
from stockwright.domain.wellformed import Prepared
from stockwright.store.arrays import texts
from stockwright.store.catalog import CatalogCache
from stockwright.store.connection import connect
from stockwright.store.feed import Move
from stockwright.store.ledger_read import Needs, Scope, put_demand, put_identities
from stockwright.store.queries import load
from stockwright.store.wire import Wire

_SQL: Final = load("ledger")
MOST_ITEMS: Final = 500

Bound = Mapping[tuple[str, str], tuple[str, str]]
"""By (system, partner's code) the SKU it would be bound to, and the unit ('' for the base unit)."""


class Rehearsed(NamedTuple):
    """What an item would lead to. missing names the code that it would wait for."""

    outcome: Outcome
    moves: list[Move]
    missing: str


def rehearse(url: str, items: Sequence[Prepared], bound: Bound) -> list[Rehearsed]:
    """What each item would lead to, in this order, aligned; as if `bound` were bound already.

    An item that stands in the ledger already answers what it did then, and moves nothing.
    """
    assert len(items) <= MOST_ITEMS
    try:
        with connect(url, application_name="stockwright rehearsal", autocommit=True) as connection:
            connection.execute(_SQL["session"])
            wire = Wire(connection)
            places: set[tuple[str, str]] = set()
            while True:
                try:
                    return _told(items, _decide(wire, items, bound, places))
                except Unread as gap:
                    places.add(gap.place)
                finally:
                    wire.execute("rollback")
                    wire.settle()
    except psycopg.OperationalError as failure:
        raise Transient("The database went away. Send the same again.") from failure


def _decide(
    wire: Wire, items: Sequence[Prepared], bound: Bound, places: set[tuple[str, str]]
) -> Decision:
    needs = Needs(items)
    wire.execute("begin transaction isolation level repeatable read read only")
    head = wire.execute(_SQL["head"])
    identities = wire.execute(_SQL["identities"], (texts(needs.keys),))
    orders = list(needs.orders)
    pairs = (texts([one for one, _ in orders]), texts([one for _, one in orders]))
    demand = wire.execute(_SQL["demand"], pairs)
    row: Any = head.fetchone()
    sequence, now, revision, _due_at = row
    cache = CatalogCache()
    catalog = cache.at(wire, revision)
    books = Books(catalog, now, sequence)
    put_identities(wire, books, identities.fetchall())
    put_demand(books, demand.fetchall())
    lines = {line.sku for one in books.demand.values() for line in one.values()}
    cache.fetch(wire, needs.skus | lines | {sku for sku, _ in bound.values()}, needs.bindings)
    assert isinstance(catalog.bindings, dict), "ours alone: nobody else sees what is only supposed"
    catalog.bindings.update(bound)
    Scope(needs, books, places).read(wire)
    return decide(items, books)


def _told(items: Sequence[Prepared], decision: Decision) -> list[Rehearsed]:
    moves: dict[int, list[Move]] = {}
    for sequence, _, entry in decision.written.moves:
        sku, lot, source, origin, target, place, units, _at, _line, transfer, _free = entry
        moves.setdefault(sequence, []).append(
            Move(
                sku=sku,
                lot=lot,
                from_account=source,
                from_location=origin,
                to_account=target,
                to_location=place,
                quantity=units,
                transfer=transfer,
            )
        )
    missing = {id(one.prepared): one.missing for one in decision.parked}
    return [
        Rehearsed(
            outcome,
            [] if outcome.replay else moves.get(outcome.sequence, []),
            missing.get(id(item), ""),
        )
        for item, outcome in zip(items, decision.outcomes, strict=True)
    ]
