"""Adobe Commerce against its sandbox: gross numbers, at once and by bulk, orders, documents."""

import random
from decimal import Decimal

import msgspec
import pytest

from stockwright.app.connections import gross_connectors
from stockwright.connectors.magento import CONNECTOR, Sandbox
from stockwright.connectors.magento.api import BULK, V1, criteria, problem_of
from stockwright.domain.errors import Misconfigured, Transient
from stockwright.sdk.hostile import Fault
from stockwright.sdk.messages import (
    Applied,
    Cancellation,
    Delivered,
    DocumentLine,
    InDoubt,
    LevelKey,
    Refund,
    Refused,
    Retry,
    Shipment,
    ShownLevel,
)
from stockwright.sdk.secrets import Secret
from tests.connectors.visiting import NOW, connecting, facts, level, polled

MANY = tuple(f"SKU-{n:02}" for n in range(30))


@pytest.fixture
async def shop(clock):
    shop = Sandbox(("MUG", "PLATE", "SHIRT", *MANY), clock=clock)
    await shop.start()
    yield shop
    await shop.stop()


@pytest.fixture
async def connect(shop, clock):
    async with connecting(CONNECTOR, shop, clock) as connect:
        yield connect


def posts(shop):
    return [path for method, path in shop.calls if method == "POST"]


def test_its_numbers_are_gross():
    assert CONNECTOR.declaration.capabilities.levels_are == "gross"
    assert gross_connectors(["magento", "woocommerce", "", "no_such"]) == ["magento"]


def test_a_search_and_a_refusal_are_worded_as_the_shop_does():
    query = criteria([], sort=("sku",), size=5, page=2)
    assert ("searchCriteria[sortOrders][0][direction]", "ASC") in query
    assert query[-1] == ("searchCriteria[currentPage]", "2")
    problem = problem_of(
        b'{"message": "Validation Failed", "errors": '
        b'[{"message": "The \\"%field\\" is wrong", "parameters": {"field": "sku"}}]}'
    )
    assert (problem.reason, problem.text) == ("the_is_wrong", 'The "sku" is wrong')
    numbered = problem_of(b'{"message": "No %1 at %2", "parameters": ["stock", "home"]}')
    assert (numbered.reason, numbered.text) == ("no_at", "No stock at home")


# ------------------------------------------------------------ levels


async def test_a_few_levels_are_one_call_and_skus_are_looked_up_once(shop, connect):
    connection = connect()
    levels = [level("MUG", 7), level("PLATE", 3), level("SHIRT", 0)]
    for _ in range(2):
        assert list(await connection.publish(levels)) == [Applied()] * 3
    assert [shop.shown(one.listing) for one in levels] == [7, 3, 0]
    assert [method for method, _ in shop.calls] == ["GET", "POST", "POST"]


async def test_what_was_read_back_is_not_looked_up_before_it_is_sent(shop, connect):
    connection = connect()
    names = list(shop.sources)[:2]
    await connection.read_back([LevelKey(listing=name) for name in names])
    shop.calls.clear()
    await connection.publish([level(name, 3) for name in names])
    assert [method for method, *_ in shop.calls] == ["POST"]


async def test_no_call_carries_more_than_the_shop_takes(shop, connect):
    results = await connect(bulk_from=0).publish([level(one, 4) for one in MANY])
    assert list(results) == [Applied()] * 30
    assert len(posts(shop)) == 2


async def test_a_sku_the_source_does_not_carry_is_refused_and_not_made(shop, connect):
    first, second = await connect().publish([level("NONE", 1), level("MUG", 2)])
    assert isinstance(first, Refused)
    assert first.reason == "unknown_listing"
    assert second == Applied()
    assert shop.shown("NONE") is None


