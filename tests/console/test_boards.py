"""Boards: filters, facets, pages, views, and what people do to many rows at once."""

import html
import json
import re
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

import pytest

from stockwright.console.actions import MAX_SELECTED
from stockwright.console.boards import ROWS
from stockwright.domain.work_words import MEANINGS
from stockwright.store.access import add_key, find_caller, list_changes
from stockwright.store.connection import connect
from tests.console.people import Browser, add_user, signed_in
from tests.console.seeding import Seed
from tests.console.serving import Served
from tests.proof.stage import wait_until

pytestmark = pytest.mark.usefixtures("cheap_passwords")

BOARDS = ("work-items", "parked", "reservations", "api-log", "audit")


def work_items(seed: Seed, count: int, kind: str = "shortage", **columns) -> None:
    seconds_ago = columns.pop("seconds_ago", 60)
    for number in range(count):
        seed._run(
            "insert into work_item (kind, subject, sku, system, detail, opened_at)"
            " values (%s, %s, %s, %s, '{\"free\": -3}', %s)",
            kind, f"{kind} {number}", columns.get("sku", ""), columns.get("system", "erp"),
            seed.ago(seconds_ago),
        )  # fmt: skip


def parked(seed: Seed, count: int = 1, missing: str = "item:A-99", system: str = "erp") -> None:
    body = {"lines": [{"item": "A-99", "quantity": 2}]}
    for _ in range(count):
        seed._run(
            "insert into payload (system, door, content_type, body, state, path, reason, missing,"
            " settled_at) values (%s, 'poll', 'application/json', %s, 'parked', %s, %s, %s, now())",
            system, json.dumps(body).encode(), "$.lines[0] item", "is not bound yet", missing,
        )  # fmt: skip


def demand(seed: Seed, number: int, state: str = "open", held: int = 0, **columns) -> None:
    """One demand line that holds some units at LON."""
    seed._run(
        "insert into demand_line (id, system, order_ref, line, sku, channel, ordered, state,"
        " transitions) values (%s, %s, %s, %s, %s, %s, %s, %s, 1)",
        number, columns.get("system", "shop"), columns.get("order", f"O-{number}"),
        columns.get("line", "1"), columns.get("sku", "A"), columns.get("channel", "web"),
        max(held, 1), state,
    )  # fmt: skip
    if held:
        seed._run(
            "insert into claim (line_id, location, sku, reserved) values (%s, 'LON', %s, %s)",
            number, columns.get("sku", "A"), held,
        )  # fmt: skip


def facet(found, name: str) -> dict[str, int]:
    (mine,) = [one for one in found["facets"] if one["name"] == name]
    return {one["value"]: one["count"] for one in mine["values"]}


def do(browser: Browser, board: str, action: str, ids, **fields: str):
    """Confirms an action on rows; answers the deed's twin."""
    given = [("action", action), ("confirm", "1"), *fields.items()]
    answer = browser.post(f"/{board}/act", [*given, *(("id", one) for one in ids)])
    assert answer.status == 303, answer.text
    return browser.get(answer.headers["location"] + ".json").json


def hidden(page: str) -> dict[str, str]:
    """What the form of an action holds, its button pressed."""
    form = page[page.index('<form class="card deed"') :].partition("</form>")[0]
    found = re.findall(r'name="(\w+)" value="([^"]*)"', form)
    return {name: html.unescape(text) for name, text in found if name != "form_token"}


def ids_of(browser: Browser, path: str) -> list[int]:
    return [row["id"] for row in browser.get(path).json["rows"]]


@pytest.mark.parametrize("board", BOARDS)
def test_an_empty_board_teaches_what_will_be_there(console: Served, board: str):
    page = console.get(f"/{board}").text
    assert 'class="empty"' in page
    assert console.get(f"/{board}.json").json["rows"] == []


