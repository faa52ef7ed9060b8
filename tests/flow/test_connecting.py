"""A connection that is not live is sent nothing, whatever is due; what would be sent is kept."""

import datetime as dt

import pytest

from stockwright.domain.errors import Misconfigured, Rejected
from stockwright.flow import checking, connecting, opening_stock, shadowing, steering
from stockwright.flow.probing import Probed, look, probe
from stockwright.flow.projection import Projection
from stockwright.flow.publication import Publisher
from stockwright.sdk.messages import ShownLevel
from stockwright.store import attempts, polls
from stockwright.store import connecting as store
from stockwright.store.connection import Pool
from stockwright.store.session import session
from tests.flow.channels import Shop, World, link, set_stock

NOW = dt.datetime(2026, 11, 26, 9, 0, tzinfo=dt.UTC)
LEVELS = {"SKU_000": 10, "SKU_001": 4, "SKU_002": 0}


@pytest.fixture
def world(database_url):
    return World(database_url)


@pytest.fixture
def pool(world):
    with Pool(world.url, size=3) as pool:
        yield pool


def stage(pool, stage, system="WEB"):
    with session(pool) as connection:
        store.set_stage(connection, system, stage, actor="cli ann")


def do(pool, work, *args, **kwargs):
    with session(pool) as connection:
        return work(connection, *args, **kwargs)


@pytest.mark.parametrize("before_live", ["added", "shadow"])
async def test_a_connection_before_live_sends_nothing_and_live_sends_what_is_true_then(
    world, pool, before_live
):
    shop = Shop()
    publisher = Publisher(pool, shop, link())
    stage(pool, before_live)
    set_stock(world, Projection(pool), **LEVELS)
    for _ in range(3):
        assert await publisher.step() == 0
    assert (shop.calls, world.level()["state"]) == ([], "due")
    set_stock(world, Projection(pool), SKU_000=3)
    stage(pool, "live")
    assert await publisher.step() == 3
    assert shop.shows["SKU-000"] == 3


async def test_shadow_writes_down_each_number_once_and_leaves_it_due(world, pool):
    stage(pool, "shadow")
    set_stock(world, Projection(pool), **LEVELS)
    assert shadowing.note_all(pool) == 3
    assert shadowing.note_all(pool) == 0
    set_stock(world, Projection(pool), SKU_000=8)
    assert shadowing.note_all(pool) == 1
    (first, *_) = do(pool, store.shadow, "WEB")
    assert (first.listing, first.desired, first.shown, first.times) == ("SKU-000", 8, None, 2)
    assert world.level()["state"] == "due"
    counts = do(pool, store.shadow_counts)["WEB"]
    assert (counts.levels, counts.zeroes, counts.not_shown, counts.changed) == (3, 1, 3, 1)


async def test_a_live_connection_is_not_written_down_and_may_be_put_into_shadow(world, pool):
    shop = Shop()
    publisher = Publisher(pool, shop, link())
    set_stock(world, Projection(pool), **LEVELS)
    assert shadowing.note_all(pool) == 0
    assert await publisher.step() == 3
    found = do(pool, shadowing.to_shadow, "WEB", actor="cli ann", why="the shop is restored")
    assert (found.stage, found.by_steps) == ("shadow", True)
    set_stock(world, Projection(pool), SKU_000=1)
    assert await publisher.step() == 0
    assert shop.shows["SKU-000"] == 10
    with pytest.raises(Rejected) as refused:
        do(pool, steering.resume, "WEB", actor="cli ann", why="go on")
    assert "connection WEB is not live yet" in refused.value.message
    assert shadowing.note_all(pool) == 1


def test_other_connections_go_on(database_url):
    world = World(database_url, channels=("WEB", "B2B"))
    with Pool(world.url, size=2) as pool:
        stage(pool, "shadow")
        set_stock(world, Projection(pool), SKU_000=1)
        with session(pool) as connection:
            assert shadowing.note(connection) == 1
        assert {level.channel for level in do(pool, store.shadow, "WEB")} == {"WEB"}
        assert do(pool, store.shadow, "B2B") == []


def test_a_connection_is_not_polled_before_shadow(world, pool):
    def lease():
        return do(pool, polls.lease_poll, "WEB", "w", lease_s=0.0, now=True)

    assert lease() is not None, "one of the configuration is polled at once"
    for name, asked in (("added", False), ("shadow", True), ("live", True)):
        stage(pool, name)
        assert (lease() is not None) == asked, name


