"""Medusa against its sandbox: gross levels, polling that misses nothing, webhooks, documents."""

import datetime as dt
import random
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from stockwright.connectors.medusa import CONNECTOR, Sandbox
from stockwright.connectors.medusa.orders import CHANGE_FIELDS, FIELDS
from stockwright.connectors.medusa.sandbox_shop import PLACE, SALES_CHANNEL, Refusal
from stockwright.domain.errors import Misconfigured, Rejected, Transient
from stockwright.sdk.hostile import Fault, Faults, storm
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
from stockwright.sdk.signatures import signature_of
from tests.connectors import medusa_answers as answers
from tests.connectors.visiting import NOW, connecting, facts, level, polled

SUBSCRIBER = Path(CONNECTOR.cases).parent / "subscriber.js"


@pytest.fixture
async def shop(clock):
    shop = Sandbox(("MUG", "PLATE", "SHIRT"), clock=clock)
    await shop.start()
    for sku in ("MUG", "PLATE", "SHIRT"):
        shop.show(sku, 100)
    yield shop
    await shop.stop()


@pytest.fixture
async def connect(shop, clock):
    async with connecting(CONNECTOR, shop, clock, settle_s=0) as connect:
        yield connect


def told(found):
    return [(fact.kind, fact.quantity) for fact in found]


def writes(shop):
    return [path for method, path in shop.calls if method == "POST" and path.endswith("/batch")]


# ------------------------------------------------------------ settings


@pytest.mark.parametrize(
    ("change", "ends"),
    [
        ({"api_key": None}, "api_key, or email and password"),
        ({"email": "a@example.com"}, "api_key, or email and password"),
        ({"api_key": None, "email": "a@example.com"}, "api_key, or email and password"),
        ({"location": None}, "where levels are shown"),
    ],
)
async def test_credentials_and_a_place_are_asked_for_together(connect, change, ends):
    with pytest.raises(Misconfigured, match=ends):
        connect(**change)


async def test_an_email_and_a_password_are_exchanged_for_a_token(shop, connect):
    signed_in = {"api_key": None, "email": "admin@example.com", "password": Secret("sandbox")}
    connection = connect(**signed_in)
    await connection.publish([level("MUG", 3)])
    await connection.publish([level("MUG", 4)])
    assert shop.shown("MUG") == 4
    assert [path for _, path in shop.calls].count("/auth/user/emailpass") == 1
    with pytest.raises(Misconfigured) as wrong:
        await connect(**{**signed_in, "password": Secret("guess")}).publish([level("MUG", 1)])
    assert wrong.value.setting == "password"


# ------------------------------------------------------------ levels


async def test_a_batch_is_one_call_and_names_are_looked_up_once(shop, connect):
    connection = connect()
    levels = [level("MUG", 7), level("SHIRT", 3), level("PLATE", 1)]
    assert list(await connection.publish(levels)) == [Applied(shown=n) for n in (7, 3, 1)]
    await connection.publish(levels)
    assert len(writes(shop)) == 2
    assert [path for method, path in shop.calls if method == "GET"] == ["/admin/inventory-items"]


async def test_many_names_are_asked_for_in_lists_the_server_can_read(shop, connect):
    names = [f"S-{n}" for n in range(150)]
    for name in names:
        shop.shop.add(name)
    results = await connect().publish([level(name, 5) for name in names])
    assert results == [Applied(shown=5)] * 150
    assert len([path for method, path in shop.calls if method == "GET"]) == 2


async def test_a_listing_the_shop_does_not_know_is_refused_alone(shop, connect):
    first, second = await connect().publish([level("NONE", 1), level("MUG", 2)])
    assert isinstance(first, Refused)
    assert first.reason == "unknown_listing"
    assert second == Applied(shown=2)


async def test_an_item_that_is_new_at_a_place_is_stocked_there_once(shop, connect):
    shop.shop.add("NEW", places=())
    connection = connect()
    for units in (4, 5):
        assert list(await connection.publish([level("NEW", units)])) == [Applied(shown=units)]
    assert shop.shown("NEW") == 5


async def test_levels_of_single_places_go_to_their_own_stock_location(shop, connect):
    shop.shop.add("TWO", places=(PLACE, "sloc_SECOND"))
    connection = connect(locations={"second": "sloc_SECOND"})
    sent = [level("TWO", 4), level("TWO", 6, location="second"), level("TWO", 1, location="x")]
    first, second, third = await connection.publish(sent)
    assert (first, second) == (Applied(shown=4), Applied(shown=6))
    assert isinstance(third, Refused)
    assert third.reason == "unknown_location"
    shown = {(one.listing, one.location): one.quantity for one in await connection.snapshot()}
    assert shown["TWO", ""] == 4
    assert shown["TWO", "second"] == 6


