"""One request and its answer, between the bytes of a connection and the ASGI application."""

import asyncio
import http
import time
import urllib.parse
from email.utils import formatdate
from typing import Final, Protocol, TypeAlias

import httptools
import structlog
from starlette.types import ASGIApp, Message, Scope

_STATUS: Final = {int(s): f"HTTP/1.1 {s} {s.phrase}".encode() for s in http.HTTPStatus}
Address: TypeAlias = tuple[str, int] | None
_GONE: Final[Message] = {"type": "http.disconnect"}
_BODILESS: Final = frozenset({204, 304})
_FAULT: Final = b"Internal Server Error"
_log = structlog.get_logger(__name__)


class Line(Protocol):
    """What an exchange needs of its connection."""

    loop: asyncio.AbstractEventLoop
    blocked: asyncio.Future[None] | None
    closing: bool
    resting: bool

    def write(self, data: bytes) -> None:
        """Sends bytes; those the client does not take yet wait in memory."""

    def balance(self) -> None:
        """Reads on, or rests from reading, by how much waits."""

    def ended(self, exchange: "Exchange") -> None:
        """The application has returned."""


class _Date:
    """The Date header, written anew once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._line = b""

    def line(self) -> bytes:
        second = int(time.time())
        if second != self._second:
            self._second, self._line = second, f"date: {formatdate(second, usegmt=True)}".encode()
        return self._line


_date_line: Final = _Date().line


class Exchange:
    """The two ends ASGI gives an application: what comes of the body, and the answer's way out.

    An answer of known length leaves in one piece with its head. Any other leaves as it comes: in
    chunks, or up to the end of the connection where the client knows no chunks.
    """

    __slots__ = (
        *("_chunked", "_cut", "_expects", "_gone", "_head", "_left", "_line", "_parts", "_scope"),
        *("_started", "_taken", "_waiter", "_whole", "answered", "keep", "size", "task"),
    )

    def __init__(self, line: Line, scope: Scope, *, keep: bool, expects: bool) -> None:
        self.keep = keep
        self.answered = False
        self.size = 0
        self.task: asyncio.Task[None] | None = None
        self._line = line
        self._scope = scope
        self._expects = expects
        self._parts: list[bytes] = []
        self._whole = self._taken = self._cut = self._gone = False
        self._started = self._chunked = False
        self._left = 0
        self._head = b""
        self._waiter: asyncio.Future[None] | None = None

    def more(self, body: bytes) -> None:
        """A piece of the body came; after the answer nobody wants it."""
        if not self.answered:
            self._parts.append(body)
            self.size += len(body)
            self._wake()

    def end(self) -> None:
        """The body is complete."""
        self._whole = True
        self._wake()

    def cut(self) -> None:
        """The rest of the body will never come; what is whole stays as it is."""
        self._cut = not self._whole
        self._wake()

    def lose(self) -> None:
        """The client is gone: nothing more comes, and nothing can be told."""
        self._cut = self._gone = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def run(self, app: ASGIApp) -> None:
        """Lets the application answer. One that fails or leaves off costs the connection."""
        try:
            await app(self._scope, self.receive, self.send)
            if not (self.answered or self._gone):
                raise RuntimeError("the application returned without a whole answer")
        except (Exception, asyncio.CancelledError):  # noqa: BLE001  told to the log and the client
            _log.exception("request ended badly", path=self._scope["path"])
            self.keep = False
            if not (self._started or self._gone):
                length = str(len(_FAULT)).encode()
                head = self._begin(500, [(b"content-length", length)])
                self._line.write(head + _FAULT)
        finally:
            self._line.ended(self)

    async def receive(self) -> Message:
        """The next piece of the body, and once it was told, the end of the connection."""
        if self._expects and not self._started:
            self._line.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._expects = False
        while not (self._cut or self.answered):
            if not self._taken and (self._whole or self._parts):
                return self._take()
            self._waiter = self._line.loop.create_future()
            await self._waiter
        return _GONE

    def _take(self) -> Message:
        parts = self._parts
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        self._taken = self._whole
        self._parts, self.size = [], 0
        if self._line.resting:
            self._line.balance()
        return {"type": "http.request", "body": body, "more_body": not self._whole}

    async def send(self, message: Message) -> None:
        """The head of the answer, then its body, as fast as the client takes it."""
        line = self._line
        while line.blocked is not None and not self._gone:
            await asyncio.shield(line.blocked)
        if self._gone:
            return
        if message["type"] == "http.response.start" and not self._started:
            self._head = self._begin(message["status"], message.get("headers", ()))
            if self._chunked or self._left < 0:
                line.write(self._head)
                self._head = b""
        elif message["type"] == "http.response.body" and self._started and not self.answered:
            last = not message.get("more_body", False)
            data = self._framed(message.get("body", b""), last)
            if data or self._head:
                line.write(self._head + data)
                self._head = b""
            if last:
                self.answered = True
                self._wake()
        else:
            raise RuntimeError(f"{message['type']} out of turn")

    def _begin(self, status: int, headers: "list[tuple[bytes, bytes]] | tuple[()]") -> bytes:
        """The head of the answer. `_left` is how much of its body is to come, -1 if unknown."""
        self._started = True
        self._left = -1
        lines = [_STATUS.get(status) or b"HTTP/1.1 %d " % status, _date_line()]
        keep = self.keep and not self._line.closing
        for name, value in headers:
            name = name.lower()
            if name == b"content-length":
                self._left = int(value)
            elif name == b"connection":
                keep = keep and b"close" not in value.lower()
                continue
            lines.append(name + b": " + value)
        if self._scope["method"] == "HEAD" or status in _BODILESS:
            self._left = 0
        elif self._left < 0:
            self._chunked = self._scope["http_version"] == "1.1"
            keep = keep and self._chunked
        if self._chunked:
            lines.append(b"transfer-encoding: chunked")
        self.keep = keep
        if not keep:
            lines.append(b"connection: close")
        head = b"\r\n".join(lines)
        if head.count(b"\n") != len(lines) - 1 or head.count(b"\r") != len(lines) - 1:
            raise RuntimeError("a header of the answer breaks its line")
        return head + b"\r\n\r\n"

    def _framed(self, body: bytes, last: bool) -> bytes:
        """A piece of the answer's body as it goes over the line."""
        if self._chunked:
            chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            return chunk + b"0\r\n\r\n" if last else chunk
        if self._left >= 0:
            if self._scope["method"] == "HEAD":
                return b""
            self._left -= len(body)
            if self._left < 0 or (last and self._left):
                raise RuntimeError("the answer is not as long as its Content-Length says")
        return body


def scope_of(
    method: bytes,
    url: bytes,
    version: str,
    headers: list[tuple[bytes, bytes]],
    ends: tuple[Address, Address],
) -> Scope:
    """What ASGI tells of a request; ends are our address and the client's."""
    if url[:1] == b"/" and b"#" not in url:
        raw, _, query = url.partition(b"?")
    else:
        parsed = httptools.parse_url(url)
        raw, query = parsed.path or b"/", parsed.query or b""
    path = raw.decode("ascii")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": version,
        "server": ends[0],
        "client": ends[1],
        "scheme": "http",
        "root_path": "",
        "method": method.decode("ascii"),
        "path": urllib.parse.unquote(path) if "%" in path else path,
        "raw_path": raw,
        "query_string": query,
        "headers": headers,
    }


def address(transport: asyncio.BaseTransport, end: str) -> Address:
    """Host and port of an end of the connection, `sockname` or `peername`."""
    found = transport.get_extra_info(end)
    return (str(found[0]), int(found[1])) if isinstance(found, tuple) else None
