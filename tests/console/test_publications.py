"""Publication in the console: every channel, one in depth, and what is done to it."""

import json
import re
from typing import Any

import pytest

from stockwright.store import publishing
from stockwright.store.connection import connect
from tests.console.people import Browser, add_user, signed_in
from tests.console.seeding import HOT, Seed, seed_wholesaler
from tests.console.serving import Answer, Served

pytestmark = pytest.mark.usefixtures("cheap_passwords")

LIMITS = {
    "batch_size": 2, "calls_per_s": 0.5, "burst": 1, "concurrency": 1, "timeout_s": 5.0,
    "longest_apply_delay_s": 30.0,
}  # fmt: skip


@pytest.fixture
def filled(seed: Seed) -> Seed:
    """A wholesaler; the web shop has shown all its items, and its limits are known."""
    seed_wholesaler(seed)
    seed._run(
        "insert into level (channel, listing, desired, version, sequence, projected_at, state,"
        " lane, due_at, waiting_since, acknowledged, acknowledged_version)"
        " select channel, code, 40, 1, 0, now(), 'settled', 'increase', now(), now(), 40, 1"
        " from listing where channel = 'webshop' on conflict do nothing"
    )
    seed._run(
        "update connection_state set limits = %s::jsonb, tokens = 0, refilled_at = now()",
        json.dumps(LIMITS),
    )
    return seed


def words(answer: Answer) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", answer.text).split())


def steer(browser: Browser, action: str, channel: str = "webshop", why: str = "they move house"):
    """Confirms a deed; answers its result's twin."""
    fields = {"action": action, "channel": channel, "why": why, "confirm": "1"}
    answer = browser.post("/publications/act", fields)
    assert answer.status == 303, answer.text
    return browser.get(answer.headers["location"] + ".json").json


def channels(console: Served):
    found = console.get("/publications.json").json["channels"]
    return {one["link"]["facts"]["channel"]: one for one in found}


def logged(seed: Seed) -> list[tuple[Any, ...]]:
    return seed.connection.execute(
        "select actor, action, subject, detail from change_log where action like 'channel.%'"
        " order by id"
    ).fetchall()


# ---------------------------------------------------------------- looking


def test_every_channel_is_a_row_with_its_backlog_by_lane(filled: Seed, console: Served):
    found = channels(console)
    assert list(found) == ["b2b", "dropship", "market-a", "market-b", "webshop"]
    market = found["market-a"]
    assert market["link"]["judgement"]["state"] == "failing"
    assert (market["backlog"]["decreases"], market["backlog"]["increases"]) == (1, 0)
    page = words(console.get("/publications"))
    assert "market-a json_http failing waiting for retry at" in page
    assert "dropship csv_drop paused paused by a.keller since" in page
    assert len(re.findall("<tr data-row>", console.get("/publications").text)) == 5


def test_lanes_first_numbers_and_doubts_are_told_apart(filled: Seed, console: Served):
    for listing, lane, acknowledged in (("d", "decrease", 9), ("u", "increase", 1)):
        filled.level("b2b", listing, 4, state="due", acknowledged=acknowledged)
        filled._run("update level set lane = %s where listing = %s", lane, listing)
    filled.level("b2b", "f", 4, state="due")
    filled._run("update level set lane = 'increase' where listing = 'f'")
    filled._run(
        "update level set doubt_low = 2, doubt_high = 7, doubt_until = now() + interval '1 h'"
        " where listing = 'd'"
    )
    backlog = channels(console)["b2b"]["backlog"]
    assert backlog == {
        "channel": "b2b", "decreases": 1, "increases": 2, "first": 1, "resends": 0, "in_doubt": 1,
    }  # fmt: skip
    page = words(console.get("/publications/b2b"))
    assert "d decrease 2 to 7, or 9 4" in page
    assert "2 1 first numbers, 0 sent again" in page


def test_a_channels_page_lists_what_waits_longest_with_links_to_items(
    filled: Seed, console: Served
):
    page = console.get("/publications/dropship")
    assert f'<a class="code" data-open href="/items/{HOT}">{HOT}</a>' in page.text
    twin = console.get("/publications/dropship.json").json
    (level,) = twin["oldest"]
    assert (level["listing"], level["sku"], level["lane"]) == (HOT, HOT, "decrease")
    assert twin["publication"]["link"]["facts"]["paused"]
    assert "Resume…" in page.text
    assert "Pause…" not in page.text


