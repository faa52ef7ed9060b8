"""What each version of Amazon's Orders API has of its own, and the way from one to the other.

Every call is held to Amazon's published models, both ways. What both must do is in test_amazon.
"""

import asyncio
from itertools import pairwise

import msgspec
import pytest

from stockwright.connectors.amazon import CONNECTOR, Sandbox
from stockwright.connectors.amazon.mapping import map_message
from stockwright.connectors.amazon.order_cursor import cursor_of
from stockwright.connectors.amazon.order_forms import STATES
from stockwright.connectors.amazon.order_messages import EVERY_UNIT
from stockwright.connectors.amazon.plans import PLANS, Pace, Plan
from stockwright.domain.errors import Throttled
from stockwright.sdk.connector import Opening
from stockwright.sdk.messages import Failure
from stockwright.sdk.pacing import OwnBuckets, full_bucket, take
from stockwright.sdk.secrets import resolve_secret
from stockwright.sdk.transports import HttpResponse, InMemory
from tests.connectors.amazon_account import QUICK, account, connecting
from tests.connectors.amazon_models import operation_of, pairs
from tests.connectors.visiting import facts, polled

LONG_AGO = '{"since": "2026-01-01T00:00:00Z"}'
LISTS = {"2026-01-01": "searchOrders", "v0": "getOrders"}


def settings_with(**more):
    given = {**Sandbox().settings(), "base_url": "", "token_url": "https://x/auth/o2/token", **more}
    return CONNECTOR.declaration.parse_settings(given, resolve_secret)


SOLD = settings_with().sold


@pytest.fixture
async def amazon(clock):
    async with account(clock) as amazon:
        yield amazon


@pytest.fixture
async def connect(amazon, clock, monkeypatch):
    async with connecting(amazon, clock, monkeypatch) as connect:
        yield connect


def mapped(order, **more):
    """What an order in the words of 2026-01-01 is mapped to."""
    whole = {
        "orderId": "902-1",
        "createdTime": "2026-03-01T10:00:00Z",
        "lastUpdatedTime": "2026-03-01T10:00:05Z",
        "fulfillment": {"fulfillmentStatus": "UNSHIPPED", "fulfilledBy": "MERCHANT"},
        **order,
    }
    body = msgspec.json.encode({"order": {**whole, **more}})
    return [part.item for part in map_message(body, SOLD, ("Canceled", "Unfulfillable"), "amz")]


def item(ordered, fulfilled=None, unfulfilled=None, **more):
    told = {
        "orderItemId": "1",
        "quantityOrdered": ordered,
        "product": {"sellerSku": "MUG"},
        "fulfillment": {"quantityFulfilled": fulfilled, "quantityUnfulfilled": unfulfilled},
        **more,
    }
    return told if fulfilled is not None else {k: v for k, v in told.items() if k != "fulfillment"}


EXECUTED = {"cancellation": {"cancellationExecution": {"cancelledBy": "BUYER"}}}
REQUESTED = {"cancellation": {"cancellationRequest": {"requester": "BUYER"}}}

# ------------------------------------------------------------ from one version to the other


async def something_of_all(amazon, clock):
    """Orders pending, paid, changed, cut down, cancelled in part and whole, sent in part."""
    numbers = []
    for n, status in enumerate(("Pending", "Unshipped", "Unshipped", "Unshipped", "Unshipped")):
        numbers.append(await amazon.sell([("MUG", 3), ("PLATE", 2)], status))
        clock.step(n)
    pending, cut, gone, sent, _ = numbers
    await amazon.change_line(pending, 0, 2)
    await amazon.change_line(cut, 0, 1)
    await amazon.change_line(cut, 1, 0)
    await amazon.change(gone, "Canceled")
    amazon.lines[sent][0]["QuantityShipped"] = 2
    await amazon.change_line(sent, 0, 2)
    await amazon.change(sent, "PartiallyShipped")


