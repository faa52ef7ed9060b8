"""Expected supply, backorders and promises by date over HTTP."""

import datetime as dt
from uuid import uuid4

import pytest

NOW = dt.datetime.now(dt.UTC)


def due(days):
    return (NOW + dt.timedelta(days=days)).isoformat()


def order(sku, document, quantity, days=5, **more):
    given = {"document": document, "kind": "purchase_order", "location": "main"}
    return given | {"sku": sku, "quantity": quantity, "due_at": due(days)} | more


def owed(sku, name, quantity, **more):
    return {"order": name, "channel": "web", "sku": sku, "quantity": quantity} | more


@pytest.fixture
def erp(house):
    return house.client("events:write", "stock:read", system="erp")


@pytest.fixture
def shop(house):
    return house.client("reservations:write", "stock:read", system="shop")


def codes(answer):
    assert answer.status == 207, answer
    return [(one["status"], one["code"]) for one in answer.json["items"]]


def test_supply_is_told_answered_one_by_one_and_read_back(erp, new_sku):
    sku, document = new_sku(), f"PO-{uuid4().hex}"
    told = [
        order(sku, document, 100),
        order("nobody", document, 1, line="2"),
        order(sku, document, 1, line="3", location="moon"),
        order(sku, document, 1, line="4", system="shop"),
        order("", document, 1, line="5"),
    ]
    answer = erp.post("/v1/supply", told)
    assert codes(answer) == [
        (201, "new"),
        (422, "unknown_sku"),
        (422, "unknown_location"),
        (403, "forbidden_system"),
        (422, "malformed"),
    ]
    assert [one.get("param", "") for one in answer.json["items"]][1:] == [
        "sku",
        "location",
        "system",
        "sku",
    ]
    assert codes(erp.post("/v1/supply", told[:1])) == [(200, "unchanged")]
    assert codes(erp.post("/v1/supply", [order(sku, document, 90)])) == [(200, "changed")]
    found = erp.get(f"/v1/supply/erp/{document}/1").json
    assert (found["quantity"], found["received"], found["state"]) == (90, 0, "open")
    assert erp.get(f"/v1/supply/erp/{document}/9").status == 404


def test_a_line_that_is_closed_once_is_closed(erp, new_sku):
    sku, document = new_sku(), f"PO-{uuid4().hex}"
    erp.post("/v1/supply", [order(sku, document, 100)])
    address = f"/v1/supply/erp/{document}/1/close"
    closed = erp.post(address, {"why": "the supplier gave up"})
    assert (closed.status, closed.json["state"]) == (200, "closed")
    assert closed.json["closed_why"] == "the supplier gave up"
    assert erp.post(address, {"why": "again"}).json["type"].endswith(":already_closed")
    assert erp.get(f"/v1/supply?sku={sku}").json["items"] == []
    assert len(erp.get(f"/v1/supply?sku={sku}&state=closed").json["items"]) == 1


@pytest.mark.parametrize("kind", ["supply", "backorders"])
def test_lists_are_read_page_by_page(house, new_sku, kind):
    sku, name = new_sku(), uuid4().hex
    make = order if kind == "supply" else owed
    told = [make(sku, f"{name}-{n}", 1 + n, system="erp") for n in range(5)]
    assert house.admin.post(f"/v1/{kind}", told).status == 207
    seen, cursor = [], ""
    while cursor is not None:
        page = house.admin.get(f"/v1/{kind}?sku={sku}&limit=2&cursor={cursor}").json
        assert len(page["items"]) <= 2
        seen += [one["quantity"] for one in page["items"]]
        cursor = page["next_cursor"]
    assert seen == [5, 4, 3, 2, 1]


