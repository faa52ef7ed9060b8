"""Several console processes behind one address: whoever answers, it is one console."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.balancing import Balancer, balance
from tests.browser.everywhere import seed_everything
from tests.browser.test_console import wait_for
from tests.cli.test_up import port_of, up
from tests.console.people import PASSWORD, add_user
from tests.console.seeding import Seed
from tests.console.test_boards import work_items

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("cheap_passwords")]

BOTH = {0, 1}


@pytest.fixture
def two_processes(
    seed: Seed, database_url: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Balancer]:
    """Two real processes, as they are installed: people sign in."""
    seed_everything(seed)
    # These processes only show: they are told no partner's address.
    seed._run("update system set connector = ''")
    add_user(database_url, "carla", "operator")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STOCKWRIGHT_CONFIG", raising=False)
    monkeypatch.setenv("STOCKWRIGHT_DATABASE_URL", database_url)
    console = ("--only", "console", "--port", "0")
    with up(*console) as (_, one), up(*console) as (_, other):
        ports = (port_of(one), port_of(other))
        with balance([f"http://127.0.0.1:{port}" for port in ports]) as balancer:
            yield balancer


@pytest.fixture
def signed_in(two_processes: Balancer, page: Any) -> Any:
    page.goto(two_processes.url)
    page.fill("#name", "carla")
    page.fill("#password", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{two_processes.url}/")
    return page


def follow_from_both(balancer: Balancer, page: Any, path: str) -> list[Any]:
    """Two tabs, each told of changes by another process."""
    tabs = [page.context.new_page() for _ in range(2)]
    for tab in tabs:
        tab.goto(balancer.url + path)
        wait_for(tab, "#live", "live")
    assert balancer.processes_of("/console/stream") == BOTH
    return tabs


def test_a_session_holds_at_every_process_and_ends_at_every_one(
    two_processes: Balancer, signed_in: Any
):
    for path in ("/items", "/work-items", "/audit", "/account"):
        for _ in range(2):
            signed_in.goto(two_processes.url + path)
            assert signed_in.url == two_processes.url + path
    assert two_processes.processes_of("/items") == BOTH
    # The form of the one was taken by the other.
    assert two_processes.processes_of("/console/sign-in") == BOTH
    other = signed_in.context.new_page()
    other.goto(two_processes.url)
    other.click(".me summary")
    other.click("text=Sign out")
    other.wait_for_url("**/console/sign-in")
    for _ in range(3):
        signed_in.goto(f"{two_processes.url}/items")
        assert signed_in.url.endswith("/console/sign-in")


def test_every_process_tells_its_pages_of_the_same_change(
    two_processes: Balancer, signed_in: Any, seed: Seed
):
    tabs = follow_from_both(two_processes, signed_in, "/")
    before = tabs[0].locator('[data-cell="total:work"]').inner_text()
    work_items(seed, 1, "recount")
    for tab in tabs:
        tab.bring_to_front()
        wait_for(tab, '[data-cell="total:work"]', str(int(before) + 1))


def test_a_deed_begun_at_one_process_is_done_and_taken_back_at_others(
    two_processes: Balancer, signed_in: Any
):
    tabs = follow_from_both(two_processes, signed_in, "/work-items")
    signed_in.goto(f"{two_processes.url}/work-items")
    first = signed_in.locator("tr[data-row] input[name=id]").first.get_attribute("value")
    row = f'input[name="id"][value="{first}"]'
    signed_in.check(row)
    signed_in.click('button[value="work_item.close"]')
    signed_in.fill(".deed textarea", "counted again")
    signed_in.click('.deed button:has-text("Close 1")')
    signed_in.wait_for_url("**/done/*")
    for tab in tabs:
        tab.bring_to_front()
        tab.wait_for_selector(row, state="detached")
    signed_in.bring_to_front()
    signed_in.click("[data-undo]")
    signed_in.wait_for_selector("text=Taken back for 1 of 1")
    for tab in tabs:
        tab.bring_to_front()
        tab.wait_for_selector(row)
    # What the first process showed, the second one did.
    assert [process for process, path in two_processes.answered if "/act" in path] == [0, 1]
    signed_in.reload()
    signed_in.wait_for_selector("text=Taken back for 1 of 1")
    assert two_processes.processes_of("/done/") == BOTH
