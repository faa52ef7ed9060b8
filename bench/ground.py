"""What measurements stand on: a durable server of their own, and processes that are ended."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec

from bench.load import Answers
from bench.measure import tell
from stockwright.store.cluster import default_data_dir
from stockwright.store.embedded import EmbeddedServer

URL_VARIABLE = "STOCKWRIGHT_BENCH_DATABASE_URL"


@contextmanager
def server() -> Iterator[str]:
    """Address of the server to measure on: one of our own with the product's settings.

    STOCKWRIGHT_BENCH_DATABASE_URL names another. Ours lies beside the product's data, not in a
    temporary folder: that may be kept in memory, where durability costs nothing.
    """
    named = os.environ.get(URL_VARIABLE)
    if named:
        yield named
        return
    data_dir = default_data_dir().with_name(f"bench-{uuid4().hex[:6]}")
    try:
        with EmbeddedServer.start(data_dir, tell) as embedded:
            yield embedded.url
    finally:
        shutil.rmtree(data_dir, ignore_errors=True)


@contextmanager
def process(*command: str, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A Python process for the length of the block; what it prints is there to be read."""
    with tempfile.TemporaryFile("w+") as complaints:
        running = subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            env={**os.environ, **(env or {})},
            cwd=Path(__file__).parent.parent,
        )
        try:
            yield running
        except BaseException:
            complaints.seek(0)
            tell(complaints.read()[-4000:])
            raise
        finally:
            running.terminate()
            try:
                running.wait(30)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()
            for stream in (running.stdin, running.stdout):
                if stream is not None:
                    stream.close()


def generate(**load: Any) -> Answers:
    """Runs the load generator in a process of its own; see `bench.load.Load`."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.load", json.dumps(load)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd=Path(__file__).parent.parent,
    )
    if done.returncode:
        raise RuntimeError(f"the load generator failed: {done.stderr[-2000:]}")
    return msgspec.json.decode(done.stdout, type=Answers)
