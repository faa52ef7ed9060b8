"""A store on this machine that answers as BigCommerce's API does: see cases/SHAPES.md."""

import asyncio
import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from aiohttp import web

from stockwright.connectors.bigcommerce.declaration import MOST_LEVELS
from stockwright.connectors.bigcommerce.sandbox_orders import Orders
from stockwright.connectors.bigcommerce.webhooks import SCOPE, signing_secret
from stockwright.domain.errors import Transient
from stockwright.sdk.connector import utc_now
from stockwright.sdk.hostile import Faults, keeping
from stockwright.sdk.messages import DocumentLine
from stockwright.sdk.secrets import Secret
from stockwright.sdk.transports import Http, HttpRequest, json_body
from stockwright.sdk.webhooks import signed

HASH: Final = "sandbox"
TOKEN: Final = "sandbox-token"
WINDOW_S: Final = 30.0


class Sandbox(Orders):
    """A store over real HTTP on loopback. Belongs to the event loop that starts it.

    products are SKUs. faults spoils calls (see sdk.hostile). refused: SKU -> what the store says
    against it. silent: a refusal does not say which item it is about. lag_s: how long an accepted
    adjustment takes. lost: SKUs whose adjustments are accepted and come to nothing. quota: calls in
    each window of 30 seconds.
    """

    HAS_FAULTS = True

    def __init__(
        self,
        products: Sequence[str] = ("L-1", "L-2", "L-3"),
        *,
        webhook_url: str = "",
        clock: Callable[[], dt.datetime] = utc_now,
    ) -> None:
        super().__init__(clock)
        self.faults = Faults(keep=keeping(self, "items", "_accepted"))
        self.refused: dict[str, str] = {}
        self.silent = False
        self.lost: set[str] = set()
        self.lag_s = 0.0
        self.quota = 10_000
        self.calls: list[tuple[str, str]] = []
        self.webhook_url = webhook_url
        self.webhooks = True
        self.secret = Secret("sandbox-client-secret")
        self.deliveries: list[int] = []
        self.hooks: dict[int, dict[str, Any]] = {}
        self._window_at = 0.0
        self._used = 0
        self._accepted: list[tuple[dt.datetime, str, int]] = []
        self._runner: web.AppRunner | None = None
        self._http = Http()
        self._url = ""
        for sku in products:
            self.add(sku)

    # ---------------------------------------------------------------- running

    async def start(self, port: int = 0) -> str:
        """Listens on loopback; answers the API's address."""
        app = web.Application(
            middlewares=[self._gate, self.faults.middleware()], client_max_size=8 << 20
        )
        route, root = app.router.add_route, f"/stores/{HASH}"
        route("PUT", f"{root}/v3/inventory/adjustments/absolute", self._adjust)
        route("GET", f"{root}/v3/inventory/locations/{{location}}/items", self._list_items)
        route("GET", f"{root}/v3/hooks", self._list_hooks)
        route("POST", f"{root}/v3/hooks", self._make_hook)
        route("PUT", f"{root}/v3/hooks/{{id}}", self._put_hook)
        for method, path, handler in self.order_routes():
            route(method, root + path, handler)
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
        await self._http.close()

    def settings(self) -> dict[str, Any]:
        """The settings of a connection to this store, once it is started."""
        return {
            "base_url": self._url,
            "store_hash": HASH,
            "access_token": Secret(TOKEN),
            "client_secrets": [self.secret],
        }

    # ---------------------------------------------------------------- what happens there

    def shown(self, listing: str) -> int | None:
        """The quantity it holds now; None where it has no such product."""
        self._apply()
        found = self.items.get(listing)
        return None if found is None else int(found["total_inventory_onhand"])

    def show(self, listing: str, quantity: int) -> None:
        """Somebody edits the number in the store, behind our back."""
        self.items[listing]["total_inventory_onhand"] = quantity

    async def happen(self) -> None:
        """One thing that a poll tells."""
        await self.sell([("L-1", 1)])

    async def ordered(self) -> tuple[str, DocumentLine]:
        """An order that waits for its shipment, and a line of it."""
        number = await self.sell([("L-1", 2)])
        line = self.products[number][0]["id"]
        return str(number), DocumentLine(line=str(line), quantity=2)

    def shipments_of(self, order: str) -> int:
        """How many shipments it was told of an order."""
        return len(self.shipments[int(order)])

    def give_up_webhooks(self) -> None:
        """The store could not deliver for two days, and switches its webhooks off."""
        for hook in self.hooks.values():
            hook["is_active"] = False

    async def tell(self, scope: str, data: Mapping[str, Any]) -> None:
        """Sends the webhook of an event, where one is set up and on."""
        hooked = [
            hook for hook in self.hooks.values() if hook["scope"] == SCOPE and hook["is_active"]
        ]
        if self.webhook_url and self.webhooks and (hooked or not self.hooks):
            await self.deliver(self.message(scope, data))

    def message(self, scope: str, data: Mapping[str, Any]) -> bytes:
        """The body of a webhook: thin, naming what it is about."""
        return json_body(
            {
                "scope": scope,
                "store_id": "1025646",
                "data": data,
                "hash": f"{self.number():040x}",
                "created_at": int(self.clock().timestamp()),
                "producer": f"stores/{HASH}",
            }
        )

    def headers(self, body: bytes) -> dict[str, str]:
        """The headers that prove a webhook."""
        secret = signing_secret(self.secret)
        return signed(secret, f"msg_{self.number()}", body, dt.datetime.now(dt.UTC))

    async def deliver(self, body: bytes) -> int:
        """Sends one webhook, signed; answers the hub's status, 0 where it did not answer."""
        request = HttpRequest(
            method="POST", url=self.webhook_url, headers=self.headers(body), body=body
        )
        try:
            status = (await self._http.send(request)).status
        except Transient:
            status = 0
        self.deliveries.append(status)
        return status

    # ---------------------------------------------------------------- what it answers

    @web.middleware
    async def _gate(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.calls.append((request.method, request.path.removeprefix(f"/stores/{HASH}")))
        now = asyncio.get_running_loop().time()
        if now - self._window_at >= WINDOW_S:
            self._window_at, self._used = now, 0
        self._used += 1
        headers = {
            "X-Rate-Limit-Requests-Left": str(max(0, self.quota - self._used)),
            "X-Rate-Limit-Requests-Quota": str(self.quota),
            "X-Rate-Limit-Time-Window-Ms": str(int(WINDOW_S * 1000)),
            "X-Rate-Limit-Time-Reset-Ms": str(int((self._window_at + WINDOW_S - now) * 1000)),
        }
        if self._used > self.quota:
            return web.json_response({"status": 429}, status=429, headers=headers)
        if request.headers.get("x-auth-token") != TOKEN:
            return web.json_response({"status": 401, "title": "Unauthorized"}, status=401)
        answer: web.StreamResponse = await handler(request)
        answer.headers.update(headers)
        return answer

    async def _adjust(self, request: web.Request) -> web.Response:
        items = (await request.json()).get("items", [])
        if not items or len(items) > MOST_LEVELS:
            return problem(422, {"items": f"must have 1 to {MOST_LEVELS} items"})
        errors = {}
        for n, item in enumerate(items):
            row = self._find(item)
            sku = row["identity"]["sku"] if row else None
            if row is None or item.get("location_id") != 1:
                errors[f"items.{n}"] = f"{item.get('sku', item.get('variant_id'))} was not found"
            elif sku in self.refused:
                errors[f"items.{n}"] = self.refused[sku]
        if errors:
            return problem(422, {} if self.silent else errors)
        at = self.clock() + dt.timedelta(seconds=self.lag_s)
        for item in items:
            sku = (self._find(item) or {})["identity"]["sku"]
            if sku not in self.lost:
                self._accepted.append((at, sku, int(item["quantity"])))
        self._apply()
        return web.json_response({"transaction_id": f"t-{self.number()}"})

    def _apply(self) -> None:
        """Carries out what was accepted long enough ago."""
        now = self.clock()
        waiting, self._accepted = self._accepted, []
        for at, sku, units in waiting:
            if at <= now:
                self.items[sku]["total_inventory_onhand"] = units
            else:
                self._accepted.append((at, sku, units))

    def _find(self, item: Mapping[str, Any]) -> dict[str, Any] | None:
        if item.get("sku") in self.items:
            return self.items[item["sku"]]
        if "variant_id" not in item:
            return None
        rows = self.items.values()
        return next((x for x in rows if x["identity"]["variant_id"] == item["variant_id"]), None)

    async def _list_items(self, request: web.Request) -> web.Response:
        self._apply()
        rows = self._named(request.query) if request.match_info["location"] == "1" else []
        return paged(request, rows)

    def _named(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        """The items that a question names; all where it names none."""
        if "sku:in" in query:
            names = dict.fromkeys(query["sku:in"].split(","))
            rows = [self.items[sku] for sku in names if sku in self.items]
        else:
            rows = list(self.items.values())
        if "variant_id:in" in query:
            wanted = set(query["variant_id:in"].split(","))
            rows = [row for row in rows if str(row["identity"]["variant_id"]) in wanted]
        return rows

    async def _list_hooks(self, request: web.Request) -> web.Response:
        return paged(request, list(self.hooks.values()))

    async def _make_hook(self, request: web.Request) -> web.Response:
        made = {"id": self.number(), "headers": None, **await request.json()}
        self.hooks[made["id"]] = made
        return web.json_response({"data": made, "meta": {}})

    async def _put_hook(self, request: web.Request) -> web.Response:
        hook = self.hooks[int(request.match_info["id"])]
        hook |= await request.json()
        return web.json_response({"data": hook, "meta": {}})


def paged(request: web.Request, rows: Sequence[Any]) -> web.Response:
    """A page of a v3 list."""
    size, page = int(request.query.get("limit", "50")), int(request.query.get("page", "1"))
    some = rows[(page - 1) * size : page * size]
    pagination = {
        "total": len(rows),
        "count": len(some),
        "per_page": size,
        "current_page": page,
        "total_pages": -(-len(rows) // size),
    }
    return web.json_response({"data": some, "meta": {"pagination": pagination}})


def problem(status: int, errors: Mapping[str, str]) -> web.Response:
    """A refusal as v3 words it."""
    told = {"status": status, "title": "JSON data is missing or invalid", "errors": errors}
    return web.json_response(told, status=status)
