"""The webhooks of the sandbox: who is told of what, and who is given up."""

from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

from stockwright.connectors.woocommerce.catalogue import API
from stockwright.connectors.woocommerce.sandbox_answers import answer, error, page_of
from stockwright.connectors.woocommerce.webhooks import TOPICS

MOST_FAILURES: Final = 5
"""Failed deliveries in a row after which a webhook is disabled."""


class Webhooks:
    """rows are the webhooks as the shop lists them, by id; secrets those they were made with.

    keeps_off: says yes to whoever switches one on, and leaves it off.
    """

    def __init__(self, number: Callable[[], int]) -> None:
        self.rows: dict[int, dict[str, Any]] = {}
        self.secrets: list[str] = []
        self.keeps_off = False
        self._number = number
        self._failures: dict[int, int] = {}

    def serve(self, app: web.Application) -> None:
        """Adds what the API answers of them."""
        app.router.add_route("GET", f"{API}/webhooks", self._list)
        app.router.add_route("POST", f"{API}/webhooks", self._make)
        app.router.add_route("PUT", f"{API}/webhooks/{{id}}", self._put)
        app.router.add_route("DELETE", f"{API}/webhooks/{{id}}", self._delete)

    def add(self, topic: str, address: str, status: str = "active") -> dict[str, Any]:
        """Somebody sets one up."""
        number = self._number()
        self.rows[number] = {
            "id": number,
            "name": topic,
            "status": status,
            "topic": topic,
            "delivery_url": address,
        }
        return self.rows[number]

    def give_up(self, address: str) -> None:
        """Disables all that are on; first sets up what a shop has, where nobody has yet."""
        if not self.rows:
            for topic in TOPICS:
                self.add(topic, address)
        for hook in self.rows.values():
            if hook["status"] == "active":
                hook["status"] = "disabled"

    def on(self, topic: str) -> list[dict[str, Any]]:
        """Those that are told of a topic."""
        rows = self.rows.values()
        return [row for row in rows if (row["topic"], row["status"]) == (topic, "active")]

    def count(self, hook: dict[str, Any], status: int) -> None:
        """Notes how a delivery was answered; disables a webhook that failed too often in a row."""
        failed = not 200 <= status < 303
        self._failures[hook["id"]] = self._failures.get(hook["id"], 0) + 1 if failed else 0
        if self._failures[hook["id"]] >= MOST_FAILURES:
            hook["status"] = "disabled"

    async def _list(self, request: web.Request) -> web.Response:
        status = request.query.get("status", "all")
        rows = [row for row in self.rows.values() if status in ("all", row["status"])]
        return page_of(request, rows)

    async def _make(self, request: web.Request) -> web.Response:
        asked = await request.json()
        self.secrets.append(asked["secret"])
        made = self.add(asked["topic"], asked["delivery_url"], asked.get("status", "active"))
        return answer(made, 201)

    async def _delete(self, request: web.Request) -> web.Response:
        if request.query.get("force") != "true":
            code = "woocommerce_rest_trash_not_supported"
            return error(501, code, "Webhooks do not support trashing.")
        return answer(self.rows.pop(int(request.match_info["id"])))

    async def _put(self, request: web.Request) -> web.Response:
        hook = self.rows.get(int(request.match_info["id"]))
        if hook is None:
            return error(404, "woocommerce_rest_shop_webhook_invalid_id", "Invalid ID.")
        asked = await request.json()
        if self.keeps_off:
            asked.pop("status", None)
        hook |= {name: value for name, value in asked.items() if name in hook}
        return answer(hook)
