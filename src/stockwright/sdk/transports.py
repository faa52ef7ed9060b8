"""The network behind one seam of two methods: `send` and `close`.

NotSent        the request surely never reached the partner: send again
Unanswered     it may have been applied: nobody knows
└── TooLarge   ... and an answer came that is larger than we read
"""

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from email.utils import parsedate_to_datetime
from typing import Any, Final, Protocol
from urllib.parse import urljoin, urlsplit

import aiohttp
import msgspec

from stockwright.domain.errors import Misconfigured, Transient

MAX_RESPONSE_BYTES: Final = 32 * 1024 * 1024
LONGEST_RETRY_AFTER_S: Final = 3_600.0
_REDIRECTS: Final = 3
_HOPS: Final = frozenset({301, 302, 307, 308})


class NotSent(Transient):
    """No connection came about: the partner saw nothing of the request."""


class Unanswered(Transient):
    """The request left, and no usable answer came: it may have been applied."""


class TooLarge(Unanswered):
    """The answer passed the cap and was not read to its end."""


class Meter:
    """How many calls a verb made. `before` is awaited before each of them but the first, which
    whoever asks the verb has counted already. served: those that were answered by neither 5xx nor
    429; hushed: those answered by 429.
    """

    def __init__(self, before: Callable[[], Awaitable[None]] | None = None) -> None:
        self.calls = 0
        self.served = 0
        self.hushed = 0
        self._before = before

    @property
    def more(self) -> int:
        """How many were made beyond the first."""
        return max(0, self.calls - 1)

    async def count(self) -> None:
        """One more is about to be made."""
        self.calls += 1
        if self.calls > 1 and self._before is not None:
            await self._before()

    def hear(self, status: int) -> None:
        """One was answered."""
        self.hushed += status == 429
        self.served += status < 500 and status != 429


_METER: Final[ContextVar[Meter | None]] = ContextVar("meter", default=None)


@contextmanager
def metered(meter: Meter) -> Iterator[Meter]:
    """Counts every call that is sent inside, whatever connection or task sends it."""
    before = _METER.set(meter)
    try:
        yield meter
    finally:
        _METER.reset(before)


@contextmanager
def uncounted() -> Iterator[None]:
    """Leaves the calls sent inside out of the count, so that none of them waits for its turn: for
    those for which everybody waits, such as the one that fetches a token.
    """
    before = _METER.set(None)
    try:
        yield
    finally:
        _METER.reset(before)


async def _count() -> None:
    meter = _METER.get()
    if meter is not None:
        await meter.count()


def _hear(response: "HttpResponse") -> "HttpResponse":
    meter = _METER.get()
    if meter is not None:
        meter.hear(response.status)
    return response


class HttpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One call. timeout_s is for everything from the connection to the last byte of the answer."""

    method: str
    url: str
    headers: dict[str, str] = {}
    body: bytes = b""
    timeout_s: float = 10.0
    max_response_bytes: int = MAX_RESPONSE_BYTES


class HttpResponse(msgspec.Struct, frozen=True, kw_only=True):
    """What the partner answered. Header names are in lower case."""

    status: int
    headers: dict[str, str] = {}
    body: bytes = b""


class Transport(Protocol):
    """The seam: a real network, or a partner in memory for tests."""

    async def send(self, request: HttpRequest) -> HttpResponse:
        """The answer, whatever its status. Raises NotSent, Unanswered or Misconfigured (no URL)."""
        ...

    async def close(self) -> None:
        """Gives back the sockets. Safe to repeat."""
        ...


class Http:
    """HTTP over one pool of connections. Belongs to the event loop of its first `send`.

    A redirect is followed for reading on the same host only: credentials go nowhere else, and a
    write is never repeated by itself. A resolver says where the hosts' names lead.
    """

    def __init__(
        self, connections: int = 20, resolver: aiohttp.abc.AbstractResolver | None = None
    ) -> None:
        self._connections = connections
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def send(self, request: HttpRequest) -> HttpResponse:
        """The answer to the request, after redirects on the same host."""
        _check_url(request.url)
        await _count()
        try:
            async with asyncio.timeout(request.timeout_s) as limit:
                return await self._follow(request, limit)
        except TimeoutError:
            raise Unanswered(
                f"{_shown(request.url)} did not answer within {request.timeout_s:g} s"
            ) from None

    async def close(self) -> None:
        """Closes the connections; a later `send` opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _follow(self, request: HttpRequest, limit: asyncio.Timeout) -> HttpResponse:
        """The last answer. Each hop is a call and waits for its turn, which is not the partner's
        time.
        """
        for hop in range(_REDIRECTS):
            if hop:
                await _outside(limit, _count())
            response = _hear(await self._call(request))
            target = _next_hop(request, response)
            if not target:
                return response
            request = msgspec.structs.replace(request, url=target)
        return response

    async def _call(self, request: HttpRequest) -> HttpResponse:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=self._connections, resolver=self._resolver)
            # A jar would grow with whatever cookies partners hand out, and send them back.
            self._session = aiohttp.ClientSession(
                connector=connector, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
            )
        try:
            async with self._session.request(
                request.method,
                request.url,
                data=request.body or None,
                headers=request.headers,
                allow_redirects=False,
            ) as answer:
                headers = {name.lower(): value for name, value in answer.headers.items()}
                body = await _read(answer, request)
                return HttpResponse(status=answer.status, headers=headers, body=body)
        except aiohttp.ClientConnectorError as error:
            raise NotSent(f"{_shown(request.url)} cannot be reached: {error.strerror}") from None
        except aiohttp.InvalidURL:
            raise Misconfigured("base_url", f"{_shown(request.url)} is not an address") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unanswered(
                f"{_shown(request.url)} broke off the call: {type(error).__name__}"
            ) from None


