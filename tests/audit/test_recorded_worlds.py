"""Whatever the ledger recorded, in whatever order it was told, stands every proof."""

import datetime as dt
import random
from collections import Counter
from typing import Any

import pytest

from stockwright.domain.events import Fact, Item, Outcome, Request, RequestLine
from stockwright.flow.audit import run_audit
from stockwright.flow.recording import Recorder
from stockwright.store.connection import connect

MASTER = """
insert into system (code, role, revisions) values
    ('erp', 'erp', 'increment'), ('wms', 'wms', 'increment'), ('shop', 'shop', 'increment'),
    ('sums', 'wms', 'cumulative');
insert into location (code, priority, feed) values
    ('L1', 10, 'movement'), ('L2', 20, 'movement'), ('S1', 30, 'snapshot');
insert into sku (code, control) values ('A', 'none'), ('B', 'none'), ('C', 'lot');
insert into channel (code, system, pool) values ('shop', 'shop', '{L1,L2}');
update master_revision set revision = revision + 1;
"""
NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
PLAIN = ("adjustment", "damage", "quarantine", "unquarantine", "scrap", "pos_sale", "receipt")
OF_ORDER = ("shipment", "pick", "unpick", "channel_order", "channel_cancel", "return_receipt")
TRANSFERS = ("transfer_out", "transfer_in", "transfer_close")
RARE = ("count", "snapshot", "inspection_result", "lot_recall", "conversion", "reversal")
REQUESTS = ("reserve", "extend", "confirm", "allocate", "deallocate", "release", "cancel")


def world(chance: random.Random, size: int) -> list[Item]:
    """Items of every kind on few SKUs, places and orders, so that they meet; some told twice."""
    items: list[Item] = [
        Fact(
            kind="receipt",
            document=f"open{sku}{place}",
            system="erp",
            sku=sku,
            location=place,
            lot="x" if sku == "C" else "",
            quantity=60,
            occurred_at=NOON,
        )
        for sku in "ABC"
        for place in ("L1", "L2")
    ]
    for n in range(size):
        families = (PLAIN, OF_ORDER, TRANSFERS, RARE, REQUESTS)
        kind = chance.choice(chance.choice(families))
        if items and chance.random() < 0.05:
            items.append(chance.choice(items))
        elif kind in REQUESTS:
            items.append(request(chance, kind, n))
        else:
            items.append(fact(chance, kind, n))
    return items


def request(chance: random.Random, kind: Any, n: int) -> Request:
    lines = [
        RequestLine(
            line=str(i + 1),
            sku=chance.choice("ABC"),
            quantity=chance.randint(1, 9),
            location=chance.choice(("", "L1", "L2")),
            min_shelf_life_days=chance.choice((0, 0, 0, 30)),
        )
        for i in range(chance.randint(1, 3))
    ]
    whole = kind != "reserve" and chance.random() < 0.5
    return Request(
        kind=kind,
        document=f"r{n}",
        system="shop",
        channel="shop",
        order=f"o{chance.randint(1, 40)}",
        lines=[] if whole else lines,
        mode=chance.choice(("all", "partial")),
        hold_s=chance.choice((1, 900)) if kind in ("reserve", "extend") else 0,
        confirmed=kind == "reserve" and chance.random() < 0.5,
    )


def fact(chance: random.Random, kind: Any, n: int) -> Fact:
    sku = chance.choice("ABC")
    quantity = chance.randint(1, 30)
    at = NOON + dt.timedelta(minutes=chance.randint(-600, 600))
    values: dict[str, Any] = {
        "system": chance.choice(("wms", "erp", "sums")),
        "sku": sku,
        "lot": chance.choice(("", "x", "y")) if sku == "C" else "",
        "expires_on": chance.choice((None, dt.date(2026, 12, 1))) if sku == "C" else None,
        "location": chance.choice(("L1", "L1", "L2", "S1")),
        "occurred_at": at,
        "quantity": quantity,
    }
    if kind in OF_ORDER:
        values |= {"order": f"o{chance.randint(1, 40)}", "order_line": str(chance.randint(1, 3))}
        values |= {"order_system": "shop", "final": chance.random() < 0.2}
    if kind in ("channel_order", "channel_cancel"):
        values |= {"system": "shop", "channel": "shop", "order_system": ""}
    if kind in TRANSFERS:
        values |= {"transfer": f"t{chance.randint(1, 6)}", "to_location": "L2", "location": "L1"}
        values |= {"close_as": chance.choice(("lost", "found"))}
        if kind == "transfer_in":
            values |= {"location": "L2", "to_location": ""}
    if kind == "adjustment":
        values |= {"quantity": chance.choice((-7, 5, 12)), "bucket": chance.choice(BUCKETS)}
    if kind in ("count", "snapshot"):
        values |= {"quantity": chance.randint(0, 40), "picked_included": chance.random() < 0.7}
        values |= {"location": "S1"} if kind == "snapshot" else {}
    if kind == "inspection_result":
        values |= {"to_bucket": chance.choice(("sellable", "damaged", "scrap"))}
    if kind == "conversion":
        values |= {"to_sku": "B", "to_quantity": chance.randint(1, 12), "sku": "A", "lot": ""}
    if kind == "reversal":
        values = {"system": "erp", "reverses": chance.randint(1, 80), "quantity": 0}
    document = f"d{n}"
    if kind in REVISED and chance.random() < 0.3:
        document = f"rev{chance.randint(1, 5)}"
        values |= {"revision": chance.randint(0, 3)}
    return Fact(kind=kind, document=document, **values)


REVISED = (*PLAIN, *OF_ORDER, "inspection_result", "conversion")
BUCKETS = ("sellable", "inspection", "quarantined", "damaged")


# 0, 4, 12 and 31 once found claims beyond what was left to ship.
@pytest.mark.parametrize("seed", [0, 4, 12, 31, 60, 61])
def test_a_random_world_stands_every_proof(database_url: str, seed: int) -> None:
    chance = random.Random(seed)
    items = world(chance, 400)
    with connect(database_url, autocommit=True) as connection:
        connection.execute(MASTER.encode())
        outcomes: list[Outcome] = []
        with Recorder(database_url) as recorder:
            while items:
                size = chance.choice((1, 3, 40, 120))
                batch, items = items[:size], items[size:]
                outcomes += recorder.submit(batch).result(60)
        report = run_audit(connection, rebuild=True)
    codes = Counter(outcome.code for outcome in outcomes)
    assert {"recorded", "done"} <= set(codes), codes
    assert codes["granted"] + codes["partial"] > 0, codes
    assert "poison" not in codes, [one.message for one in outcomes if one.code == "poison"][:3]
    assert [check for check in report.checks if not check.ok] == []
