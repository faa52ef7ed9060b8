"""A small trading company in a database of its own, for whoever records there; and a channel's shop
with its publisher, by a clock that a test moves.
"""

import psycopg
import pytest

from stockwright.flow.projection import Projection
from stockwright.flow.publication import Publisher
from stockwright.store.connection import Pool
from tests.flow.channels import Clock, Shop, World, link

MASTER = """
insert into system (code, role, clock_error_s, snapshot_basis, revisions) values
    ('wms', 'wms', 0, 'gross', 'increment'), ('erp', 'erp', 0, 'gross', 'increment'),
    ('web', 'shop', 0, 'gross', 'increment'), ('b2b', 'shop', 0, 'gross', 'increment'),
    ('tpl', '3pl', 0, 'gross', 'cumulative'), ('net', '3pl', 0, 'net', 'increment'),
    ('late', '3pl', 60, 'gross', 'increment');
insert into location (code, feed, priority) values
    ('EAST', 'movement', 1), ('WEST', 'movement', 2), ('SNAP', 'snapshot', 3),
    ('FAR', 'movement', 9);
insert into channel (code, system, pool, allow_split) values
    ('web', 'web', '{EAST,WEST}', true), ('b2b', 'b2b', '{EAST,WEST}', false);
insert into sku (code, control) values ('A', 'none'), ('B', 'none'), ('L', 'lot'), ('N', 'serial');
insert into unit (sku, code, factor) values ('A', 'CS', 6);
update master_revision set revision = revision + 1;
"""


@pytest.fixture
def database(database_url: str) -> str:
    with psycopg.connect(database_url) as connection:
        connection.execute(MASTER)
    return database_url


@pytest.fixture
def pool(database_url):
    with Pool(database_url, size=6) as pool:
        yield pool


@pytest.fixture
def world(database_url):
    return World(database_url)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def shop():
    return Shop()


@pytest.fixture
def projection(pool, clock):
    return Projection(pool, clock=clock)


@pytest.fixture
def publisher(pool, shop, clock):
    return Publisher(pool, shop, link(clock=clock))
