"""The mail-order house: reads its numbers from dropped files, drops files of what it sold."""

import asyncio
import datetime as dt
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from stockwright.connectors.csv_drop import Sandbox
from stockwright.demo.happenings import Order, OrderLine
from stockwright.demo.overlay import Seller
from stockwright.demo.sellers import Promised
from stockwright.demo.stage import Stage
from stockwright.domain.errors import Transient

LOOKS_EVERY_S: Final = 0.05
"""How often the house looks whether a new file of numbers lies in its folder."""
FETCHED_EVERY_S: Final = 15.0
"""How often Stockwright looks for files: a new one waits half of it on average."""
REPEATED_AFTER_S: Final = 60.0
GIVE_UP_S: Final = 30.0
Row = tuple[str, str, str, str, str]
HEADER: Final[Row] = ("order", "line", "sku", "quantity", "occurred_at")


class FilingSeller:
    """Sells what its last file shows and tells afterwards, by file.

    `fetch` has the hub look for files at once: called when its own time for that has come on the
    replay's clock.
    """

    def __init__(
        self,
        seller: Seller,
        sandbox: Sandbox,
        stage: Stage,
        promised: Promised,
        fetch: Callable[[], object],
    ) -> None:
        self.seller = seller
        self._sandbox = sandbox
        self._stage = stage
        self._promised = promised
        self._fetch = fetch
        self._shown: dict[str, int] = {}
        self._due: list[Path] = []
        sandbox.on_level(self._took)

    @property
    def has_mail(self) -> bool:
        """True while a file whose time to be fetched has come is not in the hub's hands for good.

        Reads a new file of numbers first, so that none is left lying when the clock jumps.
        """
        self._sandbox.collect()
        self._due = [file for file in self._due if self._sandbox.is_with_the_hub(file)]
        return bool(self._due)

    async def order(self, order: Order) -> None:
        """Promise what the shown number covers, and drop a file of it."""
        code, stage = self.seller.code, self._stage
        self._sandbox.collect()
        stage.oracle.order(code)
        sold = [line for line in order.lines if self._sell(line)]
        if not sold:
            return
        self._promised(code, order, sold)
        at = stage.clock.now().isoformat()
        rows = [(order.invoice, line.line, line.code, str(line.quantity), at) for line in sold]
        self._drop(f"orders-{order.invoice}.csv", rows, sold)
        if stage.is_repeated(code, order.invoice):

            async def again() -> None:
                self._drop(f"orders-{order.invoice}-again.csv", rows, ())
                stage.repeated["files"] += 1

            stage.loop.at(stage.after(REPEATED_AFTER_S), again)

    def _sell(self, line: OrderLine) -> bool:
        code, stage = self.seller.code, self._stage
        shown = self._shown.get(line.sku, 0)
        if line.quantity > shown:
            stage.oracle.refused(code, line.sku, line.quantity)
            return False
        stage.accept(code, line.sku, line.quantity)
        stage.keep_back(line.sku, line.quantity)
        self._shown[line.sku] = shown - line.quantity
        stage.picture.see_shown(stage.clock.now(), code, line.sku, shown - line.quantity)
        return True

    def _drop(self, name: str, rows: Sequence[Row], news: Sequence[OrderLine]) -> None:
        """Lay a file into the folder; news are the lines the hub does not know yet."""
        stage = self._stage
        file = self._sandbox.drop(name, [HEADER, *rows])
        wait_s = FETCHED_EVERY_S * stage.chance.fraction("fetched", name)

        async def fetched() -> None:
            await self._be_fetched(file)
            stage.meter.sent(line.sku for line in news)
            for line in news:
                stage.told(line.sku, line.quantity)

        stage.loop.at(stage.after(wait_s), fetched)

    async def _be_fetched(self, file: Path) -> None:
        """Returns once the hub took the file. Raises Transient where it never does."""
        self._due.append(file)
        await asyncio.to_thread(self._fetch)
        deadline = time.monotonic() + GIVE_UP_S
        while time.monotonic() < deadline:
            if not await asyncio.to_thread(file.exists):
                return
            await asyncio.sleep(0.01)
        raise Transient(f"the hub did not fetch {file.name} within {GIVE_UP_S:g} s")

    def _took(self, listing: str, quantity: int, _version: int, at: dt.datetime) -> None:
        self._shown[listing] = quantity
        self._stage.meter.shown(self.seller.code, listing)
        self._stage.picture.see_shown(at, self.seller.code, listing, quantity)
