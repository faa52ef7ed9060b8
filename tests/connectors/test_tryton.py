"""Tryton against its sandbox: moves that are told once, what they mean, quantities, items."""

import datetime as dt
from decimal import Decimal

import msgspec
import pytest

from stockwright.connectors.tryton import CONNECTOR, Sandbox
from stockwright.connectors.tryton.access import plain
from stockwright.domain.errors import Misconfigured, Transient
from stockwright.domain.events import Fact
from stockwright.domain.items import Binding, Sku, Unit
from stockwright.domain.supply import ToldSupply
from stockwright.sdk.connector import Opening
from stockwright.sdk.messages import Failure
from stockwright.sdk.secrets import Secret, resolve_secret
from stockwright.sdk.transports import HttpResponse, InMemory
from stockwright.sdk.verbs import Expects, ListsItems, OpensStock, Publishes, Reads, Snapshots

NOW = dt.datetime(2026, 3, 2, 9, 30, 0, tzinfo=dt.UTC)
TODAY = NOW.date()
END_OF_TODAY = dt.datetime(2026, 3, 2, 22, 59, 59, tzinfo=dt.UTC)
"""In Berlin."""


class Clock:
    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now

    def step(self, seconds=1):
        self.now += dt.timedelta(seconds=seconds)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(params=["rpc", "rest"])
async def erp(request, clock):
    erp = Sandbox(("MUG", "PLATE"), rest=request.param == "rest", clock=clock)
    await erp.start()
    yield erp
    await erp.stop()


BY_RPC = pytest.mark.parametrize("erp", ["rpc"], indirect=True)
"""For what REST does not have."""


@pytest.fixture
async def connect(erp, clock):
    opened = []

    def make(**settings):
        given = {**erp.settings(), "timeout_s": 15.0, **settings}
        parsed = CONNECTOR.declaration.parse_settings(given, resolve_secret)
        opening = Opening(system="erp", clock=clock, time_zone="Europe/Berlin")
        opened.append(CONNECTOR.open(opening, parsed))
        return opened[-1]

    yield make
    for one in opened:
        await one.close()


async def polled(connection, cursor=""):
    """The parts of all that a poll tells, until it has no more, and the cursor after it."""
    parts = []
    for _ in range(200):
        page = await connection.read(cursor)
        parts += [part.item for payload in page.payloads for part in connection.map(payload)]
        cursor = page.next_cursor
        if page.complete:
            return parts, cursor
    raise AssertionError("the poll comes to no end")


async def facts(connection):
    """(kind, location, quantity) of all there is."""
    parts, _ = await polled(connection)
    assert all(isinstance(part, Fact) for part in parts), parts
    return [(part.kind, part.location, part.quantity) for part in parts]


async def on_hand(connection):
    """What the facts of a poll add up to, by item and place."""
    sums = {}
    signs = {"receipt": 1, "return_receipt": 1, "transfer_in": 1, "adjustment": 1}
    signs |= {"shipment": -1, "transfer_out": -1, "inspection_result": 0, "transfer_close": 1}
    for fact in (await polled(connection))[0]:
        key = fact.item, fact.location
        sums[key] = sums.get(key, 0) + signs[fact.kind] * fact.quantity
    return sums


# ------------------------------------------------------------ what a move means


MEANINGS = [
    ("SUP", "STO", None, [("receipt", "WH", 5)]),
    ("SUP", "IN", "stock.shipment.in,7", [("receipt", "WH", 5)]),
    ("IN", "STO", "stock.shipment.in,7", []),
    ("STO", "OUT", "stock.shipment.out,8", []),
    ("OUT", "CUS", "stock.shipment.out,8", [("shipment", "WH", 5)]),
    ("CUS", "IN", "stock.shipment.out.return,9", [("return_receipt", "WH", 5)]),
    ("STO", "SUP", "stock.shipment.in.return,4", [("adjustment", "WH", -5)]),
    ("Lost and Found", "STO", None, [("adjustment", "WH", 5)]),
    ("STO", "Lost and Found", None, [("adjustment", "WH", -5)]),
    ("STO", "STO-B", None, [("transfer_out", "WH", 5), ("transfer_in", "WB", 5)]),
    ("SUP", "CUS", None, []),
]


@pytest.mark.parametrize(("source", "target", "shipment", "meant"), MEANINGS)
async def test_a_move_means_what_its_two_ends_say(erp, connect, source, target, shipment, meant):
    erp.warehouse("WB", "-B")
    erp.move("MUG", 5.0, source, target, shipment=shipment)
    assert await facts(connect()) == meant