async def test_one_item_that_is_gone_does_not_hold_up_the_others_of_its_batch(shop, connect):
    connection = connect()
    names = ("MUG", "PLATE", "SHIRT")
    await connection.publish([level(name, 5) for name in names])
    del shop.shop.items[shop.shop.item_of("PLATE")["id"]]
    first, second, third = await connection.publish([level(name, 6) for name in names])
    assert (first, third) == (Applied(shown=6), Applied(shown=6))
    assert isinstance(second, Refused)
    assert second.reason == "unknown_listing"


async def test_an_item_that_was_made_anew_is_written_at_once(shop, connect):
    connection = connect()
    await connection.publish([level("MUG", 2)])
    del shop.shop.items[shop.shop.item_of("MUG")["id"]]
    shop.shop.add("MUG")
    assert list(await connection.publish([level("MUG", 3)])) == [Applied(shown=3)]


@pytest.mark.parametrize("by", ["item", "variant"])
async def test_listings_may_be_named_by_id(shop, connect, by):
    connection = connect(listings=by)
    rows = shop.shop.items if by == "item" else shop.shop.variants
    name = next(one["id"] for one in rows.values() if one["sku"] == "MUG")
    good, bad = await connection.publish([level(name, 9), level("MUG", 9)])
    assert good == Applied(shown=9)
    assert isinstance(bad, Refused)
    assert {one.listing for one in await connection.snapshot()} == set(rows)
    order = await shop.sell([("MUG", 2)])
    payloads, _ = await polled(connection)
    assert [(fact.order, fact.item) for fact in facts(connection, payloads)] == [(order, name)]


async def test_a_variant_of_several_items_is_no_level_of_its_own(shop, connect):
    kit = next(one for one in shop.shop.variants.values() if one["sku"] == "MUG")
    kit["inventory_items"] = [
        {"inventory_item_id": item, "required_quantity": 1} for item in list(shop.shop.items)[:2]
    ]
    (told_,) = await connect(listings="variant").publish([level(kit["id"], 1)])
    assert isinstance(told_, Refused)
    assert "kit" in told_.message


async def test_a_number_below_what_is_reserved_is_taken(shop, connect):
    await shop.sell([("MUG", 40)])
    assert list(await connect().publish([level("MUG", 10)])) == [Applied(shown=10)]
    assert shop.available("MUG") == -30


async def test_two_servers_oversell_and_every_order_is_told(shop, connect):
    shop.show("MUG", 3)
    with pytest.raises(Refusal):
        await shop.sell([("MUG", 4)])
    for _ in range(4):
        await shop.sell([("MUG", 1)], oversell=True)
    connection = connect()
    payloads, _ = await polled(connection)
    assert sum(fact.quantity for fact in facts(connection, payloads)) == 4
    assert shop.available("MUG") == -1


async def test_what_is_in_stock_is_read_back_and_told_as_a_snapshot(shop, connect):
    connection = connect()
    await shop.sell([("MUG", 7)])
    shop.show("SHIRT", 9)
    keys = [LevelKey(listing=name) for name in ("SHIRT", "NONE", "MUG")]
    keys.append(LevelKey(listing="MUG", location="elsewhere"))
    assert list(await connection.read_back(keys)) == [
        ShownLevel(listing="SHIRT", quantity=9),
        None,
        ShownLevel(listing="MUG", quantity=100),
        None,
    ]
    shown = {one.listing: one.quantity for one in await connection.snapshot()}
    assert shown == {"MUG": 100, "PLATE": 100, "SHIRT": 9}


async def test_a_key_that_is_refused_is_for_an_operator(shop, connect):
    with pytest.raises(Misconfigured) as wrong:
        await connect(api_key=Secret("sk_wrong")).publish([level("MUG", 1)])
    assert wrong.value.setting == "api_key"
    assert "sk_wrong" not in str(wrong.value)


async def test_an_address_without_an_admin_api_is_for_an_operator(shop, connect):
    base = shop.settings()["base_url"]
    connection = connect(base_url=f"{base}/shop")
    for act in (connection.snapshot(), connection.publish([level("MUG", 1)]), connection.read("")):
        with pytest.raises(Misconfigured) as wrong:
            await act
        assert wrong.value.setting == "base_url"


