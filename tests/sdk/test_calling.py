"""A partner's API: who calls, what an answer means, where links may lead."""

import asyncio
import datetime as dt

import msgspec
import pytest

from stockwright.domain.errors import Misconfigured, Throttled, Transient
from stockwright.sdk.auth import Exchanged, Grant, basic, bearer, header
from stockwright.sdk.calling import Caller
from stockwright.sdk.messages import InDoubt, Refused, Retry
from stockwright.sdk.secrets import Secret
from stockwright.sdk.transports import HttpResponse, InMemory, NotSent, Unanswered

NOW = dt.datetime(2026, 3, 1, 12, 0, 0, tzinfo=dt.UTC)
BASE = "https://partner.example/api"
OPERATOR = {401: "token", 403: "token", 404: "base_url"}


def caller(answer, auth=None):
    transport = InMemory(answer)
    made = Caller(
        system="shop",
        base_url=BASE + "/",
        auth=auth or bearer(Secret("t0ken")),
        transport=transport,
        timeout_s=1.0,
        clock=lambda: NOW,
        operator=OPERATOR,
    )
    return made, transport


def always(status, body=b"{}", **headers):
    async def answer(request):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return HttpResponse(status=status, headers=named, body=body)

    return answer


async def test_a_call_carries_credentials_query_and_json():
    made, transport = caller(always(200))
    await made.send("PUT", "/levels", query=[("a", "1"), ("b", "ä&")], json={"n": 1})
    (request,) = transport.requests
    assert request.url == f"{BASE}/levels?a=1&b=%C3%A4%26"
    assert request.headers["authorization"] == "Bearer t0ken"
    assert request.headers["content-type"] == "application/json"
    assert request.body == b'{"n":1}'


@pytest.mark.parametrize(
    ("auth", "name", "value"),
    [
        (basic(Secret("ck"), Secret("cs")), "authorization", "Basic Y2s6Y3M="),
        (header("X-Auth-Token", Secret("abc")), "x-auth-token", "abc"),
    ],
)
async def test_every_kind_of_credential(auth, name, value):
    made, transport = caller(always(200), auth)
    await made.send("GET", "/x")
    assert transport.requests[0].headers[name] == value


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (always(200), HttpResponse),
        (always(429, retry_after="7"), Retry(retry_after_s=7.0, reason="the partner's rate limit")),
        (always(422, b"no"), Refused(reason="http_422", message="no")),
        (always(500), InDoubt(reason="http_500", retry_after_s=5.0)),
    ],
)
async def test_what_an_answer_means_to_all_that_was_in_a_write(answer, expected):
    made, _ = caller(answer)
    found = await made.write("POST", "/x", json=[])
    assert isinstance(found, HttpResponse) if expected is HttpResponse else found == expected


async def test_an_answer_may_be_handed_back_unjudged_by_its_status():
    made, _ = caller(always(422, b"item 3"))
    found = await made.write("POST", "/x", as_is=(422,), json=[])
    assert isinstance(found, HttpResponse)
    assert (found.status, found.body) == (422, b"item 3")


@pytest.mark.parametrize(
    ("failure", "expected"), [(NotSent("no route"), Retry), (Unanswered("cut off"), InDoubt)]
)
async def test_what_did_not_leave_is_tried_again_and_what_broke_off_is_in_doubt(failure, expected):
    async def answer(request):
        raise failure

    made, _ = caller(answer)
    assert isinstance(await made.write("POST", "/x"), expected)


@pytest.mark.parametrize(
    ("status", "setting"), [(401, "token"), (403, "token"), (404, "base_url"), (301, "base_url")]
)
async def test_an_operator_is_told_which_setting_to_look_at(status, setting):
    made, _ = caller(always(status))
    with pytest.raises(Misconfigured) as told:
        await made.write("POST", "/x")
    assert told.value.setting == setting
    with pytest.raises(Misconfigured):
        await made.read("/x", dict)


async def test_a_read_raises_what_the_house_says():
    made, _ = caller(always(429, retry_after="3"))
    with pytest.raises(Throttled) as told:
        await made.read("/x", dict)
    assert told.value.retry_after_s == 3.0
    for status, body in ((502, b""), (200, b"<html>"), (200, b"[" * 100_000)):
        made, _ = caller(always(status, body))
        with pytest.raises(Transient):
            await made.read("/x", dict[str, int])


async def test_a_link_of_the_partner_is_followed_on_its_own_host_only():
    made, transport = caller(always(200))
    await made.read(f"{BASE}/orders?page=2", dict)
    assert transport.requests[0].url == f"{BASE}/orders?page=2"
    for elsewhere in ("https://partner.example.evil/api/x", "http://10.0.0.1/", f"{BASE}evil/x"):
        with pytest.raises(Transient):
            await made.read(elsewhere, dict)
    assert len(transport.requests) == 1