@pytest.mark.parametrize(("before", "after"), [("v0", "2026-01-01"), ("2026-01-01", "v0")])
async def test_both_versions_tell_the_same_facts(amazon, connect, clock, before, after):
    await something_of_all(amazon, clock)
    one, other = connect(orders_api=before), connect(orders_api=after)
    first, _ = await polled(one, LONG_AGO)
    second, _ = await polled(other, LONG_AGO)
    told = facts(one, first)
    assert told == facts(other, second)
    in_order = sorted(told, key=lambda fact: (fact.order, fact.line))
    assert [(f.kind, f.item, f.quantity) for f in in_order] == [
        ("channel_order", "MUG", 2),
        ("channel_order", "PLATE", 2),
        ("channel_order", "MUG", 1),
        ("channel_cancel", "PLATE", EVERY_UNIT),
        ("channel_cancel", "MUG", EVERY_UNIT),
        ("channel_cancel", "PLATE", EVERY_UNIT),
        ("channel_order", "MUG", 2),
        ("channel_order", "PLATE", 2),
        ("channel_order", "MUG", 3),
        ("channel_order", "PLATE", 2),
    ]
    # Either connection maps what the other one left behind, parked or not.
    assert facts(other, first) == told


@pytest.mark.parametrize(("before", "after"), [("v0", "2026-01-01"), ("2026-01-01", "v0")])
async def test_who_changes_the_version_is_told_nothing_twice(amazon, connect, clock, before, after):
    await something_of_all(amazon, clock)
    payloads, cursor = await polled(connect(orders_api=before), LONG_AGO)
    assert len(payloads) == 5
    newer = connect(orders_api=after)
    payloads, cursor = await polled(newer, cursor)
    assert payloads == []
    clock.step(30)
    late = await amazon.sell([("MUG", 1)])
    payloads, cursor = await polled(newer, cursor)
    assert [one.raw_key for one in payloads] == [late]
    assert (await polled(connect(orders_api=before), cursor))[0] == []


@pytest.mark.parametrize(("before", "after"), [("v0", "2026-01-01"), ("2026-01-01", "v0")])
async def test_a_pass_that_one_version_began_is_begun_anew_by_the_other(
    amazon, connect, clock, before, after
):
    """Neither its token nor orders whose items were not asked for are of use then."""
    orders = {await amazon.sell([("MUG", 1), ("PLATE", 2)]) for _ in range(5)}
    one, other = (
        connect(orders_api=name, page_size=2, items_at_once=1) for name in (before, after)
    )
    page = await one.read("")
    assert cursor_of(page.next_cursor).token
    told = facts(one, page.payloads)
    payloads, _ = await polled(other, page.next_cursor)
    rest = facts(other, payloads)
    assert {fact.order for fact in (*told, *rest)} == orders
    assert len(told) + len(rest) == 2 * len(orders)


async def test_a_cursor_from_before_there_was_a_choice_goes_on(amazon, connect):
    orders = [await amazon.sell([("MUG", 1)]) for _ in range(3)]
    page = await connect(orders_api="v0", page_size=2, items_at_once=1).read("")
    written = msgspec.json.decode(page.next_cursor)
    older = {name: written[name] for name in ("until", "token", "waiting", "told")}
    text = msgspec.json.encode({**older, "since": ""}).decode()
    for version, left in (("v0", orders[1:]), ("2026-01-01", orders[1:])):
        payloads, _ = await polled(connect(orders_api=version), text)
        assert [one.raw_key for one in payloads] == left


# ------------------------------------------------------------ 2026-01-01


async def test_one_list_tells_a_page_of_orders_with_their_items(amazon, connect):
    orders = [await amazon.sell([("MUG", 1), ("PLATE", 2)]) for _ in range(30)]
    page = await connect(items_at_once=1).read("")
    assert [one.raw_key for one in page.payloads] == orders
    assert page.complete
    assert amazon.calls == ["searchOrders"]


async def test_the_first_pass_is_the_same_question_on_every_page(amazon, connect, clock):
    """The sandbox refuses a token that comes with another question, as the model says."""
    orders = [await amazon.sell([("MUG", 1)], "Unshipped") for _ in range(5)]
    connection = connect(page_size=2)
    page = await connection.read("")
    clock.step(90)
    payloads, cursor = await polled(connection, page.next_cursor)
    assert [one.raw_key for one in (*page.payloads, *payloads)] == orders
    assert cursor_of(cursor).first is False


