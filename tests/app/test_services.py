"""The parts together: opened in order, working end to end, closed without losing anything."""

import asyncio
import threading
import time
from collections.abc import Callable
from uuid import uuid4

import psycopg
import pytest

from stockwright.api.server import WebServer
from stockwright.app import find_connector, open_connection, open_services
from stockwright.app.connections import gross_connectors
from stockwright.config import Config, Database
from stockwright.connectors.json_http import Sandbox
from stockwright.domain.errors import Misconfigured
from stockwright.domain.events import Fact
from stockwright.domain.items import Binding, Component, Listing, Sku
from stockwright.domain.network import Channel, Location, System
from stockwright.sdk.secrets import Secret
from stockwright.store import master, processes
from stockwright.store.access import add_key
from stockwright.store.ledger import LANE
from tests.api.conftest import Client


async def eventually(holds: Callable[[], object], within_s: float = 30) -> None:
    """Waits until something holds; the bound only keeps a broken test from hanging."""
    deadline = time.monotonic() + within_s
    while not await asyncio.to_thread(holds):
        assert time.monotonic() < deadline, "it did not come to hold"
        await asyncio.sleep(0.02)


def network(url: str, **shop) -> Config:
    return Config(
        database=Database(url=url),
        systems=(System(code="erp", role="erp"), System(code="shop", role="shop", **shop)),
        locations=(Location(code="main"),),
        channels=(Channel(code="web", system="shop", pool=("main",)),),
    )


def stock(services, sku: str, listing: str) -> None:
    with services.pool.connection() as connection:
        master.save_one(connection, "skus", Sku(code=sku))
        row = Listing(channel="web", code=listing, components=(Component(sku=sku),))
        master.save_one(connection, "listings", row)
        bound = Binding(system="shop", subject="item", partner_code=listing, code=sku)
        master.save_one(connection, "bindings", bound)


def receipt(sku: str, quantity: int) -> Fact:
    return Fact(
        kind="receipt",
        system="erp",
        document=uuid4().hex,
        sku=sku,
        quantity=quantity,
        location="main",
    )


async def test_a_receipt_reaches_the_shop_and_a_sale_by_webhook_comes_back(
    database_url, monkeypatch
):
    secret = "whsec_" + "c2VjcmV0" * 4
    monkeypatch.setenv("SHOP_SECRET", secret)
    async with Sandbox(secret=Secret(secret)) as shop:
        settings = {"base_url": await shop.start(), "webhook_secrets": ["env:SHOP_SECRET"]}
        settings["channel"] = "web"
        config = network(database_url, connector="json_http", settings=settings)
        services_context = open_services(config)
        services = await asyncio.to_thread(services_context.__enter__)
        web = WebServer(services, host="127.0.0.1", port=0)
        try:
            await asyncio.to_thread(web.start)
            shop.webhook_url = f"{web.url}/v1/hooks/shop"
            await asyncio.to_thread(stock, services, "A", "L-A")
            await services.recorder.record([receipt("A", 10)])
            await eventually(lambda: shop.shown("L-A") == 10)

            await shop.sell("SO-1", [("L-A", 3)])
            assert [status for _, status in shop.deliveries] == [202]
            await eventually(lambda: reserved(services, "A") == 3)
            await eventually(lambda: shop.shown("L-A") == 7)
        finally:
            await asyncio.to_thread(web.stop)
            await asyncio.to_thread(services_context.__exit__, None, None, None)


def reserved(services, sku: str) -> int:
    with services.pool.connection() as connection:
        row = connection.execute(
            "SELECT coalesce(sum(reserved + allocated), 0) FROM balance WHERE sku = %s", (sku,)
        ).fetchone()
    return int(row[0])


