"""Speaks to one shop: each verb is a module of its own."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from stockwright.connectors.woocommerce import documents, levels, orders, webhooks
from stockwright.connectors.woocommerce.catalogue import API, Catalogue, Place, Product, pages
from stockwright.connectors.woocommerce.declaration import MOST_AT_ONCE, WooSettings
from stockwright.connectors.woocommerce.mapping import map_order, order_key
from stockwright.domain.errors import Rejected
from stockwright.sdk.auth import basic
from stockwright.sdk.calling import Caller, in_time
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
from stockwright.sdk.signatures import prove
from stockwright.sdk.transports import Http

_KEPT_HEADERS: Final = ("content-type", orders.TOPIC, "x-wc-webhook-id", "x-wc-webhook-delivery-id")
_GREETING: Final = re.compile(rb"webhook_id=\d{1,18}")
_OPERATOR: Final = {401: "consumer_key", 403: "consumer_key", 404: "base_url"}


class WooConnection:
    """One shop."""

    def __init__(self, opening: Opening, settings: WooSettings) -> None:
        self.system = opening.system
        self.limits = Limits(**{name: getattr(settings, name) for name in Limits.__struct_fields__})
        self._settings = settings
        self.webhook_look_s = float(settings.webhook_look_s)
        self._clock = opening.clock
        self._channel = settings.channel or opening.system
        self._caller = Caller(
            system=opening.system,
            base_url=settings.base_url,
            auth=basic(settings.consumer_key, settings.consumer_secret),
            transport=opening.transport or Http(settings.concurrency),
            timeout_s=settings.timeout_s,
            clock=opening.clock,
            operator=_OPERATOR,
        )
        secret = next(iter(settings.webhook_secrets), None)
        self._watch = webhooks.Watch(self._caller, settings.webhook_url, secret)
        self._catalogue = Catalogue(self._caller, settings.listings == "sku", opening.clock)

    async def close(self) -> None:
        """Closes the connections to the shop."""
        await self._caller.close()

    # ---------------------------------------------------------------- out

    async def publish(self, levels_: Sequence[LevelToSend]) -> Sequence[PublishResult]:
        """Sends one batch: a call for its products, and one for the variations of each parent."""
        if not levels_:
            return []
        timeout_s = self.limits.timeout_s
        return await levels.publish(self._caller, self._catalogue, levels_, timeout_s)

    async def read_back(self, keys: Sequence[LevelKey]) -> Sequence[ShownLevel | None]:
        """What the shop shows for these listings."""
        places = await self._catalogue.places(key.listing for key in keys)
        groups: dict[str, list[Place]] = {}
        for place in places.values():
            groups.setdefault(place.path, []).append(place)
        shown: dict[int, int | None] = {}
        for path, some in groups.items():
            for start in range(0, len(some), MOST_AT_ONCE):
                shown |= await self._shown(path, some[start : start + MOST_AT_ONCE])
        found: list[ShownLevel | None] = []
        for key in keys:
            known = places.get(key.listing)
            units = shown.get(known.id) if known is not None and not key.location else None
            found.append(None if units is None else ShownLevel(listing=key.listing, quantity=units))
        return found

    async def _shown(self, path: str, some: Sequence[Place]) -> dict[int, int | None]:
        query = [
            ("include", ",".join(str(place.id) for place in some)),
            ("per_page", str(MOST_AT_ONCE)),
            ("status", "any"),
        ]
        products = await self._caller.read(path, list[Product], query=query)
        return {product.id: product.shown for product in products}

    async def snapshot(self) -> Sequence[ShownLevel]:
        """All products and variations of which the shop keeps a number, page by page."""
        size = self._settings.page_size
        found: dict[str, ShownLevel] = {}
        for product in await pages(self._caller, f"{API}/products", {"status": "any"}, size):
            self._add(found, product, 0)
            if product.variations:
                path = Place(product.id, 0).path
                for variation in await pages(self._caller, path, {"status": "any"}, size):
                    self._add(found, variation, product.id)
        return list(found.values())

    def _add(self, found: dict[str, ShownLevel], product: Product, parent: int) -> None:
        name, units = self._catalogue.name_of(product, parent), product.shown
        if name and units is not None:
            found[name] = ShownLevel(listing=name, quantity=units)

    async def submit(self, document: Document) -> SubmitResult:
        """Tells the shop what was shipped, cancelled or paid back."""
        telling = documents.submit(self._caller, document)
        return await in_time(telling, self.limits.timeout_s)

    # ---------------------------------------------------------------- in

    def receive(self, headers: Mapping[str, str], body: bytes) -> Payload | None:
        """A webhook whose signature is right; None for the greeting sent when one is set up."""
        if len(body) > self._settings.max_body_bytes:
            most = self._settings.max_body_bytes
            raise Rejected("too_large", "body", f"send at most {most} bytes")
        if _GREETING.fullmatch(body):
            return None  # it is not signed, and says nothing
        prove(headers, body, self._settings.webhook_secrets, name="X-WC-Webhook-Signature")
        lowered = {name.lower(): value for name, value in headers.items()}
        kept = {name: lowered[name] for name in _KEPT_HEADERS if name in lowered}
        return self._payload(body, kept)

    async def read(self, cursor: str) -> Page:
        """The orders that changed since the cursor, each with its refunds."""
        started_at = self._clock()
        settings = self._settings
        found = await orders.read(
            self._caller,
            orders.cursor_of(cursor),
            (*settings.sold, *settings.cancelled),
            settings.page_size,
            settings.overlap_s,
        )
        return Page(
            payloads=tuple(self._payload(body, {}) for body in found.messages),
            next_cursor=msgspec.json.encode(found.cursor).decode(),
            started_at=started_at,
            complete=found.complete,
        )

    async def watch_webhooks(self) -> Sequence[WebhookOff]:
        """Switches on again what the shop has disabled of the webhooks to us; makes missing ones
        where it is told the address.
        """
        return await self._watch.look()

    async def acknowledge(self, page: Page) -> None:
        """The cursor says it all: there is nothing to tell the shop."""

    def map(self, payload: Payload) -> list[Mapped]:
        """The facts of one message."""
        settings = self._settings
        topic = payload.headers.get(orders.TOPIC, "")
        return map_order(payload.body, topic, settings.sold, settings.cancelled, self._channel)

    def _payload(self, body: bytes, headers: dict[str, str]) -> Payload:
        content_type = headers.get("content-type", "application/json")
        return Payload(
            body=body, content_type=content_type, headers=headers, raw_key=order_key(body)
        )


def open_connection(opening: Opening, settings: WooSettings) -> WooConnection:
    """A connection to one shop."""
    return WooConnection(opening, settings)
