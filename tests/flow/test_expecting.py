"""Supply, backorders, kits and shelf life from the tables to the numbers that channels show."""

import datetime as dt
from itertools import permutations

import pytest

from stockwright.domain.events import Fact, Request, RequestLine
from stockwright.domain.owing import BackorderTold
from stockwright.domain.supply import SupplyTold
from stockwright.flow.expecting import Expecting
from stockwright.flow.explaining import quantities, why
from stockwright.flow.projection import Projection
from stockwright.flow.promising import PromiseAsk, promises
from stockwright.flow.recording import Recorder
from stockwright.flow.telling import tell_backorders, tell_supply
from stockwright.store import backorders, supplies
from stockwright.store.connection import Pool, connect
from tests.flow.channels import Clock, World

DAY = dt.timedelta(days=1)
NOW = Clock().now


@pytest.fixture
def world(database_url):
    world = World(database_url, channels=("WEB", "B2B"))
    world.run("insert into system (code, role) values ('erp', 'erp'), ('wms', 'wms')")
    world.run("update location set supply_grace_s = 3600")
    return world


@pytest.fixture
def pool(world, database_url):
    with Pool(database_url, size=4) as pool:
        yield pool


@pytest.fixture
def record(world, database_url):
    with Recorder(database_url) as recorder:

        def one(*items):
            return [outcome.code for outcome in recorder.submit(items).result(30)]

        yield one


@pytest.fixture
def connection(world, database_url):
    with connect(database_url, autocommit=True) as connection:
        yield connection


def order(quantity, due, document="PO-1", **changes):
    told = {
        "system": "erp",
        "kind": "purchase_order",
        "document": document,
        "sku": "SKU-000",
        "location": "MAIN",
        "quantity": quantity,
        "due_at": due,
    }
    return SupplyTold(**(told | changes))


def notice(quantity, due, **changes):
    return order(
        quantity, due, "ASN-1", kind="ship_notice", of_document="PO-1", of_line="1", **changes
    )


def receipt(quantity, document="GR-1", **changes):
    told = {"kind": "receipt", "system": "wms", "document": document, "sku": "SKU-000"}
    return Fact(**(told | {"location": "MAIN", "quantity": quantity} | changes))


def for_order(quantity, order="PO-1", document="GR-1", **changes):
    return receipt(quantity, document, order_system="erp", order=order, order_line="1", **changes)


def owed(quantity, order="B-1", **changes):
    told = {"system": "WEB", "channel": "WEB", "order": order, "sku": "SKU-000"}
    return BackorderTold(**(told | {"quantity": quantity} | changes))


def reserve(quantity, order, channel="WEB", sku="SKU-000", **changes):
    return Request(
        kind="reserve",
        system=channel,
        document=order,
        channel=channel,
        lines=[RequestLine(sku=sku, quantity=quantity, **changes)],
    )


def codes(answers):
    return [getattr(one, "code", "") or one.reason for one in answers]


def tell(connection, *items):
    with connection.transaction():
        return codes(tell_supply(connection, items))


def left(connection, state="all"):
    return {one.document: (one.left, one.state) for one in supplies.page(connection, state=state)}


def promised(connection, by=None, quantity=None, now=None, **who):
    who = who or {"sku": "SKU-000", "channel": "WEB"}
    (answer,) = promises(connection, [PromiseAsk(by=by, quantity=quantity, **who)], now)
    return answer


# ---------------------------------------------------------------- supply


def test_supply_is_promised_for_its_date_and_nothing_of_it_is_shown(
    world, connection, record, pool
):
    soon, later = (dt.datetime.now(dt.UTC) + n * DAY for n in (2, 9))
    record(receipt(5))
    assert tell(connection, order(40, soon), order(10, later, "PO-2")) == ["recorded"] * 2
    Projection(pool).step()
    assert world.levels()["SKU-000"] == 5
    assert promised(connection).available_to_promise.result == 5
    found = promised(connection, by=soon + DAY, quantity=46)
    assert (found.available_to_promise.result, found.earliest) == (45, later)
    assert promised(connection, quantity=45).earliest == soon
    assert promised(connection, quantity=56).earliest is None
    at_place = {"sku": "SKU-000", "location": "STORE"}
    assert promised(connection, by=later, **at_place).available_to_promise.result == 0


