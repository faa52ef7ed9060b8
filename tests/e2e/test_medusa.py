"""A real Medusa 2.18.0 shop and a running hub: stock out, sales in, documents, returns, cancels.

The hub is the whole application over its own PostgreSQL: webhooks come to its door, its workers
poll, project and publish. Documents and snapshots go by a second connection of the same
configuration: no station of the hub sends them yet.
"""

import asyncio
import copy
import datetime as dt
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any
from uuid import uuid4

import msgspec
import psycopg
import pytest
from msgspec.structs import replace

from stockwright.api.server import WebServer
from stockwright.app import open_services
from stockwright.app.connections import open_connection
from stockwright.config import Config, Database
from stockwright.connectors.medusa.client import MedusaConnection
from stockwright.domain.items import Binding, Component, Listing, Sku
from stockwright.domain.network import Channel, Location, System
from stockwright.sdk.messages import (
    Applied,
    Cancellation,
    Delivered,
    Document,
    DocumentLine,
    LevelKey,
    LevelToSend,
    Refund,
    Shipment,
    ShownLevel,
)
from stockwright.store import access, master
from stockwright.store.embedded import EmbeddedServer
from tests.api.conftest import Client
from tests.connectors import medusa_answers as answers
from tests.e2e.loopback_postgres import free_port, loopback_postgres
from tests.e2e.medusa_shop import EMAIL, PASSWORD, Medusa, Refused, Servers, medusa_servers

pytestmark = pytest.mark.e2e
SECRET = "e2e-webhook-secret"
EARLY = "EARLY-1"


def until(holds: Callable[[], object], within_s: float = 60) -> None:
    """Waits until something holds; the bound only keeps a broken test from hanging."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.05)


class World:
    """The shop's servers, and where its webhooks go."""

    def __init__(self, servers: Servers, shop: Medusa, hub_port: int) -> None:
        self.servers = servers
        self.shop = shop
        self.hub_port = hub_port


