"""Amazon as it should not be: lists without an end, words nobody knows, times that are none."""

import datetime as dt
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from stockwright.connectors.amazon import CONNECTOR, Sandbox
from stockwright.connectors.amazon.mapping import map_message, order_key
from stockwright.connectors.amazon.order_cursor import cursor_of
from stockwright.connectors.amazon.plans import PLANS, Pace, Plan
from stockwright.domain.errors import Misconfigured, Throttled, Transient
from stockwright.sdk.connector import Opening
from stockwright.sdk.messages import Cancellation, Failure, Retry
from stockwright.sdk.pacing import OwnBuckets
from stockwright.sdk.secrets import resolve_secret
from stockwright.sdk.transports import HttpResponse, InMemory, Unanswered

QUICK = Plan(500, 500)
VERSIONS = ("2026-01-01", "v0")


def settings_with(**more):
    given = {
        **Sandbox().settings(),
        "base_url": "",
        "token_url": "https://x/auth/o2/token",
        "timeout_s": 2.0,
        **more,
    }
    return CONNECTOR.declaration.parse_settings(given, resolve_secret)


SOLD, CANCELLED = settings_with().sold, settings_with().cancelled


@pytest.fixture
def connect(clock, monkeypatch):
    """Connections to a partner that is a function of (method, path, query): a status and a body."""
    for name in PLANS:
        monkeypatch.setitem(PLANS, name, QUICK)

    def make(partner, **settings):
        async def answer(request):
            if request.url.endswith("/auth/o2/token"):
                return HttpResponse(status=200, body=b'{"access_token": "a", "expires_in": 3600}')
            url = urlsplit(request.url)
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            found = partner(request.method, url.path, query)
            status, body = found if isinstance(found, tuple) else (200, found)
            return HttpResponse(status=status, body=msgspec.json.encode(body))

        opening = Opening(system="amz", clock=clock, transport=InMemory(answer))
        return CONNECTOR.open(opening, settings_with(**settings))

    return make


def listed(version, *orders, token="", until=""):
    """A page of changed orders, as a version of the API answers it."""
    if version == "v0":
        return {"payload": {"Orders": orders, "NextToken": token, "LastUpdatedBefore": until}}
    return {"orders": orders, "lastUpdatedBefore": until, "pagination": {"nextToken": token}}


def order(version, number="902-0000001-0000001", changed="2026-03-01T11:50:00Z", **more):
    if version == "v0":
        told = {"AmazonOrderId": number, "LastUpdateDate": changed, "OrderStatus": "Unshipped"}
        return {**told, "FulfillmentChannel": "MFN", **more}
    item = {"orderItemId": "1", "quantityOrdered": 1, "product": {"sellerSku": "MUG"}}
    return {
        "orderId": number,
        "createdTime": changed,
        "lastUpdatedTime": changed,
        "fulfillment": {"fulfillmentStatus": "UNSHIPPED", "fulfilledBy": "MERCHANT"},
        "orderItems": [item],
        **more,
    }


ITEMS_V0 = {
    "payload": {"OrderItems": [{"OrderItemId": "1", "SellerSKU": "MUG", "QuantityOrdered": 1}]}
}


# ------------------------------------------------------------ lists


@pytest.mark.parametrize("version", VERSIONS)
async def test_tokens_that_are_refused_for_ever_are_told_and_tried_again_later(
    connect, clock, version
):
    lists = []

    def partner(method, path, query):
        if path.endswith("/orderItems"):
            return ITEMS_V0
        lists.append(query)
        if "NextToken" in query or "paginationToken" in query:
            return (200, listed(version)) if healed else (400, {"errors": []})
        return listed(version, order(version), token=f"page-{len(lists)}")

    healed, cursor, faults = [], "", []
    connection = connect(partner, orders_api=version)
    for _ in range(40):
        try:
            cursor = (await connection.read(cursor)).next_cursor
        except Transient as fault:
            faults.append(str(fault))
    assert len(lists) == 6, "three passes were begun, and no call is wasted after that"
    assert len(faults) > 30
    assert "refused the token of a page 3 times" in faults[0]
    clock.step(301)
    for _ in range(3):
        try:
            cursor = (await connection.read(cursor)).next_cursor
        except Transient:
            break
    assert len(lists) == 8, "it is tried again by itself, once"
    healed.append(True)
    clock.step(301)
    for _ in range(2):
        page = await connection.read(cursor)
        cursor = page.next_cursor
    assert page.complete
    assert cursor_of(cursor).refused == 0


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_rest_that_the_clock_has_left_far_behind_is_over(connect, clock, version):
    far = (clock.now + dt.timedelta(days=9)).isoformat()
    connection = connect(lambda *_: listed(version), orders_api=version)
    cursor = msgspec.json.encode({"api": version, "refused": 9, "rests_until": far}).decode()
    assert (await connection.read(cursor)).complete


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_order_without_a_number_is_parked_once(connect, version):
    number = "AmazonOrderId" if version == "v0" else "orderId"
    late = order(version, changed="2026-03-01T11:57:00Z")
    nameless = {name: told for name, told in late.items() if name != number}
    connection = connect(lambda *_: listed(version, nameless), orders_api=version)
    page = await connection.read("")
    (payload,) = page.payloads
    (part,) = connection.map(payload)
    assert (part.item.path, part.item.reason) == (f"$.order.{number}", "is missing")
    assert (await connection.read(page.next_cursor)).payloads == ()


