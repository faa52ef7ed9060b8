"""Calls to one partner's HTTP API: where it is, who calls, and what its answers mean.

A read raises what the house's error tree says. A write is judged: an answer that says nothing about
single levels becomes the result of each of them.
"""

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

import msgspec

from stockwright.domain.errors import Misconfigured, Throttled, Transient
from stockwright.sdk.auth import Auth
from stockwright.sdk.json_text import read_json
from stockwright.sdk.messages import InDoubt, Refused, Retry, SubmitResult, WebhookOff
from stockwright.sdk.transports import (
    HttpRequest,
    HttpResponse,
    NotSent,
    Transport,
    Unanswered,
    json_body,
    retry_after_s,
)

T = TypeVar("T")
WAIT_S: Final = 5.0
"""Until the next try, where the partner does not say."""
EXCERPT: Final = 300
Query = Sequence[tuple[str, str]]


async def in_time(submitting: Awaitable[SubmitResult], timeout_s: float) -> SubmitResult:
    """What became of a document that takes several calls; in doubt where they take too long.

    For connections that leave a document's key behind: whoever comes again finds what was made.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await submitting
    except TimeoutError:
        return InDoubt(
            reason="the partner took longer than one call may take", retry_after_s=WAIT_S
        )


class Caller:
    """One partner's API.

    operator names the setting that an operator must look at, by status: 401, 403 and 404 as a rule.
    rejects are the statuses that say a request is wrong by itself and was not carried out. stale
    are those with which a token that has ended is answered.
    """

    def __init__(
        self,
        *,
        system: str,
        base_url: str,
        auth: Auth,
        transport: Transport,
        timeout_s: float,
        clock: Callable[[], dt.datetime],
        operator: Mapping[int, str],
        rejects: frozenset[int] = frozenset({400, 409, 413, 422}),
        headers: Mapping[str, str] | None = None,
        stale: frozenset[int] = frozenset({401}),
    ) -> None:
        self.system = system
        self.base_url = base_url.rstrip("/")
        self._auth = auth
        self._transport = transport
        self._timeout_s = timeout_s
        self._clock = clock
        self._operator = operator
        self._rejects = rejects
        self._stale = stale
        self._headers = {"accept": "application/json", **(headers or {})}

    async def close(self) -> None:
        """Gives back the sockets. Safe to repeat."""
        await self._transport.close()

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        json: Any = None,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> HttpResponse:
        """The answer, whatever its status. Raises NotSent, Unanswered, Misconfigured, Throttled.

        A path with a scheme is an address of its own, for links of the partner to its next page:
        it must be on the partner's host. A call refused for its token is made once more with a new
        one: it was not carried out.
        """
        content = json_body(json) if json is not None else body
        sent = {**self._headers, **(headers or {})}
        if json is not None:
            sent.setdefault("content-type", "application/json")
        for last in (False, True):
            proof = await self._auth.headers()
            request = HttpRequest(
                method=method,
                url=self._address(path, query),
                headers={**sent, **proof},
                body=content,
                timeout_s=self._timeout_s if timeout_s is None else timeout_s,
            )
            response = await self._transport.send(request)
            if last or response.status not in self._stale or not await self._renewed(proof):
                break
        return response

    async def _renewed(self, refused: Mapping[str, str]) -> bool:
        """Whether another credential may be taken than the one that was refused.

        Of many calls that were under way with it, the first forgets it: what the others find by
        then is new, and must not be forgotten as well.
        """
        if dict(await self._auth.headers()) != dict(refused):
            return True
        return self._auth.refused()

    async def read(self, path: str, form: type[T], *, query: Query = ()) -> T:
        """The decoded answer to a GET. Raises Misconfigured, Throttled or Transient."""
        response = await self.send("GET", path, query=query)
        self.expect(response, f"GET {path}")
        return self.decode(response.body, form, f"GET {path}")

    def expect(self, response: HttpResponse, what: str) -> None:
        """Raises for an answer that is not good, where nothing was to be changed."""
        if 200 <= response.status < 300:
            return
        if response.status == 429 or (response.status == 503 and "retry-after" in response.headers):
            raise Throttled(f"{self.system} asked us to slow down", self.wait_s(response))
        self.raise_for_operator(response)
        raise Transient(f"{self.system} answered {response.status} to {what}")

    def judge(self, response: HttpResponse) -> Refused | Retry | InDoubt | None:
        """What an answer to a write says about all that was in it; None where it was taken.

        Raises Misconfigured where an operator must act.
        """
        status = response.status
        if 200 <= status < 300:
            return None
        self.raise_for_operator(response)
        if status == 429:
            return Retry(retry_after_s=self.wait_s(response), reason="the partner's rate limit")
        if status in self._rejects:
            return Refused(reason=f"http_{status}", message=excerpt_of(response.body))
        return InDoubt(reason=f"http_{status}", retry_after_s=self.wait_s(response))

    async def write(
        self, method: str, path: str, *, as_is: Collection[int] = (), **more: Any
    ) -> HttpResponse | Refused | Retry | InDoubt:
        """The good answer to a write, or what became of all that was in it.

        An answer with a status of as_is is handed back unjudged, for callers who read more in it.
        Raises Misconfigured where an operator must act: nothing was done.
        """
        try:
            response = await self.send(method, path, **more)
        except Throttled as error:
            return Retry(retry_after_s=error.retry_after_s, reason=str(error))
        except NotSent as error:
            return Retry(retry_after_s=WAIT_S, reason=str(error))
        except Unanswered as error:
            return InDoubt(reason=str(error))
        except Transient as error:  # the issuer of tokens: the call itself was not made
            return Retry(retry_after_s=WAIT_S, reason=str(error))
        if response.status in as_is:
            return response
        return self.judge(response) or response

    def decode(self, body: bytes, form: type[T], what: str) -> T:
        """A body as a type. Raises Transient where it is none."""
        try:
            return read_json(body, form)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            raise Transient(f"{self.system} answered {what} unreadably: {error}") from None

    def wait_s(self, response: HttpResponse) -> float:
        """Seconds the partner asks us to wait."""
        return retry_after_s(response.headers, self._clock(), WAIT_S)

    def raise_for_operator(self, response: HttpResponse) -> None:
        """Raises Misconfigured for an answer that no new try will change."""
        setting = self._operator.get(response.status)
        if 300 <= response.status < 400:
            setting = "base_url"
        if setting:
            message = f"{self.system} answered {response.status}: check its setting {setting}"
            raise Misconfigured(setting, message)

    def _address(self, path: str, query: Query) -> str:
        address = path if "://" in path else self.base_url + path
        if not address.startswith(self.base_url + "/") and address != self.base_url:
            raise Transient(f"{self.system} led us to an address that is not its own")
        if query:
            address += ("&" if "?" in address else "?") + urlencode(query)
        return address


def webhook_after(
    topic: str, answer: HttpResponse | Refused | Retry | InDoubt, *, is_on: bool = True
) -> WebhookOff:
    """What became of a webhook that was off, from the answer to the write that switches it on.

    is_on False: a good answer that shows it off all the same.
    """
    if isinstance(answer, HttpResponse):
        why = "" if is_on else "stays off, though the partner took our call: look at it there"
        return WebhookOff(topic=topic, on_again=is_on, why=why)
    told = f" ({answer.message})" if isinstance(answer, Refused) and answer.message else ""
    return WebhookOff(
        topic=topic, on_again=False, why=f"could not be switched on: {answer.reason}{told}"
    )


def excerpt_of(body: bytes) -> str:
    """The beginning of an answer, for people."""
    return body[:EXCERPT].decode("utf-8", "replace")


def whole_text(body: bytes) -> Any:
    """A JSON body as plain values, or None where it is none."""
    try:
        return read_json(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
