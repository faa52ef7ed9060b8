"""Amazon against its sandbox: both lanes, the watchdog, polls that miss nothing, shipments.

Every call is held to Amazon's published models, both ways.
"""

import asyncio
import datetime as dt
import gzip
import json
import random

import msgspec
import pytest

from stockwright.connectors.amazon import CONNECTOR, Sandbox
from stockwright.connectors.amazon.order_messages import EVERY_UNIT, order_in
from stockwright.connectors.amazon.plans import PLANS, Plan
from stockwright.domain.errors import Misconfigured, Rejected, Throttled, Transient
from stockwright.domain.events import Fact
from stockwright.sdk.connector import Opening
from stockwright.sdk.hostile import Fault, storm
from stockwright.sdk.messages import (
    Applied,
    Delivered,
    DocumentLine,
    Failure,
    InDoubt,
    LevelKey,
    LevelToSend,
    Refused,
    Retry,
    Shipment,
    ShownLevel,
)
from stockwright.sdk.secrets import Secret, resolve_secret
from tests.connectors.amazon_account import QUICK, account, connecting
from tests.connectors.amazon_models import FOLDER, problems_of
from tests.connectors.visiting import NOW

SELLER = {
    "region": "na",
    "seller_id": "A3TH9S8BH6GOGM",
    "marketplaces": ["ATVPDKIKX0DER"],
    "client_id": Secret("id"),
    "client_secret": Secret("secret"),
    "refresh_token": Secret("refresh"),
}
VERSIONS = ("2026-01-01", "v0")
"""Of the Orders API: what is true of one is true of the other."""
MANY = tuple(f"SKU-{n}" for n in range(12))


@pytest.fixture
async def amazon(clock):
    async with account(clock, ("MUG", "PLATE", "A/B c,d", *MANY)) as amazon:
        yield amazon


@pytest.fixture
async def connect(amazon, clock, monkeypatch):
    async with connecting(amazon, clock, monkeypatch) as connect:
        yield connect


def level(listing, quantity, expected=None, version=1):
    return LevelToSend(
        channel="amz", listing=listing, quantity=quantity, version=version, expected=expected
    )


def facts(connection, payloads):
    parts = [part.item for payload in payloads for part in connection.map(payload)]
    assert all(isinstance(part, Fact) for part in parts), parts
    return parts


async def polled(connection, cursor=""):
    """All that a poll tells, until it has no more, and the cursor after it."""
    payloads = []
    for _ in range(200):
        page = await connection.read(cursor)
        payloads += page.payloads
        cursor = page.next_cursor
        if page.complete:
            return payloads, cursor
    raise AssertionError("the poll comes to no end")


# ------------------------------------------------------------ levels by patch


async def test_few_levels_go_by_patch_and_are_read_back(amazon, connect):
    connection = connect()
    levels = [level("MUG", 7), level("A/B c,d", 3), level("PLATE", 1)]
    assert list(await connection.publish(levels)) == [Applied()] * 3
    amazon.show("PLATE", 9)
    keys = [LevelKey(listing=name) for name in ("PLATE", "NONE", "A/B c,d", "MUG")]
    assert list(await connection.read_back(keys)) == [
        ShownLevel(listing="PLATE", quantity=9),
        None,
        ShownLevel(listing="A/B c,d", quantity=3),
        ShownLevel(listing="MUG", quantity=7),
    ]
    assert "createFeed" not in amazon.calls
    assert {"getListingsItem", "searchListingsItems"} <= set(amazon.calls)


async def test_a_listing_amazon_does_not_take_is_refused_alone(amazon, connect):
    amazon.refused["PLATE"] = "90244"
    first, second, third = await connect().publish(
        [level("NONE", 1), level("PLATE", 2), level("MUG", 3)]
    )
    assert (first.reason, second.reason, third) == ("BAD_REQUEST", "90244", Applied())


