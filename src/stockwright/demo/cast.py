"""Everyone who takes part in a replay: partners at their addresses, and who does what when."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from stockwright.connectors.csv_drop import Sandbox as Folder
from stockwright.connectors.json_http import Sandbox
from stockwright.demo.clock import Action
from stockwright.demo.filing import LOOKS_EVERY_S, FilingSeller
from stockwright.demo.happenings import Move, Order
from stockwright.demo.hub import Hub
from stockwright.demo.installation import SENDERS, Secrets
from stockwright.demo.overlay import SELLERS, Seller, seller_of
from stockwright.demo.partners import Erp, Wms
from stockwright.demo.real import RealSeller, Stand
from stockwright.demo.sellers import AskingSeller, SellerDoor, TellingSeller, watch_levels
from stockwright.demo.stage import Stage

BASKET_LINES: Final[Mapping[str, int]] = {"webshop": 25}
"""Orders up to this size are asked line by line, as a basket fills; others are uploaded lists."""
NO_LIMIT: Final = 1_000_000
CONNECTIONS: Final = 16


class Sandboxes:
    """The partners' HTTP servers and the file partner's folder.

    They start before the hub, which is told their addresses.
    """

    def __init__(
        self, secrets: Secrets, drop: Path, stands: Mapping[str, Stand] | None = None
    ) -> None:
        self.stands = stands or {}
        senders = [system for system in SENDERS if system not in self.stands]
        self.by_system = {system: Sandbox(token=secrets.token(system)) for system in senders}
        self.folder = Folder(drop, every_s=LOOKS_EVERY_S)
        self.addresses: dict[str, str] = {}
        for system, sandbox in self.by_system.items():
            secrets.keep_signing(system, sandbox.secret.reveal())

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Mapping[str, str]]:
        """Serves on loopback for a block; answers the addresses by system."""
        async with contextlib.AsyncExitStack() as stack:
            for system, sandbox in self.by_system.items():
                await stack.enter_async_context(sandbox)
                self.addresses[system] = await sandbox.start()
            for stand in self.stands.values():
                await stand.start()
                stack.push_async_callback(stand.stop)
            await stack.enter_async_context(self.folder)
            self.addresses["mailorder"] = await self.folder.start()
            yield self.addresses


class Cast:
    """The partners of one replay, each with its lines to the hub."""

    def __init__(
        self,
        stage: Stage,
        sandboxes: Sandboxes,
        hub: str,
        opening: dict[str, int],
        fetch: Callable[[str], object],
        *,
        in_bursts: bool = False,
        sellers: Sequence[Seller] = SELLERS,
    ) -> None:
        self._stage = stage
        self._hubs: list[Hub] = []
        self._fetch = fetch
        self._in_bursts = in_bursts
        self.hub_address = hub.rstrip("/")
        for system, sandbox in sandboxes.by_system.items():
            sandbox.clock = stage.clock.now
            sandbox.webhook_url = f"{self.hub_address}/v1/hooks/{system}"
        self._stands = sandboxes.stands
        for system, stand in self._stands.items():
            stand.open(f"{self.hub_address}/v1/hooks/{system}", stage.clock.now)
        self.erp = Erp(sandboxes.by_system["erp"], stage)
        self.wms = Wms(self._hub("wms"), stage, opening)
        self._sandboxes = sandboxes.by_system
        self._folder = sandboxes.folder
        self._folder.clock = stage.clock.now
        self._filing: list[FilingSeller] = []
        self.doors: dict[str, SellerDoor] = {s.code: self._door(s) for s in sellers}

    @property
    def has_mail(self) -> bool:
        """True while a partner's file is due to be fetched and was not."""
        return any(seller.has_mail for seller in self._filing)

    async def close(self) -> None:
        """Gives back the partners' sockets. Safe to repeat."""
        await self.wms.stop()
        await asyncio.gather(*(hub.close() for hub in self._hubs))

    def act(self, happening: Order | list[Move]) -> Action:
        """What to do at a happening's moment; moves are those of one document and kind."""
        if isinstance(happening, Order):
            door = self.doors[seller_of(happening.invoice, self._stage.chance).code]
            return partial(door.order, happening)
        if happening[0].kind in ("receipt", "return"):
            return partial(self._came_in, happening)
        return partial(self.wms.move, happening)

    async def _came_in(self, moves: list[Move]) -> None:
        # The goods are in the house before the ERP has typed the document.
        for move in moves:
            self.wms.warehouse.move(move)
        self.wms.goods_came()
        await self.erp.book(moves)

    def _door(self, seller: Seller) -> SellerDoor:
        stage, promised = self._stage, self.wms.promised
        if seller.way == "files":
            fetch = partial(self._fetch, seller.code)
            self._filing.append(FilingSeller(seller, self._folder, stage, promised, fetch))
            return self._filing[-1]
        if seller.code in self._stands:
            return RealSeller(seller, self._stands[seller.code], stage, promised)
        sandbox = self._sandboxes[seller.code]
        watch_levels(sandbox, seller.code, stage)
        if seller.way == "asks":
            hub = self._hub(seller.code)
            by_line = NO_LIMIT if self._in_bursts else BASKET_LINES.get(seller.code, 1)
            return AskingSeller(seller, hub, stage, promised, by_line=by_line)
        return TellingSeller(seller, sandbox, stage, promised)

    def _hub(self, system: str) -> Hub:
        hub = Hub(self.hub_address, system, CONNECTIONS)
        self._hubs.append(hub)
        return hub
