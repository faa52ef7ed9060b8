"""How long a person waits, on a database of five million entries, and how much it takes to look.

The one place where a clock decides: these are the budgets that the console promises.
"""

import datetime as dt
import math
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stockwright.store.embedded import EmbeddedServer
from stockwright.store.migrate import migrate
from tests.browser.everywhere import addresses, templates
from tests.browser.growing import ENTRIES, grow
from tests.browser.growing import HOT as SOLD_MOST
from tests.conftest import CLUSTER_VARIABLE, NOT_DURABLE, new_data_dir
from tests.console.seeding import HOT, Seed, seed_wholesaler
from tests.console.serving import Served, serve

pytestmark = pytest.mark.browser
on_grown = pytest.mark.slow

FOUND_WITHIN_MS = 2000
PAGE_MS_P95 = 300
FIRST_PAGE_BYTES = 150_000
CLICKS = 3
VIEWS, ROUNDS = 20, 3

NEEDING_MORE = {
    "/item": (),
    "/items": ("/items", "/items?q=S-0047"),
    "/items/{sku:path}": (
        "/items/S-004711", "/items/S-004711?before=1200000", f"/items/{SOLD_MOST}",
        f"/items/{SOLD_MOST}?kind=reserve", f"/items/{SOLD_MOST}?before=1250000",
    ),
    "/why": (
        "/why?number=reserved&sku=S-004711", "/why?number=free&sku=S-004711",
        f"/why?number=available_to_sell&sku={SOLD_MOST}&channel=c1&listing={SOLD_MOST}",
        f"/why?number=sent&sku={SOLD_MOST}&channel=c1&listing={SOLD_MOST}",
        f"/why?number=told&sku={SOLD_MOST}&system=wms&location=LON",
    ),
    "/search": ("/search?q=W-12345", "/search?q=bound"),
    "/trace": ("/trace?id=W-777777", "/trace?sequence=1234567"),
    "/work-items": ("/work-items", "/work-items?state=closed", "/work-items?age=older"),
    "/work-items/{id}": ("/work-items/100000",),
    "/parked": ("/parked", "/parked?missing=item:A-7"),
    "/parked/{id}": ("/parked/500000",),
    "/reservations": (
        "/reservations", "/reservations?state=open", "/reservations?sku=S-004711",
    ),
    "/reservation": ("/reservation?system=webshop&order=W-777777",),
    "/publication": (),
    "/publications/{channel:path}": ("/publications/web",),
    "/connection": (),
    "/connections/{system:path}": ("/connections/wms",),
    "/subscription": (),
    "/subscriptions/{name:path}": ("/subscriptions/c7",),
    "/policy": (),
    "/policies/{channel:path}": ("/policies/web",),
    # A trial reads every listing of its channel: it shows how far it is, and then itself.
    "/policy-trials/{trial}": (),
    "/policy-trials/{trial}/effect": (),
    "/api-log/{id}": ("/api-log/70000",),
    "/audit": ("/audit", "/audit?subject=S-77"),
}  # fmt: skip
"""Addresses in the grown database, where the bare one is no page or not all of it; a page with two
addresses is measured at one."""

PAST_PAGES = (
    f"/items/{SOLD_MOST}", "/items/S-004711",
    f"/why?number=available_to_sell&sku={SOLD_MOST}&channel=c1&listing={SOLD_MOST}",
    f"/why?number=sent&sku={SOLD_MOST}&channel=c1&listing={SOLD_MOST}",
)  # fmt: skip
"""Pages that are asked for as of a day, a week and a fortnight ago."""

# Pages work without scripts: a person reads from the first paint on.
TIMES = """() => {
  const [painted] = performance.getEntriesByName('first-contentful-paint');
  return painted && [performance.getEntriesByType('navigation')[0].responseEnd, painted.startTime];
}"""


@pytest.fixture(scope="module")
def grown() -> Iterator[Served]:
    """The console over a database that has grown for years, on a server of that size."""
    folder = new_data_dir(parent=Path(os.environ[CLUSTER_VARIABLE]).parent)
    settings = {**NOT_DURABLE, "shared_buffers": "512MB"}
    try:
        with EmbeddedServer.start(folder, settings=settings) as server:
            migrate(server.url)
            grow(server.url)
            with serve(server.url, open_to_all=True) as served:
                yield served
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def p95(times_ms: list[float]) -> float:
    """The time that 19 of 20 stay within."""
    return sorted(times_ms)[math.ceil(len(times_ms) * 0.95) - 1]


