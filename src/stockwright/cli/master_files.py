"""What the commands that move the item master share: kinds, forms, and the connection they use."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from stockwright.cli import output
from stockwright.config import Config, database_url
from stockwright.store.connection import Connection, Pool
from stockwright.store.embedded import EmbeddedServer
from stockwright.store.migrate import migrate
from stockwright.store.session import session

MasterKind = Literal["skus", "units", "bindings", "kits", "listings", "locations", "all"]
Form = Literal["csv", "ndjson"]
_LINES: Final = (".ndjson", ".jsonl")


def form_of(file: Path | None, given: Form | None, otherwise: Form) -> Form:
    """The form that was asked for, else the one the file's name says."""
    if given is not None:
        return given
    suffix = file.suffix.lower() if file is not None else ""
    if suffix in _LINES:
        return "ndjson"
    return "csv" if suffix == ".csv" else otherwise


@contextmanager
def connected(settings: Config, name: str) -> Iterator[Connection]:
    """One connection to the migrated database of the configuration, for a command of this name."""
    with pooled(settings, name, size=1) as pool, session(pool) as connection:
        yield connection


@contextmanager
def pooled(settings: Config, name: str, *, size: int) -> Iterator[Pool]:
    """As `connected`, for a command that needs several connections."""
    with _address(settings) as url:
        migrate(url)
        # It holds no lane of the ledger, so that a busy machine may take its time over a chunk.
        program = f"stockwright {name}"
        with Pool(url, size=size, application_name=program, idle_in_transaction_s=60) as pool:
            yield pool


@contextmanager
def _address(settings: Config) -> Iterator[str]:
    url = database_url(settings)
    if url is not None:
        yield url
        return
    with EmbeddedServer.start(settings.database.data_dir or None, _tell) as server:
        yield server.url


def _tell(message: str) -> None:
    output.err().print(message)
