"""Work items: filtered, counted, assigned, closed and opened again."""

from uuid import uuid4

import pytest


@pytest.fixture
def item(house):
    """Makes a work item."""

    def make(kind: str = "recount", subject: str = "", **more: str) -> int:
        named = {"kind": kind, "subject": subject or uuid4().hex, **more}
        columns, places = ", ".join(named), ", ".join(["%s"] * len(named))
        ((made,),) = house.sql(
            f"INSERT INTO work_item ({columns}) VALUES ({places}) RETURNING id", *named.values()
        )
        return int(made)

    return make


def ids(house, query: str) -> list[int]:
    return [one["id"] for one in house.admin.get(f"/v1/work-items?{query}").json["items"]]


def test_every_filter_narrows_the_list(house, item):
    place = f"place-{uuid4().hex[:6]}"
    first = item(location=place, system="erp", sku="A")
    second = item("shortage", location=place, system="shop", subject=f"special-{place}")
    assert ids(house, f"location={place}") == [second, first]
    assert ids(house, f"location={place}&system=erp") == [first]
    assert ids(house, f"location={place}&kind=shortage") == [second]
    assert ids(house, f"text=SPECIAL-{place}") == [second]
    house.admin.post(f"/v1/work-items/{first}/assign", {"assigned_to": "Ada"})
    assert ids(house, f"location={place}&assigned_to=Ada") == [first]
    assert ids(house, f"location={place}&unassigned=true") == [second]


def test_facets_count_the_same_rows_that_the_list_shows(house, item):
    place = f"place-{uuid4().hex[:6]}"
    for system in ("erp", "erp", "shop"):
        item(location=place, system=system)
    told = house.admin.get(f"/v1/work-items/facets?location={place}").json
    assert told["total"] == 3
    assert told["by"]["system"] == [{"value": "erp", "count": 2}, {"value": "shop", "count": 1}]
    assert told["by"]["assigned_to"] == [{"value": "", "count": 3}]
    narrowed = house.admin.get(f"/v1/work-items/facets?location={place}&system=shop").json
    assert narrowed["total"] == 1


def test_a_closed_item_is_opened_again_with_a_reason(house, item):
    one = item()
    assert house.admin.post(f"/v1/work-items/{one}/reopen", {"why": "x"}).status == 409
    house.admin.post(f"/v1/work-items/{one}/close", {"why": "counted"})
    again = house.admin.post(f"/v1/work-items/{one}/reopen", {"why": "counted the wrong shelf"})
    assert again.status == 200
    assert (again.json["closed_at"], again.json["closed_why"]) == (None, "")
    (noted, *_) = house.admin.get(f"/v1/audit?subject={one}").json["items"]
    assert noted["action"] == "work_item.reopen"
    assert noted["detail"] == {"why": "counted the wrong shelf"}


@pytest.mark.parametrize("why", [" ", "\t\n", "\0"])
def test_a_reason_of_blanks_is_none(house, item, why):
    one = item()
    for verb in ("close", "reopen"):
        answer = house.admin.post(f"/v1/work-items/{one}/{verb}", {"why": why})
        assert (answer.status, answer.json["param"]) == (422, "why")
        house.admin.post(f"/v1/work-items/{one}/close", {"why": " counted "})
    assert house.admin.get(f"/v1/work-items/{one}").json["closed_why"] == "counted"


def test_a_name_of_two_lines_is_no_name(house, item):
    answer = house.admin.post(f"/v1/work-items/{item()}/assign", {"assigned_to": "Bo\nAda"})
    assert (answer.status, answer.json["param"]) == (422, "assigned_to")


def test_an_item_whose_cause_came_up_again_stays_closed(house, item):
    subject = uuid4().hex
    old = item(subject=subject)
    house.admin.post(f"/v1/work-items/{old}/close", {"why": "counted"})
    item(subject=subject)
    answer = house.admin.post(f"/v1/work-items/{old}/reopen", {"why": "again"})
    assert (answer.status, answer.json["type"]) == (409, "urn:stockwright:problem:already_open")
    assert "came up again" in answer.json["detail"]


def test_an_open_item_is_given_to_somebody_and_to_nobody(house, item):
    one = item()
    assert (
        house.admin.post(f"/v1/work-items/{one}/assign", {"assigned_to": " Ada "}).json[
            "assigned_to"
        ]
        == "Ada"
    )
    assert (
        house.admin.post(f"/v1/work-items/{one}/assign", {"assigned_to": ""}).json["assigned_to"]
        == ""
    )
    house.admin.post(f"/v1/work-items/{one}/close", {"why": "done"})
    assert house.admin.post(f"/v1/work-items/{one}/assign", {"assigned_to": "Ada"}).status == 409


@pytest.mark.parametrize("verb", ["close", "reopen", "assign"])
def test_a_work_item_that_is_not_there_is_not_found(house, verb):
    body = {"assigned_to": "Ada"} if verb == "assign" else {"why": "x"}
    assert house.admin.post(f"/v1/work-items/999999999/{verb}", body).status == 404
