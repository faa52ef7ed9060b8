"""One client's connection, spoken in HTTP/1.1: its bytes become calls of the ASGI application.

uvicorn accepts connections, counts them and drains them; this is what it lets speak. It does what
this server needs and no more: a reservation's way through HTTP costs half of what a general one
does. httptools reads what the client sends, and refuses what is no HTTP.
"""

import asyncio
from collections import deque
from typing import Any, Final, cast

import httptools
from uvicorn.config import Config
from uvicorn.server import ServerState

from stockwright.api.exchange import Exchange, address, scope_of

MAX_HEAD_BYTES: Final = 64 * 1024
"""Of a request's line and headers, and of whatever else is no body: trailers, chunk extensions."""
MAX_WAITING_BYTES: Final = 64 * 1024
"""Of a body that the application has not asked for yet: then we rest from reading."""
STALLED_S: Final = 60.0
"""A client that takes nothing of its answer for so long is let go."""
_LOOK_S: Final = 5.0
_REFUSALS: Final = {
    400: (b"400 Bad Request", b"Invalid HTTP request received."),
    431: (b"431 Request Header Fields Too Large", b"The head of the request is too large."),
}


class HttpConnection(asyncio.Protocol):
    """A connection that stays open between requests; those sent ahead wait for their turn."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.loop = _loop or asyncio.get_running_loop()
        self.blocked: asyncio.Future[None] | None = None
        self.closing = False
        self._app = config.loaded_app
        self._quiet_s = float(config.timeout_keep_alive)
        self._open = cast("set[HttpConnection]", server_state.connections)
        self._tasks = server_state.tasks
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._waiting: deque[Exchange] = deque()
        self._reading: Exchange | None = None
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._expects = False
        self._dry = 0  # bytes since the last that became part of a request
        self._refusal = 400
        self.resting = False
        self._since = 0.0
        self._unsent = 0

    # ------------------------------------------------------------ from the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = cast("asyncio.Transport", transport)
        self._open.add(self)
        self._ends = (address(transport, "sockname"), address(transport, "peername"))
        self._since = self.loop.time()
        self._timer = self.loop.call_later(_LOOK_S, self._look)

    def data_received(self, data: bytes) -> None:
        """Bytes came; the requests they complete are begun."""
        if self._parser is None:
            return
        if not self._dry and self._reading is None:
            self._since = self.loop.time()
        self._dry += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # Answered as if nothing else had been proposed, then closed.
            self._read_no_more()
        except httptools.HttpParserError:
            self._refuse()
        else:
            if self._dry > MAX_HEAD_BYTES:
                self._refusal = 431
                self._refuse()

    def connection_lost(self, _error: Exception | None) -> None:
        """The client is gone; what is under way is told so, and ends by itself."""
        self._timer.cancel()
        self._open.discard(self)
        self._parser = self._reading = None
        for exchange in self._waiting:
            exchange.lose()
        self.resume_writing()

    def pause_writing(self) -> None:
        """The client takes less than it is sent."""
        self.blocked = self.loop.create_future()

    def resume_writing(self) -> None:
        """It has caught up."""
        blocked, self.blocked = self.blocked, None
        if blocked is not None:
            blocked.set_result(None)

    def shutdown(self) -> None:
        """From uvicorn: the process ends, and so does this after the requests it has begun."""
        self.closing = True
        if not self._waiting:
            self._transport.close()

    def _look(self) -> None:
        """Closes what has been quiet for too long, or does not take its answer."""
        now, unsent = self.loop.time(), self._transport.get_write_buffer_size()
        if unsent != self._unsent:
            self._unsent, self._since = unsent, now
        if unsent and now - self._since > STALLED_S:
            self._transport.abort()
            return
        if not self._waiting and now - self._since > self._quiet_s:
            self._transport.close()
        self._timer = self.loop.call_later(_LOOK_S, self._look)

    # ------------------------------------------------------------ from the parser

    def on_url(self, url: bytes) -> None:
        """A piece of the request's address."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; what comes after a body is left out."""
        if self._reading is None:
            name = name.lower()
            if name == b"expect":
                self._expects = value.lower() == b"100-continue"
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """A request has begun; the application starts on it unless others come first."""
        parser = self._parser
        assert parser is not None
        if self._dry > MAX_HEAD_BYTES:
            self._check_head()
        version = parser.get_http_version()
        exchange = Exchange(
            self,
            scope_of(parser.get_method(), self._url, version, self._headers, self._ends),
            keep=version == "1.1" and parser.should_keep_alive(),
            expects=self._expects,
        )
        self._dry, self._url, self._headers, self._expects = 0, b"", [], False
        self._reading = exchange
        self._waiting.append(exchange)
        if len(self._waiting) == 1:
            self._start(exchange)
        else:
            self.balance()

    def on_body(self, body: bytes) -> None:
        """A piece of the body of the request being read."""
        self._dry = 0
        assert self._reading is not None
        self._reading.more(body)
        if self._reading.size > MAX_WAITING_BYTES:
            self.balance()

    def on_message_complete(self) -> None:
        """The end of the request being read."""
        self._dry = 0
        assert self._reading is not None
        self._reading.end()
        self._reading = None

    def _check_head(self) -> None:
        size = sum(len(name) + len(value) + 4 for name, value in self._headers) + len(self._url)
        if size > MAX_HEAD_BYTES:
            self._refusal = 431
            raise ValueError("the head is too large")

    # ------------------------------------------------------------ exchanges

    def _start(self, exchange: Exchange) -> None:
        exchange.task = self.loop.create_task(exchange.run(self._app))
        self._tasks.add(exchange.task)

    def write(self, data: bytes) -> None:
        """Sends bytes; those the client does not take yet wait in memory."""
        self._transport.write(data)

    def balance(self) -> None:
        """Reads on unless a request waits for its turn, or much of a body for being asked for."""
        reading = self._reading
        rest = len(self._waiting) > 1 or (
            reading is not None and reading.size > MAX_WAITING_BYTES and not reading.answered
        )
        if rest != self.resting and not self._transport.is_closing():
            self.resting = rest
            (self._transport.pause_reading if rest else self._transport.resume_reading)()

    def ended(self, exchange: Exchange) -> None:
        """The application has returned: the next request's turn, or the end."""
        assert exchange.task is not None
        self._tasks.discard(exchange.task)
        if self._parser is None and self._transport.is_closing():
            return
        self._waiting.popleft()
        self._since = self.loop.time()
        if not exchange.keep or (not self._waiting and (self.closing or self._parser is None)):
            self._transport.close()
            return
        if self._waiting:
            self._start(self._waiting[0])
        if self.resting:
            self.balance()

    def _refuse(self) -> None:
        """What came is no HTTP: said so unless an answer is due or given, then closed."""
        if not self._waiting and self._reading is None:
            status, text = _REFUSALS[self._refusal]
            self.write(
                b"HTTP/1.1 %b\r\ncontent-type: text/plain; charset=utf-8\r\n"
                b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (status, len(text), text)
            )
        self._read_no_more()

    def _read_no_more(self) -> None:
        self._parser = None
        if self._reading is not None:
            self._reading.cut()
        if self._waiting:
            self._waiting[-1].keep = False
        else:
            self._transport.close()