def test_what_the_shop_shows_is_laid_beside_what_would_be_sent(world, pool):
    stage(pool, "shadow")
    set_stock(world, Projection(pool), **LEVELS)
    shadowing.note_all(pool)
    shown = (ShownLevel(listing="SKU-000", quantity=7), ShownLevel(listing="SKU-001", quantity=4))
    probed = Probed(as_of=NOW, asked=("snapshot",), shown=shown)
    found = do(pool, shadowing.compared, "WEB", probed, actor="cli ann")
    (step,) = [one for one in found.steps if one.name == "shadow"]
    assert step.note == "3 levels would be sent: 1 differ, 1 it does not show"
    assert step.state == "done"
    differing = do(pool, store.shadow, "WEB", differing=True)
    assert [(one.listing, one.difference) for one in differing] == [
        ("SKU-002", None),
        ("SKU-000", 3),
    ]


def test_a_connection_that_would_be_emptied_is_not_ready(world, pool):
    stage(pool, "shadow")
    set_stock(world, Projection(pool), SKU_000=0, SKU_001=0, SKU_002=0)
    shadowing.note_all(pool)
    found = do(pool, shadowing.compared, "WEB", None, actor="cli ann")
    assert "Shadow compared: all 3 levels would be 0" in " ".join(found.missing)
    with pytest.raises(Rejected) as refused:
        do(pool, connecting.go_live, "WEB", actor="cli ann", why="now")
    assert refused.value.reason == "not_ready"
    assert "going live would empty it" in refused.value.message


def test_who_takes_a_step_is_in_the_change_log(world, pool):
    do(pool, shadowing.to_shadow, "WEB", actor="user ann", why="first look")
    do(pool, connecting.go_live, "WEB", actor="user bob", why="it must", force=True)
    rows = world.rows("select actor, action, detail->>'why' from change_log order by id")
    assert rows == [
        ("user ann", "connection.shadow", "first look"),
        ("user bob", "connection.live", "it must"),
    ]


class Broken:
    """A partner whose answers raise."""

    system = "WEB"

    def __init__(self, failure):
        self.failure = failure

    async def snapshot(self):
        raise self.failure


async def test_whatever_a_connector_raises_is_an_outcome():
    for failure in (ValueError("password=hunter2"), ZeroDivisionError("oh")):
        found = await probe(Broken(failure), [], lambda: NOW)
        assert found.error.startswith("the connector failed")
        assert "hunter2" not in found.error
        assert (await look(Broken(failure), [], lambda: NOW)).error


class Silent:
    """A partner that can only be written to."""

    system = "WEB"

    async def publish(self, levels):
        raise AssertionError("a probe writes nothing")

    def map(self, payload):
        return []


async def test_a_partner_that_can_only_be_written_to_is_not_asked(world, pool):
    partner = Silent()
    probed = await probe(partner, ["SKU-000"], lambda: NOW)
    assert (probed.asked, probed.error) == ((), "")
    stage(pool, "added")
    found = do(pool, checking.judge, "WEB", partner, probed, (), actor="cli").connection
    states = {step.name: step.state for step in found.steps}
    assert (states["credentials"], states["sample"]) == ("attention", "skipped")
    assert states["items"] == "skipped", "it names none, so that it could never be matched"


def failing(pool, system, error, *, times):
    """As after so many polls in a row that failed, the last of them a moment ago."""
    for _ in range(times):
        do(pool, polls.lease_poll, system, "w", lease_s=9.0, now=True)
        do(pool, polls.fail_poll, system, "w", error, retry_s=2.0)


def test_what_a_live_connection_cannot_do_is_told_until_it_can(world, pool):
    stage(pool, "live")
    failing(pool, "WEB", "it is away", times=2)
    assert do(pool, connecting.view, "WEB").troubles == ()
    failing(pool, "WEB", "it is away", times=1)
    do(pool, attempts.ensure_connection, "WEB", 1.0)
    world.run("update connection_state set failures = 2, last_error = '401' where system = 'WEB'")
    read, send = do(pool, connecting.view, "WEB").troubles
    assert (read.what, read.error, read.failures) == ("read", "it is away", 3)
    assert (send.what, send.error, send.failures) == ("send", "401", 2)
    stage(pool, "added")
    assert do(pool, connecting.view, "WEB").troubles == (), "nobody speaks with it yet"


