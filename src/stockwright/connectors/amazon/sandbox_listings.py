"""The listings of the sandbox: shown, patched, looked for."""

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiohttp import web

from stockwright.connectors.amazon.listings import ITEMS
from stockwright.connectors.amazon.sandbox_feeds import answer, failed

SELLER: Final = "A3TH9S8BH6GOGM"
MARKETPLACE: Final = "ATVPDKIKX0DER"
OnLevel = Callable[[str, int, dt.datetime], None]


class ListingDesk:
    """Keeps listings and takes their numbers. refused and on_level: see Sandbox. now is the time as
    Amazon tells it.
    """

    def __init__(self, clock: Callable[[], dt.datetime], now: Callable[[], str]) -> None:
        self.items: dict[str, dict[str, Any]] = {}
        self.refused: dict[str, str] = {}
        self.on_level: list[OnLevel] = []
        self._clock = clock
        self._now = now
        self._submissions = 0

    def routes(self) -> list[tuple[str, str, str, Any]]:
        """(operation, method, path, handler)."""
        item = f"{ITEMS}/{{seller}}/{{sku}}"
        return [
            ("patchListingsItem", "PATCH", item, self._patch),
            ("getListingsItem", "GET", item, self._get_item),
            ("searchListingsItems", "GET", f"{ITEMS}/{{seller}}", self._search),
        ]

    def add(self, sku: str, quantity: int | None = 0, fulfilled_by: str = "DEFAULT") -> None:
        """Adds a listing; one that Amazon ships has another code and no number of the seller's."""
        shown = {"fulfillmentChannelCode": fulfilled_by}
        self.items[sku] = {
            "sku": sku,
            "made": self._now(),
            "availability": [shown if quantity is None else {**shown, "quantity": quantity}],
        }

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

    async def _patch(self, request: web.Request) -> web.Response:
        sku = request.match_info["sku"]
        asked = await request.json()
        if sku not in self.items or request.match_info["seller"] != SELLER:
            return failed(400, "BAD_REQUEST", f"SKU {sku!r} not found.")
        refusal = self.write({"sku": sku, **asked})
        self._submissions += 1
        told = {"sku": sku, "status": "ACCEPTED", "submissionId": f"s-{self._submissions}"}
        if refusal is not None:
            issue = {
                "code": refusal[0],
                "message": refusal[1],
                "severity": "ERROR",
                "categories": [],
            }
            return answer({**told, "status": "INVALID", "issues": [issue]})
        return answer({**told, "issues": []})

    def write(self, message: dict[str, Any]) -> tuple[str, str] | None:
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
                    callback(message["sku"], value["quantity"], self._clock())
        return None

    async def _get_item(self, request: web.Request) -> web.Response:
        item = self.items.get(request.match_info["sku"])
        if item is None:
            return failed(404, "NotFound", "SKU not found.")
        return answer(self._told(item))

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
            "items": [self._told(row) for row in rows[start:end]],
        }
        if end < min(len(rows), 1_000):
            told["pagination"] = {"nextToken": str(end)}
        return answer(told)

    def _told(self, item: Mapping[str, Any]) -> dict[str, Any]:
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
