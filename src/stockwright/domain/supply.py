"""What is expected to arrive: purchase orders, the notices that specify them, goods under way.

The same goods are told of several times. A purchase order says that they will come; an advance ship
notice that names its line says the same of a part of it, and better; a receipt that names either
says that they came. Each unit counts once, in whatever order this was told.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from stockwright.domain.codes import Code

SupplyKind = Literal["purchase_order", "asn", "transfer"]
LineKey = tuple[str, str, str]
"""(system, document, line)"""
_NAMES: Final = {"purchase_order": "purchase order", "asn": "ship notice", "transfer": "transfer"}


class SupplyLine(Struct, frozen=True, kw_only=True):
    """One line of expected supply, and what came in that names it, in base units.

    `of` is the purchase order line that a notice specifies. left_for: what left of a planned
    transfer; from then on the transfer itself is counted.
    """

    kind: SupplyKind
    system: str
    document: str
    line: str
    sku: str
    location: str
    quantity: int
    due_at: dt.datetime
    received: int = 0
    of: LineKey | None = None
    closed: bool = False
    left_for: int = 0
    grace_s: int = 0

    @property
    def key(self) -> LineKey:
        """(system, document, line)."""
        return (self.system, self.document, self.line)

    @property
    def advised(self) -> int:
        """What this line says of its purchase order line: of a closed one only what came."""
        return self.received if self.closed else max(self.quantity, self.received)


class UnderWay(Struct, frozen=True, kw_only=True):
    """Goods of a transfer that have left and not arrived; eta None where nobody told one."""

    document: str
    sku: str
    location: str
    units: int
    eta: dt.datetime | None = None
    grace_s: int = 0


class Expected(Struct, frozen=True, kw_only=True):
    """Units that will arrive at a place. overdue_at: when nothing is promised on them any more."""

    location: str
    units: int
    due_at: dt.datetime
    overdue_at: dt.datetime
    what: str

    def counts(self, now: dt.datetime, by: dt.datetime) -> bool:
        """Whether they count among what there will be by then."""
        return self.due_at <= by and now < self.overdue_at


class ToldSupply(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line of supply as a partner tells it: `sku`, or the partner's own `item`.

    quantity is in `unit`. of_document and of_line name the purchase order line that an asn
    specifies, of_system its system where that is another one.
    """

    document: Code
    kind: SupplyKind
    location: Code
    quantity: Annotated[int, Meta(ge=1, le=1_000_000_000_000)]
    due_at: Annotated[dt.datetime, Meta(tz=True)]
    system: Annotated[str, Meta(max_length=128)] = ""
    line: Code = "1"
    sku: Annotated[str, Meta(max_length=128)] = ""
    item: Annotated[str, Meta(max_length=128)] = ""
    unit: Annotated[str, Meta(max_length=128)] = ""
    of_system: Annotated[str, Meta(max_length=128)] = ""
    of_document: Annotated[str, Meta(max_length=128)] = ""
    of_line: Annotated[str, Meta(max_length=128)] = ""


def units_left(lines: Sequence[SupplyLine]) -> dict[LineKey, int]:
    """What is still to come of each line; all lines of their purchase orders must be given.

    A notice replaces as much of its purchase order line. A receipt that names the purchase order
    is taken for goods that were advised, those due first, before others.
    """
    notices: dict[LineKey, list[SupplyLine]] = {}
    for line in lines:
        if line.of is not None:
            notices.setdefault(line.of, []).append(line)
    left = {line.key: _own_left(line) for line in lines}
    for line in lines:
        mine = notices.get(line.key, [])
        if mine:
            _share(line, mine, left)
    return left


def all_came(lines: Sequence[SupplyLine], left: Mapping[LineKey, int]) -> set[LineKey]:
    """Lines of which nothing is to come any more, by themselves or by what their notices say."""
    due = {line.of for line in lines if line.of is not None and left[line.key]}
    return {line.key for line in lines if not left[line.key] and line.key not in due}


def _own_left(line: SupplyLine) -> int:
    if line.closed:
        return 0
    return max(0, line.quantity - line.received - line.left_for)


def _share(order: SupplyLine, notices: Sequence[SupplyLine], left: dict[LineKey, int]) -> None:
    came = order.received
    for notice in sorted(notices, key=lambda one: (one.due_at, one.key)):
        drawn = min(came, left[notice.key])
        left[notice.key] -= drawn
        came -= drawn
    rest = order.quantity - sum(notice.advised for notice in notices)
    left[order.key] = 0 if order.closed else max(0, rest - came)


def expected(lines: Sequence[SupplyLine], under_way: Iterable[UnderWay]) -> list[Expected]:
    """What will arrive, by date and place; goods under way without a date are not counted."""
    left = units_left(lines)
    found = [
        _arrives(
            line.location,
            left[line.key],
            line.due_at,
            line.grace_s,
            f"{_NAMES[line.kind]} {line.system} {line.document} line {line.line}",
        )
        for line in lines
        if left[line.key]
    ]
    found += [
        _arrives(
            one.location, one.units, one.eta, one.grace_s, f"transfer {one.document} under way"
        )
        for one in under_way
        if one.units > 0 and one.eta is not None
    ]
    return sorted(found, key=lambda one: (one.due_at, one.location, one.what))


def _arrives(location: str, units: int, due_at: dt.datetime, grace_s: int, what: str) -> Expected:
    return Expected(
        location=location,
        units=units,
        due_at=due_at,
        overdue_at=due_at + dt.timedelta(seconds=grace_s),
        what=what,
    )
