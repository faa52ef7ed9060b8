"""The first door of a hub over a database, for connectors to message brokers."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from stockwright.flow.intake import Intake
from stockwright.flow.polling import Poll, Poller
from stockwright.flow.recording import Recorder
from stockwright.store.connection import Pool

MASTER = """
insert into system (code, role) values ('wms', 'wms'), ('bus', 'planning');
insert into location (code) values ('MAIN');
insert into sku (code) values ('A'), ('B');
insert into binding (system, subject, partner_code, code) values
    ('wms', 'item', 'A', 'A'), ('wms', 'item', 'B', 'B');
update master_revision set revision = revision + 1;
"""
MOST_BYTES = 2_000
POISON = (b"", b"\x00\xff", b"{", b'{"type": "unheard of"}', b'"' + b"x" * 3_000)
"""Messages that cannot be mapped, the last for its length beyond MOST_BYTES."""
CUT = ("$", "has 3001 bytes, more than max_body_bytes (2000); cut there", MOST_BYTES)
"""What is told of the last."""


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
def hub_over(url: str, maps: Any) -> Iterator[Hub]:
    """A hub over an empty database."""
    with Pool(url, size=6) as pool:
        with pool.connection() as connection:
            connection.execute(MASTER.encode())
        yield Hub(url, pool, maps)
