"""Speaks the protocol: levels out in batches, orders in by webhook or page by page."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from stockwright.connectors.json_http.answers import results_in
from stockwright.connectors.json_http.declaration import JsonHttpSettings
from stockwright.connectors.json_http.mapping import key_of, map_message
from stockwright.connectors.json_http.outbound import (
    document_body,
    document_path,
    levels_body,
    map_out,
    shown_in,
)
from stockwright.connectors.json_http.wire import (
    DEFAULT_RETRY_S,
    OrderPage,
    ShownLevels,
    excerpt_of,
    per_level,
)
from stockwright.domain.errors import Misconfigured, Rejected, Throttled, Transient
from stockwright.sdk.connector import Opening
from stockwright.sdk.declaration import Limits
from stockwright.sdk.json_text import read_json
from stockwright.sdk.local_time import zone_of
from stockwright.sdk.messages import (
    Delivered,
    Document,
    Failure,
    InDoubt,
    LevelKey,
    LevelToSend,
    Mapped,
    Outbound,
    Outgoing,
    Page,
    Payload,
    PublishResult,
    Refused,
    Retry,
    ShownLevel,
    SubmitResult,
)
from stockwright.sdk.quotas import RateHeaders, Rationed
from stockwright.sdk.sources import Wrong
from stockwright.sdk.transports import (
    Http,
    HttpRequest,
    HttpResponse,
    NotSent,
    Unanswered,
    json_body,
    retry_after_s,
)
from stockwright.sdk.webhooks import verify

_KEPT_HEADERS: Final[Sequence[str]] = (
    "content-type",
    "user-agent",
    "webhook-id",
    "webhook-timestamp",
)
_WHOLE_BATCH_REFUSED: Final = frozenset({400, 413, 422})
_OPERATOR: Final = {401: "token", 403: "token", 404: "base_url", 405: "publish_method"}
_KEYS_PER_READ_BACK: Final = 50


class JsonHttpConnection:
    """One partner. Publishes, submits, receives, reads back, gives a snapshot, maps both ways."""

    def __init__(self, opening: Opening, settings: JsonHttpSettings) -> None:
        self.system = opening.system
        self.limits = Limits(**{name: getattr(settings, name) for name in Limits.__struct_fields__})
        self.rules = settings.rules
        self._settings = settings
        self._clock = opening.clock
        self._zone = zone_of(opening.time_zone)
        self._channel = settings.channel or opening.system
        self._transport = Rationed(
            opening.transport or Http(settings.concurrency),
            RateHeaders(left=settings.quota_left, reset=settings.quota_reset),
            opening.clock,
        )

    async def close(self) -> None:
        """Closes the connections to the partner."""
        await self._transport.close()

    # ---------------------------------------------------------------- out

    async def publish(self, levels: Sequence[LevelToSend]) -> Sequence[PublishResult]:
        """Sends one batch; where it is refused as a whole, halves find the level at fault."""
        if not levels:
            return []
        deadline = asyncio.get_running_loop().time() + self.limits.timeout_s
        return await self._publish(list(levels), deadline)

    async def _publish(self, levels: list[LevelToSend], deadline: float) -> list[PublishResult]:
        left_s = deadline - asyncio.get_running_loop().time()
        if left_s <= 0:
            return [Retry(retry_after_s=0.0, reason="no time was left to send it")] * len(levels)
        form = levels_body(levels, self._settings)
        if isinstance(form, Failure):
            if len(levels) > 1:
                return await self._halves(levels, deadline)
            return [Refused(reason="form", message=f"{form.path} {form.reason}")]
        body = json_body(form)
        try:
            response = await self._call(
                self._settings.publish_method,
                self._settings.levels_path,
                body=body,
                headers={"idempotency-key": hashlib.sha256(body).hexdigest()},
                timeout_s=left_s,
            )
        except Throttled as error:
            return [Retry(retry_after_s=error.retry_after_s, reason=str(error))] * len(levels)
        except NotSent as error:
            return [Retry(retry_after_s=DEFAULT_RETRY_S, reason=str(error))] * len(levels)
        except Unanswered as error:
            return [InDoubt(reason=str(error))] * len(levels)
        if response.status in _WHOLE_BATCH_REFUSED and len(levels) > 1:
            return await self._halves(levels, deadline)
        return self._results(levels, response)

    async def _halves(self, levels: list[LevelToSend], deadline: float) -> list[PublishResult]:
        middle = len(levels) // 2
        first = await self._publish(levels[:middle], deadline)
        return first + await self._publish(levels[middle:], deadline)

    def _results(self, levels: list[LevelToSend], response: HttpResponse) -> list[PublishResult]:
        status = response.status
        answer = self._settings.answer
        if answer is not None and status in (200, 201, 204, 207):
            return results_in(answer, levels, response.body)
        if status in (200, 207):
            return per_level(levels, response.body)
        self._raise_for_operator(response)
        wait_s = self._wait_s(response)
        result: PublishResult
        if status in _WHOLE_BATCH_REFUSED:
            result = Refused(reason=f"http_{status}", message=excerpt_of(response.body))
        elif status == 429:
            result = Retry(retry_after_s=wait_s, reason="the partner's rate limit")
        else:
            result = InDoubt(reason=f"http_{status}", retry_after_s=wait_s)
        return [result] * len(levels)

    async def read_back(self, keys: Sequence[LevelKey]) -> Sequence[ShownLevel | None]:
        """What the partner shows for these keys, asked fifty at a time."""
        shown: dict[LevelKey, ShownLevel] = {}
        for start in range(0, len(keys), _KEYS_PER_READ_BACK):
            asked = keys[start : start + _KEYS_PER_READ_BACK]
            query = [("listing", key.listing) for key in asked]
            answer = await self._shown(query)
            shown |= {LevelKey(listing=x.listing, location=x.location): x for x in answer.levels}
        return [shown.get(key) for key in keys]

    async def snapshot(self) -> Sequence[ShownLevel]:
        """All the partner shows, page by page. Raises Transient where the pages do not end."""
        found: dict[LevelKey, ShownLevel] = {}
        after = ""
        while True:
            query = [("after", after), ("limit", "1000")]
            answer = await self._shown(query)
            found |= {LevelKey(listing=x.listing, location=x.location): x for x in answer.levels}
            if not answer.next:
                return list(found.values())
            if answer.next <= after:
                raise Transient(f"{self.system} answered the page {answer.next!r} twice")
            after = answer.next

    async def _shown(self, query: list[tuple[str, str]]) -> ShownLevels:
        path = self._settings.levels_path
        answer = await self._get(path, query, Any)
        try:
            return shown_in(answer, self._settings)
        except Wrong as wrong:
            why = f"{wrong.path} {wrong.reason}"
        except msgspec.ValidationError as error:
            why = str(error)
        raise Transient(f"{self.system} answered GET {path} unreadably: {why}")

    async def submit(self, document: Document) -> SubmitResult:
        """Tells one document under its key, which the partner must know again."""
        body = document_body(document, self._settings)
        if body is None:
            message = f"documents of {self.system} lack {type(document).__name__.lower()}"
            return Refused(reason="not_taken", message=message)
        if isinstance(body, Failure):
            return Refused(reason="form", message=f"{body.path} {body.reason}")
        try:
            response = await self._call(
                self._settings.documents_method,
                document_path(document, self._settings),
                body=json_body(body),
                headers={"idempotency-key": hashlib.sha256(document.key.encode()).hexdigest()},
            )
        except Throttled as error:
            return Retry(retry_after_s=error.retry_after_s, reason=str(error))
        except NotSent as error:
            return Retry(retry_after_s=DEFAULT_RETRY_S, reason=str(error))
        except Unanswered as error:
            return InDoubt(reason=str(error))
        return self._submitted(response)

    def _submitted(self, response: HttpResponse) -> SubmitResult:
        status = response.status
        if status in (200, 201, 202, 204):
            return Delivered(reference=key_of(response.body, self._settings.documents_reference))
        if status != 404:
            # Of an order that is not known the document is refused, not the address.
            self._raise_for_operator(response)
        wait_s = self._wait_s(response)
        if status in _WHOLE_BATCH_REFUSED or status == 404:
            return Refused(reason=f"http_{status}", message=excerpt_of(response.body))
        if status == 429:
            return Retry(retry_after_s=wait_s, reason="the partner's rate limit")
        return InDoubt(reason=f"http_{status}", retry_after_s=wait_s)

    def map_out(self, message: Outgoing) -> list[Outbound] | Failure:
        """The call that a message would become."""
        return map_out(message, self._settings)

    # ---------------------------------------------------------------- in

    def receive(self, headers: Mapping[str, str], body: bytes) -> Payload:
        """A webhook whose signature is right."""
        if len(body) > self._settings.max_body_bytes:
            raise Rejected(
                "too_large", "body", f"send at most {self._settings.max_body_bytes} bytes"
            )
        if not self._settings.webhook_secrets:
            raise Misconfigured(
                "webhook_secrets", f"set webhook_secrets of {self.system} to receive its webhooks"
            )
        verify(headers, body, self._settings.webhook_secrets)
        lowered = {name.lower(): value for name, value in headers.items()}
        kept = {name: lowered[name] for name in _KEPT_HEADERS if name in lowered}
        return self._payload(body, kept)

    def map(self, payload: Payload) -> list[Mapped]:
        """The facts of one message."""
        settings = self._settings
        return map_message(
            payload, settings.rules, settings.ignore, settings.event_type, self._zone, self._channel
        )

    def _payload(self, body: bytes, headers: dict[str, str]) -> Payload:
        return Payload(
            body=body,
            content_type=headers.get("content-type", "application/json"),
            headers=headers,
            raw_key=key_of(body, self._settings.raw_key),
        )

    # ---------------------------------------------------------------- calls

    async def _get(self, path: str, query: list[tuple[str, str]], form: type[Any]) -> Any:
        response = await self._call("GET", f"{path}?{urlencode(query)}")
        if response.status == 429 or (response.status == 503 and "retry-after" in response.headers):
            raise Throttled(f"{self.system} asked us to slow down", self._wait_s(response))
        self._raise_for_operator(response)
        if response.status != 200:
            raise Transient(f"{self.system} answered {response.status} to GET {path}")
        try:
            return read_json(response.body, form)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise Transient(f"{self.system} answered GET {path} unreadably: {error}") from None

    async def _call(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> HttpResponse:
        sent = {"accept": "application/json", **(headers or {})}
        if body:
            sent["content-type"] = "application/json"
        if self._settings.token:
            sent["authorization"] = f"Bearer {self._settings.token.reveal()}"
        url = self._settings.base_url.rstrip("/") + path
        timeout_s = self.limits.timeout_s if timeout_s is None else timeout_s
        request = HttpRequest(method=method, url=url, headers=sent, body=body, timeout_s=timeout_s)
        return await self._transport.send(request)

    def _wait_s(self, response: HttpResponse) -> float:
        return retry_after_s(response.headers, self._clock(), DEFAULT_RETRY_S)

    def _raise_for_operator(self, response: HttpResponse) -> None:
        """Raises Misconfigured for answers that no new try will change."""
        setting = _OPERATOR.get(response.status)
        if 300 <= response.status < 400:
            setting = "base_url"
        if setting:
            raise Misconfigured(
                setting, f"{self.system} answered {response.status}: check its setting {setting}"
            )


class PolledJsonHttpConnection(JsonHttpConnection):
    """A partner that is asked for its orders as well."""

    async def read(self, cursor: str) -> Page:
        """The orders after cursor, each a payload of its own with the partner's own bytes."""
        started_at = self._clock()
        query = [("since", cursor), ("limit", str(self._settings.page_size))]
        answer = await self._get(self._settings.orders_path, query, OrderPage)
        if answer.more and answer.next == cursor:
            raise Transient(f"{self.system} has more orders but its cursor {cursor!r} stands still")
        return Page(
            payloads=tuple(self._payload(bytes(order), {}) for order in answer.orders),
            next_cursor=answer.next,
            started_at=started_at,
            complete=not answer.more,
        )

    async def acknowledge(self, page: Page) -> None:
        """The cursor says it all: there is nothing to tell the partner."""


def open_connection(opening: Opening, settings: JsonHttpSettings) -> JsonHttpConnection:
    """A connection with the verbs its settings allow: without orders_path it is not polled."""
    if settings.orders_path:
        return PolledJsonHttpConnection(opening, settings)
    return JsonHttpConnection(opening, settings)
