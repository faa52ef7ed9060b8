"""Calls are sent again where that is safe, as long and as often as was said, and no more."""

import asyncio
import time
from collections.abc import Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from stockwright.client import Busy, Client, Refused, Retries, Unavailable, types
from stockwright.client.transport import Transport
from stockwright.domain.events import RequestLine

QUICK = Retries(tries=4, longest_pause_s=0.05)
HEALTH = {"status": "ok", "version": "0"}
PROBLEM = {"type": "urn:stockwright:problem:busy", "title": "", "status": 429, "detail": "full"}

Answer = Callable[[], web.StreamResponse]


class Partner:
    """A server that gives one answer after the other, and notes what it was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[web.Request] = []
        self.bodies: list[bytes] = []
        self.times: list[float] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        self.times.append(time.monotonic())
        self.bodies.append(await request.read())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is hang_up:
            assert request.transport is not None
            request.transport.abort()
        return answer()


def good() -> web.Response:
    return web.json_response(HEALTH)


def busy() -> web.Response:
    return web.json_response(PROBLEM, status=429, headers={"Retry-After": "0"})


def broken() -> web.Response:
    return web.json_response({**PROBLEM, "status": 500}, status=500)


def refused() -> web.Response:
    return web.json_response({**PROBLEM, "status": 404, "param": "id"}, status=404)


def granted() -> web.Response:
    told = {"system": "shop", "order": "O", "document": "D", "code": "granted"}
    return web.json_response(told, status=201)


def hang_up() -> web.Response:
    return web.Response()


def under_way() -> web.Response:
    problem = {**PROBLEM, "type": "urn:stockwright:problem:in_progress", "status": 409}
    return web.json_response(problem, status=409, headers={"Retry-After": "0"})


def closed() -> web.Response:
    problem = {**PROBLEM, "type": "urn:stockwright:problem:already_closed", "status": 409}
    return web.json_response(problem, status=409)


def moved() -> web.Response:
    return web.Response(status=302, headers={"Location": "/v1/elsewhere"})


def portal() -> web.Response:
    return web.Response(text="<h1>sign in</h1>", content_type="text/html")


@asynccontextmanager
async def talking_to(partner: Partner, retries: Retries = QUICK):
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", partner.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    try:
        async with Client(f"http://127.0.0.1:{port}", retries=retries) as client:
            yield client
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("trouble", [busy, broken, hang_up])
async def test_a_call_is_sent_again_until_it_is_answered(trouble):
    partner = Partner(trouble, trouble, good)
    async with talking_to(partner) as client:
        assert (await client.get_healthz()).status == "ok"
    assert len(partner.asked) == 3


async def test_a_server_that_stays_busy_is_told_with_when_to_come_again():
    partner = Partner(lambda: web.json_response(PROBLEM, status=429, headers={"Retry-After": "7"}))
    async with talking_to(partner) as client:
        with pytest.raises(Busy) as told:
            await client.get_healthz()
    assert told.value.retry_after_s == 7
    assert len(partner.asked) == QUICK.tries


async def test_a_server_that_is_away_is_told_after_all_tries():
    partner = Partner(hang_up)
    async with talking_to(partner) as client:
        with pytest.raises(Unavailable):
            await client.post_availability(types.AvailabilityAsk(skus=["A"]))
    assert len(partner.asked) == QUICK.tries


async def test_retry_after_is_obeyed():
    wait = lambda: web.json_response(PROBLEM, status=503, headers={"Retry-After": "1"})  # noqa: E731
    partner = Partner(wait, good)
    async with talking_to(partner, Retries(tries=2, longest_pause_s=5)) as client:
        await client.get_healthz()
    assert partner.times[1] - partner.times[0] >= 0.95


async def test_a_refusal_is_not_repeated():
    partner = Partner(refused)
    async with talking_to(partner) as client:
        with pytest.raises(Refused) as told:
            await client.get_work_item(3)
    assert told.value.field == "id"
    assert len(partner.asked) == 1


async def test_a_call_without_a_key_gets_one_before_its_first_try():
    """Else a reservation whose answer was lost would be made twice."""
    partner = Partner(hang_up, broken, granted)
    ask = types.ReservationAsk(system="shop", lines=[RequestLine(sku="A", quantity=1)])
    async with talking_to(partner) as client:
        assert (await client.post_reservation(ask)).code == "granted"
    keys = {request.headers["Idempotency-Key"] for request in partner.asked}
    assert len(partner.asked) == 3
    assert len(keys) == 1
    assert len(keys.pop()) == 32
    assert len(set(partner.bodies)) == 1


async def test_a_call_whose_first_try_is_still_worked_on_waits_for_its_answer():
    """The answer was lost, the work goes on: told as a refusal, nobody looked for its outcome."""
    partner = Partner(hang_up, under_way, under_way, granted)
    ask = types.ReservationAsk(system="shop", lines=[RequestLine(sku="A", quantity=1)])
    async with talking_to(partner) as client:
        assert (await client.post_reservation(ask)).code == "granted"
    partner = Partner(under_way)
    async with talking_to(partner) as client:
        with pytest.raises(Unavailable):
            await client.post_reservation(ask)
    assert len(partner.asked) == QUICK.tries
    partner = Partner(closed)
    async with talking_to(partner) as client:
        with pytest.raises(Refused):
            await client.post_reservation(ask)
    assert len(partner.asked) == 1


async def test_a_call_that_is_led_elsewhere_does_not_follow():
    """A reservation would have gone there as a GET without its body."""
    partner = Partner(moved)
    ask = types.ReservationAsk(system="shop", lines=[])
    async with talking_to(partner) as client:
        with pytest.raises(Refused) as told:
            await client.post_reservation(ask)
        with pytest.raises(Refused):
            async for _ in client.export_kind_parts("skus"):
                pass
    assert told.value.reason == "http_302"
    assert [request.path for request in partner.asked] == ["/v1/reservations", "/v1/export/skus"]


async def test_a_good_answer_of_something_else_is_no_answer():
    partner = Partner(portal)
    async with talking_to(partner) as client:
        with pytest.raises(Unavailable, match="something else"):
            await client.get_healthz()


async def test_a_key_of_the_callers_own_is_sent_as_it_is():
    partner = Partner(granted)
    ask = types.ReservationAsk(system="shop", lines=[])
    async with talking_to(partner) as client:
        await client.post_reservation(ask, idempotency_key="mine")
    assert partner.asked[0].headers["Idempotency-Key"] == "mine"


@pytest.mark.parametrize(("trouble", "tries"), [(hang_up, 1), (broken, 1), (busy, 2)])
async def test_what_is_not_safe_is_sent_again_only_where_nothing_was_kept(trouble, tries):
    partner = Partner(trouble, lambda: web.json_response({"payload": 1}, status=202))
    async with talking_to(partner) as client:
        call = client.post_hook("shop", b"{}", media="application/json", headers={"x-sign": "s"})
        if tries == 1:
            with pytest.raises(Unavailable):
                await call
        else:
            await call
    assert len(partner.asked) == tries
    assert partner.asked[0].headers["x-sign"] == "s"


async def test_half_a_stream_is_never_taken_for_all():
    async def half(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"content-type": "application/x-ndjson"})
        answer.enable_chunked_encoding()
        await answer.prepare(request)
        await answer.write(b'{"sku":"A"}\n{"sk')
        await asyncio.sleep(0.05)
        assert request.transport is not None
        request.transport.abort()
        return answer

    partner = Partner(good)
    partner.handle = half
    async with talking_to(partner) as client:
        with pytest.raises(Unavailable):
            async for _ in client.export_kind_parts("skus"):
                pass


async def test_an_answer_that_is_no_problem_document_is_told_all_the_same():
    partner = Partner(lambda: web.Response(status=403, text="<h1>proxy</h1>"))
    async with talking_to(partner) as client:
        with pytest.raises(Refused) as told:
            await client.get_healthz()
    assert told.value.reason == "http_403"
    assert "proxy" in told.value.message


def test_pauses_grow_by_chance_and_have_a_bound():
    retries = Retries(longest_pause_s=4)
    for tried, most in enumerate((0.2, 0.4, 0.8, 1.6, 3.2, 4, 4)):
        assert most / 2 <= retries.pause_s(tried, None) <= most
    assert retries.pause_s(0, 3) == 3
    assert retries.pause_s(0, 60) == 4


def test_an_address_is_built_of_its_parts_and_query():
    transport = Transport("http://x/")
    told = transport._address("/v1/a/{}", ["b/c ü"], {"sku": ["a b", "c"], "lots": True, "n": None})
    assert told == "http://x/v1/a/b%2Fc%20%C3%BC?sku=a+b&sku=c&lots=true"
