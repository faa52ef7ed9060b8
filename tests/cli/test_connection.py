"""`stockwright connection`: a partner is connected step by step, in several sittings."""

import csv
import tomllib

import msgspec
import psycopg
import pytest

from stockwright.config.asking import ABOUT, edits_of
from stockwright.connectors.json_http import Sandbox
from tests.cli.partners import played

ITEMS = "code\nMUG\nCAP\nPEN\n"
PLACES = '[locations.MAIN]\n\n[systems.WMS]\nrole = "wms"\n'


@pytest.fixture(scope="module")
def shop():
    """A shop over HTTP that wants a token; every test lets it forget what it was told."""
    with played(Sandbox(token="t0ken")) as partner:
        yield partner


@pytest.fixture
def shown(shop):
    shop.sandbox._levels.clear()
    shop.sandbox.events.clear()
    return shop


@pytest.fixture
def sw(on_database, tmp_path, monkeypatch, shown):
    """Runs commands in a house with a place, three SKUs and a secret in the environment."""
    monkeypatch.setenv("SHOP_TOKEN", "t0ken")
    (tmp_path / "stockwright.toml").write_text(PLACES)
    (tmp_path / "skus.csv").write_text(ITEMS)
    assert on_database("import", "skus", "skus.csv").code == 0
    return on_database


def add(sw, shop, *more, role="shop", token="env:SHOP_TOKEN"):
    return sw(
        "connection", "add", "SHOP", "--connector", "json_http", "--role", role,
        "--set", f"base_url={shop.url}", "--set", f"token={token}", *more,
    )  # fmt: skip


def sells(sw, shop):
    return add(sw, shop, "--channel", "WEB", "--pool", "MAIN")


def steps(ran):
    found = ran.json
    return {step["name"]: step for step in found.get("connection", found)["steps"]}


def status(sw):
    return sw("connection", "status", "SHOP", "--json")


def wrote(path, *rows):
    with path.open("w", newline="") as target:
        csv.writer(target).writerows(rows)
    return str(path)


def ready(sw, shop, tmp_path):
    """A shop of two items, both bound and listed, one of them in stock."""
    shop.sandbox.show("MUG", 4)
    shop.sandbox.show("CAP", 7)
    assert sells(sw, shop).code == 0
    shop.do(shop.sandbox.sell("O-1", [("MUG", 1)]))
    listed = wrote(
        tmp_path / "listings.csv", ("channel", "code", "sku"), ("WEB", "MUG", "MUG"),
        ("WEB", "CAP", "CAP"),
    )  # fmt: skip
    bound = wrote(
        tmp_path / "bindings.csv", ("system", "partner_code", "code"), ("SHOP", "MUG", "MUG"),
        ("SHOP", "CAP", "CAP"),
    )  # fmt: skip
    assert sw("import", "listings", listed).code == 0
    assert sw("import", "bindings", bound).code == 0


def stock(database_url, **units):
    with psycopg.connect(database_url) as db:
        for sku, quantity in units.items():
            db.execute(
                "insert into balance (sku, location, sellable) values (%s, 'MAIN', %s)",
                [sku, quantity],
            )
            db.execute("insert into dirty (sku, sequence) values (%s, 0)", [sku])


def test_all_that_the_file_says_of_a_system_can_be_said_when_it_is_added(sw, shown):
    told = {
        "owner": "web team", "latency_budget_s": 2.5, "criticality": "high", "clock_error_s": 1.5,
        "heartbeat_s": 60.0, "time_zone": "Europe/Berlin", "snapshot_basis": "net",
        "revisions": "cumulative",
    }  # fmt: skip
    assert tuple(told) == ABOUT
    options = [(f"--{name.replace('_', '-')}", str(value)) for name, value in told.items()]
    ran = add(sw, shown, *(text for option in options for text in option))
    assert ran.code == 0, ran.out
    shop = tomllib.loads(sw("config", "show").out)["systems"]["SHOP"]
    assert {name: shop.get(name) for name in ABOUT} == told
    refused = add(sw, shown, "--heartbeat-s", "-1")
    assert (refused.code, "systems.SHOP.heartbeat_s is out of range" in refused.err) == (2, True)


