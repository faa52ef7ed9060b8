"""Publication as an operator meets it, in a real browser."""

import json
from typing import Any

import pytest

from tests.browser.test_console import HOSTILE, contrast, wait_for
from tests.console.people import PASSWORD, add_user
from tests.console.seeding import Seed, seed_wholesaler
from tests.console.serving import Served, serve
from tests.console.test_publications import LIMITS

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("cheap_passwords")]

PAGES = ("/publications", "/publications/webshop", "/publications/dropship")


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
    seed._run("update connection_state set limits = %s::jsonb", json.dumps(LIMITS))
    return seed


def test_a_channel_is_paused_after_a_look_and_resumed(filled: Seed, console: Served, page: Any):
    page.goto(f"{console.url}/publications")
    page.click("text=webshop")
    page.wait_for_url("**/publications/webshop")
    page.fill("#why-pause", "they move house")
    page.click('button:has-text("Pause…")')
    page.wait_for_selector(".deed")
    assert page.evaluate("document.activeElement.id") == "why"
    assert page.input_value("#why") == "they move house", "what was typed came along"
    assert "whatever is sold elsewhere meanwhile" in page.locator(".warning").inner_text()
    page.click(".deed .primary")
    page.wait_for_url("**/done/*")
    assert page.locator("h1").inner_text() == "Paused webshop"
    page.keyboard.press("Enter")
    page.wait_for_url("**/publications/webshop")
    assert "they move house" in page.locator(".facts").inner_text()
    page.click('button:has-text("Resume…")')
    page.wait_for_selector(".deed")
    page.keyboard.type("they moved")
    page.click(".deed .primary")
    page.wait_for_url("**/done/*")
    assert page.locator("h1").inner_text() == "Resumed webshop"


def test_a_resync_shows_its_estimate_before_it_begins(filled: Seed, console: Served, page: Any):
    page.goto(f"{console.url}/publications/webshop")
    page.click('button:has-text("Estimate…")')
    page.wait_for_selector(".deed")
    text = page.locator(".effect").inner_text()
    assert "8 levels of 8 active listings" in text
    assert "4 calls" in text
    page.keyboard.type("restored from a backup")
    page.click('button:has-text("Resync")')
    page.wait_for_url("**/done/*")
    assert "Resyncing webshop: 8" in page.locator("h1").inner_text()
    page.click("text=Back to where you were")
    page.wait_for_url("**/publications/webshop")
    assert page.locator("text=sent again").count() >= 8


def test_the_page_follows_while_a_reason_is_typed(filled: Seed, console: Served, page: Any):
    page.goto(f"{console.url}/publications/webshop")
    wait_for(page, "#live", "live")
    page.fill("#why-pause", "half a rea")
    page.evaluate("window.notReloaded = true")
    filled.level("webshop", "brand-new", 3, state="due", seconds_ago=4)
    page.wait_for_selector("text=brand-new")
    assert page.input_value("#why-pause") == "half a rea"
    assert page.evaluate("window.notReloaded")


def test_the_list_follows_the_database(filled: Seed, console: Served, page: Any):
    page.goto(f"{console.url}/publications")
    wait_for(page, "#live", "live")
    filled._run("insert into channel_pause (channel, paused_by, why) values ('b2b', 'ada', 'x')")
    page.wait_for_function(
        "() => document.querySelector('tr[data-row] .state').dataset.state === 'paused'"
    )


def test_rows_are_walked_and_opened_by_keys(filled: Seed, console: Served, page: Any):
    page.goto(console.url)
    page.keyboard.press("g")
    page.keyboard.press("l")
    page.wait_for_url("**/publications")
    for key in ("j", "j", "Enter"):
        page.keyboard.press(key)
    page.wait_for_url("**/publications/dropship")


