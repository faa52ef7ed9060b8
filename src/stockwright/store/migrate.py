"""Migrations: plain SQL files `NNNN_name.sql`, applied in order, each once and whole.

Every file runs in a transaction of its own, together with the row that records it, and under an
advisory lock: any number of processes may start at once, one applies, the others find it done.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stockwright.domain.errors import Misconfigured
from stockwright.store.connection import Connection, connect
from stockwright.store.errors import DatabaseNewer, DatabaseTooOld, MigrationChanged

MIGRATIONS = Path(__file__).parent / "migrations"
OLDEST_POSTGRESQL = 15
# Any number will do, as long as nobody else in the database uses it ("stckwrgt" in bytes).
_LOCK = int.from_bytes(b"stckwrgt", "big", signed=True)
_FILE_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")

_TABLE = """
CREATE TABLE IF NOT EXISTS migration (
    number     integer PRIMARY KEY,
    name       text NOT NULL,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""


@dataclass(frozen=True)
class Migration:
    """One file. The checksum does not depend on how lines end."""

    number: int
    name: str
    statements: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the statements, in hexadecimal."""
        return hashlib.sha256(self.statements.encode()).hexdigest()


def read_migrations(directory: Path = MIGRATIONS) -> list[Migration]:
    """The migrations of a folder, by number. Raises Misconfigured for a bad or doubled number."""
    found: dict[int, Migration] = {}
    for path in sorted(directory.glob("*.sql")):
        match = _FILE_NAME.fullmatch(path.name)
        number = int(match[1]) if match else 0
        if match is None or number in found:
            raise Misconfigured(
                "migrations",
                f"{path.name} must be named NNNN_name.sql with a number no other file has.",
            )
        found[number] = Migration(number, match[2], path.read_text(encoding="utf-8"))
    return list(found.values())


def migrate(
    url: str,
    directory: Path = MIGRATIONS,
    progress: Callable[[str], None] | None = None,
) -> list[str]:
    """Brings the database to this code's schema; answers the names applied now, in order.

    Safe to repeat and to run from several processes at once. Raises DatabaseTooOld,
    DatabaseNewer and MigrationChanged (all Misconfigured) before anything is changed, and what
    `connect` raises. A migration that fails leaves no trace of itself.
    """
    migrations = read_migrations(directory)
    applied_now: list[str] = []
    with connect(
        url,
        application_name="stockwright migrate",
        autocommit=True,
        statement_timeout_s=0,
        idle_in_transaction_s=60,
    ) as connection:
        _check_version(connection)
        while True:
            done = _apply_next(connection, migrations, progress)
            if done is None:
                return applied_now
            applied_now.append(done)


def pending(url: str, directory: Path = MIGRATIONS) -> list[str]:
    """Names of the migrations this database still lacks, in order; changes nothing.

    Raises as `migrate` does.
    """
    migrations = read_migrations(directory)
    with connect(url, application_name="stockwright migrate", autocommit=True) as connection:
        _check_version(connection)
        exists = connection.execute("SELECT to_regclass('migration') IS NOT NULL").fetchone()
        applied = _read_applied(connection) if exists and exists[0] else {}
        return [m.name for m in _missing(migrations, applied)]


def _check_version(connection: Connection) -> None:
    major = connection.info.server_version // 10_000
    if major < OLDEST_POSTGRESQL:
        raise DatabaseTooOld(
            "database.url",
            f"The server runs PostgreSQL {major}; Stockwright needs {OLDEST_POSTGRESQL} or newer. "
            "Upgrade it, or leave database.url out to use the embedded one.",
        )


def _apply_next(
    connection: Connection,
    migrations: Sequence[Migration],
    progress: Callable[[str], None] | None,
) -> str | None:
    """Applies the first missing migration in one transaction; None when none is missing."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        connection.execute(_TABLE)
        missing = _missing(migrations, _read_applied(connection))
        if not missing:
            return None
        following = missing[0]
        if progress:
            progress(f"Migrating the database: {following.number:04} {following.name}")
        connection.execute(following.statements.encode())
        connection.execute(
            "INSERT INTO migration (number, name, checksum) VALUES (%s, %s, %s)",
            [following.number, following.name, following.checksum],
        )
        return following.name


def _read_applied(connection: Connection) -> dict[int, tuple[str, str]]:
    rows = connection.execute("SELECT number, name, checksum FROM migration ORDER BY number")
    return {number: (name, checksum) for number, name, checksum in rows}


def _missing(
    migrations: Sequence[Migration], applied: dict[int, tuple[str, str]]
) -> list[Migration]:
    """What is left to apply, after checking that what was applied is what we know."""
    known = {migration.number: migration for migration in migrations}
    for number, (name, checksum) in applied.items():
        if number not in known:
            raise DatabaseNewer(
                "database.url",
                f"The database has migration {number:04} {name}, which this version does not "
                "know. Install the newer Stockwright again, or restore the backup from before it.",
            )
        if known[number].checksum != checksum:
            raise MigrationChanged(
                "migrations",
                f"Migration {number:04} {name} was changed after it was applied here. Put the "
                "file back as it was and write the change as a new migration.",
            )
    return [migration for migration in migrations if migration.number not in applied]
