"""The doctor finds each fault by name and says what to do about it."""

import shutil

import psycopg
import pytest

from stockwright.store import doctor as module
from stockwright.store.cluster import Layout
from stockwright.store.doctor import doctor
from stockwright.store.embedded import EmbeddedServer
from stockwright.store.errors import ProgramsMissing
from stockwright.store.migrate import migrate


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    from tests.conftest import new_data_dir

    path = new_data_dir()
    with EmbeddedServer.start(path) as running:
        migrate(running.url)
        yield running
    shutil.rmtree(path)


def by_name(checks):
    assert all(check.state == "ok" or check.fix for check in checks), "a fault without a fix"
    return {check.name: check for check in checks}


def test_a_healthy_running_directory_is_all_ok(server):
    checks = doctor(server.data_dir)
    assert {check.state for check in checks} == {"ok"}, checks
    assert [check.name for check in checks] == [
        "programs", "account", "data directory", "disk space", "socket path", "server",
        "connection", "version", "encoding", "collation", "fsync", "full_page_writes",
        "synchronous_commit", "data_checksums", "clock", "migrations",
    ]  # fmt: skip


def test_a_directory_that_does_not_exist_yet_is_ok_and_stays_that_way(data_dir):
    checks = by_name(doctor(data_dir))
    assert checks["server"].found.startswith("not running")
    assert not data_dir.exists()


def test_any_database_can_be_examined_by_its_address(server):
    checks = by_name(doctor(server.url))
    assert checks["migrations"].found == "complete"
    assert "programs" not in checks


def test_a_database_that_can_lose_confirmed_stock_fails(cluster, database_url):
    checks = by_name(doctor(database_url))
    assert {name for name, check in checks.items() if check.state == "failed"} == {
        "fsync",
        "full_page_writes",
        "synchronous_commit",
    }


def test_missing_migrations_are_named(empty_database_url):
    check = by_name(doctor(empty_database_url))["migrations"]
    assert check.state == "warning"
    assert "core" in check.found


def test_a_database_newer_than_the_code_fails(empty_database_url):
    migrate(empty_database_url)
    with psycopg.connect(empty_database_url) as connection:
        connection.execute("INSERT INTO migration VALUES (9999, 'future', 'x')")
    assert by_name(doctor(empty_database_url))["migrations"].state == "failed"


def test_text_is_an_address_and_never_a_folder():
    (check,) = doctor("stock.example")
    assert (check.name, check.state) == ("connection", "failed")
    assert "cannot be read" in check.found


def test_a_server_that_does_not_answer_fails_without_its_password():
    (check,) = doctor("postgresql://ann:s3cr3t@127.0.0.1:1/stock")
    assert check.state == "failed"
    assert "s3cr3t" not in check.found


def test_a_full_disk_and_a_wrong_clock_are_reported(server, monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _p: type("U", (), {"free": 5_000_000}))
    monkeypatch.setattr(module.time, "time", lambda: 1_000_000_000.0)
    checks = by_name(doctor(server.data_dir))
    assert checks["disk space"].state == "failed"
    assert checks["clock"].state == "warning"


def test_a_socket_path_that_is_too_long_whatever_we_do_fails(data_dir, monkeypatch):
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/" + "t" * 120)
    check = by_name(doctor(data_dir / ("x" * 120)))["socket path"]
    assert check.state == "failed"


def test_somebody_elses_database_and_another_versions_fail(data_dir, monkeypatch):
    cluster = Layout(data_dir).cluster
    cluster.mkdir(parents=True)
    data_dir.chmod(0o755)
    (cluster / "PG_VERSION").write_text("16\n")
    owns = "stockwright.store.account.Account.owns"
    monkeypatch.setattr(owns, lambda _self, _path: False)
    assert "belongs to user id" in by_name(doctor(data_dir))["data directory"].found
    monkeypatch.setattr(owns, lambda _self, _path: True)
    check = by_name(doctor(data_dir))["data directory"]
    assert (check.found, check.state) == ("written by PostgreSQL 16", "failed")
    assert "stockwright.store.upgrade" in check.fix


def test_missing_programs_fail(data_dir, monkeypatch):
    def missing():
        raise ProgramsMissing("database.url", "The embedded PostgreSQL is not installed.")

    monkeypatch.setattr(module, "bin_dir", missing)
    check = by_name(doctor(data_dir))["programs"]
    assert check.state == "failed"
