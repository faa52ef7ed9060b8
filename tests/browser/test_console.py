"""The console as a person meets it, in a real browser."""

import threading
from typing import Any

import pytest

from tests.console.people import PASSWORD, add_user
from tests.console.seeding import HOT, Seed, seed_wholesaler
from tests.console.serving import Served, serve

pytestmark = pytest.mark.browser

HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=2</script>'


def wait_for(page: Any, selector: str, text: str) -> None:
    """Waits until the element's own text is this one, without a reload."""
    page.wait_for_function(
        "([selector, text]) => document.querySelector(selector)?.textContent.trim() === text",
        arg=[selector, text],
    )


def state_of(link: str) -> str:
    return f'[data-cell="{link}/state"]'


def test_the_overview_follows_the_database_without_a_reload(seed: Seed, console: Served, page: Any):
    seed_wholesaler(seed)
    page.goto(console.url)
    wait_for(page, "#live", "live")
    page.evaluate("window.notReloaded = true")
    seed.connection.execute("update connection_state set paused = true where system = 'market-b'")
    wait_for(page, state_of("out:market-b:market-b"), "paused")
    dot = page.locator(state_of("out:market-b:market-b"))
    assert dot.get_attribute("data-state") == "paused"
    assert page.evaluate("window.notReloaded")


def test_several_open_pages_all_follow(seed: Seed, console: Served, page: Any):
    seed_wholesaler(seed)
    others = [page.context.new_page() for _ in range(2)]
    for one in (page, *others):
        one.goto(console.url)
    seed.connection.execute("insert into work_item (kind, subject) values ('recount', 'x')")
    for one in (page, *others):
        one.bring_to_front()
        wait_for(one, '[data-cell="total:work"]', "4")


def test_a_new_link_appears_on_the_open_page(seed: Seed, console: Served, page: Any):
    seed_wholesaler(seed)
    page.goto(console.url)
    wait_for(page, "#live", "live")
    seed.system("newcomer")
    page.wait_for_selector('[data-link="in:newcomer:"]')


def test_a_page_reconnects_when_the_server_comes_back(seed: Seed, database_url: str, page: Any):
    seed_wholesaler(seed)
    with serve(database_url, open_to_all=True) as first:
        page.goto(first.url)
        wait_for(page, "#live", "live")
        port = first.port
    wait_for(page, "#live", "reconnecting")
    seed.connection.execute("insert into work_item (kind, subject) values ('recount', 'x')")
    with serve(database_url, open_to_all=True, port=port):
        wait_for(page, '[data-cell="total:work"]', "4")
        wait_for(page, "#live", "live")
        page.goto("about:blank")


def test_why_a_channel_shows_its_number_takes_three_steps(seed: Seed, console: Served, page: Any):
    seed_wholesaler(seed)
    page.goto(console.url)
    page.keyboard.press("/")
    page.keyboard.type(f"MA-{HOT}")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/items/{HOT}")
    link = page.locator('a[data-why][href*="available_to_sell"][href*="channel=webshop"]')
    shown = link.inner_text()
    link.click()
    dialog = page.locator("dialog")
    assert f"{shown}" in dialog.locator("tfoot").inner_text()
    assert "available to sell" in dialog.locator("h1").inner_text()


def test_an_explanation_opens_and_closes_by_keyboard_and_focus_returns(
    seed: Seed, console: Served, page: Any
):
    seed_wholesaler(seed)
    page.goto(f"{console.url}/items/{HOT}")
    link = page.locator("a[data-why]").first
    link.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open]")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")
    assert link.evaluate("link => link === document.activeElement")


