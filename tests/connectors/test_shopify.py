"""Shopify against its sandbox: compare-and-set, budgets, polling, webhooks, documents."""

import asyncio
import random
from decimal import Decimal

import msgspec
import pytest

from stockwright.connectors.shopify import CONNECTOR, Sandbox, documents, webhooks
from stockwright.connectors.shopify.sandbox import CLIENT_ID
from stockwright.connectors.shopify.sandbox_shop import order_webhook, refund_webhook
from stockwright.domain.errors import Misconfigured, Rejected, Throttled, Transient
from stockwright.sdk.connector import Opening
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
from stockwright.sdk.pacing import NothingToSpare
from stockwright.sdk.secrets import Secret, resolve_secret
from stockwright.sdk.signatures import signature_of
from stockwright.sdk.verbs import WatchesWebhooks
from tests.connectors.visiting import NOW, connecting, facts, level, polled

VERSIONS = ("2026-07", "2025-10")


@pytest.fixture(params=VERSIONS)
def version(request):
    return request.param


@pytest.fixture
async def shop(clock, version):
    shop = Sandbox(("MUG", "PLATE", "SHIRT"), clock=clock, version=version, points=1e9)
    await shop.start()
    yield shop
    await shop.stop()


@pytest.fixture
async def connect(shop, clock):
    async with connecting(CONNECTOR, shop, clock, locations={"BER": "502"}) as connect:
        yield connect


def calls(shop, name):
    return [one for one in shop.told if f" {name}(" in one.document]


# ------------------------------------------------------------ levels


async def test_a_sale_we_did_not_know_of_is_not_overwritten_and_what_is_shown_is_told(
    shop, connect
):
    connection = connect()
    await connection.publish([level("MUG", 9), level("PLATE", 9)])
    shop.show("MUG", 8)
    told = await connection.publish([level("MUG", 5, expected=9), level("PLATE", 4, expected=9)])
    assert told == [Retry(retry_after_s=0.0, reason="stale", shown=8), Applied(shown=4)]
    assert (shop.shown("MUG"), shop.shown("PLATE")) == (8, 4)
    assert await connection.publish([level("MUG", 5, expected=8)]) == [Applied(shown=5)]


async def test_a_level_that_is_shown_already_is_applied_whatever_was_expected(shop, connect):
    connection = connect()
    shop.show("MUG", 5)
    assert await connection.publish([level("MUG", 5, expected=9)]) == [Applied(shown=5)]


async def test_levels_with_and_without_an_expectation_go_in_one_call_where_the_version_can(
    shop, connect, version
):
    connection = connect()
    told = await connection.publish([level("MUG", 3, expected=0), level("PLATE", 4)])
    assert told == [Applied(shown=3), Applied(shown=4)]
    assert len(calls(shop, "SetQuantities")) == (1 if version == "2026-07" else 2)


async def test_each_call_has_a_key_of_its_own_so_that_a_level_can_be_set_again(
    shop, connect, version
):
    connection = connect()
    for _ in range(2):
        await connection.publish([level("MUG", 3)])
        assert shop.shown("MUG") == 3
        shop.show("MUG", 7)
    keys = [one.variables.get("key") for one in calls(shop, "SetQuantities")]
    assert len(set(keys)) == (2 if version == "2026-07" else 1)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("INVALID_INVENTORY_ITEM", Refused(reason="gone")),
        ("INVALID_LOCATION", Refused(reason="unknown_location")),
        ("ITEM_NOT_STOCKED_AT_LOCATION", Refused(reason="not_stocked")),
        ("NON_MUTABLE_INVENTORY_ITEM", Refused(reason="bundle")),
        ("INVALID_QUANTITY_TOO_HIGH", Refused(reason="invalid_quantity_too_high")),
        ("INVALID_QUANTITY_NEGATIVE", Refused(reason="invalid_quantity_negative")),
        ("IDEMPOTENCY_CONCURRENT_REQUEST", InDoubt(reason="idempotency_concurrent_request")),
        (
            "IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED",
            Retry(retry_after_s=5.0, reason="idempotency_previous_attempt_failed"),
        ),
    ],
)
async def test_an_error_of_one_level_is_its_own_and_the_others_are_applied(
    shop, connect, code, expected
):
    shop.errors["PLATE"] = code
    first, second, third = await connect().publish(
        [level("MUG", 1), level("PLATE", 2), level("SHIRT", 3)]
    )
    assert (first, third) == (Applied(shown=1), Applied(shown=3))
    assert type(second) is type(expected)
    assert second.reason == expected.reason
    assert [shop.shown(name) for name in ("MUG", "PLATE", "SHIRT")] == [1, 0, 3]


