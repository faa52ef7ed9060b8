"""Asks one database of a Tryton server: by JSON-RPC with a session, or by REST with a key.

Both answer alike after `plain`: what a relation leads to stands under the relation's name.
"""

import asyncio
import base64
import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from stockwright.connectors.tryton.declaration import TrytonSettings
from stockwright.domain.errors import Misconfigured, Throttled, Transient
from stockwright.sdk.auth import Auth, bearer
from stockwright.sdk.calling import EXCERPT, WAIT_S, Caller, excerpt_of
from stockwright.sdk.connector import Opening
from stockwright.sdk.secrets import Secret
from stockwright.sdk.transports import (
    Http,
    HttpRequest,
    Transport,
    json_body,
    retry_after_s,
    uncounted,
)

Record = dict[str, Any]
Domain = list[Any]
_PARTS: Final = ("year", "month", "day", "hour", "minute", "second", "microsecond")
_FOR_PEOPLE: Final = frozenset({"UserError", "UserWarning", "LoginException"})


class _Told(msgspec.Struct):
    """An answer to a JSON-RPC call."""

    result: Any = msgspec.UNSET
    error: Any = None


class Session:
    """The session of a login, begun when needed and anew when it has ended."""

    def __init__(
        self,
        url: str,
        user: str,
        password: Secret,
        transport: Transport,
        clock: Callable[[], dt.datetime],
    ) -> None:
        self._url = url
        self._user = user
        self._password = password
        self._transport = transport
        self._clock = clock
        self._token = ""
        self._beginning = asyncio.Lock()

    async def headers(self) -> Mapping[str, str]:
        """The session, after a login where there is none."""
        async with self._beginning:
            if not self._token:
                # Others may wait for this lock: the login must not wait for a poll's turn.
                with uncounted():
                    await self._log_in()
        return {"authorization": f"Session {self._token}"}

    def refused(self) -> bool:
        """Forgets the session: it has ended, and another one may be begun."""
        had, self._token = bool(self._token), ""
        return had

    async def _log_in(self) -> None:
        asked = [self._user, {"password": self._password.reveal()}]
        request = HttpRequest(
            method="POST",
            url=self._url,
            headers={"content-type": "application/json", "accept": "application/json"},
            body=json_body({"id": 0, "method": "common.db.login", "params": asked}),
        )
        try:
            response = await self._transport.send(request)
        except Transient as error:
            # Whatever became of the login: the call it was for has not been made.
            raise Transient(f"no session was begun: {error}") from None
        if response.status == 429:
            # So many wrong passwords came in that it listens to none for a while.
            wait_s = retry_after_s(response.headers, self._clock(), WAIT_S)
            raise Throttled("Tryton takes no login for a while", wait_s)
        if response.status in (401, 403):
            raise Misconfigured("password", "Tryton does not take the login: check user, password")
        if response.status == 404 or 300 <= response.status < 400:
            setting = "database" if response.status == 404 else "base_url"
            message = f"Tryton answered {response.status}: check its setting {setting}"
            raise Misconfigured(setting, message)
        answer = _read(response.body) if response.status == 200 else None
        begun = answer.result if answer is not None else None
        if not isinstance(begun, list) or len(begun) < 2:
            raise Transient(f"Tryton answered {response.status} to the login without a session")
        token = f"{self._user}:{begun[0]}:{begun[1]}"
        self._token = base64.b64encode(token.encode()).decode()