def test_a_shop_is_connected_from_nothing_to_live(sw, shown, tmp_path, database_url):
    ready(sw, shown, tmp_path)
    stock(database_url, MUG=9, CAP=7)
    ran = sw("connection", "test", "SHOP", "--json")
    assert ran.code == 0, ran.out
    found = steps(ran)
    assert found["credentials"]["note"] == "SHOP told what it shows and was read"
    assert found["sample"]["note"] == "1 message: 1 channel_order"
    assert found["items"]["note"] == "2 matched, 0 unknown, 0 in conflict about the unit"
    assert found["opening_stock"]["state"] == "skipped"
    assert ran.json["tested"]["sample"]["first"][0]["order"] == "O-1"
    ran = sw("connection", "shadow", "SHOP", "--json")
    assert ran.code == 0
    assert ran.json["connection"]["shadow"] == {
        "levels": 2, "zeroes": 0, "differing": 1, "not_shown": 0, "changed": 0,
    }  # fmt: skip
    (mug,) = ran.json["levels"]
    assert (mug["listing"], mug["desired"], mug["shown"]) == ("MUG", 9, 3)
    assert sw("connection", "live", "SHOP", "--reason", "checked").code == 0
    now = status(sw).json
    assert (now["stage"], now["missing"], now["next"], now["forced"]) == ("live", [], "", False)


def test_adding_writes_a_revision_and_never_shows_a_secret(sw, shown):
    ran = sells(sw, shown)
    assert "Added SHOP. Nothing is sent" in ran.out
    assert "Next: stockwright connection test SHOP" in ran.out
    assert "t0ken" not in ran.out
    config = sw("config", "show").out
    assert 'token = "env:SHOP_TOKEN"' in config
    assert "[channels.WEB]" in config
    assert 'channel = "WEB"' in config, "its orders belong to the channel"
    assert "connect it" in sw("config", "history").out
    ran = add(sw, shown, token="sw0rdfish")
    assert (ran.code, "systems.SHOP.settings.token" in ran.err) == (2, True)
    assert "sw0rdfish" not in ran.out + ran.err
    ran = sw("connection", "add", "SHOP", "--connector", "json_http", "--set", "sw0rdfish")
    assert (ran.code, "sw0rdfish" in ran.err, "NAME=VALUE" in ran.err) == (2, False, True)


def test_checking_what_is_added_takes_as_long_as_it_takes(sw, shown, database_url, monkeypatch):
    """A transaction that stands still meanwhile would be ended by the database."""

    def checked(new, network, host):
        with psycopg.connect(database_url, autocommit=True) as database:
            database.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where state = 'idle in transaction' and datname = current_database()"
            )
        return edits_of(new, network, host)

    monkeypatch.setattr("stockwright.cli.connection.edits_of", checked)
    ran = sells(sw, shown)
    assert (ran.code, "Added SHOP" in ran.out) == (0, True), ran.err


def test_at_a_terminal_what_is_required_is_asked_for_and_secrets_are_not_shown(
    sw, shown, monkeypatch
):
    typed = iter([shown.url])
    kept = iter(["sw0rdfish", "env:SHOP_TOKEN", "env:SHOP_TOKEN"])
    monkeypatch.setattr("stockwright.cli.connection_given._at_a_terminal", lambda: True)
    monkeypatch.setattr("builtins.input", lambda prompt: next(typed))
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(kept))
    ran = sw("connection", "add", "SHOP", "--connector", "woocommerce")
    assert ran.code == 0, ran.err
    assert "consumer_key: a secret is written as env:NAME or file:PATH" in ran.err
    assert "sw0rdfish" not in ran.out + ran.err
    assert 'consumer_key = "env:SHOP_TOKEN"' in sw("config", "show").out


def test_wrong_credentials_fail_the_step_and_can_be_mended(sw, shown, monkeypatch):
    sells(sw, shown)
    monkeypatch.setenv("SHOP_TOKEN", "stale")
    ran = sw("connection", "test", "SHOP", "--json")
    assert ran.code == 1
    assert steps(ran)["credentials"]["state"] == "failed"
    assert steps(ran)["credentials"]["note"].startswith("token: SHOP answered 401")
    monkeypatch.delenv("SHOP_TOKEN")
    note = steps(sw("connection", "test", "SHOP", "--json"))["credentials"]["note"]
    assert note == ("token: the environment variable SHOP_TOKEN is not set; set it and start again")
    assert (
        "Next: mend token, then stockwright connection test SHOP"
        in sw("connection", "status", "SHOP").out
    )
    monkeypatch.setenv("SHOP_TOKEN", "t0ken")
    assert steps(sw("connection", "test", "SHOP", "--json"))["credentials"]["state"] == "done"


