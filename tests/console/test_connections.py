"""The console's pages about connections: a partner is connected with forms alone."""

import re
from importlib.metadata import EntryPoint

import psycopg
import pytest

from stockwright.config import connectors
from stockwright.config.asking import ABOUT
from stockwright.connectors.json_http import Sandbox
from tests.cli.partners import played
from tests.console.people import Browser, add_user, signed_in
from tests.console.seeding import Seed

pytestmark = pytest.mark.usefixtures("cheap_passwords")


@pytest.fixture(scope="module")
def shop():
    with played(Sandbox()) as partner:
        partner.sandbox.show("MUG", 4)
        partner.do(partner.sandbox.sell("O-1", [("MUG", 1)]))
        yield partner


@pytest.fixture
def seed(database_url):
    """A place and a SKU."""
    seed = Seed(database_url)
    seed._run("insert into location (code) values ('MAIN')")
    seed._run("insert into sku (code) values ('MUG')")
    yield seed
    seed.close()


def words(answer):
    return " ".join(re.sub(r"<[^>]+>", " ", answer.text).split())


def form(shop, **more):
    given = {
        "connector": "json_http", "system": "SHOP", "role": "shop", "channel": "WEB",
        "pool": "MAIN", "set.base_url": shop.url,
    }  # fmt: skip
    return given | {name.replace("__", "."): value for name, value in more.items()}


def test_a_package_that_is_broken_takes_nobody_the_form(console, monkeypatch):
    broken = EntryPoint("acme_shop", "no_such_package:CONNECTOR", connectors.ENTRY_POINTS)
    monkeypatch.setattr(connectors, "_others", lambda: {broken.name: broken})
    browser = Browser(console)
    listed = browser.get("/connection-new")
    assert (listed.status, "acme_shop" in listed.text, "csv_drop" in listed.text) == (
        200, False, True,
    )  # fmt: skip
    assert 'name="set.base_url"' in browser.get("/connection-new?connector=woocommerce").text


def test_a_shop_is_connected_with_forms(console, seed, shop):
    browser = Browser(console)
    assert "json_http" in browser.get("/connection-new").text
    empty = browser.get("/connection-new?connector=json_http").text
    assert ('name="set.base_url"' in empty, "Asked(" in empty) == (True, False)
    files = browser.get("/connection-new?connector=csv_drop").text
    assert 'name="set.inbox"' in files.split("More settings")[0]
    answer = browser.post("/connection-new", form(shop))
    assert (answer.status, answer.headers["location"]) == (303, "/connections/SHOP")

    def act(action, **fields):
        return browser.post("/connections/act", {"system": "SHOP", "action": action, **fields})

    refused = act("live", why="now")
    assert refused.status == 400
    assert "Credentials checked: not done yet" in words(refused)
    assert act("test").status == 303
    page = words(browser.get("/connections/SHOP"))
    assert "SHOP told what it shows and was read" in page
    assert "MUG unknown it is bound to no SKU and it is no active listing of WEB" in page
    assert 'value="MUG"' in browser.get("/connections/SHOP").text
    wrong = act("assign", code="MUG", sku="MUGG")
    assert wrong.status == 400
    assert "MUG: there is no SKU MUGG" in words(wrong)
    none = act("assign", code="MUG", sku=" ")
    assert "Write our SKU beside at least one item" in words(none)
    assert act("assign", code="MUG", sku="MUG").status == 303
    assert "1 matched, 0 unknown" in words(browser.get("/connections/SHOP"))
    seed._run("insert into balance (sku, location, sellable) values ('MUG', 'MAIN', 9)")
    seed._run("insert into dirty (sku, sequence) values ('MUG', 0)")
    assert act("match").status == 303
    assert act("shadow", why="a first look").status == 303
    page = words(browser.get("/connections/SHOP"))
    assert "1 level would be sent: 1 differ, 0 it does not show" in page
    assert "MUG WEB 9 3 +6" in page
    assert "paused" in words(browser.get("/publications"))
    assert act("live", why="the difference is explained").status == 303
    twin = browser.get("/connections/SHOP.json").json
    assert (twin["connection"]["stage"], twin["connection"]["missing"]) == ("live", [])
    assert twin["connection"]["by"] == "user demo" or twin["connection"]["by"]
    assert words(browser.get("/connections")).count("SHOP") == 1
    (one,) = browser.get("/connections.json").json["connections"]
    assert one["system"] == "SHOP"


