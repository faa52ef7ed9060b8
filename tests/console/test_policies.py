"""The channels' rules: shown, tried and applied in the console."""

import html
import json
import re
import time
from typing import Any

import pytest

from stockwright.domain.events import Fact
from stockwright.domain.items import Sku
from stockwright.domain.network import ExposurePolicy
from stockwright.domain.policy_words import FIELDS
from stockwright.flow import configuring, trying
from stockwright.flow.preview import preview
from stockwright.flow.recording import Recorder
from stockwright.store import policy_trials
from stockwright.store.access import list_changes
from stockwright.store.connection import Pool, connect
from stockwright.store.history import Said
from stockwright.store.master import save_one
from stockwright.store.network import read_network
from tests.console.people import Browser, add_user, signed_in
from tests.console.seeding import Seed
from tests.console.serving import Served
from tests.proof.stage import pass_by

pytestmark = pytest.mark.usefixtures("cheap_passwords")

HOSTILE = '<script>alert("x")</script>'


def shops(seed: Seed) -> None:
    """Two channels on one place: 10, 20, 30 of A, B, C, A and B are mugs."""
    seed.location("MAIN")
    for system, role in (("WMS", "wms"), ("TILL", "pos"), ("WEB", "shop"), ("EBAY", "marketplace")):
        seed.system(system, role, connector="")
    for channel in ("WEB", "EBAY"):
        seed.channel(channel, channel, "MAIN")
    for n, (sku, group) in enumerate((("A", "mugs"), ("B", "mugs"), ("C", "")), start=1):
        seed.sku(sku, group=group)
        seed.balance(sku, "MAIN", sellable=10 * n)
        for channel in ("WEB", "EBAY"):
            seed.listing(channel, sku, sku)
    seed.listing("EBAY", "C-PAIR", "C", 2)


def put_rules(seed: Seed, channel: str, *rules: dict[str, Any], reason: str = "as agreed") -> int:
    """Rules as an API's caller applies them; the revision."""
    with connect(seed.connection.info.dsn) as connection:
        return apply_rules(connection, channel, *rules, reason=reason)


def apply_rules(connection, channel: str, *rules: dict[str, Any], reason: str) -> int:
    network = read_network(connection)
    found = trying.channel_of(network, channel)
    policies = tuple(ExposurePolicy(**rule) for rule in rules)
    edits = type(network)(channels=(type(found)(**{**_fields(found), "policies": policies}),))
    said = Said(actor="key planner", source="api", reason=reason)
    made = configuring.apply_edits(connection, edits, said).revision
    assert made is not None
    return made


def _fields(channel) -> dict[str, Any]:
    return {name: getattr(channel, name) for name in channel.__struct_fields__}


def typed(revision: int, *rules: dict[str, Any], **more: str) -> dict[str, str]:
    """The form as a browser sends it, with what was typed into some of its fields."""
    form = {"revision": str(revision), "rules": str(len(rules)), "do": "preview"}
    for place, rule in enumerate(rules, start=1):
        for name, field in FIELDS.items():
            form[f"{place}.{name}"] = str(rule.get(name, field.default))
    return {**form, **more}


def revision_of(browser: Browser) -> int:
    return int(browser.get("/policies.json").json["revision"])


def try_out(browser: Browser, channel: str, *rules: dict[str, Any], revision: int | None = None):
    """Begins a trial; its address and its twin once the preview is there."""
    planned = revision_of(browser) if revision is None else revision
    answer = browser.post(f"/policies/{channel}", typed(planned, *rules))
    assert answer.status == 303, answer.text
    address = answer.headers["location"]
    return address, done(browser, address, "preview")


def done(browser: Browser, address: str, kind: str) -> Any:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = browser.get(f"{address}.json").json
        if found[f"{kind}_run"]["state"] not in ("waiting", "running"):
            return found
        time.sleep(0.05)
    raise AssertionError(f"{address} is still computed")


def words(text: str) -> str:
    return html.unescape(" ".join(re.sub(r"<[^>]+>", " ", text).split()))


