"""`stockwright up`, `status` and `doctor` as real processes and against a real database."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from stockwright.store import processes
from stockwright.store.connection import connect
from stockwright.store.processes import PartView
from tests.api.conftest import Client

UP = "import sys; from stockwright.cli import main; sys.exit(main())"


@contextmanager
def up(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """A process that runs `stockwright up`, and what it said once it was ready."""
    command = [sys.executable, "-c", UP, "up", "--json", *arguments]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stdout is not None
    assert running.stderr is not None
    try:
        line = running.stdout.readline()
        assert line, running.stderr.read()
        yield running, json.loads(line)
    finally:
        if running.poll() is None:
            running.kill()
        running.communicate()


def port_of(said: dict[str, str]) -> int:
    return int(said["url"].rpartition(":")[2])


def until_seen(on_database, count: int) -> list[Any]:
    """The processes, once there are so many: one tells of itself a moment after it serves."""
    deadline, seen = time.monotonic() + 60, list[Any]()
    while len(seen) < count:
        assert time.monotonic() < deadline
        seen = on_database("status", "--json").json["processes"]
    return seen


def test_up_serves_the_api_and_the_console_until_sigterm(on_database):
    with up("--port", "0", "--demo-open") as (running, said):
        assert said["roles"] == ["api", "workers", "console"]
        client = Client(port_of(said))
        assert client.get("/healthz").json["status"] == "ok"
        assert client.get("/v1/items").json["items"] == []
        page = client.get("/")
        assert page.status == 200
        assert page.headers["content-type"].startswith("text/html")
        until_seen(on_database, 1)
        status = on_database("status", "--json")
        assert (status.code, status.json["problems"]) == (0, [])
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 0
    after = on_database("status", "--json")
    assert after.code == 1
    assert after.json["processes"] == []


@pytest.mark.slow
def test_the_parts_run_as_processes_of_their_own(on_database):
    with (
        up("--only", "api", "--port", "0") as (_, api),
        up("--only", "console", "--port", "0") as (_, console),
        up("--only", "workers") as (workers, said),
    ):
        assert said == {"roles": ["workers"], "url": ""}
        assert Client(port_of(api)).get("/v1/items").status == 401
        assert Client(port_of(api)).get("/").status == 404
        assert Client(port_of(console)).get("/v1/items").status == 404
        assert Client(port_of(console)).get("/healthz").status == 200
        assert Client(port_of(console)).get("/").status in (200, 303, 401)
        seen = until_seen(on_database, 3)
        assert sorted(one["roles"] for one in seen) == [["api"], ["console"], ["workers"]]
        workers.send_signal(signal.SIGTERM)
        assert workers.wait(60) == 0
        status = on_database("status", "--json")
        assert status.code == 1
        assert "no process works" in status.json["problems"][0]


def test_up_ends_when_its_ledger_ended_so_that_it_is_started_again(on_database, monkeypatch):
    monkeypatch.setattr("stockwright.flow.recording.Recorder.alive", False)
    ran = on_database("up", "--only", "api", "--port", "0")
    assert ran.code == 70


def test_the_open_mode_refuses_to_listen_beyond_this_machine(on_database):
    ran = on_database("up", "--demo-open", "--host", "0.0.0.0", "--port", "0")
    assert ran.code == 2
    assert "server.host: " in ran.err


def test_a_port_that_is_taken_is_told(on_database):
    with up("--port", "0", "--only", "api") as (_, said):
        ran = on_database("up", "--only", "api", "--port", str(port_of(said)))
        assert ran.code == 2
        assert "server.port: " in ran.err


def test_a_port_beyond_all_ports_is_told(on_database):
    ran = on_database("up", "--only", "api", "--port", "99999")
    assert ran.code == 2
    assert "0 to 65535" in ran.err


@pytest.mark.parametrize("command", [("status",), ("why", "A-1"), ("trace", "GR-1")])
def test_a_database_without_tables_is_told(stockwright, empty_database_url, monkeypatch, command):
    monkeypatch.setenv("STOCKWRIGHT_DATABASE_URL", empty_database_url)
    ran = stockwright(*command)
    assert ran.code == 3
    assert "stockwright up" in ran.err


def test_status_tells_what_keeps_failing(on_database, database_url):
    part = PartView(name="projection", state="failed", failures=7, error="no such table")
    with connect(database_url) as connection:
        processes.seen(connection, "w-1", ["workers"], [part])
    ran = on_database("status")
    assert ran.code == 1
    assert "projection fails (7 times): no such table" in " ".join(ran.out.split())


def test_status_tells_who_was_lost(on_database, database_url):
    with connect(database_url) as connection:
        processes.seen(connection, "w-1", ["workers"], [])
        connection.execute("UPDATE process SET seen_at = now() - interval '1 hour'")
    ran = on_database("status", "--json")
    assert ran.code == 1
    assert any("w-1 was not seen for 3600 s" in problem for problem in ran.json["problems"])


def test_status_of_an_embedded_database_that_does_not_run_starts_nothing(
    stockwright, tmp_path, monkeypatch
):
    monkeypatch.delenv("STOCKWRIGHT_DATABASE_URL", raising=False)
    folder = tmp_path / "data"
    (tmp_path / "stockwright.toml").write_text(f'[database]\ndata_dir = "{folder}"\n')
    ran = stockwright("status")
    assert ran.code == 3
    assert "stockwright up" in ran.err
    assert not folder.exists()


def test_doctor_finds_nothing_wrong_with_a_good_database(on_database):
    ran = on_database("doctor", "--json")
    checks = {check["name"]: check for check in ran.json}
    assert checks["configuration"]["state"] == "ok"
    assert checks["migrations"]["state"] == "ok"
    assert checks["connection"]["state"] == "ok"


def test_doctor_tells_what_is_wrong_with_the_configuration(on_database, tmp_path):
    (tmp_path / "stockwright.toml").write_text('[systems.shop]\nrole = "shopp"\n')
    ran = on_database("doctor", "--json")
    assert ran.code == 1
    (check,) = [one for one in ran.json if one["state"] == "failed"]
    assert check["name"] == "configuration"
    assert "stockwright.toml:2" in check["found"]
    assert check["fix"]


def test_doctor_tells_what_a_connection_lacks(on_database, tmp_path):
    (tmp_path / "stockwright.toml").write_text(
        '[systems.shop]\nrole = "shop"\nconnector = "json_http"\n'
        '[systems.shop.settings]\nbase_url = "http://shop.example"\ntoken = "env:NOT_SET"\n'
    )
    ran = on_database("doctor", "--json")
    assert ran.code == 1
    assert any("NOT_SET" in one["found"] for one in ran.json if one["state"] == "failed")


@pytest.mark.parametrize("command", ["status", "doctor"])
def test_looking_at_a_database_that_does_not_answer_changes_no_exit_code(
    stockwright, monkeypatch, command
):
    address = "postgresql://stockwright:hunter2@127.0.0.1:9/stockwright"
    monkeypatch.setenv("STOCKWRIGHT_DATABASE_URL", address)
    ran = stockwright(command)
    assert ran.code == {"status": 3, "doctor": 1}[command]
    assert "hunter2" not in ran.out + ran.err