def test_facts_and_documents_in_any_order_end_the_same(world, connection, record, pool):
    due = NOW.replace(year=2099)
    steps = {
        "order": lambda: tell(connection, order(100, due)),
        "notice": lambda: tell(connection, notice(60, due - DAY)),
        "for the notice": lambda: record(for_order(25, "ASN-1", "GR-1")),
        "for the order": lambda: record(for_order(50, "PO-1", "GR-2")),
    }
    ends = []
    for names in permutations(steps):
        for name in names:
            steps[name]()
            Expecting(pool).step()
        ends.append(left(connection))
        world.run("truncate supply, supply_received, identity")
    assert ends == [{"PO-1": (25, "expected"), "ASN-1": (0, "done")}] * 24


def test_a_receipt_taken_back_is_expected_again(world, connection, record, pool):
    tell(connection, order(30, NOW.replace(year=2099)))
    record(for_order(30))
    Expecting(pool).step()
    assert left(connection) == {"PO-1": (0, "done")}
    (sequence,) = world.rows("select sequence from event where kind = 'receipt'")[0]
    taken_back = Fact(kind="reversal", system="wms", document="X", quantity=0, reverses=sequence)
    assert record(taken_back) == ["recorded"]
    Expecting(pool).step()
    assert left(connection) == {"PO-1": (30, "expected")}


def test_a_partner_that_tells_sums_draws_down_their_differences(world, connection, record):
    world.run("insert into system (code, role, revisions) values ('tpl', '3pl', 'cumulative')")
    tell(connection, order(30, NOW.replace(year=2099)))
    for revision, quantity in enumerate((10, 25, 18)):
        record(for_order(quantity, system="tpl", revision=revision))
    assert left(connection)["PO-1"] == (12, "expected")
    assert world.rows("select received from supply_received") == [(18,)]


def test_a_receipt_at_a_place_fed_by_snapshots_brings_what_was_expected(world, connection, record):
    world.run("update location set feed = 'snapshot' where code = 'MAIN'")
    world.run("update master_revision set revision = revision + 1")
    tell(connection, order(30, NOW.replace(year=2099)))
    assert record(for_order(12)) == ["observed"]
    assert left(connection)["PO-1"] == (18, "expected")


def test_what_was_told_before_is_told_again_for_nothing(connection):
    due = NOW.replace(year=2099)
    first = order(30, due)
    assert tell(connection, first, first) == ["recorded", "recorded"]
    with connection.transaction():
        again, other, newer, older = tell_supply(
            connection,
            [
                first,
                order(31, due),
                order(31, due, revision=2),
                order(30, due, revision=1),
            ],
        )
    assert (again.code, again.replay) == ("recorded", True)
    assert (other.code, newer.code, older.code) == ("conflict", "recorded", "superseded")
    (line,) = supplies.page(connection)
    assert (line.quantity, line.revision) == (31, 2)


def test_partners_codes_and_units_are_understood(world, connection):
    world.run("insert into unit (sku, code, factor) values ('SKU-000', 'CASE', 12)")
    world.run(
        "insert into binding (system, subject, partner_code, code, unit) "
        "values ('erp', 'item', '4711', 'SKU-000', 'CASE')"
    )
    due = NOW.replace(year=2099)
    assert tell(
        connection,
        order(2, due, sku="", item="4711"),
        order(3, due, "PO-2", unit="CASE"),
        order(3, due, "PO-3", unit="BOX"),
        order(3, due, "PO-4", sku="", item="4712"),
        order(3, due, "PO-5", sku="NONE"),
        order(3, due, "PO-6", sku=""),
        order(3, due, "PO-7", location="NONE"),
        order(3, due, "PO-8", system="NONE"),
        order(3, due, "PO-9", of_document="PO-1"),
    ) == [
        *("recorded", "recorded", "unknown_unit", "unknown_sku", "unknown_sku", "malformed"),
        *("unknown_location", "unknown_system", "malformed"),
    ]
    assert {one.document: one.quantity for one in supplies.page(connection)} == {
        "PO-1": 24,
        "PO-2": 36,
    }


