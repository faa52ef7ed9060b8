"""The page about the client is true: its examples are run, one after the other, as they stand."""

import re
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from stockwright.api.server import WebServer
from stockwright.app import open_services
from stockwright.config import Config, Database
from stockwright.domain.items import Sku
from stockwright.domain.network import Channel, Location, System
from stockwright.store import access, master
from stockwright.store.embedded import EmbeddedServer

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "use-the-python-client.md"


@pytest.fixture
def server(cluster: EmbeddedServer, template: str) -> Iterator[tuple[str, str]]:
    """Address and key of a server with the item and the partners that the page speaks of."""
    name = f"page_{uuid4().hex[:12]}"
    with psycopg.connect(cluster.url_of("postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY WAL_LOG")
        config = Config(
            database=Database(url=cluster.url_of(name)),
            systems=(System(code="wms", role="wms"), System(code="shop", role="shop")),
            locations=(Location(code="MAIN"),),
            channels=(Channel(code="web", system="shop", pool=("MAIN",)),),
        )
        with (
            open_services(config, ["api"]) as services,
            WebServer(services, host="127.0.0.1", port=0) as web,
        ):
            with services.pool.connection() as connection:
                master.save_one(connection, "skus", Sku(code="A-100"))
                key = access.add_key(connection, name="page", scopes=["admin"]).key
            yield web.url, key
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_every_example_of_the_page_runs(server, capsys):
    names = dict(zip(("URL", "KEY"), server, strict=True))
    examples = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(examples) >= 4
    for example in examples:
        exec(compile(example, str(PAGE), "exec"), names)
    assert "MAIN" in capsys.readouterr().out
    assert names["cursor"]
