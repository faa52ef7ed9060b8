"""GET /v1/stock: the full state, now and as of a time, in pages and as a stream."""

import csv
import datetime as dt
import io
from collections import defaultdict
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from stockwright.domain.items import Sku
from stockwright.store import master

NDJSON = {"accept": "application/x-ndjson"}
BUCKETS = ("sellable", "inspection", "quarantined", "damaged", "reserved", "allocated", "picked")


def tell(house, kind: str, sku: str, quantity: int, **more):
    fact = {
        "kind": kind,
        "system": "erp",
        "document": uuid4().hex,
        "sku": sku,
        "quantity": quantity,
    }
    answer = house.admin.post("/v1/events", {**fact, **more})
    assert answer.status == 200, answer
    return answer.json["sequence"]


def state(house, sku: str, query: str = "") -> dict[str, dict[str, Any]]:
    answer = house.admin.get(f"/v1/stock/{sku}?{query}")
    assert answer.status == 200, answer
    return {
        f"{row['location']}{row['lot'] and '/' + row['lot']}": row for row in answer.json["items"]
    }


def lines(answer) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in answer.body.splitlines()]


def test_every_bucket_and_every_stage_of_a_claim_is_there(house, new_sku):
    sku = new_sku()
    tell(house, "receipt", sku, 20, location="main")
    tell(house, "receipt", sku, 3, location="main", bucket="inspection")
    tell(house, "damage", sku, 2, location="main")
    tell(house, "quarantine", sku, 1, location="main")
    tell(house, "transfer_out", sku, 4, location="main", to_location="second", transfer="T-1")
    order = uuid4().hex
    ask = {"system": "shop", "channel": "web", "order": order}
    ask["lines"] = [{"sku": sku, "quantity": 6, "location": "main"}]
    assert house.admin.post("/v1/reservations", ask).status == 201
    allocated = {"lines": [{"line": "1", "quantity": 2}]}
    assert house.admin.post(f"/v1/reservations/shop/{order}/allocate", allocated).status == 200
    found = state(house, sku)
    main, second = found["main"], found["second"]
    assert {name: main[name] for name in BUCKETS} == {
        "sellable": 13, "inspection": 3, "quarantined": 1, "damaged": 2,
        "reserved": 4, "allocated": 2, "picked": 0,
    }  # fmt: skip
    assert (main["on_hand"], main["free"], main["in_transit"]) == (19, 7, 0)
    assert (second["on_hand"], second["in_transit"]) == (0, 4)


def test_lots_are_told_apart_only_where_asked_for(house):
    sku = f"lot-{uuid4().hex[:8]}"
    with house.services.pool.connection() as connection:
        master.save_one(connection, "skus", Sku(code=sku, control="lot"))
    tell(house, "receipt", sku, 5, location="main", lot="L1")
    tell(house, "receipt", sku, 7, location="main", lot="L2")
    assert {place: row["sellable"] for place, row in state(house, sku).items()} == {"main": 12}
    by_lot = state(house, sku, "lots=true")
    assert {place: row["sellable"] for place, row in by_lot.items()} == {"main/L1": 5, "main/L2": 7}


def test_pages_that_follow_each_other_are_of_one_sequence_number(house, new_sku):
    skus = sorted(new_sku() for _ in range(5))
    for sku in skus:
        tell(house, "receipt", sku, 10, location="main")
        tell(house, "receipt", sku, 1, location="second")
    asked = "&".join(f"sku={sku}" for sku in skus)
    first = house.admin.get(f"/v1/stock?{asked}&limit=3").json
    tell(house, "receipt", skus[-1], 90, location="main")
    tell(house, "receipt", skus[-1], 90, location="second")
    pages, cursor = [first], first["next_cursor"]
    while cursor:
        pages.append(house.admin.get(f"/v1/stock?{asked}&limit=3&cursor={cursor}").json)
        cursor = pages[-1]["next_cursor"]
    assert {page["sequence"] for page in pages} == {first["sequence"]}
    rows = [row for page in pages for row in page["items"]]
    assert [(row["sku"], row["location"]) for row in rows] == [
        (sku, place) for sku in skus for place in ("main", "second")
    ]
    assert [row["sellable"] for row in rows] == [10, 1] * 5
    assert [len(page["items"]) for page in pages] == [3, 3, 3, 1]


def test_filters_narrow_by_sku_place_and_group(house, new_sku):
    other, mine = new_sku(), f"grouped-{uuid4().hex[:8]}"
    group = f"g-{uuid4().hex[:6]}"
    with house.services.pool.connection() as connection:
        master.save_one(connection, "skus", Sku(code=mine, sku_group=group))
    for sku in (other, mine):
        tell(house, "receipt", sku, 2, location="main")
        tell(house, "receipt", sku, 3, location="second")
    found = house.admin.get(f"/v1/stock?sku_group={group}&location=second").json["items"]
    assert [(row["sku"], row["location"], row["sellable"]) for row in found] == [
        (mine, "second", 3)
    ]


def test_as_of_tells_what_was_known_then_or_what_lay_there_then(house, new_sku):
    sku = new_sku()
    tell(house, "receipt", sku, 10, location="main")
    then = dt.datetime.now(dt.UTC)
    earlier = (then - dt.timedelta(hours=1)).isoformat()
    # Told only now, and happened an hour ago.
    tell(house, "receipt", sku, 5, location="main", occurred_at=earlier)
    tell(house, "receipt", sku, 100, location="main")
    at = then.isoformat().replace("+00:00", "Z")
    assert state(house, sku)["main"]["sellable"] == 115
    assert state(house, sku, f"as_of={at}")["main"]["sellable"] == 10
    assert state(house, sku, f"as_of={at}&clock=occurred")["main"]["sellable"] == 15
    assert state(house, sku, "as_of=2001-01-01T00:00:00Z") == {}