async def test_a_fact_carries_document_line_item_lot_and_the_end_of_its_day(erp, connect):
    number = erp.move("MUG", 5.0, "SUP", "IN", shipment="stock.shipment.in,7", lot="B-1")
    (fact,), _ = await polled(connect(lots=True))
    assert fact == Fact(
        kind="receipt",
        document="stock.shipment.in,7",
        line=str(number),
        item="MUG",
        lot="B-1",
        quantity=5,
        location="WH",
        occurred_at=END_OF_TODAY,
        order=f"stock.move,{number}",
        order_line="1",
    )


async def test_where_only_storage_is_read_its_borders_are_supplier_and_customer(erp, connect):
    erp.move("MUG", 9.0, "SUP", "IN")
    erp.move("MUG", 9.0, "IN", "STO")
    erp.move("MUG", 4.0, "STO", "OUT")
    erp.move("MUG", 4.0, "OUT", "CUS")
    erp.move("MUG", 1.0, "CUS", "IN", shipment="stock.shipment.out.return,1")
    erp.move("MUG", 1.0, "IN", "STO", shipment="stock.shipment.out.return,1")
    told = await facts(connect(places=["STO"]))
    assert told == [("receipt", "STO", 9), ("shipment", "STO", 4), ("return_receipt", "STO", 1)]


async def test_a_shelf_belongs_to_the_nearest_place_that_is_read(erp, connect):
    erp.place("AISLE", "Aisle", parent="STO")
    erp.place("SHELF", "Shelf", parent="AISLE")
    erp.move("MUG", 3.0, "SUP", "SHELF")
    erp.move("MUG", 2.0, "SHELF", "STO")
    assert await facts(connect()) == [("receipt", "WH", 3)]
    told = await facts(connect(places=["AISLE", "WH"]))
    assert told == [("receipt", "AISLE", 3), ("transfer_out", "AISLE", 2), ("transfer_in", "WH", 2)]


async def test_an_internal_shipment_through_the_transit_is_one_transfer(erp, connect):
    erp.warehouse("WB", "-B")
    planned = TODAY + dt.timedelta(days=2)
    document = erp.transfer("STO", "STO-B", planned)
    erp.move("MUG", 5.0, "STO", "Transit", shipment=document)
    out, cursor = await polled(connect())
    erp.move("MUG", 5.0, "Transit", "STO-B", shipment=document)
    arrived, _ = await polled(connect(), cursor)
    (out,), (arrived,) = out, arrived
    assert (out.kind, out.location, out.to_location, out.transfer) == (
        *("transfer_out", "WH", "WB"),
        document,
    )
    assert out.eta == END_OF_TODAY + dt.timedelta(days=2)
    assert (arrived.kind, arrived.location, arrived.transfer) == ("transfer_in", "WB", document)


async def test_goods_sent_to_a_place_that_is_not_read_have_left(erp, connect):
    erp.warehouse("WB", "-B")
    there, back = erp.transfer("STO", "STO-B"), erp.transfer("STO-B", "STO")
    erp.move("MUG", 5.0, "STO", "Transit", shipment=there)
    erp.move("MUG", 2.0, "Transit", "STO", shipment=back)
    assert await facts(connect(places=["WH"])) == [("shipment", "WH", 5), ("receipt", "WH", 2)]


async def test_returned_goods_are_for_sale_at_once_where_the_settings_say_so(erp, connect):
    erp.move("MUG", 2.0, "CUS", "IN")
    assert await facts(connect(returns="sellable")) == [
        ("return_receipt", "WH", 2),
        ("inspection_result", "WH", 2),
    ]


async def test_a_product_without_a_code_is_told_by_its_number(erp, connect):
    number = erp.add("")
    erp.receive("", 1.0)
    (fact,), _ = await polled(connect())
    assert fact.item == f"product.product,{number}"


# ------------------------------------------------------------ moves that are taken back


@pytest.mark.parametrize(
    ("source", "target", "shipment"), [row[:3] for row in MEANINGS], ids=lambda one: str(one)
)
async def test_a_done_move_that_is_cancelled_leaves_nothing(
    erp, connect, clock, source, target, shipment
):
    erp.warehouse("WB", "-B")
    number = erp.move("MUG", 5.0, source, target, shipment=shipment)
    before = await polled(connect())
    clock.step()
    erp.change(number, state="cancelled")
    after, _ = await polled(connect(), before[1])
    # What was told before is told again word for word, so that the ledger knows it.
    assert after[: len(before[0])] == before[0]
    assert set((await on_hand(connect())).values()) <= {0}


