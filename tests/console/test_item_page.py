"""An item's page and its explanations over HTTP: who says what, folded, and as of a moment."""

import datetime as dt
import html
import re
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit
from zoneinfo import ZoneInfo

import pytest

from stockwright.console.travel import asked_moment
from stockwright.domain.errors import Rejected
from stockwright.domain.events import Fact
from stockwright.flow.projection import Projection
from stockwright.flow.recording import Recorder
from stockwright.store.connection import Pool
from tests.console.seeding import HOT, Seed, seed_wholesaler
from tests.console.serving import Served
from tests.console.test_pages import Reader, as_number
from tests.flow.channels import World


def words(console: Served, path: str) -> str:
    return " ".join(Reader(console.get(path).text).words.split())


def at_of(moment: str) -> str:
    return f"at={quote(moment)}"


@pytest.fixture
def shop(seed: Seed) -> Seed:
    """One SKU in a shop that has 12 of it and shows them."""
    for system in ("shop", "erp", "wms"):
        seed.system(system)
    for code in ("LON", "BER"):
        seed.location(code)
    seed.channel("shop", "shop", "LON")
    seed.sku("A")
    seed.listing("shop", "A", "A")
    seed.event("receipt", "A", 12, ("supplier", "sellable"), seconds_ago=3000)
    seed.balance("A", "LON", sellable=12)
    seed.attempt("shop", "A", 12, seed.change("shop", "A", 12, 2990))
    seed.level("shop", "A", 12, acknowledged=12, seconds_ago=2990)
    seed.rules_since(4000)
    return seed


# ------------------------------------------------------------ who says what


def test_a_partners_newest_count_stands_beside_the_ledger_with_a_word(shop: Seed, console: Served):
    shop.told("wms", "A", "LON", 14, 2, seconds_ago=500)
    shop.told("wms", "A", "LON", 9, -3, seconds_ago=120)
    shop.told("erp", "A", "LON", 12, 0, seconds_ago=7210)
    shop.told("erp", "A", "BER", 4, None, seconds_ago=7210)
    text = words(console, "/items/A")
    assert "9 3 fewer , 2 min ago" in text
    assert "12 agrees , 2 h 00 ago" in text
    assert "4 not compared , 2 h 00 ago" in text
    assert "1 disagrees. wms told 3 fewer sellable at LON than the ledger held as of" in text
    claims = console.get("/items/A.json").json["claims"]
    assert [(one["system"], one["location"], one["counted"]) for one in claims] == [
        ("erp", "BER", 4), ("erp", "LON", 12), ("wms", "LON", 9),
    ]  # fmt: skip


def test_a_count_by_the_partners_own_code_in_its_own_unit_is_found(shop: Seed, console: Served):
    shop.binding("erp", "E-1", "A")
    shop.sku("B")
    shop.binding("wms", "E-1", "B")
    shop.told("erp", "A", "LON", 2, 0, item="E-1", unit="BOX")
    shop.connection.execute(
        'update event set answer = \'{"answer": {"base_quantity": 12, "difference": 0}}\''
        " where kind = 'snapshot'"
    )
    shop.told("wms", "B", "LON", 7, 7, item="E-1")
    (claim,) = console.get("/items/A.json").json["claims"]
    assert (claim["system"], claim["counted"], claim["verdict"]["word"]) == ("erp", 12, "agrees")


def test_lots_of_one_bucket_are_told_together(shop: Seed, console: Served):
    shop.told("wms", "A", "LON", 5, 0, lot="L1", seconds_ago=90)
    shop.told("wms", "A", "LON", 6, -1, lot="L2", seconds_ago=80)
    shop.told("wms", "A", "LON", 3, 3, bucket="damaged", seconds_ago=80)
    damaged, sellable = console.get("/items/A.json").json["claims"]
    assert (sellable["counted"], sellable["lots"]) == (11, 2)
    assert sellable["verdict"] == {"word": "fewer", "apart": -1}
    assert (damaged["bucket"], damaged["counted"]) == ("damaged", 3)


def test_a_count_that_the_ledger_followed_is_a_correction_and_no_disagreement(
    database_url: str, console: Served
):
    World(database_url)
    with Recorder(database_url) as recorder:
        common: dict[str, Any] = {"sku": "SKU-000", "location": "MAIN", "system": "WMS"}
        recorder.submit([Fact(kind="receipt", document="R", quantity=10, **common)]).result(30)
        recorder.submit([Fact(kind="count", document="C", quantity=8, **common)]).result(30)
        recorder.submit(
            [Fact(kind="snapshot", document="S", quantity=9, **common | {"system": "ERP"})]
        ).result(30)
    text = words(console, "/items/SKU-000")
    assert "8 corrected by \u22122 , just now" in text
    assert "9 1 more , just now" in text
    told = console.get("/why.json?number=told&sku=SKU-000&system=ERP&location=MAIN").json["answer"]
    assert [step["amount"] for step in told["explanation"]["steps"]] == [8, 1]


