"""Opening stock: what a partner said it holds becomes counts of ours, as of when it said so.

The lines are those that the last test kept, so that what is taken is what was shown before; their
document is named by the time of that test. Taking the same twice is absorbed by identity, and a
later count of the same cells sets them anew: nothing adds up.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Final

import msgspec

from stockwright.domain.connecting import State, as_partner, entitled
from stockwright.domain.errors import Rejected
from stockwright.domain.events import Fact, Outcome
from stockwright.domain.network import System
from stockwright.flow.connecting import ConnectionView, digest, system_of, view
from stockwright.store import connecting as store
from stockwright.store.access import log_change
from stockwright.store.connecting import StockLine
from stockwright.store.connection import Connection

LISTED: Final = 20


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """A figure that is not taken, and why."""

    code: str
    location: str
    quantity: int
    why: str


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """What taking the opening stock would record: so many lines and units, as of a time.

    refused says why nothing may be taken, '' where it may. left_out counts all figures that are
    not taken, first_left_out are the first of them.
    """

    system: str
    as_of: dt.datetime | None
    lines: int
    units: int
    places: tuple[str, ...]
    left_out: int
    first_left_out: tuple[LeftOut, ...]
    refused: str = ""


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What was recorded, by outcome of the ledger, and how the connection stands now."""

    opening: Opening
    outcomes: dict[str, int]
    connection: ConnectionView


def plan(connection: Connection, system: str, location: str = "") -> tuple[Opening, list[Fact]]:
    """What the opening stock would be, and the facts of it. Changes nothing.

    location is where the figures lie that name no place themselves.
    """
    found, _network = system_of(connection, system)
    shown, as_of = store.shown_total(connection, system)
    facts: list[Fact] = []
    left: list[LeftOut] = []
    told = store.stock_lines(connection, system) if entitled(found.role) else []
    for line in told:
        place = line.place or (location if not line.location else "")
        why = _why_not(found, line, place)
        if why:
            left.append(
                LeftOut(code=line.code, location=line.location, quantity=line.quantity, why=why)
            )
        else:
            assert as_of is not None
            facts.append(_fact(system, line, place, as_of))
    opening = Opening(
        system=system,
        as_of=as_of,
        lines=len(facts),
        units=sum(fact.quantity for fact in facts),
        places=tuple(sorted({fact.location for fact in facts})),
        left_out=len(left),
        first_left_out=tuple(left[:LISTED]),
        refused=_refused(found, facts, left, shown) or _outdated(connection, found),
    )
    return opening, facts


def _why_not(system: System, line: StockLine, place: str) -> str:
    if not place and line.location:
        return f"its location {line.location!r} is not bound"
    if not place:
        return "it names no location; say which one its figures are of"
    if line.quantity < 0:
        return "it is below zero"
    if line.holder and line.holder != system.code:
        return f"{line.holder} holds the authority for counts at {place}"
    if system.snapshot_basis == "net" and line.feed != "snapshot":
        return "its figures are net of what it promised; hand in a count of what lies there"
    return ""


def _fact(system: str, line: StockLine, place: str, as_of: dt.datetime) -> Fact:
    return Fact(
        kind="snapshot" if line.feed == "snapshot" else "count",
        system=system,
        document=f"opening {as_of.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
        line="/".join(part for part in (line.code, place, line.lot) if part),
        item=line.code,
        unit=line.unit,
        lot=line.lot,
        location=place,
        quantity=line.quantity,
        occurred_at=line.as_of,
        reason="opening stock",
    )


def _refused(system: System, facts: Sequence[Fact], left: Sequence[LeftOut], shown: int) -> str:
    if not entitled(system.role):
        who = as_partner(system.role)
        return f"{who[0].upper()}{who[1:]} shows what it is told; its figures are no stock."
    if facts:
        return ""
    if left:
        return f"No figure can be taken: {left[0].why}."
    if shown:
        return (
            f"None of the {shown:,} figures it told is of a matched item: bind its items first"
            f" (stockwright connection items {system.code}), then test it again."
        )
    return "It told no stock yet: hand in a file of it with --sample."


def _outdated(connection: Connection, system: System) -> str:
    """Why figures that were told under other settings may not be taken; '' where they are current.

    A partner's figures are kept with its items, by the same test.
    """
    told_with = _told_with(connection, system.code)
    if told_with in ("", digest(system)):
        return ""
    return f"The settings of {system.code} changed since it told its stock; test it again."


def _told_with(connection: Connection, system: str) -> str:
    kept = store.steps(connection, system).get(system, {}).get("items")
    return kept.settings if kept is not None else ""


def check(opening: Opening, as_of: dt.datetime | None) -> None:
    """Raises Rejected where it may not be taken, or is not what was shown as of a time."""
    if opening.refused:
        raise Rejected("not_ready", "system", opening.refused)
    if as_of is not None and as_of != opening.as_of:
        message = "The partner was asked again since; look at what it says now, then take that."
        raise Rejected("not_ready", "as_of", message)


def taken(
    connection: Connection, opening: Opening, outcomes: Sequence[Outcome], *, actor: str
) -> Taken:
    """Keeps what became of the opening stock. Safe to repeat."""
    system = opening.system
    counted: dict[str, int] = {}
    for outcome in outcomes:
        counted[outcome.code] = counted.get(outcome.code, 0) + 1
    recorded = counted.get("recorded", 0)
    rest = {code: count for code, count in counted.items() if code != "recorded"}
    words = ", ".join(f"{count:,} {code}" for code, count in sorted(rest.items()))
    assert opening.as_of is not None
    as_of = f"{opening.as_of.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"
    note = f"{recorded:,} counts, {opening.units:,} units, as of {as_of}"
    if opening.left_out:
        words = ", ".join(filter(None, [words, f"{opening.left_out:,} left out"]))
    state: State = "failed" if not recorded else "attention" if words else "done"
    store.write_step(
        connection, system, "opening_stock", state,
        actor=actor, note=f"{note} ({words})" if words else note,
        settings=_told_with(connection, system),
        detail={"outcomes": counted, "as_of": opening.as_of, "places": opening.places},
    )  # fmt: skip
    detail = {"lines": opening.lines, "units": opening.units, "outcomes": counted}
    log_change(connection, actor, "connection.opening_stock", system, detail)
    return Taken(opening=opening, outcomes=counted, connection=view(connection, system))


def without(connection: Connection, system: str, *, actor: str, why: str) -> ConnectionView:
    """Goes on without opening stock, for a stated reason: the books hold it already."""
    system_of(connection, system)
    if not why.strip():
        raise Rejected("malformed", "why", "Say why no opening stock is taken.")
    store.write_step(connection, system, "opening_stock", "skipped", actor=actor, note=why.strip())
    log_change(connection, actor, "connection.no_opening_stock", system, {"why": why.strip()})
    return view(connection, system)
