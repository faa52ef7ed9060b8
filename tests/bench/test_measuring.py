"""The yardstick writes what the product writes, and the measurements say what they measured."""

import json
from uuid import UUID, uuid4

import pytest

from stockwright.cli import main
from stockwright.domain.events import Request, RequestLine
from stockwright.flow.audit import run_audit
from stockwright.flow.measuring import reservations_per_s
from stockwright.flow.recording import Recorder
from stockwright.store import baseline
from stockwright.store.baseline import (
    MeasurementFailed,
    calls_per_s,
    code_of,
    grow,
    prepare,
)
from stockwright.store.connection import Connection, connect
from stockwright.store.embedded import EmbeddedServer

WRITTEN = ("identity", "event", "entry", "demand_line", "claim", "transition", "dirty")


def counts(connection: Connection) -> dict[str, int]:
    found = {}
    for table in WRITTEN:
        row = connection.execute(f"select count(*) from {table}".encode()).fetchone()
        assert row is not None
        found[table] = row[0]
    return found


def gained(connection: Connection, before: dict[str, int]) -> dict[str, int]:
    return {table: now - before[table] for table, now in counts(connection).items()}


def test_the_procedure_writes_the_same_rows_as_the_product(database_url: str) -> None:
    prepare(database_url, items=3, stock=10)
    with connect(database_url, autocommit=True) as connection, Recorder(database_url) as recorder:
        before = counts(connection)
        line = RequestLine(sku=code_of(0), quantity=1, location="MAIN")
        request = Request(kind="reserve", document="r1", system="bench", lines=[line])
        assert recorder.submit([request]).result(30)[0].code == "granted"
        ours = gained(connection, before)
        before = counts(connection)
        call = "select proc_reserve_v1('bench', 'r2', 'SKU-000001', 'MAIN', 1, '{}')"
        assert connection.execute(call).fetchone() == ("granted",)
        assert gained(connection, before) == ours == dict.fromkeys(WRITTEN, 1)
        rows = connection.execute(
            "select sellable, reserved, version from balance where sku < 'SKU-000002' order by sku"
        ).fetchall()
        assert rows == [(10, 1, 2), (10, 1, 2)]


def test_the_procedure_answers_again_and_never_grants_beyond_the_stock(database_url: str) -> None:
    prepare(database_url, items=1, stock=2)
    call = "select proc_reserve_v1('bench', %s, 'SKU-000000', 'MAIN', 1, '{}')"
    with connect(database_url, autocommit=True) as connection:
        answers = [connection.execute(call, [name]).fetchone() for name in "aabcc"]
    granted, refused = ("granted",), ("insufficient",)
    assert answers == [granted, granted, granted, refused, refused]


def test_pgbench_calls_either_procedure_and_every_call_leaves_its_rows(database_url: str) -> None:
    prepare(database_url, items=50, stock=10**9)
    with connect(database_url, autocommit=True) as connection:
        before = counts(connection)
        assert calls_per_s(database_url, "reserve", items=50, seconds=1) > 0
        assert calls_per_s(database_url, "receipt", items=50, seconds=1) > 0
        rows = gained(connection, before)
    assert rows["identity"] == rows["event"] == rows["entry"] == rows["dirty"]
    assert 0 < rows["claim"] == rows["demand_line"] == rows["transition"] < rows["event"]


def test_a_procedure_that_fails_ends_the_measurement_with_its_reason(database_url: str) -> None:
    prepare(database_url, items=1, stock=1)
    with connect(database_url, autocommit=True) as connection:
        connection.execute("drop table dirty")
    with pytest.raises(MeasurementFailed, match='relation "dirty" does not exist'):
        calls_per_s(database_url, "receipt", items=1, seconds=1)


def test_a_grown_ledger_and_what_is_recorded_after_it_stand_the_audit(database_url: str) -> None:
    prepare(database_url, items=7, stock=1_000)
    steps: list[int] = []
    grow(database_url, 250, 7, steps.append)
    with Recorder(database_url) as recorder:
        rate = reservations_per_s(recorder, turn="t", items=7, seconds=0.2, callers=20)
    assert rate > 0
    assert sum(steps) == 250
    with connect(database_url) as connection:
        report = run_audit(connection, rebuild=True)
    assert [check for check in report.checks if not check.ok] == []


def test_a_refused_reservation_fails_the_measurement(database_url: str) -> None:
    prepare(database_url, items=1, stock=5)
    with (
        Recorder(database_url) as recorder,
        pytest.raises(MeasurementFailed, match="insufficient"),
    ):
        reservations_per_s(recorder, turn="t", items=1, seconds=5, callers=20)


@pytest.mark.slow
def test_the_command_leaves_no_database_behind(
    cluster: EmbeddedServer,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("STOCKWRIGHT_DATABASE_URL", database_url)
    # Other workers measure at the same time, in databases of their own.
    made: list[UUID] = []

    def noted() -> UUID:
        made.append(uuid4())
        return made[-1]

    monkeypatch.setattr(baseline, "uuid4", noted)
    assert main(["bench", "--seconds", "1", "--turns", "1", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [(one["name"], one["items"]) for one in said["rates"]] == [
        ("spread", 10_000),
        ("hot", 1),
    ]
    assert all(one["per_s"] > 0 and one["procedure_per_s"] > 0 for one in said["rates"])
    with connect(cluster.url_of("postgres")) as connection:
        left = connection.execute(
            "select count(*) from pg_database where datname = any (%s)",
            [[f"stockwright_bench_{one.hex[:8]}" for one in made]],
        ).fetchone()
    assert made
    assert left == (0,)
