"""The console's lists as a person works through them, in a real browser."""

from typing import Any

import pytest

from tests.browser.everywhere import seed_everything
from tests.browser.test_console import HOSTILE, contrast, wait_for
from tests.console.people import PASSWORD, add_user
from tests.console.seeding import HOT, Seed
from tests.console.serving import Served, serve
from tests.console.test_boards import demand, parked, work_items

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("cheap_passwords")]


def wait_for_first_row(page: Any, text: str) -> None:
    page.wait_for_function(
        "text => document.querySelector('tr[data-row]').textContent.includes(text)", arg=text
    )


@pytest.fixture
def filled(seed: Seed) -> Seed:
    """A wholesaler with something on every list."""
    seed_everything(seed)
    return seed


def test_rows_are_walked_selected_and_opened_by_keys_alone(
    filled: Seed, console: Served, page: Any
):
    page.goto(f"{console.url}/work-items")
    first = page.locator("tr[data-row]").nth(0)
    for key in ("j", "j", "k", "x"):
        page.keyboard.press(key)
    assert "here" in (first.get_attribute("class") or "")
    assert first.locator("input").is_checked()
    wait_for(page, "[data-selected]", "1 selected")
    page.keyboard.press("j")
    page.keyboard.press("x")
    wait_for(page, "[data-selected]", "2 selected")
    page.keyboard.press("a")
    wait_for(page, "[data-selected]", "50 selected")
    address = page.locator("tr[data-row]").nth(1).locator("[data-open]").get_attribute("href")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{address}")


def test_help_opens_by_its_key_and_typing_is_left_alone(filled: Seed, console: Served, page: Any):
    page.goto(f"{console.url}/work-items")
    page.keyboard.press("?")
    page.wait_for_selector("dialog[open]")
    assert "select the row" in page.locator("dialog").inner_text()
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")
    page.keyboard.press("/")
    page.keyboard.type("jx?")
    assert page.input_value("#search") == "jx?"
    assert page.locator("tr.here, dialog").count() == 0
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("p")
    page.wait_for_url("**/parked")


def test_all_that_match_are_closed_after_a_look_and_taken_back_by_a_key(
    filled: Seed, console: Served, page: Any
):
    page.goto(f"{console.url}/work-items?kind=shortage")
    close = page.locator('button[value="work_item.close"]')
    assert close.is_disabled()
    page.check("[data-select-all]")
    wait_for(page, "[data-selected]", "All that match")
    close.click()
    page.wait_for_selector(".deed")
    assert "63 of 63 selected" in page.locator("h1").inner_text()
    assert page.evaluate("document.activeElement.name") == "why"
    page.keyboard.type("counted again")
    page.click('button:has-text("Close 63")')
    page.wait_for_url("**/done/*")
    page.keyboard.press("u")
    page.wait_for_selector("text=Taken back for 63 of 63")
    page.click("text=Back to where you were")
    page.wait_for_url("**/work-items?kind=shortage")
    assert page.locator("tr[data-row]").count() == 50


def test_a_list_stays_as_it_is_while_rows_are_selected(filled: Seed, console: Served, page: Any):
    page.goto(f"{console.url}/work-items")
    wait_for(page, "#live", "live")
    page.keyboard.press("j")
    page.keyboard.press("x")
    before = page.locator("tr[data-row]").nth(0).inner_text()
    work_items(filled, 1, "recount")
    page.wait_for_selector("[data-changed]:not([hidden])")
    assert page.locator("tr[data-row]").nth(0).inner_text() == before
    assert page.locator('input[name="id"]:checked').count() == 1
    page.keyboard.press("r")
    wait_for_first_row(page, "recount")


def test_a_list_nobody_touches_follows_by_itself(filled: Seed, console: Served, page: Any):
    page.goto(f"{console.url}/work-items")
    wait_for(page, "#live", "live")
    page.mouse.move(2, 2)
    page.evaluate("window.notReloaded = true")
    work_items(filled, 1, "recount")
    wait_for_first_row(page, "recount")
    assert page.evaluate("window.notReloaded")
    upto = filled.connection.execute("select max(id) from work_item").fetchone()
    assert upto is not None
    assert page.input_value('[name="upto"]') == str(upto[0])


def test_what_failed_in_a_long_payload_is_in_sight(filled: Seed, console: Served, page: Any):
    filled._run(
        "update payload set body = convert_to((select json_agg(n) from generate_series(1, 900) n)"
        "::text, 'UTF8'), path = '$[600]', missing = '' where system = 'erp'"
    )
    page.goto(f"{console.url}/parked/2")
    assert page.locator("#fault").inner_text().strip().endswith("601,")
    assert page.evaluate(
        """() => {
          const box = document.querySelector('.raw').getBoundingClientRect();
          const fault = document.getElementById('fault').getBoundingClientRect();
          return fault.top >= box.top && fault.bottom <= box.bottom;
        }"""
    )


