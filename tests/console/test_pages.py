"""Pages and their twins over real HTTP, from rows in the database."""

import html
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote, urljoin

import pytest

from stockwright.console.pages import FOLDER
from stockwright.flow.ndjson_master import WHOLE
from stockwright.store import positions
from stockwright.store.connection import connect
from tests.browser.conftest import BROWSER_VARIABLE, program
from tests.console.seeding import HOT, Seed, seed_wholesaler
from tests.console.serving import Served, serve

HOSTILE = '<script>alert("x")</script>'
WEIRD = [
    "A/B", "100%", "50%25", "ä ö/ü", "日本", "a?b=c", "a#b", "..", ".", "a+b", "x.json", "a//b",
    "../etc", "'\"&<>", " lead", "-", HOSTILE,
]  # fmt: skip


class Reader(HTMLParser):
    """Collects what the tests look at: text, links, ids, scripts, styles and cells."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.links: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        known = dict(attrs)
        self.tags.append((tag, known))
        if tag == "a" and known.get("href"):
            self.links.append(known["href"] or "")

    def handle_data(self, data):
        self.words += f"{data} "


def numbers_of(console: Served, sku: str) -> dict[str, str]:
    """Every explained number of an item's page: text by address."""
    page = console.get(f"/items/{quote(sku, safe='')}").text
    return {
        html.unescape(href): text
        for href, text in re.findall(
            r'<a class="num[^"]*" data-why href="([^"]+)">([^<]*)</a>', page
        )
    }


def as_number(text: str) -> int:
    return int(text.replace("\u2009", "").replace("\u2212", "-"))


def test_the_overview_shows_every_link_with_its_state_and_reason(seed: Seed, console: Served):
    seed_wholesaler(seed)
    answer = console.get("/")
    words = " ".join(Reader(answer.text).words.split())
    assert answer.status == 200
    assert "market-a json_http failing waiting for retry at" in words
    assert "failed 4 times in a row 503 Service Unavailable" in words
    assert "dropship csv_drop paused paused by a.keller since" in words
    assert "market-b json_http idle nothing changed since" in words
    assert "Open work items 3" in words


def test_the_first_page_is_small_and_loads_nothing_from_elsewhere(seed: Seed, console: Served):
    seed_wholesaler(seed)
    answer = console.get("/")
    size = len(answer.body)
    for tag, known in Reader(answer.text).tags:
        source = known.get("src") or (known.get("href") if tag == "link" else None)
        if source:
            assert source.startswith("/console/static/")
            size += len(console.get(source).body)
    for module in ("board.js", "keys.js", "live.js", "travel.js", "why.js"):
        size += len(console.get(f"/console/static/{module}").body)
    assert size < 150_000


@pytest.mark.parametrize(
    "path", ["/", "/items", f"/items/{HOT}", f"/why?number=free&sku={HOT}", "/items/none"]
)
def test_no_page_holds_an_inline_script_style_or_handler(seed: Seed, console: Served, path):
    seed_wholesaler(seed)
    answer = console.get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for tag, known in Reader(answer.text).tags:
        assert tag != "style"
        assert tag != "script" or known.get("src")
        assert not [name for name in known if name.startswith("on") or name == "style"]
        assert not (known.get("href") or "").startswith("javascript:")


@pytest.mark.parametrize("path", ["/index.json", "/items.json", f"/items/{HOT}.json",
                                  f"/why.json?number=free&sku={HOT}"])  # fmt: skip
def test_every_page_names_its_twin_which_is_json(seed: Seed, console: Served, path):
    seed_wholesaler(seed)
    answer = console.get(path)
    assert answer.headers["content-type"] == "application/json"
    page = console.get(path.replace("/index.json", "/").replace(".json", ""))
    twins = [link for link in Reader(page.text).links if ".json" in link]
    assert [link.rstrip("?") for link in twins] == [path]
    assert answer.json


