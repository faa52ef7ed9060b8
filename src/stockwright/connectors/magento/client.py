"""Speaks to one shop: each verb is a module of its own."""

from collections.abc import Sequence
from typing import Final

import msgspec

from stockwright.connectors.magento import orders
from stockwright.connectors.magento.api import Api
from stockwright.connectors.magento.declaration import MagentoSettings
from stockwright.connectors.magento.documents import Documents
from stockwright.connectors.magento.levels import Levels
from stockwright.connectors.magento.mapping import Reading, map_message, order_key
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


class MagentoConnection:
    """One shop."""

    keeps_jobs: Final = True

    def __init__(self, opening: Opening, settings: MagentoSettings) -> None:
        self.system = opening.system
        self.limits = Limits(**{name: getattr(settings, name) for name in Limits.__struct_fields__})
        self._settings = settings
        self._clock = opening.clock
        self._api = Api(opening, settings)
        self._levels = Levels(self._api, settings, opening.clock)
        self._documents = Documents(self._api, settings, self._levels)
        self._reading = Reading(
            sold=settings.sold,
            cancelled=settings.cancelled,
            channel=settings.channel or opening.system,
        )

    async def close(self) -> None:
        """Closes the connections to the shop."""
        await self._api.close()

    # ---------------------------------------------------------------- out

    async def publish(self, levels: Sequence[LevelToSend]) -> Sequence[PublishResult]:
        """Sends one batch: a few levels at once, many by bulk."""
        return await self._levels.publish(levels) if levels else []

    async def read_back(self, keys: Sequence[LevelKey]) -> Sequence[ShownLevel | None]:
        """What the source holds of these listings: gross, as it was given."""
        return await self._levels.read_back(keys) if keys else []

    async def snapshot(self) -> Sequence[ShownLevel]:
        """All that the source holds, page by page: gross."""
        return await self._levels.snapshot()

    async def submit(self, document: Document) -> SubmitResult:
        """Tells the shop what was shipped, cancelled or paid back."""
        telling = self._documents.submit(document)
        return await in_time(telling, self.limits.timeout_s)

    # ---------------------------------------------------------------- in

    async def read(self, cursor: str) -> Page:
        """The orders that changed since the cursor, each with its credit memos."""
        started_at = self._clock()
        settings = self._settings
        begin = orders.cursor_of(cursor, started_at, settings.first_poll_days)
        found = await orders.read(self._api, settings, begin)
        return Page(
            payloads=tuple(
                Payload(body=body, content_type="application/json", raw_key=order_key(body))
                for body in found.messages
            ),
            next_cursor=msgspec.json.encode(found.cursor).decode(),
            started_at=started_at,
            complete=found.complete,
        )

    async def acknowledge(self, page: Page) -> None:
        """The cursor says it all: there is nothing to tell the shop."""

    def map(self, payload: Payload) -> list[Mapped]:
        """The facts of one message."""
        return map_message(payload.body, self._reading)


def open_connection(opening: Opening, settings: MagentoSettings) -> MagentoConnection:
    """A connection to one shop."""
    return MagentoConnection(opening, settings)
