"""JSON over HTTP in a partner's own form: levels, answers, what it shows, documents."""

import datetime as dt
import json

import pytest

from stockwright.connectors.json_http import CONNECTOR, Sandbox
from stockwright.domain.errors import Misconfigured, Transient
from stockwright.sdk.connector import Opening
from stockwright.sdk.messages import (
    Applied,
    Cancellation,
    Delivered,
    DocumentLine,
    InDoubt,
    LevelKey,
    LevelToSend,
    Refused,
    Retry,
    Shipment,
    ShownLevel,
)
from stockwright.sdk.transports import HttpResponse, InMemory, NotSent, Unanswered
from stockwright.sdk.verbs import MapsOut, Submits

LEVELS = {
    "kind": "level",
    "each": "$.items",
    "fields": {"listing": "SKU-{@.sku}", "quantity": "@.stock", "location": "@.at?"},
}
ANSWER = {
    "each": "$.done",
    "fields": {
        "listing": "SKU-{@.sku}",
        "location": "@.at?",
        "quantity": "@.now?",
        "version": "@.rev?",
        "reason": "@.why?",
        "retry_after_s": "@.wait?",
    },
    "applied": {"@.state": ["ok", "same"]},
    "retry": {"@.state": "busy"},
}
SHIPMENT = Shipment(
    key="K-1",
    order="SO/7",
    shipped_at=dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC),
    lines=(DocumentLine(line="1", quantity=2),),
)


def answering(*answers):
    left = list(answers)

    async def answer(_request):
        response = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(response, Exception):
            raise response
        return response

    return InMemory(answer)


def connect(transport=None, **settings):
    given = {"base_url": "http://partner.test/v1", **settings}
    parsed = CONNECTOR.declaration.parse_settings(given, str)
    return CONNECTOR.open(Opening(system="shop", transport=transport), parsed)


def level(listing, quantity=4, **more):
    return LevelToSend(channel="shop", listing=listing, quantity=quantity, version=9, **more)


def answer(body, status=200):
    return HttpResponse(status=status, body=json.dumps(body).encode())


async def test_levels_leave_in_the_partner_s_form_and_its_results_are_read_by_name():
    partner = answering(
        answer(
            {
                "done": [
                    {"sku": "C", "state": "gone", "why": "delisted"},
                    {"sku": "B", "state": "busy", "wait": 2.5},
                    {"sku": "A", "at": "E", "state": "same", "now": 4, "rev": 1772366400123},
                    {"state": "ok"},
                    7,
                ]
            }
        )
    )
    connection = connect(partner, out=[LEVELS], answer=ANSWER)
    sent = [level("SKU-A", location="E"), level("SKU-B"), level("SKU-C"), level("SKU-D")]
    assert await connection.publish(sent) == [
        Applied(shown=4, version=1772366400123),
        Retry(retry_after_s=2.5),
        Refused(reason="delisted"),
        InDoubt(reason="the partner's answer does not name this level"),
    ]
    (request,) = partner.requests
    assert json.loads(request.body)["items"][:2] == [
        {"sku": "A", "stock": 4, "at": "E"},
        {"sku": "B", "stock": 4},
    ]


async def test_a_level_the_form_cannot_say_is_refused_alone():
    partner = answering(HttpResponse(status=204))
    connection = connect(partner, out=[LEVELS], answer={})
    results = await connection.publish([level("SKU-A"), level("B"), level("SKU-C")])
    assert results[0] == results[2] == Applied()
    assert isinstance(results[1], Refused)
    assert (results[1].reason, results[1].message) == (
        "form",
        "listing is 'B', which is not of the form 'SKU-{@.sku}'",
    )


@pytest.mark.parametrize(
    ("body", "words"),
    [(b"OK", "cannot be read"), (b'{"done": 1}', "has no list at $.done"), (b"{}", "no list")],
)
async def test_an_answer_of_another_form_leaves_all_in_doubt(body, words):
    connection = connect(
        answering(HttpResponse(status=200, body=body)), out=[LEVELS], answer=ANSWER
    )
    (result,) = await connection.publish([level("SKU-A")])
    assert isinstance(result, InDoubt)
    assert words in result.reason


async def test_levels_that_an_answer_does_not_tell_apart_are_in_doubt():
    fields = {name: ANSWER["fields"][name] for name in ("listing",)}
    told = answering(answer({"done": [{"sku": "A", "state": "ok"}, {"sku": "B", "state": "ok"}]}))
    connection = connect(told, out=[LEVELS], answer={**ANSWER, "fields": fields})
    sent = [level("SKU-A", location="E"), level("SKU-A", location="W"), level("SKU-B")]
    results = await connection.publish(sent)
    assert [type(one) for one in results] == [InDoubt, InDoubt, Applied]


async def test_what_the_partner_shows_is_read_in_the_form_it_is_told():
    body = {"items": [{"sku": "A", "stock": 3}, {"sku": "B", "stock": "0", "at": "E"}]}
    connection = connect(answering(answer(body)), out=[LEVELS])
    keys = [LevelKey(listing="SKU-B", location="E"), LevelKey(listing="SKU-X")]
    assert await connection.read_back(keys) == [
        ShownLevel(listing="SKU-B", quantity=0, location="E"),
        None,
    ]
    assert len(await connection.snapshot()) == 2
    spoilt = connect(answering(answer({"items": [{"sku": "A"}]})), out=[LEVELS])
    with pytest.raises(Transient, match=r"unreadably: \$\.items\[0\]\.stock is missing"):
        await spoilt.snapshot()


# -------------------------------------------------------------------- documents


