"""Subscriptions in the console: every consumer, one in depth, adding one and steering it."""

import re
from typing import Any, Literal

import pytest

from stockwright.domain.subscriptions import Filters, NewSubscription
from stockwright.store import subscriptions as store
from stockwright.store.connection import connect
from stockwright.store.feed import BEGINNING
from tests.console.people import Browser, add_user, signed_in
from tests.console.seeding import Seed, seed_wholesaler
from tests.console.serving import Answer, Served

pytestmark = pytest.mark.usefixtures("cheap_passwords")

KEY = "k-4711-of-the-consumer"
URL = f"https://finance.example/hooks?{KEY}"


@pytest.fixture
def filled(seed: Seed, database_url: str) -> Seed:
    """A wholesaler with a consumer that took one message and refused the next."""
    seed_wholesaler(seed)
    with connect(database_url) as connection:
        new = NewSubscription(name="finance", via="webhook", url=URL, filters=Filters(), batch=2)
        number = store.add(connection, new, BEGINNING, "cli ann")
        assert number is not None
        store.add_secret(connection, number, "whsec_" + "b" * 32)
        told: tuple[tuple[Literal["taken", "failed"], str], ...] = (
            ("taken", ""),
            ("failed", "it answered 503"),
        )
        for outcome, error in told:
            store.note_attempt(
                connection, number, took_ms=2_000, changes=2, outcome=outcome, error=error
            )
        connection.execute(
            "update subscription_progress set failures = 1, failing_since = now(),"
            " last_error = 'it answered 503'"
        )
    return seed


def words(answer: Answer) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", answer.text).split())


def act(browser: Browser, action: str, **fields: str) -> Answer:
    return browser.post("/subscriptions/act", {"action": action, "name": "finance", **fields})


def logged(seed: Seed) -> list[tuple[Any, ...]]:
    return seed.connection.execute(
        "select actor, action, detail from change_log where action like 'subscription.%'"
        " order by id"
    ).fetchall()


def test_a_consumer_is_a_row_with_its_state_lag_and_no_key_of_its_address(
    filled: Seed, console: Served
):
    (row,) = console.get("/subscriptions.json").json["subscriptions"]
    assert (row["state"], row["why"], row["to"]) == (
        "failing", "it answered 503", "https://finance.example/hooks?...",
    )  # fmt: skip
    assert row["subscription"]["behind"] > 0
    one = console.get("/subscriptions/finance.json").json
    assert [each["outcome"] for each in one["attempts"]] == ["failed", "taken"]
    for path in ("/subscriptions", "/subscriptions/finance"):
        for answer in (console.get(path), console.get(f"{path}.json")):
            assert answer.status == 200
            assert KEY not in answer.text
            assert "whsec_" not in answer.text
    page = words(console.get("/subscriptions/finance"))
    assert "1 failures in a row" in page
    assert "it answered 503" in page


def test_without_any_the_page_says_how_to_begin(seed: Seed, console: Served):
    page = words(console.get("/subscriptions"))
    assert "Nobody has subscribed yet" in page
    assert "stockwright subscription add" in page
    assert console.get("/subscriptions/nobody").status == 404


def test_it_is_paused_with_a_reason_and_resumed(filled: Seed, console: Served):
    browser = Browser(console)
    asked = act(browser, "pause", why="they move house")
    assert asked.status == 200
    assert "Nothing is sent to it until it is resumed" in words(asked)
    assert act(browser, "pause", why="", confirm="1").status == 400
    done = act(browser, "pause", why="they move house", confirm="1")
    assert (
        browser.get(done.headers["location"] + ".json").json["result"]["told"] == "Paused finance"
    )
    assert act(browser, "pause", why="again", confirm="1").status == 409
    assert console.get("/subscriptions.json").json["subscriptions"][0]["state"] == "paused"
    act(browser, "resume", why="they moved", confirm="1")
    assert console.get("/subscriptions.json").json["subscriptions"][0]["state"] == "active"
    assert [(action, detail["why"]) for _, action, detail in logged(filled)] == [
        ("subscription.pause", "they move house"), ("subscription.resume", "they moved"),
    ]  # fmt: skip


