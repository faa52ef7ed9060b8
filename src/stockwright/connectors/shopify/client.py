"""Speaks to one shop: each verb is a module of its own."""

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

import msgspec

from stockwright.connectors.shopify import documents, orders
from stockwright.connectors.shopify.catalogue import Catalogue
from stockwright.connectors.shopify.declaration import ShopifySettings
from stockwright.connectors.shopify.levels import Levels
from stockwright.connectors.shopify.mapping import (
    HINTS,
    TOPIC,
    Reading,
    map_message,
    order_key,
    restocked,
)
from stockwright.connectors.shopify.paced import Paced
from stockwright.connectors.shopify.webhooks import Watch
from stockwright.domain.errors import Rejected
from stockwright.sdk.auth import Auth, Exchanged, Grant, header
from stockwright.sdk.calling import Caller, in_time
from stockwright.sdk.connector import Opening
from stockwright.sdk.declaration import Limits
from stockwright.sdk.graphql import GraphQL
from stockwright.sdk.messages import (
    Cancellation,
    Document,
    InDoubt,
    LevelKey,
    LevelToSend,
    Mapped,
    Page,
    Payload,
    PublishResult,
    ShownLevel,
    SubmitResult,
    WebhookOff,
)
from stockwright.sdk.signatures import prove
from stockwright.sdk.transports import Http, Transport

SIGNATURE: Final = "x-shopify-hmac-sha256"
_KEPT_HEADERS: Final = (
    "content-type",
    TOPIC,
    "x-shopify-shop-domain",
    "x-shopify-webhook-id",
    "x-shopify-event-id",
    "x-shopify-api-version",
    "x-shopify-triggered-at",
)
MOST_JOBS: Final = 1_000
"""Jobs of the shop that are remembered at one time, by the keys of their documents."""
TOKEN_HEADER: Final = "x-shopify-access-token"
TOKENS_PATH: Final = "/admin/oauth/access_token"
TOKEN_LIFE_S: Final = 86_399.0
"""What Shopify documents for tokens of the client credentials grant."""


def _auth(
    settings: ShopifySettings, transport: Transport, clock: Callable[[], dt.datetime]
) -> Auth:
    """A lasting token as it is; tokens of the Dev Dashboard's apps end after a day."""
    if settings.access_token is not None:
        return header(TOKEN_HEADER, settings.access_token)
    assert settings.client_secret is not None
    grant = Grant(
        url=f"{settings.base_url.rstrip('/')}{TOKENS_PATH}",
        fields={
            "grant_type": "client_credentials",
            "client_id": settings.client_id,
            "client_secret": settings.client_secret,
        },
        setting="client_secret",
        as_header=TOKEN_HEADER,
        prefix="",
        life_s=TOKEN_LIFE_S,
    )
    return Exchanged(grant, transport, clock)


