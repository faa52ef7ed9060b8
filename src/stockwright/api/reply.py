"""What a call is answered with."""

from typing import Any, Final, TypeAlias

import msgspec

JSON: Final = b"application/json"
encode_json: Final = msgspec.json.Encoder().encode
Header: TypeAlias = tuple[bytes, bytes]


class Reply:
    """Status, bytes and their type, extra headers."""

    __slots__ = ("body", "content_type", "headers", "status")

    def __init__(
        self,
        status: int,
        body: bytes = b"",
        content_type: bytes = JSON,
        headers: tuple[Header, ...] = (),
    ) -> None:
        self.status = status
        self.body = body
        self.content_type = content_type
        self.headers = headers


def reply(value: Any, status: int = 200, headers: tuple[Header, ...] = ()) -> Reply:
    """A JSON answer."""
    return Reply(status, encode_json(value), JSON, headers)
