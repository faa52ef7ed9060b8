"""Speaks to one shop: each verb is a module of its own."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from stockwright.connectors.medusa import documents, orders
from stockwright.connectors.medusa.catalogue import Catalogue, Item
from stockwright.connectors.medusa.declaration import MedusaSettings
from stockwright.connectors.medusa.levels import Levels
from stockwright.connectors.medusa.mapping import Reading, map_message, order_key
from stockwright.connectors.medusa.shop import Shop
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
)
from stockwright.sdk.signatures import prove
from stockwright.sdk.transports import Http

SIGNATURE: Final = "x-stockwright-signature"
EVENT: Final = "x-medusa-event"
_KEPT_HEADERS: Final[Sequence[str]] = ("content-type", EVENT)
_ROWS_AT_ONCE: Final = 200


class MedusaConnection:
    """One shop."""

    def __init__(self, opening: Opening, settings: MedusaSettings) -> None:
        self.system = opening.system
        self.limits = Limits(**{name: getattr(settings, name) for name in Limits.__struct_fields__})
        self._settings = settings
        self._clock = opening.clock
        self._places = {"": settings.location} if settings.location else {}
        self._places |= settings.locations
        self._reading = Reading(
            channel=settings.channel or opening.system,
            listings=settings.listings,
            sales_channels=frozenset(settings.sales_channels),
            places={place: code for code, place in settings.locations.items()},
            returns=settings.returns,
        )
        transport = opening.transport or Http(settings.concurrency)
        self._shop = Shop(opening.system, settings, transport, opening.clock)
        self._catalogue = Catalogue(self._shop, settings.listings, opening.clock)
        self._levels = Levels(self._shop, self._catalogue, self._places, settings.timeout_s)

    async def close(self) -> None:
        """Closes the connections to the shop."""
        await self._shop.close()

    # ---------------------------------------------------------------- out

    async def publish(self, levels: Sequence[LevelToSend]) -> Sequence[PublishResult]:
        """Sends one batch in one call; halves of it where the shop refuses one of its levels."""
        return await self._levels.publish(levels) if levels else []

    async def read_back(self, keys: Sequence[LevelKey]) -> Sequence[ShownLevel | None]:
        """What the shop has of these listings, units on its own open orders included."""
        found = await self._catalogue.look_up(list(dict.fromkeys(key.listing for key in keys)))
        return [self._shown(key, found.get(key.listing)) for key in keys]

    async def snapshot(self) -> Sequence[ShownLevel]:
        """All that the configured stock locations of the shop have."""
        items = await self._catalogue.snapshot(_ROWS_AT_ONCE)
        # A stock location that is the channel's as a whole and a place's own as well is told once.
        codes = {place: code for code, place in reversed(self._places.items())}.values()
        shown = [
            self._shown(LevelKey(listing=listing, location=code), item)
            for listing, item in items.items()
            for code in codes
        ]
        return [one for one in shown if one is not None]

    def _shown(self, key: LevelKey, item: Item | None) -> ShownLevel | None:
        place = self._places.get(key.location, "")
        units = item.units(place) if item is not None and place else None
        if units is None:
            return None
        return ShownLevel(listing=key.listing, location=key.location, quantity=units)

    async def submit(self, document: Document) -> SubmitResult:
        """Tells the shop what was shipped, cancelled or paid back."""
        telling = documents.submit(self._shop, self._settings, document)
        return await in_time(telling, self.limits.timeout_s)

    # ---------------------------------------------------------------- in

    def receive(self, headers: Mapping[str, str], body: bytes) -> Payload | None:
        """An order as our subscriber in the shop sends it, where its signature is right."""
        if len(body) > self._settings.max_body_bytes:
            most = self._settings.max_body_bytes
            raise Rejected("too_large", "body", f"send at most {most} bytes")
        secrets = self._settings.webhook_secrets
        prove(headers, body, secrets, name=SIGNATURE, form="hex", prefix="sha256=")
        lowered = {name.lower(): value for name, value in headers.items()}
        kept = {name: lowered[name] for name in _KEPT_HEADERS if name in lowered}
        return self._payload(body, kept)

    async def read(self, cursor: str) -> Page:
        """The orders that changed since the cursor, each with what was changed.

        started_at lies `settle_s` back: what changed later is not told yet.
        """
        settings = self._settings
        started_at = self._clock() - dt.timedelta(seconds=settings.settle_s)
        found = await orders.read(
            self._shop,
            orders.cursor_of(cursor),
            settings.sales_channels,
            settings.page_size,
            settings.overlap_s,
            started_at,
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
        return map_message(payload.body, self._reading)

    def _payload(self, body: bytes, headers: dict[str, str]) -> Payload:
        content_type = headers.get("content-type", "application/json")
        return Payload(
            body=body, content_type=content_type, headers=headers, raw_key=order_key(body)
        )


def open_connection(opening: Opening, settings: MedusaSettings) -> MedusaConnection:
    """A connection to one shop."""
    return MedusaConnection(opening, settings)