async def test_stock_at_another_place_is_another_number(amazon, connect):
    connection = connect()
    there = msgspec.structs.replace(level("MUG", 4), location="supply-source-1")
    assert list(await connection.publish([level("MUG", 7), there])) == [Applied()] * 2
    shown = {(one.listing, one.location): one.quantity for one in await connection.snapshot()}
    assert (shown["MUG", ""], shown["MUG", "supply-source-1"]) == (7, 4)


async def test_credentials_that_are_refused_are_for_an_operator(amazon, connect):
    connection = connect(refresh_token=Secret("Atzr|other"))
    with pytest.raises(Misconfigured) as told:
        await connection.publish([level("MUG", 1)])
    assert told.value.setting == "refresh_token"
    assert "Atzr|other" not in str(told.value)


async def test_a_token_that_has_ended_is_replaced(amazon, connect, clock):
    connection = connect()
    await connection.publish([level("MUG", 1)])
    for token in amazon.tokens:
        amazon.tokens[token] = clock.now  # revoked; Amazon says 403
    assert list(await connection.publish([level("MUG", 2)])) == [Applied()]
    assert len(amazon.tokens) == 2


async def test_the_catalogue_is_walked_beyond_what_one_search_pages_through(amazon, connect, clock):
    for n in range(1_150):
        if n % 100 == 0:
            clock.step()
        amazon.add(f"X-{n}", quantity=n)
    amazon.add("BY-AMAZON", quantity=None, fulfilled_by="AMAZON_NA")
    amazon.add("BY-AMAZON-2", quantity=5, fulfilled_by="AMAZON_NA")
    shown = {one.listing: one.quantity for one in await connect(timeout_s=20.0).snapshot()}
    assert len(shown) == 1_150 + 3 + len(MANY)
    assert (shown["X-0"], shown["X-1149"], "BY-AMAZON-2" in shown) == (0, 1149, False)


async def test_listings_made_all_at_once_cannot_be_walked_and_say_so(amazon, connect):
    for n in range(1_000):
        amazon.add(f"X-{n}")
    with pytest.raises(Transient, match="dates 1000 listings alike"):
        await connect(timeout_s=20.0).snapshot()


# ------------------------------------------------------------ levels by feed


async def test_who_asks_while_a_feed_is_looked_at_hears_what_was_found(amazon, connect, clock):
    """Otherwise the second half of a feed waits for another pause, though its report is there."""
    connection = connect(feed_from=3)
    levels = [level(name, 5, expected=0) for name in MANY]
    await connection.publish(levels)
    clock.step(61)
    halves = await asyncio.gather(*(connection.publish(levels[n::2]) for n in (0, 1)))
    assert {type(one) for half in halves for one in half} == {Applied}
    assert amazon.calls.count("getFeed") == 1


async def test_bulk_goes_by_feed_and_each_message_has_its_result(amazon, connect, clock):
    connection = connect(feed_from=3)
    amazon.desk.takes_s = 100
    amazon.refused["SKU-3"] = "90244"
    levels = [level(name, 5, expected=0) for name in (*MANY, "NONE")]
    for result in await connection.publish(levels):
        assert isinstance(result, InDoubt)
        assert (result.taken, result.retry_after_s) == (True, 60.0)
    (feed,) = amazon.desk.feeds.values()
    document = msgspec.json.decode(amazon.desk.documents[feed["inputFeedDocumentId"]])
    assert problems_of("feeds/listings-feed-schema-v2.json", document) == []
    clock.step(61)
    assert all(isinstance(one, InDoubt) for one in await connection.publish(levels[:1]))
    clock.step(61)
    results = {
        one.listing: got for one, got in zip(levels, await connection.publish(levels), strict=True)
    }
    assert (results["SKU-3"].reason, results["NONE"].reason) == ("90244", "8560")
    assert [name for name, one in results.items() if one == Applied()] == [
        name for name in MANY if name != "SKU-3"
    ]
    assert [amazon.shown(name) for name in MANY] == [0 if n == 3 else 5 for n in range(12)]
    report = amazon.desk.documents[f"result-{feed['feedId']}"]
    plain = msgspec.json.decode(gzip.decompress(report))
    assert problems_of("feeds/listings-feed-processing-report-schema-v2.json", plain) == []
    assert amazon.calls.count("createFeed") == 1
    assert amazon.calls.count("getFeed") == 2
    assert "patchListingsItem" not in amazon.calls


