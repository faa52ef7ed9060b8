"""Supply that is expected: told, read in pages, closed, and brought to what is still to come."""

import datetime as dt
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from stockwright.domain.errors import Rejected
from stockwright.domain.supply import Expected, LineKey, SupplyLine, ToldSupply, UnderWay, expected
from stockwright.store.access import log_change
from stockwright.store.arrays import texts
from stockwright.store.connection import Connection
from stockwright.store.master import Saved
from stockwright.store.naming import meant
from stockwright.store.queries import load

_SQL = load("supply")
_LEDGER = load("ledger")
_MASTER = load("master")
State = Literal["open", "closed", "all"]
TOP = 2**63 - 1


class SupplyView(msgspec.Struct, kw_only=True):
    """One line of expected supply, in base units.

    state: open, overdue (its date is past by more than its place allows: nothing is promised on
    it), received, or closed by hand.
    """

    id: int
    system: str
    document: str
    line: str
    kind: str
    sku: str
    location: str
    quantity: int
    received: int
    due_at: dt.datetime
    of_system: str
    of_document: str
    of_line: str
    told_at: dt.datetime
    overdue_at: dt.datetime | None
    closed_at: dt.datetime | None
    closed_by: str
    closed_why: str
    state: str = ""


def save(connection: Connection, told: Sequence[ToldSupply], actor: str) -> list[Saved | Rejected]:
    """Keeps lines of supply as told; one result per line, aligned. Safe to repeat.

    A line told again with other content is what it says now, and open again where it was closed.
    A line told twice in one call is what the last one says.
    """
    named = meant(connection, told)
    places = {
        code
        for (code,) in connection.execute(
            _SQL["places_known"], {"codes": texts(sorted({one.location for one in told}))}
        )
    }
    before = _known(connection, [(one.system, one.document, one.line) for one in told])
    results: list[Saved | Rejected] = []
    rows: dict[LineKey, dict[str, Any]] = {}
    for one, found in zip(told, named, strict=True):
        if isinstance(found, Rejected):
            results.append(found)
        elif one.location not in places:
            message = f"no location {one.location!r}; name one of the item master"
            results.append(Rejected("unknown_location", "location", message))
        elif _order_line(one) == (one.system, one.document, one.line):
            message = "this names the line itself; name the purchase order line it specifies"
            results.append(Rejected("malformed", "of_document", message))
        else:
            results.append(_judge(one, *found, before, rows))
    if rows:
        # In one order by all who tell, so that no two wait for each other.
        given = msgspec.json.encode([rows[key] for key in sorted(rows)]).decode()
        connection.execute(_SQL["save"], {"rows": given})
        for key in sorted(rows):
            connection.execute(_LEDGER["close_work"], ("supply_overdue", "/".join(key)))
        _log(connection, actor, "supply.put", list(rows))
    return results


def _judge(
    one: ToldSupply,
    sku: str,
    units: int,
    before: dict[LineKey, tuple[Any, ...]],
    rows: dict[LineKey, dict[str, Any]],
) -> Saved:
    key = (one.system, one.document, one.line)
    content = (one.kind, sku, one.location, units, one.due_at, *_order_line(one))
    stood = before.get(key)
    if stood == content:
        return "unchanged"
    before[key] = content
    names = (
        *("system", "document", "line", "kind", "sku", "location", "quantity", "due_at"),
        *("of_system", "of_document", "of_line"),
    )
    rows[key] = dict(zip(names, (*key, *content), strict=True))
    return "new" if stood is None else "changed"


def _order_line(one: ToldSupply) -> LineKey:
    """The purchase order line that a notice specifies; empty names where it says none."""
    if not one.of_document:
        return ("", "", "")
    return (one.of_system or one.system, one.of_document, one.of_line or one.line)


def _known(connection: Connection, keys: Sequence[LineKey]) -> dict[LineKey, tuple[Any, ...]]:
    rows = connection.execute(_SQL["known"], _columns(keys))
    return {(row[0], row[1], row[2]): tuple(row[3:11]) for row in rows}