async def test_a_buyer_is_neither_asked_for_nor_kept():
    """The pairs of the model hold all there is: names, addresses, messages of gifts."""
    kept = b""
    for pair in pairs("searchOrders"):
        if pair.status != 200:
            continue

        async def partner(request, pair=pair):
            if request.url.endswith("/auth/o2/token"):
                return HttpResponse(status=200, body=b'{"access_token": "a", "expires_in": 3600}')
            assert operation_of("GET", request.url).name == "searchOrders"
            assert "includedData=FULFILLMENT%2CCANCELLATION" in request.url
            return HttpResponse(status=200, body=msgspec.json.encode(pair.answer))

        opening = Opening(system="amz", transport=InMemory(partner))
        connection = CONNECTOR.open(opening, settings_with())
        page = await connection.read("")
        kept += b"".join(one.body for one in page.payloads)
    assert kept.count(b'"orderId"') == 3
    for told in (b"buyer", b"@", b"Smith", b"Sarah", b"Carlos", b"address", b"gift", b"Amount"):
        assert told not in kept


@pytest.mark.parametrize(
    ("status", "told", "units"),
    [
        # An order that is not paid has nothing to fulfil yet, and claims all the same.
        ("PENDING", item(3, 0, 0), 3),
        ("PENDING", item(3, 0, 0, **EXECUTED), 3),
        ("PENDING", item(3), 3),
        ("UNSHIPPED", item(3, 0, 3), 3),
        ("UNSHIPPED", item(3), 3),
        ("UNSHIPPED", item(3, 0, 0), 3),
        # What was cancelled is told by who did it, and how much is left.
        ("UNSHIPPED", item(3, 0, 1, **EXECUTED), 1),
        ("PARTIALLY_SHIPPED", item(3, 1, 1, **EXECUTED), 2),
        ("PARTIALLY_SHIPPED", item(3, 1, 0, **EXECUTED), 1),
        ("UNSHIPPED", item(3, 0, 0, **EXECUTED), 0),
        ("UNSHIPPED", item(3, **EXECUTED), 0),
        ("UNSHIPPED", item(3, 0, 9, **EXECUTED), 3),
        ("UNSHIPPED", item(0, 0, 0), 0),
        # A buyer who asks to cancel has cancelled nothing.
        ("UNSHIPPED", item(3, 0, 3, **REQUESTED), 3),
        ("CANCELLED", item(3, 0, 3), 0),
        ("UNFULFILLABLE", item(3, 0, 3), 0),
        ("SHIPPED", item(3, 3, 0), 3),
    ],
)
def test_the_units_of_an_item(status, told, units):
    fulfillment = {"fulfillmentStatus": status, "fulfilledBy": "MERCHANT"}
    (fact,) = mapped({"orderItems": [told]}, fulfillment=fulfillment)
    expected = ("channel_order", units) if units else ("channel_cancel", EVERY_UNIT)
    assert (fact.kind, fact.quantity) == expected


