"""Connecting a partner over HTTP, with the rights that each step takes."""

from uuid import uuid4

import pytest

from stockwright.config.asking import ABOUT
from stockwright.connectors.json_http import Sandbox
from tests.cli.partners import played

RECEIPT = (
    '{"type": "stock.receipt", "data": {"document": "R-1", "occurred_at": "2026-11-26T09:00:00Z",'
    ' "location": "main", "lines": [{"line": "1", "sku": "W-1", "quantity": 2}]}}'
)


@pytest.fixture(scope="module")
def partner():
    with played(Sandbox()) as partner:
        yield partner


@pytest.fixture
def added(house, partner):
    """A warehouse of its own that was added and shows one item."""
    partner.sandbox._levels.clear()
    partner.sandbox.show("W-1", 6, "main")
    code = f"wms-{uuid4().hex[:8]}"
    answer = house.admin.post(
        "/v1/connections",
        {
            "system": code, "connector": "json_http", "role": "wms", "reason": "new warehouse",
            "settings": {"base_url": partner.url},
        },
    )  # fmt: skip
    assert (answer.status, answer.json["stage"]) == (200, "added"), answer.body
    return code


def steps(answer):
    found = answer.json.get("tested", answer.json)
    found = found.get("connection", found)
    return {step["name"]: step["state"] for step in found["steps"]}


def test_a_warehouse_is_connected_over_http(house, added):
    keys = house.client("work:write", "work:read", "master:write")
    at = f"/v1/connections/{added}"
    sample = {"samples": [{"body": RECEIPT}]}
    tested = keys.post(f"{at}/test", sample)
    assert tested.json["tested"]["sample"]["first"][0]["document"] == "R-1"
    assert (steps(tested)["credentials"], steps(tested)["items"]) == ("done", "failed")
    items = keys.get(f"{at}/items?state=unknown").json
    assert items["counts"] == {"unit_conflict": 0, "unknown": 1, "matched": 0}
    assert [item["code"] for item in items["items"]] == ["W-1"]
    sku = f"sku-{added}"
    house.sql("insert into sku (code) values (%s)", sku)
    house.sql("insert into binding values (%s, 'item', 'W-1', %s)", added, sku)
    assert steps(keys.post(f"{at}/items/match"))["items"] == "done"
    opening = keys.post(f"{at}/test", sample).json["opening"]
    assert (opening["lines"], opening["units"], opening["places"]) == (1, 6, ["main"])
    for _ in range(2):
        taken = keys.post(f"{at}/opening-stock", {"as_of": opening["as_of"]})
        assert taken.json["taken"]["outcomes"] == {"recorded": 1}, taken.body
        assert house.free(sku) == 6
    live = keys.post(f"{at}/live", {"why": "tested"})
    assert (live.status, live.json["stage"], live.json["missing"]) == (200, "live", [])
    assert added in [one["system"] for one in keys.get("/v1/connections").json["items"]]


def test_all_that_the_file_says_of_a_system_can_be_said_when_it_is_added(house, partner):
    code = f"wms-{uuid4().hex[:8]}"
    told = {
        "owner": "yard", "latency_budget_s": 2.5, "criticality": "high", "clock_error_s": 1.5,
        "heartbeat_s": 60.0, "time_zone": "Europe/Berlin", "snapshot_basis": "net",
        "revisions": "cumulative",
    }  # fmt: skip
    assert tuple(told) == ABOUT
    new = {
        "system": code, "connector": "json_http", "role": "wms", "reason": "new warehouse",
        "settings": {"base_url": partner.url},
    }  # fmt: skip
    refused = house.admin.post("/v1/connections", new | {"heartbeat_s": -1})
    assert (refused.status, "heartbeat_s" in str(refused.json)) == (422, True)
    assert house.admin.post("/v1/connections", new | told).status == 200
    names = ", ".join(ABOUT)
    (found,) = house.sql(f"select {names} from system where code = %s", code)
    assert dict(zip(ABOUT, found, strict=True)) == told


def test_live_is_refused_with_reasons_and_only_an_admin_forces_it(house, added):
    keys, at = house.client("work:write"), f"/v1/connections/{added}/live"
    refused = keys.post(at, {"why": "now"})
    assert (refused.status, refused.json["type"]) == (409, "urn:stockwright:problem:not_ready")
    assert "Credentials checked: not done yet" in refused.json["detail"]
    assert keys.post(at, {"why": "now", "force": True}).status == 403
    forced = house.admin.post(at, {"why": "the old hub is gone", "force": True})
    assert (forced.status, forced.json["forced"]) == (200, True)


