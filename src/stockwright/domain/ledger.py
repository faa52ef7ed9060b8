"""The ledger's decision: a batch of facts and requests in, one aligned outcome per item out.

Items are decided in input order on running balances. Each works on an overlay that is merged only
when the item is complete; an exception parks that item alone. Nothing here reads a clock or a
database.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from stockwright.domain import reservations, reserving
from stockwright.domain.books import Books, Overlay, Unread, Written
from stockwright.domain.demand import crossed, settle, trim, weigh
from stockwright.domain.errors import Rejected
from stockwright.domain.events import OWN_SYSTEM, Fact, Item, Outcome, Request
from stockwright.domain.goods import Told
from stockwright.domain.owing import settle_owed
from stockwright.domain.postings import POSTINGS, Posting
from stockwright.domain.quantity import to_base
from stockwright.domain.revisions import note_observed, post, reverse
from stockwright.domain.wellformed import Expiry, Prepared

REQUESTS: Final[dict[str, Callable[[Overlay, Request], Outcome]]] = {
    "reserve": reserving.reserve,
    "extend": reservations.extend,
    "confirm": reservations.confirm,
    "allocate": reservations.allocate,
    "deallocate": reservations.deallocate,
    "release": reservations.release,
    "cancel": reservations.cancel,
}
_SNAPSHOT_FED_APPLIES: Final = frozenset(
    {
        "snapshot",
        "shipment",
        "pick",
        "unpick",
        "channel_order",
        "channel_cancel",
        "lot_recall",
        "lot_expiry",
    }
)
_PHYSICAL_OF_ORDER: Final = frozenset({"inbound", "outbound"})


class Recorded(msgspec.Struct, eq=False, gc=False):
    """One item that now stands in the ledger under its own sequence number."""

    sequence: int
    prepared: Prepared
    outcome: Outcome
    occurred_at: dt.datetime


class Parked(NamedTuple):
    """One item that waits: for a code to be bound (missing), or for a person."""

    prepared: Prepared
    reason: str
    path: str
    missing: str


class Decision(NamedTuple):
    """Everything a batch leads to. outcomes is aligned with the input."""

    outcomes: list[Outcome]
    recorded: list[Recorded]
    parked: list[Parked]
    written: Written


class Unbound(Exception):
    """A code that no one has bound yet."""

    def __init__(self, path: str, missing: str, message: str) -> None:
        super().__init__(message)
        self.path = path
        self.missing = missing


def decide(items: Sequence[Prepared], books: Books) -> Decision:
    """Decides a batch; books ends in the state after it. Same input, same decision.

    Raises Unread where the books lack a place that an item turns out to need.
    """
    decision = Decision([], [], [], Written())
    for prepared in items:
        decision.outcomes.append(_decide_one(prepared, books, decision))
    return decision


def _decide_one(prepared: Prepared, books: Books, decision: Decision) -> Outcome:
    known = books.identities.get(prepared.key)
    if known is not None:
        return _answer_again(prepared, known, books, decision)
    if prepared.trouble:
        return _park(prepared, prepared.trouble, "$", "", "poison", books, decision)
    item = prepared.item
    overlay = Overlay(books, books.sequence + 1, item.system)
    occurred_at = prepared.received_at
    try:
        if item.system not in books.catalog.systems and not _is_own(item):
            _refuse_system(item)
        if type(item) is Fact:
            occurred_at = _occurred(item, prepared.received_at)
            outcome = _decide_fact(overlay, item, prepared, occurred_at)
        elif type(item) is Request:
            outcome = REQUESTS[item.kind](overlay, item)
        else:
            assert isinstance(item, Expiry)
            outcome = reservations.expire(overlay, item.system, item.order, item.lines)
        if books.backorders:
            settle_owed(overlay, item.kind)
    except Rejected as refusal:
        if refusal.reason == "malformed":
            return Outcome(code="malformed", field=refusal.field, message=refusal.message)
        outcome = Outcome(code=refusal.reason, field=refusal.field, message=refusal.message)
        overlay = Overlay(books, overlay.sequence, item.system)
        if refusal.reason == "already_fulfilled" and item.kind == "reserve":
            _note_asked(overlay, item)
    except Unbound as gap:
        return _park(prepared, str(gap), gap.path, gap.missing, "parked", books, decision)
    except Unread:
        raise
    except Exception as fault:  # noqa: BLE001 - whatever it is, it parks this item alone
        reason = f"{type(fault).__name__}: {fault}"
        return _park(prepared, reason, "$", "", "poison", books, decision)
    return _keep(prepared, overlay, outcome, occurred_at, books, decision)


def _is_own(item: Item | Expiry) -> bool:
    """Whether the house tells it itself: a lot reached its date."""
    return item.system == OWN_SYSTEM and item.kind == "lot_expiry"


def _refuse_system(item: Item | Expiry) -> None:
    """What an undeclared system tells waits for its declaration; what it asks is refused."""
    if isinstance(item, Fact):
        raise _unbound_system("system", item.system)
    if isinstance(item, Request):  # a hold runs out, whatever became of its system
        message = f"{_no_system(item.system)}, and ask again with a new key"
        raise Rejected("unknown_system", "system", message)


def _unbound_system(field: str, code: str) -> Unbound:
    return Unbound(f"$.{field}", f"system:{code}", _no_system(code))


def _no_system(code: str) -> str:
    return f"no system {code!r}; declare it in stockwright.toml, or mend the spelling"


def _keep(
    prepared: Prepared,
    overlay: Overlay,
    outcome: Outcome,
    occurred_at: dt.datetime,
    books: Books,
    decision: Decision,
) -> Outcome:
    assert not outcome.sequence, "an outcome answers one item"
    outcome.sequence = books.sequence = overlay.sequence
    overlay.merge(decision.written)
    books.identities[prepared.key] = (prepared.hash, outcome)
    decision.recorded.append(Recorded(overlay.sequence, prepared, outcome, occurred_at))
    return outcome


def _answer_again(
    prepared: Prepared, known: tuple[bytes, Outcome], books: Books, decision: Decision
) -> Outcome:
    """The first answer again, or a conflict: the same identity with other content."""
    digest, first = known
    if digest == prepared.hash:
        return msgspec.structs.replace(first, replay=True)
    sequence = first.sequence
    message = (
        f"sequence {sequence} holds this identity with other content; "
        "send a new revision or document"
    )
    note = ("open", "conflict", prepared.key, "", "", prepared.item.system, {"sequence": sequence})
    decision.written.work.append((sequence, note))
    decision.parked.append(Parked(prepared, message, "$.document", ""))
    return Outcome(code="conflict", sequence=sequence, field="document", message=message)


def _park(
    prepared: Prepared,
    reason: str,
    path: str,
    missing: str,
    code: str,
    books: Books,
    decision: Decision,
) -> Outcome:
    decision.parked.append(Parked(prepared, reason, path, missing))
    if code == "poison":
        note = (
            "open",
            "poison",
            prepared.key,
            "",
            "",
            prepared.item.system,
            {"reason": reason[:500]},
        )
        decision.written.work.append((books.sequence, note))
    return Outcome(code=code, field=path.removeprefix("$."), message=reason)


def _occurred(fact: Fact, received_at: dt.datetime) -> dt.datetime:
    """The partner's time, in UTC, never later than when we received it."""
    at = fact.occurred_at
    return received_at if at is None or at > received_at else at.astimezone(dt.UTC)


