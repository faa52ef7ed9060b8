"""A connection that is not live is sent nothing, whatever is due; what would be sent is kept."""

import asyncio
import datetime as dt
from concurrent.futures import ThreadPoolExecutor

import pytest
from msgspec.structs import replace

from stockwright.domain.errors import Misconfigured, Rejected, Transient
from stockwright.domain.network import Network, System
from stockwright.flow import (
    checking,
    configuring,
    connecting,
    opening_stock,
    shadowing,
    steering,
)
from stockwright.flow.probing import Probed, look, probe
from stockwright.flow.projection import Projection
from stockwright.flow.publication import Publisher
from stockwright.sdk.messages import ShownLevel
from stockwright.store import attempts, polls
from stockwright.store import connecting as store
from stockwright.store.connection import Pool, connect
from stockwright.store.history import Said
from stockwright.store.network import read_network
from stockwright.store.session import session
from tests.flow.channels import Shop, World, link, set_stock
from tests.proof.stage import wait_until

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


class Showing:
    """A partner that shows what it likes."""

    system = "WEB"

    def __init__(self, *shown):
        self.shown = (ShownLevel(listing="SKU-000", quantity=7), *shown)

    async def snapshot(self):
        return self.shown


@pytest.mark.parametrize(
    ("code", "kept"),
    [("A\x00", "A\ufffd"), ("A\ud800", "A?"), ("A" * 10_000, "A" * 128), ("", "")],
    ids=["nul", "surrogate", "long", "empty"],
)
async def test_a_code_that_no_text_can_hold_is_one_unknown_item(world, pool, code, kept):
    """It made the database refuse the test as a whole, and half a pair broke it off."""
    stage(pool, "added")
    partner = Showing(ShownLevel(listing=code, quantity=1, location=code))
    for ask in (lambda: probe(partner, [], lambda: NOW), lambda: look(partner, [], lambda: NOW)):
        probed = await ask()
        do(pool, checking.judge, "WEB", Silent(), probed, (), actor="cli ann")
        found = {one.code: one.state for one in do(pool, store.items, "WEB")}
        assert found == {"SKU-000": "matched", kept: "unknown"}


async def test_figures_of_an_earlier_time_are_opening_stock_as_of_that_time(world, pool):
    """An ERP that dates by the day tells what lay there when yesterday ended."""
    earlier = NOW - dt.timedelta(hours=9)

    class ByDay(Showing):
        async def opening(self):
            return earlier, [ShownLevel(listing="A", quantity=5, location="MAIN")]

    figures(world, pool)
    probed = await probe(ByDay(ShownLevel(listing="A", quantity=8)), [], lambda: NOW)
    assert (probed.as_of, probed.shown_at) == (NOW, earlier)
    do(pool, checking.judge, "WMS", Silent(), probed, (), actor="cli ann")
    opening, facts = do(pool, opening_stock.plan, "WMS")
    assert (opening.as_of, opening.units) == (earlier, 5)
    assert [fact.occurred_at for fact in facts] == [earlier]


@pytest.mark.parametrize("quantity", [2**70, -(2**70), 1.5, "7", None])
async def test_a_number_that_counts_no_pieces_is_an_outcome(world, pool, quantity):
    stage(pool, "added")
    partner = Showing(ShownLevel(listing="A", quantity=quantity))
    for probed in (await probe(partner, [], lambda: NOW), await look(partner, [], lambda: NOW)):
        assert "of A, which counts no pieces" in probed.error
        found = do(pool, checking.judge, "WEB", Silent(), probed, (), actor="cli ann").connection
        assert state_of(found, "credentials") == "failed"


@pytest.mark.parametrize("words", ["a\x00b", "a\ud800b", "x" * 1_000_000])
async def test_what_a_partner_says_is_kept_whatever_is_in_it(world, pool, words):
    stage(pool, "added")
    probed = await probe(Broken(Transient(words)), [], lambda: NOW)
    found = do(pool, checking.judge, "WEB", Silent(), probed, (), actor="cli ann").connection
    (step,) = [one for one in found.steps if one.name == "credentials"]
    assert (step.state, len(step.note) < 700) == ("failed", True)


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
            do(pool, attempts.open_misconfigured, "WEB", setting, "401", "reading")
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


# -------------------------------------------------------------------- two operators at once

SAID = Said(actor="cli bob", source="cli", reason="another address")
OTHER = {"base_url": "http://127.0.0.1:9/other"}


def change_settings(connection, system="WEB", settings=OTHER, connector="json_http"):
    """What another operator does meanwhile, by whichever way."""
    network = read_network(connection)
    (one,) = [one for one in network.systems if one.code == system]
    edits = Network(systems=(replace(one, connector=connector, settings=settings),))
    configuring.apply_edits(connection, edits, SAID)


def system_now(connection, system="WEB"):
    return connecting.system_of(connection, system)[0]


