"""Cancellations and refunds to Amazon: a feed each, told once, judged by its report.

Every call is held to Amazon's published models, both ways.
"""

import random
from decimal import Decimal
from xml.etree import ElementTree as Xml

import pytest

from stockwright.connectors.amazon.order_amounts import Refusal, units_of, with_amounts
from stockwright.connectors.amazon.order_feed_forms import ADJUSTS, CANCELS, result_of
from stockwright.connectors.amazon.order_forms import KnownLine, KnownOrder
from stockwright.connectors.amazon.plans import PLANS, Plan
from stockwright.sdk.hostile import Fault
from stockwright.sdk.messages import (
    Cancellation,
    Delivered,
    DocumentLine,
    InDoubt,
    Refund,
    Refused,
    Retry,
)
from stockwright.sdk.verbs import Follows
from tests.connectors.amazon_account import QUICK, account, connecting
from tests.connectors.test_amazon import VERSIONS


@pytest.fixture
async def amazon(clock):
    async with account(clock) as amazon:
        yield amazon


@pytest.fixture
async def connect(amazon, clock, monkeypatch):
    async with connecting(amazon, clock, monkeypatch) as connect:
        yield connect


async def ended(connection, document, clock):
    """What becomes of a document, told again as often as it takes."""
    for _ in range(20):
        result = await connection.submit(document)
        if not isinstance(result, InDoubt | Retry):
            return result
        clock.step(61)
    raise AssertionError(result)


def items(amazon, order):
    return [line["OrderItemId"] for line in amazon.lines[order]]


def lines(*pairs):
    return tuple(DocumentLine(line=line, quantity=units) for line, units in pairs)


def feeds(amazon):
    return [feed["feedType"] for feed in amazon.desk.feeds.values()]


def sent(amazon):
    """The last document that was uploaded for a feed, as (element, text) pairs in their order."""
    number = list(amazon.desk.feeds.values())[-1]["inputFeedDocumentId"]
    root = Xml.fromstring(amazon.desk.documents[number])
    return [(one.tag, one.text) for one in root.iter() if one.text]


# ------------------------------------------------------------ cancellations


@pytest.mark.parametrize("api", VERSIONS)
async def test_a_whole_order_is_cancelled_by_one_feed_however_often_it_is_told(
    amazon, connect, clock, api
):
    connection = connect(orders_api=api)
    order = await amazon.sell([("MUG", 2), ("PLATE", 1)], "Unshipped")
    document = Cancellation(key="C-1", order=order, reason="buyercanceled")
    first = await connection.submit(document)
    assert (first.taken, first.retry_after_s) == (True, 60.0)
    assert await connection.submit(document) == first
    assert sent(amazon) == [
        ("DocumentVersion", "1.01"),
        ("MerchantIdentifier", "A3TH9S8BH6GOGM"),
        ("MessageType", "OrderAcknowledgement"),
        ("MessageID", "1"),
        ("AmazonOrderID", order),
        ("StatusCode", "Failure"),
        *[
            row
            for item in items(amazon, order)
            for row in (("AmazonOrderItemCode", item), ("CancelReason", "BuyerCanceled"))
        ],
    ]
    clock.step(61)
    assert await connection.submit(document) == Delivered(reference=first.reference)
    assert await connection.submit(document) == Delivered(reference=first.reference)
    assert amazon.orders[order]["OrderStatus"] == "Canceled"
    assert await connect(orders_api=api).submit(document) == Delivered(reference=order)
    assert feeds(amazon) == [CANCELS]


async def test_the_units_of_a_line_are_cancelled_with_what_they_cost(amazon, connect, clock):
    connection = connect()
    order = await amazon.sell([("MUG", 3), ("PLATE", 1)], "Unshipped")
    mug, plate = items(amazon, order)
    document = Cancellation(key="C-1", order=order, lines=lines((mug, 2)), reason="sold out")
    assert isinstance(await ended(connection, document, clock), Delivered)
    assert sent(amazon)[4:] == [
        ("AmazonOrderID", order),
        ("ActionType", "Cancel"),
        ("AmazonOrderItemCode", mug),
        ("AdjustmentReason", "NoInventory"),
        ("Type", "Principal"),
        ("Amount", "20.00"),
        ("Type", "Tax"),
        ("Amount", "2.00"),
        ("QuantityCancelled", "2"),
    ]
    assert [line["QuantityOrdered"] for line in amazon.lines[order]] == [1, 1]
    both = Cancellation(key="C-2", order=order, lines=lines((mug, 1), (plate, 1)))
    assert isinstance(await ended(connection, both, clock), Delivered)
    assert feeds(amazon) == [ADJUSTS, CANCELS], "all that is left of it is the order"