class ShopifyConnection:
    """One shop."""

    def __init__(self, opening: Opening, settings: ShopifySettings) -> None:
        self.system = opening.system
        self.limits = Limits(**{name: getattr(settings, name) for name in Limits.__struct_fields__})
        self._settings = settings
        self._clock = opening.clock
        self._reading = Reading(
            channel=settings.channel or opening.system,
            by_sku=settings.listings == "sku",
            test_orders=settings.test_orders,
            returns_at=settings.returns_at,
        )
        transport = opening.transport or Http(settings.concurrency)
        credential = settings.credential
        self._caller = Caller(
            system=opening.system,
            base_url=settings.base_url,
            auth=_auth(settings, transport, opening.clock),
            transport=transport,
            timeout_s=settings.timeout_s,
            clock=opening.clock,
            operator={
                **dict.fromkeys((401, 403), credential),
                **dict.fromkeys((402, 404, 423), "base_url"),
            },
        )
        path = f"/admin/api/{settings.api_version}/graphql.json"
        self._shop = Paced(GraphQL(self._caller, path, access=credential))
        catalogue = Catalogue(self._shop, self._reading.by_sku, opening.clock)
        self._levels = Levels(self._shop, catalogue, settings)
        self._jobs: dict[str, str] = {}
        self._watch = Watch(self._shop, settings.webhook_url)
        self.webhook_look_s = float(settings.webhook_look_s)

    async def close(self) -> None:
        """Closes the connections to the shop."""
        await self._caller.close()

    # ---------------------------------------------------------------- out

    async def publish(self, levels: Sequence[LevelToSend]) -> Sequence[PublishResult]:
        """Sends one batch: one call, and one more for what was refused or has changed there."""
        return await self._levels.publish(levels) if levels else []

    async def read_back(self, keys: Sequence[LevelKey]) -> Sequence[ShownLevel | None]:
        """What the shop has available of these listings."""
        return await self._levels.read_back(keys) if keys else []

    async def snapshot(self) -> Sequence[ShownLevel]:
        """All that the configured locations of the shop have available."""
        return await self._levels.snapshot()

    async def submit(self, document: Document) -> SubmitResult:
        """Tells the shop what was shipped, cancelled or paid back."""
        job = self._jobs.get(document.key)
        if job is not None:
            return await self.follow(document, job)
        telling = documents.submit(self._shop, self._settings, document)
        result = await in_time(telling, self.limits.timeout_s)
        if isinstance(result, InDoubt) and result.reference:
            while len(self._jobs) >= MOST_JOBS:
                del self._jobs[next(iter(self._jobs))]
            self._jobs[document.key] = result.reference
        return result

    async def follow(self, document: Document, reference: str) -> SubmitResult:
        """What became of a cancellation that the shop accepted as a job of its own."""
        if not isinstance(document, Cancellation) or document.lines:
            return await self.submit(document)
        result = await in_time(
            documents.follow(self._shop, document, reference), self.limits.timeout_s
        )
        if not isinstance(result, InDoubt):
            self._jobs.pop(document.key, None)
        return result

    # ---------------------------------------------------------------- in

    def receive(self, headers: Mapping[str, str], body: bytes) -> Payload | None:
        """A webhook whose signature is right; None for one that is only a hint."""
        if len(body) > self._settings.max_body_bytes:
            most = self._settings.max_body_bytes
            raise Rejected("too_large", "body", f"send at most {most} bytes")
        prove(headers, body, self._settings.webhook_secrets, name=SIGNATURE)
        lowered = {name.lower(): value for name, value in headers.items()}
        if lowered.get(TOPIC) in HINTS:
            return None
        return self._payload(
            body, {name: lowered[name] for name in _KEPT_HEADERS if name in lowered}
        )

    async def watch_webhooks(self) -> Sequence[WebhookOff]:
        """Makes the shop's webhooks to us where there are none, or none any more."""
        return await self._watch.look()

    async def read(self, cursor: str) -> Page:
        """The orders that changed since the cursor, each with its refunds."""
        started_at = self._clock()
        settings = self._settings
        found = await orders.read(
            self._shop, orders.cursor_of(cursor), settings.page_size, settings.overlap_s
        )
        return Page(
            payloads=tuple(self._payload(body, {}) for body in found.messages),
            next_cursor=msgspec.json.encode(found.cursor).decode(),
            started_at=started_at,
            complete=found.complete,
        )

    async def acknowledge(self, page: Page) -> None:
        """The cursor says it all: there is nothing to tell the shop."""

    def map(self, payload: Payload) -> list[Mapped]:
        """The facts of one message."""
        return map_message(payload.body, payload.headers.get(TOPIC, ""), self._reading)

    def restocked(self, payload: Payload) -> Collection[str]:
        """What the shop put back on sale of goods that it says came back."""
        return restocked(payload.body, payload.headers.get(TOPIC, ""), self._reading)

    def _payload(self, body: bytes, headers: dict[str, str]) -> Payload:
        content_type = headers.get("content-type", "application/json")
        key = order_key(body, headers.get(TOPIC, ""))
        return Payload(body=body, content_type=content_type, headers=headers, raw_key=key)


def open_connection(opening: Opening, settings: ShopifySettings) -> ShopifyConnection:
    """A connection to one shop."""
    return ShopifyConnection(opening, settings)
