"""How channels do and steering them, over HTTP."""

from uuid import uuid4

import psycopg
import pytest

from stockwright.flow.publication import Publisher
from stockwright.store.connection import Pool
from tests.flow.channels import Clock, Shop, link


@pytest.fixture
def channel(house):
    """A channel of its own, told by a connector, with three listings: two with stock."""
    code = f"ch-{uuid4().hex[:8]}"
    with psycopg.connect(house.services.url) as db:
        db.execute(
            "insert into system (code, role, connector) values (%s, 'shop', 'json_http')", [code]
        )
        db.execute(
            "insert into channel (code, system, pool) values (%s, %s, '{main}')", [code, code]
        )
        for number, desired in enumerate((7, 5, 0)):
            sku = f"{code}-{number}"
            db.execute("insert into sku (code) values (%s)", [sku])
            db.execute("insert into listing (channel, code) values (%s, %s)", [code, sku])
            db.execute("insert into listing_component values (%s, %s, %s, 1)", [code, sku, sku])
            if desired:
                db.execute(
                    "insert into balance (sku, location, sellable) values (%s, 'main', %s)",
                    [sku, desired],
                )
            db.execute(
                "insert into level (channel, listing, desired, version, sequence, projected_at,"
                " acknowledged, acknowledged_version, acknowledged_at, state, lane, due_at,"
                " waiting_since) values (%s, %s, %s, 1, 0, now(), %s, 1, now(), 'settled',"
                " 'increase', now(), now())",
                [code, sku, desired, desired],
            )
    return code


def of(house, channel):
    return house.admin.get(f"/v1/publication/{channel}").json


def test_every_channel_is_told_with_its_state(house, channel):
    items = house.admin.get("/v1/publication").json["items"]
    assert channel in [one["channel"] for one in items]
    assert [one["channel"] for one in items] == sorted(one["channel"] for one in items)
    assert of(house, channel)["connector"] == "json_http"
    asks = of(house, "web")
    assert (asks["connector"], asks["why"]) == ("", "nothing is sent: this channel asks the API")


def test_a_channel_is_paused_and_resumed_by_the_key_that_asks(house, channel):
    client = house.client("work:write")
    paused = client.post(f"/v1/publication/{channel}/pause", {"why": "they move house"})
    assert (paused.status, paused.json["state"], paused.json["paused"]) == (200, "paused", True)
    assert paused.json["paused_by"].startswith("key ")
    assert paused.json["paused_why"] == "they move house"
    again = house.admin.post(f"/v1/publication/{channel}/pause", {"why": "me too"})
    assert again.json["paused_why"] == "they move house"
    resumed = client.post(f"/v1/publication/{channel}/resume", {"why": "they moved"})
    assert (resumed.status, resumed.json["paused"]) == (200, False)
    logged = house.admin.get("/v1/audit?limit=2").json["items"]
    assert [(one["action"], one["subject"]) for one in logged] == [
        ("channel.resume", channel),
        ("channel.pause", channel),
    ]


def test_a_dry_run_tells_the_levels_and_changes_nothing(house, channel):
    found = house.admin.post(f"/v1/publication/{channel}/resync?dry_run=true", {})
    assert found.status == 200
    plan = found.json["plan"]
    assert found.json["levels"] is None
    assert (plan["estimate"]["levels"], plan["refused"]) == (2, "")
    assert plan["left_alone"] == {"0 without any stock ever recorded": 1}
    assert of(house, channel)["resends"] == 0


def test_a_resync_makes_the_levels_due_and_is_logged(house, channel):
    path = f"/v1/publication/{channel}/resync"
    assert house.admin.post(path, {}).json["param"] == "why"
    done = house.admin.post(path, {"why": "restored from a backup"})
    assert (done.status, done.json["levels"]) == (200, 2)
    assert of(house, channel)["resends"] == 2
    again = house.admin.post(path, {"why": "once more"})
    assert (again.status, again.json["type"]) == (409, "urn:stockwright:problem:incomplete")
    (logged,) = house.admin.get("/v1/audit?limit=1").json["items"]
    assert (logged["action"], logged["subject"]) == ("channel.resync", channel)
    assert logged["detail"] == {"why": "restored from a backup", "levels": 2, "calls": None}


async def test_what_is_resynced_is_sent_once_more(house, channel):
    house.admin.post(f"/v1/publication/{channel}/resync", {"why": "x"})
    shop, clock = Shop(), Clock()
    ((clock.now,),) = house.sql("select clock_timestamp() + interval '1 second'")
    with Pool(house.services.url, size=2) as pool:
        assert await Publisher(pool, shop, link(channel, clock=clock)).step() == 2
    assert sorted(shop.sent) == [(f"{channel}-0", 7), (f"{channel}-1", 5)]
    assert of(house, channel)["resends"] == 0


def test_a_channel_that_would_be_emptied_is_refused(house, channel):
    house.sql("update listing set active = false where channel = %s", channel)
    answer = house.admin.post(f"/v1/publication/{channel}/resync", {"why": "x"})
    assert (answer.status, answer.json["param"]) == (409, "channel")
    assert "No active listing" in answer.json["detail"]
    dry = house.admin.post(f"/v1/publication/{channel}/resync?dry_run=true", {})
    assert "No active listing" in dry.json["plan"]["refused"]


def test_a_dry_run_under_the_key_of_a_real_one_is_another_request(house, channel):
    key = {"idempotency-key": uuid4().hex}
    path = f"/v1/publication/{channel}/resync"
    house.admin.post(f"{path}?dry_run=true", {"why": "x"}, headers=key)
    answer = house.admin.post(path, {"why": "x"}, headers=key)
    assert answer.json["type"] == "urn:stockwright:problem:key_reused"
    assert of(house, channel)["resends"] == 0


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("none/pause", {"why": "x"}, "channel"),
        ("none/resync", {"why": "x"}, "channel"),
        ("web/pause", {"why": "x"}, "channel"),
        ("web/resync?dry_run=true", {}, "channel"),
        ("web/pause", {}, "why"),
        ("web/pause", {"why": ""}, "why"),
        ("web/pause", {"why": "x", "reason": "y"}, "reason"),
        ("web/resync?dry=true", {}, "dry"),
    ],
)
def test_what_is_wrong_is_told_by_its_field(house, path, body, param):
    answer = house.admin.post(f"/v1/publication/{path}", body)
    assert (answer.status, answer.json["param"]) == (422, param), answer


def test_looking_needs_another_scope_than_steering(house, channel):
    reader = house.client("work:read")
    assert reader.get(f"/v1/publication/{channel}").status == 200
    assert reader.post(f"/v1/publication/{channel}/pause", {"why": "x"}).status == 403
    assert house.client("stock:read").get("/v1/publication").status == 403
