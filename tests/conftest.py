"""One embedded PostgreSQL per test run, and a fresh database from a template per test."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import hypothesis
import psycopg
import pytest

from stockwright.domain import passwords
from stockwright.store.embedded import EmbeddedServer
from stockwright.store.migrate import migrate

CLUSTER_VARIABLE = "STOCKWRIGHT_TEST_CLUSTER"
TEMPLATE = "stockwright_template"
TEMPLATE_LOCK = 7_352_914

# A test's data need not outlive the machine, and syncing to disk is most of the time that making
# and dropping a database per test costs. Tests about durability take `durable_cluster`.
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


# Copying the template's hundreds of files per test takes a tenth of the time in memory.
MEMORY = Path("/dev/shm")
MEMORY_NEEDED = 8 * 2**30

# Whether a change is accepted must depend neither on how long the machine stalls nor on which
# examples chance draws. `--hypothesis-profile=explore` looks for new ones.
SLOW_MACHINE: Any = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("steady", derandomize=True, **SLOW_MACHINE)
hypothesis.settings.register_profile("explore", max_examples=1_000, **SLOW_MACHINE)
hypothesis.settings.load_profile("steady")


def pytest_configure(config: pytest.Config) -> None:
    """The first process names the cluster; xdist's workers inherit the name and share it."""
    os.environ.setdefault(CLUSTER_VARIABLE, str(new_data_dir(_roomy_memory())))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first: begun last, one would run alone while the other workers have nothing."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def _roomy_memory() -> Path | None:
    """Files in memory, where the system has such a place and room in it."""
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= MEMORY_NEEDED
    return MEMORY if roomy and os.access(MEMORY, os.W_OK | os.X_OK) else None


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):
        shutil.rmtree(os.environ[CLUSTER_VARIABLE], ignore_errors=True)


def new_data_dir(parent: Path | None = None) -> Path:
    """A folder that does not exist yet, short, and in reach of the server's account under root."""
    parent = parent or Path(tempfile.gettempdir()).resolve()
    return parent / f"stockwright-test-{uuid4().hex[:10]}"


@pytest.fixture
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords are hashed at a fraction of their cost: a test is about what follows."""
    cost = passwords.Cost(8, 8, 1)
    monkeypatch.setattr(passwords, "COST", cost)
    monkeypatch.setattr(passwords, "NOBODY", passwords.hashed("", bytes(16), cost))


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """Where a test may start a server of its own."""
    path = new_data_dir()
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def cluster() -> Iterator[EmbeddedServer]:
    """The run's server, shared by all workers; not durable."""
    with EmbeddedServer.start(os.environ[CLUSTER_VARIABLE], settings=NOT_DURABLE) as server:
        yield server


@pytest.fixture(scope="session")
def template(cluster: EmbeddedServer) -> str:
    """A database with all migrations, made by the first worker that asks."""
    with psycopg.connect(cluster.url_of("postgres"), autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [TEMPLATE_LOCK])
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [TEMPLATE])
        if found.fetchone() is None:
            connection.execute("CREATE DATABASE stockwright_draft")
            migrate(cluster.url_of("stockwright_draft"))
            connection.execute(f"ALTER DATABASE stockwright_draft RENAME TO {TEMPLATE}")
    return TEMPLATE


def _fresh_database(cluster: EmbeddedServer, template: str) -> Iterator[str]:
    name = f"test_{uuid4().hex[:12]}"
    with psycopg.connect(cluster.url_of("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        yield cluster.url_of(name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database_url(cluster: EmbeddedServer, template: str) -> Iterator[str]:
    """Address of a database with all migrations and no rows, for one test."""
    yield from _fresh_database(cluster, template)


@pytest.fixture
def empty_database_url(cluster: EmbeddedServer) -> Iterator[str]:
    """Address of a database without any table, for one test."""
    yield from _fresh_database(cluster, "template0")


@pytest.fixture
def durable_cluster(data_dir: Path) -> Iterator[EmbeddedServer]:
    """A server of the test's own with the product's settings, for tests that crash it."""
    with EmbeddedServer.start(data_dir) as server:
        yield server
