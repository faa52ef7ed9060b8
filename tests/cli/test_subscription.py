"""`stockwright subscription`: what the how-to's own test does not run."""

import pytest

URL = "https://plan.example/hook?key=theirs"


@pytest.fixture
def subscription(on_database):
    return lambda *arguments: on_database("subscription", *arguments)


def test_a_subscription_is_added_listed_and_deleted(subscription):
    made = subscription("add", "plan", "--url", URL, "--changes", "levels", "--sku", "A", "--json")
    assert made.code == 0, made.err
    assert made.json["secret"].startswith("whsec_")
    assert (made.json["to"], made.json["filters"]["skus"]) == (
        "https://plan.example/hook?...",
        ["A"],
    )
    listed = subscription("list", "--json")
    assert [one["name"] for one in listed.json] == ["plan"]
    assert made.json["secret"] not in listed.out
    assert subscription("delete", "plan").out == "Deleted plan.\n"
    assert subscription("list").out == "Nobody has subscribed yet.\n"


def test_a_queue_that_connection_add_made_is_known_without_the_file(subscription, on_database):
    given = ("--connector", "nats", "--role", "planning", "--set", "servers=nats://127.0.0.1:9")
    added = on_database("connection", "add", "BUS", *given)
    assert added.code == 0, added.err
    made = subscription("add", "plan", "--system", "BUS", "--subject", "stock.{kind}", "--json")
    assert made.code == 0, made.err
    assert made.json["to"] == "BUS: stock.{kind}"


def test_a_code_that_nobody_configured_is_named_and_kept(subscription, on_database, tmp_path):
    (tmp_path / "stockwright.toml").write_text(
        '[systems.SHOP]\nrole = "shop"\n[locations.MAIN]\n'
        '[channels.WEB]\nsystem = "SHOP"\npool = ["MAIN"]\n'
    )
    assert on_database("config", "apply", "--reason", "x").code == 0
    known = subscription("add", "one", "--url", URL, "--channel", "WEB", "--location", "MAIN")
    assert (known.code, known.err) == (0, "")
    ran = subscription("add", "two", "--url", URL, "--channel", "WEBB", "--from-system", "ERP")
    assert ran.code == 0, ran.err
    assert "There is no channel 'WEBB' yet; did you mean WEB?" in ran.err
    assert "There is no system 'ERP' yet. Nothing is told of it until there is." in ran.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("add", "plan", "--url", "http://127.0.0.1:9/x"), "url: "),
        (("add", "plan", "--url", URL, "--kind", "nonsense"), "kind: There is no kind 'nonsense'"),
        (("add", "plan", "--url", URL, "--kind", "recipt"), "did you mean receipt?\n"),
        (("add", "plan", "--system", "BUS", "--subject", "a.b"), "No queue is connected as 'BUS'"),
        (("replay", "plan"), "Give one of --begin, --cursor and --sequence"),
        (("pause", "plan", "--reason", "x"), "There is no subscription 'plan'"),
    ],
)
def test_what_is_wrong_is_told_by_field(subscription, arguments, words):
    ran = subscription(*arguments)
    assert (ran.code, words in ran.err) == (2, True), ran.err
