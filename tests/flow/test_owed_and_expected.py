"""Backorders and expected supply from the database: the ledger's lane, levels, promises by date."""

import datetime as dt
import threading

import pytest

from stockwright.domain.backorders import ToldOwed
from stockwright.domain.errors import Rejected
from stockwright.domain.events import Fact, Request, RequestLine
from stockwright.domain.supply import ToldSupply
from stockwright.flow.expiry import Sweeper
from stockwright.flow.explaining import quantities
from stockwright.flow.projection import Projection
from stockwright.flow.promising import promise_of
from stockwright.flow.recording import Recorder
from stockwright.store import backorders, supply
from stockwright.store.connection import Pool, connect
from tests.flow.channels import World

NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
DAY = dt.timedelta(days=1)


@pytest.fixture
def world(database_url):
    made = World(database_url, channels=("WEB", "B2B"))
    made.run("update channel set demand_class = 50 where code = 'B2B'")
    return made


@pytest.fixture
def recorder(world, database_url):
    with Recorder(database_url) as recorder:
        yield recorder


@pytest.fixture
def record(recorder):
    return lambda *items: recorder.submit(items).result(30)


@pytest.fixture
def pool(database_url):
    with Pool(database_url, size=2) as pool:
        yield pool


@pytest.fixture
def connection(world, database_url):
    with connect(database_url, autocommit=True) as connection:
        yield connection


def receipt(quantity, document, **more):
    given = {"location": "MAIN", "sku": "SKU-000", "system": "WMS"} | more
    return Fact(kind="receipt", document=document, quantity=quantity, **given)


def reserve(quantity, order, channel="WEB", sku="SKU-000"):
    return Request(
        kind="reserve",
        system=channel,
        document=f"K-{order}-{quantity}",
        channel=channel,
        order=order,
        lines=[RequestLine(sku=sku, quantity=quantity)],
    )


def owe(pool, order, quantity, channel="WEB", **more):
    told = ToldOwed(
        system=channel, order=order, channel=channel, sku="SKU-000", quantity=quantity, **more
    )
    with pool.connection() as connection:
        (result,) = backorders.save(connection, [told], "test")
    return result


def owed(connection, order, channel="WEB"):
    return backorders.find(connection, (channel, order, "1"))


def test_from_birth_what_is_owed_is_granted_to_nobody_of_the_same_or_a_lower_class(
    world, record, pool, connection
):
    record(receipt(10, "GR-1"))
    assert record(reserve(1, "R-0"))[0].code == "granted"
    assert owe(pool, "O-1", 7) == "new"
    (found,) = quantities(connection, ["SKU-000"])
    assert [one.grantable.result for one in found.channels] == [9, 2]
    assert [one.listings[0].available_to_sell.result for one in found.channels] == [9, 2]
    codes = [one.code for one in record(reserve(3, "R-1"), reserve(2, "R-2"), reserve(1, "R-3"))]
    assert codes == ["insufficient", "granted", "insufficient"]
    assert record(reserve(7, "R-4", "B2B"))[0].code == "granted", "its class comes first"


def test_a_batch_decided_ahead_does_not_miss_what_is_owed_since(world, record, pool):
    """The recorder knows the SKU, and decides on what it knows: the lane tells that it is old."""
    record(receipt(100, "GR-1"))
    for n in range(5):
        assert record(reserve(1, f"R-{n}"))[0].code == "granted"
    owe(pool, "O-1", 95)
    assert record(reserve(1, "R-9"))[0].code == "insufficient"


def test_while_others_reserve_what_is_owed_stays(world, recorder, pool, connection):
    """Forty callers in a race with twenty backorders of one unit, on thirty units."""
    recorder.submit([receipt(30, "GR-1")]).result(30)

    def owing():
        for n in range(20):
            owe(pool, f"O-{n}", 1)

    thread = threading.Thread(target=owing)
    thread.start()
    promises = [recorder.submit([reserve(1, f"R-{n}")]) for n in range(40)]
    granted = sum(one.result(30)[0].code == "granted" for one in promises)
    thread.join()
    more = [recorder.submit([reserve(1, f"S-{n}")]).result(30)[0].code for n in range(40)]
    granted += more.count("granted")
    got = [recorder.submit([reserve(1, f"O-{n}")]).result(30)[0].code for n in range(20)]
    assert got.count("granted") == min(20, 30 - granted)
    assert granted <= 30
    if granted <= 10:
        assert got.count("granted") == 20


def test_a_promotion_closes_the_backorder_with_its_event(world, record, pool, connection):
    owe(pool, "O-1", 7)
    record(receipt(4, "GR-1"))
    (first,) = record(reserve(4, "O-1"))
    assert first.code == "granted"
    assert (owed(connection, "O-1").owed, owed(connection, "O-1").promoted) == (3, 4)
    record(receipt(4, "GR-2"))
    assert record(reserve(2, "R-1"))[0].code == "insufficient"
    (second,) = record(reserve(3, "O-1"))
    found = owed(connection, "O-1")
    assert (found.owed, found.promoted, found.sequence) == (0, 7, second.sequence)
    assert (found.closed_by, found.closed_why) == ("ledger", "promoted to a reservation")
    assert record(reserve(1, "R-2"))[0].code == "granted"


