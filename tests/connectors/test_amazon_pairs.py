"""The request and response pairs of Amazon's own static sandbox, replayed against our client.

No pair is made for us: what each answer must mean is written here, pair by pair.
"""

import datetime as dt
import json
import re

import msgspec
import pytest

from stockwright.connectors.amazon import CONNECTOR
from stockwright.connectors.amazon.plans import GET_ORDER_2026, PLANS
from stockwright.domain.errors import Misconfigured, Transient
from stockwright.domain.events import Fact
from stockwright.sdk.connector import Opening
from stockwright.sdk.messages import (
    Applied,
    Delivered,
    DocumentLine,
    InDoubt,
    LevelKey,
    LevelToSend,
    Payload,
    Refund,
    Refused,
    Retry,
    Shipment,
    ShownLevel,
)
from stockwright.sdk.secrets import Secret, resolve_secret
from stockwright.sdk.transports import HttpResponse, InMemory
from tests.connectors.amazon_models import (
    FOLDER,
    MODELS,
    name_of,
    operation_of,
    operations,
    pairs,
    problems_of,
    problems_of_request,
)

OURS = tuple(PLANS)
NOW = dt.datetime(2026, 3, 1, 12, 0, 0, tzinfo=dt.UTC)
SETTINGS = {
    "region": "na",
    "seller_id": "A3TH9S8BH6GOGM",
    "marketplaces": ["ATVPDKIKX0DER"],
    "client_id": Secret("id"),
    "client_secret": Secret("secret"),
    "refresh_token": Secret("refresh"),
    "feed_from": 1,
    "timeout_s": 1.0,
}
ORDER = "902-1106328-1059050"


class Partner:
    """Answers each operation with one pair of it, or with what a test puts in its place."""

    def __init__(self, **chosen):
        self.chosen = chosen
        self.requests = []
        self.uploads = []
        self.problems = []
        self.now = NOW

    async def __call__(self, request):
        if request.url.endswith("/auth/o2/token"):
            return told(200, {"access_token": "Atza|1", "expires_in": 3600})
        operation = operation_of(request.method, request.url)
        if operation is None:
            self.uploads.append(request.body.decode())
            return HttpResponse(status=200, body=self.chosen.get("document", b""))
        self.requests.append((operation.name, request))
        self.problems += problems_of_request(operation, request.url, request.body)
        status, answer = self.chosen[operation.name]
        return told(status, answer)


def told(status, answer):
    body = b"" if answer is None or status == 204 else json.dumps(answer).encode()
    return HttpResponse(status=status, body=body)


def connect(partner, **settings):
    given = {**SETTINGS, **settings}
    parsed = CONNECTOR.declaration.parse_settings(given, resolve_secret)
    wire = InMemory(partner)
    opening = Opening(system="amz", transport=wire, clock=lambda: partner.now)
    return CONNECTOR.open(opening, parsed)


def all_of(name):
    return [(pair.status, pair.answer) for pair in pairs(name)]


def level(listing, quantity):
    return LevelToSend(channel="amz", listing=listing, quantity=quantity, version=1)


@pytest.mark.parametrize(
    ("pair", "expected"),
    list(
        zip(
            all_of("patchListingsItem"),
            [
                Applied(),
                InDoubt(reason="Amazon answered with the status 'VALID'"),
                Refused(reason="90000900", message="The attributes are invalid."),
                Refused(reason="BAD_REQUEST", message="Invalid input"),
            ],
            strict=True,
        )
    ),
)
async def test_answers_to_a_patch(pair, expected):
    partner = Partner(patchListingsItem=pair)
    assert list(await connect(partner).publish([level("GM-ZDPI-9B4E", 5)])) == [expected]
    assert partner.problems == []


@pytest.mark.parametrize(
    ("pair", "quantity"), list(zip(all_of("getListingsItem"), [100, None], strict=True))
)
async def test_answers_to_a_question_for_one_listing(pair, quantity):
    partner = Partner(getListingsItem=pair)
    (shown,) = await connect(partner).read_back([LevelKey(listing="GM-ZDPI-9B4E")])
    assert (shown.quantity if shown else None) == quantity
    assert partner.problems == []