async def test_urgent_levels_of_a_bulk_go_by_patch_at_once_zeroes_first(amazon, connect):
    for name in MANY:
        amazon.show(name, 9)
    connection = connect(feed_from=3, patches_at_once=3)
    amazon.desk.takes_s = 100
    bulk = [level(name, 20, expected=9) for name in MANY[4:]]
    urgent = [level(name, n, expected=9) for name, n in zip(MANY, (4, 0, 1, 0), strict=False)]
    results = await connection.publish([*bulk, *urgent])
    assert [isinstance(one, Applied) for one in results[len(bulk) :]] == [False, True, True, True]
    assert [amazon.shown(name) for name in MANY[:4]] == [9, 0, 1, 0]
    amazon.desk.takes_s = 0
    amazon.collect()
    assert [amazon.shown(name) for name in MANY] == [4, 0, 1, 0, *[20] * 8]


async def test_a_decrease_does_not_wait_for_a_feed_at_work_with_more(amazon, connect, clock):
    connection = connect(feed_from=3)
    amazon.desk.takes_s = 100
    await connection.publish([level(name, 20) for name in MANY])
    (result,) = await connection.publish([level("SKU-0", 2)])
    assert amazon.shown("SKU-0") == 2
    assert isinstance(result, InDoubt)
    assert result.taken, "the feed may still write 20 over the 2"
    clock.step(101)
    amazon.collect()
    assert amazon.shown("SKU-0") == 20
    assert list(await connection.publish([level("SKU-0", 2)])) == [Applied()]
    assert amazon.shown("SKU-0") == 2


async def test_in_a_bulk_the_decrease_below_a_feed_at_work_is_urgent(amazon, connect):
    connection = connect(feed_from=3)
    amazon.desk.takes_s = 100
    await connection.publish([level(name, 20) for name in MANY])
    await connection.publish([level(name, 30 if n else 2) for n, name in enumerate(MANY)])
    assert [amazon.shown(name) for name in MANY] == [2, *[0] * 11]


@pytest.mark.parametrize("mood", ["stuck", "queued"])
async def test_a_feed_that_does_not_end_holds_up_nothing(amazon, connect, clock, mood):
    connection = connect(feed_from=3, feed_deadline_s=300.0)
    amazon.desk.mood = mood
    stuck = [level(name, 20) for name in MANY[:6]]
    await connection.publish(stuck)
    amazon.desk.mood = "reads"
    later = [level(name, 30) for name in MANY[6:]]
    await connection.publish(later)
    clock.step(61)
    assert list(await connection.publish(later)) == [Applied()] * 6
    assert all(one.taken for one in await connection.publish(stuck))
    clock.step(240)
    results = list(await connection.publish(stuck))
    if mood == "queued":
        # Cancelled: none of it was applied, and it surely never will be.
        assert all(isinstance(one, Retry) for one in results)
        assert next(iter(amazon.desk.feeds.values()))["processingStatus"] == "CANCELLED"
        results = list(await connection.publish(stuck))
    assert all(isinstance(one, InDoubt) for one in results), "in another feed by now"
    assert len(amazon.desk.feeds) == 3
    clock.step(61)
    assert list(await connection.publish(stuck)) == [Applied()] * 6
    assert [amazon.shown(name) for name in MANY] == [20] * 6 + [30] * 6