@pytest.mark.parametrize("board", BOARDS)
def test_the_twin_holds_what_the_page_shows(seed: Seed, console: Served, board: str):
    work_items(seed, 3)
    parked(seed, 3)
    demand(seed, 1, "confirmed", 4)
    seed._run("insert into change_log (actor, action, subject) values ('cli', 'user.add', 'ada')")
    seed._run(
        "insert into api_call (request_id, at, kept, method, route, address, status, took_ms,"
        " bytes_in, bytes_out, items, refused)"
        " values ('r-1', now(), 'sample', 'GET', '/v1/stock', '/v1/stock', 200, 1, 0, 2, 0, 0)"
    )
    page, found = console.get(f"/{board}").text, console.get(f"/{board}.json").json
    assert len(found["rows"]) == len(re.findall(r"<tr data-row>", page)) > 0
    for one in found["facets"]:
        for value in one["values"]:
            assert f'<span class="count">{value["count"]}</span>' in page


def test_filters_narrow_the_rows_and_facets_count_what_is_left(seed: Seed, console: Served):
    work_items(seed, 4, "shortage", system="erp")
    work_items(seed, 2, "conflict", system="wms", seconds_ago=7_200)
    work_items(seed, 1, "recount", system="wms", seconds_ago=900_000)
    everything = console.get("/work-items.json").json
    assert facet(everything, "kind") == {"shortage": 4, "conflict": 2, "recount": 1}
    assert facet(everything, "age") == {"under an hour": 4, "under a day": 2, "older": 1}
    assert facet(everything, "assigned") == {"nobody": 7}
    wms = console.get("/work-items.json?system=wms").json
    assert (len(wms["rows"]), wms["total"]) == (3, 3)
    assert facet(wms, "kind") == {"conflict": 2, "recount": 1}
    assert facet(wms, "system") == {"erp": 4, "wms": 3}
    older = console.get("/work-items.json?system=wms&age=older").json
    assert [row["kind"] for row in older["rows"]] == ["recount"]
    assert console.get("/work-items.json?kind=none").json["rows"] == []
    assert "Clear all filters" in console.get("/work-items?kind=none").text


def test_pages_follow_by_key_and_miss_nothing_when_rows_are_added(seed: Seed, console: Served):
    work_items(seed, 2 * ROWS + 7)
    seen: list[int] = []
    path: str | None = "/work-items.json"
    while path is not None:
        found = console.get(path).json
        seen += [row["id"] for row in found["rows"]]
        work_items(seed, 1, f"new {len(seen)}")
        path = found["next"] and found["next"].replace("/work-items?", "/work-items.json?")
    assert len(seen) == len(set(seen)) == 2 * ROWS + 7
    assert seen == sorted(seen, reverse=True)


def test_items_are_closed_with_a_reason_and_opened_again(seed: Seed, console: Served, database_url):
    work_items(seed, 3)
    browser = Browser(console)
    first, second, third = ids_of(browser, "/work-items.json")
    seen = browser.post("/work-items/act", {"action": "work_item.close", "id": first})
    assert "1 of 1 selected" in " ".join(re.sub(r"<[^>]+>", " ", seen.text).split())
    assert len(ids_of(browser, "/work-items.json")) == 3, "a preview changes nothing"
    deed = do(browser, "work-items", "work_item.close", [first, third], why="counted again")
    assert (deed["result"]["done"], deed["can_undo"]) == (2, True)
    assert ids_of(browser, "/work-items.json") == [second]
    assert browser.get(f"/work-items/{first}.json").json["item"]["closed_why"] == "counted again"
    again = do(browser, "work-items", "work_item.close", [first, second], why="once more")
    assert again["result"]["done"] == 1
    assert again["result"]["wont"] == {"closed before": 1}
    # Its cause came up anew meanwhile: that one stays closed.
    seed._run("insert into work_item (kind, subject) select kind, subject from work_item"
              " where id = %s", third)  # fmt: skip
    browser.post(f"/done/{deed['id']}/undo")
    taken = browser.get(f"/done/{deed['id']}.json").json
    assert (taken["undone"], taken["can_undo"]) == ({"undone": 1}, False)
    assert first in ids_of(browser, "/work-items.json")
    assert browser.post(f"/done/{deed['id']}/undo").status == 400, "only once"
    with connect(database_url) as connection:
        noted = [one.action for one in list_changes(connection)]
    assert noted.count("work_item.close") == 3
    assert noted.count("work_item.reopen") == 1


def test_an_action_without_its_reason_asks_for_it(seed: Seed, console: Served):
    work_items(seed, 1)
    browser = Browser(console)
    (only,) = ids_of(browser, "/work-items.json")
    answer = browser.post(
        "/work-items/act", {"action": "work_item.close", "id": only, "confirm": "1", "why": "  "}
    )
    assert answer.status == 400
    assert "Why: say something here." in answer.text
    assert ids_of(browser, "/work-items.json") == [only]


