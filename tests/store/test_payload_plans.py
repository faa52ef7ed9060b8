"""How the database finds payloads: what waits must not make each look slower."""

from stockwright.store.connection import connect
from stockwright.store.queries import load


def test_those_before_under_one_key_are_found_by_their_index(database_url: str) -> None:
    arguments = {"worker": "w", "systems": ["shop"], "lease_s": 60, "limit": 100, "bytes": 1}
    with connect(database_url) as connection:
        connection.execute("set enable_seqscan = off")
        rows = connection.execute("explain " + load("payloads")["claim"], arguments).fetchall()
    assert any("payload_by_key" in line for (line,) in rows)