async def test_of_an_order_that_was_sent_in_part_the_rest_is_cancelled(amazon, connect, clock):
    connection = connect()
    order = await amazon.sell([("MUG", 3), ("PLATE", 1)], "PartiallyShipped")
    amazon.lines[order][0]["QuantityShipped"] = 1
    amazon.lines[order][1]["QuantityShipped"] = 1
    document = Cancellation(key="C-1", order=order)
    assert isinstance(await ended(connection, document, clock), Delivered)
    assert [line["QuantityOrdered"] for line in amazon.lines[order]] == [1, 1]
    again = await ended(connection, Cancellation(key="C-2", order=order), clock)
    assert again.reason == "shipped"


async def test_a_refusal_in_the_report_is_told_by_amazons_code(amazon, connect, clock):
    connection = connect()
    order = await amazon.sell([("MUG", 1)], "Unshipped")
    gone = await amazon.sell([("MUG", 1)], "Unshipped")
    amazon.desk.takes_s = 30.0
    for number in (order, gone):
        await connection.submit(Cancellation(key=number, order=number))
    await amazon.change(order, "Shipped")
    await amazon.change(gone, "Canceled")
    clock.step(61)
    told = await connection.submit(Cancellation(key=order, order=order))
    assert told == Refused(reason="not_cancellable", message="The order is Shipped.")
    # Amazon's customer was faster: what was asked for is so.
    told = await connection.submit(Cancellation(key=gone, order=gone))
    assert told == Delivered(reference=gone)


# ------------------------------------------------------------ refunds


@pytest.mark.parametrize("api", VERSIONS)
async def test_a_refund_pays_the_share_of_its_units_once(amazon, connect, clock, api):
    connection = connect(orders_api=api)
    order = await amazon.sell([("MUG", 3)], "Shipped")
    (mug,) = items(amazon, order)
    refund = Refund(key="R-1", order=order, lines=lines((mug, 2)))
    assert isinstance(await ended(connection, refund, clock), Delivered)
    assert isinstance(await ended(connection, refund, clock), Delivered)
    assert amazon.order_desk.paid_back[order] == [(mug, 2, "22.00")]
    assert sent(amazon)[5:] == [
        ("ActionType", "Refund"),
        ("AmazonOrderItemCode", mug),
        ("AdjustmentReason", "CustomerReturn"),
        ("Type", "Principal"),
        ("Amount", "20.00"),
        ("Type", "Tax"),
        ("Amount", "2.00"),
        ("Quantity", "2"),
    ]


async def test_a_refund_of_an_amount_is_that_amount(amazon, connect, clock):
    connection = connect()
    order = await amazon.sell([("MUG", 1), ("PLATE", 2)], "Shipped")
    mug, plate = items(amazon, order)
    refund = Refund(
        key="R-1",
        order=order,
        lines=lines((mug, 1), (plate, 2)),
        amount=Decimal("10.00"),
        currency="USD",
    )
    assert isinstance(await ended(connection, refund, clock), Delivered)
    assert amazon.order_desk.paid_back[order] == [(mug, 1, "3.33"), (plate, 2, "6.67")]


@pytest.mark.parametrize(
    "kind",
    [
        "applied_then_error",
        "applied_then_dropped",
        "applied_then_garbage",
        "server_error",
        "throttled",
    ],
)
@pytest.mark.parametrize("at", range(9))
async def test_a_refund_is_paid_once_whichever_answer_is_lost(amazon, connect, clock, kind, at):
    connection = connect(timeout_s=1.0)
    order = await amazon.sell([("MUG", 1)], "Shipped")
    refund = Refund(key="R-1", order=order, lines=lines((items(amazon, order)[0], 1)))
    amazon.faults.plan(*[Fault(kind="slow")] * at, Fault(kind=kind))
    assert isinstance(await ended(connection, refund, clock), Delivered)
    amazon.faults.clear()
    assert len(amazon.order_desk.paid_back[order]) == 1


async def test_where_the_answer_was_lost_and_another_feed_was_made_a_person_looks(
    amazon, connect, clock
):
    connection, other = connect(timeout_s=1.0), connect()
    orders = [await amazon.sell([("MUG", 1)], "Shipped") for _ in range(2)]
    first, second = [
        Refund(key=order, order=order, lines=lines((items(amazon, order)[0], 1)))
        for order in orders
    ]
    assert isinstance(await connection.submit(first), InDoubt)  # the token is had by now
    # After the order, a document and its upload.
    amazon.faults.plan(*[Fault(kind="slow")] * 3, Fault(kind="applied_then_error"))
    assert not (await connection.submit(second)).taken
    amazon.faults.clear()
    third = Refund(key="R-3", order=orders[0], lines=first.lines)
    await other.submit(third)
    clock.step(61)
    told = await connection.submit(second)
    assert (type(told), told.reason) == (Refused, "perhaps_told")


