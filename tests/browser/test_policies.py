"""The channels' rules as a person changes them, in a real browser."""

import json
from typing import Any

import pytest

from tests.browser.test_console import contrast
from tests.console.people import Browser
from tests.console.seeding import HOT, Seed, seed_wholesaler
from tests.console.serving import Served
from tests.console.test_policies import HOSTILE, put_rules, try_out

pytestmark = pytest.mark.browser

RULES: list[dict[str, Any]] = [
    {"sku": HOT, "cap": 3},
    {"sku_group": "kitchen", "safety": 4, "safety_per": "place", "hard_safety": 2},
    {"buffer_risk": 0.01, "buffer_most_percent": 25, "buffer": 1},
]
INPUTS = {
    "risk": 0.01, "chance": 0.004, "elsewhere_per_day": 3.5, "own_per_day": 1.0, "seen": 20.0,
    "busy": 1.0, "window_s": 690.0, "why_window": "90 s to tell market-a", "most": None,
}  # fmt: skip
PAGES = (
    "/policies", "/policies/market-a", "/policies/market-a?from=2", "/policies/webshop",
    "/policy-trials/1", f"/policy-trials/1/effect?channel=market-a&listing={HOT}",
)  # fmt: skip


@pytest.fixture
def filled(seed: Seed, console: Served) -> Seed:
    """A wholesaler with rules, a silent source, windows, buffers, and one trial."""
    seed_wholesaler(seed)
    put_rules(seed, "market-a", *RULES, reason="spring sale")
    put_rules(seed, "market-a", *RULES[:1], {"safety": 1}, reason="a slip")
    put_rules(seed, "market-a", *RULES, reason="back to what was agreed")
    seed._run(
        "insert into blind_window (channel, source, valid_from, seconds, why) values"
        " ('market-a', '', now(), 90, 'p99 of 12 acknowledged and 0 waiting changes'),"
        " ('market-a', 'webshop', now(), 600, 'webshop is silent: 3 polls failed')"
    )
    seed._run(
        "insert into degraded (system, silent_since, reason)"
        " values ('webshop', now(), 'webshop is silent: 3 polls failed')"
    )
    seed._run(
        "insert into buffer_now (channel, sku, units, inputs, computed_at)"
        " values ('market-a', %s, 4, %s, now())",
        HOT, json.dumps(INPUTS),
    )  # fmt: skip
    try_out(Browser(console), "market-a", {"sku": HOT, "cap": "1"}, {"safety": "2"})
    return seed


def rules_of(console: Served, channel: str) -> list[dict[str, Any]]:
    found = console.get(f"/policies/{channel}.json").json
    return [rule["policy"] for rule in found["channel"]["rules"]]


def test_a_rule_is_changed_tried_explained_and_applied_by_keyboard(
    filled: Seed, console: Served, page: Any
):
    page.goto(f"{console.url}/policies")
    page.keyboard.press("j")
    page.locator('a:has-text("market-a")').first.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/policies/market-a")
    page.locator("#rule-1 summary").focus()
    page.keyboard.press("Enter")
    page.locator('[name="1.cap"]').fill("2")
    page.locator('[name="1.cap"]').press("Enter")
    page.wait_for_url("**/policy-trials/*")
    page.wait_for_selector("text=Apply to market-a")
    address = page.url
    page.locator("a[data-why]").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open] .differs")
    assert "cap" in page.locator("dialog").inner_text()
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")
    assert page.evaluate("document.activeElement.hasAttribute('data-why')")
    page.locator("#reason").fill("two are enough")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=In force as revision")
    assert page.url == address
    assert rules_of(console, "market-a")[0]["cap"] == 2


def test_what_is_wrong_is_seen_beside_its_field_and_put_right(
    filled: Seed, console: Served, page: Any
):
    page.goto(f"{console.url}/policies/market-a")
    page.click("#rule-2 summary")
    page.fill('[name="2.safety"]', "-4")
    page.fill('[name="2.sku_group"]', "kitchn")
    page.fill('[name="2.buffer_percent"]', "130")
    page.click("text=See what would change >> nth=0")
    page.wait_for_selector('[role="alert"]')
    for name, says in (
        ("safety", "out of range"),
        ("sku_group", "did you mean kitchen?"),
        ("buffer_percent", "0 to 100"),
    ):
        field = page.locator(f'[name="2.{name}"]')
        assert field.is_visible(), "the rule with a fault is open"
        assert field.get_attribute("aria-invalid") == "true"
        described = page.locator(f'[id="{field.get_attribute("aria-describedby")}"]')
        assert says in described.inner_text()
    assert not page.locator('[name="1.cap"]').is_visible()
    page.fill('[name="2.safety"]', "6")
    page.fill('[name="2.sku_group"]', "kitchen")
    page.fill('[name="2.buffer_percent"]', "30")
    page.click("text=See what would change >> nth=0")
    page.wait_for_selector("text=Apply to market-a")
    assert "6 are held back" in page.inner_text("main")


def test_rules_are_added_moved_and_removed_with_the_focus_where_one_was(
    filled: Seed, console: Served, page: Any
):
    page.goto(f"{console.url}/policies/webshop")
    page.click("text=Add a rule")
    page.wait_for_selector("#rule-1 details[open]")
    page.fill('[name="1.cap"]', "9")
    page.click("text=Add a rule >> nth=0")
    page.wait_for_selector("#rule-2")
    page.fill('[name="1.sku"]', HOT)
    page.click("#rule-1 >> text=Move down")
    page.wait_for_selector("#rule-2 >> text=Change its fields")
    page.wait_for_function("document.querySelector('[name=\"2.sku\"]')?.value === '" + HOT + "'")
    focused = page.evaluate("document.activeElement.closest('fieldset')?.id")
    assert focused == "rule-2"
    page.click("#rule-1 >> text=Remove")
    page.wait_for_selector("#rule-2", state="detached")
    assert page.input_value('[name="1.sku"]') == HOT
    assert rules_of(console, "webshop") == []