async def test_where_the_shop_cannot_be_asked_nothing_was_done(shop, connect):
    connection = connect()
    shop.faults.plan(Fault(kind="server_error"))
    (result,) = await connection.publish([level("MUG", 4)])
    assert isinstance(result, Retry)
    assert shop.shown("MUG") == 100


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
    """Many share a moment; between any two pages some are sold, edited or cancelled."""
    chance = random.Random(seed)
    connection = connect(page_size=chance.choice((1, 2, 3, 7)), overlap_s=5)
    heard: dict[str, tuple[str, int]] = {}
    cursor = ""

    async def something_happens():
        for _ in range(chance.randint(0, 3)):
            clock.step(chance.choice((0, 0, 0, 0.001, 9)))
            living = [one["id"] for one in shop.shop.orders.values() if one["status"] != "canceled"]
            if not living or chance.random() < 0.5:
                await shop.sell([("MUG", 1), ("SHIRT", 2)])
            elif chance.random() < 0.5:
                await shop.cancel(chance.choice(living))
            else:
                number = chance.choice(living)
                line = shop.shop.orders[number]["items"][0]["id"]
                await shop.edit_line(number, line, chance.randint(1, 3))

    async def read():
        nonlocal cursor
        page = await connection.read(cursor)
        cursor = page.next_cursor
        for payload in page.payloads:
            order = msgspec.json.decode(payload.body)["order"]
            heard[order["id"]] = (order["status"], order["version"])
        return page.complete

    for _ in range(30):
        await something_happens()
        await read()
    for _ in range(2):  # the last pass began before the last change
        while not await read():
            pass
    expected = {n: (one["status"], one["version"]) for n, one in shop.shop.orders.items()}
    assert heard == expected


async def test_an_order_written_down_late_is_found_by_the_next_poll(shop, connect, clock):
    connection = connect(overlap_s=60)
    await shop.sell([("MUG", 1)])
    _, cursor = await polled(connection)
    clock.step(-30)
    late = await shop.sell([("PLATE", 1)])
    payloads, _ = await polled(connection, cursor)
    assert [fact.order for fact in facts(connection, payloads)] == [late]


async def test_an_order_whose_checkout_fails_is_never_told(shop, connect, clock):
    connection = connect(settle_s=10)
    first = await shop.sell([("MUG", 1)])
    clock.step(8)
    failing = await shop.sell([("MUG", 1)])
    clock.step(4)
    page = await connection.read("")
    assert [fact.order for fact in facts(connection, page.payloads)] == [first]
    assert page.started_at == clock.now - dt.timedelta(seconds=10)
    del shop.shop.orders[failing]
    clock.step(10)
    last = await shop.sell([("MUG", 1)])
    clock.step(10)
    payloads, _ = await polled(connection, page.next_cursor)
    assert [fact.order for fact in facts(connection, payloads)] == [last]


async def test_an_edit_is_a_later_revision_and_a_line_taken_off_is_cancelled(shop, connect, clock):
    connection = connect()
    order = await shop.sell([("MUG", 3), ("SHIRT", 2)])
    mug, shirt = (line["id"] for line in shop.shop.orders[order]["items"])
    payloads, cursor = await polled(connection)
    clock.step()
    await shop.edit_line(order, mug, 2)
    clock.step()
    await shop.edit_line(order, shirt, 0)
    payloads, _ = await polled(connection, cursor)
    found = facts(connection, payloads)
    assert told(found) == [("channel_order", 2), ("channel_order", 2), ("channel_cancel", 2)]
    assert [(fact.line, fact.revision) for fact in found] == [(mug, 3), (shirt, 2), (shirt, 0)]
    assert found[2].occurred_at == clock.now


@pytest.mark.parametrize("path", ["/changes", "/line-items"])
async def test_what_became_of_an_order_is_not_passed_over_where_the_shop_says_nothing(clock, path):
    shop = Sandbox(("MUG", "SHIRT"), clock=clock)
    shop.faults = Faults(path)
    await shop.start()
    order = await shop.sell([("MUG", 3), ("SHIRT", 2)], oversell=True)
    await shop.edit_line(order, shop.shop.orders[order]["items"][1]["id"], 0)
    async with connecting(CONNECTOR, shop, clock, settle_s=0) as connect:
        connection = connect()
        shop.faults.plan(Fault(kind="swallowed"))
        with pytest.raises(Transient):
            await connection.read("")
        payloads, _ = await polled(connection)
        found = facts(connection, payloads)
        assert told(found) == [("channel_order", 3), ("channel_order", 2), ("channel_cancel", 2)]
    await shop.stop()


