"""What the Medusa sandbox keeps: items with levels, orders with their versions, payments."""

import copy
import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

PLACE: Final = "sloc_SANDBOX"
SALES_CHANNEL: Final = "sc_SANDBOX"
PRICE: Final = 10


class Refusal(Exception):
    """What the shop answers to a call it does not carry out."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind


class ShopState:
    """The books of one shop, as Medusa keeps them: reserved units stay in stock until packed."""

    def __init__(self, products: Sequence[str], clock: Callable[[], dt.datetime]) -> None:
        self.clock = clock
        self.items: dict[str, dict[str, Any]] = {}
        self.variants: dict[str, dict[str, Any]] = {}
        self.orders: dict[str, dict[str, Any]] = {}
        self.changes: dict[str, list[dict[str, Any]]] = {}
        self.returns: dict[str, dict[str, Any]] = {}
        self.gone: dict[str, list[dict[str, Any]]] = {}
        self._next = 0
        for sku in products:
            self.add(sku)

    def name(self, kind: str) -> str:
        """A new id; ids are ordered as they were made."""
        self._next += 1
        return f"{kind}_{self._next:026d}"

    def now(self) -> str:
        """The time, as it stands in every answer."""
        moment = self.clock().astimezone(dt.UTC).replace(tzinfo=None)
        return moment.isoformat(timespec="milliseconds") + "Z"

    # ---------------------------------------------------------------- items

    def add(self, sku: str, *, places: Sequence[str] = (PLACE,), quantity: int = 0) -> str:
        """Adds a variant with a SKU and the inventory item behind it; the item's id."""
        item, variant = self.name("iitem"), self.name("variant")
        self.items[item] = {"id": item, "sku": sku, "location_levels": []}
        parts = [{"inventory_item_id": item, "required_quantity": 1}]
        self.variants[variant] = {
            "id": variant,
            "sku": sku,
            "manage_inventory": True,
            "inventory_items": parts,
        }
        for place in places:
            self.create_level(item, place, quantity)
        return item

    def item_of(self, sku: str) -> dict[str, Any] | None:
        """The inventory item of a SKU."""
        return next((one for one in self.items.values() if one["sku"] == sku), None)

    def level(self, item: str, place: str) -> dict[str, Any]:
        """What a place has of an item. Raises Refusal where it is not stocked there."""
        found = self.items.get(item, {"location_levels": ()})
        for level in found["location_levels"]:
            if level["location_id"] == place:
                return dict_of(level)
        raise Refusal(404, "not_found", f"Item {item} is not stocked at location {place}")

    def create_level(self, item: str, place: str, quantity: int) -> dict[str, Any]:
        """Stocks an item at a place. Raises Refusal where it is stocked there by now."""
        if item not in self.items:
            raise Refusal(404, "not_found", f"Inventory item with id: {item} was not found")
        levels = self.items[item]["location_levels"]
        if any(one["location_id"] == place for one in levels):
            message = f"Inventory level with inventory_item_id: {item}, already exists."
            raise Refusal(400, "invalid_data", message)
        level = {
            "id": self.name("ilev"),
            "inventory_item_id": item,
            "location_id": place,
            "stocked_quantity": quantity,
            "reserved_quantity": 0,
        }
        levels.append(level)
        return level

    def write(self, create: Sequence[Any], update: Sequence[Any]) -> dict[str, Any]:
        """All of a batch, or nothing. Raises Refusal. No reservation hinders a lower number."""
        for row in update:
            self.level(row["inventory_item_id"], row["location_id"])
        created = [
            self.create_level(row["inventory_item_id"], row["location_id"], row["stocked_quantity"])
            for row in create
        ]
        updated = []
        for row in update:
            level = self.level(row["inventory_item_id"], row["location_id"])
            level["stocked_quantity"] = row["stocked_quantity"]
            updated.append(level)
        return {"created": created, "updated": updated}

    # ---------------------------------------------------------------- orders

    def place(self, lines: Sequence[tuple[str, int]], *, oversell: bool = False) -> str:
        """A customer buys (SKU, quantity) lines: the units are reserved. The order's id.

        Raises Refusal where stock does not suffice, but for oversell: several servers with the
        lock that is set by default take such an order.
        """
        found = [(self._variant_of(sku), units) for sku, units in lines]
        for variant, units in found:
            level = self._level_of(variant)
            if level["stocked_quantity"] - level["reserved_quantity"] < units and not oversell:
                message = "Some variant does not have the required inventory"
                raise Refusal(400, "not_allowed", message)
        number, now = self.name("order"), self.now()
        items = [self._line(variant, units) for variant, units in found]
        total = sum(line["total"] for line in items)
        payment = {
            "id": self.name("pay"),
            "amount": total,
            "currency_code": "eur",
            "captures": [],
            "refunds": [],
        }
        self.orders[number] = {
            "id": number,
            "status": "pending",
            "version": 1,
            "is_draft_order": False,
            "sales_channel_id": SALES_CHANNEL,
            "currency_code": "eur",
            "created_at": now,
            "updated_at": now,
            "canceled_at": None,
            "items": items,
            "fulfillments": [],
            "payment_collections": [{"id": self.name("paycol"), "payments": [payment]}],
        }
        self.changes[number], self.gone[number] = [], []
        for line in items:
            self.reserve(line, line["quantity"])
        return number

    def order(self, number: str) -> dict[str, Any]:
        """An order. Raises Refusal."""
        if number not in self.orders:
            raise Refusal(404, "not_found", f"Order id not found: {number}")
        return self.orders[number]

    def line(self, number: str, line: str) -> dict[str, Any]:
        """A line of an order. Raises Refusal."""
        found = next((one for one in self.order(number)["items"] if one["id"] == line), None)
        if found is None:
            message = f"Items with ids {line} does not exist in order with id {number}"
            raise Refusal(400, "invalid_data", message)
        return dict_of(found)

    def reserve(self, line: Mapping[str, Any], units: int) -> None:
        """Reserves units of a line, or gives them back where units are negative."""
        self._level_of(line["variant"])["reserved_quantity"] += units

    def stock(self, line: Mapping[str, Any], units: int) -> None:
        """Adds units to what is in stock; negative ones are taken out."""
        self._level_of(line["variant"])["stocked_quantity"] += units

    def touch(self, number: str, **fields: Any) -> None:
        """The order changes now."""
        self.order(number).update(fields, updated_at=self.now())

    def change(self, number: str, kind: str, **fields: Any) -> dict[str, Any]:
        """Begins a change of an order. Raises Refusal where one is under way."""
        order = self.order(number)
        if any(one["status"] == "pending" for one in self.changes[number]):
            message = f"Order ({number}) already has an existing active order change"
            raise Refusal(400, "invalid_data", message)
        made = {
            "id": self.name("ordch"),
            "order_id": number,
            "version": order["version"] + 1,
            "change_type": kind,
            "status": "pending",
            "return_id": None,
            "internal_note": None,
            "confirmed_at": None,
            "actions": [],
            **fields,
        }
        self.changes[number].append(made)
        return made

    def active(self, number: str) -> dict[str, Any]:
        """The change of an order that is under way. Raises Refusal."""
        found = [one for one in self.changes.get(number, ()) if one["status"] == "pending"]
        if not found:
            raise Refusal(400, "invalid_data", "An active Order Change is required to proceed")
        return found[0]

    def confirm(self, number: str) -> None:
        """The change under way becomes the order's next version; lines of nothing leave it."""
        change, order = self.active(number), self.order(number)
        before = copy.deepcopy(order["items"])
        for action in change["actions"]:
            details = action["details"]
            line = self.line(number, details["reference_id"])
            if action["action"] == "ITEM_UPDATE":
                self.reserve(line, details["quantity"] - line["quantity"])
                line["quantity"] = details["quantity"]
                line["total"] = PRICE * details["quantity"]
            elif action["action"] == "RECEIVE_RETURN_ITEM":
                self.stock(line, details["quantity"])
        for line in [one for one in order["items"] if not one["quantity"]]:
            order["items"].remove(line)
            row = next(one for one in before if one["id"] == line["id"])
            self.gone[number].append(
                {
                    "item_id": line["id"],
                    "version": order["version"],
                    "quantity": row["quantity"],
                    "item": row,
                }
            )
        change.update(status="confirmed", confirmed_at=self.now())
        self.touch(number, version=change["version"])

    def act(self, change: dict[str, Any], kind: str, line: str, units: int) -> None:
        """Adds an action to a change."""
        details = {"reference_id": line, "quantity": units}
        change["actions"].append({"id": self.name("ordchact"), "action": kind, "details": details})

    def _line(self, variant: Mapping[str, Any], units: int) -> dict[str, Any]:
        kept = ("manage_inventory", "inventory_items")
        return {
            "id": self.name("ordli"),
            "quantity": units,
            "variant_id": variant["id"],
            "variant_sku": variant["sku"],
            "total": PRICE * units,
            "variant": {name: variant[name] for name in kept},
            "detail": {"fulfilled_quantity": 0},
        }

    def _variant_of(self, sku: str) -> dict[str, Any]:
        return next(one for one in self.variants.values() if one["sku"] == sku)

    def _level_of(self, variant: Mapping[str, Any]) -> dict[str, Any]:
        item = variant["inventory_items"][0]["inventory_item_id"]
        return dict_of(self.items[item]["location_levels"][0])


def dict_of(found: Any) -> dict[str, Any]:
    """A row as it is kept, to be changed in place."""
    assert isinstance(found, dict)
    return found
