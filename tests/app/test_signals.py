"""What the parts do can be read at /metrics."""

from uuid import uuid4

from stockwright import telemetry
from stockwright.app import open_services
from stockwright.app.signals import measure
from stockwright.domain.events import Fact
from stockwright.store import processes
from tests.app.test_services import network, receipt, stock
from tests.proof.stage import wait_until


def value(name: str, **labels: str) -> float:
    return telemetry.REGISTRY.get_sample_value(name, labels) or 0.0


def kept_house(services) -> bool:
    """Whether the process told of itself, in the transaction that measured."""
    with services.pool.connection() as connection:
        return bool(processes.processes(connection))


def test_batches_and_outcomes_are_counted(database_url):
    with open_services(network(database_url), ["api"]) as services:
        stock(services, "A", "L-A")
        recorded = value("stockwright_outcome_items_total", code="recorded")
        parked = value("stockwright_outcome_items_total", code="parked")
        batches = value("stockwright_batch_items_count")
        unknown = Fact(
            kind="receipt",
            system="erp",
            document=uuid4().hex,
            item="nobody",
            quantity=1,
            location="main",
        )
        services.recorder.submit([receipt("A", 1), receipt("A", 1), unknown]).result()
    assert value("stockwright_outcome_items_total", code="recorded") == recorded + 2
    assert value("stockwright_outcome_items_total", code="parked") == parked + 1
    assert value("stockwright_batch_items_count") > batches
    assert value("stockwright_ledger_sequence_number") >= 2


def test_what_waits_is_measured_and_what_no_longer_waits_is_gone(database_url, monkeypatch):
    # Once and no more: the gauges are the process's, and its housekeeping would set them meanwhile.
    monkeypatch.setattr(processes, "SEEN_EVERY_S", 3_600.0)
    with open_services(network(database_url), ["api"]) as services:
        wait_until(lambda: kept_house(services), "the house is kept for the first time")
        stock(services, "A", "L-A")
        services.recorder.submit([receipt("A", 1)]).result()
        with services.pool.connection() as connection:
            connection.execute("INSERT INTO work_item (kind, subject) VALUES ('recount', 'x')")
            measure(connection)
        assert value("stockwright_work_items", kind="recount") == 1
        assert value("stockwright_projection_waiting_rows") >= 1
        assert "stockwright_backlog_levels" in telemetry.exposition().decode()
        with services.pool.connection() as connection:
            connection.execute("UPDATE work_item SET closed_at = now()")
            measure(connection)
        assert 'stockwright_work_items{kind="recount"}' not in telemetry.exposition().decode()


def test_a_system_nobody_configured_gets_no_series_of_its_own(database_url):
    with open_services(network(database_url), ["api"]) as services:
        before = value("stockwright_received_items_total", system="other", door="api")
        services.received("made up", "api", 3)
        services.received("erp", "api")
    assert value("stockwright_received_items_total", system="other", door="api") == before + 3
    assert 'system="made up"' not in telemetry.exposition().decode()