async def test_a_cancelled_order_is_cancelled_in_whole(shop, connect, clock):
    connection = connect()
    order = await shop.sell([("MUG", 3)])
    clock.step()
    await shop.cancel(order)
    payloads, _ = await polled(connection)
    assert told(facts(connection, payloads)) == [("channel_order", 3), ("channel_cancel", 3)]


async def test_goods_received_back_are_told_each_time_with_their_place(shop, connect, clock):
    connection = connect(locations={"main": PLACE})
    order = await shop.sell([("MUG", 3)])
    (line,) = (one["id"] for one in shop.shop.orders[order]["items"])
    clock.step()
    first = await shop.receive_back(order, line, 1)
    clock.step()
    second = await shop.receive_back(order, line, 1, damaged=True)
    payloads, _ = await polled(connection)
    back = [one for one in facts(connection, payloads) if one.kind == "return_receipt"]
    assert [(one.document, one.quantity, one.location) for one in back] == [
        (first, 1, "main"),
        (second, 1, "main"),
    ]
    assert [one.reason for one in back] == ["", "damaged"]
    assert {(one.order, one.order_line) for one in back} == {(order, line)}
    quiet = connect(returns=False)
    assert [fact.kind for fact in facts(quiet, payloads)] == ["channel_order"]
    unset = connect()
    back = [one for one in facts(unset, payloads) if one.kind == "return_receipt"]
    assert {one.location for one in back} == {PLACE}, "waits until the shop's own id is bound"


async def test_orders_of_other_sales_channels_are_left_out(shop, connect):
    await shop.sell([("MUG", 1)])
    other = connect(sales_channels=["sc_OTHER"])
    assert (await polled(other))[0] == []
    assert other.map(connect()._payload(shop.message(next(iter(shop.shop.orders))), {})) == []
    ours = connect(sales_channels=["sc_OTHER", SALES_CHANNEL])
    assert len((await polled(ours))[0]) == 1


async def test_lines_without_stock_and_drafts_say_nothing(shop, connect):
    connection = connect()
    order = await shop.sell([("MUG", 1), ("SHIRT", 1)])
    first, second = shop.shop.orders[order]["items"]
    first["variant"]["manage_inventory"] = False
    second["variant_id"] = second["variant_sku"] = None
    payloads, _ = await polled(connection)
    assert facts(connection, payloads) == []
    draft = shop.message(order).replace(b'"pending"', b'"draft"')
    assert connection.map(connection._payload(draft, {})) == []


async def test_webhook_and_poll_tell_the_same_facts(shop, connect, clock):
    connection = connect(locations={"main": PLACE})
    order = await shop.sell([("MUG", 3), ("SHIRT", 1)])
    line = shop.shop.orders[order]["items"][0]["id"]
    clock.step()
    await shop.receive_back(order, line, 2)
    body = shop.message(order)
    headers = {
        "X-Stockwright-Signature": f"sha256={signature_of(body, shop.secret, 'hex')}",
        "X-Medusa-Event": "order.return_received",
    }
    payload = connection.receive(headers, body)
    assert payload.raw_key == order
    payloads, _ = await polled(connection)
    assert facts(connection, [payload]) == facts(connection, payloads)
    delivered = storm([payload, *payloads], random.Random(1))
    keys = {(f.document, f.line, f.kind, f.revision) for f in facts(connection, delivered)}
    assert len(keys) == 3


async def test_only_what_was_signed_is_taken(shop, connect):
    connection = connect()
    body = b'{"order": {}}'
    good = signature_of(body, shop.secret, "hex")
    for given in ("", good, f"sha256={good[:-2]}00", "sha256=xyz"):
        with pytest.raises(Rejected) as refused:
            connection.receive({"X-Stockwright-Signature": given}, body)
        assert refused.value.reason == "signature"
    with pytest.raises(Rejected) as refused:
        connect(max_body_bytes=1024).receive({}, b"x" * 1025)
    assert refused.value.reason == "too_large"


@pytest.mark.parametrize("cursor", ["x", "[]", '{"page": "x"}'])
async def test_a_cursor_of_somebody_else_is_told(connect, cursor):
    with pytest.raises(Transient):
        await connect().read(cursor)


