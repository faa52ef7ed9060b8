"""`stockwright pull` asks the partner of a system, in a process of its own."""

import asyncio
import threading
from pathlib import Path

import psycopg
import pytest

from stockwright.connectors.tryton import Sandbox

CONFIG = """\
[systems.ERP]
role = "erp"
connector = "tryton"

[systems.ERP.settings]
base_url = "{url}"
database = "erp"
user = "hub"
password = "env:ERP_PASSWORD"
calls_per_s = 0.001
burst = 50

[systems.DROP]
role = "wms"
connector = "csv_drop"

[systems.PLAIN]
role = "wms"

[locations.WH]
"""


@pytest.fixture
def erp(stockwright, monkeypatch):
    """A server with two products and a third without a code, on a loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    sandbox = Sandbox(("MUG", "PLATE", ""))
    url = asyncio.run_coroutine_threadsafe(sandbox.start(), loop).result(10)
    monkeypatch.setenv("ERP_PASSWORD", "sandbox-password")
    Path("stockwright.toml").write_text(CONFIG.format(url=url))
    sandbox.url = url
    yield sandbox
    asyncio.run_coroutine_threadsafe(sandbox.stop(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_items_come_in_and_those_that_cannot_are_in_a_file(on_database, erp):
    ran = on_database("pull", "items", "ERP", "--json")
    assert ran.code == 1
    skus, units, bindings = ran.json["reports"]
    assert (skus["new"], skus["refused"]) == (2, 1)
    assert (units["new"], bindings["new"]) == (2, 2)
    assert ran.json["refused_file"] == "ERP.refused.ndjson"
    assert len(Path("ERP.refused.ndjson").read_text().splitlines()) == 3
    again = on_database("pull", "items", "ERP", "--refused", "other.ndjson")
    assert "3 rows of skus: 0 new, 0 changed, 2 unchanged, 1 refused." in again.out
    assert "other.ndjson" in again.out


def test_supply_comes_in(on_database, erp):
    on_database("pull", "items", "ERP")
    erp.move("MUG", 5.0, "SUP", "IN", state="draft", day=erp.clock().date())
    ran = on_database("pull", "supply", "ERP")
    assert (ran.code, ran.out) == (0, "1 new, 0 changed, 0 unchanged, 0 closed, 0 refused.\n")


def test_every_call_of_a_pull_is_taken_from_the_budget_that_all_share(
    on_database, erp, database_url
):
    def left():
        with psycopg.connect(database_url) as db:
            return db.execute("select round(tokens) from connection_state").fetchone()[0]

    assert on_database("pull", "items", "ERP").code == 1
    asked = len(erp.calls) - len(erp.sessions)
    assert asked > 1
    assert left() == 50 - asked, "all but those that signed in"
    assert on_database("pull", "supply", "ERP").code == 0
    assert left() == 50 - (len(erp.calls) - len(erp.sessions))


def test_a_partner_that_the_file_does_not_name_is_asked_with_the_settings_in_force(
    on_database, erp
):
    """It was connected by steps, and its settings are in the database alone."""
    settings = (("base_url", erp.url), ("database", "erp"), ("user", "hub"),
                ("password", "env:ERP_PASSWORD"))  # fmt: skip
    given = [part for name, text in settings for part in ("--set", f"{name}={text}")]
    added = on_database(
        "connection", "add", "ERP2", "--connector", "tryton", "--role", "erp", *given
    )
    assert added.code == 0, added.err
    ran = on_database("pull", "items", "ERP2", "--json")
    assert ran.json["reports"][0]["new"] == 2, ran.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("items", "ERPP"), "there is no system 'ERPP'; did you mean"),
        (("items", "PLAIN"), "PLAIN has no connector"),
        (("supply", "DROP"), "the connector csv_drop tells no supply"),
    ],
)
def test_whoever_cannot_be_asked_is_named(on_database, erp, arguments, words):
    ran = on_database("pull", *arguments)
    assert ran.code == 2
    assert words in ran.err
