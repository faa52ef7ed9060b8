"""Speaks to one store: each verb is a module of its own."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from stockwright.connectors.bigcommerce import documents, orders
from stockwright.connectors.bigcommerce.api import Api
from stockwright.connectors.bigcommerce.declaration import BigSettings
from stockwright.connectors.bigcommerce.levels import Levels
from stockwright.connectors.bigcommerce.mapping import Reading, map_message, order_key
from stockwright.connectors.bigcommerce.webhooks import prove, watch
from stockwright.domain.errors import Rejected
from stockwright.sdk.calling import in_time
from stockwright.sdk.connector import Opening
from stockwright.sdk.declaration import Limits
from stockwright.sdk.messages import (
    Document,
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

_KEPT_HEADERS: Final = ("content-type", "webhook-id", "webhook-timestamp")


class BigConnection:
    """One store."""

    def __init__(self, opening: Opening, settings: BigSettings) -> None:
        self.system = opening.system
        self.limits = Limits(**{name: getattr(settings, name) for name in Limits.__struct_fields__})
        self._settings = settings
        self._clock = opening.clock
        self._api = Api(opening, settings)
        self._levels = Levels(self._api, settings, opening.clock)
        self.webhook_look_s = float(settings.webhook_look_s)
        self._reading = Reading(
            sold=settings.sold,
            cancelled=settings.cancelled,
            channel=settings.channel or opening.system,
            by_sku=settings.listings == "sku",
        )

    async def close(self) -> None:
        """Closes the connections to the store."""
        await self._api.close()

    # ---------------------------------------------------------------- out

    async def publish(self, levels: Sequence[LevelToSend]) -> Sequence[PublishResult]:
        """Sends one batch: one call, and one more to see it shown."""
        return await self._levels.publish(levels) if levels else []

    async def read_back(self, keys: Sequence[LevelKey]) -> Sequence[ShownLevel | None]:
        """What the location holds of these listings."""
        return await self._levels.read_back(keys) if keys else []

    async def snapshot(self) -> Sequence[ShownLevel]:
        """All that the location holds, page by page."""
        return await self._levels.snapshot()

    async def submit(self, document: Document) -> SubmitResult:
        """Tells the store what was shipped, cancelled or paid back."""
        telling = documents.submit(self._api, self._settings, document)
        return await in_time(telling, self.limits.timeout_s)

    # ---------------------------------------------------------------- in

    def receive(self, headers: Mapping[str, str], body: bytes) -> Payload | None:
        """A webhook whose signature is right: it names an order, which the next poll asks for."""
        if len(body) > self._settings.max_body_bytes:
            most = self._settings.max_body_bytes
            raise Rejected("too_large", "body", f"send at most {most} bytes")
        prove(headers, body, self._settings.client_secrets)
        lowered = {name.lower(): value for name, value in headers.items()}
        kept = {str(name): lowered[name] for name in _KEPT_HEADERS if name in lowered}
        return self._payload(body, kept, hint=True)

    async def read(self, cursor: str) -> Page:
        """The orders that changed since the cursor, each with its products and refunds."""
        started_at = self._clock()
        settings = self._settings
        begin = orders.cursor_of(cursor, started_at, settings.first_poll_days)
        found = await orders.read(self._api, settings, begin)
        return Page(
            payloads=tuple(self._payload(body, {}) for body in found.messages),
            next_cursor=msgspec.json.encode(found.cursor).decode(),
            started_at=started_at,
            complete=found.complete,
        )

    async def watch_webhooks(self) -> Sequence[WebhookOff]:
        """Makes the webhook to our address, or switches it on again."""
        return await watch(self._api, self._settings.webhook_url)

    async def acknowledge(self, page: Page) -> None:
        """The cursor says it all: there is nothing to tell the store."""

    def map(self, payload: Payload) -> list[Mapped]:
        """The facts of one message."""
        return map_message(payload.body, self._reading)

    def _payload(self, body: bytes, headers: dict[str, str], *, hint: bool = False) -> Payload:
        content_type = headers.get("content-type", "application/json")
        return Payload(
            body=body,
            content_type=content_type,
            headers=headers,
            raw_key=order_key(body),
            hint=hint,
        )


def open_connection(opening: Opening, settings: BigSettings) -> BigConnection:
    """A connection to one store."""
    return BigConnection(opening, settings)
