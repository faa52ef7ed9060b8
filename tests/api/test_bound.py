"""A key that is bound to one system touches what is that system's own, on every route."""

import re
from typing import get_args
from uuid import uuid4

import msgspec
import pytest

from stockwright.api.bound import REACH, REACHES, Reach
from stockwright.api.routes import TABLE
from stockwright.console.access import find_visitor
from stockwright.domain.items import Component, Listing, Sku
from stockwright.store.access import SCOPES
from stockwright.store.master import save_one

ALL_BUT_ANY = tuple(scope for scope in SCOPES if scope not in ("admin", "systems:any"))
OTHERS = {"system": "shop", "channel": "web", "location": "main"}
DUE = "2999-01-01T00:00:00Z"
NDJSON = {"content-type": "application/x-ndjson"}


@pytest.fixture(scope="module")
def erp(house):
    """Bound to a system that has no channel and no authority anywhere."""
    return house.client(*ALL_BUT_ANY, system="erp")


@pytest.fixture(scope="module")
def shop(house):
    """Bound to the system that the channel `web` belongs to."""
    return house.client(*ALL_BUT_ANY, system="shop")


def address(row, query=""):
    """The row's address, every part of it another system's."""
    return re.sub(r"{(\w+)}", lambda part: OTHERS.get(part[1], "1"), row.path) + query


def code_of(answer):
    return answer.json["type"].rsplit(":", 1)[1]


def test_every_route_says_what_it_is_to_a_bound_key():
    assert {row.name for row in TABLE} == set(REACH)
    assert set(REACH.values()) == set(get_args(Reach)) == set(REACHES)


def test_a_part_of_an_address_that_is_somebodys_own_is_guarded_or_judged():
    for row in TABLE:
        parts = set(re.findall(r"{(\w+)}", row.path)) & set(OTHERS)
        if parts and row.scope != "admin":
            assert REACH[row.name] in {*parts, "judged", "shared"}, row.name
            assert REACH[row.name] != "shared" or row.method == "GET", row.name


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_a_bound_key_is_kept_from_what_is_not_its_own(erp, row):
    reach = REACH[row.name]
    if reach in ("judged", "shared") or row.scope == "admin":
        answer = erp.call(row.method, address(row), body=b"{}" if row.body else None)
        # Whoever may do all is bound to nothing; judged ones are tried one by one below.
        expected = "forbidden" if row.scope == "admin" else None
        assert answer.status != 403 or code_of(answer) in (expected, "forbidden_system")
        assert reach != "shared" or answer.status != 403
        return
    query = "?system=shop" if reach == "narrowed" else ""
    answer = erp.call(row.method, address(row, query), body=b"{}" if row.body else None)
    assert (answer.status, code_of(answer)) == (403, "forbidden_system"), answer
    assert "bound to the system erp" in answer.json["detail"]
    assert "systems:any" in answer.json["next"]


@pytest.fixture(scope="module")
def both(house):
    """Something of either system in every list."""
    mark = uuid4().hex[:8]
    with house.services.pool.connection() as connection:
        save_one(connection, "skus", Sku(code=mark))
    for system in ("erp", "shop"):
        named = {"system": system, "sku": mark, "quantity": 3}
        receipt = {"kind": "receipt", "document": mark, "location": "main", **named}
        assert house.admin.post("/v1/events", receipt).status == 200
        parked = receipt | {"document": f"{mark}-2", "sku": "", "item": mark}
        assert house.admin.post("/v1/events", parked).status == 202
        line = {"document": mark, "kind": "purchase_order", "location": "main", **named}
        assert house.admin.post("/v1/supply", [line | {"due_at": DUE}]).status == 207
        owed = {"order": mark, "channel": "web", **named}
        assert house.admin.post("/v1/backorders", [owed]).status == 207
        house.sql(
            "INSERT INTO work_item (kind, subject, system) VALUES ('recount', %s, %s)",
            f"{system} {mark}",
            system,
        )
    house.work()