def test_the_first_tab_offers_to_skip_to_the_content(seed: Seed, console: Served, page: Any):
    page.goto(console.url)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_an_item_page_shows_new_events_and_keeps_an_open_explanation(
    seed: Seed, console: Served, page: Any
):
    seed_wholesaler(seed)
    page.goto(f"{console.url}/items/{HOT}")
    wait_for(page, "#live", "live")
    page.locator("a[data-why]").first.click()
    page.wait_for_selector("dialog[open]")
    seed.event("damage", HOT, 3, ("sellable", "damaged"), document="D-NEW", seconds_ago=0)
    page.wait_for_selector("text=D-NEW")
    assert page.locator("dialog[open]").count() == 1


def test_a_hidden_page_lets_its_stream_go_and_takes_it_up_again(
    seed: Seed, console: Served, page: Any
):
    seed_wholesaler(seed)
    page.goto(console.url)
    wait_for(page, "#live", "live")
    hide = "document.dispatchEvent(new Event('visibilitychange'))"
    page.evaluate(
        f"Object.defineProperty(document, 'hidden', {{value: true, writable: true}}); {hide}"
    )
    wait_for(page, "#live", "paused")
    page.evaluate(f"document.hidden = false; {hide}")
    wait_for(page, "#live", "live")


def test_pages_work_without_scripts(seed: Seed, console: Served, browser: Any):
    seed_wholesaler(seed)
    context = browser.new_context(java_script_enabled=False)
    plain = context.new_page()
    plain.goto(f"{console.url}/items/{HOT}")
    plain.locator("a[data-why]").first.click()
    assert "/why?number=free" in plain.url
    assert plain.locator("tfoot").count() == 1
    plain.fill("#search", HOT)
    plain.press("#search", "Enter")
    plain.wait_for_url(f"**/items/{HOT}")
    context.close()


@pytest.mark.parametrize(("scheme", "is_dark"), [("light", False), ("dark", True)])
def test_the_page_follows_the_persons_colour_scheme(
    console: Served, page: Any, scheme: str, is_dark: bool
):
    page.emulate_media(color_scheme=scheme)
    page.goto(console.url)
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    red, green, blue = (int(part) for part in colour.strip("rgb()").split(","))
    assert (red + green + blue < 200) == is_dark