@pytest.mark.parametrize("fault", ["slow", 500, 503])
async def test_what_was_told_of_a_page_stands_where_the_rest_cannot_be_had(connect, fault):
    """A poll that loses all it has for one late answer never comes to an end."""
    orders = [order("v0", f"902-000000{n}-0000000") for n in range(4)]
    lists = []

    def partner(method, path, query):
        if not path.endswith("/orderItems"):
            lists.append(query)
            return listed("v0", *orders)
        asked.append(path)
        if len(asked) % 3 == 0:
            if fault == "slow":
                raise Unanswered("too late")
            return fault, {}
        return ITEMS_V0

    asked = []
    connection = connect(partner, orders_api="v0")
    page = await connection.read("")
    assert (len(page.payloads), page.complete) == (2, False)
    page = await connection.read(page.next_cursor)
    assert (len(page.payloads), page.complete, len(lists)) == (2, True, 1)


@pytest.mark.parametrize("version", VERSIONS)
async def test_where_only_what_was_sent_is_asked_for_the_first_list_names_no_state(
    connect, version
):
    def partner(method, path, query):
        assert not {"OrderStatuses", "fulfillmentStatuses"} & set(query)
        return listed(version)

    connection = connect(partner, orders_api=version, sold=["Shipped"])
    assert (await connection.read("")).complete


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "until", ["0001-01-01T00:00:00+23:00", "0002-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "soon"]
)
async def test_a_list_that_ends_before_it_began_moves_no_poll_back(connect, clock, version, until):
    asked = []

    def partner(method, path, query):
        asked.append(query.get("LastUpdatedAfter") or query.get("lastUpdatedAfter"))
        return listed(version, until=until)

    connection = connect(partner, orders_api=version)
    begin = "2026-03-01T11:00:00Z"
    page = await connection.read(msgspec.json.encode({"since": begin, "api": version}).decode())
    assert page.complete
    assert page.started_at <= clock.now
    await connection.read(page.next_cursor)
    assert asked[0] == begin
    assert asked[1] >= begin


@pytest.mark.parametrize("version", VERSIONS)
async def test_after_the_clock_went_back_no_list_is_asked_for_from_the_future(
    connect, clock, version
):
    asked = []

    def partner(method, path, query):
        asked.append(query.get("LastUpdatedAfter") or query.get("lastUpdatedAfter"))
        return listed(version)

    connection = connect(partner, orders_api=version)
    page = await connection.read("")
    clock.step(-86_400)
    page = await connection.read(page.next_cursor)
    assert asked[-1] <= clock.now.isoformat()
    assert page.started_at <= clock.now


@pytest.mark.parametrize("status", [404, 410])
async def test_where_v0_is_gone_no_document_is_refused_for_it(connect, status):
    """`unknown_order` would be final: a refund would be given up for a setting."""

    connection = connect(lambda *_: (status, {"errors": []}), orders_api="v0")
    document = Cancellation(key="C", order="902-0000001-0000001")
    if status == 404:
        assert (await connection.submit(document)).reason == "unknown_order"
    else:
        with pytest.raises(Misconfigured) as told:
            await connection.submit(document)
        assert told.value.setting == "orders_api"


# ------------------------------------------------------------ words and times


def mapped(message):
    return [part.item for part in map_message(msgspec.json.encode(message), SOLD, CANCELLED, "amz")]


def notice(state, **more):
    line = {"OrderItemId": "1", "SellerSKU": "MUG", "Quantity": 1}
    summary = {"OrderStatus": state, "FulfillmentType": "MFN", "OrderItems": [line], **more}
    change = {
        "AmazonOrderId": "902-1",
        "OrderChangeTrigger": {"TimeOfOrderChange": "2026-03-01T10:00:00Z"},
        "Summary": summary,
    }
    return {
        "NotificationType": "ORDER_CHANGE",
        "EventTime": "2026-03-01T10:00:00Z",
        "Payload": {"OrderChangeNotification": change},
    }


