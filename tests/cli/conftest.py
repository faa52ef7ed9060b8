"""Runs commands in this process, as `main` runs them, against a database of the test's own."""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import pytest

from stockwright.cli import main


class Ran(NamedTuple):
    """What a command ended with and printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.out)


@pytest.fixture
def stockwright(capsys, monkeypatch, tmp_path) -> Callable[..., Ran]:
    """Runs `stockwright ...` in an empty folder, without the environment's own settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STOCKWRIGHT_CONFIG", raising=False)

    def run(*arguments: str) -> Ran:
        capsys.readouterr()
        code = main(arguments)
        told = capsys.readouterr()
        return Ran(code, told.out, told.err)

    return run


@pytest.fixture
def on_database(
    stockwright: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, database_url: str
) -> Callable[..., Ran]:
    """`stockwright` with STOCKWRIGHT_DATABASE_URL set to a fresh database."""
    monkeypatch.setenv("STOCKWRIGHT_DATABASE_URL", database_url)
    return stockwright