async def test_another_process_asks_for_a_feed_by_its_name(amazon, connect, clock):
    order = await amazon.sell([("MUG", 1)], "Shipped")
    refund = Refund(key="R-1", order=order, lines=lines((items(amazon, order)[0], 1)))
    told = await connect().submit(refund)
    after = connect()
    assert isinstance(after, Follows)
    assert await after.follow(refund, told.reference) == Delivered(reference=told.reference)
    assert await after.submit(refund) == Delivered(reference=told.reference)
    assert len(feeds(amazon)) == 1


@pytest.mark.parametrize(
    ("mood", "reason"), [("fatal", "perhaps_told"), ("stuck", ""), ("queued", "")]
)
async def test_a_feed_that_does_not_end_pays_nothing_twice(amazon, connect, clock, mood, reason):
    connection = connect()
    order = await amazon.sell([("MUG", 1)], "Shipped")
    refund = Refund(key="R-1", order=order, lines=lines((items(amazon, order)[0], 1)))
    amazon.desk.mood = mood
    await connection.submit(refund)
    clock.step(901)
    told = await connection.submit(refund)
    if mood == "fatal":
        assert told.reason == reason
    elif mood == "stuck":
        assert (type(told), told.taken) == (InDoubt, True), "it may be paid yet"
    else:
        assert isinstance(told, Retry)
        amazon.desk.mood = "reads"
        assert isinstance(await ended(connection, refund, clock), Delivered)
    assert len(amazon.order_desk.paid_back.get(order, ())) == (mood == "queued")


async def test_a_feed_that_broke_off_after_it_cancelled_the_order_is_delivered(
    amazon, connect, clock
):
    connection = connect()
    order = await amazon.sell([("MUG", 1)], "Unshipped")
    amazon.desk.mood = "fatal"
    await connection.submit(Cancellation(key="C-1", order=order))
    await amazon.change(order, "Canceled")
    clock.step(61)
    told = await connection.submit(Cancellation(key="C-1", order=order))
    assert told == Delivered(reference=order)


async def test_nothing_is_told_of_an_order_before_it_is_paid(amazon, connect, clock):
    connection = connect()
    order = await amazon.sell([("MUG", 1)], "Pending")
    document = Cancellation(key="C-1", order=order)
    told = await connection.submit(document)
    assert (type(told), told.retry_after_s, feeds(amazon)) == (Retry, 900.0, [])
    await amazon.change(order, "Unshipped")
    assert isinstance(await ended(connection, document, clock), Delivered)


async def test_where_the_plan_of_feeds_is_used_up_it_waits_for_its_turn(
    amazon, connect, monkeypatch
):
    connection = connect()
    monkeypatch.setitem(PLANS, "createFeed", Plan(0.01, 1))
    amazon.plans = {**QUICK, "createFeed": Plan(0.01, 1)}
    orders = [await amazon.sell([("MUG", 1)], "Unshipped") for _ in range(2)]
    first, second = [await connection.submit(Cancellation(key=n, order=n)) for n in orders]
    assert isinstance(first, InDoubt)
    assert isinstance(second, Retry)
    assert second.retry_after_s > 60


# ------------------------------------------------------------ what is refused before it is asked

ORDER = KnownOrder(
    "ATVPDKIKX0DER",
    "PartiallyShipped",
    {
        "1": KnownLine(
            ordered=3, shipped=1, price=Decimal("10.00"), tax=Decimal("1.00"), currency="EUR"
        ),
        "2": KnownLine(ordered=1, shipped=1, price=Decimal("5.00"), currency="EUR"),
        "3": KnownLine(ordered=1),
    },
)


def refunded(*pairs, **more):
    refund = Refund(key="R", order="902-0000000-0000000", lines=lines(*pairs), **more)
    rows, currency = with_amounts(units_of(refund, ORDER), ORDER, refund)
    return [(row.item, str(row.principal), str(row.tax)) for row in rows], currency


