"""The configuration over HTTP: read, planned, applied and rolled back by revisions."""

import pytest

WEB = {"code": "web", "system": "shop", "pool": ["main", "second"]}


def newest(house) -> int:
    return int(house.admin.get("/v1/config").json["revision"])


def apply(house, reason="because", **parts):
    return house.admin.post("/v1/config/apply", {"reason": reason, **parts})


@pytest.fixture
def channel(house):
    """The channel web as it was at the start, before and after each test."""
    assert apply(house, channels=[WEB | {"policies": []}]).status == 200
    return WEB


def test_the_configuration_in_force_is_told_with_its_revision(house, channel):
    found = house.admin.get("/v1/config").json
    assert [one["code"] for one in found["systems"]] == ["erp", "shop"]
    assert [one["code"] for one in found["locations"]] == ["main", "second"]
    (web,) = found["channels"]
    assert (web["pool"], web["policies"]) == (["main", "second"], [])
    assert found["revision"] > 0


def test_a_plan_changes_nothing_and_is_what_an_application_does(house, channel):
    edit = {"channels": [WEB | {"policies": [{"safety": 4}]}]}
    before = newest(house)
    planned = house.admin.post("/v1/config/plan", edit).json
    (difference,) = planned["differences"]
    assert (planned["revision"], newest(house)) == (before, before)
    assert (difference["field"], difference["database"]) == ("channels.web.policies[0]", None)
    applied = apply(house, "a sale", if_revision=before, **edit).json
    assert applied == {"revision": newest(house), "changes": [difference]}
    assert house.admin.post("/v1/config/plan", edit).json["differences"] == []
    assert apply(house, "a sale", **edit).json == {"revision": None, "changes": []}


def test_a_revision_tells_who_why_and_every_row(house, channel):
    number = apply(house, "a sale", channels=[WEB | {"hold_s": 60}]).json["revision"]
    found = house.admin.get(f"/v1/config/revisions/{number}").json
    assert found["revision"]["reason"] == "a sale"
    assert found["revision"]["source"] == "api"
    assert found["revision"]["actor"].startswith("key ")
    (change,) = found["changes"]
    assert (change["before"]["hold_s"], change["after"]["hold_s"]) == (900, 60)
    (logged,) = house.admin.get("/v1/audit?limit=1").json["items"]
    assert (logged["action"], logged["subject"]) == ("config.apply", f"revision {number}")
    assert logged["detail"]["changes"] == [
        {"field": "channels.web.hold_s", "before": 900, "after": 60}
    ]


def test_a_rollback_is_a_new_revision(house, channel):
    before = newest(house)
    apply(house, "wrong", channels=[WEB | {"hold_s": 60}])
    ask = {"revision": before, "reason": "it was wrong"}
    answer = house.admin.post("/v1/config/rollback", ask)
    assert [one["field"] for one in answer.json["changes"]] == ["channels.web.hold_s"]
    assert house.admin.get("/v1/config").json["channels"][0]["hold_s"] == 900
    assert answer.json["revision"] == newest(house) > before + 1


def test_revisions_are_paged_newest_first_and_items_only_with_all(house, channel, new_sku):
    new_sku()
    listed = house.admin.get("/v1/config/revisions?limit=1").json
    assert listed["items"][0]["id"] == newest(house)
    if listed["next_cursor"]:
        older = house.admin.get(f"/v1/config/revisions?cursor={listed['next_cursor']}").json
        assert all(one["id"] < newest(house) for one in older["items"])
    every = house.admin.get("/v1/config/revisions?all=true&limit=1").json
    assert every["items"][0]["subjects"] == ["sku"]


def test_what_a_row_was_is_told_with_the_reason_of_each_change(house, new_sku):
    sku = new_sku()
    for quantity, reason in ((1, "listed"), (2, "a pair is cheaper to ship")):
        body = {"components": [{"sku": sku, "quantity": quantity}]}
        address = f"/v1/listings/web/{sku}"
        answer = house.admin.put(address, body, headers={"change-reason": reason})
        assert answer.status in (200, 201)
    found = house.admin.get(f"/v1/history/listing_component?key=web%0A{sku}").json
    assert [(one["row"]["quantity"], one["reason"]) for one in found] == [
        (2, "a pair is cheaper to ship"),
        (1, "listed"),
    ]
    assert [one["until"] for one in found] == [None, found[0]["since"]]
    (logged,) = house.admin.get("/v1/audit?limit=1").json["items"]
    quantities = [
        logged["detail"][when]["components"][0]["quantity"] for when in ("before", "after")
    ]
    assert quantities == [1, 2]
    assert logged["detail"]["reason"] == "a pair is cheaper to ship"


@pytest.mark.parametrize(
    ("parts", "field", "words"),
    [
        ({"channels": [WEB | {"pool": ["mian"]}]}, "channels.web.pool[0]", "did you mean main?"),
        ({"channels": [WEB | {"hold": 3}]}, "channels.web.hold", "did you mean hold_s?"),
        ({"channels": [{"code": "b2b"}]}, "channels.b2b.pool", "is missing"),
        ({"channels": [WEB, WEB]}, "channels[1].code", "there twice"),
        ({"channels": [{"system": "shop"}]}, "channels[0].code", "has a code"),
        ({"channels": 3}, "channels", "array"),
        ({"chanels": []}, "chanels", "unknown field"),
        ({"systems": [{"code": " x", "role": "erp"}]}, 'systems." x"', "blank"),
        ({"systems": [{"code": "x", "role": "king"}]}, "systems.x.role", "is not one of"),
        (
            {"systems": [{"code": "x", "role": "erp", "settings": {"token": "abc"}}]},
            "systems.x.settings.token",
            "holds a secret",
        ),
    ],
)
def test_a_bad_part_is_named_by_its_field(house, channel, parts, field, words):
    before = newest(house)
    for answer in (house.admin.post("/v1/config/plan", parts), apply(house, **parts)):
        assert (answer.status, answer.json["param"]) == (422, field), answer
        assert words in answer.json["detail"]
    assert newest(house) == before


def test_a_change_needs_a_reason_and_a_revision_that_is_still_the_newest(house, channel):
    assert house.admin.post("/v1/config/apply", {"channels": [WEB]}).json["param"] == "reason"
    late = apply(house, channels=[WEB | {"hold_s": 7}], if_revision=0)
    assert (late.status, late.json["type"]) == (409, "urn:stockwright:problem:outdated")


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/v1/config/revisions/999999", 404),
        ("/v1/config/revisions/x", 404),
        ("/v1/history/lot", 422),
        ("/v1/history/sku?limit=0", 422),
    ],
)
def test_what_is_not_there_is_told(house, address, status):
    assert house.admin.get(address).status == status


def test_a_rollback_to_a_revision_that_is_none_is_told(house):
    answer = house.admin.post("/v1/config/rollback", {"revision": 999_999, "reason": "x"})
    assert (answer.status, answer.json["param"]) == (404, "revision")


def test_only_an_admin_may_look_and_change(house):
    client = house.client("master:write", "master:read")
    assert client.get("/v1/config").status == 403
    assert client.post("/v1/config/apply", {"reason": "x"}).status == 403


@pytest.mark.parametrize("number", ["%C2%B2", "-1", "x", "9" * 100])
def test_what_is_no_number_of_a_revision_is_not_found(house, channel, number):
    assert house.admin.get(f"/v1/config/revisions/{number}").status == 404
