"""Amazon's order feeds as they should not be: odd amounts, feeds without an end, reports that are
none, answers that are lost.
"""

import asyncio
import datetime as dt
from decimal import Decimal

import msgspec
import pytest

from stockwright.connectors.amazon.listing_feed_forms import results_of
from stockwright.connectors.amazon.order_amounts import Refusal, units_of, with_amounts
from stockwright.connectors.amazon.order_feed_forms import result_of
from stockwright.connectors.amazon.order_forms import KnownLine, KnownOrder
from stockwright.connectors.amazon.orders_2026 import Item
from stockwright.connectors.amazon.orders_2026 import line_of as line_2026
from stockwright.connectors.amazon.orders_v0 import line_of as line_v0
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
)
from stockwright.sdk.transports import Http
from tests.connectors.amazon_account import account, connecting
from tests.connectors.visiting import level

ORDER = "902-0000001-0000001"
DAY_S = 86_400


async def nothing():
    """Nothing else happens."""


class Wire(Http):
    """The real network, with something done after the answer to the making of a feed came."""

    def __init__(self, after_feed=nothing):
        super().__init__()
        self._after_feed = after_feed
        self.asked = []

    async def send(self, request):
        self.asked.append(request.url)
        response = await super().send(request)
        if request.method == "POST" and request.url.endswith("/feeds"):
            await self._after_feed()
        return response


@pytest.fixture
async def amazon(clock):
    async with account(clock) as amazon:
        yield amazon


@pytest.fixture
async def connect(amazon, clock, monkeypatch):
    async with connecting(amazon, clock, monkeypatch, Wire) as connect:
        yield connect


async def refund_of(amazon, key="R-1"):
    order = await amazon.sell([("MUG", 1)], "Shipped")
    line = amazon.lines[order][0]["OrderItemId"]
    return Refund(key=key, order=order, lines=(DocumentLine(line=line, quantity=1),))


async def ended(connection, document, clock):
    """What becomes of a document, told again as often as it takes."""
    for _ in range(20):
        result = await connection.submit(document)
        if not isinstance(result, InDoubt | Retry):
            return result
        clock.step(61)
    raise AssertionError(result)


def paid_back(amazon, document):
    return len(amazon.order_desk.paid_back.get(document.order, ()))


BEFORE_THE_FEED = [Fault(kind="slow")] * 4
"""The token, the order, a document and its upload."""


# ------------------------------------------------------------ answers that are lost


async def test_an_answer_that_is_lost_late_is_looked_for_from_before_the_call(
    amazon, connect, clock
):
    """Looked for since a minute before the answer was given up, it would be paid twice."""
    amazon.desk._clock = lambda: clock() - dt.timedelta(seconds=50)

    async def late():
        clock.step(55)

    connection = connect(late)
    refund = await refund_of(amazon)
    amazon.faults.plan(*BEFORE_THE_FEED, Fault(kind="applied_then_error"))
    assert isinstance(await ended(connection, refund, clock), Delivered)
    assert (paid_back(amazon, refund), len(amazon.desk.feeds)) == (1, 1)


@pytest.mark.parametrize("ahead_s", [600, -600])
@pytest.mark.parametrize("restarted", [False, True])
async def test_a_lost_answer_is_looked_for_by_amazons_clock_not_by_ours(
    amazon, connect, clock, ahead_s, restarted
):
    amazon.clock = amazon.desk._clock = lambda: clock() - dt.timedelta(seconds=ahead_s)
    connection = connect()
    refund = await refund_of(amazon)
    await connection.submit(await refund_of(amazon, "R-0"))  # the token is had by now
    clock.step(61)
    amazon.faults.plan(*BEFORE_THE_FEED[1:], Fault(kind="applied_then_error"))
    told = await connection.submit(refund)
    assert not told.taken
    clock.step(61)
    if restarted:
        assert (await connect().follow(refund, told.reference)).reason == "perhaps_told"
    else:
        assert isinstance(await ended(connection, refund, clock), Delivered)
    assert len(amazon.desk.feeds) == 2