async def test_an_internal_shipment_cancelled_on_its_way_is_found_where_it_left(erp, connect):
    erp.warehouse("WB", "-B")
    document = erp.transfer("STO", "STO-B")
    number = erp.move("MUG", 5.0, "STO", "Transit", shipment=document)
    erp.change(number, state="cancelled")
    parts, _ = await polled(connect())
    assert [part.kind for part in parts] == ["transfer_out", "transfer_close"]
    assert (parts[1].close_as, parts[1].location, parts[1].quantity) == ("found", "WH", 5)


async def test_a_return_taken_back_leaves_no_bucket_with_units(erp, connect):
    number = erp.move("MUG", 2.0, "CUS", "IN")
    erp.change(number, state="cancelled")
    parts, _ = await polled(connect(returns="sellable"))
    undone = [part for part in parts if part.kind == "adjustment"]
    assert [(part.bucket, part.quantity) for part in undone] == [("sellable", -2)]
    parts, _ = await polled(connect())
    assert (parts[-1].bucket, parts[-1].quantity) == ("inspection", -2)


async def test_a_move_cancelled_before_it_was_done_is_nothing(erp, connect):
    number = erp.move("MUG", 2.0, "SUP", "STO", state="draft")
    erp.change(number, state="cancelled")
    assert await facts(connect()) == []


# ------------------------------------------------------------ nothing lost, nothing told twice


async def test_each_move_is_told_once_whatever_the_size_of_a_page(erp, connect, clock):
    for number in range(25):
        erp.receive("MUG", number + 1.0)
        clock.step(number % 3)  # some at one time, some later
    connection = connect(page_size=4, overlap_s=2)
    parts, cursor = await polled(connection)
    assert [part.quantity for part in parts] == list(range(1, 26))
    assert await polled(connection, cursor) == ([], cursor)


async def test_a_move_that_is_committed_late_under_an_earlier_time_is_told(erp, connect, clock):
    erp.receive("MUG", 1.0)
    clock.step(120)
    erp.receive("MUG", 2.0)
    connection = connect(overlap_s=300)
    _, cursor = await polled(connection)
    late = (clock.now - dt.timedelta(seconds=100)).replace(tzinfo=None)
    erp.move("MUG", 3.0, "SUP", "STO", written=late)
    parts, _ = await polled(connection, cursor)
    assert [part.quantity for part in parts] == [3]


async def test_a_move_that_is_written_between_two_pages_shifts_no_other(erp, connect, clock):
    numbers = []
    for quantity in range(1, 9):
        numbers.append(erp.receive("MUG", float(quantity)))
        clock.step()
    connection = connect(page_size=3, overlap_s=1)
    page = await connection.read("")
    erp.change(numbers[1])  # such as its cost: it moves to the end
    parts, _ = await polled(connection, page.next_cursor)
    first = [connection.map(payload)[0].item for payload in page.payloads]
    told = [part.quantity for part in (*first, *parts)]
    assert sorted(set(told)) == list(range(1, 9))


async def test_a_move_made_as_done_and_never_written_since_is_told(erp, connect, clock):
    for quantity in range(1, 6):
        number = erp.receive("MUG", float(quantity))
        erp.records.tables["stock.move"][number]["write_date"] = None
        clock.step()
    erp.receive("MUG", 6.0)
    connection = connect(page_size=2, overlap_s=1)
    parts, cursor = await polled(connection)
    assert sorted(part.quantity for part in parts) == [1, 2, 3, 4, 5, 6]
    assert (await polled(connection, cursor))[0] == []


async def test_the_cursor_stays_small_and_forgets_what_lies_behind(erp, connect, clock):
    connection = connect(overlap_s=60)
    for _ in range(1_000):
        erp.receive("MUG", 1.0)  # one transaction
    _, cursor = await polled(connection)
    assert len(cursor) < 300
    clock.step(3_600)
    erp.receive("MUG", 1.0)
    parts, cursor = await polled(connection, cursor)
    assert len(parts) == 1
    assert len(cursor) < 300