def _decide_fact(overlay: Overlay, fact: Fact, prepared: Prepared, at: dt.datetime) -> Outcome:
    if fact.kind == "reversal":
        return reverse(overlay, fact, at)
    catalog = overlay.books.catalog
    posting = POSTINGS[fact.kind]
    fact = _placed(overlay, fact)
    if fact.order_system and fact.order_system not in catalog.systems:
        raise _unbound_system("order_system", fact.order_system)
    if fact.channel and fact.channel not in catalog.channels:
        raise Unbound(
            "$.channel",
            f"channel:{fact.channel}",
            f"no channel {fact.channel!r}; add it to the configuration",
        )
    told = _resolve(overlay, fact, posting, at, prepared.key)
    if posting.group and not _holds_authority(overlay, fact, posting, at):
        return _observe(overlay, told, "another system holds the authority here")
    if (
        fact.location
        and fact.kind not in _SNAPSHOT_FED_APPLIES
        and catalog.locations[fact.location].feed == "snapshot"
    ):
        if fact.kind == "receipt":
            note_observed(overlay, told)  # the goods come with a snapshot, and are awaited no more
        return _observe(overlay, told, "this location is fed by snapshots")
    outcome = post(overlay, told)
    if outcome.answer is None and (fact.unit or told.units != fact.quantity):
        factor = told.units // fact.quantity if fact.quantity else 1
        return Outcome(code=outcome.code, answer={"base_quantity": told.units, "factor": factor})
    return outcome


