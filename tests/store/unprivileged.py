"""Starts an embedded server without root: unprivileged.py FOLDER ACCOUNT

Prints the user id of the server and the answer to a query. Run as root it becomes ACCOUNT first.
That account may be unable to reach this checkout or this Python (often below root's home), so
everything a start reads from files later is put where it can be reached before.
"""

import encodings.idna  # noqa: F401  loaded late by the socket module
import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg

from stockwright.store import keeper, programs
from stockwright.store.account import server_account
from stockwright.store.embedded import EmbeddedServer


def become(account_name: str, folder: Path) -> None:
    account = server_account(account_name)
    copied = programs.copy_programs(folder / "programs")
    keeper.__file__ = shutil.copy(keeper.__file__, str(folder / "keeper.py"))
    programs.package_dir = lambda: copied
    os.setgroups([])
    os.setgid(account.gid)
    os.setuid(account.uid)
    os.chdir("/")
    sys.executable = runnable_python()


def runnable_python() -> str:
    """The keeper needs the standard library only, so any Python will do that may be run."""
    for candidate in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        try:
            if not subprocess.run([candidate, "-c", ""], check=False).returncode:
                return str(candidate)
        except OSError:
            continue
    raise SystemExit(f"no Python that user id {os.geteuid()} may run")


def main() -> None:
    folder = Path(sys.argv[1])
    if os.geteuid() == 0:
        become(sys.argv[2], folder)
    with EmbeddedServer.start(folder / "data") as server:
        with psycopg.connect(server.url) as connection:
            row = connection.execute("SELECT 42").fetchone()
            assert row is not None
        assert server.pid is not None
        print(psutil.Process(server.pid).uids().effective, row[0])


main()