class Hub:
    """The running application, and what people and other systems do with it."""

    def __init__(self, services: Any, web: WebServer, system: System) -> None:
        self.services = services
        self.system = system
        with services.pool.connection() as connection:
            key = access.add_key(connection, name="e2e", scopes=["admin"]).key
        self.client = Client(web.port, key)

    def sell(self, sku: str) -> None:
        """Lets the channel sell a SKU under the shop's own code."""
        with self.services.pool.connection() as connection:
            master.save_one(connection, "skus", Sku(code=sku))
            row = Listing(channel="web", code=sku, components=(Component(sku=sku),))
            master.save_one(connection, "listings", row)
            bound = Binding(system="shop", subject="item", partner_code=sku, code=sku)
            master.save_one(connection, "bindings", bound)

    def tell(self, kind: str, sku: str, quantity: int, **more: Any) -> None:
        """A fact of the warehouse."""
        fact = {
            "kind": kind,
            "system": "erp",
            "document": uuid4().hex,
            "sku": sku,
            "quantity": quantity,
            "location": "main",
            **more,
        }
        answer = self.client.post("/v1/events", fact)
        assert answer.status == 200, answer.body
        assert answer.json["code"] == "recorded", answer.body

    def sql(self, query: str, *values: Any) -> list[Any]:
        with self.services.pool.connection() as connection:
            return list(connection.execute(query, values).fetchall())

    def free(self, sku: str) -> int:
        query = "SELECT sum(sellable - reserved - allocated - picked) FROM balance WHERE sku = %s"
        return int(self.sql(query, sku)[0][0] or 0)

    def claimed(self, sku: str) -> int:
        query = "SELECT sum(reserved + allocated + picked) FROM balance WHERE sku = %s"
        return int(self.sql(query, sku)[0][0] or 0)

    def bucket(self, sku: str, name: str) -> int:
        query = f"SELECT sum({name}) FROM balance WHERE sku = %s"
        return int(self.sql(query, sku)[0][0] or 0)

    def level(self, sku: str) -> tuple[int, str]:
        """(what is wanted to be shown, how far that is)."""
        rows = self.sql("SELECT desired, state FROM level WHERE listing = %s", sku)
        return rows[0] if rows else (-1, "none")

    def demand(self, order: str) -> tuple[int, int, int, int]:
        """(ordered, shipped, cancelled, returned) of an order's lines."""
        query = (
            "SELECT sum(ordered), sum(shipped), sum(cancelled), sum(returned)"
            " FROM demand_line WHERE order_ref = %s"
        )
        told = self.sql(query, order)[0]
        return tuple(int(one or 0) for one in told)  # type: ignore[return-value]

    def kinds(self, order: str) -> set[str]:
        """Kinds of facts that were recorded of an order."""
        query = "SELECT DISTINCT kind FROM event WHERE body->>'order' = %s"
        return {row[0] for row in self.sql(query, order)}

    def doors(self, order: str) -> set[str]:
        """By which doors messages about an order came."""
        return {row[0] for row in self.sql("SELECT door FROM payload WHERE raw_key = %s", order)}

    def with_connection(self, act: Callable[[MedusaConnection], Any]) -> Any:
        """Does something by a connection of its own."""

        async def go() -> Any:
            connection = open_connection(self.system)
            assert isinstance(connection, MedusaConnection)
            try:
                return await act(connection)
            finally:
                await connection.close()

        return asyncio.run(go())

    def submit(self, document: Document) -> Any:
        """Tells the shop of a document, twice: it must have it once, and answer alike."""
        first = self.with_connection(lambda one: one.submit(document))
        assert self.with_connection(lambda one: one.submit(document)) == first
        return first

    def with_settings(self, **change: Any) -> "Hub":
        """The same, with other settings for connections of its own."""
        given = {**self.system.settings, **change}
        settings = {name: value for name, value in given.items() if value is not None}
        other = copy.copy(self)
        other.system = replace(self.system, settings=settings)
        return other

    def resync(self) -> None:
        """An operator sends the channel everything again."""
        answer = self.client.post("/v1/publication/web/resync", {"why": "e2e"})
        assert answer.status == 200, answer.body


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    port = free_port()
    hook = {
        "STOCKWRIGHT_HOOK_URL": f"http://127.0.0.1:{port}/v1/hooks/shop",
        "STOCKWRIGHT_HOOK_SECRET": SECRET,
    }
    project = tmp_path_factory.mktemp("medusa")
    with (
        loopback_postgres() as database,
        medusa_servers(project, database, hook) as servers,
    ):
        shop = Medusa(servers.start())
        shop.set_up()
        yield World(servers, shop, port)


@pytest.fixture(scope="module")
def early(world: World) -> str:
    """An order made before the hub runs, of stock that the shop's staff wrote down."""
    item = world.shop.create_variant(EARLY)
    row = {"inventory_item_id": item, "location_id": world.shop.location, "stocked_quantity": 5}
    world.shop.post("/inventory-items/location-levels/batch", {"create": [row]})
    order = world.shop.buy(EARLY, 2)
    until(lambda: world.servers.log().count("order.placed could not be told") == 3)
    return order


