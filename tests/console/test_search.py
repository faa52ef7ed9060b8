"""Search: what a text may mean, found by an index, and the way of the events it finds."""

import datetime as dt
from typing import Any
from urllib.parse import quote

import pytest

from stockwright.store import finding, queries
from stockwright.store.connection import connect
from tests.console.seeding import HOT, Seed, seed_wholesaler
from tests.console.serving import Served
from tests.console.test_boards import demand, parked, work_items

ROWS = 60_000


def told(seed: Seed, system: str, document: str, order: str = "") -> int:
    """One event of a document with its identity; answers its sequence."""
    sequence = seed.event(
        "reserve", HOT, 1, ("unclaimed", "reserved"), system=system, document=document, order=order
    )
    key = f"{system}|{document.replace('|', '||')}|1|reserve|0"
    seed._run("insert into identity values (%s, '\\x00', %s, 'granted')", key, sequence)
    return sequence


def found(console: Served, text: str):
    return console.get(f"/search.json?q={quote(text, safe='')}").json


@pytest.fixture
def known(seed: Seed) -> Seed:
    seed_wholesaler(seed)
    return seed


def test_an_order_is_found_by_its_number_and_by_how_it_begins(known: Seed, console: Served):
    demand(known, 1, order="W-10233", system="webshop")
    demand(known, 2, order="W-10233", system="webshop", line="2")
    demand(known, 3, order="W-10234", system="b2b")
    demand(known, 4, order="X-1", system="b2b")
    exact = found(console, "W-10233")["orders"]
    assert [(one["system"], one["order"], one["lines"]) for one in exact] == [
        ("webshop", "W-10233", 2)
    ]
    assert [one["order"] for one in found(console, "W-102")["orders"]] == ["W-10233", "W-10234"]
    page = console.get("/search?q=W-10233").text
    assert "/reservation?system=webshop&amp;order=W-10233" in page


def test_an_event_is_found_by_document_by_how_it_begins_and_by_sequence(
    known: Seed, console: Served
):
    one = told(known, "webshop", "INV/2026|7")
    other = told(known, "erp", "INV/2026")
    assert [hit["sequence"] for hit in found(console, "INV/2026|7")["events"]] == [one]
    assert one in [hit["sequence"] for hit in found(console, "INV/20")["events"]]
    assert [hit["sequence"] for hit in found(console, str(other))["events"]] == [other]
    way = console.get(f"/trace.json?id={quote('INV/2026|7')}").json
    assert [event["sequence"] for event in way["events"]] == [one]
    assert console.get(f"/trace?sequence={other}").status == 200


def test_partners_places_and_words_of_errors_are_found(known: Seed, console: Served):
    work_items(known, 1, "conflict")
    parked(known, 1, missing="item:ZZ-9")
    assert ("system", "market-a") in [
        (one["what"], one["code"]) for one in found(console, "market-a")["partners"]
    ]
    assert [one["code"] for one in found(console, "covent")["partners"]] == ["SHOP"]
    assert [one["missing"] for one in found(console, "ZZ-9")["parked"]] == ["item:ZZ-9"]
    assert [one["kind"] for one in found(console, "conflict 0")["work"]] == ["conflict"]
    assert [one["code"] for one in found(console, "503 service")["errors"]] == ["market-a"]
    assert "503 Service Unavailable" in console.get("/search?q=503").text


def test_a_code_that_is_an_order_as_well_shows_both(known: Seed, console: Served):
    assert console.get(f"/search?q={HOT}").status == 303
    told(known, "webshop", HOT)
    answer = console.get(f"/search?q={HOT}")
    assert answer.status == 200
    both = found(console, HOT)
    assert both["skus"][0]["sku"] == HOT
    assert both["events"]


def test_signs_of_patterns_are_only_signs(known: Seed, console: Served):
    parked(known, 1, missing="item:100%_sure")
    assert len(found(console, "100%_sure")["parked"]) == 1
    assert found(console, "1%e")["parked"] == []
    assert found(console, "\\")["parked"] == []


def test_an_empty_search_teaches_what_can_be_found(console: Served):
    page = console.get("/search?q=").text
    assert "You can search by" in page


