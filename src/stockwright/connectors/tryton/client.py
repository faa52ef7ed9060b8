"""Speaks to one database of a Tryton server: each verb is a module of its own."""

import datetime as dt
from collections.abc import AsyncIterator, Sequence
from typing import Final

import msgspec

from stockwright.connectors.tryton import catalogue, moves, quantities
from stockwright.connectors.tryton.access import Server
from stockwright.connectors.tryton.declaration import LIMITS, TrytonSettings
from stockwright.connectors.tryton.mapping import Reading, end_of, map_move
from stockwright.connectors.tryton.places import Places
from stockwright.domain.items import Binding, Sku, Unit
from stockwright.domain.supply import ToldSupply
from stockwright.sdk.connector import Opening
from stockwright.sdk.local_time import zone_of
from stockwright.sdk.messages import Mapped, Page, Payload, ShownLevel

_MORE_THAN_A_DAY_S: Final = 90_001


class TrytonConnection:
    """One company's ERP. Reads, gives snapshots, lists items and what is expected, maps."""

    def __init__(self, opening: Opening, settings: TrytonSettings) -> None:
        self.system = opening.system
        self.limits = msgspec.structs.replace(
            LIMITS,
            calls_per_s=settings.calls_per_s,
            burst=settings.burst,
            concurrency=settings.concurrency,
            timeout_s=settings.timeout_s,
        )
        self.sku_fields = catalogue.sku_fields(settings)
        self._settings = settings
        self._clock = opening.clock
        self._zone = zone_of(opening.time_zone)
        self._server = Server(opening, settings)
        self._places = Places(self._server, opening.clock)
        self._reading = Reading(
            places=settings.places,
            measures=settings.measures,
            returns=settings.returns,
            zone=self._zone,
        )

    async def close(self) -> None:
        """Closes the connections to the server."""
        await self._server.close()

    async def read(self, cursor: str) -> Page:
        """The moves that became done, or were taken back, since the cursor."""
        started_at = self._clock()
        found = await moves.read(
            self._server, self._places, self._settings, moves.cursor_of(cursor)
        )
        return Page(
            payloads=tuple(
                Payload(body=body, content_type="application/json", raw_key=f"stock.move,{number}")
                for number, body in found.messages
            ),
            next_cursor=msgspec.json.encode(found.cursor).decode(),
            started_at=started_at,
            complete=found.complete,
        )

    async def acknowledge(self, page: Page) -> None:
        """The cursor says it all: there is nothing to tell Tryton."""

    def map(self, payload: Payload) -> list[Mapped]:
        """The facts of one move."""
        return map_move(payload.body, self._reading)

    async def snapshot(self, on: dt.date | None = None) -> Sequence[ShownLevel]:
        """What lies at each place now, or at the end of a day, in whole base units."""
        return await quantities.snapshot(self._server, self._places, self._settings, on)

    async def opening(self) -> tuple[dt.datetime, Sequence[ShownLevel]]:
        """What lay at each place when yesterday ended.

        Moves are dated by the day: of today nobody can tell which are in a figure of now.
        """
        now = self._clock().astimezone(self._zone)
        midnight = dt.datetime.combine(now.date(), dt.time.min, self._zone)
        yesterday = now.date() - dt.timedelta(days=1)
        # Two answers of one day differ below the second, by how much of it had passed.
        part = (now - midnight) / _MORE_THAN_A_DAY_S
        return end_of(yesterday, self._zone) + part, await self.snapshot(yesterday)

    def items(self) -> AsyncIterator[Sequence[Sku | Unit | Binding]]:
        """The products that lie in stock, page by page."""
        return catalogue.items(self._server, self._settings, self.system)

    async def expected(self) -> Sequence[ToldSupply]:
        """The receipts that are planned and not done."""
        return await catalogue.expected(
            self._server, self._places, self._settings, self.system, self._zone
        )


def open_connection(opening: Opening, settings: TrytonSettings) -> TrytonConnection:
    """A connection to one database."""
    return TrytonConnection(opening, settings)