async def test_one_that_is_refused_does_not_keep_the_others(shop, connect):
    shop.refused["PLATE"] = "The stock of %1 is not managed"
    some = ("MUG", "PLATE", "SHIRT", *MANY[:4])
    results = await connect().publish([level(one, 5) for one in some])
    assert [isinstance(one, Applied) for one in results] == [one != "PLATE" for one in some]
    assert results[1].reason == "the_stock_of_is_not_managed"


async def test_many_levels_go_by_bulk_and_accepted_is_not_applied(shop, connect, clock):
    connection = connect(bulk_from=10, bulk_look_s=5)
    shop.lag_s = 8
    levels = [level(one, 4, expected=1) for one in MANY]
    for seconds in (0, 5):
        clock.step(seconds)
        results = await connection.publish(levels)
        assert all(isinstance(one, InDoubt) and one.taken for one in results)
    assert posts(shop) == [f"{BULK}/inventory/source-items"]
    clock.step(5)
    assert list(await connection.publish(levels)) == [Applied()] * 30
    assert {shop.shown(one) for one in MANY} == {4}
    assert len(posts(shop)) == 1


async def test_urgent_levels_of_a_large_batch_do_not_wait_for_the_queue(shop, connect):
    connection = connect(bulk_from=10)
    shop.consumer = False
    levels = [level(one, 4, expected=1) for one in MANY[:28]]
    urgent = [level(MANY[28], 0, expected=9), level(MANY[29], 2, expected=5)]
    results = await connection.publish([*levels, *urgent])
    assert list(results[28:]) == [Applied()] * 2
    assert all(isinstance(one, InDoubt) for one in results[:28])


async def test_each_operation_of_a_bulk_has_its_own_end(shop, connect, clock):
    connection = connect(bulk_from=2, bulk_look_s=1)
    shop.failing = {"PLATE": (2, "lock wait"), "SHIRT": (3, "no such source")}
    levels = [level(one, 4, expected=1) for one in ("MUG", "PLATE", "SHIRT")]
    await connection.publish(levels)
    clock.step(2)
    first, second, third = await connection.publish(levels)
    assert first == Applied()
    assert isinstance(second, Retry)
    assert second.reason == "lock wait"
    assert third == Refused(reason="bulk_operation_failed", message="no such source")


async def test_a_later_number_is_not_believed_while_a_bulk_may_still_write(shop, connect, clock):
    connection = connect(bulk_from=2, bulk_look_s=1)
    shop.consumer = False
    await connection.publish([level(one, 9, expected=1) for one in ("MUG", "PLATE")])
    (result,) = await connection.publish([level("MUG", 2)])
    assert isinstance(result, InDoubt)
    assert shop.shown("MUG") == 2
    shop.consumer = True
    clock.step(2)
    shop.work()
    assert shop.shown("MUG") == 9, "the bulk came late"
    assert list(await connection.publish([level("MUG", 2)])) == [Applied()]
    assert shop.shown("MUG") == 2


async def test_a_bulk_that_does_not_end_is_given_up(shop, connect, clock):
    connection = connect(bulk_from=2, bulk_look_s=1, bulk_deadline_s=60)
    shop.consumer = False
    levels = [level(one, 9, expected=1) for one in ("MUG", "PLATE")]
    await connection.publish(levels)
    clock.step(61)
    await connection.publish(levels)
    assert len(posts(shop)) == 2, "sent anew"


async def test_a_bulk_whose_state_cannot_be_had_stays_in_doubt(shop, connect, clock):
    connection = connect(bulk_from=2, bulk_look_s=1)
    levels = [level(one, 9, expected=1) for one in ("MUG", "PLATE")]
    await connection.publish(levels)
    clock.step(2)
    shop.faults.plan(Fault(kind="server_error"))
    assert all(isinstance(one, InDoubt) for one in await connection.publish(levels))
    clock.step(2)
    assert list(await connection.publish(levels)) == [Applied()] * 2


async def test_a_token_that_is_refused_is_for_an_operator(connect):
    with pytest.raises(Misconfigured) as told:
        await connect(access_token=Secret("wrong")).publish([level("MUG", 1)])
    assert told.value.setting == "access_token"
    assert "wrong" not in str(told.value)


