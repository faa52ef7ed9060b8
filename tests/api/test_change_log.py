"""Every change that a key makes is in the change log, with who made it and what it was."""

from uuid import uuid4

import pytest

from stockwright.api.routes import TABLE

RECORDED = {
    # The ledger and the kept payload say who told these, for ever.
    *("post_events", "post_count", "post_reservation", "post_transition", "post_hook"),
    # Asks, and changes nothing.
    "post_availability",
}
CHANGES = {
    "put_item": ("/v1/items/log-1", {"description": "a"}),
    "put_unit": ("/v1/units/A/LOG", {"factor": 3}),
    "put_kit": ("/v1/kits/B", {"components": [{"sku": "A", "quantity": 2}]}),
    "put_listing": ("/v1/listings/web/log", {"components": [{"sku": "A", "quantity": 1}]}),
    "put_binding": ("/v1/bindings/erp/item/log", {"code": "A"}),
    "put_location": ("/v1/locations/log", {"name": "log"}),
    "import_master": ("/v1/master/skus", None),
    "close_work_item": ("/v1/work-items/{item}/close", {"why": "seen to"}),
    "resume_payload": ("/v1/parked/{payload}/resume", None),
    "discard_payload": ("/v1/parked/{payload}/discard", {"why": "a test"}),
}


def ids(house) -> dict[str, int]:
    """A work item that is open and a payload that is parked."""
    ((item,),) = house.sql(
        "insert into work_item (kind, subject) values ('unknown_code', %s) returning id",
        uuid4().hex,
    )
    ((payload,),) = house.sql(
        "insert into payload (system, door, body, state, reason) "
        "values ('erp', 'webhook', '{}', 'parked', 'unknown_code') returning id"
    )
    return {"item": item, "payload": payload}


def test_every_operation_that_changes_something_is_tried_here():
    changing = {row.name for row in TABLE if row.method != "GET"}
    assert changing == RECORDED | CHANGES.keys()


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_noted_with_the_key_that_made_it(house, name):
    (row,) = (row for row in TABLE if row.name == name)
    path, body = CHANGES[name]
    key = house.key("admin")
    client = type(house.admin)(house.web.port, key.key)
    if name == "import_master":
        told = {"content-type": "text/csv"}
        answer = client.call(row.method, path, b"code\nlog-import\n", told)
    else:
        answer = client.call(row.method, path.format(**ids(house)), json=body)
    assert answer.status in (200, 201), answer
    noted = house.admin.get(f"/v1/change-log?actor=key%20{key.id}").json["items"]
    assert len(noted) == 1, noted
    assert noted[0]["action"]


def test_the_log_is_filtered_by_what_is_asked(house):
    sku = f"log-{uuid4().hex[:6]}"
    house.admin.put(f"/v1/items/{sku}", {"description": "one"})
    house.admin.put(f"/v1/items/{sku}", {"description": "two"})
    (new, old) = house.admin.get(f"/v1/change-log?subject={sku}&action=skus.put").json["items"]
    assert (new["detail"]["description"], old["detail"]["description"]) == ("two", "one")
    at = new["changed_at"]
    path = f"/v1/change-log?subject={sku}"
    assert house.admin.get(f"{path}&since={at}").json["items"] == [new]
    assert house.admin.get(f"{path}&until={at}").json["items"] == [old]
    assert house.admin.get(f"{path}&action=skus.pat").json["items"] == []
    assert house.admin.get("/v1/change-log?since=yesterday").status == 422
