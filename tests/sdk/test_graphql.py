"""GraphQL: what errors mean, and how long a budget takes to come back."""

import datetime as dt

import msgspec
import pytest

from stockwright.domain.errors import Misconfigured, Throttled, Transient
from stockwright.sdk.auth import Fixed
from stockwright.sdk.calling import Caller
from stockwright.sdk.graphql import GraphQL, Told
from stockwright.sdk.messages import InDoubt, Refused, Retry
from stockwright.sdk.transports import HttpResponse, InMemory


def endpoint(body, status=200):
    async def answer(request):
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return HttpResponse(status=status, body=content)

    caller = Caller(
        system="shop", base_url="https://shop.example", auth=Fixed(), transport=InMemory(answer),
        timeout_s=1.0, clock=lambda: dt.datetime.now(dt.UTC), operator={401: "token"},
    )  # fmt: skip
    return GraphQL(caller, "/graphql")


def throttled(available=100.0, asked=350.0):
    return {
        "errors": [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}],
        "extensions": {
            "cost": {
                "requestedQueryCost": asked,
                "throttleStatus": {"currentlyAvailable": available, "restoreRate": 50.0},
            }
        },
    }


async def test_data_and_variables_go_through():
    found = await endpoint({"data": {"shop": {"name": "X"}, "none": None}}).ask("query", {"a": 1})
    assert found == {"shop": {"name": "X"}}


async def test_a_budget_says_how_long_it_takes_to_come_back():
    made = endpoint(throttled())
    with pytest.raises(Throttled) as told:
        await made.ask("query", {})
    assert told.value.retry_after_s == 5.0
    assert await made.change("mutation", {}) == Retry(
        retry_after_s=5.0, reason="the partner's budget"
    )
    assert made.budget is not None
    assert made.budget.available == 100.0


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"data": {"done": {"ok": True}}}, Told),
        ({"data": {"done": {}}, "errors": [{"message": "half"}]}, Told),
        ({"errors": [{"message": "no", "extensions": {"code": "BAD_USER_INPUT"}}]}, Refused),
        ({"errors": [{"message": "x", "extensions": {"code": "INTERNAL_SERVER_ERROR"}}]}, InDoubt),
        ({"errors": [{"message": "who knows"}]}, InDoubt),
        ({"data": None}, InDoubt),
        (b"<html>", InDoubt),
        (b'"text"', InDoubt),
    ],
)
async def test_what_became_of_a_mutation(body, expected):
    assert isinstance(await endpoint(body).change("mutation", {}), expected)


async def test_denied_access_is_for_an_operator():
    made = endpoint({"errors": [{"message": "no", "extensions": {"code": "ACCESS_DENIED"}}]})
    with pytest.raises(Misconfigured):
        await made.change("mutation", {})
    with pytest.raises(Misconfigured):
        await made.ask("query", {})


@pytest.mark.parametrize("body", [b"[]", {"data": {}, "errors": [{"message": "x"}]}, b"\xff"])
async def test_a_query_that_failed_is_asked_again_later(body):
    with pytest.raises(Transient):
        await endpoint(body).ask("query", {})
