"""A Tryton server on this machine: a warehouse with its zones, products and moves; both protocols.

It knows what the connector asks; its answers have the form of those recorded from Tryton 8.2
(`cases/SHAPES.md`).
"""

import base64
import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec
from aiohttp import web

from stockwright.connectors.tryton.sandbox_records import NoField, Records, read
from stockwright.sdk.connector import utc_now
from stockwright.sdk.hostile import Faults
from stockwright.sdk.secrets import Secret

DATABASE: Final = "erp"
USER: Final = "hub"
PASSWORD: Final = "sandbox-password"
KEY: Final = "sandbox-key"
_LONGEST: Final = 1_000


class Sandbox:
    """A server over real HTTP on loopback. Belongs to the event loop that starts it.

    products are codes. faults spoils calls (see sdk.hostile). rest: its settings use the key.
    """

    HAS_FAULTS = True

    def __init__(
        self,
        products: Sequence[str] = ("L-1", "L-2", "L-3"),
        *,
        rest: bool = False,
        clock: Callable[[], dt.datetime] = utc_now,
    ) -> None:
        self.faults = Faults()
        self.clock = clock
        self.rest = rest
        self.records = Records()
        self.calls: list[str] = []
        self.sessions: set[str] = set()
        self.places: dict[str, int] = {}
        self.units: dict[str, int] = {}
        self.products: dict[str, int] = {}
        self._runner: web.AppRunner | None = None
        self._url = ""
        self._stock()
        for code in products:
            self.add(code)

    def _stock(self) -> None:
        """What the module `stock` brings along, and a few units of measure."""
        add = self.records.add
        currency = add("currency.currency", code="EUR")
        add("company.company", currency=currency)
        for symbol, category, factor in (
            ("u", 1, 1.0),
            ("dz", 1, 12.0),
            ("kg", 2, 1.0),
            ("g", 2, 0.001),
        ):
            self.units[symbol] = add("product.uom", symbol=symbol, category=category, factor=factor)
        for code, name, kind in (
            ("", "Lost and Found", "lost_found"),
            ("SUP", "Supplier", "supplier"),
            ("CUS", "Customer", "customer"),
            ("", "Transit", "storage"),
        ):
            self.place(code, name, kind)
        self.warehouse("WH", "")

    # ---------------------------------------------------------------- running

    async def start(self, port: int = 0) -> str:
        """Listens on loopback; answers the server's address."""
        app = web.Application(middlewares=[self._noting, self.faults.middleware()])
        app.router.add_post(f"/{DATABASE}/rpc/", self._rpc)
        app.router.add_post(f"/{DATABASE}/", self._rpc)
        app.router.add_get(f"/{DATABASE}/rest/model/{{model}}", self._rest)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        host, bound = self._runner.addresses[0][:2]
        self._url = f"http://{host}:{bound}"
        return self._url

    async def stop(self) -> None:
        """Closes the server and its calls. Safe to repeat."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def settings(self) -> dict[str, Any]:
        """The settings of a connection to it, once it is started."""
        where = {"base_url": self._url, "database": DATABASE}
        if self.rest:
            return where | {"key": Secret(KEY)}
        return where | {"user": USER, "password": Secret(PASSWORD)}

    # ---------------------------------------------------------------- what happens there

    def add(self, code: str, *, unit: str = "u", name: str = "", cost: str = "1.00") -> int:
        """A new product; its number. A code may be empty, as in Tryton."""
        number = self.records.add(
            "product.product",
            code=code or None,
            name=name or f"Product {code}",
            type="goods",
            active=True,
            default_uom=self.units[unit],
            cost_price={"__class__": "Decimal", "decimal": str(Decimal(cost))},
            lot_required=[],
        )
        self.products[code] = number
        return number

    def place(self, code: str, name: str, kind: str = "storage", parent: str = "") -> int:
        """A new location; its number. It is found under its code, or its name."""
        above = self.places[parent] if parent else None
        fields = {"code": code or None, "name": name, "type": kind, "parent": above}
        number = self.records.add("stock.location", **fields)
        self.places[code or name] = number
        return number

    def warehouse(self, code: str, suffix: str) -> None:
        """A warehouse with its zones IN, STO and OUT, their codes ending in `suffix`."""
        self.place(code, f"Warehouse {code}", "warehouse")
        for zone in ("IN", "STO", "OUT"):
            self.place(f"{zone}{suffix}", f"{zone} of {code}", parent=code)

    def move(
        self,
        code: str,
        quantity: float,
        source: str,
        target: str,
        *,
        state: str = "done",
        shipment: str | None = None,
        day: dt.date | None = None,
        lot: str = "",
        written: dt.datetime | None = None,
    ) -> int:
        """A move of a product between two locations; its number."""
        now = written or self._now()
        done = state == "done"
        return self.records.add(
            "stock.move",
            product=self.products[code],
            quantity=quantity,
            internal_quantity=quantity,
            from_location=self.places[source],
            to_location=self.places[target],
            state=state,
            shipment=shipment,
            company=1,
            lot=self.records.add("stock.lot", number=lot) if lot else None,
            effective_date=(day or now.date()) if done else None,
            planned_date=day,
            create_date=now,
            write_date=now if done else None,
        )

    def receive(self, code: str, quantity: float) -> int:
        """Goods came from a supplier and lie in storage."""
        return self.move(code, quantity, "SUP", "STO")

    def ship(self, code: str, quantity: float) -> int:
        """Goods left for a customer."""
        return self.move(code, quantity, "STO", "CUS")

    def happen(self) -> None:
        """One thing that a poll tells."""
        self.receive(next(iter(self.products)), 1.0)

    def change(self, number: int, *, written: dt.datetime | None = None, **fields: Any) -> None:
        """Somebody writes a move, such as its state."""
        self.records.tables["stock.move"][number] |= {
            **fields,
            "write_date": written or self._now(),
        }

    def transfer(self, source: str, target: str, planned: dt.date | None = None) -> str:
        """An internal shipment between two locations; what its moves call it."""
        number = self.records.add(
            "stock.shipment.internal",
            from_location=self.places[source],
            to_location=self.places[target],
            planned_date=planned,
        )
        return f"stock.shipment.internal,{number}"

    def _now(self) -> dt.datetime:
        return self.clock().astimezone(dt.UTC).replace(tzinfo=None)

    # ---------------------------------------------------------------- what it answers

    @web.middleware
    async def _noting(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.calls.append(request.path)
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _rpc(self, request: web.Request) -> web.Response:
        asked = await request.json()
        method, params = asked["method"], asked["params"]
        if method == "common.db.login":
            return self._log_in(params)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Session" or token not in self.sessions:
            return web.Response(status=401)
        model = method.removeprefix("model.").removesuffix(".search_read")
        domain, offset, limit, order, fields, context = params
        assert offset == 0, "pages begin behind a record, never at a count"
        try:
            found = self._found(model, domain, limit, order, fields, context, nested=False)
        except NoField as missing:
            # As Tryton: the fault of the server and its traceback.
            return _json({"id": asked["id"], "error": [str(missing), "Traceback"]})
        return _json({"id": asked["id"], "result": found})

    def _log_in(self, params: Sequence[Any]) -> web.Response:
        user, given = params
        if user != USER or given.get("password") != PASSWORD:
            return web.Response(status=401)
        token = f"session{len(self.sessions)}"
        self.sessions.add(base64.b64encode(f"{user}:2:{token}".encode()).decode())
        return _json({"id": 0, "result": [2, token, None]})

    async def _rest(self, request: web.Request) -> web.Response:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return web.Response(status=401)
        query = request.query
        context = _decoded(request.headers.get("x-tryton-context", "")) or {}
        found = self._found(
            request.match_info["model"],
            _decoded(query["d"]),
            int(query["s"]),
            _decoded(query["o"]),
            query.getall("f"),
            context,
            nested=True,
        )
        return _json(found)

    def _found(
        self,
        model: str,
        domain: Sequence[Any],
        limit: int,
        order: Sequence[Sequence[str]],
        fields: Sequence[str],
        context: Mapping[str, Any],
        *,
        nested: bool,
    ) -> list[dict[str, Any]]:
        assert limit <= _LONGEST, "the connector asks for bounded pages"
        rows = self.records.search(model, domain, order, limit)
        if "quantity" in fields and model == "product.product":
            rows = [row | {"quantity": self._quantity(row["id"], context)} for row in rows]
        return [self.records.told(model, row, fields, nested=nested) for row in rows]

    def _quantity(self, product: int, context: Mapping[str, Any]) -> float:
        """What moves brought to these locations less what they took, up to the end of a day."""
        where = set(context["locations"])
        until = read(context.get("stock_date_end")) or dt.date.max
        units = 0.0
        for move in self.records.tables.get("stock.move", {}).values():
            if (move["product"], move["state"]) == (product, "done"):
                sign = (move["to_location"] in where) - (move["from_location"] in where)
                units += sign * move["internal_quantity"] * (move["effective_date"] <= until)
        return units


def _decoded(text: str) -> Any:
    return msgspec.json.decode(base64.urlsafe_b64decode(text)) if text else None


def _json(found: Any) -> web.Response:
    return web.Response(body=msgspec.json.encode(found), content_type="application/json")