def test_all_that_match_are_taken_and_what_came_after_the_page_is_not(seed: Seed, console: Served):
    work_items(seed, ROWS + 30, "shortage")
    work_items(seed, 5, "conflict")
    browser = Browser(console)
    page = browser.get("/work-items?kind=shortage").text
    assert f"all {ROWS + 30} that match" in page
    upto = re.search(r'name="upto" value="(\d+)"', page)
    assert upto is not None
    work_items(seed, 3, "shortage late")
    seed._run("update work_item set kind = 'shortage' where kind = 'shortage late'")
    fields = {"action": "work_item.close", "all": "1", "query": "kind=shortage", "upto": upto[1]}
    seen = browser.post("/work-items/act", fields).text
    assert f"Close {ROWS + 30}" in seen
    unseen = browser.post("/work-items/act", {**fields, "confirm": "1", "why": "bulk"})
    assert (unseen.status, f"Close {ROWS + 30}" in unseen.text) == (200, True)
    deed_at = browser.post("/work-items/act", hidden(seen) | {"why": "bulk"})
    deed = browser.get(deed_at.headers["location"] + ".json").json
    assert deed["result"]["done"] == ROWS + 30
    assert facet(browser.get("/work-items.json").json, "kind") == {"conflict": 5, "shortage": 3}


def test_only_what_was_seen_is_done_whatever_matches_by_then(seed: Seed, console: Served):
    work_items(seed, 3, "shortage")
    work_items(seed, 2, "conflict")
    browser = Browser(console)
    newest = max(ids_of(browser, "/work-items.json"))
    asked = {"action": "work_item.close", "all": "1", "query": "kind=shortage", "upto": newest}
    seen = browser.post("/work-items/act", asked).text
    seed._run("update work_item set kind = 'shortage', subject = subject || ' late'"
              " where kind = 'conflict'")  # fmt: skip
    answer = browser.post("/work-items/act", hidden(seen) | {"why": "seen"})
    assert browser.get(answer.headers["location"] + ".json").json["result"]["done"] == 3
    assert len(ids_of(browser, "/work-items.json")) == 2


def test_as_many_rows_as_one_action_takes_are_named_in_its_form(seed: Seed, console: Served):
    seed._run("insert into work_item (kind, subject, detail)"
              " select 'shortage', n::text, '{}' from generate_series(1, %s) n",
              MAX_SELECTED + 5)  # fmt: skip
    browser = Browser(console)
    newest = max(ids_of(browser, "/work-items.json"))
    asked = {"action": "work_item.close", "all": "1", "query": "", "upto": newest}
    seen = browser.post("/work-items/act", asked).text
    assert "More match than" in seen
    again = browser.post("/work-items/act", hidden(seen) | {"why": ""})
    assert (again.status, "More match than" in again.text) == (400, True)
    answer = browser.post("/work-items/act", hidden(again.text) | {"why": "a flood"})
    deed = browser.get(answer.headers["location"] + ".json").json
    assert deed["result"]["done"] == MAX_SELECTED
    browser.post(f"/done/{deed['id']}/undo")
    undone = browser.get(f"/done/{deed['id']}.json").json["undone"]
    assert undone == {"undone": MAX_SELECTED}


def test_what_was_decided_anew_since_is_not_taken_back(seed: Seed, console: Served):
    work_items(seed, 2)
    browser = Browser(console)
    first, second = ids_of(browser, "/work-items.json")
    deed = do(browser, "work-items", "work_item.close", [first, second], why="by mistake")
    seed._run("update work_item set closed_at = null, closed_by = '' where id = %s", first)
    do(browser, "work-items", "work_item.close", [first], why="counted, and right this time")
    browser.post(f"/done/{deed['id']}/undo")
    assert ids_of(browser, "/work-items.json") == [second]
    closed = browser.get(f"/work-items/{first}.json").json["item"]
    assert closed["closed_why"] == "counted, and right this time"