def test_stock_is_taken_as_it_was_shown_by_who_speaks_for_the_system(house, added):
    at = f"/v1/connections/{added}/opening-stock"
    assert house.admin.post(at, {}).json["param"] == "as_of"
    old = house.admin.post(at, {"as_of": "2026-01-01T00:00:00Z"})
    assert old.status == 409
    assert house.client("work:write", system="erp").post(at, {"without": "x"}).status == 403
    without = house.admin.post(at, {"without": "counted by hand"})
    assert steps(without)["opening_stock"] == "skipped"


@pytest.mark.parametrize(
    ("more", "status", "field"),
    [
        ({"connector": "none"}, 422, "connector"),
        ({"settings": {}}, 422, "settings.base_url"),
        ({"settings": {"base_url": "http://x", "token": "sw0rdfish"}}, 422, "settings.token"),
        ({"channel": "new"}, 422, "pool"),
        ({"channel": "web"}, 422, "channel"),
    ],
)
def test_a_wrong_connection_is_told_by_field_without_its_secret(house, more, status, field):
    ask = {"system": "wrong", "connector": "json_http", "role": "shop", "reason": "x",
           "settings": {"base_url": "http://x"}} | more  # fmt: skip
    answer = house.admin.post("/v1/connections", ask)
    assert (answer.status, answer.json["param"].endswith(field)) == (status, True), answer.body
    assert b"sw0rdfish" not in answer.body


def test_a_used_code_is_told_and_adding_is_for_admins(house, added, partner):
    ask = {"system": added, "connector": "json_http", "role": "wms", "reason": "x",
           "settings": {"base_url": partner.url}}  # fmt: skip
    assert house.client("work:write").post("/v1/connections", ask).status == 403
    assert house.admin.post("/v1/connections", ask).status == 200, "not used yet: changed"
    house.admin.post(f"/v1/connections/{added}/live", {"why": "x", "force": True})
    answer = house.admin.post("/v1/connections", ask)
    assert (answer.status, answer.json["type"].rsplit(":", 1)[1]) == (409, "already_connected")


def test_an_unknown_connection_is_not_found(house):
    at = "/v1/connections/none"
    assert house.admin.get(at).status == 404
    assert house.admin.get(f"{at}/shadow").status == 404
    for step in ("test", "shadow"):
        assert house.admin.post(f"{at}/{step}", {}).status == 404


@pytest.mark.parametrize(
    ("connector", "settings", "field"),
    [
        ("json_http", {"base_url": "http://127.0.0.1:9", "token": "file:/etc/passwd"}, "token"),
        ("csv_drop", {"inbox": "/etc"}, "inbox"),
        ("pos_file", {"outbox": "/etc"}, "outbox"),
    ],
)
def test_an_admin_of_the_application_names_no_file_of_the_machine(
    house, connector, settings, field
):
    code = f"spy-{uuid4().hex[:8]}"
    part = {"role": "store", "connector": connector, "settings": settings}
    if connector == "json_http":
        part["role"] = "shop"
    ask = {"system": code, "reason": "look", **part}
    parts = {"systems": [{"code": code, **part}]}
    for path, body in (
        ("/v1/connections", ask),
        ("/v1/config/plan", parts),
        ("/v1/config/apply", parts | {"reason": "look"}),
    ):
        refused = house.admin.post(path, body)
        assert refused.status in (400, 422), (path, refused.body)
        (problem,) = refused.json.get("errors", [refused.json])
        assert f"systems.{code}.settings.{field}" in refused.body.decode(), path
        assert "connections." in problem["detail"], path
    assert house.admin.get(f"/v1/connections/{code}").status == 404


def test_a_connection_that_waits_is_tried_again_by_the_key_that_asks(house, added):
    keys, at = house.client("work:write"), f"/v1/connections/{added}/retry"
    early = keys.post(at, {"why": "mended"})
    assert (early.status, early.json["type"]) == (409, "urn:stockwright:problem:not_ready")
    house.admin.post(f"/v1/connections/{added}/live", {"why": "now", "force": True})
    house.sql(
        "insert into poll_cursor (connection, failures, last_error, due_at)"
        " values (%s, 9, 'no route', now() + interval '5 minutes')", added,
    )  # fmt: skip
    assert house.client("work:read").post(at, {"why": "mended"}).status == 403
    assert keys.post(at, {"why": ""}).status == 422
    assert keys.post(at, {"why": "their router was changed"}).json == {
        "changed": True,
        "turns": {
            "system": added,
            "reading": {"state": "at_once", "until": None, "error": "no route"},
            "sending": {"state": "none", "until": None, "error": ""},
        },
    }
    assert keys.post(at, {"why": "again"}).json["changed"] is False
    assert house.sql("select due_at <= now() from poll_cursor where connection = %s", added) == [
        (True,)
    ]
    assert house.sql(
        "select detail ->> 'why' from change_log where action = 'connection.retry'"
        " and subject = %s", added,
    ) == [("their router was changed",)]  # fmt: skip