def test_an_order_that_is_only_owed_is_cancelled_by_its_name(world, record, pool, connection):
    owe(pool, "O-1", 7)
    projected = Projection(pool)
    projected.step()
    cancel = Request(kind="cancel", system="WEB", document="C-1", order="O-1")
    assert record(cancel)[0].code == "done"
    found = owed(connection, "O-1")
    assert (found.owed, found.cancelled, found.closed_why) == (0, 7, "cancelled")
    assert world.rows("select distinct sku from dirty") == [("SKU-000",)]


def test_told_again_it_is_owed_the_difference_and_once_closed_anew(world, record, pool, connection):
    assert owe(pool, "O-1", 7) == "new"
    assert owe(pool, "O-1", 7) == "unchanged"
    record(receipt(4, "GR-1"), reserve(4, "O-1"))
    assert owe(pool, "O-1", 9) == "changed"
    assert owed(connection, "O-1").owed == 5
    with pool.connection() as own:
        assert backorders.close(own, ("WEB", "O-1", "1"), actor="me", why="gave up")
        assert not backorders.close(own, ("WEB", "O-1", "1"), actor="me", why="gave up")
    assert owe(pool, "O-1", 9) == "unchanged"
    assert (owed(connection, "O-1").owed, owed(connection, "O-1").closed_by) == (0, "me")
    assert owe(pool, "O-1", 2) == "changed"
    assert (owed(connection, "O-1").owed, owed(connection, "O-1").promoted) == (2, 0)


def test_less_than_was_promoted_already_closes_it(world, record, pool, connection):
    owe(pool, "O-1", 7)
    record(receipt(5, "GR-1"), reserve(5, "O-1"))
    assert owe(pool, "O-1", 4) == "changed"
    found = owed(connection, "O-1")
    assert (found.owed, found.promoted, found.closed_by) == (0, 5, "test")


def test_skus_that_are_owed_no_more_are_forgotten(world, recorder, record, pool):
    owe(pool, "O-1", 1)
    before = world.rows("select revision from master_revision")
    sweeper = Sweeper(pool, recorder)
    sweeper.mark(NOW)
    assert world.rows("select sku from owed_sku") == [("SKU-000",)]
    assert world.rows("select revision from master_revision") == before
    record(receipt(1, "GR-1"), reserve(1, "O-1"))
    sweeper.mark(NOW)
    assert world.rows("select sku from owed_sku") == []
    assert world.rows("select revision from master_revision") > before


def tell(pool, document, quantity, due_at, **more):
    given = {"kind": "purchase_order", "system": "ERP", "location": "MAIN", "sku": "SKU-000"}
    told = ToldSupply(document=document, quantity=quantity, due_at=due_at, **(given | more))
    with pool.connection() as connection:
        (result,) = supply.save(connection, [told], "test")
    return result


def promised(connection, by=None, **more):
    found = promise_of(connection, "SKU-000", **({"channel": "WEB"} | more), by=by)
    return found.promise.available_to_promise.result


def test_a_promise_counts_what_is_free_and_what_comes_less_what_is_owed(
    world, record, pool, connection
):
    world.policy("WEB", safety=2)
    record(receipt(10, "GR-1"))
    tell(pool, "PO-1", 100, NOW + 5 * DAY)
    tell(pool, "PO-2", 50, NOW + 9 * DAY, location="STORE")
    owe(pool, "O-1", 20)
    assert promised(connection) == 10 - 2 - 20
    assert promised(connection, NOW + 6 * DAY) == 88
    assert promised(connection, NOW + 9 * DAY) == 138
    assert promised(connection, NOW + 9 * DAY, channel="B2B") == 160, "its class comes first"
    assert promised(connection, NOW + 9 * DAY, channel="", location="STORE") == 30
    found = promise_of(connection, "SKU-000", channel="WEB", quantity=100)
    assert found.promise.earliest == NOW + 9 * DAY
    assert found.sequence == 1


@pytest.mark.parametrize("first", ["order", "receipt"])
def test_a_receipt_draws_its_supply_down_whichever_is_told_first(
    world, record, pool, connection, first
):
    came = receipt(30, "GR-1", order_system="ERP", order="PO-1", order_line="1")
    if first == "receipt":
        record(came)
    tell(pool, "PO-1", 100, NOW + 5 * DAY)
    if first == "order":
        record(came)
    assert promised(connection, NOW + 5 * DAY) == 30 + 70
    found = supply.find(connection, ("ERP", "PO-1", "1"))
    assert (found.received, found.state) == (30, "open")
    ((sequence,),) = world.rows("select sequence from supply_receipt")
    back = Fact(kind="reversal", system="WMS", document="RV", quantity=0, reverses=sequence)
    assert record(back)[0].code == "recorded"
    assert promised(connection, NOW + 5 * DAY) == 100


