"""Reservations over HTTP: asked, answered once, moved on."""

from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote
from uuid import uuid4

import pytest


def ask(sku, quantity=1, **more):
    return {
        "system": "shop",
        "channel": "web",
        "lines": [{"sku": sku, "quantity": quantity}],
        **more,
    }


def test_a_grant_is_201_and_says_where_the_units_are(house, new_sku):
    sku = new_sku()
    house.receive(sku, 5)
    answer = house.admin.post("/v1/reservations", ask(sku, 3, document="d-1" + sku))
    assert answer.status == 201
    told = answer.json
    assert (told["code"], told["state"]) == ("granted", "open")
    assert (told["system"], told["order"], told["document"]) == ("shop", "d-1" + sku, "d-1" + sku)
    assert told["lines"][0]["places"] == [{"location": "main", "lot": "", "quantity": 3}]
    assert told["expires_at"]


def test_a_refusal_is_409_with_the_outcome_and_the_next_step(house, new_sku):
    sku = new_sku()
    house.receive(sku, 5)
    answer = house.admin.post("/v1/reservations", ask(sku, 6))
    assert answer.status == 409
    told = answer.json
    assert told["type"] == "urn:stockwright:problem:insufficient"
    assert told["param"] == "lines[0].quantity"
    assert "new document" in told["next"]
    assert told["outcome"]["code"] == "insufficient"
    assert told["outcome"]["document"]


def test_a_partial_grant_says_what_was_granted(house, new_sku):
    sku = new_sku()
    house.receive(sku, 5)
    answer = house.admin.post("/v1/reservations", ask(sku, 6, mode="partial"))
    assert answer.status == 201
    assert answer.json["code"] == "partial"
    assert answer.json["lines"][0]["granted"] == 5


def test_the_same_document_hears_the_first_answer_again(house, new_sku):
    sku = new_sku()
    house.receive(sku, 5)
    body = ask(sku, 3, document=uuid4().hex)
    first = house.admin.post("/v1/reservations", body)
    again = house.admin.post("/v1/reservations", body)
    assert (first.status, again.status) == (201, 200)
    assert again.json["replay"] is True
    assert again.json["lines"] == first.json["lines"]
    assert house.free(sku) == 2


def test_a_refusal_stays_the_answer_of_its_document(house, new_sku):
    sku = new_sku()
    body = ask(sku, 3, document=uuid4().hex)
    assert house.admin.post("/v1/reservations", body).status == 409
    house.receive(sku, 5)
    again = house.admin.post("/v1/reservations", body)
    assert again.status == 409
    assert again.json["outcome"]["replay"] is True
    assert house.admin.post("/v1/reservations", {**body, "document": uuid4().hex}).status == 201


def test_the_same_document_for_another_question_is_a_conflict(house, new_sku):
    sku = new_sku()
    house.receive(sku, 5)
    body = ask(sku, 3, document=uuid4().hex)
    house.admin.post("/v1/reservations", body)
    answer = house.admin.post("/v1/reservations", {**body, "lines": [{"sku": sku, "quantity": 1}]})
    assert answer.status == 409
    assert answer.json["type"] == "urn:stockwright:problem:conflict"
    assert house.free(sku) == 2


def test_without_a_document_the_idempotency_key_is_it(house, new_sku):
    sku = new_sku()
    house.receive(sku, 5)
    key = {"idempotency-key": uuid4().hex}
    answers = [house.admin.post("/v1/reservations", ask(sku), headers=key) for _ in range(2)]
    assert [answer.status for answer in answers] == [201, 200]
    assert answers[0].json["document"] == key["idempotency-key"]
    assert house.free(sku) == 4


def test_without_any_key_one_is_made_and_told(house, new_sku):
    sku = new_sku()
    house.receive(sku, 5)
    first, second = (house.admin.post("/v1/reservations", ask(sku)).json for _ in range(2))
    assert first["document"] < second["document"]
    assert house.free(sku) == 3
    assert house.admin.post("/v1/reservations", ask(sku, document=first["document"])).status == 200


@pytest.mark.parametrize("key", ["", "x" * 129, "tab\there", " blank"])
def test_an_idempotency_key_that_is_none_is_refused(house, key):
    sent = {"idempotency-key": key.encode()}
    answer = house.admin.post("/v1/reservations", ask("A"), headers=sent)
    if key == " blank":
        # HTTP itself drops blanks around a value.
        assert answer.json["outcome"]["document"] == "blank"
    else:
        assert (answer.status, answer.json["param"]) == (422, "Idempotency-Key")


