"""A small trading company in a database of its own, for whoever records there."""

import psycopg
import pytest

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