def test_what_was_read_back_is_shown_with_its_time_and_a_word(shop: Seed, console: Served):
    shop.connection.execute(
        "update level set verified = 10, verified_at = now() - interval '1000 s'"
    )
    assert "10 2 fewer , 17 min ago" in words(console, "/items/A")
    assert "shop shows 2 fewer than it confirmed" in words(console, "/items/A")
    shop.connection.execute("update level set verified = null, verified_at = now()")
    assert "shop was read back and shows nothing" in words(console, "/items/A")
    told = words(console, "/why?number=verified&sku=A&channel=shop&listing=A")
    assert re.search(r"[+-]\d\d:\d\d nothing .*[+-]\d\d:\d\d 10", told)


def test_where_all_agree_the_page_says_so(shop: Seed, console: Served):
    assert "Nobody disagrees." in words(console, "/items/A")


def test_units_under_way_are_explained_by_their_transfers(database_url: str, console: Served):
    World(database_url)
    with Recorder(database_url) as recorder:
        common: dict[str, Any] = {"sku": "SKU-000", "system": "WMS"}
        facts = [
            Fact(kind="receipt", document="R", quantity=10, location="MAIN", **common),
            Fact(kind="transfer_out", document="T-1", quantity=6, location="MAIN", **common),
            Fact(kind="transfer_in", document="T-1", quantity=2, location="STORE", **common),
            # Arrived before it was said to have left: nothing of it is under way.
            Fact(kind="transfer_in", document="T-2", quantity=3, location="STORE", **common),
        ]
        recorder.submit(facts).result(30)
    assert console.get("/items/SKU-000.json").json["in_transit"] == 4
    told = console.get("/why.json?number=in_transit&sku=SKU-000").json
    (step,) = told["answer"]["explanation"]["steps"]
    assert told["adds_up"]
    assert (step["amount"], step["why"][:13]) == (4, "transfer T-1:")


def test_every_explanation_of_the_books_links_the_ledger_rows_it_stands_on(
    shop: Seed, console: Served
):
    for number in ("free", "on_hand", "sellable", "promised"):
        links = Reader(console.get(f"/why?number={number}&sku=A").text).links
        assert ("/trace?sequence=1" in links) == (number != "promised"), number


def test_a_level_links_the_rows_that_changed_it_and_the_calls_that_carried_it(
    shop: Seed, console: Served
):
    shop.event("shipment", "A", 5, ("sellable", "customer"), seconds_ago=40)
    shop.connection.execute("update balance set sellable = 7")
    version = shop.change("shop", "A", 7, 39)
    shop.connection.execute("update level_change set since_sequence = 1 where value = 7")
    shop.attempt("shop", "A", 7, version)
    page = console.get("/why?number=available_to_sell&sku=A&channel=shop&listing=A")
    links = Reader(page.text).links
    assert "/trace?sequence=2" in links
    assert "/trace?sequence=1" not in links
    (call,) = [link for link in links if "#call-" in link]
    address, _, anchor = call.partition("#")
    assert f'id="{anchor}"' in console.get(address).text


# ------------------------------------------------------------ the timeline


def test_a_run_is_one_line_with_its_count_and_sum_and_opens_without_scripts(
    shop: Seed, console: Served
):
    for n in range(4):
        shop.event("reserve", "A", 2, ("unclaimed", "reserved"), document=f"W-{n}", system="shop")
    page = console.get("/items/A").text
    text = " ".join(Reader(page).words.split())
    assert "2–5 reserve ×4 4 documents shop 8 unclaimed → reserved LON" in text
    assert re.search(r'<details data-fold="2 5"><summary>reserve ×4</summary>', page)
    assert all(f"W-{n}" in text for n in range(4))


