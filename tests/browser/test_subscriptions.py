"""Subscriptions as an admin meets them, in a real browser."""

from typing import Any

import pytest

from tests.browser.everywhere import subscribed
from tests.console.seeding import Seed, seed_wholesaler
from tests.console.serving import Served

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("cheap_passwords")]


def test_a_consumer_is_replayed_after_a_look_and_given_a_secret_that_is_shown_once(
    seed: Seed, console: Served, page: Any
):
    seed_wholesaler(seed)
    subscribed(seed)
    page.goto(f"{console.url}/subscriptions")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/subscriptions/finance")
    page.fill("#sequence", "2")
    page.click('button:has-text("Estimate…")')
    page.wait_for_selector(".deed")
    assert "at the pace of its last messages" in page.locator(".effect").inner_text()
    assert page.evaluate("document.activeElement.textContent") == "Replay"
    page.keyboard.press("Enter")
    page.wait_for_url("**/done/*")
    assert page.locator("h1").inner_text() == "Replaying finance"
    page.keyboard.press("Enter")
    page.wait_for_url("**/subscriptions/finance")
    page.click('button:has-text("New secret…")')
    page.wait_for_selector(".deed")
    page.keyboard.press("Enter")
    page.wait_for_selector("#secret")
    assert page.locator("#secret").inner_text().startswith("whsec_")
    page.goto(f"{console.url}/subscriptions/finance")
    assert "whsec_" not in page.content()
    page.keyboard.press("g")
    page.keyboard.press("s")
    page.wait_for_url("**/subscriptions")
