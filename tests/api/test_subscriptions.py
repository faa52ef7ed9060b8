"""/v1/subscriptions: added, read, steered, replayed, deleted; secrets are told once."""

from uuid import uuid4

import msgspec
import pytest

URL = "https://plan.example/hook?key=of-theirs"


@pytest.fixture
def name():
    return f"plan-{uuid4().hex[:8]}"


def add(house, name, **more):
    return house.admin.post("/v1/subscriptions", {"name": name, "url": URL, **more})


def test_a_subscription_is_added_and_its_secret_told_once(house, name):
    made = add(house, name, filters={"changes": "levels", "skus": ["A"]})
    assert made.status == 201
    secret, one = made.json["secret"], made.json["subscription"]
    assert secret.startswith("whsec_")
    assert (one["state"], one["url"], one["delivered"]) == (
        "active", "https://plan.example/hook?...", 0,
    )  # fmt: skip
    assert one["filters"]["skus"] == ["A"]
    read = house.admin.get(f"/v1/subscriptions/{name}")
    assert (read.status, len(read.json["secrets"])) == (200, 1)
    listed = house.admin.get("/v1/subscriptions?limit=1000")
    assert name in [one["name"] for one in listed.json["items"]]
    audited = house.admin.get("/v1/audit?limit=1000")
    kept = house.sql("select body::text from idempotency union all select body from api_call")
    for told in (read.body, listed.body, audited.body, str(kept).encode()):
        assert secret.encode() not in told
        assert b"of-theirs" not in told


def test_subscriptions_are_paged_by_name(house, name):
    for end in ("-a", "-b", "-c"):
        assert add(house, name + end).status == 201
    found, cursor = [], ""
    while cursor is not None:
        page = house.admin.get(f"/v1/subscriptions?limit=2&cursor={cursor}").json
        found += [one["name"] for one in page["items"]]
        cursor = page["next_cursor"]
    assert found == sorted(found)
    assert [one for one in found if one.startswith(name)] == [
        name + end for end in ("-a", "-b", "-c")
    ]


def test_a_taken_name_and_an_unknown_one_are_told(house, name):
    assert add(house, name).status == 201
    taken = add(house, name)
    assert (taken.status, taken.json["type"]) == (409, "urn:stockwright:problem:name_taken")
    unknown = house.admin.get(f"/v1/subscriptions/{name}x")
    assert (unknown.status, unknown.json["param"]) == (404, "name")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"url": "http://127.0.0.1:9/hook"}, "url"),
        ({"url": "https://169.254.169.254/latest"}, "url"),
        ({"url": "https://ann:pw@plan.example"}, "url"),
        ({"url": "", "via": "queue", "system": "shop", "subject": "a"}, "system"),
        ({"filters": {"kinds": ["nonsense"]}}, "filters.kinds[0]"),
        ({"filters": {"changes": "levels", "kinds": ["receipt"]}}, "filters.kinds"),
        ({"batch": 501}, "batch"),
        ({"cursor": "nonsense"}, "cursor"),
        ({"cursor": "Wzk5OTk5OTk5OSwwXQ"}, "cursor"),
        ({"sequence": 10**12}, "sequence"),
        ({"sequence": 1, "cursor": "WzAsMF0"}, "sequence"),
    ],
)
def test_what_cannot_work_is_refused_by_field(house, name, change, param):
    refused = add(house, name, **change)
    assert (refused.status, refused.json["param"]) == (422, param)
    assert b"pw@" not in refused.body


def test_it_is_paused_resumed_and_audited(house, name):
    add(house, name)
    client = house.client("subscriptions:write")
    paused = client.post(f"/v1/subscriptions/{name}/pause", {"why": "they move"}).json
    assert (paused["state"], paused["why"]) == ("paused", "they move")
    assert paused["paused_by"].startswith("key ")
    resumed = client.post(f"/v1/subscriptions/{name}/resume", {"why": "moved"}).json
    assert (resumed["state"], resumed["why"], resumed["paused_at"]) == ("active", "", None)
    logged = house.admin.get(f"/v1/audit?subject={name}").json["items"]
    assert [one["action"].partition(".")[2] for one in logged] == ["resume", "pause", "create"]


def test_a_secret_is_replaced(house, name):
    first = add(house, name).json["secret"]
    made = house.admin.post(f"/v1/subscriptions/{name}/secret", {"overlap_s": 60})
    assert made.status == 200
    assert made.json["secret"] != first
    ends = [one["expires_at"] for one in made.json["subscription"]["secrets"]]
    assert [end is None for end in ends] == [False, True]
    too_long = house.admin.post(f"/v1/subscriptions/{name}/secret", {"overlap_s": 10**9})
    assert (too_long.status, too_long.json["param"]) == (422, "overlap_s")


def test_no_more_than_five_secrets_sign_at_a_time(house, name):
    add(house, name)
    address = f"/v1/subscriptions/{name}/secret"
    assert [house.admin.post(address, {"overlap_s": 60}).status for _ in range(4)] == [200] * 4
    refused = house.admin.post(address, {"overlap_s": 60})
    assert (refused.status, refused.json["param"]) == (422, "overlap_s")
    made = house.admin.post(address, {"overlap_s": 0})
    assert len(made.json["subscription"]["secrets"]) == 1


def test_a_replay_sets_the_position(house, name, new_sku):
    add(house, name)
    house.receive(new_sku(), 1)
    ((last,),) = house.sql("select sequence from ledger_head where lane = 0")

    def replay(**to):
        return house.admin.post(f"/v1/subscriptions/{name}/replay", to)

    assert replay(begin="now").json["behind"] == 0
    assert replay(sequence=last).json["behind"] == 1
    cursor = house.admin.get("/v1/changes?begin=start&limit=1").json["cursor"]
    assert replay(cursor=cursor).json["cursor"] == cursor
    assert replay(begin="start").json["behind"] >= last
    for wrong in ({}, {"begin": "now", "sequence": 1}):
        assert replay(**wrong).status == 422


def test_it_is_deleted(house, name):
    add(house, name)
    gone = house.admin.call("DELETE", f"/v1/subscriptions/{name}")
    assert (gone.status, gone.json["name"]) == (200, name)
    assert house.admin.call("DELETE", f"/v1/subscriptions/{name}").status == 404
    assert house.sql(
        "select count(*) from subscription_secret s left join subscription on"
        " subscription.id = s.subscription where subscription.id is null"
    ) == [(0,)]


def test_readers_read_and_writers_write(house, name):
    reader, writer = house.client("subscriptions:read"), house.client("subscriptions:write")
    assert reader.post("/v1/subscriptions", {"name": name, "url": URL}).status == 403
    assert writer.post("/v1/subscriptions", {"name": name, "url": URL}).status == 201
    assert reader.get(f"/v1/subscriptions/{name}").status == 200
    assert writer.get(f"/v1/subscriptions/{name}").status == 403
    assert reader.call("DELETE", f"/v1/subscriptions/{name}").status == 403
    assert msgspec.json.decode(reader.get("/v1/subscriptions").body)["items"]
