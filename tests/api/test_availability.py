"""POST /v1/availability: each quantity under its own name, explained where asked."""

from urllib.parse import quote
from uuid import uuid4

import pytest

from stockwright.flow.projection import Projection
from stockwright.store.connection import Pool


def total(explanation) -> int:
    return sum(step["amount"] for step in explanation["steps"])


def listed(house, new_sku, units: int) -> str:
    sku = new_sku()
    house.receive(sku, units)
    body = {"components": [{"sku": sku, "quantity": 1}]}
    assert house.admin.put(f"/v1/listings/web/{sku}", body).status == 201
    return str(sku)


def test_every_quantity_has_its_own_name(house, new_sku):
    sku = listed(house, new_sku, 10)
    ask = {"system": "shop", "channel": "web", "lines": [{"sku": sku, "quantity": 4}]}
    house.admin.post("/v1/reservations", ask)
    answer = house.admin.post("/v1/availability", {"skus": [sku]})
    assert answer.status == 200
    (one,) = answer.json["items"]
    assert (one["on_hand"], one["free"]) == (10, 6)
    (channel,) = one["channels"]
    assert (channel["channel"], channel["grantable"]) == ("web", 6)
    (listing,) = channel["listings"]
    assert (listing["listing"], listing["available_to_sell"]) == (sku, 6)
    assert listing["published"] is None
    assert "explained" not in one


def test_explanations_add_up_to_their_numbers(house, new_sku):
    sku = listed(house, new_sku, 10)
    body = {"skus": [sku], "channel": "web", "explain": True}
    (one,) = house.admin.post("/v1/availability", body).json["items"]
    (channel,) = one["channels"]
    for holder, name in (
        (one, "on_hand"),
        (one, "free"),
        (channel, "grantable"),
        (channel["listings"][0], "available_to_sell"),
    ):
        explained = holder["explained"][name]
        assert total(explained) == explained["result"] == holder[name] == 10


def test_at_an_earlier_time_all_is_as_it_was(house, new_sku):
    sku = listed(house, new_sku, 10)
    ((before,),) = house.sql("select clock_timestamp()")
    house.receive(sku, 7)
    body = {"components": [{"sku": sku, "quantity": 4}]}
    assert house.admin.put(f"/v1/listings/web/{sku}", body).status == 200
    asked = {"skus": [sku], "channel": "web"}

    def numbers(**more):
        (one,) = house.admin.post("/v1/availability", asked | more).json["items"]
        (channel,) = one["channels"]
        return one["free"], channel["grantable"], channel["listings"][0]["available_to_sell"]

    assert numbers() == (17, 17, 4)
    assert numbers(at=before.isoformat()) == (10, 10, 10)
    assert numbers(at="2999-01-01T00:00:00Z") == (17, 17, 4)


def test_why_tells_the_number_of_a_time_and_what_it_stands_on(house, new_sku):
    sku = listed(house, new_sku, 10)
    with Pool(house.services.url, size=1) as pool:
        Projection(pool).step()
    ((shown,),) = house.sql("select max(projected_at) from level_change where listing = %s", sku)
    house.receive(sku, 7)
    address = f"/v1/why/{sku}?channel=web&at={quote(shown.isoformat())}"
    found = house.admin.get(address).json
    (listing,) = found["quantities"]["channels"][0]["listings"]
    assert listing["available_to_sell"]["result"] == listing["then"]["value"] == 10
    assert [row["kind"] for row in listing["shown"]["causes"]] == ["receipt"]
    assert [row["kind"] for row in found["ledger"]] == ["receipt"]
    assert found["moment"]["revision"] >= listing["shown"]["rules"]["id"] > 0
    assert house.admin.get(f"/v1/why/{sku}").json["quantities"]["free"]["result"] == 17


@pytest.mark.parametrize(
    ("address", "field"),
    [
        ("/v1/why/nobody", "sku"),
        ("/v1/why/A?at=2001-01-01T00:00:00Z", "sku"),
        ("/v1/why/A?channel=nothing", "channel"),
        ("/v1/why/A?at=yesterday", "at"),
        ("/v1/why/A?at=2026-01-01T00:00:00", "at"),
    ],
)
def test_a_bad_why_names_its_field(house, address, field):
    answer = house.admin.get(address)
    assert (answer.status, answer.json["param"]) == (422, field), answer
    assert field != "at" or "write a time with its zone, as 2026-" in answer.json["detail"]


def test_answers_are_aligned_and_an_unknown_sku_is_told_in_its_place(house, new_sku):
    first, last = new_sku(), new_sku()
    skus = [first, "nobody knows it", last, first]
    answer = house.admin.post("/v1/availability", {"skus": skus})
    assert answer.status == 200
    items = answer.json["items"]
    assert [item["sku"] for item in items] == skus
    assert [item.get("code", "") for item in items] == ["", "unknown_sku", "", ""]
    assert items[1]["param"] == "skus[1]"
    assert "on_hand" not in items[1]


def test_a_thousand_skus_are_answered_in_one_call(house, new_sku):
    sku = new_sku()
    skus = [sku, *(f"none-{n}" for n in range(999))]
    items = house.admin.post("/v1/availability", {"skus": skus}).json["items"]
    assert len(items) == 1000
    assert items[0]["on_hand"] == 0


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"skus": []}, "skus"),
        ({"skus": ["A"] * 1001}, "skus"),
        ({"skus": "A"}, "skus"),
        ({"skus": [1]}, "skus[0]"),
        ({}, "skus"),
        ({"skus": ["A"], "channel": "nothing"}, "channel"),
        ({"skus": ["A"], "explain": "yes"}, "explain"),
        ({"skus": ["a\0b"]}, "skus[0]"),
        ({"skus": ["A"], "channel": "\0"}, "channel"),
    ],
)
def test_a_bad_question_names_its_field(house, body, field):
    answer = house.admin.post("/v1/availability", body)
    assert (answer.status, answer.json["param"]) == (422, field), answer


def test_it_needs_the_scope_to_read_stock(house):
    client = house.client("master:read")
    assert client.post("/v1/availability", {"skus": [uuid4().hex]}).status == 403
