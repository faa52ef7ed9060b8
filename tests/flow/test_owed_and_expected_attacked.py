"""Backorders and supply under attack: told in another order, twice, at once, or out of time."""

# ruff: noqa: F401, F811  its fixtures come from the other module

import datetime as dt
import threading

import pytest

from stockwright.domain.errors import Rejected
from stockwright.domain.events import Fact, Request, RequestLine
from stockwright.domain.supply import ToldSupply
from stockwright.flow.expiry import Sweeper
from stockwright.flow.projection import Projection
from stockwright.flow.promising import promise_of
from stockwright.store import backorders, supply
from stockwright.store.connection import Pool, connect
from tests.flow.test_owed_and_expected import (
    DAY,
    NOW,
    connection,
    owe,
    owed,
    pool,
    promised,
    receipt,
    record,
    recorder,
    reserve,
    tell,
    world,
)
from tests.proof.stage import pass_by

NO_DATE = dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC)
BEFORE_ALL = dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=14)))
ORDER = {"system": "WEB", "channel": "WEB", "order": "O-1", "sku": "SKU-000"}


def settled(connection, order="O-1"):
    found = owed(connection, order)
    return found.owed, found.promoted, found.cancelled


@pytest.mark.parametrize("at", [NO_DATE, BEFORE_ALL])
def test_a_time_that_no_calendar_holds_is_refused_and_stops_nobody(
    world, record, pool, connection, at
):
    """One of them stopped the ledger: it could not be read back, by any batch with that SKU."""
    for told in (tell(pool, "PO-1", 100, at), owe(pool, "O-1", 3, owed_since=at)):
        assert isinstance(told, Rejected)
        assert (told.reason, told.field) in (("malformed", "due_at"), ("malformed", "owed_since"))
    assert [one.code for one in record(receipt(10, "GR-1"), reserve(1, "R-1"))] == [
        "recorded",
        "granted",
    ]
    assert promised(connection, NOW + DAY) == 9


def test_a_line_of_supply_does_not_specify_itself(world, pool, connection):
    told = tell(pool, "PO-1", 100, NOW + DAY, kind="asn", of_document="PO-1")
    assert isinstance(told, Rejected)
    assert (told.reason, told.field) == ("malformed", "of_document")
    assert tell(pool, "PO-1", 100, NOW + DAY, kind="asn", of_document="PO-1", of_line="2") == "new"


def advise(pool, units, due_at, document="N-1"):
    return tell(
        pool, document, units, due_at, kind="asn", system="SUP",
        of_system="ERP", of_document="PO-1", of_line="1",
    )  # fmt: skip


def test_an_order_that_is_late_but_advised_whole_is_not_taken_for_received(
    world, recorder, record, pool, connection
):
    """It was closed as if all had come; a receipt that names it then counted its goods twice."""
    tell(pool, "PO-1", 100, NOW - 3 * DAY)
    advise(pool, 100, NOW + 2 * DAY)
    sweeper = Sweeper(pool, recorder)
    assert sweeper.mark(NOW) == 0
    assert supply.find(connection, ("ERP", "PO-1", "1")).state == "open"
    assert promised(connection, NOW + 9 * DAY) == 100
    record(receipt(100, "GR-1", order_system="ERP", order="PO-1", order_line="1"))
    assert promised(connection, NOW + 9 * DAY) == 100
    sweeper.mark(NOW)
    assert supply.find(connection, ("ERP", "PO-1", "1")).state == "received"


def test_what_a_notice_leaves_open_of_a_late_order_becomes_work(world, recorder, pool, connection):
    tell(pool, "PO-1", 100, NOW - 3 * DAY)
    advise(pool, 100, NOW + 2 * DAY)
    sweeper = Sweeper(pool, recorder)
    sweeper.mark(NOW)
    advise(pool, 30, NOW + 2 * DAY)
    assert sweeper.mark(NOW) == 1
    work = "select subject, detail->>'units' from work_item where closed_at is null"
    assert world.rows(work) == [("ERP/PO-1/1", "70")]


def test_goods_that_name_an_order_closed_by_hand_are_those_its_notice_said(
    world, record, pool, connection
):
    tell(pool, "PO-1", 100, NOW + 3 * DAY)
    advise(pool, 40, NOW + 2 * DAY)
    with pool.connection() as own:
        assert supply.close(own, ("ERP", "PO-1", "1"), actor="me", why="the rest is cancelled")
    record(receipt(40, "GR-1", order_system="ERP", order="PO-1", order_line="1"))
    assert promised(connection, NOW + 9 * DAY) == 40


