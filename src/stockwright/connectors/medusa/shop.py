"""Calls to one Medusa server: what it is asked, what its refusals mean."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from stockwright.connectors.medusa.declaration import MedusaSettings
from stockwright.domain.errors import Misconfigured, Transient
from stockwright.sdk.auth import Auth, Exchanged, Grant, basic
from stockwright.sdk.calling import Caller, Query
from stockwright.sdk.messages import InDoubt, Refused, Retry
from stockwright.sdk.secrets import Secret
from stockwright.sdk.transports import HttpResponse, Transport

T = TypeVar("T")
TOKEN_LIFE_S: Final = 3600.0
"""A token lives for a day, unless the shop says otherwise; one that ended is replaced anyhow."""
MOST_IN_A_LIST: Final = 20
"""The server reads a list in a query with more values than this as something else, and refuses."""
_REJECTS: Final = frozenset({400, 404, 413, 422})
_MOST_PAGES: Final = 100_000


class _Error(msgspec.Struct):
    type: str = ""
    message: str = ""


class Shop:
    """One server. Every call raises Misconfigured where an operator must act."""

    def __init__(
        self,
        system: str,
        settings: MedusaSettings,
        transport: Transport,
        clock: Callable[[], dt.datetime],
    ) -> None:
        self.system = system
        setting = "api_key" if settings.api_key is not None else "password"
        self._caller = Caller(
            system=system,
            base_url=settings.base_url,
            auth=_auth(settings, transport, clock),
            transport=transport,
            timeout_s=settings.timeout_s,
            clock=clock,
            operator={401: setting, 403: setting},
            rejects=_REJECTS,
        )

    async def close(self) -> None:
        """Gives back the sockets. Safe to repeat."""
        await self._caller.close()

    async def read(self, path: str, form: type[T], query: Query = ()) -> T:
        """The answer to a GET. Raises Throttled or Transient."""
        found = await self.find(path, form, query)
        if found is None:
            raise Transient(f"{self.system} answered 404 to GET {path}")
        return found

    async def find(self, path: str, form: type[T], query: Query = ()) -> T | None:
        """The same; None where the shop has no such thing."""
        response = await self._caller.send("GET", f"/admin{path}", query=query)
        if response.status == 404:
            self._expect_a_shop(response.body)
            return None
        self._caller.expect(response, f"GET {path}")
        return self._caller.decode(response.body, form, f"GET {path}")

    async def pages(
        self, path: str, name: str, form: type[T], query: Query, size: int
    ) -> Sequence[T]:
        """All rows under a path, by id. Raises Transient where rows were added or removed
        meanwhile: pages are counted, and one might have been missed.
        """
        rows: list[T] = []
        count = -1
        for _ in range(_MOST_PAGES):
            asked = [*query, ("order", "id"), ("limit", str(size)), ("offset", str(len(rows)))]
            page = await self.read(path, dict[str, Any], asked)
            some = self._rows(page, name, form)
            if count not in (-1, page.get("count")):
                raise Transient(f"{self.system} changed while it was listed: {path}")
            count = page.get("count", -1)
            rows += some
            if len(some) < size:
                break
        if count != len(rows):
            raise Transient(f"{self.system} listed {len(rows)} of {count} rows of {path}")
        return rows

    def _rows(self, page: Mapping[str, Any], name: str, form: type[T]) -> list[T]:
        try:
            return msgspec.convert(page.get(name), list[form], strict=False)  # type: ignore[valid-type]
        except msgspec.ValidationError as error:
            raise Transient(f"{self.system} answered unreadably: {error}") from None

    async def change(
        self, path: str, json: Any, *, method: str = "POST", timeout_s: float | None = None
    ) -> dict[str, Any] | Refused | Retry | InDoubt:
        """The good answer to a write, or what became of all that was in it.

        reason of a refusal is the shop's own type of error, such as `not_found`.
        """
        answer = await self._caller.write(method, f"/admin{path}", json=json, timeout_s=timeout_s)
        if isinstance(answer, Refused):
            return self._refusal(answer)
        if not isinstance(answer, HttpResponse):
            return answer
        try:
            return self._caller.decode(answer.body, dict[str, Any], path)
        except Transient as error:
            return InDoubt(reason=str(error))

    def _refusal(self, refused: Refused) -> Refused:
        told = _error(refused.message.encode())
        if refused.reason == "http_404":
            self._expect_a_shop(refused.message.encode())
        if not told.type:
            return refused
        return Refused(reason=told.type, message=told.message)

    def _expect_a_shop(self, body: bytes) -> None:
        """Raises Misconfigured for a 404 that is not Medusa's own: nobody knows the address."""
        if _error(body).type != "not_found":
            message = f"{self.system} has no Admin API there: check its setting base_url"
            raise Misconfigured("base_url", message)


def _auth(settings: MedusaSettings, transport: Transport, clock: Callable[[], dt.datetime]) -> Auth:
    if settings.api_key is not None:
        return basic(settings.api_key, Secret(""))
    assert settings.password is not None
    grant = Grant(
        url=f"{settings.base_url.rstrip('/')}/auth/user/emailpass",
        fields={"email": settings.email, "password": settings.password},
        setting="password",
        form="json",
        token="token",
        life_s=TOKEN_LIFE_S,
    )
    return Exchanged(grant, transport, clock)


def _error(body: bytes) -> _Error:
    """What the body of a refusal says; a long one was cut short, and still tells its type."""
    try:
        return msgspec.json.decode(body, type=_Error)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        text = body.decode("utf-8", "replace")
        kind = text.partition('"type":"')[2].partition('"')[0]
        return _Error(kind if kind.isidentifier() else "", text)
