"""Fixtures of the connectors' tests."""

import pytest

from tests.connectors.visiting import Clock


@pytest.fixture
def clock():
    return Clock()