def test_a_transfer_is_in_transit_as_of_a_time_between_its_ends(house, new_sku):
    sku = new_sku()
    tell(house, "receipt", sku, 10, location="main")
    document = uuid4().hex
    tell(house, "transfer_out", sku, 6, location="main", to_location="second", transfer=document)
    between = dt.datetime.now(dt.UTC).isoformat().replace("+00:00", "Z")
    tell(house, "transfer_in", sku, 6, location="second", transfer=document)
    now, then = state(house, sku), state(house, sku, f"as_of={between}")
    assert (now["second"]["in_transit"], now["second"]["sellable"]) == (0, 6)
    assert (then["second"]["in_transit"], then["second"]["sellable"]) == (6, 0)


def test_any_cut_is_what_the_ledger_adds_up_to(house, new_sku):
    """The law behind every as-of: the state at a sequence number is what the entries add up to."""
    skus = [new_sku() for _ in range(3)]
    marks = []
    for turn in range(12):
        sku = skus[turn % 3]
        tell(house, "receipt", sku, 5 + turn, location="main" if turn % 2 else "second")
        marks.append(tell(house, "damage", sku, 1 + turn % 3, location="main"))
    for mark in marks[::3]:
        ((at,),) = house.sql("SELECT recorded_at FROM batch WHERE last_sequence = %s", mark)
        expected: dict[tuple[str, str, str], int] = defaultdict(int)
        rows = house.sql(
            "SELECT sku, from_account::text, from_location, to_account::text, to_location, "
            "quantity FROM entry WHERE sku = ANY(%s) AND sequence <= %s", skus, mark,
        )  # fmt: skip
        for sku, source, left, target, entered, units in rows:
            expected[sku, left, source] -= units
            expected[sku, entered, target] += units
        query = "&".join(f"sku={sku}" for sku in skus)
        stamp = at.isoformat().replace("+00:00", "Z")
        page = house.admin.get(f"/v1/stock?{query}&as_of={stamp}").json
        assert page["sequence"] == mark
        shown = {
            (row["sku"], row["location"], name): row[name]
            for row in page["items"]
            for name in BUCKETS
            if row[name]
        }
        assert shown == {
            key: units for key, units in expected.items() if units and key[2] in BUCKETS
        }


def test_the_stream_says_what_the_pages_say(house, new_sku):
    for _ in range(3):
        tell(house, "receipt", new_sku(), 4, location="main")
    paged = house.admin.get("/v1/stock?limit=1000").json
    assert paged["next_cursor"] is None
    streamed = house.admin.get("/v1/stock", headers=NDJSON)
    assert streamed.headers["content-type"] == "application/x-ndjson"
    assert streamed.headers["stockwright-sequence"] == str(paged["sequence"])
    assert lines(streamed) == paged["items"]
    table = house.admin.get("/v1/stock", headers={"accept": "text/csv"})
    rows = list(csv.DictReader(io.StringIO(table.body.decode())))
    assert [(row["sku"], row["location"], int(row["sellable"])) for row in rows] == [
        (row["sku"], row["location"], row["sellable"]) for row in paged["items"]
    ]


def test_a_stream_is_of_one_cut_while_the_ledger_moves_on(house, new_sku, monkeypatch):
    from stockwright.api import stock

    monkeypatch.setattr(stock, "_AT_ONCE", 2)
    skus = sorted(new_sku() for _ in range(6))
    for sku in skus:
        tell(house, "receipt", sku, 10, location="main")
    asked = "&".join(f"sku={sku}" for sku in skus)
    real, told = stock._piece, []

    def piece(connection, *rest):
        if not told:  # what is recorded once the stream has begun is beyond its cut
            told.append(tell(house, "receipt", skus[-1], 500, location="main"))
        return real(connection, *rest)

    monkeypatch.setattr(stock, "_piece", piece)
    rows = lines(house.admin.get(f"/v1/stock?{asked}", headers=NDJSON))
    assert [row["sellable"] for row in rows] == [10] * 6
    assert told


def test_a_fault_in_the_middle_breaks_the_connection_off(house, new_sku, monkeypatch):
    """Half a stream must not look like a whole one."""
    import http.client

    from stockwright.api import stock

    monkeypatch.setattr(stock, "_AT_ONCE", 1)
    skus = sorted(new_sku() for _ in range(3))
    for sku in skus:
        tell(house, "receipt", sku, 10, location="main")
    real, calls = stock._piece, []

    def piece(connection, *rest):
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("planted")
        return real(connection, *rest)

    monkeypatch.setattr(stock, "_piece", piece)
    asked = "&".join(f"sku={sku}" for sku in skus)
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        house.admin.get(f"/v1/stock?{asked}", headers=NDJSON)


def test_a_head_call_of_a_stream_has_no_body(house):
    answer = house.admin.call("HEAD", "/v1/stock", headers=NDJSON)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-type"] == "application/x-ndjson"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("as_of=2001-01-01T00:00:00", "as_of"),
        ("clock=tomorrow", "clock"),
        ("cursor=nonsense", "cursor"),
        ("limit=0", "limit"),
        ("lots=perhaps", "lots"),
        ("nothing=1", "nothing"),
    ],
)
def test_a_wrong_query_names_its_field(house, query, field):
    answer = house.admin.get(f"/v1/stock?{query}")
    assert answer.status == 422
    assert answer.json["param"] == field


def test_an_unknown_sku_is_not_found(house):
    answer = house.admin.get("/v1/stock/nobody")
    assert (answer.status, answer.json["param"]) == (404, "sku")
