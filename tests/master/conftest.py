from collections.abc import Iterator
from uuid import uuid4

import pytest

from stockwright.domain.items import Sku
from stockwright.domain.network import Channel, Location, Network, System
from stockwright.store.connection import Connection, connect
from stockwright.store.embedded import EmbeddedServer
from stockwright.store.master import save
from stockwright.store.network import apply_config

NETWORK = Network(
    systems=(System(code="WMS", role="wms"), System(code="SHOP", role="shop")),
    locations=(Location(code="MAIN", groups=("EUROPE",)), Location(code="EAST")),
    channels=(
        Channel(code="WEB", system="SHOP", pool=("EUROPE",)),
        Channel(code="B2B", system="SHOP", pool=("EAST",)),
    ),
)


CHILDREN_FIRST = (
    *("dirty", "balance", "exposure_policy", "listing", "channel", "authority"),
    *("location_group", "location", "binding", "kit", "unit", "sku", "system"),
)


@pytest.fixture(scope="module")
def master_url(cluster: EmbeddedServer, template: str) -> Iterator[str]:
    """Address of one database for all tests of a module: emptying it is faster than making one."""
    name = f"master_{uuid4().hex[:12]}"
    with connect(cluster.url_of("postgres"), autocommit=True) as admin:
        admin.execute(f"create database {name} template {template}".encode())
        yield cluster.url_of(name)
        admin.execute(f"drop database {name} with (force)".encode())


@pytest.fixture
def connection(master_url: str) -> Iterator[Connection]:
    """A database with two systems, locations and channels and the SKUs A, B and C."""
    with connect(master_url, idle_in_transaction_s=0) as opened:
        for table in CHILDREN_FIRST:
            opened.execute(f"delete from {table}".encode())
        apply_config(opened, NETWORK)
        save(opened, "skus", [Sku(code=code) for code in "ABC"])
        opened.execute("delete from dirty")
        opened.commit()
        yield opened


def dirty_skus(connection: Connection) -> list[str]:
    """The SKUs marked since the last look, sorted."""
    rows = connection.execute("delete from dirty returning sku").fetchall()
    return sorted({sku for (sku,) in rows})


def revision(connection: Connection) -> int:
    row = connection.execute("select revision from master_revision").fetchone()
    assert row is not None
    return int(row[0])
