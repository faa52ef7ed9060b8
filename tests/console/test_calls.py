"""The API log as people look at it."""

import datetime as dt
import re

import pytest

from stockwright.console.boards import ROWS
from stockwright.store import call_log
from stockwright.store.access import add_key
from stockwright.store.call_log import CallRow, Counted
from stockwright.store.connection import connect
from tests.console.people import add_user, signed_in
from tests.console.serving import Served

pytestmark = pytest.mark.usefixtures("cheap_passwords")

NOW = dt.datetime.now(dt.UTC)
PROBLEM = {
    "type": "urn:stockwright:problem:malformed", "title": "a field is wrong", "status": 422,
    "detail": "Expected `int`, got `str`.", "param": "lines[0].quantity", "next": "Correct it.",
}  # fmt: skip
BODY = '{"order": "O-1", "lines": [{"sku": "A", "quantity": "many"}]}'


def row(number: int, **changes) -> CallRow:
    plain = {
        "request_id": f"r-{number}", "at": NOW, "kept": "failed", "method": "POST",
        "route": "/v1/reservations", "address": "/v1/reservations", "status": 422,
        "caller": "user eve", "peer": "203.0.113.5", "took_ms": 1.5, "bytes_in": len(BODY),
        "bytes_out": 200, "items": 0, "refused": 0, "code": "malformed",
        "param": "lines[0].quantity", "problem": PROBLEM, "refusals": [], "sequences": [],
        "body": BODY, "body_note": "",
    }  # fmt: skip
    return CallRow(**{**plain, **changes})


def slow(number: int) -> CallRow:
    return row(
        number, kept="slow", method="GET", route="/v1/stock", status=200, code="", param="",
        problem=None, body=None, took_ms=2_400.0,
    )  # fmt: skip


def batch(number: int) -> CallRow:
    refusals = [{"index": 1, "status": 422, "code": "unknown_sku", "param": "sku", "detail": "No."}]
    return row(
        number, kept="refused", route="/v1/events", status=207, code="unknown_sku", param="sku",
        problem=None, items=3, refused=1, refusals=refusals, sequences=[41, 42],
        body='[{"sku": "A"}, {"sku": "Z"}, {"sku": "B"}]',
    )  # fmt: skip


@pytest.fixture
def keep(database_url):
    def write(*rows: CallRow) -> None:
        with connect(database_url) as connection:
            call_log.keep(connection, rows)

    return write


def facet(found, name: str) -> dict[str, int]:
    (mine,) = [one for one in found["facets"] if one["name"] == name]
    return {one["value"]: one["count"] for one in mine["values"]}


def test_calls_are_listed_counted_by_facet_and_narrowed(console: Served, keep, database_url):
    with connect(database_url) as connection:
        key = add_key(connection, name="web shop", scopes=["stock:read"])
    keep(row(1), row(2, caller=f"key {key.id}"), slow(3), batch(4), row(5, caller="", body=None))
    found = console.get("/api-log.json").json
    assert [one["request_id"] for one in found["rows"]] == ["r-5", "r-4", "r-3", "r-2", "r-1"]
    assert facet(found, "kept") == {"failed": 3, "slow": 1, "refused": 1}
    assert facet(found, "status") == {"422": 3, "200": 1, "207": 1}
    assert facet(found, "call")["GET /v1/stock"] == 1
    assert found["rows"][3]["name"] == "web shop"
    mine = console.get(f"/api-log.json?caller=key+{key.id}").json
    assert [one["request_id"] for one in mine["rows"]] == ["r-2"]
    both = console.get("/api-log.json?kept=failed&status=422").json
    assert (len(both["rows"]), both["total"]) == (3, 3)
    one = console.get("/api-log.json?request=r-3").json
    assert ([call["route"] for call in one["rows"]], one["total"]) == (["/v1/stock"], 1)
    page = console.get("/api-log").text
    assert len(re.findall("<tr data-row>", page)) == 5
    assert "nobody known" in page
    assert "2.4 s" in page


