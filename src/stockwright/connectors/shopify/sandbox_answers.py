"""The sandbox's answers to our documents: exactly the fields they ask for, from the shop's state.

A test executes every document over these answers against the shop's published schema.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from stockwright.connectors.shopify.ids import gid, number_of
from stockwright.connectors.shopify.queries import LINES, REFUND_LINES, REFUNDS
from stockwright.connectors.shopify.sandbox_shop import PRICE, Shop
from stockwright.sdk.webhooks import same_address

_NAME: Final = re.compile(r"^(?:query|mutation) (\w+)")
_SKU: Final = re.compile(r"sku:'((?:[^'\\]|\\.)*)'")
_SINCE: Final = re.compile(r"updated_at:>='([^']+)'")
Answer = dict[str, Any]


class Wrong(Exception):
    """The request as a whole is refused, with a code of `errors`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Answers:
    """Answers documents by their names. errors: SKU -> a code its level is refused with."""

    def __init__(self, shop: Shop, errors: Mapping[str, str]) -> None:
        self._shop = shop
        self._errors = errors
        self._keys: dict[str, tuple[Any, Answer]] = {}

    def to(self, document: str, variables: Mapping[str, Any], version: str) -> Answer:
        """The data of an answer. Raises Wrong."""
        match = _NAME.match(document)
        answer = self._known().get(match.group(1)) if match else None
        if answer is None:
            raise Wrong("undefinedField", "the sandbox knows our own documents only")
        if match and match.group(1) in ("SetQuantities", "PayBack") and version != "2025-10":
            return self._once(document, variables, answer)
        return answer(variables)

    def cost(self, document: str, variables: Mapping[str, Any]) -> float:
        """Points of a call: ten for a change, else by the objects asked for at most."""
        if document.startswith("mutation"):
            return 10.0
        some = len(variables.get("ids") or ()) or variables.get("first", 5) * 10
        return float(2 + some)

    def _known(self) -> dict[str, Callable[[Mapping[str, Any]], Answer]]:
        return {
            "ItemsOfSkus": self._items_of_skus,
            "ItemsOfVariants": self._items_of_variants,
            "Shown": self._shown,
            "Levels": self._levels,
            "Orders": self._orders,
            "OrderLines": self._order_lines,
            "OrderRefunds": self._order_refunds,
            "RefundLines": self._refund_lines,
            "ToShip": self._to_ship,
            "Fulfilled": self._fulfilled,
            "OpenLines": self._open_lines,
            "ToCancel": self._to_cancel,
            "ToRefund": self._to_refund,
            "SetQuantities": self._set,
            "Ship": self._ship,
            "Cancel": self._cancel,
            "PayBack": self._pay_back,
            "Webhooks": self._webhooks,
            "Subscribe": self._subscribe,
        }

    def _once(
        self, document: str, variables: Mapping[str, Any], answer: Callable[..., Answer]
    ) -> Answer:
        """A key is carried out once; with other content it is an error."""
        if "@idempotent(key: $key)" not in document or not str(variables.get("key", "")).strip():
            raise Wrong("BAD_REQUEST", "the directive @idempotent is required")
        key, asked = str(variables["key"]), variables["input"]
        if key in self._keys and self._keys[key][0] != asked:
            return _mismatch(document)
        if key not in self._keys:
            self._keys[key] = (asked, answer(variables))
        return self._keys[key][1]

    # ---------------------------------------------------------------- webhooks

    def _webhooks(self, variables: Mapping[str, Any]) -> Answer:
        nodes = [
            {"id": gid("WebhookSubscription", str(n)), "topic": topic}
            for n, (topic, address) in enumerate(self._shop.subscriptions, 1)
            if address == variables["uri"]
        ]
        return {"webhookSubscriptions": _page(nodes, 50, variables.get("after"))}

    def _subscribe(self, variables: Mapping[str, Any]) -> Answer:
        wanted = (variables["topic"], variables["subscription"]["uri"])
        errors: list[Answer] = []
        made = None
        if not wanted[1].startswith("https://"):
            message = "Address protocol http:// is not supported"
            errors = [{"field": ["webhookSubscription", "callbackUrl"], "message": message}]
        elif any(
            topic == wanted[0] and same_address(address, wanted[1])
            for topic, address in self._shop.subscriptions
        ):
            message = "Address for this topic has already been taken"
            errors = [{"field": ["webhookSubscription", "callbackUrl"], "message": message}]
        else:
            self._shop.subscriptions.append(wanted)
            made = {"id": gid("WebhookSubscription", str(len(self._shop.subscriptions)))}
        return {"webhookSubscriptionCreate": {"webhookSubscription": made, "userErrors": errors}}

    # ---------------------------------------------------------------- items and levels

    def _items_of_skus(self, variables: Mapping[str, Any]) -> Answer:
        # As the real search: whatever the case, and more than was asked.
        wanted = {_plain(sku).lower() for sku in _SKU.findall(variables["query"])}
        rows = [one for sku in sorted(wanted) for one in self._shop.items_of(sku)]
        nodes = [
            {"id": _item(one), "sku": one["sku"] or None, "tracked": one["tracked"]} for one in rows
        ]
        return {"inventoryItems": _page(nodes, 100, variables.get("after"))}

    def _items_of_variants(self, variables: Mapping[str, Any]) -> Answer:
        nodes: list[Answer | None] = []
        for text in variables["ids"]:
            one = self._shop.item_of_variant(int(number_of(text) or 0))
            item = {"id": _item(one), "tracked": one["tracked"]} if one else None
            nodes.append(
                {"__typename": "ProductVariant", "id": text, "inventoryItem": item}
                if item
                else None
            )
        return {"nodes": nodes}

    def _shown(self, variables: Mapping[str, Any]) -> Answer:
        place = int(number_of(variables["location"]) or 0)
        nodes: list[Answer | None] = []
        for text in variables["ids"]:
            one = self._shop.items.get(int(number_of(text) or 0))
            if one is None:
                nodes.append(None)
                continue
            units = one["levels"].get(place)
            level = None if units is None else {"quantities": [{"quantity": units}]}
            nodes.append({"__typename": "InventoryItem", "id": text, "inventoryLevel": level})
        return {"nodes": nodes}

    def _levels(self, variables: Mapping[str, Any]) -> Answer:
        place = int(number_of(variables["location"]) or 0)
        if place not in self._shop.locations:
            return {"location": None}
        nodes = [
            {
                "item": {
                    "id": _item(one),
                    "sku": one["sku"] or None,
                    "tracked": one["tracked"],
                    "variant": {"id": gid("ProductVariant", str(one["variant"]))},
                },
                "quantities": [{"quantity": one["levels"][place]}],
            }
            for one in self._shop.items.values()
            if place in one["levels"]
        ]
        return {"location": {"inventoryLevels": _page(nodes, 100, variables.get("after"))}}

    def _set(self, variables: Mapping[str, Any]) -> Answer:
        """All or nothing: one bad quantity, and none is set."""
        asked = variables["input"]
        rows = asked["quantities"]
        if len(rows) > 250:
            raise Wrong("MAX_INPUT_SIZE_EXCEEDED", "The input array size is greater than 250")
        found = [self._refusal(n, row, asked) for n, row in enumerate(rows)]
        errors = [error for error in found if error]
        group = None
        if not errors:
            for row in rows:
                item, place = (int(number_of(row[x])) for x in ("inventoryItemId", "locationId"))
                self._shop.set_level(item, place, row["quantity"])
            group = {"id": gid("InventoryAdjustmentGroup", str(self._shop.number()))}
        told = {"inventoryAdjustmentGroup": group, "userErrors": errors}
        return {"inventorySetQuantities": told}

    def _refusal(self, n: int, row: Mapping[str, Any], asked: Mapping[str, Any]) -> Answer | None:
        item = self._shop.items.get(int(number_of(row["inventoryItemId"]) or 0))
        place = int(number_of(row["locationId"]) or 0)
        compared = next((x for x in ("changeFromQuantity", "compareQuantity") if x in row), "")
        code, field = "", ""
        if item is None:
            code, field = "INVALID_INVENTORY_ITEM", "inventoryItemId"
        elif place not in self._shop.locations:
            code, field = "INVALID_LOCATION", "locationId"
        elif place not in item["levels"]:
            code, field = "ITEM_NOT_STOCKED_AT_LOCATION", "locationId"
        elif item["bundle"]:
            code, field = "NON_MUTABLE_INVENTORY_ITEM", "inventoryItemId"
        elif item["sku"] in self._errors:
            code, field = self._errors[item["sku"]], "quantity"
        elif row["quantity"] > 1_000_000_000:
            code, field = "INVALID_QUANTITY_TOO_HIGH", "quantity"
        elif not compared and not asked.get("ignoreCompareQuantity"):
            code, field = "COMPARE_QUANTITY_REQUIRED", "compareQuantity"
        elif compared and row[compared] not in (None, item["levels"][place]):
            kind = "CHANGE_FROM" if compared == "changeFromQuantity" else "COMPARE"
            code, field = f"{kind}_QUANTITY_STALE", compared
        return _error(code, ["input", "quantities", str(n), field]) if code else None

    # ---------------------------------------------------------------- orders

    def _orders(self, variables: Mapping[str, Any]) -> Answer:
        match = _SINCE.search(variables.get("query") or "")
        since = match.group(1) if match else ""
        rows = [one for one in self._shop.orders.values() if one["updated"] >= since]
        rows.sort(key=lambda one: (one["updated"], one["id"]))
        after = variables.get("after") or ""
        rest = [one for one in rows if _cursor(one) > after]
        some = rest[: variables["first"]]
        nodes = [self._order(one) for one in some]
        return {"orders": {"nodes": nodes, "pageInfo": {
            "hasNextPage": len(rest) > len(some), "endCursor": _cursor(some[-1]) if some else None,
        }}}  # fmt: skip

    def _order(self, one: Answer) -> Answer:
        return {
            "id": gid("Order", str(one["id"])),
            "createdAt": one["created"],
            "updatedAt": one["updated"],
            "cancelledAt": one["cancelled"],
            "test": one["test"],
            "lineItems": _page([_line(row) for row in one["lines"]], LINES, None),
            "refunds": [
                {
                    "id": gid("Refund", str(refund["id"])),
                    "createdAt": refund["created"],
                    "refundLineItems": _page(_refund_lines(refund), REFUND_LINES, None),
                }
                for refund in one["refunds"][:REFUNDS]
            ],
        }

    def _order_lines(self, variables: Mapping[str, Any]) -> Answer:
        lines = [_line(row) for row in self._found(variables["id"])["lines"]]
        return {"order": {"lineItems": _page(lines, 100, variables.get("after"))}}

    def _order_refunds(self, variables: Mapping[str, Any]) -> Answer:
        refunds = [
            {"id": gid("Refund", str(one["id"])), "createdAt": one["created"]}
            for one in self._found(variables["id"])["refunds"]
        ]
        return {"order": {"refunds": refunds}}

    def _refund_lines(self, variables: Mapping[str, Any]) -> Answer:
        number = int(number_of(variables["id"]))
        refunds = [one for order in self._shop.orders.values() for one in order["refunds"]]
        (refund,) = [one for one in refunds if one["id"] == number]
        page = _page(_refund_lines(refund), 100, variables.get("after"))
        return {"refund": {"refundLineItems": page}}

    def _found(self, text: str) -> Answer:
        return self._shop.orders.get(int(number_of(text) or 0)) or {}

    # ---------------------------------------------------------------- documents

    def _to_ship(self, variables: Mapping[str, Any]) -> Answer:
        order = self._found(variables["id"])
        if not order:
            return {"order": None}
        open_ = any(self._shop.remaining(row) for row in order["lines"])
        return {
            "order": {
                "id": variables["id"],
                "fulfillments": [
                    {
                        "id": gid("Fulfillment", str(one["id"])),
                        "status": "SUCCESS",
                        "trackingInfo": [{"number": one["tracking"]}],
                    }
                    for one in order["fulfillments"]
                ],
                "fulfillmentOrders": {
                    "nodes": [
                        {
                            "id": gid("FulfillmentOrder", str(order["fulfillment_order"])),
                            "status": "OPEN" if open_ and not order["cancelled"] else "CLOSED",
                            "assignedLocation": {
                                "location": {"id": gid("Location", str(self._shop.locations[0]))}
                            },
                        }
                    ]
                },
            }
        }

    def _fulfilled(self, variables: Mapping[str, Any]) -> Answer:
        number = int(number_of(variables["id"]))
        made = [one for order in self._shop.orders.values() for one in order["fulfillments"]]
        (found,) = [one for one in made if one["id"] == number]
        nodes = [
            {"quantity": units, "lineItem": {"id": gid("LineItem", str(line))}}
            for line, units in found["lines"]
        ]
        page = _page(nodes, 100, variables.get("after"))
        return {"fulfillment": {"fulfillmentLineItems": page}}

    def _open_lines(self, variables: Mapping[str, Any]) -> Answer:
        order = self._order_of(variables["id"])
        nodes = [self._open_line(row) for row in order["lines"]]
        return {"fulfillmentOrder": {"lineItems": _page(nodes, 100, variables.get("after"))}}

    def _order_of(self, fulfillment_order: str) -> Answer:
        number = int(number_of(fulfillment_order))
        found = [one for one in self._shop.orders.values() if one["fulfillment_order"] == number]
        return found[0]

    def _open_line(self, row: Answer) -> Answer:
        return {
            "id": gid("FulfillmentOrderLineItem", str(row["open"])),
            "remainingQuantity": self._shop.remaining(row),
            "lineItem": {"id": gid("LineItem", str(row["id"]))},
        }

    def _ship(self, variables: Mapping[str, Any]) -> Answer:
        asked = variables["fulfillment"]
        (group,) = asked["lineItemsByFulfillmentOrder"]
        order = self._order_of(group["fulfillmentOrderId"])
        rows = {row["open"]: row for row in order["lines"]}
        lines = []
        for one in group["fulfillmentOrderLineItems"]:
            row = rows[int(number_of(one["id"]))]
            if one["quantity"] > self._shop.remaining(row):
                errors = [
                    {"field": ["fulfillment"], "message": "Invalid fulfillment order line item"}
                ]
                return {"fulfillmentCreate": {"fulfillment": None, "userErrors": errors}}
            lines.append((row["id"], one["quantity"]))
        made = self._shop.fulfil(order["id"], lines, asked["trackingInfo"].get("number", ""))
        told = {"fulfillment": {"id": gid("Fulfillment", str(made))}, "userErrors": []}
        return {"fulfillmentCreate": told}

    def _finish(self, order: dict[str, Any]) -> None:
        """A job that cancels an order is looked at, and has ended after so many looks."""
        left = order.get("cancelling")
        if left == 0:
            self._shop.cancel(order["id"])
        if left is not None:
            order["cancelling"] = left - 1

    def _to_cancel(self, variables: Mapping[str, Any]) -> Answer:
        order = self._found(variables["id"])
        if order:
            self._finish(order)
        told = {"id": variables["id"], "cancelledAt": order["cancelled"]} if order else None
        return {"order": told}

    def _cancel(self, variables: Mapping[str, Any]) -> Answer:
        order = self._found(variables["order"])
        if order["cancelled"] or order["fulfillments"] or order.get("cancelling") is not None:
            error = _error("INVALID", ["orderId"], "Cannot cancel this order")
            return {"orderCancel": {"job": None, "orderCancelUserErrors": [error]}}
        order["cancelling"] = self._shop.slow_cancels
        self._finish(order)
        job = {"id": f"gid://shopify/Job/{self._shop.number()}"}
        return {"orderCancel": {"job": job, "orderCancelUserErrors": []}}

    def _to_refund(self, variables: Mapping[str, Any]) -> Answer:
        order = self._found(variables["id"])
        if not order:
            return {"order": None}
        paid = sum((row["quantity"] * PRICE for row in order["lines"]), Decimal(0))
        most = paid - order["paid_back"]
        units = sum(line["quantity"] for line in variables["lines"])
        total = min(most, units * PRICE)
        return {
            "order": {
                "id": variables["id"],
                "refunds": [
                    {"id": gid("Refund", str(one["id"])), "note": one["note"] or None}
                    for one in order["refunds"]
                ],
                "suggestedRefund": {
                    "amountSet": _money(total),
                    "suggestedTransactions": [
                        {
                            "gateway": "bogus",
                            "amountSet": _money(total),
                            "maximumRefundableSet": {"presentmentMoney": {"amount": str(most)}},
                            "parentTransaction": {
                                "id": gid("OrderTransaction", str(order["payment"]))
                            },
                        }
                    ],
                },
            }
        }

    def _pay_back(self, variables: Mapping[str, Any]) -> Answer:
        asked = variables["input"]
        order = self._found(asked["orderId"])
        lines = []
        for one in asked["refundLineItems"]:
            row = self._shop.line(order["id"], int(number_of(one["lineItemId"])))
            if row is None or one["quantity"] > row["quantity"] - row["removed"]:
                message = "Quantity cannot refund more items than were purchased"
                errors = [{"field": ["refundLineItems"], "message": message}]
                return {"refundCreate": {"refund": None, "userErrors": errors}}
            lines.append((row["id"], one["quantity"], one["restockType"]))
        amount = sum((Decimal(one["amount"]) for one in asked.get("transactions", ())), Decimal(0))
        made = self._shop.pay_back(order["id"], lines, asked.get("note", ""), amount)
        told = {"refund": {"id": gid("Refund", str(made["id"]))}, "userErrors": []}
        return {"refundCreate": told}