async def test_who_tells_one_document_twice_at_once_makes_one_feed(amazon, connect, clock):
    connection = connect()
    refund = await refund_of(amazon)
    told = await asyncio.gather(*(connection.submit(refund) for _ in range(5)))
    assert all(isinstance(one, InDoubt) for one in told)
    assert isinstance(await ended(connection, refund, clock), Delivered)
    assert (paid_back(amazon, refund), len(amazon.desk.feeds)) == (1, 1)


async def test_a_feed_that_is_being_made_is_not_looked_for_yet(amazon, connect, clock):
    told = []

    async def meanwhile():
        clock.step(61)
        amazon.desk.feeds.clear()  # as if Amazon listed it a little later
        told.append(await connection.submit(refund))

    connection = connect(meanwhile)
    refund = await refund_of(amazon)
    told.append(await connection.submit(refund))
    assert [type(one) for one in told] == [InDoubt, InDoubt]
    assert amazon.calls.count("createFeed") == 1


async def test_a_call_that_was_broken_off_by_us_is_looked_for_as_well(amazon, connect, clock):
    made = asyncio.Event()

    async def hang():
        made.set()
        await asyncio.sleep(60)

    connection = connect(hang)
    refund = await refund_of(amazon)
    telling = asyncio.create_task(connection.submit(refund))
    await made.wait()
    telling.cancel()
    await asyncio.wait((telling,))
    assert isinstance(await ended(connection, refund, clock), Delivered)
    assert (paid_back(amazon, refund), len(amazon.desk.feeds)) == (1, 1)


@pytest.mark.parametrize("kind", ["applied_then_error", "server_error"])
async def test_after_a_restart_a_lost_answer_is_looked_for_before_it_is_told_anew(
    amazon, connect, clock, kind
):
    refund = await refund_of(amazon)
    amazon.faults.plan(*BEFORE_THE_FEED, Fault(kind=kind))
    told = await connect().submit(refund)
    assert not told.taken
    amazon.faults.clear()
    clock.step(3600)
    after = connect()
    result = await after.follow(refund, told.reference)
    if kind == "server_error":
        result = await ended(after, refund, clock)
        assert (type(result), paid_back(amazon, refund)) == (Delivered, 1)
    else:
        assert (type(result), result.reason) == (Refused, "perhaps_told")
        assert len(amazon.desk.feeds) == 1


# ------------------------------------------------------------ feeds without an end


@pytest.mark.parametrize("how", ["stuck", "forgotten"])
async def test_a_feed_that_never_ends_is_given_to_a_person_after_a_day(amazon, connect, clock, how):
    connection = connect()
    refund = await refund_of(amazon)
    amazon.desk.mood = "stuck"
    told = await connection.submit(refund)
    if how == "forgotten":
        amazon.desk.feeds.clear()
    clock.step(DAY_S - 600)
    assert isinstance(await connection.submit(refund), InDoubt)
    if how == "stuck":
        assert isinstance(await connect().follow(refund, told.reference), InDoubt)
    clock.step(601)
    for result in (await connection.submit(refund), await connection.submit(refund)):
        assert (type(result), result.reason) == (Refused, "perhaps_told")
    if how == "stuck":
        later = await connect().follow(refund, told.reference)
        assert later.reason == "perhaps_told", "the feed's own age counts"


async def test_a_feed_that_is_done_and_has_no_report_is_given_to_a_person(amazon, connect, clock):
    connection = connect()
    refund = await refund_of(amazon)
    await connection.submit(refund)
    amazon.desk.run()
    for feed in amazon.desk.feeds.values():
        del feed["resultFeedDocumentId"]
    clock.step(61)
    assert (await connection.submit(refund)).taken, "it may come yet"
    clock.step(900)
    assert (await connection.submit(refund)).reason == "perhaps_told"


