"""Schemathesis follows the links of the OpenAPI document through a real server.

Whatever it sends, right or wrong: no answer is a fault of ours, and none is of a status, a type or
a shape that the document does not know. Seeded and bounded: the same run every time.
"""

import contextlib
import json
from collections import Counter
from pathlib import Path
from uuid import uuid4

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import FlakyStrategyDefinition
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

DOCUMENT = json.loads(
    (Path(__file__).parents[2] / "docs" / "reference" / "openapi.json").read_text()
)
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
BOUNDED = settings(
    max_examples=5,
    stateful_step_count=12,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
JOURNEYS = 12


@schemathesis.serializer("text/csv", "application/x-ndjson")
def as_text(_context: object, value: object) -> bytes:
    """Bodies that are no single JSON document: texts as they are."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


@pytest.fixture(scope="module")
def schema(house) -> schemathesis.BaseSchema:
    """The document, bound to the house with a key that may do all."""
    loaded = schemathesis.openapi.from_dict(DOCUMENT)
    loaded.config.update(base_url=house.web.url)
    return loaded


@pytest.fixture(scope="module")
def headers(house) -> dict[str, str]:
    return {"authorization": f"Bearer {house.key('admin').key}"}


@pytest.fixture(scope="module", autouse=True)
def _something_to_find(house) -> None:
    """Items, stock, a work item and a parked payload, so that links have somewhere to lead."""
    for sku in ("A", "B"):
        house.receive(sku, 50)
    house.sql("INSERT INTO work_item (kind, subject) VALUES ('recount', %s)", uuid4().hex)
    fact: dict[str, object] = {
        "kind": "receipt",
        "system": "erp",
        "document": uuid4().hex,
        "item": "unbound",
    }
    fact |= {"quantity": 3, "location": "main"}
    assert house.admin.post("/v1/events", fact).status == 202


OPERATIONS = [
    (path, method, told["operationId"])
    for path, methods in DOCUMENT["paths"].items()
    for method, told in methods.items()
]
# There is nothing to do wrong where nothing can be said.
SAID = [
    (mode, path, method)
    for path, method, _ in OPERATIONS
    for mode in GenerationMode
    if mode.is_positive or DOCUMENT["paths"][path][method].keys() & {"parameters", "requestBody"}
]


def test_every_link_leads_to_an_operation_that_has_its_parameters():
    named = {name: DOCUMENT["paths"][path][method] for path, method, name in OPERATIONS}
    links = [
        (link["operationId"], set(link["parameters"]))
        for told in named.values()
        for answer in told["responses"].values()
        for link in answer.get("links", {}).values()
    ]
    assert len(links) > 30
    for target, parameters in links:
        known = {one["name"] for one in named[target].get("parameters", ())}
        assert parameters <= known, target


def without_waiting(case) -> None:
    """Nothing is gained by waiting for changes or for a worker that does not run here."""
    if "wait_s" in (case.query or {}):
        case.query["wait_s"] = 0
    if isinstance(case.body, dict) and "wait_s" in case.body:
        case.body["wait_s"] = 0


@pytest.mark.parametrize(
    ("mode", "path", "method"), SAID, ids=lambda one: getattr(one, "name", str(one)).lower()
)
def test_whatever_is_sent_to_an_operation_its_answer_is_documented(
    schema, headers, mode, path, method
):
    operation = schema[path][method.upper()]

    @BOUNDED
    @given(operation.as_strategy(generation_mode=mode))
    def send(case) -> None:
        without_waiting(case)
        case.call_and_validate(headers=headers, checks=CHECKS, timeout=20)

    send()


def test_whatever_follows_from_an_answer_is_documented_too(schema, headers):
    """Journeys along the links. The house remembers what happened on earlier ones, so a journey
    cannot be walked twice: what is wrong is noted at once, and told at the end.
    """
    machine = schema.as_state_machine()
    wrong: list[str] = []
    answered: Counter[str] = Counter()

    class Journey(machine):
        def before_call(self, case):
            without_waiting(case)

        def get_call_kwargs(self, _case):
            return {"headers": headers, "timeout": 20}

        def validate_response(self, response, case, **_more):
            if response.status_code < 300:
                answered[case.operation.definition.raw["operationId"]] += 1
            try:
                case.validate_response(response, checks=CHECKS)
            except FailureGroup as failures:
                wrong.append("\n".join(str(one) for one in failures.exceptions))

    for number in range(JOURNEYS):
        with contextlib.suppress(FlakyStrategyDefinition):
            seed(number)(Journey).run(settings=settings(BOUNDED, max_examples=4))
    assert not wrong, "\n\n".join(wrong)
    # It came along: operations answered well, and among them some that need an earlier answer.
    assert len(answered) >= 12, answered
    assert answered.keys() & {"get_work_item", "assign_work_item", "get_payload", "preview_replay"}
