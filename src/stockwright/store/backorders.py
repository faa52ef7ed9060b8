"""What order lines are owed: told, read in pages, closed. Changes happen in the ledger's lane.

A batch of the ledger decides on the item master's revision it knows, and on what is owed of the
SKUs that revision says are owed. So a SKU that was not owed before raises the revision, and the
lane is held while it is written: from that commit on no batch misses it.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from stockwright.domain.backorders import DemandKey, ToldOwed
from stockwright.domain.errors import Rejected
from stockwright.store.access import log_change
from stockwright.store.arrays import texts
from stockwright.store.connection import Connection
from stockwright.store.history import LOCK, Said, said_by
from stockwright.store.ledger import LANE
from stockwright.store.master import Saved, lock_master, raise_revision
from stockwright.store.naming import meant
from stockwright.store.queries import load

_SQL = load("backorders")
_LEDGER = load("ledger")
_MASTER = load("master")
State = Literal["open", "closed", "all"]
TOP = 2**63 - 1
_FIELDS: Final = (
    *("system", "order", "line", "sku", "channel", "demand_class", "quantity", "owed_since"),
)


class BackorderView(Struct, kw_only=True):
    """What an order line is owed, in base units. quantity = owed + promoted + cancelled at most."""

    id: int
    system: str
    order: str
    line: str
    sku: str
    channel: str
    demand_class: int
    quantity: int
    owed: int
    promoted: int
    cancelled: int
    owed_since: dt.datetime
    sequence: int | None
    closed_at: dt.datetime | None
    closed_by: str
    closed_why: str


def save(connection: Connection, told: Sequence[ToldOwed], actor: str) -> list[Saved | Rejected]:
    """Keeps what order lines are owed; one result per line, aligned. Safe to repeat.

    A line told again with another quantity is owed the difference to what it got or gave up. One
    that was closed by hand is owed anew, as is a settled one that is owed since another time. The
    same again, closed or not, changes nothing. Told twice in one call, the last counts.
    """
    _take_lane(connection)
    said_by(connection, Said(actor=actor, source="api", reason="backorders told"))
    named = meant(connection, told)
    codes = texts(sorted({one.channel for one in told}))
    classes: dict[str, int] = dict(
        connection.execute(_SQL["channels"], {"codes": codes}).fetchall()
    )
    stood = _known(connection, [(one.system, one.order, one.line) for one in told])
    before = dict(stood)
    results: list[Saved | Rejected] = []
    rows: dict[DemandKey, dict[str, Any]] = {}
    for one, found in zip(told, named, strict=True):
        if isinstance(found, Rejected):
            results.append(found)
        elif one.channel not in classes:
            message = f"no channel {one.channel!r}; name one of the configuration"
            results.append(Rejected("unknown_channel", "channel", message))
        else:
            results.append(_judge(one, *found, classes[one.channel], before, rows))
    if rows:
        was = {stood[key][0] for key in rows if key in stood}
        _write(connection, rows, was, actor)
    return results


def _take_lane(connection: Connection) -> None:
    """The item master's lock first: whoever waits for an import must not hold up the ledger."""
    lock_master(connection)
    connection.execute(_LEDGER["lane"], (LANE,))


def _judge(
    one: ToldOwed,
    sku: str,
    units: int,
    demand_class: int,
    before: dict[DemandKey, tuple[Any, ...]],
    rows: dict[DemandKey, dict[str, Any]],
) -> Saved:
    key = (one.system, one.order, one.line)
    stood = before.get(key)
    if one.demand_class is not None:
        demand_class = one.demand_class
    since = one.owed_since or (stood[4] if stood else None)
    content = (sku, one.channel, demand_class, units, since)
    if stood == content:
        return "unchanged"
    before[key] = content
    rows[key] = dict(zip(_FIELDS, (*key, *content), strict=True))
    return "new" if stood is None else "changed"


def _known(connection: Connection, keys: Sequence[DemandKey]) -> dict[DemandKey, tuple[Any, ...]]:
    columns = {
        "systems": texts([key[0] for key in keys]),
        "orders": texts([key[1] for key in keys]),
        "lines": texts([key[2] for key in keys]),
    }
    rows = connection.execute(_SQL["known"], columns)
    return {(row[0], row[1], row[2]): tuple(row[3:8]) for row in rows}


def _write(
    connection: Connection,
    rows: dict[DemandKey, dict[str, Any]],
    was: set[str],
    actor: str,
) -> None:
    given = msgspec.json.encode(list(rows.values())).decode()
    connection.execute(_SQL["save"], {"rows": given, "actor": actor})
    skus = sorted({row["sku"] for row in rows.values()} | was)
    connection.execute(_MASTER["mark_skus"], {"skus": skus})
    if connection.execute(_SQL["owe"], {"skus": texts(skus)}).fetchall():
        raise_revision(connection)
    keys = ["/".join(key) for key in rows]
    subject = keys[0] if len(keys) == 1 else f"{len(keys)} lines"
    log_change(connection, actor, "backorder.put", subject, {"lines": keys})


def close(connection: Connection, key: DemandKey, *, actor: str, why: str) -> bool:
    """Closes a backorder by hand; False where nothing was owed."""
    _take_lane(connection)
    said_by(connection, Said(actor=actor, source="api", reason=why))
    named = {"system": key[0], "order": key[1], "line": key[2], "actor": actor, "why": why}
    row = connection.execute(_SQL["close"], named).fetchone()
    if row is None:
        return False
    connection.execute(_MASTER["mark_skus"], {"skus": [row[0]]})
    log_change(connection, actor, "backorder.close", "/".join(key), {"why": why})
    return True


def forget_owed(connection: Connection) -> int:
    """Lets the ledger go without reading what is owed of SKUs that are owed no more; how many.

    Waits for nobody: while master data is being changed it does nothing.
    """
    locked = connection.execute(_SQL["try_master"], {"lock": LOCK}).fetchone()
    if locked is None or not locked[0]:
        return 0
    gone = connection.execute(_SQL["forget_owed"]).fetchall()
    if gone:
        raise_revision(connection)
    return len(gone)


def page(
    connection: Connection,
    *,
    state: State = "open",
    sku: str = "",
    channel: str = "",
    system: str = "",
    before: int = TOP,
    limit: int = 100,
) -> list[BackorderView]:
    """Backorders with an id below `before`, newest first, at most `limit`."""
    filters = {"state": state, "sku": sku, "channel": channel, "before": before, "limit": limit}
    return _views(connection, filters | {"system": system, "order": "", "line": ""})


def find(connection: Connection, key: DemandKey) -> BackorderView | None:
    """What one order line is or was owed; None where it never was."""
    filters = {"state": "all", "sku": "", "channel": "", "before": TOP, "limit": 1}
    named = {"system": key[0], "order": key[1], "line": key[2]}
    found = _views(connection, filters | named)
    return found[0] if found else None


def _views(connection: Connection, filters: dict[str, Any]) -> list[BackorderView]:
    fields = BackorderView.__struct_fields__
    rows = connection.execute(_SQL["page"], filters)
    return [BackorderView(**dict(zip(fields, row, strict=True))) for row in rows]