def values(text: str) -> dict[str, str]:
    """What stands in the fields of a page's form, by name."""
    found = re.findall(r'<input id="([^"]+)" name="[^"]+" value="([^"]*)"', text)
    return {name: html.unescape(value) for name, value in found}


def test_without_channels_the_page_says_what_will_be_there(console: Served):
    assert 'class="empty"' in console.get("/policies").text
    assert console.get("/policies.json").json["channels"] == []
    assert console.get("/policies/WEB").status == 404
    assert console.get("/policies/WEB.json").status == 404
    assert console.get("/policy").headers["location"] == "/policies"


def test_every_rule_says_what_it_does_what_it_decides_and_who_made_it_so(
    seed: Seed, console: Served
):
    shops(seed)
    made = put_rules(
        seed, "EBAY", {"sku": "A", "cap": 3}, {"sku_group": "mugs", "buffer": 2}, {"safety": 1},
        reason="spring sale",
    )  # fmt: skip
    found = console.get("/policies.json").json
    by_code = {channel["code"]: channel for channel in found["channels"]}
    ebay = by_code["EBAY"]
    assert [rule["says"] for rule in ebay["rules"]] == [
        "SKU A: never more than 3 pieces are shown.",
        "SKUs of the group mugs: 2 units are held back against sales that we learn of late.",
        "All SKUs: 1 is held back from what is shown.",
    ]
    assert [rule["reach"] for rule in ebay["rules"]] == [[1, 1], [1, 1], [1, 2]]
    assert by_code["WEB"]["rules"] == []
    assert by_code["WEB"]["unmatched"] == [3, 3]
    assert (found["revision"], ebay["rules"][0]["made"]["revision"]) == (made, made)
    assert ebay["rules"][0]["made"]["reason"] == "spring sale"
    page = console.get("/policies").text
    for rule in ebay["rules"]:
        assert rule["says"] in words(page)
    assert "by key planner (api): spring sale" in words(page)
    assert "decides 1 SKU on 2 listings" in words(page)
    assert "No rule matches 3 SKUs on 3 listings" in words(page)
    assert words(page).count("Buffer risk") == 3, "every field of each rule"


def test_what_rules_decide_follows_every_change_of_items_and_rules(seed: Seed, console: Served):
    shops(seed)

    def reaches() -> list[list[int]]:
        (web,) = [c for c in console.get("/policies.json").json["channels"] if c["code"] == "WEB"]
        return [rule["reach"] for rule in web["rules"]]

    put_rules(seed, "WEB", {"sku_group": "mugs", "safety": 1})
    assert reaches() == reaches() == [[2, 2]]
    with connect(seed.connection.info.dsn) as connection:
        save_one(connection, "skus", Sku(code="C", sku_group="mugs"))
    assert reaches() == [[3, 3]]
    put_rules(seed, "WEB", {"sku": "A"}, {"sku_group": "mugs", "safety": 1})
    assert reaches() == [[1, 1], [2, 2]]


def test_kits_count_with_their_parts_and_what_is_not_sold_counts_not(seed: Seed, console: Served):
    shops(seed)
    seed.sku("SET", group="sets")
    seed._run("insert into kit (sku, component, quantity) values ('SET', 'A', 1), ('SET', 'C', 2)")
    seed.listing("WEB", "SET", "SET")
    seed._run("update listing set active = false where channel = 'WEB' and code <> 'SET'")
    put_rules(seed, "WEB", {"sku_group": "mugs", "safety": 1}, {"sku_group": "sets", "cap": 1})
    (web,) = [c for c in console.get("/policies.json").json["channels"] if c["code"] == "WEB"]
    assert [rule["reach"] for rule in web["rules"]] == [[1, 1], [1, 1]]
    assert web["unmatched"] == [1, 1]