async def test_a_feed_that_broke_off_leaves_doubt_and_is_made_anew(amazon, connect, clock):
    connection = connect(feed_from=3)
    amazon.desk.mood = "fatal"
    levels = [level(name, 20) for name in MANY]
    await connection.publish(levels)
    clock.step(61)
    for result in await connection.publish(levels):
        assert (result.reason, result.taken) == ("feed_fatal", False)
    amazon.desk.mood = "reads"
    await connection.publish(levels)
    clock.step(61)
    assert list(await connection.publish(levels)) == [Applied()] * 12


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize(
    "kind", ["server_error", "applied_then_error", "dropped", "garbage", "throttled"]
)
async def test_no_claim_about_a_feed_is_false_whichever_call_fails(
    amazon, connect, clock, kind, at
):
    """The calls: a document, its upload, the feed; then how it does, and its report."""
    connection = connect(feed_from=3)
    levels = [level(name, 5) for name in MANY]
    await connection.publish([level("MUG", 1)])  # the token is there
    amazon.faults.plan(*[Fault(kind="slow")] * at, Fault(kind=kind, seconds=0.0))
    for _ in range(8):
        results = await connection.publish(levels)
        amazon.collect()
        for one, result in zip(levels, results, strict=True):
            assert amazon.shown(one.listing) == 5 or not isinstance(result, Applied)
            assert amazon.shown(one.listing) == 0 or not isinstance(result, Refused | Retry)
        if all(isinstance(one, Applied) for one in results):
            break
        clock.step(61)
    assert all(isinstance(one, Applied) for one in results)


async def test_where_no_feed_may_be_made_some_go_by_patch_meanwhile(
    amazon, connect, clock, monkeypatch
):
    monkeypatch.setitem(PLANS, "createFeed", Plan(0.0083, 2))
    amazon.plans = {**QUICK, "createFeed": Plan(0.0083, 2)}
    connection = connect(feed_from=3, patches_at_once=5)
    await connection.publish([level(name, 5) for name in MANY])
    results = await connection.publish([level(name, 6) for name in MANY])
    assert [amazon.shown(name) for name in MANY].count(6) == 5
    waits = [one for one in results if isinstance(one, Retry)]
    assert len(waits) == 7
    # They do not wait two minutes for a feed: the next five are patched meanwhile.
    assert all(one.retry_after_s <= 1 for one in waits)
    await connection.publish([level(name, 6) for name in MANY if amazon.shown(name) != 6])
    assert [amazon.shown(name) for name in MANY].count(6) == 10


# ------------------------------------------------------------ orders


@pytest.mark.parametrize("version", VERSIONS)
async def test_pending_orders_claim_and_changes_follow(amazon, connect, clock, version):
    connection = connect(orders_api=version)
    order = await amazon.sell([("MUG", 3), ("PLATE", 1)])
    payloads, cursor = await polled(connection)
    assert [(f.kind, f.item, f.quantity) for f in facts(connection, payloads)] == [
        ("channel_order", "MUG", 3),
        ("channel_order", "PLATE", 1),
    ]
    assert payloads[0].raw_key == order
    assert b"buyer@" not in payloads[0].body
    clock.step(400)
    await amazon.change_line(order, 0, 2)
    payloads, cursor = await polled(connection, cursor)
    first, _ = facts(connection, payloads)
    assert (first.quantity, first.revision) == (2, int(clock.now.timestamp()))
    clock.step(400)
    await amazon.change(order, "Canceled")
    payloads, cursor = await polled(connection, cursor)
    assert [(f.kind, f.quantity) for f in facts(connection, payloads)] == [
        ("channel_cancel", EVERY_UNIT)
    ] * 2
    assert (await polled(connection, cursor))[0] == []


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_first_poll_asks_for_what_is_still_to_be_shipped(amazon, connect, clock, version):
    old = [await amazon.sell([("MUG", 1)], status) for status in ("Shipped", "Unshipped")]
    await amazon.sell([("MUG", 1)], "Unshipped", fulfilled_by="AFN")
    clock.step(3600)
    payloads, _ = await polled(connect(orders_api=version))
    assert [one.raw_key for one in payloads] == [old[1]]


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_watermark_is_the_time_up_to_which_amazon_listed(amazon, connect, clock, version):
    amazon.lag_s = 120.0
    connection = connect(orders_api=version)
    page = await connection.read("")
    assert (page.complete, page.started_at) == (True, NOW - dt.timedelta(seconds=120))
    late = await amazon.sell([("MUG", 1)])
    page = await connection.read(page.next_cursor)
    assert page.payloads == ()
    clock.step(121)
    page = await connection.read(page.next_cursor)
    assert [one.raw_key for one in page.payloads] == [late]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("seed", range(8))
