"""The OpenAPI document: generated from the route table, committed, valid, and true."""

import json
from pathlib import Path

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from stockwright.api import openapi
from stockwright.api.routes import TABLE
from stockwright.store.access import SCOPES

COMMITTED = Path(__file__).parents[2] / "docs" / "reference" / "openapi.json"


def test_the_committed_document_is_what_the_route_table_says():
    assert COMMITTED.read_text() == openapi.text(TABLE), "run: python -m stockwright.api.reference"


def test_the_served_document_is_the_committed_one(house):
    answer = house.admin.get("/v1/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json == json.loads(COMMITTED.read_text())


def test_the_document_is_valid_openapi_3_1():
    OpenAPIV31SpecValidator(json.loads(COMMITTED.read_text())).validate()


def test_every_operation_has_a_name_of_its_own_and_says_what_it_answers():
    assert len({row.name for row in TABLE}) == len(TABLE)
    for row in TABLE:
        assert row.summary.endswith("."), row.name
        assert row.scope in SCOPES or not row.scope
        assert row.answers


def test_every_address_is_there_once_for_each_method():
    places = [(row.method, row.path) for row in TABLE]
    assert len(set(places)) == len(places)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_every_operation_exists_on_the_server(house, row):
    path = row.path.replace("{id}", "1").replace("{transition}", "confirm")
    for part in ("system", "order", "sku", "unit", "channel", "listing", "location", "connection"):
        path = path.replace(f"{{{part}}}", "none")
    path = path.replace("{subject}", "item").replace("{partner_code}", "none")
    path = path.replace("{document}", "none").replace("{line}", "1").replace("{kind}", "transfer")
    answer = house.admin.call(row.method, path)
    assert answer.status not in (405, 500), answer
    # What is there but holds no such code says so in its own words.
    assert b"There is nothing at" not in answer.body


def test_what_a_key_needs_is_in_the_document():
    document = openapi.document(TABLE)
    assert document["paths"]["/v1/events"]["post"]["security"] == [{"key": ["events:write"]}]
    assert document["paths"]["/healthz"]["get"]["security"] == []