def test_one_kind_is_shown_alone_and_pages_on(shop: Seed, console: Served, monkeypatch):
    monkeypatch.setattr("stockwright.store.timeline.LOOKED_AT", 10)
    for n in range(25):
        kind = "damage" if n in (0, 24) else "receipt"
        shop.event(kind, "A", 1, ("supplier", "sellable"), document=f"D-{n}")
    seen, asked = [], "/items/A.json?kind=damage"
    for _ in range(9):
        page = console.get(asked).json
        seen += [moment["sequence"] for moment in page["moments"]]
        if page["older"] is None:
            break
        asked = f"/items/A.json?kind=damage&before={page['older']}"
    assert seen == [26, 2]
    assert [(one["kind"], one["events"]) for one in page["kinds"]] == [
        ("receipt", 24),
        ("damage", 2),
    ]
    assert "Look further back" in console.get("/items/A?kind=damage&before=20").text
    assert "Nothing older than this" in console.get("/items/A?kind=scrap&before=5").text


# ------------------------------------------------------------ as of a moment


def moments(seed: Seed, *seconds_ago: float) -> list[str]:
    return [seed.ago(seconds).isoformat() for seconds in seconds_ago]


def test_an_earlier_moment_has_its_books_levels_and_timeline(shop: Seed, console: Served):
    shop.event("shipment", "A", 5, ("sellable", "customer"), seconds_ago=40)
    shop.connection.execute("update balance set sellable = 7")
    shop.attempt("shop", "A", 7, shop.change("shop", "A", 7, 30), latency_s=4)
    shop.told("wms", "A", "LON", 7, 0, seconds_ago=20)
    before, between, sending, after = moments(shop, 41, 35, 28, 19)
    told = {
        at: console.get(f"/items/A.json?{at_of(at)}").json
        for at in (before, between, sending, after)
    }
    assert [page["totals"]["free"] if "free" in page["totals"] else page["totals"]["sellable"]
            for page in told.values()] == [12, 7, 7, 7]  # fmt: skip
    levels = [page["channels"][0]["level"] for page in told.values()]
    assert [(one["desired"], one["sent"], one["acknowledged"]) for one in levels] == [
        (12, None, 12), (12, None, 12), (7, 7, 12), (7, None, 7),
    ]  # fmt: skip
    assert [page["channels"][0]["standing"] for page in told.values()] == [
        "shown", "shown", "sending", "shown",
    ]  # fmt: skip
    assert [len(page["claims"]) for page in told.values()] == [0, 0, 0, 1]
    assert [[one["sequence"] for one in page["moments"]] for page in told.values()] == [
        [1], [2, 1], [2, 1], [2, 1],
    ]  # fmt: skip


def test_a_page_of_the_past_says_so_stands_still_and_its_links_keep_the_moment(
    shop: Seed, console: Served
):
    (at,) = moments(shop, 2000)
    page = console.get(f"/items/A?{at_of(at)}").text
    text = " ".join(Reader(page).words.split())
    assert "As of" in text
    assert "Back to now" in text
    assert "data-stream" not in page
    assert "data-stream" in console.get("/items/A").text
    kept = [link for link in Reader(page).links if link.startswith("/why?")]
    assert len(kept) > 10
    expected = dt.datetime.fromisoformat(at)
    for link in kept:
        (told,) = parse_qs(urlsplit(link).query)["at"]
        assert dt.datetime.fromisoformat(told) == expected
        assert console.get(link).status == 200
    (twin,) = [link for link in Reader(page).links if link.startswith("/items/A.json")]
    assert console.get(twin).json["at"][:19] == at[:19]


def test_every_number_of_a_page_of_the_past_is_explained_and_adds_up_to_it(
    shop: Seed, console: Served
):
    shop.event("damage", "A", 3, ("sellable", "damaged"), seconds_ago=50)
    shop.event("receipt", "A", 4, ("supplier", "inspection"), location="BER", seconds_ago=45)
    shop.event("reserve", "A", 2, ("unclaimed", "reserved"), seconds_ago=40)
    shop.told("wms", "A", "LON", 7, -2, seconds_ago=35)
    shop.event("shipment", "A", 9, ("sellable", "customer"), seconds_ago=20)
    shop.connection.execute("update balance set sellable = 0, damaged = 3, reserved = 2")
    shop.balance("A", "BER", inspection=4)
    at = shop.ago(30).isoformat()
    page = console.get(f"/items/A?{at_of(at)}").text
    found = re.findall(r'<a class="num[^"]*" data-why href="([^"]+)">([^<]*)</a>', page)
    explained = 0
    for href, text in dict.fromkeys((html.unescape(href), text) for href, text in found):
        if not re.search(r"number=(sent|verified|available)", href):
            answer = console.get(href.replace("/why", "/why.json")).json
            assert answer["answer"]["explanation"]["result"] == as_number(text), href
            explained += 1
    assert explained > 25