def test_a_long_preview_shows_its_progress_and_then_itself(
    filled: Seed, console: Served, page: Any
):
    filled._run("update policy_trial_run set state = 'running', beat_at = now(), seen = 1500")
    page.goto(f"{console.url}/policy-trials/1")
    page.evaluate("window.notReloaded = true")
    assert "1\u2009500 listings looked at so far" in page.inner_text("#preview")
    assert page.locator("#reason").count() == 0
    filled._run("update policy_trial_run set seen = 2500")
    page.wait_for_selector("text=2\u2009500 listings looked at so far")
    filled._run("update policy_trial_run set state = 'done'")
    page.wait_for_selector("text=Apply to market-a")
    assert page.locator("#preview [data-progress]").count() == 0
    assert page.evaluate("window.notReloaded")


def test_what_is_typed_stays_while_a_replay_is_waited_for(filled: Seed, console: Served, page: Any):
    filled._run(
        "insert into policy_trial_run (trial, kind, state, beat_at)"
        " values (1, 'replay', 'running', now())"
    )
    page.goto(f"{console.url}/policy-trials/1")
    page.fill("#reason", "half a sentence")
    filled._run("update policy_trial_run set state = 'stopped' where kind = 'replay'")
    page.wait_for_selector("text=Stopped before it was done")
    assert page.input_value("#reason") == "half a sentence"
    page.click("text=Play it again")
    page.wait_for_selector("text=Sales withheld")


def test_rules_are_tried_and_applied_without_scripts(filled: Seed, console: Served, browser: Any):
    context = browser.new_context(java_script_enabled=False)
    plain = context.new_page()
    plain.goto(f"{console.url}/policies/webshop")
    plain.click("text=Add a rule")
    plain.fill('[name="1.cap"]', "5")
    plain.click("text=See what would change >> nth=0")
    plain.wait_for_selector("text=Apply to webshop")
    plain.click("a[data-why] >> nth=0")
    plain.wait_for_selector("text=Steps that differ are marked")
    plain.go_back()
    plain.fill("#reason", "no scripts here")
    plain.click("text=Apply to webshop")
    plain.wait_for_selector("text=In force as revision")
    context.close()
    assert [rule["cap"] for rule in rules_of(console, "webshop")] == [5]


@pytest.mark.parametrize("path", PAGES)
def test_at_200_percent_zoom_nothing_of_rules_is_lost(
    filled: Seed, console: Served, page: Any, path: str
):
    page.set_viewport_size({"width": 640, "height": 400})
    page.goto(console.url + path)
    page.evaluate("for (const one of document.querySelectorAll('main details')) one.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= 640
    outside = page.evaluate(
        """() => [...document.querySelectorAll('main *')].filter(one => {
          const box = one.getBoundingClientRect();
          return box.width && box.right > 641 && !one.closest('.scroll, datalist');
        }).map(one => one.outerHTML.slice(0, 80))"""
    )
    assert outside == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_quiet_text_of_rules_is_readable(filled: Seed, console: Served, page: Any, scheme: str):
    page.emulate_media(color_scheme=scheme)
    poor = {}
    looked_at = {
        "/policies": (".facts", ".short", ".rules .note", ".every summary", ".plain"),
        "/policies/market-a": (".says", ".topic-name", ".was", ".primary", ".grave", ".rule .note"),
        "/policy-trials/1": (".totals .note", ".num", ".primary", ".card .note"),
        f"/policy-trials/1/effect?channel=market-a&listing={HOT}": (".differs td", ".meaning"),
    }
    for path, selectors in looked_at.items():
        page.goto(console.url + path)
        page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        for one in selectors:
            assert page.locator(one).count(), f"{path} has no {one}"
            ratio = contrast(page, one)
            if ratio < 4.5:
                poor[f"{path} {one}"] = ratio
    assert poor == {}


@pytest.mark.parametrize("path", PAGES)
def test_everything_on_pages_of_rules_has_a_name(
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


def test_hostile_texts_in_rules_run_nothing(seed: Seed, console: Served, page: Any):
    seed_wholesaler(seed)
    seed.channel(HOSTILE, "webshop", "LON")
    seed.listing(HOSTILE, HOSTILE, HOT)
    put_rules(seed, HOSTILE, {"sku": HOSTILE, "cap": 3}, reason=HOSTILE)
    browser = Browser(console)
    (address,) = [found for found in _addresses(browser.get("/policies").text) if "script" in found]
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    for path in ("/policies", address):
        page.goto(console.url + path)
        assert HOSTILE in page.inner_text("main")
    page.click("text=Change its fields")
    page.fill('[name="1.sku_group"]', HOSTILE)
    page.click("text=See what would change >> nth=0")
    page.wait_for_selector('[role="alert"]')
    assert page.input_value('[name="1.sku_group"]') == HOSTILE
    page.fill('[name="1.sku_group"]', "")
    page.fill('[name="1.sku"]', "")
    page.click("text=See what would change >> nth=0")
    page.wait_for_selector("text=Apply to")
    page.fill("#reason", HOSTILE)
    page.click("button:has-text('Apply to')")
    page.wait_for_selector("text=In force as revision")
    assert HOSTILE in page.inner_text(".good")


def _addresses(text: str) -> list[str]:
    import html
    import re

    return [html.unescape(one) for one in re.findall(r'<a data-open href="([^"]+)">', text)]
