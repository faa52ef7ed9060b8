"""What a call is answered with."""

from collections.abc import AsyncGenerator
from typing import Any, Final, TypeAlias

import msgspec

JSON: Final = b"application/json"
encode_json: Final = msgspec.json.Encoder().encode
Header: TypeAlias = tuple[bytes, bytes]


class Reply:
    """Status, bytes and their type, extra headers; how many items it answers, and how many of them
    with no, where it says so itself.
    """

    __slots__ = ("body", "content_type", "headers", "items", "refused", "status")

    def __init__(
        self,
        status: int,
        body: bytes = b"",
        content_type: bytes = JSON,
        headers: tuple[Header, ...] = (),
        *,
        items: int = 0,
        refused: int = 0,
    ) -> None:
        self.status = status
        self.body = body
        self.content_type = content_type
        self.headers = headers
        self.items = items
        self.refused = refused


class Stream(Reply):
    """An answer whose body comes in parts, each sent as soon as it is there.

    The parts' generator is closed when all are sent, and as soon as the client is gone. A fault
    before the first part is answered as a problem; after it the connection breaks off, so that
    nobody takes half for all. An endless one goes on for as long as the client listens.
    """

    __slots__ = ("_first", "_parts", "endless")

    def __init__(
        self,
        parts: AsyncGenerator[bytes, None],
        content_type: bytes,
        headers: tuple[Header, ...] = (),
        *,
        endless: bool = False,
    ) -> None:
        super().__init__(200, b"", content_type, headers)
        self.endless = endless
        self._parts = parts
        self._first: bytes | None = None

    async def begin(self) -> None:
        """Makes the first part, and raises what that raises."""
        self._first = await anext(self._parts, None)

    async def rest(self) -> AsyncGenerator[bytes, None]:
        """All parts in order, after `begin`."""
        if self._first is not None:
            yield self._first
            async for part in self._parts:
                yield part

    async def close(self) -> None:
        """Ends the parts' generator. Safe to repeat."""
        await self._parts.aclose()


def reply(value: Any, status: int = 200, headers: tuple[Header, ...] = ()) -> Reply:
    """A JSON answer."""
    return Reply(status, encode_json(value), JSON, headers)