def test_the_steps_beside_a_moment_lead_from_change_to_change(shop: Seed, console: Served):
    shop.event("shipment", "A", 5, ("sellable", "customer"), seconds_ago=40)
    version = shop.change("shop", "A", 7, 30)
    shop.attempt("shop", "A", 7, version, latency_s=4)
    shop.connection.execute("update level set desired = 7, version = %s", [version])
    times, at = [], ""
    for _ in range(10):
        page = console.get(f"/items/A{at}").text
        links = [one for tag, one in Reader(page).tags if tag == "a" and one.get("rel") == "prev"]
        if not links:
            break
        (told,) = parse_qs(urlsplit(links[0]["href"] or "").query)["at"]
        times.append(shop.now - dt.datetime.fromisoformat(told))
        at = f"?{at_of(told)}"
    # Sent at 30, confirmed at 26; shipped at 40; shown, sent, confirmed and received before.
    assert times == sorted(times)
    seconds = dict.fromkeys(round(one.total_seconds(), 1) for one in times)
    assert list(seconds) == [26.0, 30.0, 40.0, 2989.8, 2990.0, 3000.0]


def test_before_it_was_known_and_after_now_there_is_nothing_to_show(shop: Seed, console: Served):
    shop.sku("NEW")
    (long_ago,) = moments(shop, 3900)
    page = console.get(f"/items/NEW?{at_of(long_ago)}")
    assert page.status == 404
    assert "NEW was not known then" in page.text
    future = (shop.now + dt.timedelta(hours=1)).isoformat()
    for path in (f"/items/A?{at_of(future)}", f"/why?number=free&sku=A&{at_of(future)}"):
        answer = console.get(path)
        assert answer.status == 400
        assert "has not come yet" in answer.text
    assert console.get("/items/A?at=yesterday").status == 400


def test_a_time_without_a_zone_is_one_of_the_readers(shop: Seed):
    berlin = ZoneInfo("Europe/Berlin")
    noon = dt.datetime(2026, 7, 1, 10, 0, tzinfo=dt.UTC)
    assert asked_moment("2026-07-01T12:00", berlin) == noon
    assert asked_moment("2026-07-01T12:00:00.000", berlin) == noon
    assert asked_moment("2026-07-01T10:00:00Z", berlin) == noon
    assert asked_moment("2026-07-01T12:00:00 02:00", berlin) == noon  # a plus sign, not encoded
    assert asked_moment("  ", berlin) is None
    for wrong in ("noon", "2026-13-01", "9999-12-31T23:59:59-14:00"):
        with pytest.raises(Rejected):
            asked_moment(wrong, berlin)


def test_a_number_of_the_past_is_explained_by_the_rules_of_then(database_url: str, console: Served):
    world = World(database_url)
    with Pool(database_url, size=2) as pool, Recorder(database_url) as recorder:
        common: dict[str, Any] = {"kind": "receipt", "system": "WMS", "location": "MAIN"}
        recorder.submit([Fact(document="R", sku="SKU-000", quantity=10, **common)]).result(30)
        Projection(pool).step()
        (at,) = world.rows("select (clock_timestamp())::text")[0]
        world.policy("WEB", buffer=4)
        Projection(pool).sweep()
        Projection(pool).step()
        ((revision,),) = world.rows("select max(id) from revision")
        page = console.get("/items/SKU-000").text
        assert f"levels followed the rules of revision {revision}" in page
        recorder.submit([Fact(document="R2", sku="SKU-000", quantity=1, **common)]).result(30)
        Projection(pool).step()
    asked = "number=available_to_sell&sku=SKU-000&channel=WEB&listing=SKU-000"
    now = console.get(f"/why.json?{asked}").json["answer"]
    then = console.get(f"/why.json?{asked}&at={quote(at)}").json["answer"]
    assert now["explanation"]["result"] == 7
    assert then["explanation"]["result"] == 10
    assert then["rules"]["id"] < now["rules"]["id"]
    assert [row["kind"] for row in then["entries"]] == ["receipt"]


def test_the_page_of_a_busy_item_and_all_it_loads_stay_small(seed: Seed, console: Served):
    seed_wholesaler(seed)
    seed.rules_since(4000)
    size = len(console.get(f"/items/{HOT}").body)
    static = ("console.css", "console.js", "board.js", "keys.js", "live.js", "travel.js", "why.js",
              "mark.svg")  # fmt: skip
    assert size + sum(len(console.get(f"/console/static/{one}").body) for one in static) < 150_000