async def test_the_sandbox_answers_in_the_shapes_of_a_real_server(shop, connect):
    """`cases/answers` were recorded from Medusa 2.18.0."""
    connection = connect()
    order = await shop.sell([("MUG", 3), ("SHIRT", 1)])
    first, second = (line["id"] for line in shop.shop.orders[order]["items"])
    await connection.submit(shipment(order, [(first, 2)], carrier=""))
    await shop.capture(order)
    units = (DocumentLine(line=first, quantity=1),)
    await connection.submit(Refund(key="R-1", order=order, lines=units))
    await shop.edit_line(order, second, 0)
    await shop.receive_back(order, first, 1)
    item = shop.shop.item_of("MUG")["id"]
    found = await answers.collect(connection._shop, order, item, PLACE)
    assert set(found) == set(answers.NAMES)
    odd = {name: list(answers.strange(one, answers.recorded(name))) for name, one in found.items()}
    assert [place for places in odd.values() for place in places] == []
    assert found["unknown_level"]["reason"] == answers.recorded("unknown_level")["reason"]


def test_the_subscriber_asks_for_what_the_poll_asks_for():
    text = SUBSCRIBER.read_text(encoding="utf-8")
    for name, fields in (("ORDER", FIELDS), ("CHANGE", CHANGE_FIELDS)):
        listed = text.split(f"const {name} = [")[1].split("]")[0]
        words = [word.strip().strip('"') for word in listed.split(",") if word.strip()]
        # The same of all fields of a line, in the two spellings of the shop.
        assert [word.replace("items.*", "*items") for word in words] == fields.split(",")


def test_the_page_carries_the_subscriber_as_it_is():
    page = Path(__file__).parents[2] / "docs" / "reference" / "connectors" / "medusa.md"
    assert SUBSCRIBER.read_text(encoding="utf-8") in page.read_text(encoding="utf-8")


# ------------------------------------------------------------ documents


def shipment(order, lines, key="S-1", **more):
    given = {"carrier": "DHL", "tracking": "JD1", "tracking_url": "https://dhl.example/JD1"}
    return Shipment(
        key=key,
        order=order,
        lines=tuple(DocumentLine(line=line, quantity=units) for line, units in lines),
        shipped_at=NOW,
        **{**given, **more},
    )


async def sold(shop, units=3):
    order = await shop.sell([("MUG", units)])
    return order, shop.shop.orders[order]["items"][0]["id"]


async def test_a_shipment_is_told_once_with_its_tracking(shop, connect):
    connection = connect()
    order, line = await sold(shop)
    results = [await connection.submit(shipment(order, [(line, 2)])) for _ in range(2)]
    (made,) = shop.shop.orders[order]["fulfillments"]
    assert results == [Delivered(reference=made["id"])] * 2
    assert [label["tracking_number"] for label in made["labels"]] == ["JD1"]
    assert made["metadata"]["carrier"] == "DHL"
    assert shop.shown("MUG") == 98, "the shop takes what it packs out of its stock itself"
    assert shop.available("MUG") == 97


async def test_a_document_that_takes_too_long_is_in_doubt_and_told_once(shop, connect):
    connection = connect(timeout_s=4.0)
    order, line = await sold(shop)
    shop.faults.plan(*[Fault(kind="slow", seconds=2.4)] * 2)
    assert isinstance(await connection.submit(shipment(order, [(line, 1)])), InDoubt)
    shop.faults.clear()
    assert isinstance(await connection.submit(shipment(order, [(line, 1)])), Delivered)
    assert len(shop.shop.orders[order]["fulfillments"]) == 1


async def test_a_shipment_of_more_than_is_open_is_refused(shop, connect):
    order, line = await sold(shop)
    told_ = await connect().submit(shipment(order, [(line, 4)]))
    assert isinstance(told_, Refused)
    assert told_.reason == "invalid_data"


async def test_an_address_that_is_no_web_address_is_left_out(shop, connect):
    order, line = await sold(shop)
    document = shipment(order, [(line, 1)], tracking_url="javascript:alert(1)")
    assert isinstance(await connect().submit(document), Delivered)
    (made,) = shop.shop.orders[order]["fulfillments"]
    assert made["labels"][0]["tracking_url"] == ""


