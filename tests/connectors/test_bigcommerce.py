"""BigCommerce against its sandbox: levels that are seen before they count, orders, documents."""

import random
from decimal import Decimal

import msgspec
import pytest

from stockwright.connectors.bigcommerce import CONNECTOR, Sandbox
from stockwright.connectors.bigcommerce.api import moment_of
from stockwright.connectors.bigcommerce.levels import ABSOLUTE
from stockwright.connectors.bigcommerce.webhooks import SCOPE
from stockwright.domain.errors import Misconfigured, Rejected, Throttled, Transient
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
    WebhookOff,
)
from stockwright.sdk.secrets import Secret
from stockwright.sdk.verbs import WatchesWebhooks
from tests.connectors.visiting import NOW, connecting, facts, level, polled


@pytest.fixture
async def store(clock):
    store = Sandbox(("MUG", "PLATE", "SHIRT"), clock=clock)
    await store.start()
    yield store
    await store.stop()


@pytest.fixture
async def connect(store, clock):
    async with connecting(CONNECTOR, store, clock, system="store") as connect:
        yield connect


def puts(store):
    return [path for method, path in store.calls if (method, path) == ("PUT", ABSOLUTE)]


# ------------------------------------------------------------ levels


async def test_a_batch_is_one_call_and_one_look(store, connect):
    levels = [level("MUG", 7), level("PLATE", 3), level("SHIRT", 0)]
    assert list(await connect().publish(levels)) == [Applied(shown=n) for n in (7, 3, 0)]
    assert [store.shown(one.listing) for one in levels] == [7, 3, 0]
    assert [method for method, _ in store.calls] == ["PUT", "GET"]


async def test_what_was_accepted_is_looked_at_and_not_sent_again(store, connect, clock):
    connection = connect()
    store.lag_s = 3.0
    (first,) = await connection.publish([level("MUG", 7)])
    assert isinstance(first, InDoubt)
    assert first.taken
    clock.step(4)
    assert list(await connection.publish([level("MUG", 7)])) == [Applied(shown=7)]
    assert len(puts(store)) == 1


async def test_what_is_accepted_and_never_shown_is_sent_again(store, connect, clock):
    connection = connect(settle_s=5)
    store.lost.add("MUG")
    for seconds in (0, 2, 2):
        clock.step(seconds)
        (result,) = await connection.publish([level("MUG", 7, expected=0)])
        assert isinstance(result, InDoubt)
    assert len(puts(store)) == 1
    store.lost.clear()
    clock.step(2)
    assert list(await connection.publish([level("MUG", 7, expected=0)])) == [Applied(shown=7)]
    assert len(puts(store)) == 2


async def test_another_number_does_not_wait_for_the_one_before(store, connect):
    connection = connect()
    store.lag_s = 60
    await connection.publish([level("MUG", 7)])
    store.lag_s = 0
    assert list(await connection.publish([level("MUG", 2)])) == [Applied(shown=2)]


@pytest.mark.parametrize("before", [3, 20])
async def test_a_sale_right_after_the_number_was_applied_is_not_sold_again(
    store, connect, clock, before
):
    connection = connect()
    store.show("MUG", before)
    store.lag_s = 1
    (first,) = await connection.publish([level("MUG", 7, expected=before)])
    assert isinstance(first, InDoubt)
    clock.step(2)
    assert store.shown("MUG") == 7
    await store.sell([("MUG", 1)])
    assert list(await connection.publish([level("MUG", 7, expected=before)])) == [Applied()]
    assert (store.shown("MUG"), len(puts(store))) == (6, 1)


async def test_large_batches_are_left_to_the_read_back(store, connect):
    connection = connect(look_at_most=2)
    results = await connection.publish([level(one, 4) for one in ("MUG", "PLATE", "SHIRT")])
    assert list(results) == [Applied()] * 3
    assert [method for method, _ in store.calls] == ["PUT"]


@pytest.mark.parametrize("silent", [False, True])
async def test_one_that_is_refused_does_not_keep_the_others(store, connect, silent):
    store.refused["PLATE"] = "Inventory is not tracked"
    store.silent = silent
    levels = [level("MUG", 7), level("PLATE", 3), level("NONE", 5), level("SHIRT", 1)]
    first, second, third, fourth = await connect().publish(levels)
    assert (first, fourth) == (Applied(shown=7), Applied(shown=1))
    assert isinstance(second, Refused)
    assert isinstance(third, Refused)
    assert store.shown("PLATE") == 0
    if not silent:
        assert second.reason == "inventory_is_not_tracked"
        assert third.reason == "unknown_listing"