def told_by(version, state, by="MFN"):
    if version == "notice":
        return notice(state, FulfillmentType=by)
    if version == "v0":
        head = {**order("v0"), "OrderStatus": state, "FulfillmentChannel": by}
        return {"order": head, "items": ITEMS_V0["payload"]["OrderItems"]}
    whose = "AMAZON" if by == "AFN" else "MERCHANT"
    fulfillment = {"fulfillmentStatus": state, "fulfilledBy": whose}
    return {"order": order(version, fulfillment=fulfillment)}


WAYS = (*VERSIONS, "notice")


@pytest.mark.parametrize("version", WAYS)
def test_a_state_that_nobody_knows_is_parked_whoever_tells_it(version):
    (failure,) = mapped(told_by(version, "OnHold"))
    assert isinstance(failure, Failure)
    assert failure.path.endswith(
        ".fulfillmentStatus" if version == "2026-01-01" else ".OrderStatus"
    )
    assert failure.reason == "is no state of an order that is known here"
    assert mapped(told_by(version, "OnHold", "AFN")) == [], "what Amazon ships is nobody's concern"


@pytest.mark.parametrize("name", ["sold", "cancelled"])
def test_a_state_in_the_words_of_2026_is_refused_as_a_setting(name):
    """Orders are told by the words of v0: it would match none, and nothing would be sold."""
    with pytest.raises(Misconfigured, match="write Unshipped for UNSHIPPED"):
        settings_with(**{name: ["UNSHIPPED"]})


@pytest.mark.parametrize("version", WAYS)
def test_an_operator_may_name_a_state_that_is_new(version):
    body = msgspec.json.encode(told_by(version, "OnHold"))
    (part,) = map_message(body, (*SOLD, "OnHold"), CANCELLED, "amz")
    assert (part.item.kind, part.item.quantity) == ("channel_order", 1)


@pytest.mark.parametrize("version", WAYS)
@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59Z"])
def test_a_time_beyond_all_calendars_is_parked(version, time):
    message = told_by(version, "UNSHIPPED" if version == "2026-01-01" else "Unshipped")
    if version == "notice":
        change = message["Payload"]["OrderChangeNotification"]
        change["OrderChangeTrigger"]["TimeOfOrderChange"] = time
    else:
        message["order"]["lastUpdatedTime" if version != "v0" else "LastUpdateDate"] = time
    (failure,) = mapped(message)
    assert isinstance(failure, Failure)
    assert order_key(msgspec.json.encode(message)) == ""


# ------------------------------------------------------------ rates


@pytest.mark.parametrize("rate", ["0.0000001", "1e-300", "nan", "inf", "-1", "0", "many", ""])
async def test_a_rate_that_is_none_silences_nobody(rate):
    pace = Pace(OwnBuckets())
    await pace.heard("searchOrders", {"x-amzn-ratelimit-limit": rate}, 429)
    assert 0 < pace.wait_s("searchOrders") < 3600


@pytest.mark.parametrize(
    "call", ["getOrders", "getOrderItems", "searchOrders", "getOrder", "getOrder2026"]
)
async def test_a_limit_on_any_call_puts_off_and_refuses_nothing(connect, call):
    """Whichever call is answered with 429: a poll waits, and a document is told again."""

    def partner(method, path, query):
        version, last = path.split("/")[2], path.rsplit("/", 1)[-1]
        name = {"orders": "getOrders" if version == "v0" else "searchOrders"}.get(
            last, "getOrder" if version == "v0" else "getOrder2026"
        )
        if (name if last != "orderItems" else "getOrderItems") == call:
            return 429, {"errors": []}
        if last == "orderItems":
            return ITEMS_V0
        if last == "orders":
            return listed("v0" if version == "v0" else "2026-01-01", order(version))
        return {"payload": {"OrderStatus": "Unshipped"}}

    version = "2026-01-01" if "2026" in call or call == "searchOrders" else "v0"
    connection = connect(partner, orders_api=version)
    if call in ("getOrders", "searchOrders", "getOrderItems"):
        with pytest.raises(Throttled):
            page = await connection.read("")
            await connection.read(page.next_cursor)
    if call not in ("getOrders", "searchOrders"):
        document = Cancellation(key="C", order="902-0000001-0000001")
        assert isinstance(await connection.submit(document), Retry)
