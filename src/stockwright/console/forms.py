"""What people post: small forms, read whole before anything is done."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect, Request

LARGEST_FORM: Final = 262_144
"""Bytes: room for a thousand selected rows."""
MAX_FIELDS: Final = 2_000
RECEIVE_S: Final = 60.0


class Form:
    """The fields of a posted form; what was too large or no text has none."""

    def __init__(self, fields: Mapping[str, Sequence[str]] | None = None) -> None:
        self._fields = fields or {}

    def one(self, name: str) -> str:
        """The last value of a field, '' where it was not sent."""
        values = self._fields.get(name)
        return values[-1] if values else ""

    def all(self, name: str) -> list[str]:
        """Every value of a field."""
        return list(self._fields.get(name, ()))


async def read_form(request: Request) -> Form:
    """The form a request carries; one without fields where it does not come, or not in time."""
    body = bytearray()
    try:
        async with asyncio.timeout(RECEIVE_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > LARGEST_FORM:
                    return Form()
    except (TimeoutError, ClientDisconnect):
        return Form()
    try:
        return Form(
            parse_qs(
                body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS
            )
        )
    except ValueError:
        return Form()
