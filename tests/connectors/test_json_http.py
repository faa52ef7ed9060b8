"""JSON over HTTP: what each answer of a partner means, level by level."""

import datetime as dt
import json

import pytest

from stockwright.connectors.json_http import CONNECTOR, Sandbox
from stockwright.domain.errors import Misconfigured, Rejected, Throttled, Transient
from stockwright.sdk.connector import Opening
from stockwright.sdk.hostile import Fault
from stockwright.sdk.messages import (
    Applied,
    InDoubt,
    LevelKey,
    LevelToSend,
    Payload,
    Refused,
    Retry,
)
from stockwright.sdk.secrets import Secret
from stockwright.sdk.transports import HttpResponse, InMemory, NotSent, Unanswered
from stockwright.sdk.verbs import Publishes, Reads, ReadsBack, Receives, Snapshots
from stockwright.sdk.webhooks import new_secret, signed


def connect(transport=None, **settings):
    given = {"base_url": "http://partner.test/v1/", **settings}
    parsed = CONNECTOR.declaration.parse_settings(given, str)
    return CONNECTOR.open(Opening(system="shop", transport=transport), parsed)


def answering(*answers):
    """A partner in memory that gives these answers one after the other, the last one for ever."""
    left = list(answers)

    async def answer(request):
        response = left.pop(0) if len(left) > 1 else left[0]
        response = response(request) if callable(response) else response
        if isinstance(response, Exception):
            raise response
        return response

    return InMemory(answer)


def levels(*names, version=1):
    return [
        LevelToSend(channel="shop", listing=name, quantity=4, version=version) for name in names
    ]


def results(*rows):
    return HttpResponse(status=207, body=json.dumps({"results": rows}).encode())


def applied(name, **more):
    return {"listing": name, "status": "applied", **more}


def test_the_connection_offers_the_verbs_its_declaration_promises():
    for verb in (Publishes, ReadsBack, Reads, Receives, Snapshots):
        assert isinstance(connect(), verb)


def test_a_partner_without_a_list_of_orders_is_not_polled():
    assert not isinstance(connect(orders_path=""), Reads)


async def test_results_are_aligned_by_name_whatever_order_the_partner_answers_in():
    partner = answering(
        results(
            {"listing": "C", "status": "refused", "reason": "delisted"},
            {"listing": "B", "status": "retry", "retry_after_s": 2, "reason": "busy"},
            applied("A", quantity=4, version=1),
            applied("Z"),
        )
    )
    assert await connect(partner).publish(levels("A", "B", "C", "D")) == [
        Applied(shown=4, version=1),
        Retry(retry_after_s=2, reason="busy"),
        Refused(reason="delisted"),
        InDoubt(reason="the partner's answer does not name this level"),
    ]


async def test_one_result_nobody_can_read_leaves_a_doubt_about_its_level_only():
    partner = answering(
        results(applied("A"), {"listing": "B", "status": "perhaps"}, 7, applied("C"))
    )
    found = await connect(partner).publish(levels("A", "B", "C"))
    assert [type(one) for one in found] == [Applied, InDoubt, Applied]


async def test_a_batch_says_who_asks_and_is_named_by_its_content():
    partner = answering(results(applied("A")))
    connection = connect(partner, token=Secret("tok"), publish_method="POST")
    for version in (1, 1, 2):
        await connection.publish(levels("A", version=version))
    first, again, other = partner.requests
    assert (first.method, first.url) == ("POST", "http://partner.test/v1/levels")
    assert first.headers["authorization"] == "Bearer tok"
    assert first.headers["idempotency-key"] == again.headers["idempotency-key"]
    assert first.headers["idempotency-key"] != other.headers["idempotency-key"]
    assert json.loads(first.body) == {"levels": [{"listing": "A", "quantity": 4, "version": 1}]}


async def test_a_level_at_a_place_is_answered_for_that_place():
    partner = answering(
        results(applied("A", location="EAST"), {"listing": "A", "status": "refused"})
    )
    east = LevelToSend(channel="shop", listing="A", location="EAST", quantity=1, version=1)
    assert await connect(partner).publish([east]) == [Applied()]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (HttpResponse(status=429, headers={"retry-after": "9"}), Retry),
        (HttpResponse(status=500), InDoubt),
        (HttpResponse(status=502), InDoubt),
        (HttpResponse(status=503, headers={"retry-after": "9"}), InDoubt),
        (HttpResponse(status=409), InDoubt),
        (HttpResponse(status=418), InDoubt),
        (HttpResponse(status=422, body=b"no such listing"), Refused),
        (HttpResponse(status=200, body=b"OK"), InDoubt),
        (
            HttpResponse(status=200, body=b'{"results": [{"listing": "A", "status": "maybe"}]}'),
            InDoubt,
        ),
        (HttpResponse(status=200, body=b'{"results": ' + b"[" * 100_000), InDoubt),
        (NotSent("refused"), Retry),
        (Unanswered("timeout"), InDoubt),
    ],
)
async def test_an_answer_to_a_whole_call_says_what_became_of_its_levels(answer, kind):
    (result,) = await connect(answering(answer)).publish(levels("A"))
    assert isinstance(result, kind)
    if answer and getattr(answer, "headers", None):
        assert result.retry_after_s == 9