async def test_where_the_shop_cannot_be_asked_nothing_was_done(shop, connect):
    shop.faults.plan(Fault(kind="server_error"))
    (result,) = await connect().publish([level("MUG", 4)])
    assert isinstance(result, Retry)
    assert shop.shown("MUG") == 0


async def test_a_look_up_that_takes_too_long_goes_on_where_it_was(shop, connect):
    names = [f"X-{n:03}" for n in range(150)]
    for name in names:
        shop.add(name)
    connection = connect(timeout_s=4.0, bulk_from=0, sync_most=1000)
    shop.limits = False
    shop.faults.plan(Fault(kind="slow", seconds=0.0), Fault(kind="slow", seconds=5.0))
    results = await connection.publish([level(name, 3) for name in names])
    assert all(isinstance(one, Retry) for one in results)
    before = len(shop.calls)
    assert list(await connection.publish([level(name, 3) for name in names])) == [Applied()] * 150
    assert len(shop.calls) - before == 2, "one look at the rest, one write"


async def test_what_is_held_is_read_back_and_told_as_a_snapshot(shop, connect):
    shop.add("A,B", 4)
    connection = connect(page_size=7)
    await connection.publish([level("MUG", 7)])
    shop.sell([("MUG", 2)])
    keys = [LevelKey(listing=name) for name in ("A,B", "NONE", "MUG")]
    assert list(await connection.read_back(keys)) == [
        ShownLevel(listing="A,B", quantity=4),
        None,
        ShownLevel(listing="MUG", quantity=7),
    ]
    shown = {one.listing: one.quantity for one in await connection.snapshot()}
    assert shown == shop.sources


# ------------------------------------------------------------ orders


async def test_a_quiet_shop_tells_nothing_twice(shop, connect, clock):
    connection = connect()
    for _ in range(3):
        shop.sell([("MUG", 1)])
        clock.step()
    payloads, cursor = await polled(connection)
    assert len(payloads) == 3
    again, later = await polled(connection, cursor)
    assert (again, later) == ([], cursor)


@pytest.mark.parametrize("seed", range(8))
async def test_no_order_is_missed_while_orders_change_between_the_pages(shop, connect, clock, seed):
    """Many share a second; between any two pages some are sold, paid, cancelled or refunded."""
    chance = random.Random(seed)
    connection = connect(page_size=chance.choice((1, 2, 3, 7)), overlap_s=5)
    told: dict[int, tuple[str, str]] = {}
    cursor = ""

    def something_happens():
        for _ in range(chance.randint(0, 3)):
            clock.step(chance.choice((0, 0, 0, 1, 9)))
            numbers = list(shop.orders)
            if not numbers or chance.random() < 0.5:
                shop.sell([("MUG", 1), ("SHIRT", 2)], chance.choice(("new", "pending_payment")))
            else:
                state = chance.choice(("processing", "complete", "holded"))
                shop.change(chance.choice(numbers), state=state)

    async def read():
        nonlocal cursor
        page = await connection.read(cursor)
        cursor = page.next_cursor
        for payload in page.payloads:
            order = msgspec.json.decode(payload.body)["order"]
            told[order["entity_id"]] = (order["state"], order["updated_at"])
        return page.complete

    for _ in range(25):
        something_happens()
        await read()
    for _ in range(2):  # the last pass began before the last change
        while not await read():
            pass
    assert told == {n: (one["state"], one["updated_at"]) for n, one in shop.orders.items()}


