"""The forms a WooCommerce shop answers in: pages, objects, errors."""

from collections.abc import Sequence
from typing import Any

import msgspec
from aiohttp import web


def page_of(request: web.Request, rows: Sequence[dict[str, Any]]) -> web.Response:
    """The page of rows that a request asks for."""
    size, page = int(request.query.get("per_page", "10")), int(request.query.get("page", "1"))
    return answer(rows[(page - 1) * size : page * size])


def answer(found: Any, status: int = 200) -> web.Response:
    """An object, or a list of them."""
    body = msgspec.json.encode(found)
    return web.Response(body=body, status=status, content_type="application/json")


def error(status: int, code: str, message: str) -> web.Response:
    """A refusal of the whole call."""
    return answer({"code": code, "message": message, "data": {"status": status}}, status)


def failed(number: int, code: str, message: str) -> dict[str, Any]:
    """A refusal of one object of a batch."""
    return {"id": number, "error": {"code": code, "message": message, "data": {"status": 400}}}
