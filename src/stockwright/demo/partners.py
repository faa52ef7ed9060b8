"""The ERP, which books what suppliers and customers send in, and the WMS that keeps the shelves."""

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final

from aiohttp import web

from stockwright.connectors.json_http import Sandbox
from stockwright.demo.happenings import Move, Order, OrderLine
from stockwright.demo.hub import Hub
from stockwright.demo.overlay import warehouse_of
from stockwright.demo.sellers import Post
from stockwright.demo.stage import Stage
from stockwright.demo.warehouse import WAVE_EVERY, Promise, Warehouse
from stockwright.domain.errors import StockwrightError

LINES_A_MESSAGE: Final = 500
FACTS_A_CALL: Final = 500


class Erp:
    """Books receipts and customers' returns; tells the hub by webhook, and answers its polls."""

    def __init__(self, sandbox: Sandbox, stage: Stage) -> None:
        self._sandbox = sandbox
        sandbox.webhooks = False
        self._post = Post(sandbox.deliver, stage, "erp")
        self._stage = stage

    async def open_books(self, opening: dict[str, int], at: dt.datetime) -> int:
        """Hand over the opening stock, as one receipt a warehouse; answers how many messages."""
        by_place: dict[str, list[dict[str, Any]]] = {}
        for sku, quantity in sorted(opening.items()):
            if quantity:
                lines = by_place.setdefault(warehouse_of(sku, self._stage.chance), [])
                lines.append({"line": str(len(lines) + 1), "sku": sku, "quantity": quantity})
        count = 0
        for place, lines in by_place.items():
            for n in range(0, len(lines), LINES_A_MESSAGE):
                part = lines[n : n + LINES_A_MESSAGE]
                data = {"document": f"OPENING-{place}", "location": place, "lines": part}
                body = await self._sandbox.tell("stock.receipt", data, at)
                status = await self._sandbox.deliver(body, f"opening-{place}-{n}")
                if not 200 <= status < 300:
                    raise StockwrightError(f"the hub answered {status} to the opening stock")
                count += 1
        return count

    async def book(self, moves: Sequence[Move]) -> None:
        """A delivery or a return was booked: moves of one document at one moment."""
        stage, first = self._stage, moves[0]
        kind = "stock.receipt" if first.kind == "receipt" else "stock.return_receipt"
        lines = [
            {
                "line": move.line,
                "sku": move.code,
                "quantity": move.quantity,
                "location": warehouse_of(move.sku, stage.chance),
            }
            for move in moves
        ]
        for move in moves:
            stage.gain(move.sku, move.gain)
        data = {"document": first.document, "lines": lines}
        body = await self._sandbox.tell(kind, data, stage.clock.now())
        await self._post.send(
            body,
            name=f"{first.document}-{first.line}",
            skus=[move.sku for move in moves if move.gain],
            heard=lambda: None,
        )