def grown(url: str) -> None:
    """A database in which reading a whole table shows."""
    with connect(url) as connection:
        for statement in (
            "insert into system (code, role) select 's' || n, 'shop' from generate_series(1, 5) n",
            "insert into sku (code) select 'S-' || n from generate_series(1, %(rows)s) n",
            "insert into identity select 's' || (1 + n %% 5) || '|D-' || n || '|1|reserve|0',"
            " '\\x00', n, 'granted' from generate_series(1, %(rows)s) n",
            "insert into demand_line (id, system, order_ref, line, sku, state) select n,"
            " 's' || (1 + n %% 5), 'O-' || n, '1', 'S-1', 'open'"
            " from generate_series(1, %(rows)s) n",
            "insert into transition select n, 1, 'open', n from generate_series(1, %(rows)s) n",
            "insert into payload (system, door, body, state, reason) select 's1', 'poll', '',"
            " case when n %% 20 = 0 then 'parked' else 'recorded' end, 'reason ' || n"
            " from generate_series(1, %(rows)s) n",
            "insert into work_item (kind, subject, closed_at) select 'shortage', 's' || n,"
            " case when n %% 20 > 0 then now() end from generate_series(1, %(rows)s) n",
            "insert into change_log (actor, action, subject) select 'cli', 'x', 's' || n"
            " from generate_series(1, %(rows)s) n",
        ):
            connection.execute(statement.encode(), {"rows": ROWS})
        connection.commit()
        connection.autocommit = True
        connection.execute("vacuum analyze")


SYSTEMS = ["s1", "s2", "s3", "s4", "s5"]
CODES = {"text": "O-4711", "systems": SYSTEMS, "limit": 8, "document": "D-4711", "order": "O-4711"}
WORDS = {"pattern": "%4711%", "window": finding.WINDOW, "limit": 8}
BOARD = {
    "before": 2**62, "limit": 51, "window": 20_000, "state": "open", "kind": "", "system": "",
    "sku": "", "assigned": "", "age_low": 0.0, "age_high": 1e12, "channel": "", "missing": "",
    "subject": "", "action": "", "actor": "", "now": dt.datetime(2030, 1, 1, tzinfo=dt.UTC),
}  # fmt: skip
LOOKS = [
    ("finding", "skus", CODES), ("finding", "orders", CODES), ("finding", "documents", CODES),
    ("finding", "parked", WORDS), ("finding", "work", WORDS),
    ("tracing", "sequences_of_document", CODES), ("tracing", "sequences_of_order", CODES),
    ("work_board", "open_rows", BOARD), ("work_board", "open_cube", BOARD),
    ("parked_board", "rows", BOARD), ("parked_board", "cube", BOARD),
    ("parked_board", "discarded_rows", BOARD),
    ("reservation_board", "rows", BOARD), ("reservation_board", "bottom", BOARD),
    ("reservation_board", "cube", BOARD), ("reservation_board", "rows_of_sku", BOARD),
    ("audit_board", "rows", BOARD), ("audit_board", "cube", BOARD),
    ("audit_board", "rows_of_subject", {**BOARD, "subject": "s5"}),
]  # fmt: skip
LARGE = ("identity", "demand_line", "transition", "payload", "work_item", "change_log", "sku")


def scans(plan: dict[str, Any], found: list[str]) -> list[str]:
    """Large tables that a plan reads from end to end."""
    whole = plan["Node Type"] in ("Seq Scan", "Parallel Seq Scan")
    if whole and plan.get("Relation Name") in LARGE:
        found.append(f"{plan['Relation Name']}: {plan.get('Filter', '')}")
    for inner in plan.get("Plans", ()):
        scans(inner, found)
    return found


def test_no_search_and_no_page_of_a_board_reads_a_large_table_whole(database_url: str):
    grown(database_url)
    whole: dict[str, list[str]] = {}
    with connect(database_url) as connection:
        for stem, name, given in LOOKS:
            explained = connection.execute(
                f"explain (format json) {queries.load(stem)[name]}".encode(), given
            ).fetchone()
            assert explained is not None
            read = scans(explained[0][0]["Plan"], [])
            if read:
                whole[f"{stem}.{name}"] = read
        hits = finding.find(connection, "O-4711")
    assert whole == {}
    assert hits.orders[0].order == "O-4711"
