"""Reading what became of a reservation: its demand lines, and where units are promised to them."""

import datetime as dt

import msgspec

from stockwright.store import queries
from stockwright.store.connection import Connection

_SQL = queries.load("reservations")


class ClaimView(msgspec.Struct, kw_only=True):
    """Units promised at one place, in base units."""

    location: str
    lot: str = ""
    reserved: int = 0
    allocated: int = 0
    picked: int = 0


class LineView(msgspec.Struct, kw_only=True):
    """One demand line: what was ordered, what became of it, and where the rest is promised."""

    line: str
    sku: str
    channel: str
    state: str
    ordered: int
    shipped: int
    cancelled: int
    cancel_requested: int
    returned: int
    expires_at: dt.datetime | None
    claims: list[ClaimView] = []


class ReservationView(msgspec.Struct, kw_only=True):
    """A reservation as it stands, by its name: a system and its order."""

    system: str
    order: str
    lines: list[LineView]


def find_reservation(connection: Connection, system: str, order: str) -> ReservationView | None:
    """The reservation of one order with its lines by code; None where there is no such order."""
    arguments = {"system": system, "order": order}
    fields = LineView.__struct_fields__[:-1]
    lines: dict[str, LineView] = {}
    for row in connection.execute(_SQL["lines"], arguments):
        lines[row[0]] = LineView(**dict(zip(fields, row, strict=True)), claims=[])
    for line, location, lot, reserved, allocated, picked in connection.execute(
        _SQL["claims"], arguments
    ):
        # A line may have been added between the two reads; the next call shows it.
        if line in lines:
            claim = ClaimView(
                location=location, lot=lot, reserved=reserved, allocated=allocated, picked=picked
            )
            lines[line].claims.append(claim)
    if not lines:
        return None
    return ReservationView(system=system, order=order, lines=list(lines.values()))