def state_of(view, name):
    (step,) = [step for step in view.steps if step.name == name]
    return step.state


def test_what_was_asked_with_the_settings_before_speaks_for_no_others(world, pool):
    """A snapshot takes minutes; the step then passed for an address that nobody had asked."""
    stage(pool, "added")
    asked = do(pool, system_now)
    do(pool, change_settings)
    probed = Probed(as_of=NOW, asked=("snapshot",), shown=())
    found = do(pool, checking.judge, "WEB", Silent(), probed, (), actor="cli ann", asked=asked)
    assert [state_of(found.connection, name) for name in ("credentials", "sample", "items")] == [
        "open"
    ] * 3
    found = do(pool, checking.judge, "WEB", Silent(), probed, (), actor="cli ann")
    assert state_of(found.connection, "credentials") == "done"


def test_items_matched_again_are_still_those_of_the_settings_they_were_told_with(world, pool):
    stage(pool, "added")
    shown = (ShownLevel(listing="SKU-000", quantity=7),)
    probed = Probed(as_of=NOW, asked=("snapshot",), shown=shown)
    do(pool, checking.judge, "WEB", Silent(), probed, (), actor="cli ann")
    do(pool, change_settings)
    assert state_of(do(pool, checking.rematch, "WEB", actor="cli ann"), "items") == "open"


def test_a_comparison_in_shadow_holds_for_the_settings_it_was_made_with(world, pool):
    """After `config apply` one could go live at an address whose shop nobody had looked at."""
    stage(pool, "shadow")
    set_stock(world, Projection(pool), **LEVELS)
    shadowing.note_all(pool)
    probed = Probed(as_of=NOW, asked=("snapshot",), shown=())
    do(pool, checking.judge, "WEB", Silent(), probed, (), actor="cli ann")
    asked = do(pool, system_now)
    found = do(pool, shadowing.compared, "WEB", probed, actor="cli ann", asked=asked)
    assert state_of(found, "shadow") == "done"
    do(pool, change_settings)
    do(pool, checking.judge, "WEB", Silent(), probed, (), actor="cli ann")
    found = do(pool, connecting.view, "WEB")
    changed = "Shadow compared: its settings changed since; compare it again"
    assert found.missing == ("Settings written: not done yet", changed)
    found = do(pool, shadowing.compared, "WEB", probed, actor="cli ann", asked=asked)
    assert state_of(found, "shadow") == "open", "asked at the address before"


def test_opening_stock_is_not_taken_from_what_was_told_with_other_settings(world, pool):
    figures(world, pool, ("A", "MAIN", 5))
    stage(pool, "added", "WMS")
    told_with = connecting.digest(do(pool, system_now, "WMS"))
    do(pool, store.write_step, "WMS", "items", "done", actor="cli ann", settings=told_with)
    assert do(pool, opening_stock.plan, "WMS")[0].refused == ""
    do(pool, change_settings, "WMS")
    opening, _ = do(pool, opening_stock.plan, "WMS")
    assert opening.refused == "The settings of WMS changed since it told its stock; test it again."


def passed(pool, system="WEB"):
    """Every step is taken, with the settings of now."""
    settings = connecting.digest(do(pool, system_now, system))
    with session(pool) as connection:
        for name in ("credentials", "sample", "items", "shadow"):
            store.write_step(connection, system, name, "done", actor="ann", settings=settings)
        store.write_step(connection, system, "settings", "done", actor="ann")


@pytest.mark.parametrize("deed", [connecting.go_live, shadowing.to_shadow])
def test_a_step_waits_for_who_changes_the_settings_and_is_judged_by_them(world, pool, deed):
    """It was judged by the settings before, and taken with the new ones that nobody had tested."""
    stage(pool, "added")
    passed(pool)
    with ThreadPoolExecutor(1) as other:
        with connect(world.url, idle_in_transaction_s=0) as bob:
            change_settings(bob)
            ann = other.submit(do, pool, deed, "WEB", actor="cli ann", why="tested")
            wait_until(lambda: waiting(world) == 1, "it waits")
        with pytest.raises(Rejected, match="its settings changed since; test it again"):
            ann.result(20)
    assert do(pool, connecting.view, "WEB").stage == "added"


def test_who_adds_a_connection_waits_for_who_takes_it_live(world, pool):
    """It took the live connection back to its first step, with other settings."""
    stage(pool, "added")
    passed(pool)
    with ThreadPoolExecutor(1) as other:
        with connect(world.url, idle_in_transaction_s=0) as ann:
            connecting.go_live(ann, "WEB", actor="cli ann", why="tested")
            bob = other.submit(do, pool, add_again)
            wait_until(lambda: waiting(world) == 1, "it waits")
        with pytest.raises(Rejected) as refused:
            bob.result(20)
    assert refused.value.reason == "already_connected"
    now = do(pool, connecting.view, "WEB")
    assert (now.stage, now.missing) == ("live", ())