def test_the_twin_of_the_overview_has_the_facts_behind_the_words(seed: Seed, console: Served):
    seed_wholesaler(seed)
    found = console.get("/index.json").json
    link = next(one for one in found["links"] if one["facts"]["channel"] == "market-a")
    assert link["judgement"]["state"] == "failing"
    assert link["facts"]["failures"] == 4
    assert link["facts"]["samples"] > 10
    assert 0 < link["facts"]["lag_p50_s"] <= link["facts"]["lag_p99_s"] < 2
    assert found["totals"]["work_items"] == 3


def test_the_item_page_shows_both_books_and_what_each_channel_shows(seed: Seed, console: Served):
    seed_wholesaler(seed)
    found = console.get(f"/items/{HOT}.json").json
    lon = next(place for place in found["places"] if place["location"] == "LON")
    words = " ".join(Reader(console.get(f"/items/{HOT}").text).words.split())
    assert f"LON London {lon['sellable']} 0 0 0 {lon['reserved']} 0 0" in words
    assert "BER Berlin 0 12 4 2 0 0 0 18 0" in words
    standing = {row["level"]["channel"]: row["standing"] for row in found["channels"]}
    assert standing == {
        "b2b": "shown", "dropship": "waiting", "market-a": "retrying", "webshop": "shown",
    }  # fmt: skip
    assert "market-b no level yet" in words


def test_every_number_of_the_page_is_explained_by_steps_that_add_up_to_it(
    seed: Seed, console: Served
):
    seed.location("LON")
    seed.location("BER")
    seed.sku("A")
    seed.event("receipt", "A", 100, ("supplier", "sellable"), seconds_ago=50)
    seed.event("receipt", "A", 20, ("supplier", "sellable"), seconds_ago=45)
    seed.event("damage", "A", 3, ("sellable", "damaged"), seconds_ago=40)
    seed.event("reserve", "A", 7, ("unclaimed", "reserved"), seconds_ago=30)
    seed.event("receipt", "A", 5, ("supplier", "inspection"), location="BER", seconds_ago=20)
    seed.balance("A", "LON", sellable=117, damaged=3, reserved=7)
    seed.balance("A", "BER", inspection=5)
    explained = 0
    for address, text in numbers_of(console, "A").items():
        answer = console.get(address.replace("/why", "/why.json")).json
        steps = answer["answer"]["explanation"]["steps"]
        assert answer["adds_up"], address
        assert sum(step["amount"] for step in steps) == as_number(text), address
        assert [step["running"] for step in steps] == [
            sum(step["amount"] for step in steps[: n + 1]) for n in range(len(steps))
        ]
        explained += 1
    assert explained == 3 * 9 + len(("promised", "in_transit"))


def test_a_balance_that_differs_from_its_ledger_is_said_plainly(seed: Seed, console: Served):
    seed.location("LON")
    seed.sku("A")
    seed.event("receipt", "A", 100, ("supplier", "sellable"))
    seed.balance("A", "LON", sellable=99)
    page = console.get("/why?number=sellable&sku=A&location=LON").text
    assert "The balance says 99, the ledger 100." in " ".join(Reader(page).words.split())


def test_the_number_a_channel_should_show_is_explained_through_its_policy(
    seed: Seed, console: Served
):
    seed.system("shop")
    seed.location("LON")
    seed.channel("shop", "shop", "LON")
    seed.sku("A")
    seed.listing("shop", "A-1", "A")
    seed.balance("A", "LON", sellable=50, reserved=8)
    seed.connection.execute(
        "insert into exposure_policy (channel, position, safety, buffer, cap)"
        " values ('shop', 1, 10, 2, 25)"
    )
    seed.level("shop", "A-1", 25)
    page = console.get("/why?number=available_to_sell&sku=A&channel=shop&listing=A-1")
    words = " ".join(Reader(page.text).words.split())
    assert "free LON: sellable 50 - reserved 8 +42 42" in words
    assert "safety safety stock 10, at most what is free \u221210 32" in words
    assert "cap at most 25 are shown \u22125 25" in words
    assert "still stands" not in words
    assert "Grantable" in console.get("/items/A").text
    granted = console.get("/why.json?number=grantable&sku=A&channel=shop").json["answer"]
    assert granted["explanation"]["result"] == 42


