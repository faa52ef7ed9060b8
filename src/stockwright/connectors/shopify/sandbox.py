"""A shop on this machine that answers as Shopify's Admin GraphQL API does, with its limits."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, get_args

import msgspec
from aiohttp import web

from stockwright.connectors.shopify.declaration import Version
from stockwright.connectors.shopify.sandbox_answers import Answers, Wrong
from stockwright.connectors.shopify.sandbox_shop import Shop, order_webhook, refund_webhook
from stockwright.domain.errors import Transient
from stockwright.sdk.connector import utc_now
from stockwright.sdk.hostile import Faults, keeping
from stockwright.sdk.messages import DocumentLine
from stockwright.sdk.pacing import Bucket, full_bucket, take
from stockwright.sdk.secrets import Secret
from stockwright.sdk.signatures import signature_of
from stockwright.sdk.transports import Http, HttpRequest, json_body

TOKEN: Final = "shpat_sandbox"
CLIENT_ID: Final = "sandbox-app"
POINTS: Final = 2_000.0
RESTORES_PER_S: Final = 100.0


class Told(msgspec.Struct, frozen=True):
    """One call as it was answered."""

    version: str
    document: str
    variables: Mapping[str, Any]
    data: Mapping[str, Any]


class Sandbox:
    """A shop over real HTTP on loopback. Belongs to the event loop that starts it.

    faults spoils calls (see sdk.hostile). errors: SKU -> the code its level is refused with. told
    is every call that was answered with data.
    """

    HAS_FAULTS = True

    def __init__(
        self,
        products: Sequence[str] = ("L-1", "L-2", "L-3"),
        *,
        version: Version = "2026-07",
        webhook_url: str = "",
        clock: Callable[[], dt.datetime] = utc_now,
        points: float = POINTS,
        restores_per_s: float = RESTORES_PER_S,
    ) -> None:
        self.shop = Shop(products, clock)
        self.faults = Faults(keep=keeping(self.shop, "items"), reads=_asks)
        self.errors: dict[str, str] = {}
        self.refused = self.errors
        self.denied: set[str] = set()
        self.issued: list[str] = []
        """Tokens of the app, newest last; only that one is taken. Empty it to end them."""
        self.webhook_url = webhook_url
        self.webhooks = True
        self.secret = Secret("shopify-client-secret")
        self.deliveries: list[int] = []
        self.told: list[Told] = []
        self.throttled = 0
        self._version = version
        self._answers = Answers(self.shop, self.errors)
        self._bucket: Bucket = full_bucket(restores_per_s, points, 0.0)
        self._clock = clock
        self._started = clock()
        self._runner: web.AppRunner | None = None
        self._http = Http()
        self._url = ""

    # ---------------------------------------------------------------- running

    async def start(self, port: int = 0) -> str:
        """Listens on loopback; answers the shop's address."""
        app = web.Application(middlewares=[self._gate, self.faults.middleware()])
        app.router.add_post("/admin/oauth/access_token", self._issue)
        app.router.add_post("/admin/api/{version}/graphql.json", self._answer)
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

    def limit(self, points: float, restores_per_s: float) -> None:
        """From now on it has this budget, which is full."""
        now = (self._clock() - self._started).total_seconds()
        self._bucket = full_bucket(restores_per_s, points, now)

    def settings(self) -> dict[str, Any]:
        """The settings of a connection to this shop, once it is started."""
        return {
            "base_url": self._url,
            "access_token": Secret(TOKEN),
            "api_version": self._version,
            "webhook_secrets": [self.secret],
            "location": str(self.shop.locations[0]),
        }

    # ---------------------------------------------------------------- what happens there

    def shown(self, listing: str) -> int | None:
        """What is available of a SKU; None where there is no such item."""
        item = self.shop.item_of(listing)
        return None if item is None else int(item["levels"][self.shop.locations[0]])

    def show(self, listing: str, quantity: int) -> None:
        """Somebody edits the number in the shop, behind our back."""
        item = self.shop.item_of(listing)
        assert item is not None, f"the sandbox has no {listing}"
        item["levels"][self.shop.locations[0]] = quantity

    async def sell(self, lines: Sequence[tuple[str, int]], *, test: bool = False) -> int:
        """A customer bought (SKU, units): the order's number, of which the hub is told."""
        number = self.shop.sell(lines, test=test)
        await self._tell("orders/create", number)
        return number

    async def happen(self) -> None:
        """One thing that a poll tells."""
        await self.sell([("L-1", 1)])

    async def ordered(self) -> tuple[str, DocumentLine]:
        """An order that waits for its shipment, and a line of it."""
        number = await self.sell([("L-1", 2)])
        line = self.shop.orders[number]["lines"][0]["id"]
        return str(number), DocumentLine(line=str(line), quantity=2)

    def shipments_of(self, order: str) -> int:
        """How many shipments it was told of an order."""
        return len(self.shop.orders[int(order)]["fulfillments"])

    async def cancel(self, number: int) -> None:
        """Somebody cancels an order in the shop."""
        self.shop.cancel(number)
        await self._tell("orders/cancelled", number)

    async def pay_back(
        self, number: int, lines: Sequence[tuple[int, int]], restock: str = "NO_RESTOCK"
    ) -> int:
        """Somebody refunds units of (line, units) in the shop; the refund's number."""
        refund = self.shop.pay_back(number, [(line, units, restock) for line, units in lines])
        if self.webhook_url and self.webhooks:
            await self.deliver(json_body(refund_webhook(refund)), "refunds/create")
        await self._tell("orders/updated", number)
        return int(refund["id"])

    def signed(self, body: bytes, topic: str) -> dict[str, str]:
        """The headers of a webhook."""
        return {
            "content-type": "application/json",
            "X-Shopify-Topic": topic,
            "X-Shopify-Hmac-Sha256": signature_of(body, self.secret),
            "X-Shopify-Shop-Domain": "sandbox.myshopify.com",
            "X-Shopify-API-Version": self._version,
        }

    async def deliver(self, body: bytes, topic: str) -> int:
        """Sends one webhook, signed; answers the hub's status, 0 where it did not answer."""
        request = HttpRequest(
            method="POST", url=self.webhook_url, headers=self.signed(body, topic), body=body
        )
        try:
            status = (await self._http.send(request)).status
        except Transient:
            status = 0
        self.deliveries.append(status)
        return status

    async def _tell(self, topic: str, number: int) -> None:
        if self.webhook_url and self.webhooks:
            await self.deliver(json_body(order_webhook(self.shop.orders[number])), topic)

    # ---------------------------------------------------------------- what it answers

    @web.middleware
    async def _gate(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path.startswith("/admin/oauth/"):
            issued: web.StreamResponse = await handler(request)
            return issued
        if request.headers.get("X-Shopify-Access-Token") not in (TOKEN, *self.issued[-1:]):
            return _json({"errors": "[API] Invalid API key or access token"}, 401)
        if request.match_info.get("version") not in get_args(Version):
            return _json({"errors": "Not Found"}, 404)
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _issue(self, request: web.Request) -> web.Response:
        """A token by the client credentials grant, as apps of the Dev Dashboard get one."""
        told = dict(await request.post())
        wanted = {
            "grant_type": "client_credentials",
            "client_id": CLIENT_ID,
            "client_secret": self.secret.reveal(),
        }
        if told != wanted:
            return _json({"error": "invalid_client"}, 400)
        self.issued.append(f"shpat_issued_{len(self.issued) + 1}")
        return _json({"access_token": self.issued[-1], "scope": "", "expires_in": 86_399})

    async def _answer(self, request: web.Request) -> web.Response:
        asked = await request.json()
        document, variables = asked["query"], asked.get("variables") or {}
        version = request.match_info["version"]
        cost = self._answers.cost(document, variables)
        now = (self._clock() - self._started).total_seconds()
        bucket, wait_s = take(self._bucket, now, cost)
        if wait_s > 0.0:
            self.throttled += 1
            return self._refuse("THROTTLED", "Throttled", cost, now)
        self._bucket = bucket
        if any(field in document for field in self.denied):
            return self._refuse("ACCESS_DENIED", "Access denied", cost, now)
        try:
            data = self._answers.to(document, variables, version)
        except Wrong as wrong:
            return self._refuse(wrong.code, str(wrong), cost, now)
        self.told.append(Told(version, document, variables, data))
        return _json({"data": data, "extensions": self._cost(cost, now)})

    def _refuse(self, code: str, message: str, cost: float, now: float) -> web.Response:
        error = {"message": message, "extensions": {"code": code}}
        return _json({"errors": [error], "extensions": self._cost(cost, now)})

    def _cost(self, cost: float, now: float) -> dict[str, Any]:
        bucket, _ = take(self._bucket, now, 0.0)
        status = {
            "maximumAvailable": bucket.burst,
            "currentlyAvailable": bucket.tokens,
            "restoreRate": bucket.rate,
        }
        return {
            "cost": {
                "requestedQueryCost": cost,
                "actualQueryCost": cost,
                "throttleStatus": status,
            }
        }


def _asks(method: str, body: bytes) -> bool:
    """Whether a call only asks: all are POST here."""
    return body.startswith(b'{"query":"query ')


def _json(found: Any, status: int = 200) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(found), status=status, content_type="application/json"
    )
