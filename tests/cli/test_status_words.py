"""What `stockwright status` says where nothing fails but a person is waited for."""

import msgspec
import pytest
from rich.console import Console

from stockwright.cli.status import Status, _render
from stockwright.store.connection import Pool
from stockwright.store.polls import fail_poll, lease_poll
from stockwright.store.processes import PartView, Waiting, seen
from stockwright.store.session import session

QUIET = Waiting(**dict.fromkeys(Waiting.__struct_fields__, 0))


@pytest.mark.parametrize(
    ("parked", "work", "said"),
    [
        (0, 0, "All is well."),
        (2, 0, "2 parked payloads"),
        (0, 3, "3 open work items"),
        (0, 1, "1 open work item (stockwright work list) waits for a person."),
        (1, 1, "1 open work item (stockwright work list) wait for a person."),
    ],
)
def test_waiting_for_a_person_is_said(parked: int, work: int, said: str) -> None:
    waiting = msgspec.structs.replace(QUIET, payloads_parked=parked, work_items_open=work)
    console = Console(record=True, width=120)
    console.print(_render(Status(processes=[], waiting=waiting, problems=[], config_differs=[])))
    text = console.export_text()
    assert said in text
    assert ("All is well." in text) is (parked + work == 0)


def test_where_file_and_database_differ_is_said() -> None:
    console = Console(record=True, width=120)
    differs = ["channels.web.hold_s", "channels.web.pool"]
    console.print(_render(Status(processes=[], waiting=QUIET, problems=[], config_differs=differs)))
    assert "differ in 2 fields" in console.export_text()


@pytest.mark.parametrize(("stage", "told"), [("added", []), ("shadow", ["BUS"]), (None, ["BUS"])])
def test_a_connection_that_is_only_added_and_cannot_be_opened_is_no_problem(
    on_database, database_url, stage, told
):
    """Whoever is still connecting it sees it there; a monitor would call somebody at night."""
    given = ("--connector", "nats", "--role", "wms", "--set", "servers=nats://127.0.0.1:9")
    assert on_database("connection", "add", "BUS", *given).code == 0
    parts = [
        PartView(name=name, state="failed", failures=2, error="no such file")
        for name in ("connection BUS", "BUS")
    ]
    with Pool(database_url, size=1) as pool, session(pool) as connection:
        seen(connection, "host-1", ["workers"], parts)
        if stage is None:
            connection.execute("delete from connecting")
        else:
            connection.execute("update connecting set stage = %s", [stage])
    ran = on_database("status", "--json")
    opened = [text for text in ran.json["problems"] if "connection BUS fails" in text]
    assert [text.split()[2] for text in opened] == told
    assert any("host-1: BUS fails" in text for text in ran.json["problems"]), "another part"
    assert ran.code == 1


def test_a_partner_that_cannot_be_read_is_a_problem(on_database, database_url) -> None:
    given = ("--connector", "nats", "--role", "wms", "--set", "servers=nats://127.0.0.1:9")
    assert on_database("connection", "add", "BUS", *given).code == 0
    with Pool(database_url, size=1) as pool, session(pool) as connection:
        assert lease_poll(connection, "BUS", "w", lease_s=9.0, now=True) is None, (
            "not connected yet"
        )
        connection.execute("update connecting set stage = 'live'")
        lease_poll(connection, "BUS", "w", lease_s=9.0, now=True)
        fail_poll(connection, "BUS", "w", "the broker was away", retry_s=2.0)
    problems = on_database("status", "--json").json["problems"]
    assert not any("cannot be read" in text for text in problems), "it may answer the next time"
    with Pool(database_url, size=1) as pool, session(pool) as connection:
        lease_poll(connection, "BUS", "w", lease_s=9.0, now=True)
        fail_poll(connection, "BUS", "w", "queue: there is none", retry_s=300.0)
    ran = on_database("status", "--json")
    assert ran.code == 1
    assert any(
        text.startswith("BUS cannot be read (2 times): queue: there is none; tried again at ")
        for text in ran.json["problems"]
    ), ran.json["problems"]