def test_a_partner_that_is_away_says_what_to_do(sw):
    where = ("--set", "base_url=http://127.0.0.1:9", "--channel", "AWAY", "--pool", "MAIN")
    sw("connection", "add", "AWAY", "--connector", "json_http", "--role", "shop", *where)
    note = steps(sw("connection", "test", "AWAY", "--json"))["credentials"]["note"]
    assert "cannot be reached" in note
    assert note.endswith("check the address in its settings, or test it again later")


def test_other_settings_open_what_was_tested(sw, shown, tmp_path):
    ready(sw, shown, tmp_path)
    sw("connection", "test", "SHOP")
    assert steps(status(sw))["credentials"]["state"] == "done"
    add(sw, shown, "--channel", "WEB", "--set", "page_size=5")
    found = steps(status(sw))
    assert found["credentials"]["state"] == "open"
    assert found["credentials"]["note"] == "its settings changed since; test it again"


def test_a_sample_file_shows_its_events_and_the_failing_path(sw, shown, tmp_path):
    sells(sw, shown)
    good = {"type": "order.placed", "data": {"order": "O-7", "occurred_at": "2026-11-26T09:00:00Z",
            "lines": [{"line": "1", "sku": "MUG", "quantity": 2}]}}  # fmt: skip
    bad = {"type": "order.placed", "data": {**good["data"], "lines": [{"line": "1", "sku": "MUG"}]}}
    (tmp_path / "good.json").write_bytes(msgspec.json.encode(good))
    (tmp_path / "bad.json").write_bytes(msgspec.json.encode(bad))
    ran = sw("connection", "test", "SHOP", "--sample", "good.json", "--sample", "bad.json")
    assert ran.code == 1
    assert '"order":"O-7"' in ran.out
    assert "not mapped: message 2, $.data.lines[0].quantity: " in ran.out
    assert "[-] Sample mapped: $.data.lines[0].quantity: " in ran.out


def test_places_of_a_sample_are_written_with_the_items_and_bound_with_them(sw, tmp_path):
    (tmp_path / "in").mkdir()
    sw("connection", "add", "WMS", "--connector", "csv_drop", "--role", "wms", "--set", "inbox=in")
    rows = (("sku", "quantity", "location", "counted_at"),
            ("MUG", "4", "LAGER", "2026-11-26T08:00:00Z"))  # fmt: skip
    wrote(tmp_path / "stock-1.csv", *rows)
    ran = sw("connection", "test", "WMS", "--sample", "stock-1.csv")
    assert "the location 'LAGER', which is not bound yet; bind it to a place of ours" in ran.out
    assert "Next: stockwright connection items WMS --bindings FILE, import it, then " in ran.out
    ran = sw("connection", "items", "WMS", "--bindings", "b.csv")
    assert (ran.code, "unknown place LAGER: it is bound to none of ours" in ran.out) == (1, True)
    written = (tmp_path / "b.csv").read_text()
    assert written.splitlines()[1:] == ["WMS,location,LAGER,,"]
    (tmp_path / "b.csv").write_text(written.replace("LAGER,,", "LAGER,MAIN,"))
    assert sw("import", "bindings", "b.csv").code == 0
    assert "LAGER" not in sw("connection", "items", "WMS").out
    assert "1 message, 1 event" in sw("connection", "test", "WMS", "--sample", "stock-1.csv").out


