"""Expected supply: what purchase orders, ship notices and transfers still bring, when and where.

What was received is told by receipts that name the document, as sums that need not know it; what is
still to come follows from the sums alone, so that receipts, orders and notices may arrive in any
order and end the same.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Final, Literal

import msgspec

from stockwright.domain.codes import Code, CodeOrNone
from stockwright.domain.events import MAX_QUANTITY

SupplyKind = Literal["purchase_order", "ship_notice", "transfer"]
SupplyState = Literal["expected", "done", "cancelled", "closed"]
Name = tuple[str, str, str]
"""(system, document, line): how receipts and ship notices name a line that is expected."""

STATES: Final[dict[SupplyState, str]] = {
    "expected": "some of it is still to come under its own name",
    "done": "all of it came, or is under way under another name",
    "cancelled": "it will not come; said by whoever told of it",
    "closed": "the rest is not waited for any more; said by a person",
}


class SupplyTold(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One line that is expected, as a partner tells of it; a later revision replaces it.

    quantity is in `unit`, the base unit where empty. due_at is when it should be at the location,
    with a time zone. A ship notice that specifies a purchase order line names it in of_document,
    of_line and of_system, the own line and system where these are empty. The document of a
    transfer is that of its goods. `item` is the partner's own code where `sku` is not known.
    """

    kind: SupplyKind
    document: Code
    location: Code
    quantity: Annotated[int, msgspec.Meta(ge=0, le=MAX_QUANTITY)]
    due_at: Annotated[dt.datetime, msgspec.Meta(tz=True)]
    system: CodeOrNone = ""
    line: Code = "1"
    revision: Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)] = 0
    sku: CodeOrNone = ""
    item: CodeOrNone = ""
    unit: CodeOrNone = ""
    of_system: CodeOrNone = ""
    of_document: CodeOrNone = ""
    of_line: CodeOrNone = ""


class SupplyLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line that is expected. quantity is in base units and due_at is when it should be there.

    A ship notice names in `of` the purchase order line whose units it specifies.
    """

    system: str
    document: str
    line: str
    kind: SupplyKind
    sku: str
    location: str
    quantity: int
    due_at: dt.datetime
    of: Name = ("", "", "")
    state: SupplyState = "expected"

    @property
    def name(self) -> Name:
        """How others name it."""
        return (self.system, self.document, self.line)

    @property
    def stands(self) -> bool:
        """Whether nobody said that it, or the rest of it, will not come."""
        return self.state in ("expected", "done")

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Its natural key."""
        return (self.system, self.document, self.line, self.kind)


