"""The first door of a hub over a database, for connectors to message brokers."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import psycopg

from stockwright.flow.intake import Intake
from stockwright.flow.polling import Poll, Poller
from stockwright.flow.recording import Recorder
from stockwright.store.connection import Pool
from stockwright.store.embedded import EmbeddedServer

MASTER = """
insert into system (code, role) values ('wms', 'wms'), ('bus', 'planning');
insert into location (code) values ('MAIN');
insert into sku (code) values ('A'), ('B');
insert into binding (system, subject, partner_code, code) values
    ('wms', 'item', 'A', 'A'), ('wms', 'item', 'B', 'B');
update master_revision set revision = revision + 1;
"""
EMPTY = """
truncate event, entry, identity, batch, balance, dirty, payload, document_owner, document_line,
         poll_cursor, subscription, subscription_secret, subscription_progress, change_log
         restart identity cascade;
update ledger_head set sequence = 0;
"""


def receipt(document: str, sku: str = "A", quantity: int = 5) -> bytes:
    """What a warehouse says of goods received, as a message."""
    lines = [{"sku": sku, "quantity": quantity}]
    told = {"document": document, "location": "MAIN", "lines": lines}
    return json.dumps({"type": "stock.receipt", "data": told}).encode()


class Hub:
    """Whatever a queue brings in is kept, mapped by `maps` and recorded."""

    def __init__(self, url: str, pool: Pool, maps: Any) -> None:
        self.url = url
        self.pool = pool
        self._maps = maps

    async def poll(self, connection: Any, worker: str = "w") -> Poll:
        """One poll, due or not after a failure."""
        polled = await Poller(self.pool, worker=worker).poll("wms", connection, every_s=0)
        assert polled is not None
        return polled

    def again(self) -> None:
        """Makes a poll due that failed, or whose worker died."""
        self.rows("update poll_cursor set due_at = now(), lease_until = null")

    def work(self) -> None:
        """Maps and records all that is kept."""
        with Recorder(self.url) as recorder:
            intake = Intake(self.pool, recorder, {"wms": self._maps}, worker="w")
            while intake.step().payloads:
                pass

    def rows(self, query: str) -> Any:
        with psycopg.connect(self.url, autocommit=True) as connection:
            found = connection.execute(query.encode())
            return found.fetchall() if found.description else None

    @property
    def documents(self) -> list[str]:
        """Of the recorded events, in their order."""
        found = self.rows("select body ->> 'document' from event order by sequence")
        return [document for (document,) in found]

    @property
    def on_hand(self) -> dict[str, int]:
        return dict(self.rows("select sku, sellable from balance"))

    @property
    def parked(self) -> list[Any]:
        """(path, reason, bytes kept) of the messages that could not be mapped."""
        told = "select path, reason, length(body) from payload where state = 'parked' order by id"
        return list(self.rows(told))


@contextmanager
def hub_over(cluster: EmbeddedServer, template: str, maps: Any) -> Iterator[Hub]:
    """A hub over a database of its own; EMPTY makes it anew between tests."""
    name = f"queue_{uuid4().hex[:12]}"
    with psycopg.connect(cluster.url_of("postgres"), autocommit=True) as admin:
        admin.execute(f"create database {name} template {template} strategy wal_log".encode())
        with Pool(cluster.url_of(name), size=6) as pool:
            with pool.connection() as connection:
                connection.execute(MASTER.encode())
            yield Hub(cluster.url_of(name), pool, maps)
        admin.execute(f"drop database {name} with (force)".encode())
