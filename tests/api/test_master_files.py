"""The item master out and in again over HTTP: nothing is lost, and nothing changes."""

from decimal import Decimal

import pytest

from stockwright.domain.items import Component, Kit, Listing, Sku, Unit
from stockwright.domain.network import Location
from stockwright.store import master
from stockwright.store.kinds import KINDS

NDJSON = {"content-type": "application/x-ndjson"}
CSV = {"content-type": "text/csv"}


@pytest.fixture(scope="module", autouse=True)
def stocked(house):
    """Something of every kind, with what is hard to write: quotes, separators, lines."""
    with house.services.pool.connection() as connection:
        skus = [
            Sku(
                code="f-1",
                description='Tea, "green"\nloose',
                unit_cost=Decimal("0.80"),
                currency="EUR",
            ),
            Sku(code="f;2", sku_group="G", control="lot", active=False),
        ]
        master.save(connection, "skus", skus)
        master.save(connection, "units", [Unit(sku="f-1", code="CASE", factor=12)])
        parts = (Component(sku="f-1", quantity=2), Component(sku="f;2", quantity=1))
        master.save(connection, "kits", [Kit(sku="A", components=parts)])
        master.save(
            connection,
            "listings",
            [Listing(channel="web", code="duo", components=parts, active=False)],
        )
        master.save(
            connection,
            "locations",
            [Location(code="far", name="Far, away", time_zone="Europe/Berlin", groups=("N", "S"))],
        )
        master.bind(connection, "erp", "item", "000f", "f-1", "CASE")


def everything(house):
    with house.services.pool.connection() as connection:
        return {kind: list(master.iterate(connection, kind)) for kind in KINDS}


def forget(house) -> None:
    house.sql(
        "truncate binding, kit, listing_component, listing, unit, sku, location_group cascade"
    )
    house.sql("update location set name = '', time_zone = 'UTC', priority = 7")


@pytest.mark.parametrize("form", ["application/x-ndjson", "text/csv"])
def test_the_whole_master_goes_out_and_comes_in_again(house, form):
    before = everything(house)
    assert all(before.values())
    files = {}
    for kind in KINDS:
        answer = house.admin.get(f"/v1/master/{kind}", headers={"accept": form})
        assert answer.status == 200, answer
        assert answer.headers["content-type"].startswith(form)
        files[kind] = answer.body
    forget(house)
    assert everything(house) != before
    order = ("skus", "units", "locations", "kits", "listings", "bindings")
    for again in (False, True):
        for kind in order:
            answer = house.admin.call(
                "POST", f"/v1/master/{kind}", files[kind], {"content-type": form}
            )
            assert answer.status == 200, answer
            assert answer.json["refused"] == 0, answer.json
            assert not again or answer.json["unchanged"] == answer.json["rows"]
    assert everything(house) == before


def test_a_bad_line_is_refused_by_number_and_field_and_hides_no_other(house):
    lines = [
        b'{"code":"good-1"}',
        b'{"code":"bad-1","unit_cost":"-1"}',
        b'{"code":"bad-2","colour":"red"}',
        b"not json",
        b'{"description":"no code"}',
        b"",
        b'{"code":"good-2"}',
    ]
    answer = house.admin.call("POST", "/v1/master/skus", b"\n".join(lines), NDJSON)
    assert (answer.status, answer.json["new"], answer.json["refused"]) == (200, 2, 4)
    told = [(one["line"], one["field"]) for one in answer.json["first_refusals"]]
    assert told == [(2, "unit_cost"), (3, "colour"), (4, "row"), (5, "code")]


def test_a_location_cannot_bring_its_authorities_or_a_zone_that_does_not_exist(house):
    lines = b'{"code":"l1","authority":[]}\n{"code":"l2","time_zone":"Europe/Berln"}\n'
    answer = house.admin.call("POST", "/v1/master/locations", lines, NDJSON)
    told = [(one["line"], one["field"]) for one in answer.json["first_refusals"]]
    assert told == [(1, "authority"), (2, "time_zone")]


def test_a_file_that_is_useless_as_a_whole_is_a_problem(house):
    assert house.admin.call("POST", "/v1/master/skus", b"cod\n1\n", CSV).status == 422
    assert house.admin.call("POST", "/v1/master/nothing", b"", CSV).status == 404
    assert house.admin.get("/v1/master/nothing").status == 404
    json = {"content-type": "application/json"}
    assert house.admin.call("POST", "/v1/master/skus", b"{}", json).status == 415


def test_a_key_of_one_system_cannot_bring_bindings_of_others(house):
    bound = house.client("master:write", system="shop")
    body = b'{"system":"erp","partner_code":"x","code":"A"}'
    answer = bound.call("POST", "/v1/master/bindings", body, NDJSON)
    assert answer.status == 403
    assert answer.json["type"].endswith("forbidden_system")


def test_reading_and_writing_need_their_scopes(house):
    assert house.client("stock:read").get("/v1/master/skus").status == 403
    reader = house.client("master:read")
    assert reader.call("POST", "/v1/master/skus", b"", CSV).status == 403