async def test_what_cannot_be_sent_is_refused_alone_with_its_reason(shop, connect):
    shop.shop.add("LOOSE", tracked=False)
    shop.shop.add("TWICE")
    shop.shop.add("TWICE")
    asked = [
        level("NONE", 1),
        level("LOOSE", 1),
        level("TWICE", 1),
        level("MUG", 1, location="HAM"),
        level("mug", 1),
        level("PLATE", 1),
    ]
    told = await connect().publish(asked)
    assert [getattr(one, "reason", "") for one in told] == [
        "unknown_listing",
        "not_tracked",
        "ambiguous_listing",
        "unknown_location",
        "unknown_listing",
        "",
    ]


async def test_an_item_that_was_made_anew_is_found_again(shop, connect):
    connection = connect()
    await connection.publish([level("MUG", 2)])
    del shop.shop.items[shop.shop.item_of("MUG")["id"]]
    shop.shop.add("MUG")
    (gone,) = await connection.publish([level("MUG", 3)])
    assert gone.reason == "gone"
    assert await connection.publish([level("MUG", 3)]) == [Applied(shown=3)]


async def test_250_levels_are_one_call(shop, connect):
    names = [f"S-{n}" for n in range(250)]
    for name in names:
        shop.shop.add(name)
    told = await connect().publish([level(name, n) for n, name in enumerate(names)])
    assert told == [Applied(shown=n) for n in range(250)]
    (call,) = calls(shop, "SetQuantities")
    assert len(call.variables["input"]["quantities"]) == 250


async def test_a_level_goes_to_the_location_that_its_code_stands_for(shop, connect):
    connection = connect()
    await connection.publish([level("MUG", 7), level("MUG", 3, location="BER")])
    assert shop.shop.item_of("MUG")["levels"] == {501: 7, 502: 3}
    keys = [
        LevelKey(listing="MUG", location="BER"),
        LevelKey(listing="NONE"),
        LevelKey(listing="MUG"),
        LevelKey(listing="MUG", location="HAM"),
    ]
    assert await connection.read_back(keys) == [
        ShownLevel(listing="MUG", location="BER", quantity=3),
        None,
        ShownLevel(listing="MUG", quantity=7),
        None,
    ]
    told = {(one.listing, one.location): one.quantity for one in await connection.snapshot()}
    assert told == {
        ("MUG", ""): 7, ("PLATE", ""): 0, ("SHIRT", ""): 0,
        ("MUG", "BER"): 3, ("PLATE", "BER"): 0, ("SHIRT", "BER"): 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "setting"),
    [({"location": "999"}, "location"), ({"locations": {"BER": "999"}}, "locations")],
)
async def test_a_location_that_the_shop_does_not_have_is_named(connect, given, setting):
    with pytest.raises(Misconfigured, match="the shop has no location 999") as raised:
        await connect(**given).snapshot()
    assert raised.value.setting == setting


async def test_a_snapshot_of_many_items_comes_page_by_page(shop, connect):
    for n in range(250):
        shop.shop.add(f"S-{n}")
    told = await connect(locations={}).snapshot()
    assert len(told) == 253
    assert len(calls(shop, "Levels")) == 3


