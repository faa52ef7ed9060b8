"""Who may look: everybody in the loopback demo mode, else a person signed in with an API key."""

import hmac
import secrets
import time
from collections.abc import Callable
from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import Response

from stockwright.store.access import Caller, find_caller
from stockwright.store.connection import Connection
from stockwright.store.visitors import SESSION_S, close_session, open_session, visitor

SESSION_COOKIE: Final = "stockwright_session"
FORM_COOKIE: Final = "stockwright_form"
FORM_FIELD: Final = "form_token"
SCOPE: Final = "console"
"""Lets a key's holder in, as admin does."""

ATTEMPTS: Final = 5
ATTEMPTS_WITHIN_S: Final = 60.0
_REMEMBERED_ADDRESSES: Final = 10_000

log = structlog.get_logger("stockwright.console")


class Throttle:
    """Slows guessing: after ATTEMPTS failures within ATTEMPTS_WITHIN_S an address has to wait."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: dict[str, list[float]] = {}

    def wait_s(self, address: str) -> float:
        """Seconds until the address may try again; 0 where it may now."""
        recent = self._recent(address)
        if len(recent) < ATTEMPTS:
            return 0.0
        return recent[-ATTEMPTS] + ATTEMPTS_WITHIN_S - self._clock()

    def failed(self, address: str) -> None:
        """Notes one failure."""
        if len(self._failures) >= _REMEMBERED_ADDRESSES:
            self._failures = {a: t for a in list(self._failures) if (t := self._recent(a))}
        if len(self._failures) >= _REMEMBERED_ADDRESSES:
            self._failures.pop(next(iter(self._failures)))
        self._failures.setdefault(address, []).append(self._clock())

    def _recent(self, address: str) -> list[float]:
        since = self._clock() - ATTEMPTS_WITHIN_S
        recent = [at for at in self._failures.get(address, ()) if at > since]
        if address in self._failures:
            self._failures[address] = recent
        return recent


def may_look(caller: Caller | None) -> bool:
    """Whether a key's holder may open the console."""
    return caller is not None and caller.may(SCOPE)


def signed_in(connection: Connection, request: Request) -> Caller | None:
    """The visitor whose session cookie came with the request, if it still holds."""
    token = request.cookies.get(SESSION_COOKIE, "")
    found = visitor(connection, token) if token else None
    return found if may_look(found) else None


def sign_in(connection: Connection, key: str) -> str | None:
    """A session's token for a key that may look; None for any other text."""
    caller = find_caller(connection, key.strip())
    if caller is None or not may_look(caller):
        log.warning("sign-in refused", known_key=caller is not None)
        return None
    log.info("signed in", key_id=caller.id)
    return open_session(connection, caller)


def sign_out(connection: Connection, request: Request) -> None:
    """Ends the session of the request."""
    close_session(connection, request.cookies.get(SESSION_COOKIE, ""))


def keep_session(request: Request, response: Response, token: str) -> None:
    """Hands the browser its session: not for scripts, not for other sites."""
    _set(request, response, SESSION_COOKIE, token, int(SESSION_S))


def drop_session(response: Response) -> None:
    """Makes the browser forget its session."""
    response.delete_cookie(SESSION_COOKIE, path="/", httponly=True, samesite="strict")


def form_token(request: Request) -> str:
    """What a form of ours carries so that no other site can post it: the same as its cookie."""
    return request.cookies.get(FORM_COOKIE) or secrets.token_urlsafe(24)


def keep_form_token(request: Request, response: Response, token: str) -> None:
    """Hands the browser the cookie that its form must match."""
    _set(request, response, FORM_COOKIE, token, None)


def is_our_form(request: Request, sent: str) -> bool:
    """Whether a post comes from a form we gave to this very browser."""
    site = request.headers.get("sec-fetch-site", "same-origin")
    kept = request.cookies.get(FORM_COOKIE, "")
    return (
        site in ("same-origin", "none")
        and bool(kept)
        and hmac.compare_digest(kept.encode(), sent.encode())
    )


def _set(request: Request, response: Response, name: str, value: str, age_s: int | None) -> None:
    response.set_cookie(
        name,
        value,
        max_age=age_s,
        path="/",
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
