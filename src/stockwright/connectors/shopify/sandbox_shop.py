"""What a shop on this machine holds: items with levels, orders, refunds, fulfilments.

Values are kept once, by number; `sandbox_answers` spells them for GraphQL, the two functions at the
end for webhooks.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final

OnLevel = Callable[[str, int, dt.datetime], None]
_FIRST: Final = 1_000_000
PRICE: Final = Decimal("12.00")


class Shop:
    """The state of a shop. Quantities are what is available.

    on_level: called as (SKU, quantity, moment) for each level the hub sets.
    """

    def __init__(self, skus: Sequence[str], clock: Callable[[], dt.datetime]) -> None:
        self.clock = clock
        self.locations = (501, 502)
        self.items: dict[int, dict[str, Any]] = {}
        self.orders: dict[int, dict[str, Any]] = {}
        self.on_level: list[OnLevel] = []
        self.slow_cancels = 0
        self.subscriptions: list[tuple[str, str]] = []
        """(topic, address) of each webhook that was asked for."""
        self._by_sku: dict[str, list[int]] = {}
        self._by_variant: dict[int, int] = {}
        self._next = _FIRST
        for sku in skus:
            self.add(sku)

    def number(self) -> int:
        """A number nothing else has."""
        self._next += 1
        return self._next

    def now(self) -> str:
        """The shop's time, to the second."""
        return self.clock().astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def add(self, sku: str, *, tracked: bool = True, bundle: bool = False) -> int:
        """A product of one variant, stocked at every location; the number of its item."""
        item = self.number()
        self.items[item] = {
            "id": item,
            "sku": sku,
            "variant": self.number(),
            "tracked": tracked,
            "bundle": bundle,
            "levels": dict.fromkeys(self.locations, 0),
        }
        self._by_sku.setdefault(sku.lower(), []).append(item)
        self._by_variant[self.items[item]["variant"]] = item
        return item

    def items_of(self, sku: str) -> list[dict[str, Any]]:
        """The items whose SKU is this one but for its case."""
        return [self.items[n] for n in self._by_sku.get(sku.lower(), ()) if n in self.items]

    def item_of(self, sku: str) -> dict[str, Any] | None:
        """The first item of that SKU."""
        return next((item for item in self.items_of(sku) if item["sku"] == sku), None)

    def item_of_variant(self, variant: int) -> dict[str, Any] | None:
        """The item of a variant."""
        return self.items.get(self._by_variant.get(variant, 0))

    def set_level(self, item: int, place: int, quantity: int) -> None:
        """The hub has the shop show this quantity."""
        found = self.items[item]
        found["levels"][place] = quantity
        for callback in self.on_level:
            callback(found["sku"], quantity, self.clock())

    # ---------------------------------------------------------------- orders

    def sell(self, lines: Sequence[tuple[str, int]], *, test: bool = False) -> int:
        """An order of (SKU, units): lowers what is available; its number."""
        number, now = self.number(), self.now()
        rows = []
        for sku, units in lines:
            item = self.item_of(sku)
            assert item is not None, f"the sandbox has no {sku}"
            item["levels"][self.locations[0]] -= units
            rows.append(
                {
                    "id": self.number(),
                    "sku": sku,
                    "variant": item["variant"],
                    "quantity": units,
                    "removed": 0,
                    "fulfilled": 0,
                    "open": self.number(),
                }
            )
        self.orders[number] = {
            "id": number,
            "created": now,
            "updated": now,
            "cancelled": None,
            "test": test,
            "lines": rows,
            "refunds": [],
            "fulfillments": [],
            "fulfillment_order": self.number(),
            "payment": self.number(),
            "paid_back": Decimal(0),
        }
        return number

    def line(self, number: int, line: int) -> dict[str, Any] | None:
        """A line of an order."""
        found: list[dict[str, Any]] = self.orders[number]["lines"]
        return next((row for row in found if row["id"] == line), None)

    def remaining(self, row: dict[str, Any]) -> int:
        """Units of a line that are neither sent nor taken away."""
        return max(0, int(row["quantity"] - row["removed"] - row["fulfilled"]))

    def cancel(self, number: int) -> None:
        """Somebody cancels an order; what is available stays as it is."""
        self.orders[number] |= {"cancelled": self.now(), "updated": self.now()}

    def pay_back(
        self,
        number: int,
        lines: Sequence[tuple[int, int, str]],
        note: str = "",
        amount: Decimal = Decimal(0),
    ) -> dict[str, Any]:
        """A refund of (line, units, restock type)."""
        order = self.orders[number]
        rows = []
        for line, units, restock in lines:
            row = self.line(number, line)
            assert row is not None
            row["removed"] += units
            if restock in ("CANCEL", "RETURN"):
                item = self.items[self._by_variant[row["variant"]]]
                item["levels"][self.locations[0]] += units
            rows.append({"id": self.number(), "line": row, "quantity": units, "restock": restock})
        refund = {
            "id": self.number(),
            "order": number,
            "created": self.now(),
            "note": note,
            "lines": rows,
        }
        order["refunds"].append(refund)
        order["paid_back"] += amount
        order["updated"] = self.now()
        return refund

    def fulfil(self, number: int, lines: Sequence[tuple[int, int]], tracking: str) -> int:
        """A fulfilment of (line, units); its number."""
        order = self.orders[number]
        for line, units in lines:
            row = self.line(number, line)
            assert row is not None
            row["fulfilled"] += units
        made = self.number()
        order["fulfillments"].append({"id": made, "tracking": tracking, "lines": list(lines)})
        order["updated"] = self.now()
        return made


def order_webhook(order: dict[str, Any]) -> dict[str, Any]:
    """The body of a webhook about an order."""
    return {
        "id": order["id"],
        "created_at": order["created"],
        "updated_at": order["updated"],
        "cancelled_at": order["cancelled"],
        "test": order["test"],
        "line_items": [_line(row) for row in order["lines"]],
        "refunds": [refund_webhook(refund) for refund in order["refunds"]],
    }


def refund_webhook(refund: dict[str, Any]) -> dict[str, Any]:
    """The body of a webhook about a refund."""
    return {
        "id": refund["id"],
        "order_id": refund["order"],
        "created_at": refund["created"],
        "note": refund["note"],
        "refund_line_items": [
            {
                "id": row["id"],
                "quantity": row["quantity"],
                "restock_type": row["restock"].lower(),
                "line_item_id": row["line"]["id"],
                "line_item": _line(row["line"]),
            }
            for row in refund["lines"]
        ],
    }


def _line(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "sku": row["sku"],
        "variant_id": row["variant"],
        "quantity": row["quantity"],
        "current_quantity": row["quantity"] - row["removed"],
        "gift_card": False,
    }
