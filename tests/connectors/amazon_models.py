"""Amazon's published models: requests and answers are held to them, their sandbox pairs replayed.

The models are Swagger 2.0, whose schemas are JSON Schema draft 4.
"""

import json
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from jsonschema import Draft4Validator, Draft7Validator

from stockwright.connectors.amazon.plans import GET_ORDER_2026
from stockwright.sdk.hostile import Faults
from stockwright.sdk.transports import Http, HttpRequest, HttpResponse

_HERE = Path(__file__).parents[1] / "schemas"
FOLDER = Path(os.environ.get("STOCKWRIGHT_SCHEMAS", _HERE)) / "amazon-sp-api"
"""The schemas lie in `tests/schemas`, or where STOCKWRIGHT_SCHEMAS says."""
MODELS = ("listingsItems_2021-08-01", "feeds_2021-06-30", "ordersV0", "orders_2026-01-01")


class Operation(NamedTuple):
    name: str
    method: str
    path: re.Pattern[str]
    told: dict[str, Any]
    model: dict[str, Any]


class Pair(NamedTuple):
    """One request of the partner's own sandbox with its answer."""

    operation: str
    status: int
    parameters: dict[str, Any]
    answer: Any


@cache
def operations() -> tuple[Operation, ...]:
    found = []
    for name in MODELS:
        model = json.loads((FOLDER / "models" / f"{name}.json").read_bytes())
        for path, methods in model["paths"].items():
            shape = re.compile(re.sub(r"\\{[^}]+\\}", "([^/]+)", re.escape(path)))
            for method, told in methods.items():
                if method != "parameters":
                    named = name_of(name, told["operationId"])
                    found.append(Operation(named, method.upper(), shape, told, model))
    return tuple(found)


def name_of(model: str, operation: str) -> str:
    """Two models have an operation of one name: that of the newer one says so here."""
    newer = (model, operation) == ("orders_2026-01-01", "getOrder")
    return GET_ORDER_2026 if newer else operation


def pairs(*names: str) -> Iterator[Pair]:
    """The static pairs of these operations."""
    for operation in operations():
        if operation.name not in names:
            continue
        for status, response in operation.told["responses"].items():
            for pair in response.get("x-amzn-api-sandbox", {}).get("static", []):
                parameters = pair["request"]["parameters"]
                given = {name: value.get("value") for name, value in parameters.items()}
                yield Pair(operation.name, int(status), given, pair.get("response"))


def operation_of(method: str, url: str) -> Operation | None:
    path = urlsplit(url).path
    for operation in operations():
        if operation.method == method and operation.path.fullmatch(path):
            return operation
    return None


def problems_of_request(operation: Operation, url: str, body: bytes) -> list[str]:
    """What the model finds wrong with a request: parameters nobody knows, values, the body."""
    found = []
    declared = {one["name"]: one for one in operation.told["parameters"] if "name" in one}
    query = dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
    for name, text in query.items():
        told = declared.get(name)
        if told is None or told["in"] != "query":
            found.append(f"{operation.name}: no parameter {name}")
        else:
            found += _problems_of_value(name, text, told)
    for name, told in declared.items():
        if told["in"] == "query" and told.get("required") and name not in query:
            found.append(f"{operation.name}: {name} is missing")
        if told["in"] == "body":
            given = json.loads(body) if body else {}
            found += _problems(operation.model, told["schema"], given)
    return found


def _problems_of_value(name: str, text: str, told: dict[str, Any]) -> list[str]:
    if told["type"] == "array":
        values = text.split(",")
        most = told.get("maxItems", len(values))
        allowed = told["items"].get("enum")
        wrong = [value for value in values if allowed and value not in allowed]
        return [f"{name}: {value}" for value in wrong] + [f"{name}: > {most}"][: len(values) > most]
    if told["type"] == "integer":
        low, high = told.get("minimum", 0), told.get("maximum", 10**9)
        return [] if text.isdigit() and low <= int(text) <= high else [f"{name}: {text}"]
    return [] if text in told.get("enum", [text]) else [f"{name}: {text}"]


def problems_of_answer(operation: Operation, response: HttpResponse) -> list[str]:
    told = operation.told["responses"].get(str(response.status))
    if told is None:
        return [f"{operation.name} never answers {response.status}"]
    if "schema" not in told:
        return [f"{operation.name}: a body"] if response.body else []
    return _problems(operation.model, told["schema"], json.loads(response.body))


def _problems(model: dict[str, Any], schema: dict[str, Any], value: Any) -> list[str]:
    whole = {**schema, "definitions": model["definitions"]}
    return [error.message for error in Draft4Validator(whole).iter_errors(value)]


@cache
def _draft7(path: str) -> Draft7Validator:
    return Draft7Validator(json.loads((FOLDER / path).read_bytes()))


def problems_of(path: str, value: Any) -> list[str]:
    """What a JSON Schema of the folder finds wrong."""
    return [error.message for error in _draft7(path).iter_errors(value)]


class Judged(Http):
    """The real network; every call to the API is held to its model, both ways.

    An answer that the sandbox was told to spoil is nobody's to judge.
    """

    def __init__(self, faults: Faults) -> None:
        super().__init__()
        self._faults = faults
        self.seen: list[str] = []
        self.problems: list[str] = []

    async def send(self, request: HttpRequest) -> HttpResponse:
        spoilt = len(self._faults.spoilt)
        response = await super().send(request)
        operation = operation_of(request.method, request.url)
        if operation is not None:
            self.seen.append(operation.name)
            self.problems += problems_of_request(operation, request.url, request.body)
            if len(self._faults.spoilt) == spoilt:
                self.problems += problems_of_answer(operation, response)
        elif "/store/" not in request.url and not request.url.endswith("/auth/o2/token"):
            self.problems.append(f"no operation {request.method} {unquote(request.url)}")
        return response