async def test_listings_may_be_named_by_variant(store, connect):
    connection = connect(listings="id")
    mug = str(store.items["MUG"]["identity"]["variant_id"])
    results = await connection.publish([level(mug, 5), level("MUG", 5), level("0", 5)])
    assert results[0] == Applied(shown=5)
    assert [isinstance(one, Refused) for one in results] == [False, True, True]
    assert mug in {one.listing for one in await connection.snapshot()}


async def test_a_token_that_is_refused_is_for_an_operator(connect):
    with pytest.raises(Misconfigured) as told:
        await connect(access_token=Secret("wrong")).publish([level("MUG", 1)])
    assert told.value.setting == "access_token"
    assert "wrong" not in str(told.value)


async def test_no_call_is_made_once_the_quota_is_used_up(store, connect):
    connection = connect()
    store.quota = 2
    assert list(await connection.publish([level("MUG", 1)])) == [Applied(shown=1)]
    (result,) = await connection.publish([level("MUG", 2)])
    assert isinstance(result, Retry)
    assert 20 < result.retry_after_s <= 30
    assert len(store.calls) == 2
    with pytest.raises(Throttled):
        await connection.snapshot()
    assert len(store.calls) == 2


async def test_being_asked_to_slow_down_tells_until_when(store, connect):
    store.quota = 0
    (result,) = await connect().publish([level("MUG", 1)])
    assert isinstance(result, Retry)
    assert 20 < result.retry_after_s <= 30


async def test_what_is_shown_is_read_back_and_told_as_a_snapshot(store, connect):
    connection = connect()
    await connection.publish([level("MUG", 7), level("SHIRT", 3)])
    store.show("SHIRT", 9)
    keys = [LevelKey(listing=name) for name in ("SHIRT", "NONE", "A,B", "MUG")]
    assert list(await connection.read_back(keys)) == [
        ShownLevel(listing="SHIRT", quantity=9),
        None,
        None,
        ShownLevel(listing="MUG", quantity=7),
    ]
    shown = {one.listing: one.quantity for one in await connection.snapshot()}
    assert shown == {"MUG": 7, "PLATE": 0, "SHIRT": 9}


# ------------------------------------------------------------ orders


async def test_a_quiet_store_tells_nothing_twice(store, connect, clock):
    connection = connect()
    for _ in range(3):
        await store.sell([("MUG", 1)])
        clock.step()
    payloads, cursor = await polled(connection)
    assert len(payloads) == 3
    assert b"jane@example.com" not in payloads[0].body
    again, later = await polled(connection, cursor)
    assert (again, later) == ([], cursor)


@pytest.mark.parametrize("seed", range(8))
async def test_no_order_is_missed_while_orders_change_between_the_pages(
    store, connect, clock, seed
):
    """Many share a second; between any two pages some are sold, paid, cancelled or refunded."""
    chance = random.Random(seed)
    connection = connect(page_size=chance.choice((1, 2, 3, 7)), overlap_s=5)
    told: dict[int, tuple[int, str]] = {}
    cursor = ""

    async def something_happens():
        for _ in range(chance.randint(0, 3)):
            clock.step(chance.choice((0, 0, 0, 1, 9)))
            numbers = list(store.orders)
            if not numbers or chance.random() < 0.5:
                await store.sell([("MUG", 1), ("SHIRT", 2)], chance.choice((1, 7, 11)))
            else:
                status = chance.choice((9, 10, 5))
                await store.change(chance.choice(numbers), status_id=status)

    async def read():
        nonlocal cursor
        page = await connection.read(cursor)
        cursor = page.next_cursor
        for payload in page.payloads:
            order = msgspec.json.decode(payload.body)["order"]
            told[order["id"]] = (order["status_id"], order["date_modified"])
        return page.complete

    for _ in range(25):
        await something_happens()
        await read()
    for _ in range(2):  # the last pass began before the last change
        while not await read():
            pass
    there = {n: (one["status_id"], one["date_modified"]) for n, one in store.orders.items()}
    assert told == there


async def test_a_poll_that_runs_out_of_calls_goes_on_where_it_was(store, connect, clock):
    connection = connect()
    for _ in range(5):
        await store.sell([("MUG", 1)])
    store.quota = 3
    page = await connection.read("")
    assert (len(page.payloads), page.complete) == (2, False)
    store.quota = 10_000
    connection = connect()
    rest, _ = await polled(connection, page.next_cursor)
    assert len(rest) == 3