def test_late_supply_behind_much_that_never_comes_is_closed_once_it_came(
    world, recorder, record, pool, connection, monkeypatch
):
    monkeypatch.setattr("stockwright.store.overdue.AT_ONCE", 2)
    monkeypatch.setattr("stockwright.store.overdue.note_overdue.__defaults__", (0, 2))
    for n in range(7):
        tell(pool, f"PO-{n}", 10, NOW - (20 - n) * DAY)
    sweeper = Sweeper(pool, recorder)
    assert sweeper.mark(NOW) == 7
    record(receipt(10, "GR-1", order_system="ERP", order="PO-6"))
    sweeper.mark(NOW)
    assert supply.find(connection, ("ERP", "PO-6", "1")).state == "received"
    assert world.rows("select count(*) from work_item where closed_at is null") == [(6,)]


def test_the_same_lines_told_at_once_in_two_orders_do_not_wait_for_each_other(world, database_url):
    failures = []

    def tell_all(quantity, *, backwards):
        given = {"kind": "purchase_order", "system": "ERP", "location": "MAIN", "sku": "SKU-000"}
        told = [
            ToldSupply(document=f"PO-{n:03}", quantity=quantity, due_at=NOW, **given)
            for n in range(400)
        ]
        try:
            with connect(database_url) as own:
                supply.save(own, told[::-1] if backwards else told, "test")
        except Exception as failure:  # noqa: BLE001  all of them are shown
            failures.append(failure)

    tell_all(1, backwards=False)
    for n in range(4):
        both = [
            threading.Thread(target=tell_all, args=(2 * n + k,), kwargs={"backwards": k == 3})
            for k in (2, 3)
        ]
        for one in both:
            one.start()
        for one in both:
            one.join()
    assert failures == []


def test_where_snapshots_count_the_goods_a_receipt_still_draws_its_supply_down(
    world, record, pool, connection
):
    world.run("update location set feed = 'snapshot' where code = 'MAIN'")
    world.run("update master_revision set revision = revision + 1")
    tell(pool, "PO-1", 100, NOW + 5 * DAY)
    came = receipt(60, "GR-1", order_system="ERP", order="PO-1")
    assert [one.code for one in record(came, came)] == ["observed", "observed"]
    record(Fact(kind="snapshot", system="WMS", document="S-1", sku="SKU-000", quantity=60,
                location="MAIN"))  # fmt: skip
    assert promised(connection, NOW + 9 * DAY) == 100
    assert supply.find(connection, ("ERP", "PO-1", "1")).received == 60


# ------------------------------------------------------------ what is owed


@pytest.mark.parametrize("raised_first", [True, False])
def test_a_raised_backorder_and_the_last_of_its_promotion_end_the_same_in_any_order(
    world, record, pool, connection, raised_first
):
    """Promoted in full first, the raised one was owed all of it once more."""
    record(receipt(50, "GR-1"))
    owe(pool, "O-1", 5)
    if raised_first:
        owe(pool, "O-1", 7)
    record(reserve(5, "O-1"))
    if not raised_first:
        owe(pool, "O-1", 7)
    assert settled(connection) == (2, 5, 0)


def test_a_settled_backorder_told_again_under_another_class_stays_settled(
    world, record, pool, connection
):
    record(receipt(50, "GR-1"))
    owe(pool, "O-1", 5)
    record(reserve(5, "O-1"))
    world.run("update channel set demand_class = 70 where code = 'WEB'")
    owe(pool, "O-1", 5)
    assert settled(connection) == (0, 5, 0)


def test_a_settled_line_that_is_owed_since_another_time_is_owed_anew(
    world, record, pool, connection
):
    record(receipt(50, "GR-1"))
    owe(pool, "O-1", 5, owed_since=NOW - DAY)
    record(reserve(5, "O-1"))
    owe(pool, "O-1", 5, owed_since=NOW)
    assert settled(connection) == (5, 0, 0)


