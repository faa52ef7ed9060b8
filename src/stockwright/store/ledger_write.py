"""Writes a decided batch: identity, events, entries, balances, claims, transitions, dirty rows,
work items.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec.structs import astuple
from psycopg.types.json import Jsonb

from stockwright.domain.accounts import Claim, DemandLine, Key
from stockwright.domain.alarms import alarms
from stockwright.domain.books import Books, Statement, WorkNote, Written
from stockwright.domain.events import Outcome
from stockwright.domain.ledger import Decision, Parked, Recorded
from stockwright.store.arrays import (
    digests,
    documents,
    numbers,
    shared_text,
    shared_time,
    texts,
    times,
)
from stockwright.store.queries import load
from stockwright.store.wire import Wire

_sql = load("ledger")
_encode = msgspec.json.Encoder().encode

PlacedClaim = tuple[DemandLine, tuple[str, str], Claim]
"""A claim with its line and its (location, lot)."""

_DEMAND_FIELDS: Final = (
    "id", "system", "order_ref", "line", "sku", "channel", "lot", "fresh_until", "ordered",
    "shipped", "cancelled", "cancel_requested", "cancel_unmet", "returned", "picked", "finals",
    "state", "unshipped_state", "expires_at", "transitions",
)  # fmt: skip
_CLAIM_FIELDS: Final = (
    "claim_line", "claim_location", "claim_lot", "claim_sku", "claim_reserved", "claim_allocated",
    "claim_picked",
)  # fmt: skip
_NAMES: Final = 4
"""The first fields of a demand line are its id and its names, which never change."""
_DEMAND: Final[tuple[Callable[[Any], str], ...]] = (
    numbers, *(6 * [texts]), times, *(8 * [numbers]), texts, texts, times, numbers, numbers,
)  # fmt: skip
"""How each field of a demand line is written, version last."""
_CLAIM: Final[tuple[Callable[[Any], str], ...]] = (numbers, *(3 * [texts]), *(3 * [numbers]))
_DISTINCT: Final = frozenset({"id", "order_ref", "claim_line"})
"""Columns sent in full whatever they hold: they give the others their length."""


def write_part(wire: Wire, decision: Decision, now: dt.datetime) -> None:
    """Sends what one part of a batch leaves for good: its history, and its demand lines.

    A later part of the batch may change a line again: what is written here counts as read there.
    """
    if decision.recorded:
        _run(
            wire,
            "insert_history",
            {
                "now": now,
                **_event_columns(decision.recorded),
                **_transition_columns(decision.written),
                **_entry_columns(decision.written),
            },
        )
        _write_demand(wire, list(decision.written.demand.values()))


def write_rest(wire: Wire, decision: Decision, books: Books, before: int) -> None:
    """Sends what is written once per batch; the caller commits. Raises where a guard fails."""
    written = decision.written
    if decision.recorded:
        _write_balances(wire, written.balances, books)
        _write_head(wire, books, written, before)
    notes = [*written.work, *((books.sequence, note) for note in alarms(books, written))]
    _write_work(wire, notes)
    for parked in decision.parked:
        _park(wire, parked)
    _write_rare(wire, written)
    _write_owed(wire, written, books.now)


def _run(wire: Wire, name: str, parameters: Any) -> None:
    wire.execute(_sql[name], parameters)


def _event_columns(recorded: Sequence[Recorded]) -> dict[str, Any]:
    prepared = [one.prepared for one in recorded]
    occurred = [one.occurred_at for one in recorded]
    received = [one.received_at for one in prepared]
    outcomes, outcome = shared_text([one.outcome.code for one in recorded])
    kinds, kind = shared_text([one.item.kind for one in prepared])
    systems, system = shared_text([one.item.system for one in prepared])
    occurred_ats, occurred_at = shared_time(occurred)
    # Most facts happened when they were received: then the database takes the one for the other.
    received_ats, received_at = ("{}", occurred_at)
    if occurred != received:
        received_ats, received_at = times(received), None
    return {
        "keys": texts([one.key for one in prepared]),
        "hashes": digests([one.hash for one in prepared]),
        "sequences": numbers([one.sequence for one in recorded]),
        "outcomes": outcomes,
        "outcome": outcome,
        "kinds": kinds,
        "kind": kind,
        "systems": systems,
        "system": system,
        "occurred_ats": occurred_ats,
        "occurred_at": occurred_at,
        "received_ats": received_ats,
        "received_at": received_at,
        "payloads": numbers([one.payload for one in prepared]),
        "bodies": documents([one.body.decode() for one in prepared]),
        "answers": documents([_kept_answer(one.outcome) for one in recorded]),
    }


def _kept_answer(outcome: Outcome) -> str:
    """What is kept of an answer so that it can be given again; empty where the code says it all."""
    if outcome.answer is None and not outcome.message:
        return ""
    kept = {"answer": outcome.answer, "field": outcome.field, "message": outcome.message}
    return _encode(kept).decode()


def _transition_columns(written: Written) -> dict[str, Any]:
    ids, ns, names, sequences = _columns(written.transitions, 4)
    states, state = shared_text(names)
    return {
        "line_ids": numbers(ids),
        "ns": numbers(ns),
        "states": states,
        "state": state,
        "changed_by": numbers(sequences),
    }


def _entry_columns(written: Written) -> dict[str, Any]:
    sequences, ns, moves = _columns(written.moves, 3)
    sku, lot, source, origin, target, place, units, at, line_id, transfer, free = _columns(
        moves, 11
    )
    lots, one_lot = shared_text(lot)
    sources, one_source = shared_text(source)
    origins, one_origin = shared_text(origin)
    targets, one_target = shared_text(target)
    places, one_place = shared_text(place)
    transfers, one_transfer = shared_text(transfer)
    ats, one_at = shared_time(at)
    return {
        "entry_sequences": numbers(sequences),
        "entry_ns": numbers(ns),
        "skus": texts(sku),
        "lots": lots,
        "lot": one_lot,
        "sources": sources,
        "source": one_source,
        "origins": origins,
        "origin": one_origin,
        "targets": targets,
        "target": one_target,
        "places": places,
        "place": one_place,
        "units": numbers(units),
        "ats": ats,
        "at": one_at,
        "entry_lines": numbers(line_id),
        "transfers": transfers,
        "transfer": one_transfer,
        "frees": numbers(free),
    }


def _columns(rows: Sequence[Any], width: int) -> tuple[Any, ...]:
    """The columns of a table given by rows; without rows as many empty ones."""
    return tuple(zip(*rows, strict=True)) if rows else ((),) * width


def _write_balances(wire: Wire, keys: Iterable[Key], books: Books) -> None:
    new: list[Key] = []
    old: list[Key] = []
    for key in keys:
        (old if books.balances[key].version else new).append(key)
    if new:
        _run(wire, "insert_balances", _balance_columns(new, books)[:-1])
    if old:
        _run(wire, "update_balances", (*_balance_columns(old, books), len(old)))


def _balance_columns(keys: Sequence[Key], books: Books) -> tuple[str, ...]:
    """SKU, location and lot, then the fields of a balance as they stand there: version last."""
    fields = zip(*[astuple(books.balances[key]) for key in keys], strict=True)
    return (*map(texts, zip(*keys, strict=True)), *map(numbers, fields))


def _write_demand(wire: Wire, lines: Sequence[DemandLine]) -> None:
    new = [line for line in lines if not line.version]
    old = [line for line in lines if line.version]
    if new:
        claims = _claims_of(new)
        lines_sent = _shared_columns(_DEMAND_FIELDS, _DEMAND, map(astuple, new))
        claims_sent = _shared_columns(_CLAIM_FIELDS, _CLAIM, _new_claims(claims))
        _run(wire, "insert_demand", lines_sent | claims_sent)
        _count_versions(claims)
    if old:
        columns = _demand_columns(old)
        _run(wire, "update_demand", (columns[0], *columns[_NAMES:], len(old)))
        _write_claims(wire, _claims_of(old))
    for line in lines:
        line.version += 1


def _shared_columns(
    names: Sequence[str], write: Sequence[Callable[[Any], str]], rows: Iterable[Sequence[Any]]
) -> dict[str, str | None]:
    """Columns by name; one that holds a single value as an empty array, and that value under one_*.

    No rows make empty columns.
    """
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    sent: dict[str, str | None] = {}
    for name, literal, column in zip(names, write, columns, strict=False):
        if name in _DISTINCT:
            sent[name] = literal(column)
            continue
        one = column.count(column[0]) == len(column) if column else False
        sent[name] = "{}" if one else literal(column)
        sent[f"one_{name}"] = None if not one or column[0] is None else str(column[0])
    return sent


def _demand_columns(lines: Sequence[DemandLine]) -> list[str]:
    """The fields of a demand line as they stand there, but for its claims: version last."""
    fields = zip(*map(astuple, lines), strict=True)
    return [write(column) for write, column in zip(_DEMAND, fields, strict=False)]


def _claims_of(lines: Sequence[DemandLine]) -> list[PlacedClaim]:
    return [(line, place, claim) for line in lines for place, claim in line.claims.items()]


def _write_claims(wire: Wire, claims: Sequence[PlacedClaim]) -> None:
    new = [one for one in claims if not one[2].version]
    old = [one for one in claims if one[2].version]
    if new:
        columns = zip(_CLAIM, zip(*_new_claims(new), strict=True), strict=True)
        _run(wire, "insert_claims", tuple(write(column) for write, column in columns))
    if old:
        _run(wire, "update_claims", (*_old_claim_columns(old), len(old)))
    _count_versions(claims)


def _count_versions(claims: Sequence[PlacedClaim]) -> None:
    for _, _, claim in claims:
        claim.version += 1


def _new_claims(claims: Sequence[PlacedClaim]) -> list[tuple[Any, ...]]:
    return [
        (line.id, location, lot, line.sku, claim.reserved, claim.allocated, claim.picked)
        for line, (location, lot), claim in claims
    ]


def _old_claim_columns(claims: Sequence[PlacedClaim]) -> tuple[str, ...]:
    rows = [
        (
            *(line.id, location, lot, line.sku),
            *(claim.reserved, claim.allocated, claim.picked, claim.version),
        )
        for line, (location, lot), claim in claims
    ]
    ids, places, lots, skus, *units = _columns(rows, 8)
    return (numbers(ids), texts(places), texts(lots), texts(skus), *map(numbers, units))


def _write_head(wire: Wire, books: Books, written: Written, before: int) -> None:
    touched = {key[0] for key in written.balances}
    touched |= {one.sku for _, one in written.backorders.values()}
    skus = texts(sorted(touched))
    values = {"last": books.sequence, "before": before, "at": books.now, "skus": skus}
    _run(wire, "advance_head", values)


def _write_work(wire: Wire, notes: Sequence[tuple[int, WorkNote]]) -> None:
    """The last word on each subject holds."""
    latest: dict[tuple[str, str], tuple[int, WorkNote]] = {}
    for sequence, note in notes:
        latest[(note[1], note[2])] = (sequence, note)
    for sequence, (what, kind, subject, sku, location, system, detail) in latest.values():
        if what == "open":
            _run(
                wire,
                "open_work",
                (kind, subject, sku, location, system, Jsonb(detail), sequence or None),
            )
        else:
            _run(wire, "close_work", (kind, subject))


def _park(wire: Wire, parked: Parked) -> None:
    door = "item" if parked.missing else "conflict" if parked.path == "$.document" else "poison"
    _run(
        wire,
        "park",
        {
            "system": parked.prepared.item.system,
            "door": door,
            "body": parked.prepared.body,
            "key": parked.prepared.key,
            "received_at": parked.prepared.received_at,
            "reason": parked.reason,
            "path": parked.path,
            "missing": parked.missing,
        },
    )


def _revision_columns(documents: Mapping[str, Statement]) -> tuple[str, ...]:
    kept = list(documents.values())
    return (
        texts(list(documents)),
        numbers([one.revision for one in kept]),
        numbers([one.units for one in kept]),
        texts([numbers(one.events) for one in kept]),
        numbers([one.since for one in kept]),
    )


def _write_rare(wire: Wire, written: Written) -> None:
    for (document, sku, lot), one in written.transfers.items():
        values = (
            one.sent,
            one.arrived,
            one.closed,
            one.excess,
            one.from_location,
            one.to_location,
            one.eta,
        )
        _run(wire, "save_transfer", (document, sku, lot, *values))
    for sequence, key, bucket, count, counted in written.counts:
        counting = (bucket, count.as_of, count.system, count.position, count.reverses, counted)
        _run(wire, "save_count", (sequence, *key, *counting))
    for (sku, code), lot_info in written.lots.items():
        _run(wire, "save_lot", (sku, code, lot_info.expires_on, lot_info.recalled))
    for sequence, (key, waiting) in written.waiting.items():
        _run(
            wire,
            "save_waiting",
            (sequence, *key, waiting.to_bucket, waiting.quantity, waiting.occurred_at),
        )
    for place, system in written.owners.items():
        _run(wire, "save_owner", (*place, system))
    if written.documents:
        _run(wire, "save_revisions", _revision_columns(written.documents))
    for observation in written.observations:
        _run(wire, "save_observation", observation)


def _write_owed(wire: Wire, written: Written, now: dt.datetime) -> None:
    for (system, order, line), (sequence, one) in written.backorders.items():
        why = "promoted to a reservation" if one.promoted else "cancelled"
        units = (one.owed, one.promoted, one.cancelled, sequence, sequence)
        _run(wire, "save_backorder", (*units, now, why, one.owed, system, order, line))
    for received in written.received:
        _run(wire, "save_receipt", received)
