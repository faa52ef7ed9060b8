"""A PostgreSQL of our programs on a port of loopback, for partners that reach it by TCP only."""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg

from stockwright.store.account import run_as, server_account
from stockwright.store.cluster import prepare_data_dir, reachable_bin_dir

# The data end with the test.
_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=120")


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def loopback_postgres() -> Iterator[str]:
    """Address of an empty database, for as long as it is used. Anyone on this machine may enter."""
    folder = Path(tempfile.gettempdir()).resolve() / f"stockwright-e2e-{uuid4().hex[:8]}"
    account, port = server_account(), free_port()
    layout = prepare_data_dir(folder, account)
    programs = reachable_bin_dir(layout, account)
    try:
        made = run_as(
            account,
            [
                programs / "initdb",
                f"--pgdata={layout.cluster}",
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
                "--no-instructions",
            ],
        )
        assert made.returncode == 0, made.stderr
        asked = ["listen_addresses=127.0.0.1", "unix_socket_directories=", f"port={port}", *_FAST]
        with (folder / "server.log").open("wb") as log:
            server = subprocess.Popen(  # type: ignore[call-overload]
                [programs / "postgres", "-D", layout.cluster, *(f"--{one}" for one in asked)],
                stdout=log,
                stderr=log,
                cwd="/",
                **account.popen_options(),
            )
        try:
            yield _address(port, folder / "server.log")
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _address(port: int, log: Path) -> str:
    url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
    deadline = time.monotonic() + 30
    while True:
        try:
            with psycopg.connect(url, connect_timeout=5):
                return url
        except psycopg.OperationalError:
            assert time.monotonic() < deadline, log.read_text(errors="replace")
            time.sleep(0.1)
