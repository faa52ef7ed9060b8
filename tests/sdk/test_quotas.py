"""What a partner says is left of its quota is kept to."""

import asyncio
import datetime as dt

import pytest

from stockwright.domain.errors import Throttled
from stockwright.sdk.quotas import RateHeaders, Rationed, UsedUp, number_in
from stockwright.sdk.transports import HttpRequest, HttpResponse, InMemory, NotSent

NOW = dt.datetime(2026, 11, 27, 3, 0, tzinfo=dt.UTC)
ONE = {"left": "RateLimit", "reset": "RateLimit"}
OWN = {"left": "X-Left", "reset": "X-Reset-Ms", "unit": "milliseconds"}
CALL = HttpRequest(method="GET", url="http://partner.example/")


def rationed(told, **names):
    """A transport whose partner answers with these headers, one after the other."""
    answers = iter(told)

    async def answer(_request):
        return HttpResponse(status=200, headers=next(answers))

    partner = InMemory(answer)
    return Rationed(partner, RateHeaders(**names), lambda: NOW), partner


def left(calls, reset):
    return {"ratelimit-remaining": str(calls), "ratelimit-reset": str(reset)}


async def test_no_call_is_made_once_the_partner_says_that_none_is_left():
    transport, partner = rationed([left(1, 300), left(0, 300)])
    await transport.send(CALL)
    await transport.send(CALL)
    with pytest.raises(UsedUp) as refused:
        await transport.send(CALL)
    assert 240 < refused.value.retry_after_s <= 300
    assert isinstance(refused.value, NotSent), "nothing left us: what is written is sent again"
    assert isinstance(refused.value, Throttled), "and nobody has failed"
    assert len(partner.requests) == 2


async def test_a_quota_that_begins_anew_at_once_is_waited_for():
    transport, partner = rationed([left(0, 0.05), left(5, 1)])
    loop = asyncio.get_running_loop()
    began = loop.time()
    await transport.send(CALL)
    await transport.send(CALL)
    assert loop.time() - began >= 0.04
    assert len(partner.requests) == 2


async def test_calls_under_way_count_before_their_answers_tell():
    gate = asyncio.Event()

    async def answer(_request):
        if len(partner.requests) > 1:
            await gate.wait()
        return HttpResponse(status=200, headers=left(2, 60))

    partner = InMemory(answer)
    transport = Rationed(partner, RateHeaders(), lambda: NOW)
    await transport.send(CALL)
    under_way = [asyncio.create_task(transport.send(CALL)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(UsedUp):
        await transport.send(CALL)
    gate.set()
    await asyncio.gather(*under_way)


async def test_an_answer_says_nothing_of_calls_that_are_still_under_way():
    """Three began together, the first told that two are left, and two more were one too many."""
    gates = [asyncio.Event() for _ in range(3)]

    async def answer(_request):
        number = len(partner.requests) - 1
        await gates[number].wait()
        return HttpResponse(status=200, headers=left(2 - number, 60))

    partner = InMemory(answer)
    transport = Rationed(partner, RateHeaders(), lambda: NOW)
    calls = [asyncio.create_task(transport.send(CALL)) for _ in range(3)]
    await asyncio.sleep(0)
    gates[0].set()
    await calls[0]
    with pytest.raises(UsedUp):
        await transport.send(CALL)
    for gate in gates:
        gate.set()
    await asyncio.gather(*calls)
    assert len(partner.requests) == 3


@pytest.mark.parametrize(
    ("headers", "names", "wait_s"),
    [
        (left(0, 40), {}, 40),
        ({"x-left": "0", "x-reset-ms": "40000"}, OWN, 40),
        (left(0, int(NOW.timestamp()) + 40), {}, 40),
        ({"ratelimit": '"default";r=0;t=40'}, ONE, 40),
        ({"ratelimit": "limit=9, remaining=0, reset=40"}, ONE, 40),
        (left(0, 10**9 - 1), {}, 3_600),
    ],
)
async def test_the_forms_in_which_partners_tell_it(headers, names, wait_s):
    transport, _ = rationed([headers], **names)
    await transport.send(CALL)
    with pytest.raises(UsedUp) as refused:
        await transport.send(CALL)
    assert wait_s - 1 < refused.value.retry_after_s <= wait_s


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"ratelimit-remaining": "0"},
        {"ratelimit-reset": "60"},
        left("none", 60),
        left("-1", 60),
        left("\u0664", 60),
        left(0, "1e400"),
        left("9" * 400, "9" * 400),
        left(0, -5),
    ],
)
async def test_what_cannot_be_read_says_nothing(headers):
    transport, partner = rationed([headers] * 3)
    for _ in range(3):
        await transport.send(CALL)
    assert len(partner.requests) == 3


def test_a_number_is_one_or_is_not():
    assert number_in(" 12 ", ("r",)) == 12
    assert number_in('"a";R = 3;t=9', ("r",)) == 3
    assert number_in('"a";q=3', ("r",)) is None
