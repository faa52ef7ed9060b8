"""Real processes that use an embedded server, for the tests about starting, sharing and dying."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import new_data_dir

# Starts (or joins) the server of a directory, says its process id, and ends when told to.
USER = """
import sys
from stockwright.store.embedded import EmbeddedServer
with EmbeddedServer.start(sys.argv[1]) as server:
    print(server.pid, flush=True)
    sys.stdin.readline()
"""


class User:
    """A process that uses the server of a directory."""

    def __init__(self, data_dir: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "always", "-c", USER, data_dir],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def server_pid(self) -> int:
        """Waits until the server answers."""
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def leave(self) -> None:
        """Ends in order, without a word, and waits for it."""
        _, told = self.process.communicate("\n", timeout=60)
        assert (self.process.returncode, told) == (0, "")

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A directory that keeps its database from one test of a module to the next."""
    path = new_data_dir()
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def users(home: Path) -> Iterator[Callable[[], User]]:
    """Makes user processes of `home`; any that are left are killed afterwards."""
    made: list[User] = []

    def make() -> User:
        made.append(User(home))
        return made[-1]

    yield make
    for user in made:
        if user.process.poll() is None:
            user.kill()


def ends(pid: int, within_s: float = 60.0) -> bool:
    """Whether a process is gone, or gone soon."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False