async def test_no_order_is_missed_while_orders_change_between_the_pages(
    amazon, connect, clock, seed, version
):
    chance = random.Random(seed)
    amazon.order_desk.page_size = chance.choice((1, 2, 5))
    connection = connect(orders_api=version, items_at_once=chance.choice((1, 3)), overlap_s=5)
    told: dict[str, object] = {}
    cursor = ""

    async def something_happens():
        for _ in range(chance.randint(0, 3)):
            clock.step(chance.choice((0, 0, 1, 9)))
            if not amazon.orders or chance.random() < 0.5:
                await amazon.sell([("MUG", 1), ("PLATE", 2)])
            else:
                states = ("Unshipped", "Canceled")
                await amazon.change(chance.choice(list(amazon.orders)), chance.choice(states))

    async def read():
        nonlocal cursor
        page = await connection.read(cursor)
        cursor = page.next_cursor
        for payload in page.payloads:
            head = order_in(msgspec.json.decode(payload.body))
            told[head.id] = head.form.state(head)
        return page.complete

    for _ in range(25):
        await something_happens()
        await read()
    for _ in range(2):
        clock.step()
        while not await read():
            pass
    assert told == {number: order["OrderStatus"] for number, order in amazon.orders.items()}


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_page_whose_token_has_ended_begins_the_pass_anew(amazon, connect, version):
    amazon.order_desk.page_size = 1
    connection = connect(orders_api=version)
    orders = [await amazon.sell([("MUG", 1)]) for _ in range(3)]
    page = await connection.read("")
    amazon.order_desk_v0.lists.clear()
    amazon.order_desk.pages.clear()
    payloads, _ = await polled(connection, page.next_cursor)
    assert {one.raw_key for one in (*page.payloads, *payloads)} == set(orders)


async def test_an_order_amazon_lists_and_does_not_have_is_parked_alone(amazon, connect):
    connection = connect(orders_api="v0")
    lost, other = [await amazon.sell([("MUG", 1)]) for _ in range(2)]
    del amazon.lines[lost]
    payloads, _ = await polled(connection)
    parts = {one.raw_key: connection.map(one)[0].item for one in payloads}
    assert isinstance(parts[lost], Failure)
    assert parts[lost].path == "$.items"
    assert isinstance(parts[other], Fact)


async def test_a_poll_keeps_what_it_has_where_the_plan_of_items_is_used_up(
    amazon, connect, monkeypatch
):
    monkeypatch.setitem(PLANS, "getOrderItems", Plan(0.001, 3))
    amazon.plans = {**QUICK, "getOrderItems": Plan(0.001, 3)}
    connection = connect(orders_api="v0")
    for _ in range(5):
        await amazon.sell([("MUG", 1)])
    page = await connection.read("")
    assert (len(page.payloads), page.complete) == (2, False)
    with pytest.raises(Throttled):
        await connection.read(page.next_cursor)


