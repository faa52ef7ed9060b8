from collections.abc import Iterator

import pytest

from tests.console.seeding import Seed
from tests.console.serving import Served, serve


@pytest.fixture
def seed(database_url: str) -> Iterator[Seed]:
    """Writes rows to the test's database."""
    writer = Seed(database_url)
    yield writer
    writer.close()


@pytest.fixture
def console(database_url: str) -> Iterator[Served]:
    """The console over real HTTP in the demo mode, open to this machine."""
    with serve(database_url, open_to_all=True) as served:
        yield served


@pytest.fixture
def locked_console(database_url: str) -> Iterator[Served]:
    """The console over real HTTP as it is installed: people sign in."""
    with serve(database_url, open_to_all=False) as served:
        yield served