def test_taking_back_while_the_cause_comes_up_anew_is_told_to_come_again(
    seed: Seed, console: Served, database_url
):
    """Both saw that no other was open, and who came second was told of a fault of ours."""
    work_items(seed, 1)
    browser = Browser(console)
    (one,) = ids_of(browser, "/work-items.json")
    deed = do(browser, "work-items", "work_item.close", [one], why="counted")
    waits = (
        "select 1 from pg_stat_activity"
        " where wait_event_type = 'Lock' and datname = current_database()"
    )
    with connect(database_url, autocommit=True) as looking, ThreadPoolExecutor(1) as thread:
        with connect(database_url, idle_in_transaction_s=0) as ledger:
            ledger.execute(
                "insert into work_item (kind, subject) select kind, subject from work_item"
                " where id = %s", [one],
            )  # fmt: skip
            answer = thread.submit(browser.post, f"/done/{deed['id']}/undo")
            wait_until(lambda: looking.execute(waits).fetchone(), "the second waits for the first")
        assert answer.result(20).status == 503
    assert browser.post(f"/done/{deed['id']}/undo").status == 303
    assert browser.get(f"/done/{deed['id']}.json").json["undone"] == {"undone": 0}


def test_work_that_was_passed_on_since_is_not_taken_from_who_has_it_now(
    seed: Seed, locked_console: Served, database_url
):
    for name in ("ada", "bob", "carol"):
        add_user(database_url, name, "operator")
    work_items(seed, 2)
    ada = signed_in(locked_console)
    first, second = ids_of(ada, "/work-items.json")
    deed = do(ada, "work-items", "work_item.assign", [first, second], to="bob")
    do(signed_in(locked_console, "bob"), "work-items", "work_item.assign", [first], to="carol")
    ada.post(f"/done/{deed['id']}/undo")
    assert ada.get(f"/done/{deed['id']}.json").json["undone"] == {"undone": 1}
    assert ids_of(ada, "/work-items.json?assigned=carol") == [first]
    assert ids_of(ada, "/work-items.json?assigned=nobody") == [second]


def test_a_payload_that_was_set_aside_anew_stays_aside(seed: Seed, console: Served):
    parked(seed, 2, missing="")
    browser = Browser(console)
    first, second = ids_of(browser, "/parked.json")
    deed = do(browser, "parked", "payload.discard", [first, second], why="a test")
    seed._run("update payload set state = 'parked', reason = 'still wrong' where id = %s", first)
    do(browser, "parked", "payload.discard", [first], why="the partner cancelled it")
    browser.post(f"/done/{deed['id']}/undo")
    assert ids_of(browser, "/parked.json") == [second]
    aside = browser.get(f"/parked/{first}.json").json["payload"]
    assert aside["reason"] == "still wrong (discarded: the partner cancelled it)"


def test_work_is_given_to_people_who_may_decide_and_found_as_mine(
    seed: Seed, locked_console: Served, database_url
):
    add_user(database_url, "ada", "operator")
    add_user(database_url, "bob", "operator")
    add_user(database_url, "carol", "viewer")
    work_items(seed, 3)
    browser = signed_in(locked_console)
    first, second, _ = ids_of(browser, "/work-items.json")
    deed = do(browser, "work-items", "work_item.assign", [first, second], to="ada")
    assert deed["result"]["done"] == 2
    do(browser, "work-items", "work_item.assign", [second], to="bob")
    assert ids_of(browser, "/work-items.json?assigned=me") == [first]
    assert ids_of(signed_in(locked_console, "bob"), "/work-items.json?assigned=me") == [second]
    for nobody in ("carol", "stranger"):
        refused = browser.post(
            "/work-items/act",
            {"action": "work_item.assign", "id": first, "confirm": "1", "to": nobody},
        )
        assert refused.status == 400
    browser.post(f"/done/{deed['id']}/undo")
    assert ids_of(browser, "/work-items.json?assigned=me") == []