@pytest.mark.parametrize(
    "row", [row for row in TABLE if REACH[row.name] == "narrowed"], ids=lambda row: row.name
)
def test_a_list_is_narrowed_to_the_keys_system(house, both, row):
    def systems(client, query):
        answer = client.get(address(row, query))
        assert answer.status == 200, answer
        told = answer.json.get("items") or answer.json["by"]["system"]
        return {one["system"] if "system" in one else one["value"] for one in told}

    limit = "" if row.name.endswith("facets") else "limit=1000"
    assert systems(house.admin, f"?{limit}") >= {"erp", "shop"}
    bound = house.client(*ALL_BUT_ANY, system="shop")
    assert systems(bound, f"?{limit}") == {"shop"}
    assert systems(bound, f"?system=shop&{limit}") == {"shop"}


def test_of_an_unbound_key_and_of_one_for_any_system_nothing_is_kept(house):
    for client in (
        house.client("work:read"),
        house.client("work:read", "systems:any", system="erp"),
    ):
        assert client.get("/v1/publication/web").status == 200
        assert client.get("/v1/parked?system=shop").status == 200


def test_backorders_are_told_on_own_channels_and_in_their_class(erp, shop, new_sku):
    sku = new_sku()
    owed = {"order": uuid4().hex, "channel": "web", "sku": sku, "quantity": 4}
    (foreign,) = erp.post("/v1/backorders", [owed]).json["items"]
    assert (foreign["status"], foreign["code"]) == (403, "forbidden_system")
    assert (foreign["param"], "bound to the system erp" in foreign["detail"]) == ("channel", True)
    first, later, plain = (
        shop.post("/v1/backorders", [owed | extra]).json["items"][0]
        for extra in ({"demand_class": 0}, {"demand_class": 200}, {})
    )
    assert (first["status"], first["param"]) == (403, "demand_class")
    assert (later["status"], plain["status"]) == (201, 200)


def test_a_reservation_is_asked_for_on_own_channels(house, erp, shop, new_sku):
    sku = new_sku()
    house.receive(sku, 5)
    ask = {"channel": "web", "lines": [{"sku": sku, "quantity": 1}]}
    answer = erp.post("/v1/reservations", ask)
    assert (answer.status, answer.json["param"]) == (403, "channel")
    assert house.free(sku) == 5
    assert shop.post("/v1/reservations", ask).status == 201


def test_the_bytes_of_another_systems_payload_are_not_read(house, erp, shop):
    fact = {"kind": "receipt", "system": "shop", "document": uuid4().hex, "item": uuid4().hex}
    assert shop.post("/v1/events", fact | {"quantity": 1, "location": "main"}).status == 202
    ((payload,),) = house.sql("SELECT max(id) FROM payload WHERE system = 'shop'")
    for path in ("", "/body", "/replay"):
        answer = erp.get(f"/v1/parked/{payload}{path}")
        assert (answer.status, code_of(answer)) == (403, "forbidden_system"), path
        assert shop.get(f"/v1/parked/{payload}{path}").status == 200, path


def test_a_work_item_of_another_system_is_neither_read_nor_closed(house, erp, shop):
    ((item,),) = house.sql(
        "INSERT INTO work_item (kind, subject, system) VALUES ('recount', %s, %s) RETURNING id",
        uuid4().hex,
        "shop",
    )
    path = f"/v1/work-items/{item}"
    assert (erp.get(path).status, shop.get(path).status) == (403, 200)
    for verb, body in (
        ("close", {"why": "I say so"}),
        ("assign", {"assigned_to": "me"}),
        ("reopen", {"why": "I say so"}),
    ):
        assert code_of(erp.post(f"{path}/{verb}", body)) == "forbidden_system"
    found = shop.get(path).json
    assert (found["closed_at"], found["assigned_to"]) == (None, "")
    assert shop.post(f"{path}/close", {"why": "counted"}).status == 200


