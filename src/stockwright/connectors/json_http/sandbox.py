"""A partner that speaks this protocol, on this machine: stock per listing, orders, webhooks,
faults.

Times are the clock's that is handed in, so that a replay may run it on a virtual one; signatures
carry the real time, since they prove when a message was sent.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from aiohttp import web

from stockwright.domain.errors import Transient
from stockwright.sdk.connector import utc_now
from stockwright.sdk.hostile import Faults, keeping
from stockwright.sdk.messages import DocumentLine
from stockwright.sdk.secrets import Secret
from stockwright.sdk.transports import Http, HttpRequest, json_body
from stockwright.sdk.webhooks import new_secret, signed

OnLevel = Callable[[str, int, int, dt.datetime], None]
Line = tuple[str, int]
_PAGE = 1_000
FIRST_QUANTITY = 10


class Shown(msgspec.Struct):
    """What the sandbox shows for one listing at one place ('' for all places together)."""

    listing: str
    quantity: int
    version: int
    location: str = ""


class Sandbox:
    """A shop or marketplace over real HTTP on loopback. Belongs to the event loop that starts it.

    products are listings it shows from the start, ten of each; it takes levels of any other too.
    faults spoils calls (see sdk.hostile). refused: listing -> reason it will never be taken.
    busy: listings answered with "retry". documents: bodies by their key. Set webhook_url and
    webhooks to have sales told by webhook; every sale also stands in the list that is polled.
    """

    HAS_FAULTS = True

    def __init__(
        self,
        *,
        token: str = "",
        secret: Secret | None = None,
        webhook_url: str = "",
        clock: Callable[[], dt.datetime] = utc_now,
        products: Sequence[str] = (),
    ) -> None:
        self.token = token
        self.secret = secret or new_secret()
        self.webhook_url = webhook_url
        self.webhooks = True
        self.clock = clock
        self.faults = Faults(keep=keeping(self, "_levels"))
        self.refused: dict[str, str] = {}
        self.busy: set[str] = set()
        self.events: list[bytes] = []
        self.documents: dict[str, dict[str, Any]] = {}
        self.deliveries: list[tuple[str, int]] = []
        self._levels = {(one, ""): Shown(one, FIRST_QUANTITY, 0) for one in products}
        self._listeners: list[OnLevel] = []
        self._runner: web.AppRunner | None = None
        self._http = Http()
        self._url = ""

    # ---------------------------------------------------------------- running

    async def start(self, port: int = 0) -> str:
        """Listens on loopback; answers the base URL for the connection's settings."""
        app = web.Application(
            middlewares=[self.faults.middleware()], client_max_size=64 * 1024 * 1024
        )
        app.router.add_route("PUT", "/levels", self._write_levels)
        app.router.add_route("POST", "/levels", self._write_levels)
        app.router.add_get("/levels", self._read_levels)
        app.router.add_get("/orders", self._read_orders)
        app.router.add_post("/documents", self._take_document)
        app.router.add_put("/documents", self._take_document)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        host, bound = self._runner.addresses[0][:2]
        self._url = f"http://{host}:{bound}"
        return self._url

    async def stop(self) -> None:
        """Closes the server and its calls. Safe to repeat."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
        await self._http.close()

    async def __aenter__(self) -> "Sandbox":
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.stop()

    def settings(self) -> dict[str, Any]:
        """The settings of a connection to this partner, once it is started."""
        token = {"token": Secret(self.token)} if self.token else {}
        documents = {"documents_path": "/documents"}
        return {"base_url": self._url, "webhook_secrets": [self.secret], **documents, **token}

    # ---------------------------------------------------------------- what it shows

    def shown(self, listing: str, location: str = "") -> int | None:
        """The quantity it shows now; None where it never heard of the listing."""
        level = self._levels.get((listing, location))
        return level.quantity if level else None

    def show(self, listing: str, quantity: int, location: str = "") -> None:
        """Somebody edits the number at the partner's, behind our back."""
        version = self._levels[listing, location].version if self._knows(listing, location) else 0
        self._levels[listing, location] = Shown(listing, quantity, version, location)

    def on_level(self, callback: OnLevel) -> None:
        """Calls callback(listing, quantity, version, received_at) for each level it takes."""
        self._listeners.append(callback)

    def _knows(self, listing: str, location: str) -> bool:
        return (listing, location) in self._levels

    # ---------------------------------------------------------------- what happens there

    async def sell(
        self,
        order: str,
        lines: Sequence[Line],
        *,
        occurred_at: dt.datetime | None = None,
        location: str = "",
    ) -> bytes:
        """A customer bought (listing, quantity) lines: lowers what is shown and tells the hub.

        Answers the message as it was sent. Whether it should have sold that much is the caller's
        business: real marketplaces ask nobody.
        """
        for listing, quantity in lines:
            level = self._levels.get((listing, location))
            if level is not None:
                level.quantity = max(0, level.quantity - quantity)
        data: dict[str, Any] = {"order": order, "lines": _numbered(lines)}
        if location:
            data["location"] = location
        return await self.tell("order.placed", data, occurred_at)

    async def happen(self) -> None:
        """One thing that a poll tells."""
        await self.sell(f"H-{len(self.events)}", [("L-1", 1)])

    async def ordered(self) -> tuple[str, DocumentLine]:
        """An order that waits for its shipment, and a line of it."""
        order = f"H-{len(self.events)}"
        await self.sell(order, [("L-1", 2)])
        return order, DocumentLine(line="1", quantity=2, listing="L-1")

    def shipments_of(self, order: str) -> int:
        """How many shipments it was told of an order."""
        told = self.documents.values()
        return sum(one["type"] == "shipment" and one["order"] == order for one in told)

    async def cancel(
        self,
        order: str,
        cancellation: str,
        lines: Sequence[tuple[str, str, int]],
        *,
        occurred_at: dt.datetime | None = None,
    ) -> bytes:
        """A customer took back (line, listing, quantity) lines of an order before shipment."""
        told = [{"line": line, "sku": sku, "quantity": quantity} for line, sku, quantity in lines]
        data = {"order": order, "cancellation": cancellation, "lines": told}
        return await self.tell("order.cancelled", data, occurred_at)

    async def tell(
        self, event_type: str, data: dict[str, Any], occurred_at: dt.datetime | None = None
    ) -> bytes:
        """Puts any message on the list and, where webhooks are on, sends it. Answers its bytes."""
        at = (occurred_at or self.clock()).isoformat()
        body = json_body({"type": event_type, "timestamp": at, "data": {**data, "occurred_at": at}})
        self.events.append(body)
        if self.webhook_url and self.webhooks:
            await self.deliver(body, f"msg_{len(self.events)}")
        return body

    async def deliver(self, body: bytes, message_id: str) -> int:
        """Sends one webhook, signed; answers the hub's status, 0 where it did not answer."""
        request = HttpRequest(
            method="POST",
            url=self.webhook_url,
            headers=signed(self.secret, message_id, body, utc_now()),
            body=body,
        )
        try:
            status = (await self._http.send(request)).status
        except Transient:
            status = 0
        self.deliveries.append((message_id, status))
        return status

    # ---------------------------------------------------------------- what it answers

    async def _write_levels(self, request: web.Request) -> web.Response:
        if not self._may(request):
            return web.json_response({"error": "token"}, status=401)
        body = msgspec.json.decode(await request.read())
        results = [self._take(level) for level in body["levels"]]
        mixed = any(result["status"] != "applied" for result in results)
        return web.json_response({"results": results}, status=207 if mixed else 200)

    def _take(self, level: dict[str, Any]) -> dict[str, Any]:
        listing, location = level["listing"], level.get("location", "")
        answer = {"listing": listing, "location": location}
        if listing in self.refused:
            return answer | {"status": "refused", "reason": self.refused[listing]}
        if listing in self.busy:
            return answer | {"status": "retry", "reason": "busy", "retry_after_s": 0.05}
        before = self._levels.get((listing, location))
        if before is None or before.version <= level["version"]:
            self._levels[listing, location] = Shown(
                listing, level["quantity"], level["version"], location
            )
            for callback in self._listeners:
                callback(listing, level["quantity"], level["version"], self.clock())
        now = self._levels[listing, location]
        return answer | {"status": "applied", "quantity": now.quantity, "version": now.version}

    async def _take_document(self, request: web.Request) -> web.Response:
        """Keeps the first body under each key, and answers every other try alike."""
        if not self._may(request):
            return web.json_response({"error": "token"}, status=401)
        body = msgspec.json.decode(await request.read())
        key = request.headers.get("idempotency-key", "")
        self.documents.setdefault(key, body)
        reference = f"D-{list(self.documents).index(key) + 1}"
        return web.json_response({"reference": reference})

    async def _read_levels(self, request: web.Request) -> web.Response:
        if not self._may(request):
            return web.json_response({"error": "token"}, status=401)
        wanted = set(request.query.getall("listing", []))
        after = request.query.get("after", "")
        rows = sorted(self._levels.values(), key=lambda row: (row.listing, row.location))
        if wanted:
            rows = [row for row in rows if row.listing in wanted]
        # A page ends between listings, never inside one.
        names = sorted({row.listing for row in rows if row.listing > after})[:_PAGE]
        page = [row for row in rows if row.listing in set(names)]
        more = bool(names) and any(row.listing > names[-1] for row in rows)
        body = json_body({"levels": page, "next": names[-1] if more else ""})
        return web.Response(body=body, content_type="application/json")

    async def _read_orders(self, request: web.Request) -> web.Response:
        if not self._may(request):
            return web.json_response({"error": "token"}, status=401)
        since = int(request.query.get("since") or 0)
        limit = min(int(request.query.get("limit", "100")), _PAGE)
        page = self.events[since : since + limit]
        reached = since + len(page)
        orders = [msgspec.Raw(event) for event in page]
        answer = {"orders": orders, "next": str(reached), "more": reached < len(self.events)}
        return web.Response(body=msgspec.json.encode(answer), content_type="application/json")

    def _may(self, request: web.Request) -> bool:
        return not self.token or request.headers.get("authorization") == f"Bearer {self.token}"


def _numbered(lines: Sequence[Line]) -> list[dict[str, Any]]:
    return [
        {"line": str(number), "sku": sku, "quantity": quantity}
        for number, (sku, quantity) in enumerate(lines, start=1)
    ]
