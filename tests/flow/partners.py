"""A small item master and the partners that talk about it, for the tests of the first door."""

import json
import os

import psycopg

from stockwright.connectors.json_http import CONNECTOR
from stockwright.sdk.connector import Opening
from stockwright.sdk.messages import Payload

MASTER = """
insert into system (code, role) values ('shop', 'marketplace'), ('wms', 'wms');
insert into location (code) values ('MAIN'), ('EAST');
insert into channel (code, system, pool) values ('shop', 'shop', '{MAIN}');
insert into sku (code) values ('A'), ('B'), ('C');
insert into binding (system, subject, partner_code, code) values
    ('shop', 'item', 'shop-a', 'A'), ('shop', 'item', 'shop-b', 'B'),
    ('wms', 'item', 'A', 'A'), ('wms', 'item', 'B', 'B'), ('wms', 'location', '001', 'MAIN');
update master_revision set revision = revision + 1;
"""


def set_up(database_url):
    """Writes the item master; an open connection to look with."""
    connection = psycopg.connect(database_url, autocommit=True)
    connection.execute(MASTER)
    return connection


def connections(**settings):
    """A json_http connection of the shop and one of the warehouse."""
    given = {"base_url": "http://127.0.0.1:9", **settings}
    parsed = CONNECTOR.declaration.parse_settings(given, str)
    return {system: CONNECTOR.open(Opening(system=system), parsed) for system in ("shop", "wms")}


def bind(database, system, partner_code, code):
    """Binds a partner's item code, as the import of the item master does."""
    database.execute(
        "insert into binding (system, subject, partner_code, code) values (%s, 'item', %s, %s)",
        [system, partner_code, code],
    )
    database.execute("update master_revision set revision = revision + 1")


def order(number, *lines, kind="order.placed"):
    """A message of the shop about (sku, quantity) lines."""
    told = [
        {"line": str(n), "sku": sku, "quantity": quantity}
        for n, (sku, quantity) in enumerate(lines, start=1)
    ]
    data = {"order": number, "occurred_at": "2026-03-01T10:00:00Z", "lines": told}
    body = json.dumps({"type": kind, "data": data}).encode()
    return Payload(body=body, content_type="application/json")


def receipt(document, *lines, location="MAIN"):
    """A message of the warehouse about (sku, quantity) lines."""
    told = json.loads(order("", *lines, kind="stock.receipt").body)
    told["data"] |= {"document": document, "location": location}
    return Payload(body=json.dumps(told).encode())


def rows(database, query):
    """All rows of a query."""
    return database.execute(query).fetchall()


def events(database):
    """(kind, document, line) of every event, sorted."""
    query = "select kind, body->>'document', coalesce(body->>'line', '1') from event order by 1,2,3"
    return rows(database, query)


def states(database):
    """(state, path, missing) of every payload, oldest first."""
    return rows(database, "select state, path, missing from payload order by id")


def child_environment():
    """The environment of a process of ours that a test starts and kills."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(["src", "."])}
