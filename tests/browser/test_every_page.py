"""What holds on every page of the console, for whoever reads, zooms or types."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from stockwright.store.embedded import EmbeddedServer
from tests.browser import axe
from tests.browser.everywhere import (
    NEEDING_MORE,
    addresses,
    begin_trial,
    plain_addresses,
    seed_everything,
    templates,
)
from tests.console.people import PASSWORD, add_user
from tests.console.seeding import HOT, Seed
from tests.console.serving import Served, serve

pytestmark = pytest.mark.browser

DESKTOP, PHONE = (1280, 800), (390, 844)
# Zoom leaves half of the width and height to lay out in.
VIEWS = {
    "desktop": DESKTOP,
    "desktop at 200 %": (640, 400),
    "phone": PHONE,
    "phone at 200 %": (195, 422),
}
LONGEST = 500
SCHEMES = ("light", "dark")

OUTSIDE = """width => [...document.querySelectorAll('body *')].filter(one => {
  const box = one.getBoundingClientRect();
  const unseen = '.scroll *, .raw *, .paper *, datalist, .skip, h1.quiet';
  return box.width && box.right > width + 1 && !one.matches(unseen) && one.checkVisibility();
}).map(one => one.outerHTML.slice(0, 80))"""

DOUBLED = """() => [...document.querySelectorAll('[id]')].map(one => one.id)
  .filter((id, n, all) => all.indexOf(id) !== n)"""

# What the Tab key is to reach: of radio buttons with one name only one.
CONTROLS = """() => {
  const all = document.querySelectorAll(
    'a[href], button:enabled, input:enabled:not([type=hidden]), select, textarea, summary,'
    + ' [tabindex="0"]');
  const seen = [...all].filter(one => one.checkVisibility({visibilityProperty: true}));
  const wanted = seen.filter(one => one.type !== 'radio' || one.checked);
  wanted.forEach(one => one.toggleAttribute('data-to-reach', true));
  return wanted.length;
}"""
LEFT_OUT = """() => [...document.querySelectorAll('[data-to-reach]')].map(one => one.outerHTML)"""
# Takes the mark off what has the focus; says what is wrong with how it is seen.
FOCUSED = """() => {
  const one = document.activeElement;
  if (one === document.body) return null;
  one.removeAttribute('data-to-reach');
  const name = one.outerHTML.slice(0, 100);
  const style = getComputedStyle(one);
  if (style.outlineStyle === 'none' || parseFloat(style.outlineWidth) < 2)
    return `no outline: ${name}`;
  const box = [...one.getClientRects()].find(box => box.width && box.height);
  if (!box) return `no place: ${name}`;
  const inside = (from, to, most) => (Math.max(from, 0) + Math.min(to, most)) / 2;
  const x = inside(box.left, box.right, innerWidth), y = inside(box.top, box.bottom, innerHeight);
  const top = document.elementFromPoint(x, y);
  return top && (one.contains(top) || top.contains(one)) ? '' : `hidden: ${name}`;
}"""


@pytest.fixture(scope="module")
def everything(cluster: EmbeddedServer, template: str) -> Iterator[Served]:
    """The console of a wholesaler with something on every list; tests here only look."""
    name = f"everything_{uuid4().hex[:10]}"
    with psycopg.connect(cluster.url_of("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        seed = Seed(cluster.url_of(name))
        seed_everything(seed)
        seed.close()
        with serve(cluster.url_of(name), open_to_all=True) as served:
            begin_trial(served)
            yield served
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def visit(page: Any, served: Served, address: str) -> None:
    assert page.goto(served.url + address).status == 200


def faults(page: Any, views: Any = ("desktop", "phone")) -> dict[str, list[str]]:
    """What axe-core finds in each view: by light in the first, and by dark in the last.

    Colours do not hang on the width, nor the layout on the colours: each is seen at both ends.
    """
    found = {}
    for scheme, view in zip(SCHEMES, (views[0], views[-1]), strict=True):
        page.emulate_media(color_scheme=scheme)
        width, height = VIEWS[view]
        page.set_viewport_size({"width": width, "height": height})
        found[f"{scheme}, {view}"] = axe.findings(page)
    return {where: list_ for where, list_ in found.items() if list_}


def walk(page: Any) -> Iterator[str]:
    """Goes through the page by Tab; says where one cannot see where one is."""
    for _ in range(LONGEST):
        page.keyboard.press("Tab")
        wrong = page.evaluate(FOCUSED)
        if wrong is None:
            return
        if wrong:
            yield wrong
    yield "the Tab key does not come to an end"


def test_addresses_are_of_pages_that_there_are():
    assert set(NEEDING_MORE) <= set(templates())
    assert len(addresses()) >= len(templates()) > 10


@pytest.mark.parametrize("address", plain_addresses())
def test_axe_finds_nothing_serious_on_an_empty_page(console: Served, page: Any, address: str):
    visit(page, console, address)
    assert faults(page, ["desktop"]) == {}


def too_wide(page: Any) -> dict[str, list[str]]:
    """What leaves the page in each view, and how wide the page then is if it scrolls sideways."""
    found = {}
    for view, (width, height) in VIEWS.items():
        page.set_viewport_size({"width": width, "height": height})
        found[view] = list(page.evaluate(OUTSIDE, width))
        wide = page.evaluate("document.documentElement.scrollWidth")
        if wide > width:
            found[view].append(f"{wide} of {width} px")
    return {where: list_ for where, list_ in found.items() if list_}


def out_of_reach(page: Any) -> list[str]:
    """What the keyboard does not reach, and where one does not see where one is."""
    # What stays in view covers most where there is least room.
    width, height = VIEWS["desktop at 200 %"]
    page.set_viewport_size({"width": width, "height": height})
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    assert page.evaluate(CONTROLS) > 0
    return [*walk(page), *page.evaluate(LEFT_OUT)]


@pytest.mark.parametrize("address", addresses())
def test_a_page_can_be_seen_zoomed_and_walked_through_by_anybody(
    everything: Served, page: Any, address: str
):
    visit(page, everything, address)
    assert faults(page) == {}
    assert page.evaluate(DOUBLED) == []
    assert too_wide(page) == {}
    assert out_of_reach(page) == []


def explained(page: Any) -> None:
    page.locator("a[data-why]").first.click()
    page.wait_for_selector("dialog[open] table")


def helped(page: Any) -> None:
    page.keyboard.press("?")
    page.wait_for_selector("dialog[open]")


def menu(page: Any) -> None:
    page.click(".me summary")


def view_menu(page: Any) -> None:
    page.click(".save summary")


def selected(page: Any) -> None:
    for key in "jxa":
        page.keyboard.press(key)


OPENED = {
    "an explanation": (f"/items/{HOT}", explained),
    "the keys": ("/", helped),
    "one's menu": ("/", menu),
    "the menu of views": ("/work-items?kind=shortage", view_menu),
    "selected rows": ("/work-items", selected),
}


@pytest.mark.parametrize("name", OPENED)
def test_axe_finds_nothing_serious_in_what_opens_on_a_page(
    everything: Served, page: Any, name: str
):
    address, open_it = OPENED[name]
    visit(page, everything, address)
    open_it(page)
    assert faults(page) == {}


def test_axe_finds_nothing_serious_on_the_way_of_a_deed(seed: Seed, console: Served, page: Any):
    seed_everything(seed)
    views = ["desktop", "phone at 200 %"]
    visit(page, console, "/work-items")
    page.check('tr[data-row] input[name="id"] >> nth=0')
    page.click('button[value="work_item.close"]')
    page.wait_for_selector(".deed textarea")
    assert faults(page, views) == {}
    page.fill(".deed textarea", "counted again")
    page.click('.deed button:has-text("Close 1")')
    page.wait_for_url("**/done/*")
    assert faults(page, views) == {}
    page.click("[data-undo]")
    page.wait_for_selector("text=Taken back")
    assert faults(page, views) == {}
    visit(page, console, "/keys")
    page.click("text=Revoke…")
    page.wait_for_selector(".deed")
    assert faults(page, views) == {}


@pytest.mark.usefixtures("cheap_passwords")
def test_axe_finds_nothing_serious_where_people_are_let_in_or_not(database_url: str, browser: Any):
    # A page of its own: the browser notes every refusal as an error, and these are meant.
    page = browser.new_context().new_page()
    add_user(database_url, "ada", "viewer")
    with serve(database_url, open_to_all=False) as locked:
        page.goto(locked.url)
        assert faults(page) == {}
        for password, then in (("not hers at all", ".warning"), (PASSWORD, ".me")):
            page.fill("#name", "ada")
            page.fill("#password", password)
            page.keyboard.press("Enter")
            page.wait_for_selector(then)
            assert faults(page) == {}
        for path, status in (("/account", 200), ("/keys", 403), ("/items/none", 404)):
            assert page.goto(locked.url + path).status == status
            assert faults(page) == {}
    page.context.close()


@pytest.mark.parametrize(
    ("summary", "inside"), [(".me summary", ".me .menu a"), (".save summary", "#view-name")]
)
def test_a_menu_opens_by_keyboard_closes_by_escape_and_gives_the_focus_back(
    everything: Served, page: Any, summary: str, inside: str
):
    visit(page, everything, "/work-items?kind=shortage")
    page.focus(summary)
    page.keyboard.press("Enter")
    page.wait_for_selector(inside, state="visible")
    page.keyboard.press("Tab")
    assert page.locator(inside).first.evaluate("one => one === document.activeElement")
    page.keyboard.press("Escape")
    page.wait_for_selector(inside, state="hidden")
    assert page.locator(summary).evaluate("one => one === document.activeElement")


def test_the_help_gives_the_focus_back_when_it_closes(everything: Served, page: Any):
    visit(page, everything, "/work-items")
    page.focus(".tabs a")
    helped(page)
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")
    assert page.locator(".tabs a").first.evaluate("one => one === document.activeElement")


def test_the_first_tab_of_every_page_skips_to_its_content(everything: Served, page: Any):
    for address in plain_addresses():
        visit(page, everything, address)
        page.evaluate("document.activeElement.blur()")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip", address
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main", address


def test_axe_sees_what_is_wrong_with_a_page(everything: Served, page: Any):
    visit(page, everything, "/")
    page.evaluate(
        """() => {
          const button = document.createElement('button');
          const text = document.createElement('p');
          text.textContent = 'hardly to be read';
          document.querySelector('main').append(button, text);
          const sheet = new CSSStyleSheet();
          sheet.replaceSync('main > p:last-child { color: #999; background: #fff }');
          document.adoptedStyleSheets = [sheet];
        }"""
    )
    rules = {one.split()[0] for one in axe.findings(page)}
    assert rules == {"button-name", "color-contrast"}


def test_the_content_policy_keeps_foreign_scripts_and_styles_out(everything: Served, browser: Any):
    # A page of its own: here the browser is to complain.
    page = browser.new_context().new_page()
    page.goto(everything.url)
    broken = page.evaluate(
        """() => new Promise(done => {
          const broken = [];
          document.addEventListener('securitypolicyviolation', one => {
            broken.push(one.effectiveDirective);
            if (broken.length === 3) done(broken.sort());
          });
          const script = document.createElement('script');
          script.textContent = 'window.ran = true';
          const far = document.createElement('script');
          far.src = 'https://elsewhere.invalid/x.js';
          const marked = document.createElement('p');
          marked.setAttribute('style', 'color: red');
          document.body.append(script, far, marked);
        })"""
    )
    assert broken == ["script-src-elem", "script-src-elem", "style-src-attr"]
    assert not page.evaluate("'ran' in window")
    page.context.close()