def test_a_level_that_the_ledger_has_overtaken_is_explained_with_a_note(
    seed: Seed, console: Served
):
    seed.system("shop")
    seed.location("LON")
    seed.channel("shop", "shop", "LON")
    seed.sku("A")
    seed.listing("shop", "A", "A")
    seed.balance("A", "LON", sellable=50)
    seed.level("shop", "A", 60)
    words = Reader(
        console.get("/why?number=available_to_sell&sku=A&channel=shop&listing=A").text
    ).words
    assert "The level still stands at 60" in words


def test_the_attempts_behind_an_acknowledged_number_are_listed(seed: Seed, console: Served):
    seed_wholesaler(seed)
    version = seed.change("webshop", HOT, 4, 1)
    seed.attempt("webshop", HOT, 4, version, outcome="refused", detail="listing is archived")
    words = Reader(console.get(f"/why?number=sent&sku={HOT}&channel=webshop&listing={HOT}").text)
    assert "listing is archived" in words.words
    assert "acknowledged" in words.words


def test_the_timeline_pages_by_sequence_without_gap_or_repetition(seed: Seed, console: Served):
    seed_wholesaler(seed)
    seen: list[int] = []
    path = f"/items/{HOT}.json"
    while True:
        page = console.get(path).json
        seen += [moment["sequence"] for moment in page["moments"]]
        if page["older"] is None:
            break
        path = f"/items/{HOT}.json?before={page['older']}"
    assert seen == list(range(seed.sequence, 0, -1))


def test_the_timeline_shows_the_move_and_the_numbers_that_followed(seed: Seed, console: Served):
    seed.system("shop")
    seed.location("LON")
    seed.channel("shop", "shop", "LON")
    seed.sku("A")
    seed.listing("shop", "A", "A")
    seed.balance("A", "LON", sellable=12)
    seed.event("receipt", "A", 20, ("supplier", "sellable"), document="PO-9", seconds_ago=30)
    seed.change("shop", "A", 20, 29)
    seed.event("shipment", "A", 8, ("sellable", "customer"), document="S-1", seconds_ago=9)
    seed.change("shop", "A", 12, 8)
    seed.level("shop", "A", 12, seconds_ago=8)
    words = " ".join(Reader(console.get("/items/A").text).words.split())
    assert "shipment S-1 wms 8 sellable → customer LON shop 20 → 12" in words
    assert "receipt PO-9 wms 20 supplier → sellable LON shop 20" in words


def test_the_chart_follows_free_stock_back_from_what_it_is_now(seed: Seed, console: Served):
    seed_wholesaler(seed)
    page = console.get(f"/items/{HOT}").text
    assert "chart-true" in page
    assert "shown by webshop" in page
    assert "shown by dropship" not in page


def test_any_code_has_a_page_a_twin_and_explanations(seed: Seed, console: Served):
    seed.location("LON")
    for code in WEIRD:
        seed.sku(code, HOSTILE, HOSTILE)
        seed.event("receipt", code, 4, ("supplier", "sellable"), document=HOSTILE)
        seed.balance(code, "LON", sellable=4)
    listed = re.findall(r'<a class="code" href="([^"]+)">', console.get("/items").text)
    reached = [item_reached(console, html.unescape(address)) for address in listed]
    assert sorted(reached) == sorted(WEIRD)


def item_reached(console: Served, address: str) -> str:
    """The SKU behind an address, after a look at its page, twin, explanation and search."""
    page = console.get(address)
    assert page.status == 200
    assert "<script>alert" not in page.text
    assert HOSTILE in Reader(page.text).words
    links = Reader(page.text).links
    code: str = console.get(links[-1]).json["card"]["sku"]
    why = next(link for link in links if link.startswith("/why"))
    assert console.get(why.replace("/why?", "/why.json?")).json["answer"]["asked"]["sku"] == code
    if code.strip() == code:
        found = console.get(f"/search?q={quote(code)}")
        assert (found.status, found.headers["location"]) == (303, address)
    return code


