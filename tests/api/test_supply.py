"""Supply, backorders and promises over HTTP."""

import datetime as dt
from uuid import uuid4

import pytest

DUE = dt.datetime(2099, 1, 2, 12, tzinfo=dt.UTC)


def line(sku, quantity=40, document="", **changes):
    told = {
        "kind": "purchase_order",
        "system": "erp",
        "document": document or f"PO-{uuid4().hex[:8]}",
        "sku": sku,
        "location": "main",
        "quantity": quantity,
        "due_at": DUE.isoformat(),
    }
    return told | changes


def owed(sku, quantity=4, **changes):
    told = {"system": "shop", "channel": "web", "order": f"O-{uuid4().hex[:8]}", "sku": sku}
    return told | {"quantity": quantity} | changes


def address(told):
    return f"/v1/supply/{told['system']}/{told['kind']}/{told['document']}/1"


def test_a_line_of_supply_is_told_read_and_ended(house, new_sku):
    sku = new_sku()
    told = line(sku)
    first, again = (house.admin.post("/v1/supply", told) for _ in range(2))
    assert (first.status, first.json["code"]) == (200, "recorded")
    assert again.json["replay"] is True
    read = house.admin.get(address(told)).json
    assert (read["quantity"], read["left"], read["state"]) == (40, 40, "expected")
    receipt = {
        "kind": "receipt",
        "system": "erp",
        "document": uuid4().hex,
        "sku": sku,
        "location": "main",
        "quantity": 15,
        "order": told["document"],
        "order_line": "1",
    }
    assert house.admin.post("/v1/events", receipt).status == 200
    assert house.admin.get(address(told)).json["left"] == 25
    closed = house.admin.post(f"{address(told)}/close", {"reason": "never comes"})
    assert (closed.json["state"], closed.json["left"]) == ("closed", 0)
    twice = house.admin.post(f"{address(told)}/close", {"reason": "never comes"})
    assert (twice.status, twice.json["param"]) == (409, "transition")
    assert house.admin.post(f"{address(told)}/reopen").json["left"] == 25
    assert house.admin.post(f"{address(told)}/burn").status == 404
    assert house.admin.get(address(line(sku, document="NONE"))).status == 404


def test_each_line_of_a_call_is_answered_for_itself(house, new_sku):
    sku = new_sku()
    document = f"PO-{uuid4().hex[:8]}"
    lines = [
        line(sku, document=document),
        line(sku, -1),
        line("nobody knows it"),
        line(sku, 41, document=document),
        {"kind": "purchase_order"},
        line(sku, due_at="2026-01-01T00:00:00"),
        line(sku, location="nowhere"),
        line(sku, 39, document=document, revision=1),
    ]
    answer = house.admin.post("/v1/supply", lines)
    assert answer.status == 207
    results = answer.json["results"]
    assert [one["code"] for one in results] == [
        *("recorded", "malformed", "unknown_sku", "conflict", "malformed", "malformed"),
        *("unknown_location", "recorded"),
    ]
    assert [one.get("param", "") for one in results[:4]] == ["", "quantity", "sku", "revision"]
    assert all(one["next"] for one in results if one["status"] >= 400)


def test_lists_go_on_by_cursor(house, new_sku):
    sku = new_sku()
    house.admin.post("/v1/supply", [line(sku, n) for n in range(1, 6)])
    seen, cursor = [], ""
    while cursor is not None:
        page = house.admin.get(f"/v1/supply?sku={sku}&limit=2&cursor={cursor}").json
        seen += [one["quantity"] for one in page["items"]]
        cursor = page["next_cursor"]
    assert seen == [5, 4, 3, 2, 1]
    assert house.admin.get(f"/v1/supply?sku={sku}&state=closed").json["items"] == []
    assert house.admin.get("/v1/supply?state=lost").status == 422


def test_a_key_speaks_for_its_own_system_only(house, new_sku):
    client = house.client("events:write", "stock:read", "reservations:write", system="erp")
    told = line(new_sku(), system="")
    assert client.post("/v1/supply", told).json["code"] == "recorded"
    assert house.admin.get(address({**told, "system": "erp"})).status == 200
    other = line(new_sku(), system="shop")
    assert client.post("/v1/supply", other).status == 403
    house.admin.post("/v1/supply", other)
    assert client.post(f"{address(other)}/close").status == 403
    backorder = owed(new_sku())
    house.admin.post("/v1/backorders", backorder)
    place = f"/v1/backorders/shop/{backorder['order']}/1"
    assert client.post(f"{place}/close").status == 403
    assert house.client("stock:read").post("/v1/supply", told).status == 403


