"""Databases by the handful: a planted bug needs two, one with it and one without."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from uuid import uuid4

import psycopg
import pytest

from stockwright.store.embedded import EmbeddedServer
from tests.proof.stage import furnish


@contextmanager
def furnished_database(cluster: EmbeddedServer, template: str) -> Iterator[str]:
    """Address of a furnished database, dropped afterwards."""
    name = f"proof_{uuid4().hex[:12]}"
    # A connection for each: hundreds of databases may be open at once where a failure is shrunk.
    with psycopg.connect(cluster.url_of("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    try:
        furnish(cluster.url_of(name))
        yield cluster.url_of(name)
    finally:
        with psycopg.connect(cluster.url_of("postgres"), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def new_database(cluster: EmbeddedServer, template: str) -> Iterator[Callable[[], str]]:
    """Makes furnished databases, all dropped at the end of the test."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(furnished_database(cluster, template))


@pytest.fixture
def url(new_database: Callable[[], str]) -> str:
    """Address of one furnished database."""
    return new_database()