def test_all_of_it_works_without_scripts(filled: Seed, console: Served, browser: Any):
    context = browser.new_context(java_script_enabled=False)
    plain = context.new_page()
    plain.goto(f"{console.url}/publications/webshop")
    plain.fill("#why-resync", "restored")
    plain.click('button:has-text("Estimate…")')
    plain.click('button:has-text("Resync")')
    plain.wait_for_url("**/done/*")
    plain.click("text=Back to where you were")
    plain.wait_for_url("**/publications/webshop")
    context.close()


def test_a_viewer_sees_no_form(filled: Seed, database_url: str, page: Any):
    add_user(database_url, "vera", "viewer")
    with serve(database_url, open_to_all=False) as locked:
        page.goto(locked.url)
        page.fill("#name", "vera")
        page.fill("#password", PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{locked.url}/")
        page.goto(f"{locked.url}/publications/webshop")
        assert page.locator(".chart").count() == 1
        assert page.locator("main form").count() == 0


@pytest.mark.parametrize("path", PAGES)
def test_at_200_percent_zoom_nothing_is_lost(filled: Seed, console: Served, page: Any, path: str):
    page.set_viewport_size({"width": 640, "height": 400})
    page.goto(console.url + path)
    assert page.evaluate("document.documentElement.scrollWidth") <= 640
    outside = page.evaluate(
        """() => [...document.querySelectorAll('main *, header *')].filter(one => {
          const box = one.getBoundingClientRect();
          return box.width && box.right > 641 && !one.closest('.scroll, .paper, .menu');
        }).map(one => one.outerHTML.slice(0, 80))"""
    )
    assert outside == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_quiet_text_is_readable(filled: Seed, console: Served, page: Any, scheme: str):
    page.emulate_media(color_scheme=scheme)
    poor = {}
    looked_at = {
        "/publications": (".sub", ".state[data-state=paused]", ".error", ".of"),
        "/publications/webshop": (".totals .note", ".tabs a:not([aria-current])", ".card .note"),
        "/publications/dropship": (".primary", ".state[data-state=waiting]", "h2 .count"),
    }
    for path, selectors in looked_at.items():
        page.goto(console.url + path)
        for one in selectors:
            ratio = contrast(page, f"main {one}")
            if ratio < 4.5:
                poor[f"{path} {one}"] = ratio
    assert poor == {}


@pytest.mark.parametrize("path", PAGES)
def test_everything_that_can_be_used_has_a_name(
    filled: Seed, console: Served, page: Any, path: str
):
    page.goto(console.url + path)
    nameless = page.evaluate(
        """() => [...document.querySelectorAll(
              'a, button, input:not([type=hidden]), select, textarea')]
          .filter(one => !(one.textContent.trim() || one.getAttribute('aria-label')
            || one.labels?.length || one.title))
          .map(one => one.outerHTML.slice(0, 120))"""
    )
    assert nameless == []
    doubled = page.evaluate(
        """() => [...document.querySelectorAll('[id]')].map(one => one.id)
          .filter((id, n, all) => all.indexOf(id) !== n)"""
    )
    assert doubled == []


def test_hostile_texts_run_nothing(seed: Seed, console: Served, page: Any):
    seed.system(HOSTILE)
    seed.channel(HOSTILE, HOSTILE)
    seed.sku(HOSTILE)
    seed.listing(HOSTILE, HOSTILE, HOSTILE)
    seed.level(HOSTILE, HOSTILE, 4, state="due", attempts=2, last_error=HOSTILE)
    version = seed.change(HOSTILE, HOSTILE, 4, 20)
    seed.attempt(HOSTILE, HOSTILE, 4, version, outcome="retry", detail=HOSTILE)
    seed._run(
        "insert into channel_pause (channel, paused_by, why) values (%s, %s, %s)",
        HOSTILE, HOSTILE, HOSTILE,
    )  # fmt: skip
    page.goto(f"{console.url}/publications")
    page.click("tr[data-row] a")
    page.wait_for_selector(".facts")
    page.click('button:has-text("Resume…")')
    page.wait_for_selector(".deed")
    assert page.title().endswith("Stockwright")
    assert page.locator("main img, main script").count() == 0
