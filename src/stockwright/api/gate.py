"""Who calls: API keys checked against the database, and remembered for a few seconds.

A key that was checked is remembered for REMEMBERED_S by the header it came in, so that most calls
cost one look into a dict; a revoked key therefore stops working within that time everywhere, and
at once in the process that revoked it.
"""

import asyncio
import hmac
import time
from collections.abc import Callable
from concurrent.futures import Executor
from http.cookies import CookieError, SimpleCookie
from typing import Final

from stockwright.api.problems import ProblemRaised, problem
from stockwright.domain.errors import Transient
from stockwright.domain.people import SCOPES
from stockwright.store.access import Caller, find_caller, id_of
from stockwright.store.connection import Pool
from stockwright.store.session import session
from stockwright.store.sessions import find_session, form_token_of

REMEMBERED_S: Final = 5.0
_REMEMBERED_KEYS: Final = 10_000
_LONGEST: Final = 128
"""Bytes of a header that is remembered: a key and the word before it are half as long."""
_CHALLENGE: Final = ((b"www-authenticate", b'Bearer realm="stockwright"'),)
SESSION_HEADER: Final = b"x-stockwright-session"
"""Carries a session's form token. Other sites can neither read it nor send such a header."""
SESSION_COOKIES: Final = ("__Host-stockwright_session", "stockwright_session")
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
        self._asking: dict[str, asyncio.Future[Caller | None]] = {}

    async def caller(self, headers: dict[bytes, bytes]) -> Caller:
        """Who sent these headers with a bearer key, or as a script of a console's session.

        Raises no_key, wrong_key, forbidden_origin.
        """
        if self._open:
            refuse_strangers(headers)
            return ANYBODY
        credential = headers.get(b"authorization", b"")
        if credential[:7].lower() != b"bearer ":
            if SESSION_HEADER in headers:
                return await self._signed_in(headers)
            raise problem("no_key", headers=_CHALLENGE)
        found = self.remembered(headers) or await self._check(credential)
        if found is None:
            raise problem("wrong_key", headers=_CHALLENGE)
        return found

    async def still(self, headers: dict[bytes, bytes], caller: Caller) -> bool:
        """Whether these headers still come from this very caller; asking is no use of a session.

        Whoever may do something else by now is let in anew.
        """
        if self._open:
            return True
        try:
            if caller.user:
                return await self._signed_in(headers, touch=False) == caller
            return await self._check(headers.get(b"authorization", b"")) == caller
        except ProblemRaised:
            return False
        except Transient:
            return True  # the database is away, and what is told comes from there

    def remembered(self, headers: dict[bytes, bytes]) -> Caller | None:
        """Who sends just this header, if that was found out a moment ago; else ask `caller`."""
        known = self._known.get(headers.get(b"authorization", b""))
        return known[1] if known is not None and known[0] > self._clock() else None

    def forget(self) -> None:
        """Forgets every remembered key, after one was revoked here."""
        self._known.clear()

    async def _signed_in(self, headers: dict[bytes, bytes], *, touch: bool = True) -> Caller:
        """The user whose session's cookie came, with the header that only its own pages know."""
        token = _session_token(headers)
        sent = headers[SESSION_HEADER]
        if not token or not hmac.compare_digest(form_token_of(token).encode(), sent):
            raise problem("no_key", headers=_CHALLENGE)
        if headers.get(b"sec-fetch-site", b"same-origin") != b"same-origin":
            raise problem("forbidden_origin")
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, self._user, token, touch)
        if found is None:
            raise problem("wrong_key", headers=_CHALLENGE)
        return found

    def _user(self, token: str, touch: bool) -> Caller | None:
        with session(self._pool) as connection:
            signed = find_session(connection, token, touch=touch)
        if signed is None or signed.must_change:
            return None
        name = f"user {signed.name}"
        return Caller(id=name, name=signed.name, scopes=SCOPES[signed.role], user=signed.name)

    async def _check(self, credential: bytes) -> Caller | None:
        text = credential[7:].strip().decode("latin-1")
        if id_of(text) is None:
            return None  # not even the shape of a key: nothing to ask the database
        known = self._known.get(credential)
        if known is not None and known[0] > self._clock():
            return known[1]
        asking = self._asking.get(text)
        if asking is None:
            loop = asyncio.get_running_loop()
            asking = loop.run_in_executor(self._threads, self._look_up, text)
            self._asking[text] = asking
            asking.add_done_callback(lambda _done: self._asking.pop(text, None))
        found = await asyncio.shield(asking)
        if len(self._known) >= _REMEMBERED_KEYS:
            self._known.clear()
        if len(credential) <= _LONGEST:
            self._known[credential] = (self._clock() + REMEMBERED_S, found)
        return found

    def _look_up(self, key: str) -> Caller | None:
        with session(self._pool) as connection:
            return find_caller(connection, key)


def _session_token(headers: dict[bytes, bytes]) -> str:
    """The session's token among the cookies; '' where there is none."""
    kept = SimpleCookie()
    try:
        kept.load(headers.get(b"cookie", b"").decode("latin-1"))
    except CookieError:
        return ""
    return next((kept[name].value for name in SESSION_COOKIES if name in kept), "")


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
