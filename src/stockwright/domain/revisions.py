"""Statements told again or taken back: what the ledger holds of one, and how that is undone.

A statement is one line of one document; its revisions replace each other where the system says so.
What stands of it is told by its own entries, whatever its codes are bound to by now.
"""

import datetime as dt
from collections.abc import Collection, Sequence
from typing import Any, Final

from msgspec.structs import replace

from stockwright.domain import counts
from stockwright.domain.accounts import STAGES
from stockwright.domain.books import Move, Overlay, Recounted, Statement
from stockwright.domain.demand import subject_of
from stockwright.domain.errors import Rejected
from stockwright.domain.events import Fact, Outcome
from stockwright.domain.goods import Claimed, Stood, Told, account_of, note_lot, recorded
from stockwright.domain.movements import RULES_BY_KIND
from stockwright.domain.postings import POSTINGS
from stockwright.domain.wellformed import statement

_PROMISES: Final = frozenset({"unclaimed", "fulfilled", *STAGES})
_BY_MOVES: Final = frozenset({"count", "snapshot", "lot_recall", "lot_expiry"})
_BY_HAND: Final = {
    "transfer_out": "a transfer is mended by its own documents",
    "transfer_in": "a transfer is mended by its own documents",
    "transfer_close": "a transfer is mended by its own documents",
    "reversal": "a reversal is not taken back; tell its event again under a new document",
}


def post(overlay: Overlay, told: Told) -> Outcome:
    """Posts a statement; of one that replaces its earlier revisions, what it changes.

    Where it says the same of another quantity the difference is posted. Where it names another SKU,
    place, lot, bucket or order line, what stood is taken back there, and the whole is posted here.
    Raises Rejected (superseded) where a higher revision was recorded before.
    """
    if not _replaces(overlay, told):
        return _apply(overlay, told)
    last = overlay.books.revisions.get(statement(told.fact), Statement(-1, 0))
    if told.fact.revision < last.revision:
        raise Rejected(
            "superseded", "revision", f"revision {last.revision} of this line was recorded before"
        )
    former = _standing(overlay, told.fact, last)
    if former is None or not (moved := _moved(former, told)):
        return _post_difference(overlay, told, last, former)
    if refusal := _cannot_move(overlay, former, told, moved):
        return refusal
    _undo(overlay, former)
    _rename_line(overlay, former, told)
    _note(
        overlay,
        told,
        Statement(told.fact.revision, told.units, (overlay.sequence,), _next(overlay)),
    )
    return _apply(overlay, told)


def reverse(overlay: Overlay, fact: Fact, at: dt.datetime) -> Outcome:
    """Takes back an earlier event, once: its goods, and what it told of its demand line."""
    found = overlay.books.recounted.get(fact.reverses)
    subject = f"reversal|{fact.reverses}"
    if found is None or not _took_goods(found):
        raise Rejected("unknown_demand", "reverses", f"event {fact.reverses} moved no goods")
    if subject in overlay.books.revisions:
        return Outcome(code="superseded", message="this event was taken back before")
    told = found.fact
    if told.kind in _BY_HAND:
        move = found.moves[0]
        overlay.raise_work(
            "reversal_by_hand", subject, move[0], move[3] or move[5], reverses=fact.reverses
        )
        return Outcome(code="observed", message=f"{_BY_HAND[told.kind]}; see the work item")
    if told.system != fact.system:
        return Outcome(code="observed", message="only the system that told an event takes it back")
    if told.kind in _BY_MOVES:
        _move_back(overlay, found.moves)
    else:
        _undo(overlay, _reversed(overlay, fact.reverses, found))
    overlay.rare.documents[subject] = Statement(1, 0)
    return recorded()


def _replaces(overlay: Overlay, told: Told) -> bool:
    """Whether a later revision of this statement replaces it."""
    if told.fact.kind == "channel_order":
        return True
    system = overlay.books.catalog.systems.get(told.fact.system)
    if system is None:
        return False  # our own: nobody declares how it revises itself
    return system.revisions != "increment" and told.posting.quantity != "whole"


def _post_difference(overlay: Overlay, told: Told, last: Statement, former: Told | None) -> Outcome:
    changed = told
    if told.fact.kind != "channel_order":
        posted_into = _into(overlay, told.fact).units if told.into else 0
        changed = replace(told, units=told.units - last.units, into=told.into - posted_into)
        if last.units:
            changed = replace(changed, tells=0, stood=former.stood if former else Stood())
    nothing = not changed.units and not changed.into
    says_nothing = nothing and told.posting.quantity in ("positive", "signed")
    events = last.events if says_nothing else (*last.events, overlay.sequence)
    _note(overlay, told, Statement(told.fact.revision, told.units, events, last.since))
    if says_nothing:
        return Outcome(code="recorded", answer={"posted": 0})
    return _apply(overlay, changed)