def test_windows_buffers_and_silent_sources_in_force_are_shown(seed: Seed, console: Served):
    shops(seed)
    put_rules(seed, "EBAY", {"buffer_risk": 0.01})
    seed._run(
        "insert into blind_window (channel, source, valid_from, seconds, why) values"
        " ('EBAY', '', now(), 90, 'p99 of 12'), ('EBAY', 'WEB', now(), 600, 'WEB is slow')"
    )
    seed._run(
        "insert into degraded (system, silent_since, reason)"
        " values ('WEB', now() - interval '5 minutes', 'WEB is silent: no heartbeat within 60 s')"
    )
    inputs = {
        "risk": 0.01, "chance": 0.004, "elsewhere_per_day": 3.5, "own_per_day": 1.0, "seen": 20.0,
        "busy": 1.0, "window_s": 690.0, "why_window": "90 s to tell EBAY", "most": None,
    }  # fmt: skip
    seed._run(
        "insert into buffer_now (channel, sku, units, inputs, computed_at)"
        " values ('EBAY', 'B', 4, %s, now())",
        json.dumps(inputs),
    )
    page = words(console.get("/policies").text)
    assert "WEB is silent: no heartbeat within 60 s, since 5 min ago" in page
    assert "shows an old number for 90 s" in page
    assert "learns of sales elsewhere after up to 10 min (WEB)" in page
    assert "risk buffers hold 4 units of 1 SKU back" in page
    one = console.get("/policies/EBAY")
    assert "3.50 lines a day from elsewhere" in words(one.text)
    found = console.get("/policies/EBAY.json").json
    assert found["channel"]["silent"] == "WEB is silent: no heartbeat within 60 s"
    assert [buffer["units"] for buffer in found["largest_buffers"]] == [4]
    assert [window["source"] for window in found["channel"]["sources"]] == ["WEB"]


def test_a_rule_is_tried_explained_and_applied(seed: Seed, console: Served, database_url: str):
    shops(seed)
    put_rules(seed, "EBAY", {"safety": 2})
    browser = Browser(console)
    address, found = try_out(browser, "EBAY", {"sku_group": "mugs", "cap": 4}, {"safety": 2})
    effects = found["preview"]
    assert (effects["examined"], effects["changed"]) == (4, 2)
    assert (effects["raised"], effects["lowered"]) == (0, 4 + 14)
    assert [(one["listing"], one["now"], one["then"]) for one in effects["items"]] == [
        ("B", 18, 4), ("A", 8, 4),
    ]  # fmt: skip
    assert revision_of(browser) == found["trial"]["revision"], "a trial changes nothing"
    page = browser.get(address).text
    (first, *_) = re.findall(r'data-why data-open href="([^"]+)"', page)
    why = words(browser.get(html.unescape(first)).text)
    assert "18 would become 4" in why
    assert "cap" in why
    assert browser.post(address, {"do": "apply", "reason": " "}).status == 400
    assert revision_of(browser) == found["trial"]["revision"]
    answer = browser.post(address, {"do": "apply", "reason": "mugs run short"})
    assert (answer.status, answer.headers["location"]) == (303, address)
    (rule, general) = browser.get("/policies/EBAY.json").json["channel"]["rules"]
    assert (rule["policy"]["cap"], general["policy"]["safety"]) == (4, 2)
    made = rule["made"]
    assert (made["actor"], made["source"], made["reason"]) == ("demo", "console", "mugs run short")
    assert f"In force as revision {made['revision']}" in words(browser.get(address).text)
    with connect(database_url) as connection:
        (logged, *_) = list_changes(connection)
    assert (logged.actor, logged.action) == ("demo", "config.apply")
    assert logged.detail["reason"] == "mugs run short"
    # A second click finds it done.
    assert browser.post(address, {"do": "apply", "reason": "again"}).status == 303
    assert revision_of(browser) == made["revision"]


def test_levels_of_what_an_applied_rule_touches_are_computed_again(seed: Seed, console: Served):
    shops(seed)
    address, _ = try_out(Browser(console), "WEB", {"cap": 1})
    seed._run("delete from dirty")
    assert Browser(console).post(address, {"do": "apply", "reason": "less"}).status == 303
    marked = seed.connection.execute("select distinct sku from dirty order by sku").fetchall()
    assert marked == [("A",), ("B",), ("C",)]