async def test_a_refund_cancels_its_units_and_a_cancelled_order_the_rest(store, connect, clock):
    connection = connect()
    order = await store.sell([("MUG", 3)])
    clock.step()
    await store.pay_back(order, [(store.products[order][0]["id"], 1)])
    clock.step()
    await store.change(order, status_id=5)
    payloads, cursor = await polled(connection)
    told = facts(connection, payloads)
    assert [(fact.kind, fact.quantity) for fact in told] == [
        ("channel_order", 3),
        ("channel_cancel", 1),
        ("channel_cancel", 2),
    ]
    clock.step(90)
    await store.change(order, status_id=5)
    payloads, _ = await polled(connection, cursor)
    assert facts(connection, payloads)[1:] == told[1:], "told again, the cancellations are the same"


async def test_orders_that_were_never_paid_for_are_left_out(store, connect):
    await store.sell([("MUG", 3)], status=0)
    connection = connect()
    payloads, _ = await polled(connection)
    assert facts(connection, payloads) == []


async def test_a_webhook_is_kept_as_a_hint_and_says_nothing_itself(store, connect):
    connection = connect()
    body = store.message("store/order/created", {"type": "order", "id": 250})
    payload = connection.receive(store.headers(body), body)
    assert (payload.hint, payload.raw_key, payload.body) == (True, "250", body)
    assert connection.map(payload) == []
    with pytest.raises(Rejected) as told:
        connection.receive(store.headers(body), body + b" ")
    assert told.value.reason == "signature"
    with pytest.raises(Rejected) as told:
        connection.receive({}, b"x" * 70_000)
    assert told.value.reason == "too_large"
    with pytest.raises(Misconfigured) as told:
        connect(client_secrets=[]).receive(store.headers(body), body)
    assert told.value.setting == "client_secrets"


async def test_the_webhook_is_made_once_and_switched_on_again(store, connect):
    address = "https://hub.example/v1/hooks/store"
    connection = connect(webhook_url=address, webhook_look_s=60)
    assert isinstance(connection, WatchesWebhooks)
    assert connection.webhook_look_s == 60
    for _ in range(2):
        assert await connection.watch_webhooks() == []
    ((number, hook),) = store.hooks.items()
    assert (hook["scope"], hook["destination"], hook["is_active"]) == (SCOPE, address, True)
    store.give_up_webhooks()
    assert await connection.watch_webhooks() == [WebhookOff(topic=SCOPE, on_again=True)]
    assert store.hooks[number]["is_active"] is True
    assert await connection.watch_webhooks() == []


async def test_a_webhook_is_ours_in_whatever_form_the_store_keeps_its_address(store, connect):
    connection = connect(webhook_url="https://hub.example/v1/hooks/store")
    assert await connection.watch_webhooks() == []
    (hook,) = store.hooks.values()
    hook |= {"destination": "https://HUB.example:443/v1/hooks/store/", "is_active": False}
    assert await connection.watch_webhooks() == [WebhookOff(topic=SCOPE, on_again=True)]
    assert len(store.hooks) == 1


async def test_reading_orders_makes_no_webhook(store, connect):
    connection = connect(webhook_url="https://hub.example/v1/hooks/store")
    assert (await connection.read("")).complete
    assert store.hooks == {}


async def test_a_webhook_that_cannot_be_switched_on_is_told(store, connect):
    connection = connect(webhook_url="https://hub.example/v1/hooks/store")
    await connection.watch_webhooks()
    store.give_up_webhooks()
    store.faults.plan(Fault(kind="slow"), Fault(kind="server_error"))
    (told,) = await connection.watch_webhooks()
    assert (told.topic, told.on_again) == (SCOPE, False)
    assert "http_500" in told.why


@pytest.mark.parametrize("cursor", ["x", "[]", '{"page": "x"}'])
async def test_a_cursor_of_somebody_else_is_told(connect, cursor):
    with pytest.raises(Transient):
        await connect().read(cursor)


# ------------------------------------------------------------ documents


def shipment(order, lines, key="S-1"):
    return Shipment(
        key=key,
        order=str(order),
        lines=tuple(DocumentLine(line=str(line), quantity=units) for line, units in lines),
        shipped_at=NOW,
        carrier="DHL",
        tracking="JD014600003",
        tracking_url="https://dhl.example/JD014600003",
    )


def refund(order, line, units, key="R-1", **more):
    lines = (DocumentLine(line=str(line), quantity=units),)
    return Refund(key=key, order=str(order), lines=lines, **more)