@pytest.fixture(scope="module")
def hub(world: World, early: str, cluster: EmbeddedServer, template: str) -> Iterator[Hub]:
    patch = pytest.MonkeyPatch()
    patch.setenv("E2E_MEDUSA_KEY", world.shop.secret_key)
    patch.setenv("E2E_MEDUSA_HOOK", SECRET)
    system = System(
        code="shop",
        role="shop",
        connector="medusa",
        settings={
            "base_url": world.shop.url,
            "api_key": "env:E2E_MEDUSA_KEY",
            "webhook_secrets": ["env:E2E_MEDUSA_HOOK"],
            "channel": "web",
            "sales_channels": [world.shop.channel],
            "location": world.shop.location,
            "locations": {"main": world.shop.location},
        },
    )
    name = f"e2e_{uuid4().hex[:12]}"
    with psycopg.connect(cluster.url_of("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY WAL_LOG")
        config = Config(
            database=Database(url=cluster.url_of(name)),
            systems=(System(code="erp", role="erp"), system),
            locations=(Location(code="main"),),
            channels=(Channel(code="web", system="shop", pool=("main",)),),
        )
        with (
            open_services(config) as services,
            WebServer(services, host="127.0.0.1", port=world.hub_port) as web,
        ):
            yield Hub(services, web, system)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    patch.undo()


@pytest.fixture
def shop(world: World) -> Medusa:
    return world.shop


@pytest.fixture
def stocked(hub: Hub, shop: Medusa) -> Callable[[int], str]:
    """Makes a variant of which the warehouse has some, and waits until the shop shows them."""

    def make(units: int) -> str:
        sku = f"W-{uuid4().hex[:8].upper()}"
        shop.create_variant(sku)
        hub.sell(sku)
        hub.tell("receipt", sku, units)
        until(lambda: shop.level(sku) == (units, 0))
        return sku

    return make


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    def tell(what: str, **values: Any) -> None:
        with capsys.disabled():
            told = ", ".join(f"{name} {value}" for name, value in values.items())
            print(f"\n  medusa: {what}: {told}", end="")

    return tell


# ------------------------------------------------------------ stock out, sales in


def test_an_order_made_while_the_hub_was_away_is_found_by_the_poll(hub, shop, early, say):
    hub.sell(EARLY)
    until(lambda: hub.claimed(EARLY) == 2)
    assert "poll" in hub.doors(early)
    assert "webhook" not in hub.doors(early)
    hub.tell("receipt", EARLY, 5)
    # 3 free and 2 on the shop's own open order: it is given 5, and offers 3.
    until(lambda: hub.level(EARLY) == (5, "settled"))
    assert shop.level(EARLY) == (5, 2)
    say("order made while the hub was away", door="poll", given=5, reserved_there=2)


def test_stock_reaches_the_shop_and_a_sale_is_told_by_webhook(hub, shop, stocked, say):
    sku = stocked(10)
    cart = shop.fill_cart(sku, 3)
    began = time.monotonic()
    order = shop.complete(cart)
    until(lambda: hub.claimed(sku) == 3)
    took_ms = round((time.monotonic() - began) * 1000)
    assert "webhook" in hub.doors(order)
    assert hub.free(sku) == 7
    until(lambda: hub.level(sku) == (10, "settled"))
    assert shop.level(sku) == (10, 3)
    say("sale of 3 of 10", checkout_until_claimed_ms=took_ms, given=10, shop_offers=7)


def test_units_promised_elsewhere_leave_the_shop_and_its_own_orders_stay_in_the_number(
    hub, shop, stocked, say
):
    sku = stocked(10)
    shop.buy(sku, 3)
    until(lambda: hub.claimed(sku) == 3)
    asked = {
        "system": "erp",
        "channel": "web",
        "document": uuid4().hex,
        "lines": [{"sku": sku, "quantity": 4}],
        "hold_s": 3600,
    }
    answer = hub.client.post("/v1/reservations", asked)
    assert answer.status == 201, answer.body
    until(lambda: shop.level(sku) == (6, 3))
    with pytest.raises(Refused):
        shop.buy(sku, 4)
    say("4 of 7 promised elsewhere", given=6, shop_offers=3, customer_asking_4="refused")


def test_the_shop_takes_a_number_below_what_it_has_reserved(hub, shop, stocked, say):
    """The shop's orders may be ahead of us: what it offers then is below zero: it sells none."""
    sku = stocked(5)
    shop.buy(sku, 4)
    until(lambda: hub.claimed(sku) == 4)
    # As if the order had not reached us: a number that does not contain it.
    level = LevelToSend(channel="web", listing=sku, quantity=1, version=1)
    (told,) = hub.with_connection(lambda one: one.publish([level]))
    assert told == Applied(shown=1)
    assert shop.level(sku) == (1, 4)
    with pytest.raises(Refused):
        shop.buy(sku, 1)
    # The warehouse loses all: what is on open orders is still given, so that none is offered.
    hub.tell("adjustment", sku, -5)
    until(lambda: shop.level(sku) == (4, 4))
    say("number below the reserved", written="1 of 4 reserved: accepted", then_given=4)


# ------------------------------------------------------------ documents


def shipped(hub: Hub, sku: str, order: str, line: str, units: int, **more: Any) -> None:
    about = {"order_system": "shop", "order": order, "order_line": line}
    hub.tell("shipment", sku, units, **about, **more)


def test_a_shipment_with_tracking_reaches_the_order(hub, shop, stocked, say):
    sku = stocked(10)
    order = shop.buy(sku, 3)
    until(lambda: hub.claimed(sku) == 3)
    line = shop.line(order)
    shipped(hub, sku, order, line, 2)
    until(lambda: hub.level(sku) == (8, "settled"))
    document = Shipment(
        key=f"S-{order}",
        order=order,
        lines=(DocumentLine(line=line, quantity=2),),
        shipped_at=dt.datetime.now(dt.UTC),
        carrier="DHL",
        tracking="JD014600003",
        tracking_url="https://dhl.example/JD014600003",
        location="main",
    )
    told = hub.submit(document)
    assert isinstance(told, Delivered)
    (made,) = shop.order(order)["fulfillments"]
    assert made["id"] == told.reference
    assert made["shipped_at"]
    assert [label["tracking_number"] for label in made["labels"]] == ["JD014600003"]
    # The shop takes what it packs out of its stock itself: it was given 8, and has 6 with 1
    # reserved, too few, until the number is sent again.
    assert shop.level(sku) == (6, 1)
    hub.resync()
    until(lambda: shop.level(sku) == (8, 1))
    assert hub.free(sku) == 7
    say("2 of 3 shipped", tracking="JD014600003", fulfilments=1, given=8, shop_offers=7)


def test_a_return_received_in_the_shop_waits_for_its_inspection(hub, shop, stocked, say):
    sku = stocked(10)
    order = shop.buy(sku, 3)
    until(lambda: hub.claimed(sku) == 3)
    line = shop.line(order)
    document = Shipment(
        key=f"S-{order}",
        order=order,
        lines=(DocumentLine(line=line, quantity=3),),
        shipped_at=dt.datetime.now(dt.UTC),
        location="main",
    )
    assert isinstance(hub.submit(document), Delivered)
    shipped(hub, sku, order, line, 3, final=True)
    until(lambda: hub.level(sku) == (7, "settled"))
    made = shop.receive_return(order, 1)
    until(lambda: hub.bucket(sku, "inspection") == 1)
    assert hub.demand(order) == (3, 3, 0, 1)
    # The shop has put it into stock; it was not inspected yet.
    hub.resync()
    until(lambda: shop.level(sku) == (7, 0))
    hub.tell("inspection_result", sku, 1, to_bucket="sellable")
    until(lambda: shop.level(sku) == (8, 0))
    say("1 of 3 returned", **{"return": made[:12]}, in_inspection=1, after_it_given=8)


def test_a_cancelled_order_gives_its_units_back_on_both_sides(hub, shop, stocked, say):
    sku = stocked(10)
    by_us, by_them = shop.buy(sku, 2), shop.buy(sku, 3)
    until(lambda: hub.claimed(sku) == 5)
    told = hub.submit(Cancellation(key=f"C-{by_us}", order=by_us))
    assert told == Delivered(reference=by_us)
    shop.post(f"/orders/{by_them}/cancel")
    assert {shop.order(one)["status"] for one in (by_us, by_them)} == {"canceled"}
    until(lambda: hub.claimed(sku) == 0)
    assert hub.demand(by_us) == (2, 0, 2, 0)
    assert hub.demand(by_them) == (3, 0, 3, 0)
    until(lambda: hub.level(sku) == (10, "settled"))
    assert shop.level(sku) == (10, 0)
    say("two orders cancelled, one by each side", claimed=0, given=10, shop_offers=10)


def test_units_are_taken_off_a_line_and_a_line_off_an_order(hub, shop, stocked, say):
    sku = stocked(10)
    some, all_ = shop.buy(sku, 3), shop.buy(sku, 2)
    until(lambda: hub.claimed(sku) == 5)
    for order, units in ((some, 1), (all_, 2)):
        line = DocumentLine(line=shop.line(order), quantity=units)
        told = hub.submit(Cancellation(key=f"C-{order}", order=order, lines=(line,)))
        assert isinstance(told, Delivered), told
    until(lambda: hub.claimed(sku) == 2)
    assert hub.demand(some)[0] == 2
    assert hub.demand(all_) == (2, 0, 2, 0)
    until(lambda: hub.level(sku) == (10, "settled"))
    assert shop.level(sku) == (10, 2)
    say("edits: 1 of 3 taken off, a line of 2 removed", claimed=2, reserved_there=2)


def test_a_refund_pays_once_from_the_captured_payment(hub, shop, stocked, say):
    sku = stocked(5)
    order = shop.buy(sku, 2)
    line = DocumentLine(line=shop.line(order), quantity=1)
    document = Refund(key=f"R-{order}", order=order, lines=(line,), currency="EUR", reason="late")
    refused = hub.with_connection(lambda one: one.submit(document))
    assert (refused.reason, type(refused).__name__) == ("amount", "Refused")
    shop.capture(order)
    assert isinstance(hub.submit(document), Delivered)
    (payment,) = shop.order(order)["payment_collections"][0]["payments"]
    (made,) = payment["refunds"]
    assert Decimal(str(made["amount"])) == Decimal(10)
    assert f"[R-{order}]" in made["note"]
    say("refund of 1 of 2", before_capture="refused", paid="10 EUR, once")


# ------------------------------------------------------------ what the sandbox is held to


def test_the_recorded_answers_are_of_the_server_s_shapes(hub, shop, stocked, say):
    sku, other = stocked(10), stocked(10)
    order = shop.buy(sku, 3)
    until(lambda: hub.claimed(sku) == 3)
    line = shop.line(order)
    # An edit cancels a payment that was not captured.
    shop.capture(order)
    # A second line, put on the order and taken off it again.
    path = f"/order-edits/{order}"
    for units in (1, 0):
        shop.post("/order-edits", {"order_id": order})
        if units:
            added = {"items": [{"variant_id": shop.variants[other], "quantity": 1}]}
            shop.post(f"{path}/items", added)
        else:
            lines = shop.order(order)["items"]
            (extra,) = [one["id"] for one in lines if one["id"] != line]
            shop.post(f"{path}/items/item/{extra}", {"quantity": 0})
        shop.post(f"{path}/request")
        shop.post(f"{path}/confirm")
    until(lambda: hub.claimed(other) == 0 and "channel_cancel" in hub.kinds(order))
    lines = (DocumentLine(line=line, quantity=2),)
    now = dt.datetime.now(dt.UTC)
    document = Shipment(
        key=f"S-{order}", order=order, lines=lines, shipped_at=now, tracking="T1", location="main"
    )
    assert isinstance(hub.submit(document), Delivered)
    refund = Refund(key=f"R-{order}", order=order, lines=(), amount=Decimal("1.50"))
    assert isinstance(hub.submit(refund), Delivered)
    shop.receive_return(order, 1)
    item = shop.get(f"/inventory-items?sku={sku}")["inventory_items"][0]["id"]
    found = hub.with_connection(lambda one: answers.collect(one._shop, order, item, shop.location))
    wrote = answers.record(found)
    for name, answer in found.items():
        # Both ways: nothing is gone, and nothing is of another kind.
        assert list(answers.strange(answer, answers.recorded(name))) == [], name
        assert list(answers.strange(answers.recorded(name), answer)) == [], name
    shipped(hub, sku, order, line, 2)
    until(lambda: hub.bucket(sku, "inspection") == 1)
    say("answers", compared=len(found), recorded=wrote)


# ------------------------------------------------------------ where the shop oversells


def test_what_two_servers_oversell_is_counted_as_sold(hub, shop, world, stocked, say):
    """Two processes of the shop take turns without a common lock: it may sell more than it has.
    Every order it made is recorded here, and the shortage is told.
    """
    stock, carts = 4, 12
    sku = stocked(stock)
    urls = [shop.url, world.servers.start()]
    filled = [shop.fill_cart(sku, 1) for _ in range(carts)]

    def complete(n: int) -> int:
        try:
            shop.complete(filled[n], urls[n % 2])
        except Refused:
            return 0
        return 1

    with ThreadPoolExecutor(carts) as threads:
        accepted = sum(threads.map(complete, range(carts)))
    orders = shop.orders_of(sku)
    sold = len(orders)
    assert stock <= accepted <= sold
    until(lambda: all(hub.demand(one)[0] == 1 for one in orders))
    # And none besides: the shop deletes the order of a checkout that fails.
    recorded = hub.sql("SELECT order_ref FROM demand_line WHERE sku = %s", sku)
    assert {row[0] for row in recorded} == set(orders)
    assert hub.claimed(sku) == sold
    assert hub.free(sku) == stock - sold
    # The units of its own open orders: none is left to offer.
    until(lambda: hub.level(sku) == (max(stock, sold), "settled"))
    in_stock, reserved = shop.level(sku)
    say(
        f"{carts} customers at two servers, {stock} units",
        sold=sold,
        of_these_told_to_customers=accepted,
        recorded_here=hub.claimed(sku),
        shop_says=f"{in_stock} in stock, {reserved} reserved",
    )


# ------------------------------------------------------------ names and credentials


def test_many_names_are_asked_for_at_once(hub, stocked):
    """The server reads a list of more than twenty values in a query as something else."""
    sku = stocked(3)
    keys = [LevelKey(listing=name) for name in (sku, *(f"NONE-{n}" for n in range(99)))]
    first, *others = hub.with_connection(lambda one: one.read_back(keys))
    assert first == ShownLevel(listing=sku, quantity=3)
    assert set(others) == {None}


def test_a_level_that_is_there_by_now_is_updated(hub, shop, stocked):
    """What we remember of the item is older: the shop refuses to stock it there a second time."""
    sku = stocked(3)
    level = LevelToSend(channel="web", listing=sku, quantity=4, version=1)

    async def late(connection: MedusaConnection) -> Any:
        found = (await connection._catalogue.items([sku]))[sku]
        until_ = connection._catalogue._known[sku][1]
        empty = msgspec.structs.replace(found, location_levels=())
        connection._catalogue._known[sku] = (empty, until_)
        return await connection.publish([level])

    assert hub.with_connection(late) == [Applied(shown=4)]


@pytest.mark.parametrize("by", ["item", "variant"])
def test_listings_may_be_named_by_id(hub, shop, stocked, by):
    sku = stocked(6)
    name = shop.variants[sku]
    if by == "item":
        name = shop.get(f"/inventory-items?sku={sku}")["inventory_items"][0]["id"]
    other = hub.with_settings(listings=by)
    assert ShownLevel(listing=name, quantity=6) in other.with_connection(lambda c: c.snapshot())
    level = LevelToSend(channel="web", listing=name, quantity=6, version=1)
    assert other.with_connection(lambda c: c.publish([level])) == [Applied(shown=6)]


def test_email_and_password_are_as_good_as_a_key(hub, monkeypatch):
    monkeypatch.setenv("E2E_MEDUSA_PASSWORD", PASSWORD)
    other = hub.with_settings(api_key=None, email=EMAIL, password="env:E2E_MEDUSA_PASSWORD")
    assert other.with_connection(lambda one: one.snapshot())


# ------------------------------------------------------------ at the end


def test_the_shop_s_snapshot_equals_what_we_want_it_to_show(hub, say):
    wanted = {row[0]: row[1] for row in hub.sql("SELECT listing, desired FROM level")}
    hub.resync()
    until(lambda: not hub.sql("SELECT 1 FROM level WHERE state <> 'settled' OR resend"))

    def shown() -> dict[str, int]:
        levels = hub.with_connection(lambda one: one.snapshot())
        return {one.listing: one.quantity for one in levels if not one.location}

    assert shown() == wanted
    assert hub.sql("SELECT 1 FROM payload WHERE state NOT IN ('recorded')") == []
    conflicts = "SELECT 1 FROM work_item WHERE kind = 'conflict'"
    assert hub.sql(conflicts) == []
    (messages,) = hub.sql("SELECT count(*) FROM payload")[0]
    say("snapshot equals ours", listings=len(wanted), messages=messages, parked=0, conflicts=0)