@pytest.mark.parametrize(
    ("field", "text", "says"),
    [
        ("sku", "AA", "SKU is not in the item master; did you mean A?"),
        ("sku", "nothing like it", "SKU is not in the item master; look it up"),
        (
            "sku_group",
            "mug",
            "SKU group is the group of no SKU in the item master; did you mean mugs?",
        ),
        ("sku", "x" * 300, "is longer than 128 characters"),
        ("sku", HOSTILE, "SKU is not in the item master"),
        ("safety", "-1", "is out of range; give a whole number, 0 to"),
        ("safety", "9" * 29, "is out of range; give a whole number, 0 to"),
        ("safety", "9" * 200, "is text; give a whole number, 0 to"),
        ("safety", "1,000", "is text; give a whole number, 0 to"),
        ("safety", "2.5", "is text; give a whole number, 0 to"),
        ("safety", "٣", "is text; give a whole number, 0 to"),
        ("pack_size", "0", "is out of range; give a whole number, 1 to"),
        ("buffer_percent", "100.5", "is out of range; give a number, 0 to 100"),
        ("buffer_percent", "5,5", "is text; give a number, 0 to 100"),
        ("buffer_percent", "nan", "is text; give a number, 0 to 100"),
        ("buffer_percent", "1e2", "is text; give a number, 0 to 100"),
        ("buffer_risk", "1", "is out of range; give a number above 0 and below 1"),
        ("buffer_risk", "0", "is out of range; give a number above 0 and below 1"),
        ("ring_fence_mode", "forever", "is not one of consumed, standing"),
        ("cap", "many", "is text; give a whole number"),
    ],
)
def test_what_is_wrong_stands_beside_its_field_and_all_that_was_typed_is_kept(
    seed: Seed, console: Served, field: str, text: str, says: str
):
    shops(seed)
    browser = Browser(console)
    wrong = {"buffer": "7", "cap": "5", field: text}
    answer = browser.post("/policies/EBAY", typed(0, wrong, {"safety": "3"}))
    assert answer.status == 400
    assert HOSTILE not in answer.text
    (told,) = re.findall(rf'id="1\.{field}-says"><b class="error">(.*?)</b>', answer.text)
    assert html.unescape(told).startswith(f"{FIELDS[field].label} ")
    assert says in html.unescape(told)
    assert len(re.findall('aria-invalid="true"', answer.text)) == 1
    shown = values(answer.text)
    assert shown["2.safety"] == "3"
    assert shown["1.buffer"] == "7"
    if FIELDS[field].kind != "choice":
        assert shown[f"1.{field}"] == text[:256]
    assert "One thing is not right yet" in words(answer.text)
    assert browser.get("/policies/EBAY.json").json["trials"] == []


def test_a_group_and_a_sku_that_stand_in_a_rule_already_do_not_block_the_others(
    seed: Seed, console: Served
):
    shops(seed)
    revision = put_rules(seed, "WEB", {"sku": "LATER", "safety": 1}, {"sku_group": "late"})
    browser = Browser(console)
    rules = ({"sku": "LATER", "safety": 1}, {"sku_group": "late"}, {"safety": "2"})
    _, found = try_out(browser, "WEB", *rules, revision=revision)
    assert found["preview"]["changed"] == 3


def test_odd_rules_are_tried_and_noted(seed: Seed, console: Served):
    shops(seed)
    browser = Browser(console)
    address, found = try_out(browser, "WEB", {"buffer_most": "5"}, {"sku": "A", "safety": "1"})
    assert found["notes"] == [
        "Rule 1: buffer most has no effect without buffer_risk; give buffer_risk, or remove it",
        "Rule 2 is never reached: rule 1 matches before it; put the general policy last",
    ]
    assert found["notes"][0] in words(browser.get(address).text)