async def test_a_shipment_is_told_once_with_carrier_and_tracking(store, connect):
    connection = connect(carriers={"DHL": "dhl"})
    order = await store.sell([("MUG", 3)])
    line = store.products[order][0]["id"]
    for _ in range(2):
        told = await connection.submit(shipment(order, [(line, 1)]))
        assert told == Delivered(reference=str(store.shipments[order][0]["id"]))
    (made,) = store.shipments[order]
    assert (made["tracking_number"], made["tracking_carrier"]) == ("JD014600003", "dhl")
    assert (made["shipping_method"], made["tracking_link"][:8]) == ("DHL", "https://")
    assert store.orders[order]["status_id"] == 3
    await connection.submit(shipment(order, [(line, 2)], key="S-2"))
    assert store.orders[order]["status_id"] == 2


async def test_lines_to_two_addresses_are_two_shipments(store, connect):
    order = await store.sell([("MUG", 1), ("PLATE", 1)], addresses=(1, 2))
    lines = [(line["id"], 1) for line in store.products[order]]
    assert isinstance(await connect().submit(shipment(order, lines)), Delivered)
    assert [one["order_address_id"] for one in store.shipments[order]] == [1, 2]


async def test_more_than_was_ordered_is_refused(store, connect):
    order = await store.sell([("MUG", 1)])
    result = await connect().submit(shipment(order, [(store.products[order][0]["id"], 2)]))
    assert isinstance(result, Refused)
    assert result.reason == "http_400"


@pytest.mark.parametrize("kind", ["applied_then_error", "applied_then_dropped"])
@pytest.mark.parametrize("at", range(5))
async def test_a_document_whose_answer_was_lost_is_told_once(store, connect, kind, at):
    connection = connect()
    order = await store.sell([("MUG", 1)])
    line = store.products[order][0]["id"]
    for one in (shipment(order, [(line, 1)]), refund(order, line, 1)):
        good = Fault(kind="slow", seconds=0.0)
        store.faults.plan(*[good] * at, Fault(kind=kind))
        results = [await connection.submit(one)]
        store.faults.clear()
        while not isinstance(results[-1], Delivered):
            assert isinstance(results[-1], InDoubt | Retry)
            results.append(await connection.submit(one))
    assert len(store.shipments[order]) == 1
    assert len(store.refunds[order]) == 1


async def test_a_document_that_takes_too_long_is_in_doubt_and_told_once(store, connect):
    connection = connect(timeout_s=4.0)
    order = await store.sell([("MUG", 1)])
    asked = shipment(order, [(store.products[order][0]["id"], 1)])
    store.faults.plan(*[Fault(kind="slow", seconds=2.4)] * 2)
    assert isinstance(await connection.submit(asked), InDoubt)
    assert isinstance(await connection.submit(asked), Delivered)
    assert len(store.shipments[order]) == 1


async def test_a_refund_pays_back_by_what_was_paid_with(store, connect):
    order = await store.sell([("MUG", 3)])
    line = store.products[order][0]["id"]
    asked = refund(order, line, 2, reason="broken")
    assert isinstance(await connect().submit(asked), Delivered)
    (made,) = store.refunds[order]
    assert made["payments"] == [{"provider_id": "sandbox-pay", "amount": 24.0, "offline": False}]
    assert made["items"][0]["reason"] == "broken [R-1]"
    assert store.products[order][0]["quantity_refunded"] == 2


async def test_a_refund_of_another_amount_is_one_of_the_order(store, connect):
    order = await store.sell([("MUG", 3)])
    line = store.products[order][0]["id"]
    asked = refund(order, line, 1, amount=Decimal("5.00"))
    assert isinstance(await connect().submit(asked), Delivered)
    ((item,),) = [one["items"] for one in store.refunds[order]]
    assert (item["item_type"], item["amount"]) == ("ORDER", 5.0)
    assert store.products[order][0]["quantity_refunded"] == 0


async def test_an_order_is_cancelled_as_a_whole_and_not_by_lines(store, connect):
    connection = connect()
    order = await store.sell([("MUG", 3)])
    line = DocumentLine(line=str(store.products[order][0]["id"]), quantity=1)
    part = await connection.submit(Cancellation(key="C-1", order=str(order), lines=(line,)))
    assert isinstance(part, Refused)
    assert part.reason == "no_partial_cancellation"
    for _ in range(2):
        whole = Cancellation(key="C-2", order=str(order))
        assert isinstance(await connection.submit(whole), Delivered)
    assert store.orders[order]["status_id"] == 5
    assert len([1 for method, path in store.calls if method == "PUT"]) == 1


@pytest.mark.parametrize("order", ["999999", "x", ""])
async def test_an_order_the_store_does_not_have_is_refused(connect, order):
    result = await connect().submit(shipment(order, [(1, 1)]))
    assert isinstance(result, Refused)
    assert result.reason == "unknown_order"


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_a_time_beyond_all_calendars_is_no_time(text):
    with pytest.raises(ValueError, match="no order"):
        moment_of(text)