def test_items_are_matched_again_after_their_codes_are_filled_in(sw, shown, tmp_path):
    for code in ("MUG", "CAP", "HAT"):
        shown.sandbox.show(code, 1)
    sells(sw, shown)
    ran = sw("connection", "test", "SHOP", "--json")
    assert steps(ran)["items"]["state"] == "failed"
    ran = sw("connection", "items", "SHOP", "--bindings", "b.csv", "--listings", "l.csv")
    assert ran.code == 1
    assert "unknown CAP -> CAP: it is bound to no SKU and it is no active listing" in ran.out
    rows = list(csv.DictReader((tmp_path / "b.csv").read_text().splitlines()))
    assert [(row["partner_code"], row["code"]) for row in rows] == [
        ("CAP", "CAP"), ("HAT", ""), ("MUG", "MUG"),
    ]  # fmt: skip
    assert sw("import", "bindings", "b.csv").code == 1, "HAT has no code yet"
    assert sw("import", "listings", "l.csv").code == 1
    ran = sw("connection", "items", "SHOP", "--again", "--json")
    assert {one["code"]: one["state"] for one in ran.json} == {
        "CAP": "matched", "HAT": "unknown", "MUG": "matched",
    }  # fmt: skip
    assert steps(status(sw))["items"]["state"] == "attention"


def test_opening_stock_is_shown_first_then_taken_once_or_left_for_a_reason(
    sw, shown, tmp_path, database_url
):
    shown.sandbox.show("MUG", 40)
    shown.sandbox.show("CAP", 7, "MAIN")
    shown.sandbox.show("HAT", 3, "MAIN")
    assert add(sw, shown, role="wms").code == 0
    bound = wrote(
        tmp_path / "b.csv", ("system", "partner_code", "code"), ("SHOP", "MUG", "MUG"),
        ("SHOP", "CAP", "CAP"),
    )  # fmt: skip
    assert sw("import", "bindings", bound).code == 0
    ran = sw("connection", "test", "SHOP")
    assert "Opening stock would be: 1 count, 7 units at MAIN" in ran.out
    assert "left out MUG : 40, it names no location" in ran.out
    assert "[ ] Opening stock" in ran.out
    take = ("connection", "test", "SHOP", "--take-stock", "--location", "MAIN", "--json")
    ran = sw(*take)
    assert ran.json["taken"]["outcomes"] == {"recorded": 2}
    assert steps(ran)["opening_stock"]["state"] == "done"
    with psycopg.connect(database_url) as db:
        assert db.execute("select sku, sellable from balance order by sku").fetchall() == [
            ("CAP", 7), ("MUG", 40),
        ]  # fmt: skip
    sw(*take)
    with psycopg.connect(database_url) as db:
        assert db.execute("select sum(sellable) from balance").fetchone() == (47,)
    sw("connection", "test", "SHOP", "--without-stock", "counted by hand on Sunday")
    step = steps(status(sw))["opening_stock"]
    assert (step["state"], step["note"]) == ("skipped", "counted by hand on Sunday")


def test_shadow_and_live_are_refused_with_every_reason_and_live_can_be_forced(sw, shown):
    sells(sw, shown)
    ran = sw("connection", "shadow", "SHOP")
    assert (ran.code, "Credentials: not checked yet" in ran.err) == (2, True)
    ran = sw("connection", "live", "SHOP", "--reason", "now")
    assert ran.code == 2
    for step in ("Credentials checked", "Sample mapped", "Items matched", "Shadow compared"):
        assert f"{step}: not done yet" in ran.err
    ran = sw("connection", "live", "SHOP", "--reason", "the old hub is gone", "--force", "--json")
    assert (ran.code, ran.json["stage"], ran.json["forced"]) == (0, "live", True)
    assert len(ran.json["missing"]) == 4
    ran = sw("connection", "add", "SHOP", "--connector", "csv_drop", "--role", "shop")
    assert (ran.code, "SHOP is connected already" in ran.err) == (2, True)


def test_a_connection_of_the_file_is_live_and_others_are_unknown(sw, tmp_path):
    (tmp_path / "stockwright.toml").write_text(
        PLACES + '[systems.OLD]\nrole = "shop"\nconnector = "csv_drop"\n'
    )
    assert sw("connection", "status").out == "OLD: live, shop by csv_drop\n"
    (one,) = sw("connection", "status", "--json").json
    assert (one["stage"], one["by_steps"]) == ("live", False)
    for command in ("test", "items", "shadow", "status"):
        ran = sw("connection", command, "NONE")
        assert (ran.code, "No system 'NONE' has a connector" in ran.err) == (2, True)


