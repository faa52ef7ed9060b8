"""Signing in by name and password, and out again."""

import asyncio
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from stockwright.console import access
from stockwright.console.door import READING, SIGN_IN, Door
from stockwright.console.pages import HEADERS, page
from stockwright.console.reading import Reader
from stockwright.domain import passwords
from stockwright.domain.errors import Throttled
from stockwright.store import sessions, users
from stockwright.store.connection import Connection
from stockwright.store.sessions import Attempt

WRONG: Final = "The name or the password is wrong."
_HASHING_AT_ONCE: Final = 2
_WAITING_AT_MOST: Final = 20
log = structlog.get_logger("stockwright.console")


class Hasher:
    """Compares passwords on threads of its own: each takes a while and much memory.

    More than a few waiting means that somebody floods the sign-in: they are told to come back.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_HASHING_AT_ONCE, thread_name_prefix="passwords")
        self._waiting = 0

    async def judge(self, password: str, kept: str) -> tuple[bool, str]:
        """Whether it is the password, and its hash under today's cost where the kept one is old."""
        if self._waiting >= _WAITING_AT_MOST:
            raise Throttled("Too many people sign in at this moment.", retry_after_s=2.0)
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, _judge, password, kept)
        finally:
            self._waiting -= 1


def _judge(password: str, kept: str) -> tuple[bool, str]:
    if len(password) > passwords.MAX_LENGTH:
        password = ""
    if not passwords.matches(password, kept):
        return False, ""
    renewed = passwords.outdated(kept)
    return True, passwords.hashed(password, secrets.token_bytes(16)) if renewed else ""


class Doubt(NamedTuple):
    """Why a password did not prove who somebody is, in words and as a status."""

    note: str
    status: int


async def proven(
    reader: Reader,
    hasher: Hasher,
    request: Request,
    password: str,
    *,
    wrong: str = "Your password is wrong.",
) -> Attempt | Doubt:
    """The attempt by which the signed-in visitor proved to know the own password, or a doubt.

    Guesses are counted. What is kept of the password may be another by now: the attempt tells which
    one was judged.
    """
    signed = request.state.visitor.signed
    assert signed is not None
    address = request.client.host if request.client else ""
    attempt = await reader.run(sessions.begin_attempt, signed.name, address)
    if attempt.wait_s > 0:
        return Doubt("Too many failed attempts. Try again later.", 429)
    right, _ = await hasher.judge(password, attempt.kept)
    if not right:
        await reader.run(sessions.note_failure, attempt, address=address)
        return Doubt(wrong, 403)
    await reader.run(sessions.forgive, attempt)
    return attempt


class Signing:
    """The handlers of the sign-in page."""

    def __init__(self, reader: Reader, door: Door, hasher: Hasher) -> None:
        self._reader = reader
        self._door = door
        self._hasher = hasher

    async def sign_in(self, request: Request) -> Response:
        """The form, or the session that a name and a password open."""
        if self._door.open_to_all or request.state.visitor is not None:
            return RedirectResponse("/", 303, HEADERS)
        if request.method in READING:
            return await self._form(request)
        form = request.state.form
        if not access.is_our_form(request, form.one(access.FORM_FIELD)):
            note = "The form was not ours, or is too old. Try again."
            return await self._form(request, note, 403)
        address = request.client.host if request.client else ""
        attempt = await self._reader.run(sessions.begin_attempt, form.one("name"), address)
        if attempt.wait_s > 0:
            return await self._slowed(request, attempt.wait_s)
        right, renewed = await self._hasher.judge(form.one("password"), attempt.kept)
        token = None
        if right:
            token = await self._reader.run(_open, request, attempt, address, renewed)
        if token is None:
            await self._reader.run(sessions.note_failure, attempt, address=address)
            log.warning("sign-in refused", address=address)
            return await self._form(request, WRONG, 403, name=form.one("name"))
        answer = RedirectResponse("/", 303, HEADERS)
        access.keep_session(request, answer, token)
        return answer

    async def sign_out(self, request: Request) -> Response:
        """Ends the visitor's session."""
        token = access.session_token(request)
        if token:
            await self._reader.run(sessions.close_session, token)
        answer = RedirectResponse(SIGN_IN, 303, HEADERS)
        access.drop_session(request, answer)
        return answer

    async def _slowed(self, request: Request, wait_s: float) -> Response:
        seconds = int(wait_s) + 1
        minutes = f"{seconds} s" if seconds < 100 else f"{seconds // 60 + 1} minutes"
        note = f"Too many failed attempts. Try again in {minutes}."
        answer = await self._form(request, note, 429)
        answer.headers["Retry-After"] = str(seconds)
        return answer

    async def _form(
        self, request: Request, note: str = "", status: int = 200, *, name: str = ""
    ) -> Response:
        nobody = not await self._reader.run(users.anybody)
        return page(request, "sign_in.html", status, note=note, nobody=nobody, name=name[:64])


def _open(
    connection: Connection, request: Request, attempt: Attempt, address: str, renewed: str
) -> str | None:
    """A new session; the one the browser had before ends."""
    before = access.session_token(request)
    if before:
        sessions.close_session(connection, before, noted=False)
    agent = request.headers.get("user-agent", "")
    return sessions.sign_in(connection, attempt, address=address, agent=agent, rehashed=renewed)