class Wms:
    """The warehouses' system: ships in waves, inspects returns, writes off, counts.

    It posts facts to the API under its own key. It is a server too: whoever asks for its stock list
    gets what it believes to lie on the shelves.
    """

    def __init__(self, hub: Hub, stage: Stage, opening: dict[str, int]) -> None:
        self.warehouse = Warehouse(opening)
        self._hub = hub
        self._stage = stage
        self._next_wave: dt.datetime | None = None
        self._waves = 0
        self._runner: web.AppRunner | None = None

    # ---------------------------------------------------------------- its own server

    async def start(self) -> str:
        """Listens on loopback; answers its address."""
        app = web.Application()
        app.router.add_get("/stock", self._stock)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}"

    async def stop(self) -> None:
        """Closes the server. Safe to repeat."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _stock(self, _request: web.Request) -> web.Response:
        return web.json_response({"stock": dict(self.warehouse.shelf)})

    # ---------------------------------------------------------------- what happens there

    def promised(self, seller: str, order: Order, lines: Sequence[OrderLine]) -> None:
        """A seller sold these lines: they leave in a later wave."""
        now = self._stage.clock.now()
        self.warehouse.promise(
            Promise(now, seller, order.invoice, line.line, line.sku, line.code, line.quantity)
            for line in lines
        )
        self._plan_wave()

    async def move(self, moves: Sequence[Move]) -> None:
        """Inspections, write-offs, counts or corrections of one document at one moment."""
        stage, first = self._stage, moves[0]
        for move in moves:
            stage.gain(move.sku, move.gain)
            stage.keep_back(move.sku, max(0, -move.gain))
        stage.meter.sent(move.sku for move in moves if move.gain)
        facts = [self._movement(move) for move in moves]
        await self._tell(facts, f"{first.kind}-{first.document}-{first.line}")
        for move in moves:
            stage.told(move.sku, max(0, -move.gain))
        if any(move.gain > 0 for move in moves):
            self.goods_came()

    def goods_came(self) -> None:
        """The shelf gained: promises that waited for goods may leave in the next wave."""
        self._plan_wave()

    def _plan_wave(self) -> None:
        if self._next_wave is None and self.warehouse.busy:
            self._next_wave = self._stage.clock.now() + WAVE_EVERY
            self._stage.loop.at(self._next_wave, self._wave)

    async def _wave(self) -> None:
        at, self._next_wave = self._next_wave, None
        assert at is not None
        wave = self.warehouse.wave(at)
        self._waves += 1
        # What waits for goods needs no wave of its own: the goods that come bring one.
        if wave.more:
            self._plan_wave()
        facts = [self._leaving("shipment", line, at) for line in wave.shipped]
        facts += [self._leaving("pick", line, at) for line in wave.picked]
        for n in range(0, len(facts), FACTS_A_CALL):
            await self._send(facts[n : n + FACTS_A_CALL], f"wave-{self._waves}-{n}")

    async def _send(self, facts: list[dict[str, Any]], name: str) -> None:
        """Some calls are overtaken by what happened later; inside a call lines come as they may."""
        late_s = self._stage.lateness_s("wms", name)
        shuffled = sorted(facts, key=lambda f: self._stage.chance.fraction(name, f["line"]))
        if not late_s:
            await self._tell(shuffled, name)
            return

        async def later() -> None:
            await self._tell(shuffled, name)

        self._stage.loop.at(self._stage.after(late_s), later)

    async def _tell(self, facts: list[dict[str, Any]], name: str) -> None:
        await self._hub.events(facts)
        if self._stage.is_repeated("wms", name):
            again = await self._hub.events(facts)
            if again.replays != len(facts):
                raise StockwrightError(f"wms: {name} sent twice was not recognised: {again}")
            self._stage.repeated["events"] += again.replays

    # ---------------------------------------------------------------- facts

    def _leaving(self, kind: str, line: Promise, at: dt.datetime) -> dict[str, Any]:
        return {
            "kind": kind,
            "document": f"{kind}-{line.system}-{line.order}",
            "line": line.line,
            "item": line.code,
            "quantity": line.quantity,
            "location": warehouse_of(line.sku, self._stage.chance),
            "order_system": line.system,
            "order": line.order,
            "order_line": line.line,
            "occurred_at": at.isoformat(),
            **({"final": True} if kind == "shipment" else {}),
        }

    def _movement(self, move: Move) -> dict[str, Any]:
        """The fact of a move; books the shelf as well."""
        found = self.warehouse.move(move)
        fact = {
            "document": f"{move.kind}-{move.document}",
            "line": move.line,
            "item": move.code,
            "location": warehouse_of(move.sku, self._stage.chance),
            "occurred_at": self._stage.clock.now().isoformat(),
            "reason": move.remark,
        }
        match move.kind:
            case "inspected":
                to = "sellable" if move.passes else "damaged"
                more = {"kind": "inspection_result", "quantity": move.quantity, "to_bucket": to}
            case "damage" | "scrap":
                more = {"kind": move.kind, "quantity": -move.quantity}
            case "count" if found is not None:
                more = {"kind": "count", "quantity": found}
            case _:
                more = {"kind": "adjustment", "quantity": move.quantity}
        return fact | more
