"""Migrations: once each, whole or not at all, by however many processes at once."""

import subprocess
import sys

import psycopg
import pytest

from stockwright.domain.errors import Misconfigured
from stockwright.store import migrate as module
from stockwright.store.errors import DatabaseNewer, DatabaseTooOld, MigrationChanged
from stockwright.store.migrate import MIGRATIONS, migrate, pending, read_migrations
from stockwright.store.schema import SCHEMA, dump_schema

MIGRATE = """
import sys
from pathlib import Path
from stockwright.store.migrate import migrate
print(" ".join(migrate(sys.argv[1], Path(sys.argv[2]))))
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "0001_shelf.sql").write_text(
        "CREATE TABLE shelf (code text);\nINSERT INTO shelf VALUES ('A%1');\n"
    )
    (tmp_path / "0002_wider.sql").write_text("ALTER TABLE shelf ADD width_mm bigint;\n")
    return tmp_path


def shelves(url):
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT * FROM shelf").fetchall()


def test_each_migration_is_applied_once_in_order(empty_database_url, folder):
    told: list[str] = []
    assert pending(empty_database_url, folder) == ["shelf", "wider"]
    assert migrate(empty_database_url, folder, told.append) == ["shelf", "wider"]
    assert migrate(empty_database_url, folder) == []
    assert pending(empty_database_url, folder) == []
    assert shelves(empty_database_url) == [("A%1", None)]
    assert told == ["Migrating the database: 0001 shelf", "Migrating the database: 0002 wider"]


def test_processes_that_start_together_apply_each_migration_once(empty_database_url, folder):
    (folder / "0003_slow.sql").write_text("SELECT pg_sleep(0.3); INSERT INTO shelf VALUES ('B');")
    together = [
        subprocess.Popen(
            [sys.executable, "-c", MIGRATE, empty_database_url, folder],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    answers = [process.communicate(timeout=60)[0].split() for process in together]
    assert [process.returncode for process in together] == [0] * 4
    assert sorted(name for answer in answers for name in answer) == ["shelf", "slow", "wider"]
    assert [code for code, _ in shelves(empty_database_url)] == ["A%1", "B"]


def test_a_failing_migration_leaves_no_trace_and_can_be_mended(empty_database_url, folder):
    broken = folder / "0003_broken.sql"
    broken.write_text("INSERT INTO shelf VALUES ('half');\nSELECT 1 / 0;\n")
    with pytest.raises(psycopg.errors.DivisionByZero):
        migrate(empty_database_url, folder)
    assert shelves(empty_database_url) == [("A%1", None)]
    broken.write_text("INSERT INTO shelf VALUES ('whole');\n")
    assert migrate(empty_database_url, folder) == ["broken"]


def test_a_database_newer_than_the_code_is_refused(empty_database_url, folder):
    migrate(empty_database_url, folder)
    (folder / "0002_wider.sql").unlink()
    for attempt in (migrate, pending):
        with pytest.raises(DatabaseNewer, match="0002 wider") as caught:
            attempt(empty_database_url, folder)
        assert caught.value.setting == "database.url"


def test_an_applied_file_that_was_changed_is_named(empty_database_url, folder):
    migrate(empty_database_url, folder)
    (folder / "0001_shelf.sql").write_text("CREATE TABLE shelf (code text, other text);\n")
    with pytest.raises(MigrationChanged, match="0001 shelf was changed after"):
        migrate(empty_database_url, folder)


def test_line_endings_are_no_change(empty_database_url, folder):
    migrate(empty_database_url, folder)
    path = folder / "0001_shelf.sql"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert migrate(empty_database_url, folder) == []


def test_a_server_older_than_supported_is_refused(empty_database_url, folder, monkeypatch):
    monkeypatch.setattr(module, "OLDEST_POSTGRESQL", 99)
    with pytest.raises(DatabaseTooOld, match="needs 99 or newer"):
        migrate(empty_database_url, folder)


@pytest.mark.parametrize("name", ["0002_again.sql", "3_short.sql", "0003-dash.sql"])
def test_a_file_without_a_number_of_its_own_is_refused(folder, name):
    (folder / name).write_text("SELECT 1;")
    with pytest.raises(Misconfigured, match="with a number no other file has"):
        read_migrations(folder)


def test_the_products_migrations_are_numbered_without_a_gap():
    numbers = [migration.number for migration in read_migrations(MIGRATIONS)]
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_migrations_end_at_the_committed_schema(database_url):
    assert dump_schema(database_url) == SCHEMA.read_text(encoding="utf-8"), "run: make schema"