def test_hostile_names_of_links_and_errors_stay_text(seed: Seed, console: Served):
    seed.system(HOSTILE)
    seed.location("LON")
    seed.channel(HOSTILE, HOSTILE, "LON")
    seed.connection_state(
        HOSTILE, failures=2, last_error=HOSTILE, last_failure=seed.ago(3), retry_at=seed.ago(-9)
    )
    page = console.get("/").text
    assert "<script>alert" not in page
    assert Reader(page).words.count(HOSTILE) == 3


def test_search_goes_to_the_item_by_its_own_and_by_a_partners_code(seed: Seed, console: Served):
    seed_wholesaler(seed)
    for text in (HOT, f"MA-{HOT}", f"  {HOT} "):
        answer = console.get(f"/search?q={quote(text)}")
        assert (answer.status, answer.headers["location"]) == (303, f"/items/{HOT}")
    listed = console.get(f"/search?q={quote('tin % _')}")
    assert listed.headers["location"] == "/items?q=tin+%25+_"


def test_a_partner_code_that_means_two_items_shows_both(seed: Seed, console: Served):
    for system in ("a", "b"):
        seed.system(system)
    for sku in ("X", "Y"):
        seed.sku(sku)
    seed.binding("a", "007", "X")
    seed.binding("b", "007", "Y")
    found = console.get("/search.json?q=007").json
    assert [one["sku"] for one in found["skus"]] == ["X", "Y"]
    page = console.get("/search?q=007")
    assert page.status == 200
    assert {"/items/X", "/items/Y"} <= set(Reader(page.text).links)
    found = console.get("/items.json?q=007").json["items"]
    assert [row["sku"] for row in found] == ["X", "Y"]


def test_the_list_of_items_pages_by_code_and_searches_literally(seed: Seed, console: Served):
    for number in range(120):
        seed.sku(f"S{number:03d}", "50% off" if number == 7 else "plain_text")
    seen: list[str] = []
    path = "/items.json"
    while True:
        page = console.get(path).json
        seen += [row["sku"] for row in page["items"]]
        if page["after"] is None:
            break
        path = f"/items.json?after={page['after']}"
    assert seen == [f"S{number:03d}" for number in range(120)]
    assert [row["sku"] for row in console.get("/items.json?q=0%25").json["items"]] == ["S007"]
    assert console.get("/items.json?q=n%25t").json["items"] == []


def test_empty_pages_say_what_would_fill_them(console: Served, seed: Seed):
    overview = console.get("/").text
    assert "<code>[channels.CODE]</code> to <code>stockwright.toml</code>" in overview
    assert 'href="/connections">connect a partner</a>' in overview
    assert "stockwright import" in console.get("/items").text
    assert "Codes keep their case" in console.get("/items?q=none").text
    seed.sku("A")
    page = console.get("/items/A").text
    assert "No channel lists this SKU" in page
    assert "Nothing was recorded yet." in page


BAD_ADDRESSES = [
    ("/items/none", 404),
    ("/items/none.json", 404),
    ("/why?number=free&sku=none", 404),
    ("/why.json?number=happiness&sku=85123A", 400),
    ("/why?number=available_to_sell&sku=85123A&channel=webshop&listing=other", 400),
    ("/why?number=grantable&sku=85123A&channel=nowhere", 400),
    ("/items/85123A?before=x", 400),
    ("/items/85123A?before=" + "9" * 40, 400),
    ("/items/a%00b", 400),
    ("/items?q=a%00b", 400),
    ("/search?q=%00", 400),
    (f"/items?q={'x' * 600}", 400),
    ("/console/stream?sku=%00", 400),
]


def test_bad_addresses_are_answered_with_what_is_wrong(seed: Seed, console: Served):
    seed.sku(HOT)
    for path, status in BAD_ADDRESSES:
        answer = console.get(path)
        assert answer.status == status, path
        if ".json" in path:
            assert answer.json["detail"]
        else:
            assert Reader(answer.text).tags[0][0] == "html"