@BY_RPC
async def test_the_cursor_of_a_busy_server_grows_with_the_seconds_it_looks_back(
    erp, connect, clock
):
    connection = connect(overlap_s=10)
    for _ in range(600):
        erp.receive("MUG", 1.0)
        clock.step(0.033)
    parts, cursor = await polled(connection)
    assert len({part.line for part in parts}) == len(parts) == 600
    assert len(cursor) < 1_000
    assert (await polled(connection, cursor))[0] == []


async def test_a_cursor_of_somebody_else_is_no_beginning(connect):
    with pytest.raises(Transient):
        await connect().read('{"offset": 3}')


async def test_days_before_the_first_one_and_other_companies_are_not_read(erp, connect):
    erp.move("MUG", 1.0, "SUP", "STO", day=TODAY - dt.timedelta(days=1))
    erp.move("MUG", 2.0, "SUP", "STO", day=TODAY)
    number = erp.move("MUG", 3.0, "SUP", "STO", day=TODAY)
    erp.change(number, company=2)
    told = await facts(connect(since=TODAY.isoformat(), company=1))
    assert told == [("receipt", "WH", 2)]


# ------------------------------------------------------------ units


async def test_weights_are_counted_in_whole_units_of_the_measure(erp, connect):
    erp.add("TEA", unit="kg")
    erp.move("TEA", 1.25, "SUP", "STO")
    erp.move("TEA", 0.1 + 0.2, "SUP", "STO")
    measures = {"kg": {"unit": "g", "factor": 1000}}
    told = await facts(connect(measures=measures))
    assert told == [("receipt", "WH", 1250), ("receipt", "WH", 300)]


async def test_a_quantity_that_is_not_whole_waits_with_what_to_do(erp, connect):
    erp.add("TEA", unit="kg")
    erp.move("TEA", 1.25, "SUP", "STO")
    erp.move("MUG", 2.5, "SUP", "STO")
    (tea, mug), _ = await polled(connect())
    assert isinstance(tea, Failure)
    assert tea.path == "$.move.internal_quantity"
    assert tea.reason == (
        "is 1.25 kg, no whole number: say in measures how many units one kg holds"
    )
    assert isinstance(mug, Failure)
    (tea, _), _ = await polled(connect(measures={"kg": {"unit": "hg", "factor": 10}}))
    assert tea.reason == "is 1.25 kg, which is 12.5 hg, no whole number"


# ------------------------------------------------------------ snapshot


async def test_a_snapshot_has_every_item_at_every_place_as_it_lies(erp, connect):
    erp.warehouse("WB", "-B")
    erp.move("MUG", 9.0, "SUP", "IN", day=TODAY - dt.timedelta(days=1))
    erp.move("MUG", 9.0, "IN", "STO", day=TODAY)
    erp.move("MUG", 4.0, "STO", "CUS", day=TODAY)
    erp.move("MUG", 3.0, "STO", "STO-B", day=TODAY)
    connection = connect(page_size=1)
    shown = {(one.listing, one.location): one.quantity for one in await connection.snapshot()}
    assert shown == {
        ("MUG", "WH"): 2,
        ("PLATE", "WH"): 0,
        ("MUG", "WB"): 3,
        ("PLATE", "WB"): 0,
    }
    before = await connection.snapshot(on=TODAY - dt.timedelta(days=1))
    assert {one.quantity for one in before if one.listing == "MUG"} == {9, 0}


async def test_a_snapshot_equals_the_sum_of_what_is_told(erp, connect, clock):
    erp.warehouse("WB", "-B")
    for number, (source, target, shipment, _) in enumerate(MEANINGS * 3, start=1):
        moved = erp.move("MUG", float(number), source, target, shipment=shipment)
        clock.step()
        if number % 4 == 0:
            erp.change(moved, state="cancelled")
    told = await on_hand(connect(page_size=5))
    shown = {
        (one.listing, one.location): one.quantity
        for one in await connect().snapshot()
        if one.quantity
    }
    assert {key: units for key, units in told.items() if units} == shown


