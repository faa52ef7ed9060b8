"""The sellers: two that ask before they promise, two that tell afterwards. Each a real HTTP server.

They show what the hub published to them, and sell by their own rules; the stage judges them.
"""

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

from stockwright.connectors.json_http import Sandbox
from stockwright.demo.happenings import Order, OrderLine
from stockwright.demo.hub import Granted, Hub
from stockwright.demo.overlay import Seller
from stockwright.demo.stage import Stage
from stockwright.domain.errors import StockwrightError, Transient

AT_ONCE: Final = 16
"""Calls of one basket under way at one time."""
LINES_A_CALL: Final = 500
DELIVERIES: Final = 5

Promised = Callable[[str, Order, Sequence[OrderLine]], None]
"""Tells the warehouse which lines of an order a seller promised."""


class SellerDoor(Protocol):
    """What the replay needs of a seller."""

    async def order(self, order: Order) -> None:
        """A customer places this order now."""
        ...


def watch_levels(sandbox: Sandbox, seller: str, stage: Stage) -> None:
    """Lets the stage see every level a seller takes."""

    def took(listing: str, quantity: int, _version: int, at: dt.datetime) -> None:
        stage.meter.shown(seller, listing)
        stage.picture.see_shown(at, seller, listing, quantity)

    sandbox.on_level(took)


class AskingSeller:
    """Reserves before it promises: up to so many `by_line` line by line, more in one call.

    A line is sold whole or not at all: what was granted in part is given back.
    """

    def __init__(
        self, seller: Seller, hub: Hub, stage: Stage, promised: Promised, *, by_line: int
    ) -> None:
        self.seller = seller
        self._hub = hub
        self._stage = stage
        self._promised = promised
        self._by_line = by_line

    async def order(self, order: Order) -> None:
        """Ask, take what is granted whole, give back the rest, confirm."""
        self._stage.oracle.order(self.seller.code)
        step = 1 if len(order.lines) <= self._by_line else LINES_A_CALL
        parts = [order.lines[n : n + step] for n in range(0, len(order.lines), step)]
        gate = asyncio.Semaphore(AT_ONCE)

        async def ask(part: Sequence[OrderLine]) -> list[OrderLine]:
            async with gate:
                return await self._ask(order.invoice, part)

        bought = [line for lines in await asyncio.gather(*map(ask, parts)) for line in lines]
        for n in range(0, len(bought), LINES_A_CALL):
            part = bought[n : n + LINES_A_CALL]
            await self._move_on(order.invoice, "confirm", part)
        self._promised(self.seller.code, order, bought)

    async def _ask(self, order: str, part: Sequence[OrderLine]) -> list[OrderLine]:
        """The lines of one call that were granted whole.

        What was granted in part is given back; lines that went without because of it ask again.
        """
        stage = self._stage
        stage.meter.sent(line.sku for line in part)
        answer = await self._reserve(order, part)
        given_back = {x.sku for x in part if 0 < answer.by_line.get(x.line, 0) < x.quantity}
        whole, starved, halves = [], [], []
        for line in part:
            granted = answer.by_line.get(line.line, 0)
            if granted == line.quantity:
                whole.append(line)
                stage.accept(self.seller.code, line.sku, line.quantity, asked=True)
            elif not granted and line.sku in given_back:
                starved.append(line)
            else:
                stage.oracle.refused(self.seller.code, line.sku, line.quantity)
                halves += [line] if granted else []
        if stage.is_repeated(self.seller.code, _document(order, part)):
            again = await self._reserve(order, part)
            same = again.replay and again.by_line == answer.by_line
            self._heard_before(same, _document(order, part))
        if halves:
            await self._move_on(order, "release", halves)
        for line in starved:
            whole += await self._ask(order, [line])
        return whole

    async def _reserve(self, order: str, part: Sequence[OrderLine]) -> Granted:
        """A lone line is granted whole or not at all, several as far as there is stock."""
        lines = [{"line": x.line, "item": x.code, "quantity": x.quantity} for x in part]
        mode = "all" if len(part) == 1 else "partial"
        return await self._hub.reserve(order, _document(order, part), lines, mode)

    async def _move_on(self, order: str, transition: str, part: Sequence[OrderLine]) -> None:
        document = f"{order}/{transition}/{part[0].line}"
        lines = [{"line": line.line} for line in part]
        await self._hub.move_on(order, transition, document, lines)
        if self._stage.is_repeated(self.seller.code, document):
            replay = await self._hub.move_on(order, transition, document, lines)
            self._heard_before(replay, document)

    def _heard_before(self, same: bool, document: str) -> None:
        if not same:
            raise StockwrightError(f"{self.seller.code}: {document} sent twice was answered anew")
        self._stage.repeated["reservations"] += 1