async def test_levels_without_a_place_are_for_an_operator(shop, connect):
    connection = connect(location="")
    with pytest.raises(Misconfigured) as told:
        await connection.publish([level("MUG", 1)])
    assert told.value.setting == "location"
    assert await connection.publish([level("MUG", 1, location="BER")]) == [Applied(shown=1)]


async def test_a_token_or_a_right_that_is_missing_is_for_an_operator(shop, connect):
    with pytest.raises(Misconfigured) as told:
        await connect(access_token=Secret("wrong")).publish([level("MUG", 1)])
    assert told.value.setting == "access_token"
    shop.denied.add("inventorySetQuantities")
    with pytest.raises(Misconfigured) as told:
        await connect().publish([level("MUG", 1)])
    assert told.value.setting == "access_token"


async def test_an_app_of_the_dev_dashboard_fetches_its_tokens_and_a_new_one_when_one_ends(
    shop, connect, clock
):
    connection = connect(access_token=None, client_id=CLIENT_ID, client_secret=shop.secret)
    for quantity in (5, 6):
        assert await connection.publish([level("MUG", quantity)]) == [Applied(shown=quantity)]
    assert len(shop.issued) == 1
    clock.step(86_400)
    assert await connection.publish([level("MUG", 7)]) == [Applied(shown=7)]
    assert len(shop.issued) == 2
    shop.issued.clear()
    assert await connection.publish([level("MUG", 8)]) == [Applied(shown=8)]


async def test_an_app_that_is_not_let_in_names_its_secret(shop, connect):
    app = {"access_token": None, "client_id": CLIENT_ID}
    with pytest.raises(Misconfigured) as told:
        await connect(**app, client_secret=Secret("wrong")).publish([level("MUG", 1)])
    assert told.value.setting == "client_secret"
    shop.denied.add("inventorySetQuantities")
    with pytest.raises(Misconfigured) as told:
        await connect(**app, client_secret=shop.secret).publish([level("MUG", 1)])
    assert told.value.setting == "client_secret"


@pytest.mark.parametrize(
    "given",
    [
        {"access_token": None},
        {"access_token": None, "client_id": CLIENT_ID},
        {"client_secret": Secret("s")},
        {"client_id": CLIENT_ID},
    ],
)
async def test_one_kind_of_credential_is_given(connect, given):
    with pytest.raises(Exception, match="either access_token, or client_id and client_secret"):
        connect(**given)


# ------------------------------------------------------------ the budget


async def test_calls_keep_to_the_points_that_the_shop_says_are_left(version):
    shop = Sandbox(("MUG",), version=version, points=60.0, restores_per_s=50.0)
    await shop.start()
    parsed = CONNECTOR.declaration.parse_settings(shop.settings(), resolve_secret)
    connection = CONNECTOR.open(Opening(system="shop"), parsed)
    try:
        for quantity in range(12):
            assert await connection.publish([level("MUG", quantity)]) == [Applied(shown=quantity)]
        assert shop.throttled == 0
    finally:
        await connection.close()
        await shop.stop()


async def test_calls_side_by_side_share_the_points_that_are_left(version):
    """The shop tells what is left, not what others are about to take: they were all turned away."""
    shop = Sandbox(("MUG",), version=version, points=60.0, restores_per_s=100.0)
    await shop.start()
    parsed = CONNECTOR.declaration.parse_settings(shop.settings(), resolve_secret)
    connection = CONNECTOR.open(Opening(system="shop"), parsed)
    try:
        assert await connection.publish([level("MUG", 1)]) == [Applied(shown=1)]

        async def some(quantity):
            for _ in range(5):
                (told,) = await connection.publish([level("MUG", quantity)])
                assert isinstance(told, Applied), told

        await asyncio.gather(*(some(quantity) for quantity in range(4)))
        assert shop.throttled == 0
    finally:
        await connection.close()
        await shop.stop()