def test_a_webhook_that_nobody_signed_is_401_and_nothing_is_kept(database_url, monkeypatch):
    monkeypatch.setenv("SHOP_SECRET", "whsec_" + "c2VjcmV0" * 4)
    settings = {"base_url": "http://127.0.0.1:9", "webhook_secrets": ["env:SHOP_SECRET"]}
    config = network(database_url, connector="json_http", settings=settings)
    with (
        open_services(config, ["api"]) as services,
        WebServer(services, host="127.0.0.1", port=0) as web,
    ):
        client = Client(web.port)
        answer = client.post("/v1/hooks/shop", {"type": "order.placed"})
        assert (answer.status, answer.json["type"]) == (
            401,
            "urn:stockwright:problem:bad_signature",
        )
        forged = {"webhook-id": "1", "webhook-timestamp": "1", "webhook-signature": "v1,eA=="}
        assert client.post("/v1/hooks/shop", {}, headers=forged).status == 401
        assert client.post("/v1/hooks/erp", {}).status == 404
        assert client.post("/v1/hooks/nobody", {}).status == 404
        with services.pool.connection() as connection:
            assert connection.execute("SELECT count(*) FROM payload").fetchone() == (0,)


async def test_webhooks_are_answered_within_a_second_whatever_the_ledger_is_busy_with(
    database_url, monkeypatch
):
    secret = "whsec_" + "c2VjcmV0" * 4
    monkeypatch.setenv("SHOP_SECRET", secret)
    async with Sandbox(secret=Secret(secret)) as shop:
        settings = {"base_url": await shop.start(), "webhook_secrets": ["env:SHOP_SECRET"]}
        settings["channel"] = "web"
        config = network(database_url, connector="json_http", settings=settings)
        services_context = open_services(config)
        services = await asyncio.to_thread(services_context.__enter__)
        web = WebServer(services, host="127.0.0.1", port=0)
        try:
            await asyncio.to_thread(web.start)
            shop.webhook_url = f"{web.url}/v1/hooks/shop"
            await asyncio.to_thread(stock, services, "A", "L-A")
            # Of the test's own: no time is set to how long it may stand in its transaction.
            with psycopg.connect(services.url) as holder:
                holder.execute("select pg_advisory_xact_lock(%s)", (LANE,))
                # All at once; the machine may stand still for a while, though not every time.
                for turn in range(5):
                    orders = [f"O-{turn}-{n}" for n in range(40)]
                    took_s = await asyncio.gather(*(timed(shop.sell, one) for one in orders))
                    if max(took_s) < 1.0:
                        break
                assert max(took_s) < 1.0
                sold = len(shop.deliveries)
                kept = holder.execute("select count(*) from payload").fetchone()
                assert kept == (sold,), "each is stored before it is answered"
                assert reserved(services, "A") == 0, "and no ledger was waited for"
            assert {status for _, status in shop.deliveries} == {202}
            await eventually(lambda: reserved(services, "A") == sold)
        finally:
            await asyncio.to_thread(web.stop)
            await asyncio.to_thread(services_context.__exit__, None, None, None)


async def test_no_webhook_is_answered_while_it_cannot_be_kept(database_url, monkeypatch):
    secret = "whsec_" + "c2VjcmV0" * 4
    monkeypatch.setenv("SHOP_SECRET", secret)
    async with Sandbox(secret=Secret(secret)) as shop:
        settings = {"base_url": await shop.start(), "webhook_secrets": ["env:SHOP_SECRET"]}
        config = network(database_url, connector="json_http", settings=settings)
        services_context = open_services(config, ["api"])
        services = await asyncio.to_thread(services_context.__enter__)
        web = WebServer(services, host="127.0.0.1", port=0)
        try:
            await asyncio.to_thread(web.start)
            shop.webhook_url = f"{web.url}/v1/hooks/shop"
            with psycopg.connect(services.url) as holder:
                holder.execute("lock table payload in exclusive mode")
                selling = asyncio.create_task(shop.sell("O-1", [("L-A", 1)]))
                answered, _ = await asyncio.wait({selling}, timeout=1.0)
                assert not answered
            await selling
            assert [status for _, status in shop.deliveries] == [202]
        finally:
            await asyncio.to_thread(web.stop)
            await asyncio.to_thread(services_context.__exit__, None, None, None)


async def timed(sell, order: str) -> float:
    began = time.monotonic()
    await sell(order, [("L-A", 1)])
    return time.monotonic() - began


def test_what_was_taken_in_before_the_stop_is_recorded(database_url):
    with open_services(network(database_url), ["api"]) as services:
        stock(services, "A", "L-A")
        promises = [services.recorder.submit([receipt("A", 1)]) for _ in range(500)]
    assert all(promise.result(0)[0].code == "recorded" for promise in promises)