def _document(order: str, part: Sequence[OrderLine]) -> str:
    """The key of a request: a line asked alone is another request than with others."""
    return f"{order}/{part[0].line}" + (f"+{len(part) - 1}" if len(part) > 1 else "")


class TellingSeller:
    """Sells what it shows and tells the hub afterwards, by webhook and in the polled list."""

    def __init__(self, seller: Seller, sandbox: Sandbox, stage: Stage, promised: Promised) -> None:
        self.seller = seller
        # The list that is polled has every message at once; how webhooks travel is decided here.
        sandbox.webhooks = False
        self._post = Post(sandbox.deliver, stage, seller.code)
        self._sandbox = sandbox
        self._stage = stage
        self._promised = promised

    async def order(self, order: Order) -> None:
        """Promise what the shown number covers, lower it, tell the hub."""
        code, stage = self.seller.code, self._stage
        stage.oracle.order(code)
        sold = [line for line in order.lines if self._sell(line)]
        if not sold:
            return
        self._promised(code, order, sold)
        data = {"order": order.invoice, "lines": [_told(line) for line in sold]}

        def heard() -> None:
            for line in sold:
                stage.told(line.sku, line.quantity)

        body = await self._sandbox.tell("order.placed", data, stage.clock.now())
        skus = [line.sku for line in sold]
        await self._post.send(body, name=order.invoice, skus=skus, heard=heard)

    def _sell(self, line: OrderLine) -> bool:
        code, stage = self.seller.code, self._stage
        shown = self._sandbox.shown(line.sku) or 0
        if line.quantity > shown:
            stage.oracle.refused(code, line.sku, line.quantity)
            return False
        stage.accept(code, line.sku, line.quantity)
        stage.keep_back(line.sku, line.quantity)
        self._sandbox.show(line.sku, shown - line.quantity)
        stage.picture.see_shown(stage.clock.now(), code, line.sku, shown - line.quantity)
        return True


def _told(line: OrderLine) -> dict[str, Any]:
    return {"line": line.line, "sku": line.code, "quantity": line.quantity}


class Post:
    """Webhooks of one partner as they really arrive: most at once, some late, some twice."""

    def __init__(
        self, deliver: Callable[[bytes, str], Awaitable[int]], stage: Stage, partner: str
    ) -> None:
        self._deliver_once = deliver
        self._stage = stage
        self._partner = partner

    async def send(
        self, body: bytes, *, name: str, skus: Sequence[str], heard: Callable[[], object]
    ) -> None:
        """Send a message. `heard` is called once the hub has taken it."""
        stage = self._stage
        late_s = stage.lateness_s(self._partner, name)

        async def first() -> None:
            stage.meter.sent(skus)
            await self._deliver(body, name)
            heard()

        async def again() -> None:
            await self._deliver(body, name)
            stage.repeated["webhooks"] += 1

        if late_s:
            stage.loop.at(stage.after(late_s), first)
        else:
            await first()
        if stage.is_repeated(self._partner, name):
            stage.loop.at(stage.after(late_s + 5.0), again)

    async def _deliver(self, body: bytes, name: str) -> None:
        """Send until it is taken. Raises Transient where the hub never takes it."""
        status = 0
        for attempt in range(DELIVERIES):
            status = await self._deliver_once(body, f"{self._partner}-{name}")
            if 200 <= status < 300:
                return
            if 400 <= status < 500 and status != 429:
                break
            await asyncio.sleep(0.1 * 2**attempt)
        raise Transient(f"the hub answered {status} to the webhook {name} of {self._partner}")