def test_a_payload_is_bound_where_it_is_seen_and_what_missed_the_code_goes_on(
    seed: Seed, console: Served
):
    seed.system("erp")
    seed.system("wms")
    seed.sku("KETTLE")
    parked(seed, 3)
    parked(seed, 1, system="wms")
    browser = Browser(console)
    number = min(ids_of(browser, "/parked.json?system=erp"))
    found = browser.get(f"/parked/{number}.json").json
    assert found["same"] == 3
    assert [line["text"].strip() for line in found["raw"]["lines"] if line["marked"]] == [
        '"item": "A-99",'
    ]
    wrong = {"action": "binding.put", "id": number, "confirm": "1", "code": "NONE"}
    assert browser.post("/parked/act", wrong).status == 400
    seen = browser.post("/parked/act", {"action": "binding.put", "id": number, "code": "KETTLE"})
    assert "Bind 3" in seen.text
    deed = do(browser, "parked", "binding.put", [number], code="KETTLE", unit="")
    assert (deed["result"]["done"], deed["can_undo"]) == (3, False)
    assert facet(browser.get("/parked.json").json, "system") == {"wms": 1}
    bound = seed.connection.execute("select system, partner_code, code from binding").fetchall()
    assert bound == [("erp", "A-99", "KETTLE")]
    states = seed.connection.execute("select distinct state from payload where system = 'erp'")
    assert states.fetchall() == [("received",)]


def test_payloads_are_resumed_or_set_aside_and_taken_back(seed: Seed, console: Served):
    parked(seed, 4, missing="")
    browser = Browser(console)
    first, second, third, _ = ids_of(browser, "/parked.json")
    assert do(browser, "parked", "payload.resume", [first])["result"]["done"] == 1
    deed = do(browser, "parked", "payload.discard", [first, second, third], why="a test")
    assert (deed["result"]["done"], deed["result"]["wont"]) == (2, {"not parked any more": 1})
    aside = browser.get("/parked.json?state=discarded").json["rows"]
    assert [row["id"] for row in aside] == [second, third]
    assert aside[0]["reason"] == "is not bound yet (discarded: a test)"
    browser.post(f"/done/{deed['id']}/undo")
    back = browser.get(f"/parked/{second}.json").json["payload"]
    assert (back["state"], back["reason"]) == ("parked", "is not bound yet")


def test_the_bytes_leave_as_they_came_and_never_as_a_page(seed: Seed, console: Served):
    seed._run("insert into payload (system, door, content_type, body, state, path, reason)"
              " values ('erp', 'webhook', 'text/html', %s, 'parked', '$', 'x')",
              b"<script>alert(1)</script>")  # fmt: skip
    (number,) = ids_of(Browser(console), "/parked.json")
    answer = console.get(f"/parked/{number}/body")
    assert answer.body == b"<script>alert(1)</script>"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert "<script>alert" not in console.get(f"/parked/{number}").text


def test_a_payload_of_an_unknown_channel_asks_for_no_restart(seed: Seed, console: Served):
    parked(seed, 1, missing="channel:WEB")
    (number,) = ids_of(Browser(console), "/parked.json")
    page = console.get(f"/parked/{number}").text
    assert "<code>[channels.WEB]</code>" in page
    assert "<code>stockwright config apply</code>: it goes on by itself" in page


def test_a_part_shows_what_its_parent_said(seed: Seed, console: Served):
    parked(seed, 1, missing="")
    seed._run("insert into payload (system, door, body, state, path, reason, parent, place)"
              " select 'erp', 'part', '', 'parked', '$.lines[0].quantity', 'no', id, '$.lines[0]'"
              " from payload")  # fmt: skip
    number = max(ids_of(Browser(console), "/parked.json"))
    lines = console.get(f"/parked/{number}.json").json["raw"]["lines"]
    assert [line["text"].strip() for line in lines if line["marked"]] == ['"quantity": 2']


def test_reservations_are_listed_by_what_they_hold(seed: Seed, console: Served):
    seed.location("LON")
    seed.sku("A")
    seed.sku("B")
    for number, (state, held) in enumerate(
        [("open", 3), ("confirmed", 2), ("released", 0), ("fulfilled", 0)], start=1
    ):
        demand(seed, number, state, held)
    demand(seed, 9, "open", 7, sku="B", channel="b2b")
    found = console.get("/reservations.json").json
    assert [row["held"] for row in found["rows"]] == [7, 0, 0, 2, 3]
    assert facet(found, "state") == {"open": 2, "confirmed": 1, "fulfilled": 1, "released": 1}
    assert [row["id"] for row in console.get("/reservations.json?state=open").json["rows"]] == [
        9,
        1,
    ]
    assert [row["id"] for row in console.get("/reservations.json?sku=B").json["rows"]] == [9]
    assert facet(console.get("/reservations.json?sku=B").json, "channel") == {"b2b": 1}


