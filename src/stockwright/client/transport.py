"""One HTTP session: sends calls, waits and sends again where that is safe, decodes answers."""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import cache
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote, urlencode

import aiohttp
import msgspec

from stockwright.client.errors import Unavailable, failure_of, is_under_way, problem_of

Answers = Mapping[int, Any]
"""The type of the body by good status; None for bytes as they come."""

TRIES: Final = 5
LONGEST_PAUSE_S: Final = 30.0
_FIRST_PAUSE_S: Final = 0.2
_AGAIN: Final = frozenset({429, 503})
_UNKNOWN: Final = frozenset({500, 502, 504})
_WAIT_BEYOND_S: Final = 30.0
"""How much longer than a long poll's own time an answer may take."""
_encode = msgspec.json.Encoder().encode


class Retries(msgspec.Struct, frozen=True, kw_only=True):
    """How often a call is sent, and the longest pause in between, also where the server asks."""

    tries: int = TRIES
    longest_pause_s: float = LONGEST_PAUSE_S

    def pause_s(self, tried: int, asked_s: float | None) -> float:
        """Seconds before the next try: what the server asked for, else growing, half by chance."""
        if asked_s is not None:
            return min(asked_s, self.longest_pause_s)
        grown: float = min(_FIRST_PAUSE_S * 2.0**tried, self.longest_pause_s)
        return grown * random.uniform(0.5, 1.0)


USUAL: Final = Retries()


class Transport:
    """Calls one server with one key. Use it as an async context manager, in one event loop."""

    def __init__(
        self,
        url: str,
        key: str = "",
        *,
        timeout_s: float = 60.0,
        retries: Retries = USUAL,
        connections: int = 100,
    ) -> None:
        self._url = url.rstrip("/")
        self._headers = {"authorization": f"Bearer {key}"} if key else {}
        self._timeout_s = timeout_s
        self._retries = retries
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Lets the connections go. Safe to repeat."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _call(
        self,
        method: str,
        path: str,
        answers: Answers,
        *,
        parts: Sequence[object] = (),
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        raw: bytes | None = None,
        media: str = "application/json",
        accept: str = "",
        key: str | None = None,
        keyed: bool = False,
        more: Mapping[str, str] | None = None,
        safe: bool = True,
    ) -> Any:
        """The decoded answer. Raises what `errors` says.

        keyed calls carry an Idempotency-Key, one of our own where none is given, so that sending
        again is safe; where `safe` is False a call is sent again only if the server said no.
        """
        headers = {**self._headers, **(more or {})}
        content = raw if raw is not None else None if body is None else _encode(body)
        if content is not None:
            headers["content-type"] = media
        if accept:
            headers["accept"] = accept
        if keyed or key is not None:
            headers["idempotency-key"] = key or uuid.uuid4().hex
        address = self._address(path, parts, query)
        wait_s = float((query or {}).get("wait_s") or getattr(body, "wait_s", 0) or 0)
        patience = aiohttp.ClientTimeout(total=max(self._timeout_s, wait_s + _WAIT_BEYOND_S))
        status, told = await self._send(method, address, headers, content, patience, safe=safe)
        if status not in answers:
            raise failure_of(problem_of(status, told), 1.0)
        kind = answers[status]
        try:
            return told if kind is None else _decoder(kind).decode(told)
        except msgspec.MsgspecError as failure:
            message = f"{method} {address}: something else than Stockwright answered: {failure}"
            raise Unavailable(message) from failure

    async def _send(
        self,
        method: str,
        address: str,
        headers: Mapping[str, str],
        content: bytes | None,
        patience: aiohttp.ClientTimeout,
        *,
        safe: bool,
    ) -> tuple[int, bytes]:
        tried = 0
        while True:
            asked_s: float | None = None
            last = tried + 1 >= self._retries.tries
            try:
                # Led elsewhere, a POST would arrive as a GET, and the key with it.
                async with self._opened().request(
                    method, address, headers=headers, data=content, timeout=patience,
                    allow_redirects=False,
                ) as answer:  # fmt: skip
                    told = await answer.read()
                    asked_s = _seconds(answer.headers.get("retry-after"))
                    again = answer.status in _AGAIN or (safe and answer.status in _UNKNOWN)
                    if not again and not is_under_way(answer.status, told):
                        return answer.status, told
                    if last:
                        raise failure_of(problem_of(answer.status, told), asked_s or 1.0)
            except (aiohttp.ClientError, TimeoutError) as failure:
                if last or not safe:
                    message = f"{method} {address}: {_words(failure)}"
                    raise Unavailable(message) from failure
            await asyncio.sleep(self._retries.pause_s(tried, asked_s))
            tried += 1

    async def _parts(
        self,
        path: str,
        accept: str,
        *,
        parts: Sequence[object] = (),
        query: Mapping[str, Any] | None = None,
    ) -> AsyncIterator[bytes]:
        """The body piece by piece. Raises Unavailable where it breaks off before its end."""
        address = self._address(path, parts, query)
        headers = {**self._headers, "accept": accept}
        timeout = aiohttp.ClientTimeout(total=None, sock_read=self._timeout_s)
        try:
            async with self._opened().get(
                address, headers=headers, timeout=timeout, allow_redirects=False
            ) as answer:
                if answer.status != 200:
                    asked_s = _seconds(answer.headers.get("retry-after"))
                    raise failure_of(problem_of(answer.status, await answer.read()), asked_s or 1.0)
                async for part in answer.content.iter_any():
                    yield part
        except (aiohttp.ClientError, TimeoutError) as failure:
            raise Unavailable(f"GET {address}: {_words(failure)}") from failure

    async def _lines(
        self,
        path: str,
        kind: Any,
        *,
        parts: Sequence[object] = (),
        query: Mapping[str, Any] | None = None,
    ) -> AsyncIterator[Any]:
        """Each line of a body of JSON lines, decoded."""
        decode = _decoder(kind).decode
        rest = b""
        async for part in self._parts(path, "application/x-ndjson", parts=parts, query=query):
            *whole, rest = (rest + part).split(b"\n")
            for line in whole:
                yield decode(line)

    def _address(self, path: str, parts: Sequence[object], query: Mapping[str, Any] | None) -> str:
        filled = path.format(*(quote(str(part), safe="") for part in parts)) if parts else path
        told = [(name, text) for name, value in (query or {}).items() for text in _texts(value)]
        return f"{self._url}{filled}?{urlencode(told)}" if told else self._url + filled

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=self._connections)
            self._session = aiohttp.ClientSession(connector=connector)
        return self._session


def _words(failure: Exception) -> str:
    return str(failure) or type(failure).__name__


@cache
def _decoder(kind: Any) -> "msgspec.json.Decoder[Any]":
    return msgspec.json.Decoder(kind)


def _seconds(header: str | None) -> float | None:
    try:
        return None if header is None else max(0.0, float(header))
    except ValueError:
        return None


def _texts(value: Any) -> list[str]:
    """The texts of a query's value: none for None, one for each of a list."""
    if value is None:
        return []
    if isinstance(value, (list, tuple)):
        return [text for one in value for text in _texts(one)]
    if isinstance(value, str):
        return [value]
    told = msgspec.to_builtins(value)
    return [str(told).lower() if isinstance(told, bool) else str(told)]