def test_a_backorder_waits_in_its_turn_is_promoted_and_ended(house, new_sku):
    sku = new_sku()
    first, second = owed(sku, 6), owed(sku, 3)
    answer = house.admin.post("/v1/backorders", [first, second])
    assert [one["code"] for one in answer.json["results"]] == ["recorded", "recorded"]
    house.receive(sku, 7)
    ask = {"system": "shop", "channel": "web", "lines": [{"sku": sku, "quantity": 1}]}
    assert house.admin.post("/v1/reservations", ask).status == 409
    one, two = (f"/v1/backorders/shop/{told['order']}/1" for told in (first, second))
    partly = house.admin.post(f"{two}/promote")
    assert (partly.status, partly.json["served"], partly.json["owed"]) == (200, 1, 2)
    assert house.admin.post(f"{two}/promote").status == 409
    served = house.admin.post(f"{one}/promote").json
    assert (served["state"], served["served"]) == ("served", 6)
    assert house.admin.post(f"{one}/promote").status == 409
    house.receive(sku, 1)
    assert house.admin.post(f"{two}/promote").json["owed"] == 1
    gone = house.admin.post(f"{two}/cancel", {"reason": "went elsewhere"})
    assert (gone.json["state"], gone.json["owed"]) == ("cancelled", 0)
    assert house.admin.post(f"{two}/close").status == 409
    assert house.admin.get(two).json["reason"] == "went elsewhere"
    page = house.admin.get(f"/v1/backorders?sku={sku}&state=all").json["items"]
    assert [item["order"] for item in page] == [second["order"], first["order"]]
    assert house.admin.get("/v1/backorders/shop/none/1").status == 404
    reservation = house.admin.get(f"/v1/reservations/shop/{first['order']}").json
    assert reservation["lines"][0]["claims"][0]["reserved"] == 6


def test_a_date_is_promised_with_its_steps(house, new_sku):
    sku = new_sku()
    house.receive(sku, 10)
    house.admin.post("/v1/supply", line(sku, 25))
    house.admin.post("/v1/backorders", owed(sku, 4))
    question = {"sku": sku, "channel": "web", "by": DUE.isoformat(), "quantity": 12}
    answer = house.admin.post("/v1/promise", {"items": [question], "explain": True})
    (told,) = answer.json["items"]
    assert told["available_to_promise"] == 31
    assert dt.datetime.fromisoformat(told["earliest"]) == DUE
    steps = told["explained"]["available_to_promise"]["steps"]
    assert [(one["name"], one["amount"]) for one in steps] == [
        ("free", 10),
        ("free", 0),
        ("supply", 25),
        ("backorders", -4),
    ]
    questions = [
        {"sku": sku, "channel": "web", "quantity": 6},
        {"sku": sku, "channel": "web", "quantity": 99},
        {"sku": "nobody knows it", "channel": "web"},
        {"sku": sku, "location": "second"},
    ]
    items = house.admin.post("/v1/promise", {"items": questions}).json["items"]
    assert items[0]["available_to_promise"] == 6
    assert dt.datetime.fromisoformat(items[0]["earliest"]) < dt.datetime.now(dt.UTC)
    assert items[1]["earliest"] is None
    assert (items[2]["code"], items[2]["param"]) == ("unknown_sku", "items[2].sku")
    assert items[3]["available_to_promise"] == -4 and "earliest" not in items[3]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/promise", {"items": []}, "items"),
        ("/v1/promise", {"items": [{"sku": "A", "channel": "web", "quantity": 0}]}, "items[0]"),
        ("/v1/promise", {"items": [{"sku": "A", "channel": "web", "by": "2099-01-01"}]}, "items"),
        ("/v1/supply", {}, "kind"),
        ("/v1/supply", {"kind": "hope"}, "kind"),
        ("/v1/supply", line("A", unit=" CASE"), "unit"),
        ("/v1/supply", line("a\0b"), "sku"),
        ("/v1/supply", line("A", quantity=10**13), "quantity"),
        ("/v1/supply", line("A", due_at="9999-12-31T23:59:59Z"), "due_at"),
        ("/v1/supply", line("A", revision=1 << 31), "revision"),
        ("/v1/backorders", owed("A", 0), "quantity"),
        ("/v1/backorders", owed("A", owed_since="1800-01-01T00:00:00Z"), "owed_since"),
        ("/v1/backorders", owed("A", channel=""), "channel"),
        ("/v1/supply", [], ""),
    ],
)
def test_bad_input_names_its_field(house, path, body, field):
    answer = house.admin.post(path, body)
    assert answer.status == 422, answer
    assert answer.json.get("param", "").startswith(field), answer


def test_no_text_makes_the_server_fail(house):
    for body in (
        b'{"kind":"purchase_order","system":"erp","document":"\\ud800"}',
        b'[{"kind":"purchase_order","system":"erp","document":"\xed\xa0\x80"}]',
        b"[" * 10_000,
        b'{"reason":"a\\u0000b"}',
    ):
        for path in ("/v1/supply", "/v1/backorders", "/v1/promise"):
            headers = {"content-type": "application/json"}
            answer = house.admin.call("POST", path, body=body, headers=headers)
            assert answer.status in (400, 422, 207), answer
