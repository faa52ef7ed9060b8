"""Reads events of the past again: what was told, its entries, and what undoing it touches."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from stockwright.domain.books import Books, Move, Recounted
from stockwright.domain.events import Fact
from stockwright.domain.postings import POSTINGS
from stockwright.domain.wellformed import Prepared
from stockwright.store.arrays import numbers, texts
from stockwright.store.ledger_read import Needs, Pairs
from stockwright.store.queries import load
from stockwright.store.wire import Wire

_sql = load("ledger")
_decode = msgspec.json.Decoder(Fact).decode
_FACTS: Final = [row.kind for row in POSTINGS.values() if row.rule not in ("request", "expiry")]
_NOT_TOLD_AGAIN: Final = frozenset({"count", "snapshot", "lot_recall", "lot_expiry", "reversal"})


class Recount:
    """Facts told before: what they need as if they were told now, and the places they moved."""

    def __init__(self, wire: Wire, books: Books, sequences: set[int]) -> None:
        asked = numbers(sorted(sequences))
        moves: dict[int, list[Move]] = {}
        told = wire.execute(_sql["facts"], (asked, texts(_FACTS)))
        for sequence, *move in wire.execute(_sql["entries_of"], (asked,)).fetchall():
            moves.setdefault(sequence, []).append(tuple(move))
        found: dict[int, Recounted] = {}
        for sequence, body, base_units in told.fetchall():
            fact = _decode(body)
            units = fact.quantity if base_units is None else base_units
            found[sequence] = Recounted(fact, units, moves.get(sequence, ()))
        books.recounted.update(found)
        again = [one for one in found.values() if one.fact.kind not in _NOT_TOLD_AGAIN]
        self.needs = Needs([_as_told(one, books) for one in again])
        self.moves = [move for one in found.values() for move in one.moves]
        self.needs.skus |= {move[0] for move in self.moves}

    @property
    def places(self) -> Pairs:
        """(SKU, location) of every move."""
        return {(move[0], place) for move in self.moves for place in (move[3], move[5]) if place}

    def dated(self) -> dict[tuple[str, str], Any]:
        """When the earliest of them moved something at a place."""
        found: dict[tuple[str, str], Any] = {}
        for move in self.moves:
            for place in (move[3], move[5]):
                if place:
                    cell = (move[0], place)
                    found[cell] = min(move[7], found.get(cell, move[7]))
        return found


def _as_told(one: Recounted, books: Books) -> Prepared:
    moves: Sequence[Move] = one.moves
    at = moves[0][7] if moves else books.now
    fact = msgspec.structs.replace(one.fact, sku=moves[0][0]) if moves else one.fact
    return Prepared(fact, "", b"", b"", at, None)
