"""POST /v1/events: every item is answered for itself, in its place."""

import gzip
from uuid import uuid4

import msgspec


def receipt(sku, quantity=1, **more):
    return {
        "kind": "receipt",
        "system": "erp",
        "document": uuid4().hex,
        "sku": sku,
        "quantity": quantity,
        "location": "main",
        **more,
    }


def sellable(house, sku):
    found = house.sql("SELECT coalesce(sum(sellable), 0) FROM balance WHERE sku = %s", sku)
    return int(found[0][0])


def test_a_single_fact_is_recorded_and_answered_200(house, new_sku):
    sku = new_sku()
    answer = house.admin.post("/v1/events", receipt(sku, 7))
    assert answer.status == 200
    assert answer.json["code"] == "recorded"
    assert answer.json["sequence"] > 0
    assert sellable(house, sku) == 7


def test_the_same_document_again_gets_the_first_answer_and_moves_nothing(house, new_sku):
    sku = new_sku()
    fact = receipt(sku, 7)
    first = house.admin.post("/v1/events", fact)
    again = house.admin.post("/v1/events", fact)
    assert again.status == 200
    assert again.json["replay"] is True
    assert again.json["sequence"] == first.json["sequence"]
    assert sellable(house, sku) == 7


def test_the_same_document_with_other_content_is_a_conflict(house, new_sku):
    sku = new_sku()
    fact = receipt(sku, 7)
    house.admin.post("/v1/events", fact)
    answer = house.admin.post("/v1/events", {**fact, "quantity": 8})
    assert answer.status == 409
    assert answer.json["type"] == "urn:stockwright:problem:conflict"
    assert sellable(house, sku) == 7


def test_an_array_is_answered_207_with_one_result_for_each_item_in_order(house, new_sku):
    sku = new_sku()
    facts = [receipt(sku, n + 1) for n in range(5)]
    answer = house.admin.post("/v1/events", facts)
    assert answer.status == 207
    results = answer.json["results"]
    assert [result["index"] for result in results] == [0, 1, 2, 3, 4]
    assert [result["sequence"] for result in results] == sorted(r["sequence"] for r in results)
    assert answer.json["counts"] == {"recorded": 5}
    assert sellable(house, sku) == 15


def test_lines_of_json_are_a_batch_and_blank_lines_are_no_items(house, new_sku):
    sku = new_sku()
    lines = [msgspec.json.encode(receipt(sku, n)) for n in (1, 2, 3)]
    body = lines[0] + b"\n\n" + lines[1] + b"\r\n" + lines[2]
    answer = house.admin.call(
        "POST", "/v1/events", body, {"content-type": "application/x-ndjson; charset=utf-8"}
    )
    assert answer.status == 207
    assert [result["index"] for result in answer.json["results"]] == [0, 1, 2]
    assert sellable(house, sku) == 6


def test_a_bad_item_is_told_in_its_place_and_its_neighbours_are_recorded(house, new_sku):
    sku = new_sku()
    facts = [receipt(sku, 1), receipt(sku, "two"), receipt(sku, 4)]
    answer = house.admin.post("/v1/events", facts)
    assert answer.status == 207
    bad = answer.json["results"][1]
    assert (bad["code"], bad["status"], bad["param"]) == ("malformed", 422, "quantity")
    assert "int" in bad["detail"]
    assert bad["next"]
    assert answer.json["counts"] == {"recorded": 2, "malformed": 1}
    assert sellable(house, sku) == 5


def test_of_ten_thousand_items_one_bad_one_stands_alone(house, new_sku):
    sku = new_sku()
    facts = [receipt(sku) for _ in range(10_000)]
    facts[7_777]["quantity"] = -1
    answer = house.admin.post("/v1/events", facts)
    assert answer.status == 207
    results = answer.json["results"]
    assert len(results) == 10_000
    assert [n for n, result in enumerate(results) if result["code"] != "recorded"] == [7_777]
    assert results[7_777]["param"] == "quantity"
    assert sellable(house, sku) == 9_999


def test_more_than_ten_thousand_items_are_refused_whole(house, new_sku):
    sku = new_sku()
    body = b"[" + b",".join([msgspec.json.encode(receipt(sku))] * 10_001) + b"]"
    answer = house.admin.call("POST", "/v1/events", body, {"content-type": "application/json"})
    assert answer.status == 413
    assert answer.json["type"] == "urn:stockwright:problem:too_many"
    assert sellable(house, sku) == 0