async def test_answers_to_a_search():
    good, bad = all_of("searchListingsItems")
    partner = Partner(searchListingsItems=good)
    keys = [LevelKey(listing=name) for name in ("GM-ZDPI-9B4E", "NONE")]
    first, second = await connect(partner).read_back(keys)
    assert (first, second) == (ShownLevel(listing="GM-ZDPI-9B4E", quantity=100), None)
    assert partner.problems == []
    with pytest.raises(Transient):
        await connect(Partner(searchListingsItems=bad)).read_back(keys)


@pytest.mark.parametrize("pair", all_of("getOrderItems")[:1])
async def test_answers_to_questions_for_orders_become_facts(pair):
    unshipped, first_page, last_page, bad = all_of("getOrders")
    partner = Partner(getOrders=unshipped, getOrderItems=pair)
    connection = connect(partner, orders_api="v0")
    page = await connection.read("")
    listed = [one["AmazonOrderId"] for one in unshipped[1]["payload"]["Orders"]]
    assert [one.raw_key for one in page.payloads] == listed
    payload = page.payloads[0]
    (part,) = connection.map(payload)
    assert part.item == Fact(
        kind="channel_order",
        document="902-1845936-5435065",
        line="05015851154158",
        revision=1569512,
        item="NABetaASINB00551Q3CS",
        quantity=1,
        occurred_at=dt.datetime(1970, 1, 19, 3, 58, 30, tzinfo=dt.UTC),
        channel="amz",
        order="902-1845936-5435065",
        order_line="05015851154158",
    )
    partner.chosen["getOrders"] = first_page
    page = await connection.read("")
    assert not page.complete
    partner.chosen["getOrders"] = last_page
    page = await connection.read(page.next_cursor)
    assert page.complete
    assert connection.map(page.payloads[0])[0].item.order == "902-3159896-1390916"
    assert "NextToken=2YgYW55IGNhcm5hbCBwbGVhc3VyZS4" in partner.requests[-2][1].url
    partner.chosen["getOrders"] = bad
    with pytest.raises(Transient):
        await connection.read("")
    assert partner.problems == []


async def test_an_error_instead_of_items_ends_the_poll():
    unshipped, _, _, _ = all_of("getOrders")
    partner = Partner(getOrders=unshipped, getOrderItems=all_of("getOrderItems")[1])
    connection = connect(partner, orders_api="v0")
    page = await connection.read("")
    assert (page.payloads, page.complete) == ((), False), "the list is kept: lists are scarce"
    with pytest.raises(Transient):
        await connection.read(page.next_cursor)


async def test_answers_of_2026_to_questions_for_orders_become_facts():
    from_amazon, last_page, unshipped, bad = all_of("searchOrders")
    partner = Partner(searchOrders=from_amazon)
    connection = connect(partner)
    page = await connection.read("")
    assert not page.complete
    assert [connection.map(one) for one in page.payloads] == [[]], "Amazon ships it"
    partner.chosen["searchOrders"] = last_page
    page = await connection.read(page.next_cursor)
    assert page.complete
    assert page.started_at == NOW - dt.timedelta(minutes=2), "it says not up to when it listed"
    (payload,) = page.payloads
    assert connection.map(payload)[0].item.item == "ECHO-DOT-4-UK-CHARCOAL-SINGLE"
    first, next_ = (request.url for _, request in partner.requests)
    assert next_ == f"{first}&paginationToken=2YgYW55IGNhcm5hbCBwbGVhc3VyZS4"
    partner.chosen["searchOrders"] = unshipped
    (payload,) = (await connection.read("")).payloads
    assert payload.raw_key == "171-2345678-9012345"
    (part,) = connection.map(payload)
    assert part.item == Fact(
        kind="channel_order",
        document="171-2345678-9012345",
        line="17123456789012",
        revision=1734948000,
        item="DELL-I15-BR-001",
        quantity=1,
        occurred_at=dt.datetime(2024, 12, 22, 15, 30, tzinfo=dt.UTC),
        channel="amz",
        order="171-2345678-9012345",
        order_line="17123456789012",
    )
    partner.chosen["searchOrders"] = bad
    with pytest.raises(Transient):
        await connection.read("")
    assert partner.problems == []