async def test_what_was_listed_is_not_asked_for_again_while_the_items_wait(
    amazon, connect, monkeypatch
):
    """The scarce call is the list: one a minute. It must not go on each try for an item."""
    monkeypatch.setitem(PLANS, "getOrderItems", Plan(0.001, 3))
    amazon.plans = {**QUICK, "getOrderItems": Plan(0.001, 1)}
    connection = connect(orders_api="v0")
    await amazon.sell([("MUG", 1)])
    _, cursor = await polled(connection)
    await amazon.sell([("MUG", 2)])
    page = await connection.read(cursor)
    assert (page.payloads, page.complete) == ((), False)
    lists = amazon.calls.count("getOrders")
    for _ in range(3):
        with pytest.raises(Throttled):
            await connection.read(page.next_cursor)
    assert amazon.calls.count("getOrders") == lists
    assert page.started_at <= NOW


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("cursor", ["x", "[]", '{"page": "x"}'])
async def test_a_cursor_of_somebody_else_is_told(connect, cursor, version):
    with pytest.raises(Transient):
        await connect(orders_api=version).read(cursor)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_notice_and_the_poll_tell_the_same_facts(amazon, connect, version):
    connection = connect(orders_api=version)
    sold = await amazon.sell([("MUG", 3), ("PLATE", 1)])
    gone = await amazon.sell([("MUG", 2)])
    await amazon.change(gone, "Canceled")
    heard = []
    for number in (sold, gone):
        notice = amazon.notice(number)
        path = "notifications/OrderChangeNotification.json"
        assert problems_of(path, notice["detail"]) == []
        body = msgspec.json.encode(notice)
        heard.append(connection.receive({"X-Api-Key": amazon.secret.reveal()}, body))
    assert [one.raw_key for one in heard] == [sold, gone]
    rest = msgspec.json.encode({"since": "2026-01-01T00:00:00Z"}).decode()
    payloads, _ = await polled(connection, rest)
    assert facts(connection, heard) == facts(connection, payloads)
    told = facts(connection, storm([*heard, *payloads], random.Random(1)))
    assert len({(f.document, f.line, f.kind, f.revision) for f in told}) == 3


EXAMPLES = [
    (path.stem, example)
    for path in sorted((FOLDER / "notifications").glob("*.json"))
    for example in json.loads(path.read_bytes()).get("examples", [])
]


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_amazons_own_examples_of_notices_are_read(name, example):
    settings = {**SELLER, "webhook_secrets": [Secret("key")]}
    parsed = CONNECTOR.declaration.parse_settings(settings, resolve_secret)
    connection = CONNECTOR.open(Opening(system="amz"), parsed)
    for notice in (example, {"detail-type": name, "detail": example}):
        body = msgspec.json.encode(notice)
        payload = connection.receive({"x-api-key": "key"}, body)
        told = [(f.kind, f.order, f.item, f.quantity) for f in facts(connection, [payload])]
        order = ("channel_order", "903-8868176-2219830", "SellerSKUID1", 10)
        assert told == ([order] if name == "OrderChangeNotification" else [])


def test_there_are_examples_of_nine_kinds_of_notices():
    assert len({name for name, _ in EXAMPLES}) == 9


async def test_only_who_knows_a_key_may_bring_a_notice(amazon, connect):
    connection = connect()
    for headers in ({}, {"x-api-key": "other"}, {"x-api-key": "ä"}):
        with pytest.raises(Rejected) as told:
            connection.receive(headers, b"{}")
        assert told.value.reason == "signature"
    with pytest.raises(Rejected) as told:
        connect(max_body_bytes=1024).receive({}, b"x" * 1025)
    assert told.value.reason == "too_large"
    with pytest.raises(Misconfigured):
        connect(webhook_secrets=[]).receive({"x-api-key": ""}, b"{}")


# ------------------------------------------------------------ documents


def shipment(order, lines, key="S-1", **more):
    return Shipment(
        key=key,
        order=order,
        lines=tuple(DocumentLine(line=line, quantity=units) for line, units in lines),
        shipped_at=NOW,
        **{"carrier": "DHL", "tracking": "JD014600003", **more},
    )


