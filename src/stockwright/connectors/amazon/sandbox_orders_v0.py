"""The sandbox's orders by v0 of the Orders API, and the packages that it is told of."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from stockwright.connectors.amazon.orders_v0 import ORDERS
from stockwright.connectors.amazon.sandbox_feeds import answer, failed
from stockwright.connectors.amazon.sandbox_orders import Order, OrderDesk


class OrderDeskV0:
    """Tells the orders of a desk by v0. lists: by token, the orders that are left of a pass.
    packages: by order and number. change(order, state) changes an order and tells of it.
    """

    def __init__(
        self,
        orders: Mapping[str, Order],
        lines: Mapping[str, list[Order]],
        desk: OrderDesk,
        change: Callable[[str, str], Awaitable[None]],
    ) -> None:
        self.lists: dict[str, list[Order]] = {}
        self.packages: dict[str, dict[str, Order]] = {}
        self._orders = orders
        self._lines = lines
        self._desk = desk
        self._change = change
        self._until = ""
        self._tokens = 0

    def routes(self) -> list[tuple[str, str, str, Any]]:
        """(operation, method, path, handler)."""
        return [
            ("getOrders", "GET", ORDERS, self._list_orders),
            ("getOrder", "GET", f"{ORDERS}/{{id}}", self._get_order),
            ("getOrderItems", "GET", f"{ORDERS}/{{id}}/orderItems", self._get_lines),
            ("confirmShipment", "POST", f"{ORDERS}/{{id}}/shipmentConfirmation", self._confirm),
        ]

    async def _list_orders(self, request: web.Request) -> web.Response:
        query = request.query
        token = query.get("NextToken", "")
        if token:
            rows = self.lists.pop(token, None)
            if rows is None:
                return failed(400, "InvalidInput", "The token has ended.")
        else:
            self._until = self._desk.until()
            rows = [row for row in self._orders.values() if self._is_asked(row, query)]
            rows.sort(key=lambda row: (row["LastUpdateDate"], row["AmazonOrderId"]))
        size = min(self._desk.page_size, int(query.get("MaxResultsPerPage", "100")))
        told: dict[str, Any] = {"Orders": rows[:size], "LastUpdatedBefore": self._until}
        if rows[size:]:
            self._tokens += 1
            told["NextToken"] = token = f"page-{self._tokens}"
            self.lists[token] = rows[size:]
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
        order = self._orders.get(request.match_info["id"])
        if order is None:
            return failed(404, "NotFound", "There is no such order.")
        return answer({"payload": order})

    async def _get_lines(self, request: web.Request) -> web.Response:
        number = request.match_info["id"]
        if number not in self._lines:
            return failed(404, "NotFound", "There is no such order.")
        order = self._orders[number]
        items = [self._desk.priced(order, line) for line in self._lines[number]]
        return answer({"payload": {"AmazonOrderId": number, "OrderItems": items}})

    async def _confirm(self, request: web.Request) -> web.Response:
        number = request.match_info["id"]
        package = (await request.json())["packageDetail"]
        if number not in self._orders:
            return failed(404, "NotFound", "There is no such order.")
        lines = {line["OrderItemId"]: line for line in self._lines[number]}
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
        await self._change(number, "PartiallyShipped" if left else "Shipped")
        return web.Response(status=204)