async def test_reading_back_leaves_points_for_changes(clock, version):
    shop = Sandbox(("MUG",), version=version, points=265.0, restores_per_s=1.0, clock=clock)
    await shop.start()
    parsed = CONNECTOR.declaration.parse_settings(shop.settings(), resolve_secret)
    connection = CONNECTOR.open(Opening(system="shop", clock=clock), parsed)
    mug = [LevelKey(listing="MUG")]
    try:
        assert await connection.publish([level("MUG", 1)]) == [Applied(shown=1)]
        with pytest.raises(NothingToSpare):
            await connection.read_back(mug)
        assert await connection.publish([level("MUG", 2)]) == [Applied(shown=2)]
    finally:
        await connection.close()
        await shop.stop()


async def test_a_call_turned_away_for_its_cost_was_not_carried_out(clock, version):
    shop = Sandbox(("MUG",), version=version, points=70.0, restores_per_s=0.5, clock=clock)
    await shop.start()
    parsed = CONNECTOR.declaration.parse_settings(shop.settings(), resolve_secret)
    connection = CONNECTOR.open(Opening(system="shop", clock=clock), parsed)
    try:
        assert await connection.publish([level("MUG", 1)]) == [Applied(shown=1)]
        (turned_away,) = await connection.publish([level("MUG", 2)])
        assert isinstance(turned_away, Retry)
        assert 1.0 < turned_away.retry_after_s < 10.0
        assert shop.shown("MUG") == 1
        assert shop.throttled == 0  # we knew, and did not even ask
        with pytest.raises(Throttled):
            await connection.read("")
    finally:
        await connection.close()
        await shop.stop()


# ------------------------------------------------------------ orders


async def test_a_quiet_shop_tells_nothing_twice(shop, connect, clock):
    connection = connect(page_size=2)
    for _ in range(5):
        await shop.sell([("MUG", 1)])
        clock.step()
    payloads, cursor = await polled(connection)
    assert len(payloads) == 5
    again, later = await polled(connection, cursor)
    assert (again, later) == ([], cursor)


@pytest.mark.parametrize("seed", range(8))
async def test_no_order_is_missed_while_orders_change_between_the_pages(shop, connect, clock, seed):
    """Many share a second; between any two pages some are sold, refunded or cancelled."""
    chance = random.Random(seed)
    connection = connect(page_size=chance.choice((1, 2, 3, 7)), overlap_s=5)
    told = {}
    cursor = ""

    async def something_happens():
        for _ in range(chance.randint(0, 3)):
            clock.step(chance.choice((0, 0, 0, 1, 9)))
            numbers = list(shop.shop.orders)
            if not numbers or chance.random() < 0.5:
                await shop.sell([("MUG", 1), ("SHIRT", 2)])
            elif chance.random() < 0.5:
                await shop.cancel(chance.choice(numbers))
            else:
                number = chance.choice(numbers)
                await shop.pay_back(number, [(shop.shop.orders[number]["lines"][0]["id"], 1)])

    async def read():
        nonlocal cursor
        page = await connection.read(cursor)
        cursor = page.next_cursor
        for payload in page.payloads:
            told[payload.raw_key] = facts(connection, [payload])
        return page.complete

    for _ in range(30):
        await something_happens()
        await read()
    for _ in range(2):  # the last pass began before the last change
        while not await read():
            pass
    truth = {}
    for number, order in shop.shop.orders.items():
        body = msgspec.json.encode(order_webhook(order))
        payload = connection.receive(shop.signed(body, "orders/updated"), body)
        truth[str(number)] = facts(connection, [payload])
    assert told == truth


async def test_an_order_the_search_learnt_late_is_found_by_the_next_poll(shop, connect, clock):
    connection = connect(overlap_s=60)
    await shop.sell([("MUG", 1)])
    _, cursor = await polled(connection)
    clock.step(-30)
    late = await shop.sell([("PLATE", 1)])
    payloads, _ = await polled(connection, cursor)
    assert [fact.order for fact in facts(connection, payloads)] == [str(late)]