async def test_a_shipment_is_told_once_however_often_it_is_told(amazon, connect):
    connection = connect(carriers={"DHL": "DHL eCommerce"})
    order = await amazon.sell([("MUG", 3)], "Unshipped")
    line = amazon.lines[order][0]["OrderItemId"]
    for _ in range(2):
        assert isinstance(await connection.submit(shipment(order, [(line, 1)])), Delivered)
    (package,) = amazon.packages[order].values()
    assert (package["carrierCode"], package["trackingNumber"]) == ("DHL eCommerce", "JD014600003")
    assert amazon.orders[order]["OrderStatus"] == "PartiallyShipped"
    other = shipment(order, [(line, 2)], key="S-2", carrier="Own van")
    assert isinstance(await connection.submit(other), Delivered)
    assert amazon.orders[order]["OrderStatus"] == "Shipped"
    names = [one.get("carrierName") for one in amazon.packages[order].values()]
    assert names == [None, "Own van"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["applied_then_error", "applied_then_dropped", "throttled"])
async def test_a_shipment_whose_answer_was_lost_is_told_once(amazon, connect, kind, version):
    connection = connect(orders_api=version, marketplaces=["A1PA6795UKMFR9", "ATVPDKIKX0DER"])
    order = await amazon.sell([("MUG", 1)], "Unshipped")
    line = amazon.lines[order][0]["OrderItemId"]
    for at in (0, 1):
        amazon.faults.plan(*[Fault(kind="slow")] * at, Fault(kind=kind, seconds=0.0))
        results = [await connection.submit(shipment(order, [(line, 1)]))]
        while not isinstance(results[-1], Delivered):
            assert isinstance(results[-1], InDoubt | Retry)
            results.append(await connection.submit(shipment(order, [(line, 1)])))
        amazon.faults.clear()
    assert len(amazon.packages[order]) == 1


async def test_what_amazon_cannot_take_is_refused_with_its_reason(amazon, connect):
    connection = connect()
    order = await amazon.sell([("MUG", 1)], "Unshipped")
    line = amazon.lines[order][0]["OrderItemId"]
    for document, reason in (
        (shipment("902-0000000-0000000", [(line, 1)]), "unknown_order"),
        (shipment(order, [("1", 1)]), "InvalidInput"),
        (shipment(order, [(line, 1)], tracking=""), "tracking_required"),
        (shipment("1' or '1", [(line, 1)]), "unknown_order"),
    ):
        result = await connection.submit(document)
        assert isinstance(result, Refused)
        assert result.reason == reason


# ------------------------------------------------------------ plans


async def test_amazon_never_gets_more_calls_than_its_plan(clock):
    """Real plans, real time: fifteen patches and as many questions, none of them throttled."""
    amazon = Sandbox(tuple(f"S-{n}" for n in range(15)), clock=clock)
    await amazon.start()
    given = {**amazon.settings(), "timeout_s": 10.0}
    parsed = CONNECTOR.declaration.parse_settings(given, resolve_secret)
    connection = CONNECTOR.open(Opening(system="amz", clock=clock), parsed)
    levels = [level(f"S-{n}", 3) for n in range(15)]
    assert list(await connection.publish(levels)) == [Applied()] * 15
    assert amazon.throttled == []
    await connection.close()
    await amazon.stop()


async def test_who_was_too_fast_rests(amazon, connect, clock):
    connection = connect(timeout_s=30.0)
    amazon.plans = {**QUICK, "patchListingsItem": Plan(2, 1)}
    results = await connection.publish([level(name, 3) for name in MANY])
    assert any(isinstance(one, Retry) for one in results)
    again = [one for one, got in zip(MANY, results, strict=True) if isinstance(got, Retry)]
    throttled = len(amazon.throttled)
    # A call may reach the partner a little earlier after the last one than it was sent.
    for _ in range(2):
        (result,) = await connection.publish([level(again[0], 3)])
        if result == Applied():
            break
        clock.step(5)
    assert result == Applied()
    assert len(amazon.throttled) <= throttled + 1, "the answer told the rate, and it was kept to"
