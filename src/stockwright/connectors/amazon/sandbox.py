"""A seller account on this machine that answers as Amazon's Selling Partner API does.

Its requests and answers are held to Amazon's published models by the tests.
"""

import asyncio
import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from email.utils import format_datetime
from typing import Any, Final

from aiohttp import web

from stockwright.connectors.amazon.plans import PLANS, RATE_HEADER, Plan
from stockwright.connectors.amazon.sandbox_feeds import FeedDesk, answer, failed
from stockwright.connectors.amazon.sandbox_listings import MARKETPLACE, SELLER, ListingDesk
from stockwright.connectors.amazon.sandbox_notices import notice_of
from stockwright.connectors.amazon.sandbox_orders import OrderDesk
from stockwright.connectors.amazon.sandbox_orders_v0 import OrderDeskV0
from stockwright.domain.errors import Transient
from stockwright.sdk.connector import utc_now
from stockwright.sdk.hostile import Faults, keeping
from stockwright.sdk.messages import DocumentLine
from stockwright.sdk.pacing import Bucket, full_bucket, take
from stockwright.sdk.secrets import Secret
from stockwright.sdk.transports import Http, HttpRequest, json_body

_TOKEN_LIFE_S: Final = 3600


class Sandbox:
    """A seller account over real HTTP on loopback. Belongs to the event loop that starts it.

    faults spoils calls (see sdk.hostile); what a feed carries is lost by `not_applied` when it is
    read, and its report says yes all the same. refused: SKU -> the code of the issue it is answered
    with. plans: the calls each operation is given, as Amazon gives them. lag_s: how far its list
    of orders lags behind. on_level: called as (SKU, quantity, moment) for each level it takes.
    """

    HAS_FAULTS = True
    TAKES_JOBS = True
    SIGNS = False
    """Amazon signs nothing: the relay of its notices knows a key."""

    def __init__(
        self,
        products: Sequence[str] = ("L-1", "L-2", "L-3"),
        *,
        webhook_url: str = "",
        plans: Mapping[str, Plan] = PLANS,
        clock: Callable[[], dt.datetime] = utc_now,
    ) -> None:
        self.listing_desk = ListingDesk(clock, self._now)
        self.faults = Faults(keep=keeping(self.listing_desk, "items"))
        self.refused = self.listing_desk.refused
        self.webhook_url = webhook_url
        self.webhooks = True
        self.secret = Secret("amazon-relay-key")
        self.clock = clock
        self.plans = plans
        self.lag_s = 0.0
        self.calls: list[str] = []
        self.throttled: list[str] = []
        self.deliveries: list[int] = []
        self.tokens: dict[str, dt.datetime] = {}
        self.orders: dict[str, dict[str, Any]] = {}
        self.lines: dict[str, list[dict[str, Any]]] = {}
        self.on_level = self.listing_desk.on_level
        self.order_desk = OrderDesk(self.orders, self.lines, self._now, self._up_to)
        self.order_desk_v0 = OrderDeskV0(self.orders, self.lines, self.order_desk, self.change)
        self.packages = self.order_desk_v0.packages
        self.desk = FeedDesk(clock, self.listing_desk.write, self.order_desk.take)
        self._buckets: dict[str, Bucket] = {}
        self._next = 1_000_000
        self._runner: web.AppRunner | None = None
        self._http = Http()
        self._url = ""
        for sku in products:
            self.add(sku)

    def add(self, sku: str, quantity: int | None = 0, fulfilled_by: str = "DEFAULT") -> None:
        """Adds a listing; one that Amazon ships has another code and no number of the seller's."""
        self.listing_desk.add(sku, quantity, fulfilled_by)

    @property
    def page_size(self) -> int:
        """Orders on a page at most."""
        return self.order_desk.page_size

    @page_size.setter
    def page_size(self, orders: int) -> None:
        self.order_desk.page_size = orders

    async def start(self, port: int = 0) -> str:
        """Begins to answer; the address."""
        app = web.Application(
            middlewares=[self.faults.middleware(), self._gate], client_max_size=64 << 20
        )
        app.router.add_post("/auth/o2/token", self._token)
        routes = [
            *self.listing_desk.routes(),
            *self.order_desk_v0.routes(),
            *self.order_desk.routes(),
            *self.desk.routes(),
        ]
        for name, method, path, handler in routes:
            app.router.add_route(method, path, handler, name=name or None)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        host, bound = self._runner.addresses[0][:2]
        self._url = self.desk.url = f"http://{host}:{bound}"
        return self._url

    async def stop(self) -> None:
        """Closes the server and its calls. Safe to repeat."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
        await self._http.close()

    def settings(self) -> dict[str, Any]:
        """The settings of a connection to this account, once it is started."""
        return {
            "region": "na",
            "seller_id": SELLER,
            "marketplaces": [MARKETPLACE],
            "client_id": Secret("amzn1.application-oa2-client.sandbox"),
            "client_secret": Secret("sandbox-secret"),
            "refresh_token": Secret("Atzr|sandbox"),
            "webhook_secrets": [self.secret],
            "base_url": self._url,
            "token_url": f"{self._url}/auth/o2/token",
        }

    # ---------------------------------------------------------------- what happens there

    def collect(self) -> None:
        """Reads the feeds whose time has come."""
        self.desk.run()

    def shown(self, listing: str) -> int | None:
        """The seller's quantity it shows now; None where it has no such listing."""
        return self.listing_desk.shown(listing)

    def show(self, listing: str, quantity: int) -> None:
        """Somebody edits the number at Amazon, behind our back."""
        self.listing_desk.show(listing, quantity)

    async def sell(
        self, lines: Sequence[tuple[str, int]], status: str = "Pending", fulfilled_by: str = "MFN"
    ) -> str:
        """A customer bought (SKU, quantity) lines: lowers what is shown, tells the hub. The order's
        number.
        """
        self._next += 1
        number = f"902-{self._next:07}-1090050"
        now = self._now()
        self.orders[number] = {
            "AmazonOrderId": number,
            "PurchaseDate": now,
            "LastUpdateDate": now,
            "OrderStatus": status,
            "FulfillmentChannel": fulfilled_by,
            "MarketplaceId": MARKETPLACE,
            "OrderType": "StandardOrder",
            "BuyerInfo": {"BuyerEmail": "buyer@marketplace.example"},
        }
        self.lines[number] = []
        for sku, units in lines:
            left = self.shown(sku)
            if left is not None:
                self.show(sku, max(0, left - units))
            self._next += 1
            self.order_desk.bought[f"{self._next:014}"] = units
            self.lines[number].append(
                {
                    "ASIN": f"B{self._next:09}",
                    "OrderItemId": f"{self._next:014}",
                    "SellerSKU": sku,
                    "Title": sku,
                    "QuantityOrdered": units,
                    "QuantityShipped": 0,
                }
            )
        await self._tell(number)
        return number

    async def happen(self) -> None:
        """One thing that a poll tells."""
        await self.sell([("L-1", 1)])

    async def ordered(self) -> tuple[str, DocumentLine]:
        """An order that waits for its shipment, and a line of it."""
        number = await self.sell([("L-1", 2)], "Unshipped")
        line = self.lines[number][0]["OrderItemId"]
        return number, DocumentLine(line=line, quantity=2)

    def shipments_of(self, order: str) -> int:
        """How many shipments it was told of an order."""
        return len(self.packages.get(order, ()))

    async def change(self, number: str, status: str) -> None:
        """An order reaches another state. Amazon counts the units of a cancelled one as none."""
        if status == "Canceled":
            for line in self.lines[number]:
                line["QuantityOrdered"] = 0
        self.orders[number] |= {"OrderStatus": status, "LastUpdateDate": self._now()}
        await self._tell(number)

    async def change_line(self, number: str, n: int, units: int) -> None:
        """A customer wants fewer units of a line, or none of it."""
        self.lines[number][n]["QuantityOrdered"] = units
        self.orders[number]["LastUpdateDate"] = self._now()
        await self._tell(number)

    def notice(self, number: str) -> dict[str, Any]:
        """The notification of an order's last change, as the event bus carries it."""
        return notice_of(self.orders[number], self.lines[number], self.clock().isoformat())

    async def deliver(self, notice: Mapping[str, Any]) -> int:
        """Relays one notification; answers the hub's status, 0 where it did not answer."""
        headers = {"content-type": "application/json", "x-api-key": self.secret.reveal()}
        body = json_body(notice)
        request = HttpRequest(method="POST", url=self.webhook_url, headers=headers, body=body)
        try:
            status = (await self._http.send(request)).status
        except Transient:
            status = 0
        self.deliveries.append(status)
        return status

    async def _tell(self, number: str) -> None:
        if self.webhook_url and self.webhooks:
            await self.deliver(self.notice(number))

    # ---------------------------------------------------------------- who may call, how often

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        good = (form.get("grant_type"), form.get("refresh_token"), form.get("client_secret"))
        if good != ("refresh_token", "Atzr|sandbox", "sandbox-secret"):
            return answer({"error": "invalid_grant", "error_description": "not known"}, 400)
        token = f"Atza|{len(self.tokens) + 1}"
        self.tokens[token] = self.clock() + dt.timedelta(seconds=_TOKEN_LIFE_S)
        told = {"access_token": token, "token_type": "bearer", "expires_in": _TOKEN_LIFE_S}
        return answer(told)

    @web.middleware
    async def _gate(self, request: web.Request, handler: Any) -> web.StreamResponse:
        name = request.match_info.route.name
        if name is None:
            found: web.StreamResponse = await handler(request)
            return found
        self.calls.append(name)
        until = self.tokens.get(request.headers.get("x-amz-access-token", ""))
        if until is None or until <= self.clock():
            return failed(403, "Unauthorized", "Access to requested resource is denied.")
        plan = self.plans[name]
        headers = {RATE_HEADER: f"{plan.rate_per_s:g}", "Date": self._date()}
        if not self._allowed(name, plan):
            self.throttled.append(name)
            refused = failed(429, "QuotaExceeded", "You exceeded your quota for the resource.")
            refused.headers.update(headers)
            return refused
        found = await handler(request)
        found.headers.update(headers)
        return found

    def _allowed(self, name: str, plan: Plan) -> bool:
        now = asyncio.get_running_loop().time()
        bucket = self._buckets.get(name) or full_bucket(plan.rate_per_s, plan.burst, now)
        after, wait_s = take(bucket, now)
        if wait_s:
            return False
        self._buckets[name] = after
        return True

    # ---------------------------------------------------------------- its clock

    def _up_to(self) -> str:
        """Up to when orders are listed."""
        until = self.clock() - dt.timedelta(seconds=self.lag_s)
        return until.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def _date(self) -> str:
        return format_datetime(self.clock().astimezone(dt.UTC), usegmt=True)

    def _now(self) -> str:
        return self.clock().astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