async def test_an_order_of_many_lines_and_refunds_is_told_whole(shop, connect):
    connection = connect()
    order = await shop.sell([("MUG", 2)] * 140)
    lines = [row["id"] for row in shop.shop.orders[order]["lines"]]
    await shop.pay_back(order, [(line, 1) for line in lines[:25]])
    for line in lines[25:40]:
        await shop.pay_back(order, [(line, 1)])
    payloads, _ = await polled(connection)
    kinds = [fact.kind for fact in facts(connection, payloads)]
    assert (kinds.count("channel_order"), kinds.count("channel_cancel")) == (140, 40)


async def test_webhooks_and_polls_tell_the_same_facts_under_the_same_names(shop, connect, clock):
    connection = connect()
    order = await shop.sell([("MUG", 3), ("SHIRT", 1)])
    line = shop.shop.orders[order]["lines"][0]["id"]
    clock.step()
    await shop.pay_back(order, [(line, 1)])
    await shop.pay_back(order, [(line, 1)], restock="RETURN")
    clock.step()
    await shop.cancel(order)
    body = msgspec.json.encode(order_webhook(shop.shop.orders[order]))
    webhook = connection.receive(shop.signed(body, "orders/cancelled"), body)
    payloads, _ = await polled(connection)
    told = facts(connection, [webhook])
    assert told == facts(connection, payloads)
    assert webhook.raw_key == payloads[0].raw_key == str(order)
    assert [(fact.kind, fact.quantity) for fact in told] == [
        ("channel_order", 3),
        ("channel_order", 1),
        ("channel_cancel", 1),
        ("channel_cancel", 2),
        ("channel_cancel", 1),
    ]
    refund = msgspec.json.encode(refund_webhook(shop.shop.orders[order]["refunds"][0]))
    payload = connection.receive(shop.signed(refund, "refunds/create"), refund)
    assert facts(connection, [payload]) == [told[2]]
    assert payload.raw_key == str(order)


@pytest.mark.parametrize("returns_at", ["", "MAIN"])
async def test_units_that_came_back_are_received_where_the_settings_say_so(
    shop, connect, clock, returns_at
):
    """The shop puts them on sale at once, whatever we make of them: that is to be read back."""
    connection = connect(returns_at=returns_at)
    order = await shop.sell([("MUG", 3), ("PLATE", 2)])
    mug, plate = [row["id"] for row in shop.shop.orders[order]["lines"]]
    assert shop.shown("MUG") == -3
    await shop.pay_back(order, [(mug, 2)], restock="RETURN")
    await shop.pay_back(order, [(plate, 1)])
    assert (shop.shown("MUG"), shop.shown("PLATE")) == (-1, -2)
    body = msgspec.json.encode(order_webhook(shop.shop.orders[order]))
    webhook = connection.receive(shop.signed(body, "orders/updated"), body)
    (polled_one,), _ = await polled(connection)
    told = facts(connection, [webhook])
    assert told == facts(connection, [polled_one])
    back = [fact for fact in told if fact.kind == "return_receipt"]
    assert [(one.item, one.quantity, one.location, one.order_line) for one in back] == (
        [("MUG", 2, "MAIN", str(mug))] if returns_at else []
    )
    refund = msgspec.json.encode(refund_webhook(shop.shop.orders[order]["refunds"][0]))
    alone = connection.receive(shop.signed(refund, "refunds/create"), refund)
    for payload in (webhook, polled_one, alone):
        assert connection.restocked(payload) == {"MUG"}
    for body in (b"", b"[]", b'"return"', b'{"order": {"refunds": ["RETURN"]}, "x": "RETURN"}'):
        assert connection.restocked(msgspec.structs.replace(alone, body=body)) == set()
    by_variant = connect(listings="variant")
    variant = str(shop.shop.item_of("MUG")["variant"])
    assert by_variant.restocked(polled_one) == {variant}