def test_what_is_owed_is_granted_to_its_line_and_to_nobody_else(house, shop, new_sku):
    sku, name = new_sku(), f"O-{uuid4().hex}"
    told = [owed(sku, name, 7), owed(sku, name, 1, line="2", channel="radio")]
    assert codes(shop.post("/v1/backorders", told)) == [(201, "new"), (403, "forbidden_system")]
    house.receive(sku, 10)

    def reserve(order_name, quantity):
        lines = [{"sku": sku, "quantity": quantity}]
        asked = {"channel": "web", "order": order_name, "lines": lines, "document": uuid4().hex}
        return shop.post("/v1/reservations", asked)

    assert reserve(f"X-{name}", 4).json["type"].endswith(":insufficient")
    asked = shop.post("/v1/availability", {"skus": [sku], "channel": "web", "explain": True})
    grantable = asked.json["items"][0]["channels"][0]
    assert grantable["grantable"] == 3
    assert grantable["explained"]["grantable"]["steps"][-1]["name"] == "backorder"
    assert reserve(name, 7).status == 201
    found = shop.get(f"/v1/backorders/shop/{name}/1").json
    assert (found["owed"], found["promoted"], found["closed_by"]) == (0, 7, "ledger")
    closed = shop.post(f"/v1/backorders/shop/{name}/1/close", {"why": "done"})
    assert closed.json["type"].endswith(":already_closed")
    assert reserve(f"X-{name}", 3).status == 201


def test_a_backorder_is_closed_by_hand(house, shop, new_sku):
    sku, name = new_sku(), f"O-{uuid4().hex}"
    shop.post("/v1/backorders", [owed(sku, name, 7)])
    closed = shop.post(f"/v1/backorders/shop/{name}/1/close", {"why": "the customer left"})
    assert (closed.status, closed.json["owed"], closed.json["cancelled"]) == (200, 0, 7)
    (change,) = house.sql("select actor from change_log where subject = %s", f"shop/{name}/1")[-1:]
    assert change[0].startswith("key ")


def test_a_date_is_promised_step_by_step(house, erp, shop, new_sku):
    sku, name = new_sku(), uuid4().hex
    house.receive(sku, 10)
    erp.post("/v1/supply", [order(sku, f"PO-{name}", 100)])
    shop.post("/v1/backorders", [owed(sku, f"O-{name}", 4)])
    asked = house.admin.get(f"/v1/promise?sku={sku}&channel=web&quantity=50")
    assert (asked.status, asked.json["available_to_promise"]) == (200, 6)
    assert asked.json["earliest"][:10] == due(5)[:10]
    by = due(6).replace("+", "%2B")
    later = house.admin.get(f"/v1/promise?sku={sku}&channel=web&by={by}&quantity=107").json
    assert (later["available_to_promise"], later["earliest"]) == (106, None)
    steps = [(one["name"], one["amount"]) for one in later["explained"]["steps"]]
    assert steps == [("free", 10), ("free", 0), ("supply", 100), ("backorder", -4)]
    there = erp.get(f"/v1/promise?sku={sku}&location=second&by={by}").json
    assert there["available_to_promise"] == -4


def test_a_receipt_that_names_its_purchase_order_draws_it_down(house, erp, new_sku):
    sku, document = new_sku(), f"PO-{uuid4().hex}"
    erp.post("/v1/supply", [order(sku, document, 100)])
    fact = {"kind": "receipt", "document": f"GR-{document}", "sku": sku, "quantity": 30}
    told = erp.post("/v1/events", fact | {"location": "main", "order": document})
    assert told.status == 200, told
    assert erp.get(f"/v1/supply/erp/{document}/1").json["received"] == 30
    by = due(6).replace("+", "%2B")
    assert (
        house.admin.get(f"/v1/promise?sku={sku}&channel=web&by={by}").json["available_to_promise"]
        == 100
    )


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("sku=A", 422, "malformed"),
        ("sku=A&channel=web&location=main", 422, "malformed"),
        ("sku=A&channel=wep", 422, "unknown_channel"),
        ("sku=NOPE&channel=web", 422, "unknown_sku"),
        ("sku=A&location=moon", 422, "unknown_location"),
        ("sku=A&channel=web&by=2026-12-24", 422, "malformed"),
        ("sku=A&channel=web&quantity=-1", 422, "malformed"),
    ],
)
def test_a_promise_that_cannot_be_told_says_why(house, query, status, code):
    answer = house.admin.get(f"/v1/promise?{query}")
    assert (answer.status, answer.json["type"].rpartition(":")[2]) == (status, code)


@pytest.mark.parametrize(
    ("path", "body"),
    [("supply", []), ("supply", [{}] * 501), ("supply", {}), ("backorders", [{"order": "1"}])],
)
def test_a_call_that_is_wrong_as_a_whole_is_refused_as_a_whole(house, path, body):
    answer = house.admin.post(f"/v1/{path}", body)
    assert (answer.status, answer.json["type"].rpartition(":")[2]) == (422, "malformed")