@pytest.mark.parametrize(
    ("status", "setting"),
    [(401, "token"), (403, "token"), (404, "base_url"), (405, "publish_method"), (302, "base_url")],
)
async def test_an_answer_that_no_new_try_changes_calls_an_operator(status, setting):
    with pytest.raises(Misconfigured) as error:
        await connect(answering(HttpResponse(status=status))).publish(levels("A"))
    assert error.value.setting == setting


async def test_one_poisoned_level_is_found_by_halves_and_its_neighbours_go_on():
    def answer(request):
        names = [level["listing"] for level in json.loads(request.body)["levels"]]
        if "BAD" in names:
            return HttpResponse(status=400, body=b"cannot read")
        return results(*(applied(name) for name in names))

    partner = answering(answer)
    names = [f"L{n}" for n in range(15)]
    found = await connect(partner).publish(levels(*names[:6], "BAD", *names[6:]))
    assert [type(one) for one in found] == [Applied] * 6 + [Refused] + [Applied] * 9
    assert len(partner.requests) <= 2 * 4 + 1


async def test_a_partner_that_refuses_every_half_is_not_asked_beyond_the_time_limit():
    async def slow(request):
        raise Unanswered("timeout")

    found = await connect(InMemory(slow), timeout_s=0.01).publish(levels("A", "B"))
    assert [type(one) for one in found] == [InDoubt, InDoubt]


async def test_what_is_shown_is_read_back_in_the_order_asked():
    async with Sandbox() as sandbox:
        await sandbox.start()
        connection = connect(**sandbox.settings())
        await connection.publish(levels(*(f"L{n}" for n in range(120))))
        keys = [LevelKey(listing=f"L{n}") for n in (119, 3, 500)]
        shown = await connection.read_back(keys)
        assert [one and (one.listing, one.quantity) for one in shown] == [
            ("L119", 4),
            ("L3", 4),
            None,
        ]
        assert len(await connection.snapshot()) == 120
        await connection.close()


async def test_a_snapshot_of_several_pages_has_each_level_once():
    async with Sandbox() as sandbox:
        await sandbox.start()
        for n in range(2_500):
            sandbox.show(f"L{n:05}", n)
        connection = connect(**sandbox.settings())
        shown = await connection.snapshot()
        assert sorted(one.quantity for one in shown) == list(range(2_500))
        await connection.close()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (HttpResponse(status=429, headers={"retry-after": "4"}), Throttled),
        (HttpResponse(status=503, headers={"retry-after": "4"}), Throttled),
        (HttpResponse(status=500), Transient),
        (HttpResponse(status=401), Misconfigured),
        (HttpResponse(status=200, body=b"<html>"), Transient),
        (HttpResponse(status=200, body=b'{"orders": [], "next": "", "more": true}'), Transient),
        (HttpResponse(status=200, body=b'{"orders": [{"a": ], "next": ""}'), Transient),
    ],
)
async def test_a_poll_that_fails_says_what_to_do_next(answer, error):
    with pytest.raises(error):
        await connect(answering(answer)).read("")


async def test_a_note_that_is_no_json_holds_up_no_order():
    """A shop that cuts a text in the middle of an emoji writes half of a pair."""
    body = rb'{"orders": [{"id": "1", "note": "thanks \ud83d"}, {"id": "2"}], "next": "c2"}'
    page = await connect(answering(HttpResponse(status=200, body=body))).read("c1")
    assert [payload.body for payload in page.payloads] == [
        rb'{"id": "1", "note": "thanks \ufffd"}',
        b'{"id": "2"}',
    ]
    assert page.next_cursor == "c2"


async def test_each_polled_order_keeps_the_partner_s_own_bytes():
    body = b'{"orders": [{"id":  1.10}, {"id": "\xc3\xbc"}], "next": "c2", "more": false}'
    page = await connect(answering(HttpResponse(status=200, body=body))).read("c1")
    assert [payload.body for payload in page.payloads] == [b'{"id":  1.10}', b'{"id": "\xc3\xbc"}']
    assert (page.next_cursor, page.complete) == ("c2", True)