async def test_a_document_told_twice_is_one_at_the_partner():
    sandbox = Sandbox(token="tok")
    try:
        await sandbox.start()
        given = {**sandbox.settings(), "documents_path": "/documents"}
        parsed = CONNECTOR.declaration.parse_settings(given, str)
        connection = CONNECTOR.open(Opening(system="shop"), parsed)
        assert isinstance(connection, Submits)
        assert await connection.submit(SHIPMENT) == Delivered(reference="D-1")
        assert await connection.submit(SHIPMENT) == Delivered(reference="D-1")
        (kept,) = sandbox.documents.values()
        assert (kept["type"], kept["order"], kept["lines"]) == (
            "shipment",
            "SO/7",
            [{"line": "1", "quantity": 2}],
        )
        await connection.close()
    finally:
        await sandbox.stop()


async def test_a_document_goes_in_the_partner_s_form_to_the_address_of_its_order():
    partner = answering(answer({"id": 17}, status=201))
    connection = connect(
        partner,
        documents_path="/orders/{order}/{kind}s",
        documents_method="PUT",
        documents_reference="$.id",
        out=[
            {
                "kind": "shipment",
                "each": "$.rows",
                "fields": {"order": "$.no", "line": "@.id", "quantity": "@.n"},
            }
        ],
    )
    assert await connection.submit(SHIPMENT) == Delivered(reference="17")
    (request,) = partner.requests
    assert (request.method, request.url) == (
        "PUT",
        "http://partner.test/v1/orders/SO%2F7/shipments",
    )
    assert json.loads(request.body) == {"no": "SO/7", "rows": [{"id": "1", "n": 2}]}
    assert len(request.headers["idempotency-key"]) == 64
    # A form for shipments says that nothing else is taken.
    assert await connection.submit(Cancellation(key="K", order="S")) == Refused(
        reason="not_taken", message="documents of shop lack cancellation"
    )


@pytest.mark.parametrize(
    ("response", "result"),
    [
        (HttpResponse(status=422, body=b"shipped"), Refused(reason="http_422", message="shipped")),
        (
            HttpResponse(status=404, body=b"no order"),
            Refused(reason="http_404", message="no order"),
        ),
        (
            HttpResponse(status=429, headers={"retry-after": "9"}),
            Retry(retry_after_s=9, reason="the partner's rate limit"),
        ),
        (HttpResponse(status=500), InDoubt(reason="http_500", retry_after_s=5.0)),
        (Unanswered("broke off"), InDoubt(reason="broke off")),
        (NotSent("refused"), Retry(retry_after_s=5.0, reason="refused")),
    ],
)
async def test_what_an_answer_to_a_document_means(response, result):
    connection = connect(answering(response), documents_path="/documents")
    assert await connection.submit(SHIPMENT) == result


async def test_an_operator_is_called_where_documents_are_not_let_in_and_none_go_without_a_path():
    connection = connect(answering(HttpResponse(status=401)), documents_path="/documents")
    with pytest.raises(Misconfigured, match="token"):
        await connection.submit(SHIPMENT)
    nowhere = connect()
    assert isinstance(nowhere, MapsOut)
    assert nowhere.map_out(SHIPMENT) == []
    assert isinstance(await nowhere.submit(SHIPMENT), Refused)


async def test_what_map_out_shows_is_what_is_sent():
    partner = answering(HttpResponse(status=200, body=b"{}"))
    form = {"kind": "shipment", "fields": {"order": "$.no", "tracking": "$.code?"}}
    connection = connect(partner, documents_path="/d", out=[LEVELS, form], answer={})
    levels = (level("SKU-A"), level("SKU-B", location="E"))
    await connection.publish(levels)
    await connection.submit(SHIPMENT)
    shown = [*connection.map_out(levels), *connection.map_out(SHIPMENT)]
    assert [(one.to, one.body) for one in shown] == [
        (f"{one.method} {one.url.removeprefix('http://partner.test/v1')}", one.body)
        for one in partner.requests
    ]
    assert [one.lost for one in shown] == [(), ()]


@pytest.mark.parametrize(
    ("settings", "field", "words"),
    [
        ({"out": [LEVELS, LEVELS]}, "out[1].kind", "has a form already"),
        ({"out": [{**LEVELS, "each": ""}]}, "out[0]", "or set batch_size to 1"),
        (
            {"out": [{"kind": "shipment", "fields": {"order": "$.a"}}]},
            "out[0].kind",
            "set documents_path",
        ),
        (
            {
                "documents_path": "/d",
                "out": [{"kind": "shipment", "fields": {"order": "$.a", "line": "@.l"}}],
            },
            "out[0]",
            "each must name the list",
        ),
        (
            {
                "out": [
                    {
                        "kind": "level",
                        "each": "$.a",
                        "body": {"@.l": "{@.listing}/{@.location}", "@.q": "@.quantity"},
                    }
                ]
            },
            "out[0]",
            "listing cannot be read back",
        ),
        ({"out": [{**LEVELS, "body": {"@.x": "@.lsting"}}]}, 'out[0].body."@.x"', "is nothing of"),
        ({"answer": {"fields": {"listing": "@.a"}}}, "answer", "must say each"),
        ({"answer": {"each": "$.a", "fields": {"sku": "@.a"}}}, "answer.fields.sku", "no field"),
        ({"answer": {"each": "$.a", "applied": {"x": "y"}}}, "answer.applied.x", "not a source"),
        ({"answer": {"each": "$.a"}}, "answer", "where the listing is"),
        (
            {"rules": [{"kind": "count", "fields": {"document": "a", "quantity": "@.q"}}]},
            "rules[0].fields.document",
            "'a' is not a source",
        ),
    ],
)
def test_settings_that_cannot_work_are_told_by_the_part_at_fault(settings, field, words):
    (problem,) = CONNECTOR.declaration.problems({"base_url": "http://a", **settings})
    assert problem.field == field
    assert words in problem.message
    assert "`" not in problem.message
