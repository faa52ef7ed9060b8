"""A shop on this machine that answers as Adobe Commerce's REST API does: see cases/SHAPES.md."""

import datetime as dt
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from aiohttp import web

from stockwright.connectors.magento.api import BULK, V1
from stockwright.connectors.magento.sandbox_orders import Orders, found, named, refusal
from stockwright.sdk.connector import utc_now
from stockwright.sdk.hostile import Faults, keeping
from stockwright.sdk.messages import DocumentLine
from stockwright.sdk.secrets import Secret

TOKEN: Final = "sandbox-token"
SOURCE: Final = "default"
TOPIC: Final = "async.magento.inventoryapi.api.sourceitemssaveinterface.execute.post"
MOST_AT_ONCE: Final = 20
MOST_OPERATIONS: Final = 5_000


class Sandbox(Orders):
    """A shop over real HTTP on loopback. Belongs to the event loop that starts it.

    products are SKUs. It keeps reservations as Magento does: an order reserves, a shipment takes
    units off the source and releases. faults spoils calls (see sdk.hostile). refused: SKU -> what
    the shop says against it. limits: whether it limits its input as Adobe proposes. consumer:
    whether the queue of bulks is worked off; lag_s: how long that takes. failing: SKU -> the status
    that an operation of a bulk ends with, and its message.
    """

    HAS_FAULTS = True

    def __init__(
        self,
        products: Sequence[str] = ("L-1", "L-2", "L-3"),
        *,
        clock: Callable[[], dt.datetime] = utc_now,
    ) -> None:
        super().__init__(clock)
        self.faults = Faults(keep=keeping(self, "sources"))
        self.refused: dict[str, str] = {}
        self.failing: dict[str, tuple[int, str]] = {}
        self.limits = True
        self.consumer = True
        self.lag_s = 0.0
        self.calls: list[tuple[str, str]] = []
        self.bulks: dict[str, list[dict[str, Any]]] = {}
        self._queued: list[dict[str, Any]] = []
        self._runner: web.AppRunner | None = None
        self._url = ""
        for sku in products:
            self.add(sku)

    # ---------------------------------------------------------------- running

    async def start(self, port: int = 0) -> str:
        """Listens on loopback; answers the shop's address."""
        app = web.Application(
            middlewares=[self._gate, self.faults.middleware()], client_max_size=16 << 20
        )
        route = app.router.add_route
        route("GET", f"{V1}/inventory/source-items", self._list_items)
        route("POST", f"{V1}/inventory/source-items", self._save_items)
        route("POST", f"{BULK}/inventory/source-items", self._make_bulk)
        route("GET", f"{V1}/bulk/{{uuid}}/detailed-status", self._bulk_status)
        for method, path, handler in self.order_routes():
            route(method, V1 + path, handler)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        host, bound = self._runner.addresses[0][:2]
        self._url = f"http://{host}:{bound}"
        return self._url

    async def stop(self) -> None:
        """Closes the server. Safe to repeat."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def settings(self) -> dict[str, Any]:
        """The settings of a connection to this shop, once it is started."""
        return {"base_url": self._url, "access_token": Secret(TOKEN)}

    # ---------------------------------------------------------------- what happens there

    def shown(self, listing: str) -> int | None:
        """The quantity its source holds now; None where it has no such product."""
        self.work()
        return self.sources.get(listing)

    def show(self, listing: str, quantity: int) -> None:
        """Somebody edits the number in the shop, behind our back."""
        self.sources[listing] = quantity

    def happen(self) -> None:
        """One thing that a poll tells."""
        self.sell([("L-1", 1)])

    async def ordered(self) -> tuple[str, DocumentLine]:
        """An order that waits for its shipment, and a line of it."""
        self.sources["L-1"] += 2
        number = self.sell([("L-1", 2)])
        line = self.orders[number]["items"][0]["item_id"]
        return str(number), DocumentLine(line=str(line), quantity=2)

    def shipments_of(self, order: str) -> int:
        """How many shipments it was told of an order."""
        return sum(one["order_id"] == int(order) for one in self.shipments)

    def work(self) -> None:
        """The consumers work off what has been in the queue for long enough, if they run."""
        if not self.consumer:
            return
        now = self.clock()
        queued, self._queued = self._queued, []
        for one in queued:
            if one["due"] <= now:
                self._carry_out(one)
            else:
                self._queued.append(one)

    def _carry_out(self, operation: dict[str, Any]) -> None:
        row = operation["body"]["sourceItems"][0]
        status, message = self.failing.get(row["sku"], (1, "Service execution success"))
        if row["sku"] in self.refused:
            status, message = 3, self.refused[row["sku"]]
        operation |= {"status": status, "result_message": message}
        if status == 1:
            self.sources[row["sku"]] = int(row["quantity"])

    # ---------------------------------------------------------------- what it answers

    @web.middleware
    async def _gate(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.calls.append((request.method, request.path))
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            text = "The consumer isn't authorized to access %resources."
            return refusal(401, text, {"resources": "Magento_InventoryApi::source"})
        size = request.query.get("searchCriteria[pageSize]", "1")
        if self.limits and int(size) > 300:
            return refusal(400, "Maximum SearchCriteria pageSize is %1", ["300"])
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _list_items(self, request: web.Request) -> web.Response:
        self.work()
        asked = named(request, "sku")
        skus = self.sources if asked is None else dict.fromkeys(asked)
        rows = [
            {"sku": sku, "source_code": SOURCE, "quantity": units, "status": int(units > 0)}
            for sku in skus
            if (units := self.sources.get(sku)) is not None
        ]
        return found(request, rows)

    async def _save_items(self, request: web.Request) -> web.Response:
        rows = (await request.json())["sourceItems"]
        if self.limits and len(rows) > MOST_AT_ONCE:
            text = 'Maximum items of type "%type" is %max'
            return refusal(400, text, {"type": "SourceItem", "max": MOST_AT_ONCE})
        bad = next((row for row in rows if self._is_bad(row)), None)
        if bad is not None:
            return refusal(400, self.refused.get(bad["sku"], "Source code is not known"))
        for row in rows:
            # As the shop does, also for a SKU that it does not have.
            self.sources[row["sku"]] = int(row["quantity"])
        return web.json_response([])

    def _is_bad(self, row: Mapping[str, Any]) -> bool:
        return row["sku"] in self.refused or row["source_code"] != SOURCE

    async def _make_bulk(self, request: web.Request) -> web.Response:
        bodies = await request.json()
        if self.limits and len(bodies) > MOST_OPERATIONS:
            return refusal(400, "Maximum items is %max", {"max": MOST_OPERATIONS})
        uuid = f"799a59c0-09ca-4d60-b432-{self.number():012d}"
        due = self.clock() + dt.timedelta(seconds=self.lag_s)
        self.bulks[uuid] = [{"body": body, "status": 4, "due": due} for body in bodies]
        self._queued += self.bulks[uuid]
        items = [
            {"id": n, "data_hash": f"{n:064x}", "status": "accepted"} for n in range(len(bodies))
        ]
        told = {"bulk_uuid": uuid, "request_items": items, "errors": False}
        return web.json_response(told, status=202)

    async def _bulk_status(self, request: web.Request) -> web.Response:
        self.work()
        uuid = request.match_info["uuid"]
        operations = [
            {
                "id": n + 4,
                "bulk_uuid": uuid,
                "topic_name": TOPIC,
                "serialized_data": json.dumps(
                    {
                        "entity_id": None,
                        "entity_link": "",
                        "meta_information": json.dumps(one["body"]),
                    }
                ),
                "result_serialized_data": None,
                "status": one["status"],
                "result_message": one.get("result_message"),
                "error_code": None,
            }
            for n, one in enumerate(self.bulks[uuid])
        ]
        told = {"operations_list": operations, "user_type": 1, "bulk_id": uuid}
        return web.json_response({**told, "operation_count": len(operations)})