async def test_a_webhook_without_refunds_leaves_what_is_cancelled_to_the_poll(shop, connect, clock):
    """Its fields may be chosen in the shop: a cancellation of all would be told twice, unlike."""
    connection = connect()
    order = await shop.sell([("MUG", 3)])
    (line,) = [row["id"] for row in shop.shop.orders[order]["lines"]]
    await shop.pay_back(order, [(line, 1)])
    clock.step()
    await shop.cancel(order)
    whole = order_webhook(shop.shop.orders[order])
    body = msgspec.json.encode({name: told for name, told in whole.items() if name != "refunds"})
    webhook = connection.receive(shop.signed(body, "orders/cancelled"), body)
    assert [fact.kind for fact in facts(connection, [webhook])] == ["channel_order"]
    payloads, _ = await polled(connection)
    assert [(fact.kind, fact.quantity) for fact in facts(connection, payloads)] == [
        ("channel_order", 3),
        ("channel_cancel", 1),
        ("channel_cancel", 2),
    ]


async def test_only_what_one_of_the_secrets_signed_is_taken(shop, connect):
    connection = connect(webhook_secrets=[Secret("new"), shop.secret])
    body = b'{"id": 12}'
    for secret in (Secret("new"), shop.secret):
        headers = {"x-shopify-hmac-sha256": signature_of(body, secret)}
        assert connection.receive(headers, body).body == body
    for bad in (b'{"id": 13}', b"", b"{}"):
        with pytest.raises(Rejected) as told:
            connection.receive(headers, bad)
        assert told.value.reason == "signature"
    with pytest.raises(Rejected) as told:
        connect(max_body_bytes=1024).receive({}, b"x" * 1025)
    assert told.value.reason == "too_large"


async def test_a_change_of_a_level_is_a_hint_and_nothing_is_kept_of_it(shop, connect):
    connection = connect()
    body = b'{"inventory_item_id": 808950810, "location_id": 905684977, "available": 6}'
    assert connection.receive(shop.signed(body, "inventory_levels/update"), body) is None
    with pytest.raises(Rejected):
        connection.receive({"X-Shopify-Topic": "inventory_levels/update"}, body)


HOOK = "https://hub.example/v1/hooks/shop"


async def test_webhooks_are_made_once_and_again_where_the_shop_removed_one(shop, connect):
    connection = connect(webhook_url=HOOK)
    shop.shop.subscriptions.append(("ORDERS_CREATE", "https://else.example/v1/hooks/shop"))
    assert isinstance(connection, WatchesWebhooks)
    for _ in range(2):
        assert list(await connection.watch_webhooks()) == []
    assert sorted(topic for topic, address in shop.shop.subscriptions if address == HOOK) == [
        "ORDERS_CANCELLED",
        "ORDERS_CREATE",
        "ORDERS_UPDATED",
        "REFUNDS_CREATE",
    ]
    assert len(calls(shop, "Subscribe")) == 4
    shop.shop.subscriptions.remove(("REFUNDS_CREATE", HOOK))
    (off,) = await connection.watch_webhooks()
    assert off == WebhookOff(topic="REFUNDS_CREATE", on_again=True)
    assert len(calls(shop, "Subscribe")) == 5


async def test_a_webhook_that_the_shop_has_under_another_form_of_its_address_was_never_off(
    shop, connect
):
    """It was told as switched on again at every look."""
    connection = connect(webhook_url=HOOK)
    shop.shop.subscriptions += [(topic, HOOK + "/") for topic in webhooks.TOPICS]
    for _ in range(3):
        assert list(await connection.watch_webhooks()) == []
    assert len(shop.shop.subscriptions) == len(webhooks.TOPICS)


async def test_a_webhook_that_the_shop_does_not_take_is_told_with_its_words(shop, connect):
    told = await connect(webhook_url="http://127.0.0.1:9/v1/hooks/shop").watch_webhooks()
    assert [one.topic for one in told] == list(webhooks.TOPICS)
    assert {(one.on_again, one.why) for one in told} == {
        (False, "Address protocol http:// is not supported")
    }
    assert list(await connect().watch_webhooks()) == []
    shop.denied.add("Webhooks")
    with pytest.raises(Misconfigured):
        await connect(webhook_url=HOOK).watch_webhooks()


