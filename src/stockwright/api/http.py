"""One write per answer: uvicorn hands over an answer's head and its body one after the other.

Each would be a packet of its own, and with small answers the packets are what costs.
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class HttpConnection(HttpToolsProtocol):
    """uvicorn's connection, over a transport that joins an answer's head and body."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there."""
        super().connection_made(cast(asyncio.Transport, OneWrite(transport, self.loop)))


class OneWrite:
    """A transport that keeps a write back for the next one, at most until the event loop comes
    round.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._waiting: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Keeps this back, or sends it with what was kept back."""
        self._waiting.append(data)
        if len(self._waiting) > 1:
            self._send()
        else:
            self._loop.call_soon(self._send)

    def close(self) -> None:
        """Sends what waits, then closes."""
        self._send()
        self._transport.close()

    def _send(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self._transport.write(b"".join(waiting))

    def __getattr__(self, name: str) -> Any:
        """All else is the transport's own."""
        return getattr(self._transport, name)