def _placed(overlay: Overlay, fact: Fact) -> Fact:
    """The fact with canonical locations. Raises Unbound where one is not known yet."""
    catalog = overlay.books.catalog
    if fact.location in catalog.locations and not fact.to_location:
        return fact
    for field in ("location", "to_location"):
        code = getattr(fact, field)
        place = catalog.place(fact.system, code)
        if code and place not in catalog.locations:
            raise Unbound(f"$.{field}", f"location:{code}", f"no location {code!r}; add or bind it")
        if place != code:
            fact = msgspec.structs.replace(fact, **{field: place})
    return fact


def _resolve(overlay: Overlay, fact: Fact, posting: Posting, at: dt.datetime, key: str) -> Told:
    """The fact with canonical codes and base units. Raises Unbound where a code is not known
    yet.
    """
    catalog = overlay.books.catalog
    code, unit = fact.sku, fact.unit
    if not code:
        bound = catalog.bindings.get((fact.system, fact.item))
        if bound is None:
            raise Unbound(
                "$.item",
                f"item:{fact.item}",
                f"code {fact.item!r} of {fact.system} is not bound to a SKU",
            )
        code, unit = bound[0], unit or bound[1]
    sku = catalog.skus.get(code)
    if sku is None:
        raise Unbound("$.sku", f"sku:{code}", f"no SKU {code!r}; add it to the item master")
    if fact.to_sku and fact.to_sku not in catalog.skus:
        raise Unbound(
            "$.to_sku", f"sku:{fact.to_sku}", f"no SKU {fact.to_sku!r}; add it to the item master"
        )
    try:
        units = to_base(fact.quantity, unit, sku.base_unit, sku.factors)
    except Rejected as refusal:
        if refusal.reason == "unknown_unit":
            raise Unbound("$.unit", f"unit:{code}:{unit}", refusal.message) from None
        raise
    lot = fact.lot if sku.control != "none" else ""
    return Told(
        fact, sku, lot, units, at, posting, key, fact.to_quantity * (fact.kind == "conversion")
    )


def _holds_authority(overlay: Overlay, fact: Fact, posting: Posting, at: dt.datetime) -> bool:
    """Judged when it happened; whoever posted a document's first physical fact finishes it."""
    catalog = overlay.books.catalog
    holders = catalog.authorities.get((fact.location, posting.group))
    if not holders:
        return True
    if len({system for _, system in holders}) > 1 and posting.group in _PHYSICAL_OF_ORDER:
        key = (fact.location, posting.group, fact.order or fact.transfer or fact.document)
        owner = overlay.rare.owners.get(key) or overlay.books.owners.get(key)
        if owner is not None:
            return owner == fact.system
        if catalog.authority(fact.location, posting.group, at) == fact.system:
            overlay.rare.owners[key] = fact.system
            return True
        return False
    return catalog.authority(fact.location, posting.group, at) in ("", fact.system)


def _observe(overlay: Overlay, told: Told, why: str) -> Outcome:
    """Keeps a movement to reconcile by its business key; nothing moves."""
    fact = told.fact
    line = fact.order_line or fact.line
    overlay.rare.observations.append(
        (fact.system, fact.kind, fact.location, fact.order, line, told.sku.code, told.units)
    )
    return Outcome(code="observed", message=why)


def _note_asked(overlay: Overlay, request: Any) -> None:
    """A reserve that came after its own shipment still tells what was ordered."""
    for asked in request.lines:
        line = overlay.line(request.system, reserving.order_of(request), asked.line)
        if line is not None and not line.ordered:
            sku = overlay.books.catalog.skus[line.sku]
            line.ordered = to_base(asked.quantity, asked.unit, sku.base_unit, sku.factors)
            weigh(overlay, line)
            crossed(overlay, line)
            trim(overlay, line, overlay.books.now)
            settle(overlay, line)