async def test_tests_of_the_shop_claim_nothing_unless_wanted(shop, connect):
    await shop.sell([("MUG", 1)], test=True)
    connection = connect()
    payloads, _ = await polled(connection)
    assert facts(connection, payloads) == []
    assert len(facts(connect(test_orders=True), payloads)) == 1


@pytest.mark.parametrize("cursor", ["x", "[]", '{"page": "x"}'])
async def test_a_cursor_of_somebody_else_is_told(connect, cursor):
    with pytest.raises(Transient):
        await connect().read(cursor)


# ------------------------------------------------------------ documents


def shipment(order, lines, key="S-1", tracking="JD014600003"):
    return Shipment(
        key=key,
        order=str(order),
        lines=tuple(DocumentLine(line=str(line), quantity=units) for line, units in lines),
        shipped_at=NOW,
        carrier="DHL",
        tracking=tracking,
        tracking_url="https://dhl.example/JD014600003",
    )


def line_of(shop, order):
    return shop.shop.orders[order]["lines"][0]["id"]


async def test_a_shipment_is_told_once_with_its_tracking(shop, connect):
    connection = connect()
    order = await shop.sell([("MUG", 3)])
    line = line_of(shop, order)
    first = await connection.submit(shipment(order, [(line, 1)]))
    assert isinstance(first, Delivered)
    assert await connection.submit(shipment(order, [(line, 1)])) == first
    (made,) = shop.shop.orders[order]["fulfillments"]
    assert made["tracking"] == "JD014600003"
    asked = calls(shop, "Ship")[0].variables["fulfillment"]["trackingInfo"]
    assert (asked["company"], asked["url"]) == ("DHL", "https://dhl.example/JD014600003")
    await connection.submit(shipment(order, [(line, 2)], key="S-2", tracking=""))
    await connection.submit(shipment(order, [(line, 2)], key="S-2", tracking=""))
    assert [one["tracking"] for one in shop.shop.orders[order]["fulfillments"]] == [
        "JD014600003",
        "S-2",
    ]


async def test_more_than_is_open_and_orders_that_are_not_there_are_refused(shop, connect):
    connection = connect()
    order = await shop.sell([("MUG", 3)])
    line = line_of(shop, order)
    told = await connection.submit(shipment(order, [(line, 4)]))
    assert told.reason == "not_open"
    for number in ("999", "x", ""):
        told = await connection.submit(shipment(number, [(line, 1)]))
        assert told.reason == "unknown_order"
    assert shop.shop.orders[order]["fulfillments"] == []


@pytest.mark.parametrize("kind", ["applied_then_error", "applied_then_dropped"])
@pytest.mark.parametrize("at", range(2))
async def test_a_document_whose_answer_was_lost_is_told_once(shop, connect, kind, at):
    connection = connect()
    order = await shop.sell([("MUG", 2)])
    line = line_of(shop, order)
    units = (DocumentLine(line=str(line), quantity=1),)
    refund = Refund(key="R-1", order=str(order), lines=units)
    for one in (shipment(order, [(line, 1)]), refund):
        good = Fault(kind="slow", seconds=0.0)
        shop.faults.plan(*[good] * at, Fault(kind=kind))
        lost = await connection.submit(one)
        shop.faults.clear()
        assert isinstance(lost, InDoubt | Retry)
        assert isinstance(await connection.submit(one), Delivered)
    assert len(shop.shop.orders[order]["fulfillments"]) == 1
    assert len(shop.shop.orders[order]["refunds"]) == 1


