from collections.abc import Iterator

import pytest

from stockwright.domain.items import Sku
from stockwright.domain.network import Channel, Location, Network, System
from stockwright.store.connection import Connection, connect
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


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    """A database with two systems, locations and channels and the SKUs A, B and C."""
    with connect(database_url, idle_in_transaction_s=0) as opened:
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