def test_listings_and_places_are_changed_by_their_own_system(house, erp, shop):
    body = {"components": [{"sku": "A", "quantity": 1}]}
    assert erp.put("/v1/listings/web/L-1", body).status == 403
    assert shop.put("/v1/listings/web/L-1", body).status == 201
    assert shop.put("/v1/locations/second", {"priority": 300}).status == 403
    house.sql(
        "INSERT INTO authority (location, movement_group, valid_from, system) "
        "VALUES ('second', 'count', now(), 'shop')"
    )
    # A key is remembered for seconds, with what its system owns.
    keeper = house.client("master:write", system="shop")
    assert keeper.put("/v1/locations/second", {"priority": 300}).status == 200
    assert keeper.put("/v1/locations/main", {"priority": 300}).status == 403


def test_lists_and_exports_of_listings_and_bindings_show_own_rows_alone(house, erp, shop):
    mark = uuid4().hex[:8]
    with house.services.pool.connection() as connection:
        row = Listing(channel="web", code=mark, components=(Component(sku="A"),))
        save_one(connection, "listings", row)
    house.admin.put(f"/v1/bindings/shop/item/{mark}", {"code": "A"})
    for path in (
        "/v1/listings?limit=1000",
        "/v1/bindings?limit=1000",
        "/v1/export",
        "/v1/export/listings",
    ):
        assert mark in shop.get(path).body.decode(), path
        assert mark not in erp.get(path).body.decode(), path
    assert '"code":"A"' in erp.get("/v1/export/skus").body.decode()


def test_an_import_keeps_own_rows_and_refuses_the_others_one_by_one(house, shop):
    mark = uuid4().hex[:8]
    listing = {"channel": "web", "code": mark, "components": [{"sku": "A"}]}
    binding = {"system": "erp", "subject": "item", "partner_code": mark, "code": "A"}
    rows = {"skus": {"code": mark}, "locations": {"code": mark}}
    rows |= {"listings": listing, "bindings": binding}
    lines = b"\n".join(msgspec.json.encode({"kind": kind, **row}) for kind, row in rows.items())
    answer = shop.call("POST", "/v1/import", lines, NDJSON)
    kept = {one["kind"]: (one["new"], one["refused"]) for one in answer.json["reports"]}
    assert kept == {"skus": (0, 1), "locations": (0, 1), "listings": (1, 0), "bindings": (0, 1)}
    reasons = [one["first_refusals"] for one in answer.json["reports"]]
    assert all("bound to the system shop" in one[0]["reason"] for one in reasons if one)


def test_availability_and_promises_are_of_own_channels(house, erp, shop, new_sku):
    sku = new_sku()
    house.receive(sku, 5)
    ask = {"skus": [sku]}
    for client, channels in ((erp, []), (shop, ["web"])):
        (found,) = client.post("/v1/availability", ask).json["items"]
        assert (found["on_hand"], [one["channel"] for one in found.get("channels", [])]) == (
            5,
            channels,
        )
    assert erp.post("/v1/availability", ask | {"channel": "web"}).status == 403
    assert shop.post("/v1/availability", ask | {"channel": "web"}).status == 200
    assert erp.get(f"/v1/promise?sku={sku}&channel=web").status == 403
    assert shop.get(f"/v1/promise?sku={sku}&channel=web").status == 200


def test_publication_and_connections_are_listed_as_far_as_they_are_own(erp, shop):
    for client, channels in ((erp, []), (shop, ["web"])):
        found = client.get("/v1/publication").json["items"]
        assert [one["channel"] for one in found] == channels
    assert shop.get("/v1/publication/web").status == 200
    named = {one["system"] for one in shop.get("/v1/connections").json["items"]}
    assert named <= {"shop"}


def test_the_consoles_pages_are_not_for_bound_keys(house):
    with house.services.pool.connection() as connection:
        for system, there in (("", True), ("erp", False)):
            key = house.key("console", system=system).key
            found = find_visitor(connection, "", f"Bearer {key}", touch=False)
            assert (found is not None) == there
