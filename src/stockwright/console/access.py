"""Who looks: a signed-in user, a program with a key, or, in the loopback demo, whoever is there."""

import hmac
import secrets
from typing import Final, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from stockwright.domain.people import Action, Role, may
from stockwright.store.access import find_caller
from stockwright.store.connection import Connection
from stockwright.store.sessions import Signed, find_session, form_token_of
from stockwright.store.users import LONGEST_S, Settings, settings_of

SESSION_COOKIE: Final = "stockwright_session"
FORM_COOKIE: Final = "stockwright_form"
FORM_FIELD: Final = "form_token"
SCOPE: Final = "console"
"""Lets a key's holder, a program, read the pages' twins."""
DEMO_OWNER: Final = "demo"


class Visitor(msgspec.Struct, frozen=True, kw_only=True):
    """Who looks at a page, and what they may do. owner names their settings and saved views.

    by: `session` for a signed-in user, `key` for a program, `demo` where nobody signs in.
    """

    by: Literal["session", "key", "demo"]
    owner: str
    role: Role
    actor: str
    signed: Signed | None = None
    settings: Settings = Settings()

    def may(self, action: Action) -> bool:
        """Whether this visitor may do something."""
        return may(self.role, action)


def demo_visitor(connection: Connection) -> Visitor:
    """Whoever sits at this machine while the loopback demo runs; nobody is asked who."""
    settings = settings_of(connection, DEMO_OWNER)
    return Visitor(by="demo", owner=DEMO_OWNER, role="admin", actor="demo", settings=settings)


def find_visitor(
    connection: Connection, token: str, authorization: str, *, touch: bool
) -> Visitor | None:
    """Who sent this session's token, or this key; None where neither holds."""
    signed = find_session(connection, token, touch=touch) if token else None
    if signed is not None:
        return Visitor(
            by="session",
            owner=signed.name,
            role=signed.role,
            actor=f"user {signed.name}",
            signed=signed,
            settings=settings_of(connection, signed.name),
        )
    kind, _, key = authorization.partition(" ")
    if kind.lower() != "bearer":
        return None
    caller = find_caller(connection, key.strip())
    if caller is None or not caller.may(SCOPE) or caller.bound:
        return None  # the pages show all systems
    return Visitor(by="key", owner="", role="viewer", actor=caller.actor)


def session_token(request: Request) -> str:
    """The token of the session cookie; '' where there is none."""
    return request.cookies.get(_named(request, SESSION_COOKIE), "")


def keep_session(request: Request, response: Response, token: str) -> None:
    """Hands the browser its session: not for scripts, not for other sites."""
    _set(request, response, SESSION_COOKIE, token, int(LONGEST_S))


def drop_session(request: Request, response: Response) -> None:
    """Makes the browser forget its session."""
    response.delete_cookie(
        _named(request, SESSION_COOKIE),
        path="/",
        httponly=True,
        samesite="strict",
        secure=is_secure(request),
    )


def form_token(request: Request) -> str:
    """What a form of ours carries so that no other site can post it.

    A session's forms carry what only its token gives; before there is one, the text of a cookie.
    """
    token = session_token(request)
    if token and request.state.visitor is not None:
        return form_token_of(token)
    return request.cookies.get(_named(request, FORM_COOKIE)) or secrets.token_urlsafe(24)


def keep_form_token(request: Request, response: Response, token: str) -> None:
    """Hands the browser the cookie that a form outside of sessions must match."""
    _set(request, response, FORM_COOKIE, token, None)


def is_our_form(request: Request, sent: str) -> bool:
    """Whether a post comes from a form we gave to this very browser."""
    token = session_token(request)
    in_session = bool(token) and request.state.visitor is not None
    expected = (
        form_token_of(token)
        if in_session
        else request.cookies.get(_named(request, FORM_COOKIE), "")
    )
    same = hmac.compare_digest(expected.encode("utf-8", "replace"), sent.encode("utf-8", "replace"))
    return bool(expected) and same and _same_origin(request)


def _same_origin(request: Request) -> bool:
    """Whether the browser itself says that the post comes from a page of ours."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("origin", "")
    # A page whose referrer is withheld posts `null`; Sec-Fetch-Site has judged it above.
    return origin in ("", "null") or origin.split("://")[-1] == request.headers.get("host", "")


def is_secure(request: Request) -> bool:
    """Whether the browser came by https, to us or to the proxy in front of us."""
    return request.url.scheme == "https" or getattr(request.state, "behind_tls", False)


def _named(request: Request, name: str) -> str:
    """Under https the name itself keeps other hosts of the domain from setting the cookie."""
    return f"__Host-{name}" if is_secure(request) else name


def _set(request: Request, response: Response, name: str, value: str, age_s: int | None) -> None:
    response.set_cookie(
        _named(request, name),
        value,
        max_age=age_s,
        path="/",
        httponly=True,
        samesite="strict",
        secure=is_secure(request),
    )
