"""The item master over HTTP: each row at its own address, PUT as often as you like."""

from urllib.parse import quote
from uuid import uuid4

import pytest

from stockwright.api.paging import cursor_of, position_of
from stockwright.api.problems import ProblemRaised


def code() -> str:
    return f"it-{uuid4().hex[:8]}"


def test_an_item_is_made_changed_and_left_alone(house):
    sku = code()
    path = f"/v1/items/{sku}"
    made = house.admin.put(path, {"description": "Kettle", "unit_cost": "12.50"})
    assert (made.status, made.json["saved"]) == (201, "new")
    changed = house.admin.put(path, {"description": "Kettle, red", "unit_cost": "12.50"})
    assert (changed.status, changed.json["saved"]) == (200, "changed")
    again = house.admin.put(path, {"description": "Kettle, red", "unit_cost": "12.50"})
    assert (again.status, again.json["saved"]) == (200, "unchanged")
    shown = house.admin.get(path).json
    assert (shown["code"], shown["description"], shown["unit_cost"]) == (
        sku,
        "Kettle, red",
        "12.50",
    )


@pytest.mark.parametrize("sku", ["with/slash", "Größe 42", "a?b#c", "50%", "ÅÄÖ", "0042"])
def test_a_code_is_kept_as_it_is_written(house, sku):
    path = f"/v1/items/{quote(sku, safe='')}"
    assert house.admin.put(path, {}).status in (200, 201)
    assert house.admin.get(path).json["code"] == sku


def test_the_body_may_repeat_the_key_but_not_contradict_it(house):
    sku = code()
    assert house.admin.put(f"/v1/items/{sku}", {"code": sku}).status == 201
    answer = house.admin.put(f"/v1/items/{sku}", {"code": "other"})
    assert (answer.status, answer.json["param"]) == (422, "code")


def test_units_kits_listings_bindings_and_locations_have_their_addresses(house):
    sku, part = code(), code()
    rows = [
        (f"/v1/items/{sku}", {}),
        (f"/v1/items/{part}", {}),
        (f"/v1/units/{sku}/BOX", {"factor": 6}),
        (f"/v1/kits/{sku}", {"components": [{"sku": part, "quantity": 2}]}),
        (f"/v1/listings/web/{sku}", {"components": [{"sku": sku, "quantity": 1}]}),
        (f"/v1/bindings/erp/item/{sku}-theirs", {"code": sku, "unit": "BOX"}),
        (f"/v1/locations/{sku}", {"name": "Annex", "time_zone": "Europe/Berlin"}),
    ]
    for path, body in rows:
        assert house.admin.put(path, body).json == {"saved": "new", "resumed": 0}, path
        assert house.admin.get(path).status == 200, path
    lists = {
        f"/v1/units?sku={sku}": "BOX",
        "/v1/listings?channel=web&limit=1000": sku,
        f"/v1/bindings?code={sku}": sku,
        "/v1/locations?limit=1000": sku,
    }
    for path, expected in lists.items():
        assert expected in {row["code"] for row in house.admin.get(path).json["items"]}, path
    assert sku in {row["sku"] for row in house.admin.get("/v1/kits?limit=1000").json["items"]}


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/units/nothing/BOX", {"factor": 6}, "sku"),
        ("/v1/units/A/EA", {"factor": 6}, "factor"),
        ("/v1/units/A/BOX", {"factor": 0}, "factor"),
        ("/v1/kits/A", {"components": []}, "components"),
        ("/v1/kits/A", {"components": [{"sku": "A"}]}, "component"),
        ("/v1/listings/nothing/x", {"components": [{"sku": "A"}]}, "channel"),
        ("/v1/bindings/nothing/item/x", {"code": "A"}, "system"),
        ("/v1/bindings/erp/item/x", {"code": "nothing"}, "code"),
        ("/v1/locations/annex", {"time_zone": "Mars/Base"}, "time_zone"),
    ],
)
def test_a_row_that_cannot_stand_names_its_field(house, path, body, field):
    answer = house.admin.put(path, body)
    assert (answer.status, answer.json["param"]) == (422, field), answer


def test_a_bound_key_binds_the_codes_of_its_own_system_alone(house):
    client = house.client("master:write", system="erp")
    assert client.put(f"/v1/bindings/shop/item/{code()}", {"code": "A"}).status == 403
    assert client.put(f"/v1/bindings/erp/item/{code()}", {"code": "A"}).status == 201


def test_a_binding_of_neither_item_nor_location_is_a_bad_address(house):
    answer = house.admin.put("/v1/bindings/erp/person/x", {"code": "A"})
    assert (answer.status, answer.json["param"]) == (400, "subject")


def test_the_authority_over_a_place_is_not_changed_over_http(house):
    answer = house.admin.put("/v1/locations/main", {"authority": []})
    assert (answer.status, answer.json["param"]) == (422, "authority")


def test_lists_are_paged_by_cursor_and_every_row_comes_once(house):
    group = code()
    skus = [f"{group}-{n:02}" for n in range(7)]
    for sku in skus:
        house.admin.put(f"/v1/items/{sku}", {"sku_group": group})
    found: list[str] = []
    cursor = ""
    while cursor is not None:
        answer = house.admin.get(f"/v1/items?sku_group={group}&limit=3&cursor={cursor}").json
        found += [row["code"] for row in answer["items"]]
        assert len(answer["items"]) <= 3
        cursor = answer["next_cursor"]
    assert found == skus


def test_a_change_is_noted_with_the_key_that_made_it(house):
    sku = code()
    made = house.key("master:write")
    house.client("master:write")
    type(house.admin)(house.web.port, made.key).put(f"/v1/items/{sku}", {"description": "x"})
    type(house.admin)(house.web.port, made.key).put(f"/v1/items/{sku}", {"description": "x"})
    noted = house.sql("SELECT actor, action FROM change_log WHERE subject = %s", sku)
    assert noted == [(f"key {made.id}", "skus.put")]


def test_a_cursor_comes_back_as_the_position_it_was_made_of():
    position = ("Größe/42", 7)
    assert position_of(cursor_of(position), tuple[str, int], ("", 0)) == position
    assert position_of("", tuple[str, int], ("", 0)) == ("", 0)


@pytest.mark.parametrize("cursor", ["x", "!", cursor_of("text"), cursor_of([1, 2]), "Ä"])
def test_a_cursor_of_another_list_is_told(cursor):
    with pytest.raises(ProblemRaised) as raised:
        position_of(cursor, tuple[str, int], ("", 0))
    assert raised.value.problem.param == "cursor"


def test_the_ledger_of_a_sku_is_paged_newest_first(house):
    sku = code()
    house.admin.put(f"/v1/items/{sku}", {})
    for quantity in range(1, 6):
        house.receive(sku, quantity)
    found: list[int] = []
    cursor = ""
    while cursor is not None:
        page = house.admin.get(f"/v1/ledger/{sku}?limit=2&cursor={cursor}").json
        found += [entry["quantity"] for entry in page["items"]]
        cursor = page["next_cursor"]
    assert found == [5, 4, 3, 2, 1]
    entry = house.admin.get(f"/v1/ledger/{sku}?limit=1").json["items"][0]
    assert (entry["from_account"], entry["to_account"]) == ("supplier", "sellable")
    assert (entry["system"], entry["kind"]) == ("erp", "receipt")


def test_the_ledger_of_a_sku_nobody_knows_is_empty(house):
    assert house.admin.get("/v1/ledger/nothing").json == {"items": [], "next_cursor": None}