class Server:
    """One database. Reads only."""

    def __init__(self, opening: Opening, settings: TrytonSettings) -> None:
        self._rest = settings.key is not None
        self._company = settings.company
        legacy = settings.version == "6.0"
        self._path = f"/{settings.database}/" + ("" if legacy else "rpc/")
        self._rest_path = f"/{settings.database}/rest/model/"
        transport = opening.transport or Http(settings.concurrency)
        auth: Auth
        if settings.key is not None:
            auth = bearer(settings.key)
        else:
            assert settings.password is not None, "the settings say one of the two"
            url = settings.base_url.rstrip("/") + self._path
            auth = Session(url, settings.user, settings.password, transport, opening.clock)
        who = "key" if self._rest else "user"
        self._who = who
        self._caller = Caller(
            system=opening.system,
            base_url=settings.base_url,
            auth=auth,
            transport=transport,
            timeout_s=settings.timeout_s,
            clock=opening.clock,
            operator={401: "key" if self._rest else "password", 403: who, 404: "database"},
        )

    async def close(self) -> None:
        """Gives back the sockets. Safe to repeat."""
        await self._caller.close()

    async def search_read(
        self,
        model: str,
        domain: Domain,
        fields: Sequence[str],
        *,
        limit: int,
        order: Sequence[tuple[str, str]] = (("id", "ASC"),),
        context: Mapping[str, Any] | None = None,
    ) -> list[Record]:
        """Records of a model, each with its id and these fields, at most `limit`.

        Raises Misconfigured, Throttled or Transient.
        """
        given = {"company": self._company, **(context or {})} if self._company else context or {}
        ordered = [list(one) for one in order]
        if self._rest:
            found = await self._by_rest(model, domain, fields, limit, ordered, given)
        else:
            asked = [domain, 0, limit, ordered, list(fields), given]
            found = await self._by_rpc(f"model.{model}.search_read", asked)
        try:
            return msgspec.convert(plain(found), list[Record])
        except msgspec.ValidationError as error:
            raise Transient(f"Tryton answered for {model} unreadably: {error}") from None

    async def all_of(
        self,
        model: str,
        domain: Domain,
        fields: Sequence[str],
        *,
        size: int,
        context: Mapping[str, Any] | None = None,
    ) -> list[Record]:
        """All records that a domain finds, by number, page after page."""
        found: list[Record] = []
        last = 0
        while True:
            page = await self.search_read(
                model, [*domain, ["id", ">", last]], fields, limit=size, context=context
            )
            found += page
            if len(page) < size:
                return found
            last = _after(page, last)

    async def _by_rpc(self, method: str, params: Sequence[Any]) -> Any:
        asked = {"id": 1, "method": method, "params": params}
        response = await self._caller.send("POST", self._path, json=asked)
        self._caller.expect(response, method)
        answer = _read(response.body)
        if answer is None or (answer.result is msgspec.UNSET and answer.error is None):
            raise Transient(f"Tryton answered {method} unreadably")
        if answer.error is not None:
            self._raise(answer.error, method)
        return answer.result

    async def _by_rest(
        self,
        model: str,
        domain: Domain,
        fields: Sequence[str],
        limit: int,
        order: list[list[str]],
        context: Mapping[str, Any],
    ) -> Any:
        query = [("d", _encoded(domain)), ("s", str(limit)), ("o", _encoded(order))]
        query += [("f", field) for field in fields]
        headers = {"x-tryton-context": _encoded(context)} if context else {}
        path = self._rest_path + model
        response = await self._caller.send("GET", path, query=query, headers=headers)
        if response.status == 400:
            self._raise(["UserError", [excerpt_of(response.body)]], model)
        self._caller.expect(response, f"GET {path}")
        return self._caller.decode(response.body, list[Any], f"GET {path}")

    def _raise(self, error: Any, what: str) -> None:
        """What Tryton says to people is for an operator; all else may pass."""
        match error:
            case [str(kind), [text, *_]] if kind in _FOR_PEOPLE:
                message = f"Tryton refuses {what}: {text}"
                raise Misconfigured(self._who, message[:EXCERPT])
            case [text, *_]:
                raise Transient(f"Tryton failed at {what}: {text}"[:EXCERPT])
        raise Transient(f"Tryton failed at {what}")


def instant(moment: dt.datetime) -> Record:
    """A time as Tryton writes it: in UTC, without a zone."""
    at = moment.astimezone(dt.UTC)
    return {"__class__": "datetime", **{name: getattr(at, name) for name in _PARTS}}


def day(date: dt.date) -> Record:
    """A date as Tryton writes it."""
    return {"__class__": "date", "year": date.year, "month": date.month, "day": date.day}


def day_of(told: Any) -> dt.date | None:
    """The date Tryton wrote; None where there is none. Raises ValueError, TypeError, KeyError."""
    if told is None:
        return None
    return dt.date(told["year"], told["month"], told["day"])


def instant_of(told: Any) -> dt.datetime | None:
    """The time Tryton wrote, in UTC; None where there is none. Raises as `day_of`."""
    if told is None:
        return None
    return dt.datetime(**{name: int(told[name]) for name in _PARTS}, tzinfo=dt.UTC)


def plain(found: Any) -> Any:
    """What JSON-RPC answers, in the form of REST: `product.` beside `product` becomes `product`."""
    if isinstance(found, list):
        return [plain(one) for one in found]
    if not isinstance(found, dict):
        return found
    told = {name: plain(value) for name, value in found.items() if not name.endswith(".")}
    for name, value in found.items():
        if name.endswith("."):
            told[name[:-1]] = plain(value)
    return told


def _after(page: Sequence[Record], last: int) -> int:
    """The number of a page's last record. Raises Transient where pages would not end."""
    number = page[-1].get("id")
    if not isinstance(number, int) or number <= last:
        raise Transient("Tryton answered a page that it had answered before")
    return number


def _read(body: bytes) -> _Told | None:
    try:
        return msgspec.json.decode(body, type=_Told)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


def _encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json_body(value)).decode()
