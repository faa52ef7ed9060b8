"""Speaks for one seller account: each verb is a module of its own."""

import hmac
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from stockwright.connectors.amazon import documents, lanes, listings, orders
from stockwright.connectors.amazon.api import Api
from stockwright.connectors.amazon.declaration import PATIENCE, AmazonSettings
from stockwright.connectors.amazon.listing_feeds import ListingFeeds
from stockwright.connectors.amazon.mapping import map_message, order_key
from stockwright.connectors.amazon.order_cursor import cursor_of
from stockwright.connectors.amazon.order_feeds import OrderFeeds
from stockwright.connectors.amazon.outbound import map_out
from stockwright.domain.errors import Misconfigured, Rejected
from stockwright.sdk.connector import Opening
from stockwright.sdk.declaration import Limits
from stockwright.sdk.messages import (
    Document,
    Failure,
    LevelKey,
    LevelToSend,
    Mapped,
    Outbound,
    Outgoing,
    Page,
    Payload,
    PublishResult,
    Shipment,
    ShownLevel,
    SubmitResult,
)
from stockwright.sdk.transports import Http

KEY_HEADER: Final = "x-api-key"


class AmazonConnection:
    """One seller account in one region."""

    paces_itself: Final = True
    keeps_jobs: Final = True

    def __init__(self, opening: Opening, settings: AmazonSettings) -> None:
        self.system = opening.system
        self.limits = Limits(**{name: getattr(settings, name) for name in Limits.__struct_fields__})
        self.poll_every_s = settings.pace.poll_every_s
        self.patience = msgspec.structs.replace(
            PATIENCE, orders_every_s=settings.pace.asked_every_s
        )
        self._settings = settings
        self._clock = opening.clock
        self._channel = settings.channel or opening.system
        transport = opening.transport or Http()
        self._api = Api(opening.system, settings, transport, opening.clock, opening.buckets)
        self._listing_feeds = ListingFeeds(self._api, settings, opening.clock)
        self._order_feeds = OrderFeeds(self._api, settings, opening.clock)

    async def close(self) -> None:
        """Closes the connections to Amazon."""
        await self._api.close()

    # ---------------------------------------------------------------- out

    async def publish(self, levels: Sequence[LevelToSend]) -> Sequence[PublishResult]:
        """Sends levels, urgent ones by patch and bulk by feed; asks what became of earlier feeds.

        A level in a feed is in doubt, and taken, until it is handed over again after the feed's
        end.
        """
        if not levels:
            return []
        return await lanes.publish(self._api, self._settings, self._listing_feeds, levels)

    async def read_back(self, keys: Sequence[LevelKey]) -> Sequence[ShownLevel | None]:
        """What Amazon shows of these listings."""
        return await listings.read_back(self._api, self._settings, keys)

    async def snapshot(self) -> Sequence[ShownLevel]:
        """All listings that the seller ships himself."""
        return await listings.snapshot(self._api, self._settings)

    async def submit(self, document: Document) -> SubmitResult:
        """Confirms a shipment; cancels and pays back by feed.

        What is in a feed is in doubt, and taken, until it is told again after the feed's end.
        """
        return await documents.submit(self._api, self._settings, self._order_feeds, document)

    async def follow(self, document: Document, reference: str) -> SubmitResult:
        """What became of a document in a feed that an earlier process made."""
        if isinstance(document, Shipment):
            return await self.submit(document)
        return await self._order_feeds.follow(document, reference)

    def map_out(self, message: Outgoing) -> list[Outbound] | Failure:
        """The patch of each level, or the package of a shipment; what feeds hold of an order, only
        Amazon's own answers tell.
        """
        return map_out(message, self._settings)

    # ---------------------------------------------------------------- in

    def receive(self, headers: Mapping[str, str], body: bytes) -> Payload | None:
        """A notification, brought by a relay that knows one of our keys.

        Amazon signs nothing: its event bus proves itself with a key in `x-api-key`.
        """
        settings = self._settings
        if len(body) > settings.max_body_bytes:
            most = settings.max_body_bytes
            raise Rejected("too_large", "body", f"send at most {most} bytes")
        if not settings.webhook_secrets:
            raise Misconfigured("webhook_secrets", "set webhook_secrets to receive notifications")
        given = {name.lower(): value for name, value in headers.items()}.get(KEY_HEADER, "")
        known = [
            hmac.compare_digest(secret.reveal().encode(), given.encode("utf-8", "replace"))
            for secret in settings.webhook_secrets
        ]
        if not any(known):
            raise Rejected("signature", "headers", f"{KEY_HEADER} is none of our keys")
        return self._payload(body)

    async def read(self, cursor: str) -> Page:
        """The orders that changed since the cursor, each with its items.

        started_at is the time up to which Amazon listed changes: it lags behind by minutes.
        """
        now = self._clock()
        found = await orders.read(self._api, self._settings, cursor_of(cursor), now)
        return Page(
            payloads=tuple(self._payload(body) for body in found.messages),
            next_cursor=msgspec.json.encode(found.cursor).decode(),
            started_at=found.proven_at,
            complete=found.complete,
        )

    async def acknowledge(self, page: Page) -> None:
        """The cursor says it all: there is nothing to tell Amazon."""

    def map(self, payload: Payload) -> list[Mapped]:
        """The facts of one message."""
        settings = self._settings
        return map_message(payload.body, settings.sold, settings.cancelled, self._channel)

    def _payload(self, body: bytes) -> Payload:
        return Payload(body=body, content_type="application/json", raw_key=order_key(body))


def open_connection(opening: Opening, settings: AmazonSettings) -> AmazonConnection:
    """A connection to one seller account."""
    return AmazonConnection(opening, settings)