def contrast(page: Any, selector: str) -> float:
    """The contrast ratio of an element's text against what lies behind it."""
    return float(
        page.evaluate(
            """selector => {
              const rgb = text => text.match(/[\\d.]+/g).map(Number);
              const light = ([r, g, b]) => [r, g, b]
                .map(v => v / 255)
                .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
                .reduce((sum, v, n) => sum + v * [0.2126, 0.7152, 0.0722][n], 0);
              const element = document.querySelector(selector);
              let behind = element, back = [0, 0, 0, 0];
              while (behind && (back[3] ?? 1) === 0) {
                back = rgb(getComputedStyle(behind).backgroundColor);
                behind = behind.parentElement;
              }
              const [a, b] = [light(rgb(getComputedStyle(element).color)), light(back)];
              return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            }""",
            selector,
        )
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_state_and_quiet_text_is_readable(
    seed: Seed, console: Served, page: Any, scheme: str
):
    seed_wholesaler(seed)
    page.emulate_media(color_scheme=scheme)
    page.goto(console.url)
    looked_at = [
        *(f'tbody .state[data-state="{state}"]' for state in ("live", "idle", "failing", "paused")),
        ".error:not(:empty)", ".by", ".totals .note", "thead th", "footer span", ".count",
    ]  # fmt: skip
    page.evaluate("document.querySelector('details').open = true")
    poor = {one: ratio for one in looked_at if (ratio := contrast(page, one)) < 4.5}
    page.goto(f"{console.url}/items/{HOT}")
    for one in (".num.zero", ".version", ".was", ".matrix .books th", ".apart > .num"):
        ratio = contrast(page, one)
        if ratio < 4.5:
            poor[one] = ratio
    assert poor == {}


def test_hostile_codes_and_descriptions_run_nothing(seed: Seed, console: Served, page: Any):
    seed.system(HOSTILE)
    seed.location("LON")
    seed.channel(HOSTILE, HOSTILE, "LON")
    seed.sku(HOSTILE, HOSTILE, HOSTILE)
    seed.listing(HOSTILE, HOSTILE, HOSTILE)
    seed.level(HOSTILE, HOSTILE, 4, state="due", attempts=2, last_error=HOSTILE)
    seed.event("receipt", HOSTILE, 4, ("supplier", "sellable"), document=HOSTILE)
    seed.balance(HOSTILE, "LON", sellable=4)
    page.goto(console.url)
    wait_for(page, "#live", "live")
    page.goto(f"{console.url}/items")
    page.locator("tbody a").click()
    page.locator("a[data-why]").nth(1).click()
    page.wait_for_selector("dialog[open]")
    assert page.title().endswith("Stockwright")
    assert page.locator("main img, dialog img, main script").count() == 0


def test_a_person_signs_in_by_name_and_out_again(database_url: str, page: Any):
    add_user(database_url, "ada", "operator")
    with serve(database_url, open_to_all=False) as locked:
        page.goto(locked.url)
        assert page.url.endswith("/console/sign-in")
        page.fill("#name", "Ada")
        page.fill("#password", PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{locked.url}/")
        wait_for(page, "#live", "live")
        page.click(".me summary")
        page.click("text=Sign out")
        page.wait_for_url("**/console/sign-in")
        page.goto(f"{locked.url}/items")
        assert page.url.endswith("/console/sign-in")


def test_the_switch_of_colours_is_kept_and_leads_back(seed: Seed, console: Served, page: Any):
    seed_wholesaler(seed)
    page.emulate_media(color_scheme="light")
    page.goto(f"{console.url}/items")
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.click(".me summary")
    page.click("text=Dark")
    page.wait_for_url(f"{console.url}/items")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
    page.goto(console.url)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before


def test_hundreds_of_events_reach_the_page_as_a_few_calm_updates(
    seed: Seed, console: Served, page: Any
):
    seed_wholesaler(seed)
    before = seed.sequence
    stop = threading.Event()

    def trade() -> None:
        while not stop.is_set():
            seed.event("receipt", HOT, 1, ("supplier", "sellable"), seconds_ago=0)

    page.goto(console.url)
    wait_for(page, "#live", "live")
    page.evaluate(
        """() => {
          window.changes = 0;
          new MutationObserver(() => { window.changes += 1; })
            .observe(document.querySelector('[data-cell="total:sequence"]'), {childList: true});
        }"""
    )
    trading = threading.Thread(target=trade)
    trading.start()
    try:
        page.wait_for_function("() => window.changes >= 4")
    finally:
        stop.set()
        trading.join()
    assert page.evaluate("window.changes") * 3 < seed.sequence - before


def step(page: Any, key: str) -> str:
    """Presses a key on the slider and answers the moment the page then shows."""
    before = page.url
    page.locator("#moment").focus()
    page.keyboard.press(key)
    page.wait_for_function("before => location.href !== before", arg=before)
    return str(page.url.partition("at=")[2])


def test_the_slider_steps_from_change_to_change_by_the_arrow_keys_and_back_to_now(
    seed: Seed, console: Served, page: Any
):
    seed_wholesaler(seed)
    seed.rules_since(4000)
    page.goto(f"{console.url}/items/{HOT}")
    wait_for(page, "#live", "live")
    moments = [step(page, "ArrowLeft") for _ in range(4)]
    assert moments == sorted(moments, reverse=True)
    assert len(set(moments)) == 4
    assert page.evaluate("document.activeElement.id") == "moment"
    assert "As of" in page.locator(".then").inner_text()
    wait_for(page, "#live", "standing still")
    assert step(page, "ArrowRight") == moments[-2]
    page.locator("text=Back to now").click()
    wait_for(page, "#live", "live")
    assert page.locator(".then").count() == 0


def test_a_page_that_looks_at_the_past_is_left_alone_by_the_stream(
    seed: Seed, console: Served, page: Any
):
    seed_wholesaler(seed)
    seed.rules_since(4000)
    page.goto(f"{console.url}/items/{HOT}")
    wait_for(page, "#live", "live")
    step(page, "ArrowLeft")
    other = page.context.new_page()
    other.goto(f"{console.url}/items/{HOT}")
    wait_for(other, "#live", "live")
    seed.event("damage", HOT, 3, ("sellable", "damaged"), document="D-NEW", seconds_ago=0)
    # A page that follows shows it; the one that stands still does not, nor when it is shown again.
    other.wait_for_selector("text=D-NEW")
    page.bring_to_front()
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    other.bring_to_front()
    seed.event("damage", HOT, 1, ("sellable", "damaged"), document="D-LATER", seconds_ago=0)
    other.wait_for_selector("text=D-LATER")
    assert page.locator("text=D-NEW").count() == 0
    wait_for(page, "#live", "standing still")


def test_an_open_run_stays_open_while_new_events_come(seed: Seed, console: Served, page: Any):
    seed_wholesaler(seed)
    for n in range(3):
        seed.event("scrap", HOT, 1, ("damaged", "scrap"), document=f"X-{n}", seconds_ago=2)
    page.goto(f"{console.url}/items/{HOT}")
    wait_for(page, "#live", "live")
    run = page.locator("tbody.fold").first
    assert not run.locator("text=X-0").is_visible()
    run.locator("summary").click()
    assert run.locator("text=X-0").is_visible()
    seed.event("scrap", HOT, 1, ("damaged", "scrap"), document="X-NEW", seconds_ago=0)
    page.wait_for_selector("text=X-NEW", state="visible")
    assert page.locator("tbody.fold").first.locator("text=X-0").is_visible()


def test_without_scripts_a_run_opens_and_the_form_leads_to_a_moment(
    seed: Seed, console: Served, browser: Any
):
    seed_wholesaler(seed)
    seed.rules_since(4000)
    context = browser.new_context(java_script_enabled=False)
    plain = context.new_page()
    plain.goto(f"{console.url}/items/{HOT}")
    run = plain.locator("tbody.fold").first
    assert not run.locator(".folded").first.is_visible()
    run.locator("summary").click()
    assert run.locator(".folded").first.is_visible()
    assert not plain.locator("#moment").is_visible()
    plain.locator("text=Change before").click()
    assert "As of" in plain.locator(".then").inner_text()
    plain.locator(".travel button").click()
    assert "As of" in plain.locator(".then").inner_text()
    context.close()


def test_who_disagrees_is_said_in_words_that_can_be_read(seed: Seed, console: Served, page: Any):
    seed_wholesaler(seed)
    seed.told("wms", HOT, "LON", 300, -3, seconds_ago=2)
    seed.rules_since(4000)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.goto(f"{console.url}/items/{HOT}?at={seed.ago(1).strftime('%Y-%m-%dT%H:%M:%S.%fZ')}")
        looked_at = [
            ".accord",
            ".verdict.apart",
            ".then",
            ".chips a",
            ".chips .count",
            ".travel",
            ".run",
        ]
        poor = {one: ratio for one in looked_at if (ratio := contrast(page, one)) < 4.5}
        assert poor == {}, scheme
    assert "3 fewer" in page.locator(".claim").inner_text()


def test_the_menu_stands_beside_the_search_and_the_timeline_fits_its_box(
    seed: Seed, console: Served, page: Any
):
    seed_wholesaler(seed)
    page.goto(f"{console.url}/items/{HOT}")
    wait_for(page, "#live", "live")
    brand, menu = (page.locator(part).bounding_box() for part in (".brand", ".me"))
    assert menu["y"] < brand["y"] + brand["height"]
    box = page.locator(".scroll:has(.timeline)")
    assert box.evaluate("box => box.scrollWidth - box.clientWidth") <= 0
