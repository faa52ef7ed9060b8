"""A seller account on this machine that answers as Amazon's Selling Partner API does.

Its requests and answers are held to Amazon's published models by the tests.
"""

import asyncio
import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from aiohttp import web

from stockwright.connectors.amazon.listings import ITEMS
from stockwright.connectors.amazon.orders_v0 import ORDERS
from stockwright.connectors.amazon.plans import PLANS, RATE_HEADER, Plan
from stockwright.connectors.amazon.sandbox_feeds import FeedDesk, answer, failed
from stockwright.connectors.amazon.sandbox_orders import OrderDesk
from stockwright.domain.errors import Transient
from stockwright.sdk.connector import utc_now
from stockwright.sdk.hostile import Faults, keeping
from stockwright.sdk.messages import DocumentLine
from stockwright.sdk.pacing import Bucket, full_bucket, take
from stockwright.sdk.secrets import Secret
from stockwright.sdk.transports import Http, HttpRequest, json_body

SELLER: Final = "A3TH9S8BH6GOGM"
MARKETPLACE: Final = "ATVPDKIKX0DER"
_TOKEN_LIFE_S: Final = 3600
OnLevel = Callable[[str, int, dt.datetime], None]


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
        self.faults = Faults(keep=keeping(self, "items"))
        self.refused: dict[str, str] = {}
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
        self.items: dict[str, dict[str, Any]] = {}
        self.orders: dict[str, dict[str, Any]] = {}
        self.lines: dict[str, list[dict[str, Any]]] = {}
        self.packages: dict[str, dict[str, dict[str, Any]]] = {}
        self.on_level: list[OnLevel] = []
        self.order_desk = OrderDesk(self.orders, self.lines, self._now, self._up_to)
        self.desk = FeedDesk(clock, self._write, self.order_desk.take)
        self._buckets: dict[str, Bucket] = {}
        self._lists: dict[str, list[dict[str, Any]]] = {}
        self._until = ""
        self._next = 1_000_000
        self._runner: web.AppRunner | None = None
        self._http = Http()
        self._url = ""
        for sku in products:
            self.add(sku)

    def add(self, sku: str, quantity: int | None = 0, fulfilled_by: str = "DEFAULT") -> None:
        """Adds a listing; one that Amazon ships has another code and no number of the seller's."""
        shown = {"fulfillmentChannelCode": fulfilled_by}
        self.items[sku] = {
            "sku": sku,
            "made": self._now(),
            "availability": [shown if quantity is None else {**shown, "quantity": quantity}],
        }

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
        item = f"{ITEMS}/{{seller}}/{{sku}}"
        routes = [
            ("patchListingsItem", "PATCH", item, self._patch),
            ("getListingsItem", "GET", item, self._get_item),
            ("searchListingsItems", "GET", f"{ITEMS}/{{seller}}", self._search),
            ("getOrders", "GET", ORDERS, self._list_orders),
            ("getOrder", "GET", f"{ORDERS}/{{id}}", self._get_order),
            ("getOrderItems", "GET", f"{ORDERS}/{{id}}/orderItems", self._get_lines),
            ("confirmShipment", "POST", f"{ORDERS}/{{id}}/shipmentConfirmation", self._confirm),
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
        item = self.items.get(listing)
        for one in item["availability"] if item else ():
            if one["fulfillmentChannelCode"] == "DEFAULT":
                return int(one["quantity"])
        return None

    def show(self, listing: str, quantity: int) -> None:
        """Somebody edits the number at Amazon, behind our back."""
        self.items[listing]["availability"][0]["quantity"] = quantity

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
        order = self.orders[number]
        return {
            "version": "0",
            "detail-type": "ORDER_CHANGE",
            "detail": {
                "NotificationVersion": "1.0",
                "NotificationType": "ORDER_CHANGE",
                "PayloadVersion": "1.0",
                "EventTime": self.clock().isoformat(),
                "Payload": {"OrderChangeNotification": self._change(order)},
                "NotificationMetadata": {
                    "ApplicationId": "app-id-sandbox",
                    "SubscriptionId": "subscription-id-sandbox",
                    "PublishTime": self.clock().isoformat(),
                    "NotificationId": f"notification-{number}",
                },
            },
        }

    def _change(self, order: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "NotificationLevel": "OrderLevel",
            "SellerId": SELLER,
            "AmazonOrderId": order["AmazonOrderId"],
            "OrderChangeType": "OrderStatusChange",
            "OrderChangeTrigger": {
                "TimeOfOrderChange": order["LastUpdateDate"],
                "ChangeReason": "OrderStatusChange",
            },
            "Summary": {
                "MarketplaceId": MARKETPLACE,
                "OrderStatus": order["OrderStatus"],
                "PurchaseDate": order["PurchaseDate"],
                "DestinationPostalCode": None,
                "FulfillmentType": order["FulfillmentChannel"],
                "OrderType": "StandardOrder",
                "OrderItems": [
                    {
                        "OrderItemId": line["OrderItemId"],
                        "SellerSKU": line["SellerSKU"],
                        "SupplySourceId": None,
                        "Quantity": line["QuantityOrdered"],
                        "QuantityShipped": line["QuantityShipped"],
                    }
                    for line in self.lines[order["AmazonOrderId"]]
                ],
            },
        }

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
        headers = {RATE_HEADER: f"{plan.rate_per_s:g}"}
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

    # ---------------------------------------------------------------- listings

    async def _patch(self, request: web.Request) -> web.Response:
        sku = request.match_info["sku"]
        asked = await request.json()
        if sku not in self.items or request.match_info["seller"] != SELLER:
            return failed(400, "BAD_REQUEST", f"SKU {sku!r} not found.")
        refusal = self._write({"sku": sku, **asked})
        told = {"sku": sku, "status": "ACCEPTED", "submissionId": f"s-{len(self.calls)}"}
        if refusal is not None:
            issue = {
                "code": refusal[0],
                "message": refusal[1],
                "severity": "ERROR",
                "categories": [],
            }
            return answer({**told, "status": "INVALID", "issues": [issue]})
        return answer({**told, "issues": []})

    def _write(self, message: dict[str, Any]) -> tuple[str, str] | None:
        """Carries out a patch, or answers why not."""
        item = self.items.get(message["sku"])
        if item is None:
            return "8560", "The SKU does not match any listing."
        if message["sku"] in self.refused:
            return self.refused[message["sku"]], "Amazon will not take it."
        for patch in message["patches"]:
            for value in patch["value"]:
                code = value["fulfillment_channel_code"]
                known = [x for x in item["availability"] if x["fulfillmentChannelCode"] == code]
                if not known:
                    known = [{"fulfillmentChannelCode": code}]
                    item["availability"] += known
                known[0]["quantity"] = value["quantity"]
                for callback in self.on_level:
                    callback(message["sku"], value["quantity"], self.clock())
        return None

    async def _get_item(self, request: web.Request) -> web.Response:
        item = self.items.get(request.match_info["sku"])
        if item is None:
            return failed(404, "NotFound", "SKU not found.")
        return answer(self._shown(item))

    async def _search(self, request: web.Request) -> web.Response:
        query = request.query
        rows = sorted(self.items.values(), key=lambda item: (item["made"], item["sku"]))
        if "identifiers" in query:
            named = query["identifiers"].split(",")
            rows = [row for row in rows if row["sku"] in named]
        rows = [row for row in rows if row["made"] >= query.get("createdAfter", "")]
        start, size = int(query.get("pageToken", "0")), int(query.get("pageSize", "10"))
        end = min(start + size, 1_000)
        told: dict[str, Any] = {
            "numberOfResults": len(rows),
            "items": [self._shown(row) for row in rows[start:end]],
        }
        if end < min(len(rows), 1_000):
            told["pagination"] = {"nextToken": str(end)}
        return answer(told)

    def _shown(self, item: Mapping[str, Any]) -> dict[str, Any]:
        summary = {
            "marketplaceId": MARKETPLACE,
            "productType": "PRODUCT",
            "status": ["BUYABLE"],
            "createdDate": item["made"],
            "lastUpdatedDate": item["made"],
        }
        return {
            "sku": item["sku"],
            "summaries": [summary],
            "fulfillmentAvailability": item["availability"],
        }

    # ---------------------------------------------------------------- orders

    async def _list_orders(self, request: web.Request) -> web.Response:
        query = request.query
        token = query.get("NextToken", "")
        if token:
            rows = self._lists.pop(token, None)
            if rows is None:
                return failed(400, "InvalidInput", "The token has ended.")
        else:
            self._until = self._up_to()
            rows = [row for row in self.orders.values() if self._is_asked(row, query)]
            rows.sort(key=lambda row: (row["LastUpdateDate"], row["AmazonOrderId"]))
        size = min(self.order_desk.page_size, int(query.get("MaxResultsPerPage", "100")))
        told: dict[str, Any] = {"Orders": rows[:size], "LastUpdatedBefore": self._until}
        if rows[size:]:
            told["NextToken"] = token = f"page-{len(self.calls)}"
            self._lists[token] = rows[size:]
        return answer({"payload": told})

    def _is_asked(self, order: Mapping[str, Any], query: Mapping[str, str]) -> bool:
        states = query.get("OrderStatuses", "")
        channels = query.get("FulfillmentChannels", "")
        return (
            query.get("LastUpdatedAfter", "") <= order["LastUpdateDate"] <= self._until
            and (not states or order["OrderStatus"] in states.split(","))
            and (not channels or order["FulfillmentChannel"] in channels.split(","))
        )

    async def _get_order(self, request: web.Request) -> web.Response:
        order = self.orders.get(request.match_info["id"])
        if order is None:
            return failed(404, "NotFound", "There is no such order.")
        return answer({"payload": order})

    async def _get_lines(self, request: web.Request) -> web.Response:
        number = request.match_info["id"]
        if number not in self.lines:
            return failed(404, "NotFound", "There is no such order.")
        order = self.orders[number]
        items = [self.order_desk.priced(order, line) for line in self.lines[number]]
        return answer({"payload": {"AmazonOrderId": number, "OrderItems": items}})

    async def _confirm(self, request: web.Request) -> web.Response:
        number = request.match_info["id"]
        package = (await request.json())["packageDetail"]
        if number not in self.orders:
            return failed(404, "NotFound", "There is no such order.")
        lines = {line["OrderItemId"]: line for line in self.lines[number]}
        if any(one["orderItemId"] not in lines for one in package["orderItems"]):
            return failed(400, "InvalidInput", "The order has no such item.")
        packages = self.packages.setdefault(number, {})
        packages[package["packageReferenceId"]] = package
        for line in lines.values():
            line["QuantityShipped"] = sum(
                one["quantity"]
                for other in packages.values()
                for one in other["orderItems"]
                if one["orderItemId"] == line["OrderItemId"]
            )
        left = [x for x in lines.values() if x["QuantityShipped"] < x["QuantityOrdered"]]
        await self.change(number, "PartiallyShipped" if left else "Shipped")
        return web.Response(status=204)

    def _up_to(self) -> str:
        """Up to when orders are listed."""
        until = self.clock() - dt.timedelta(seconds=self.lag_s)
        return until.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def _now(self) -> str:
        return self.clock().astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
