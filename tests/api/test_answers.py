"""Idempotency-Key on calls that are not idempotent by themselves."""

import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from stockwright.store import access
from stockwright.store.access import StoredAnswer


@pytest.fixture
def work_item(house):
    """An open work item of its own."""

    def make(sku: str = "") -> int:
        ((item,),) = house.sql(
            "INSERT INTO work_item (kind, subject, sku) VALUES ('recount', %s, %s) RETURNING id",
            uuid4().hex,
            sku,
        )
        return int(item)

    return make


def test_the_first_answer_is_given_again_to_the_same_call(house, work_item):
    path = f"/v1/work-items/{work_item()}/close"
    key = {"idempotency-key": uuid4().hex}
    first, again = (house.admin.post(path, {"why": "counted"}, headers=key) for _ in range(2))
    assert (first.status, again.status) == (200, 200)
    assert again.body == first.body
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers


def test_without_the_header_the_second_call_hears_how_things_stand(house, work_item):
    path = f"/v1/work-items/{work_item()}/close"
    assert house.admin.post(path, {"why": "counted"}).status == 200
    again = house.admin.post(path, {"why": "counted"})
    assert (again.status, again.json["type"]) == (409, "urn:stockwright:problem:already_closed")


def test_a_problem_is_an_answer_too(house):
    key = {"idempotency-key": uuid4().hex}
    path = "/v1/work-items/999999/close"
    first, again = (house.admin.post(path, {"why": "x"}, headers=key) for _ in range(2))
    assert (first.status, again.status) == (404, 404)
    assert again.body == first.body
    assert again.headers["content-type"] == "application/problem+json"
    assert again.headers["idempotency-replayed"] == "true"


def test_the_key_of_one_request_is_refused_for_another(house, work_item):
    key = {"idempotency-key": uuid4().hex}
    first, second = work_item(), work_item()
    house.admin.post(f"/v1/work-items/{first}/close", {"why": "x"}, headers=key)
    for path, why in ((first, "y"), (second, "x")):
        answer = house.admin.post(f"/v1/work-items/{path}/close", {"why": why}, headers=key)
        assert (answer.status, answer.json["type"]) == (409, "urn:stockwright:problem:key_reused")
    assert house.admin.get(f"/v1/work-items/{second}").json["closed_at"] is None


def test_two_callers_may_use_the_same_key(house, work_item):
    key = {"idempotency-key": "1"}
    other = house.client("work:write")
    for client in (house.admin, other):
        path = f"/v1/work-items/{work_item()}/close"
        assert client.post(path, {"why": "x"}, headers=key).status == 200


def test_of_calls_with_one_key_at_the_same_time_one_acts(house, work_item):
    path = f"/v1/work-items/{work_item()}/close"
    key = {"idempotency-key": uuid4().hex}
    barrier = threading.Barrier(8)

    def call():
        barrier.wait()
        return house.admin.post(path, {"why": "x"}, headers=key)

    with ThreadPoolExecutor(8) as threads:
        answers = [one.result() for one in [threads.submit(call) for _ in range(8)]]
    assert {answer.status for answer in answers} <= {200, 409}
    assert len({answer.body for answer in answers if answer.status == 200}) == 1
    for answer in answers:
        if answer.status == 409:
            assert answer.json["type"].endswith(":in_progress")
            assert answer.headers["retry-after"]


def test_an_answer_that_may_change_is_not_kept(house, work_item, monkeypatch):
    path = f"/v1/work-items/{work_item()}/close"
    key = {"idempotency-key": uuid4().hex}

    def fault(*_arguments, **_named):
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr("stockwright.store.worklist.close_work_item", fault)
        assert house.admin.post(path, {"why": "x"}, headers=key).status == 500
    assert house.admin.post(path, {"why": "x"}, headers=key).status == 200