def test_rules_are_moved_added_and_removed_without_scripts(seed: Seed, console: Served):
    shops(seed)
    browser = Browser(console)
    rules = ({"sku": "A", "safety": "1"}, {"sku": "B", "safety": "oops"}, {"cap": "9"})

    def press(do: str) -> dict[str, str]:
        answer = browser.post("/policies/WEB", typed(0, *rules, do=do))
        assert answer.status == 200
        found = values(answer.text)
        count = re.search(r'name="rules" value="(\d+)"', answer.text)
        assert count is not None
        return {
            "order": ",".join(found[f"{n}.sku"] for n in range(1, int(count[1]) + 1)),
            "text": answer.text,
        }

    assert press("up-2")["order"] == "B,A,"
    assert press("up-1")["order"] == "A,B,"
    assert press("down-1")["order"] == "B,A,"
    assert press("down-3")["order"] == "A,B,"
    assert press("remove-2")["order"] == "A,"
    assert press("add")["order"] == "A,B,,", "before the rule that matches every SKU"
    assert 'value="oops"' in press("up-3")["text"]
    for do in ("up-4", "up-0", "remove-", "explode", "", "up-1; drop"):
        assert browser.post("/policies/WEB", typed(0, *rules, do=do)).status == 400
    assert browser.get("/policies/WEB.json").json["channel"]["rules"] == []


@pytest.mark.parametrize(
    "broken",
    [{"rules": "101"}, {"rules": "-1"}, {"rules": "x"}, {"revision": "soon"}, {"revision": ""}],
)
def test_a_form_that_is_not_ours_is_refused(seed: Seed, console: Served, broken: dict[str, str]):
    shops(seed)
    answer = Browser(console).post("/policies/WEB", {**typed(0, {"cap": "1"}), **broken})
    assert answer.status == 400


def test_a_stale_form_is_answered_outdated_and_loses_nothing(seed: Seed, console: Served):
    shops(seed)
    first = put_rules(seed, "EBAY", {"safety": 1})
    browser = Browser(console)
    address, _ = try_out(browser, "EBAY", {"safety": "4"}, revision=first)
    second = put_rules(seed, "EBAY", {"safety": 2}, reason="the carrier is late")
    reason = "four were too few"
    answer = browser.post(address, {"do": "apply", "reason": reason})
    assert answer.status == 409
    told = words(answer.text)
    assert f"The configuration is at revision {second} by now" in told
    assert "the carrier is late" in told
    assert reason in told
    assert "All SKUs: 4 are held back from what is shown." in told
    assert [
        c["policy"]["safety"] for c in browser.get("/policies/EBAY.json").json["channel"]["rules"]
    ] == [2]
    anew = browser.post(address, {"do": "plan-anew", "reason": reason})
    found = done(browser, anew.headers["location"], "preview")
    assert (found["trial"]["revision"], found["trial"]["reason"]) == (second, reason)
    assert found["outdated"] is False
    (difference,) = found["differences"]
    assert (difference["database"], difference["wanted"]) == (2, 4)
    assert browser.post(anew.headers["location"], {"do": "apply", "reason": reason}).status == 303
    rules = browser.get("/policies/EBAY.json").json["channel"]["rules"]
    assert [rule["policy"]["safety"] for rule in rules] == [4]
    # A form that was open all the time says so as soon as it is tried.
    late, found = try_out(browser, "EBAY", {"safety": "9"}, revision=first)
    assert found["outdated"] is True
    assert browser.post(late, {"do": "apply", "reason": "x"}).status == 409