async def test_memos_and_cancellations_are_cancelled_once(shop, connect, clock):
    connection = connect()
    order = shop.sell([("MUG", 3)])
    line = shop.orders[order]["items"][0]["item_id"]
    clock.step()
    shop.pay_back(order, [{"order_item_id": line, "qty": 1}])
    clock.step()
    shop.cancel(order)
    payloads, cursor = await polled(connection)
    told = facts(connection, payloads)
    assert [(fact.kind, fact.quantity) for fact in told] == [
        ("channel_order", 3),
        ("channel_cancel", 1),
        ("channel_cancel", 2),
    ]
    clock.step(90)
    shop.change(order, status="canceled_by_ann")
    payloads, _ = await polled(connection, cursor)
    assert facts(connection, payloads)[1:] == told[1:], "told again, the cancellations are the same"


@pytest.mark.parametrize("cursor", ["x", "[]", '{"page": "x"}'])
async def test_a_cursor_of_somebody_else_is_told(connect, cursor):
    with pytest.raises(Transient):
        await connect().read(cursor)


# ------------------------------------------------------------ documents


def shipment(order, lines, key="S-1", carrier="DHL"):
    return Shipment(
        key=key,
        order=str(order),
        lines=tuple(DocumentLine(line=str(line), quantity=units) for line, units in lines),
        shipped_at=NOW,
        carrier=carrier,
        tracking="JD014600003",
    )


def refund(order, line, units, key="R-1", **more):
    lines = (DocumentLine(line=str(line), quantity=units),)
    return Refund(key=key, order=str(order), lines=lines, **more)


def sold(shop, units, held, sku="MUG"):
    """An order of a SKU of which the source holds so many; (its number, its line)."""
    shop.show(sku, held)
    order = shop.sell([(sku, units)])
    return order, shop.orders[order]["items"][0]["item_id"]


@pytest.mark.parametrize(("carrier", "code"), [("DHL", "dhl"), ("Bike", "custom")])
async def test_a_shipment_is_told_once_with_carrier_and_tracking(shop, connect, carrier, code):
    connection = connect(carriers={"DHL": "dhl"})
    order, line = sold(shop, 3, held=10)
    for _ in range(2):
        told = await connection.submit(shipment(order, [(line, 1)], carrier=carrier))
        assert told == Delivered(reference=str(shop.shipments[0]["entity_id"]))
    (made,) = shop.shipments
    track = {"track_number": "JD014600003", "title": carrier, "carrier_code": code}
    assert made["tracks"] == [track]
    assert (shop.shown("MUG"), shop.salable("MUG")) == (9, 7)


async def test_the_last_unit_ships_though_the_hub_took_it_off_before(shop, connect):
    """Gross 3, of which 3 are ordered: the ledger ships 2, and the hub sends 1 at once."""
    connection = connect()
    order, line = sold(shop, 3, held=3)
    assert list(await connection.publish([level("MUG", 1)])) == [Applied()]
    told = await connection.submit(shipment(order, [(line, 2)]))
    assert isinstance(told, Delivered)
    assert (shop.shown("MUG"), shop.salable("MUG")) == (1, 0)


async def test_units_that_were_put_back_for_nothing_are_taken_off_again(shop, connect):
    connection = connect()
    order, line = sold(shop, 1, held=0)
    shop.cancel(order)
    shop.show("MUG", 0)
    real, shop.ship = shop.ship, lambda *_: "Not all of your products are available in the " \
        "requested quantity."  # fmt: skip
    result = await connection.submit(shipment(order, [(line, 1)]))
    shop.ship = real
    assert isinstance(result, Refused)
    assert shop.shown("MUG") == 0


async def test_gross_numbers_and_reservations_show_what_may_be_sold(shop, connect):
    """The story of the trap: net 7 for an open order of 3 would be taken off twice."""
    connection = connect()
    await connection.publish([level("MUG", 10)])
    order, line = shop.sell([("MUG", 3)]), None
    line = shop.orders[order]["items"][0]["item_id"]
    await connection.publish([level("MUG", 7 + 3)])
    assert shop.salable("MUG") == 7
    await connection.submit(shipment(order, [(line, 3)]))
    await connection.publish([level("MUG", 7)])
    assert shop.salable("MUG") == 7


