"""How a partner is shown who calls: each kind of credential gives the headers of a call."""

import asyncio
import base64
import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, Protocol
from urllib.parse import urlencode

import msgspec

from stockwright.domain.errors import Misconfigured, Throttled, Transient
from stockwright.sdk.secrets import Secret
from stockwright.sdk.transports import HttpRequest, Transport, json_body, retry_after_s, uncounted

EARLY_S: Final = 60.0
"""A token is fetched anew this long before it ends, so that none ends on its way."""
DEFAULT_LIFE_S: Final = 300.0
"""Believed of a token whose issuer does not say how long it lives."""
WAIT_S: Final = 5.0


class Auth(Protocol):
    """A credential."""

    async def headers(self) -> Mapping[str, str]:
        """What a call carries. Raises Misconfigured, Transient or Throttled: it was not made."""
        ...

    def refused(self) -> bool:
        """The partner did not take it (401). True where another one may be taken: try again."""
        ...


class Fixed:
    """Headers that never change."""

    def __init__(self, headers: Mapping[str, str] | None = None) -> None:
        self._headers = dict(headers or {})

    async def headers(self) -> Mapping[str, str]:
        """The headers."""
        return self._headers

    def refused(self) -> bool:
        """There is no other one."""
        return False


def bearer(token: Secret | None) -> Fixed:
    """`Authorization: Bearer TOKEN`; nothing where there is no token."""
    return Fixed({"authorization": f"Bearer {token.reveal()}"} if token else {})


def basic(user: Secret, password: Secret) -> Fixed:
    """`Authorization: Basic ...` (RFC 7617), in UTF-8."""
    pair = base64.b64encode(f"{user.reveal()}:{password.reveal()}".encode()).decode()
    return Fixed({"authorization": f"Basic {pair}"})


def header(name: str, token: Secret) -> Fixed:
    """A token in a header of the partner's own name."""
    return Fixed({name.lower(): token.reveal()})


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What is exchanged for access tokens (RFC 6749, sections 4.4 and 6).

    fields are sent as a form: grant_type, client_id, client_secret, refresh_token, scope; or, for
    partners with a log-in of their own, as JSON. token names the field of the answer; life_s is
    believed of a token whose issuer does not say how long it lives. setting is the setting that an
    operator looks at where the issuer refuses.
    """

    url: str
    fields: Mapping[str, Secret | str]
    setting: str = "client_secret"
    as_header: str = "authorization"
    prefix: str = "Bearer "
    form: Literal["form", "json"] = "form"
    token: str = "access_token"
    life_s: float = DEFAULT_LIFE_S


class Exchanged:
    """Short-lived access tokens, fetched when needed and once for all who wait."""

    def __init__(
        self, grant: Grant, transport: Transport, clock: Callable[[], dt.datetime]
    ) -> None:
        self._grant = grant
        self._transport = transport
        self._clock = clock
        self._token = ""
        self._until = dt.datetime.min.replace(tzinfo=dt.UTC)
        self._fetching = asyncio.Lock()

    async def headers(self) -> Mapping[str, str]:
        """The token, a new one where the last is about to end."""
        async with self._fetching:
            if self._clock() >= self._until:
                # A zero may wait for this lock: it must not wait for a poll's turn in the plan.
                with uncounted():
                    await self._fetch()
        return {self._grant.as_header: self._grant.prefix + self._token}

    def refused(self) -> bool:
        """Forgets the token, so that the next call fetches another."""
        had, self._token = bool(self._token), ""
        self._until = dt.datetime.min.replace(tzinfo=dt.UTC)
        return had

    async def _fetch(self) -> None:
        grant = self._grant
        fields = {
            name: value.reveal() if isinstance(value, Secret) else value
            for name, value in grant.fields.items()
        }
        as_json = grant.form == "json"
        content_type = "application/json" if as_json else "application/x-www-form-urlencoded"
        request = HttpRequest(
            method="POST",
            url=grant.url,
            headers={"content-type": content_type, "accept": "application/json"},
            body=json_body(fields) if as_json else urlencode(fields).encode(),
        )
        try:
            response = await self._transport.send(request)
        except Transient as error:
            # Whatever became of it: the call the token was for has not been made.
            raise Transient(f"no token was had: {error}") from None
        if response.status == 429:
            wait_s = retry_after_s(response.headers, self._clock(), WAIT_S)
            raise Throttled("the issuer of tokens asked us to slow down", wait_s)
        if 400 <= response.status < 500:
            message = f"the issuer of tokens answered {response.status}: check {grant.setting}"
            raise Misconfigured(grant.setting, message)
        found = _decoded(response.body) if response.status == 200 else {}
        token = found.get(grant.token)
        if not isinstance(token, str) or not token:
            raise Transient(f"the issuer of tokens answered {response.status} without a token")
        self._token = token
        life_s = max(1.0, _seconds(found.get("expires_in"), grant.life_s) - EARLY_S)
        self._until = self._clock() + dt.timedelta(seconds=life_s)


def _decoded(body: bytes) -> Mapping[str, Any]:
    try:
        found: Any = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _seconds(found: Any, default: float) -> float:
    """A number, or a text of one, as issuers write it."""
    try:
        seconds = float(found)
    except (TypeError, ValueError):
        return default
    return seconds if 0 <= seconds < 1e9 else default