def test_earlier_rules_fill_in_the_form_and_are_applied_again(seed: Seed, console: Served):
    shops(seed)
    first = put_rules(seed, "EBAY", {"sku": "A", "cap": 3}, {"safety": 1}, reason="to begin with")
    put_rules(seed, "EBAY", {"safety": 50}, reason="a slip")
    put_rules(seed, "WEB", {"safety": 7})
    browser = Browser(console)
    page = browser.get("/policies/EBAY").text
    assert "a slip" in words(page)
    assert "Rule 2 is gone: All SKUs: 1 is held back from what is shown." in words(page)
    assert f'href="/policies/EBAY?from={first}"' in page
    form = browser.get(f"/policies/EBAY?from={first}").text
    shown = values(form)
    assert (shown["1.sku"], shown["1.cap"], shown["2.safety"]) == ("A", "3", "1")
    assert f"the rules as of revision {first}" in words(form)
    address, _ = try_out(browser, "EBAY", {"sku": "A", "cap": "3"}, {"safety": "1"})
    assert browser.post(address, {"do": "apply", "reason": "as before"}).status == 303
    rules = browser.get("/policies/EBAY.json").json["channel"]["rules"]
    assert [(rule["policy"]["sku"], rule["policy"]["safety"]) for rule in rules] == [
        ("A", 0),
        (None, 1),
    ]
    (web,) = browser.get("/policies/WEB.json").json["channel"]["rules"]
    assert web["policy"]["safety"] == 7, "only this channel went back"
    for query in ("from=x", "from=-1", "trial=99", "trial=x"):
        assert browser.get(f"/policies/EBAY?{query}").status in (400, 404)


def test_rules_in_force_are_nothing_to_apply(seed: Seed, console: Served):
    shops(seed)
    revision = put_rules(seed, "WEB", {"safety": 3})
    browser = Browser(console)
    address, found = try_out(browser, "WEB", {"safety": "3"}, revision=revision)
    assert found["differences"] == []
    assert "nothing would change" in words(browser.get(address).text)
    answer = browser.post(address, {"do": "apply", "reason": "no change"})
    assert answer.status == 400
    assert revision_of(browser) == revision


def _receipt(sku: str, units: int) -> Fact:
    return Fact(
        kind="receipt", system="WMS", document="GR", sku=sku, quantity=units, location="MAIN"
    )


def _till_sale(sku: str, units: int) -> Fact:
    return Fact(
        kind="pos_sale", system="TILL", document="T", sku=sku, quantity=units, location="MAIN"
    )


def _order(sku: str, units: int) -> Fact:
    return Fact(
        kind="channel_order", system="WEB", channel="WEB", document="O", order="O", line="1",
        sku=sku, quantity=units,
    )  # fmt: skip


def test_the_last_month_is_played_under_the_rules(seed: Seed, console: Served, database_url: str):
    """A till sells while the shop shows an old number; the shop sells what is gone."""
    shops(seed)
    seed._run("insert into sku (code) values ('D')")
    seed.listing("WEB", "D", "D")
    with Recorder(database_url) as recorder:
        recorder.submit([_receipt("D", 20)]).result(60)
        seed.sequence = 1
        seed.change("WEB", "D", 20, -1)
        seed.attempt("WEB", "D", 20, int(seed.ago(-1).timestamp() * 1000), latency_s=0.01)
        pass_by(recorder, seed.ago(-1.1))
        recorder.submit([_till_sale("D", 17), _order("D", 5)]).result(60)
    browser = Browser(console)
    address, _ = try_out(browser, "WEB", {"sku": "D", "buffer": "17"})
    assert "Play the last month" in browser.get(address).text
    assert browser.post(address, {"do": "replay"}).status == 303
    (one,) = done(browser, address, "replay")["replay"]["channels"]
    result = one["result"]
    assert (one["skus"], result["oversold"], result["oversold_then"]) == (1, 2, 0)
    page = words(browser.get(address).text)
    assert "Oversells avoided 2 of 2 units oversold; 0 would remain" in page
    assert "Sales withheld 0 units" in page