def test_a_partner_that_only_takes_goes_live_without_being_forced(sw, tmp_path, database_url):
    (tmp_path / "out").mkdir()
    where = ("--set", f"outbox={tmp_path / 'out'}", "--channel", "OUTLET", "--pool", "MAIN")
    sw("connection", "add", "OUTLET", "--connector", "csv_drop", "--role", "marketplace", *where)
    found = steps(sw("connection", "test", "OUTLET", "--json"))
    assert found["items"]["note"] == "it names no item to us: nothing is to be matched"
    wrote(
        tmp_path / "listings.csv",
        ("channel", "code", "sku", "quantity"),
        ("OUTLET", "MUG", "MUG", "1"),
    )
    assert sw("import", "listings", "listings.csv").code == 0
    stock(database_url, MUG=5)
    assert sw("connection", "shadow", "OUTLET").code == 0
    assert sw("connection", "live", "OUTLET", "--reason", "tested").code == 0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--set", "inbx=/x"), "error: systems.W.settings.inbx is not a setting of the connector"),
        (("--set", "inbox"), "error: set: Give every setting as NAME=VALUE; number 1 is not."),
        (("--role", "wmss"), "'wmss' is not among them."),
        (("--connector", "csv_drp"), "There is no connector 'csv_drp'; did you mean csv_drop?\n"),
    ],
)
def test_what_is_wrong_with_a_new_connection_is_told_once_with_its_field(sw, given, words):
    usual = {"--connector": "csv_drop", "--role": "wms"} | dict([given])
    ran = sw("connection", "add", "W", *(word for pair in usual.items() for word in pair))
    assert (ran.code, words in ran.err) == (2, True), ran.err
    assert "?." not in ran.err


def test_a_connection_that_waits_is_tried_again_at_once(sw, tmp_path, database_url):
    (tmp_path / "stockwright.toml").write_text(
        PLACES + '[systems.OLD]\nrole = "shop"\nconnector = "csv_drop"\n'
    )
    ran = sw("connection", "retry", "OLD", "--reason", "mended")
    assert (ran.code, ran.out) == (
        0,
        "OLD: nothing waits.\n    reading: nobody tries it\n    sending: nobody tries it\n",
    )
    with psycopg.connect(database_url) as db:
        db.execute(
            "insert into poll_cursor (connection, failures, last_error, due_at)"
            " values ('OLD', 9, 'no route', now() + interval '5 minutes')"
        )
    ran = sw("connection", "retry", "OLD", "--reason", "mended", "--author", "ann")
    assert ran.out == (
        "OLD: is tried again at once.\n"
        "    reading: due at once; last error: no route\n"
        "    sending: nobody tries it\n"
    )
    with psycopg.connect(database_url) as db:
        found = db.execute("select due_at <= now() from poll_cursor").fetchall()
        logged = db.execute(
            "select actor, detail ->> 'why' from change_log where action = 'connection.retry'"
        ).fetchall()
    assert (found, logged) == ([(True,)], [("cli ann", "mended")])
    assert sw("connection", "retry", "NONE", "--reason", "mended").code == 2


def test_what_a_test_and_a_shadow_ask_is_taken_from_the_budget_that_all_share(
    sw, shown, tmp_path, database_url
):
    def left():
        with psycopg.connect(database_url) as db:
            return db.execute("select round(tokens) from connection_state").fetchone()[0]

    ready(sw, shown, tmp_path)
    plan = ("--set", "calls_per_s=0.001", "--set", "burst=50")
    assert add(sw, shown, "--channel", "WEB", *plan).code == 0
    sw("connection", "test", "SHOP")
    tested = left()
    assert tested == 48, "it told what it shows, and was read"
    assert sw("connection", "shadow", "SHOP", "--json").code in (0, 1)
    assert left() == 47


def test_what_keeps_a_live_connection_from_working_is_in_its_status_with_the_next_step(
    sw, shown, tmp_path, database_url
):
    sells(sw, shown)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("update connecting set stage = 'live'")
        connection.execute(
            "insert into poll_cursor (connection, failures, last_error, last_error_at, due_at)"
            " values ('SHOP', 7, 'SHOP answered 503', now(), now() + interval '1 minute')"
        )
    lines = sw("connection", "status", "SHOP").out.splitlines()
    assert any(
        one.startswith("It cannot be read (7 times): SHOP answered 503; tried") for one in lines
    )
    assert "Once that is mended: stockwright connection retry SHOP --reason WHY" in lines
    assert "; cannot be read: SHOP answered 503" in sw("connection", "status").out