@pytest.mark.parametrize("kind", ["applied_then_error", "applied_then_dropped"])
@pytest.mark.parametrize("at", range(4))
async def test_a_document_whose_answer_was_lost_is_told_once(shop, connect, kind, at):
    connection = connect()
    order, line = sold(shop, 2, held=5)
    for one in (shipment(order, [(line, 1)]), refund(order, line, 1)):
        good = Fault(kind="slow", seconds=0.0)
        shop.faults.plan(*[good] * at, Fault(kind=kind))
        results = [await connection.submit(one)]
        shop.faults.clear()
        while not isinstance(results[-1], Delivered):
            assert isinstance(results[-1], InDoubt | Retry)
            results.append(await connection.submit(one))
    assert len(shop.shipments) == 1
    assert len(shop.memos) == 1


async def test_a_document_that_takes_too_long_is_in_doubt_and_told_once(shop, connect):
    connection = connect(timeout_s=4.0)
    order, line = sold(shop, 1, held=5)
    shop.faults.plan(*[Fault(kind="slow", seconds=2.4)] * 2)
    assert isinstance(await connection.submit(shipment(order, [(line, 1)])), InDoubt)
    assert isinstance(await connection.submit(shipment(order, [(line, 1)])), Delivered)
    assert len(shop.shipments) == 1


@pytest.mark.parametrize(
    ("amount", "positive", "negative"), [(None, 0, 0), ("30.00", 6.0, 0), ("20.00", 0, 4.0)]
)
async def test_a_refund_of_another_amount_is_adjusted(shop, connect, amount, positive, negative):
    order, line = sold(shop, 3, held=5)
    asked = refund(order, line, 2, amount=Decimal(amount) if amount else None)
    assert isinstance(await connect().submit(asked), Delivered)
    (made,) = shop.memos
    told = made["arguments"]
    assert (told["adjustment_positive"], told["adjustment_negative"]) == (positive, negative)
    assert told["extension_attributes"] == {"return_to_stock_items": []}
    assert made["online"] is False


async def test_a_refund_online_goes_by_the_invoice_that_holds_its_lines(shop, connect):
    connection = connect(refunds="online")
    order, line = sold(shop, 3, held=5)
    assert isinstance(await connection.submit(refund(order, line, 2)), Delivered)
    assert shop.memos[0]["online"] is True
    shop.invoices.clear()
    result = await connection.submit(refund(order, line, 1, key="R-2"))
    assert isinstance(result, Refused)
    assert result.reason == "no_invoice"


async def test_an_order_is_cancelled_as_a_whole_and_not_by_lines(shop, connect):
    connection = connect()
    order, line = sold(shop, 3, held=5)
    lines = (DocumentLine(line=str(line), quantity=1),)
    part = await connection.submit(Cancellation(key="C-1", order=str(order), lines=lines))
    assert isinstance(part, Refused)
    assert part.reason == "no_partial_cancellation"
    for _ in range(2):
        whole = Cancellation(key="C-2", order=str(order))
        assert isinstance(await connection.submit(whole), Delivered)
    assert shop.salable("MUG") == 5
    done, line = sold(shop, 1, held=5)
    shop.change(done, state="complete")
    result = await connection.submit(Cancellation(key="C-3", order=str(done)))
    assert isinstance(result, Refused)
    assert result.reason == "not_cancellable"


@pytest.mark.parametrize("order", ["999999", "x", ""])
async def test_an_order_the_shop_does_not_have_is_refused(connect, order):
    result = await connect().submit(shipment(order, [(1, 1)]))
    assert isinstance(result, Refused)
    assert result.reason == "unknown_order"


async def test_a_line_the_order_does_not_have_is_refused(shop, connect):
    order, _ = sold(shop, 1, held=5)
    result = await connect().submit(shipment(order, [(1, 1)]))
    assert isinstance(result, Refused)
    assert f"{V1}/order/{order}/ship" not in posts(shop)