def test_only_admins_change_rules_and_all_see_them(
    seed: Seed, locked_console: Served, database_url: str
):
    shops(seed)
    put_rules(seed, "EBAY", {"safety": 1})
    for name, role in (("ada", "admin"), ("olga", "operator"), ("vera", "viewer")):
        add_user(database_url, name, role)
    admin = signed_in(locked_console, "ada")
    address, _ = try_out(admin, "EBAY", {"safety": "5"})
    for name in ("olga", "vera"):
        browser = signed_in(locked_console, name)
        page = browser.get("/policies/EBAY")
        assert page.status == 200
        assert "Only admins change rules" in page.text
        assert 'name="1.safety"' not in page.text
        assert browser.get(address).status == 200
        assert 'value="apply"' not in browser.get(address).text
        assert browser.post("/policies/EBAY", typed(0, {"safety": "9"})).status == 403
        for do in ("apply", "replay", "stop-replay", "preview", "plan-anew"):
            assert browser.post(address, {"do": do, "reason": "x"}).status == 403
    assert admin.post(address, {"do": "apply", "reason": "five"}).status == 303
    made = admin.get("/policies/EBAY.json").json["channel"]["rules"][0]["made"]
    assert made["actor"] == "user ada"
    assert admin.send("POST", address, "do=apply&reason=x").status == 403, "not a form of ours"


def test_a_channel_with_more_rules_than_a_form_holds_is_shown(seed: Seed, console: Served):
    shops(seed)
    put_rules(seed, "WEB", *({"sku": f"S-{n}", "cap": n} for n in range(130)))
    page = console.get("/policies/WEB").text
    assert "A form holds 100 rules" in page
    assert "SKU S-99: never more than 99 pieces are shown. " in words(page)
    assert "And 30 more" in words(page)
    (web,) = [c for c in console.get("/policies.json").json["channels"] if c["code"] == "WEB"]
    assert (len(web["rules"]), web["more"]) == (20, 110)
    form = typed(revision_of(Browser(console)), *({"cap": str(n)} for n in range(100)))
    assert Browser(console).post("/policies/WEB", form).status == 303, "a hundred fit"


@pytest.mark.parametrize(
    "code", ["A/B", "100%", "a?b=c", "..", ".", "x.json", "日本", "'\"&<>", HOSTILE]
)
def test_a_channel_of_any_code_has_its_pages(seed: Seed, console: Served, code: str):
    shops(seed)
    seed.channel(code, "WEB", "MAIN")
    seed.listing(code, code, "A")
    browser = Browser(console)
    page = browser.get("/policies").text
    assert HOSTILE not in page
    addresses = [html.unescape(one) for one in re.findall(r'<a data-open href="([^"]+)">', page)]
    (address,) = [
        one for one in addresses
        if one not in ("/policies/WEB", "/policies/EBAY")
    ]  # fmt: skip
    one = browser.get(address)
    assert one.status == 200
    (twin,) = re.findall(r'<a href="([^"]+)">This page as JSON', one.text)
    assert browser.get(html.unescape(twin)).json["channel"]["code"] == code
    answer = browser.post(address, typed(0, {"cap": "2"}))
    assert answer.status == 303, answer.text
    found = done(browser, answer.headers["location"], "preview")
    (effect,) = found["preview"]["items"]
    assert (effect["channel"], effect["then"]) == (code, 2)
    trial = browser.get(answer.headers["location"]).text
    (why,) = re.findall(r'data-why data-open href="([^"]+)"', trial)
    assert browser.get(html.unescape(why)).status == 200


def test_trials_that_are_not_there_are_answered_so(seed: Seed, console: Served):
    shops(seed)
    browser = Browser(console)
    for path in (
        "/policy-trials/99",
        "/policy-trials/99.json",
        "/policy-trials/x",
        "/policy-trials/99/effect",
    ):
        assert browser.get(path).status == 404
    for do in ("apply", "preview", "replay", "plan-anew", "stop-replay"):
        answer = browser.post("/policy-trials/99", {"do": do, "reason": "x"})
        assert answer.status in (303, 404)
    address, _ = try_out(browser, "WEB", {"cap": "1"})
    assert browser.get(f"{address}/effect?channel=WEB&listing=none").status == 404
    assert browser.post(address, {"do": "explode"}).status == 400