async def test_a_cancellation_by_lines_is_believed_after_a_restart_as_before(
    amazon, connect, clock
):
    order = await amazon.sell([("MUG", 2)], "Unshipped")
    line = amazon.lines[order][0]["OrderItemId"]
    document = Cancellation(key="C", order=order, lines=(DocumentLine(line=line, quantity=2),))
    amazon.desk.mood = "fatal"
    told = await connect().submit(document)
    await amazon.change(order, "Canceled")
    clock.step(61)
    assert await connect().follow(document, told.reference) == Delivered(reference=order)


async def test_after_the_clock_went_back_feeds_are_asked_for_all_the_same(amazon, connect, clock):
    connection = connect(feed_from=1)
    refund = await refund_of(amazon)
    levels = [level("MUG", 5), level("PLATE", 6)]
    await connection.submit(refund)
    await connection.publish(levels)
    amazon.collect()
    clock.step(-DAY_S)
    assert isinstance(await connection.submit(refund), Delivered)
    assert list(await connection.publish(levels)) == [Applied(), Applied()]


async def test_after_the_clock_went_back_the_watchdog_bites_in_its_time(amazon, connect, clock):
    connection = connect(feed_from=1)
    refund = await refund_of(amazon)
    levels = [level("MUG", 5), level("PLATE", 6)]
    amazon.desk.mood = "queued"
    await connection.submit(refund)
    await connection.publish(levels)
    clock.step(-DAY_S)
    assert isinstance(await connection.submit(refund), InDoubt)
    assert all(one.taken for one in await connection.publish(levels))
    clock.step(901)
    assert isinstance(await connection.submit(refund), Retry)
    assert all(isinstance(one, Retry) for one in await connection.publish(levels))
    states = {feed["processingStatus"] for feed in amazon.desk.feeds.values()}
    assert states == {"CANCELLED"}


async def test_a_look_at_a_feed_keeps_within_the_time_of_one_call(amazon, connect, clock):
    connection = connect(timeout_s=0.5)
    refund = await refund_of(amazon)
    await connection.submit(refund)
    clock.step(61)
    amazon.faults.plan(*[Fault(kind="slow", seconds=0.3)] * 4)
    await connection.submit(refund)
    assert len(amazon.faults._plan) >= 2, "the second call was the last that had time left"
    amazon.faults.clear()


async def test_the_name_of_a_feed_leads_nowhere_else(amazon, connect):
    connection = connect()
    refund = await refund_of(amazon)
    await connection.follow(refund, "../../orders/v0/orders/1?x=y")
    asked = connection._api._transport.asked[-1]
    assert asked.endswith("/feeds/..%2F..%2Forders%2Fv0%2Forders%2F1%3Fx%3Dy")


# ------------------------------------------------------------ reports

GOOD = "<a><ProcessingSummary><MessagesSuccessful>1</MessagesSuccessful></ProcessingSummary>{}</a>"


@pytest.mark.parametrize(
    "more", ["<b>" * 500_000 + "</b>" * 500_000, "<b/>" * 500_000, f"<!--{'x' * 2_000_000}-->"]
)
def test_a_report_far_larger_than_one_message_needs_is_not_read(more, monkeypatch):
    assert result_of(GOOD.format("").encode()) is None
    monkeypatch.setattr("xml.etree.ElementTree.fromstring", lambda _: pytest.fail("it was read"))
    assert isinstance(result_of(GOOD.format(more).encode()), InDoubt)


@pytest.mark.parametrize("number", [0, 3, -1, 99])
def test_an_error_of_no_message_of_ours_makes_no_other_message_good(number):
    """Two were sent, one was taken: which of them, nobody can tell."""
    report = {
        "issues": [{"severity": "ERROR", "code": "8560", "message": "no", "messageId": number}],
        "summary": {"messagesProcessed": 2, "messagesAccepted": 1},
    }
    rows = [LevelKey(listing="MUG"), LevelKey(listing="PLATE")]
    told = results_of(rows, msgspec.json.encode(report))
    assert all(isinstance(one, InDoubt) for one in told.values())