class Issuer:
    """Gives tokens and takes the newest only."""

    def __init__(self, life_s=3600.0):
        self.given = 0
        self.life_s = life_s
        self.status = 200

    async def __call__(self, request):
        if request.url == "https://issuer.example/token":
            await asyncio.sleep(0)
            if self.status != 200:
                return HttpResponse(status=self.status)
            self.given += 1
            told = {"access_token": f"T{self.given}", "expires_in": self.life_s}
            return HttpResponse(status=200, body=msgspec.json.encode(told))
        good = request.headers["authorization"] == f"Bearer T{self.given}"
        return HttpResponse(status=200 if good else self.bad, body=b"{}")


def exchanging(issuer, clock=lambda: NOW, stale=frozenset({401}), bad=401):
    issuer.bad = bad
    transport = InMemory(issuer)
    fields = {"grant_type": "client_credentials", "client_secret": Secret("s3cret")}
    auth = Exchanged(Grant(url="https://issuer.example/token", fields=fields), transport, clock)
    made = Caller(
        system="shop", base_url=BASE, auth=auth, transport=transport, timeout_s=1.0,
        clock=clock, operator=OPERATOR, stale=stale,
    )  # fmt: skip
    return made, transport


async def test_a_token_is_fetched_once_for_all_who_wait_and_again_before_it_ends():
    issuer, times = Issuer(), [NOW]
    made, transport = exchanging(issuer, lambda: times[-1])
    await asyncio.gather(*(made.read("/x", dict) for _ in range(5)))
    assert issuer.given == 1
    assert transport.requests[0].body == b"grant_type=client_credentials&client_secret=s3cret"
    times.append(NOW + dt.timedelta(seconds=3541))
    await made.read("/x", dict)
    assert issuer.given == 2


async def test_a_token_that_was_refused_is_replaced_once():
    issuer = Issuer()
    made, _ = exchanging(issuer)
    await made.read("/x", dict)
    issuer.given += 1  # revoked: another one is the good one now
    assert isinstance(await made.write("POST", "/x"), HttpResponse)
    assert issuer.given == 3


async def test_without_a_token_nothing_was_sent():
    issuer = Issuer()
    made, transport = exchanging(issuer)
    issuer.status = 503
    assert isinstance(await made.write("POST", "/x"), Retry)
    issuer.status = 400
    with pytest.raises(Misconfigured) as told:
        await made.write("POST", "/x")
    assert told.value.setting == "client_secret"
    assert "s3cret" not in str(told.value)
    assert {request.url for request in transport.requests} == {"https://issuer.example/token"}


async def test_a_partner_may_answer_an_ended_token_with_another_status():
    issuer = Issuer()
    made, _ = exchanging(issuer, stale=frozenset({401, 403}), bad=403)
    await made.read("/x", dict)
    issuer.given += 1
    assert await made.read("/x", dict) == {}
    assert issuer.given == 3


async def test_a_log_in_of_the_partner_s_own_form_gives_a_token():
    bodies = []

    async def answer(request):
        if request.url == "https://shop.example/login":
            bodies.append((request.headers["content-type"], request.body))
            return HttpResponse(status=200, body=b'{"token": "jwt"}')
        assert request.headers["authorization"] == "Bearer jwt"
        return HttpResponse(status=200, body=b"{}")

    grant = Grant(
        url="https://shop.example/login",
        fields={"email": "a@example.com", "password": Secret("pw")},
        setting="password",
        form="json",
        token="token",
        life_s=120.0,
    )
    times = [NOW]
    transport = InMemory(answer)
    auth = Exchanged(grant, transport, lambda: times[-1])
    made, _ = caller(answer, auth)
    await made.read("/x", dict)
    await made.read("/x", dict)
    assert bodies == [("application/json", b'{"email":"a@example.com","password":"pw"}')]
    times.append(NOW + dt.timedelta(seconds=61))
    await made.read("/x", dict)
    assert len(bodies) == 2


async def test_a_token_refused_to_many_calls_at_once_is_renewed_once():
    """All are under way with the old token when the first is refused."""
    issued, refused, all_there = [], 0, asyncio.Event()

    async def answer(request):
        nonlocal refused
        if request.url.endswith("/token"):
            issued.append(f"T{len(issued)}")
            await asyncio.sleep(0)
            body = msgspec.json.encode({"access_token": issued[-1], "expires_in": 3600})
            return HttpResponse(status=200, body=body)
        if request.headers["authorization"] == "Bearer T0":
            refused += 1
            if refused == 30:
                all_there.set()
            await all_there.wait()
            return HttpResponse(status=401)
        return HttpResponse(status=200, body=b"{}")

    grant = Grant(url=f"{BASE}/token", fields={"grant_type": "client_credentials"})
    transport = InMemory(answer)
    made, _ = caller(answer, Exchanged(grant, transport, lambda: NOW))
    found = await asyncio.gather(*(made.send("GET", "/x") for _ in range(30)))
    assert [one.status for one in found] == [200] * 30
    assert issued == ["T0", "T1"]
