"""Calls to the Selling Partner API: each under the usage plan of its operation, its errors read."""

import asyncio
import datetime as dt
from collections.abc import Callable
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar

import msgspec

from stockwright.connectors.amazon.declaration import AmazonSettings
from stockwright.connectors.amazon.plans import Pace
from stockwright.domain.errors import Throttled, Transient
from stockwright.sdk.auth import Exchanged, Grant
from stockwright.sdk.calling import WAIT_S, Caller, Query, whole_text
from stockwright.sdk.messages import InDoubt, Refused, Retry
from stockwright.sdk.pacing import Buckets
from stockwright.sdk.transports import HttpRequest, HttpResponse, Transport, Unanswered

T = TypeVar("T")
_OPERATOR: Final = {401: "refresh_token", 403: "refresh_token"}
_REJECTS: Final = frozenset({400, 404, 409, 410, 413, 415, 422})
_STALE: Final = frozenset({401, 403})
"""A token that has ended is answered with 403, as one without a right is."""


class Api:
    """One seller account's API."""

    def __init__(
        self,
        system: str,
        settings: AmazonSettings,
        transport: Transport,
        clock: Callable[[], dt.datetime],
        buckets: Buckets,
    ) -> None:
        grant = Grant(
            url=settings.token_url,
            fields={
                "grant_type": "refresh_token",
                "refresh_token": settings.refresh_token,
                "client_id": settings.client_id,
                "client_secret": settings.client_secret,
            },
            setting="refresh_token",
            as_header="x-amz-access-token",
            prefix="",
        )
        self.pace = Pace(buckets)
        self._clock = clock
        self._ahead = dt.timedelta(0)
        self._caller = Caller(
            system=system,
            base_url=settings.address,
            auth=Exchanged(grant, transport, clock),
            transport=transport,
            timeout_s=settings.timeout_s,
            clock=clock,
            operator=_OPERATOR,
            rejects=_REJECTS,
            headers={"user-agent": "Stockwright (Language=Python)"},
            stale=_STALE,
        )
        self._transport = transport
        self._timeout_s = settings.timeout_s
        self._plain = settings.address.startswith("http://")

    async def close(self) -> None:
        """Gives back the sockets. Safe to repeat."""
        await self._caller.close()

    async def ask(
        self, operation: str, path: str, query: Query = (), within_s: float | None = None
    ) -> HttpResponse:
        """The answer to a GET: a good one, or one of the statuses that reject the question.

        Raises Misconfigured, Throttled or Transient.
        """
        left_s = await self._turn(operation, self._timeout_s if within_s is None else within_s)
        response = await self._caller.send("GET", path, query=query, timeout_s=left_s)
        await self._heard(operation, response)
        if response.status not in _REJECTS:
            self._caller.expect(response, operation)
        return response

    async def read(
        self,
        operation: str,
        path: str,
        form: type[T],
        query: Query = (),
        within_s: float | None = None,
    ) -> T:
        """The decoded answer to a GET. Raises Misconfigured, Throttled or Transient."""
        response = await self.ask(operation, path, query, within_s)
        self._caller.expect(response, operation)
        return self._caller.decode(response.body, form, operation)

    async def write(
        self,
        operation: str,
        method: str,
        path: str,
        *,
        within_s: float,
        json: Any = None,
        query: Query = (),
    ) -> HttpResponse | Refused | Retry | InDoubt:
        """The good answer to a write, or what became of it. Raises Misconfigured: not done."""
        try:
            left_s = await self._turn(operation, within_s)
            response = await self._caller.send(
                method, path, json=json, query=query, timeout_s=left_s
            )
        except Throttled as error:
            return Retry(retry_after_s=error.retry_after_s, reason=str(error))
        except Unanswered as error:
            return InDoubt(reason=str(error))
        except Transient as error:  # no connection, or no token: the call was not made
            return Retry(retry_after_s=WAIT_S, reason=str(error))
        await self._heard(operation, response)
        answer = self._caller.judge(response)
        return _named(answer, response.body) if answer is not None else response

    @property
    def now(self) -> dt.datetime:
        """What Amazon's own clock says, as far as its answers told."""
        return self._clock() - self._ahead

    async def _heard(self, operation: str, response: HttpResponse) -> None:
        await self.pace.heard(operation, response.headers, response.status)
        if response.status < 300:
            with suppress(TypeError, ValueError, IndexError, OverflowError):
                told = parsedate_to_datetime(response.headers.get("date", "")).astimezone(dt.UTC)
                self._ahead = self._clock() - told

    async def _turn(self, operation: str, within_s: float) -> float:
        """Waits for a call's turn; the seconds left for the call, at least half of what there were.

        Raises Throttled where the turn comes later.
        """
        now = asyncio.get_running_loop().time
        began = now()
        await self.pace.turn(operation, within_s / 2)
        return max(0.1, within_s - (now() - began))

    def decode(self, body: bytes, form: type[T], what: str) -> T:
        """A body as a type. Raises Transient where it is none."""
        return self._caller.decode(body, form, what)

    async def upload(self, url: str, content_type: str, body: bytes, within_s: float) -> None:
        """Puts a document where Amazon said. Raises Transient: without its feed it does nothing."""
        headers = {"content-type": content_type}
        await self._elsewhere("PUT", url, headers, body, within_s)

    async def download(self, url: str, within_s: float) -> bytes:
        """A document from where Amazon keeps it. Raises Transient."""
        return await self._elsewhere("GET", url, {}, b"", within_s)

    async def _elsewhere(
        self, method: str, url: str, headers: dict[str, str], body: bytes, within_s: float
    ) -> bytes:
        """A call to a presigned address: it carries no token of ours."""
        if not url.startswith("https://") and not self._plain:
            raise Transient("Amazon led us to an address without TLS")
        request = HttpRequest(
            method=method, url=url, headers=headers, body=body, timeout_s=max(0.1, within_s)
        )
        response = await self._transport.send(request)
        if response.status not in (200, 201, 204):
            raise Transient(f"Amazon's document store answered {response.status} to {method}")
        return response.body


class _Error(msgspec.Struct):
    code: str = ""
    message: str = ""


class _Errors(msgspec.Struct):
    errors: list[_Error] = []


def _named(answer: Refused | Retry | InDoubt, body: bytes) -> Refused | Retry | InDoubt:
    """A refusal under Amazon's own code, where the answer has one."""
    found = errors_of(body)
    if not isinstance(answer, Refused) or not found:
        return answer
    code, message = found[0]
    return Refused(reason=code or answer.reason, message=message)


def errors_of(body: bytes) -> list[tuple[str, str]]:
    """(code, message) of each error an answer names; [] where it names none."""
    try:
        told = msgspec.convert(whole_text(body), _Errors)
    except msgspec.ValidationError:
        return []
    return [(error.code, error.message) for error in told.errors]


def surely_not_done(answer: Refused | Retry | InDoubt) -> Refused | Retry:
    """What a failed preparation means: until it succeeded, nothing was to be changed."""
    if isinstance(answer, InDoubt):
        return Retry(retry_after_s=answer.retry_after_s or WAIT_S, reason=answer.reason)
    return answer


def left_s(deadline: float) -> float:
    """Seconds until a time of the loop."""
    return deadline - asyncio.get_running_loop().time()