def test_nobody_goes_live_without_a_reason(world, pool):
    stage(pool, "added")
    passed(pool)
    with pytest.raises(Rejected) as refused:
        do(pool, connecting.go_live, "WEB", actor="cli ann", why=" \t")
    assert (refused.value.reason, refused.value.field) == ("malformed", "why")
    assert do(pool, connecting.view, "WEB").stage == "added"


def add_again(connection, settings=OTHER):
    network = read_network(connection)
    (one,) = [one for one in network.systems if one.code == "WEB"]
    edits = Network(systems=(replace(one, connector="json_http", settings=settings),))
    return connecting.add(connection, edits, "WEB", SAID, connector="json_http")


def waiting(world):
    ((count,),) = world.rows(
        "select count(*) from pg_stat_activity"
        " where datname = current_database() and wait_event_type = 'Lock'"
    )
    return count


def test_a_connection_that_was_taken_out_begins_anew_when_it_is_added(world, pool):
    """Its checks, its opening stock and its comparison of long ago counted as done."""
    stage(pool, "live")
    do(pool, change_settings)
    passed(pool)
    do(pool, store.write_step, "WEB", "opening_stock", "skipped", actor="ann", note="counted")
    do(pool, store.write_shown, "WEB", [store.Shown(code="SKU-000", quantity=1, as_of=NOW)])
    do(pool, change_settings, connector="", settings={})
    found = do(pool, add_again)
    assert found.stage == "added"
    assert {step.name: step.state for step in found.steps} == {
        "settings": "done", "credentials": "open", "sample": "open", "items": "open",
        "opening_stock": "skipped", "shadow": "open", "live": "open",
    }  # fmt: skip
    assert world.rows("select count(*) from partner_shown") == [(0,)]


# -------------------------------------------------------------------- another partner behind it


def move_channel(connection, system, connector="fake"):
    """WEB is another system's from now on; its code and its rules stay."""
    network = read_network(connection)
    (one,) = [one for one in network.channels if one.code == "WEB"]
    edits = Network(
        systems=(System(code=system, role="shop", connector=connector),),
        channels=(replace(one, system=system),),
    )
    configuring.apply_edits(connection, edits, SAID)


def switch(connection, connector):
    """The connector of WEB's own system."""
    change_settings(connection, settings={}, connector=connector)


async def test_a_channel_that_another_system_speaks_for_is_told_all_of_it(world, pool):
    """All was settled, since the shop before had acknowledged it; the new one was told nothing."""
    before, after = Shop(), Shop()
    set_stock(world, Projection(pool), **LEVELS)
    assert await Publisher(pool, before, link()).step() == 3
    assert await Publisher(pool, before, link()).step() == 0
    do(pool, move_channel, "NEWSHOP")
    Projection(pool).step()
    publisher = Publisher(pool, after, link(system="NEWSHOP"))
    assert await publisher.step() == 3
    assert after.shows == before.shows == {"SKU-000": 10, "SKU-001": 4, "SKU-002": 0}
    assert world.unsettled() == []
    do(pool, move_channel, "NEWSHOP")
    assert await publisher.step() == 0, "the same again changes nothing"


async def test_a_call_under_way_when_the_channel_moves_settles_nothing_of_the_new_partner(
    world, pool
):
    before, after = Shop(), Shop()
    before.gate = asyncio.Event()
    set_stock(world, Projection(pool), **LEVELS)
    call = asyncio.create_task(Publisher(pool, before, link()).step())
    await asyncio.to_thread(wait_until, lambda: before.calls, "it is under way")
    await asyncio.to_thread(do, pool, move_channel, "NEWSHOP")
    before.gate.set()
    await call
    assert before.shows["SKU-000"] == 10
    publisher = Publisher(pool, after, link(system="NEWSHOP"))
    assert await publisher.step() == 3
    assert after.shows == before.shows


@pytest.mark.parametrize("noticed", [True, False])
async def test_a_shop_that_was_not_told_for_a_while_is_told_all_of_it_again(world, pool, noticed):
    shop = Shop()
    publisher = Publisher(pool, shop, link())
    set_stock(world, Projection(pool), **LEVELS)
    assert await publisher.step() == 3
    do(pool, switch, "")
    if noticed:
        assert Projection(pool).step().marks
        assert world.level()["state"] == "kept"
    shop.shows["SKU-000"] = 99
    do(pool, switch, "fake")
    while Projection(pool).step().marks:
        pass
    assert await publisher.step() == 3
    assert shop.shows["SKU-000"] == 10


async def test_settings_and_rules_that_change_send_nothing_again(world, pool):
    shop = Shop()
    publisher = Publisher(pool, shop, link())
    set_stock(world, Projection(pool), **LEVELS)
    assert await publisher.step() == 3
    do(pool, change_settings, connector="fake")
    while Projection(pool).step().marks:
        pass
    assert await publisher.step() == 0
