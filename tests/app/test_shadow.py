"""A running process and a connection in shadow: its orders are read, and nothing is sent to it."""

import time
from collections.abc import Callable

from stockwright.app import open_services
from stockwright.config import Config, Database
from stockwright.connectors.json_http import Sandbox
from stockwright.domain.items import Component, Listing, Sku
from stockwright.domain.network import Channel, Location, Network, System
from stockwright.flow import configuring, connecting
from stockwright.store import connecting as store
from stockwright.store import master
from stockwright.store.connection import Pool
from stockwright.store.history import Said
from stockwright.store.session import session
from tests.cli.partners import played

SAID = Said(actor="cli ann", source="cli", reason="test")


def until(asked: Callable[[], object], seconds: float = 20.0) -> object:
    """What is asked for, once it is there."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = asked()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come")


def prepare(url: str, base_url: str) -> None:
    """A shop in shadow with a listing in stock, and a place."""
    system = System(
        code="SHOP", role="shop", connector="json_http",
        settings={"base_url": base_url, "channel": "WEB"},
    )  # fmt: skip
    network = Network(
        systems=(system,),
        locations=(Location(code="MAIN"),),
        channels=(Channel(code="WEB", system="SHOP", pool=("MAIN",)),),
    )
    with Pool(url, size=1) as pool, session(pool) as connection:
        configuring.apply_edits(connection, network, SAID)
        store.set_stage(connection, "SHOP", "shadow", actor="cli ann")
        master.save_one(connection, "skus", Sku(code="MUG"))
        listing = Listing(channel="WEB", code="MUG", components=(Component(sku="MUG"),))
        master.save_one(connection, "listings", listing)
        master.bind(connection, "SHOP", "item", "MUG", "MUG")
        connection.execute(
            "insert into balance (sku, location, sellable) values ('MUG', 'MAIN', 9)"
        )
        connection.execute("insert into dirty (sku, sequence) values ('MUG', 0)")


def test_a_running_process_reads_writes_down_and_sends_only_once_it_is_live(database_url):
    sent = []
    with played(Sandbox()) as shop:
        shop.sandbox.show("MUG", 4)
        shop.sandbox.on_level(lambda listing, quantity, version, at: sent.append(quantity))
        shop.do(shop.sandbox.sell("O-1", [("MUG", 1)]))
        prepare(database_url, shop.url)
        config = Config(database=Database(url=database_url))
        with open_services(config, ["workers"]) as services:

            def noted() -> bool:
                with session(services.pool) as connection:
                    levels = store.shadow(connection, "SHOP")
                return [level.desired for level in levels] == [8]

            until(noted)
            assert sent == []
            with session(services.pool) as connection:
                assert connecting.view(connection, "SHOP").spoken_for
                connecting.go_live(connection, "SHOP", actor="cli ann", why="x", force=True)
            until(lambda: sent)
            assert sent == [8]
