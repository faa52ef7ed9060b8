"""OpenAPI 3.1, generated from the route table: what is served is what is documented."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, get_origin

import msgspec

from stockwright import __version__
from stockwright.api.bound import REACH
from stockwright.api.operations import Operation
from stockwright.api.problems import KINDS, Problem
from stockwright.store.access import SCOPES
from stockwright.store.history import MAX_REASON

_REFERENCE: Final = "#/components/schemas/{name}"
_PARAMETER: Final = re.compile(r"{(\w+)}")
_ALWAYS: Final = ("busy", "internal", "unavailable")
_WITH_KEY: Final = ("no_key", "wrong_key", "forbidden")
_WITH_BYTES: Final = ("too_slow", "too_large", "bad_encoding", "unsupported_media_type")
_WITH_BODY: Final = ("bad_json", "too_slow", "too_large", "unsupported_media_type", "malformed")

DESCRIPTION: Final = """\
Stockwright keeps one true stock position across every system that holds or sells goods.

Every problem is `application/problem+json` (RFC 9457): `type` is stable, `param` names the field at
fault, `next` says what to do. Calls with many items answer 207 with one result per item, in order.
Lists are paged by cursor: pass `next_cursor` on until it is null.
"""


def document(table: Sequence[Operation]) -> dict[str, Any]:
    """The OpenAPI document of a route table."""
    schemas, components = _schemas(table)
    paths: dict[str, dict[str, Any]] = {}
    for row in table:
        paths.setdefault(row.path, {})[row.method.lower()] = _operation(row, schemas, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Stockwright",
            "version": __version__,
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components.items())),
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key (`stockwright key create`). Scopes: "
                    + "; ".join(f"`{scope}`: {allows}" for scope, allows in SCOPES.items()),
                }
            },
        },
    }


def _types_of(table: Sequence[Operation]) -> list[Any]:
    types: list[Any] = [Problem]
    for row in table:
        for kind in (row.body, row.query, *row.answers.values(), *row.produces.values()):
            if kind is not None and kind is not bytes and kind not in types:
                types.append(kind)
    return types


def _schemas(table: Sequence[Operation]) -> tuple[dict[Any, Any], dict[str, Any]]:
    """The schema of each type, and the components they refer to."""
    types = _types_of(table)
    found, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    return dict(zip(types, found, strict=True)), components


def _operation(
    row: Operation, schemas: Mapping[Any, Any], components: Mapping[str, Any]
) -> dict[str, Any]:
    told: dict[str, Any] = {
        "operationId": row.name,
        "tags": [row.tag],
        "summary": row.summary,
        "parameters": _parameters(row, schemas, components),
        "responses": _responses(row, schemas),
        "security": [{"key": [row.scope]}] if row.scope else [],
    }
    if row.body is not None:
        body = _TEXT if row.body is bytes else schemas[row.body]
        content = {media: {"schema": body} for media in row.media}
        told["requestBody"] = {"required": True, "content": content}
    if not told["parameters"]:
        del told["parameters"]
    return told


def _parameters(
    row: Operation, schemas: Mapping[Any, Any], components: Mapping[str, Any]
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(row.path)
    ]
    if row.query is not None:
        schema = components[schemas[row.query]["$ref"].rpartition("/")[2]]
        required = schema.get("required", ())
        found += [
            {"name": name, "in": "query", "required": name in required, "schema": field}
            for name, field in schema["properties"].items()
        ]
    if row.reasoned:
        about = "Why; it is kept with the revision that the change makes."
        schema = {"type": "string", "maxLength": MAX_REASON}
        found.append(
            {"name": "Change-Reason", "in": "header", "description": about, "schema": schema}
        )
    if row.stored or row.own_key:
        about = (
            "The first answer is kept for a week and given again."
            if row.stored
            else "Becomes the `document` where the body names none."
        )
        schema = {"type": "string", "minLength": 1, "maxLength": 128}
        found.append(
            {"name": "Idempotency-Key", "in": "header", "description": about, "schema": schema}
        )
    return found


def _responses(row: Operation, schemas: Mapping[Any, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, kind in row.answers.items():
        told: dict[str, Any] = {"description": _PHRASES[status]}
        content = {} if kind is None else {"application/json": {"schema": schemas[kind]}}
        if status == 200:
            content |= {media: _part(media, part, schemas) for media, part in row.produces.items()}
        if content:
            told["content"] = content
        links = _links(row, kind)
        if links:
            told["links"] = links
        responses[str(status)] = told
    codes = [*row.problems, *(_WITH_KEY if row.scope else ())]
    codes += ["forbidden_system"] if row.scope and REACH.get(row.name) != "shared" else []
    codes += [*_with_body(row), *_ALWAYS]
    codes += ["malformed"] if row.stored or row.own_key else []
    codes += ["key_reused", "in_progress"] if row.stored else []
    codes += ["malformed", "bad_path"] if row.query is not None else []
    codes += ["bad_path"] if "{" in row.path else []
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys(codes):
        by_status.setdefault(KINDS[code].status, []).append(code)
    for status, of_status in sorted(by_status.items()):
        responses[str(status)] = {
            "description": "; ".join(f"`{code}`: {KINDS[code].title}" for code in of_status),
            "content": {"application/problem+json": {"schema": schemas[Problem]}},
        }
    return responses


def _links(row: Operation, kind: Any) -> dict[str, Any]:
    """What may be asked next; of a page, the next one."""
    links = {
        link.to: {"operationId": link.to, "parameters": dict(link.parameters)} for link in row.links
    }
    paged = row.query is not None and "cursor" in row.query.__struct_fields__
    fields = getattr(get_origin(kind) or kind, "__struct_fields__", ())
    name = next((field for field in ("next_cursor", "cursor") if field in fields), "")
    if paged and name:
        cursor = f"$response.body#/{name}"
        links[row.name] = {"operationId": row.name, "parameters": {"cursor": cursor}}
    return links


def _part(media: str, kind: Any, schemas: Mapping[Any, Any]) -> dict[str, Any]:
    """The schema of a body that is no single JSON document; its lines are described beside it."""
    if kind is None:
        return {"schema": _TEXT}
    return {"schema": _TEXT, "x-line-schema": schemas[kind]}


_TEXT: Final = {"type": "string"}


def _with_body(row: Operation) -> tuple[str, ...]:
    if row.body is None:
        return ()
    return _WITH_BYTES if row.body is bytes else _WITH_BODY


_PHRASES: Final = {
    200: "answered",
    201: "granted, or made",
    202: "kept; what follows is said in the body",
    204: "done",
    207: "one result for each item, in order",
}


def text(table: Sequence[Operation]) -> str:
    """The document as it is committed."""
    return msgspec.json.format(msgspec.json.encode(document(table)), indent=2).decode() + "\n"
