"""Answers recorded from a real Medusa server, and what it means that others are of their shape.

`make e2e` compares them with the server; with STOCKWRIGHT_RECORD=1 it writes them anew.
"""

import os
from collections.abc import Iterator
from typing import Any

import msgspec

from stockwright.connectors.medusa import CONNECTOR
from stockwright.connectors.medusa.catalogue import ITEM_FIELDS, VARIANT_FIELDS
from stockwright.connectors.medusa.documents import ORDER_FIELDS
from stockwright.connectors.medusa.orders import CHANGE_FIELDS, FIELDS, LINE_FIELDS, RETURN_FIELDS
from stockwright.connectors.medusa.shop import Shop

ANSWERS = CONNECTOR.cases / "answers"
NAMES = (
    "inventory_items",
    "variants",
    "orders",
    "order",
    "changes",
    "returns",
    "line_items",
    "levels",
    "unknown_level",
)


async def collect(shop: Shop, order: str, item: str, place: str) -> dict[str, Any]:
    """What the server answers about an order that was shipped, paid, edited and returned in part,
    and about the item it sold.
    """

    async def one(path: str, name: str, *query: tuple[str, str], wanted: str = "") -> Any:
        answer = await shop.read(path, dict[str, Any], query)
        rows = [row for row in answer[name] if row.get("id") == (wanted or row.get("id"))]
        return {**answer, name: rows[:1] if wanted else rows}

    row = {"inventory_item_id": item, "location_id": place, "stocked_quantity": 7}
    strange = {**row, "inventory_item_id": "iitem_NONE"}
    path = "/inventory-items/location-levels/batch"
    refused = await shop.change(path, {"create": [], "update": [strange]})
    return {
        "levels": await shop.change(path, {"create": [], "update": [row]}),
        "unknown_level": msgspec.to_builtins(refused),
        "inventory_items": await one(
            "/inventory-items", "inventory_items", ITEM_FIELDS, ("id[]", item), wanted=item
        ),
        "variants": await one("/product-variants", "variants", VARIANT_FIELDS, ("limit", "1")),
        "orders": await one(
            "/orders", "orders", ("fields", FIELDS), ("limit", "200"), wanted=order
        ),
        "order": await shop.read(f"/orders/{order}", dict[str, Any], [ORDER_FIELDS]),
        "changes": await one(
            f"/orders/{order}/changes", "order_changes", ("fields", CHANGE_FIELDS)
        ),
        "returns": await one("/returns", "returns", ("order_id", order), RETURN_FIELDS),
        "line_items": await one(f"/orders/{order}/line-items", "order_items", LINE_FIELDS),
    }


def recorded(name: str) -> Any:
    """One recorded answer."""
    return msgspec.json.decode((ANSWERS / f"{name}.json").read_bytes())


def record(found: dict[str, Any]) -> bool:
    """Writes answers down, where we were asked to."""
    if not os.environ.get("STOCKWRIGHT_RECORD"):
        return False
    ANSWERS.mkdir(exist_ok=True)
    for name, answer in found.items():
        body = msgspec.json.format(msgspec.json.encode(answer), indent=1)
        (ANSWERS / f"{name}.json").write_bytes(body + b"\n")
    return True


def strange(found: Any, known: Any, at: str = "$") -> Iterator[str]:
    """Where an answer has what the known one has not: a field, or a value of another type."""
    if found is None or known is None:
        return
    if isinstance(found, dict) and isinstance(known, dict):
        for name, value in found.items():
            if name in known:
                yield from strange(value, known[name], f"{at}.{name}")
            else:
                yield f"{at}.{name}"
    elif isinstance(found, list) and isinstance(known, list):
        for n, value in enumerate(found if known else ()):
            ways = [list(strange(value, one, f"{at}[{n}]")) for one in known]
            yield from min(ways, key=len)
    elif _kind(found) != _kind(known):
        yield f"{at}: {found!r} where {known!r} is known"


def _kind(value: Any) -> str:
    return (
        "number"
        if isinstance(value, int | float) and not isinstance(value, bool)
        else (type(value).__name__)
    )