def _item(one: Answer) -> str:
    return gid("InventoryItem", str(one["id"]))


def _cursor(order: Answer) -> str:
    return f"{order['updated']}/{order['id']:012}"


def _page(nodes: Sequence[Answer], size: int, after: str | None) -> Answer:
    start = int(after or 0)
    end = start + size
    info = {"hasNextPage": end < len(nodes), "endCursor": str(end) if nodes else None}
    return {"nodes": list(nodes[start:end]), "pageInfo": info}


def _line(row: Answer) -> Answer:
    return {
        "id": gid("LineItem", str(row["id"])),
        "sku": row["sku"] or None,
        "quantity": row["quantity"],
        "isGiftCard": False,
        "variant": {"id": gid("ProductVariant", str(row["variant"]))},
    }


def _refund_lines(refund: Answer) -> list[Answer]:
    return [
        {
            "id": gid("RefundLineItem", str(row["id"])),
            "quantity": row["quantity"],
            "restockType": row["restock"],
            "lineItem": {"id": gid("LineItem", str(row["line"]["id"]))},
        }
        for row in refund["lines"]
    ]


def _money(amount: Decimal) -> Answer:
    return {"presentmentMoney": {"amount": str(amount), "currencyCode": "EUR"}}


def _error(code: str, field: Sequence[str], message: str = "") -> Answer:
    text = message or code.replace("_", " ").capitalize()
    return {"code": code, "field": list(field), "message": text}


def _mismatch(document: str) -> Answer:
    if "refundCreate" in document:
        error = {"field": None, "message": "The idempotency key was used with other parameters"}
        return {"refundCreate": {"refund": None, "userErrors": [error]}}
    error = _error("IDEMPOTENCY_KEY_PARAMETER_MISMATCH", ["key"])
    return {"inventorySetQuantities": {"inventoryAdjustmentGroup": None, "userErrors": [error]}}


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)