def test_a_warehouse_whose_places_have_other_names_is_connected_with_forms(console, seed, tmp_path):
    seed._run("insert into system (code, role, connector, settings) values"
              " ('WMS', 'wms', 'csv_drop', jsonb_build_object('inbox', %s::text))",
              str(tmp_path))  # fmt: skip
    browser = Browser(console)

    def act(action, **fields):
        return browser.post("/connections/act", {"system": "WMS", "action": action, **fields})

    text = "sku,quantity,location,counted_at\nMUG,4,LAGER,2026-11-26T08:00:00Z\n"
    sample = {"sample": text, "file": "stock-1.csv"}
    assert act("test", **sample).status == 303
    assert "Places that wait 1" in words(browser.get("/connections/WMS"))
    wrong = act("bind_places", place="LAGER", location="MIAN")
    assert (wrong.status, "LAGER: there is no location MIAN" in words(wrong)) == (400, True)
    assert "Write our place beside" in words(act("bind_places", place="LAGER", location=" "))
    assert act("bind_places", place="LAGER", location="MAIN").status == 303
    page = browser.get("/connections/WMS")
    assert "Places that wait" not in words(page)
    assert act("test", **sample).status == 303
    assert "1 message: 1 count" in words(browser.get("/connections/WMS"))


def test_more_figures_than_a_page_adds_up_are_counted(console, seed, monkeypatch):
    monkeypatch.setattr("stockwright.console.connections.SUMMED_UP", 1)
    seed._run("insert into system (code, role, connector) values ('WMS', 'wms', 'json_http')")
    for code in "AB":
        seed._run(
            "insert into partner_item (system, code, state) values ('WMS', %s, 'matched')", code
        )
        seed._run("insert into partner_shown (system, code, location, quantity, as_of)"
                  " values ('WMS', %s, 'MAIN', 5, now())", code)  # fmt: skip
    page = words(console.get("/connections/WMS"))
    assert "2 figures, as of" in page
    assert console.get("/connections/WMS.json").json["opening"] is None
    monkeypatch.setattr("stockwright.console.connections.SUMMED_UP", 2)
    assert "2 counts, 10 units at MAIN" in words(console.get("/connections/WMS"))


def test_all_that_the_file_says_of_a_system_can_be_said_in_the_form(
    console, seed, shop, database_url
):
    told = {
        "owner": "web team", "latency_budget_s": "2.5", "criticality": "high",
        "clock_error_s": "1.5", "heartbeat_s": "60.0", "time_zone": "Europe/Berlin",
        "snapshot_basis": "net", "revisions": "cumulative",
    }  # fmt: skip
    assert tuple(told) == ABOUT
    browser = Browser(console)
    empty = browser.get("/connection-new?connector=json_http").text
    assert all(f'name="{name}"' in empty for name in ABOUT)
    refused = browser.post("/connection-new", form(shop, **told | {"heartbeat_s": "soon"}))
    assert "systems.SHOP.heartbeat_s" in words(refused)
    assert 'value="soon"' in refused.text
    assert '<option value="high" selected>' in refused.text
    assert browser.post("/connection-new", form(shop, **told)).status == 303
    with psycopg.connect(database_url) as database:
        asked = f"select {', '.join(ABOUT)} from system where code = 'SHOP'"
        found = database.execute(asked).fetchone()
    assert [str(one) for one in found] == list(told.values())


@pytest.mark.usefixtures("seed")
def test_what_is_wrong_stays_in_the_form_but_never_a_secret(console, shop):
    answer = Browser(console).post("/connection-new", form(shop, set__token="sw0rdfish"))
    assert answer.status == 400
    assert "systems.SHOP.settings.token holds a secret as itself" in words(answer)
    assert "sw0rdfish" not in answer.text
    assert f'value="{shop.url}"' in answer.text