def test_a_rare_state_is_found_by_looking_further_back(
    seed: Seed, console: Served, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("stockwright.store.reservation_board.WINDOW", 3)
    for number in range(1, 12):
        demand(seed, number, "expired" if number in (2, 5) else "open")
    seen: list[int] = []
    path: str | None = "/reservations.json?state=expired"
    asked = 0
    while path is not None:
        found = console.get(path).json
        seen += [row["id"] for row in found["rows"]]
        path = found["next"] and found["next"].replace("reservations?", "reservations.json?")
        asked += 1
    assert (seen, asked) == ([5, 2], 4)
    assert "Look further back" in console.get("/reservations?state=expired").text


def test_what_a_reservation_holds_is_given_back_through_the_ledger(
    seed: Seed, console: Served, database_url
):
    from stockwright.domain.events import Fact, Request, RequestLine
    from stockwright.flow.recording import Recorder

    seed.system("shop")
    seed.location("LON")
    seed.sku("A")
    seed.channel("web", "shop", "LON")
    recorder = Recorder(database_url)
    recorder.start()
    try:
        done = recorder.submit(
            [
                Fact(kind="receipt", document="R", system="shop", sku="A", quantity=9,
                     location="LON"),
                Request(kind="reserve", document="O-1", system="shop", channel="web",
                        lines=[RequestLine(line="1", sku="A", quantity=2),
                               RequestLine(line="2", sku="A", quantity=3)]),
            ]
        ).result(20)  # fmt: skip
    finally:
        recorder.stop()
    assert [outcome.code for outcome in done] == ["recorded", "granted"]
    browser = Browser(console)
    page = browser.get("/reservation.json?system=shop&order=O-1").json
    assert [line["held"] for line in page["lines"]] == [2, 3]
    assert {step["state"] for step in page["transitions"]} == {"open"}
    ids = {line["line"]: line["id"] for line in page["lines"]}
    seen = browser.post("/reservations/act", {"action": "reservation.release", "id": ids["2"]})
    assert "3 units become free" in seen.text
    deed = do(browser, "reservations", "reservation.release", [ids["2"]], why="never paid")
    assert (deed["result"]["done"], deed["can_undo"]) == (1, False)
    held = seed.connection.execute("select sum(reserved) from balance where sku = 'A'").fetchone()
    assert held == (2,)
    noted = seed.connection.execute(
        "select subject, detail ->> 'why' from change_log where action = 'reservation.release'"
    ).fetchall()
    assert noted == [("shop O-1", "never paid")]
    again = do(browser, "reservations", "reservation.release", [ids["2"]], why="again")
    assert again["result"]["wont"] == {"hold nothing": 1}


def test_the_audit_tells_all_changes_of_one_subject(seed: Seed, console: Served):
    for number in range(5):
        seed._run("insert into change_log (actor, action, subject, detail)"
                  " values ('user ada', 'skus.put', %s, '{\"unit\": \"EA\"}')",
                  f"S-{number % 2}")  # fmt: skip
    found = console.get("/audit.json").json
    assert facet(found, "action") == {"skus.put": 5}
    assert len(console.get("/audit.json?subject=S-0").json["rows"]) == 3
    assert "unit</span> EA" in console.get("/audit?subject=S-1").text


def test_a_view_of_a_list_that_there_is_not_is_refused(console: Served):
    for board in ("elsewhere", "../items", "", "work"):
        view = {"board": board, "name": "Mine", "query": "state=closed"}
        assert Browser(console).post("/console/views", view).status == 400, board


def test_views_are_ones_own_saved_used_and_deleted(locked_console: Served, database_url):
    add_user(database_url)
    add_user(database_url, "bob")
    browser = signed_in(locked_console)
    view = {"board": "work-items", "name": "Mine & old", "query": "assigned=ada&age=older"}
    answer = browser.post("/console/views", view)
    assert answer.headers["location"] == "/work-items?assigned=ada&age=older"
    assert browser.get("/work-items.json").json["views"] == [
        {"name": "Mine & old", "query": "assigned=ada&age=older"}
    ]
    assert "Mine &amp; old" in browser.get("/work-items").text
    assert signed_in(locked_console, "bob").get("/work-items.json").json["views"] == []
    for bad in ({"name": ""}, {"name": "x" * 61}, {"board": "../x"}, {"query": "x" * 3_000}):
        assert browser.post("/console/views", {**view, **bad}).status == 400
    browser.post("/console/views", {"board": "work-items", "drop": "Mine & old"})
    assert browser.get("/work-items.json").json["views"] == []


def test_keys_are_seen_and_revoked_by_admins_alone(locked_console: Served, database_url):
    for name, role in (("ada", "admin"), ("bob", "operator")):
        add_user(database_url, name, role)
    with connect(database_url) as connection:
        made = add_key(connection, name="web shop", scopes=["stock:read"])
    bob, ada = signed_in(locked_console, "bob"), signed_in(locked_console)
    assert bob.get("/keys").status == 403
    assert "Keys</a>" not in bob.get("/").text
    assert bob.post("/keys/revoke", {"id": made.id, "confirm": "1"}).status == 403
    page = ada.get("/keys")
    assert "web shop" in page.text
    assert made.key not in page.text
    assert "cannot be taken back" in ada.post("/keys/revoke", {"id": made.id}).text
    with connect(database_url) as connection:
        assert find_caller(connection, made.key) is not None
    assert ada.post("/keys/revoke", {"id": made.id, "confirm": "1"}).status == 303
    with connect(database_url) as connection:
        assert find_caller(connection, made.key) is None
        assert list_changes(connection)[0].actor == "user ada"
    assert ada.get("/keys.json").json["keys"][0]["state"] == "revoked"
    assert ada.post("/keys/revoke", {"id": made.id, "confirm": "1"}).status == 404


ACTIONS = [
    ("work-items", "work_item.close"), ("work-items", "work_item.assign"),
    ("parked", "payload.resume"),
    ("parked", "payload.discard"), ("parked", "binding.put"),
    ("reservations", "reservation.release"),
]  # fmt: skip


def test_a_viewer_sees_no_action_and_does_none(seed: Seed, locked_console: Served, database_url):
    add_user(database_url)
    work_items(seed, 1)
    parked(seed, 1)
    demand(seed, 1, held=2)
    browser = signed_in(locked_console)
    for board in BOARDS:
        page = browser.get(f"/{board}").text
        assert 'type="checkbox"' not in page
        assert 'name="action"' not in page
    for board, action in ACTIONS:
        fields = {"action": action, "id": "1", "confirm": "1", "why": "x", "to": "ada", "code": "A"}
        answer = browser.post(f"/{board}/act", fields)
        assert answer.status == 403, action
        assert "operator" in answer.text
    number = browser.get("/parked.json").json["rows"][0]["id"]
    assert browser.get(f"/parked/{number}/body").status == 403
    assert browser.get(f"/parked/{number}.json").json["raw"] is None
    assert "A-99&#34;" not in browser.get(f"/parked/{number}").text
    states = seed.connection.execute("select state from payload").fetchall()
    assert states == [("parked",)]


@pytest.mark.parametrize(("board", "action"), ACTIONS)
def test_an_action_needs_a_form_of_ours(seed: Seed, console: Served, board: str, action: str):
    work_items(seed, 1)
    body = urlencode({"action": action, "id": "1", "confirm": "1", "why": "x"})
    assert Browser(console).send("POST", f"/{board}/act", body).status == 403


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"action": "work_item.close"}, 400),
        ({"action": "work_item.close", "id": "x"}, 400),
        ({"action": "work_item.close", "id": "9" * 40}, 400),
        ({"action": "payload.resume", "id": "1"}, 404),
        ({"action": "", "id": "1"}, 404),
        ({"action": "work_item.close", "all": "1", "upto": "x"}, 400),
        ({"action": "work_item.close", "all": "1", "upto": "5", "query": "kind=%00"}, 400),
        ({"action": "work_item.close", "id": "1", "confirm": "1", "why": "x" * 2_000}, 400),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(seed: Seed, console: Served, fields, status):
    work_items(seed, 1)
    assert Browser(console).post("/work-items/act", fields).status == status


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/work-items/1", 404), ("/work-items/x", 404), ("/work-items/1.json", 404),
        ("/parked/99", 404),
        ("/parked/99/body", 404), ("/done/1", 404), ("/done/x.json", 404),
        ("/reservation", 400), ("/reservation?system=a&order=b", 404),
        ("/reservation?system=%00&order=b", 400), ("/work-items?kind=%00", 400),
        ("/work-items?before=x", 400), ("/trace", 400), ("/trace?sequence=x", 400),
        ("/trace?sequence=5", 404), ("/trace?id=none", 404), ("/trace?id=%00", 400),
    ],
)  # fmt: skip
def test_an_address_that_leads_nowhere_says_so(console: Served, path: str, status: int):
    assert console.get(path).status == status