def test_a_key_whose_call_died_may_be_used_again_for_the_same_request(house):
    caller, key = "tester", uuid4().hex
    with house.services.pool.connection() as connection:
        assert access.begin_answer(connection, caller, key, b"hash") == "taken"
        assert access.begin_answer(connection, caller, key, b"hash") == "in_progress"
        assert access.begin_answer(connection, caller, key, b"other") == "other_request"
    house.sql("UPDATE idempotency SET locked_until = now() - interval '1 s' WHERE key = %s", key)
    with house.services.pool.connection() as connection:
        assert access.begin_answer(connection, caller, key, b"other") == "other_request"
        assert access.begin_answer(connection, caller, key, b"hash") == "taken"
        answer = StoredAnswer(200, "application/json", b"{}")
        access.keep_answer(connection, caller, key, answer)
        assert access.begin_answer(connection, caller, key, b"hash") == answer


def test_answers_are_forgotten_after_their_time(house):
    caller, key = "tester", uuid4().hex
    with house.services.pool.connection() as connection:
        access.begin_answer(connection, caller, key, b"hash")
        access.keep_answer(connection, caller, key, StoredAnswer(200, "", b""))
    house.sql("UPDATE idempotency SET expires_at = now() - interval '1 s' WHERE key = %s", key)
    with house.services.pool.connection() as connection:
        assert access.expire_answers(connection) == 1
        assert access.begin_answer(connection, caller, key, b"other") == "taken"


@pytest.mark.parametrize("key", ["x" * 129, "a\tb"])
def test_a_key_that_is_none_is_refused(house, work_item, key):
    path = f"/v1/work-items/{work_item()}/close"
    answer = house.admin.post(path, {"why": "x"}, headers={"idempotency-key": key})
    assert (answer.status, answer.json["param"]) == (422, "Idempotency-Key")


def test_who_closed_a_work_item_and_why_is_noted(house, work_item):
    item = work_item()
    made = house.key("work:write", "work:read")
    house.admin.key, before = made.key, house.admin.key
    try:
        house.admin.post(f"/v1/work-items/{item}/close", {"why": "counted again"})
    finally:
        house.admin.key = before
    closed = house.admin.get(f"/v1/work-items/{item}").json
    assert (closed["closed_by"], closed["closed_why"]) == (f"key {made.id}", "counted again")
    with house.services.pool.connection() as connection:
        change = access.list_changes(connection, access.WhichChanges(), limit=1)[0]
    assert (change.actor, change.action, change.subject) == (
        f"key {made.id}",
        "work_item.close",
        str(item),
    )


def test_the_change_log_is_paged_newest_first_for_admins_alone(house, work_item):
    items = [work_item() for _ in range(3)]
    for item in items:
        house.admin.post(f"/v1/work-items/{item}/close", {"why": "x"})
    first = house.admin.get("/v1/audit?limit=2").json
    assert [one["subject"] for one in first["items"]] == [str(items[2]), str(items[1])]
    rest = house.admin.get(f"/v1/audit?limit=1&cursor={first['next_cursor']}").json
    assert [one["subject"] for one in rest["items"]] == [str(items[0])]
    assert house.client("work:read").get("/v1/audit").status == 403


def test_work_items_are_paged_newest_first_and_filtered(house, work_item):
    sku = f"sku-{uuid4().hex[:8]}"
    items = [work_item(sku) for _ in range(5)]
    house.admin.post(f"/v1/work-items/{items[0]}/close", {"why": "x"})
    first = house.admin.get(f"/v1/work-items?sku={sku}&limit=3").json
    assert [one["id"] for one in first["items"]] == items[:1:-1]
    rest = house.admin.get(f"/v1/work-items?sku={sku}&limit=3&cursor={first['next_cursor']}").json
    assert [one["id"] for one in rest["items"]] == [items[1]]
    assert rest["next_cursor"] is None
    closed = house.admin.get(f"/v1/work-items?sku={sku}&state=closed").json["items"]
    assert [one["id"] for one in closed] == [items[0]]
    assert len(house.admin.get(f"/v1/work-items?sku={sku}&state=all").json["items"]) == 5