async def test_the_watermark_is_taken_before_the_partner_is_asked():
    times = [dt.datetime(2026, 3, 1, n, tzinfo=dt.UTC) for n in range(2)]
    asked = []

    def answer(request):
        asked.append(times.pop(0))
        return HttpResponse(status=200, body=b'{"orders": [], "next": ""}')

    parsed = CONNECTOR.declaration.parse_settings({"base_url": "http://partner.test"}, str)
    opening = Opening(system="shop", transport=answering(answer), clock=lambda: times.pop(0))
    page = await CONNECTOR.open(opening, parsed).read("")
    assert page.started_at < asked[0]


# -------------------------------------------------------------------- webhooks


BODY = json.dumps({"type": "order.placed", "data": {"order": "O-9", "lines": []}}).encode()


def test_a_signed_webhook_is_kept_without_its_signature_and_with_its_key():
    secret = new_secret()
    connection = connect(webhook_secrets=[secret], raw_key="$.data.order")
    headers = signed(secret, "m-1", BODY, dt.datetime.now(dt.UTC))
    payload = connection.receive({**headers, "authorization": "x", "cookie": "y"}, BODY)
    assert (payload.body, payload.raw_key) == (BODY, "O-9")
    assert set(payload.headers) == {"content-type", "webhook-id", "webhook-timestamp"}


def test_a_webhook_beyond_the_cap_is_refused_before_its_signature_is_looked_at():
    connection = connect(webhook_secrets=[new_secret()], max_body_bytes=1024)
    with pytest.raises(Rejected) as error:
        connection.receive({}, b"x" * 1025)
    assert (error.value.reason, error.value.field) == ("too_large", "body")


def test_without_a_secret_no_webhook_is_believed():
    with pytest.raises(Misconfigured) as error:
        connect().receive({}, BODY)
    assert error.value.setting == "webhook_secrets"


@pytest.mark.parametrize("body", [b"{}", b"[", b"\xff", b"[" * 100_000, b'{"data": {"order": {}}}'])
def test_a_message_without_its_key_is_in_nobody_s_way(body):
    assert connect(raw_key="$.data.order")._payload(body, {}).raw_key == ""


def test_a_channel_named_by_the_message_wins_over_the_system_s():
    body = {
        "type": "order.placed",
        "data": {"order": "1", "lines": [{"line": 1, "sku": "A", "quantity": 1}]},
    }
    told = {**body, "data": {**body["data"], "channel": "shop-de"}}
    channels = [
        connect(**settings).map(Payload(body=json.dumps(one).encode()))[0].item.channel
        for settings, one in (({}, body), ({"channel": "shop-fr"}, body), ({}, told))
    ]
    assert channels == ["shop", "shop-fr", "shop-de"]


# -------------------------------------------------------------------- the sandbox itself


async def test_the_sandbox_sells_tells_and_forgets_nothing_while_webhooks_are_off():
    async with Sandbox(token="t") as sandbox:
        await sandbox.start()
        connection = connect(**sandbox.settings())
        await connection.publish(levels("A"))
        sandbox.webhooks = False
        await sandbox.sell("O1", [("A", 3)])
        await sandbox.cancel("O1", "C1", [("1", "A", 1)])
        assert sandbox.shown("A") == 1
        page = await connection.read("")
        kinds = [part.item.kind for payload in page.payloads for part in connection.map(payload)]
        assert kinds == ["channel_order", "channel_cancel"]
        assert (await connection.read(page.next_cursor)).payloads == ()
        await connection.close()


async def test_the_sandbox_lets_nobody_in_without_its_token():
    async with Sandbox(token="t") as sandbox:
        await sandbox.start()
        connection = connect(**{**sandbox.settings(), "token": Secret("wrong")})
        with pytest.raises(Misconfigured, match="401"):
            await connection.publish(levels("A"))
        await connection.close()


async def test_a_partner_s_own_edit_shows_in_the_read_back():
    async with Sandbox() as sandbox:
        await sandbox.start()
        connection = connect(**sandbox.settings())
        await connection.publish(levels("A"))
        sandbox.show("A", 99)
        (shown,) = await connection.read_back([LevelKey(listing="A")])
        assert shown.quantity == 99
        await connection.close()


async def test_a_spoilt_call_is_spoilt_once():
    async with Sandbox() as sandbox:
        await sandbox.start()
        sandbox.faults.plan(Fault(kind="throttled", seconds=3))
        connection = connect(**sandbox.settings())
        first = await connection.publish(levels("A"))
        assert first == [Retry(retry_after_s=3, reason="the partner's rate limit")]
        assert isinstance((await connection.publish(levels("A")))[0], Applied)
        await connection.close()