def _apply(overlay: Overlay, told: Told) -> Outcome:
    note_lot(overlay, told.sku, told.fact, told.lot)
    return _rule(overlay, told)


def _rule(overlay: Overlay, told: Told) -> Outcome:
    fact = told.fact
    outcome = RULES_BY_KIND[fact.kind](overlay, told)
    if fact.kind == "receipt" and fact.order:
        overlay.note_received((*_line_of(fact), told.sku.code), told.units)
    return outcome


def note_observed(overlay: Overlay, told: Told) -> None:
    """Supply that came in where a snapshot counts the goods.

    What earlier revisions of an observation said is not kept, so later ones change nothing.
    """
    fact = told.fact
    if fact.order and not (fact.revision and _replaces(overlay, told)):
        overlay.note_received((*_line_of(fact), told.sku.code), told.units)


def _undo(overlay: Overlay, former: Told) -> None:
    """Posts the opposite of all that stands of a statement."""
    units = 0 if former.fact.kind == "channel_order" else -former.units
    _rule(overlay, replace(former, units=units, into=-former.into, tells=-1))


def _next(overlay: Overlay) -> int:
    """The number of the next entry of this event."""
    return len(overlay.moves) + 1


def _note(overlay: Overlay, told: Told, statement_now: Statement) -> None:
    subject = statement(told.fact)
    overlay.rare.documents[subject] = statement_now
    overlay.rare.fact = told.fact
    if told.fact.kind == "conversion":
        overlay.rare.documents[f"{subject}|to"] = Statement(told.fact.revision, told.into)


def _into(overlay: Overlay, fact: Fact) -> Statement:
    return overlay.books.revisions.get(f"{statement(fact)}|to", Statement(-1, 0))


# ---------------------------------------------------------------- what stands


def _standing(overlay: Overlay, fact: Fact, last: Statement) -> Told | None:
    """What stands of a statement, as its entries tell; None where nothing does."""
    recounted = overlay.books.recounted
    if not last.events or any(one not in recounted for one in last.events):
        return None
    found = [recounted[one] for one in last.events]
    moves = [*found[0].moves[last.since - 1 :]]
    for one in found[1:]:
        moves += one.moves
    return _told_again(overlay, found[-1].fact, moves, last.units, _into(overlay, fact).units)


def _reversed(overlay: Overlay, sequence: int, found: Recounted) -> Told:
    """What stands of an event's statement. Raises Rejected where a later revision replaced it."""
    last = overlay.books.revisions.get(statement(found.fact))
    former = None
    if last is not None and last.events:
        if sequence != last.events[-1]:
            raise Rejected(
                "superseded",
                "reverses",
                f"event {last.events[-1]} revised this line; take that one back",
            )
        former = _standing(overlay, found.fact, last)
        _forget(overlay, found.fact, last.revision)
    if former is None:
        former = _told_again(overlay, found.fact, found.moves, found.units, found.fact.to_quantity)
    return former


def _forget(overlay: Overlay, fact: Fact, revision: int) -> None:
    overlay.rare.documents[statement(fact)] = Statement(revision, 0)
    if fact.kind == "conversion":
        overlay.rare.documents[f"{statement(fact)}|to"] = Statement(revision, 0)


def _told_again(overlay: Overlay, fact: Fact, moves: Sequence[Move], units: int, into: int) -> Told:
    """A fact of the past under the codes its entries hold."""
    catalog = overlay.books.catalog
    posting = POSTINGS[fact.kind]
    source, target = account_of(posting.source, fact), account_of(posting.target, fact)
    main = next((move for move in moves if {move[2], move[4]} == {source, target}), None)
    place = catalog.place(fact.system, fact.location)
    if main is not None and posting.group:
        place = main[3] or main[5] or place
    code = moves[0][0] if moves else fact.sku or catalog.bindings[(fact.system, fact.item)][0]
    sku = catalog.skus[main[0] if main is not None else code]
    at = moves[0][7] if moves else overlay.books.now
    fact = replace(fact, sku=sku.code, item="", location=place)
    lot = fact.lot if sku.control != "none" else ""
    freed = _claims(moves, "unclaimed", STAGES)
    stood = Stood(_goods(moves), _claims(moves, "fulfilled"), _claims(moves, "picked"), freed)
    into = into if fact.kind == "conversion" else 0
    return Told(fact, sku, lot, units, at, posting, statement(fact), into, 1, stood)