def test_a_reservation_is_read_by_its_system_and_order(house, new_sku):
    sku = new_sku()
    house.receive(sku, 5)
    order = f"SO/{uuid4().hex}?#ü"
    house.admin.post("/v1/reservations", ask(sku, 2, order=order))
    answer = house.admin.get(f"/v1/reservations/shop/{quote(order, safe='')}")
    assert answer.status == 200
    assert answer.json["order"] == order
    line = answer.json["lines"][0]
    assert (line["sku"], line["state"], line["ordered"]) == (sku, "open", 2)
    assert line["claims"][0]["reserved"] == 2


def test_a_reservation_nobody_made_is_404(house):
    answer = house.admin.get("/v1/reservations/shop/none")
    assert (answer.status, answer.json["param"]) == (404, "order")


def test_a_reservation_moves_on_and_each_move_is_made_once(house, new_sku):
    sku = new_sku()
    house.receive(sku, 5)
    order = uuid4().hex
    house.admin.post("/v1/reservations", ask(sku, 2, order=order))
    path = f"/v1/reservations/shop/{order}"
    extended = house.admin.post(f"{path}/extend", {"hold_s": 7200})
    assert (extended.status, extended.json["code"]) == (200, "done")
    key = {"idempotency-key": uuid4().hex}
    confirmed = [house.admin.post(f"{path}/confirm", headers=key) for _ in range(2)]
    assert [answer.status for answer in confirmed] == [200, 200]
    assert [answer.json["state"] for answer in confirmed] == ["confirmed", "confirmed"]
    assert [answer.json.get("replay", False) for answer in confirmed] == [False, True]
    assert house.admin.post(f"{path}/allocate").json["code"] == "done"
    assert house.admin.post(f"{path}/deallocate").json["code"] == "done"
    assert house.admin.post(f"{path}/release").status == 200
    assert house.free(sku) == 5
    late = house.admin.post(f"{path}/confirm")
    assert (late.status, late.json["type"]) == (409, "urn:stockwright:problem:closed")


def test_a_cancel_frees_what_was_reserved(house, new_sku):
    sku = new_sku()
    house.receive(sku, 5)
    order = uuid4().hex
    house.admin.post("/v1/reservations", ask(sku, 2, order=order))
    assert house.admin.post(f"/v1/reservations/shop/{order}/cancel").status == 200
    assert house.free(sku) == 5


def test_a_transition_that_is_none_is_404(house):
    answer = house.admin.post("/v1/reservations/shop/x/explode")
    assert answer.status == 404
    assert "confirm" in answer.json["detail"]


def test_a_transition_of_an_order_nobody_made_is_404(house):
    answer = house.admin.post("/v1/reservations/shop/none/confirm")
    assert (answer.status, answer.json["type"]) == (404, "urn:stockwright:problem:unknown_demand")


def test_an_unknown_sku_is_refused_by_name(house):
    answer = house.admin.post("/v1/reservations", ask("nothing like it"))
    assert (answer.status, answer.json["param"]) == (422, "lines[0].sku")


def test_a_key_bound_to_another_system_may_not_move_a_reservation(house, new_sku):
    sku = new_sku()
    house.receive(sku, 5)
    order = uuid4().hex
    house.admin.post("/v1/reservations", ask(sku, 2, order=order))
    client = house.client("reservations:write", system="erp")
    answer = client.post(f"/v1/reservations/shop/{order}/release")
    assert (answer.status, answer.json["param"]) == (403, "system")
    assert house.free(sku) == 3


def test_a_bound_key_reads_the_reservations_of_its_own_system_alone(house, new_sku):
    sku = new_sku()
    house.receive(sku, 5)
    order = uuid4().hex
    house.admin.post("/v1/reservations", ask(sku, 2, order=order))
    path = f"/v1/reservations/shop/{order}"
    assert house.client("stock:read", system="erp").get(path).status == 403
    assert house.client("stock:read", system="shop").get(path).status == 200
    assert house.client("stock:read").get(path).status == 200


def test_of_2000_tries_for_500_units_by_64_clients_exactly_500_are_granted(house, new_sku):
    sku = new_sku()
    house.receive(sku, 500)

    def buy(count: int) -> list[int]:
        with house.admin.keep_alive() as client:
            return [client.post("/v1/reservations", ask(sku)).status for _ in range(count)]

    with ThreadPoolExecutor(64) as clients:
        statuses = [status for part in clients.map(buy, [2000 // 64 + 1] * 64) for status in part]
    assert statuses.count(201) == 500
    assert set(statuses) == {201, 409}
    assert house.free(sku) == 0


def test_many_tries_of_one_document_at_once_are_granted_once(house, new_sku):
    sku = new_sku()
    house.receive(sku, 100)
    body = ask(sku, 7, document=uuid4().hex)
    with ThreadPoolExecutor(16) as clients:
        tries = [clients.submit(house.admin.post, "/v1/reservations", body) for _ in range(48)]
        statuses = sorted(one.result().status for one in tries)
    assert statuses == [200] * 47 + [201]
    assert house.free(sku) == 93
