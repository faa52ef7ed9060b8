"""The shop's published schemas: requests are validated, answers executed against them.

An answer is right where executing its document over its own data gives that same data: then every
field was asked for, every asked field is there, and each has the type the schema says.
"""

import gzip
import json
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from graphql import (
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    Source,
    VariableNode,
    build_client_schema,
    execute_sync,
    parse,
    validate,
)
from graphql.execution.values import get_variable_values

_HERE = Path(__file__).parents[1] / "schemas"
FOLDER = Path(os.environ.get("STOCKWRIGHT_SCHEMAS", _HERE)) / "shopify"
"""The schemas lie in `tests/schemas`, or where STOCKWRIGHT_SCHEMAS says."""


@lru_cache(maxsize=2)
def schema_of(version: str) -> GraphQLSchema:
    """One version's schema. It breaks a rule about deprecation by itself, so it is not checked."""
    with gzip.open(FOLDER / f"admin_{version}.json.gz") as file:
        return build_client_schema(json.load(file)["data"], assume_valid=True)


def problems(version: str, document: str, variables: Mapping[str, Any]) -> list[str]:
    """What is wrong with a request."""
    schema, parsed = schema_of(version), parse(Source(document))
    found = [error.message for error in validate(schema, parsed)]
    if found:
        return found
    (operation,) = parsed.definitions
    assert isinstance(operation, OperationDefinitionNode)
    coerced = get_variable_values(schema, operation.variable_definitions or (), dict(variables))
    found = [error.message for error in getattr(coerced, "errors", None) or ()]
    if isinstance(coerced, list):
        found = [error.message for error in coerced]
    declared = {one.variable.name.value for one in operation.variable_definitions or ()}
    return found + [f"{name} is not declared" for name in variables if name not in declared]


def executed(
    version: str, document: str, variables: Mapping[str, Any], data: Mapping[str, Any]
) -> tuple[Any, list[str]]:
    """What a server that holds this data would answer, and its errors."""
    result = execute_sync(
        schema_of(version),
        parse(Source(document)),
        root_value=data,
        variable_values=dict(variables),
        field_resolver=lambda source, info, **_arguments: source[info.path.key],
    )
    return result.data, [error.message for error in result.errors or ()]


def cost(document: str, variables: Mapping[str, Any]) -> int:
    """Points of a document by the shop's published rule: one for each object it could bring, two
    for a connection, ten for a change.
    """

    def of(node: Any) -> int:
        if node.selection_set is None:
            return 0
        inside = sum(of(one) for one in node.selection_set.selections)
        if isinstance(node, InlineFragmentNode):
            return inside
        if node.name.value == "pageInfo":
            return 0
        sizes = [one.value for one in node.arguments or () if one.name.value in ("first", "ids")]
        if not sizes:
            # The objects of a connection are counted where their number is said.
            return inside if node.name.value == "nodes" else 1 + inside
        asked = sizes[0]
        many = variables[asked.name.value] if isinstance(asked, VariableNode) else asked.value
        return 2 + (len(many) if isinstance(many, list) else int(many)) * (1 + inside)

    (operation,) = parse(Source(document)).definitions
    assert isinstance(operation, OperationDefinitionNode)
    if operation.operation == OperationType.MUTATION:
        return 10
    return sum(of(one) for one in operation.selection_set.selections)