def test_a_connection_opened_anew_is_read_at_once_only_where_a_setting_was_at_fault(world, pool):
    stage(pool, "live")
    for setting, at_once in (("", False), ("token", True)):
        do(pool, polls.lease_poll, "WEB", "w", lease_s=9.0, now=True)
        do(pool, polls.fail_poll, "WEB", "w", "not now", retry_s=300.0)
        if setting:
            item = polls.item_of_reading("WEB")
            detail = {"setting": setting}
            do(pool, attempts.open_refusal, "connection_misconfigured", item, "WEB", detail)
        do(pool, connecting.opened, ["WEB"])
        leased = do(pool, polls.lease_poll, "WEB", "w", lease_s=9.0)
        assert (leased is not None) == at_once


class Sink(Silent):
    """A partner that can only be written to, and says whether what we send to is there."""

    def __init__(self, answer):
        self.answer = answer

    async def check(self):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("answer", "state", "note"),
    [
        (True, "done", "WEB has what we send to"),
        (False, "attention", "it can only be written to"),
        (Misconfigured("exchange", "there is no exchange"), "failed", "exchange: there is no exch"),
    ],
)
async def test_a_partner_that_is_only_written_to_is_asked_for_what_is_sent_to(
    world, pool, answer, state, note
):
    partner = Sink(answer)
    probed = await probe(partner, [], lambda: NOW)
    found = do(pool, checking.judge, "WEB", partner, probed, (), actor="cli").connection
    (step,) = [step for step in found.steps if step.name == "credentials"]
    assert step.state == state
    assert step.note.startswith(note)


def figures(world, pool, *rows):
    """A warehouse with figures of matched items, as a test left them."""
    world.run("update system set connector = 'json_http' where code = 'WMS'")
    codes = {code for code, _, _ in rows}
    for code in codes:
        world.run(
            "insert into partner_item (system, code, state) values ('WMS', %s, 'matched')", code
        )
    shown = [
        store.Shown(code=code, location=place, quantity=quantity, as_of=NOW)
        for code, place, quantity in rows
    ]
    do(pool, store.write_shown, "WMS", shown)


def test_opening_stock_is_taken_only_where_the_partners_word_counts(world, pool):
    figures(
        world, pool, ("A", "MAIN", 5), ("A", "STORE", 2), ("A", "X9", 1), ("B", "MAIN", -1),
        ("B", "", 3),
    )  # fmt: skip
    world.run("insert into authority values ('STORE', 'count', '2026-01-01', 'ERP')")
    opening, facts = do(pool, opening_stock.plan, "WMS")
    assert [(one.item, one.location, one.quantity, one.kind) for one in facts] == [
        ("A", "MAIN", 5, "count")
    ]
    assert {(left.code, left.location): left.why for left in opening.first_left_out} == {
        ("A", "STORE"): "ERP holds the authority for counts at STORE",
        ("A", "X9"): "its location 'X9' is not bound",
        ("B", "MAIN"): "it is below zero",
        ("B", ""): "it names no location; say which one its figures are of",
    }
    opening, facts = do(pool, opening_stock.plan, "WMS", "MAIN")
    assert [one.quantity for one in facts] == [5, 3]


def test_net_figures_are_no_opening_stock(world, pool):
    figures(world, pool, ("A", "MAIN", 5))
    world.run("update system set snapshot_basis = 'net' where code = 'WMS'")
    opening, facts = do(pool, opening_stock.plan, "WMS")
    assert facts == []
    assert "net of what it promised" in opening.refused
    with pytest.raises(Rejected):
        opening_stock.check(opening, opening.as_of)


def test_a_shops_figures_are_no_stock(world, pool):
    opening, _ = do(pool, opening_stock.plan, "WEB")
    assert opening.refused == "A shop shows what it is told; its figures are no stock."


def test_what_was_shown_is_what_is_taken(world, pool):
    figures(world, pool, ("A", "MAIN", 5))
    opening, _ = do(pool, opening_stock.plan, "WMS")
    opening_stock.check(opening, NOW)
    with pytest.raises(Rejected) as refused:
        opening_stock.check(opening, NOW - dt.timedelta(seconds=1))
    assert refused.value.field == "as_of"
