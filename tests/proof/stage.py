"""A small furnished database, items for it, and what must hold of it whatever happened."""

import datetime as dt
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import psycopg

from stockwright.domain.events import Fact, Request, RequestLine
from stockwright.flow.audit import run_audit
from stockwright.flow.recording import Recorder
from stockwright.store.connection import connect

PATIENCE_S = 60.0
"""Only keeps a broken test from hanging."""
MASTER = """
insert into system (code, role) values ('erp', 'erp'), ('wms', 'wms'), ('web', 'shop');
insert into location (code, priority) values ('EAST', 1), ('WEST', 2);
insert into sku (code) values ('A'), ('B'), ('HOT');
insert into channel (code, system, pool) values ('web', 'web', '{EAST,WEST}');
insert into channel (code, system, pool, allow_split) values ('b2b', 'web', '{EAST,WEST}', false);
update master_revision set revision = revision + 1;
"""


class Cell(NamedTuple):
    """What the stored balance of one SKU says, over all places and lots."""

    sellable: int = 0
    reserved: int = 0
    allocated: int = 0
    picked: int = 0

    @property
    def free(self) -> int:
        return self.sellable - self.reserved - self.allocated - self.picked


def furnish(url: str) -> None:
    """Two places, three SKUs, a channel over both places and one that may not split."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(MASTER.encode())


def rows(url: str, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """What one query answers, on a connection of its own."""
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(sql.encode(), values or None).fetchall()


def cell(url: str, sku: str) -> Cell:
    """The stored balance of a SKU."""
    columns = ", ".join(f"coalesce(sum({name}), 0)::bigint" for name in Cell._fields)
    (row,) = rows(url, f"select {columns} from balance where sku = %s", sku)
    return Cell(*row)


def assert_audited(url: str) -> None:
    """Every proof of the audit holds, and the balances rebuilt from the ledger are the stored."""
    with connect(url, autocommit=True) as connection:
        report = run_audit(connection, rebuild=True)
    assert [check for check in report.checks if not check.ok] == []


def receipt(document: str, quantity: int, sku: str = "HOT", **more: Any) -> Fact:
    """Goods from a supplier, at EAST unless told otherwise."""
    fields = {"system": "wms", "location": "EAST"} | more
    return Fact(kind="receipt", document=document, sku=sku, quantity=quantity, **fields)


def reserve(order: str, *wanted: tuple[str, int], **more: Any) -> Request:
    """One line per (SKU, quantity), in the order's own name unless `document` is given."""
    fields = {"system": "web", "document": order} | more
    lines = [
        RequestLine(line=str(n), sku=sku, quantity=units)
        for n, (sku, units) in enumerate(wanted, start=1)
    ]
    return Request(kind="reserve", order=order, lines=lines, **fields)


def move_on(kind: Any, order: str, key: str = "", **more: Any) -> Request:
    """A transition of a whole order under a key of its own."""
    return Request(kind=kind, system="web", order=order, document=key or f"{kind} {order}", **more)


def transitions(url: str) -> dict[str, list[str]]:
    """The states every order's first line went through, in order."""
    found: dict[str, list[str]] = {}
    for order, state in rows(
        url,
        "select d.order_ref, t.state from transition t join demand_line d on d.id = t.line_id "
        "where d.line = '1' order by d.order_ref, t.n",
    ):
        found.setdefault(order, []).append(state)
    return found


def now() -> dt.datetime:
    """The wall clock, with its zone."""
    return dt.datetime.now(dt.UTC)


def wait_until(holds: Callable[[], object], what: str) -> None:
    """Waits until something holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def pass_by(recorder: Recorder, moment: dt.datetime) -> None:
    """Waits until what is recorded next is dated after a moment of the database's clock.

    The ledger's own clock runs behind that one by as long as the server's last answer took.
    """
    wait_until(lambda: recorder._ledger.now() > moment, f"the ledger's clock stays before {moment}")
