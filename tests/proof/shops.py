"""The sandboxes as shops of a trading house: how each is made, set up, and what it sells from."""

import datetime as dt
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from aiohttp import web
from msgspec.structs import replace

from stockwright.connectors import (
    amazon,
    bigcommerce,
    json_http,
    magento,
    medusa,
    shopify,
    woocommerce,
)
from stockwright.connectors.amazon.plans import PLANS, Pace, Plan
from stockwright.sdk.connector import Connector, Opening
from stockwright.sdk.pacing import OwnBuckets
from stockwright.sdk.secrets import resolve_secret

APPLY_DELAY_S = 30.0
SETTINGS: Mapping[str, Any] = {
    "timeout_s": 0.4,
    "longest_apply_delay_s": APPLY_DELAY_S,
    "batch_size": 3,
    "page_size": 2,
}
Clock = Callable[[], dt.datetime]
BOUNDLESS: Mapping[str, Plan] = dict.fromkeys(PLANS, Plan(900.0, 10_000))
"""What a partner allows is proven elsewhere; here it would only cost time."""


class Kind(NamedTuple):
    """One kind of shop. settings come on top of those that all have."""

    connector: Connector[Any]
    make: Callable[[Sequence[str], Clock], Any]
    settings: Mapping[str, Any] = {}

    @property
    def is_gross(self) -> bool:
        """Whether it subtracts its own open orders from the number it is given."""
        return self.connector.declaration.capabilities.levels_are == "gross"

    def open(self, system: str, shop: Any, clock: Clock) -> Any:
        """A connection of its own, as each process has one; its calls are not rationed."""
        given = {**SETTINGS, **self.settings, **shop.settings()}
        settings = self.connector.declaration.parse_settings(given, resolve_secret)
        connection: Any = self.connector.open(Opening(system=system, clock=clock), settings)
        connection.limits = replace(connection.limits, calls_per_s=1_000.0, burst=10_000)
        if self.connector is amazon.CONNECTOR:
            connection._api.pace = Pace(OwnBuckets(), BOUNDLESS)
        return connection


class LastWriteWins(json_http.Sandbox):
    """A shop that keeps no versions: it shows what came last."""

    def _take(self, level: dict[str, Any]) -> dict[str, Any]:
        if level["listing"] not in self.refused:
            self._levels.pop((level["listing"], level.get("location", "")), None)
        answer = super()._take(level)
        return {name: value for name, value in answer.items() if name != "version"}


def _json_http(skus: Sequence[str], clock: Clock) -> Any:
    return json_http.Sandbox(clock=clock)


def _last_write_wins(skus: Sequence[str], clock: Clock) -> Any:
    return LastWriteWins(clock=clock)


def _woocommerce(skus: Sequence[str], clock: Clock) -> Any:
    return woocommerce.Sandbox(skus, clock=clock)


def _shopify(skus: Sequence[str], clock: Clock) -> Any:
    return shopify.Sandbox(skus, clock=clock, points=1e9, restores_per_s=1e6)


def _bigcommerce(skus: Sequence[str], clock: Clock) -> Any:
    shop = bigcommerce.Sandbox(skus, clock=clock)
    shop.lag_s, shop.quota = 1.0, 1_000_000
    return shop


def _magento(skus: Sequence[str], clock: Clock) -> Any:
    shop = magento.Sandbox(skus, clock=clock)
    shop.lag_s = 1.0
    return shop


def _medusa(skus: Sequence[str], clock: Clock) -> Any:
    return medusa.Sandbox(skus, clock=clock)


def _amazon(skus: Sequence[str], clock: Clock) -> Any:
    account = amazon.Sandbox(skus, clock=clock, plans=BOUNDLESS)
    account.desk.takes_s = 1.0
    return account


KINDS: Mapping[str, Kind] = {
    "json_http": Kind(json_http.CONNECTOR, _json_http),
    "last_write_wins": Kind(json_http.CONNECTOR, _last_write_wins),
    # A list of orders may be as old as the overlap, and webhooks may be lost besides: longer than a
    # world lasts.
    "woocommerce": Kind(woocommerce.CONNECTOR, _woocommerce, {"overlap_s": 3_600}),
    "shopify": Kind(shopify.CONNECTOR, _shopify),
    "bigcommerce": Kind(bigcommerce.CONNECTOR, _bigcommerce, {"settle_s": 5.0}),
    "magento": Kind(
        magento.CONNECTOR,
        _magento,
        {"sync_most": 2, "bulk_from": 3, "bulk_look_s": 1.0, "bulk_deadline_s": 20.0},
    ),
    "medusa": Kind(medusa.CONNECTOR, _medusa, {"settle_s": 0}),
    "amazon": Kind(
        amazon.CONNECTOR, _amazon, {"feed_from": 2, "feed_look_s": 1.0, "feed_deadline_s": 20.0}
    ),
}


def for_sale(shop: Any, listing: str) -> int | None:
    """What the shop's own customers may buy now, once what it has to do is done."""
    getattr(shop, "collect", lambda: None)()
    shown: int | None = shop.shown(listing)
    for name in ("salable", "available"):
        if hasattr(shop, name):
            return int(getattr(shop, name)(listing))
    return shown


async def sell(shop: Any, number: str, listing: str, units: int) -> Any:
    """A customer buys in the shop; nobody is asked. The order, as the shop calls it."""
    lines = [(listing, units)]
    if isinstance(shop, json_http.Sandbox):
        await shop.sell(number, lines)
        return number
    sold = shop.sell(lines)
    return await sold if inspect.isawaitable(sold) else sold


async def cancel(shop: Any, order: Any, listing: str, units: int) -> None:
    """The whole order is cancelled in the shop. What it shows stays as it is."""
    done: Any
    match shop:
        case json_http.Sandbox():
            done = shop.cancel(order, f"C-{order}", [("1", listing, units)])
        case woocommerce.Sandbox():
            done = shop.change(order, status="cancelled")
        case bigcommerce.Sandbox():
            done = shop.change(order, status_id=5)
        case amazon.Sandbox():
            done = shop.change(order, "Canceled")
        case _:
            done = shop.cancel(order)
    if inspect.isawaitable(done):
        await done


class Mailbox:
    """Takes webhooks over real HTTP and keeps them, for a test to hand on when it likes."""

    def __init__(self) -> None:
        self.told: list[tuple[dict[str, str], bytes]] = []
        self.url = ""
        app = web.Application(client_max_size=16 << 20)
        app.router.add_post("/", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)

    async def start(self) -> None:
        """Begins to listen."""
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/"

    async def stop(self) -> None:
        """Ends it."""
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        self.told.append((dict(request.headers), await request.read()))
        return web.Response(status=202)