async def test_a_refund_pays_what_the_shop_reckons_or_what_we_say(shop, connect):
    connection = connect()
    order = await shop.sell([("MUG", 3)])
    units = (DocumentLine(line=str(line_of(shop, order)), quantity=1),)
    base = Refund(key="R-1", order=str(order), lines=units)
    assert isinstance(await connection.submit(base), Delivered)
    assert shop.shop.orders[order]["paid_back"] == Decimal("12.00")
    some = Refund(key="R-2", order=str(order), lines=units, amount=Decimal("15.50"), currency="EUR")
    assert isinstance(await connection.submit(some), Delivered)
    assert shop.shop.orders[order]["paid_back"] == Decimal("27.50")
    much = msgspec.structs.replace(some, key="R-3", amount=Decimal(9))
    assert (await connection.submit(much)).reason == "amount"
    other = msgspec.structs.replace(some, key="R-4", amount=Decimal(1), currency="USD")
    assert (await connection.submit(other)).reason == "currency"
    asked = [one.variables["input"] for one in calls(shop, "PayBack")]
    assert [one["refundLineItems"][0]["restockType"] for one in asked] == ["NO_RESTOCK"] * 2


async def test_a_cancellation_of_lines_pays_nothing_and_one_of_all_ends_the_order(shop, connect):
    connection = connect()
    order = await shop.sell([("MUG", 3)])
    units = (DocumentLine(line=str(line_of(shop, order)), quantity=1),)
    part = Cancellation(key="C-1", order=str(order), lines=units)
    for _ in range(2):
        assert isinstance(await connection.submit(part), Delivered)
    assert len(shop.shop.orders[order]["refunds"]) == 1
    assert shop.shop.orders[order]["paid_back"] == 0
    whole = Cancellation(key="C-2", order=str(order), reason="inventory")
    for _ in range(2):
        assert await connection.submit(whole) == Delivered(reference=str(order))
    (call,) = calls(shop, "Cancel")
    assert call.variables["reason"] == "INVENTORY"
    assert call.variables["refund"] == {"originalPaymentMethodsRefund": False}
    assert shop.shop.orders[order]["cancelled"]


async def test_a_cancellation_is_delivered_once_the_order_is_cancelled(shop, connect, monkeypatch):
    monkeypatch.setattr(documents, "_LOOKS_S", (0.0, 0.0))
    connection = connect()
    shop.shop.slow_cancels = 5
    order = await shop.sell([("MUG", 3)])
    whole = Cancellation(key="C-1", order=str(order))
    told = await connection.submit(whole)
    assert (type(told), told.taken, bool(told.reference)) == (InDoubt, True, True)
    assert await connection.submit(whole) == told
    after = connect()
    assert await after.follow(whole, told.reference) == told
    assert await after.follow(whole, told.reference) == Delivered(reference=str(order))
    assert await connection.submit(whole) == Delivered(reference=str(order))
    assert len(calls(shop, "Cancel")) == 1


async def test_a_document_that_takes_too_long_is_in_doubt_and_told_once(shop, connect):
    connection = connect(timeout_s=4.0)
    order = await shop.sell([("MUG", 1)])
    asked = shipment(order, [(line_of(shop, order), 1)])
    shop.faults.plan(*[Fault(kind="slow", seconds=2.4)] * 2)
    assert isinstance(await connection.submit(asked), InDoubt)
    shop.faults.clear()
    assert isinstance(await connection.submit(asked), Delivered)
    assert len(shop.shop.orders[order]["fulfillments"]) == 1


async def test_an_order_that_left_cannot_be_cancelled(shop, connect):
    connection = connect()
    order = await shop.sell([("MUG", 3)])
    await connection.submit(shipment(order, [(line_of(shop, order), 1)]))
    told = await connection.submit(Cancellation(key="C-1", order=str(order)))
    assert isinstance(told, Refused)
    assert told.reason == "invalid"


async def test_an_order_is_not_told_without_the_refunds_that_cannot_be_listed(shop, connect):
    connection = connect()
    order = await shop.sell([("MUG", 9)])
    line = shop.shop.orders[order]["lines"][0]["id"]
    for _ in range(4):
        await shop.pay_back(order, [(line, 1)])
    shop._answers._order_refunds = lambda variables: {"order": {}}
    with pytest.raises(Transient, match="refunds"):
        await polled(connection)