def test_calls_under_way_are_answered_before_the_server_ends(database_url):
    with open_services(network(database_url), ["api"]) as services:
        stock(services, "A", "L-A")
        with services.pool.connection() as connection:
            key = add_key(connection, name="t", scopes=["admin"]).key
        web = WebServer(services, host="127.0.0.1", port=0)
        web.start()
        statuses: list[int] = []
        began = threading.Event()

        def call() -> None:
            facts = [
                {
                    "kind": "receipt",
                    "system": "erp",
                    "document": uuid4().hex,
                    "sku": "A",
                    "quantity": 1,
                    "location": "main",
                }
                for _ in range(5_000)
            ]
            began.set()
            statuses.append(Client(web.port, key).post("/v1/events", facts).status)

        caller = threading.Thread(target=call)
        caller.start()
        began.wait()
        while not services.recorder.queued and not statuses:
            time.sleep(0.001)
        web.stop()
        caller.join()
        assert statuses == [207]
        with pytest.raises(OSError, match="refused"):
            Client(web.port, key).get("/healthz")


def test_the_configuration_is_applied_at_every_start_and_changes_nothing_twice(database_url):
    revisions = []
    for _ in range(2):
        with open_services(network(database_url), ["api"]) as services:
            with services.pool.connection() as connection:
                found = connection.execute("SELECT code FROM system ORDER BY 1").fetchall()
                revision = connection.execute("SELECT revision FROM master_revision").fetchone()
            assert found == [("erp",), ("shop",)]
            revisions.append(revision)
    assert revisions[0] == revisions[1]


def test_a_start_takes_as_long_as_loading_connectors_takes(database_url, monkeypatch):
    """A transaction that stands still meanwhile would be ended by the database."""

    def loaded(names):
        with psycopg.connect(database_url, autocommit=True) as database:
            database.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where state = 'idle in transaction' and datname = current_database()"
            )
        return gross_connectors(names)

    monkeypatch.setattr("stockwright.app.services.gross_connectors", loaded)
    with open_services(network(database_url), ["api"]) as services:
        assert {one.code for one in services.config.systems} == {"erp", "shop"}


def test_a_process_tells_what_it_does_and_says_good_bye(database_url):
    with open_services(network(database_url)) as services:
        deadline = time.monotonic() + 30
        found = []
        while not found and time.monotonic() < deadline:
            with services.pool.connection() as connection:
                found = processes.processes(connection)
        (process,) = found
        assert process.worker == services.name
        assert process.roles == ["api", "workers", "console"]
        names = {part.name for part in process.parts}
        assert names == {
            "wake-ups",
            "intake",
            "projection",
            "buffering",
            "shadow",
            "expiry",
            "partners",
            "api log",
            "housekeeping",
        }
        assert not process.lost
        url = services.url
    with (
        open_services(network(url), ["api"]) as services,
        services.pool.connection() as connection,
    ):
        assert process.worker not in {p.worker for p in processes.processes(connection)}


def test_two_processes_may_serve_one_database(database_url):
    config = network(database_url)
    with open_services(config) as first, open_services(config) as second:
        stock(first, "A", "L-A")
        results = [
            one.recorder.submit([receipt("A", 1)]) for _ in range(200) for one in (first, second)
        ]
        sequences = [one.result()[0].sequence for one in results]
        assert sorted(sequences) == list(range(1, 401))
        assert first.name != second.name


def test_a_connector_nobody_knows_is_named_with_the_setting():
    with pytest.raises(Misconfigured) as raised:
        open_connection(network("", connector="jsonhttp").systems[1])
    assert raised.value.setting == "systems.shop.connector"
    assert "json_http" in str(raised.value)


def test_a_setting_that_is_wrong_is_named_in_full():
    with pytest.raises(Misconfigured) as raised:
        settings = {"base_url": "nowhere"}
        open_connection(network("", connector="json_http", settings=settings).systems[1])
    assert raised.value.setting == "systems.shop.settings.base_url"


@pytest.mark.parametrize("name", ["json_http", "csv_drop"])
def test_our_own_connectors_are_found_by_name(name):
    assert find_connector(name).declaration.name == name