def test_a_notice_replaces_as_much_of_its_order_and_comes_at_its_own_date(
    world, record, pool, connection
):
    tell(pool, "PO-1", 100, NOW + 9 * DAY)
    tell(pool, "N-1", 40, NOW + 2 * DAY, kind="asn", system="SUP", of_system="ERP",
         of_document="PO-1", of_line="1")  # fmt: skip
    assert promised(connection, NOW + 3 * DAY) == 40
    assert promised(connection, NOW + 9 * DAY) == 100
    record(receipt(40, "GR-1", order_system="SUP", order="N-1"))
    assert promised(connection, NOW + 9 * DAY) == 100
    with pool.connection() as own:
        assert supply.close(own, ("ERP", "PO-1", "1"), actor="me", why="cancelled")
    assert promised(connection, NOW + 9 * DAY) == 40


def test_goods_between_places_count_once_planned_under_way_and_arrived(
    world, record, pool, connection
):
    record(receipt(50, "GR-1"))
    tell(pool, "T-1", 20, NOW + 4 * DAY, kind="transfer", location="STORE")
    at_store = {"channel": "", "location": "STORE"}
    assert promised(connection, NOW + 5 * DAY, **at_store) == 20
    move = {"system": "WMS", "sku": "SKU-000", "transfer": "T-1"}
    record(Fact(kind="transfer_out", document="OUT-1", quantity=15, location="MAIN",
                to_location="STORE", eta=NOW + 2 * DAY, **move))  # fmt: skip
    assert promised(connection, NOW + 3 * DAY, **at_store) == 15
    assert promised(connection, NOW + 5 * DAY, **at_store) == 20
    record(Fact(kind="transfer_in", document="IN-1", quantity=15, location="STORE", **move))
    assert promised(connection, **at_store) == 15
    assert promised(connection, NOW + 5 * DAY, **at_store) == 20
    assert supply.find(connection, ("ERP", "T-1", "1")).received == 15


def test_late_supply_leaves_the_promise_and_becomes_work(world, recorder, pool, connection):
    world.run("update location set supply_grace_s = 3600")
    tell(pool, "PO-1", 100, NOW - dt.timedelta(minutes=30))
    tell(pool, "PO-2", 7, NOW - dt.timedelta(hours=2))
    assert promised(connection) == 100, "half an hour late is within what the place allows"
    sweeper = Sweeper(pool, recorder)
    assert sweeper.mark(NOW) == 1
    assert sweeper.mark(NOW) == 0
    work = "select subject, detail->>'units' from work_item where closed_at is null"
    assert world.rows(work) == [("ERP/PO-2/1", "7")]
    assert world.rows("select sku from dirty where sku = 'SKU-000'") != []
    assert supply.find(connection, ("ERP", "PO-2", "1")).state == "overdue"
    assert tell(pool, "PO-2", 7, NOW + DAY) == "changed"
    assert world.rows(work) == []
    assert promised(connection, NOW + DAY) == 107
    assert supply.find(connection, ("ERP", "PO-2", "1")).state == "open"


def test_late_supply_that_came_after_all_is_closed(world, recorder, pool, connection):
    tell(pool, "PO-1", 10, NOW - 5 * DAY)
    sweeper = Sweeper(pool, recorder)
    sweeper.mark(NOW)
    came = receipt(10, "GR-1", order_system="ERP", order="PO-1")
    recorder.submit([came]).result(30)
    sweeper.mark(NOW)
    assert world.rows("select closed_by from work_item") == [("ledger",)]
    found = supply.find(connection, ("ERP", "PO-1", "1"))
    assert (found.state, found.closed_why) == ("received", "all of it came")


def test_what_cannot_be_told_says_why(world, pool):
    world.run("insert into unit values ('SKU-000', 'CASE', 12)")
    world.run("insert into binding values ('ERP', 'item', '0042', 'SKU-000', 'CASE')")
    given = {"system": "ERP", "kind": "purchase_order", "quantity": 2, "due_at": NOW}
    told = [
        ToldSupply(document="A", location="MAIN", item="0042", **given),
        ToldSupply(document="B", location="MAIN", item="0043", **given),
        ToldSupply(document="C", location="MAIN", sku="NONE", **given),
        ToldSupply(document="D", location="NONE", sku="SKU-000", **given),
        ToldSupply(document="E", location="MAIN", sku="SKU-000", unit="BOX", **given),
    ]
    with pool.connection() as connection:
        results = supply.save(connection, told, "test")
        (kept,) = supply.page(connection)
    said = [(one.reason, one.field) if isinstance(one, Rejected) else one for one in results]
    assert said == [
        "new",
        ("unknown_sku", "item"),
        ("unknown_sku", "sku"),
        ("unknown_location", "location"),
        ("unknown_unit", "unit"),
    ]
    assert (kept.sku, kept.quantity) == ("SKU-000", 24)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"channel": "WEB", "location": "MAIN"}, "malformed"),
        ({}, "malformed"),
        ({"channel": "WEP"}, "unknown_channel"),
        ({"location": "MIAN"}, "unknown_location"),
    ],
)
def test_a_promise_needs_one_channel_or_one_place_that_there_is(connection, asked, reason):
    with pytest.raises(Rejected) as refused:
        promise_of(connection, "SKU-000", **asked)
    assert refused.value.reason == reason