def test_calls_are_told_with_what_became_of_their_levels(filled: Seed, console: Served):
    for n, (outcome, detail) in enumerate(
        (("acknowledged", ""), ("acknowledged", ""), ("retry", "429 slow down"), (None, ""))
    ):
        filled._run(
            "insert into attempt (call, n, channel, listing, location, version, value, started_at,"
            " deadline, doubt_until, finished_at, outcome, detail) values (900, %s, 'market-b', %s,"
            " '', 1, 1, now(), now() + interval '1 h', now() + interval '2 h', now(), %s, %s)",
            n, f"L{n}", outcome, detail,
        )  # fmt: skip
    (call,) = console.get("/publications/market-b.json").json["calls"]
    counts = {name: call[name] for name in ("levels", "acknowledged", "retry", "open", "doubtful")}
    assert counts == {"levels": 4, "acknowledged": 2, "retry": 1, "open": 1, "doubtful": 0}
    page = words(console.get("/publications/market-b"))
    assert "acknowledged 2 to be tried again 1 no answer yet 1 429 slow down" in page


def test_the_newest_calls_come_first_and_only_those(filled: Seed, database_url: str):
    for number in range(30):
        version = filled.change("market-b", f"L{number}", 1, 100 - number)
        filled.attempt("market-b", f"L{number}", 1, version)
    with connect(database_url) as connection:
        found = publishing.calls(connection, "market-b", limit=20)
        assert publishing.calls(connection, "dropship") == []
    assert [one.call for one in found] == list(range(filled.call, filled.call - 20, -1))


def test_the_chart_draws_the_lag_of_each_period_and_leaves_resent_levels_out(
    filled: Seed, console: Served
):
    for second, latency_s in ((1800, 0.5), (1801, 0.5), (90, 2.0)):
        version = filled.change("market-b", f"L{second}", 1, second)
        filled.attempt("market-b", f"L{second}", 1, version, latency_s=latency_s)
    old = filled.change("market-b", "old", 1, 500_000)
    filled.attempt("market-b", "old", 1, old, latency_s=499_900)
    filled._run("update attempt set resent = true where listing = 'old'")
    twin = console.get("/publications/market-b.json").json
    assert [lag["samples"] for lag in twin["lags"]] in ([2, 1], [1, 1, 1])
    assert twin["lags"][0]["p99_s"] == pytest.approx(0.5, abs=0.002)
    assert twin["lags"][-1]["p50_s"] == pytest.approx(2.0, abs=0.002)
    day = console.get("/publications/market-b.json?span=24h").json
    assert sum(lag["samples"] for lag in day["lags"]) == 3
    assert '<path class="chart-c1"' in console.get("/publications/market-b").text


def test_a_channel_that_asks_the_api_says_so_and_cannot_be_steered(seed: Seed, console: Served):
    seed.system("desk", "pos", "")
    seed.channel("desk", "desk")
    page = console.get("/publications/desk").text
    assert "asks the API" in page
    assert "Pause…" not in page
    fields = {"action": "pause", "channel": "desk", "why": "x", "confirm": "1"}
    answer = Browser(console).post("/publications/act", fields)
    assert (answer.status, "names no connector" in answer.text) == (400, True)


def test_without_channels_the_page_teaches(console: Served):
    assert 'class="empty"' in console.get("/publications").text
    assert console.get("/publications.json").json["channels"] == []


@pytest.mark.parametrize(
    ("path", "status"),
    [("/publications/none", 404), ("/publications/none.json", 404), ("/publication", 404),
     ("/publications/webshop?span=7d", 400), ("/publications/%00", 400),
     ("/publications/" + "x" * 513, 400)],
)  # fmt: skip
def test_what_is_not_there_is_told(filled: Seed, console: Served, path: str, status: int):
    assert console.get(path).status == status


@pytest.mark.parametrize("code", ["a/b", "..", "x.json", "50%", "<b>", "ä ö"])
def test_every_code_has_an_address_of_its_own(seed: Seed, console: Served, code: str):
    seed.system("shop")
    seed.channel(code, "shop")
    page = console.get("/publications").text
    (address,) = re.findall(r'data-open href="([^"]+)"', page)
    address = address.replace("&amp;", "&")
    assert console.get(address).status == 200
    twin = re.findall(r'href="([^"]+)">This page as JSON', console.get(address).text)
    found = console.get(twin[0].replace("&amp;", "&")).json
    assert found["publication"]["link"]["facts"]["channel"] == code


def test_the_overview_leads_to_a_channels_page(filled: Seed, console: Served):
    assert '<a href="/publications/market-a">market-a</a>' in console.get("/").text


# ---------------------------------------------------------------- doing


def test_a_pause_is_seen_first_then_done_then_told(filled: Seed, console: Served):
    browser = Browser(console)
    seen = browser.post("/publications/act", {"action": "pause", "channel": "webshop"})
    assert seen.status == 200
    assert "Nothing is sent to it" in words(seen)
    assert not channels(console)["webshop"]["link"]["facts"]["paused"], "a preview changes nothing"
    deed = steer(browser, "pause")
    assert (deed["action"], deed["can_undo"]) == ("channel.pause", False)
    assert deed["result"]["told"] == "Paused webshop"
    assert deed["result"]["back"] == "/publications/webshop"
    link = channels(console)["webshop"]["link"]
    assert link["judgement"]["state"] == "paused"
    assert "(they move house)" in link["judgement"]["why"]
    overview = console.get("/index.json").json["links"]
    paused = [one["facts"] for one in overview if one["judgement"]["state"] == "paused"]
    assert ("out", "webshop") in [(one["direction"], one["channel"]) for one in paused]
    steer(browser, "resume", why="they moved")
    assert not channels(console)["webshop"]["link"]["facts"]["paused"]
    assert logged(filled) == [
        ("demo", "channel.pause", "webshop", {"why": "they move house"}),
        ("demo", "channel.resume", "webshop", {"why": "they moved"}),
    ]
    page = words(console.get("/publications/webshop"))
    assert "demo resumed it: they moved" in page
    audit = console.get("/audit.json?action=channel.pause").json["rows"]
    assert [row["subject"] for row in audit] == ["webshop"]