class UnderWay(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger knows of the transfers of one document, in base units of one SKU.

    sent and excess (arrived before it was sent) are all there ever was of it.
    """

    document: str
    location: str
    eta: dt.datetime | None
    sent: int
    units: int
    excess: int = 0


class Dated(msgspec.Struct, frozen=True, kw_only=True):
    """Units that will be at a place at a time, believed in until overdue_at, and where from."""

    location: str
    units: int
    at: dt.datetime
    overdue_at: dt.datetime
    what: str


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of one line: units still to come under its name, and whether it is done."""

    line: SupplyLine
    units: int
    done: bool


def left_of(
    lines: Iterable[SupplyLine],
    received: Mapping[Name, int],
    under_way: Iterable[UnderWay] = (),
) -> list[Left]:
    """What is left of the lines of one SKU, those of one purchase order line given together.

    received holds units by the name receipts gave, of documents not known as well.
    """
    groups: dict[Name, list[SupplyLine]] = {}
    planned: dict[str, list[SupplyLine]] = {}
    for line in lines:
        if line.kind == "transfer":
            planned.setdefault(line.document, []).append(line)
        else:
            specifies = line.kind == "ship_notice" and line.of[1]
            groups.setdefault(line.of if specifies else line.name, []).append(line)
    found = []
    for name, group in groups.items():
        found += _left_of_order(name, group, received)
    sent = _sent(under_way)
    for document, group in planned.items():
        found += _left_of_transfer(group, sent.get(document, 0))
    return found


def _left_of_order(
    name: Name, group: Sequence[SupplyLine], received: Mapping[Name, int]
) -> list[Left]:
    """A purchase order line and its ship notices, which replace as much of it as they specify.

    What was received under the order's own name was, for all we know, what was due first.
    """
    orders = [line for line in group if line.kind == "purchase_order"]
    notices = [line for line in group if line.kind == "ship_notice"]
    own = {line.key: max(0, received.get(line.name, 0)) for line in notices}
    to_come = {
        line.key: max(0, line.quantity - own[line.key]) if line.stands else 0 for line in notices
    }
    specified = sum(own[line.key] + to_come[line.key] for line in notices)
    for order in orders:
        to_come[order.key] = max(0, order.quantity - specified) if order.stands else 0
    drawn = 0 if any(line.name == name for line in notices) else received.get(name, 0)
    rest = drawn
    for line in sorted(group, key=lambda line: (line.due_at, line.kind, line.key)):
        taken = min(max(0, rest), to_come[line.key])
        to_come[line.key] -= taken
        rest -= taken
    came = drawn + sum(own.values())
    return [
        Left(line=line, units=to_come[line.key], done=_done(line, to_come[line.key], came))
        for line in group
    ]


def _done(line: SupplyLine, to_come: int, came: int) -> bool:
    """A notice is done once nothing of it is to come, an order once all of it came."""
    return came >= line.quantity if line.kind == "purchase_order" else not to_come


def _left_of_transfer(group: Sequence[SupplyLine], sent: int) -> list[Left]:
    """Planned transfers: what has been sent is under way, and counted there."""
    found = []
    for line in sorted(group, key=lambda line: line.key):
        taken = min(sent, line.quantity)
        sent -= taken
        left = line.quantity - taken
        found.append(Left(line=line, units=left if line.stands else 0, done=not left))
    return found


def _sent(under_way: Iterable[UnderWay]) -> dict[str, int]:
    sent: dict[str, int] = {}
    for one in under_way:
        sent[one.document] = sent.get(one.document, 0) + one.sent + one.excess
    return sent


def dated(
    lines: Sequence[SupplyLine],
    received: Mapping[Name, int],
    under_way: Sequence[UnderWay],
    grace: Mapping[str, dt.timedelta],
    now: dt.datetime,
) -> list[Dated]:
    """The supply of one SKU that may be counted on now, soonest first; what is overdue is not.

    grace says for each place how long after its time supply is still believed in; what is late but
    believed in is dated now. A transfer without an ETA of its own is due when it was planned for.
    """
    found = [
        Dated(
            location=left.line.location,
            units=left.units,
            at=left.line.due_at,
            overdue_at=left.line.due_at + _grace(grace, left.line.location),
            what=_words(left.line),
        )
        for left in left_of(lines, received, under_way)
    ]
    plans = {line.document: line for line in lines if line.kind == "transfer"}
    for one in under_way:
        plan = plans.get(one.document)
        due_at = one.eta or (plan.due_at if plan else None)
        place = one.location or (plan.location if plan else "")
        if due_at is not None:
            found.append(
                Dated(
                    location=place,
                    units=one.units,
                    at=due_at,
                    overdue_at=due_at + _grace(grace, place),
                    what=f"transfer {one.document} under way",
                )
            )
    counted = [one for one in found if one.units > 0 and one.overdue_at > now]
    counted = [msgspec.structs.replace(one, at=max(one.at, now)) for one in counted]
    return sorted(counted, key=lambda one: (one.at, one.location, one.what))


def _grace(grace: Mapping[str, dt.timedelta], location: str) -> dt.timedelta:
    return grace.get(location, dt.timedelta())


def _words(line: SupplyLine) -> str:
    return f"{line.kind.replace('_', ' ')} {line.document}/{line.line} of {line.system}"