def test_a_code_is_bound_on_the_payloads_page(filled: Seed, console: Served, page: Any):
    page.goto(f"{console.url}/parked/2")
    page.fill("#code", HOT)
    page.click('button:has-text("Bind…")')
    page.click('.deed button:has-text("Bind")')
    page.wait_for_url("**/done/*")
    assert "A-99 is bound to" in page.locator(".deed").inner_text()
    bound = filled.connection.execute("select code from binding where partner_code = 'A-99'")
    assert bound.fetchall() == [(HOT,)]


def test_a_view_is_saved_and_chosen(filled: Seed, console: Served, page: Any):
    page.goto(f"{console.url}/work-items?kind=shortage")
    page.click(".save summary")
    page.fill("#view-name", "Shortages")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    page.goto(f"{console.url}/work-items")
    page.click('.view:has-text("Shortages")')
    page.wait_for_url("**/work-items?kind=shortage")


def test_lists_work_without_scripts(filled: Seed, console: Served, browser: Any):
    context = browser.new_context(java_script_enabled=False)
    plain = context.new_page()
    plain.goto(f"{console.url}/work-items")
    plain.check('tr[data-row] input[name="id"] >> nth=0')
    plain.click('button[value="work_item.close"]')
    plain.fill("textarea", "done")
    plain.click('.deed button:has-text("Close 1")')
    plain.wait_for_url("**/done/*")
    plain.click("text=Take it back")
    plain.wait_for_selector("text=Taken back for 1 of 1")
    context.close()


def test_an_admin_makes_somebody_a_new_password_and_sees_it_once(
    seed: Seed, database_url: str, page: Any
):
    add_user(database_url, "ada", "admin")
    add_user(database_url, "bob")
    with serve(database_url, open_to_all=False) as served:
        page.goto(f"{served.url}/console/sign-in")
        page.fill("#name", "ada")
        page.fill("#password", PASSWORD)
        page.click("button.primary")
        page.wait_for_url(f"{served.url}/")
        page.goto(f"{served.url}/users")
        page.get_by_label("New password: bob").click()
        page.wait_for_selector("#own:focus")
        page.keyboard.type(PASSWORD)
        page.keyboard.press("Enter")
        password = page.locator("#password").inner_text()
        page.click("text=Back to the users")
        assert password not in page.content()
        other = page.context.browser.new_context()
        theirs = other.new_page()
        theirs.goto(f"{served.url}/console/sign-in")
        theirs.fill("#name", "bob")
        theirs.fill("#password", password)
        theirs.click("button.primary")
        theirs.wait_for_url("**/account")
        other.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_quiet_text_of_lists_is_readable(filled: Seed, console: Served, page: Any, scheme: str):
    page.emulate_media(color_scheme=scheme)
    poor = {}
    looked_at = {
        "/work-items": (".facets .count", ".facets h2", ".tabs a", ".doing .selected"),
        "/parked": (".grave", ".where", ".sub"),
        "/parked/2": (".raw mark", ".raw .no", ".warning", ".primary", ".card .note"),
        "/reservations": ('.state[data-state="open"]',),
    }
    for path, selectors in looked_at.items():
        page.goto(console.url + path)
        page.evaluate(
            "for (const one of document.querySelectorAll(':disabled')) one.disabled = false"
        )
        for one in selectors:
            ratio = contrast(page, one)
            if ratio < 4.5:
                poor[f"{path} {one}"] = ratio
    assert poor == {}


def test_a_page_left_open_is_left_when_the_session_ends(database_url: str, browser: Any):
    from stockwright.store import users
    from stockwright.store.connection import connect

    # A page of its own: what the open page still asks for is refused, and the browser notes that.
    page = browser.new_context().new_page()
    add_user(database_url, "ada", "operator")
    with serve(database_url, open_to_all=False) as locked:
        page.goto(locked.url)
        page.fill("#name", "ada")
        page.fill("#password", PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{locked.url}/")
        with connect(database_url) as connection:
            users.disable_user(connection, "ada")
        page.goto(f"{locked.url}/work-items")
        assert page.url.endswith("/console/sign-in")
    page.context.close()


def test_hostile_texts_on_lists_run_nothing(seed: Seed, console: Served, page: Any):
    work_items(seed, 1, HOSTILE)
    parked(seed, 1, missing=f"item:{HOSTILE}")
    demand(seed, 1, order=HOSTILE, channel=HOSTILE)
    for path in (
        "/work-items",
        "/work-items/1",
        "/parked",
        "/parked/1",
        "/reservations",
        "/search?q=%3Cimg",
    ):
        page.goto(console.url + path)
        assert page.title().endswith("Stockwright")
        assert page.locator("main img, main script").count() == 0