@pytest.mark.parametrize("kind", ["applied_then_error", "applied_then_dropped"])
@pytest.mark.parametrize("at", range(5))
async def test_a_document_whose_answer_was_lost_is_told_once(shop, connect, kind, at):
    connection = connect()
    order, line = await sold(shop)
    await shop.capture(order)
    units = (DocumentLine(line=line, quantity=1),)
    for document in (
        shipment(order, [(line, 1)]),
        Refund(key="R-1", order=order, lines=units),
        Cancellation(key="C-1", order=order, lines=units),
    ):
        good = Fault(kind="slow", seconds=0.0)
        shop.faults.plan(*[good] * at, Fault(kind=kind))
        results = [await connection.submit(document)]
        shop.faults.clear()
        while not isinstance(results[-1], Delivered):
            assert isinstance(results[-1], InDoubt | Retry)
            results.append(await connection.submit(document))
    found = shop.shop.orders[order]
    assert len(found["fulfillments"]) == 1
    (payment,) = found["payment_collections"][0]["payments"]
    assert len(payment["refunds"]) == 1
    assert [one["quantity"] for one in found["items"]] == [2]


async def test_a_cancellation_of_all_ends_the_order_with_what_was_only_packed(shop, connect):
    connection = connect()
    order, line = await sold(shop)
    shop.faults.plan(*[Fault(kind="slow")] * 2, Fault(kind="server_error"))
    assert isinstance(await connection.submit(shipment(order, [(line, 2)])), InDoubt)
    for _ in range(2):
        told_ = await connection.submit(Cancellation(key="C-1", order=order))
        assert told_ == Delivered(reference=order)
    assert shop.shop.orders[order]["status"] == "canceled"
    assert (shop.shown("MUG"), shop.available("MUG")) == (100, 100)


async def test_what_has_shipped_is_not_cancelled(shop, connect):
    connection = connect()
    order, line = await sold(shop)
    await connection.submit(shipment(order, [(line, 1)]))
    told_ = await connection.submit(Cancellation(key="C-1", order=order))
    assert isinstance(told_, Refused)
    assert told_.reason == "shipped"
    units = (DocumentLine(line=line, quantity=2),)
    assert isinstance(
        await connection.submit(Cancellation(key="C-2", order=order, lines=units)), Delivered
    )
    assert shop.shop.orders[order]["items"][0]["quantity"] == 1


async def test_a_cancellation_that_is_refused_leaves_no_edit_behind(shop, connect):
    connection = connect()
    order, line = await sold(shop)
    await connection.submit(shipment(order, [(line, 2)]))
    units = (DocumentLine(line=line, quantity=2),)
    told_ = await connection.submit(Cancellation(key="C-1", order=order, lines=units))
    assert isinstance(told_, Refused)
    assert shop.shop.changes[order] == []
    more = (DocumentLine(line=line, quantity=9),)
    told_ = await connection.submit(Cancellation(key="C-2", order=order, lines=more))
    assert (told_.reason, shop.shop.changes[order]) == ("quantity", [])


async def test_an_edit_of_somebody_else_is_waited_for(shop, connect):
    order, line = await sold(shop)
    shop.shop.change(order, "edit")
    units = (DocumentLine(line=line, quantity=1),)
    told_ = await connect().submit(Cancellation(key="C-1", order=order, lines=units))
    assert isinstance(told_, Retry)
    assert told_.retry_after_s >= 30


async def test_a_refund_pays_the_share_of_its_lines_or_what_is_asked(shop, connect):
    connection = connect()
    order, line = await sold(shop)
    units = (DocumentLine(line=line, quantity=2),)
    early = await connection.submit(Refund(key="R-1", order=order, lines=units))
    assert isinstance(early, Refused)
    assert early.reason == "amount"
    await shop.capture(order)
    for document in (
        Refund(key="R-1", order=order, lines=units, reason="late"),
        Refund(key="R-2", order=order, lines=(), amount=Decimal("1.50"), currency="EUR"),
    ):
        for _ in range(2):
            assert isinstance(await connection.submit(document), Delivered)
    (payment,) = shop.shop.orders[order]["payment_collections"][0]["payments"]
    paid = [(one["amount"], one["note"]) for one in payment["refunds"]]
    assert paid == [(20.0, "late [R-1]"), (1.5, "[R-2]")]
    other = await connection.submit(
        Refund(key="R-3", order=order, lines=(), amount=Decimal(1), currency="USD")
    )
    assert other.reason == "currency"


@pytest.mark.parametrize("order", ["order_NONE", "x", "", "order_1/../../payments"])
async def test_an_order_the_shop_does_not_have_is_refused(connect, order):
    result = await connect().submit(shipment(order, [("1", 1)]))
    assert isinstance(result, Refused)
    assert result.reason == "unknown_order"