def test_a_trial_whose_process_is_gone_goes_on_when_somebody_looks(seed: Seed, console: Served):
    shops(seed)
    with connect(seed.connection.info.dsn) as connection:
        rules = [ExposurePolicy(cap=1)]
        trial = trying.begin(connection, "WEB", rules, owner="demo", revision=0)
        taken = policy_trials.take(connection)
        assert taken is not None
    browser = Browser(console)
    found = browser.get(f"/policy-trials/{trial}.json").json
    assert found["preview_run"]["state"] == "running"
    page = browser.get(f"/policy-trials/{trial}").text
    assert 'data-await="running"' in page
    assert '<noscript><meta http-equiv="refresh"' in page
    assert 'value="apply"' not in page
    answer = browser.post(f"/policy-trials/{trial}", {"do": "apply", "reason": "unseen"})
    assert answer.status == 400
    assert "See what would change before you apply it" in answer.text
    seed._run("update policy_trial_run set beat_at = now() - interval '1 minute'")
    assert done(browser, f"/policy-trials/{trial}", "preview")["preview"]["changed"] == 3
    # The one that was thought to be gone comes too late.
    with connect(seed.connection.info.dsn) as connection:
        assert not policy_trials.beat(connection, taken, 5)
        policy_trials.finish(connection, taken, error="too late")
        assert policy_trials.runs(connection, trial)["preview"].state == "done"


def test_a_stopped_or_failing_computation_ends_and_says_so(seed: Seed, database_url: str):
    shops(seed)
    with Pool(database_url, size=3) as pool:
        with pool.connection() as connection:
            rules = [ExposurePolicy(cap=1)]
            trial = trying.begin(connection, "WEB", rules, owner="demo", revision=0)
            gone = trying.begin(connection, "GONE", rules, owner="demo", revision=0)
            policy_trials.stop(connection, trial, "preview")
        assert trying.run_next(pool), "the other one"
        assert not trying.run_next(pool)
        with pool.connection() as connection:
            assert policy_trials.runs(connection, trial)["preview"].state == "stopped"
            failed = policy_trials.runs(connection, gone)["preview"]
            assert failed.state == "failed"
            assert "GONE" in failed.error
            for _ in range(trying.MOST_ATTEMPTS + 1):
                policy_trials.ask(connection, trial, "preview")
                assert policy_trials.take(connection)
                connection.execute(
                    "update policy_trial_run set beat_at = now() - interval '1 hour'"
                )
        assert trying.run_next(pool)
        with pool.connection() as connection:
            given_up = policy_trials.runs(connection, trial)["preview"]
        assert (given_up.state, given_up.error) == (
            "failed",
            "It did not come to an end in 3 tries.",
        )


def test_a_computation_that_is_stopped_under_way_ends_at_its_next_beat(
    seed: Seed, database_url: str, monkeypatch: pytest.MonkeyPatch
):
    shops(seed)
    with Pool(database_url, size=3) as pool:
        with pool.connection() as connection:
            trial = trying.begin(
                connection, "WEB", [ExposurePolicy(cap=1)], owner="demo", revision=0
            )

        def stopped_meanwhile(*arguments: Any, **options: Any) -> Any:
            with pool.connection() as connection:
                policy_trials.stop(connection, trial, "preview")
            return preview(*arguments, **options)

        monkeypatch.setattr("stockwright.flow.trying.preview", stopped_meanwhile)
        assert trying.run_next(pool, beat_s=0)
        with pool.connection() as connection:
            run = policy_trials.runs(connection, trial)["preview"]
        assert (run.state, run.result) == ("stopped", None)


def test_no_more_wait_than_can_be_computed(seed: Seed, console: Served):
    shops(seed)
    browser = Browser(console)
    with connect(seed.connection.info.dsn) as connection:
        rules = [ExposurePolicy(cap=1)]
        for _ in range(policy_trials.MOST_OPEN):
            trying.begin(connection, "WEB", rules, owner="demo", revision=0)
        connection.execute("update policy_trial_run set state = 'running', beat_at = now()")
    answer = browser.post("/policies/WEB", typed(0, {"cap": "1"}))
    assert answer.status == 503
    assert "Retry-After".lower() in answer.headers
