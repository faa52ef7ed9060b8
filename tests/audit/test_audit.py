"""Every kind of damage to the books is found, by the proof that should find it."""

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from stockwright.cli import main
from stockwright.flow.audit import AuditReport, run_audit
from stockwright.store.audit import check_names
from stockwright.store.connection import Connection, connect
from stockwright.store.embedded import EmbeddedServer

WORLD = (Path(__file__).parent / "world.sql").read_text()


EMPTY = """
truncate location, sku, event, identity, batch, demand_line, transition, entry, transfer, balance,
         claim, channel, backorder, history.backorder, owed_sku cascade;
update ledger_head set sequence = 0;
"""


@pytest.fixture(scope="module")
def shared_url(cluster: EmbeddedServer, template: str) -> Iterator[str]:
    """One database for all tests here: dozens of kinds of damage need no database each."""
    name = f"audit_{uuid4().hex[:12]}"
    with connect(cluster.url_of("postgres"), autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY".encode())
        yield cluster.url_of(name)
        server.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def books(shared_url: str) -> Iterator[Connection]:
    """A database whose small world adds up."""
    with connect(shared_url, autocommit=True) as connection:
        connection.execute(EMPTY.encode())
        connection.execute(WORLD.encode())
        yield connection


@pytest.fixture
def unguarded(database_url: str) -> Iterator[Connection]:
    """The same where the database does not forbid a negative free_after."""
    with connect(database_url, autocommit=True) as connection:
        connection.execute(WORLD.encode())
        connection.execute("alter table entry drop constraint entry_free_after_check")
        yield connection


def failed(report: AuditReport) -> set[str]:
    return {check.name for check in report.checks if not check.ok}


def test_an_empty_ledger_adds_up(database_url: str) -> None:
    with connect(database_url) as connection:
        report = run_audit(connection, rebuild=True)
    assert report.ok
    assert [check.rows for check in report.checks] == [0] * len(report.checks)


def test_books_that_add_up_pass_every_proof(books: Connection) -> None:
    report = run_audit(books)
    assert failed(report) == set()
    assert report.ok
    rows = {check.name: check.rows for check in report.checks}
    assert rows["sequence"] == rows["identities"] == 7
    assert rows["entries"] == 7
    assert rows["grants"] == 1


# One line = one damage, and the proofs that must name it (others may notice it too).
DAMAGE = [
    ("update balance set sellable = sellable + 1 where sku = 'A'", {"balances", "conservation"}),
    ("update balance set inspection = 2, sellable = sellable - 2 where sku = 'A'", {"balances"}),
    ("update balance set reserved = 0 where sku = 'A'", {"balances", "promises"}),
    ("delete from balance where sku = 'B' and lot = 'lot9'", {"balances", "conservation"}),
    ("update balance set lot = 'lot8' where lot = 'lot9'", {"balances"}),
    ("insert into balance (sku, location, lot, damaged) values ('B', 'L1', 'x', 1)", {"balances"}),
    ("update claim set reserved = reserved + 1", {"claims", "promises"}),
    ("update claim set location = 'L2'", {"claims", "promises"}),
    ("delete from claim", {"claims", "promises"}),
    ("delete from entry where sequence = 1", {"balances", "conservation"}),
    ("delete from entry where sequence = 4 and n = 1", {"entries", "balances", "conservation"}),
    ("delete from entry where sequence = 5", {"transfers", "balances"}),
    ("update entry set quantity = 11 where sequence = 1", {"balances", "grants"}),
    ("update entry set line_id = null where sequence = 2", {"claims"}),
    ("update entry set to_account = 'adjustment' where sequence = 2", {"shapes", "claims"}),
    ("update entry set free_after = 4 where sequence = 2", {"grants"}),
    ("update demand_line set shipped = 3", {"demand"}),
    ("update demand_line set finals = 1", {"demand"}),
    ("update demand_line set cancelled = 6", {"demand"}),
    ("update demand_line set shipped = 1, ordered = 4", {"fulfilment"}),
    ("update demand_line set cancel_requested = 4", {"demand"}),
    ("update demand_line set returned = 1", {"fulfilment"}),
    ("update entry set line_id = 21 where sequence = 4 and n = 2", {"fulfilment", "claims"}),
    (
        "update entry set from_account = 'customer', from_location = '', to_location = 'L1', "
        "to_account = 'inspection' where sequence = 4 and n = 1",
        {"fulfilment", "balances"},
    ),
    ("update demand_line set sku = 'B'", {"demand"}),
    ("update demand_line set state = 'released'", {"transitions"}),
    ("update demand_line set transitions = 2", {"transitions"}),
    ("delete from transition where n = 2", {"transitions"}),
    ("delete from transition where n = 3", {"transitions"}),
    ("update transition set sequence = 99 where n = 3", {"transitions"}),
    ("insert into transition values (21, 1, 'open', 3)", {"transitions"}),
    ("update transfer set arrived = 1", {"transfers", "conservation"}),
    ("delete from transfer", {"transfers", "conservation"}),
    ("delete from identity where sequence = 3", {"identities"}),
    ("insert into identity values ('wms|again', '\\x00', 3, 'done')", {"identities"}),
    ("insert into identity values ('wms|none', '\\x00', 8, 'done')", {"identities"}),
    ("update identity set outcome = 'expired' where sequence = 2", {"identities"}),
    ("delete from event where sequence = 3", {"sequence", "identities", "entries"}),
    ("update ledger_head set sequence = 8", {"sequence", "batches"}),
    ("delete from batch where first_sequence = 1", {"batches"}),
    ("update backorder set owed = 5", {"backorders"}),
    ("update backorder set promoted = 4, owed = 5", {"backorders"}),
    ("update backorder set settled_by = 8", {"backorders"}),
    ("delete from history.backorder", {"backorders"}),
    ("delete from owed_sku", {"backorders"}),
]


@pytest.mark.parametrize(("damage", "proofs"), DAMAGE, ids=[damage for damage, _ in DAMAGE])
def test_planted_damage_is_found(books: Connection, damage: str, proofs: set[str]) -> None:
    books.execute("set session_replication_role = replica")
    books.execute(damage.encode())
    report = run_audit(books)
    assert not report.ok
    assert proofs <= failed(report)


def test_a_negative_free_after_is_found_although_the_database_forbids_it(
    unguarded: Connection,
) -> None:
    unguarded.execute("update entry set free_after = -1 where sequence = 2")
    assert "grants" in failed(run_audit(unguarded))


def test_a_grant_beyond_the_stock_is_found_even_where_it_notes_the_right_number(
    unguarded: Connection,
) -> None:
    unguarded.execute("update entry set quantity = 12, free_after = -2 where sequence = 2")
    assert "grants" in failed(run_audit(unguarded))


def test_every_proof_is_exercised_by_some_damage() -> None:
    assert set(check_names()) == set().union(*(proofs for _, proofs in DAMAGE))


def test_a_finding_names_the_cell_and_both_numbers(books: Connection) -> None:
    books.execute("update balance set sellable = 50 where sku = 'A'")
    found = {check.name: check.detail for check in run_audit(books).checks}
    assert found["balances"] == 'A at L1 lot "": balance 50/0/0/0/1/2/0, ledger 5/0/0/0/1/2/0'
    assert found["conservation"] == "A: 8 units came in, 53 are held"


def test_many_findings_are_counted_and_the_first_ones_shown(books: Connection) -> None:
    books.execute("insert into sku select 'C' || n from generate_series(10, 29) as n")
    books.execute(
        "insert into balance (sku, location, sellable) "
        "select 'C' || n, 'L1', 1 from generate_series(10, 29) as n"
    )
    found = {check.name: check.detail for check in run_audit(books).checks}
    assert found["balances"].endswith("; and 15 more")


def test_rebuild_compares_the_stored_balances_byte_for_byte(books: Connection) -> None:
    checks = {check.name: check for check in run_audit(books, rebuild=True).checks}
    assert checks["rebuild"].ok
    assert checks["rebuild"].rows == 2
    books.execute("update balance set damaged = 1 where sku = 'B' and lot = 'lot9'")
    report = run_audit(books, rebuild=True)
    detail = {check.name: check.detail for check in report.checks if not check.ok}["rebuild"]
    assert 'B at L2 lot "lot9": balance 6/0/0/1/0/0/0, ledger 6/0/0/0/0/0/0' in detail


def test_writers_go_on_during_an_audit_and_do_not_disturb_it(
    books: Connection, shared_url: str
) -> None:
    def write(name: str, number: int, total: int) -> None:
        with connect(shared_url, autocommit=True) as other:
            other.execute("update balance set sellable = sellable + 1 where sku = 'A'")

    assert run_audit(books, write).ok
    assert not run_audit(books).ok


def test_an_audit_changes_nothing_and_may_be_repeated(books: Connection) -> None:
    first = run_audit(books, rebuild=True)
    assert run_audit(books, rebuild=True) == first
    left = books.execute("select count(*) from pg_class where relname like 'audit_%'").fetchone()
    assert left == (0,)


def test_progress_tells_every_check_before_it_runs(books: Connection) -> None:
    told: list[tuple[str, int, int]] = []
    report = run_audit(books, lambda *step: told.append(step), rebuild=True)
    assert [step[0] for step in told] == [check.name for check in report.checks]
    assert told[-1][1:] == (len(told), len(told))


def test_the_command_ends_with_1_and_says_where_the_books_do_not_add_up(
    books: Connection,
    shared_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("STOCKWRIGHT_DATABASE_URL", shared_url)
    assert main(["audit", "--rebuild", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True
    books.execute("update balance set damaged = 3 where sku = 'A'")
    assert main(["audit"]) == 1
    shown = capsys.readouterr().out
    assert "FAILED" in shown
    assert "balance 5/0/0/3/1/2/0, ledger 5/0/0/0/1/2/0" in shown