@pytest.mark.parametrize("status", [404, 410])
async def test_once_the_older_version_has_ended_an_operator_is_told_what_to_set(status):
    gone = (status, {"errors": [{"code": "NotFound", "message": "gone"}]})
    with pytest.raises(Misconfigured) as told:
        await connect(Partner(getOrders=gone), orders_api="v0").read("")
    assert told.value.setting == "orders_api"
    with pytest.raises(Transient):
        await connect(Partner(searchOrders=gone)).read("")


async def test_an_order_that_makes_no_sense_is_parked_alone():
    status, answer = all_of("searchOrders")[2]
    (good,) = answer["orders"]
    (item,) = good["orderItems"]
    wrong = {**good, "orderId": "1", "orderItems": [{**item, "quantityOrdered": "1"}, 7]}
    partner = Partner(searchOrders=(status, {"orders": [{"x": 1}, wrong, good]}))
    connection = connect(partner)
    nameless, first, second = (await connection.read("")).payloads
    assert connection.map(nameless)[0].item.path == "$.order.orderId"
    assert [part.item.path for part in connection.map(first)] == [
        "$.order.orderItems[0].quantityOrdered",
        "$.order.orderItems[1]",
    ]
    assert isinstance(connection.map(second)[0].item, Fact)


@pytest.mark.parametrize("pair", all_of(GET_ORDER_2026)[:3])
async def test_an_answer_of_2026_for_one_order_is_a_message_by_itself(pair):
    """So `stockwright map test` takes what a developer sees."""
    order = pair[1]["order"]
    parts = connect(Partner()).map(Payload(body=json.dumps(pair[1]).encode()))
    assert [(part.item.order, part.item.quantity) for part in parts] == [
        (order["orderId"], item["quantityOrdered"]) for item in order["orderItems"]
    ]


SHIPMENT = Shipment(
    key="S-1",
    order=ORDER,
    lines=(DocumentLine(line="79039765272157", quantity=1),),
    shipped_at=dt.datetime(2022, 2, 11, 1, 0, tzinfo=dt.UTC),
    carrier="FedEx",
    tracking="112345678",
)


async def test_answers_to_a_confirmed_shipment_and_the_body_they_answer():
    good, bad = pairs("confirmShipment")
    partner = Partner(confirmShipment=(good.status, good.answer))
    connection = connect(partner, carriers={"FedEx": "FedEx"})
    assert isinstance(await connection.submit(SHIPMENT), Delivered)
    ours = json.loads(partner.requests[0][1].body)
    theirs = good.parameters["body"]
    assert ours["marketplaceId"] == theirs["marketplaceId"]
    package = theirs["packageDetail"]
    for name in ("carrierCode", "trackingNumber"):
        assert ours["packageDetail"][name] == package[name]
    (item,) = package["orderItems"]
    del item["transparencyCodes"]
    assert ours["packageDetail"]["orderItems"] == [item]
    moment = dt.datetime.fromisoformat(package["shipDate"])
    assert dt.datetime.fromisoformat(ours["packageDetail"]["shipDate"]) == moment
    partner.chosen["confirmShipment"] = (bad.status, bad.answer)
    refused = await connection.submit(SHIPMENT)
    assert refused == Refused(reason="Invalid Input", message="Invalid Input")
    assert partner.problems == []