# ------------------------------------------------------------ amounts


def paid(lines, **more):
    """The rows that a refund of one unit of each line pays."""
    order = KnownOrder("", "Shipped", {str(n): line for n, line in enumerate(lines)})
    asked = tuple(DocumentLine(line=name, quantity=1) for name in order.lines)
    refund = Refund(key="R", order=ORDER, lines=asked, **more)
    rows, currency = with_amounts(units_of(refund, order), order, refund)
    return [(str(row.principal), str(row.tax)) for row in rows], currency


def priced(price, tax="0", currency="EUR"):
    return KnownLine(1, 1, Decimal(price), Decimal(tax), currency)


@pytest.mark.parametrize(
    ("line", "amount", "reason"),
    [
        (priced("10.00"), "NaN", "amount"),
        (priced("10.00"), "sNaN", "amount"),
        (priced("10.00"), "Infinity", "amount"),
        (priced("10.00"), "-1", "amount"),
        (priced("10.00"), "1E+99", "amount"),
        (priced("10.00"), "1.005", "amount"),
        (priced("10.00"), "1E-9", "amount"),
        (priced("1000", currency="JPY"), "100.50", "amount"),
        (priced("1000", currency="JPY"), "0.01", "amount"),
        (priced("-1.00"), None, "no_price"),
        (priced("5.00", "-1.00"), None, "no_price"),
    ],
)
def test_an_amount_that_is_none_is_refused_before_it_is_asked(line, amount, reason):
    with pytest.raises(Refusal) as told:
        paid([line], amount=Decimal(amount) if amount else None)
    assert told.value.told.reason == reason


def test_a_refund_in_two_currencies_is_refused():
    with pytest.raises(Refusal) as told:
        paid([priced("10.00"), priced("1000", currency="JPY")])
    assert told.value.told.reason == "currency"


@pytest.mark.parametrize(
    ("price", "amount", "expected"),
    [("1000", None, "1000"), ("1000.00", None, "1000"), ("1000", "100.00", "100"),
     ("1000", "1E+2", "100")],
)  # fmt: skip
def test_yen_have_no_smaller_part(price, amount, expected):
    line = priced(price, "0", "JPY")
    assert paid([line], amount=Decimal(amount) if amount else None) == ([(expected, "0")], "JPY")


ODD = ["", "1.234,50", "NaN", "Infinity", "1e999999", "-", "12 EUR"]


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize("name", ["ItemPrice", "ItemTax", "PromotionDiscount"])
def test_an_amount_of_v0_that_cannot_be_read_is_no_price(text, name):
    """Read as nothing it would pay nothing back, and say that it did."""
    money = {"CurrencyCode": "EUR", "Amount": "10.00"}
    item = {"OrderItemId": "1", "QuantityOrdered": 1, "ItemPrice": money, "ItemTax": money}
    assert line_v0(item).price == 10
    assert line_v0({**item, name: {"CurrencyCode": "EUR", "Amount": text}}).price is None
    assert line_v0({**item, name: {"CurrencyCode": "EUR"}}).price is None


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize("kind", ["ITEM", "TAX", "DISCOUNT"])
def test_an_amount_of_2026_that_cannot_be_read_is_no_price(text, kind):
    def item(**amounts):
        parts = [
            {"type": name, "subtotal": {"amount": amount, "currencyCode": "EUR"}}
            for name, amount in amounts.items()
        ]
        told = {"orderItemId": "1", "quantityOrdered": 1, "proceeds": {"breakdowns": parts}}
        return msgspec.convert(told, Item)

    good = {"ITEM": "10.00", "TAX": "2.00", "DISCOUNT": "-1.00"}
    assert line_2026(item(**good)).price == 9
    assert line_2026(item(**{**good, kind: text})).price is None