@pytest.mark.parametrize(
    ("pairs", "more", "expected"),
    [
        ([("1", 1)], {}, [("1", "3.33", "0.33")]),
        ([("1", 1), ("1", 2)], {}, [("1", "10.00", "1.00")]),
        ([("1", 3)], {"amount": Decimal("10.50")}, [("1", "10.00", "0.50")]),
        (
            [("1", 3), ("2", 1)],
            {"amount": Decimal("0.01"), "currency": "EUR"},
            [("1", "0.00", "0.00"), ("2", "0.01", "0.00")],
        ),
        (
            [("1", 3), ("2", 1)],
            {"amount": Decimal("16.00")},
            [("1", "10.00", "1.00"), ("2", "5.00", "0.00")],
        ),
        ([("1", 3), ("2", 1)], {"amount": Decimal("16.01")}, "amount"),
        ([("1", 3)], {"amount": Decimal(0)}, "amount"),
        ([("1", 1)], {"currency": "USD", "amount": Decimal(1)}, "currency"),
        ([("1", 4)], {}, "too_many"),
        ([("1", 0)], {}, "too_many"),
        ([("9", 1)], {}, "unknown_line"),
        ([], {}, "unknown_line"),
        ([("3", 1)], {}, "no_price"),
    ],
)
def test_what_is_paid_back_is_the_share_of_the_units_or_what_is_asked(pairs, more, expected):
    if isinstance(expected, str):
        with pytest.raises(Refusal) as told:
            refunded(*pairs, **more)
        assert told.value.told.reason == expected
    else:
        assert refunded(*pairs, **more) == (expected, "EUR")


@pytest.mark.parametrize("seed", range(200))
def test_rows_come_to_the_very_amount_and_none_beyond_its_own_share(seed):
    chance = random.Random(seed)
    currency = chance.choice(("EUR", "JPY"))
    cent = Decimal(1) if currency == "JPY" else Decimal("0.01")
    order = KnownOrder(
        "",
        "Shipped",
        {
            str(n): KnownLine(units, 0, price * cent, tax * cent, currency)
            for n in range(chance.randint(1, 6))
            for units, price, tax in [
                (chance.randint(1, 7), chance.randint(0, 10_000), chance.randint(0, 2_000))
            ]
        },
    )
    pairs = [(item, chance.randint(1, one.ordered)) for item, one in order.lines.items()]
    refund = Refund(key="R", order="902-0000000-0000000", lines=lines(*pairs))
    whole, _ = with_amounts(units_of(refund, order), order, refund)
    most = sum(row.principal + row.tax for row in whole)
    if not most:
        return
    amount = chance.randint(1, int(most / cent)) * cent
    asked = Refund(key="R", order=refund.order, lines=refund.lines, amount=amount)
    rows, told = with_amounts(units_of(asked, order), order, asked)
    assert (sum(row.principal + row.tax for row in rows), told) == (amount, currency)
    for row, own in zip(rows, whole, strict=True):
        assert 0 <= row.principal <= own.principal
        assert 0 <= row.tax <= own.tax
        assert (row.principal % cent, row.tax % cent) == (0, 0)


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [([], {"1": 2, "3": 1}), ([("1", 2)], {"1": 2}), ([("1", 3)], "too_many"),
     ([("2", 1)], "too_many")],
)  # fmt: skip
def test_only_what_was_not_sent_is_cancelled(pairs, expected):
    document = Cancellation(key="C", order="902-0000000-0000000", lines=lines(*pairs))
    if isinstance(expected, str):
        with pytest.raises(Refusal) as told:
            units_of(document, ORDER)
        assert told.value.told.reason == expected
    else:
        assert units_of(document, ORDER) == expected


async def test_what_amazon_has_not_is_refused_without_a_feed(amazon, connect):
    connection = connect()
    for order, api in (("902-0000000-0000000", "v0"), ("x<y>", "v0")):
        told = await connection.submit(Cancellation(key=order, order=order))
        assert (told.reason, api) == ("unknown_order", "v0")
    assert feeds(amazon) == []


SUMMARY = "<ProcessingSummary><MessagesSuccessful>{}</MessagesSuccessful></ProcessingSummary>"


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (f"<a><b>{SUMMARY.format(1)}</b></a>", None),
        (f"<a>{SUMMARY.format(0)}</a>", InDoubt),
        ("<a/>", InDoubt),
        ("", InDoubt),
        ("<a>", InDoubt),
        (f'<!DOCTYPE a [<!ENTITY x "y">]><a>{SUMMARY.format(1)}</a>', InDoubt),
        (f'<?xml version="1.0" encoding="none"?><a>{SUMMARY.format(1)}</a>', InDoubt),
        (
            f"<a>{SUMMARY.format(0)}<Result><ResultCode>Error</ResultCode>"
            "<ResultMessageCode>18028</ResultMessageCode>"
            "<ResultDescription>no</ResultDescription></Result></a>",
            Refused(reason="18028", message="no"),
        ),
        (
            f"<a>{SUMMARY.format(1)}<Result><ResultCode>Warning</ResultCode></Result></a>",
            None,
        ),
    ],
)
def test_a_report_that_does_not_say_yes_is_no_yes(report, expected):
    told = result_of(report.encode())
    assert isinstance(told, InDoubt) if expected is InDoubt else told == expected


def test_a_report_in_words_of_two_bytes_is_not_read():
    assert isinstance(result_of(f"<a>{SUMMARY.format(1)}</a>".encode("utf-16")), InDoubt)
    assert isinstance(result_of(None), InDoubt)