def test_a_line_that_is_ended_is_not_promised_and_may_be_expected_again(connection):
    due = dt.datetime.now(dt.UTC) + DAY
    tell(connection, order(30, due))
    key = ("erp", "PO-1", "1", "purchase_order")
    moves = [
        ("cancelled", True, 0),
        ("closed", False, 0),
        ("expected", True, 30),
        ("expected", False, 30),
        ("closed", True, 0),
    ]
    for state, done, units in moves:
        with connection.transaction():
            assert supplies.move(connection, key, state, actor="me", reason="so") == done
        assert promised(connection, by=due).available_to_promise.result == units
    assert tell(connection, order(20, due, revision=1)) == ["recorded"]
    assert promised(connection, by=due).available_to_promise.result == 20


def test_goods_under_way_are_counted_once(world, connection, record, pool):
    now = dt.datetime.now(dt.UTC)
    planned = order(50, now + 5 * DAY, "TR-1", kind="transfer", location="STORE")
    tell(connection, planned)
    record(receipt(80))
    by = now + 6 * DAY
    both = promised(connection, by=by).available_to_promise.result
    assert both == 130
    out = Fact(
        kind="transfer_out",
        system="wms",
        document="OUT-1",
        transfer="TR-1",
        sku="SKU-000",
        location="MAIN",
        to_location="STORE",
        quantity=20,
        eta=now + 3 * DAY,
    )
    record(out)
    found = promised(connection, by=by)
    assert found.available_to_promise.result == 80 - 20 + 20 + 30
    assert [(s.name, s.amount) for s in found.available_to_promise.steps] == [
        ("free", 60),
        ("free", 0),
        ("supply", 20),
        ("supply", 30),
    ]
    arrived = Fact(
        kind="transfer_in",
        system="wms",
        document="IN-1",
        transfer="TR-1",
        sku="SKU-000",
        location="STORE",
        quantity=20,
    )
    record(arrived)
    assert promised(connection, by=by).available_to_promise.result == 110
    Expecting(pool).step()
    assert left(connection) == {"TR-1": (30, "expected")}
    record(
        Fact(
            kind="transfer_out",
            system="wms",
            document="OUT-2",
            transfer="TR-1",
            sku="SKU-000",
            location="MAIN",
            to_location="STORE",
            quantity=30,
        )
    )
    Expecting(pool).step()
    assert left(connection) == {"TR-1": (0, "done")}


# ---------------------------------------------------------------- by time alone


def test_presold_supply_comes_near_is_shown_and_leaves_when_it_is_overdue(world, connection, pool):
    clock = Clock()
    projection = Projection(pool, clock=clock)
    world.policy("WEB", presell_days=3)
    world.stock("SKU-000", 5)
    projection.step()
    assert tell(connection, order(40, clock.now + 5 * DAY)) == ["recorded"]

    def shown():
        projection.mark_due()
        projection.step()
        return world.levels()["SKU-000"]

    assert shown() == 5
    clock.pass_s(2 * 86_400 - 1)
    assert shown() == 5
    clock.pass_s(1)
    assert shown() == 45
    clock.pass_s(3 * 86_400 + 3_599)
    assert shown() == 45, "late, and still believed in for an hour"
    clock.pass_s(1)
    assert shown() == 5
    assert world.levels("B2B")["SKU-000"] == 5
    assert world.rows("select count(*) from due_time") == [(0,)]


def test_supply_that_nobody_presells_marks_nothing(world, connection):
    world.run("delete from dirty")
    tell(connection, order(40, NOW.replace(year=2099)))
    assert world.rows("select count(*) from dirty") == [(0,)]
    world.policy("WEB", presell_days=3)
    tell(connection, order(41, NOW.replace(year=2099), revision=1))
    assert world.rows("select sku from dirty") == [("SKU-000",)]