def _columns(keys: Sequence[LineKey]) -> dict[str, str]:
    return {
        "systems": texts([key[0] for key in keys]),
        "documents": texts([key[1] for key in keys]),
        "lines": texts([key[2] for key in keys]),
    }


def _log(connection: Connection, actor: str, action: str, keys: Sequence[LineKey]) -> None:
    subject = "/".join(keys[0]) if len(keys) == 1 else f"{len(keys)} lines"
    detail = {"lines": ["/".join(key) for key in keys]} if len(keys) > 1 else {}
    log_change(connection, actor, action, subject, detail)


def page(
    connection: Connection,
    *,
    state: State = "open",
    sku: str = "",
    location: str = "",
    system: str = "",
    before: int = TOP,
    limit: int = 100,
) -> list[SupplyView]:
    """Lines of supply with an id below `before`, the latest told first, at most `limit`."""
    return _page(connection, state, sku, location, (system, "", ""), before, limit)


def find(connection: Connection, key: LineKey) -> SupplyView | None:
    """One line of supply; None where nobody told it."""
    found = _page(connection, "all", "", "", key, TOP, 1)
    return found[0] if found else None


def _page(
    connection: Connection,
    state: State,
    sku: str,
    location: str,
    key: LineKey,
    before: int,
    limit: int,
) -> list[SupplyView]:
    filters = {"state": state, "sku": sku, "location": location, "before": before, "limit": limit}
    names = {"system": key[0], "document": key[1], "line": key[2]}
    fields = SupplyView.__struct_fields__
    views = [
        SupplyView(**dict(zip(fields, row, strict=False)))
        for row in connection.execute(_SQL["page"], filters | names)
    ]
    for view in views:
        view.state = _state(view)
    return views


def _state(view: SupplyView) -> str:
    if view.received >= view.quantity:
        return "received"
    if view.closed_at is not None:
        return "closed"
    return "open" if view.overdue_at is None else "overdue"


def close(connection: Connection, key: LineKey, *, actor: str, why: str) -> bool:
    """Closes a line of which no more is expected; False where it was not open."""
    named = {"system": key[0], "document": key[1], "line": key[2], "actor": actor, "why": why}
    row = connection.execute(_SQL["close"], named).fetchone()
    if row is None:
        return False
    connection.execute(_MASTER["mark_skus"], {"skus": [row[0]]})
    connection.execute(_LEDGER["close_work"], ("supply_overdue", "/".join(key)))
    log_change(connection, actor, "supply.close", "/".join(key), {"why": why})
    return True


# ------------------------------------------------------------ what is still to come


def lines_of_skus(connection: Connection, skus: Sequence[str]) -> dict[str, list[SupplyLine]]:
    """By SKU, all lines that say what is still to come of it."""
    found: dict[str, list[SupplyLine]] = {}
    for row in connection.execute(_SQL["lines_of_skus"], {"skus": texts(skus)}):
        kind, system, document, line, sku, location, quantity, due_at, received, *rest = row
        of_system, of_document, of_line, closed, left_for, grace_s = rest
        found.setdefault(sku, []).append(
            SupplyLine(
                kind=kind,
                system=system,
                document=document,
                line=line,
                sku=sku,
                location=location,
                quantity=quantity,
                due_at=due_at,
                received=received,
                of=(of_system, of_document, of_line) if of_document else None,
                closed=closed,
                left_for=left_for,
                grace_s=grace_s,
            )
        )
    return found


def expected_of_skus(connection: Connection, skus: Sequence[str]) -> dict[str, list[Expected]]:
    """By SKU, what will arrive and when, each unit once."""
    lines = lines_of_skus(connection, skus)
    under_way: dict[str, list[UnderWay]] = {}
    for document, sku, place, units, eta, grace_s in connection.execute(
        _SQL["under_way"], {"skus": texts(skus)}
    ):
        one = UnderWay(
            document=document, sku=sku, location=place, units=units, eta=eta, grace_s=grace_s
        )
        under_way.setdefault(sku, []).append(one)
    return {
        sku: expected(lines.get(sku, ()), under_way.get(sku, ()))
        for sku in lines.keys() | under_way.keys()
    }
