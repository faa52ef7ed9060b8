"""GET /v1/stock and its export: both books, in pages or streamed, as of one moment."""

import csv
import datetime as dt
import io
import threading
import time
from itertools import pairwise

import msgspec
import pytest

from stockwright.store import stocklist
from stockwright.store.stocklist import StockRow, Which


def rows_of(answer):
    assert answer.status == 200, answer
    return [msgspec.json.decode(line) for line in answer.body.splitlines()]


def stock_of(house, sku: str, **more):
    query = "&".join([f"skus={sku}", *(f"{name}={value}" for name, value in more.items())])
    answer = house.admin.get(f"/v1/stock?{query}")
    assert answer.status == 200, answer
    return answer.json["items"]


def test_a_row_holds_every_bucket_and_every_promise(house, new_sku):
    sku = new_sku()
    house.receive(sku, 10)
    house.receive(sku, 3, "second")
    damaged = {"kind": "receipt", "system": "erp", "document": f"d-{sku}", "sku": sku}
    damaged |= {"quantity": 2, "location": "main", "bucket": "damaged"}
    assert house.admin.post("/v1/events", damaged).status == 200
    ask = {"system": "shop", "channel": "web", "lines": [{"sku": sku, "quantity": 4}]}
    assert house.admin.post("/v1/reservations", ask).status == 201
    main, second = stock_of(house, sku)
    assert (main["location"], main["sellable"], main["damaged"], main["reserved"]) == (
        *("main", 10, 2, 4),
    )
    assert (main["on_hand"], main["free"]) == (12, 6)
    assert (second["location"], second["on_hand"], second["free"]) == ("second", 3, 3)


def test_filters_take_several_codes_and_keep_others_out(house, new_sku):
    one, two, other = new_sku(), new_sku(), new_sku()
    for sku in (one, two, other):
        house.receive(sku, 1)
        house.receive(sku, 1, "second")
    answer = house.admin.get(f"/v1/stock?skus={one}&skus={two}&locations=second")
    assert {(row["sku"], row["location"]) for row in answer.json["items"]} == {
        (one, "second"),
        (two, "second"),
    }


def test_pages_speak_of_the_moment_of_the_first_one(house, new_sku):
    skus = sorted(new_sku() for _ in range(3))
    for sku in skus:
        house.receive(sku, 5)
    which = "&".join(f"skus={sku}" for sku in skus)
    first = house.admin.get(f"/v1/stock?{which}&limit=1").json
    for sku in skus:
        house.receive(sku, 100)
        house.receive(sku, 7, "second")
    found, cursor = first["items"], first["next_cursor"]
    while cursor:
        page = house.admin.get(f"/v1/stock?{which}&limit=1&cursor={cursor}").json
        assert page["sequence"] == first["sequence"]
        found, cursor = found + page["items"], page["next_cursor"]
    assert [(row["sku"], row["on_hand"]) for row in found] == [(sku, 5) for sku in skus]


def test_stock_of_an_earlier_time_is_what_was_recorded_by_then(house, new_sku):
    sku = new_sku()
    house.receive(sku, 4)
    then = dt.datetime.now(dt.UTC).isoformat().replace("+00:00", "Z")
    house.receive(sku, 6)
    assert [row["on_hand"] for row in stock_of(house, sku)] == [10]
    assert [row["on_hand"] for row in stock_of(house, sku, as_of=then)] == [4]
    assert stock_of(house, sku, as_of="2001-01-01T00:00:00Z") == []
    (empty,) = stock_of(house, sku, as_of="2001-01-01T00:00:00Z", empty="true")
    assert empty["on_hand"] == 0


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("as_of=2999-01-01T00:00:00Z", "as_of"),
        ("as_of=2020-01-01T00:00:00", "as_of"),
        ("by_lot=perhaps", "by_lot"),
        ("cursor=what", "cursor"),
        ("skus=a%00b", "skus"),
        ("place=main", "place"),
    ],
)
def test_a_bad_question_names_its_field(house, query, field):
    answer = house.admin.get(f"/v1/stock?{query}")
    assert (answer.status, answer.json["param"]) == (422, field), answer


def test_the_export_is_the_same_rows_in_either_form(house, new_sku):
    skus = sorted(new_sku() for _ in range(3))
    for sku in skus:
        house.receive(sku, 2)
    path = "/v1/stock/export?" + "&".join(f"skus={sku}" for sku in skus)
    lines = house.admin.get(path)
    table = house.admin.get(path, headers={"accept": "text/csv"})
    assert lines.headers["content-type"] == "application/x-ndjson"
    assert table.headers["content-type"].startswith("text/csv")
    assert lines.headers["stockwright-sequence"] == table.headers["stockwright-sequence"]
    assert [row["sku"] for row in rows_of(lines)] == skus
    told = list(csv.DictReader(io.StringIO(table.body.decode())))
    assert [msgspec.convert(row, StockRow, strict=False) for row in told] == [
        msgspec.convert(row, StockRow) for row in rows_of(lines)
    ]
    refused = house.admin.get(path, headers={"accept": "image/png"})
    assert refused.status == 406
    assert refused.json["type"].endswith("not_acceptable")


def test_an_export_under_way_does_not_see_what_is_recorded_meanwhile(house, new_sku):
    skus = sorted(new_sku() for _ in range(5))
    for sku in skus:
        house.receive(sku, 1)
    which, stop = Which(skus=skus), threading.Event()

    def move_on() -> None:
        while not stop.is_set():
            for sku in skus:
                house.receive(sku, 1)

    mover = threading.Thread(target=move_on)
    with house.services.pool.connection() as connection:
        sequence = stocklist.head(connection)
    mover.start()
    try:
        readings = []
        for _ in range(5):
            after, found = stocklist.START, []
            while True:
                with house.services.pool.connection() as connection:
                    page = stocklist.page(
                        connection, which, sequence=sequence, after=after, limit=1
                    )
                if not page:
                    break
                found, after = found + page, page[-1].key
                time.sleep(0.002)
            readings.append(found)
    finally:
        stop.set()
        mover.join()
    assert [row.on_hand for row in readings[0]] == [1] * 5
    assert all(one == other for one, other in pairwise(readings))


def test_it_needs_the_scope_to_read_stock(house):
    client = house.client("master:read")
    assert client.get("/v1/stock").status == 403
    assert client.get("/v1/stock/export").status == 403