def test_a_lot_that_grows_too_old_for_a_channel_leaves_its_number_at_midnight(
    world, connection, pool
):
    clock = Clock()
    projection = Projection(pool, clock=clock)
    world.run("update sku set control = 'lot' where code = 'SKU-000'")
    world.policy("WEB", min_shelf_life_days=30)
    world.stock("SKU-000", 0)
    today = clock.now.date()
    for lot, days, units in (("OLD", 29, 7), ("ON THE DAY", 30, 20), ("FRESH", 31, 300)):
        world.run(
            "insert into lot (sku, code, expires_on) values ('SKU-000', %s, %s)",
            lot,
            today + days * DAY,
        )
        world.run(
            "insert into balance (sku, location, lot, sellable) values ('SKU-000', 'MAIN', %s, %s)",
            lot,
            units,
        )

    def shown():
        projection.mark_due()
        projection.step()
        return world.levels()["SKU-000"], world.levels("B2B")["SKU-000"]

    assert shown() == (320, 327)
    clock.pass_s(12 * 3_600 - 1)
    assert shown() == (320, 327)
    clock.pass_s(1)
    assert shown() == (300, 327)
    clock.pass_s(86_400)
    assert shown() == (0, 327)


def test_fresh_goods_are_granted_exactly_as_explained(world, connection, record):
    world.run("update sku set control = 'lot' where code = 'SKU-000'")
    world.policy("WEB", min_shelf_life_days=30, hard_safety=4)
    today = dt.datetime.now(dt.UTC).date()
    for lot, days, units in (("OLD", 10, 7), ("FRESH", 90, 20)):
        record(receipt(units, lot, lot=lot, expires_on=today + days * DAY))
    record(reserve(5, "R-0", "B2B", min_shelf_life_days=60))
    (found,) = quantities(connection, ["SKU-000"], "WEB")
    grantable = found.channels[0].grantable
    assert [(step.name, step.amount) for step in grantable.steps] == [
        ("free", 22),
        ("free", 0),
        ("safety", -4),
        ("fresh", -3),
    ]
    assert found.channels[0].listings[0].available_to_sell.result == 22 - 7 - 4
    assert record(reserve(16, "R-1"), reserve(15, "R-2")) == ["insufficient", "granted"]


# ---------------------------------------------------------------- kits


def test_a_listing_of_a_kit_shows_what_can_be_made_of_its_parts(world, connection, record, pool):
    """A bicycle is a frame and a pair of wheels, and a pair is a kit of two."""
    world.run("insert into sku (code) values ('BIKE'), ('PAIR')")
    world.run(
        "insert into kit values ('PAIR', 'SKU-001', 2), ('BIKE', 'PAIR', 1), ('BIKE', 'SKU-000', 1)"
    )
    world.list_item("WEB", "bike", {"BIKE": 1, "SKU-001": 1})
    record(receipt(9), receipt(20, "GR-2", sku="SKU-001"))
    Projection(pool).step()
    assert world.levels()["bike"] == 6, "a spare wheel comes with each"
    record(reserve(3, "R-1", sku="SKU-001"))
    Projection(pool).step()
    assert world.levels()["bike"] == 5
    (found,) = quantities(connection, ["SKU-001"], "WEB")
    assert {one.listing for one in found.channels[0].listings} == {"SKU-001", "bike"}
    assert promised(connection, sku="BIKE", channel="WEB").available_to_promise.result == 8
    assert promised(connection, listing="bike", channel="WEB").available_to_promise.result == 5
    world.run("update kit set quantity = 4 where sku = 'PAIR'")
    world.run("insert into dirty (sku, sequence) values ('PAIR', 0)")
    Projection(pool).step()
    assert world.levels()["bike"] == 3


def test_a_channel_that_may_not_split_shows_sets_of_one_place(world, record, pool):
    world.list_item("WEB", "set", {"SKU-000": 1, "SKU-001": 1})
    world.list_item("B2B", "set", {"SKU-000": 1, "SKU-001": 1})
    world.run("update channel set allow_split = false where code = 'B2B'")
    record(receipt(5), receipt(5, "GR-2", sku="SKU-001", location="STORE"))
    record(receipt(2, "GR-3", sku="SKU-001"))
    Projection(pool).step()
    assert (world.levels()["set"], world.levels("B2B")["set"]) == (5, 2)