def _goods(moves: Sequence[Move]) -> list[tuple[str, int]]:
    """(lot, units) that left for a customer, less what came back: that was the last to leave."""
    parts: list[tuple[Any, ...]] = []
    for _, lot, source, _, target, _, units, *_ in moves:
        if (source, target) == ("sellable", "customer"):
            parts.append((lot, units))
        elif (source, target) == ("customer", "sellable"):
            _drop_last(parts, units)
    return [(lot, units) for lot, units in parts]


def _claims(
    moves: Sequence[Move], account: str, stages: Collection[str] = ("unclaimed", *STAGES)
) -> list[Claimed]:
    """Claims that went from one of the stages to an account, less what was taken back of it."""
    parts: list[tuple[Any, ...]] = []
    for _, lot, source, origin, target, _, units, *_ in moves:
        if target == account and source in stages:
            parts.append((origin, lot, source, units))
        elif source == account and target in stages:
            _drop_last(parts, units)
    return [(place, lot, stage, units) for place, lot, stage, units in parts]


def _drop_last(parts: list[tuple[Any, ...]], units: int) -> None:
    while units > 0 and parts:
        *part, there = parts.pop()
        if there > units:
            parts.append((*part, there - units))
        units -= there


# ---------------------------------------------------------------- told of something else


def _moved(former: Told, told: Told) -> str:
    """The first field in which a revision names something else than the former; '' where none."""
    then, now = _named(former), _named(told)
    return next((field for field, value in now.items() if value != then[field]), "")


def _named(told: Told) -> dict[str, Any]:
    fact = told.fact
    accounts = told.posting.source, told.posting.target
    return {
        "sku": told.sku.code,
        "location": fact.location,
        "lot": told.lot,
        "bucket": fact.bucket if "$bucket" in accounts else "",
        "to_bucket": fact.to_bucket if "$to_bucket" in accounts else "",
        "order_system": (fact.order_system or fact.system) if fact.order else "",
        "order": fact.order,
        "order_line": (fact.order_line or fact.line) if fact.order else "",
        "transfer": fact.transfer,
        "to_sku": fact.to_sku,
        "close_as": fact.close_as,
        "final": fact.final,
    }


def _cannot_move(overlay: Overlay, former: Told, told: Told, field: str) -> Outcome | None:
    """Why a revision cannot be posted elsewhere, as its answer; the former one stands then."""
    fact = told.fact
    if fact.kind == "transfer_close":
        return _by_hand(overlay, told, field, "mend the transfer by its own documents")
    if fact.kind == "channel_order" and field == "sku" and _in_work(overlay, fact):
        return _by_hand(overlay, told, field, "cancel the line, and order under a new one")
    return None


def _by_hand(overlay: Overlay, told: Told, field: str, step: str) -> Outcome:
    overlay.raise_work(
        "revision_by_hand",
        statement(told.fact),
        told.sku.code,
        told.fact.location,
        field=field,
        revision=told.fact.revision,
        step=step,
    )
    message = f"this revision names another {field}; {step}. The former revision stands"
    return Outcome(code="observed", field=field, message=message)


def _in_work(overlay: Overlay, fact: Fact) -> bool:
    """Whether the warehouse has, or ever had, something of the order line a fact names."""
    line = overlay.find_line(*_line_of(fact))
    return line is not None and bool(line.held or line.shipped or line.picked or line.returned)


def _line_of(fact: Fact) -> tuple[str, str, str]:
    return fact.order_system or fact.system, fact.order, fact.order_line or fact.line


def _rename_line(overlay: Overlay, former: Told, told: Told) -> None:
    """An order line whose order names another SKU now is a line of that one."""
    if told.fact.kind != "channel_order" or _line_of(former.fact) != _line_of(told.fact):
        return
    line = overlay.line(*_line_of(told.fact))
    if line is not None and line.sku == former.sku.code:
        assert not line.open, f"{subject_of(line)} still claims {line.sku}"
        line.sku = told.sku.code
        line.lot, line.fresh_until = "", None


# ---------------------------------------------------------------- by its moves


def _took_goods(found: Recounted) -> bool:
    if found.fact.kind == "shipment":
        return bool(found.moves)
    return any(not _PROMISES & {move[2], move[4]} for move in found.moves)


def _move_back(overlay: Overlay, moves: Sequence[Move]) -> None:
    for sku, lot, source, from_location, target, to_location, units, at, *_ in moves:
        counts.move_goods(overlay, sku, lot, target, to_location, source, from_location, units, at)