def test_the_body_is_kept_as_it_came_and_its_events_name_it(house, new_sku):
    sku = new_sku()
    body = msgspec.json.format(msgspec.json.encode([receipt(sku), receipt(sku)]), indent=3)
    headers = {"content-type": "application/json", "x-request-id": "r-1"}
    answer = house.admin.call("POST", "/v1/events", body, headers)
    sequences = [result["sequence"] for result in answer.json["results"]]
    rows = house.sql(
        "SELECT payload.body, payload.door, payload.state, payload.headers, payload.system "
        "FROM event JOIN payload ON payload.id = event.payload WHERE sequence = ANY(%s)",
        sequences,
    )
    assert len(rows) == 2
    kept, door, state, headers, system = rows[0]
    assert bytes(kept) == body
    assert (door, state, system) == ("api", "recorded", "erp")
    assert headers["x-request-id"] == "r-1"
    assert "authorization" not in {name.lower() for name in headers}


def test_a_gzipped_body_is_unpacked(house, new_sku):
    sku = new_sku()
    body = gzip.compress(msgspec.json.encode([receipt(sku, 3)]))
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    answer = house.admin.call("POST", "/v1/events", body, headers)
    assert answer.status == 207
    assert sellable(house, sku) == 3


def test_an_unknown_sku_is_parked_and_resumes_once_it_is_known(house):
    code = f"late-{uuid4().hex[:8]}"
    fact = receipt("", 4, item=code)
    answer = house.admin.post("/v1/events", fact)
    assert answer.status == 202
    assert answer.json["code"] == "parked"
    parked = house.admin.get(f"/v1/parked?missing=item:{code}").json["items"]
    assert [(one["system"], one["missing"]) for one in parked] == [("erp", f"item:{code}")]

    sku = f"sku-{uuid4().hex[:8]}"
    house.admin.put(f"/v1/items/{sku}", {})
    bound = house.admin.put(f"/v1/bindings/erp/item/{code}", {"code": sku})
    assert bound.json["saved"] == "new"
    assert bound.json["resumed"] == 1
    house.work()
    assert sellable(house, sku) == 4
    assert house.admin.get(f"/v1/parked?missing=item:{code}").json["items"] == []


def test_a_request_among_the_facts_is_sent_to_its_own_address(house, new_sku):
    body = {"kind": "reserve", "document": uuid4().hex, "quantity": 1, "sku": new_sku()}
    answer = house.admin.post("/v1/events", body)
    assert answer.status == 422
    assert answer.json["param"] == "kind"
    assert "/v1/reservations" in answer.json["detail"]


def test_a_misspelt_field_gets_a_question_back(house, new_sku):
    answer = house.admin.post("/v1/events", {**receipt(new_sku()), "locaton": "main"})
    assert answer.status == 422
    assert answer.json["param"] == "locaton"
    assert "did you mean location?" in answer.json["detail"]


def test_the_key_fills_in_the_system_it_is_bound_to(house, new_sku):
    sku = new_sku()
    client = house.client("events:write", system="erp")
    fact = receipt(sku, 2)
    del fact["system"]
    assert client.post("/v1/events", fact).status == 200
    row = house.sql("SELECT system FROM event WHERE body ->> 'document' = %s", fact["document"])
    assert row == [("erp",)]


def test_a_bound_key_may_not_speak_for_another_system(house, new_sku):
    client = house.client("events:write", system="shop")
    facts = [receipt(new_sku()), receipt(new_sku(), system="shop", kind="adjustment")]
    answer = client.post("/v1/events", facts)
    assert answer.status == 207
    assert [result["status"] for result in answer.json["results"]] == [403, 200]
    assert answer.json["results"][0]["code"] == "forbidden_system"
    single = client.post("/v1/events", facts[0])
    assert (single.status, single.json["param"]) == (403, "system")


def test_a_bound_key_with_the_scope_for_it_speaks_for_others(house, new_sku):
    client = house.client("events:write", "systems:any", system="shop")
    assert client.post("/v1/events", receipt(new_sku())).status == 200