def test_one_that_was_promoted_in_part_and_closed_by_hand_is_owed_anew(
    world, record, pool, connection
):
    record(receipt(50, "GR-1"))
    owe(pool, "O-1", 5)
    record(reserve(2, "O-1"))
    with pool.connection() as own:
        assert backorders.close(own, ("WEB", "O-1", "1"), actor="me", why="gave up")
    owe(pool, "O-1", 4)
    assert settled(connection) == (4, 0, 0)


def test_an_expired_hold_that_is_confirmed_settles_what_its_line_is_owed(
    world, recorder, record, pool, connection
):
    record(receipt(5, "GR-1"))
    held = Request(
        kind="reserve", system="WEB", channel="WEB", document="K-1", order="O-1", hold_s=1,
        lines=[RequestLine(sku="SKU-000", quantity=5)],
    )  # fmt: skip
    assert record(held)[0].code == "granted"
    ((ends,),) = world.rows("select expires_at from demand_line")
    pass_by(recorder, ends)
    record(receipt(1, "GR-2"))
    owe(pool, "O-1", 5)
    confirm = Request(kind="confirm", system="WEB", document="C-1", order="O-1")
    assert record(confirm)[0].code == "regranted"
    assert settled(connection) == (0, 5, 0)


@pytest.mark.parametrize("besides", [(), (reserve(1, "R-1"),)])
def test_other_goods_for_a_line_do_not_settle_what_it_is_owed(
    world, record, pool, connection, besides
):
    """Whether they did hung on what else was in the batch."""
    record(receipt(5, "GR-1"), receipt(5, "GR-2", sku="SKU-001"))
    owe(pool, "O-1", 3)
    assert record(reserve(3, "O-1", sku="SKU-001"), *besides)[0].code == "granted"
    assert settled(connection) == (3, 0, 0)


def test_an_order_that_its_channel_cancelled_is_owed_nothing(world, record, pool, connection):
    owe(pool, "O-1", 3)
    record(Fact(kind="channel_cancel", document="CC-1", line="1", quantity=3, **ORDER))
    assert settled(connection) == (0, 0, 3)


def test_a_channels_cancel_takes_what_is_claimed_and_what_is_owed(world, record, pool, connection):
    record(receipt(6, "GR-1"))
    owe(pool, "O-1", 10)
    record(reserve(6, "O-1"))
    assert settled(connection) == (4, 6, 0)
    record(Fact(kind="channel_cancel", document="CC-1", line="1", quantity=10, **ORDER))
    assert settled(connection) == (0, 6, 4)
    assert promise_of(connection, "SKU-000", channel="WEB").promise.available_to_promise.result == 6


# ------------------------------------------------------------ kits within kits


def kits(world, bills):
    for kit, parts in bills.items():
        for sku in (kit, *parts):
            world.run("insert into sku (code) values (%s) on conflict do nothing", sku)
    for kit, parts in bills.items():
        for sku, quantity in parts.items():
            world.run("insert into kit values (%s, %s, %s)", kit, sku, quantity)


def test_a_kit_of_more_parts_than_there_can_be_stops_no_other_number(world, record, pool):
    """The sum left the range of the database, and with it the projection stood still for all."""
    much = 1_000_000_000_000
    kits(world, {"K-A": {"K-B": much}, "K-B": {"K-C": much}, "K-C": {"SKU-000": much}})
    world.list_item("WEB", "KIT", {"K-A": 1})
    record(receipt(5, "GR-1"))
    Projection(pool).step()
    assert world.level("KIT")["desired"] == 0
    assert world.level("SKU-000")["desired"] == 5


def test_kits_that_share_their_parts_on_many_floors_are_taken_apart_at_once(
    world, record, database_url
):
    """Thirty floors of two kits each: a billion ways down, and 62 SKUs."""
    floors = 30
    names = [(f"K-{n}-A", f"K-{n}-B") for n in range(floors)] + [("SKU-000", "SKU-001")]
    kits(world, {kit: dict.fromkeys(names[n + 1], 1) for n in range(floors) for kit in names[n]})
    world.list_item("WEB", "KIT", {"K-0-A": 1})
    each = 2 ** (floors - 1)
    record(receipt(3 * each, "GR-1"), receipt(4 * each, "GR-2", sku="SKU-001"))
    ((name,),) = world.rows("select current_database()")
    world.run(f"alter database {name} set statement_timeout = '10s'")
    with Pool(database_url, size=1) as hasty:
        Projection(hasty).step()
    assert world.level("KIT")["desired"] == 3