@pytest.mark.parametrize(
    ("version", "operation", "marketplaces"),
    [
        ("v0", "getOrder", ["ATVPDKIKX0DER", "A1PA6795UKMFR9"]),
        ("2026-01-01", GET_ORDER_2026, ["A2Q3Y263D00KWC", "A33AVAJ2PDY3EV", "ATVPDKIKX0DER"]),
    ],
)
async def test_answers_to_a_question_for_one_order(version, operation, marketplaces):
    *good, bad = all_of(operation)
    partner = Partner(confirmShipment=all_of("confirmShipment")[0])
    connection = connect(partner, orders_api=version, marketplaces=marketplaces)
    for pair, marketplace in zip(good, marketplaces, strict=True):
        partner.chosen[operation] = pair
        assert isinstance(await connection.submit(SHIPMENT), Delivered)
        assert json.loads(partner.requests[-1][1].body)["marketplaceId"] == marketplace
    partner.chosen[operation] = bad
    assert (await connection.submit(SHIPMENT)).reason == "unknown_order"
    assert partner.problems == []


async def test_answers_of_the_newer_version_to_a_question_for_one_order():
    brazil, turkey, store, bad = all_of(GET_ORDER_2026)
    partner = Partner(
        **{
            GET_ORDER_2026: turkey,
            "createFeedDocument": all_of("createFeedDocument")[0],
            "createFeed": all_of("createFeed")[0],
        }
    )
    connection = connect(partner, marketplaces=["A1PA6795UKMFR9", "A33AVAJ2PDY3EV"])
    documents = []
    for pair, line in ((turkey, "02812345678901"), (store, "11498765431234")):
        partner.chosen[GET_ORDER_2026] = pair
        refund = Refund(
            key=line,
            order=pair[1]["order"]["orderId"],
            lines=(DocumentLine(line=line, quantity=1),),
        )
        told = await connection.submit(refund)
        assert (told.taken, told.reference) == (True, "3485934")
        (body,) = partner.uploads[-1:]
        documents.append(
            re.findall(r"<Type>(\w+)</Type><Amount currency=\"(\w+)\">([\d.]+)<", body)
        )
    # Amazon keeps the tax of the first by itself.
    assert documents[0] == [("Principal", "TRY", "62.50")]
    assert documents[1] == [("Principal", "USD", "39.99"), ("Tax", "USD", "10.00")]
    asked = [json.loads(x.body) for name, x in partner.requests if name == "createFeed"]
    assert [one["marketplaceIds"] for one in asked] == [["A33AVAJ2PDY3EV"], ["ATVPDKIKX0DER"]]
    partner.chosen[GET_ORDER_2026] = bad
    refused = await connection.submit(msgspec.structs.replace(refund, key="other"))
    assert refused.reason == "unknown_order"
    partner.chosen[GET_ORDER_2026] = brazil
    partner.chosen["confirmShipment"] = all_of("confirmShipment")[0]
    assert isinstance(await connection.submit(SHIPMENT), Delivered)
    assert partner.problems == []


LEVELS = [level(f"My-SKU-{letter}", 10) for letter in "ABCDE"]
DONE = {
    "feedId": "FeedId1",
    "feedType": "JSON_LISTINGS_FEED",
    "createdTime": "2024-03-11T13:16:24.630Z",
    "processingStatus": "DONE",
    "resultFeedDocumentId": "0356cf79-b8b0-4226-b4b9-0ee058ea5760",
}
"""No pair of getFeed tells of a feed that is done: this is theirs with another state."""


def feeding(**chosen):
    names = ("createFeedDocument", "createFeed", "getFeed", "getFeedDocument", "cancelFeed")
    return Partner(**{**{name: all_of(name)[0] for name in names}, **chosen})


async def fed(partner):
    """Levels sent by feed, and what is told of them once it is time to look."""
    connection = connect(partner)
    first = list(await connection.publish(LEVELS))
    partner.now += dt.timedelta(seconds=61)
    return first, list(await connection.publish(LEVELS))


async def test_answers_to_the_making_of_a_feed():
    partner = feeding()
    first, then = await fed(partner)
    assert [(one.reason, one.taken) for one in first] == [("feed 3485934 is at work", True)] * 5
    assert all(isinstance(one, Retry) for one in then), "its pair says that it was cancelled"
    assert [name for name, _ in partner.requests] == ["createFeedDocument", "createFeed", "getFeed"]
    assert partner.problems == []