async def test_what_is_told_of_today_is_in_no_opening_stock(erp, connect, clock):
    """A move of today happened when it was received: after any count of today."""
    erp.move("MUG", 9.0, "SUP", "STO", day=TODAY - dt.timedelta(days=1))
    erp.move("MUG", 4.0, "SUP", "STO", day=TODAY)
    erp.move("MUG", 2.0, "STO", "CUS", day=TODAY)
    connection = connect()
    taken_at, held = await connection.opening()
    clock.step()
    again_at, again = await connection.opening()
    assert again == held, "however often it is asked on one day"
    midnight = END_OF_TODAY - dt.timedelta(days=1)
    second = dt.timedelta(seconds=1)
    assert midnight <= taken_at < again_at < midnight + second
    units = {one.listing: one.quantity for one in held}
    told, _ = await polled(connection)
    # As the ledger does: what a count says takes in all that is dated before it.
    received = clock()
    for fact in told:
        if min(fact.occurred_at, received) > taken_at:
            units[fact.item] += fact.quantity if fact.kind == "receipt" else -fact.quantity
    assert units == {one.listing: one.quantity for one in await connection.snapshot()}
    assert units == {"MUG": 11, "PLATE": 0}


async def test_a_snapshot_with_half_a_piece_names_the_item_and_the_setting(erp, connect):
    erp.add("TEA", unit="kg")
    erp.move("TEA", 0.5, "SUP", "STO")
    with pytest.raises(Misconfigured) as raised:
        await connect().snapshot()
    assert raised.value.setting == "measures"
    assert "TEA at WH is 0.5 kg" in str(raised.value)


async def test_a_place_that_is_none_is_named(connect):
    with pytest.raises(Misconfigured, match="'W9'"):
        await connect(places=["W9"]).snapshot()


# ------------------------------------------------------------ items and supply


async def rows(connection):
    return [row async for page in connection.items() for row in page]


async def test_items_are_skus_with_their_units_and_their_own_codes(erp, connect):
    erp.add("TEA", unit="kg", name="Tea, loose", cost="8.00")
    told = await rows(connect(company=1, measures={"kg": {"unit": "g", "factor": 1000}}))
    assert [row.code for row in told if isinstance(row, Sku)] == ["MUG", "PLATE", "TEA"]
    tea = next(row for row in told if isinstance(row, Sku) and row.code == "TEA")
    assert tea == Sku(
        code="TEA",
        description="Tea, loose",
        unit_cost=Decimal("0.0080"),
        currency="EUR",
        base_unit="g",
    )
    units = [row for row in told if isinstance(row, Unit)]
    assert units == [
        Unit(sku="MUG", code="dz", factor=12),
        Unit(sku="PLATE", code="dz", factor=12),
        Unit(sku="TEA", code="kg", factor=1000),
    ]
    bound = [row for row in told if isinstance(row, Binding)]
    assert bound[0] == Binding(system="erp", partner_code="MUG", code="MUG")


async def test_what_is_not_told_of_an_sku_is_not_claimed(connect):
    assert "sku_group" not in connect().sku_fields
    assert "unit_cost" not in connect().sku_fields
    assert "unit_cost" in connect(company=1).sku_fields
    assert "control" in connect(lots=True).sku_fields


async def test_expected_receipts_are_told_until_they_are_done(erp, connect):
    planned = TODAY + dt.timedelta(days=3)
    number = erp.move("MUG", 5.0, "SUP", "IN", state="draft", day=planned)
    erp.move("MUG", 5.0, "IN", "STO", state="draft", day=planned)
    connection = connect()
    assert await connection.expected() == [
        ToldSupply(
            system="erp",
            kind="purchase_order",
            document=f"stock.move,{number}",
            item="MUG",
            location="WH",
            quantity=5,
            due_at=END_OF_TODAY + dt.timedelta(days=3),
        )
    ]
    erp.change(number, state="done", effective_date=TODAY)
    assert await connection.expected() == []
    (receipt,), _ = await polled(connection)
    assert (receipt.order, receipt.order_line) == (f"stock.move,{number}", "1")


# ------------------------------------------------------------ what goes wrong


async def test_it_offers_what_an_erp_is_asked_for(connect):
    connection = connect()
    for verb in (Reads, Snapshots, OpensStock, ListsItems, Expects):
        assert isinstance(connection, verb)
    assert not isinstance(connection, Publishes)


@BY_RPC
async def test_a_session_that_has_ended_is_begun_anew(erp, connect):
    connection = connect()
    await connection.read("")
    erp.sessions.clear()
    erp.receive("MUG", 1.0)
    assert len((await polled(connection))[0]) == 1
    assert len(erp.sessions) == 1


async def test_wrong_credentials_are_for_an_operator(erp, connect):
    wrong = {"key": Secret("no")} if erp.rest else {"password": Secret("no")}
    with pytest.raises(Misconfigured) as raised:
        await connect(**wrong).read("")
    assert raised.value.setting == ("key" if erp.rest else "password")