def test_pages_of_other_sites_and_rebound_names_are_refused_in_the_open_mode(console: Served):
    assert console.get("/", sec_fetch_site="cross-site").status == 403
    assert console.get("/index.json", host="evil.example").status == 403
    assert console.get("/", sec_fetch_site="same-origin").status == 200


def test_static_files_keep_their_headers_and_revalidate(console: Served):
    answer = console.get("/console/static/console.css")
    assert answer.headers["content-type"].startswith("text/css")
    assert answer.headers["cache-control"] == "no-cache"
    again = console.get("/console/static/console.css", if_none_match=answer.headers["etag"])
    assert again.status == 304
    assert console.get("/console/static/../routes.py").status == 404


def test_a_page_names_its_style_by_its_content_and_a_browser_keeps_it(console: Served):
    (address,) = re.findall('rel="stylesheet" href="([^"]+)"', console.get("/").text)
    answer = console.get(address)
    assert answer.body == console.get("/console/static/console.css").body
    assert answer.headers["cache-control"] == "max-age=31536000, immutable"
    assert "content-security-policy" in answer.headers
    older = address.replace(address.split("/")[3], "0123456789ab")
    for other in (older, "/console/static/console.css"):
        assert console.get(other).body == answer.body
        assert console.get(other).headers["cache-control"] == "no-cache"
    assert console.get("/console/static/0123456789ab/../../routes.py").status == 404


def test_scripts_load_each_other_by_addresses_that_are_kept(console: Served):
    (address,) = re.findall('<script type="module" src="([^"]+)"', console.get("/").text)
    loaded = re.findall('from "(.+?)"', console.get(address).text)
    assert len(loaded) >= 5
    for one in loaded:
        answer = console.get(urljoin(address, one))
        assert answer.status == 200
        assert answer.headers["cache-control"] == "max-age=31536000, immutable"


def test_beyond_the_newest_entries_the_older_ones_are_one_step_and_it_still_adds_up(
    seed: Seed, database_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(positions, "ENTRIES_BY_KIND", 3)
    seed.location("LON")
    seed.sku("A")
    for units in (10, 20, 30, 40):
        seed.event("receipt", "A", units, ("supplier", "sellable"))
    seed.event("shipment", "A", 7, ("sellable", "customer"))
    seed.event("reserve", "A", 5, ("unclaimed", "reserved"))
    with connect(database_url) as connection:
        told = positions.account_by_kind(connection, "A", "LON", "sellable")
        claimed = positions.account_by_kind(connection, "A", "LON", "reserved")
    assert [(one.kind, one.units, one.entries) for one in told] == [
        ("", 30, 2),
        ("receipt", 70, 2),
        ("shipment", -7, 1),
    ]
    assert [(one.kind, one.units) for one in claimed] == [("reserve", 5)]


def test_while_the_database_is_away_pages_say_so_and_ask_to_come_back():
    with serve("postgresql://nobody@127.0.0.1:1/none", open_to_all=True) as console:
        page, twin = console.get("/"), console.get("/items.json")
    assert (page.status, twin.status) == (503, 503)
    assert "The database does not answer" in page.text
    assert twin.json["title"] == "The database does not answer"


def test_without_a_browser_the_browser_tests_say_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(BROWSER_VARIABLE, raising=False)
    own = SimpleNamespace(chromium=SimpleNamespace(executable_path=str(tmp_path / "chrome")))
    with pytest.raises(pytest.fail.Exception, match="apt-get install chromium"):
        program(own)
    (tmp_path / "chrome").touch()
    assert program(own) == str(tmp_path / "chrome")


def test_every_import_that_a_page_advises_is_one_the_command_line_knows():
    pages = [file.read_text("utf-8") for file in (FOLDER / "templates").glob("*.html")]
    advised = {kind for page in pages for kind in re.findall(r"stockwright import (\w+)", page)}
    assert advised
    assert advised <= set(WHOLE)