@pytest.mark.usefixtures("seed")
def test_operators_take_steps_and_admins_add_and_force(locked_console, database_url, shop):
    for name, role in (("vic", "viewer"), ("olga", "operator"), ("ada", "admin")):
        add_user(database_url, name, role)
    admin, operator = signed_in(locked_console, "ada"), signed_in(locked_console, "olga")
    viewer = signed_in(locked_console, "vic")
    assert operator.get("/connection-new").status == 403
    assert admin.post("/connection-new", form(shop)).status == 303
    step = {"system": "SHOP", "action": "live", "why": "now", "force": "1"}
    assert viewer.get("/connections/SHOP").status == 200
    assert "<form" not in viewer.get("/connections/SHOP").text.split("<main")[1]
    assert viewer.post("/connections/act", step).status == 403
    assert operator.post("/connections/act", step).status == 403
    assigned = {"system": "SHOP", "action": "assign", "code": "MUG", "sku": "MUG"}
    assert viewer.post("/connections/act", assigned).status == 403
    assert admin.post("/connections/act", step).status == 303
    twin = admin.get("/connections/SHOP.json").json["connection"]
    assert (twin["by"], twin["forced"]) == ("user ada", True)
    assert len(twin["missing"]) == 4


def test_a_connection_that_waits_is_tried_again_with_a_button(locked_console, database_url, seed):
    for name, role in (("vic", "viewer"), ("olga", "operator")):
        add_user(database_url, name, role)
    seed._run("insert into system (code, role, connector) values ('WMS', 'wms', 'json_http')")
    seed._run("insert into poll_cursor (connection, failures, last_error, due_at) values"
              " ('WMS', 9, 'no route to the warehouse', now() + interval '5 minutes')")  # fmt: skip
    viewer, operator = signed_in(locked_console, "vic"), signed_in(locked_console, "olga")
    page = words(operator.get("/connections/WMS"))
    assert "Try it again at once Reading waits until" in page
    assert "no route to the warehouse Sending nobody tries it" in page
    step = {"system": "WMS", "action": "retry", "why": "mended"}
    assert viewer.post("/connections/act", step).status == 403
    assert operator.post("/connections/act", step | {"why": ""}).status == 400
    assert operator.post("/connections/act", step).status == 303
    turns = operator.get("/connections/WMS.json").json["turns"]
    assert (turns["reading"]["state"], turns["sending"]["state"]) == ("due", "none")
    assert "Reading as soon as there is something to do" in words(operator.get("/connections/WMS"))


@pytest.mark.parametrize(
    ("path", "status"),
    [("/connections/none", 404), ("/connections/none.json", 404), ("/connection", 404),
     ("/connection?system=a%00b", 400), ("/connection-new?connector=none", 400)],
)  # fmt: skip
def test_what_is_not_there_is_told(console, path, status):
    assert console.get(path).status == status


def test_without_a_connection_the_page_says_how_to_add_one(console):
    assert "stockwright connection add" in console.get("/connections").text


@pytest.mark.usefixtures("seed")
def test_the_form_names_no_file_of_the_machine(console, shop):
    answer = Browser(console).post("/connection-new", form(shop, set__token="file:/etc/passwd"))
    assert answer.status == 400
    assert "systems.SHOP.settings.token names a file of the machine" in words(answer)
    assert "connections.secret_folders" in words(answer)


def test_a_connection_that_cannot_be_read_says_why_and_when_it_is_tried_again(console, seed, shop):
    browser = Browser(console)
    assert browser.post("/connection-new", form(shop)).status == 303
    seed._run("update connecting set stage = 'live'")
    assert "cannot be read" not in words(browser.get("/connections"))
    seed._run(
        "insert into poll_cursor (connection, failures, last_error, last_error_at, due_at)"
        " values ('SHOP', 7, 'SHOP <is> away', now(), now() + interval '1 minute')"
    )
    assert "cannot be read: SHOP &lt;is&gt; away" in words(browser.get("/connections"))
    shown = words(browser.get("/connections/SHOP"))
    assert "It cannot be read: SHOP &lt;is&gt; away" in shown
    assert "7 times in a row, tried again at " in shown


def test_the_list_says_why_the_next_step_of_a_connection_failed(console, seed, shop):
    browser = Browser(console)
    away = form(shop, set__base_url="http://127.0.0.1:9")
    assert browser.post("/connection-new", away).status == 303
    browser.post("/connections/act", {"system": "SHOP", "action": "test"})
    shown = words(browser.get("/connections"))
    assert re.search(r"Credentials checked http://127\.0\.0\.1:9/\S* cannot be reached", shown)