def test_somebody_elses_deed_is_neither_seen_nor_taken_back(
    seed: Seed, locked_console: Served, database_url
):
    for name in ("ada", "bob"):
        add_user(database_url, name, "operator")
    work_items(seed, 1)
    ada, bob = signed_in(locked_console), signed_in(locked_console, "bob")
    deed = do(ada, "work-items", "work_item.close", ids_of(ada, "/work-items.json"), why="x")
    assert bob.get(f"/done/{deed['id']}.json").status == 404
    assert bob.post(f"/done/{deed['id']}/undo").status == 400
    assert ids_of(ada, "/work-items.json") == []


def test_a_deed_can_be_taken_back_for_an_hour(seed: Seed, console: Served):
    work_items(seed, 1)
    browser = Browser(console)
    deed = do(
        browser, "work-items", "work_item.close", ids_of(browser, "/work-items.json"), why="x"
    )
    seed._run("update console_deed set done_at = done_at - interval '61 minutes'")
    assert browser.get(f"/done/{deed['id']}.json").json["can_undo"] is False
    assert browser.post(f"/done/{deed['id']}/undo").status == 400


def test_no_action_leads_away_from_the_console(seed: Seed, console: Served):
    work_items(seed, 1)
    browser = Browser(console)
    (only,) = ids_of(browser, "/work-items.json")
    fields = {"action": "work_item.close", "id": only, "confirm": "1", "why": "x"}
    answer = browser.post("/work-items/act", {**fields, "back": "//evil.example"})
    deed = browser.get(answer.headers["location"] + ".json").json
    assert deed["result"]["back"] == "/work-items"


