"""Who calls: API keys checked against the database, and remembered for a few seconds.

A key that was checked is remembered by its hash for REMEMBERED_S, so that most calls cost one
SHA-256 and no query; a revoked key therefore stops working within that time everywhere, and at
once in the process that revoked it.
"""

import asyncio
import base64
import binascii
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Final

from stockwright.api.problems import problem
from stockwright.store.access import Caller, digest_of, find_caller
from stockwright.store.connection import Pool
from stockwright.store.session import session

REMEMBERED_S: Final = 5.0
_REMEMBERED_KEYS: Final = 10_000
_CHALLENGE: Final = ((b"www-authenticate", b'Bearer realm="stockwright"'),)
_CONSOLE_CHALLENGE: Final = (
    (
        b"www-authenticate",
        b'Basic realm="Stockwright: any name, and an API key as the password", charset="UTF-8"',
    ),
)
_LOOPBACK_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})

ANYBODY: Final = Caller(id="open", name="open demo mode", scopes=frozenset({"admin"}))
"""The caller where keys are switched off, on loopback only."""


class Gate:
    """Finds the caller of a request; `open_to_all` is the loopback-only demo mode."""

    def __init__(
        self,
        pool: Pool,
        threads: Executor,
        *,
        open_to_all: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._threads = threads
        self._open = open_to_all
        self._clock = clock
        self._known: dict[bytes, tuple[float, Caller | None]] = {}
        self._asking: dict[bytes, asyncio.Future[Caller | None]] = {}

    async def caller(self, headers: dict[bytes, bytes]) -> Caller:
        """Who sent these headers with a bearer key. Raises no_key, wrong_key, forbidden_origin."""
        if self._open:
            refuse_strangers(headers)
            return ANYBODY
        credential = headers.get(b"authorization", b"")
        if credential[:7].lower() != b"bearer ":
            raise problem("no_key", headers=_CHALLENGE)
        found = await self._check(credential[7:].strip())
        if found is None:
            raise problem("wrong_key", headers=_CHALLENGE)
        return found

    async def visitor(self, headers: dict[bytes, bytes], *, changes: bool) -> Caller:
        """Who opened a page: a browser asks for the key as a password and sends it by itself.

        `changes` says that the request is no mere reading; then it must come from our own pages,
        since a browser adds the password to what other sites send as well.
        """
        if self._open:
            refuse_strangers(headers)
            return ANYBODY
        if changes and headers.get(b"sec-fetch-site", b"none") not in (b"same-origin", b"none"):
            raise problem("forbidden_origin")
        found = await self._check(_password(headers.get(b"authorization", b"")))
        if found is None:
            raise problem("wrong_key", headers=_CONSOLE_CHALLENGE)
        if not found.may("stock:read"):
            raise problem("forbidden", "The console needs the scope stock:read.")
        return found

    def forget(self) -> None:
        """Forgets every remembered key, after one was revoked here."""
        self._known.clear()

    async def _check(self, key: bytes) -> Caller | None:
        digest = digest_of(key.decode("latin-1"))
        known = self._known.get(digest)
        if known is not None and known[0] > self._clock():
            return known[1]
        asking = self._asking.get(digest)
        if asking is None:
            loop = asyncio.get_running_loop()
            asking = loop.run_in_executor(self._threads, self._look_up, key.decode("latin-1"))
            self._asking[digest] = asking
            asking.add_done_callback(lambda _done: self._asking.pop(digest, None))
        found = await asyncio.shield(asking)
        if len(self._known) >= _REMEMBERED_KEYS:
            self._known.clear()
        self._known[digest] = (self._clock() + REMEMBERED_S, found)
        return found

    def _look_up(self, key: str) -> Caller | None:
        with session(self._pool) as connection:
            return find_caller(connection, key)


def refuse_strangers(headers: dict[bytes, bytes]) -> None:
    """Keeps other web sites out where no key is asked for: their pages reach loopback as well.

    A page of another site says so in Sec-Fetch-Site; one that had its name point at loopback
    shows that name in Host.
    """
    host = headers.get(b"host", b"localhost").decode("latin-1").rsplit(":", 1)
    name = host[0] if len(host) == 2 and host[1].isdigit() else ":".join(host)
    foreign = headers.get(b"sec-fetch-site", b"none") not in (b"same-origin", b"none")
    if foreign or name.lower() not in _LOOPBACK_HOSTS:
        raise problem("forbidden_origin")


def _password(credential: bytes) -> bytes:
    if credential[:7].lower() == b"bearer ":
        return credential[7:].strip()
    if credential[:6].lower() != b"basic ":
        return b""
    try:
        return base64.b64decode(credential[6:].strip(), validate=True).partition(b":")[2]
    except binascii.Error:
        return b""
