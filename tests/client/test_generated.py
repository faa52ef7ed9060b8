"""The client is what the route table says: every operation has its method, every type its like."""

import inspect
from typing import Any

import msgspec
import pytest

from stockwright import client
from stockwright.api.client_source import CLIENT, SOURCES, formatted
from stockwright.api.client_types import Types
from stockwright.api.routes import TABLE
from stockwright.client import types
from stockwright.client.blocking import BlockingClient
from stockwright.client.client import Client

LIMITS = frozenset(
    {
        *("description", "title", "pattern", "default", "required", "format"),
        *("minLength", "maxLength", "minItems", "maxItems", "minimum", "maximum"),
        *("exclusiveMinimum", "exclusiveMaximum", "additionalProperties", "propertyNames"),
    }
)
"""What a schema says beyond the shape: the server checks it, and the client need not repeat it."""


@pytest.mark.parametrize("name", SOURCES)
def test_the_committed_files_are_what_the_route_table_says(name):
    text = (CLIENT / name).read_text()
    assert text == formatted(SOURCES[name](TABLE)), "run: python -m stockwright.api.client_source"


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
@pytest.mark.parametrize("kind", [Client, BlockingClient])
def test_every_operation_is_a_method(kind, row):
    method = getattr(kind, row.name)
    assert inspect.iscoroutinefunction(method) == (kind is Client)
    assert inspect.getdoc(method).split() == row.summary.split()
    told = inspect.signature(method).parameters
    for part in (piece[1:-1] for piece in row.path.split("/") if piece.startswith("{")):
        assert part in told or (part == "id" and "number" in told)
    assert ("body" in told) == (row.body is not None)
    if row.query is not None:
        assert set(row.query.__struct_fields__) <= set(told)
    assert ("idempotency_key" in told) == (row.stored or row.own_key)
    assert ("change_reason" in told) == row.reasoned


def shape(kind: Any) -> Any:
    """The JSON schema of a type as far as it tells the shape, references followed by name."""
    (schema,), components = msgspec.json.schema_components([kind])
    return bare({"schema": schema, "components": components})


def bare(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {name: bare(value) for name, value in schema.items() if name not in LIMITS}
    if isinstance(schema, list):
        return sorted((bare(value) for value in schema), key=repr)
    return schema


def own_types() -> dict[str, type]:
    found = Types()
    for row in TABLE:
        for kind in (row.body, *row.answers.values(), *row.produces.values()):
            if kind is not None and kind is not bytes:
                found.name(kind)
    return {name: kind for name, kind in found.own.items() if name != "Page"}


@pytest.mark.parametrize("name", own_types())
def test_every_type_has_the_shape_of_the_servers(name):
    assert shape(getattr(types, name)) == shape(own_types()[name])


def test_what_is_left_out_of_a_body_has_the_servers_default():
    """The client sends no defaults; so they must be the same on both sides."""
    for name, theirs in own_types().items():
        for ours, field in zip(
            msgspec.structs.fields(getattr(types, name)),
            msgspec.structs.fields(theirs),
            strict=True,
        ):
            assert ours.name == field.name
            assert ours.required == field.required, (name, field.name)
            if not isinstance(field.default, (tuple, list)):
                assert ours.default == field.default or not field.default, (name, field.name)


def test_the_client_needs_nothing_of_the_server():
    """Also at run time: a program that only calls the API loads none of its floors."""
    import subprocess
    import sys

    code = (
        "import sys, stockwright.client; "
        "print([n for n in sys.modules if n.startswith('stockwright.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for floor in ("store", "flow", "app", "api", "sdk", "config"):
        assert f"stockwright.{floor}" not in done.stdout
    assert "psycopg" not in done.stdout


def test_what_the_package_offers_is_there():
    assert all(hasattr(client, name) for name in client.__all__)