@pytest.mark.parametrize(
    ("order", "path", "reason"),
    [
        ({"fulfillment": {"fulfillmentStatus": "ON_HOLD"}}, "$.order.fulfillment.fulfillmentStatus",
         "is no state of an order that is known here"),
        ({"fulfillment": None}, "$.order.fulfillment", "is no JSON object"),
        ({"orderItems": None}, "$.order.orderItems", "is no list"),
        ({"createdTime": "soon"}, "$.order.createdTime", "is no time such as 2026-03-01T10:00:00Z"),
        ({"orderItems": [None]}, "$.order.orderItems[0]", "is no JSON object"),
        ({"orderItems": [item("3")]}, "$.order.orderItems[0].quantityOrdered",
         "is no whole number of units"),
        ({"orderItems": [item(3, 0, "1", **EXECUTED)]},
         "$.order.orderItems[0].fulfillment.quantityUnfulfilled", "is no whole number of units"),
        ({"orderItems": [{**item(3), "product": {}}]}, "$.order.orderItems[0].product.sellerSku",
         "is missing"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_names_its_place(order, path, reason):
    (failure,) = mapped({"orderItems": [item(3, 0, 3)], **order})
    assert isinstance(failure, Failure)
    assert (failure.path, failure.reason) == (path, reason)


def test_what_amazon_ships_claims_nothing():
    fulfillment = {"fulfillmentStatus": "UNSHIPPED", "fulfilledBy": "AMAZON"}
    assert mapped({"orderItems": [item(3, 0, 3)]}, fulfillment=fulfillment) == []


def test_every_state_of_the_model_is_one_of_v0():
    operation = operation_of("GET", "https://x/orders/2026-01-01/orders")
    published = operation.model["definitions"]["FulfillmentStatus"]["enum"]
    assert sorted(STATES) == sorted(published)
    assert set(STATES.values()) <= {*SOLD, "Canceled", "Unfulfillable"}


# ------------------------------------------------------------ pace


@pytest.mark.parametrize("version", LISTS)
def test_polls_leave_calls_of_their_plan_for_increases(version):
    settings = settings_with(orders_api=version)
    connection = CONNECTOR.open(Opening(system="amz"), settings)
    plan = PLANS[LISTS[version]]
    assert 1 / connection.poll_every_s <= plan.rate_per_s
    assert connection.patience.orders_every_s < connection.poll_every_s
    assert connection.patience.increase_wait_s == 600


def test_by_2026_the_burst_fills_up_again_while_orders_are_polled():
    connection = CONNECTOR.open(Opening(system="amz"), settings_with())
    spare_an_hour = 3600 * (PLANS["searchOrders"].rate_per_s - 1 / connection.poll_every_s)
    assert spare_an_hour > 8


def test_an_account_with_a_larger_plan_is_asked_as_often_as_its_operator_says():
    connection = CONNECTOR.open(
        Opening(system="amz"), settings_with(poll_every_s=30, asked_every_s=5)
    )
    assert (connection.poll_every_s, connection.patience.orders_every_s) == (30, 5)


@pytest.mark.parametrize("version", LISTS)
async def test_a_poll_waits_for_its_turn_in_the_plan(amazon, connect, monkeypatch, version):
    monkeypatch.setitem(PLANS, LISTS[version], Plan(0.0056, 3))
    amazon.plans = {**QUICK, LISTS[version]: Plan(0.0056, 3)}
    connection = connect(orders_api=version)
    cursor = ""
    for _ in range(2):
        cursor = (await connection.read(cursor)).next_cursor
    with pytest.raises(Throttled) as told:
        await connection.read(cursor)
    assert 170 < told.value.retry_after_s < 180
    assert amazon.calls.count(LISTS[version]) == 2
    rest = cursor_of(cursor)
    assert (rest.api, rest.token, rest.until) == (version, "", ""), "the pass is over"


def test_an_hour_in_which_increases_always_wait_stays_within_the_plan(monkeypatch):
    """What the page promises: asked each minute, a poll comes every three minutes at least."""
    times = [0.0]
    monkeypatch.setattr(Pace, "_now", staticmethod(lambda: times[0]))
    pace, plan = Pace(OwnBuckets(lambda: times[0])), PLANS["searchOrders"]
    every_s = settings_with().pace.asked_every_s
    amazons = full_bucket(plan.rate_per_s, plan.burst, 0.0)
    calls, held_until = [], 0.0
    for second in range(4 * 3600):
        times[0] = float(second)
        since = second - calls[-1] if calls else every_s
        if second < held_until or since < every_s:
            continue
        if wait_s := pace.wait_s("searchOrders"):
            held_until = second + wait_s
            continue
        asyncio.run(pace.turn("searchOrders", 0.0))
        amazons, wait_s = take(amazons, second)
        assert wait_s == 0
        calls.append(second)
    gaps = [later - earlier for earlier, later in pairwise(calls)]
    assert gaps[0] == 60
    assert 178 <= max(gaps) <= 180
    assert len(calls) <= plan.burst + 4 * 3600 * plan.rate_per_s
