"""One write per answer: uvicorn hands over an answer's head and its body one after the other.

Each would be a packet of its own, and with small answers the packets are what costs. And who
connects has to ask for something in time: a process has only so many sockets.
"""

import asyncio
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_S: Final = 30.0
"""Seconds in which the head of a request has to come."""


class HttpConnection(HttpToolsProtocol):
    """uvicorn's connection, over a transport that joins an answer's head and body."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there."""
        super().connection_made(cast(asyncio.Transport, OneWrite(transport, self.loop)))
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes came, which end the rest between two requests: a head has to follow."""
        super().data_received(data)
        answered = getattr(self.cycle, "response_complete", False)  # no cycle: nothing asked yet
        if answered and self._late is None:
            self._await_head()

    def on_message_begin(self) -> None:
        """The first byte of a request came."""
        self._await_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head of a request is there."""
        self._stop_waiting()
        super().on_headers_complete()

    def _await_head(self) -> None:
        self._stop_waiting()
        self._late = self.loop.call_later(HEAD_S, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


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