def test_a_replay_shows_what_it_would_tell_before_it_begins(filled: Seed, console: Served):
    browser = Browser(console)
    ((events,),) = filled.connection.execute("select count(*) from event").fetchall()
    ((levels,),) = filled.connection.execute("select count(*) from level_change").fetchall()
    estimate = words(act(browser, "replay", begin="start"))
    messages = -(-(events + levels) // 2)
    assert f"{events:,} event" in estimate
    assert f"at most {messages:,} message" in estimate
    assert "at the pace of its last messages" in estimate
    assert console.get("/subscriptions/finance.json").json["attempts"], "nothing was done yet"
    assert "From where?" in words(act(browser, "replay", begin="sequence", sequence="many"))
    assert act(browser, "replay", begin="sequence", sequence="999999999").status == 400
    done = act(browser, "replay", begin="now", confirm="1")
    assert done.status == 303
    one = console.get("/subscriptions.json").json["subscriptions"][0]
    assert (one["state"], one["subscription"]["behind"]) == ("active", 0)
    assert "demo set it to another position" in words(console.get("/subscriptions/finance"))


def test_a_new_secret_is_shown_once_and_both_sign(filled: Seed, console: Served):
    browser = Browser(console)
    assert "whsec_" not in act(browser, "rotate").text
    made = act(browser, "rotate", confirm="1")
    (secret,) = re.findall(r'id="secret">(whsec_[^<]+)<', made.text)
    assert made.headers["cache-control"] == "no-store"
    one = console.get("/subscriptions/finance.json")
    assert secret not in one.text
    assert len(one.json["row"]["subscription"]["secrets"]) == 2
    kept = filled.connection.execute("select secret from subscription_secret").fetchall()
    assert (secret,) in kept
    assert secret not in str(logged(filled))


def test_one_is_added_by_its_form_and_what_is_wrong_is_said_at_its_field(
    seed: Seed, console: Served
):
    browser = Browser(console)
    fields = {"name": "planning", "via": "webhook", "url": f"http://10.0.0.1/{KEY}", "skus": "A, B"}
    refused = browser.post("/subscription-new", fields)
    assert refused.status == 400
    assert 'name="skus" value="A, B"' in refused.text, "what was typed stays"
    assert "would be called without TLS" in words(refused)
    made = browser.post("/subscription-new", fields | {"url": "https://plan.example/h"})
    assert made.status == 200
    assert re.search(r'id="secret">whsec_', made.text)
    again = browser.post("/subscription-new", fields | {"url": "https://plan.example/h"})
    assert "There is a subscription" in words(again)
    (row,) = console.get("/subscriptions.json").json["subscriptions"]
    assert row["subscription"]["filters"]["skus"] == ["A", "B"]
    assert [action for _, action, _ in logged(seed)] == ["subscription.create"]


def test_an_operator_steers_and_an_admin_changes(
    filled: Seed, locked_console: Served, database_url: str
):
    add_user(database_url, "vera", "viewer")
    add_user(database_url, "otto", "operator")
    vera, otto = signed_in(locked_console, "vera"), signed_in(locked_console, "otto")
    assert "Pause…" not in vera.get("/subscriptions/finance").text
    assert act(vera, "pause", why="no", confirm="1").status == 403
    page = otto.get("/subscriptions/finance").text
    assert "Pause…" in page
    assert "Delete…" not in page
    assert act(otto, "delete", confirm="1").status == 403
    assert otto.get("/subscription-new").status == 403
    assert act(otto, "pause", why="no", confirm="1").status == 303


def test_deleting_takes_it_away_with_its_messages(filled: Seed, console: Served):
    browser = Browser(console)
    assert "are gone" in words(act(browser, "delete"))
    assert act(browser, "delete", confirm="1").status == 303
    assert console.get("/subscriptions.json").json["subscriptions"] == []
    left = filled.connection.execute("select count(*) from subscription_attempt").fetchone()
    assert left == (0,)


def test_the_newest_hundred_messages_are_kept(filled: Seed, database_url: str):
    with connect(database_url) as connection:
        one = store.find(connection, "finance")
        assert one is not None
        for number in range(120):
            store.note_attempt(connection, one.id, took_ms=number, changes=1, outcome="taken")
        kept = store.attempts(connection, one.id, 500)
    assert [kept[0].took_ms, kept[-1].took_ms, len(kept)] == [119, 20, 100]