def wait_ms(page: Any, address: str) -> float:
    """What 19 of 20 views take from asking for the page until one can read it."""
    times = []
    for _ in range(VIEWS):
        assert page.goto(address).status == 200
        times.append(page.wait_for_function(TIMES).json_value())
    answered, painted = (p95([float(one) for one in column]) for column in zip(*times, strict=True))
    print(f"{address}: answered in {answered:.0f} ms, painted in {painted:.0f} ms")
    return painted


@on_grown
def test_the_database_is_as_large_as_the_budgets_say(grown: Served):
    assert ENTRIES >= 5_000_000
    assert set(NEEDING_MORE) <= set(templates())
    assert grown.get("/index.json").json["totals"]["sequence"] * 2 == ENTRIES


@on_grown
@pytest.mark.parametrize("address", addresses(NEEDING_MORE))
def test_a_page_is_read_within_300_ms_in_19_of_20_cases(grown: Served, page: Any, address: str):
    assert_quick(grown, page, address)


@on_grown
@pytest.mark.parametrize("days", [1, 7, 14])
@pytest.mark.parametrize("address", PAST_PAGES)
def test_a_page_of_the_past_is_read_as_fast(grown: Served, page: Any, address: str, days: int):
    then = dt.datetime.now(dt.UTC) - dt.timedelta(days=days)
    joined = "&" if "?" in address else "?"
    assert_quick(grown, page, f"{address}{joined}at={then:%Y-%m-%dT%H:%M:%SZ}")


def assert_quick(grown: Served, page: Any, address: str) -> None:
    page.goto(grown.url)
    # A page that is slow is slow every time; a hiccup of the machine is not.
    for _ in range(ROUNDS):
        took_ms = wait_ms(page, grown.url + address)
        if took_ms < PAGE_MS_P95:
            break
    assert took_ms < PAGE_MS_P95


@on_grown
@pytest.mark.parametrize("number", ["W-777777", "D-1234567"])
def test_an_event_is_found_by_its_number_within_two_seconds(grown: Served, page: Any, number: str):
    page.goto(grown.url)
    page.keyboard.press("/")
    page.keyboard.type(number)
    started_ms = page.evaluate("Date.now()")
    page.keyboard.press("Enter")
    page.wait_for_selector('a[href^="/trace?sequence="]')
    took_ms = page.evaluate("Date.now()") - started_ms
    print(f"{number}: found in {took_ms} ms")
    assert number in page.locator("main").inner_text()
    assert took_ms <= FOUND_WITHIN_MS


@on_grown
def test_the_page_of_what_sells_most_is_small(grown: Served):
    assert len(grown.get(f"/items/{SOLD_MOST}").body) < FIRST_PAGE_BYTES


def transferred_bytes(browser: Any, url: str) -> int:
    """What goes over the network until a browser that was never here shows the page."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    network = context.new_cdp_session(page)
    network.send("Network.enable")
    sizes: list[int] = []
    network.on("Network.loadingFinished", lambda told: sizes.append(told["encodedDataLength"]))
    page.goto(url, wait_until="load")
    page.wait_for_function("() => document.getElementById('live').textContent.trim() === 'live'")
    context.close()
    assert len(sizes) >= 3, "the page, its style and its scripts"
    return sum(sizes)


@on_grown
def test_the_first_page_stays_below_150_kb_over_the_years(grown: Served, browser: Any):
    assert transferred_bytes(browser, grown.url) < FIRST_PAGE_BYTES


def test_the_first_page_takes_less_than_150_kb(seed: Seed, console: Served, browser: Any):
    seed_wholesaler(seed)
    assert transferred_bytes(browser, console.url) < FIRST_PAGE_BYTES


def test_why_a_channel_shows_its_number_takes_three_clicks_from_the_overview(
    seed: Seed, console: Served, page: Any
):
    seed_wholesaler(seed)
    page.add_init_script(
        """addEventListener('pointerdown', () => {
          sessionStorage.clicks = 1 + Number(sessionStorage.clicks ?? 0);
        }, true);"""
    )
    page.goto(console.url)
    page.click('nav a:has-text("Items")')
    page.click(f'main a:text-is("{HOT}")')
    number = page.locator('a[data-why][href*="available_to_sell"][href*="channel=webshop"]')
    shown = number.inner_text()
    number.click()
    dialog = page.locator("dialog")
    assert "available to sell" in dialog.locator("h1").inner_text()
    assert dialog.locator("tbody tr").count() > 1
    assert dialog.locator("tfoot .strong").inner_text() == shown
    assert int(page.evaluate("sessionStorage.clicks")) <= CLICKS
