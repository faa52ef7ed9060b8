from collections.abc import Iterator

import pytest
from tests.console.seeding import Seed


@pytest.fixture
def seed(database_url: str) -> Iterator[Seed]:
    """Writes rows to the test's database."""
    writer = Seed(database_url)
    yield writer
    writer.close()