def test_a_part_of_a_kit_alone_marks_the_listings_of_the_kit(world, record, pool):
    world.run("insert into sku (code) values ('KIT'), ('PART')")
    world.run("insert into kit values ('KIT', 'PART', 3)")
    world.list_item("WEB", "kit", {"KIT": 1})
    record(receipt(10, sku="PART"))
    Projection(pool).step()
    assert world.levels()["kit"] == 3


# ---------------------------------------------------------------- backorders


def test_what_is_owed_is_neither_granted_nor_shown_from_the_moment_it_is_recorded(
    world, connection, record, pool
):
    record(receipt(10))
    assert record(reserve(1, "R-0")) == ["granted"]
    assert codes(tell_backorders(connection, [owed(6)])) == ["recorded"]
    Projection(pool).step()
    assert world.levels()["SKU-000"] == 3
    (found,) = quantities(connection, ["SKU-000"], "WEB")
    assert found.channels[0].grantable.result == 3
    assert record(reserve(4, "R-1"), reserve(3, "R-2")) == ["insufficient", "granted"]
    assert promised(connection).available_to_promise.result == 0
    assert record(reserve(6, "B-1")) == ["granted"]
    assert record(Request(kind="confirm", system="WEB", document="C", order="B-1")) == ["done"]
    (one,) = backorders.page(connection, state="all")
    assert (one.state, one.served, one.owed) == ("served", 6, 0)


def test_another_process_that_decides_ahead_learns_of_the_first_backorder(
    world, connection, database_url, record
):
    with Recorder(database_url) as other:
        record(receipt(10))
        for n in range(3):
            assert other.submit([reserve(1, f"R-{n}")]).result(30)[0].code == "granted"
        tell_backorders(connection, [owed(7)])
        assert other.submit([reserve(1, "R-9")]).result(30)[0].code == "insufficient"


def test_a_backorder_is_recorded_once_and_revised_by_higher_revisions(world, connection, record):
    line = owed(6, owed_since=NOW)
    answers = tell_backorders(connection, [line, line, owed(7), owed(8, revision=1), owed(6)])
    assert codes(answers) == ["recorded", "recorded", "conflict", "recorded", "superseded"]
    assert [getattr(one, "replay", False) for one in answers][:2] == [False, True]
    (one,) = backorders.page(connection)
    assert (one.quantity, one.owed, one.owed_since, one.revision) == (8, 8, NOW, 1)
    answers = tell_backorders(connection, [owed(3, "B-2", channel="NONE"), owed(3, "B-3", sku="X")])
    assert codes(answers) == ["unknown_channel", "unknown_sku"]


def test_what_the_order_line_had_before_does_not_serve_it(world, connection, record):
    record(receipt(4))
    partly = reserve(10, "O-1")
    partly.mode, partly.confirmed = "partial", True
    assert record(partly) == ["partial"]
    tell_backorders(connection, [owed(6, "O-1")])
    assert backorders.page(connection)[0].owed == 6
    tell_backorders(connection, [owed(7, "O-1", revision=1)])
    record(receipt(7, "GR-2"))
    again = reserve(7, "O-1")
    again.document, again.order, again.confirmed = "again", "O-1", True
    assert record(again) == ["granted"]
    assert backorders.page(connection, state="served")[0].served == 7
    wrong = owed(1, "O-1", sku="SKU-001", revision=2)
    assert codes(tell_backorders(connection, [wrong])) == ["already_claimed"]


def test_what_is_not_wanted_any_more_holds_nobody_up(world, connection, record, pool):
    record(receipt(5))
    tell_backorders(connection, [owed(5)])
    assert record(reserve(1, "R-1")) == ["insufficient"]
    with connection.transaction():
        assert backorders.end(connection, ("WEB", "B-1", "1"), "cancelled", actor="me", reason="")
    with connection.transaction():
        assert not backorders.end(connection, ("WEB", "B-1", "1"), "closed", actor="me", reason="")
    assert record(reserve(5, "R-2")) == ["granted"]
    Projection(pool).step()
    assert world.levels()["SKU-000"] == 0


