"""The real product process on a scratch database: `stockwright up`, with a key to call it."""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from bench.ground import process
from stockwright.config import DATABASE_VARIABLE, FILE_VARIABLE
from stockwright.store.access import add_key
from stockwright.store.baseline import PLACE, SYSTEM
from stockwright.store.connection import connect

CONFIG = f"""
[systems.{SYSTEM}]
role = "shop"
[locations.{PLACE}]
"""
SCOPES = ("events:write", "reservations:write", "stock:read")
# The command line as installed, without relying on where scripts are.
_UP = ("-c", "import sys; from stockwright.cli import main; sys.exit(main())", "up")


class Product:
    """Where the process answers, what to authenticate with, and its process id."""

    def __init__(self, url: str, authorization: str, pid: int) -> None:
        self.url = url
        self.authorization = authorization
        self.pid = pid

    @property
    def port(self) -> int:
        port = urlsplit(self.url).port
        assert port is not None
        return port


@contextmanager
def running(
    database_url: str, config: str = CONFIG, more: Mapping[str, str] | None = None
) -> Iterator[Product]:
    """Runs the product with all its roles in one process, as `stockwright up` does.

    more: what is in its environment besides ours.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "stockwright.toml"
        file.write_text(config)
        environment = {
            **os.environ,
            **(more or {}),
            DATABASE_VARIABLE: database_url,
            FILE_VARIABLE: str(file),
        }
        command = (*_UP, "--port", "0", "--json", "--log-level", "warning")
        with process(*command, env=environment) as started:
            assert started.stdout is not None
            said = started.stdout.readline()
            if not said:
                raise RuntimeError("stockwright up ended before it answered")
            key = new_key(database_url)
            yield Product(json.loads(said)["url"], f"Bearer {key}", started.pid)


def new_key(database_url: str) -> str:
    with connect(database_url) as connection:
        return add_key(connection, name="bench", scopes=SCOPES, system=SYSTEM).key