async def test_a_database_that_is_not_there_is_for_an_operator(connect):
    with pytest.raises(Misconfigured) as raised:
        await connect(database="none").read("")
    assert raised.value.setting == "database"


@BY_RPC
async def test_a_fault_of_the_server_is_told_and_tried_again(erp, connect):
    erp.receive("MUG", 1.0)
    for move in erp.records.tables["stock.move"].values():
        del move["lot"]
    with pytest.raises(Transient, match="lot"):
        await connect(lots=True).read("")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "give key, or user and password"),
        ({"user": "hub"}, "give key, or user and password"),
        ({"key": Secret("k"), "version": "6.0"}, "version 6.0 has no REST"),
    ],
)
def test_settings_nobody_could_log_in_with_are_refused(given, told):
    settings = {"base_url": "https://erp.example", "database": "erp", **given}
    (problem,) = CONNECTOR.declaration.problems(settings)
    assert told in problem.message


@BY_RPC
async def test_the_series_6_0_is_asked_at_its_own_address(erp, connect):
    erp.receive("MUG", 1.0)
    assert await facts(connect(version="6.0")) == [("receipt", "WH", 1)]
    assert set(erp.calls) == {"/erp/"}


def test_both_protocols_are_read_as_one():
    told = {"product": 5, "product.": {"id": 5, "code": "MUG", "default_uom.": {"symbol": "u"}}}
    assert plain([told]) == [{"product": {"id": 5, "code": "MUG", "default_uom": {"symbol": "u"}}}]
    assert msgspec.json.encode(plain({"lot": None, "lot.": None})) == b'{"lot":null}'


# ------------------------------------------------------------ the sandbox is as the real one


def shape(value):
    """Names and types, without the values."""
    if isinstance(value, dict):
        return {name: shape(one) for name, one in sorted(value.items())}
    return [shape(one) for one in value] if isinstance(value, list) else type(value).__name__


def answered(answer):
    """A connection to a server that answers everything but the login so."""

    async def told(request):
        login = b"common.db.login" in request.body
        body = {"id": 1, "result": [2, "session", None]} if login else answer
        return HttpResponse(status=200, body=msgspec.json.encode(body))

    settings = {"base_url": "https://erp.example", "database": "erp", "user": "hub"}
    parsed = CONNECTOR.declaration.parse_settings(
        {**settings, "password": Secret("secret")}, resolve_secret
    )
    return CONNECTOR.open(Opening(system="erp", transport=InMemory(told)), parsed)


RECORDED = msgspec.json.decode((CONNECTOR.cases / "recorded" / "stock_move.json").read_bytes())


@pytest.mark.parametrize("nested", [False, True], ids=["rpc", "rest"])
def test_the_sandbox_answers_in_the_form_of_the_real_server(nested):
    erp = Sandbox(())
    erp.add("TEA", unit="kg")
    number = erp.move("TEA", 1.25, "SUP", "STO")
    row = erp.records.tables["stock.move"][number]
    told = erp.records.told("stock.move", row, RECORDED["fields"], nested=nested)
    real = RECORDED["rest"][0] if nested else RECORDED["rpc"]["result"][0]
    assert shape(told) == shape(real)


def test_what_the_two_protocols_answered_is_read_as_one():
    by_rpc, by_rest = plain(RECORDED["rpc"]["result"]), plain(RECORDED["rest"])

    def unnamed(value):
        if isinstance(value, dict):
            return {name: unnamed(one) for name, one in value.items() if name != "__name__"}
        return value

    assert by_rpc == [unnamed(one) for one in by_rest]


@pytest.mark.parametrize(
    "record",
    [{}, {"id": 1}, {"id": "x", "state": "done"}, {"id": 1, "state": "done", "write_date": "now"}],
)
async def test_a_record_that_is_none_is_read_again_later(record):
    connection = answered({"id": 1, "result": [record]})
    with pytest.raises(Transient, match="unreadably"):
        await connection.read("")


@pytest.mark.parametrize(
    ("answer", "raised", "words"),
    [
        ("no_such_field", Transient, "'nope'"),
        ("not_allowed", Misconfigured, "You are not allowed to create records"),
    ],
)
async def test_errors_as_they_were_recorded(answer, raised, words):
    with pytest.raises(raised, match=words):
        await answered(RECORDED[answer]).read("")