def test_hostile_texts_in_rows_and_reasons_stay_text(seed: Seed, console: Served):
    evil = '<script>alert("x")</script>'
    work_items(seed, 1, evil)
    seed._run("update work_item set detail = %s, system = %s", json.dumps({evil: evil}), evil)
    parked(seed, 1, missing=f"item:{evil}")
    demand(seed, 1, order=evil, channel=evil)
    seed._run("insert into change_log (actor, action, subject, detail) values (%s, %s, %s, %s)",
              evil, evil, evil, json.dumps({evil: [evil]}))  # fmt: skip
    browser = Browser(console)
    pages = [f"/{board}" for board in BOARDS]
    pages += ["/work-items/1", "/parked/1", "/search?" + urlencode({"q": "<script"})]
    pages.append("/reservation?" + urlencode({"system": "shop", "order": evil}))
    for path in pages:
        page = browser.get(path)
        assert page.status == 200, path
        assert "<script>alert" not in page.text, path


def test_a_work_item_says_what_it_asks_of_a_person(seed: Seed, console: Served):
    work_items(seed, 1, "negative_stock")
    number = console.get("/work-items.json").json["rows"][0]["id"]
    assert console.get(f"/work-items/{number}.json").json["meaning"] == MEANINGS["negative_stock"]
    assert MEANINGS["negative_stock"] in console.get(f"/work-items/{number}").text


def test_the_fields_of_an_applied_configuration_are_folded(seed: Seed, console: Served):
    changes = [
        {"field": "channels.web.hold_s", "before": 900, "after": 60},
        {"field": "channels.shop", "before": None, "after": {"pool": ["MAIN"]}},
    ]
    detail = json.dumps({"reason": "spring", "changes": changes})
    seed._run(
        "insert into change_log (actor, action, subject, detail)"
        f" values ('cli', 'config.apply', 'revision 7', '{detail}')"
    )
    page = console.get("/audit").text
    assert "<summary>2 fields: channels.web.hold_s, channels.shop</summary>" in page
    assert re.search(r'channels.web.hold_s</span> <span class="was">900</span> → 60', page)
