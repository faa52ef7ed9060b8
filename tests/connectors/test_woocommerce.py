"""WooCommerce against its sandbox: levels, polling that misses nothing, webhooks, documents."""

import asyncio
import random

import msgspec
import pytest

from stockwright.connectors.woocommerce import CONNECTOR, Sandbox
from stockwright.connectors.woocommerce.documents import SHIPPED
from stockwright.connectors.woocommerce.sandbox_webhooks import MOST_FAILURES
from stockwright.connectors.woocommerce.webhooks import MOST_PAGES, TOPICS
from stockwright.domain.errors import Misconfigured, Rejected, Transient
from stockwright.sdk.hostile import Fault, storm
from stockwright.sdk.messages import (
    Applied,
    Cancellation,
    Delivered,
    DocumentLine,
    Failure,
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
from stockwright.sdk.signatures import signature_of
from stockwright.sdk.verbs import WatchesWebhooks
from tests.connectors.visiting import NOW, connecting, facts, level, polled


@pytest.fixture
async def shop(clock):
    shop = Sandbox(("MUG", "PLATE", "SHIRT/SHIRT-S", "SHIRT/SHIRT-L"), clock=clock)
    await shop.start()
    yield shop
    await shop.stop()


@pytest.fixture
async def connect(shop, clock):
    async with connecting(CONNECTOR, shop, clock) as connect:
        yield connect


# ------------------------------------------------------------ levels


async def test_products_and_the_variations_of_each_parent_are_one_call_each(shop, connect):
    connection = connect()
    levels = [level("MUG", 7), level("SHIRT-S", 3), level("PLATE", 1), level("SHIRT-L", 4)]
    assert list(await connection.publish(levels)) == [Applied(shown=n) for n in (7, 3, 1, 4)]
    assert [shop.shown(one.listing) for one in levels] == [7, 3, 1, 4]
    writes = [path for method, path in shop.calls if method == "POST"]
    assert [path.count("variations") for path in writes] == [0, 1]
    lookups = [path for method, path in shop.calls if method == "GET"]
    assert len(lookups) == 1
    await connection.publish(levels)
    assert len([path for method, path in shop.calls if method == "GET"]) == 1


async def test_a_listing_the_shop_does_not_know_is_refused_alone(shop, connect):
    first, second = await connect().publish([level("NONE", 1), level("MUG", 2)])
    assert isinstance(first, Refused)
    assert first.reason == "unknown_listing"
    assert second == Applied(shown=2)


async def test_a_level_of_one_place_is_refused_alone(shop, connect):
    levels = [level("MUG", 1, location="BER"), level("PLATE", 2)]
    first, second = await connect().publish(levels)
    assert isinstance(first, Refused)
    assert first.reason == "unknown_location"
    assert (second, shop.shown("MUG")) == (Applied(shown=2), 0)


async def test_a_product_that_was_made_anew_is_found_again(shop, connect):
    connection = connect()
    await connection.publish([level("MUG", 2)])
    old = shop._id_of("MUG")
    del shop.products[old]
    shop.add("MUG")
    (gone,) = await connection.publish([level("MUG", 3)])
    assert gone == Refused(reason="gone", message="Invalid ID.")
    assert list(await connection.publish([level("MUG", 3)])) == [Applied(shown=3)]


async def test_listings_may_be_named_by_id(shop, connect):
    connection = connect(listings="id")
    mug, small = shop._id_of("MUG"), shop._id_of("SHIRT-S")
    parent = shop.products[small]["parent_id"]
    names = [str(mug), f"{parent}:{small}", "0", "x", f"{parent}:{small}:1"]
    results = await connection.publish([level(name, 5) for name in names])
    assert [isinstance(one, Applied) for one in results] == [True, True, False, False, False]
    assert {one.listing for one in await connection.snapshot()} >= set(names[:2])


async def test_keys_that_are_refused_are_for_an_operator(shop, connect):
    connection = connect(consumer_secret=Secret("wrong"))
    with pytest.raises(Misconfigured) as told:
        await connection.publish([level("MUG", 1)])
    assert told.value.setting == "consumer_key"
    assert "wrong" not in str(told.value)


async def test_where_the_shop_cannot_be_asked_nothing_was_done(shop, connect):
    connection = connect()
    shop.faults.plan(Fault(kind="server_error"))
    (result,) = await connection.publish([level("MUG", 4)])
    assert isinstance(result, Retry)
    assert shop.shown("MUG") == 0


async def test_half_of_a_batch_may_be_in_doubt(shop, connect):
    connection = connect()
    await connection.publish([level("MUG", 1), level("SHIRT-S", 1)])
    shop.faults.plan(Fault(kind="applied_then_dropped"))
    first, second = await connection.publish([level("MUG", 4), level("SHIRT-S", 5)])
    assert isinstance(first, InDoubt)
    assert second == Applied(shown=5)


async def test_what_is_shown_is_read_back_and_told_as_a_snapshot(shop, connect):
    connection = connect(page_size=2)
    await connection.publish([level("MUG", 7), level("SHIRT-S", 3)])
    shop.show("SHIRT-S", 9)
    keys = [LevelKey(listing=name) for name in ("SHIRT-S", "NONE", "SHIRT", "MUG")]
    assert list(await connection.read_back(keys)) == [
        ShownLevel(listing="SHIRT-S", quantity=9),
        None,
        None,
        ShownLevel(listing="MUG", quantity=7),
    ]
    shown = {one.listing: one.quantity for one in await connection.snapshot()}
    assert shown == {"MUG": 7, "PLATE": 0, "SHIRT-S": 9, "SHIRT-L": 0}


# ------------------------------------------------------------ orders


async def test_a_quiet_shop_tells_nothing_twice(shop, connect, clock):
    connection = connect()
    for _ in range(3):
        await shop.sell([("MUG", 1)])
        clock.step()
    payloads, cursor = await polled(connection)
    assert len(payloads) == 3
    again, later = await polled(connection, cursor)
    assert (again, later) == ([], cursor)


@pytest.mark.parametrize("seed", range(12))
async def test_no_order_is_missed_while_orders_change_between_the_pages(shop, connect, clock, seed):
    """Many share a second; between any two pages some are sold, paid, cancelled or refunded."""
    chance = random.Random(seed)
    connection = connect(page_size=chance.choice((1, 2, 3, 7)), overlap_s=5)
    told: dict[int, dict[str, object]] = {}
    cursor = ""

    async def something_happens():
        for _ in range(chance.randint(0, 3)):
            clock.step(chance.choice((0, 0, 0, 1, 9)))
            numbers = list(shop.orders)
            if not numbers or chance.random() < 0.5:
                await shop.sell([("MUG", 1), ("SHIRT-S", 2)], chance.choice(("pending", "on-hold")))
            else:
                states = ("processing", "completed", "cancelled")
                await shop.change(chance.choice(numbers), status=chance.choice(states))

    async def read():
        nonlocal cursor
        page = await connection.read(cursor)
        cursor = page.next_cursor
        for payload in page.payloads:
            order = msgspec.json.decode(payload.body)
            order = order.get("order", order)
            told[order["id"]] = order
        return page.complete

    for _ in range(30):
        await something_happens()
        await read()
    for _ in range(2):  # the last pass began before the last change
        while not await read():
            pass
    assert told == shop.orders


async def test_an_order_written_down_late_is_found_by_the_next_poll(shop, connect, clock):
    connection = connect(overlap_s=60)
    await shop.sell([("MUG", 1)])
    _, cursor = await polled(connection)
    clock.step(-30)
    late = await shop.sell([("PLATE", 1)])
    payloads, _ = await polled(connection, cursor)
    assert [fact.order for fact in facts(connection, payloads)] == [str(late)]


async def test_a_refund_cancels_its_units_and_a_cancelled_order_the_rest(shop, connect, clock):
    connection = connect()
    order = await shop.sell([("MUG", 3)])
    line = shop.orders[order]["line_items"][0]["id"]
    clock.step()
    await shop.pay_back(order, [(line, 1)])
    clock.step()
    await shop.change(order, status="cancelled")
    payloads, cursor = await polled(connection)
    told = facts(connection, payloads)
    assert [(fact.kind, fact.quantity) for fact in told] == [
        ("channel_order", 3),
        ("channel_cancel", 1),
        ("channel_cancel", 2),
    ]
    clock.step(90)
    await shop.change(order, customer_note="told again")
    payloads, _ = await polled(connection, cursor)
    assert facts(connection, payloads)[1:] == told[1:], "the cancellations are the same"


async def test_states_that_say_nothing_about_stock_are_left_out(shop, connect):
    connection = connect()
    await shop.sell([("MUG", 3)], status="checkout-draft")
    assert (await polled(connection))[0] == []
    body = msgspec.json.encode({"id": 1, "status": "checkout-draft"})
    headers = {"X-WC-Webhook-Signature": signature_of(body, shop.secret)}
    assert connection.map(connection.receive(headers, body)) == []


async def test_webhook_and_poll_tell_the_same_facts(shop, connect):
    connection = connect()
    order = await shop.sell([("MUG", 3), ("SHIRT-L", 1)])
    body = msgspec.json.encode(shop.orders[order])
    headers = {
        "X-WC-Webhook-Signature": signature_of(body, shop.secret),
        "X-WC-Webhook-Topic": "order.created",
    }
    payload = connection.receive(headers, body)
    assert payload.raw_key == str(order)
    payloads, _ = await polled(connection)
    assert facts(connection, [payload]) == facts(connection, payloads)
    delivered = storm([payload, *payloads], random.Random(1))
    keys = {(f.document, f.line, f.kind, f.revision) for f in facts(connection, delivered)}
    assert len(keys) == 2


async def test_only_what_the_shop_signed_is_taken_and_its_greeting_says_nothing(shop, connect):
    connection = connect()
    assert connection.receive({}, b"webhook_id=17") is None
    for body in (b"webhook_id=17&x=1", b"{}", b""):
        with pytest.raises(Rejected) as told:
            connection.receive({"X-WC-Webhook-Signature": "AAAA"}, body)
        assert told.value.reason == "signature"
    with pytest.raises(Rejected) as told:
        connect(max_body_bytes=1024).receive({}, b"x" * 1025)
    assert told.value.reason == "too_large"


async def test_deleted_orders_and_other_topics_are_left_to_the_poll(shop, connect):
    connection = connect()
    for topic in ("order.deleted", "product.updated"):
        body = b'{"id": 12}'
        headers = {
            "X-WC-Webhook-Signature": signature_of(body, shop.secret),
            "X-WC-Webhook-Topic": topic,
        }
        assert connection.map(connection.receive(headers, body)) == []


async def test_a_refund_that_names_no_line_fails_with_its_path(shop, connect, clock):
    connection = connect()
    order = await shop.sell([("MUG", 3)])
    await shop.pay_back(order, [(shop.orders[order]["line_items"][0]["id"], 1)])
    shop.refunds[order][0]["line_items"][0]["meta_data"] = []
    payloads, _ = await polled(connection)
    (bad,) = [
        part.item for one in payloads for part in connection.map(one)
        if isinstance(part.item, Failure)
    ]  # fmt: skip
    assert bad.path == "$.refunds[0].line_items[0].meta_data"


HOOK = "https://hub.example/v1/hooks/shop"


@pytest.fixture
def webhook(shop):
    return lambda topic, address=HOOK, status="active": shop.webhook_rows.add(
        topic, address, status
    )


async def test_our_webhooks_that_the_shop_disabled_are_switched_on_again(connect, webhook):
    connection = connect()
    assert isinstance(connection, WatchesWebhooks)
    on, off = webhook("order.created"), webhook("order.updated", status="disabled")
    paused = webhook("order.restored", status="paused")
    others = webhook("order.updated", "https://else.example/v1/hooks/other", "disabled")
    assert await connection.watch_webhooks() == [WebhookOff(topic="order.updated", on_again=True)]
    assert [hook["status"] for hook in (on, off, paused, others)] == [
        "active",
        "active",
        "paused",
        "disabled",
    ]
    assert await connection.watch_webhooks() == []


async def test_a_webhook_on_a_later_page_is_seen_as_well(shop, connect, webhook):
    for number in range(150):
        webhook("order.updated", f"https://else.example/{number}")
    off = webhook("order.updated", status="disabled")
    assert len(await connect().watch_webhooks()) == 1
    assert off["status"] == "active"


async def test_missing_webhooks_are_made_where_the_address_is_set_and_signed_by_the_first_secret(
    shop, connect, webhook
):
    webhook("order.updated", status="disabled")
    connection = connect(webhook_url=HOOK, webhook_secrets=[Secret("first"), Secret("second")])
    assert await connection.watch_webhooks() == [WebhookOff(topic="order.updated", on_again=True)]
    assert sorted(hook["topic"] for hook in shop.hooks.values()) == sorted(TOPICS)
    assert shop.webhook_rows.secrets == ["first", "first"]
    assert await connection.watch_webhooks() == []
    assert len(shop.hooks) == len(TOPICS)


@pytest.mark.parametrize(
    "kept", ["HTTPS://Hub.Example/v1/hooks/shop", "https://hub.example:443/v1/hooks/shop/"]
)
async def test_webhooks_are_made_once_in_whatever_form_the_shop_keeps_their_address(
    shop, connect, kept
):
    """Three more were made at every look, for ever."""
    for _ in range(3):
        connection = connect(webhook_url=HOOK, webhook_secrets=[Secret("first")])
        assert await connection.watch_webhooks() == []
        for hook in shop.hooks.values():
            hook["delivery_url"] = kept
    assert len(shop.hooks) == len(TOPICS)


async def test_two_processes_that_look_at_one_time_make_each_webhook_once(shop, connect):
    ours = [connect(webhook_url=HOOK, webhook_secrets=[Secret("first")]) for _ in range(2)]
    assert await asyncio.gather(*(one.watch_webhooks() for one in ours)) == [[], []]
    assert len(shop.webhook_rows.secrets) == 2 * len(TOPICS)
    assert sorted(hook["topic"] for hook in shop.hooks.values()) == sorted(TOPICS)
    assert await asyncio.gather(*(one.watch_webhooks() for one in ours)) == [[], []]
    assert len(shop.hooks) == len(TOPICS)


async def test_a_shop_that_keeps_another_address_is_given_no_more_webhooks_at_each_look(
    shop, connect
):
    connection = connect(webhook_url=HOOK, webhook_secrets=[Secret("first")])
    for _ in range(3):
        await connection.watch_webhooks()
        for hook in shop.hooks.values():
            hook["delivery_url"] = "https://proxy.example/to-the-hub"
    assert len(shop.hooks) == len(TOPICS)


async def test_a_shop_with_thousands_of_webhooks_is_given_no_more(shop, connect, webhook):
    for number in range(MOST_PAGES * 100):
        webhook("order.updated", f"https://else.example/{number}")
    connection = connect(webhook_url=HOOK, webhook_secrets=[Secret("first")])
    with pytest.raises(Misconfigured, match="delete those nobody needs"):
        await connection.watch_webhooks()
    assert len(shop.hooks) == MOST_PAGES * 100


async def test_a_webhook_that_stays_off_though_the_shop_said_yes_is_told_so(
    shop, connect, webhook, monkeypatch
):
    off = webhook("order.updated", status="disabled")
    monkeypatch.setattr(shop.webhook_rows, "keeps_off", True)
    (told,) = await connect().watch_webhooks()
    assert (told.topic, told.on_again, off["status"]) == ("order.updated", False, "disabled")
    assert "stays off" in told.why


async def test_no_webhook_is_made_without_an_address_or_a_secret_to_prove_it_by(shop, connect):
    for settings in ({}, {"webhook_url": HOOK, "webhook_secrets": []}):
        assert await connect(**settings).watch_webhooks() == []
    assert shop.hooks == {}


async def test_webhooks_that_cannot_be_seen_or_switched_on_are_told(shop, connect, webhook):
    off = webhook("order.updated", status="disabled")
    connection = connect()
    shop.faults.plan(Fault(kind="server_error"))
    with pytest.raises(Transient):
        await connection.watch_webhooks()
    shop.faults.plan(Fault(kind="slow"), Fault(kind="malformed_request"))
    (told,) = await connection.watch_webhooks()
    assert (told.topic, told.on_again, off["status"]) == ("order.updated", False, "disabled")
    assert "http_400" in told.why
    with pytest.raises(Misconfigured) as refused:
        await connect(consumer_secret=Secret("wrong")).watch_webhooks()
    assert refused.value.setting == "consumer_key"


async def test_a_hub_that_does_not_answer_is_given_up_and_told_again_after_a_look(
    shop, connect, webhook
):
    hook, shop.webhook_url = webhook("order.created"), "http://127.0.0.1:1/v1/hooks/shop"
    for _ in range(MOST_FAILURES + 2):
        await shop.sell([("MUG", 1)])
    assert shop.deliveries == [0] * MOST_FAILURES
    assert hook["status"] == "disabled"
    await connect().watch_webhooks()
    await shop.sell([("MUG", 1)])
    assert len(shop.deliveries) == MOST_FAILURES + 1


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


async def test_a_shipment_is_told_once_and_the_last_one_completes_the_order(shop, connect):
    connection = connect()
    order = await shop.sell([("MUG", 3)])
    line = shop.orders[order]["line_items"][0]["id"]
    for _ in range(2):
        told = await connection.submit(shipment(order, [(line, 1)]))
        assert told == Delivered(reference=str(order))
    assert len(shop.notes[order]) == 1
    assert "JD014600003" in shop.notes[order][0]["note"]
    assert shop.orders[order]["status"] == "processing"
    await connection.submit(shipment(order, [(line, 2)], key="S-2"))
    assert shop.orders[order]["status"] == "completed"
    (meta,) = shop.orders[order]["meta_data"]
    assert (meta["key"], set(meta["value"])) == (SHIPPED, {"S-1", "S-2"})


async def test_a_document_that_takes_too_long_is_in_doubt_and_told_once(shop, connect):
    connection = connect(timeout_s=4.0)
    order = await shop.sell([("MUG", 1)])
    asked = shipment(order, [(shop.orders[order]["line_items"][0]["id"], 1)])
    shop.faults.plan(*[Fault(kind="slow", seconds=2.4)] * 2)
    assert isinstance(await connection.submit(asked), InDoubt)
    shop.faults.clear()
    assert isinstance(await connection.submit(asked), Delivered)
    assert len(shop.notes[order]) == 1


@pytest.mark.parametrize("kind", ["applied_then_error", "applied_then_dropped"])
@pytest.mark.parametrize("at", range(4))
async def test_a_document_whose_answer_was_lost_is_told_once(shop, connect, kind, at):
    connection = connect()
    order = await shop.sell([("MUG", 1)])
    line = shop.orders[order]["line_items"][0]["id"]
    document = Refund(
        key="R-1", order=str(order), lines=(DocumentLine(line=str(line), quantity=1),)
    )
    for one in (shipment(order, [(line, 1)]), document):
        good = Fault(kind="slow", seconds=0.0)
        shop.faults.plan(*[good] * at, Fault(kind=kind))
        results = [await connection.submit(one)]
        shop.faults.clear()
        while not isinstance(results[-1], Delivered):
            assert isinstance(results[-1], InDoubt | Retry)
            results.append(await connection.submit(one))
    assert len(shop.notes[order]) == 1
    assert len(shop.refunds[order]) == 1


async def test_a_refund_pays_the_share_of_each_line_with_its_taxes(shop, connect):
    connection = connect()
    order = await shop.sell([("MUG", 3)])
    line = shop.orders[order]["line_items"][0]["id"]
    asked = Refund(key="R-1", order=str(order), lines=(DocumentLine(line=str(line), quantity=2),))
    assert isinstance(await connection.submit(asked), Delivered)
    (made,) = shop.refunds[order]
    assert (made["amount"], made["api_refund"], made["api_restock"]) == ("24.00", True, False)


async def test_a_cancellation_of_lines_pays_nothing_and_one_of_all_ends_the_order(shop, connect):
    connection = connect()
    order = await shop.sell([("MUG", 3)])
    line = shop.orders[order]["line_items"][0]["id"]
    part = Cancellation(
        key="C-1", order=str(order), lines=(DocumentLine(line=str(line), quantity=1),)
    )
    assert isinstance(await connection.submit(part), Delivered)
    assert (shop.refunds[order][0]["amount"], shop.refunds[order][0]["api_refund"]) == (
        "0.00",
        False,
    )
    for _ in range(2):
        whole = Cancellation(key="C-2", order=str(order))
        assert isinstance(await connection.submit(whole), Delivered)
    assert shop.orders[order]["status"] == "cancelled"


@pytest.mark.parametrize("order", ["999999", "x", ""])
async def test_an_order_the_shop_does_not_have_is_refused(connect, order):
    result = await connect().submit(shipment(order, [(1, 1)]))
    assert isinstance(result, Refused)
    assert result.reason == "unknown_order"