def test_where_nothing_is_owed_any_more_the_ledger_need_not_look(world, connection, record):
    tell_backorders(connection, [owed(5), owed(2, "B-2", sku="SKU-001")])
    with connection.transaction():
        backorders.end(connection, ("WEB", "B-2", "1"), "closed", actor="me", reason="")
    with connection.transaction():
        assert backorders.unflag(connection) == 0, "they are new"
        assert backorders.unflag(connection, after_s=0) == 1
        assert backorders.unflag(connection, after_s=0) == 0
    assert world.rows("select sku from backordered") == [("SKU-000",)]
    tell_backorders(connection, [owed(2, "B-3", sku="SKU-001")])
    record(receipt(2, sku="SKU-001"))
    assert record(reserve(1, "R-1", sku="SKU-001")) == ["insufficient"]


# ---------------------------------------------------------------- as it was


def test_an_earlier_number_is_explained_by_what_was_expected_and_owed_then(
    world, connection, record, pool
):
    world.policy("WEB", presell_days=3)
    projection = Projection(pool)
    record(receipt(5))
    due = dt.datetime.now(dt.UTC) + DAY
    steps = [
        lambda: tell(connection, order(40, due)),
        lambda: tell_backorders(connection, [owed(6)]),
        lambda: record(for_order(15, document="GR-2")),
        lambda: record(reserve(6, "B-1")),
        lambda: tell(connection, order(30, due, revision=1)),
        lambda: supplies.move(
            connection, ("erp", "PO-1", "1", "purchase_order"), "closed", actor="me", reason=""
        ),
    ]
    shown = []
    for step in steps:
        step()
        projection.step()
        shown.append((dt.datetime.now(dt.UTC), world.levels()["SKU-000"]))
    assert [units for _, units in shown] == [45, 39, 39, 39, 29, 14]
    for at, units in shown:
        (channel,) = why(connection, "SKU-000", "WEB", at).quantities.channels
        (listing,) = channel.listings
        assert listing.available_to_sell.result == listing.then.value == units
        assert listing.shown.due is None
    (channel,) = why(connection, "SKU-000", "WEB", shown[1][0], by=due).quantities.channels
    assert channel.available_to_promise.result == 39


def test_an_earlier_number_is_explained_by_the_lots_of_then(world, connection, record, pool):
    world.run("update sku set control = 'lot' where code = 'SKU-000'")
    world.policy("WEB", min_shelf_life_days=30)
    today = dt.datetime.now(dt.UTC).date()
    projection = Projection(pool)
    record(receipt(7, "GR-1", lot="L", expires_on=today + 40 * DAY))
    projection.step()
    before = dt.datetime.now(dt.UTC)
    record(receipt(2, "GR-2", lot="L", expires_on=today + 20 * DAY))
    projection.step()
    assert world.levels()["SKU-000"] == 0
    (channel,) = why(connection, "SKU-000", "WEB", before).quantities.channels
    assert channel.listings[0].available_to_sell.result == 7


# ---------------------------------------------------------------- questions


@pytest.mark.parametrize(
    ("ask", "reason", "field"),
    [
        ({}, "malformed", "sku"),
        ({"sku": "SKU-000", "listing": "SKU-000", "channel": "WEB"}, "malformed", "sku"),
        ({"listing": "SKU-000"}, "malformed", "channel"),
        ({"sku": "SKU-000"}, "malformed", "channel"),
        ({"sku": "SKU-000", "channel": "WEB", "location": "MAIN"}, "malformed", "channel"),
        ({"sku": "SKU-000", "channel": "NONE"}, "unknown_channel", "channel"),
        ({"sku": "SKU-000", "location": "NONE"}, "unknown_location", "location"),
        ({"sku": "NONE", "channel": "WEB"}, "unknown_sku", "sku"),
        ({"listing": "NONE", "channel": "WEB"}, "unknown_sku", "listing"),
    ],
)
def test_a_question_that_makes_no_sense_is_told_why_in_its_place(connection, ask, reason, field):
    good = PromiseAsk(sku="SKU-000", location="MAIN")
    found = promises(connection, [good, PromiseAsk(**ask), good])
    assert (found[1].reason, found[1].field) == (reason, field)
    assert found[0].available_to_promise.result == found[2].available_to_promise.result == 0