def test_pages_of_calls_follow_by_key(console: Served, keep):
    keep(*(row(number) for number in range(2 * ROWS + 3)))
    seen: list[str] = []
    path: str | None = "/api-log.json"
    while path is not None:
        found = console.get(path).json
        seen += [one["request_id"] for one in found["rows"]]
        path = found["next"] and found["next"].replace("/api-log?", "/api-log.json?")
    assert seen == [f"r-{number}" for number in reversed(range(2 * ROWS + 3))]


def test_all_calls_are_told_beside_those_that_are_kept(console: Served, database_url):
    hour = NOW.replace(minute=0, second=0, microsecond=0)
    counts = [("a", 200, 97), ("b", 200, 3), ("a", 404, 7), ("a", 503, 2)]
    with connect(database_url) as connection:
        call_log.count(
            connection,
            [Counted(worker, hour, "GET", "/v1/x", status, n) for worker, status, n in counts],
        )
        old = hour - dt.timedelta(days=2)
        call_log.count(connection, [Counted("a", old, "GET", "/v1/x", 200, 999)])
    assert console.get("/api-log.json").json["told"] == {
        "hours": 24, "calls": 109, "client_errors": 7, "server_errors": 2,
    }  # fmt: skip
    assert "hours: 109, answered 4xx 7, 5xx 2" in console.get("/api-log").text


def test_a_failing_call_shows_its_fault_in_its_body(console: Served, keep):
    keep(row(1))
    page = console.get("/api-log/1").text
    assert "Expected `int`, got `str`." in page
    assert "Correct it." in page
    (marked,) = re.findall(r"<mark>([^<]*)</mark>", page)
    assert "quantity" in marked
    assert console.get("/api-log/1.json").json["call"]["body"] == BODY


def test_a_batch_shows_which_items_were_refused_and_the_events_it_recorded(console: Served, keep):
    keep(batch(1))
    page = console.get("/api-log/1").text
    assert 'href="/trace?sequence=41"' in page
    assert 'href="/trace?sequence=42"' in page
    assert "unknown sku" in page
    assert any("Z" in marked for marked in re.findall(r"<mark>([^<]*)</mark>", page))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"body": None, "body_note": "left out"}, "too many calls came at once"),
        ({"body": None}, "No body is kept"),
        ({"body": "{" + "x" * 100, "body_note": "cut"}, "Only its beginning is kept"),
    ],
)
def test_a_body_that_is_not_whole_says_why(console: Served, keep, changes, words):
    keep(row(1, **changes))
    assert words in console.get("/api-log/1").text


def test_viewers_and_programs_see_calls_without_bodies(locked_console: Served, keep, database_url):
    keep(row(1))
    for name, role in (("eve", "viewer"), ("bob", "operator")):
        add_user(database_url, name, role)
        browser = signed_in(locked_console, name)
        assert browser.get("/api-log").status == 200
        assert ("many" in browser.get("/api-log/1").text) == (role == "operator")
        body = browser.get("/api-log/1.json").json["call"]["body"]
        assert body == (BODY if role == "operator" else None)
    with connect(database_url) as connection:
        key = add_key(connection, name="grafana", scopes=["console"])
    found = locked_console.get("/api-log/1.json", authorization=f"Bearer {key.key}").json
    assert (found["call"]["body"], found["raw"]) == (None, None)


@pytest.mark.parametrize("path", ["/api-log/1", "/api-log/x", "/api-log/1.json"])
def test_a_call_that_is_not_there_says_so(console: Served, path):
    assert console.get(path).status == 404


def test_what_a_partner_sent_is_shown_as_text(console: Served, keep):
    hostile = "<script>alert(1)</script>"
    problem = {**PROBLEM, "detail": hostile, "outcome": {"code": hostile}}
    keep(row(1, address=hostile, body=hostile, param=hostile, code=hostile, problem=problem))
    for path in ("/api-log", "/api-log/1"):
        assert hostile not in console.get(path).text