@pytest.mark.parametrize("name", ["createFeedDocument", "createFeed"])
async def test_an_error_instead_of_a_feed_is_told_of_each_level(name):
    first, _ = await fed(feeding(**{name: all_of(name)[1]}))
    assert first == [Refused(reason="400", message="Invalid input")] * 5


async def test_the_example_of_a_report_tells_of_each_message():
    path = "feeds/listings-feed-processing-report-schema-v2"
    example = json.loads((FOLDER / f"{path}.example.json").read_bytes())
    assert problems_of(f"{path}.json", example) == []
    counts = example["summary"]
    counts |= {"messagesProcessed": 5, "messagesAccepted": 3}  # of five, its two are invalid
    partner = feeding(getFeed=(200, DONE), document=json.dumps(example).encode())
    _, then = await fed(partner)
    assert [one.reason if isinstance(one, Refused) else one for one in then] == [
        *[Applied()] * 3,
        "90220",
        "99022",
    ]
    assert partner.problems == []


@pytest.mark.parametrize(
    ("counted", "issues", "expected"),
    [
        (5, [], Applied()),
        (4, [], InDoubt(reason="the feed's report does not tell of every message")),
        (
            0,
            [{"severity": "ERROR", "message": "no feed"}],
            Refused(reason="invalid", message="no feed"),
        ),
    ],
)
async def test_silence_of_a_report_is_doubt_where_it_counts_other_than_we_do(
    counted, issues, expected
):
    summary = {"messagesProcessed": counted, "messagesAccepted": counted}
    report = json.dumps({"issues": issues, "summary": summary}).encode()
    _, then = await fed(feeding(getFeed=(200, DONE), document=report))
    assert then == [expected] * 5


@pytest.mark.parametrize("name", ["getFeed", "getFeedDocument"])
async def test_an_error_instead_of_a_result_is_asked_for_again(name):
    chosen = {"getFeed": (200, DONE), name: all_of(name)[1]}
    _, then = await fed(feeding(**chosen))
    assert all(isinstance(one, InDoubt) and one.taken for one in then)


@pytest.mark.parametrize("cancel", all_of("cancelFeed"))
async def test_a_feed_in_the_queue_at_its_deadline_is_cancelled_or_forgotten(cancel):
    partner = feeding(getFeed=(200, {**DONE, "processingStatus": "IN_QUEUE"}), cancelFeed=cancel)
    connection = connect(partner)
    await connection.publish(LEVELS)
    partner.now += dt.timedelta(seconds=901)
    then = list(await connection.publish(LEVELS))
    names = [name for name, _ in partner.requests]
    assert names.count("cancelFeed") == 1
    if cancel[0] == 200:
        assert all(isinstance(one, Retry) for one in then)
    else:
        assert names.count("createFeed") == 2, "it is made anew"
    assert partner.problems == []


def test_every_operation_we_call_is_replayed():
    """All pairs of our operations are named above; a new one makes a zip or an unpacking fail."""
    assert {pair.operation for pair in pairs(*OURS)} == set(OURS)
    assert {len(all_of(name)) for name in ("createFeed", "getFeed", "cancelFeed")} == {2}


def test_our_plans_are_the_published_ones():
    published = {}
    for row in (FOLDER / "usage_plans.csv").read_text().splitlines()[1:]:
        model, _, _, operation, rate, burst = row.split(",")
        if model in MODELS:
            published[name_of(model, operation)] = (float(rate or 0), int(burst or 0))
    assert {name: tuple(plan) for name, plan in PLANS.items()} == {
        name: published[name] for name in OURS
    }


def test_every_operation_is_found_by_its_path():
    names = [one.name for one in operations()]
    assert set(OURS) <= set(names)
    assert (
        operation_of("GET", "https://x/orders/v0/orders/902-1/orderItems").name == "getOrderItems"
    )
    assert re.fullmatch(r"[a-zA-Z]+", operation_of("GET", "https://x/orders/v0/orders?a=b").name)
    assert operation_of("GET", "https://x/orders/2026-01-01/orders/902-1").name == GET_ORDER_2026