class InMemory:
    """A transport without a network: a function answers. Keeps what was sent in `requests`."""

    def __init__(self, answer: Callable[[HttpRequest], Awaitable[HttpResponse]]) -> None:
        self._answer = answer
        self.requests: list[HttpRequest] = []

    async def send(self, request: HttpRequest) -> HttpResponse:
        """What the function answers or raises, within the request's time-out."""
        await _count()
        self.requests.append(request)
        try:
            async with asyncio.timeout(request.timeout_s):
                return _hear(await self._answer(request))
        except TimeoutError:
            raise Unanswered(f"{_shown(request.url)} did not answer in time") from None

    async def close(self) -> None:
        """Nothing to give back."""


def retry_after_s(headers: Mapping[str, str], now: dt.datetime, default: float) -> float:
    """Seconds the partner asks us to wait: `Retry-After` as a number or a date (RFC 9110, 10.2.3).

    default where it says nothing readable; never below zero nor above an hour.
    """
    text = headers.get("retry-after", "").strip()
    try:
        seconds = float(text)
    except ValueError:
        seconds = _seconds_until(text, now, default)
    if seconds != seconds:
        seconds = default
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_S)


def json_body(value: Any) -> bytes:
    """A value as JSON bytes; the same value gives the same bytes."""
    return msgspec.json.encode(value, order="deterministic")


def _seconds_until(text: str, now: dt.datetime, default: float) -> float:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError, OverflowError):
        return default
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return (moment - now).total_seconds()


async def _outside(limit: asyncio.Timeout, waiting: Awaitable[None]) -> None:
    """Waits without using up the time that is left until the limit."""
    loop, until = asyncio.get_running_loop(), limit.when()
    assert until is not None
    left_s = until - loop.time()
    limit.reschedule(None)
    await waiting
    limit.reschedule(loop.time() + left_s)


async def _read(answer: aiohttp.ClientResponse, request: HttpRequest) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in answer.content.iter_any():
        size += len(chunk)
        if size > request.max_response_bytes:
            answer.close()
            raise TooLarge(
                f"{_shown(request.url)} answered more than {request.max_response_bytes} bytes"
            )
        chunks.append(chunk)
    return b"".join(chunks)


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise Misconfigured("base_url", f"{_shown(url)} is not an http or https address")


def _next_hop(request: HttpRequest, response: HttpResponse) -> str:
    """Where an answer sends a reader on to, on the same host; empty where it is the last."""
    if request.method != "GET" or response.status not in _HOPS:
        return ""
    try:
        target = urljoin(request.url, response.headers.get("location", ""))
        return target if _origin(target) == _origin(request.url) else ""
    except ValueError:  # no address at all
        return ""


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _shown(url: str) -> str:
    """The address without what may be secret in it: user, password, query."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "what is set"
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"