def test_an_estimate_comes_before_a_resync(filled: Seed, console: Served):
    browser = Browser(console)
    seen = words(browser.post("/publications/act", {"action": "resync", "channel": "webshop"}))
    assert "8 levels of 8 active listings are sent once more, 0 as 0." in seen
    told = re.search(r"That is 4 calls and takes at least (\d+\.\d) s at the limits", seen)
    assert told is not None
    assert 6.0 <= float(told[1]) <= 8.0, "four calls at one in two seconds, since a moment ago"
    assert channels(console)["webshop"]["backlog"]["resends"] == 0
    deed = steer(browser, "resync", why="restored")
    assert (deed["result"]["told"], deed["result"]["done"]) == ("Resyncing webshop:", 8)
    assert "4 calls" in deed["result"]["note"]
    found = channels(console)["webshop"]
    assert found["backlog"]["resends"] == 8
    assert found["link"]["facts"]["oldest_at"] is None
    assert "8 0 first numbers, 8 sent again" in words(console.get("/publications/webshop"))
    assert logged(filled) == [
        ("demo", "channel.resync", "webshop", {"why": "restored", "levels": 8, "calls": 4})
    ]


def test_what_could_empty_the_channel_is_refused_before_and_when_confirmed(
    filled: Seed, console: Served
):
    filled._run("update listing set active = false where channel = 'webshop'")
    browser = Browser(console)
    seen = browser.post("/publications/act", {"action": "resync", "channel": "webshop"})
    assert "No active listing" in seen.text
    assert re.search(r'value="resync" disabled', seen.text)
    fields = {"action": "resync", "channel": "webshop", "why": "x", "confirm": "1"}
    answer = browser.post("/publications/act", fields)
    assert (answer.status, "No active listing" in answer.text) == (400, True)
    assert channels(console)["webshop"]["backlog"]["resends"] == 0


def test_a_reason_is_needed_and_what_was_typed_stays(filled: Seed, console: Served):
    browser = Browser(console)
    fields = {"action": "pause", "channel": "webshop", "why": " ", "confirm": "1"}
    answer = browser.post("/publications/act", fields)
    assert (answer.status, 'role="alert">Say why' in answer.text) == (400, True)
    long = browser.post("/publications/act", {**fields, "why": "y" * 1001})
    assert (long.status, "y" * 1001 in long.text) == (400, True)
    assert logged(filled) == []


def test_doing_it_twice_says_so(filled: Seed, console: Served):
    browser = Browser(console)
    steer(browser, "pause")
    seen = browser.post("/publications/act", {"action": "pause", "channel": "webshop"})
    assert "webshop is paused by demo since" in seen.text
    fields = {"action": "pause", "channel": "webshop", "why": "x", "confirm": "1"}
    assert browser.post("/publications/act", fields).status == 409
    assert len(logged(filled)) == 1


def test_a_viewer_looks_and_an_operator_steers(
    filled: Seed, locked_console: Served, database_url: str
):
    add_user(database_url, "vera", "viewer")
    add_user(database_url, "olga", "operator")
    vera, olga = signed_in(locked_console, "vera"), signed_in(locked_console, "olga")
    page = vera.get("/publications/webshop")
    assert page.status == 200
    assert "Pause…" not in page.text
    assert "Estimate…" not in page.text
    for action in ("pause", "resume", "resync"):
        fields = {"action": action, "channel": "webshop", "why": "x", "confirm": "1"}
        assert vera.post("/publications/act", fields).status == 403
    assert "Pause…" in olga.get("/publications/webshop").text
    steer(olga, "pause")
    assert logged(filled)[0][0] == "user olga"


def test_a_form_of_somebody_else_does_nothing(filled: Seed, console: Served):
    body = "action=pause&channel=webshop&why=x&confirm=1&form_token=wrong"
    assert console.send("POST", "/publications/act", body).status == 403
    assert logged(filled) == []


@pytest.mark.parametrize("action", ["", "none", "channel.pause"])
def test_only_what_can_be_done_is_done(filled: Seed, console: Served, action: str):
    answer = Browser(console).post("/publications/act", {"action": action, "channel": "webshop"})
    assert answer.status == 400
